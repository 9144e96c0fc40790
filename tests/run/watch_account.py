# SPDX-License-Identifier: MIT
"""The watch's account of an end against what was done to it: who, when, how long, in which functions.

A moment is compared with the two between which the program says that it did it, and may lie a
millisecond outside of them. Where the machine let the program wait between the two, they are as far
apart; so no busy machine makes what is true look false, and of each kind one has to be known well."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from account import (between, compare, first_lines, functions_are, kept_open, known_well,  # noqa: E402
                     lasts, told_is)
from fixture import Fixture  # noqa: E402
from tap import cases, equal, main, true, wait_for  # noqa: E402
from watching import Watch  # noqa: E402

CAUSES = ("unread", "told", "drained", "not-accepted", "shared", "no-descriptor", "replying",
          "peer-gone", "send-blocked", "half-closed-here", "dead")
N = 12  # a multiple of every cause's number of variants
FIRST = {"CLOSE_WAIT": "peer", "LAST_ACK": "peer", "reset": "nobody", "timed out": "nobody",
         "reset after the peer's FIN": "peer"}  # by state, or by the way of a death; else: here


def holders(owners):
    """Without the `unclosed` of another test, which holds a copy of what it looks at for that moment."""
    return {(h["pid"], h["fd"], h["comm"]) for h in owners if h["comm"] != "unclosed"}


def who_is(said, made):
    if made["cause"] == "not-accepted":
        listener = made["listener"]
        equal(holders(said["listeners"]), {(listener["pid"], listener["fd"], "mkcause")}, "listener")
    else:
        equal(holders(said["holders"]), holders(made["holders"]), "holders")
        equal(said["holder_count"], len(said["holders"]), "number of holders")


def half_closed_is(said, made):
    """All that the line about an end says."""
    equal((said["cause"], said["state"]), (made["cause"], made["state"]), "cause and state")
    equal((said["inode"], said["cookie"]), (made["inode"], made["cookie"]), "inode and cookie")
    way = made["variant"] if made["cause"] == "dead" else made["state"]
    equal(said["closed_first"], FIRST.get(way, "here"), "who closed first")
    equal(said["age_is"], "exact", "age")
    between("became so", said["time"] - said["age_ms"] / 1000, made["began"])
    who_is(said, made)
    told_is(said, made.get("told"), "mkcause")
    equal(said["made"]["by"], made["made_by"]["by"], "made by")
    if made["cause"] != "not-accepted":
        functions_are(said["made"], "mkcause", made["made_by"]["functions"])
    lag_is(said, made)


def lag_is(said, made):
    if "closed" in made:
        lasts("close lag", said["close_lag_ms"] / 1000, made["began"], made["closed"])
    else:
        equal(said["close_lag_ms"], None, "close lag")


def closer_is(said, made, holder):
    """Of a connection with both ends held: what the line of the one that holds it says of the other."""
    closer = said["closer"]
    equal((closer["state"], closer["cookie"]), (made["state"], made["cookie"]), "the closer")
    equal(holders(closer["holders"]), holders(made["holders"]), "the closer's holders")
    between("the closer's FIN", said["time"] - said["age_ms"] / 1000,
            [made["began"][0], holder["began"][1]])


def wanted(made, cause=None):
    """The ends of which there are lines: {(local, peer): end}; and those that are spoken for in another's."""
    ends = {(m["local"], m["peer"]): m for m in made.sockets
            if (m["cause"] == cause if cause else m["cause"] in CAUSES)}
    waits = {k for k, m in ends.items() if m["state"] in ("FIN_WAIT_1", "FIN_WAIT_2")
             and ends.get(k[::-1], {}).get("state") in ("CLOSE_WAIT", "LAST_ACK")}
    return {k: m for k, m in ends.items() if k not in waits}, {k: ends[k] for k in waits}


def some_known_well(made):
    """A kind of which every moment lies in a wide span shows nothing. What an exit or the kernel's own work
    closes takes as long as it takes."""
    spans = {}
    for m in made:
        spans.setdefault((m["cause"], "began"), []).append(m["began"])
        if "told" in m:
            spans.setdefault((m["cause"], "told"), []).append(m["told"]["at"])
        if "closed" in m and m["cause"] not in ("shared", "no-descriptor"):
            spans.setdefault((m["cause"], "closed"), []).append(m["closed"])
    for of, all_of in spans.items():
        known_well(of, all_of)


def warmed(watch, *fixtures):
    """Where sockets are made is recorded from the first line about a process on: until it is."""
    known = set()
    for _ in range(20):
        ends = {f: f.one() for f in fixtures if f not in known}
        for f, end in ends.items():
            line = wait_for(lambda f=f, e=end: first_lines(watch, f.netns).get((e["local"], e["peer"])),
                            "the line about the first end", 30)
            if line["made"]["stack"]:
                known.add(f)
        if len(known) == len(fixtures):
            return
    raise AssertionError("where a socket was made is not recorded")


def all_in_time(watch, netns, event, want):
    """The first lines of an event about these ends, once they are there."""
    missing = []

    def look():
        first_lines(watch, netns)
        said = watch.told_of.get((netns, event), {})
        missing[:] = [m for k, m in want.items() if k not in said]
        return not missing
    try:
        wait_for(look, event, 30)
    except AssertionError:
        raise AssertionError(f"no line {event} about {missing}") from None
    return watch.told_of.get((netns, event), {})


def compare_lines(said, made):
    want, spoken_for = wanted(made)
    for key, m in want.items():
        compare(half_closed_is, said[key], m)
    for key, m in spoken_for.items():
        compare(closer_is, said[key[::-1]], m, want[key[::-1]])
        true(key not in said, f"a second line about one connection: {said.get(key)}")
    true(spoken_for, "a connection with both ends held")
    equal({m["cause"] for m in [*want.values(), *spoken_for.values()]}, set(CAUSES), "causes that were compared")
    some_known_well(want.values())


def closed_is(said, made):
    kept_open(said, made["closed"])
    between("closed", said["time"], made["closed"])
    lag_is(said, made)
    equal(said["by_exit"], made["by_exit"], "closed by an exit")


def over_is(said, made):
    kept_open(said, made["gone"])
    between("over", said["time"], made["gone"])
    lag_is(said, made)
    equal(said["by_exit"], made["by_exit"], "closed by an exit")


def compare_ends(watch, made, released):
    """The lines about what was closed: that it was, and that it is over."""
    ends = {(m["local"], m["peer"]): m for m in released}
    over = all_in_time(watch, made.netns, "over", ends)
    closed = watch.told_of.get((made.netns, "closed"), {})
    for key, m in ends.items():
        if "closed" in m:
            compare(closed_is, closed[key], m)
        else:
            equal(closed.get(key), None, f"closed, of {m}")
        compare(over_is, over[key], m)
    some_known_well(released)


@cases("4", "6")
def what_was_done_is_what_is_said(family):
    """For each cause, of ends that were accepted and ends that connected."""
    causes = [f"{c}={N}" for c in CAUSES]
    with Watch("--new", "--after", "1s", "--json") as w, \
            Fixture(*causes, family=family, wait=True) as accepted, \
            Fixture(*causes, family=family, wait=True, swap=True) as connected:
        w.ready()
        warmed(w, accepted, connected)
        # One after the other: debug information is kept of one process at a time.
        for made in (accepted, connected):
            made.go()
            compare_lines(all_in_time(w, made.netns, "half-closed", wanted(made)[0]), made)
        for made in (accepted, connected):
            compare_ends(w, made, made.release())


@cases(("4", False), ("6", True))
def one_that_waits_for_who_is_not_watched(family, swap):
    """The end that closed first has a line of its own where the other end's holder has another name."""
    with Watch("--new", "--after", "300ms", "--json", "--comm", "mkcause") as w, \
            Fixture(f"half-closed-here={N}", family=family, wait=True, swap=swap) as made:
        w.ready()
        warmed(w, made)
        made.go()
        want, _ = wanted(made, "half-closed-here")
        said = all_in_time(w, made.netns, "half-closed", want)
        equal(len(want), N, "ends that wait")
        for key, m in want.items():
            compare(half_closed_is, said[key], m)
            equal(said.get(key[::-1]), None, "a line about the other end")
        some_known_well(want.values())


def dead_is(said, made):
    """The line about an end that was reported as something else before."""
    equal((said["cause"], said["state"], said["closed_first"]), ("dead", "CLOSED", "peer"), "what it is")
    between("dead", said["time"], made["died"])
    between("dead since", said["time"] - said["age_ms"] / 1000, made["died"])
    who_is(said, made)
    told_is(said, made.get("told"), "mkcause")
    functions_are(said["made"], "mkcause", made["made_by"]["functions"])


@cases(("4", True), ("6", False))
def one_that_dies_later_is_dead_since_then(family, swap):
    """It was half-closed, and had its line; then its peer resets the connection."""
    kinds = ("unread", "told", "drained")
    with Watch("--new", "--after", "200ms", "--json") as w, \
            Fixture(*[f"{c}={N}" for c in kinds], family=family, keep_closer=True, swap=swap, wait=True) as made:
        w.ready()
        warmed(w, made)
        made.go()
        all_in_time(w, made.netns, "half-closed", wanted(made)[0])
        died = {(m["local"], m["peer"]): m for m in made.reset()}
        equal(len(died), N * len(kinds), "ends that died")
        said = all_in_time(w, made.netns, "dead", died)
        for key, m in died.items():
            compare(dead_is, said[key], m)
        known_well("death", [m["died"] for m in died.values()])
        compare_ends(w, made, made.release())


main()
