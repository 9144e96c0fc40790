# SPDX-License-Identifier: MIT
"""The close lags of programs that wait known times, as they measured them themselves."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from account import compare, known_within, unsure  # noqa: E402
from helper import Helper  # noqa: E402
from tap import BUILD, cases, equal, json_lines, main, true  # noqa: E402
from watching import Watch  # noqa: E402

EACH = 200
OFF = 0.02  # of a percentile
RANKS = {"p50_ms": 100, "p90_ms": 180, "p99_ms": 198}  # of 200, the first is 1
# By process and kind of end: what was waited, in ms, and by a few: 3 of the accepted, so that the least of
# these is the 99th percentile, 2 of the connected, so that none is.
WAITS = {("mklag-1", "accept"): (1, 1), ("mklag-1", "connect"): (1.5, 1.5),
         ("mklag-20", "accept"): (20, 20), ("mklag-20", "connect"): (30, 30),
         ("mklag-300", "accept"): (300, 300), ("mklag-300", "connect"): (200, 200),
         ("mklag-mixed", "accept"): (5, 120), ("mklag-mixed", "connect"): (8, 60)}


def waited(watch, family):
    """What the program did, and the watch ended: {(pid, by): its line}."""
    with Helper(os.path.join(BUILD, "tests", "mklag"), *(["--v6"] if family == "6" else [])) as p:
        p.expect("ready")
        watch.ready()
        p.tell()
        rows = [json.loads(line) for line in p.lines_to("done")]
        watch.stop()
    return {(r["pid"], r["by"]): r for r in rows}


def percentiles_are(said, done):
    """Each lies between those of the lower bounds and of the upper bounds, or 2 % beside. Of the bounds the
    program knows for sure that the lags are within, one by one; so the percentiles are."""
    least, most = (sorted(bound[i] for bound in done["lags"]) for i in (0, 1))
    for key, rank in RANKS.items():
        low, high = least[rank - 1] / 1e6 * (1 - OFF), most[rank - 1] / 1e6 * (1 + OFF)
        true(low <= said[key] <= high, f"{key}: {said[key]} is not in {low:.6f} to {high:.6f} ms")
    true(least[-1] / 1e6 <= said["max_ms"] <= most[-1] / 1e6, f"max_ms: {said['max_ms']}")


def buckets_are(said, done):
    """Up to each bucket's end there are as many as the bounds allow, exactly."""
    counted = 0
    for low, high, count in said["buckets"]:
        true(sum(most < low for _, most in done["lags"]) <= counted, f"below {low} ns")
        counted += count
        true(counted <= sum(least < high for least, _ in done["lags"]), f"below {high} ns")
    equal(counted, EACH, "sum of the buckets")


def measured_well(done):
    """How far the bounds are apart: in a program that is kept waiting, they show little."""
    least, most = (sorted(bound[i] for bound in done["lags"]) for i in (0, 1))
    for key, rank in RANKS.items():
        # Of the shortest, the calls themselves are some per cent.
        known_within(f"{done['comm']} {done['by']}, {key}", least[rank - 1], most[rank - 1],
                     0.1 if key == "p50_ms" and least[rank - 1] < 10e6 else 0.02 if key == "p50_ms" else 0.5)


def all_are_there(said, row, copies):
    """The `unclosed` of another test may hold a copy of what it looks at, for a moment: one that it is the
    last to close is counted as its own."""
    equal((said["comm"], said["port"]), (row["comm"], row["port"]), "lag")
    closed = sum(x["count"] for x in copies if (x["port"], x["by"]) == (row["port"], row["by"]))
    equal(said["count"] + closed, EACH, "ends that were closed")
    if closed:
        unsure(f"{closed} ends of {row['comm']} that were closed by another")


def lags_are(said, row, copies):
    all_are_there(said, row, copies)
    usual, rare = WAITS[row["comm"], row["by"]]
    # It waits as long as it says, or longer.
    true(min(least for least, _ in row["lags"]) >= min(usual, rare) * 1e6, f"waited too short: {row}")
    percentiles_are(said, row)
    buckets_are(said, row)
    measured_well(row)
    if rare > usual and row["by"] == "accept":
        true(said["p99_ms"] > 5 * said["p50_ms"], f"p50 and p99 of a mixture: {said['p50_ms']}, {said['p99_ms']}")


@cases("4", "6")
def percentiles_are_what_was_waited(family):
    """Four processes, each with connections that it accepted and such that it connected, all at a time."""
    with Watch("--new", "--after", "5s", "--json", "--comm", "[mu]*") as w:
        done = waited(w, family)
        rows = [x for x in json_lines(w.text()) if x["event"] == "lag"]
        said = {(x["pid"], x["by"]): x for x in rows if (x["pid"], x["by"]) in done}
        copies = [x for x in rows if x["comm"] == "unclosed"]
        equal(set(said), set(done), "processes and kinds of ends")
        equal({(r["comm"], r["by"]) for r in done.values()}, set(WAITS), "what was waited")
        for key, row in done.items():
            compare(lags_are, said[key], row, copies)


main()
