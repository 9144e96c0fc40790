# SPDX-License-Identifier: MIT
"""`unclosed list` and containers: the id of a container is told, and its network namespace is named by it."""
import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cgroups import a_cgroup  # noqa: E402
from helper import Helper  # noqa: E402
from tap import BUILD, Skip, binary, cases, equal, has, json_lines, main, run, true  # noqa: E402

MKCAUSE = os.path.join(BUILD, "tests", "mkcause")
TIERS = ("bpf", "proc")


class Container:
    """mkcause in a container made by runc(8): namespaces and a cgroup of its own, docker's kind of id."""

    def __init__(self):
        self.id = secrets.token_hex(32)
        self.held = tempfile.TemporaryDirectory()
        self.runc = None

    def config(self, rootfs):
        binds = [d for d in ("/usr", "/lib", "/lib64", "/bin", os.path.realpath(BUILD)) if os.path.isdir(d)]
        for d in binds:
            os.makedirs(rootfs + d, exist_ok=True)
        return {"ociVersion": "1.0.0", "root": {"path": rootfs},
                "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "cwd": "/",
                            "args": [os.path.realpath(MKCAUSE), "unread=3", "half-closed-here=1"],
                            "env": ["ASAN_OPTIONS=detect_leaks=0"]},
                "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}] +
                          [{"destination": d, "type": "bind", "source": d, "options": ["rbind", "ro"]} for d in binds],
                "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "mount"}],
                          "cgroupsPath": f"/docker-{self.id}.scope"}}

    def argv(self):
        rootfs = os.path.join(self.held.name, "rootfs")
        os.makedirs(os.path.join(rootfs, "proc"))
        with open(os.path.join(self.held.name, "config.json"), "w", encoding="ascii") as f:
            json.dump(self.config(rootfs), f)
        return ["runc", "--root", os.path.join(self.held.name, "state"), "run", "--bundle", self.held.name, self.id]

    def __enter__(self):
        self.runc = Helper(*self.argv(), stderr=subprocess.PIPE)
        try:
            self.runc.lines_to("ready")
        except AssertionError:
            why = self.runc.process.stderr.read().strip()
            self.stop()
            raise Skip(f"runc cannot run a container here: {why[-200:]}") from None
        return self.id

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        try:
            self.runc.end()
        finally:
            self.runc.process.stderr.close()
            self.held.cleanup()


@contextmanager
def grouped():
    """mkcause in a network namespace and in a cgroup of the name that docker gives, without a runtime."""
    number = secrets.token_hex(32)
    with a_cgroup(f"docker-{number}.scope") as folder:
        enter = f"echo $$ >{folder}/cgroup.procs && ip link set lo up && exec {MKCAUSE} unread=3 half-closed-here=1"
        with Helper("unshare", "--net", "sh", "-c", enter) as process:
            process.lines_to("ready")
            yield number


def look(*args):
    r = run(binary("unclosed"), "list", *args)
    equal(r.stderr, "", "stderr")
    return r.stdout


@cases(*[(kind, tier) for kind in ("runc", "cgroup") for tier in TIERS])
def a_container_is_told_and_names_its_namespace(kind, tier):
    with {"runc": Container, "cgroup": grouped}[kind]() as number:
        short = number[:12]
        found = json_lines(look("--json", "--tier", tier, "--cgroup", number))
        equal(sorted(s["cause"] for s in found), ["half-closed-here"] + ["unread"] * 4, "held in the container")
        spaces = {s["netns"] for s in found}
        pids = {h["pid"] for s in found for h in s["holders"]}
        equal(spaces, {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in pids}, "its namespace, by pids of this one")
        true(os.stat("/proc/self/ns/net").st_ino not in spaces, "a namespace of its own")
        rows = {tuple(line.split("\t")) for line in
                look("--tier", tier, "--columns", "container,netns,comm", "--no-heading", "--cgroup", short).splitlines()}
        equal({row[:2] for row in rows}, {(number, short)}, "id, and the namespace's name")
        text = look("--tier", tier, "--netns", short)
        has(text, f"in {short}", "who holds them")
        true(any("orphan" in line and f"the kernel netns {short}" in line for line in text.splitlines()),
             f"what nobody holds is told by its namespace: {text}")
        has(text, "in 1 network namespace.")


main()
