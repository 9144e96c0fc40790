# SPDX-License-Identifier: MIT
"""Starts daytimed on a port of the kernel's choice, and looks at its sockets from outside."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess

from tap import BUILD, binary, run, wait_for

STATES = ["?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
          "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"]


class Server:
    """daytimed, started with --user=none so that a test may trace it; .port, .pid, .err()."""

    def __init__(self, *options, port="0", wrap=(), user="none", env=None, **kw):
        argv = [*wrap, binary("daytimed"), *options]
        if user:
            argv.append(f"--user={user}")
        argv.append(str(port))
        self.log = os.memfd_create("daytimed-log")
        self.process = subprocess.Popen(argv, stderr=self.log, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **(env or {})}, **kw)
        self.pid = self.process.pid
        try:
            self.port = wait_for(self._port, f"{argv} listens")
        except AssertionError as error:
            self.stop(signal.SIGKILL)
            raise AssertionError(f"{error}; it said: {self.err()}") from None

    def _port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"exit code {self.process.returncode}")
        match = re.search(r"listening on port (\d+)\.\.\.\n", self.err())
        return match and int(match[1])

    def err(self):
        return os.pread(self.log, 1 << 20, 0).decode(errors="backslashreplace")

    def send(self, number):
        os.kill(self.pid, number)

    def stop(self, number=signal.SIGTERM, seconds=10):
        """Ends it and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"daytimed did not end within {seconds} s") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(AssertionError):
            # Lines that were run are written down at a proper end only (make coverage).
            self.stop(signal.SIGTERM if "UNCLOSED_COVERAGE" in os.environ else signal.SIGKILL)
        os.close(self.log)

    def connect(self, family=socket.AF_INET, timeout=10):
        address = "127.0.0.1" if family == socket.AF_INET else "::1"
        s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(timeout)
        s.connect((address, self.port))
        return s


def read_all(s):
    """Everything up to the end of the stream."""
    data = b""
    while chunk := s.recv(65536):
        data += chunk
    return data


def load(port, connections, threads=4):
    """(replies, errors) of the bench's load generator."""
    got = run(os.path.join(BUILD, "bench", "bench_load"), port, connections, threads)
    return tuple(int(n) for n in got.stdout.split()[:2])


def ends(port):
    """The sockets that have `port` at their near or far end, listeners left out: a list of
    (state, local port, remote port, recv-q), from /proc/net/tcp and tcp6."""
    found = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as f:
            for line in f.readlines()[1:]:
                field = line.split()
                local, remote = (int(a.split(":")[1], 16) for a in field[1:3])
                state = STATES[int(field[3], 16)]
                if port in (local, remote) and state != "LISTEN":
                    found.append((state, local, remote, int(field[4].split(":")[1], 16)))
    return found


def state_of(local, remote):
    """(state, recv-q) of the socket between these two ports, or None."""
    return next(((s, q) for s, l, r, q in ends(local) if (l, r) == (local, remote)), None)


def counters(server):
    """What the server has done so far, asked for with SIGUSR2 (by the pid that serves)."""
    before = len(counter_lines(server))
    server.send(signal.SIGUSR2)
    wait_for(lambda: len(counter_lines(server)) > before, "the counters")
    return last_counters(server)


def counter_lines(server):
    """Whole lines only: the last may still be on its way."""
    return [line for line in server.err().splitlines(keepends=True)
            if line.startswith('{"schema"') and line.endswith("\n")]


def last_counters(server):
    return json.loads(counter_lines(server)[-1])


def cpu_ns(pid):
    """CPU that a process has used, in nanoseconds."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0])


def status(pid):
    """The lines of /proc/PID/status as a dictionary."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
