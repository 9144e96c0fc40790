# SPDX-License-Identifier: MIT
"""soak.py BUILD MINUTES: clients of all sorts at one daytimed at once, for MINUTES; then the account.

Every sort has an address of its own in 127/8. At the end: every connection that a client made was
accepted; every reply sent was received whole, but for those whose client did not read; nobody who reads
was reset before the end of the stream; descriptors and memory are what they were. Exits 1 otherwise.
"""
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

BUILD, MINUTES = os.path.abspath(sys.argv[1]), float(sys.argv[2])
REPLY = re.compile(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}\n")
LINGER_NOW = struct.pack("ii", 1, 0)


class Sort:
    """One sort of client: how many connections it made, how many whole replies it read, what it lost."""
    number = 0

    def __init__(self, name, act, port):
        Sort.number += 1
        self.name, self.act, self.port = name, act, port
        self.source = f"127.0.100.{Sort.number}"
        self.made = self.whole = self.unread = self.lost = 0
        self.example = ""

    def run(self, until):
        while time.monotonic() < until:
            try:
                s = socket.create_connection(("127.0.0.1", self.port), 20, (self.source, 0))
            except OSError as error:
                self.lost += 1
                self.example = f"connect: {error}"
                continue
            self.made += 1
            with s:
                try:
                    self.count(self.act(s))
                except OSError as error:
                    self.lost += 1
                    self.example = str(error)

    def count(self, data):
        if data is None:
            self.unread += 1
        elif REPLY.fullmatch(data):
            self.whole += 1
        else:
            self.lost += 1
            self.example = repr(data)


def read_all(s):
    data = b""
    while chunk := s.recv(65536):
        data += chunk
    return data


def quick(s):
    return read_all(s)


def sends_first(s):
    s.sendall(b"x" * 1000)
    return read_all(s)


def goes_on_sending(s):
    for _ in range(50):
        s.sendall(b"x" * 1000)
    return read_all(s)


def half_closes_first(s):
    s.shutdown(socket.SHUT_WR)
    return read_all(s)


def reads_late(s):
    time.sleep(0.2)
    return read_all(s)


def byte_by_byte(s):
    data = b""
    while chunk := s.recv(1):
        data += chunk
    return data


def sends_for_ever(s):
    data = read_all(s)
    try:
        while True:
            s.sendall(b"x" * 10000)
    except OSError:
        return data  # the reset is the server's choice, after its reply


def never_closes(s):
    data = read_all(s)
    poll = select.poll()
    poll.register(s, select.POLLERR)
    if not poll.poll(10000):
        raise OSError("not reset within 10 s")
    return data


def resets(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOW)
    return None


def never_reads(s):
    time.sleep(0.05)
    return None


SORTS = (quick, sends_first, goes_on_sending, half_closes_first, reads_late, byte_by_byte,
         sends_for_ever, never_closes, resets, never_reads)


def status(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(rf"{key}:\s+(\d+)", f.read())[1])


def counters(pid, log):
    def lines():
        return [line for line in os.pread(log, 1 << 22, 0).splitlines() if line.startswith(b"{")]
    before = len(lines())
    os.kill(pid, signal.SIGUSR2)
    end = time.monotonic() + 10
    while len(lines()) == before and time.monotonic() < end:
        time.sleep(0.01)
    return json.loads(lines()[-1])


class Bulk(threading.Thread):
    """The bench's load generator, again and again: most of the connections."""

    def __init__(self, port, until):
        super().__init__()
        self.port, self.until, self.replies, self.errors = port, until, 0, 0

    def run(self):
        while time.monotonic() < self.until:
            got = subprocess.run([f"{BUILD}/bench/bench_load", str(self.port), "20000", "4"],
                                 stdout=subprocess.PIPE, check=True)
            replies, errors, _ = got.stdout.split()
            self.replies += int(replies)
            self.errors += int(errors)


def main():
    log = tempfile.TemporaryFile()
    server = subprocess.Popen([f"{BUILD}/src/daytimed", "--drain-time=1s", "--user=none", "--log=quiet",
                               "0"], stderr=log)
    while not (match := re.search(rb"port (\d+)", os.pread(log.fileno(), 100, 0))):
        time.sleep(0.01)
    port = int(match[1])
    first = subprocess.run([f"{BUILD}/bench/bench_load", str(port), "1000", "4"],
                           stdout=subprocess.PIPE, check=True).stdout.split()
    time.sleep(0.1)
    fds, rss = len(os.listdir(f"/proc/{server.pid}/fd")), status(server.pid, "VmRSS")
    until = time.monotonic() + MINUTES * 60
    sorts = [Sort(act.__name__, act, port) for act in SORTS]
    threads = [threading.Thread(target=s.run, args=(until,)) for s in sorts]
    bulk = Bulk(port, until)
    for t in (*threads, bulk):
        t.start()
    for t in (*threads, bulk):
        t.join()
    end = time.monotonic() + 5
    while (now := counters(server.pid, log.fileno()))["open"] and time.monotonic() < end:
        time.sleep(0.1)
    fds_after, rss_after = len(os.listdir(f"/proc/{server.pid}/fd")), status(server.pid, "VmRSS")
    server.terminate()
    code = server.wait(10)
    for s in sorts:
        print(f"{s.name:18} {s.made:9} connections {s.whole:9} whole replies {s.unread:7} not read "
              f"{s.lost:4} lost {s.example}")
    print(f"{'bulk':18} {bulk.replies + bulk.errors + 1000:9} connections "
          f"{bulk.replies + int(first[0]):9} whole replies {0:7} not read {bulk.errors:4} lost")
    made = sum(s.made for s in sorts) + bulk.replies + bulk.errors + 1000
    whole = sum(s.whole for s in sorts) + bulk.replies + int(first[0])
    unread = sum(s.unread for s in sorts)
    lost = sum(s.lost for s in sorts) + bulk.errors + int(first[1])
    print(json.dumps(now))
    checks = {
        f"accepted {now['accepted']} = connected {made}": now["accepted"] == made,
        f"replied {now['replied']} + unsent {now['unsent']} = received whole {whole} + not read "
        f"{unread}": now["replied"] + now["unsent"] == whole + unread,
        f"lost {lost} = 0": lost == 0,
        f"refused {sum(now['refused'].values())} = 0": sum(now["refused"].values()) == 0,
        f"open {now['open']} = 0": now["open"] == 0,
        f"descriptors {fds} -> {fds_after}": fds == fds_after,
        f"resident {rss} -> {rss_after} KiB, at most 3072": rss_after <= min(3072, rss + 64),
        f"exit code {code} = 0": code == 0,
    }
    for text, good in checks.items():
        print(("ok   " if good else "FAIL ") + text)
    sys.exit(0 if all(checks.values()) else 1)


main()
