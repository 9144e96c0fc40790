# SPDX-License-Identifier: MIT
"""unclosed list against ss, with 80,000 half-closed sockets in five processes among 500 idle ones; its
cost per further socket, memory, and the time to its first line. Needs root.

Every run writes to /dev/null. Rivals and unclosed run in turn; medians are shown. unclosed looks at the
whole host; ss at the one namespace in which it runs. LIST_BENCH_MOST=80000 leaves out the larger sizes.
"""
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
os.environ["UNCLOSED_BUILD"] = BUILD
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lib"))
from fixture import Fixture  # noqa: E402

UNCLOSED = os.path.join(BUILD, "src", "unclosed")
SIZES = ((1, 1000), (1, 10_000), (5, 16_000), (10, 16_000), (20, 16_000))
MOST = int(os.environ.get("LIST_BENCH_MOST", "320000"))
TURNS = 7
IDLE = 500


@contextlib.contextmanager
def idle_processes():
    """Processes that do nothing, in a process group that ends with the measurement."""
    loop = f"i=0; while [ $i -lt {IDLE} ]; do sleep 100000 & i=$((i+1)); done; echo up; wait"
    with subprocess.Popen(["sh", "-c", loop], stdout=subprocess.PIPE, text=True, start_new_session=True) as p:
        try:
            p.stdout.readline()
            yield
        finally:
            os.killpg(p.pid, signal.SIGKILL)


def timed(argv):
    """Seconds from start to end, and the largest memory in KiB."""
    with open(os.devnull, "wb") as null:
        start = time.monotonic()
        pid = subprocess.Popen(argv, stdout=null, stderr=null).pid
        _, status, usage = os.wait4(pid, 0)
        took = time.monotonic() - start
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{argv}: exit {os.waitstatus_to_exitcode(status)}")
    return took, usage.ru_maxrss


def medians(inside, commands, turns=TURNS):
    """{name: (median seconds, largest memory)} of commands run in turn."""
    results = {name: [] for name in commands}
    for _ in range(turns):
        for name, argv in commands.items():
            results[name].append(timed([*inside, *argv]))
    return {name: (statistics.median(t for t, _ in r), max(m for _, m in r)) for name, r in results.items()}


def first_line():
    times = []
    for _ in range(2 * TURNS):
        start = time.monotonic()
        with subprocess.Popen([UNCLOSED, "list"], stdout=subprocess.PIPE) as p:
            p.stdout.readline()
            times.append(time.monotonic() - start)
            p.stdout.read()
    return statistics.median(times)


def verdict(good):
    return "reached" if good else "MISSED"


def rivals(made):
    inside = made.command()
    found = made.run(UNCLOSED, "list", "--columns", "cookie", "--no-heading", "--netns", made.netns).stdout
    r = medians(inside, {
        "unclosed list": [UNCLOSED, "list"],
        "unclosed list --json": [UNCLOSED, "list", "--json"],
        "unclosed list --tier=proc": [UNCLOSED, "list", "--tier=proc"],
        "ss -tanp state close-wait": ["ss", "-tanp", "state", "close-wait"],
        "ss -tan": ["ss", "-tan"],
    })
    print(f"{len(found.splitlines())} half-closed sockets, 5 processes, {IDLE} idle ones; medians of {TURNS}:")
    for name, (seconds, memory) in r.items():
        print(f"  {name:28} {seconds * 1000:8.1f} ms  {memory / 1024:6.1f} MiB")
    ours, memory = r["unclosed list"]
    against_p, against = r["ss -tanp state close-wait"][0] / ours, r["ss -tan"][0] / ours
    print(f"  against ss -tanp: {against_p:.1f} times as fast (20 wanted: {verdict(against_p >= 20)})")
    print(f"  against ss -tan:  {against:.2f} times as fast (more than 1 wanted: {verdict(against > 1)})")
    print(f"  memory: {memory / 1024:.1f} MiB (32 wanted: {verdict(memory <= 32 * 1024)})")
    return ours


def main():
    seconds = first_line()
    print(f"start to first line: {seconds * 1000:.1f} ms (60 wanted: {verdict(seconds <= 0.060)})")
    points = []
    with idle_processes():
        for processes, each in SIZES:
            if processes * each > MOST:
                continue
            with Fixture(scale=f"{processes}x{each}") as made:
                made.forget_closers()
                if processes * each == 80_000:
                    ours = rivals(made)
                else:
                    ours = medians(made.command(), {"list": [UNCLOSED, "list"]})["list"][0]
            points.append((processes * each, ours))
            print(f"{processes * each:7} sockets: {ours * 1000:8.1f} ms", flush=True)
    for (n, t), (m, u) in zip(points, points[1:]):
        print(f"  {n} to {m}: {(u - t) / (m - n) * 1e6:.2f} us per further socket")
    if len(points) < 2:
        return
    (n, t), (m, u) = points[0], points[-1]
    slope = (u - t) / (m - n) * 1e6
    print(f"cost per further socket, {n} to {m}: {slope:.2f} us (1.5 wanted: {verdict(slope <= 1.5)})")


main()
