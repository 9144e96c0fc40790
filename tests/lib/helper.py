# SPDX-License-Identifier: MIT
"""Programs that make what a test looks at, and do the next thing when they are told to."""
import contextlib
import subprocess
import sys

from tap import equal, within


def put_an_end_to(process):
    """Kills it where it still runs."""
    if process.poll() is None:
        process.kill()
        process.wait()


class Helper:
    """A running program that is talked to in lines, and ends with its standard input."""

    def __init__(self, *argv, **more):
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, **more)
        self.pid = self.process.pid

    def tell(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def says(self):
        """Its next line, without the end; "" also where there is none."""
        return self.process.stdout.readline().rstrip("\n")

    def expect(self, line):
        equal(self.says(), line, "what it says")

    def lines_to(self, word):
        """What it says until this word."""
        said = []
        for line in self.process.stdout:
            if line == word + "\n":
                return said
            said.append(line)
        raise AssertionError(f"{self.process.args}: ended before it said {word}")

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(within(20))
        finally:
            put_an_end_to(self.process)
            self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()


class Python(Helper):
    """The same of a text in Python. before: the words that run it."""

    def __init__(self, text, *args, before=(), **more):
        super().__init__(*before, sys.executable, "-ISc", text, *args, **more)
