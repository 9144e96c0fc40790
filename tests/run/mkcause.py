# SPDX-License-Identifier: MIT
"""The fixture tells the truth: what mkcause says it made is what `ss` and /proc see."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fixture import Fixture, gone  # noqa: E402
from tap import BUILD, cases, equal, has, main, run, test, true, wait_for  # noqa: E402

N = 12  # a multiple of every cause's number of variants
CAUSES = ("unread", "told", "drained", "not-accepted", "shared", "no-descriptor", "replying",
          "peer-gone", "send-blocked", "half-closed-here", "orphan", "dead", "time-wait")


def ss_matches(made, seen):
    """Every end that has a connection is in ss as it was said, and ss has no other."""
    alive = [m for m in made.sockets if m["state"] != "CLOSED"]
    for m in alive:
        s = seen.get((m["local"], m["peer"]))
        true(s, f"ss does not know {m}")
        equal(s["state"], m["state"], f"state of {m}")
        equal(s["cookie"], m["cookie"], f"cookie of {m}")
        equal(s["inode"], m["inode"], f"inode of {m}")
        equal(s["users"], {(h["pid"], h["fd"]) for h in m["holders"]}, f"holders of {m}")
    connections = {k for k, s in seen.items() if s["state"] != "LISTEN"}
    equal(connections - {(m["local"], m["peer"]) for m in alive}, set(), "more in ss than was made")


def evidence_holds(made, seen):
    """What makes each cause that cause, from the kernel's numbers."""
    for m in made.sockets:
        s = seen.get((m["local"], m["peer"]))
        if m["cause"] == "unread":
            true(s["recv_q"] >= 1, f"nothing unread: {s}")
        elif m["cause"] in ("told", "drained"):
            equal(s["recv_q"], 0, f"unread bytes: {s}")
        elif m["cause"] == "peer-gone":
            has(s["line"], "timer:(on,", "a retransmission runs")
        elif m["cause"] == "send-blocked":
            true(s["send_q"] > 10000, f"nothing to send: {s}")
            has(s["line"], "timer:(persist,", "a window probe runs")
        elif m["cause"] == "orphan":
            has(s["line"], "timer:(timewait,", "the kernel's own timer runs")
        elif m["cause"] == "not-accepted":
            listener = next(v for (l, _), v in seen.items()
                            if v["state"] == "LISTEN" and v["inode"] == m["listener"]["inode"])
            equal((listener["recv_q"], listener["send_q"]),
                  (m["listener"]["queue"], m["listener"]["backlog"]), "queue and backlog")
            equal(listener["users"], {(m["listener"]["pid"], m["listener"]["fd"])}, "its owner")


def descriptors_hold(made):
    """Each holder's descriptor is the socket that was named, and an end without one has none."""
    links = {}
    for pid in {h["pid"] for m in made.sockets for h in m["holders"]}:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                links[pid, int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                pass
    for m in made.sockets:
        who = {k for k, v in links.items() if m["inode"] and v == f"socket:[{m['inode']}]"}
        equal(who, {(h["pid"], h["fd"]) for h in m["holders"]}, f"holders in /proc of {m}")


@cases("4", "6", "mapped")
def what_it_says_is_so(family):
    with Fixture(f"all={N}", family=family) as made:
        seen = made.ss()
        ss_matches(made, seen)
        evidence_holds(made, seen)
        descriptors_hold(made)
        for cause in CAUSES:
            true(len([m for m in made.sockets if m["made"] == m["cause"] == cause and
                      (m["end"] == "server")]) == N, f"{N} of {cause}")
        equal(len(made.of("healthy", made="idle")), 2 * N, "idle ends")
        equal(len(made.of("healthy", made="unconnected")), N, "sockets never connected")


@test
def an_address_family_is_the_one_asked_for():
    with Fixture("unread", family="6") as made:
        true(made.sockets[0]["local"].startswith("[::1]:"), made.sockets[0])
    with Fixture("unread", family="mapped") as made:
        true(made.of("unread")[0]["local"].startswith("[::ffff:127.0.0.1]:"), made.sockets)
        true(made.of("orphan")[0]["local"].startswith("127.0.0.1:"), made.sockets)


@test
def the_closer_stays_when_asked():
    with Fixture("unread=3", keep_closer=True) as made:
        equal(len(made.of("half-closed-here", end="client")), 3, "closers")
        ss_matches(made, made.ss())


@test
def the_dead_have_a_descriptor_and_no_connection():
    with Fixture("dead=4") as made:
        seen = made.ss()
        for m in made.of("dead"):
            true((m["local"], m["peer"]) not in seen, f"ss still shows {m}")
        reset, late = made.of("dead")[:2]
        equal((reset["variant"], late["variant"]), ("reset", "timed out"), "variants")


@test
def busy_ends_are_busy():
    with Fixture("busy=2", "replying=2") as made:
        def received(m):
            line = made.ss()[m["local"], m["peer"]]["line"]
            return int(line.split("bytes_received:")[1].split()[0]) if "bytes_received:" in line else 0
        for m in [made.of("healthy")[0], made.of("healthy")[1], made.of("replying", end="client")[0]]:
            before = received(m)
            wait_for(lambda m=m, before=before: received(m) > before + 64, f"traffic at {m}")


@test
def it_leaves_nothing_behind():
    for how in ("stdin", signal.SIGTERM):
        with Fixture("all=6", netns=False) as made:
            pids = {h["pid"] for m in made.sockets for h in m["holders"]} | {made.pid}
            if how == signal.SIGTERM:
                os.kill(made.pid, how)
            equal(made.stop(), 0, f"exit status after {how}")
            gone(pids)


@test
def scale_makes_as_many_as_asked():
    with Fixture(scale="3x400") as made:
        equal([s["count"] for s in made.sockets], [400] * 3, "counts")
        pids = [s["pid"] for s in made.sockets]
        equal(len(set(pids)), 3, "processes")
        held = [s for s in made.ss().values() if s["state"] == "CLOSE_WAIT"]
        equal(sorted(next(iter(s["users"]))[0] for s in held), sorted(pids * 400), "owners")
        true(all(s["recv_q"] == 1 for s in held), "each has an unread FIN")
        ports = {a for s in made.sockets for a in s["local"]}
        equal({local for (local, _), s in made.ss().items() if s["state"] == "CLOSE_WAIT"}, ports,
              "listeners")
    gone(pids)


@test
def an_unknown_cause_is_refused():

    done = run(os.path.join(BUILD, "tests", "mkcause"), "nonsense")
    equal(done.returncode, 2, "exit status")
    has(done.stderr, "no cause 'nonsense'")


main()
