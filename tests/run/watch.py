# SPDX-License-Identifier: MIT
"""unclosed watch against connections that this test makes itself."""
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import binary, equal, has, main, run, test, true, wait_for  # noqa: E402


class Watch:
    """A running `unclosed watch`, its output read as it comes."""

    def __init__(self, *options):
        self.process = subprocess.Popen([binary("unclosed"), "watch", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL, bufsize=1)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.seen = ""

    def text(self):
        """Everything printed so far."""
        try:
            self.seen += os.read(self.process.stdout.fileno(), 1 << 20).decode()
        except BlockingIOError:
            pass
        return self.seen

    def line(self, *parts, seconds=10):
        """Waits for a line that holds all the parts, and gives it."""
        def found():
            return next((ln for ln in self.text().splitlines(True)
                         if ln.endswith("\n") and all(p in ln for p in parts)), None)
        return wait_for(found, f"a line with {parts} in:\n{self.seen}", seconds)

    def ready(self):
        self.line("watching")
        return self

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        self.text()
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, errors

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def pair(listener):
    """A connection: the end that connected, the end that was accepted."""
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]


def listen():
    return socket.create_server(("127.0.0.1", 0))


def name(sock):
    return "%s:%d" % sock.getsockname()[:2]


@test
def a_fin_that_nobody_reads_is_unread():
    with listen() as ls, Watch("--after", "100ms") as w:
        w.ready()
        client, server = pair(ls)
        server.close()
        line = w.line("half-closed", name(client))
        has(line, "CLOSE_WAIT")
        has(line, f"[{os.getpid()}] fd {client.fileno()} unread")
        end = name(client)
        client.close()
        has(w.line("over", end), "closed after")
        equal(w.stop(), (0, ""), "exit")


@test
def a_read_that_returned_0_is_told():
    with listen() as ls, Watch("--after", "100ms") as w:
        w.ready()
        client, server = pair(ls)
        server.close()
        equal(client.recv(10), b"", "read")
        line = w.line("half-closed", name(client))
        has(line, " told: read returned 0 ")
        has(line, f"[{os.getpid()}]")
        end = name(client)
        client.close()
        w.line("over", end)


@test
def what_closes_in_time_is_not_said():
    with listen() as ls, Watch("--after", "300ms") as w:
        w.ready()
        for _ in range(50):
            client, server = pair(ls)
            server.close()
            client.recv(10)
            client.close()
        client, server = pair(ls)
        server.close()
        w.line("half-closed", name(client))
        equal(len(re.findall(f":{ls.getsockname()[1]} ", w.text())), 1, "lines about the port")
        client.close()


main()
