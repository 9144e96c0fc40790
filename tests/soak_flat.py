# SPDX-License-Identifier: MIT
"""soak_flat.py BUILD served|refused COUNT: so many connections one after another; memory stays flat.

"served": each is replied to and closes; "refused": each is one too many of its source. Prints resident
memory and descriptors of daytimed after the 1,000th and then at ten points on the way. Exits 1 where
memory grew by more than 64 KiB or beyond 3 MiB, a descriptor is left, or the account does not close:
replies received = replies sent and closed, refusals met = refusals counted.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD, MODE, COUNT = os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3])
WARM_UP, SLACK_KIB, MOST_KIB = 1000, 64, 3072
OPTIONS = {"served": [], "refused": ["--max-per-source=1", "--after-reply=keep"]}


class Watched:
    """daytimed, its log, and what /proc says of it."""

    def __init__(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([f"{BUILD}/src/daytimed", "--user=none", "--log=quiet", *OPTIONS[MODE],
                                         "0"], stderr=self.log)
        end = time.monotonic() + 10
        while not (match := re.search(rb"port (\d+)", self.said())) and time.monotonic() < end:
            time.sleep(0.01)
        self.port = match[1].decode()

    def said(self):
        return os.pread(self.log.fileno(), 1 << 20, 0)

    def reports(self):
        return [line for line in self.said().splitlines(keepends=True)
                if line.startswith(b"{") and line.endswith(b"\n")]

    def counters(self):
        before = len(self.reports())
        self.process.send_signal(signal.SIGUSR2)
        end = time.monotonic() + 10
        while len(self.reports()) == before and time.monotonic() < end:
            time.sleep(0.01)
        return json.loads(self.reports()[-1])

    def load(self, count):
        """(replies, errors) of so many connections."""
        got = subprocess.run([f"{BUILD}/bench/bench_load", self.port, str(count), "16"], text=True,
                             stdout=subprocess.PIPE, check=True)
        return [int(n) for n in got.stdout.split()[:2]]

    def size(self):
        """Resident KiB and descriptors, once nothing but a kept connection is open."""
        end = time.monotonic() + 10
        while self.counters()["open"] > (MODE == "refused") and time.monotonic() < end:
            time.sleep(0.01)
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            rss = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
        return rss, len(os.listdir(f"/proc/{self.process.pid}/fd"))


def main():
    server = Watched()
    kept = None
    if MODE == "refused":  # the one that its source may have
        kept = socket.create_connection(("127.0.0.1", int(server.port)))
        kept.recv(100)
    replies, errors = server.load(WARM_UP)
    first = size = server.size()
    print(f"{WARM_UP:10} connections: {first[0]} KiB, {first[1]} descriptors", flush=True)
    for n in range(1, 11):
        got = server.load(COUNT * n // 10 - COUNT * (n - 1) // 10)
        replies, errors = replies + got[0], errors + got[1]
        size = server.size()
        print(f"{WARM_UP + COUNT * n // 10:10} connections: {size[0]} KiB, {size[1]} descriptors", flush=True)
    now = server.counters()
    server.process.terminate()
    code = server.process.wait(10)
    total, refused = WARM_UP + COUNT, now["refused"]["source"]
    served = MODE == "served"
    checks = {
        f"replies {replies} = sent {now['replied']}": replies + bool(kept) == now["replied"],
        f"refusals {errors} = counted {refused}": errors == refused,
        f"all {total} were {MODE}": (replies, errors) == ((total, 0) if served else (0, total)),
        f"closed {now['closed']}, open {now['open']}": now["closed"] == replies and now["open"] == bool(kept),
        f"resident {first[0]} -> {size[0]} KiB": size[0] <= min(MOST_KIB, first[0] + SLACK_KIB),
        f"descriptors {first[1]} -> {size[1]}": size[1] == first[1],
        f"exit code {code}": code == 0,
    }
    for text, good in checks.items():
        print(("ok   " if good else "FAIL ") + text)
    sys.exit(0 if all(checks.values()) else 1)


main()
