# SPDX-License-Identifier: MIT
"""unclosed release against sockets that change, close and are reused meanwhile: no wrong one is hit.

UNCLOSED_ROUNDS says how many rounds (100000 by `make soak-release`). A round is one socket that release
set out to free; each is recorded, and churn says independently which of its sockets were ended by
somebody else. The two must agree: every socket that was ended is one that release recorded as done, by
cookie and both addresses, and none of them was healthy.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import BUILD, SANITIZED, binary, equal, main, run, test, true  # noqa: E402

ROUNDS = int(os.environ.get("UNCLOSED_ROUNDS", "2000" if SANITIZED else "6000"))
SLOTS, THREADS = 400, 2
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # the records are synced one by one


class Churn:
    def __enter__(self):
        churn = os.path.join(BUILD, "tests", "churn")
        self.process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", f"ip link set lo up && exec {churn} {SLOTS} {THREADS}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        equal(self.process.stdout.readline(), "ready\n", "churn")
        return self

    def finish(self):
        """What was ended by somebody else, and the counts."""
        out, _ = self.process.communicate(timeout=60)
        equal(self.process.returncode, 0, "churn's exit status")
        *disturbed, counts = [json.loads(line) for line in out.splitlines()]
        return disturbed, counts

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def identity(o):
    return o["cookie"], o["local"], o["peer"]


def rounds_against(churn, audit, *how):
    """Releases all that churn shows as half-closed until there were enough rounds. Returns the after
    lines."""
    done, size = [], 0
    while len(done) < ROUNDS // 2:
        result = run(binary("unclosed"), "release", f"--pid={churn.process.pid}", "--state=CLOSE_WAIT",
                     "--yes", "--at-most=100000", "--wait=0", f"--audit={audit}", *how)
        true(result.returncode in (0, 1), f"exit {result.returncode}: {result.stderr}")
        with open(audit, encoding="utf-8") as f:
            f.seek(size)
            lines = [json.loads(line) for line in f]
            size = f.tell()
        equal([o["phase"] for o in lines], ["before", "after"] * (len(lines) // 2), "phases")
        done += lines[1::2]
    return done


def summary(lines):
    count = {}
    for o in lines:
        key = o["result"] + (": " + o["error"].split("127.")[0] if "error" in o else "")
        count[key] = count.get(key, 0) + 1
    return dict(sorted(count.items(), key=lambda kv: -kv[1]))


def no_wrong_socket(*how):
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=FAST) as where, Churn() as churn:
        lines = rounds_against(churn, os.path.join(where, "audit.jsonl"), *how)
        disturbed, counts = churn.finish()
    released = {identity(o["socket"]) for o in lines if o["result"] == "done"}
    print(f"# {len(lines)} rounds in {time.monotonic() - began:.1f} s: {summary(lines)}; churn: {counts}")
    equal([d for d in disturbed if d["kind"] != "half-closed"], [], "healthy sockets that were ended")
    equal([d for d in disturbed if identity(d) not in released], [],
          "half-closed sockets that were ended and not listed, or not recorded as done")
    true(len(released) > len(lines) // 100, f"only {len(released)} of {len(lines)} were released")
    true(len(disturbed) > len(released) // 10, "churn saw little of what was released")
    true(len(lines) - len(released) > len(lines) // 100, "hardly anything changed meanwhile")


@test
def shutdown_never_hits_another():
    no_wrong_socket()


@test
def reset_never_hits_another():
    no_wrong_socket("--reset")


@test
def namespaces_may_end_meanwhile():
    """Processes with a network namespace of their own come and go; a look at all is whole all the same."""
    loop = "while :; do unshare -n sleep 0.0$(($$ % 7))1; done"
    comers = [subprocess.Popen(["sh", "-c", loop], start_new_session=True) for _ in range(4)]
    try:
        for _ in range(15):
            done = run(binary("unclosed"), "release", "--port=1")
            equal((done.returncode, done.stdout), (0, "No socket matches.\n"), done.stderr)
    finally:
        for p in comers:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()


main()
