# SPDX-License-Identifier: MIT
"""Whose an end is, where its descriptor alone does not say so."""
import functools
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from helper import Python  # noqa: E402
from tap import BUILD, binary, cases, equal, json_lines, main, run, test, true, wait_for, within  # noqa: E402
from watching import HERE, Watch, name  # noqa: E402

# Listens at an address, and says at which port and descriptor; each line that it reads has it make a connection
# to itself, which it does not accept, and close it, or keep it; it says from where.
LISTENS = """
import os, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
ls = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
if ":" in address:
    ls.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
ls.bind((address, port))
ls.listen(512)
print(ls.getsockname()[1], ls.fileno(), flush=True)
kept = []
for word in map(str.strip, sys.stdin):
    if word == "fork":
        if os.fork() == 0:
            sys.stdin.close()
            os.close(1)
            os.read(int(sys.argv[3]), 1)
            os._exit(0)
        print(flush=True)
        continue
    c = socket.socket(ls.family)
    c.connect(ls.getsockname())
    name = "[%s]:%d" if ":" in address else "%s:%d"
    print(name % c.getsockname()[:2], flush=True)
    kept.append(c)
    if word == "close":
        c.close()
"""


class Listener:
    def __init__(self, address, port=0):
        self.end, far = os.pipe()  # what it forks ends with this process
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([sys.executable, "-ISc", LISTENS, address, str(port), str(self.end)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        pass_fds=[self.end])
        os.close(self.end)
        self.end = far
        self.pid = self.process.pid
        self.port, self.fd = map(int, self.process.stdout.readline().split())

    def do(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        os.close(self.end)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


class Command:
    """A Python program under a watch that ends it should it not end; what is said of it comes on the standard error."""

    def __init__(self, script):
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [binary("unclosed"), "watch", "--after", "50ms", "--duration", "20s", "--json", "--", sys.executable,
             "-ISc", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self, *parts):
        for line in self.process.stderr:
            if all(p in line for p in parts):
                return json.loads(line)
        raise AssertionError(f"no line with {parts}")

    def end(self):
        """Its exit code, and what else was said."""
        self.process.stdin.close()
        rest = self.process.stderr.read()
        return self.process.wait(within(20)), rest

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        for f in (self.process.stdin, self.process.stdout, self.process.stderr):
            f.close()


@cases("127.0.0.2", "::1")
def what_waits_at_another_s_listener_is_the_other_s(other):
    """At the same port, but another address, or of another family."""
    with Listener("127.0.0.1") as a, Listener(other, a.port) as b, \
            Watch("--after", "50ms", "--json", "--new", "--pid", str(a.pid)) as first, \
            Watch("--after", "50ms", "--json", "--new", "--pid", str(b.pid)) as second, \
            Watch("--after", "50ms", "--json", "--new", "--port", str(a.port)) as both:
        for w in (first, second, both):
            w.ready()
        own = {}
        for listener, w in ((a, first), (b, second)):
            own[w] = listener.do("close")
            for who in (w, both):
                line = json.loads(who.line("not-accepted", f'"peer":"{own[w]}"'))
                equal([(h["pid"], h["fd"]) for h in line["listeners"]], [(listener.pid, listener.fd)], "listener")
        for w in (first, second):
            w.stop()
            equal([x["peer"] for x in json_lines(w.text()) if "peer" in x], [own[w]], "what is spoken of")


@test
def of_two_that_share_an_address_each_has_its_own_queue():
    with Listener("127.0.0.1") as a, Listener("127.0.0.1", a.port) as b, \
            Watch("--after", "50ms", "--json", "--new", "--pid", str(a.pid)) as first, \
            Watch("--after", "50ms", "--json", "--new", "--pid", str(b.pid)) as second:
        first.ready()
        second.ready()
        made = {a.do("close") for _ in range(16)}

        def said(w):
            return {x["peer"] for x in json_lines(w.whole_lines()) if x.get("cause") == "not-accepted"}
        wait_for(lambda: said(first) | said(second) == made, "all of them")
        first.stop()
        second.stop()
        equal(said(first) & said(second), set(), "spoken of twice")


@test
def all_who_hold_the_listener_are_named():
    with Listener("127.0.0.1") as a, Watch("--after", "50ms", "--json", "--new", "--pid", str(a.pid)) as w:
        w.ready()
        a.do("fork")
        line = json.loads(w.line("not-accepted", f'"peer":"{a.do("close")}"'))
        pids = {h["pid"] for h in line["listeners"]}
        true(len(pids) == 2 and a.pid in pids, f"holders {line['listeners']}")


@test
def one_deep_in_the_queue_is_found():
    with Listener("127.0.0.1") as a, Watch("--after", "50ms", "--json", "--new", "--pid", str(a.pid)) as w:
        w.ready()
        for _ in range(400):
            a.do("keep")
        w.line("not-accepted", f'"peer":"{a.do("close")}"')


MPTCP = 262
TIERS = ("sock_recv_length", "fexit", "syscalls")


# Listens, has a child that listens too, and says at which port and descriptor, and the child's number; each line has
# it make so many connections to itself, which it does not accept, and close them.
HUNG = """
import os, socket, sys
open("/proc/sys/net/core/somaxconn", "w").write("16384")
ls = socket.create_server(("127.0.0.1", 0), backlog=16384)
end, far = os.pipe()
child = os.fork()
if not child:
    os.close(far)
    os.read(end, 1)
    os._exit(0)
print(ls.getsockname()[1], ls.fileno(), child, flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        socket.create_connection(ls.getsockname()).close()
"""
APART = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@cases("--port", "--pid", "none")
def each_of_thousands_in_one_queue_has_its_listener(by):
    """The kernel hands on no more than 32 KiB for one descriptor, and the buffer holds no four thousand reports."""
    with Python(HUNG, before=APART) as p:
        port, fd, child = map(int, p.says().split())
        options = {"--port": ("--port", str(port)), "--pid": ("--pid", str(p.pid)), "none": ()}[by]
        with Watch("--after", "200ms", "--json", "--new", "--no-stacks", *options) as w:
            w.ready()
            p.tell("5000")
            mine, lines = f'"local":"127.0.0.1:{port}"', []
            wait_for(lambda: lines.extend(w.news(mine)) or len(lines) >= 5000, "5000 lines", 60)
            code, errors = w.stop()
            lines = [json.loads(ln) for ln in lines + w.news(mine)]
            equal((code, errors), (0, ""), "exit")
            equal(len({x["peer"] for x in lines}), 5000, "ends")
            equal({x["cause"] for x in lines}, {"not-accepted"}, "causes")
            equal({tuple((h["pid"], h["fd"]) for h in x["listeners"]) for x in lines}, {((p.pid, fd), (child, fd))},
                  "who listens")
            lost = json_lines(w.text())[-1]["lost"]
            equal({c for c in lost if lost[c]} - {"missed"}, set(), f"what was lost: {lost}")


@contextmanager
def mptcp_client():
    """A connection whose other end speaks TCP alone: an end of MPTCP and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP) as client:
        client.connect(ls.getsockname())
        server = ls.accept()[0]
        yield client, server
        server.close()


@functools.cache
def works(tier):
    return run(binary("unclosed"), "watch", "--reads", tier, "--duration", "1ms", *HERE).returncode == 0


def holders(line):
    return [(h["pid"], h["fd"]) for h in line["holders"]]


@test
def who_holds_an_mptcp_socket_is_found_and_was_told():
    for tier in filter(works, TIERS):
        with Watch("--after", "50ms", "--json", "--new", "--reads", tier, *HERE) as w, mptcp_client() as (c, s):
            w.ready()
            s.send(b"x")
            s.close()
            # The byte has left the subflow, and nobody has read it.
            line = json.loads(w.line("half-closed", f'"local":"{name(c)}"'))
            equal((line["cause"], holders(line)), ("drained", [(os.getpid(), c.fileno())]), tier)
            c.recv(0)
            c.recv(1, socket.MSG_PEEK)
            c.recv(1)
            c.recv(1, socket.MSG_PEEK)
            true('"told"' not in w.text().replace('"told":null', ""), f"{tier}: told by a read that tells nothing")
            equal(c.recv(1), b"", "the end")
            line = json.loads(w.line('"event":"told"', f'"local":"{name(c)}"'))
            equal((line["cause"], holders(line), line["told"]["tid"]),
                  ("told", [(os.getpid(), c.fileno())], threading.get_native_id()), tier)
            equal((line["inode"], line["told"]["stack_note"]), (os.fstat(c.fileno()).st_ino, ""), tier)


@test
def an_mptcp_socket_that_was_half_closed_before_is_found():
    with mptcp_client() as (c, s):
        s.close()
        with Watch("--after", "50ms", "--json", *HERE) as w:
            line = json.loads(w.line("half-closed", f'"local":"{name(c)}"'))
            equal((line["cause"], holders(line)), ("drained", [(os.getpid(), c.fileno())]), "the line")


@test
def a_command_that_leaks_an_mptcp_socket_is_found_out():
    with socket.create_server(("127.0.0.1", 0)) as ls:
        script = ("import socket; c = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262);"
                  f"c.connect({ls.getsockname()}); c.recv(1); input()")
        with Command(script) as command:
            ls.accept()[0].close()
            command.line("half-closed")
            command.process.stdin.write("\n")
            equal(command.end()[0], 1, "exit code")


@test
def what_waits_at_an_mptcp_listener_is_its_own():
    with Watch("--after", "50ms", "--json", "--new", *HERE) as w, \
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP) as ls, \
            socket.socket() as client:
        w.ready()
        ls.bind(("127.0.0.1", 0))
        ls.listen()
        client.connect(ls.getsockname())
        end = name(client)
        client.close()
        line = json.loads(w.line("not-accepted", f'"peer":"{end}"'))
        equal([(h["pid"], h["fd"]) for h in line["listeners"]], [(os.getpid(), ls.fileno())], "listener")


# Connects, and becomes a program that has the connection in a file table of io_uring's alone, and reads it.
BECOMES = """
import os, socket
c = socket.create_connection({})
os.set_inheritable(c.fileno(), True)
os.execv({!r}, ["uread", str(c.fileno()), "fixed"])
"""


@test
def what_no_descriptor_refers_to_is_who_was_told_s():
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Command(BECOMES.format(ls.getsockname(), os.path.join(BUILD, "tests", "uread"))) as command:
        server, end = ls.accept()
        equal(command.process.stdout.readline(), "moved\n", "where it is held")
        server.close()
        equal(command.process.stdout.readline(), "0\n", "the read")
        line = command.line("half-closed")
        equal((line["local"], line["holder_count"], line["told"]["comm"]), ("%s:%d" % end, 0, "uread"), "the line")
        equal(command.end()[0], 1, "exit code")


# Is told of the end of one, of which somebody else has a descriptor, and closes its own; then keeps another.
PASSES_ON = """
import socket
passer = socket.socket(socket.AF_UNIX)
passer.connect({!r})
c = socket.create_connection({})
socket.send_fds(passer, [b"x"], [c.fileno()])
c.recv(1)
c.close()
c = socket.create_connection({})
c.recv(1)
input()
"""


@test
def what_another_has_a_descriptor_of_is_the_other_s():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as unix, \
            socket.create_server(("127.0.0.1", 0)) as ls:
        unix.bind(f"{folder}/unix")
        unix.listen()
        with Command(PASSES_ON.format(f"{folder}/unix", ls.getsockname(), ls.getsockname())) as command:
            passer = unix.accept()[0]
            server, passed = ls.accept()
            fd = socket.recv_fds(passer, 1, 1)[1][0]
            server.close()
            server, kept = ls.accept()
            time.sleep(0.5)  # not synchronisation: so that the first is looked for more than once
            server.close()
            equal(command.line("half-closed")["local"], "%s:%d" % kept, "the first line")
            command.process.stdin.write("\n")
            code, rest = command.end()
            equal((code, "%s:%d" % passed in rest), (1, False), f"exit code, and whether it is spoken of in {rest}")
            os.close(fd)
            passer.close()


# A process that makes a connection, hands it to a child and keeps nothing of it; the child reads it when it is told to.
HANDS_ON = """
import os, socket, sys, threading
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
quiet = threading.Event()
def send():
    while not quiet.wait(0.01):
        c.send(b"x")
sender = threading.Thread(target=send)
if sys.argv[2] == "replies":
    sender.start()
sys.stdin.readline()
quiet.set()
if sender.ident:
    sender.join()
child = os.fork()
if child:
    c.close()
    print(child, flush=True)
    os.waitpid(child, 0)
    sys.exit()
for line in sys.stdin:
    c.recv(1)
"""


@contextmanager
def handed_on(after, how="keeps"):
    """What waits for a line of a watch about an end; the end's peer; and the process."""
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Watch("--json", "--new", "--after", after, "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        with subprocess.Popen([sys.executable, "-ISc", HANDS_ON, str(ls.getsockname()[1]), how], text=True,
                              bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
            peer, end = ls.accept()
            end = "%s:%d" % end
            yield (lambda event: json.loads(w.line(f'"event":"{event}"', f'"local":"{end}"'))), peer, p
            p.stdin.close()
            peer.close()


@test
def later_lines_name_who_holds_it_then():
    with handed_on("50ms") as (line, peer, process):
        peer.shutdown(socket.SHUT_WR)
        equal([pid for pid, _ in holders(line("half-closed"))], [process.pid], "the first line")
        process.stdin.write("\n")
        child = int(process.stdout.readline())
        process.stdin.write("\n")
        said = line("told")
        equal(([pid for pid, _ in holders(said)], said["told"]["pid"], said["cause"]), ([child], child, "told"), "told")


@test
def who_holds_a_dead_one_is_who_did_when_it_died():
    with handed_on("50ms") as (line, peer, process):
        peer.shutdown(socket.SHUT_WR)
        line("half-closed")
        process.stdin.write("\n")
        child = int(process.stdout.readline())
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        equal([pid for pid, _ in holders(line("dead"))], [child], "dead")


@test
def who_holds_one_that_went_quiet_is_who_does_then():
    with handed_on("500ms", "replies") as (line, peer, process):
        peer.shutdown(socket.SHUT_WR)
        equal(line("half-closed")["cause"], "replying", "the first line")
        process.stdin.write("\n")
        child = int(process.stdout.readline())
        equal([pid for pid, _ in holders(line("still"))], [child], "still")


@test
def one_that_is_closed_as_it_is_told_keeps_its_holder():
    with socket.create_server(("127.0.0.1", 0)) as ls, Watch("--after", "20ms", "--json", "--new", *HERE) as w:
        w.ready()
        for _ in range(20):
            client = socket.create_connection(ls.getsockname())
            ls.accept()[0].close()
            end, fd = name(client), client.fileno()
            w.line("half-closed", f'"local":"{end}"')
            client.recv(1)
            client.close()
            line = json.loads(w.line('"event":"told"', f'"local":"{end}"'))
            equal(holders(line), [(os.getpid(), fd)], "holder")


# In a pid namespace of its own, where the numbers have gone round: the holder has 400, its child a lower one.
GONE_ROUND = """
import os, signal, socket, sys
def next_is(pid):
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(pid - 1))
next_is(400)
holder = os.fork()
if holder:
    os.waitpid(holder, 0)
    sys.exit()
ls = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(ls.getsockname())
ls.accept()[0].close()
next_is(300)
if not os.fork():
    signal.pause()  # until the namespace ends
print(os.getpid(), flush=True)
next_is(500)
os.spawnvp(os.P_WAIT, sys.argv[1], [*sys.argv[1:], "--port", str(ls.getsockname()[1])])
"""


@test
def who_made_it_is_named_before_its_child():
    r = run("unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--net", "sh", "-c",
            'ip link set lo up && exec "$@"', "sh", sys.executable, "-ISc", GONE_ROUND, binary("unclosed"), "watch",
            "--json", "--after", "10ms", "--duration", "1s")
    equal(r.stderr, "", "errors")
    pid, _, lines = r.stdout.partition("\n")
    line = next(x for x in json_lines(lines) if x["event"] == "half-closed")
    equal((pid, [p for p, _ in holders(line)]), ("400", [400, 300]), "holders")


LEAVES_A_COPY = """
import os, signal, socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
c.recv(1)
child = os.fork()
if not child:
    sys.stdin.read()
    os._exit(0)
c.close()
print(child, flush=True)
os.waitpid(child, 0)
"""


@test
def who_was_told_and_has_closed_is_not_who_holds_it():
    """A child has inherited a copy, and was told nothing."""
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Watch("--new", "--after", "1s", "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        with subprocess.Popen([sys.executable, "-ISc", LEAVES_A_COPY, str(ls.getsockname()[1])], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
            ls.accept()[0].close()
            child = int(p.stdout.readline())
            line = w.line("half-closed", f"[{child}] fd ")
            true(f"[{p.pid}], which holds it no more" in line, line)
            p.stdin.close()


main()
