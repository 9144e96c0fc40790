# SPDX-License-Identifier: MIT
"""unclosed release: what it frees, what it leaves alone, and what it leaves on record."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fixture import Fixture  # noqa: E402
from tap import BUILD, SOURCE, binary, cases, equal, has, json_lines, main, run, test, true, wait_for  # noqa: E402

UNCLOSED = binary("unclosed")
CLOSE_WAIT, ESTABLISHED, FIN_WAIT2 = 8, 1, 5


class Files:
    """A directory for the audit file, gone afterwards."""

    def __enter__(self):
        self.held = tempfile.TemporaryDirectory()
        self.audit = os.path.join(self.held.name, "audit.jsonl")
        return self

    def __exit__(self, *_):
        self.held.cleanup()

    def lines(self):
        if not os.path.exists(self.audit):
            return []
        with open(self.audit, encoding="utf-8") as f:
            return json_lines(f.read())


class Holder:
    """tests/helpers/holder.py: a process whose sockets change when told."""

    def __enter__(self):
        path = os.path.join(SOURCE, "tests", "helpers", "holder.py")
        self.process = subprocess.Popen(["unshare", "-n", "sh", "-c",
                                         f"ip link set lo up && exec python3 {shlex.quote(path)}"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def __call__(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        true(not isinstance(answer, dict) or "failed" not in answer, f"{words}: {answer}")
        return answer

    def close_wait(self, held="s", closer="c"):
        """A pair whose `held` end is in CLOSE_WAIT."""
        end = self("pair", held, closer)[0]
        self("shut", closer)
        wait_for(lambda: self("state", held) == CLOSE_WAIT, "CLOSE_WAIT")
        return end


def release(*args, audit=None, env=None, **kw):
    words = [UNCLOSED, "release", *args] + (["--audit", audit] if audit else [])
    return run(*words, env={**os.environ, **(env or {})}, **kw)


def objects(done):
    return json_lines(done.stdout)


def same(made, before):
    """Nothing changed: the same ends in the same states."""
    equal({k: v["state"] for k, v in made.ss(users=False).items()}, {k: v["state"] for k, v in before.items()},
          "connections")


@test
def it_wants_to_be_told_which():
    done = release("--yes")
    equal(done.returncode, 2, "exit status")
    has(done.stderr, "say which sockets")


@cases(("--at-most=0",), ("--at-most=x",), ("--wait=1",), ("--state=NOPE",), ("stray",))
def misuse_is_refused(word):
    done = release("--pid=5", word)
    equal((done.returncode, done.stdout), (2, ""), "exit status and output")


@test
def help_and_version():
    has(release("--help").stdout, "--at-most=N")
    equal(release("--version").returncode, 0, "exit status")


@test
def nothing_that_matches_is_fine():
    done = release("--pid", os.getpid(), "--cause", "unread")
    equal((done.returncode, done.stdout), (0, "No socket matches.\n"), "answer")


@test
def who_may_not_see_the_holder_is_told_so():
    """Not that --reset would do, which wants more rights still; and nothing that was not counted."""
    with tempfile.TemporaryDirectory() as folder, Fixture("unread=2") as made:
        os.chmod(folder, 0o755)
        copy = shutil.copy(UNCLOSED, folder)
        done = made.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
                        "--inh-caps=-all", copy, "release", "--cause=unread")
        equal(done.returncode, 1, "exit status")
        has(done.stdout, "the descriptors of its holder may not be seen; run this as its user or as root")
        has(done.stdout, "Not seen: the descriptors of ")
        true("--reset" not in done.stdout and " 0 network" not in done.stdout, done.stdout)


@test
def what_was_released_raises_no_alarm():
    """Its descriptor stays open, which release says; list shows it, and needs nobody for a while."""
    with Fixture("unread=2") as made, Files() as files:
        done = release(f"--netns={made.netns}", "--cause=unread", "--yes", audit=files.audit)
        equal(done.returncode, 0, "exit status")
        has(done.stdout, "The descriptors stay open until the program closes them: `unclosed list` shows them as "
                         "dead, which needs a person only after 60 s.")
        listed = run(UNCLOSED, "list", "--netns", made.netns, "--json", "--cause", "dead")
        equal(listed.returncode, 0, "no alarm")
        found = json_lines(listed.stdout)
        equal([s["needs_person"] for s in found], [False] * 2, "nor one by one")
        equal(run(UNCLOSED, "list", "--netns", made.netns, "--older", "0").returncode, 1, "unless asked for")


@test
def nor_does_what_was_released_from_a_peer_that_was_gone():
    """The peer answers with a RST, which leaves no stamp of an ACK: the release itself counts."""
    with Holder() as holder, Files() as files:
        holder.close_wait()
        holder("close", "c")
        pid = str(holder.process.pid)
        ino = str(os.stat(f"/proc/{pid}/ns/net").st_ino)
        wait_for(lambda: run("nsenter", "-t", pid, "-n", "ss", "-HK", "state", "fin-wait-2").stdout, "the peer is gone")
        look = [UNCLOSED, "list", "--netns", ino, "--json", "--older", "2s"]
        (old,) = wait_for(lambda: json_lines(run(*look).stdout), "two seconds pass")
        equal((old["state"], old["needs_person"]), ("CLOSE_WAIT", True), "before")
        done = release("--pid", pid, "--yes", "--json", audit=files.audit)
        equal((done.returncode, objects(done)[0]["own"]["after"]), (0, "gone"), "released")
        (dead,) = json_lines(run(*look[:-1], "0").stdout)
        true(dead["cause"] == "dead" and dead["evidence"]["last_ack_recv_ms"] >= 2000, f"an old ACK: {dead}")
        done = run(*look)
        equal((done.returncode, done.stdout), (0, ""), "younger than two seconds")
        wait_for(lambda: run(*look).returncode == 1, "two more seconds pass")


@test
def of_the_dead_alone_it_says_why_not():
    with Fixture("dead=2") as made, Files() as files:
        for how in ([], ["--yes"]):
            done = release(f"--netns={made.netns}", *how, audit=files.audit)
            equal((done.returncode, done.stdout.count("its connection is gone already; only its holder can close it")),
                  (1, 2), f"refused: {done.stdout}")
        asked = release(f"--netns={made.netns}", "--cause=dead", "--yes")
        equal(*[re.sub(r"at least .*?,", "", d.stdout) for d in (done, asked)], "as if asked for")
    with Fixture("dead=2", "unread=1") as made:
        has(release(f"--netns={made.netns}").stdout, "1 would be released, 0 refused")


@test
def no_place_for_the_record_is_told_what_to_do():
    with Fixture("unread=1") as made, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(UNCLOSED, folder)
        for home, words in (("/nonexistent", "opening the audit file /nonexistent/"), ("", "HOME is not set")):
            done = made.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                            "--inh-caps=-all,+sys_ptrace,+dac_read_search", "--ambient-caps=-all,+sys_ptrace,+dac_read_search",
                            "--bounding-set=-all,+sys_ptrace,+dac_read_search", copy, "release", "--pid", made.of("unread")[0]["pid"],
                            "--yes", env={**os.environ, "HOME": home, "XDG_STATE_HOME": ""})
            equal(done.returncode, 3, f"exit status: {done.stdout}{done.stderr}")
            has(done.stderr, words)
            has(done.stderr, "; name another with --audit=FILE")


@test
def colour_is_as_asked_for():
    with Fixture("unread=1") as made:
        for how, env, wanted in (([], {}, False), (["--colour=always"], {"NO_COLOR": "1"}, True),
                                 (["--colour=never"], {}, False)):
            done = release(f"--netns={made.netns}", *how, env=env)
            equal("\033[" in done.stdout, wanted, f"colour with {how}")
        equal(release("--pid=5", "--colour=x").returncode, 2, "no such word")


@test
def without_yes_nothing_is_done():
    with Fixture("unread=3", "half-closed-here", "idle=2") as made, Files() as files:
        before = made.ss(users=False)
        done = release(f"--netns={made.netns}", audit=files.audit)
        equal(done.returncode, 1, "exit status: one is refused")
        has(done.stdout, "4 would be released, 1 refused. Nothing was done")
        has(done.stdout, "recv_q 101")
        has(done.stdout, "this side has sent its FIN already; --reset ends it")
        same(made, before)
        equal(files.lines(), [], "audit lines")


@cases("4", "6", "mapped")
def a_shutdown_frees_both_sides(family):
    with Fixture("unread=6", "drained=4", "told=4", "shared=6", "idle=2", "busy=2", "replying=2",
                 family=family) as made, Files() as files:
        wanted = [m for m in made.sockets if m["state"] == "CLOSE_WAIT" and m["made"] != "replying"]
        others = {(m["local"], m["peer"]): m["state"] for m in made.sockets
                  if m["made"] in ("idle", "busy", "replying")}
        done = release(f"--netns={made.netns}", "--yes", "--json", audit=files.audit)
        equal((done.returncode, done.stderr), (0, ""), "exit status, errors")
        became = {o["socket"]["cookie"]: o for o in objects(done)}
        equal(set(became), {m["cookie"] for m in wanted}, "sockets released")
        for m in wanted:
            o = became[m["cookie"]]
            equal((o["phase"], o["result"], o["method"]), ("became", "done", "shutdown"), "object")
            equal((o["own"], o["peer"]), ({"before": "CLOSE_WAIT", "after": "gone"},
                                          {"before": "FIN_WAIT_2", "after": "TIME_WAIT"}), "ends")
            true(o["copied_from"]["pid"] in [h["pid"] for h in m["holders"]], f"copied from {o}")
        after = made.ss(users=False)
        for m in wanted:
            true((m["local"], m["peer"]) not in after, f"still there: {m}")
        equal({k: after[k]["state"] for k in others}, others, "the healthy")
        for pid in {h["pid"] for m in wanted for h in m["holders"]}:
            true(os.path.exists(f"/proc/{pid}"), "the holders live")
        check_audit(files.lines(), {m["cookie"] for m in wanted})


def check_audit(lines, cookies):
    """A line before and one after each, and in this order."""
    equal([o["phase"] for o in lines], ["before", "after"] * len(cookies), "phases")
    equal({o["socket"]["cookie"] for o in lines}, cookies, "cookies")
    for before, after in zip(lines[::2], lines[1::2]):
        equal(before["socket"], after["socket"], "the socket of both lines")
        true("result" not in before and after["result"] == "done", "results")
        true(before["time"] <= after["time"], "times")
        for o in (before, after):
            equal((o["schema"], o["uid"]), (1, os.getuid()), "schema and user")
            true(o["command"][0] == "unclosed release" and "--yes" in o["command"], o["command"])
            true(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", o["time"]), o["time"])


@test
def a_person_reads_what_became_of_it():
    with Fixture("unread") as made, Files() as files:
        done = release(f"--netns={made.netns}", "--yes", audit=files.audit)
        m = made.of("unread")[0]
        equal(done.returncode, 0, "exit status")
        has(done.stdout, f"shut down  {m['local']} {m['peer']}  CLOSE_WAIT unread")
        has(done.stdout, f"released   {m['local']} {m['peer']}  CLOSE_WAIT → gone; "
                         "its other end FIN_WAIT_2 → TIME_WAIT; "
                         f"process {m['pid']} still has fd {m['fd']} open")
        has(done.stdout, f"Recorded in {files.audit}")
        true("\033" not in done.stdout, "no colour into a file")


@cases("4", "6", "mapped")
def a_reset_ends_what_no_descriptor_reaches(family):
    causes = ("not-accepted", "no-descriptor", "half-closed-here", "peer-gone", "send-blocked", "orphan")
    with Fixture(*[f"{c}=4" for c in causes], "idle=2", family=family) as made, Files() as files:
        wait_for(lambda: all("backoff" in made.ss(users=False)[m["local"], m["peer"]]["line"]
                             for m in made.of("peer-gone")), "retransmissions")
        wanted = {m["cookie"] for m in made.sockets if m["cause"] in causes}
        idle = [m for m in made.sockets if m["made"] == "idle"]
        first = release(f"--netns={made.netns}", "--yes", f"--cause={','.join(causes)}",
                        audit=files.audit)
        equal(first.returncode, 1, "exit status of a shutdown")
        equal(files.lines(), [], "audit lines: nothing was done")
        done = release(f"--netns={made.netns}", "--yes", "--reset", "--json",
                       f"--cause={','.join(causes)}", audit=files.audit)
        equal((done.returncode, done.stderr), (0, ""), f"exit status, errors, {done.stdout}")
        equal({o["socket"]["cookie"] for o in objects(done)}, wanted, "sockets")
        true(all(o["result"] in ("done", "gone") for o in objects(done)), "results")
        true(all(o["own"]["after"] == "gone" for o in objects(done) if o["result"] == "done"),
             "ends")
        after = made.ss(users=False)
        true(not wanted & {s["cookie"] for s in after.values()}, "gone from ss")
        for m in idle:
            equal(after[m["local"], m["peer"]]["state"], "ESTABLISHED", "the healthy")


@test
def never_from_one_to_the_other():
    with Holder() as holder, Files() as files:
        holder.close_wait("a", "b")
        holder.close_wait("x", "y")
        end = holder("pair", "p", "q")[0]
        holder("shut", "p")
        wait_for(lambda: holder("state", "p") == FIN_WAIT2, "FIN_WAIT_2")
        pid = holder.process.pid
        equal(release(f"--pid={pid}", f"--port={end['local'].split(':')[1]}", "--state=FIN_WAIT_2",
                      "--yes", audit=files.audit).returncode, 1, "a shutdown cannot end FIN_WAIT_2")
        equal(holder("state", "p"), FIN_WAIT2, "so it is left")
        port = holder("pair", "u", "v")  # a third pair, to be sure of the port filter
        holder("shut", "v")
        wait_for(lambda: holder("state", "u") == CLOSE_WAIT, "CLOSE_WAIT")
        equal(release(f"--pid={pid}", f"--port={port[0]['local'].split(':')[1]}", "--cause=unread",
                      "--yes", audit=files.audit).returncode, 0, "exit status")
        equal(holder("read", "v"), {"data": 0, "error": 0}, "after a shutdown the peer reads the end")
        equal([holder("state", n) for n in "ax"], [CLOSE_WAIT] * 2, "other ports")
        equal(release(f"--pid={pid}", "--cause=unread", "--reset", "--yes",
                      audit=files.audit).returncode, 0, "exit status")
        equal(holder("read", "b")["error"], 104, "after a reset the peer reads ECONNRESET")


@test
def established_must_be_named():
    with Fixture("idle=2", "unread") as made, Files() as files:
        idle = made.of("healthy", made="idle", end="server")
        port = idle[0]["peer"].split(":")[1]
        before = made.ss(users=False)
        done = release(f"--netns={made.netns}", f"--port={port}", "--yes", audit=files.audit)
        equal((done.returncode, done.stdout), (0, "No socket matches.\n"), "not meant")
        same(made, before)
        done = release(f"--netns={made.netns}", f"--port={port}", "--state=ESTABLISHED", "--yes",
                       "--reset", audit=files.audit)
        equal(done.returncode, 0, f"exit status: {done.stdout}")
        true(not [k for k in made.ss(users=False) if f":{port}" in k[0] or f":{port}" in k[1]], "both ends gone")
        equal(made.ss(users=False)[idle[1]["local"], idle[1]["peer"]]["state"], "ESTABLISHED", "the other pair")


@test
def a_half_close_in_use_must_be_named():
    with Fixture("replying=2") as made, Files() as files:
        before = made.ss(users=False)
        done = release(f"--netns={made.netns}", "--state=CLOSE_WAIT", "--yes", audit=files.audit)
        same(made, before)
        equal((done.returncode, files.lines()), (1, []), f"exit status, record: {done.stdout}")
        has(done.stdout, "its holder still sends; --cause replying asks for it")


@test
def a_listener_is_never_released():
    with Fixture("idle") as made, Files() as files:
        before = made.ss(users=False)
        done = release(f"--netns={made.netns}", "--state=LISTEN", "--reset", "--yes",
                       audit=files.audit)
        same(made, before)
        equal(files.lines(), [], f"audit lines: {done.stdout}")


@test
def more_than_at_most_is_none():
    with Fixture("unread=5") as made, Files() as files:
        before = made.ss(users=False)
        done = release(f"--netns={made.netns}", "--at-most=4", "--yes", audit=files.audit)
        equal(done.returncode, 1, "exit status")
        has(done.stderr, "5 sockets qualify, more than --at-most=4: nothing was done")
        same(made, before)
        done = release(f"--netns={made.netns}", "--at-most=4", audit=files.audit)
        has(done.stderr, "5 sockets qualify, more than --at-most=4: nothing was done")
        true("would be released" not in done.stdout and "--yes" not in done.stdout, done.stdout)
        equal(release(f"--netns={made.netns}", "--at-most=5", "--yes",
                      audit=files.audit).returncode, 0, "exit status")


@test
def the_default_limit_is_a_hundred():
    with Fixture("unread=101") as made, Files() as files:
        done = release(f"--netns={made.netns}", "--yes", audit=files.audit)
        has(done.stderr, "101 sockets qualify, more than --at-most=100")
        equal(files.lines(), [], "audit lines")


@test
def younger_than_asked_is_left():
    with Fixture("unread=2") as made, Files() as files:
        done = release(f"--netns={made.netns}", "--older=1h", "--yes", audit=files.audit)
        equal((done.returncode, done.stdout), (0, "No socket matches.\n"), "answer")
        wait_for(lambda: release(f"--netns={made.netns}", "--older=1s", "--json").stdout, "age")
        equal(release(f"--netns={made.netns}", "--older=1s", "--yes",
                      audit=files.audit).returncode, 0, "exit status")
        equal(len(files.lines()), 4, "audit lines")


def refused(done, files, refusal):
    equal(done.returncode, 1, f"exit status: {done.stdout}{done.stderr}")
    equal({o.get("refusal") for o in objects(done)}, {refusal}, "refusals")
    equal(files.lines(), [], "audit lines")


@cases("", "--reset")
def ones_own_session_is_spared(how):
    with Fixture("unread=2", session=False) as made, Files() as files:
        before = made.ss(users=False)
        args = [f"--netns={made.netns}", "--yes", "--json"] + ([how] if how else [])
        refused(run(UNCLOSED, "release", *args, "--audit", files.audit), files, "session")
        same(made, before)
        done = run("setsid", "-w", UNCLOSED, "release", *args, "--audit", files.audit)
        equal(done.returncode, 0, f"from another session: {done.stdout}{done.stderr}")


@test
def the_ancestors_are_spared():
    """The shell that starts it holds the socket: bash, by its /dev/tcp."""
    with Fixture("unread", "half-closed-here") as made, Files() as files:
        port = made.of("unread")[0]["local"].split(":")[1]
        script = (f"exec 7<>/dev/tcp/127.0.0.1/{port}; exec 8>&7; "
                  f"setsid -w {shlex.quote(UNCLOSED)} release --state=ESTABLISHED --pid=$$ --yes --json "
                  f"--audit={files.audit}; echo status $? >&2")
        done = made.run("bash", "-c", script)
        has(done.stderr, "status 1")
        equal({o["refusal"] for o in objects(done)}, {"ancestor"}, "refusals")
        equal(files.lines(), [], "audit lines")


@test
def pid_1_is_spared():
    with Files() as files:
        done = in_pid_namespace(os.path.join(BUILD, "tests", "mkcause"), files)
        has(done.stderr, "status 1")
        equal({o["refusal"] for o in objects(done)}, {"init"}, "refusals")
        equal(files.lines(), [], "audit lines")


def in_pid_namespace(mkcause, files):
    """mkcause as pid 1 of a pid namespace of its own, and release beside it."""
    fifo = os.path.join(files.held.name, "fifo")
    os.mkfifo(fifo)
    script = (f"(while read -r line; do test \"$line\" = ready && break; done <{fifo}; "
              f"setsid -w {shlex.quote(UNCLOSED)} release --pid=1 --yes --json --audit={files.audit}; "
              f"echo status $? >&2; kill 1) & exec {shlex.quote(mkcause)} --netns unread >{fifo}")
    with subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as p:
        out, err = wait_keep(p)
    return subprocess.CompletedProcess([], p.returncode, out, err)


def wait_keep(p):
    """Reads to the end without closing standard input, which mkcause waits on."""
    out, err = p.stdout.read(), p.stderr.read()
    p.stdin.close()
    p.wait(30)
    return out, err


@test
def the_connection_of_the_session_is_spared():
    with Fixture("unread=2") as made, Files() as files:
        m = made.of("unread")[0]
        (ip, port), (peer, peer_port) = (a.split(":") for a in (m["local"], m["peer"]))
        done = release(f"--netns={made.netns}", "--yes", "--json", audit=files.audit,
                       env={"SSH_CONNECTION": f"{peer} {peer_port} {ip} {port}"})
        equal(done.returncode, 1, "exit status")
        lines = files.lines()
        equal({o["socket"]["cookie"] for o in lines}, {made.of("unread")[1]["cookie"]}, "released")
        true((m["local"], m["peer"]) in made.ss(users=False), "the session's connection")


@test
def a_full_disk_stops_it_before_it_acts():
    with Fixture("unread=3") as made, tempfile.TemporaryDirectory() as where:
        before = made.ss(users=False)
        script = (f"mount -t tmpfs -o size=8k none {where} && "
                  f"head -c 8192 /dev/zero >{where}/full; "
                  f"{shlex.quote(UNCLOSED)} release --netns={made.netns} --yes --audit={where}/a.jsonl; "
                  "echo status $?; "
                  f"stat -c 'size %s' {where}/a.jsonl")
        done = run("unshare", "--mount", "sh", "-c", script)
        has(done.stdout, "status 3")
        has(done.stdout, "size 0")
        has(done.stderr, "No space left on device")
        same(made, before)


@test
def a_disk_that_fills_up_ends_the_run_and_loses_no_line():
    with Fixture("unread=12") as made, tempfile.TemporaryDirectory() as where, Files() as files:
        script = (f"mount -t tmpfs -o size=16k none {where} && "
                  f"{shlex.quote(UNCLOSED)} release --netns={made.netns} --yes --json "
                  f"--audit={where}/a.jsonl >/dev/null; echo status $? >&2; cat {where}/a.jsonl")
        done = run("unshare", "--mount", "sh", "-c", script)
        has(done.stderr, "status 3")
        has(done.stderr, "No space left on device")
        lines = objects(done)
        released = 12 - len([s for s in made.ss(users=False).values() if s["state"] == "CLOSE_WAIT"])
        true(0 < released < 12, f"{released} of 12 were released")
        check_audit(lines, {o["socket"]["cookie"] for o in lines})
        equal(len(lines), 2 * released, "two lines for each that was released")


def traced(*strace, args):
    """Starts release under strace; the sanitizer's leak check cannot run there."""
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.Popen(["strace", "-qq", *strace, UNCLOSED, "release", *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


@test
def each_line_is_on_disk_before_the_next_step():
    with Fixture("unread=2") as made, Files() as files:
        trace = os.path.join(files.held.name, "trace")
        with traced("-e", "trace=fdatasync,shutdown", "-o", trace,
                    args=[f"--netns={made.netns}", "--yes", "--audit", files.audit]) as p:
            p.communicate(timeout=30)
            equal(p.returncode, 0, "exit status")
        with open(trace, encoding="utf-8") as f:
            calls = re.findall(r"^(\w+)\(", f.read(), re.M)
        equal(calls, ["fdatasync", "shutdown", "fdatasync"] * 2, "calls")


def paused(args):
    """Release, held for a moment between its first line of record and its first deed."""
    return traced("-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=600000:when=1",
                  "-o", "/dev/null", args=args)


def change_another(holder):
    holder.close_wait("other", "far")
    return holder("move", "s", "other")


def change_reconnect(holder):
    return holder("reconnect", "s")


def change_close(holder):
    holder("close", "s")


def change_shut(holder):
    holder("shut", "s")


def change_send(holder):
    holder("send", "s")


@cases(("another", "the descriptor is another socket now", CLOSE_WAIT),
       ("reconnect", "its peer was", ESTABLISHED),
       ("close", "Bad file descriptor", None),
       ("shut", "its state was CLOSE_WAIT and is", None),
       ("send", "in use", CLOSE_WAIT))
def what_has_changed_is_left_alone(change, text, state_then):
    with Holder() as holder, Files() as files:
        holder.close_wait()
        with paused([f"--pid={holder.process.pid}", "--cause=unread,drained", "--yes", "--json",
                     "--audit", files.audit]) as p:
            wait_for(lambda: len(files.lines()) == 1, "the first line of record")
            globals()["change_" + change](holder)
            out, err = p.communicate(timeout=30)
        last = files.lines()[-1]
        true(last["result"] in ("changed", "gone"), f"{last} {out} {err}")
        if last["result"] == "changed":
            has(last["error"], text)
            equal(p.returncode, 1, f"exit status: {out}{err}")
        if state_then:
            equal(holder("state", "s"), state_then, "the socket that is there now")


@test
def a_process_that_ended_is_nobody():
    with Files() as files:
        with Holder() as holder:
            holder.close_wait()
            with paused([f"--pid={holder.process.pid}", "--cause=unread", "--yes", "--audit",
                         files.audit]) as p:
                wait_for(lambda: len(files.lines()) == 1, "the first line of record")
                holder.process.kill()
                holder.process.wait()
                p.communicate(timeout=30)
        equal(files.lines()[-1]["result"], "changed", "result")


@test
def an_interrupt_ends_it_between_two_sockets():
    with Fixture("unread=3") as made, Files() as files:
        with paused([f"--netns={made.netns}", "--yes", "--audit", files.audit]) as p:
            wait_for(lambda: len(files.lines()) == 1, "the first line of record")
            child = wait_for(lambda: open(f"/proc/{p.pid}/task/{p.pid}/children",
                                          encoding="ascii").read().split(), "the traced process")
            os.kill(int(child[0]), signal.SIGINT)
            out, err = p.communicate(timeout=30)
        equal(p.returncode, -signal.SIGINT, f"ends by the signal: {out}{err}")
        equal([o["phase"] for o in files.lines()], ["before", "after"], "record")
        equal(len([s for s in made.ss(users=False).values() if s["state"] == "CLOSE_WAIT"]), 2, "left")
        has(err, "interrupted")


@test
def two_runs_do_not_mix():
    with Fixture("unread=2") as made, Files() as files:
        args = [f"--netns={made.netns}", "--yes", "--audit", files.audit]
        with paused(args) as p:
            wait_for(lambda: len(files.lines()) == 1, "the first line of record")
            second = release(*args)
            equal(second.returncode, 3, "exit status")
            has(second.stderr, "another release is at work")
            p.communicate(timeout=30)
        equal(len(files.lines()), 4, "lines")


@test
def without_privileges_it_says_so_and_leaves_it():
    with Fixture("unread=2") as made, Files() as files:
        before = made.ss(users=False)
        os.chmod(files.held.name, 0o777)
        port = made.of("unread")[0]["local"].split(":")[1]
        for how in ([], ["--reset"]):
            done = made.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", UNCLOSED,
                            "release", f"--port={port}", "--state=CLOSE_WAIT", "--yes", *how,
                            "--audit", files.audit)
            true(done.returncode in (1, 3), f"exit status: {done.stdout}{done.stderr}")
        same(made, before)


def veth_pair(a, b):
    """A link between the network namespaces of two processes: 10.9.0.1 and 10.9.0.2."""
    name = f"uc{a % 100000}"
    for words in ([f"ip link add {name} netns {a} type veth peer name {name} netns {b}"],
                  [f"nsenter --net=/proc/{a}/ns/net ip addr add 10.9.0.1/24 dev {name}"],
                  [f"nsenter --net=/proc/{b}/ns/net ip addr add 10.9.0.2/24 dev {name}"],
                  [f"nsenter --net=/proc/{a}/ns/net ip link set {name} up"],
                  [f"nsenter --net=/proc/{b}/ns/net ip link set {name} up"]):
        done = run("sh", "-c", words[0])
        equal(done.returncode, 0, done.stderr)


@test
def the_other_end_is_found_in_another_namespace():
    server = ("import socket,sys;s=socket.socket();s.bind(('10.9.0.1',0));s.listen();"
              "print(s.getsockname()[1],flush=True);c,_=s.accept();print('ok',flush=True);sys.stdin.read()")
    with Fixture("idle") as a, Fixture("idle") as b, Files() as files:
        veth_pair(a.pid, b.pid)
        with subprocess.Popen(a.command("python3", "-c", server), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, start_new_session=True) as s:
            port = int(s.stdout.readline())
            client = ("import socket,sys;c=socket.create_connection(('10.9.0.1'," + str(port) + "));"
                      "c.shutdown(1);print('ok',flush=True);sys.stdin.read()")
            with subprocess.Popen(b.command("python3", "-c", client), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, start_new_session=True) as c:
                equal((s.stdout.readline(), c.stdout.readline()), ("ok\n", "ok\n"), "ends")
                done = release(f"--port={port}", "--cause=unread", "--yes", "--json",
                               audit=files.audit)
                equal(done.returncode, 0, f"exit status: {done.stdout}{done.stderr}")
                o = objects(done)[0]
                equal(o["own"], {"before": "CLOSE_WAIT", "after": "gone"}, "own end")
                equal(o["peer"], {"before": "FIN_WAIT_2", "after": "TIME_WAIT"}, "other end")
                for p in (s, c):
                    p.stdin.close()


main()
