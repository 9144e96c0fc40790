# SPDX-License-Identifier: MIT
"""unclosed watch as a command's keeper: what of it is watched, what counts, and whose the exit status is."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import SAID, binary, cases, equal, has, main, run, test, true, wait_for, within  # noqa: E402
from watching import listen, reset, said_in  # noqa: E402


SERVER = """
import socket, sys, time
ls = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(ls.getsockname())
s = ls.accept()[0]
c.close()
s.recv(1)
if sys.argv[1] == "leak":
    time.sleep(0.5)
s.close()
"""


@cases(("leak", 1), ("close", 0))
def a_command_is_watched_to_its_end(how, code):
    r = run(binary("unclosed"), "watch", "--after", "100ms", "--", sys.executable, "-c", SERVER, how)
    equal(r.returncode, code, f"exit code, after: {r.stderr}")
    equal(r.stdout, "", "output of the command alone")
    equal("half-closed 127" in r.stderr, code == 1, "a report")


@test
def children_of_the_command_are_watched():
    shell = f"{sys.executable} -c '{SERVER}' leak & wait"
    r = run(binary("unclosed"), "watch", "--after", "100ms", "--", "sh", "-c", shell)
    equal(r.returncode, 1, f"exit code, after: {r.stderr}")
    has(r.stderr, " told, a read returned 0")


@test
def a_command_that_is_not_there_is_named():
    r = run(binary("unclosed"), "watch", "--", "/nonexistent/command")
    equal(r.returncode, 3, "exit code")
    has(r.stderr, "running /nonexistent/command: No such file")


# A command that does what it is told with a connection, whose other end is the test's.
OBEDIENT = """
import contextlib, socket, sys, threading
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
quiet = threading.Event()
def send():
    with contextlib.suppress(OSError):  # it is closed meanwhile
        while not quiet.wait(0.01):
            c.send(b"x")
for word in map(str.strip, sys.stdin):
    if word == "send":
        threading.Thread(target=send).start()
    elif word == "quiet":
        quiet.set()
    elif word == "shut":
        c.shutdown(socket.SHUT_WR)
    else:
        quiet.set()
        c.close()
"""


class Obedient:
    """That command under a watch, and the end here of its connection."""

    def __init__(self, folder, after):
        self.lines = f"{folder}/lines"
        with listen() as ls:
            # pylint: disable-next=consider-using-with
            self.process = subprocess.Popen(
                [binary("unclosed"), "watch", "--after", after, "--json", "--no-stacks", "--output", self.lines, "--",
                 sys.executable, "-ISc", OBEDIENT, str(ls.getsockname()[1])], stdin=subprocess.PIPE, text=True)
            self.peer = ls.accept()[0]

    def do(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def said(self):
        with open(self.lines, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def line(self, event):
        """The cause in the first line of that event."""
        return wait_for(lambda: next((x for x in self.said() if x["event"] == event), None),
                        f"a line {event}", 20)["cause"]

    def end(self):
        """Its exit code, and the events of its connection."""
        self.process.stdin.close()
        code = self.process.wait(within(20))
        self.peer.close()
        return code, [x["event"] for x in said_in(self.lines) if "cookie" in x]


@cases("closed", "kept")
def a_reply_that_has_ended_is_looked_at_again(then):
    with tempfile.TemporaryDirectory() as folder:
        command = Obedient(folder, "600ms")
        command.do("send")
        command.peer.recv(1)
        command.peer.shutdown(socket.SHUT_WR)
        equal(command.line("half-closed"), "replying", "cause of the first line")
        time.sleep(2)  # not synchronisation: for it to be looked at three times
        command.do("quiet" if then == "kept" else "close")
        if then == "kept":
            equal(command.line("still"), "unread", "cause of the later line")
        want = ["half-closed", *(["still"] if then == "kept" else []), "closed", "over"]
        equal(command.end(), (int(then == "kept"), want), "exit, and what was said")


@cases("closed", "kept")
def one_that_waited_and_died_counts_if_it_stays_so(then):
    with tempfile.TemporaryDirectory() as folder:
        command = Obedient(folder, "1s")
        command.do("shut")
        equal(command.line("half-closed"), "half-closed-here", "cause of the first line")
        reset(command.peer)
        equal(command.line("dead"), "dead", "cause of the second line")
        if then == "closed":
            command.do("close")
            command.line("over")
        else:
            equal(command.line("still"), "dead", "cause of the last line")
        want = ["half-closed", "dead", *(["still"] if then == "kept" else []), "over"]
        equal(command.end(), (int(then == "kept"), want), "exit, and what was said")


def watched(*command, options=()):
    return run(binary("unclosed"), "watch", *options, "--", *command)


@cases(("exit 7", 7), ("kill -KILL $$", 137))
def a_command_s_status_is_the_watch_s(script, code):
    equal(watched("sh", "-c", script).returncode, code, "exit code")


# A command that gives the number of a child that has just ended to the next, which keeps a connection for a second.
SAME_NUMBER = """
import ctypes, os, signal, socket, struct, time
first = os.fork()
if not first:
    os._exit(0)
os.waitpid(first, 0)
number = (ctypes.c_int * 1)(first)
args = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1, 0)
second = ctypes.CDLL(None).syscall(435, args, len(args))  # clone3
if not second:
    ls = socket.create_server(("127.0.0.1", 0))
    c = socket.create_connection(ls.getsockname())
    ls.accept()[0].close()
    time.sleep(1)
    os._exit(0)
print(first == second, flush=True)
os.waitpid(second, 0)
"""


@test
def a_child_with_the_number_of_one_before_it_is_watched():
    """The kernel frees the one before it a while after that has ended."""
    for _ in range(3):
        r = watched(sys.executable, "-ISc", SAME_NUMBER, options=("--after", "100ms", "--no-stacks"))
        true("True\n" in r.stdout, f"the same number: {r.stdout}")
        equal(r.returncode, 1, f"exit code, with what it says:\n{r.stdout}")


@test
def what_the_command_says_is_its_own():
    with tempfile.TemporaryDirectory() as folder:
        r = watched("sh", "-c", "echo out; echo err >&2; sleep 3 >&- 2>&- & exec true",
                    options=("--json", "--output", f"{folder}/lines"))
        said = said_in(f"{folder}/lines")
        equal((r.returncode, r.stdout, r.stderr), (0, "out\n", "err\n"), "the command's words")
        equal([x["event"] for x in said], ["watching", "command-ended", "summary"], "events")
        equal((said[1]["status"], said[1]["left_running"]), (0, 1), "a child that was left")


# A command that leaves a child behind, which has one of its own that has ended.
LEAVES_ONE = """
import os, time
ready, write = os.pipe()
if not os.fork():
    ended = os.fork()
    if not ended:
        os._exit(0)
    os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
    os.dup2(os.open("/dev/null", os.O_RDWR), 1)
    os.dup2(1, 2)
    os.write(write, b"x")
    time.sleep(3)
    os._exit(0)
os.read(ready, 1)
"""


@cases([], ["unshare", "--pid", "--fork", "--mount-proc"])
def children_that_are_left_are_counted(before):
    with tempfile.TemporaryDirectory() as folder:
        r = run(*before, binary("unclosed"), "watch", "--json", "--output", f"{folder}/lines", "--",
                sys.executable, "-ISc", LEAVES_ONE)
        equal(r.stderr, "", "what it complains of")
        said = said_in(f"{folder}/lines")
        equal([x["left_running"] for x in said if x["event"] == "command-ended"], [1], "left running")


def interrupted(script, send, *options):
    """The watch's exit code, after it was sent signals while its command ran."""
    with tempfile.TemporaryDirectory() as folder:
        ready = f"{folder}/ready"
        with subprocess.Popen([binary("unclosed"), "watch", *options, "--", "sh", "-c", script, ready],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
            wait_for(lambda: os.path.exists(ready), "the command", 20)
            for number in send:
                p.send_signal(number)
                time.sleep(0.05)  # not synchronisation: two of a kind at once are one
            SAID.append(p.stderr.read().decode())
            return p.wait(within(20))


@test
def an_interrupt_is_handed_on():
    equal(interrupted("trap 'exit 9' INT; : >$0; while :; do sleep 0.05; done", [signal.SIGINT]), 9, "exit code")


@test
def a_command_that_will_not_end_is_ended():
    """The second interrupt does it, by a signal that no program can ignore."""
    equal(interrupted("trap '' INT TERM; : >$0; while :; do sleep 0.05; done",
                      [signal.SIGINT, signal.SIGINT]), 0, "exit code")


main()
