# SPDX-License-Identifier: MIT
"""The full-screen view of unclosed watch, on a terminal that this test plays."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import binary, cases, equal, has, main, run, test, true, wait_for, within  # noqa: E402
from terminal import Terminal, Tmux  # noqa: E402
from watching import HERE, Holder, name  # noqa: E402


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
        equal(t.process.wait(within(20)), 0, "exit code")
        t.shows("1 reported")  # the summary, once the terminal is given back


def close_after_peer(ls):
    client = socket.create_connection(ls.getsockname())
    ls.accept()[0].close()
    client.recv(1)
    client.close()


@test
def close_lags_are_shown_and_kept_up_to_date():
    with socket.create_server(("127.0.0.1", 0)) as ls, tempfile.TemporaryDirectory() as folder, \
            Tmux(f"{folder}/tmux", 100, 20,
                 f"{binary('unclosed')} watch --after 10s --interval 100ms {' '.join(HERE)}") as t:
        t.shows(r"^q: leave .* l: close lags")
        t.type("l")
        t.shows("nothing has been closed after its peer yet")
        for count in (1, 2):
            close_after_peer(ls)
            t.shows(rf"\[{os.getpid()}\] ->:{ls.getsockname()[1]} +{count} ")
        t.shows(r"^ +\d+ \S+ \.\. \d+ \S+ +[12] █{40}$")  # whole, in one row
        t.type("q")
        t.shows("OPEN, LAST MINUTE")
        t.type("q")
        wait_for(t.is_over, "the end", 20)


@test
def close_lags_are_never_those_of_an_earlier_look():
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Terminal(binary("unclosed"), "watch", "--after", "10s", *HERE) as t:
        t.shows("q: leave")
        close_after_peer(ls)
        t.type("l")
        t.shows("close lag", "p50", f"[{os.getpid()}]")
        true("nothing has been closed" not in t.drawn, "nothing untrue was drawn before")


@test
def a_name_of_wide_letters_stays_in_its_row():
    """On a terminal that ends in the midst of it."""
    with Holder("漢字漢字漢") as wide, tempfile.TemporaryDirectory() as folder:
        wide.leak()
        with Tmux(f"{folder}/tmux", 13, 8,
                  f"{binary('unclosed')} watch --after 10ms --pid {wide.pid}") as t:
            t.shows(rf"^ *{wide.pid} 漢字$")
            equal([ln for ln in t.screen()[3:-1] if ln], [], "rows below")


@cases((80, 24), (40, 10), (200, 50))
def nothing_runs_over_the_edge(columns, lines):
    """tmux, which understands what is drawn, shows the screen as it is: whole numbers, no broken row."""
    with socket.create_server(("127.0.0.1", 0)) as ls, tempfile.TemporaryDirectory() as folder:
        kept = []
        for _ in range(12):
            kept.append(socket.create_connection(ls.getsockname()))
            ls.accept()[0].close()
        with Tmux(f"{folder}/tmux", columns, lines,
                  f"{binary('unclosed')} watch --after 10ms {' '.join(HERE)}") as t:
            row = t.shows(rf"^ *{os.getpid()} +\S+ +12 +12( |$)")
            true(row.strip().startswith(str(os.getpid())), f"a row of its own: {row!r}")
            t.shows(r"^unclosed watch: 12 half-closed")
            t.shows(r"^q: leave")
            t.type("Enter")
            t.shows(r"^ +AGE CAUSE +FD STATE")
            shown = [ln for ln in t.screen() if re.match(r" *(?:>=)?[\d.]+ m?s +(unread|shared) +\d+\+? CLOSE_", ln)]
            equal(len(shown), min(12, lines - 3), f"rows of sockets in {t.screen()}")
            if columns >= 80:
                true(all(re.search(r" 127\.0\.0\.1:\d+ <- 127\.0\.0\.1:\d+$", ln) for ln in shown),
                     f"whole connections in {shown}")
            t.type("Enter")
            t.shows(r"^q: back   up, down: scroll")
            told = " ".join(" ".join(t.screen()).split())
            has(told, "CLOSE_WAIT ")
            true(re.search(rf"\[{os.getpid()}\] fd \d+(,| unread| shared)", told), f"broken between words only: {told}")
        for s in kept:
            s.close()


@test
def processes_are_sorted_and_what_is_chosen_is_shown():
    """By how many they hold, anew when that changes; keys that come faster than the screen is drawn
    choose what they would have chosen, and no size of the terminal is too small."""
    with Holder("screen-few") as few, Holder("screen-many") as many, tempfile.TemporaryDirectory() as folder:
        ends = {h: [h.leak() for _ in range(n)] for h, n in ((few, 2), (many, 5))}
        with Tmux(f"{folder}/tmux", 100, 12,
                  f"{binary('unclosed')} watch --after 10ms --comm 'screen-*'") as t:
            def rows():
                found = [re.match(r" *(\d+) screen-\S+ +(\d+) ", ln) for ln in t.screen()]
                return [(int(m[1]), int(m[2])) for m in found if m]
            wait_for(lambda: rows() == [(many.pid, 5), (few.pid, 2)], "the one with more first", 20)
            ends[few] += [few.leak() for _ in range(4)]
            wait_for(lambda: rows() == [(few.pid, 6), (many.pid, 5)], "the order of now", 20)
            t.type("Down", "Enter")
            # What an interrupt hid is the machine's affair, and said behind it.
            t.shows(rf"^unclosed watch: screen-many\[{many.pid}\] holds 5(; incomplete: \d+ lost)?$")
            listed = [re.search(r" (127\.0\.0\.1:\d+) <- ", ln)[1] for ln in t.screen() if " <- " in ln]
            equal(sorted(listed), sorted(address for address, _ in ends[many]), "its sockets")
            t.type("Down", "Down", "Enter")
            t.shows(rf"half-closed {listed[2]} <- ")
            t.ask("resize-window", "-x", 14, "-y", 12)
            t.shows("drained|told")  # behind words that no row holds
            for columns, lines in ((100, 2), (20, 1), (100, 12)):
                t.ask("resize-window", "-x", columns, "-y", lines)
                wait_for(lambda lines=lines: len(drawn := t.screen()) == lines and drawn[-1].startswith("q: back"),
                         f"{columns} columns, {lines} lines", 20)
            t.shows(rf"half-closed {listed[2]} <- ")
            t.type("q", "q")
            t.shows(r"^q: leave")
            few.kill()
            wait_for(lambda: rows() == [(many.pid, 5), (few.pid, 0)], "those of one that ended", 20)
            t.type("q")
            wait_for(t.is_over, "its end", 20)


HOSTILE = b"\x1b]0;\"\\\n\xff\x9bx"
NAMED = "import ctypes, sys; ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv.pop(1)), 0, 0, 0);" \
    "import socket; ls = socket.create_server(('127.0.0.1', 0)); print(flush=True); sys.stdin.readline();" \
    "c = socket.create_connection(ls.getsockname()); ls.accept()[0].close(); c.recv(1); sys.stdin.read()"


@test
def no_name_writes_on_the_terminal():
    """In each of the three views; the process calls itself so that its name would set the window's title."""
    with subprocess.Popen([sys.executable, "-ISc", NAMED, HOSTILE.hex()], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        try:
            p.stdout.readline()
            with Terminal(binary("unclosed"), "watch", "--after", "10ms", "--pid", p.pid) as t:
                t.shows("nothing stays half-closed for longer than 10 ms")
                p.stdin.write("\n")
                p.stdin.flush()
                shown = "\\x1b]0;\"\\\\\\n\\xff\\x9bx"
                seen = ""
                for key, part in (("\r", "AGE CAUSE"), ("\r", "ago in"), ("q", "enter: its stacks")):
                    t.shows(shown)
                    seen += t.drawn
                    t.type(key)
                    t.shows(part)
                seen += t.drawn
                equal([s for s in ("\x1b]", "\x9b", "\x07") if s in seen], [], f"sequences in {seen!r}")
        finally:
            p.stdin.close()


@test
def losses_are_in_the_title():
    with socket.create_server(("127.0.0.1", 0), backlog=512) as ls, \
            Terminal(binary("unclosed"), "watch", "--after", "0", "--buffer", "4", "--no-stacks",
                     "--port", ls.getsockname()[1]) as t:
        t.shows("0 half-closed")
        for _ in range(3):
            clients = []
            for _ in range(100):
                clients.append(socket.create_connection(ls.getsockname()))
                ls.accept()[0].close()
            time.sleep(0.06)  # not synchronisation: room for reports, whose ends come all at once
            for client in clients:
                client.close()
        t.shows("; incomplete: ", " lost")
        t.type("q")
        t.shows("this report is incomplete:")


@test
def an_unknown_terminal_is_named():
    with Terminal(binary("unclosed"), "watch", *HERE, term="no-such-terminal") as t:
        t.shows("TERM=no-such-terminal", "use --plain")
        equal(t.process.wait(within(20)), 3, "exit code")


SPARKS = {"C.UTF-8": " ▁▂▃▄▅▆▇█", "C": " _..--==#"}


class Sparkline:
    """A watch of one process on a terminal, and the last minute as it draws it."""

    def __init__(self, t, pid, columns, charset):
        self.t, self.pid, self.room, self.levels = t, pid, min(60, columns - 39), SPARKS[charset]

    def read(self):
        rows = self.t.ask("capture-pane", "-p", "-N").splitlines()
        row = next((ln for ln in rows if re.match(rf" *{self.pid} ", ln)), "")
        return row[39:].ljust(self.room)[:self.room]

    def shows(self, *heights, seconds=20):
        """Waits for one or more seconds of each of these heights, in eighths, at the right end; between two
        there may be one of another."""
        columns = ".?".join(re.escape(self.levels[h]) + "+" for h in heights)
        wait_for(lambda: re.search(f"^ *{columns}$", self.read()), f"{columns} at the end of {self.read()!r}", seconds)


@cases(("C.UTF-8", 100), ("C", 50))
def the_last_minute_is_drawn_as_it_was(charset, columns):
    """One end, then four, then none: a column a second, the newest at the right, the most as high as the row. A
    narrow terminal has the newest of them."""
    with Holder("sparkles") as holder, tempfile.TemporaryDirectory() as folder, \
            Tmux(f"{folder}/tmux", columns, 8,
                 f"LC_ALL={charset} {binary('unclosed')} watch --after 10ms --comm sparkles") as t:
        line = Sparkline(t, holder.pid, columns, charset)
        t.shows("^q: leave")
        holder.leak()
        line.shows(8)
        for _ in range(3):
            holder.leak()
        line.shows(2, 8)
        holder.kill()
        line.shows(2, 8, 0)
        t.type("q")
        wait_for(t.is_over, "its end", 20)


@test
def seconds_in_which_it_did_not_run_are_drawn():
    with Holder("sparkles") as holder, tempfile.TemporaryDirectory() as folder, \
            Tmux(f"{folder}/tmux", 100, 8, f"{binary('unclosed')} watch --after 10ms --comm sparkles; exit $?") as t:
        line = Sparkline(t, holder.pid, 100, "C.UTF-8")
        t.shows("^q: leave")
        # tmux lets none of its own children be stopped; this is its shell's.
        pid = int(run("pgrep", "-P", t.ask("list-panes", "-F", "#{pane_pid}").strip()).stdout)
        holder.leak()
        line.shows(8)
        before = line.read().count("█")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(5)  # not synchronisation: seconds to be drawn
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: line.read().count("█") >= before + 5, f"five more in {line.read()!r}", 3)


@test
def what_fits_on_a_terminal_of_20_by_5_is_shown():
    """In each view: the title, one row at least, and the way out; and more once there is room."""
    with Holder("small") as holder, tempfile.TemporaryDirectory() as folder:
        address = holder.leak()[0]
        with Tmux(f"{folder}/tmux", 20, 5, f"{binary('unclosed')} watch --after 10ms --comm small") as t:
            t.shows(rf"^ *{holder.pid} small")
            rows = [ln[:8] for ln in t.screen()]
            equal(rows, ["unclosed", "    PID ", f"{holder.pid:7} ", "", "q: leave"], "rows")
            t.type("Enter")
            t.shows(r"^ *(?:>=)?[\d.]+ m?s +drained")
            equal([ln[:7] for ln in t.screen()][-1], "q: back", "the last row")
            t.type("Enter")
            t.shows(r"half-closed")
            equal([len(t.screen()), t.screen()[-1][:7]], [5, "q: back"], "rows, the last")
            t.ask("resize-window", "-x", 100, "-y", 24)
            t.shows(rf"half-closed {address} <- ")
            t.ask("resize-window", "-x", 20, "-y", 5)
            wait_for(lambda: len(t.screen()) == 5 and t.screen()[-1].startswith("q: back"), "what fits", 20)
            for after in ("q: back", "q: leave"):
                t.type("q")
                wait_for(lambda a=after: t.screen()[-1].startswith(a), after, 20)
            t.type("q")
            wait_for(t.is_over, "its end", 20)


def colours(text):
    """The parts of attributes that are colours."""
    set_to = [n for part in re.findall(r"\x1b\[([0-9;]*)m", text) for n in part.split(";") if n]
    return [n for n in set_to if 30 <= int(n) <= 38 or 40 <= int(n) <= 48 or 90 <= int(n) <= 107]


@cases(("", True), ("1", False))
def no_color_is_heeded(value, coloured):
    with Holder("colourful") as holder:
        holder.leak()
        for more in (("--plain",), ()):
            with Terminal("env", f"NO_COLOR={value}", binary("unclosed"), "watch", *more, "--after", "10ms",
                          "--pid", holder.pid) as t:
                t.shows(f"colourful[{holder.pid}]" if more else f"{holder.pid} colourful")
                if more:
                    equal(bool(re.search(r"\x1b\[[0-9;]+m", t.drawn)), coloured, f"attributes in {t.drawn!r}")
                equal(colours(t.drawn) if not (more and coloured) else [], [], f"colours in {t.drawn!r}")


@test
def a_terminal_that_cannot_be_drawn_on_has_lines():
    with Holder("spoken") as holder, Terminal(binary("unclosed"), "watch", "--after", "10ms", "--pid", holder.pid,
                                              term="dumb") as t:
        t.shows("watching for what stays half-closed longer than 10 ms")
        t.shows(holder.leak()[0], f" spoken[{holder.pid}] ")
        t.process.send_signal(signal.SIGINT)
        equal(t.process.wait(20), 0, "exit code")
        t.shows("1 reported, 1 still open")
        true("\x1b" not in t.drawn, f"escapes in {t.drawn!r}")


@test
def lines_where_there_is_no_terminal():
    r = run(binary("unclosed"), "watch", "--duration", "100ms", *HERE)
    equal((r.returncode, re.findall("\x1b", r.stdout)), (0, []), "escapes")


main()
