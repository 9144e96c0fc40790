# SPDX-License-Identifier: MIT
"""The README keeps its word: its commands have the options that it shows, its scenario passes, its links
lead somewhere."""
import os
import re
import shlex
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from labtest import lab, script  # noqa: E402
from tap import SOURCE, binary, equal, main, run, test, true  # noqa: E402

with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as readme:
    TEXT = readme.read()
WIDE = {**os.environ, "COLUMNS": "80"}
PROGRAMS = ("unclosed", "daytime", "daytimed")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.S)


def options():
    """command: its options, long and short"""
    tables = {}
    for program in PROGRAMS:
        for line in run(binary(program), "--describe-options").stdout.splitlines():
            command, short, long, _, _ = line.split("|")
            tables.setdefault(command, set()).update(o for o in (short, long) if o)
    return tables


def commands():
    for block in blocks("console"):
        for line in block.splitlines():
            if line[:2] in ("$ ", "# "):
                yield shlex.split(line[2:], comments=True)


@test
def every_command_is_there():
    tables = options()
    seen = set()
    for words in commands():
        if words[0] == "make":
            out = run("make", "-n", "-C", SOURCE, *words[1:])
            equal(out.returncode, 0, f"{words}: {out.stderr}")
            continue
        name = f"unclosed {words[1]}" if words[0] == "unclosed" else words[0]
        true(name in tables, f"no command '{name}'")
        seen.add(name)
        for word in words[1:]:
            if word == "--":
                break
            if word.startswith("-"):
                true(word.partition("=")[0] in tables[name], f"{name} has no option {word}")
    equal(seen, {n for n in tables if n != "unclosed"}, "every command has an example")


@test
def the_scenario_passes():
    (text,) = blocks("lua")
    for option in ([], ["-6"]):
        done = lab(script(text, "readme.lua"), *option)
        equal(done.returncode, 0, done.stdout)


def words(text):
    """The words of a diagram, each with how often it is there. Times, ports and numbers of processes differ
    from run to run, and with them where lines break and which of two processes comes first."""
    return Counter(re.findall(r"[A-Za-z✓§][\w:'-]*", re.sub(r"\d+(\.\d+)? (us|ms|s)\b|\[\d+\]|:\d+", " ", text)))


@test
def the_diagram_is_what_the_lab_prints():
    (shown,) = blocks("text")
    printed = lab("server-never-closes", env=WIDE).stdout
    printed = printed[:printed.index("\n\n", printed.index("passed: "))]
    equal(words(shown), words(printed), "the words of the diagram")


@test
def what_it_says_of_explain_is_printed():
    (shown,) = re.findall(r"^\$ unclosed explain (\S+)\n(.*?)```", TEXT, re.M | re.S)
    equal(shown[1], run(binary("unclosed"), "explain", shown[0], env=WIDE).stdout, "explain " + shown[0])


@test
def every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        true(os.path.exists(os.path.join(SOURCE, target)), f"no {target}")


@test
def it_fits_a_terminal():
    longest = [line for line in TEXT.splitlines() if len(line) > 170]
    equal(longest, [], "lines")


main()
