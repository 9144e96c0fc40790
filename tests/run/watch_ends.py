# SPDX-License-Identifier: MIT
"""How unclosed watch ends: killed, asked to, with its command or its command with it, and where nobody takes what
it writes. Nothing stays loaded, no terminal is left as it was drawn on, and the exit status is the manual's."""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from bpfmaps import are_gone, bpf_ids  # noqa: E402
from helper import put_an_end_to  # noqa: E402
from tap import SANITIZED, binary, cases, equal, has, json_lines, main, test, true, wait_for  # noqa: E402
from terminal import Terminal  # noqa: E402
from watching import HERE, Holder, said_in  # noqa: E402

ALT_SCREEN, MAIN_SCREEN, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


def stat_of(pid):
    """Its state and its parent; None once it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            state, parent = f.read().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return state, int(parent)


def runs(pid):
    return (stat_of(pid) or "Z")[0] != "Z"


def children(pid):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and (stat_of(p) or "  ")[1] == pid]


def freeze(pid):
    """Stops it, so that what it holds can be looked at, and is what it dies with."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: (stat_of(pid) or "T")[0] == "T", f"process {pid} to stop")


def is_unclosed(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") == os.path.realpath(binary("unclosed"))
    return False


def links(pid):
    return [n for kind, n in bpf_ids(pid) if kind == "link"]


# A command that says when it runs, and leaves a connection half-closed at each line.
LEAKS = """
import os, socket, sys
with open(sys.argv[1], "w") as f:
    f.write(str(os.getpid()))
ls = socket.create_server(("127.0.0.1", 0), backlog=512)
kept = []
for _ in sys.stdin:
    for _ in range(50):
        kept.append(socket.create_connection(ls.getsockname()))
        ls.accept()[0].close()
"""


class Lines:
    """A watch of one process, which prints lines."""

    def __init__(self, folder):
        self.ran = f"{folder}/ran"
        self.output = f"{folder}/lines"
        self.stack = contextlib.ExitStack()
        self.holder = self.stack.enter_context(Holder("leaks"))
        self.process = self.start()
        self.pid = self.process.pid

    def start(self):
        return subprocess.Popen([binary("unclosed"), "watch", "--json", "--after", "1ms", "--output", self.output,
                                 "--pid", str(self.holder.pid)], stdin=subprocess.DEVNULL)

    def said(self):
        with contextlib.suppress(FileNotFoundError), open(self.output, encoding="utf-8") as f:
            return f.read()
        return ""

    def watches(self):
        return '"watching"' in self.said()

    def leak(self):
        for _ in range(50):
            self.holder.leak()

    def reports(self):
        return '"half-closed"' in self.said()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        put_an_end_to(self.process)
        self.stack.close()


class Screen(Lines):
    """The same on a whole screen."""

    def start(self):
        self.terminal = self.stack.enter_context(
            Terminal(binary("unclosed"), "watch", "--after", "1ms", "--pid", self.holder.pid))
        return self.terminal.process

    def said(self):
        return self.terminal.read()

    def watches(self):
        return "OPEN, LAST MINUTE" in self.said()

    def reports(self):
        return f"{self.holder.pid} leaks" in re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\x1b\(B", "", self.said())


class Command(Lines):
    """One that runs a command."""

    def start(self):
        return subprocess.Popen([binary("unclosed"), "watch", "--json", "--after", "1ms", "--output", self.output,
                                 "--", sys.executable, "-ISc", LEAKS, self.ran], stdin=subprocess.PIPE, text=True)

    def command_runs(self):
        return os.path.exists(self.ran) and os.path.getsize(self.ran)

    def watches(self):
        return super().watches() and self.command_runs()

    def leak(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()


FORMS = {"lines": Lines, "screen": Screen, "command": Command}


def bring_to(moment, watch):
    """Waits until the watch is there."""
    wait_for(lambda: is_unclosed(watch.pid), "its start", 20)
    if moment == "started":
        return
    if moment == "loading":
        wait_for(lambda: bpf_ids(watch.pid), "what it loads first", 20)
        return
    if moment == "attaching":
        wait_for(lambda: links(watch.pid), "the first that is attached", 20)
        return
    wait_for(watch.watches, "the beginning of the watch", 30)
    if moment == "reporting":
        watch.leak()
        wait_for(watch.reports, "lines", 30)


MOMENTS = ("started", "loading", "attaching", "watching", "reporting")


def killed_it_leaves_nothing_loaded(form, moment):
    """What the kernel shows of it just before is all gone; a command that did not run yet never does, and one
    that did runs on."""
    with tempfile.TemporaryDirectory() as folder, FORMS[form](folder) as watch:
        bring_to(moment, watch)
        freeze(watch.pid)
        ids, begotten = bpf_ids(watch.pid), children(watch.pid)
        true(len(ids) > 20 or moment in ("started", "loading", "attaching"), f"it has loaded only {ids}")
        true(ids or moment == "started", "nothing was loaded")
        begun = '"watching"' in watch.said()  # before it lets the command run
        watch.process.kill()
        watch.process.wait()
        are_gone(ids)
        if form != "command":
            equal(begotten, [], "processes that it made")
        elif moment in ("watching", "reporting"):
            equal([runs(p) for p in begotten], [True], "the command runs on")
            watch.process.stdin.close()
            wait_for(lambda: not runs(begotten[0]), "the command's own end")
        else:
            watch.process.stdin.close()  # else a command that runs would wait for more
            wait_for(lambda: not any(runs(p) for p in begotten), f"the end of {begotten}")
            true(begun or not watch.command_runs(), "the command has run")


if not SANITIZED:  # of what is killed a sanitizer says nothing
    cases(*[(form, moment) for form in FORMS for moment in MOMENTS])(killed_it_leaves_nothing_loaded)


def settings(terminal):
    return termios.tcgetattr(terminal.fd)


@cases(*[(number, moment) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) for moment in
         ("loading", "watching", "reporting")])
def asked_to_end_it_gives_the_terminal_back(number, moment):
    with tempfile.TemporaryDirectory() as folder, Screen(folder) as watch:
        before = settings(watch.terminal)
        bring_to(moment, watch)
        if moment != "loading":
            true(settings(watch.terminal)[3] & (termios.ECHO | termios.ICANON) == 0, "it was taken")
        ids = bpf_ids(watch.pid)
        watch.process.send_signal(number)
        equal(watch.process.wait(20), 0, "exit code")
        equal(settings(watch.terminal), before, "settings of the terminal")
        drawn = watch.terminal.read()
        true(ALT_SCREEN in drawn and drawn.rindex(MAIN_SCREEN) > drawn.rindex(ALT_SCREEN), "the screen before")
        has(drawn[drawn.rindex(ALT_SCREEN):], CURSOR, "the cursor")
        has(drawn[drawn.rindex(MAIN_SCREEN):], " still open")
        are_gone(ids)


@cases("screen", "plain")
def it_ends_with_its_terminal(how):
    """Also where no signal says that it is gone, as to a program whose shell ignores it."""
    with Terminal("sh", "-c", 'trap "" HUP && exec "$@"', "sh", binary("unclosed"), "watch",
                  *(("--plain",) if how == "plain" else ()), *HERE) as t:
        t.shows("watch")
        wait_for(lambda: len(bpf_ids(t.process.pid)) > 20, "all that it loads", 20)
        t.shows("OPEN, LAST MINUTE" if how == "screen" else "watching for")
        ids = bpf_ids(t.process.pid)
        t.hang_up()
        equal(t.process.wait(20), 3, "exit code")
        are_gone(ids)


class Started:
    """A program that is looked after: killed, where a test leaves it behind, and nothing of it waited for that
    it may have left to others."""

    def __init__(self, *argv, **more):
        self.said = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(a) for a in argv], stderr=self.said, text=True, **more)
        self.pid = self.process.pid

    def end(self):
        """Its exit code, and what it said on stderr."""
        wait_for(lambda: self.process.poll() is not None, "its end", 30)
        self.said.seek(0)
        return self.process.returncode, self.said.read()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        put_an_end_to(self.process)
        for f in (self.said, self.process.stdin):
            if f:
                f.close()


class Commanded(Started):
    """A watch with a shell's script as its command. $0 of the script is a folder; it makes `ready` there once
    it runs."""

    def __init__(self, folder, script, *options):
        self.folder, self.lines = folder, f"{folder}/lines"
        super().__init__(binary("unclosed"), "watch", "--json", "--output", self.lines, *options, "--",
                         "sh", "-c", script, folder, stdin=subprocess.DEVNULL)

    def ready(self):
        return wait_for(lambda: self.word("ready"), "the command", 30)

    def word(self, file):
        with contextlib.suppress(FileNotFoundError), open(f"{self.folder}/{file}", encoding="utf-8") as f:
            return f.read().strip()
        return ""

    def end(self):
        """Its exit code, what it said on stderr, and the events."""
        code, errors = super().end()
        return code, errors, [x["event"] for x in said_in(self.lines)]


READY = 'echo $$ >"$0/ready.new"; mv "$0/ready.new" "$0/ready"; '
FOR_EVER = "while :; do sleep 0.02; done"
ENDS = {
    "heeds": READY + FOR_EVER,
    "says so": "trap 'echo TERM >\"$0/told\"; exit 7' TERM; " + READY + FOR_EVER,
    "ignores": "trap '' TERM; " + READY + FOR_EVER,
}


def ends_with_its_watch(command):
    """It is the watch that ended it: its status is not the watch's. Returns whether it had come to run."""
    equal(command.end(), (0, "", ["watching", "summary"]), "its end")
    pid = command.word("ready")
    true(not (pid and runs(pid)), f"the command, {pid}, still runs")
    return pid


@cases("heeds", "ignores")
def a_command_that_takes_too_long_is_ended(how):
    for duration in ("500ms", "2s", "10s"):  # on a busy machine a shell takes its time to start
        with tempfile.TemporaryDirectory() as folder, Commanded(folder, ENDS[how], "--duration", duration) as c:
            if ends_with_its_watch(c):
                return
    raise AssertionError("it has never come to run")


@cases(("heeds", "SIGTERM"), ("heeds", "SIGHUP"), ("says so", "SIGTERM"), ("ignores", "SIGTERM"))
def a_command_is_ended_with_its_watch(how, by):
    """Asked first, and then killed."""
    with tempfile.TemporaryDirectory() as folder, Commanded(folder, ENDS[how]) as c:
        c.ready()
        c.process.send_signal(getattr(signal, by))
        ends_with_its_watch(c)
        equal(c.word("told"), "TERM" if how == "says so" else "", "what the command says that it was sent")


@cases((7, "exit 7"), (143, "kill -TERM $$"), (141, "kill -PIPE $$"), (0, "exit 0"))
def a_command_that_ends_in_time_has_its_own_status(code, script):
    with tempfile.TemporaryDirectory() as folder, Commanded(folder, READY + script, "--duration", "60s") as c:
        equal(c.end(), (code, "", ["watching", "command-ended", "summary"]), "its end")


KEEPS = """
import socket, sys, time
ls = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(ls.getsockname())
ls.accept()[0].close()
c.recv(1)
while True:
    time.sleep(1)
"""


@cases("--duration", "SIGTERM")
def what_a_command_that_was_ended_left_unclosed_counts(by):
    with tempfile.TemporaryDirectory() as folder:
        options = ("--duration", "3s") if by == "--duration" else ()
        script = f"exec {sys.executable} -ISc '{KEEPS}'"
        with Commanded(folder, script, "--after", "50ms", "--no-stacks", *options) as c:
            if not options:
                wait_for(lambda: '"half-closed"' in c.word("lines"), "a line", 30)
                c.process.send_signal(signal.SIGTERM)
            code, errors, events = c.end()
            equal((code, errors), (1, ""), "exit")
            equal(events, ["watching", "half-closed", "summary"], "events")


@cases(signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
def a_watch_that_is_ended_while_it_loads_runs_no_command(number):
    """There is none, which would be said. An interrupt is the command's, too: it dies of it, as it would in a
    shell."""
    for _ in range(10):
        with tempfile.TemporaryDirectory() as folder, \
                Started(binary("unclosed"), "watch", "--json", "--output", f"{folder}/lines", "--",
                        "/nonexistent/command") as w:
            wait_for(lambda w=w: bpf_ids(w.pid) or w.process.poll() is not None, "what it loads first", 20)
            freeze(w.pid)
            if os.path.getsize(f"{folder}/lines"):
                continue  # it has gone on to the command meanwhile
            w.process.send_signal(number)
            w.process.send_signal(signal.SIGCONT)
            ended = ["command-ended"] if number == signal.SIGINT else []
            equal(w.end(), (130 if ended else 0, ""), "its end")
            with open(f"{folder}/lines", encoding="utf-8") as f:
                equal([x["event"] for x in json_lines(f.read())], ["watching", *ended, "summary"], "events")
            return
    raise AssertionError("it was never met while it loads")


# What is not taken.

def cannot_write(started, path, why):
    """It has said so in one line, and ended with the status for it."""
    equal(started.end(), (3, f"unclosed watch: writing {path}: {why}\n"), "its end")


@cases("lines", "json", "command")
def a_full_disk_is_named(form):
    more = {"lines": HERE, "json": ("--json", *HERE), "command": ("--", "sh", "-c", "exec sleep 100")}[form]
    with Started(binary("unclosed"), "watch", "--output", "/dev/full", *more) as w:
        cannot_write(w, "/dev/full", "No space left on device")


@cases("alone", "command")
def a_disk_that_runs_full_is_named(form):
    """What was written before is whole but for its end. A command ends with its watch."""
    with tempfile.TemporaryDirectory() as folder, Holder("fills") as holder:
        disk, ran = f"{folder}/disk", f"{folder}/ran"
        os.mkdir(disk)
        watched = ("--pid", str(holder.pid)) if form == "alone" else ("--", sys.executable, "-ISc", LEAKS, ran)
        argv = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=16k tmpfs {disk} && exec "$@"', "sh",
                binary("unclosed"), "watch", "--json", "--after", "1ms", "--no-stacks", "--output", f"{disk}/lines",
                *watched]
        with Started(*argv, stdin=subprocess.PIPE) as p:
            lines = f"/proc/{p.pid}/root{disk}/lines"
            wait_for(lambda: os.path.exists(lines) and os.path.getsize(lines), "the beginning of the watch", 30)
            ids, said = bpf_ids(p.pid), open(lines, encoding="utf-8")  # pylint: disable=consider-using-with
            if form == "command":
                p.process.stdin.write("\n" * 10)
                p.process.stdin.flush()
            else:
                for _ in range(100):
                    holder.leak()
            cannot_write(p, f"{disk}/lines", "No space left on device")
            are_gone(ids)
            written = said.read()
            equal(len(written), 16384, "bytes of what it wrote")
            true(len([json.loads(ln) for ln in written.splitlines()[:-1]]) > 5, "whole lines")
            said.close()
            if form == "command":
                wait_for(lambda: os.path.exists(ran) and os.path.getsize(ran), "the command's number")
                with open(ran, encoding="utf-8") as f:
                    wait_for(lambda: not runs(f.read()), "the command's end")


class Fifo:
    """A FIFO, and its reader."""

    def __init__(self, folder):
        self.path = f"{folder}/fifo"
        os.mkfifo(self.path)

    def open(self):
        return open(self.path, encoding="utf-8")  # pylint: disable=consider-using-with


@cases("at the next line", "without one")
def a_fifo_that_nobody_reads_any_more_is_named(when):
    with tempfile.TemporaryDirectory() as folder, Holder("speaks") as holder:
        fifo = Fifo(folder)
        with Started(binary("unclosed"), "watch", "--json", "--after", "1ms", "--no-stacks", "--output", fifo.path,
                     "--pid", holder.pid) as p:
            with fifo.open() as reader:
                has(reader.readline(), '"watching"')
                ids = bpf_ids(p.pid)
                true(ids, "what it has loaded")
                if when == "at the next line":
                    freeze(p.pid)
                    holder.leak()
            p.process.send_signal(signal.SIGCONT)
            cannot_write(p, fifo.path, "Broken pipe")
            are_gone(ids)


@test
def a_command_goes_on_where_nobody_reads_until_there_is_more_to_say():
    with tempfile.TemporaryDirectory() as folder:
        fifo = Fifo(folder)
        script = READY + 'until [ -e "$0/go" ]; do sleep 0.02; done; : >"$0/went"; exit 7'
        with Started(binary("unclosed"), "watch", "--json", "--output", fifo.path, "--",
                     "sh", "-c", script, folder) as p:
            with fifo.open() as reader:
                has(reader.readline(), '"watching"')
                wait_for(lambda: os.path.exists(f"{folder}/ready"), "the command", 20)
            with open(f"{folder}/go", "w", encoding="utf-8"):
                pass
            cannot_write(p, fifo.path, "Broken pipe")
            true(os.path.exists(f"{folder}/went"), "the command ran to its end")


CALLS = {"openat": {"x86_64": 257, "aarch64": 56}[os.uname().machine]}


def in_call(pid, call):
    """Whether it sleeps in that system call."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/syscall", encoding="utf-8") as f:
        return f.read().split()[0] == str(CALLS[call])
    return False


@cases(signal.SIGINT, signal.SIGTERM)
def a_fifo_that_nobody_reads_yet_is_waited_for_until_a_signal(number):
    with tempfile.TemporaryDirectory() as folder:
        fifo = Fifo(folder)
        with Started(binary("unclosed"), "watch", "--output", fifo.path, *HERE) as p:
            wait_for(lambda: is_unclosed(p.pid) and in_call(p.pid, "openat"), "that it waits", 20)
            p.process.send_signal(number)
            equal(p.end(), (-number, ""), "what ended it")


main()
