# SPDX-License-Identifier: MIT
"""A small test runner that speaks TAP: functions marked @test, run in order, each on its own."""
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import traceback

BUILD = os.environ.get("UNCLOSED_BUILD", "build")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANITIZED = os.environ.get("UNCLOSED_SANITIZED") == "1"
# How much longer than elsewhere it may take here until something happens. What is asserted stays as it is.
SLOW = int(os.environ.get("UNCLOSED_SLOW", "1"))
TESTS = []
INCONCLUSIVE = []  # functions that say, of a test that failed, why it proves nothing; else something false
SAID = []  # what the commands of this test have printed


class Skip(Exception):
    """Raised by a test that cannot run here."""


def test(function):
    """Marks a test; its docstring's first line, or its name, is shown."""
    TESTS.append((function.__name__, function))
    return function


def cases(*rows):
    """Marks a test that runs once per row, with the row's values as arguments."""
    def mark(function):
        for row in rows:
            args = row if isinstance(row, tuple) else (row,)
            shown = itertools.takewhile(lambda a: "\n" not in a, map(str, args))
            label = f"{function.__name__} {' '.join(shown)}".rstrip()
            TESTS.append((label, functools.partial(function, *args)))
        return function
    return mark


def once(function):
    """Marks a test that is not run again, whatever it fails beside: that is its own doing, or subject."""
    function.once = True
    return function


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}: wanted {want!r}, got {got!r}")


def true(value, what):
    if not value:
        raise AssertionError(what)


def has(text, part, what="text"):
    if part not in text:
        raise AssertionError(f"{what}: {part!r} is not in:\n{text}")


def binary(name):
    return os.path.join(BUILD, "src", name)


def within(seconds):
    """A deadline, as long as this machine needs it."""
    return seconds * SLOW


def run(*argv, timeout=60, **kw):
    """Runs a command to its end and returns it with .stdout and .stderr as text."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("text", True)
    kw.setdefault("errors", "backslashreplace")
    r = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=within(timeout), check=False, **kw)
    SAID.extend(text for text in (r.stdout, r.stderr) if isinstance(text, str))
    return r


def wait_for(condition, what, seconds=10):
    """Polls until `condition()` is true and returns its value; fails at the deadline, and says `what`, or what
    that returns then."""
    seconds = within(seconds)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what() if callable(what) else what}: not so within {seconds} s")
        time.sleep(0.002)


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def conclusive(name, function):
    """Runs a test; one that failed where something says that it could show nothing, twice more at most. Each time is
    said, with what failed: tests/lib/summary.py counts them."""
    most = 1 if getattr(getattr(function, "func", function), "once", False) else 3
    for left in reversed(range(most)):
        SAID.clear()
        try:
            return function()
        except Exception as error:  # pylint: disable=broad-except
            why = next((w for w in (ask() for ask in INCONCLUSIVE) if w), None)
            if not why or not left:
                raise
            failed = (str(error) or repr(error)).splitlines()[0][:120]
            print(f"# {name}: once more, for {why}; it failed: {failed}", flush=True)


def left_out():
    """Of the file that UNCLOSED_LEFT_OUT names: the cases of this test that do not run here, with the reasons. It
    has `test/case: reason`, where a case without its arguments means all of them."""
    path, here = os.environ.get("UNCLOSED_LEFT_OUT"), os.path.basename(sys.argv[0]).removesuffix(".py")
    reasons = {}
    if path:
        with open(path, encoding="utf-8") as f:
            for line in f:
                name, _, reason = line.strip().partition(": ")
                if name.startswith(f"{here}/"):
                    reasons[name.partition("/")[2]] = reason
    for name in reasons:
        if not any(name in (n, n.partition(" ")[0]) for n, _ in TESTS):
            raise SystemExit(f"{path}: {here} has no case {name}")
    return reasons


def heed_signals():
    """What a test starts is asked to end by these, though whoever runs the tests ignores them, as nohup does and
    what a script has in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main():
    heed_signals()
    only, out = sys.argv[1:], left_out()
    chosen = [(n, f) for n, f in TESTS if not only or any(o in n for o in only)]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, (name, function) in enumerate(chosen, 1):
        try:
            if reason := out.get(name) or out.get(name.partition(" ")[0]):
                raise Skip(f"left out: {reason}")
            conclusive(name, function)
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            print(f"# failed: {name}", file=sys.stderr, flush=True)
            lines = traceback.format_exc() if not isinstance(error, AssertionError) else str(error)
            for line in lines.splitlines():
                print(f"# {line}", file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)
