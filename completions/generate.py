#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""generate.py PROGRAM COMPILED UNCLOSED >FILE: writes bash's completion of a program.

It is made from what `COMPILED --describe-options` prints, so that it cannot differ from the option
tables. UNCLOSED is the compiled unclosed, which knows the names of states and causes. The result needs nothing but
bash: no bash-completion package.
"""
import json
import shlex
import subprocess
import sys
from collections import namedtuple

Option = namedtuple("Option", "command short long arg complete")


def lines(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().splitlines()


def options(program):
    return [Option(*line.split("|")) for line in lines(program, "--describe-options")]


def state_names(unclosed):
    names = [json.loads(line)["name"] for line in lines(unclosed, "explain", "--json")]
    return sorted(set(names), key=names.index)


class Generator:
    def __init__(self, program, compiled, unclosed):
        self.program = program
        self.rows = options(compiled)
        self.words = {"state": " ".join(state_names(unclosed))}
        self.commands = sorted({row.command.split()[1] for row in self.rows if " " in row.command})

    def action(self, complete, arg=""):
        """The shell command that fills COMPREPLY with what may stand for $cur."""
        if complete in ("process-id", "process-name", "netns"):
            return f"_unclosed_{complete.replace('-', '_')}"
        if complete == "file":
            return "_unclosed_files"
        if complete == "host":
            return "_unclosed_hosts"
        if complete == "scenario":
            return "_unclosed_scenarios"
        words = " ".join(self.commands) if complete == "command" else self.words.get(complete, complete)
        return f"_unclosed_{'list' if arg.endswith('[,...]') else 'words'} {shlex.quote(words)}"

    def command(self, name):
        rows = [row for row in self.rows if row.command == name]
        words = []
        for row in rows:
            if row.long:
                words += [row.long + ("=" if row.arg and not row.arg.startswith("[") else "")]
                words += [row.short] if row.short else []
        yield f"\t{shlex.quote(name)})"
        yield '\t\tcase "$option" in'
        for row in rows:
            if row.long and row.arg:
                names = f"{row.long}=" if row.arg.startswith("[") else f"{row.long}|{row.long}="
                names += f"|{row.short}" if row.short else ""
                yield f"\t\t{names}) {self.action(row.complete, row.arg)}; return ;;"
        yield "\t\tesac"
        yield '\t\tcase "$cur" in'
        yield f"\t\t-*) _unclosed_words {shlex.quote(' '.join(words))} ;;"
        for row in rows:
            if not row.long and row.complete:
                yield f"\t\t*) {self.action(row.complete)} ;;"
        yield "\t\tesac ;;"

    def text(self):
        with open(__file__.replace("generate.py", "common.bash"), encoding="utf-8") as f:
            yield f.read().rstrip("\n")
        yield ""
        yield f"_unclosed_complete_{self.program}()"
        yield "{"
        yield "\tlocal cur option command"
        yield f"\t_unclosed_parse {self.program} {shlex.quote(' '.join(self.commands))}"
        yield '\tcase "$command" in'
        for name in dict.fromkeys(row.command for row in self.rows):
            yield from self.command(name)
        yield "\tesac"
        yield "}"
        yield f"complete -F _unclosed_complete_{self.program} {self.program}"


print("\n".join(Generator(*sys.argv[1:]).text()))
