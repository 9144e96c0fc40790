# SPDX-License-Identifier: MIT
"""What unclosed watch says of ends whose truth is known, and of what it lost."""
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from account import OFF, between, compare  # noqa: E402
from bpfmaps import are_gone, bpf_ids  # noqa: E402
from fixture import Fixture  # noqa: E402
from helper import Python  # noqa: E402
from tap import binary, cases, equal, json_lines, main, run, test, true, wait_for  # noqa: E402
from watching import HERE, Watch, listen, name, pair  # noqa: E402

# What the watch reports, and what the kernel finishes alone or is no fault of anybody.
CAUSES = ("unread", "told", "drained", "not-accepted", "shared", "no-descriptor", "replying",
          "peer-gone", "send-blocked", "half-closed-here", "dead")
JIFFY = 0.01  # seconds, at most
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
    # Of those taken in the last packet may count, which the waiting end may have had later: it comes due
    # after the line, which then does not name it.
    return line if line and (line["closer"] or line["taken_in"]) else None


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


def holders_of(end):
    """Without the `unclosed` of another test, which holds a copy of what it looks at for that moment."""
    return {(h["pid"], h["fd"]) for h in end["holders"] if h["comm"] != "unclosed"}


def matches(lines, made, cause):
    said = spoken_for(lines, made)
    if said["local"] != made["local"] or said["peer"] != made["peer"]:
        closer = said["closer"]
        if not closer and said["taken_in"]:
            return
        true(said["state"] in ("CLOSE_WAIT", "LAST_ACK"), f"{said['state']} speaks for {made}")
        equal(closer["state"], made["state"], f"state of {made}")
        equal(closer["cookie"], made["cookie"], f"cookie of {made}")
        equal(holders_of(closer),
              {(h["pid"], h["fd"]) for h in made["holders"]}, f"holders of {made}, said {said}")
        return
    equal(said["cause"], cause, f"cause of {made}, said {said}")
    equal(said["state"], made["state"], f"state of {made}")
    equal(said["inode"], made["inode"], f"inode of {made}")
    if made["cause"] == "not-accepted":
        equal([(h["pid"], h["fd"]) for h in said["listeners"]],
              [(made["listener"]["pid"], made["listener"]["fd"])], f"listener of {made}")
    else:
        equal(holders_of(said),
              {(h["pid"], h["fd"]) for h in made["holders"]}, f"holders of {made}, said {said}")


def expected(made):
    """The ends that a watch reports: held, or waiting in an accept queue."""
    return [m for m in made.sockets if m["cause"] in CAUSES
            and (m["holders"] or m["cause"] in ("not-accepted", "no-descriptor"))]


def second_lines(said, want):
    """The ends that wait, of connections with both ends held, of which there is a line all the same."""
    holders = {(m["peer"], m["local"]) for m in want if m["state"] == "CLOSE_WAIT"}
    closers = [m for m in want if m["cause"] == "half-closed-here" and (m["local"], m["peer"]) in holders]
    true(closers, "a connection with both ends held")
    return [(said[m["local"], m["peer"]], said.get((m["peer"], m["local"]))) for m in closers
            if (m["local"], m["peer"]) in said]


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
            equal(second_lines(said, want), [], "second lines")
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


def died_then(line, made):
    between("its death", line["time"] - line["age_ms"] / 1000, made["began"])


@cases("4", "6")
def each_cause_that_was_there_is_taken_in(family):
    """All that the socket itself knows is told; what only who was there could know is not claimed."""
    with Fixture(*[f"{c}={N}" for c in CAUSES if c != "replying"], family=family) as made, \
            Watch("--after", "400ms", "--json", "--no-stacks") as w:
        want = expected(made)
        true(len(want) >= N * (len(CAUSES) - 1), f"only {len(want)} ends were made")
        said = all_reported(w, made.netns, want)
        for m in want:
            matches(said, m, m["snapshot"])
        equal(second_lines(said, want), [], "second lines")
        said = wait_for(lambda: (r := reports(w, made.netns)) and "LAST_ACK" in {x["state"] for x in r.values()} and r,
                        "one in LAST_ACK", 20)
        ends = {(m["local"], m["peer"]): m for m in made.sockets}
        for key, line in said.items():
            equal((line["taken_in"], line["told"]), (True, None), f"{key}: {line}")
            if line["state"] != "CLOSE_WAIT":
                equal(line["age_is"], "at-least", f"{key}: {line}")
            since, off = line["time"] - line["age_ms"] / 1000, OFF if line["age_is"] == "at-least" else OFF + JIFFY
            true(since >= ends[key]["began"][0] / 1e9 - off,
                 f"older than it can be, which began {ends[key]['began']}: {line}")
            true(line["age_is"] == "at-least" or since <= ends[key]["began"][1] / 1e9 + off,
                 f"younger than it is, which began {ends[key]['began']}: {line}")
            equal(line["made"]["by"], ends[key]["made_by"]["by"], f"made by, of {line}")
            if line["state"] == "CLOSED":
                compare(died_then, line, ends[key])
            else:
                # To LAST_ACK no way leads but through CLOSE_WAIT. When it closed is not known.
                first = "peer" if line["state"] in ("CLOSE_WAIT", "LAST_ACK") else "here"
                equal((line["closed_first"], line["close_lag_ms"]), (first, None), f"{key}: {line}")


@test
def nothing_is_said_of_what_is_healthy():
    with Watch("--new", "--after", "100ms", "--json") as w:
        w.ready()
        with Fixture(f"idle={N}", f"busy={N}", f"pool={N}", f"unconnected={N}", f"unread={N}") as made:
            bad = {(m["local"], m["peer"]) for m in made.sockets if m["cause"] == "unread"}
            said = wait_for(lambda: (r := reports(w, made.netns)) and bad <= set(r) and r,
                            "the unread ones", 20)
            equal(set(said) - bad, set(), "said besides")


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
    other = "server" if end == "client" else "client"
    # Another lab's hosts, running at the same time, have the same addresses, but not the same ports.
    said = {x["event"]: x for x in json_lines(w.text().replace("[::ffff:10.0.0.1]", "10.0.0.1")
            .replace("[::ffff:10.0.0.2]", "10.0.0.2")) if (x.get("local"), x.get("peer")) == (addresses[end], addresses[other])}
    first, over = said["half-closed"], said["over"]
    equal(first["closed_first"], "peer", "who closed first")
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
    with listen() as ls, \
            Watch("--after", "300ms", "--json", "--port", str(ls.getsockname()[1])) as w, \
            Python(CHILD, b.fileno(), pass_fds=[b.fileno()]) as child:
        w.ready()
        client, server = pair(ls)
        socket.send_fds(a, [b"x"], [client.fileno()])
        fd = int(child.says())
        address, inode = name(client), os.fstat(client.fileno()).st_ino
        client.close()
        server.close()
        line = json.loads(w.line("half-closed", f'"local":"{address}"'))
        equal([(h["pid"], h["fd"]) for h in line["holders"]], [(child.pid, fd)], "holders")
        equal(line["inode"], inode, "inode")
        child.end()
        over = json.loads(w.line('"event":"over"', address))
        equal(over["by_exit"], True, "closed by the exit")
    a.close()
    b.close()


@test
def a_number_used_again_is_another_connection():
    """The same descriptor number in the same process, from the same ports' pool, again and again."""
    with listen() as ls, Watch("--after", "50ms", "--json", *HERE) as w:
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
    with listen() as ls, Watch("--after", "50ms", "--json", *HERE) as w:
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
            are_gone(ids)
    true(most > 10, f"only {most} programs, maps and links were ever seen")


main()
