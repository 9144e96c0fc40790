# SPDX-License-Identifier: MIT
"""A running `unclosed watch`, for the tests that look at what it says."""
import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import time

import tap
from helper import Python, put_an_end_to
from tap import binary, json_lines, true, wait_for

# What the kernel does not show: events that came, by an interrupt, while the same program ran. A busy host
# has some. The watch counts them and says so; a test that failed beside one has shown nothing.
MISSED = re.compile(r'"missed":[1-9][0-9]*|[0-9]+ events? not seen: [^\n]*')


def missed():
    """Whether a watch of the test that failed had missed something; why, or None."""
    return ", ".join(m[0] for m in map(MISSED.search, tap.SAID) if m)


tap.INCONCLUSIVE.append(missed)

# Keeps out the connections of others.
HERE = ("--pid", str(os.getpid()))


def name(sock):
    return "%s:%d" % sock.getsockname()[:2]


def listen():
    """With room for many that are not accepted yet."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def pair(listener):
    """A connection: the end that connected, the end that was accepted."""
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def said_in(path):
    """The objects that a watch has written to that file."""
    with open(path, encoding="utf-8") as f:
        tap.SAID.append(f.read())
    return json_lines(tap.SAID[-1])


def functions(stack):
    return [f["function"] for f in stack]


def in_order(stack, *names):
    """The names come in the stack, each nearer to main than the one before."""
    have = functions(stack)
    at = [have.index(n) if n in have else -1 for n in names]
    true(-1 not in at and at == sorted(at), f"{names} in order in {have}")


class Watch:
    """A running `unclosed watch`, its output read as it comes."""

    def __init__(self, *options, before=()):
        self.process = subprocess.Popen([*before, binary("unclosed"), "watch", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL, bufsize=1)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.seen = ""
        self.began = time.monotonic()
        self.told_of = {}  # for who keeps what news() gave
        self.looked_at = 0

    def text(self):
        """Everything printed so far."""
        if self.process.stdout.closed:
            return self.seen
        parts = []
        try:
            while len(parts) < 100 and (part := os.read(self.process.stdout.fileno(), 1 << 20)):
                parts.append(part)
        except BlockingIOError:
            pass
        if parts:
            self.seen += b"".join(parts).decode()
        return self.seen

    def whole_lines(self):
        """What was printed so far, without a line that has not ended."""
        return self.text()[:self.seen.rfind("\n") + 1]

    def news(self, part):
        """The whole lines with this part that came since the last time. On a host with many sockets
        that are none of the test's business there are a hundred thousand others."""
        self.text()
        end = self.seen.rfind("\n") + 1
        fresh = [ln for ln in self.seen[self.looked_at:end].splitlines() if part in ln]
        self.looked_at = max(end, self.looked_at)
        return fresh

    def line(self, *parts, seconds=10):
        """Waits for a line that holds all the parts, and gives it."""
        def found():
            return next((ln for ln in self.text().splitlines(True)
                         if ln.endswith("\n") and all(p in ln for p in parts)), None)
        return wait_for(found, lambda: f"a line with {parts} in:\n{self.seen}", seconds)

    def ready(self):
        """Waits until it watches; `began` is a moment shortly before."""
        def look():
            before = time.monotonic()
            if "watching" not in self.text():
                self.began = before
            return "watching" in self.seen
        wait_for(look, "the beginning of the watch", 30)
        return self

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        wait_for(lambda: (self.text(), self.process.poll())[1] is not None, "its end", 20)
        code = self.process.returncode
        self.text()
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, errors

    def __enter__(self):
        return self

    def __exit__(self, failed=None, *unused):
        with contextlib.suppress(OSError, AssertionError):
            if failed and self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                wait_for(lambda: (self.text(), self.process.poll())[1] is not None, "its end", 20)
            if failed:
                tap.SAID.append(self.text())
        put_an_end_to(self.process)


HOLDER = """
import os, socket, sys
with open("/proc/self/comm", "w") as f:
    f.write(sys.argv[1])
if sys.argv[2]:
    with open(sys.argv[2] + "/cgroup.procs", "w") as f:
        f.write("0")
ls = socket.create_server(("127.0.0.1", 0))
kept = []
print(ls.getsockname()[1], flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "exec":
        os.set_inheritable(kept[-1].fileno(), True)
        os.execvp(rest[0], rest)
    c = socket.create_connection(ls.getsockname())
    s = ls.accept()[0]
    s.close()
    c.recv(1)
    if word == "leak":
        kept.append(c)
    told = "%s:%d %d" % (*c.getsockname(), c.fileno())
    if word == "quick":
        c.close()
    print(told, flush=True)
"""


class Holder(Python):
    """A process of a given name that makes connections which end half-closed, on demand."""

    def __init__(self, comm, cgroup="", before=()):
        super().__init__(HOLDER, comm, cgroup, before=before)
        self.comm = comm
        self.port = int(self.says())

    def ask(self, *words):
        self.tell(" ".join(map(str, words)))

    def leak(self):
        """Makes a connection, is told that its peer has closed, and keeps it: its address, its descriptor."""
        self.ask("leak")
        address, fd = self.says().split()
        return address, int(fd)

    def quick(self):
        """Makes one and closes it at once."""
        self.ask("quick")
        return self.says().split()[0]

    def kill(self):
        """Ends it: the kernel closes what it held."""
        self.process.kill()
        self.process.wait()

    def end(self):
        self.kill()
        super().end()
