# SPDX-License-Identifier: MIT
"""A running `unclosed watch`, for the tests that look at what it says."""
import os
import signal
import subprocess

from tap import binary, wait_for

# Keeps out the connections of others.
HERE = ("--pid", str(os.getpid()))


def name(sock):
    return "%s:%d" % sock.getsockname()[:2]


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
        if self.process.stdout.closed:
            return self.seen
        try:
            self.seen += os.read(self.process.stdout.fileno(), 1 << 20).decode()
        except BlockingIOError:
            pass
        return self.seen

    def whole_lines(self):
        """What was printed so far, without a line that has not ended."""
        return self.text()[:self.seen.rfind("\n") + 1]

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
        wait_for(lambda: (self.text(), self.process.poll())[1] is not None, "its end", 20)
        code = self.process.returncode
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
