#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""unclosed explain, and what the programs do with a terminal."""
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import SOURCE, binary, cases, equal, has, json_lines, main, run, test, true  # noqa: E402

STATES = ("LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",
          "LAST_ACK", "TIME_WAIT", "CLOSED", "gone")


def explain(*args, status=0, **kw):
    done = run(binary("unclosed"), "explain", *args, **kw)
    equal(done.returncode, status, f"status of explain {args}: {done.stderr}")
    return done.stderr if status else done.stdout


def on_terminal(columns, *args, **env):
    """What the program writes to a terminal of that width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen([binary("unclosed"), "explain", *args], stdin=subprocess.DEVNULL, stdout=slave,
                               env=dict(environment, TERM="xterm", **env))
    os.close(slave)
    text = b""
    try:
        while True:
            text += os.read(master, 65536)
    except OSError:  # EIO: the other side is closed
        pass
    os.close(master)
    equal(process.wait(20), 0, "status")
    return text.decode().replace("\r\n", "\n")


@test
def a_state():
    path = os.path.join(SOURCE, "tests", "golden", "explain-close-wait.txt")
    text = explain("close-wait")
    if os.environ.get("UNCLOSED_GOLDEN") == "write":
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    with open(path, encoding="utf-8") as f:
        equal(text, f.read(), "CLOSE_WAIT")
    equal(explain("CLOSE_WAIT"), text, "in capitals")
    equal(explain("Close_Wait"), text, "in any case")


@test
def all_of_them():
    text = explain()
    names = [one["name"] for one in json_lines(explain("--json"))]
    equal(tuple(names[:len(STATES)]), STATES, "states")
    true(len(names) > 20, "causes, too")
    for name in names:
        has(text, f"\n  {name} ", "list")


@test
def each_names_a_scenario_that_is_there():
    there = {name[:-len(".lua")] for _, _, files in os.walk(os.path.join(SOURCE, "scenarios")) for name in files}
    for one in json_lines(explain("--json")):
        true(one["scenario"] in there, f"{one['name']} is shown by {one['scenario']}")


@test
def a_word_that_is_both():
    kinds = [(one["kind"], one["name"]) for one in json_lines(explain("--json", "time-wait"))]
    equal(kinds, [("state", "TIME_WAIT"), ("cause", "time-wait")], "both are told")


@cases(("closing_wait", "CLOSE_WAIT"), ("fin-wait", "FIN_WAIT_1"), ("not_acepted", "not-accepted"), ("xyzzy", None))
def unknown(typed, near):
    text = explain(typed, status=2)
    has(text, f"no state or cause '{typed}'", "error")
    equal("did you mean" in text, near is not None, "a guess")
    has(text, near or "", "guess")


@test
def strange_words_are_escaped():
    has(explain("\033[2J", status=2), "'\\x1b[2J'", "error")


@test
def nowhere_to_write():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([binary("unclosed"), "explain"], stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, check=False)
    equal(done.returncode, 3, "status")
    has(done.stderr.decode(), "No space left", "error")


@test
def colour_on_a_terminal_only():
    true("\033[" in on_terminal(80, "CLOSE_WAIT"), "colour on a terminal")
    true("\033[" not in on_terminal(80, "CLOSE_WAIT", NO_COLOR="1"), "NO_COLOR")
    true("\033[" in on_terminal(80, "CLOSE_WAIT", NO_COLOR=""), "an empty NO_COLOR is none")
    true("\033[" not in on_terminal(80, "--colour=never", "CLOSE_WAIT"), "--colour=never")
    true("\033[" in on_terminal(80, "--colour", "CLOSE_WAIT", NO_COLOR="1"), "asked for")
    true("\033[" not in explain("CLOSE_WAIT"), "none in a pipe")
    true("\033[" in explain("--colour=always", "CLOSE_WAIT"), "asked for in a pipe")
    has(explain("--colour=perhaps", status=2), "auto, always or never", "a wrong word")


@test
def width_of_the_terminal():
    wide, narrow = (max(len(line) for line in on_terminal(n, "--colour=never", "FIN_WAIT_2").splitlines())
                    for n in (120, 60))
    true(60 < wide <= 120 and narrow <= 60, f"{wide} of 120, {narrow} of 60 columns")
    piped = explain("FIN_WAIT_2", env=dict(os.environ, COLUMNS="64"))
    true(max(len(line) for line in piped.splitlines()) <= 64, "COLUMNS in a pipe")


@test
def ascii_where_the_locale_is_not_utf8():
    true(explain("CLOSE_WAIT", env=dict(os.environ, LC_ALL="C")).isascii(), "in the C locale")
    true(explain("--ascii", "CLOSE_WAIT").isascii(), "--ascii")
    has(explain("CLOSE_WAIT"), "RFC 9293 \u00a73.6", "in UTF-8")


main()
