# SPDX-License-Identifier: MIT
"""Who may include whom (docs/ARCHITECTURE.md): a room includes only the rooms that the law names."""
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import SOURCE, equal, main, test, true  # noqa: E402

LAW = {
    "base": set(),
    "tcp": {"base"},
    "kernel": {"base", "tcp"},
    "daytime": {"base"},
    "lab": {"base", "tcp", "kernel"},
    "doctor": {"base", "tcp", "kernel"},
    "report": {"base", "tcp"},
    "cmd": {"base", "tcp", "kernel", "daytime", "lab", "doctor", "report"},
}
# Headers of a library that only one room may know, by how they begin.
ONLY = {"lua": "lab", "lauxlib": "lab", "lualib": "lab", "bpf/": "kernel", "elfutils/": "kernel"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def breaches(root):
    found = []
    for folder, _, files in os.walk(os.path.join(root, "src")):
        room = os.path.relpath(folder, os.path.join(root, "src")).split(os.sep)[0]
        for name in sorted(files):
            if not name.endswith((".c", ".h")) or room == ".":
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = f.read()
            for quote, path in INCLUDE.findall(text):
                target = path.split("/")[0]
                if quote == '"' and target in LAW and target not in LAW[room] | {room}:
                    found.append(f"{room}/{name} includes {path}")
                for prefix, owner in ONLY.items():
                    if path.startswith(prefix) and room != owner:
                        found.append(f"{room}/{name} includes {path}")
    return found


@test
def every_room_keeps_the_law():
    equal(breaches(SOURCE), [], "breaches")


@test
def every_room_is_under_the_law():
    rooms = {d for d in os.listdir(os.path.join(SOURCE, "src"))
             if os.path.isdir(os.path.join(SOURCE, "src", d))}
    equal(rooms - set(LAW), set(), "rooms without a law")


@test
def a_breach_is_seen():
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "src", "tcp"))
        with open(os.path.join(root, "src", "tcp", "x.c"), "w", encoding="utf-8") as f:
            f.write('#include "base/err.h"\n#include "kernel/diag.h"\n#include <lua.h>\n')
        equal(breaches(root), ["tcp/x.c includes kernel/diag.h", "tcp/x.c includes lua.h"], "breaches")


@test
def every_source_names_its_licence():
    bare = []
    for top in ("src", "tests", "bench", "tools", "scenarios", "man", "completions", "packaging"):
        for folder, _, files in os.walk(os.path.join(SOURCE, top)):
            for name in files:
                path = os.path.join(folder, name)
                if "corpus" in path or "golden" in path or "__pycache__" in path:
                    continue
                with open(path, encoding="utf-8", errors="replace") as f:
                    if "SPDX-License-Identifier:" not in f.read(400):
                        bare.append(os.path.relpath(path, SOURCE))
    true(not bare, f"no SPDX line in: {bare}")


main()
