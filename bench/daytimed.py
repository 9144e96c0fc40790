# SPDX-License-Identifier: MIT
"""CPU per connection, connections per second and memory of daytimed and of what it replaces.

Runs in a network namespace of its own, where port 13 is free. The servers are all up; each gets its
load in turn, RUNS times, and the medians count: many short turns, since what else the machine does changes within
seconds. The load is bench/daytimed/load.c: THREADS closed
loops that connect, read to the end of the stream and close. CPU is the server process's own, from
/proc/PID/schedstat (and stat, for children), which has what the kernel does on its behalf in it.
"""
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
RUNS = int(os.environ.get("BENCH_RUNS", "41"))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "4000"))
WORKER_RUNS, WORKER_CONNECTIONS = min(RUNS, 7), 5 * CONNECTIONS
THREADS = os.environ.get("BENCH_THREADS", "16")
LOGGED = "daytimed, all logged"
RIVALS = os.path.join(BUILD, "rivals")
XINETD = """service daytime
{
	type = INTERNAL
	id = daytime-stream
	socket_type = stream
	protocol = tcp
	user = root
	wait = no
	flags = IPv4
	instances = UNLIMITED
	per_source = UNLIMITED
	cps = 1000000 1
	log_type = FILE FOLDER/xinetd.log
	disable = no
}
"""
INETD = "daytime stream tcp nowait root internal\n"


class Server:
    def __init__(self, name, argv, port=None, env=None):
        self.name, self.argv, self.fixed, self.env = name, argv, port, env
        self.us, self.rate, self.rss = [], [], 0

    def start(self):
        log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=log,
                                        stdout=subprocess.DEVNULL, env=self.env)
        self.pid = self.process.pid
        for _ in range(1000):
            match = re.search(rb"port (\d+)", os.pread(log.fileno(), 4096, 0))
            self.port = self.fixed or (match and int(match[1]))
            if self.port and load(self.port, 1, 1)[0] == 1:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise SystemExit(f"{self.name} does not answer: {os.pread(log.fileno(), 4096, 0)!r}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self):
        """Seconds of CPU so far, its children's included, as the log's writer of daytimed is one."""
        own = sum(cpu_of(pid) for pid in (self.pid, *children(self.pid)))
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            field = f.read().rpartition(")")[2].split()
        return own + (int(field[13]) + int(field[14])) / os.sysconf("SC_CLK_TCK")

    def measure(self):
        before = self.cpu()
        replies, errors, seconds = load(self.port, CONNECTIONS)
        time.sleep(0.05)  # what is closed last is closed within a millisecond
        self.us.append((self.cpu() - before) / CONNECTIONS * 1e6)
        self.rate.append(replies / seconds)
        if errors:
            raise SystemExit(f"{self.name}: {errors} of {CONNECTIONS} got no reply")
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            self.rss = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def cpu_of(pid):
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9
    except FileNotFoundError:
        return 0.0  # a child that has ended meanwhile


def load(port, connections, threads=THREADS):
    got = subprocess.run([os.path.join(BUILD, "bench", "bench_load"), str(port), str(connections),
                          str(threads)], stdout=subprocess.PIPE, text=True, check=True)
    replies, errors, seconds = got.stdout.split()
    return int(replies), int(errors), float(seconds)


def in_namespace():
    """Runs this again in a network namespace where port 13 is free."""
    if os.environ.get("BENCH_INSIDE"):
        return
    tool = os.path.join(HERE, "..", "tools", "unpack")
    got = subprocess.run([tool, RIVALS, "xinetd", "openbsd-inetd", "libevent-core-2.1-7", "libwrap0",
                          "libbsd0", "libtirpc3"], check=False)
    if got.returncode:
        print("xinetd and openbsd-inetd cannot be fetched here: they are left out")
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable,
            *sys.argv]
    if os.geteuid() != 0:
        argv[1:1] = ["--user", "--map-root-user"]
    os.execvpe("unshare", argv, {**os.environ, "BENCH_INSIDE": "1"})


def servers(folder):
    daytimed = [os.path.join(BUILD, "src", "daytimed"), "--user=none"]
    rival = os.path.join(BUILD, "bench", "bench_rival")
    yield Server("textbook", [rival, "textbook", "0"])
    yield Server("bare", [rival, "bare", "0"])
    yield Server("daytimed", [*daytimed, "0"])
    yield Server(LOGGED, [*daytimed, "--log=connections", "--udp", "0"])
    sbin = os.path.join(RIVALS, "usr", "sbin")
    env = {**os.environ, "LD_LIBRARY_PATH": f"{RIVALS}/usr/lib/x86_64-linux-gnu:"
                                            f"{RIVALS}/lib/x86_64-linux-gnu"}
    for name, text, argv in (
            ("xinetd", XINETD, ["xinetd", "-dontfork", "-f", f"{folder}/xinetd", "-pidfile",
                                f"{folder}/xinetd.pid"]),
            ("openbsd-inetd", INETD, ["inetd", "-i", "-R", "0", f"{folder}/openbsd-inetd"])):
        with open(f"{folder}/{name}", "w", encoding="ascii") as f:
            f.write(text.replace("FOLDER", folder))
        if os.path.exists(os.path.join(sbin, argv[0])):
            yield Server(name, [os.path.join(sbin, argv[0]), *argv[1:]], 13, env)


def compare(folder):
    """Measures all in turn. Those that want port 13 are stopped between their turns."""
    all_of_them = list(servers(folder))
    for s in all_of_them:
        s.start()
        load(s.port, 2000)
        if s.fixed:
            os.kill(s.pid, signal.SIGTERM)
            s.stop()
    for _ in range(RUNS):
        for s in all_of_them:
            if s.fixed:
                s.start()
            s.measure()
            if s.fixed:
                s.stop()
    for s in all_of_them:
        if not s.fixed:
            s.stop()
    return {s.name: s for s in all_of_them}


def compare_two(by_name, ours, rival, reach):
    """Each run against the rival's of the same round: what else the machine does then hits both."""
    ratio = statistics.median(a / b for a, b in zip(by_name[ours].us, by_name[rival].us))
    goal = "" if reach is None else \
        f"  to reach: <= {reach:.2f}, {'reached' if ratio <= reach else 'NOT reached'}"
    print(f"{ours + ' / ' + rival:36} {ratio:.3f}{goal}")


def report(by_name):
    us = {name: statistics.median(s.us) for name, s in by_name.items()}
    print(f"{CONNECTIONS} connections a run, {THREADS} closed loops, medians of {RUNS} runs in turn")
    print(f"{'server':22}{'CPU us/conn':>12}{'(min-max)':>14}{'conn/s':>9}{'RSS KiB':>9}")
    for name, s in by_name.items():
        print(f"{name:22}{us[name]:12.2f}{f'{min(s.us):.1f}-{max(s.us):.1f}':>14}"
              f"{statistics.median(s.rate):9.0f}{s.rss:9}")
    for ours in ("daytimed", LOGGED):
        for rival, reach in (("textbook", 0.70), ("bare", 0.90), ("xinetd", 0.45), ("openbsd-inetd", None)):
            if rival in us:
                compare_two(by_name, ours, rival, reach)
    print(json.dumps({"schema": 1, "bench": "daytimed", "us": us,
                      "rss_kib": {n: s.rss for n, s in by_name.items()}}))


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def workers_of(pid):
    """The processes that serve: the children but for the log's writer, or the process itself."""
    def name(child):
        with open(f"/proc/{child}/comm", encoding="ascii") as f:
            return f.read().strip()
    return [child for child in children(pid) if name(child) == "daytimed"] or [pid]


class Quota:
    """A cgroup that may use a tenth of one CPU."""
    ROOT = "/sys/fs/cgroup/cpu"

    def __init__(self, name):
        self.path = f"{self.ROOT}/unclosed-bench-{os.getpid()}-{name}"
        os.mkdir(self.path)
        try:
            self.write("cpu.cfs_period_us", 20000)
            self.write("cpu.cfs_quota_us", 2000)
        except OSError:
            os.rmdir(self.path)
            raise

    def write(self, name, value):
        with open(f"{self.path}/{name}", "w", encoding="ascii") as f:
            f.write(str(value))

    def close(self):
        for _ in range(200):
            try:
                return os.rmdir(self.path)
            except OSError:
                time.sleep(0.01)


def worker_rate(count):
    """Connections per second of `count` workers that may each use a tenth of a CPU."""
    s = Server("workers", [os.path.join(BUILD, "src", "daytimed"), "--user=none", "--log=quiet",
                           "--max-connections=4000", "--max-per-source=4000", f"--workers={count}", "0"])
    s.start()
    quotas = []
    try:
        for i, pid in enumerate(workers_of(s.pid)):
            quotas.append(Quota(f"{count}-{i}"))
            quotas[-1].write("cgroup.procs", pid)
        load(s.port, 2000)
        before = os.times()
        replies, errors, seconds = load(s.port, WORKER_CONNECTIONS, 128)
        after = os.times()
        used = (after.children_user + after.children_system - before.children_user -
                before.children_system) / seconds
        return replies / seconds, used, errors
    finally:
        s.stop()
        for q in quotas:
            q.close()


def workers():
    """Two workers against one. The load generator needs as much CPU as they do, and on a machine of
    two cores it would be what limits them: so each worker may use a tenth of a core, which leaves the
    generator 1.8 cores and more; what it used is printed. Its 128 loops are enough that some wait at each
    worker at any time: with few, all would wait at one that has used its share while the other is idle."""
    try:
        rounds = [(worker_rate(1), worker_rate(2)) for _ in range(WORKER_RUNS)]
    except OSError as error:
        print(f"workers: no CPU quota can be set here ({error}); not measured")
        return
    got = {n: [pair[n - 1] for pair in rounds] for n in (1, 2)}
    rate = {n: statistics.median(r[0] for r in runs) for n, runs in got.items()}
    used = {n: max(r[1] for r in runs) for n, runs in got.items()}
    lost = sum(r[2] for runs in got.values() for r in runs)
    ratios = sorted(two[0] / one[0] for one, two in rounds)
    ratio = statistics.median(ratios)
    print(f"workers, each held to 0.1 of a core: one {rate[1]:.0f} conn/s, two {rate[2]:.0f} conn/s "
          f"({lost} errors); the generator used at most {used[1]:.2f} and {used[2]:.2f} of "
          f"{os.cpu_count()} cores")
    print(f"two workers / one  {ratio:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})  to reach: >= 1.60, "
          f"{'reached' if ratio >= 1.6 else 'NOT reached'}")


if __name__ == "__main__":
    in_namespace()
    with tempfile.TemporaryDirectory() as scratch:
        report(compare(scratch))
    workers()
