# SPDX-License-Identifier: MIT
"""`unclosed list` and containers: the id of a container is told, and its network namespace is named by it."""
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import BUILD, Skip, binary, cases, equal, has, json_lines, main, run, true  # noqa: E402

MKCAUSE = os.path.join(BUILD, "tests", "mkcause")
TIERS = ("bpf", "proc")


class Container:
    """mkcause in a container made by runc(8): namespaces and a cgroup of its own, docker's kind of id."""

    def __init__(self):
        self.id = secrets.token_hex(32)
        self.held = tempfile.TemporaryDirectory()
        self.process = None

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
        self.process = subprocess.Popen(self.argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line == "ready\n":
                return self
        why = self.process.stderr.read().strip()
        self.stop()
        raise Skip(f"runc cannot run a container here: {why[-200:]}")

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.process.stderr.close()
            self.process.wait()
            self.held.cleanup()


class Grouped:
    """mkcause in a network namespace and in a cgroup of the name that docker gives, without a runtime."""

    def __init__(self):
        self.id = secrets.token_hex(32)
        roots = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
        self.root = next(r for r in roots if os.path.exists(os.path.join(r, "cgroup.procs")))
        self.folder = os.path.join(self.root, f"docker-{self.id}.scope")
        self.process = None

    def __enter__(self):
        os.mkdir(self.folder)
        enter = f"echo $$ >{self.folder}/cgroup.procs && ip link set lo up && exec {MKCAUSE} unread=3 half-closed-here=1"
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", enter], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        true(any(line == "ready\n" for line in self.process.stdout), "mkcause is ready")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.process.wait()
        for _ in range(1000):
            try:
                os.rmdir(self.folder)
                return
            except OSError:  # what mkcause forked is just ending
                signal.sigtimedwait((), 0.01)


def look(*args):
    r = run(binary("unclosed"), "list", *args)
    equal(r.stderr, "", "stderr")
    return r.stdout


@cases(*[(kind, tier) for kind in ("runc", "cgroup") for tier in TIERS])
def a_container_is_told_and_names_its_namespace(kind, tier):
    with {"runc": Container, "cgroup": Grouped}[kind]() as made:
        short = made.id[:12]
        found = json_lines(look("--json", "--tier", tier, "--cgroup", made.id))
        equal(sorted(s["cause"] for s in found), ["half-closed-here"] + ["unread"] * 4, "held in the container")
        spaces = {s["netns"] for s in found}
        pids = {h["pid"] for s in found for h in s["holders"]}
        equal(spaces, {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in pids}, "its namespace, by pids of this one")
        true(os.stat("/proc/self/ns/net").st_ino not in spaces, "a namespace of its own")
        rows = {tuple(line.split("\t")) for line in
                look("--tier", tier, "--columns", "container,netns,comm", "--no-heading", "--cgroup", short).splitlines()}
        equal({row[:2] for row in rows}, {(made.id, short)}, "id, and the namespace's name")
        text = look("--tier", tier, "--netns", short)
        has(text, f"in {short}", "who holds them")
        true(any("orphan" in line and f"the kernel netns {short}" in line for line in text.splitlines()),
             f"what nobody holds is told by its namespace: {text}")
        has(text, "in 1 network namespace.")


main()
