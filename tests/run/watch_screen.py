# SPDX-License-Identifier: MIT
"""The full-screen view of unclosed watch, on a terminal that this test plays."""
import fcntl
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import binary, equal, main, run, test, wait_for  # noqa: E402
from watching import HERE, name  # noqa: E402


class Terminal:
    """A program on a terminal of 200 columns and 30 lines; what it draws is kept as text."""

    def __init__(self, *argv, term="xterm"):
        self.fd, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 200, 0, 0))
        self.process = subprocess.Popen([str(a) for a in argv], stdin=child, stdout=child,
                                        stderr=child, env={**os.environ, "TERM": term},
                                        start_new_session=True)
        os.close(child)
        self.drawn = ""

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            try:
                self.drawn += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
        return self.drawn

    def shows(self, *parts):
        wait_for(lambda: all(p in self.read() for p in parts) or None,
                 f"{parts} on the screen", 20)

    def type(self, keys):
        self.drawn = ""
        os.write(self.fd, keys.encode())

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)


@test
def from_processes_to_sockets_to_stacks_and_back():
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Terminal(binary("unclosed"), "watch", "--after", "100ms", *HERE) as t:
        t.shows("unclosed watch: 0 half-closed", "OPEN, LAST MINUTE", "q: leave")
        client = socket.create_connection(ls.getsockname())
        ls.accept()[0].close()
        client.recv(1)
        t.shows(str(os.getpid()), "1")
        t.type("\r")
        t.shows(name(client), "told", "q: back")
        t.type("\r")
        t.shows("told at", "recv", "up, down: scroll")
        t.type("q")
        t.shows("enter: its stacks")
        t.type("q")
        t.shows("q: leave")
        client.close()
        t.type("q")
        equal(t.process.wait(20), 0, "exit code")
        t.shows("1 reported")  # the summary, once the terminal is given back


@test
def an_unknown_terminal_is_named():
    with Terminal(binary("unclosed"), "watch", *HERE, term="no-such-terminal") as t:
        t.shows("TERM=no-such-terminal", "use --plain")
        equal(t.process.wait(20), 3, "exit code")


@test
def lines_where_there_is_no_terminal():
    r = run(binary("unclosed"), "watch", "--duration", "100ms", *HERE)
    equal((r.returncode, re.findall("\x1b", r.stdout)), (0, []), "escapes")


main()
