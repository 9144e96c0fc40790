# SPDX-License-Identifier: MIT
"""What `unclosed watch` costs: a connection storm untraced, watched, and under tcpstates; memory with
100,000 half-closed connections; and how soon after the threshold a line comes out.

The storm (bench/watch/storm.c) is a textbook server and two clients that connect, read to the end and
close. The three are run in turn, RUNS times; the ratio is that of each round's rate to the untraced
rate before and after it, and the median counts.
"""
import json
import os
import statistics
import subprocess
import sys
import time

BUILD = os.path.abspath(sys.argv[1])
RUNS = int(os.environ.get("BENCH_RUNS", "7"))
SECONDS = os.environ.get("BENCH_SECONDS", "2")
HELD = int(os.environ.get("BENCH_HELD", "100000"))
UNCLOSED = os.path.join(BUILD, "src", "unclosed")
TCPSTATES = "/usr/sbin/tcpstates"


def storm():
    out = subprocess.run([os.path.join(BUILD, "bench", "bench_storm"), SECONDS, "2"],
                         stdout=subprocess.PIPE, check=True, text=True)
    return float(out.stdout)


def tracer(argv, ready):
    """Starts a tracer; `ready` is what its first line holds."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               stdin=subprocess.DEVNULL)
    line = process.stdout.readline()
    assert ready in line, f"{argv[0]}: {line}"
    # What it prints is thrown away, as cheaply as can be.
    sink = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    return process, sink


def under(argv, ready):
    process, sink = tracer(argv, ready)
    rate = storm()
    process.terminate()
    process.wait()
    process.stdout.close()
    sink.wait()
    return rate


def storms():
    rivals = {"unclosed watch": ([UNCLOSED, "watch"], "watching")}
    if os.path.exists(TCPSTATES):
        rivals["tcpstates"] = ([TCPSTATES], "SKADDR")
    rates, ratios = {"untraced": []}, {}
    before = storm()
    for _ in range(RUNS):
        for name, (argv, ready) in rivals.items():
            rate = under(argv, ready)
            after = storm()
            rates.setdefault(name, []).append(rate)
            rates["untraced"].append(after)
            ratios.setdefault(name, []).append(rate / ((before + after) / 2))
            before = after
    print(f"{'storm':<20} {'connections/s':>14} {'of untraced':>12}   (medians of {RUNS})")
    for name, values in rates.items():
        ratio = f"{statistics.median(ratios[name]):.3f}" if name in ratios else ""
        print(f"{name:<20} {statistics.median(values):>14.0f} {ratio:>12}")
    if "tcpstates" not in rivals:
        print("tcpstates is not installed (package libbpf-tools)")


def memory(pid):
    """Resident memory of the process and of its BPF maps and programs, in MiB; pages of maps that
    the process has mapped count as the kernel's."""
    rss, name = 0, ""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as f:
        for line in f:
            if line[0] in "0123456789abcdef":
                name = line.split()[-1]
            elif line.startswith("Rss:") and "bpf-map" not in name:
                rss += int(line.split()[1])
    kernel, seen = 0, set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as f:
            info = dict(line.split(":", 1) for line in f if ":" in line)
        key = next(((k, info[k]) for k in ("map_id", "prog_id") if k in info), None)
        if key and key not in seen:
            seen.add(key)
            kernel += int(info.get("memlock", "0"))
    return rss / 1024, kernel / (1 << 20)


def many_held():
    hold = subprocess.Popen([os.path.join(BUILD, "bench", "bench_hold"), str(HELD), "8"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert hold.stdout.readline() == b"ready\n"
        watch = subprocess.Popen([UNCLOSED, "watch", "--json"], stdout=subprocess.PIPE, text=True,
                                 stdin=subprocess.DEVNULL)
        begun, lines = time.monotonic(), 0
        for line in watch.stdout:
            lines += '"half-closed"' in line
            if lines == HELD // 8 * 8:
                break
        took = time.monotonic() - begun
        rss, kernel = memory(watch.pid)
        with open(f"/proc/{watch.pid}/stat", encoding="utf-8") as f:
            ticks = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])
        time.sleep(2)
        with open(f"/proc/{watch.pid}/stat", encoding="utf-8") as f:
            more = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13]) - ticks
        print(f"{HELD} half-closed: all reported in {took:.1f} s; memory {rss + kernel:.1f} MiB "
              f"(process {rss:.1f}, kernel {kernel:.1f}); at rest {more / 2:.1f} % of a CPU")
        watch.terminate()
        watch.stdout.read()
        watch.wait()
    finally:
        hold.stdin.close()
        hold.wait()


def delays(title, load):
    """Milliseconds from the threshold to the line, for 30 connections."""
    import socket
    watch = subprocess.Popen([UNCLOSED, "watch", "--json", "--after", "200ms", "--pid",
                              str(os.getpid())], stdout=subprocess.PIPE, text=True)
    watch.stdout.readline()
    busy = subprocess.Popen([os.path.join(BUILD, "bench", "bench_storm"), "12", "2"],
                            stdout=subprocess.DEVNULL) if load else None
    late = []
    with socket.create_server(("127.0.0.1", 0)) as ls:
        for i in range(30):
            client = socket.create_connection(ls.getsockname())
            ls.accept()[0].close()
            client.recv(1)
            line = watch.stdout.readline()
            now = time.time()
            seen = json.loads(line)
            assert seen["event"] == "half-closed", seen
            due = seen["time"] - seen["age_ms"] / 1000 + 0.2
            late.append((now - due) * 1000)
            client.close()
            for _ in range(2):  # closed, over
                watch.stdout.readline()
            time.sleep(0.007 * (i % 5))
    watch.terminate()
    watch.stdout.read()
    watch.wait()
    if busy:
        busy.terminate()
        busy.wait()
    late.sort()
    print(f"{title}: line {statistics.median(late):.1f} ms after the threshold (median), "
          f"{late[-1]:.1f} ms at most, of {len(late)}")


storms()
many_held()
delays("idle", False)
delays("in the storm", True)
