# SPDX-License-Identifier: MIT
"""The README keeps its word: its commands have the options that it shows and print what it shows, its scenario
passes, its links lead somewhere. For list, release and watch see readme_list and readme_watch."""
import os
import re
import shlex
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from examples import ENV, TEXT, Host, Server, blocks, example, examples, masked, same_lines  # noqa: E402
from labtest import lab, script  # noqa: E402
from tap import SOURCE, binary, cases, equal, main, run, test, true  # noqa: E402

PROGRAMS = ("unclosed", "daytime", "daytimed")


def options():
    """command: its options, long and short"""
    tables = {}
    for program in PROGRAMS:
        for line in run(binary(program), "--describe-options").stdout.splitlines():
            command, short, long, _, _ = line.split("|")
            tables.setdefault(command, set()).update(o for o in (short, long) if o)
    return tables


@test
def every_command_is_there():
    tables = options()
    seen = set()
    for typed, _ in examples():
        words = shlex.split(typed)
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


LAB = [typed for typed, _ in examples() if typed.startswith("unclosed lab ")]


@cases(*LAB)
def the_lab_runs(typed):
    """As typed, where the README's scenario is in the file that it names."""
    with Host() as host, tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/my-own.lua", "w", encoding="utf-8") as own:
            own.write(*blocks("lua"))
        done = host.type(typed, folder)
        equal(done.returncode, 0, done.stdout + done.stderr)
        true(done.stdout, "something is printed")
        for file in re.findall(r"--pcap=(\S+)", typed):
            true(os.path.getsize(f"{folder}/{file}"), f"{file} is written")


def diagram(text):
    """Its rows. A sentence may break elsewhere, for a time in it: its lines are one."""
    return re.sub(r"\n {6}(?![ ✓])", " ", masked(text))


@test
def the_diagram_is_what_the_lab_prints():
    (shown,) = blocks("text")
    printed = lab("server-never-closes", env=ENV).stdout
    printed = printed[:printed.index("\n\n", printed.index("passed: "))]
    same_lines(diagram(printed), diagram(shown), "the diagram")


@test
def what_it_says_of_explain_is_printed():
    typed, shown = example("unclosed explain")
    equal(run("sh", "-c", typed, env=ENV).stdout, shown, typed)


@test
def the_server_answers_its_client():
    (start, listens), (ask, says) = example("daytimed "), example("daytime localhost")
    with Host() as host, Server(host, start, listens):
        answer = host.type(ask)
        equal((answer.returncode, answer.stderr), (0, ""), ask)
        for line in (answer.stdout, says):
            time.strptime(line, "%a %b %d %H:%M:%S %Y\n")


@test
def every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        true(os.path.exists(os.path.join(SOURCE, target)), f"no {target}")


@test
def it_fits_a_terminal():
    longest = [line for line in TEXT.splitlines() if len(line) > 170]
    equal(longest, [], "lines")


main()
