# SPDX-License-Identifier: MIT
"""unclosed watch while connections, processes and namespaces come and go."""
import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from helper import Python  # noqa: E402
from tap import (SANITIZED, binary, cases, equal, has, json_lines, main, run, test, true,  # noqa: E402
                 wait_for, within)
from watching import HERE, HOLDER, Holder, Watch, listen, name, pair, reset  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)


def holders(line):
    return [(h["pid"], h["fd"]) for h in line["holders"]]


@test
def a_connection_with_both_ends_here_is_one_line():
    with listen() as ls, Watch("--after", "100ms", "--json", *HERE) as w:
        w.ready()
        client, server = pair(ls)
        server.shutdown(socket.SHUT_WR)
        line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
        equal((line["closer"]["state"], holders(line["closer"])),
              ("FIN_WAIT_2", [(os.getpid(), server.fileno())]), "the end that waits")
        ends = name(client), name(server)
        client.close()
        w.line('"event":"over"', f'"local":"{ends[0]}"')
        # Now the other end has all it waited for, and is still not closed.
        line = json.loads(w.line("half-closed", f'"local":"{ends[1]}"'))
        equal((line["cause"], line["state"], line["closed_first"], line["closer"]),
              ("dead", "CLOSED", "here", None), "the end that is left")
        true(line["age_ms"] >= 100, f"age {line['age_ms']}")
        server.close()
        w.line('"event":"over"', f'"local":"{ends[1]}"')
        w.stop()
        said = json_lines(w.text())
        equal([x["local"] for x in said if x["event"] == "half-closed"], list(ends), "lines")
        equal((said[-1]["reported"], said[-1]["open"]), (2, 0), "summary")


@test
def very_many_that_come_due_at_once_have_one_line_each():
    """More than two turns take: an end that waits is not said before all were looked at."""
    count, kept = 4800, []
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files[0], 2 * count + 100), files[1]))
    with listen() as ls:
        for _ in range(count):
            kept += pair(ls)
            kept[-1].shutdown(socket.SHUT_WR)
        with Watch("--after", "10ms", "--json", "--no-stacks", "--port", str(ls.getsockname()[1])) as w:
            wait_for(lambda: w.whole_lines().count('"half-closed","time"') >= count, "all lines", 40)
            w.stop()
            said = json_lines(w.text())
    for i, sock in enumerate(kept):
        sock.close()
        if i % 200 == 0:
            time.sleep(0.02)  # not synchronisation: other watches are to hear of it, not to lose it
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    equal([x["local"] for x in said if x["event"] == "half-closed" and x["state"] != "CLOSE_WAIT"], [], "second lines")
    equal(said[-1]["reported"], count, "lines")


@test
def people_read_who_waits():
    with listen() as ls, Watch("--after", "100ms", *HERE) as w:
        w.ready()
        client, server = pair(ls)
        server.shutdown(socket.SHUT_WR)
        w.line("half-closed", f"{name(client)} <- ", f"[{os.getpid()}] fd {server.fileno()} waits in FIN_WAIT_2")
        w.stop()
        has(w.text(), "1 reported, 1 still open")
        client.close()
        server.close()


@test
def the_end_that_waits_speaks_where_the_other_is_not_watched():
    with listen() as ls:
        client, server = pair(ls)
        waiting = os.fork()
        if not waiting:
            client.close()
            server.shutdown(socket.SHUT_WR)
            signal.pause()
        fd, end = server.fileno(), name(server)
        server.close()
        client.recv(1)
        with Watch("--after", "100ms", "--json", "--pid", str(waiting)) as w:
            line = json.loads(w.line("half-closed"))
            equal((line["local"], line["cause"], holders(line)),
                  (end, "half-closed-here", [(waiting, fd)]), "the line")
        os.kill(waiting, signal.SIGKILL)
        os.waitpid(waiting, 0)
        client.close()


def die_as(first, ls):
    """A connection that is reset after `first` sent its FIN: the end that lives on."""
    client, server = pair(ls)
    if first == "peer":
        server.shutdown(socket.SHUT_WR)
    elif first == "here":
        client.shutdown(socket.SHUT_WR)
    reset(server)
    return client


@test
def who_closed_first_of_a_dead_one():
    with listen() as ls, Watch("--after", "50ms", "--json", *HERE) as w:
        w.ready()
        for first in ("peer", "here", "nobody"):
            client = die_as(first, ls)
            line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
            equal((line["cause"], line["closed_first"], line["age_is"]), ("dead", first, "exact"), first)
            client.close()


@test
def who_closed_first_of_one_that_was_dead_before():
    with listen() as ls:
        kept = {first: die_as(first, ls) for first in ("peer", "here", "nobody")}
        with Watch("--after", "10ms", "--json", *HERE) as w:
            for first, client in kept.items():
                line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
                equal((line["cause"], line["age_is"]), ("dead", "at-least"), first)
                equal(line["closed_first"], "peer" if first == "peer" else "unknown", first)
                client.close()


@cases(("peer", "peer"), ("here", "unknown"), ("nobody", "nobody"))
def who_closed_first_of_one_that_was_half_closed_before_and_dies(first, said):
    with listen() as ls:
        client, server = pair(ls)
        if first != "nobody":
            (server if first == "peer" else client).shutdown(socket.SHUT_WR)
        with Watch("--after", "50ms", "--json", "--new", *HERE) as w:
            w.ready()
            reset(server)
            line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
            equal((line["cause"], line["closed_first"], line["taken_in"], line["age_is"]),
                  ("dead", said, first != "nobody", "exact"), first)
        client.close()


@test
def list_and_watch_tell_the_same_age_of_a_dead_one():
    with listen() as ls:
        before = time.time()
        client = die_as("nobody", ls)
        after = time.time()
        time.sleep(0.1)  # not synchronisation: an age to be told
        asked = time.time()
        listed = json_lines(run(binary("unclosed"), "list", "--json", "--pid", os.getpid()).stdout)
        line = next(x for x in listed if x.get("local") == name(client))
        ages = [(line, asked - after, time.time() - before)]
        with Watch("--after", "10ms", "--json", *HERE) as w:
            line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
            ages.append((line, line["time"] - after, line["time"] - before))
        for line, least, most in ages:
            equal((line["cause"], line["age_is"]), ("dead", "at-least"), f"{line}")
            # list counts in the kernel's ticks, of up to 10 ms.
            true(least - 0.01 <= line["age_ms"] / 1000 <= most + 0.01, f"age {line['age_ms']}, not {least} to {most} s")
        client.close()


@test
def a_dead_one_is_as_old_as_its_death():
    with listen() as ls, Watch("--after", "10ms", "--json", *HERE) as w:
        w.ready()
        client, server = pair(ls)
        server.shutdown(socket.SHUT_WR)
        end = name(client)
        w.line("half-closed", f'"local":"{end}"')
        before = time.time()
        reset(server)
        line = json.loads(w.line('"event":"dead"', f'"local":"{end}"'))
        died = line["time"] - line["age_ms"] / 1000
        true(before - 0.001 <= died <= time.time(), f"died at {died}, reset at {before}")
        client.close()
        line = json.loads(w.line('"event":"over"', f'"local":"{end}"'))
        equal((line["state"], line["cause"]), ("CLOSED", "dead"), "what is over")


@test
def each_line_has_the_state_of_its_moment():
    with listen() as ls, Watch("--after", "50ms", "--json", "--new", *HERE) as w:
        w.ready()
        client, server = pair(ls)
        end = name(client)
        server.shutdown(socket.SHUT_WR)
        w.line("half-closed", f'"local":"{end}"')
        client.recv(1)
        client.close()
        w.line('"event":"over"', f'"local":"{end}"')
        said = [x for x in json_lines(w.whole_lines()) if x.get("local") == end]
        equal([(x["event"], x["state"], x["cause"]) for x in said],
              [("half-closed", "CLOSE_WAIT", "unread"), ("told", "CLOSE_WAIT", "told"),
               ("closed", "LAST_ACK", "closing"), ("over", "LAST_ACK", "closing")], "states and causes")
        server.close()


def disconnect(sock):
    if libc.connect(sock.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16):
        raise OSError(ctypes.get_errno(), "disconnecting")


@test
def one_that_was_refused_was_never_connected():
    """The watch comes upon it, whose program has not asked yet what came of it."""
    with socket.socket() as refuses, socket.socket() as client:
        refuses.bind(("127.0.0.1", 0))
        client.setblocking(False)
        equal(client.connect_ex(refuses.getsockname()), errno.EINPROGRESS, "connect")
        poll = select.poll()
        poll.register(client, select.POLLOUT)
        true(poll.poll(within(10000)), "what came of it")
        r = run(binary("unclosed"), "watch", "--json", "--after", "10ms", "--duration", "300ms", "--port",
                str(refuses.getsockname()[1]))
        equal([x["event"] for x in json_lines(r.stdout)], ["watching", "summary"], "what is said")


@cases("connects", "listens")
def one_that_is_used_again_is_over(how):
    """A reported one is disconnected: dead. Then it is another connection, or none."""
    with listen() as ls, listen() as other, Watch("--after", "50ms", "--json", "--new", *HERE) as w:
        w.ready()
        client, server = pair(ls)
        end = name(server)
        client.close()
        w.line("half-closed", f'"local":"{end}"')
        disconnect(server)
        w.line('"event":"dead"', f'"local":"{end}"')
        if how == "listens":
            server.listen(1)
            w.line('"event":"over"', f'"local":"{end}"')
        else:
            server.connect(other.getsockname())
            peer = other.accept()[0]
            w.line('"event":"over"', f'"local":"{end}"')
            peer.close()
            line = json.loads(w.line("half-closed", f'"local":"{name(server)}"'))
            equal((line["cause"], line["state"]), ("unread", "CLOSE_WAIT"), "the second")
        server.close()
        w.stop()
        last = json.loads(w.text().splitlines()[-1])
        equal((last["open"], last["complete"]), (0, True), "summary")


def lines_about(watch, port):
    """What was said of ends at this port."""
    return [x for x in json_lines(watch.text()) if x.get("local", "").endswith(f":{port}")]


@test
def one_that_its_program_dissolves_is_nobody_s_fault():
    """It has no peer any more, and is kept to be used again. It lies there before another end that comes due."""
    with listen() as ls, Watch("--after", "200ms", "--json", "--new", *HERE) as w:
        w.ready()
        client, server = pair(ls)
        port = client.getsockname()[1]
        disconnect(client)
        server.close()
        later, server = pair(ls)
        server.close()
        w.line("half-closed", f'"local":"{name(later)}"')
        client.connect(ls.getsockname())  # and is
        ls.accept()[0].close()
        w.line("half-closed", f'"local":"{name(client)}"')
        later.close()
        client.close()
        w.stop()
        equal(lines_about(w, port), [], "lines about the one that was dissolved")
        equal(json_lines(w.text())[-1]["open"], 0, "open")


@test
def what_waited_at_a_listener_that_is_closed_is_gone():
    """The first deaths that a watch sees: of which the kernel disconnects the sockets before it lets go of them."""
    with listen() as ls, Watch("--after", "500ms", "--json", "--new", "--no-stacks",
                               "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        port = ls.getsockname()[1]
        later, server = pair(ls)  # now, so that it gets no other's memory
        waiting = [socket.create_connection(ls.getsockname()) for _ in range(5)]
        ls.close()
        for client in waiting:
            client.close()
        server.close()
        w.line("half-closed", f'"local":"{name(later)}"')
        later.close()
        w.stop()
        equal(lines_about(w, port), [], "lines about what waited")
        equal(json_lines(w.text())[-1]["open"], 0, "open")


# What closes by halves, where nobody acknowledges it meanwhile; what is said of it goes to its output.
CLOSES_TWICE = """
import json, socket, subprocess, sys
ls = socket.create_server(("127.0.0.1", 0))
w = subprocess.Popen([sys.argv[1], "watch", "--json", "--after", "50ms", "--port", str(ls.getsockname()[1])],
                     stdout=subprocess.PIPE, text=True)
w.stdout.readline()
c = socket.create_connection(ls.getsockname())
s = ls.accept()[0]
end = "%s:%d" % c.getsockname()
def link(state):
    subprocess.check_call(["ip", "link", "set", "lo", state])
def await_line(event):
    while True:
        line = w.stdout.readline()
        said = json.loads(line)
        if said.get("local") == end or said["event"] == "lag" and said["by"] == "connect":
            print(line, end="", flush=True)
        if said["event"] == event and said.get("local", end) == end:
            return
if sys.argv[2] == "second":
    s.close()
    await_line("half-closed")
link("down")
c.shutdown(socket.SHUT_WR)
await_line("closed" if sys.argv[2] == "second" else "half-closed")
c.close()
link("up")
if sys.argv[2] == "first":
    s.close()
await_line("over")
w.send_signal(2)
await_line("summary")
"""


@cases(("first", ["half-closed", "over"], []), ("second", ["half-closed", "closed", "over"], [1]))
def a_shutdown_and_a_close_are_one(which, events, closes):
    r = run("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-ISc",
            CLOSES_TWICE, binary("unclosed"), which)
    equal((r.returncode, r.stderr), (0, ""), "exit")
    said = json_lines(r.stdout)
    equal([x["event"] for x in said if "local" in x], events, "what was said")
    equal([x["count"] for x in said if x["event"] == "lag"], closes, "closes that were counted")


@cases("port", "pid")
def one_that_is_reset_before_it_is_accepted_waits_with_its_listener(how):
    with listen() as ls:
        only = HERE if how == "pid" else ("--port", str(ls.getsockname()[1]))
        with Watch("--after", "50ms", "--json", "--new", *only) as w:
            w.ready()
            client = socket.create_connection(ls.getsockname())
            end = name(client)
            reset(client)
            line = json.loads(w.line("half-closed", f'"peer":"{end}"'))
            equal((line["cause"], line["state"], line["closed_first"]), ("not-accepted", "CLOSED", "nobody"), "the end")
            equal([(h["pid"], h["fd"]) for h in line["listeners"]], [(os.getpid(), ls.fileno())], "listener")
            ls.accept()[0].close()
            w.line('"event":"over"', f'"peer":"{end}"')


@test
def what_waits_at_a_port_that_another_has_now_is_the_other_s():
    """Watched by --pid: the port was this process's, and is somebody else's."""
    beside = listen()
    first = listen()
    port = first.getsockname()[1]
    with Watch("--after", "50ms", "--json", "--new", *HERE) as w:
        w.ready()
        client = socket.create_connection(first.getsockname())
        end = name(client)
        client.close()
        w.line('"not-accepted"', f'"peer":"{end}"')
        first.close()
        with Python(OTHER_S_QUEUE, port) as other:
            end = other.says()
            for _ in range(3):  # each comes after it, and at the next look
                client, server = pair(beside)
                server.close()
                w.line("half-closed", f'"local":"{name(client)}"')
                client.close()
        true(end not in w.text(), f"{end} in:\n{w.text()}")
        beside.close()


OTHER_S_QUEUE = """
import socket, sys
ls = socket.create_server(("127.0.0.1", int(sys.argv[1])))
c = socket.create_connection(ls.getsockname())
end = "%s:%d" % c.getsockname()
c.close()
print(end, flush=True)
sys.stdin.read()
"""


@test
def a_program_that_execs_keeps_what_it_holds():
    with Holder("before-exec") as holder, \
            Watch("--after", "600ms", "--json", "--port", str(holder.port)) as w:
        w.ready()
        address, fd = holder.leak()
        holder.ask("exec", "sleep", "100")
        line = json.loads(w.line("half-closed", f'"local":"{address}"'))
        equal([(h["pid"], h["fd"], h["comm"]) for h in line["holders"]], [(holder.pid, fd, "sleep")], "holder")
        equal(line["told"]["comm"], "before-exec", "who was told")


def start_as(pid, *argv):
    """Runs a program under a process number that is free: its standard input and output."""
    read_in, write_in = os.pipe()
    read_out, write_out = os.pipe()
    number = (ctypes.c_int * 1)(pid)
    args = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1, 0)
    sys.stdout.flush()
    child = libc.syscall(435, args, len(args))  # clone3
    if child == 0:
        os.dup2(read_in, 0)
        os.dup2(write_out, 1)
        os.execv(argv[0], argv)
    why = ctypes.get_errno()
    os.close(read_in)
    os.close(write_out)
    true(child == pid, f"clone3 with number {pid}: {os.strerror(why)}")
    return os.fdopen(write_in, "w", buffering=1), os.fdopen(read_out)


@test
def a_process_number_used_again_is_another_process():
    # HERE: the watch would end with the first.
    with Holder("number-one") as one, \
            Watch("--after", "50ms", "--json", "--no-stacks", "--pid", str(one.pid), *HERE) as w, \
            Watch("--after", "50ms", "--json", "--no-stacks", "--comm", "number-*") as both:
        w.ready()
        both.ready()
        one.quick()
        address = one.leak()[0]
        w.line("half-closed", f'"local":"{address}"')
        both.line("half-closed", f'"local":"{address}"')
        pid = one.pid
        one.kill()
        true(json.loads(w.line('"event":"over"', address))["by_exit"], "closed by its exit")
        to, out = start_as(pid, sys.executable, "-ISc", HOLDER, "number-two", "")
        out.readline()
        print("leak", file=to)
        address = out.readline().split()[0]
        line = json.loads(both.line("half-closed", f'"local":"{address}"'))
        equal([(h["pid"], h["comm"]) for h in line["holders"]], [(pid, "number-two")], "the second")
        print("quick", file=to)
        out.readline()
        both.stop()
        w.stop()
        to.close()
        os.waitpid(pid, 0)
        out.close()
        true(address not in w.text(), "the watch of the first speaks of the second")
        lags = [x for x in json_lines(both.text()) if x["event"] == "lag" and x["by"] == "connect"]
        equal({(x["pid"], x["comm"]) for x in lags}, {(pid, "number-one"), (pid, "number-two")}, f"lags of {pid}")
        equal(len({x["start_ns"] for x in lags}), 2, "processes")


@test
def network_namespaces_come_and_go():
    apart = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    with Watch("--after", "50ms", "--json", "--no-stacks", "--comm", "netns-*") as w:
        w.ready()
        for i in range(4):
            with Holder(f"netns-{i}", before=apart) as holder:
                address, fd = holder.leak()
                line = json.loads(w.line("half-closed", f'"local":"{address}"', f"netns-{i}"))
                equal(line["netns"], os.stat(f"/proc/{holder.pid}/ns/net").st_ino, "namespace")
                equal(holders(line), [(holder.pid, fd)], "holder")
                holder.kill()
            true(json.loads(w.line('"event":"over"', address, f"netns-{i}"))["by_exit"], "ended by its exit")


# In a network namespace of its own: connections between given addresses, both ends here. Each line from stdin is a
# statement.
NAMESAKES = """
import os, socket, sys
def pair(here, there):
    ls = socket.socket(socket.AF_INET6 if ":" in here[0] else socket.AF_INET)
    ls.bind(here)
    ls.listen()
    c = socket.socket(ls.family)
    c.bind(there)
    c.connect(here)
    return c, ls.accept()[0]
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Namesakes:
    def __init__(self, setup):
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(["unshare", "-n", sys.executable, "-c", NAMESAKES],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for line in setup:
            self.do(line)
        self.netns = os.stat(f"/proc/{self.process.pid}/ns/net").st_ino

    def do(self, line):
        """Runs it, and gives what it printed."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return "".join(iter(self.process.stdout.readline, "done\n"))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()


SAME_PORTS = (18123, 18124)
OVER_LO = ("os.system('ip link set lo up; for i in 1 2; do ip addr add 10.9.9.$i/32 dev lo; done')",
           "c, s = pair(('10.9.9.1', %d), ('10.9.9.2', %d))" % SAME_PORTS)
# Both addresses are on each of two links.
LINK_LOCAL = ("os.system('for n in veth0 veth1; do ip link add name $n type veth peer name p$n; "
              "for i in $n p$n; do ip link set $i addrgenmode none; ip link set $i up; done; "
              "for a in 1 2; do ip addr add fe80::$a/64 dev $n nodad; done; done; ip link set lo up')",
              "both = [pair(('fe80::1', %d, 0, n), ('fe80::2', %d, 0, n)) for n in "
              "map(socket.if_nametoindex, ('veth0', 'veth1'))]" % SAME_PORTS)


def namesakes_watch():
    return Watch("--after", "100ms", "--json", "--new", "--no-stacks", "--port", str(SAME_PORTS[0]))


@test
def a_namesake_in_another_namespace_does_not_speak_for_an_end():
    """There a server keeps what it was told of. Here the client's FIN does not arrive."""
    with Namesakes(OVER_LO) as there, Namesakes(OVER_LO) as here, namesakes_watch() as w:
        w.ready()
        there.do("c.shutdown(socket.SHUT_WR)")
        line = json.loads(w.line("half-closed", f'"netns":{there.netns}', "CLOSE_WAIT"))
        equal((line["closer"]["state"], line["closer"]["netns"]), ("FIN_WAIT_2", there.netns), "who waits there")
        here.do("os.system('ip link set lo down'); c.send(b'x'); c.shutdown(socket.SHUT_WR)")
        line = json.loads(w.line("half-closed", f'"netns":{here.netns}'))
        equal((line["state"], line["closer"]), ("FIN_WAIT_1", None), "who waits here")


@test
def connections_of_the_same_addresses_in_two_namespaces_are_two():
    with Namesakes(OVER_LO) as one, Namesakes(OVER_LO) as two, namesakes_watch() as w:
        w.ready()
        one.do("c.shutdown(socket.SHUT_WR)")
        two.do("s.shutdown(socket.SHUT_WR)")
        for there, port in ((one, SAME_PORTS[0]), (two, SAME_PORTS[1])):
            line = json.loads(w.line("half-closed", "CLOSE_WAIT", f'"netns":{there.netns}'))
            equal((line["local"].rpartition(":")[2], line["closer"]["netns"]), (str(port), there.netns), "the line")
        time.sleep(0.3)  # not synchronisation: for lines that must not come
        w.stop()
        equal(len([x for x in json_lines(w.text()) if x["event"] == "half-closed"]), 2, "lines")


@test
def connections_of_the_same_addresses_on_two_links_are_two():
    with Namesakes(LINK_LOCAL) as both, namesakes_watch() as w:
        w.ready()
        both.do("for c, s in both: c.shutdown(socket.SHUT_WR)")
        ends = [tuple(map(int, x.split())) for x in
                both.do("for c, s in both: print(s.fileno(), c.fileno())").splitlines()]
        wait_for(lambda: w.whole_lines().count('"half-closed"') >= 2, "two lines")
        time.sleep(0.3)  # not synchronisation: for lines that must not come
        w.stop()
        said = [x for x in json_lines(w.text()) if x["event"] == "half-closed"]
        equal(sorted((holders(x)[0][1], holders(x["closer"] or x)[0][1]) for x in said), sorted(ends),
              "descriptors that hold, and that wait")


INSIDE = """
import json, os, signal, socket, subprocess, sys
w = subprocess.Popen([sys.argv[1], "watch", "--json", "--after", "50ms", *sys.argv[2:]],
                     stdout=subprocess.PIPE, text=True)
w.stdout.readline()
ls = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(ls.getsockname())
if "--port" not in sys.argv:
    ls.accept()[0].close()
    c.recv(1)
line = w.stdout.readline()
print(json.dumps({"pid": os.getpid(), "fd": c.fileno(), "line": json.loads(line)}))
c.close()
w.send_signal(signal.SIGINT)
print(w.stdout.read(), end="")
sys.exit(w.wait())
"""


def in_a_pid_namespace(*options, above=0):
    """So many levels below one that is below this."""
    r = run(*["unshare", "--pid", "--fork"] * above, "unshare", "--pid", "--fork", "--mount-proc",
            sys.executable, "-c", INSIDE, binary("unclosed"), *options)
    equal((r.returncode, r.stderr), (0, ""), "exit")
    return json_lines(r.stdout)


@cases(0, 20)
def in_a_pid_namespace_numbers_are_its_own(above):
    first, *rest = in_a_pid_namespace("--pid", "1", above=above)
    line = first["line"]
    equal(first["pid"], 1, "the program's own number")
    equal((line["cause"], holders(line)), ("told", [(1, first["fd"])]), "holder")
    equal((line["told"]["pid"], line["told"]["tid"]), (1, 1), "who was told")
    true("_PyEval_EvalFrameDefault" in [f["function"] for f in line["told"]["stack"]], "the stack is read")
    true("_PyEval_EvalFrameDefault" in [f["function"] for f in line["made"]["stack"]], "and where it was made")
    equal([(x["pid"], x["count"]) for x in rest if x["event"] == "lag" and x["by"] == "connect"], [(1, 1)], "lag")


if not SANITIZED:  # AddressSanitizer looks into /proc itself
    @test
    def without_the_proc_of_its_pid_namespace_it_says_so():
        r = run("unshare", "--pid", "--fork", "--mount", "sh", "-c",
                'mount -t tmpfs none /proc; exec "$0" watch --duration 1ms', binary("unclosed"))
        equal((r.returncode, r.stdout), (3, ""), "exit")
        equal(r.stderr, "unclosed watch: finding this pid namespace: /proc is of another one, or not mounted\n", "why")


@test
def from_a_pid_namespace_others_have_no_number():
    with Holder("outside") as holder:
        holder.leak()
        line = in_a_pid_namespace("--port", str(holder.port))[0]["line"]
        equal((line["cause"], holders(line)), ("drained", []), "an end that is held outside")


# Descriptors that are no sockets; each of its children has a copy of all.
MILLION = """
import os, resource, signal, sys
n = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 400000)
resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
for i in range(100, n - 1):
    os.dup2(0, i, inheritable=False)
for _ in range(1050000 // n + 1):
    if not os.fork():
        signal.pause()
print(flush=True)
sys.stdin.read()
"""


@test
def a_host_may_have_more_than_a_million_descriptors():
    """So many in a row that give nothing the kernel looks at, at most, before it says something."""
    alone = ["unshare", "--pid", "--fork", "--kill-child=KILL"]
    with Python(MILLION, before=alone) as p:
        p.says()
        r = run(binary("unclosed"), "watch", "--json", "--duration", "10ms", *HERE)
        equal((r.returncode, r.stderr), (0, ""), "exit")


@test
def another_network_namespace_is_named():
    apart = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    with Holder("apart", before=apart) as there, Holder("here") as here, \
            Watch("--after", "50ms", "--pid", str(there.pid), "--pid", str(here.pid)) as w:
        w.ready()
        inode = os.stat(f"/proc/{there.pid}/ns/net").st_ino
        there.leak()
        has(w.line("half-closed", "apart["), f" in netns {inode} told,")
        here.leak()
        true(" in netns " not in w.line("half-closed", "here["), "where it is ours none is named")


main()
