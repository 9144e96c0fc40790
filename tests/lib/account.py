# SPDX-License-Identifier: MIT
"""Compares what the watch says of an end with what was done to it, between two moments (tests/helpers/said.h)."""
import json

import tap
from tap import equal, true

OFF = 0.001  # seconds; between what is said and what was done
UNSURE = []


def unknown():
    """Why the test that failed shows nothing, where the machine let the programs wait; or None."""
    found = UNSURE[0] if UNSURE else None
    UNSURE.clear()
    return found


tap.INCONCLUSIVE.append(unknown)


def unsure(why):
    """Fails, as one that shows nothing."""
    UNSURE.append(why)
    raise AssertionError(why)


def known_well(what, spans):
    """Of some spans one at least is as narrow as what is to be shown."""
    least = min(late - early for early, late in spans) / 1e9
    if least > OFF:
        unsure(f"{what}, known to {least * 1000:.3f} ms at best")


def known_within(what, least, most, part):
    """A number is known to this part of it."""
    if most > least * (1 + part):
        unsure(f"{what}, known to be {least} to {most}")


def kept_open(said, span):
    """Notes that an end was closed later than it was let go: the `unclosed` of another test may hold a copy of
    what it looks at, for a moment, and be the last to close it."""
    if said["time"] > span[1] / 1e9 + OFF:
        UNSURE.append("an end that a copy may have kept open")


def between(what, moment, span, off=OFF):
    """A moment, in seconds since 1970, lies in a span, in nanoseconds."""
    early, late = span[0] / 1e9 - moment, moment - span[1] / 1e9
    true(early <= off and late <= off,
         f"{what}: {max(early, late) * 1000:.3f} ms before or after {span}, at {moment:.6f}")


def lasts(what, seconds, first, last, off=OFF):
    """A time from a moment in one span to one in another."""
    least, most = (last[0] - first[1]) / 1e9, (last[1] - first[0]) / 1e9
    true(least - off <= seconds <= most + off,
         f"{what}: {seconds:.6f} s, not between {least:.6f} and {most:.6f}")


def functions_are(place, program, want):
    """The program's own functions in a stack, from the innermost to where its thread began."""
    if "not read yet" in place["stack_note"]:
        UNSURE.append("a stack that was not read in time")
    equal(place["stack_note"], "", "note on the stack")
    equal([f["function"] for f in place["stack"]
           if f["object"] == program and f["function"] != "_start"], want.split(), "functions")


def told_is(said, done, program):
    """Who was told, when, and where; or that nobody was."""
    told = said["told"]
    if not done:
        equal(told, None, "told")
        return
    true(told, f"nobody was told, but: {done}")
    equal({k: told[k] for k in ("pid", "tid", "comm")},
          {k: done[k] for k in ("pid", "tid", "comm")}, "who was told")
    between("told", said["time"] - told["ago_ms"] / 1000, done["at"])
    functions_are(told, program, done["functions"])


def first_lines(watch, netns):
    """The first lines about the ends of one network namespace: {(local, peer): line}. Those of the events
    that follow are in watch.told_of[netns, event]."""
    for x in map(json.loads, watch.news('"netns":')):
        of = watch.told_of.setdefault((x["netns"], x["event"]), {})
        of.setdefault((x["local"], x["peer"]), x)
    return watch.told_of.get((netns, "half-closed"), {})


def compare(how, said, made, *more):
    """Has `how` compare the two, and says of which end where they differ."""
    try:
        how(said, made, *more)
    except AssertionError as differ:
        raise AssertionError(f"{differ}\nof {made}\nsaid {said}") from None
