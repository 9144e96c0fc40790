# SPDX-License-Identifier: MIT
"""Terminals for programs that draw: one that keeps what is written, and one that understands it."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios

from helper import put_an_end_to
from tap import equal, run, wait_for


class Terminal:
    """A program on a terminal; what it draws is kept as text."""

    def __init__(self, *argv, term="xterm", columns=200, lines=30):
        self.fd, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
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

    def hang_up(self):
        os.close(self.fd)
        self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        put_an_end_to(self.process)
        if self.fd >= 0:
            os.close(self.fd)


class Tmux:
    """A command on a terminal of tmux's, in a server of its own."""

    def __init__(self, path, columns, lines, command):
        self.start = ["new-session", "-d", "-x", columns, "-y", lines, command]
        self.path = path

    def ask(self, *words):
        r = run("tmux", "-u", "-f", "/dev/null", "-S", self.path, *words)
        equal((r.returncode, r.stderr), (0, ""), f"tmux {words[0]}")
        return r.stdout

    def screen(self):
        return self.ask("capture-pane", "-p").splitlines()

    def shows(self, expression):
        """Waits for a row, and gives it."""
        return wait_for(lambda: next((ln for ln in self.screen() if re.search(expression, ln)), None),
                        lambda: f"{expression} in {self.screen()}", 20)

    def type(self, *keys):
        self.ask("send-keys", *keys)

    def is_over(self):
        """Whether the command has ended, and the server with it."""
        return run("tmux", "-S", self.path, "has-session").returncode != 0

    def __enter__(self):
        self.ask(*self.start)
        return self

    def __exit__(self, *unused):
        if not self.is_over():
            self.ask("kill-server")
