# SPDX-License-Identifier: MIT
"""What `unclosed watch` costs: a connection storm untraced, watched, and under tcpstates; memory with
100,000 half-closed connections, which were there before, come during the watch, or have both of their
ends on this host; and how soon after the threshold a line comes out: on an idle host, in the storm,
where others hold 80,000 half-closed sockets, and with the first stack of a program.

The storm (bench/watch/storm.c) is a textbook server and four clients that connect, read to the end and
close, in a network namespace of their own. It is measured in two ways.

In turns: one storm, watched by the program's own code and not watched, in turns of 50 ms (bench/watch/turns.c).
What else the machine does changes from one second to the next by more than a watch costs, so short turns
show more. A turn's ratio is that of its rate to the mean of the untraced ones before and after it; the
median of all counts, and the range in which it lies with 95 %. Where they are named, `bare` has a server that does
the least, `long` turns of 100 ms of which the first 30, in which attaching and detaching might disturb, do not count, and
`made` is with --made.

As processes: `unclosed watch`, tcpstates, and a process that does nothing, which is `untraced`, are started beside
a storm one after the other, which is looked at for 0.6 s once they have come to rest; RUNS times (tcpstates nine). The same
compared with itself shows how much of a ratio is chance.

Beside each rate stands the same ratio of the processor time that server and clients took for a connection.
Every step has a deadline.
"""
import json
import os
import random
import select
import statistics
import subprocess
import sys
import time

BUILD = os.path.abspath(sys.argv[1])
RUNS = int(os.environ.get("BENCH_RUNS", "31"))
BATCHES = int(os.environ.get("BENCH_BATCHES", "20"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "0.6"))
CLIENTS = "4"  # so many that the server always has something to do
HELD = int(os.environ.get("BENCH_HELD", "100000"))
UNCLOSED = os.path.join(BUILD, "src", "unclosed")
TCPSTATES = "/usr/sbin/tcpstates"
# It finds its tracepoint in tracefs, which not every host has mounted: then it is, for it alone.
WITH_TRACEFS = ["unshare", "--mount", "sh", "-c",
                'T=/sys/kernel/tracing; [ -e $T/events ] || mount -t tracefs tracefs $T; exec "$0"']
TURNS = os.path.join(BUILD, "bench", "bench_turns")
STORM = os.path.join(BUILD, "bench", "bench_storm")
PATIENCE = 30  # seconds for any one step


def say(text):
    print(text, flush=True)


class Program:
    """A program whose output is read line by line, never for longer than PATIENCE."""

    def __init__(self, *argv, **more):
        self.name = os.path.basename(argv[0])
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **more)
        self.out = self.process.stdout.fileno()
        os.set_blocking(self.out, False)
        self.rest = b""

    def line(self, seconds=PATIENCE):
        """The next line; b"" at the end."""
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            if time.monotonic() > end:
                self.stop()
                raise TimeoutError(f"{self.name}: no line within {seconds} s")
            if not select.select([self.out], [], [], 0.5)[0]:
                continue
            more = os.read(self.out, 1 << 20)
            if not more:
                return b""
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return line + b"\n"

    def lines(self, seconds=PATIENCE):
        """All whole lines that are there, or that come next; an error at the end."""
        assert select.select([self.out], [], [], seconds)[0], f"{self.name}: no line within {seconds} s"
        more = os.read(self.out, 1 << 20)
        assert more, f"{self.name} ended"
        whole = (self.rest + more).split(b"\n")
        self.rest = whole.pop()
        return whole

    def throw_away(self):
        """What it prints from now on is thrown away, as cheaply as can be."""
        os.set_blocking(self.out, True)
        self.sink = subprocess.Popen(["cat"], stdin=self.out, stdout=subprocess.DEVNULL)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        if not hasattr(self, "sink"):
            self.throw_away()
        self.process.stdout.close()
        for process in (self.process, self.sink):
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                say(f"{self.name} does not end when it is asked to")
                process.kill()
                process.wait()


class Storm:
    """A storm that runs while the block does."""

    def __init__(self, server="textbook"):
        self.process = subprocess.Popen([STORM, server, CLIENTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)

    def moment(self):
        self.process.stdin.write("\n")
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "the storm is silent"
        return [float(word) for word in self.process.stdout.readline().split()]

    def turn(self):
        """Connections a second, and microseconds of processor time for each, from now on for SECONDS."""
        at, used, count = self.moment()
        time.sleep(SECONDS)
        now = self.moment()
        return (now[2] - count) / (now[0] - at), (now[1] - used) / (now[2] - count)

    def __enter__(self):
        self.moment()  # it is warm
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE)


def rest(pid):
    """Waits until a process takes next to no processor time: what its start costs is no part of what a
    connection does."""
    end = time.monotonic() + PATIENCE
    while True:
        used = ticks(pid)
        time.sleep(0.2)
        if ticks(pid) - used <= 1:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"process {pid} does not come to rest within {PATIENCE} s")


def under(storm, argv, ready):
    """A turn of the storm while a tracer runs; `ready` is what its first line holds."""
    tracer = Program(*argv, stderr=subprocess.DEVNULL)
    try:
        line = tracer.line()
        assert ready in line, f"{argv}: {line}"
        tracer.throw_away()
        if argv[0] != WITH_TRACEFS[0]:  # tcpstates has something to say of each connection
            rest(tracer.process.pid)
        return storm.turn()
    finally:
        tracer.stop()


def batch(server, length, settle, *how):
    """One storm in turns of `length` milliseconds, of which the first `settle` do not count: the ratios of rate
    and of processor time of each watched turn to the two beside it."""
    out = subprocess.run([TURNS, server, str(length), str(3000 // length), CLIENTS, str(settle), *how],
                         stdout=subprocess.PIPE, check=True, text=True, timeout=3 * PATIENCE)
    rows = [[float(x) for x in line.split()] for line in out.stdout.splitlines()]
    return [(during[1] * 2 / (before[1] + after[1]), during[2] * 2 / (before[2] + after[2]))
            for before, during, after in zip(rows, rows[1:], rows[2:])
            if (before[0], during[0], after[0]) == (0, 1, 0)]


def turns(server, length=50, settle=5, *how):
    """The medians of many storms' turns. Turns of one storm are alike, so the range in which they lie with 95 %
    is that of medians of storms drawn anew from those that were run."""
    batches = [batch(server, length, settle, *how) for _ in range(BATCHES)]
    draw = random.Random(1)

    def median(of, column):
        return statistics.median(turn[column] for one in of for turn in one)

    def told(column):
        drawn = sorted(median(draw.choices(batches, k=len(batches)), column) for _ in range(1000))
        return f"{median(batches, column):.4f} ({drawn[25]:.4f}-{drawn[974]:.4f})"

    say(f"storm, {' '.join((server, *how))}, {sum(map(len, batches))} watched turns of {length} ms, {settle} not counted: "
        f"{told(0)} of the untraced rate, {told(1)} times its processor time")


# What does nothing stands in for the tracer, so that all else is the same.
NOTHING = (["sh", "-c", "echo nothing; exec sleep 3600"], b"nothing")


def storms(server="textbook"):
    turns(server)
    rivals = {"unclosed watch": ([UNCLOSED, "watch"], b"watching", RUNS),
              "nothing again": (*NOTHING, RUNS)}
    if os.path.exists(TCPSTATES):
        rivals["tcpstates"] = ([*WITH_TRACEFS, TCPSTATES], b"SKADDR", 9)
    else:
        say("tcpstates is not installed (package libbpf-tools)")
    results, ratios = {"untraced": []}, {}
    for i in range(RUNS):
        with Storm(server) as storm:
            before = under(storm, *NOTHING)
            for name, (argv, ready, runs) in rivals.items():
                if i >= runs:
                    continue
                during = under(storm, argv, ready)
                after = under(storm, *NOTHING)
                results.setdefault(name, []).append(during)
                results["untraced"].append(after)
                ratios.setdefault(name, []).append((during[0] / ((before[0] + after[0]) / 2),
                                                    during[1] / ((before[1] + after[1]) / 2)))
                before = after

    def median(values, column):
        return statistics.median(v[column] for v in values)

    def quartiles(values, column):
        low, _, high = statistics.quantiles((v[column] for v in values), n=4)
        return f"{low:.3f}-{high:.3f}"

    say(f"{f'storm, {server} server':<26} {'runs':>5} {'connections/s':>14} {'of untraced':>12} {'quartiles':>13} "
        f"{'CPU µs each':>12} {'of untraced':>12} {'quartiles':>13}   (medians)")
    for name, values in results.items():
        shares = [f"{median(ratios[name], i):>12.3f} {quartiles(ratios[name], i):>13}" if name in ratios else f"{'':>26}"
                  for i in (0, 1)]
        say(f"{name:<26} {len(values):>5} {median(values, 0):>14.0f} {shares[0]} {median(values, 1):>12.1f} {shares[1]}")


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
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as f:
                info = dict(line.split(":", 1) for line in f if ":" in line)
        except FileNotFoundError:  # open for a moment
            continue
        key = next(((k, info[k]) for k in ("map_id", "prog_id") if k in info), None)
        if key and key not in seen:
            seen.add(key)
            kernel += int(info.get("memlock", "0"))
    return rss / 1024, kernel / (1 << 20)


def ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])


class Held:
    """Connections whose peer has closed, in processes of their own; with `both` the peer's ends are held
    too."""

    def __init__(self, count, processes, *both):
        self.process = subprocess.Popen([os.path.join(BUILD, "bench", "bench_hold"), str(count),
                                         str(processes), *both],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def ready(self):
        assert select.select([self.process.stdout], [], [], 4 * PATIENCE)[0], "hold is not ready"
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(2 * PATIENCE)


def peak(pid):
    """The most resident memory that the process had, in MiB, but for pages of maps that it has mapped."""
    mapped, name = 0, ""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as f:
        for line in f:
            if line[0] in "0123456789abcdef":
                name = line.split()[-1]
            elif line.startswith("Rss:") and "bpf-map" in name:
                mapped += int(line.split()[1])
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        most = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    return (most - mapped) / 1024


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="utf-8") as f:
        f.write("5")


def held(title, live, *both):
    """Memory with all of them reported: resident in the process, without its maps, which are counted as
    the kernel has them (memlock); the most that it was since the programs were loaded, and after."""
    processes = 16
    count = HELD // processes * processes
    hold = None
    try:
        if not live:
            hold = Held(count, processes, *both).ready()
        watch = Program(UNCLOSED, "watch", "--json")
        assert b"watching" in watch.line()
        forget_peak(watch.process.pid)
        if live:
            hold = Held(count, processes, *both)
        begun, lines = time.monotonic(), 0
        while lines < count:
            lines += sum(b'"half-closed"' in x and b'"comm":"bench_hold"' in x for x in watch.lines())
        took = time.monotonic() - begun
        if live:
            hold.ready()
        time.sleep(2)  # until the last stack's memory is given back
        rss, kernel = memory(watch.process.pid)
        most = peak(watch.process.pid)
        used = ticks(watch.process.pid)
        time.sleep(2)
        more = ticks(watch.process.pid) - used
        say(f"{count} half-closed, {title}: all reported in {took:.1f} s; memory {rss + kernel:.1f} MiB "
            f"(process {rss:.1f}, kernel {kernel:.1f}), {most + kernel:.1f} at most; "
            f"at rest {more / 2:.1f} % of a CPU")
        watch.stop()
    finally:
        if hold:
            hold.stop()


def many_held():
    held("there at the start", False)
    held("made during the watch", True)
    held("made during the watch, both ends held here", True, "both")


def tell(title, late):
    worst = late.index(max(late))
    say(f"{title}: line {statistics.median(late):.1f} ms after the threshold (median), "
        f"{max(late):.1f} ms at most (number {worst + 1}), of {len(late)}")


def lateness(watch, after):
    """Milliseconds from the threshold to the line, and the line."""
    seen = json.loads(watch.line())
    now = time.time()
    assert seen["event"] == "half-closed", seen
    return (now - (seen["time"] - seen["age_ms"] / 1000 + after)) * 1000, seen


def delays(title, storm_beside=False, by_port=False):
    """For 30 connections, one after the other."""
    import socket
    late = []
    with socket.create_server(("127.0.0.1", 0)) as ls:
        which = ["--port", str(ls.getsockname()[1])] if by_port else ["--pid", str(os.getpid())]
        watch = Program(UNCLOSED, "watch", "--json", "--after", "200ms", *which)
        watch.line()
        busy = Storm().__enter__() if storm_beside else None
        for i in range(30):
            client = socket.create_connection(ls.getsockname())
            ls.accept()[0].close()
            client.recv(1)
            ms, seen = lateness(watch, 0.2)
            assert seen["told"] and seen["told"]["stack"] and seen["holders"][0]["pid"] == os.getpid(), seen
            late.append(ms)
            client.close()
            for _ in range(2):  # closed, over
                watch.line()
            time.sleep(0.007 * (i % 5))
    watch.stop()
    if busy:
        busy.__exit__()
    tell(title, late)


def with_others():
    with Held(80000, 8) as hold:
        hold.ready()
        delays("80,000 half-closed of others, --pid")
        delays("80,000 half-closed of others, --port", by_port=True)


TOLD = """
import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
c.recv(1)
sys.stdin.read()
"""


def first_stacks(title, after):
    """Each of a watch that has read no stack before, of a program of its own."""
    import socket
    late = []
    for _ in range(10):
        with socket.create_server(("127.0.0.1", 0)) as ls:
            port = str(ls.getsockname()[1])
            watch = Program(UNCLOSED, "watch", "--json", "--after", f"{after}ms", "--port", port)
            watch.line()
            told = subprocess.Popen(["/usr/bin/python3", "-c", TOLD, port], stdin=subprocess.PIPE)
            ls.accept()[0].close()
            ms, seen = lateness(watch, after / 1000)
            assert len(seen["told"]["stack"]) > 3, seen
            late.append(ms)
            told.stdin.close()
            told.wait(PATIENCE)
            watch.stop()
    tell(title, late)


PARTS = {"storm": storms, "bare": lambda: turns("bare"), "long": lambda: turns("textbook", 100, 30),
         "made": lambda: turns("textbook", 50, 5, "made"), "memory": many_held, "idle": lambda: delays("idle"),
         "busy": lambda: delays("in the storm", storm_beside=True), "others": with_others,
         "first": lambda: [first_stacks(f"first stack of a program, --after {after}ms", after)
                           for after in (1000, 200)]}
for part in sys.argv[2:] or (p for p in PARTS if p not in ("bare", "long", "made")):
    PARTS[part]()
