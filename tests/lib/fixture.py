# SPDX-License-Identifier: MIT
"""Real sockets for tests: starts tests/helpers/mkcause and gives what it made.

    with Fixture("unread=3", "dead", family="6") as made:
        made.sockets        # one dict an end: made, cause, snapshot, end, state, local, peer, pid, fd,
                            # inode, cookie, holders, made_by; also variant, let_go, listener, and
                            # when what was done to it, between two moments of CLOCK_REALTIME in ns:
                            # began, told, died, closed, gone, where they apply
        made.run("ss", "-tan")   # a command inside the fixture's network namespace
"""
import json
import os
import re
import shutil
import subprocess

from tap import BUILD, run, wait_for, within

START_S = 60


class Fixture:
    """What mkcause made, for as long as the `with` lasts. netns=False: in the caller's network
    namespace; within=other: in that of another fixture; session=False: in the caller's session;
    swap=True: the ends that have the cause connect; wait=True: it makes them once go() is called."""

    def __init__(self, *causes, family="4", netns=True, keep_closer=False, scale=None,
                 within=None, session=True, swap=False, wait=False):
        self.argv = [os.path.join(BUILD, "tests", "mkcause")]
        self.argv += {"4": [], "6": ["--v6"], "mapped": ["--mapped"]}[family]
        self.argv += ["--netns"] if netns and not within else []
        self.argv += ["--keep-closer"] if keep_closer else []
        self.argv += ["--swap"] if swap else []
        self.argv += ["--wait"] if wait else []
        self.wait = wait
        self.argv += ["--scale", scale] if scale else list(causes)
        self.argv = within.command(*self.argv) if within else self.argv
        self.session = session
        self.process = None
        self.sockets = []

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, start_new_session=self.session)
        self.sockets = self.lines_to("waiting" if self.wait else "ready")
        return self

    def lines_to(self, word):
        """What it says until this word."""
        said = []
        for line in self.process.stdout:
            if line == word + "\n":
                return said
            said.append(json.loads(line))
        self.stop()
        raise AssertionError(f"{' '.join(self.argv)}: ended before it was {word}")

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def one(self):
        """Before go(): has it make one more end that is told; that."""
        self.ask("one")
        return json.loads(self.process.stdout.readline())

    def go(self):
        self.ask("go")
        self.sockets = self.lines_to("ready")

    def release(self):
        """Has it close what stays only for want of a close; these ends, with what was done."""
        self.ask("release")
        return self.lines_to("released")

    def reset(self):
        """With keep_closer: has the closers reset their connections; the other ends, which are dead now."""
        self.ask("reset")
        return self.lines_to("reset")

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends it and everything it holds; returns its exit status."""
        self.process.stdin.close()
        try:
            self.process.wait(within(START_S))
        finally:
            self.process.kill()
            self.process.stdout.close()
        return self.process.wait()

    @property
    def pid(self):
        return self.process.pid

    @property
    def netns(self):
        """The inode of its network namespace."""
        return os.stat(f"/proc/{self.pid}/ns/net").st_ino

    def of(self, cause, **fields):
        """The ends that have this cause, and these further values."""
        return [s for s in self.sockets if s["cause"] == cause
                and all(s.get(k) == v for k, v in fields.items())]

    def forget_closers(self, deadline_s=120):
        """Waits until the closers' ends of a scale run are gone: a minute."""
        wait_for(lambda: not self.run("ss", "-tanH", "state", "fin-wait-2").stdout, "no closers' ends",
                 deadline_s)

    def drop_closers(self):
        """As forget_closers(), at once; False where one is still a socket, whose end would reset the
        other: one in ten thousand is."""
        ends = ("state", "fin-wait-2")
        if "keepalive" in self.run("ss", "-tanoH", *ends).stdout:
            return False
        self.run("ss", "-K", *ends)
        self.forget_closers(30)
        return True

    def command(self, *argv):
        """The words that run a command inside its network namespace."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *[str(a) for a in argv]]

    def run(self, *argv, **kw):
        return run(*self.command(*argv), **kw)

    def ss(self, users=True):
        """What `ss` says: {(local, peer): {state, recv_q, send_q, users, line}}. Without users it does
        not walk the descriptors of the whole host."""
        return parse_ss(self.run("ss", "-tanpieO" if users else "-tanieO").stdout)


SS_STATES = {"ESTAB": "ESTABLISHED", "FIN-WAIT-1": "FIN_WAIT_1", "FIN-WAIT-2": "FIN_WAIT_2",
             "CLOSE-WAIT": "CLOSE_WAIT", "LAST-ACK": "LAST_ACK", "TIME-WAIT": "TIME_WAIT",
             "SYN-SENT": "SYN_SENT", "SYN-RECV": "SYN_RECV"}


def parse_ss(text):
    found = {}
    for line in text.splitlines()[1:]:
        state, recv_q, send_q, local, peer = line.split()[:5]
        users = {(int(p), int(f)) for p, f in re.findall(r'pid=(\d+),fd=(\d+)', line)}
        number = re.search(r" ino:(\d+)", line)
        found[local, peer] = {"state": SS_STATES.get(state, state), "recv_q": int(recv_q),
                              "send_q": int(send_q), "users": users,
                              "inode": int(number.group(1)) if number else 0,
                              "cookie": int(re.search(r" sk:([0-9a-f]+)", line).group(1), 16),
                              "line": line}
    return found


def have(*programs):
    """Whether all these programs are installed."""
    return all(shutil.which(p) for p in programs)


def gone(pids, seconds=10):
    """Waits until none of the processes exists."""
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), "processes end", seconds)
