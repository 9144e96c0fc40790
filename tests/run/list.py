# SPDX-License-Identifier: MIT
"""`unclosed list` against sockets whose cause is known, with both tiers, and against ss and lsof."""
import collections
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fixture import Fixture  # noqa: E402
from tap import SANITIZED, binary, cases, equal, has, json_lines, main, run, test, true, wait_for, within  # noqa: E402

TIERS = ("bpf", "proc")
MANY = 12 if SANITIZED else 24  # of each cause, family and tier; a multiple of every cause's variants
FIELDS = ["schema", "state", "cause", "local", "peer", "age_ms", "age_is", "recv_q", "send_q", "cookie",
          "inode", "netns", "holders", "evidence", "needs_person"]


def listed(made, tier, *args, code=None):
    """The objects of `unclosed list --json` for the fixture's namespace, by cookie. Another test's look at the host
    may hold copies of sockets meanwhile, and rightly be named: then it is done again."""
    for _ in range(5):
        r = made.run(binary("unclosed"), "list", "--json", "--tier", tier, "--netns", made.netns, *args)
        equal(r.stderr, "", "stderr")
        true(r.returncode in ((0, 1) if code is None else (code,)), f"exit code {r.returncode}")
        found = json_lines(r.stdout)
        if "unclosed" not in (h["comm"] for s in found for h in s["holders"]):
            break
    by_cookie = {s["cookie"]: s for s in found}
    equal(len(by_cookie), len(found), "a socket is listed once")
    return by_cookie


def text(made, *args, **kw):
    r = made.run(binary("unclosed"), "list", "--netns", made.netns, *args, **kw)
    equal(r.stderr, "", "stderr")
    return r


def holders(s):
    return sorted((h["pid"], h["fd"], h["comm"]) for h in s["holders"])


def judge(made, found):
    """Every end that was made is told rightly, and nothing else is told."""
    found = dict(found)
    for m in made.sockets:
        s = found.pop(m["cookie"], None)
        if m["cause"] == "healthy":
            equal(s, None, f"an accusation of {m}")
            continue
        true(s, f"missed: {m}")
        equal(s["cause"], m["snapshot"] or m["cause"], f"cause of {m}: {s}")
        equal(s["state"], m["state"], f"state of {m}")
        equal(s["inode"], m["inode"], "inode")
        equal(holders(s), sorted((h["pid"], h["fd"], h["comm"]) for h in m["holders"]),
              f"holders of {m}")
        equal((s["local"], s["peer"]), (m["local"], m["peer"]), "addresses")
    equal(list(found.values()), [], "told, but not made")


@cases(*[(family, tier) for family in ("4", "6", "mapped") for tier in TIERS])
def every_cause_is_told_from_every_other(family, tier):
    """Many of each cause, mixed with healthy connections: no miss, no false accusation."""
    with Fixture(f"all={MANY}", family=family) as made:
        for _ in range(3):
            found = listed(made, tier)
            judge(made, found)
        for cause in sorted({m["cause"] for m in made.sockets}):
            told = collections.Counter(found[m["cookie"]]["cause"] for m in made.of(cause) if m["cookie"] in found)
            print(f"# {len(made.of(cause))} {cause}, found as {dict(told) or 'nothing'}")


@test
def both_tiers_say_the_same():
    """Cause, state, queues and holders are equal wherever both can see."""
    def essence(found):
        return {c: (s["state"], s["cause"], s["recv_q"], s["inode"], holders(s), s["netns"])
                for c, s in found.items() if s["cause"] != "replying"}
    with Fixture("all=6") as made:
        equal(essence(listed(made, "bpf")), essence(listed(made, "proc")), "tiers")


@test
def of_the_dead_both_tiers_tell_what_was():
    """Addresses, which ss cannot tell; that an error waits; what is unread. The error stays the program's."""
    program = """
import os, socket, struct, sys, select
def end(unread):
    l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname()); s, _ = l.accept()
    c.send(b"x" * unread); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if unread:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0)); c.shutdown(socket.SHUT_WR)
        s.shutdown(socket.SHUT_RDWR)
    c.close(); p = select.poll(); p.register(s, 0); p.poll(10000); return s
reset, done = end(0), end(7)
print(reset.fileno(), done.fileno(), flush=True); sys.stdin.readline()
print(reset.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), flush=True); sys.stdin.read()
"""
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec python3 -c "$0"', program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            reset, done = [int(word) for word in p.stdout.readline().split()]
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino
            seen = {}
            for tier in TIERS:
                r = run(binary("unclosed"), "list", "--json", "--netns", ino, "--tier", tier, "--cause", "dead")
                seen[tier] = {s["holders"][0]["fd"]: s for s in json_lines(r.stdout)}
                equal(set(seen[tier]), {reset, done}, "the dead")
            for fd in (reset, done):
                bpf, proc = seen["bpf"][fd], seen["proc"][fd]
                equal((proc["local"], proc["peer"]), (bpf["local"], bpf["peer"]), "addresses")
                true(bpf["local"] and bpf["peer"], f"addresses of {bpf}")
            equal((seen["bpf"][reset]["evidence"]["error"], seen["proc"][reset]["evidence"].get("error_waits")),
                  (errno.ECONNRESET, 1), "the error")
            equal((seen["bpf"][done]["evidence"]["error"], seen["proc"][done]["evidence"].get("error")), (0, 0),
                  "no error")
            equal((seen["bpf"][done]["recv_q"], seen["proc"][done]["recv_q"]), (8, 7), "unread, with and without FIN")
            p.stdin.write("\n")
            p.stdin.flush()
            equal(int(p.stdout.readline()), errno.ECONNRESET, "the program still gets its error")
        finally:
            p.stdin.close()
            p.wait(within(20))


@test
def ss_says_the_same():
    """State, queues and owners, for every connection that ss can see."""
    with Fixture("all=4") as made:
        seen = made.ss()
        found = listed(made, "bpf", "--state", "half-closed")
        for s in found.values():
            other = seen[s["local"], s["peer"]]
            equal(s["state"], other["state"], "state")
            equal(s["cookie"], other["cookie"], "cookie")
            equal(s["inode"], other["inode"], "inode")
            equal({(h["pid"], h["fd"]) for h in s["holders"]}, other["users"], "owners")
            if s["cause"] != "replying":
                equal((s["recv_q"], s["send_q"]), (other["recv_q"], other["send_q"]), "queues")
        half = {k for k, v in seen.items()
                if v["state"] in ("CLOSE_WAIT", "FIN_WAIT_1", "FIN_WAIT_2", "LAST_ACK", "CLOSING")}
        equal({(s["local"], s["peer"]) for s in found.values()}, half, "connections")


def lsof(made):
    """{(pid, fd): (state, local, peer)} of what lsof shows of TCP."""
    found, pid, fd, name = {}, 0, 0, None
    for line in made.run("lsof", "-nP", "-iTCP", "-F", "pfnT").stdout.splitlines():
        if line[0] == "p":
            pid = int(line[1:])
        elif line[0] == "f":
            fd = int(line[1:])
        elif line[0] == "n":
            name = line[1:]
        elif line.startswith("TST="):
            local, _, peer = name.partition("->")
            found[pid, fd] = (line[4:], local, peer)
    return found


@test
def lsof_says_the_same():
    """Every half-closed socket that somebody holds is lsof's, and lsof has no other."""
    names = {"FIN_WAIT1": "FIN_WAIT_1", "FIN_WAIT2": "FIN_WAIT_2"}
    with Fixture("all=4") as made:
        theirs = {k: (names.get(s, s), local, peer) for k, (s, local, peer) in lsof(made).items()
                  if s not in ("LISTEN", "ESTABLISHED", "CLOSED")}
        pids = {h["pid"] for m in made.sockets for h in m["holders"]}
        theirs = {k: v for k, v in theirs.items() if k[0] in pids}
        ours = {(h["pid"], h["fd"]): (s["state"], s["local"], s["peer"])
                for s in listed(made, "bpf", "--state", "half-closed").values() for h in s["holders"]}
        equal(ours, theirs, "held sockets")


@cases(*TIERS)
def not_accepted_names_the_listener(tier):
    with Fixture("not-accepted=5") as made:
        for m in made.of("not-accepted"):
            e = listed(made, tier)[m["cookie"]]["evidence"]
            equal((e["listener"], e["queue"], e["backlog"]),
                  (m["local"], m["listener"]["queue"], m["listener"]["backlog"]), "listener")
            equal([(o["pid"], o["fd"]) for o in e["owners"]],
                  [(m["listener"]["pid"], m["listener"]["fd"])], "its owner")


@cases(*TIERS)
def of_listeners_that_share_a_port_each_may_be_it(tier):
    """SO_REUSEPORT: the owner is named where only one can have it, else all that may; --pid means each."""
    program = """
import os, socket, sys, time
def listener(port=0):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind(("127.0.0.1", port))
    s.listen(100); return s
first = listener(); port = first.getsockname()[1]; r, w = os.pipe(); end, mine = os.pipe()
if not (pid := os.fork()):
    os.close(mine); first.close(); second = listener(port); os.write(w, b"x"); os.close(1); os.read(end, 1); os._exit(0)
os.read(r, 1)
def ready(s):
    import select
    return select.select([s], [], [], 0)[0]
made = 0
while True:                                  # until the first has one
    socket.create_connection(("127.0.0.1", port)).close(); made += 1
    if ready(first):
        break
    if made > 60: raise SystemExit("all went to one")
print(os.getpid(), pid, port, made, flush=True)
sys.stdin.readline()
while ready(first): first.accept()[0].close()    # what is left is the second's
print(flush=True); sys.stdin.read()
"""
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec python3 -c "$0"', program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            one, two, port, made = [int(word) for word in p.stdout.readline().split()]
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino

            def look(*args):
                return run(binary("unclosed"), "list", "--netns", ino, "--tier", tier, "--cause", "not-accepted", *args)
            first = json_lines(look("--json").stdout)
            equal(len(first), made, "connections")
            if made > 1:                     # both have some: 31 of 32 times
                for s in first:
                    equal({o["owners"][0]["pid"] for o in s["evidence"]["one_of"]}, {one, two}, "owners that may be")
                    true("listener" not in s["evidence"], "none is called certain")
                has(look().stdout, "one of 2 listeners: python3[")
                has(look("--columns", "listener").stdout, f"=python3[{one}]:")
                equal(len(json_lines(look("--json", "--pid", one).stdout)), made, "--pid of one")
                equal(len(json_lines(look("--json", "--pid", two).stdout)), made, "--pid of the other")
            p.stdin.write("\n")
            p.stdin.flush()
            p.stdout.readline()

            def sure():
                left = json_lines(look("--json").stdout)
                return all(s["age_ms"] > 1000 for s in left) and (left,)
            (left,) = wait_for(sure, "a second passes")
            equal(len(left), made - 1, "the first had one")
            for s in left:
                equal((s["evidence"]["listener"], s["evidence"]["owners"][0]["pid"]), (f"127.0.0.1:{port}", two),
                      "the only one with a queue")
        finally:
            p.stdin.close()
            p.wait(within(20))


@cases(*TIERS)
def the_object_has_exactly_the_promised_fields(tier):
    with Fixture("all=1") as made:
        for s in listed(made, tier).values():
            equal(list(s), FIELDS, "fields")
            equal(s["schema"], 1, "schema")
            true(s["age_is"] in ("exact", "at-least", "unknown"), s["age_is"])
            equal(s["age_ms"] is None, s["age_is"] == "unknown", "an age is given where it is known")
            equal(s["netns"], made.netns, "netns")
            true(s["evidence"], f"evidence of {s}")
            for h in s["holders"]:
                equal(list(h), ["pid", "comm", "fd"], "holder")


@cases(*TIERS)
def the_age_is_right(tier):
    """A FIN that nothing followed is as old as it is, to a few ticks, and grows."""
    with Fixture("unread=2", "drained=2") as made:
        first, second = listed(made, tier), listed(made, tier)
        for m in made.of("unread") + made.of("drained"):
            if m["end"] != "server":
                continue
            a, b = first[m["cookie"]], second[m["cookie"]]
            equal(a["age_is"], "exact", "age")
            true(b["age_ms"] >= a["age_ms"], f"{a['age_ms']} then {b['age_ms']}")
            true(b["age_ms"] < 30000, f"{b['age_ms']} ms")


@test
def filters_narrow():
    with Fixture("unread=2", "dead=1", "orphan=2") as made:
        every = listed(made, "bpf")
        m = made.of("unread", end="server")[0]

        def count(*args):
            got = listed(made, "bpf", *args)
            true(set(got) <= set(every), "a filter adds nothing")
            return len(got)
        equal(count("--state", "CLOSE_WAIT"), sum(s["state"] == "CLOSE_WAIT" for s in every.values()))
        equal(count("--cause", "dead"), 1, "dead")
        equal(count("--pid", m["pid"], "--cause", "unread"), 2, "by pid")
        equal(count("--pid", 1), 0, "another pid")
        equal(count("--peer", f"{m['peer'].rpartition(':')[0]}/8", "--pid", m["pid"], "--cause", "unread"), 2,
              "by prefix")
        equal(count("--comm", "mkcaus?", "--cause", "unread"), 2, "by name")
        equal(count("--comm", "python3"), 0, "another name")
        equal(count("--port", m["peer"].rpartition(":")[2]), 2, "by port: both ends")
        equal(count("--peer", m["peer"]), 1, "by peer")
        equal(count("--peer", "192.0.2.1"), 0, "another peer")
        equal(count("--older", "1h"), 0, "by age: the dead one had an ACK a moment ago")
        with open(f"/proc/{m['pid']}/cgroup", encoding="utf-8") as f:
            group = max((line.rstrip("\n").split(":", 2)[2] for line in f), key=len)
        equal(count("--cgroup", group, "--cause", "unread"), count("--cause", "unread"), "by cgroup")


@cases("list", "release")
def what_is_not_there_is_no_all_well(command):
    """A health check must not take a mistyped name for a quiet one."""
    thread = ("import os, threading; e = threading.Event(); t = threading.Thread(target=e.wait); t.start();"
              "print(t.native_id, flush=True); input(); e.set()")
    with subprocess.Popen([sys.executable, "-c", thread], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as p, Fixture("unread=1") as made:
        tid = p.stdout.readline().strip()
        for args, words in ((("--netns", "no-such"), "no network namespace 'no-such'"),
                            (("--pid", "2147483647"), "no process 2147483647"),
                            (("--pid", tid), f"{tid} is a thread"),
                            (("--comm", "mkcausf"), "no process is called 'mkcausf'"),
                            (("--comm", "no\x1b[31m"), "'no\\x1b[31m'"),
                            (("--cgroup", "no such"), "the part 'no such'")):
            for more in (() if command == "list" else ("--yes",), ("--json",)):
                r = run(binary("unclosed"), command, *args, *more)
                equal((r.returncode, r.stdout, r.stderr.count("\n")), (2, "", 1), f"{args}: {r.stdout}{r.stderr}")
                has(r.stderr, words)
                true("run as root" not in r.stderr, f"it is run as root: {r.stderr}")
        r = made.run(binary("unclosed"), command, "--netns", made.netns, "--pid", p.pid)
        equal((r.returncode, r.stderr), (0, ""), "there, and nothing is wrong with it")
        p.communicate("\n")


@test
def what_is_watched_may_go():
    """A namespace that was there when the watch began may end: the watch goes on."""
    with Fixture("unread=1") as made:
        argv = [binary("unclosed"), "list", "--watch", "100ms", "--netns", str(made.netns)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
            true(any("unread" in line for line in p.stdout), "first it is there")
            made.stop()
            true(any("No half-closed" in line for line in p.stdout), "then it is not")
            p.send_signal(signal.SIGINT)
            p.stdout.read()
            equal(p.wait(within(10)), 0, "exit code")


@test
def exit_codes_make_a_health_check():
    with Fixture("unread=3") as made:
        equal(text(made).returncode, 0, "younger than 60 s")
        equal(text(made, "--older", "0").returncode, 1, "with --older 0")
        equal(text(made, "--older", "1h").returncode, 0, "with --older 1h")
        equal(text(made, "--older", "0", "--more-than", "2").returncode, 1, "three are more than two")
        equal(text(made, "--older", "0", "--more-than", "3").returncode, 0, "not more than three")
    with Fixture("dead=1") as made:
        equal(text(made).returncode, 0, "a dead one that had an ACK a moment ago is no older than that")
        equal(text(made, "--older", "0").returncode, 1, "with --older 0")
        m = made.of("dead")[0]
        wait_for(lambda: listed(made, "bpf")[m["cookie"]]["evidence"]["last_ack_recv_ms"] > 1000, "a second passes")
        equal(text(made, "--older", "1s").returncode, 1, "its last ACK is older than that")
        for tier in TIERS:
            for older, needs in (("1s", True), ("1h", False), ("0", True)):
                found = listed(made, tier, "--older", older)
                equal([s["needs_person"] for s in found.values()], [True] if needs else [], f"--older {older}")
    with Fixture("replying=2", "time-wait=2", "orphan=2", "peer-gone=5") as made:
        equal(text(made, "--older", "0", "--cause", "replying,time-wait,orphan,peer-gone").returncode, 0,
              "what ends by itself needs nobody")


@test
def misuse_is_named():
    for args, words in ((("--older", "60"), "--older"), (("--state", "x"), "no state 'x'"),
                        (("--state", "CLOSE_WAI"), "did you mean CLOSE_WAIT?"),
                        (("--cause", "nosuch"), "say unread, drained, dead ...; `unclosed explain` lists all"),
                        (("--state", "half_close"), "did you mean half-closed?"),
                        (("--state", "CLOSE_WAIT,,"), "with commas"),
                        (("--state", "close\x1bwait"), "'close\\x1bwait'"),
                        (("--cause", "x"), "no cause 'x'"), (("--cause", "Unred"), "did you mean unread?"),
                        (("--peer", "x"), "'x' is no peer"), (("--peer", "10.0.0.0/33"), "is no peer"),
                        (("--columns", "x"), "no column 'x'"), (("--columns", "stat"), "did you mean state?"),
                        (("--columns", "state,,pid"), "no column ''"), (("--columns", ""), "no column ''"),
                        (("--watch", "2"), "100ms"), (("--watch", ""), "100ms"), (("--watch", "1ms"), "100ms"),
                        (("--tier", "x"), "no tier 'x'"), (("--more-than", "x"), "no number"),
                        (("x",), "'x' is not wanted"), (("--jsn",), "did you mean --json?")):
        r = run(binary("unclosed"), "list", *args)
        equal((r.returncode, r.stdout), (2, ""), f"{args}")
        equal(r.stderr.count("\n"), 1, "one line")
        if args[0] != "--older":
            has(r.stderr, words)


@cases(*TIERS)
def what_needs_a_person_is_marked(tier):
    """needs_person decides the exit code: it counts what --more-than counts."""
    with Fixture("all=2") as made:
        for older in ("0", "1h"):
            found = listed(made, tier, "--older", older)
            n = sum(s["needs_person"] for s in found.values())
            equal(n > 0, older == "0", "something needs a person")
            equal(text(made, "--tier", tier, "--older", older, "--more-than", n).returncode, 0, "not more than these")
            if n:
                equal(text(made, "--tier", tier, "--older", older, "--more-than", n - 1).returncode, 1, "one fewer")
            normal = {"replying", "closing", "peer-gone", "send-blocked", "orphan", "time-wait"}
            true(not any(s["needs_person"] for s in found.values() if s["cause"] in normal), "normal ones")
        found = listed(made, tier)
        true(not any(s["needs_person"] for s in found.values()), "younger than 60 s")


@test
def one_socket_is_no_plural():
    with Fixture("unread=1") as made:
        for cause, said in (("unread", "1 socket needs a person"), ("orphan", "1 socket, which needs no person")):
            r = text(made, "--older", "0", "--cause", cause)
            has(r.stdout.splitlines()[0], said)


@test
def the_summary_says_who_what_and_why():
    with Fixture("unread=7", "not-accepted=3", "time-wait=2") as made:
        pid = made.of("unread", end="server")[0]["pid"]
        r = text(made, "--older", "0")
        equal(r.returncode, 1, "exit code")
        lines = r.stdout.splitlines()
        has(lines[0], "sockets need a person")
        row = next(i for i, line in enumerate(lines) if f"mkcause[{pid}]" in line and "unread" in line)
        equal(lines[row].split()[:3], ["7", "CLOSE_WAIT", "unread"], "row")
        has(lines[row + 1], "read until 0, then close", "what to do")
        has(r.stdout, "3 of at most", "the listener's queue")
        has(r.stdout, "2 in TIME_WAIT, which is normal")
        has(r.stdout, "Looked with BPF in 1 network namespace.")
        rows = [line.split() for line in lines if re.match(r" +\d+  [A-Z]", line)]
        equal([(row[0], row[2]) for row in rows], [("7", "unread"), ("3", "not-accepted"), ("10", "orphan")],
              "the worst comes first, the normal last")


@test
def time_wait_is_held_against_the_ephemeral_ports():
    program = """
import socket
l = socket.create_server(("127.0.0.1", 0), backlog=128)
for _ in range(50):
    c = socket.create_connection(l.getsockname()); s, _ = l.accept()
    c.shutdown(socket.SHUT_WR); s.recv(1); s.close(); c.recv(1); c.close()
print(l.getsockname()[1], flush=True)
import sys; sys.stdin.read()
"""
    argv = ["unshare", "--net", "sh", "-c", "ip link set lo up && sysctl -qw "
            "net.ipv4.ip_local_port_range='50000 50999' && exec python3 -c \"$0\"", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            port = int(p.stdout.readline())
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino
            r = run(binary("unclosed"), "list", "--netns", ino)
            has(r.stdout, f"50  to 127.0.0.1:{port} from 127.0.0.1: 5.0 % of 1000 ephemeral ports")
            equal(r.returncode, 0, "normal")
        finally:
            p.stdin.close()
            p.wait(within(20))


@cases(*TIERS)
def a_subflow_of_mptcp_is_shown_as_such(tier):
    """Its holder has a socket of another protocol, with the same inode."""
    program = """
import os, socket, sys
l = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); l.bind(("127.0.0.1", 0)); l.listen()
c = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); c.connect(l.getsockname()); s, _ = l.accept()
c.send(b"x"); s.recv(1)
print(os.getpid(), c.fileno(), s.fileno(), flush=True); sys.stdin.read()
"""
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec python3 -c "$0"', program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            pid, *fds = [int(word) for word in p.stdout.readline().split()]
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino
            r = run(binary("unclosed"), "list", "--json", "--netns", ino, "--tier", tier, "--state", "ESTABLISHED")
            found = json_lines(r.stdout)
            equal([s["evidence"] for s in found], [{"mptcp": True}] * 2, "marked")
            equal(sorted((h["pid"], h["fd"]) for s in found for h in s["holders"]),
                  sorted((pid, fd) for fd in fds), "holders")
        finally:
            p.stdin.close()
            p.wait(within(20))


@cases(*[(family, tier) for family in ("4", "6") for tier in TIERS])
def a_half_close_of_mptcp_is_seen(family, tier):
    """It is a DATA_FIN: the subflows stay ESTABLISHED, the connection is in CLOSE_WAIT and FIN_WAIT_2."""
    program = """
import os, socket, sys
family, any = (socket.AF_INET6, "::1") if sys.argv[1] == "6" else (socket.AF_INET, "127.0.0.1")
l = socket.socket(family, socket.SOCK_STREAM, 262); l.bind((any, 0)); l.listen()
def pair(word):
    c = socket.socket(family, socket.SOCK_STREAM, 262); c.connect(l.getsockname()); s, _ = l.accept()
    c.send(b"x"); s.recv(1)
    c.send(word); c.shutdown(socket.SHUT_WR)
    return c, s
c, s = pair(b""); C, S = pair(b"unread"); idle = socket.socket(family, socket.SOCK_STREAM, 262)
idle.connect(l.getsockname()); other = l.accept()
print(os.getpid(), c.fileno(), s.fileno(), C.fileno(), S.fileno(), flush=True)
sys.stdin.readline()
def reply():
    import time
    while True: s.send(b"reply"); time.sleep(0.01)
import threading; threading.Thread(target=reply, daemon=True).start()
print(flush=True); sys.stdin.read()
"""
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec python3 -c "$0" "$1"', program, family]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as p:
        try:
            pid, *fds = [int(word) for word in p.stdout.readline().split()]
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino

            def look(*args):
                return run(binary("unclosed"), "list", "--netns", ino, "--tier", tier, *args)

            def by_fd():
                return {s["holders"][0]["fd"]: s for s in json_lines(look("--json").stdout)}
            wait_for(lambda: len(by_fd()) == 4, "two half-closed connections")
            found = by_fd()
            equal([(found[fd]["state"], found[fd]["cause"]) for fd in fds],
                  [("FIN_WAIT_2", "half-closed-here"), ("CLOSE_WAIT", "drained"),
                   ("FIN_WAIT_2", "half-closed-here"), ("CLOSE_WAIT", "unread")], "ends, but not the idle one's")
            true(all(s["evidence"]["mptcp_connection"] for s in found.values()), "marked")
            equal({h["pid"] for s in found.values() for h in s["holders"]}, {pid}, "holder")
            has(look("--columns", "evidence").stdout, "mptcp_connection=1")
            first = found[fds[1]]
            if first["age_is"] != "unknown":    # Linux 6.10 and later
                wait_for(lambda: by_fd()[fds[1]]["age_ms"] > first["age_ms"] + 50, "it grows older")
                equal(look("--older", "0").returncode, 1, "it can need a person")
                p.stdin.write("reply\n")
                p.stdin.flush()
                p.stdout.readline()
                equal(by_fd()[fds[1]]["cause"], "replying", "what still sends is no leak")
            r = run(binary("unclosed"), "release", "--netns", ino, "--cause", "unread", "--reset")
            equal(r.returncode, 1, "release refuses")
            has(r.stdout, "only its program can end it")
        finally:
            p.stdin.close()
            p.wait(within(20))


BOUND = """
import array, os, socket, sys
lo = socket.if_nametoindex("lo")
listener = socket.socket(socket.AF_INET6); listener.bind(("fe80::1", 0, 0, lo)); listener.listen()
def pair():
    c = socket.socket(socket.AF_INET6); c.connect(listener.getsockname()[:3] + (lo,)); return c, listener.accept()[0]
c, s = pair(); c.close(); here, there = socket.socketpair(socket.AF_UNIX)
here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))]); s.close()
blocked, deaf = pair(); blocked.setblocking(False)
try:
    while True: blocked.send(b"x" * 65536)
except BlockingIOError: pass
blocked.shutdown(socket.SHUT_WR)
gone, held = pair(); gone.close(); done, read = pair(); done.close(); read.recv(1)
print(blocked.fileno(), held.fileno(), read.fileno(), flush=True); sys.stdin.read()
"""


@cases(*TIERS)
def what_is_bound_to_an_interface_is_found_again(tier):
    """Link-local: no look-up without the interface finds it, neither for a second look nor for release."""
    argv = ["unshare", "--net", "sh", "-c",
            'ip link set lo up && ip addr add fe80::1/64 dev lo nodad && exec python3 -c "$0"', BOUND]
    with tempfile.TemporaryDirectory() as folder, \
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             start_new_session=True) as p:
        try:
            blocked, held, read = [int(word) for word in p.stdout.readline().split()]
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino

            def look():
                r = run(binary("unclosed"), "list", "--json", "--tier", tier, "--netns", ino, "--state",
                        "CLOSE_WAIT,FIN_WAIT_1")
                return {s["holders"][0]["fd"] if s["holders"] else None: s["cause"] for s in json_lines(r.stdout)}
            wait_for(lambda: look().get(blocked) == "send-blocked", "a window that is shut")
            found = look()
            equal(found, {None: "no-descriptor", blocked: "send-blocked", held: "unread", read: "drained"}, "causes")
            for cause, how in (("no-descriptor", ["--reset"]), ("drained", ["--reset"]), ("unread", [])):
                r = run(binary("unclosed"), "release", "--json", "--netns", ino, "--cause", cause, *how, "--yes",
                        "--audit", os.path.join(folder, "audit"))
                (o,) = json_lines(r.stdout)
                equal((r.returncode, o["result"], o["own"]["before"], o["own"]["after"]),
                      (0, "done", "CLOSE_WAIT", "gone"), f"release of {cause}: {r.stderr}")
        finally:
            p.stdin.close()
            p.wait(within(20))


@test
def columns_are_for_scripts():
    with Fixture("unread=2", "shared=1") as made:
        r = text(made, "--columns", "cause,pid,fd,cookie,peer", "--cause", "unread", "--older", "0")
        heading, *rows = [line.split("\t") for line in r.stdout.splitlines()]
        equal(heading, ["CAUSE", "PID", "FD", "COOKIE", "PEER"], "heading")
        made_rows = {("unread", str(m["pid"]), str(m["fd"]), str(m["cookie"]), m["peer"])
                     for m in made.of("unread")}
        true(made_rows <= {tuple(r) for r in rows}, f"{made_rows} in {rows}")
        r = text(made, "--columns", "cause", "--no-heading", "--cause", "shared")
        equal(r.stdout, "shared\n", "without a heading")
        names = "state cause age recv-q send-q local peer pid comm fd netns container cgroup inode cookie " \
                "age-ms age-is holders listener evidence".split()
        r = text(made, "--columns", ",".join(names))
        true(all(len(line.split("\t")) == len(names) for line in r.stdout.splitlines()), "every cell is there")


@test
def sockets_are_shown_one_a_line():
    with Fixture("unread=3", "not-accepted=1") as made:
        r = text(made, "--sockets", "--cause", "unread,not-accepted")
        for m in made.of("unread") + made.of("not-accepted"):
            line = next(li for li in r.stdout.splitlines() if m["peer"] in li.split() and m["local"] in li.split())
            equal(line.split()[:2], ["CLOSE_WAIT", m["cause"]], "line")
            for h in m["holders"]:
                has(line, f"{h['comm']}[{h['pid']}]:{h['fd']}")


@test
def names_of_others_cannot_write_on_the_terminal():
    """A process may call itself anything: nothing of it reaches the terminal or breaks the JSON."""
    name = b"\x1b[31m\"\\\n\xff\x9bx"
    program = ("import socket,sys,ctypes; ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0);"
               "l=socket.create_server(('127.0.0.1',0)); c=socket.create_connection(l.getsockname());"
               "s,_=l.accept(); c.close(); print(flush=True); sys.stdin.read()")
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec python3 -c "$0" "$1"', program, name.hex()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            p.stdout.readline()
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino
            for args in ([], ["--sockets"], ["--columns", "comm,netns,cgroup,holders"], ["--json"]):
                for tier in TIERS:
                    r = run(binary("unclosed"), "list", "--netns", ino, "--tier", tier, *args, text=False,
                            errors=None)
                    true(r.stdout, "output")
                    bad = [b for b in r.stdout.decode() if ord(b) < 32 and b not in "\n\t" or ord(b) == 0x9b]
                    equal(bad, [], f"unsafe bytes in {args}")
                    if args == ["--json"]:
                        comms = {h["comm"] for li in r.stdout.splitlines() for h in json.loads(li)["holders"]}
                        equal(comms, {"\\x1b[31m\"\\\\\\n\\xff\\x9bx"}, "name")
        finally:
            p.stdin.close()
            p.wait(within(20))


@test
def all_namespaces_are_seen_at_once():
    """Without a filter the fixtures of two namespaces are there, each with its own inode."""
    with Fixture("unread=2") as one, Fixture("unread=2", family="6") as two:
        r = run(binary("unclosed"), "list", "--json", "--state", "CLOSE_WAIT")
        found = {s["cookie"]: s for s in json_lines(r.stdout)}
        for made in (one, two):
            for m in made.of("unread", end="server"):
                equal(found[m["cookie"]]["netns"], made.netns, "netns")
        r = run(binary("unclosed"), "list", "--columns", "cookie,netns", "--state", "CLOSE_WAIT")
        has(r.stdout, f"mkcause[{one.pid}]", "a namespace is named by what lives in it")


@test
def who_may_see_less_is_told_so():
    """Without privileges: own namespace, own descriptors; and it says what it could not see."""
    with tempfile.TemporaryDirectory() as folder, Fixture("unread=3", "no-descriptor=2") as made:
        os.chmod(folder, 0o755)
        copy = shutil.copy(binary("unclosed"), folder)
        argv = made.command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                            "--bounding-set=-all", "--inh-caps=-all", copy, "list")
        r = run(*argv, "--older", "0")
        has(r.stdout, "Looked with sock_diag and /proc in 1 network namespace.")
        has(r.stdout, "Not with BPF: ")
        unseen = re.search(r"Not seen: the descriptors of (\d+) process(?:es)? \(user ", r.stdout)
        true(unseen, r.stdout)
        threads = sum(not os.path.exists(f"/proc/{pid}/exe") for pid in os.listdir("/proc") if pid.isdigit())
        processes = sum(pid.isdigit() for pid in os.listdir("/proc"))
        true(abs(processes - threads - int(unseen[1])) < 40, f"{unseen[1]} of {processes}, {threads} of the kernel")
        true(re.search(r"Not seen: other network namespaces in which \d+ process(es)? may be( \([\d, ]+\))?\.", r.stdout),
             r.stdout)
        has(r.stdout, "Run as root to see all.")
        for how in ("--json", "--sockets", "--columns=cause"):
            has(run(*argv, how).stderr, "not seen: the descriptors of ")
        has(r.stdout, "nobody seen")
        found = {s["cookie"]: s for s in json_lines(run(*argv, "--json").stdout)}
        for m in made.of("unread", end="server"):
            equal((found[m["cookie"]]["cause"], found[m["cookie"]]["holders"]), ("unread", []), "unseen owner")
        for m in made.of("no-descriptor"):
            true(found[m["cookie"]]["cause"] != "no-descriptor", "no accusation without proof")
        r = run(*argv, "--tier", "bpf")
        equal(r.returncode, 3, "BPF is not to be had")
        has(r.stderr, "CAP_BPF")


@test
def what_may_not_be_looked_into_is_no_all_well():
    """As nobody, of a process of root's: not "healthy", and not "no such process"."""
    with tempfile.TemporaryDirectory() as folder, Fixture("unread=2") as made:
        os.chmod(folder, 0o755)
        copy = shutil.copy(binary("unclosed"), folder)
        pid = made.of("unread")[0]["pid"]
        port = made.of("unread")[0]["local"].rpartition(":")[2]
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
            group = max((line.rstrip("\n").split(":", 2)[2] for line in f), key=len)

        def nobody(*args, command="list"):
            return made.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
                            "--inh-caps=-all", copy, command, *args)
        for how in ([], ["--json"], ["--columns=pid"], ["--sockets"]):
            r = nobody("--pid", pid, *how)
            equal((r.returncode, r.stdout), (3, ""), f"nothing is shown with {how}")
            has(r.stderr, f"may not see process {pid}'s descriptors; run as root")
        for names in (["--comm=mkcause"], [f"--comm=mkcaus?", f"--port={port}"], [f"--cgroup={group}"]):
            r = nobody(*names)
            equal((r.returncode, r.stdout), (3, ""), f"nothing is shown of {names}")
            has(r.stderr, "may not see ")
            has(r.stderr, "; run as root")
        for how in ([], ["--yes"]):
            r = nobody("--pid", pid, *how, command="release")
            equal((r.returncode, r.stdout), (3, ""), "release")
            has(r.stderr, f"may not see process {pid}'s descriptors; run as root")
        equal(nobody("--port", port, "--older", "0").returncode, 1, "a filter that names no process")
        equal(nobody("--comm", "setpriv").returncode, 2, "nobody is called so: it is unclosed by then")
        own = nobody("--comm", "unclosed")
        true(own.returncode == 0 or "may not see" in own.stderr, f"its own are seen: {own.stderr}")


@test
def the_ports_are_those_of_the_service():
    """With one socket, too, whose two ports are as many: the one that it was connected to."""
    program = """
import socket, sys
a = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(a.getsockname()); a.accept()[0].close()
b = socket.create_server(("127.0.0.1", 0)); socket.create_connection(b.getsockname()).close(); s, _ = b.accept(); s.recv(1)
print(a.getsockname()[1], b.getsockname()[1], flush=True); sys.stdin.readline()
d = socket.create_connection(a.getsockname()); a.accept()[0].close(); print(flush=True); sys.stdin.read()
"""
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec python3 -c "$0"', program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            client, server = p.stdout.readline().split()
            ino = os.stat(f"/proc/{p.pid}/ns/net").st_ino

            def ports():
                out = run(binary("unclosed"), "list", "--netns", ino, "--state", "CLOSE_WAIT").stdout
                return {li.split()[2]: li.rpartition("  ")[2] for li in out.splitlines() if "CLOSE_WAIT" in li}
            equal(ports(), {"unread": f"→ :{client}", "drained": f":{server}"}, "one each")
            p.stdin.write("\n")
            p.stdin.flush()
            p.stdout.readline()
            equal(ports()["unread"], f"→ :{client}", "two")
        finally:
            p.stdin.close()
            p.wait(within(20))


@test
def what_a_missing_capability_hides_is_told():
    """With BPF, but without the right to enter other namespaces or to know whose a process is in."""
    with tempfile.TemporaryDirectory() as folder, Fixture("unread=1", "not-accepted=1", netns=True) as made:
        os.chmod(folder, 0o755)
        copy = shutil.copy(binary("unclosed"), folder)
        for caps, words in (("+bpf,+perfmon,+sys_ptrace", "Not seen: "),
                            ("+bpf,+perfmon", "Not seen: other network namespaces in which ")):
            r = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps=-all,{caps}",
                    f"--ambient-caps=-all,{caps}", f"--bounding-set=-all,{caps}", copy, "list")
            has(r.stdout, "Looked with BPF in 1 network namespace.")
            has(r.stdout, words)
            has(r.stdout, "Run as root to see all.")
            true(re.search(r"Not seen: (\d+ other network namespace|other network namespaces in which)", r.stdout),
                 r.stdout)
            row = next((li for li in r.stdout.splitlines() if f"mkcause[{made.pid}]" in li and "unread" in li), None)
            true(row, f"what a descriptor refers to is seen everywhere: {r.stdout}")


ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")  # the leak check cannot trace what is traced


@cases("ENOBUFS", "EAGAIN", "EIO")
def a_broken_answer_makes_it_partial(error):
    """strace breaks the kernel's answer: what came is shown, marked partial, with its exit code."""
    with Fixture("unread=1") as made:
        for when, code in (("1+", 3), ("2", 3)):
            r = made.run("strace", "-qq", "-o", "/dev/null", "-e", f"inject=recvfrom:error={error}:when={when}",
                         binary("unclosed"), "list", "--tier", "proc", "--netns", made.netns, env=ENV)
            equal(r.returncode, code, f"exit code: {r.stdout} {r.stderr}")
            has(r.stdout, "Partial: ")
            r = made.run("strace", "-qq", "-o", "/dev/null", "-e", f"inject=recvfrom:error={error}:when={when}",
                         binary("unclosed"), "list", "--json", "--netns", made.netns, env=ENV)
            has(r.stderr, "partial: ")
            equal(r.returncode, code, "exit code")
            json_lines(r.stdout)


@cases(*TIERS)
def an_interrupted_call_is_made_again(tier):
    with Fixture("unread=1", "orphan=1") as made:
        for when in ("1", "2", "1+2"):
            r = made.run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject=recvfrom:error=EINTR:when={when}",
                         binary("unclosed"), "list", "--tier", tier, "--netns", made.netns, env=ENV)
            equal(r.returncode, 0, f"exit code: {r.stdout} {r.stderr}")
            has(r.stdout, "unread")
            true("Partial" not in r.stdout, r.stdout)


@test
def findings_outrank_a_partial_picture():
    with Fixture("unread=2") as made:
        r = made.run("strace", "-qq", "-o", "/dev/null", "-e", "inject=recvfrom:error=ENOBUFS:when=1",
                     binary("unclosed"), "list", "--tier", "proc", "--older", "0", "--netns", made.netns, env=ENV)
        has(r.stdout, "Partial: ")
        equal(r.returncode, 1, "what was seen is proven")


@test
def watch_redraws_until_interrupted():
    with Fixture("unread=2") as made:
        argv = made.command(binary("unclosed"), "list", "--watch", "100ms", "--netns", made.netns)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
            seen = 0
            for line in p.stdout:
                seen += "Looked with" in line
                if seen == 3:
                    break
            p.send_signal(signal.SIGINT)
            rest = p.stdout.read()
            equal(p.wait(within(10)), 0, "exit code")
            true("\033[" not in rest, "no terminal codes where there is no terminal")


@test
def help_and_version():
    r = run(binary("unclosed"), "list", "--help")
    equal((r.returncode, r.stderr), (0, ""), "--help")
    for word in ("--state", "--cause", "--pid", "--comm", "--port", "--peer", "--older", "--netns",
                 "--cgroup", "--watch", "--json", "--sockets", "--columns", "--more-than"):
        has(r.stdout, word)
    true(all(len(line) <= 80 for line in r.stdout.splitlines()), "80 columns")
    equal(run(binary("unclosed"), "list", "--version").returncode, 0, "--version")


main()
