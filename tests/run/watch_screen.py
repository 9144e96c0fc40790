# SPDX-License-Identifier: MIT
"""The full-screen view of unclosed watch, on a terminal that this test plays."""
import fcntl
import os
import re
import signal
import socket
import struct
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
def close_lags_are_led_to_from_each_page_and_back():
    """And the keys. From one beside the others to the next, q leads back to the page that both are beside."""
    with Holder("leaky") as holder, tempfile.TemporaryDirectory() as folder:
        address = holder.leak()[0]
        with Tmux(f"{folder}/tmux", 80, 24, f"{binary('unclosed')} watch --after 10ms --comm leaky") as t:
            t.shows(rf"^ *{holder.pid} leaky +1 ")
            holder.quick()
            for page in ("OPEN, LAST MINUTE", "AGE CAUSE", rf"half-closed {address} <- "):
                t.shows(page)
                t.type("l")
                t.shows(r"^\d\d:\d\d:\d\d\.\d{3} close lag since start  closes +p50 +p90 +p99 +max$")
                t.shows(r"^  leaky\[")
                t.type("?")
                t.shows("PgUp, PgDn")
                t.type("l", "l", "?")
                t.shows("^q: back   up, down: scroll")
                t.type("q")
                t.shows(page)
                t.type("Enter")
            t.shows(rf"half-closed {address} <- ")


@test
def close_lags_are_never_those_of_an_earlier_look():
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Terminal(binary("unclosed"), "watch", "--after", "10s", *HERE) as t:
        t.shows("q: leave")
        close_after_peer(ls)
        t.type("l")
        t.shows("close lag", "p50", f"[{os.getpid()}]")
        true("nothing has been closed" not in t.drawn, "nothing untrue was drawn before")
        earlier = re.search(r"\d\d:\d\d:\d\d\.\d{3} close lag", t.drawn)[0]
        t.type("q")
        t.shows("q: leave")
        t.type("l")
        t.shows("close lag", "p50", f"[{os.getpid()}]")
        true(earlier not in t.drawn, f"{earlier} in {t.drawn}")


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
            t.shows(r"^q: back   \?: keys   up, down: scroll"[:columns])
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
            t.shows("^    CLOSE_WAIT$")  # behind a word that no row holds, which is broken
            t.shows("^    d$")
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


def unread(ls):
    client = socket.create_connection(ls.getsockname())
    ls.accept()[0].close()
    return client


def chosen_row(t):
    """The row that is shown reversed; None while there is none."""
    return next((re.sub(r"\x1b\[[0-9;]*m", "", ln) for ln in t.ask("capture-pane", "-p", "-e").splitlines()
                 if re.match(r"(\x1b\[[0-9;]*m)*\x1b\[[0-9;]*7m", ln)), None)


def chooses(t, expression):
    wait_for(lambda: re.search(expression, chosen_row(t) or ""), lambda: f"{expression} chosen in {t.screen()}", 20)


@test
def what_is_chosen_stays_so_where_rows_move():
    """A process that overtakes another, and a socket above which one goes. One that goes itself gives way to the next."""
    with Holder("screen-other") as other, socket.create_server(("127.0.0.1", 0)) as ls, \
            tempfile.TemporaryDirectory() as folder, Tmux(
                f"{folder}/tmux", 100, 12, f"{binary('unclosed')} watch --after 10ms --pid {other.pid} {' '.join(HERE)}") as t:
        for _ in range(2):
            other.leak()
        clients = [unread(ls)]
        t.shows(rf"^ *{os.getpid()} .* 1 ")
        chooses(t, "screen-other +2 ")
        t.type("Down")
        chooses(t, rf"^ *{os.getpid()} \S+ +1 ")
        clients += [unread(ls) for _ in range(4)]
        chooses(t, rf"^ *{os.getpid()} \S+ +5 ")
        equal([int(ln.split()[0]) for ln in t.screen()[2:4]], [os.getpid(), other.pid], "it has moved up")
        ends = [name(client) for client in clients]
        t.type("Enter", "Down", "Down")
        chooses(t, ends[2])
        clients[0].close()
        wait_for(lambda: not any(ends[0] in ln for ln in t.screen()), "one that was above is gone", 20)
        chooses(t, ends[2])
        clients[2].close()
        chooses(t, ends[3])
        for client in clients:
            client.close()


@test
def sockets_are_sorted_by_age():
    """The oldest first. The watch comes upon them in the order of their descriptors, of which the oldest has the last."""
    with socket.create_server(("127.0.0.1", 0)) as ls, tempfile.TemporaryDirectory() as folder:
        kept = []
        for i in range(12):
            with unread(ls) as client:
                kept.append(socket.socket(fileno=fcntl.fcntl(client, fcntl.F_DUPFD_CLOEXEC, 300 - 10 * i)))
            time.sleep(0.02)  # not synchronisation: ages that differ by more than the kernel's ticks
        ends = [name(client) for client in kept]
        with Tmux(f"{folder}/tmux", 100, 24, f"{binary('unclosed')} watch --after 10ms {' '.join(HERE)}") as t:
            t.shows(rf"^ *{os.getpid()} .* 12 ")
            t.type("Enter")
            t.shows("AGE CAUSE")
            wait_for(lambda: ends == [m[1] for ln in t.screen() if (m := re.search(r" (127\.0\.0\.1:\d+) <- ", ln))],
                     "the oldest first", 20)
        for client in kept:
            client.close()


@test
def pages_and_the_ends_are_led_to():
    with Holder("paged") as holder, tempfile.TemporaryDirectory() as folder:
        ends = []
        for _ in range(30):
            ends.append(holder.leak()[0])
            time.sleep(0.01)  # not synchronisation: ages that differ
        with Tmux(f"{folder}/tmux", 100, 13, f"{binary('unclosed')} watch --after 10ms --comm paged") as t:
            t.shows(rf"^ *{holder.pid} paged +30 ")
            t.type("Enter")
            for key, at in (("PageDown", 10), ("Down", 11), ("PageUp", 1), ("PageUp", 0), ("End", 29), ("Up", 28),
                            ("PageDown", 29), ("Home", 0), ("G", 29), ("g", 0), ("PageDown", 10)):
                t.type(key)
                chooses(t, ends[at])
            shown = [ln for ln in t.screen() if " <- " in ln]
            equal(len(shown), 10, "rows")


@test
def a_text_is_scrolled_by_what_is_shown():
    """To its last row and no further, also where lines are broken; a page leaves out nothing."""
    with Holder("scrolled") as holder, tempfile.TemporaryDirectory() as folder, \
            Tmux(f"{folder}/tmux", 60, 100, f"{binary('unclosed')} watch --after 10ms --comm scrolled") as t:
        t.shows("^q: leave")
        holder.leak()
        t.shows(rf"^ *{holder.pid} scrolled")
        t.type("Enter", "Enter")
        t.shows("^  connected ")
        whole = [ln for ln in t.screen()[1:-1] if ln]
        t.ask("resize-window", "-x", 60, "-y", 12)
        wait_for(lambda: len(t.screen()) == 12 and t.screen()[-1].startswith("q: back"), "less room", 20)
        for key, rows in (("End", whole[-10:]), ("Up", whole[-11:-1]), ("PageDown", whole[-10:]),
                          ("Home", None), ("PageDown", whole[10:20]), ("PageUp", None)):
            t.type(key)
            wait_for(lambda r=rows: t.screen()[1:-1] == r if r else "half-closed" in t.screen()[1], f"{key}: {rows}", 20)


@test
def what_stacks_say_is_of_now():
    """The age and the state go on; the stack stays when the end dies."""
    with socket.create_server(("127.0.0.1", 0)) as ls, tempfile.TemporaryDirectory() as folder, \
            Tmux(f"{folder}/tmux", 200, 40,
                 f"{binary('unclosed')} watch --after 10ms --port {ls.getsockname()[1]} {' '.join(HERE)}") as t:
        t.shows("^q: leave")
        client = socket.create_connection(ls.getsockname())
        server = ls.accept()[0]
        server.shutdown(socket.SHUT_WR)
        client.recv(1)
        t.shows(rf"^ *{os.getpid()} ")
        t.type("Enter", "Enter")
        row = rf"^(\d\d:\d\d:\d\d)\.\d+ half-closed {name(client)} <- .* CLOSE_WAIT ([\d.]+) s .* returned 0 ([\d.]+) s ago"
        clock, age, told = re.search(row, t.shows(row)).groups()
        wait_for(lambda: any((m := re.search(row, ln)) and float(m[2]) > float(age) + 1 and float(m[3]) > float(told) + 1
                             and m[1] > clock for ln in t.screen()), "two seconds later", 20)
        t.shows("^  told at   .*recv")
        t.shows("^  connected .*connect")
        reset(server)
        t.shows(rf" dead +{name(client)} .* CLOSED ")
        t.shows("^  told at   .*recv")
        client.close()
        t.shows("AGE CAUSE")


def reset(sock):
    """Closes it so that its peer's connection is gone, too."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@cases("unread", "there before", "no stacks", "made unknown", "not accepted")
def why_there_is_no_stack_is_said(why):
    said = {"unread": (r"told at   \(no read has returned 0 yet\)", "connected .*connect"),
            "there before": (r"told at   \(no read has returned 0 since", r"connected \(it was made before the watch"),
            "no stacks": (r"told at   \(not taken: --no-stacks\)", r"connected \(not taken: --no-stacks\)"),
            "made unknown": ("told at   .*recv", r"connected \(not recorded before .* see --made\)"),
            "not accepted": (r"told at   \(it is not accepted: ", r"accepted  \(it is not accepted yet\)")}[why]
    with socket.create_server(("127.0.0.1", 0)) as ls, tempfile.TemporaryDirectory() as folder:
        kept = [unread(ls)] if why == "there before" else []
        named = [] if why == "made unknown" else [*HERE]
        more = ["--no-stacks"] if why == "no stacks" else []
        with Tmux(f"{folder}/tmux", 200, 40, f"{binary('unclosed')} watch --after 10ms --port {ls.getsockname()[1]} "
                  f"{' '.join(named + more)}") as t:
            t.shows("^q: leave")
            if why == "not accepted":
                socket.create_connection(ls.getsockname()).close()
            elif not kept:
                kept.append(unread(ls))
            if why in ("no stacks", "made unknown"):
                kept[0].recv(1)
            t.shows(rf"^ *{os.getpid()} ")
            t.type("Enter", "Enter")
            for part in said:
                t.shows("^  " + part)
        for client in kept:
            client.close()


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
        wait_for(lambda: re.search(f"^ *{columns}$", self.read()),
                 lambda: f"{columns} at the end of {self.read()!r}", seconds)


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
        wait_for(lambda: line.read().count("█") >= before + 5, lambda: f"five more in {line.read()!r}", 3)


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
