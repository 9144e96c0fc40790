#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long the lab takes, and where the time goes: the five experiments, then the whole catalogue.

    bench/lab.py BUILD [RUNS]

"setup" is namespaces and wire, "script" from its first line to the end of the record, "rest" the
processes' start and end and what shows the run. Medians of RUNS (7, and 5 of the catalogue)."""
import json
import os
import statistics
import subprocess
import sys
import time


def once(unclosed, *words):
    """Seconds by the clock, and the runs, of one call."""
    began = time.monotonic()
    done = subprocess.run([unclosed, "lab", "--json", *words], stdout=subprocess.PIPE, text=True,
                          check=False)
    took = time.monotonic() - began
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    bad = [r["scenario"] for r in runs if not r["passed"]]
    if bad or not runs:
        sys.exit(f"lab: did not pass: {', '.join(bad) or 'nothing ran'}")
    return took, runs


def verdict(seconds, limit):
    return f"{seconds:.2f} s (reach: {limit} s){'' if seconds <= limit else '  NOT REACHED'}"


def main():
    build = sys.argv[1]
    repeat = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    unclosed = os.path.join(build, "src", "unclosed")
    calls = [once(unclosed) for _ in range(repeat)]
    print(f"the five experiments, all at once: {verdict(statistics.median(t for t, _ in calls), 0.5)}")
    one = [once(unclosed, "-j", "1") for _ in range(repeat)]
    print(f"the five experiments, one by one:  {verdict(statistics.median(t for t, _ in one), 0.5)}")
    print("  milliseconds each, one by one:      setup  script  kernel asked")
    for i, r in enumerate(one[0][1]):
        each = [runs[i] for _, runs in one]
        print(f"  {r['scenario']:<34} {statistics.median(x['setup_us'] for x in each) / 1000:6.1f}"
              f"  {statistics.median(x['run_us'] for x in each) / 1000:6.1f}"
              f"  {r['state_queries']:6} times")
    inside = [sum(r["setup_us"] + r["run_us"] for r in runs) / 1e6 for _, runs in one]
    rest = statistics.median(t - s for (t, _), s in zip(one, inside))
    print(f"  {'rest, for each of the five':<34} {rest / 5 * 1000:6.1f}")

    calls = [once(unclosed, "*") for _ in range(max(1, min(repeat, 5)))]
    took = statistics.median(t for t, _ in calls)
    print(f"the whole catalogue, {len(calls[0][1])} scenarios: {verdict(took, 10)}")
    runs = sorted(calls[0][1], key=lambda r: -r["run_us"])
    waits = [r for r in runs if r["run_us"] > 500_000]
    print(f"  {len(waits)} wait for kernel timers, {sum(r['run_us'] for r in waits) / 1e6:.1f} s in all; "
          f"the others take {statistics.median(r['run_us'] for r in runs if r not in waits) / 1000:.1f} ms "
          "(median)")
    for r in runs[:5]:
        print(f"  {r['scenario']:<34} {r['run_us'] / 1e6:6.2f} s")


main()
