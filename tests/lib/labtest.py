# SPDX-License-Identifier: MIT
"""What the tests of the lab share: runs of `unclosed lab` as root and as an ordinary user."""
import atexit
import json
import os
import shutil
import tempfile

from tap import SOURCE, Skip, binary, json_lines, run

USER = 54321  # nobody's: it need not be in passwd
EXPERIMENTS = ["both-close", "client-never-closes", "server-never-closes",
               "client-waits-before-close", "server-waits-before-close"]
# RFC 9293 figure 5, and the arcs that its text adds. Anything may be reset to gone or CLOSED.
ARCS = {
    ("gone", "LISTEN"), ("gone", "SYN_SENT"), ("gone", "SYN_RECV"), ("CLOSED", "SYN_SENT"),
    ("LISTEN", "SYN_RECV"), ("SYN_SENT", "ESTABLISHED"), ("SYN_SENT", "SYN_RECV"),
    ("SYN_RECV", "ESTABLISHED"), ("SYN_RECV", "FIN_WAIT_1"), ("SYN_RECV", "CLOSE_WAIT"),
    ("ESTABLISHED", "FIN_WAIT_1"), ("ESTABLISHED", "CLOSE_WAIT"), ("FIN_WAIT_1", "FIN_WAIT_2"),
    ("FIN_WAIT_1", "CLOSING"), ("FIN_WAIT_1", "TIME_WAIT"), ("FIN_WAIT_2", "TIME_WAIT"),
    ("CLOSE_WAIT", "LAST_ACK"), ("CLOSING", "TIME_WAIT"), ("TIME_WAIT", "SYN_RECV"),
    ("TIME_WAIT", "SYN_SENT"),
}
_place = None


def place():
    """A directory that every user may read, with the programs and the scenarios in it: the build tree
    may lie below a home that is closed to others."""
    global _place
    if _place is None:
        _place = tempfile.mkdtemp(prefix="unclosed-test-")
        atexit.register(shutil.rmtree, _place, True)
        os.chmod(_place, 0o755)
        os.makedirs(os.path.join(_place, "bin"))
        for name in ("unclosed", "daytime", "daytimed"):
            shutil.copy(binary(name), os.path.join(_place, "bin"))
        shutil.copytree(os.path.join(SOURCE, "scenarios"), os.path.join(_place, "share/unclosed/scenarios"))
        for folder, _, files in os.walk(_place):
            os.chmod(folder, 0o755)
            for name in files:
                os.chmod(os.path.join(folder, name), 0o755 if folder.endswith("bin") else 0o644)
    return _place


def as_user(*argv):
    """The command line that runs argv as an ordinary user, from the place."""
    if os.geteuid() != 0:
        return [*argv]
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *argv]


def lab(*argv, user=False, **kw):
    command = [os.path.join(place(), "bin", "unclosed"), "lab", *argv]
    return run(*(as_user(*command) if user else command), cwd=place(), **kw)


def records(*argv, **kw):
    """Runs with --json: (the finished process, its objects)."""
    done = lab("--json", *argv, **kw)
    return done, json_lines(done.stdout)


def script(text, name="own.lua"):
    """Writes a scenario of the test's own into the place and returns its path."""
    path = os.path.join(place(), name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, 0o644)
    return path


def illegal(record):
    """The first state change of a record that RFC 9293 does not know, or None."""
    last = {}
    for number, event in enumerate(record["timeline"]):
        if event["kind"] not in ("packet", "call", "state") or event.get("conn") is None:
            continue
        for side in ("client", "server"):
            state = event[side]
            key = (event["conn"], side)
            was = last.get(key, "gone")
            if state != was and state not in ("gone", "CLOSED") and (was, state) not in ARCS:
                return f"event {number}: {side} {was} -> {state}"
            last[key] = state
    return None


def need(command):
    if shutil.which(command) is None:
        raise Skip(f"{command} is not installed")


def dump(record):
    return json.dumps(record, indent=1)[:2000]
