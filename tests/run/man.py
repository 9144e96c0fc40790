#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual: clean to mandoc, and it describes the options that the programs have, all and only those."""
import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import SOURCE, binary, cases, equal, has, main, run, test, true  # noqa: E402

PAGES = sorted(glob.glob(os.path.join(SOURCE, "man", "*.[1-9]")))
MACROS = ("Fl", "Ar", "Ns", "Op", "Cm", "Oo", "Oc", "No", "Sy")
PROGRAMS = ("unclosed", "daytime", "daytimed")


def page_of(command):
    found = [p for p in PAGES if os.path.basename(p).rpartition(".")[0] == command.replace(" ", "-")]
    return found[0] if found else None


def described():
    """command: {"--json", "-h", ...}, from the option tables"""
    tables = {}
    for program in PROGRAMS:
        done = run(binary(program), "--describe-options")
        equal(done.returncode, 0, program)
        for line in done.stdout.splitlines():
            command, short, long, _, _ = line.split("|")
            tables.setdefault(command, set()).update(o for o in (short, long) if o)
    return tables


def options_in(source):
    """The options that have an item of their own (.It Fl) in an mdoc source."""
    found = set()
    for line in source.splitlines():
        if not line.startswith(".It Fl"):
            continue
        before = ""
        for word in line.split():
            if word.isalpha() and word in MACROS or word == ",":
                before = word if word in ("Fl", ",") else ""
                continue
            if before in ("Fl", ","):
                found.add("-" + word)
            before = ""
    return found


@cases(*[os.path.basename(p) for p in PAGES])
def lint(name):
    done = run("mandoc", "-Tlint", "-W", "warning", os.path.join(SOURCE, "man", name))
    equal((done.returncode, done.stdout), (0, ""), "mandoc")


@cases(*[os.path.basename(p) for p in PAGES if p.endswith((".1", ".8"))])
def sections(name):
    """A page of a program has examples and exit codes; that of one that meets strangers has more."""
    with open(os.path.join(SOURCE, "man", name), encoding="utf-8") as f:
        there = set(re.findall(r"^\.Sh (.*)$", f.read(), re.M))
    wanted = {"NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS", "SEE ALSO"}
    if name.startswith("daytime"):
        wanted |= {"STANDARDS", "SECURITY"}
    equal(wanted - there, set(), "sections that are missing")


@cases(*[os.path.basename(p) for p in PAGES])
def references(name):
    """Every page that another refers to as ours exists."""
    with open(os.path.join(SOURCE, "man", name), encoding="utf-8") as f:
        for page, section in re.findall(r"^\.Xr (\S+) (\d)", f.read(), re.M):
            if page.startswith(("unclosed", "daytime")):
                true(os.path.exists(os.path.join(SOURCE, "man", f"{page}.{section}")), f"no {page}({section})")


@cases(*sorted(described()))
def options(command):
    path = page_of(command)
    true(path, f"no page for {command}")
    with open(path, encoding="utf-8") as f:
        written = options_in(f.read())
    equal(sorted(written), sorted(described()[command]), "options in the page (wanted: in the table)")


@test
def every_command_is_in_the_overview():
    with open(os.path.join(SOURCE, "man", "unclosed.1"), encoding="utf-8") as f:
        source = f.read()
    for command in described():
        if " " in command:
            has(source, f".It Cm {command.split()[1]}\n", "unclosed.1")


@test
def every_page_is_installed():
    with open(os.path.join(SOURCE, "man", "meson.build"), encoding="utf-8") as f:
        source = f.read()
    for path in PAGES:
        has(source, os.path.basename(path), "man/meson.build")


@test
def a_missing_option_is_seen():
    equal(options_in(".It Fl h , -help\n.It Fl -colour Ns Op = Ns Ar when\n.It Fl u Ar n , Fl -user Ns = Ns Ar n\n"),
          {"-h", "--help", "--colour", "-u", "--user"}, "options")


main()
