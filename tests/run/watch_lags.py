# SPDX-License-Identifier: MIT
"""The figures of close lags where several CPUs count at the same moment, and where nobody's process closes."""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from bpfmaps import Map, calls_left_out  # noqa: E402
from helper import Helper, Python  # noqa: E402
from tap import BUILD, Skip, cases, equal, json_lines, main, test, true, wait_for  # noqa: E402
from watching import Watch  # noqa: E402

CPUS = min(len(os.sched_getaffinity(0)), 4)


class Storm(Helper):
    """Ends whose peers have closed; at a line it closes them, at each port on all CPUs at the same moment."""

    def __init__(self, ports, ends):
        self.ends = 1 + ends // CPUS * CPUS
        super().__init__(os.path.join(BUILD, "tests", "lagstorm"), CPUS, ports, self.ends)


def in_a_storm(ports, ends, look, *options, everybody=False):
    """What `look` returns of such a storm and its watch. An interrupt may come while a program runs, and then
    more than one close is not seen: such a storm shows nothing."""
    for _ in range(10):
        with Storm(ports, ends) as s, \
                Watch("--json", "--no-stacks", *options, *(() if everybody else ("--pid", str(s.pid)))) as w:
            w.ready()
            found = look(s, w)
            equal(w.stop(), (0, ""), "exit")
            said = json_lines(w.text())
            lost = said[-1]["lost"]
            if not lost["missed"]:
                equal(sum(lost.values()), 0, f"losses in {said[-1]}")
                return found, said
    raise AssertionError("in no storm everything was seen")


def step(storm, done):
    storm.tell()
    storm.expect(done)


@test
def closes_on_all_cpus_at_once_are_counted_exactly():
    """Most lags of a port are of one size, and meet in one counter. Some sockets may be closed by another test's
    `unclosed list`, which holds copies of them for a moment."""
    def look(storm, _watch):
        step(storm, "made")
        step(storm, "closed")
        return storm
    ports = 20
    storm, said = in_a_storm(ports, 200, look, "--after", "1h", everybody=True)
    lags = [x for x in said if x["event"] == "lag"]
    mine = {x["port"]: x["count"] for x in lags if x["pid"] == storm.pid and x["by"] == "accept"}
    equal(len(mine), ports, "ports")
    for x in lags:
        equal(sum(b[2] for b in x["buckets"]), x["count"], f"sum of the buckets of {x}")
        if x["port"] in mine and x["by"] == "accept" and x["comm"] == "unclosed":
            mine[x["port"]] += x["count"]
    equal(set(mine.values()), {storm.ends}, f"closes at each of {mine}")


@test
def the_longest_of_two_that_close_at_once_is_the_longest():
    """What is said of each end is compared with what is said of all at its port, to the nanosecond."""
    def look(storm, watch):
        for done, event in (("made", "half-closed"), ("closed", "closed")):
            step(storm, done)
            said = f'"event":"{event}"'
            wait_for(lambda: watch.text().count(said) >= ports * storm.ends or calls_left_out(watch.process.pid),
                     f"{event} of each end", 30)
    ports = 500
    _, said = in_a_storm(ports, CPUS, look, "--after", "1ms", "--buffer", "16384")
    each = {}
    for x in said:
        if x["event"] == "closed":
            each.setdefault(int(x["local"].rpartition(":")[2]), []).append(x["close_lag_ms"])
    lags = {x["port"]: (x["count"], x["max_ms"]) for x in said if x["event"] == "lag"}
    equal(len(lags), ports, "ports")
    wrong = {port: (lags.get(port), mine) for port, mine in each.items() if lags.get(port) != (len(mine), max(mine))}
    equal(wrong, {}, "ports where the sum is not that of its ends")


# Whose last descriptor is closed by nobody: it waits in a socket that waits in itself.
GARBAGE = """
import array, socket, sys
def leave(tcp):
    a, b = socket.socketpair(socket.AF_UNIX)
    fds = array.array("i", [b.fileno(), tcp.fileno()])
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    tcp.close()
    b.close()
    a.close()
"""

# The same: a file that a ring holds, which the kernel takes apart once its process is gone.
RING = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 1, params)
if ring < 0:
    print("refused", flush=True)
    sys.exit()
def leave(tcp):
    fds = ctypes.create_string_buffer(struct.pack("=i", tcp.fileno()))
    assert libc.syscall(427, ring, 2, fds, 1) == 0, os.strerror(ctypes.get_errno())
    os._exit(0)
"""

LEFT = """
import socket
import subprocess
ls = socket.create_server(("127.0.0.1", 0))
print(ls.getsockname()[1], flush=True)
sys.stdin.readline()
c = socket.create_connection(ls.getsockname())
s = ls.accept()[0]
c.close()
assert s.recv(1) == b""
leave(s)
sys.stdin.read()
"""


class Leaver(Python):
    """A process that at a line lets go of a socket without a close."""

    def __init__(self, how):
        super().__init__(how + LEFT)
        self.port = self.says()
        if self.port == "refused":
            self.end()
            raise Skip("the kernel refuses io_uring")


def lag_rows(watch):
    return [x for x in json_lines(watch.whole_lines()) if x["event"] == "lag" and x["by"] == "accept"]


@cases("garbage", "ring")
def what_the_kernel_closes_is_the_kernel_s(how):
    """A worker of the kernel's does it, which has nothing to do with the connection but that it was free."""
    with Leaver(GARBAGE if how == "garbage" else RING) as p, \
            Watch("--after", "10s", "--json", "--no-stacks", "--interval", "20ms", "--port", p.port) as w:
        w.ready()
        p.tell()
        row = wait_for(lambda: lag_rows(w), "a close lag", 20)[0]
        # Before Linux 6.9 whoever closed a socket of the kind took the garbage away.
        whose = {(0, 0, "(kernel)")} | ({(p.pid, row["start_ns"], row["comm"])} if how == "garbage" else set())
        true((row["pid"], row["start_ns"], row["comm"]) in whose, f"whose: {row}")
        equal((row["port"], row["count"]), (int(p.port), 1), "port and count")


@test
def people_read_that_it_was_the_kernel():
    with Leaver(RING) as p, Watch("--after", "10s", "--no-stacks", "--interval", "20ms", "--port", p.port) as w:
        w.ready()
        p.tell()
        w.line(f"  (kernel) :{p.port} ", seconds=20)


@test
def a_worker_of_a_ring_closes_for_its_process():
    """It is a thread of the process."""
    with socket.create_server(("127.0.0.1", 0)) as ls:
        client = socket.create_connection(ls.getsockname())
        server, port = ls.accept()[0], ls.getsockname()[1]
        fd = server.fileno()
        with Helper(os.path.join(BUILD, "tests", "uread"), fd, "close", "async", pass_fds=[fd]) as p, \
                Watch("--after", "10s", "--json", "--no-stacks", "--interval", "20ms", "--port", str(port)) as w:
            server.close()
            w.ready()
            client.close()
            if p.process.poll() == 77:
                raise Skip("the kernel refuses io_uring")
            p.tell()
            p.expect("0")
            row = wait_for(lambda: lag_rows(w), "a close lag", 20)[0]
            equal((row["pid"], row["comm"], row["count"]), (p.pid, "uread", 1), "whose")


# Connects, waits for the peer to close, closes; and ends when it is told to.
CLIENT = """
import socket, sys
with open("/proc/self/comm", "w") as f:
    f.write(sys.argv[2])
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
c.recv(1)
c.close()
print(flush=True)
sys.stdin.read()
"""


def client(ls, comm):
    """A process of that name that has closed a connection to the listener."""
    # pylint: disable-next=consider-using-with
    p = subprocess.Popen([sys.executable, "-ISc", CLIENT, str(ls.getsockname()[1]), comm], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    ls.accept()[0].close()
    p.stdout.readline()
    return p


@test
def those_who_have_ended_leave_room_for_others():
    """Where the kernel's map of lags fills up, of whose rows here most are only said to be there."""
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Watch("--json", "--no-stacks", "--new", "--after", "100ms", "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        lags, variables = Map(w.process.pid, "lags"), Map(w.process.pid, ".bss")
        variables.put_in_array("lag_slots", 1)  # no place in the array is free: the map counts all
        for comm in ("brief-a", "brief-b", "brief-a", "brief-a"):
            client(ls, comm).communicate()
        equal(lags.count(), 4, "rows in the map")
        variables.put_in_array("lag_rows", lags.size // 4 * 3 - 1)
        stays = client(ls, "stays")
        wait_for(lambda: lags.count() == 1, "the row of the one that runs to be alone")
        client(ls, "brief-b").communicate()  # once more, and not moved
        variables.put_in_array("lag_slots", 0)
        for m in (lags, variables):
            m.close()
        equal(w.stop(), (0, ""), "exit")
        said = json_lines(w.text())
        rows = sorted((x["comm"], x["pid"] > 0, x["start_ns"] > 0, x["count"]) for x in said if x["event"] == "lag")
        equal(rows, [("brief-a", False, False, 3), ("brief-b", False, False, 1), ("brief-b", True, True, 1),
                     ("stays", True, True, 1)], "lags")
        stays.communicate()


main()
