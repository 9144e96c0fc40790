#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bash completes what the option tables hold, and an installed tree has every file."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import BUILD, SOURCE, binary, cases, equal, has, main, run, test, true  # noqa: E402

SCRIPT = r"""
PATH=$1:$PATH
source "$2"
shift 2
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMPREPLY=()
spec=$(complete -p "${COMP_WORDS[0]}") || exit 9
function=${spec##*-F }
"${function%% *}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def complete(*words):
    """What bash would offer for the last word, as it breaks words at = and :"""
    path = os.path.join(BUILD, "completions", words[0])
    done = run("bash", "--norc", "-c", SCRIPT, "bash", os.path.dirname(binary("x")), path, *words)
    equal((done.returncode, done.stderr), (0, ""), f"bash on {words}")
    return [w for w in done.stdout.split("\n") if w]


def options_of(command):
    rows = []
    for line in run(binary(command.split()[0]), "--describe-options").stdout.splitlines():
        name, short, long, arg, _ = line.split("|")
        if name == command and long:
            rows.append((short, long + ("=" if arg and not arg.startswith("[") else "")))
    return rows


def commands_there():
    return sorted({line.split("|")[0] for program in ("unclosed", "daytime", "daytimed")
                   for line in run(binary(program), "--describe-options").stdout.splitlines()})


@cases(*commands_there())
def every_option(command):
    offered = complete(*command.split(), "-")
    for short, long in options_of(command):
        true(long in offered, f"{long} is not offered")
        true(not short or short in offered, f"{short} is not offered")
    equal(len(offered), sum(1 + bool(s) for s, _ in options_of(command)), "number of options")


@test
def commands():
    equal(complete("unclosed", "ex"), ["explain"], "ex")
    has(complete("unclosed", ""), "lab", "commands")


@test
def states_and_causes():
    equal(complete("unclosed", "explain", "CLOSE_"), ["CLOSE_WAIT"], "CLOSE_")
    equal(complete("unclosed", "explain", "--json", "not"), ["not-accepted"], "not")


@test
def scenarios():
    """names from --list, and the reader's own files"""
    equal(complete("unclosed", "lab", "server-never"), ["server-never-closes"], "a name")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("mine.lua", "other.txt"):
            with open(os.path.join(folder, name), "w", encoding="utf-8"):
                pass
        equal(complete("unclosed", "lab", folder + "/"), [folder + "/mine.lua"], "a file")


@test
def words_of_an_option():
    equal(complete("daytimed", "--after-reply", "=", "ke"), ["keep"], "after =")
    equal(complete("daytimed", "--after-reply", "="), ["close", "keep", "hold:"], "right after =")
    equal(complete("daytimed", "--after-reply", "c"), ["close"], "as a word of its own")
    equal(complete("unclosed", "explain", "--colour", "="), ["auto", "always", "never"], "right after an optional =")
    equal(complete("unclosed", "explain", "--colour", "=", "n"), ["never"], "an optional argument")
    equal(complete("unclosed", "explain", "--colour", "una"), [], "a lower-case state is an operand")
    equal(complete("unclosed", "explain", "--colour", "un"), ["unread"], "operand after an optional argument")


@test
def lists_and_processes():
    for command in ("list", "release"):
        equal(complete("unclosed", command, "--state", "=", "CLOSE_WAIT,F"),
              ["CLOSE_WAIT,FIN_WAIT_1", "CLOSE_WAIT,FIN_WAIT_2"], "the second of a list")
        equal(complete("unclosed", command, "--state", "=", "CLOSE_WAIT,FIN_WAIT_1,half"),
              ["CLOSE_WAIT,FIN_WAIT_1,half-closed"], "the third")
        equal(complete("unclosed", command, "--cause", "=", "unr"), ["unread"], "the first")
        pid = str(os.getpid())
        true(pid in complete("unclosed", command, "--pid", "=", pid), "this process")
        has(complete("unclosed", command, "--comm", "=", "bas"), "bash", "the shell that is asked")
    true("state" in complete("unclosed", "list", "--columns", "=", "st"), "columns are a list")
    equal(complete("unclosed", "list", "--columns", "=", "pid,comm,coo"), ["pid,comm,cookie"], "of columns")


@test
def namespaces_by_name():
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    equal(sorted(complete("unclosed", "list", "--netns", "=")), sorted(names), "those of ip-netns(8)")


@test
def installed_tree():
    """make install into DESTDIR lays every program, page and completion where it belongs."""
    with tempfile.TemporaryDirectory() as root:
        done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root)
        equal(done.returncode, 0, done.stdout + done.stderr)
        files = [os.path.relpath(os.path.join(folder, f), root) for folder, _, fs in os.walk(root) for f in fs]
        for part in ("bin/unclosed", "bin/daytime", "sbin/daytimed"):
            true(any(f.endswith(part) and os.access(os.path.join(root, f), os.X_OK) for f in files), part)
        for program in ("unclosed", "daytime", "daytimed"):
            true(any(f.endswith(f"share/bash-completion/completions/{program}") for f in files), program)
        for page in os.listdir(os.path.join(SOURCE, "man")):
            if page[-1].isdigit():
                section = page[-1]
                true(any(f.endswith((f"man{section}/{page}", f"man{section}/{page}.gz")) for f in files), page)
        for folder, _, names in os.walk(os.path.join(SOURCE, "scenarios")):
            for name in names:
                if name.endswith(".lua"):
                    part = os.path.relpath(os.path.join(folder, name), SOURCE)
                    true(any(f.endswith("share/unclosed/" + part) for f in files), part)
        stray = [f for f in files if not f.startswith("usr/")]
        equal(stray, [], "files outside the prefix")


main()
