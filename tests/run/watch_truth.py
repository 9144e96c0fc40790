# SPDX-License-Identifier: MIT
"""What unclosed watch says of ends whose truth is known, and of what it lost."""
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fixture import Fixture  # noqa: E402
from tap import binary, cases, equal, has, json_lines, main, run, test, true, wait_for  # noqa: E402
from watching import HERE, Watch, name  # noqa: E402

# What the watch reports, and what the kernel finishes alone or is no fault of anybody.
CAUSES = ("unread", "told", "drained", "not-accepted", "shared", "no-descriptor", "replying",
          "peer-gone", "send-blocked", "half-closed-here", "dead")
N = 6  # a multiple of every cause's number of variants


def reports(watch, netns):
    """The watch's reports of one network namespace: {(local, peer): line}; the last one counts."""
    for x in map(json.loads, watch.news(f'"netns":{netns},')):
        if x["event"] == "half-closed" and x["netns"] == netns:
            watch.told_of[x["local"], x["peer"]] = x
    return dict(watch.told_of)


def spoken_for(said, made):
    """The line of this end, or of the end that holds the connection while this one waits."""
    line = said.get((made["local"], made["peer"]))
    if line or made["state"] not in ("FIN_WAIT_1", "FIN_WAIT_2"):
        return line
    line = said.get((made["peer"], made["local"]))
    # Of those taken in the last packet counts, which the waiting end may have had later: it comes due
    # after the line, which then does not name it.
    return line if line and (line["closer"] or line["age_is"] == "at-least") else None


def all_reported(watch, netns, want):
    """Waits for a report of every end, and gives the reports."""
    missing = want

    def look():
        nonlocal missing
        said = reports(watch, netns)
        missing = [m for m in want if not spoken_for(said, m)]
        return None if missing else said
    try:
        return wait_for(look, "a report of every end", 40)
    except AssertionError:
        raise AssertionError(f"not reported: {missing}") from None


def matches(lines, made, cause):
    said = spoken_for(lines, made)
    if said["local"] != made["local"] or said["peer"] != made["peer"]:
        closer = said["closer"]
        if not closer and said["age_is"] == "at-least":
            return
        true(said["state"] in ("CLOSE_WAIT", "LAST_ACK"), f"{said['state']} speaks for {made}")
        equal(closer["state"], made["state"], f"state of {made}")
        equal(closer["cookie"], made["cookie"], f"cookie of {made}")
        equal({(h["pid"], h["fd"]) for h in closer["holders"]},
              {(h["pid"], h["fd"]) for h in made["holders"]}, f"holders of {made}, said {said}")
        return
    equal(said["cause"], cause, f"cause of {made}, said {said}")
    equal(said["state"], made["state"], f"state of {made}")
    equal(said["inode"], made["inode"], f"inode of {made}")
    if made["cause"] == "not-accepted":
        equal([(h["pid"], h["fd"]) for h in said["listeners"]],
              [(made["listener"]["pid"], made["listener"]["fd"])], f"listener of {made}")
    else:
        equal({(h["pid"], h["fd"]) for h in said["holders"]},
              {(h["pid"], h["fd"]) for h in made["holders"]}, f"holders of {made}, said {said}")


def expected(made):
    """The ends that a watch reports: held, or waiting in an accept queue."""
    return [m for m in made.sockets if m["cause"] in CAUSES
            and (m["holders"] or m["cause"] in ("not-accepted", "no-descriptor"))]


@cases("4", "6")
def each_cause_that_comes_up_is_told(family):
    with Watch("--new", "--after", "1s", "--json", "--no-stacks") as w:
        w.ready()
        with Fixture(*[f"{c}={N}" for c in CAUSES if c != "replying"], family=family) as made:
            want = expected(made)
            true(len(want) >= N * (len(CAUSES) - 1), f"only {len(want)} ends were made")
            said = all_reported(w, made.netns, want)
            for m in want:
                matches(said, m, m["cause"])
            closers = [m for m in want if m["cause"] == "half-closed-here" and
                       (m["peer"], m["local"]) in {(x["local"], x["peer"]) for x in want
                                                   if x["state"] == "CLOSE_WAIT"}]
            true(closers, "a connection with both ends held")
            equal([m for m in closers if (m["local"], m["peer"]) in said], [], "second lines")
            for m in (m for m in want if m["cause"] == "told"):
                equal(said[m["local"], m["peer"]]["told"]["pid"], m["holders"][0]["pid"], "told")


@test
def one_that_still_sends_is_replying():
    """The fixture begins to send once all its ends are made, which the threshold leaves time for."""
    with Watch("--new", "--after", "1500ms", "--json", "--no-stacks") as w:
        w.ready()
        with Fixture(f"replying={N}") as made:
            want = expected(made)
            said = all_reported(w, made.netns, want)
            for m in want:
                matches(said, m, "replying")


@test
def each_cause_that_was_there_is_taken_in():
    with Fixture(*[f"{c}={N}" for c in CAUSES]) as made, \
            Watch("--after", "400ms", "--json", "--no-stacks") as w:
        # Data keep coming to the end that waits for a reply: it may come due after the other's line.
        want = [m for m in expected(made) if (m["made"], m["state"]) != ("replying", "FIN_WAIT_2")]
        said = all_reported(w, made.netns, want)
        for m in want:
            if m["cause"] not in ("replying", "send-blocked"):
                matches(said, m, m["snapshot"])


@test
def nothing_is_said_of_what_is_healthy():
    with Watch("--new", "--after", "100ms", "--json") as w:
        w.ready()
        with Fixture(f"idle={N}", f"busy={N}", f"pool={N}", f"unconnected={N}", f"unread={N}") as made:
            bad = {(m["local"], m["peer"]) for m in made.sockets if m["cause"] == "unread"}
            said = wait_for(lambda: (r := reports(w, made.netns)) and bad <= set(r) and r,
                            "the unread ones", 20)
            equal(set(said) - bad, set(), "said besides")


def pair(listener):
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]


SCENARIO = """
scenario { title = "One end waits", source = "a test", shows = "Who waits, and how long." }
local daytimed = server:run("daytimed", "--user=none", %s server.port)
local daytime = client:run("daytime", %s server.address, daytimed:listens())
daytime:exits(0)
expect(%s, "gone")
"""

WAYS = {  # who waits: the words of daytimed and daytime; the waiter's program and its end; whether it is told
    "client": ("", '"--until=end", "--after-reply=hold:700ms",', "daytime", "client", True),
    "server": ('"--after-reply=hold:700ms",', "", "daytimed", "server", False),
}
AGREE_MS = 1  # between the lab's account and the watch's


def lab_moment(run_of, **fields):
    """When, in seconds since 1970, the lab saw this."""
    row = next(r for r in run_of["timeline"] if all(r.get(k) == v for k, v in fields.items()))
    return run_of["started_ns"] / 1e9 + row["t_us"] / 1e6


def fin_from(run_of, end):
    """When the wire carried the end's FIN."""
    row = next(r for r in run_of["timeline"] if r["kind"] == "packet" and r["from"] == end and "FIN" in r["flags"])
    return run_of["started_ns"] / 1e9 + row["t_us"] / 1e6


class Apart(Exception):
    """Two moments that should be one."""


def agree(what, lab, watch):
    if abs(lab - watch) * 1000 > AGREE_MS:
        raise Apart(f"{what}: {lab:.6f} by the lab, {watch:.6f} by the watch")


@cases(*WAYS)
def the_lab_and_the_watch_agree(way):
    """On a busy machine the lab's process may be put off between a packet and its note of it: of three
    runs one has to agree."""
    for attempt in range(3):
        try:
            compare_accounts(way)
            return
        except Apart as apart:
            true(attempt < 2, str(apart))


def compare_accounts(way):
    """Of one connection: when the FIN came, who was told, when, where, and how long it took."""
    server, client, comm, end, told = WAYS[way]
    with tempfile.TemporaryDirectory() as folder, \
            Watch("--new", "--after", "100ms", "--json", "--port", "13") as w:
        with open(f"{folder}/waits.lua", "w", encoding="utf-8") as f:
            f.write(SCENARIO % (server, client, end))
        w.ready()
        made = run(binary("unclosed"), "lab", "--json", f"{folder}/waits.lua")
        equal((made.returncode, made.stderr), (0, ""), f"the lab, {made.stdout[:300]}")
        w.stop()
    lab = json_lines(made.stdout)[0]
    addresses = lab["connections"][0]
    said = {x["event"]: x for x in json_lines(w.text().replace("[::ffff:10.0.0.1]", "10.0.0.1")
            .replace("[::ffff:10.0.0.2]", "10.0.0.2")) if x.get("local") == addresses[end]}
    first, over = said["half-closed"], said["over"]
    other = "server" if end == "client" else "client"
    equal((first["peer"], first["closed_first"]), (addresses[other], "peer"), "whose connection")
    if not first["holders"]:
        raise Apart("the walk over descriptors came after the close")
    equal([h["comm"] for h in first["holders"]], [comm], "holder")
    came = first["time"] - first["age_ms"] / 1000
    arrived, sent = fin_from(lab, other), fin_from(lab, end)
    agree("the FIN's arrival", arrived, came)
    agree("the close", sent, came + over["close_lag_ms"] / 1000)
    agree("how long", sent - arrived, over["close_lag_ms"] / 1000)
    equal(bool(first["told"]), told, f"whether it was told: {first['told']}")
    if told:
        agree("the read that told", lab_moment(lab, kind="call", call="read", comm=comm, result=0),
              first["time"] - first["told"]["ago_ms"] / 1000)
        equal(first["told"]["comm"], comm, "who was told")
        have = [f["function"] for f in first["told"]["stack"]]
        true("main" in have and "client_fetch" in have, f"the reader's functions: {have}")


CHILD = """
import array, os, socket, sys, time
s = socket.socket(fileno=int(sys.argv[1]))
fds = array.array("i")
_, ancillary, _, _ = s.recvmsg(1, socket.CMSG_LEN(4))
fds.frombytes(ancillary[0][2][:4])
print(fds[0], flush=True)
sys.stdin.read()
"""


@test
def a_descriptor_that_was_passed_is_followed():
    """To another process, which execs a program; the first one closes its own."""
    a, b = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Watch("--after", "300ms", "--json", "--port", str(ls.getsockname()[1])) as w, \
            subprocess.Popen([sys.executable, "-c", CHILD, str(b.fileno())], text=True,
                             pass_fds=[b.fileno()], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE) as child:
        w.ready()
        client, server = pair(ls)
        socket.send_fds(a, [b"x"], [client.fileno()])
        fd = int(child.stdout.readline())
        address, inode = name(client), os.fstat(client.fileno()).st_ino
        client.close()
        server.close()
        line = json.loads(w.line("half-closed", f'"local":"{address}"'))
        equal([(h["pid"], h["fd"]) for h in line["holders"]], [(child.pid, fd)], "holders")
        equal(line["inode"], inode, "inode")
        child.stdin.close()
        over = json.loads(w.line('"event":"over"', address))
        equal(over["by_exit"], True, "closed by the exit")
    a.close()
    b.close()


@test
def a_number_used_again_is_another_connection():
    """The same descriptor number in the same process, from the same ports' pool, again and again."""
    with socket.create_server(("127.0.0.1", 0)) as ls, Watch("--after", "50ms", "--json", *HERE) as w:
        w.ready()
        numbers = set()
        for _ in range(5):
            begun = time.monotonic()
            client, server = pair(ls)
            server.close()
            line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
            equal([h["fd"] for h in line["holders"]], [client.fileno()], "descriptor")
            equal(line["age_is"], "exact", "age")
            true(line["age_ms"] <= (time.monotonic() - begun) * 1000, f"age {line['age_ms']}")
            numbers.add(client.fileno())
            address = name(client)
            client.close()
            w.line('"event":"over"', address)
        equal(len(numbers), 1, "descriptor numbers")


@test
def another_thread_is_named():
    with socket.create_server(("127.0.0.1", 0)) as ls, Watch("--after", "50ms", "--json", *HERE) as w:
        w.ready()
        client, server = pair(ls)
        server.close()
        who = []

        def read():
            who.append(threading.get_native_id())
            client.recv(1)
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
        equal((line["told"]["pid"], line["told"]["tid"]), (os.getpid(), who[0]), "process and thread")
        client.close()


@test
def losses_are_counted_exactly():
    """Everything is reported at once through the smallest buffer: emitted = received + lost."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as ls, \
            Watch("--after", "0", "--json", "--buffer", "4", "--no-stacks",
                  "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        for _ in range(20):
            pairs = [pair(ls) for _ in range(100)]
            for _, server in pairs:
                server.close()
            time.sleep(0.06)  # not synchronisation: room for reports, whose ends come all at once
            for client, _ in pairs:
                client.recv(1)
                client.close()
        equal(w.stop()[0], 0, "exit code")
        summary = json_lines(w.text())[-1]
        lost = summary["lost"]["events"]
        equal(summary["emitted"], summary["received"] + lost, f"balance of {summary}")
        true(lost > 0, f"nothing was lost: {summary}")
        equal(summary["complete"], False, "complete")
        lines = [x for x in json_lines(w.text()) if "cookie" in x]
        true(len(lines) <= summary["received"], "lines and events")


@test
def losses_are_said_to_people():
    with socket.create_server(("127.0.0.1", 0), backlog=512) as ls, \
            Watch("--after", "0", "--buffer", "4", "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        pairs = [pair(ls) for _ in range(200)]
        for _, server in pairs:
            server.close()
        w.line("half-closed")
        time.sleep(0.2)  # not synchronisation: so that most are reported before they end
        for client, _ in pairs:
            client.close()
        w.stop()
        has(w.text(), "this report is incomplete:")
        has(w.text(), "events lost: the buffer was full")


def bpf_ids(pid):
    """The programs, maps and links that hang on a process's descriptors."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as f:
                info = dict(line.split(":", 1) for line in f if ":" in line)
        except FileNotFoundError:
            continue
        for key, kind in (("map_id", "map"), ("link_id", "link"), ("prog_id", "prog")):
            if key in info:
                found.add((kind, int(info[key])))
                break
    return found


def is_loaded(kind, number):
    bpftool = next(p for p in ("/usr/sbin/bpftool", "/sbin/bpftool", "/usr/bin/bpftool")
                   if os.path.exists(p))
    return run(bpftool, "-j", kind, "show", "id", number).returncode == 0


@test
def killed_at_any_moment_it_leaves_nothing():
    random.seed(6)
    most = 0
    for i in range(8):
        with Watch("--json") as w:
            if i % 2:
                w.ready()
            else:
                time.sleep(random.uniform(0, 0.4))  # not synchronisation: a moment to die at
            ids = bpf_ids(w.process.pid)
            w.process.kill()
            w.process.wait()
            most = max(most, len(ids))
            wait_for(lambda ids=ids: not any(is_loaded(*x) for x in ids), f"{ids} to go", 20)
    true(most > 10, f"only {most} programs, maps and links were ever seen")


main()
