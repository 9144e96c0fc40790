# SPDX-License-Identifier: MIT
"""The README's examples: what stands there, a host to type it at, and what may differ from what is printed there."""
import os
import re
import subprocess
import tempfile

from tap import SOURCE, binary, equal, run, wait_for, within

with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as readme:
    TEXT = readme.read()

# The programs are those that were built; the terminal is as wide as the README's.
ENV = {**os.environ, "COLUMNS": "80",
       "PATH": f"{os.path.abspath(os.path.dirname(binary('unclosed')))}:{os.environ['PATH']}"}


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.S)


def examples():
    """What is typed, with what is printed after it."""
    for block in blocks("console"):
        for example in re.split(r"^[$#] ", block, flags=re.M)[1:]:
            typed, _, printed = example.partition("\n")
            yield typed.partition("   #")[0], printed


def example(start):
    """The one example that starts so."""
    (found,) = [e for e in examples() if e[0].startswith(start)]
    return found


class Host:
    """To type at, with a network of its own: what is said of its sockets is said of no others, and its ports are
    free. Its /var/log is its own, too."""

    def __enter__(self):
        self.process = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c",
                                         "ip link set lo up && mount -t tmpfs tmpfs /var/log && echo && exec cat"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        equal(self.process.stdout.readline(), "\n", "what is set up")
        self.netns = os.stat(f"/proc/{self.process.pid}/ns/net").st_ino
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def words(self, line, folder):
        return ["nsenter", f"--target={self.process.pid}", "--net", "--mount", "--",
                "sh", "-c", f'cd "$0" && exec {line}', folder]

    def type(self, line, folder="/"):
        """Types a line, and waits for the end of what it runs."""
        return run(*self.words(line, folder), env=ENV)

    def start(self, line, folder="/", **more):
        """The same from another terminal, without waiting."""
        return subprocess.Popen(self.words(line, folder), env=ENV, stdin=subprocess.DEVNULL,
                                start_new_session=True, **more)


class Server:
    """What a line that ends in & starts, once it has printed what it is to print."""

    def __init__(self, host, line, prints):
        self.host, self.line, self.prints = host, line, prints

    def printed(self):
        return os.pread(self.said.fileno(), 1 << 16, 0).decode()

    def __enter__(self):
        self.said = tempfile.TemporaryFile()
        self.process = self.host.start(self.line.removesuffix("&"), stdout=self.said, stderr=self.said)
        self.pid = self.process.pid
        try:
            wait_for(lambda: self.printed() == self.prints, f"{self.line}: {self.prints!r} is printed")
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(within(20))
        self.said.close()


TIME = r"\d+(?:\.\d+)? (?:us|ms|s)\b"


def a_time(found):
    """One that stands in a column is as wide as that, at its right or its left side."""
    right, left = found.groups()
    if right:
        return "TIME".rjust(len(right))
    return "TIME".ljust(len(left)) if left.endswith("  ") else re.sub(TIME, "TIME", left)


def a_process(found):
    number, port, blanks = found.groups("")
    return f"[PID]{port}" + " " * (len(number + blanks) if blanks else 0)


def masked(text):
    """Without what differs from run to run, columns as they are: moments, times, the numbers of processes, ports of
    the kernel's choice."""
    text = re.sub(r"^\d\d:\d\d:\d\d\.\d{3}", "MOMENT", text, flags=re.M)
    text = re.sub(r"^ *\d+\.\d(?= )", lambda found: "T".rjust(len(found[0])), text, flags=re.M)
    text = re.sub(rf"(  +{TIME})|({TIME} *)", a_time, text)
    text = re.sub(r"\[(\d+)\]( :\d+)?(  +)?", a_process, text)
    text = re.sub(r"_ms \d+", "_ms N", re.sub(r"\bprocess \d+", "process PID", text))
    return re.sub(r"(?<=[\d\]]:)[3-6]\d{4}\b", "PORT", text)


def same_lines(printed, wanted, what):
    """Compares two texts as lists of lines, so that it is said which line differs."""
    printed, wanted = printed.splitlines(), wanted.splitlines()
    for number, (have, want) in enumerate(zip(printed, wanted), 1):
        equal(have, want, f"{what}, line {number}")
    equal(printed[len(wanted):], wanted[len(printed):], f"{what}, lines after these")
