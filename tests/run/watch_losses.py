# SPDX-License-Identifier: MIT
"""Everything that unclosed watch can lose, made to happen: each loss is counted, by its cause."""
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from bpfmaps import Map, calls_left_out  # noqa: E402
from helper import Python  # noqa: E402
from tap import (SANITIZED, binary, cases, equal, has, json_lines, main, once, run, test, true,  # noqa: E402
                 wait_for, within)
from watching import HERE, Holder, Watch, listen, name  # noqa: E402

LOSSES = ("events", "stacks", "stacks_refused", "ends_untracked", "lags", "missed", "reports_forgotten",
          "stacks_not_kept", "makings", "children", "listeners", "namespaces")


def half_closed(listener, n):
    """Ends whose peers have closed."""
    clients = []
    for _ in range(n):
        clients.append(socket.create_connection(listener.getsockname()))
        listener.accept()[0].close()
    return clients


def the_only_losses(watch, *causes):
    """The summary of a watch that is over; these are lost, and nothing else is."""
    equal(watch.stop(), (0, ""), "exit")
    summary = json_lines(watch.text())[-1]
    lost = summary["lost"]
    equal(sorted(lost), sorted(LOSSES), "causes")
    # How often an interrupt came while a program ran is the machine's affair.
    equal({c for c in LOSSES if lost[c]} - {"missed"}, set(causes), f"what was lost: {summary}")
    equal(summary["complete"], False, "complete")
    return summary, lost


@test
def events_are_counted_exactly():
    """Everything is reported at once through the smallest buffer: emitted = received + lost."""
    with listen() as ls, \
            Watch("--after", "0", "--json", "--buffer", "4", "--no-stacks",
                  "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        for _ in range(20):
            pairs = []
            for _ in range(100):
                client = socket.create_connection(ls.getsockname())
                pairs.append((client, ls.accept()[0]))
            for _, server in pairs:
                server.close()
            time.sleep(0.06)  # not synchronisation: room for reports, whose ends come all at once
            for client, _ in pairs:
                client.recv(1)
                client.close()
        summary, lost = the_only_losses(w, "events")
        equal(summary["emitted"], summary["received"] + lost["events"], f"balance of {summary}")
        lines = [x for x in json_lines(w.text()) if "cookie" in x]
        true(len(lines) <= summary["received"], "lines and events")


@test
def losses_are_said_to_people():
    with listen() as ls, Watch("--after", "0", "--buffer", "4", "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        clients = half_closed(ls, 200)
        w.line("half-closed")
        time.sleep(0.2)  # not synchronisation: so that most are reported before they end
        for client in clients:
            client.close()
        w.stop()
        has(w.text(), "this report is incomplete:")
        has(w.text(), "events lost: the buffer was full")


# Threads that all read at once, each on a stack of its own, so from a place of its own.
READERS = """
import socket, sys, threading, time
def second():
    return time.monotonic_ns() >> 30  # as the kernel's program counts them
n = int(sys.argv[1])
threading.stack_size(1 << 18)
ls = socket.create_server(("127.0.0.1", 0), backlog=512)
clients = []
for _ in range(n):
    clients.append(socket.create_connection(ls.getsockname()))
    ls.accept()[0].close()
print(ls.getsockname()[1], flush=True)
sys.stdin.readline()
go = threading.Barrier(n + 1)
def read(client):
    go.wait()
    client.recv(1)
    go.wait()
for client in clients:
    threading.Thread(target=read, args=[client]).start()
begun = second()
go.wait()
go.wait()
print(int(second() == begun), flush=True)
sys.stdin.read()
"""


@test
def stacks_are_counted_exactly():
    """While the watch is stopped its buffer fills up, and in one second only so many are taken."""
    n, made = 500, 0
    # No end is reported: all events are stacks, and the program has its name only once its sockets are made. The
    # holder is there so that there is a process of the name.
    with Holder(f"sites-{os.getpid()}"), \
            Watch("--after", "1h", "--new", "--json", "--comm", f"sites-{os.getpid()}") as w:
        w.ready()
        for _ in range(5):
            named = f"sys.stdin.readline()\nopen('/proc/self/comm', 'w').write('sites-{os.getpid()}')\n"
            with Python(READERS.replace("sys.stdin.readline()\n", named), n) as readers:
                readers.says()
                w.process.send_signal(signal.SIGSTOP)
                readers.tell()
                at_once = readers.says() == "1"
                w.process.send_signal(signal.SIGCONT)
            made += n
            if at_once:
                break
        true(at_once, f"{n} reads within one second")
        summary, lost = the_only_losses(w, "stacks", "stacks_refused")
        equal(summary["emitted"] + lost["stacks_refused"], made, f"places of {summary}")
        equal(summary["received"] + lost["stacks"], summary["emitted"], f"balance of {summary}")


@test
def what_was_seen_before_an_error_is_said():
    """It may open no more descriptors, which a look for the holders takes."""
    with listen() as ls, Watch("--after", "50ms", "--new", "--json", "--no-stacks",
                               "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        kept = half_closed(ls, 1)  # for which it attaches what it had no need of before
        w.line("half-closed", seconds=20)
        fds = max(map(int, os.listdir(f"/proc/{w.process.pid}/fd"))) + 1
        resource.prlimit(w.process.pid, resource.RLIMIT_NOFILE, (fds, fds))
        kept.append(half_closed(ls, 1)[0])
        wait_for(lambda: (w.text(), w.process.poll())[1] is not None, "its end", 20)
        said = json_lines(w.text())
        equal(w.process.returncode, 3, "exit code")
        has(w.process.stderr.read(), "Too many open files")
        equal([(x["event"], x.get("local")) for x in said if x["event"] not in ("watching", "lag")],
              [("half-closed", name(kept[0])), ("half-closed", name(kept[1])), ("summary", None)], "what it says")
        equal((said[2]["cause"], said[2]["holder_count"]), ("unread", 0), "what of the holder")
        equal((said[-1]["complete"], said[-1]["reported"]), (False, 2), "summary")
        for end in kept:
            end.close()


# The same place twice: while the buffer for stacks is full, and later.
TWICE = READERS[:READERS.index("begun =")] + """
ends = [socket.create_connection(ls.getsockname()) for _ in range(2)]
for _ in ends:
    ls.accept()[0].close()
go.wait()
go.wait()
for end in ends:
    end.recv(1)
    print("%s:%d" % end.getsockname(), flush=True)
    sys.stdin.readline()
"""


@test
def a_stack_that_was_lost_is_taken_again():
    name = f"twice-{os.getpid()}"
    with Holder(name), Watch("--after", "500ms", "--new", "--json", "--comm", name) as w:
        w.ready()
        named = f"open('/proc/self/comm', 'w').write('{name}')\n"
        with Python(named + TWICE, 200) as readers:
            readers.says()
            w.process.send_signal(signal.SIGSTOP)
            readers.tell()
            first = readers.says()
            w.process.send_signal(signal.SIGCONT)
            equal(said_of(w, first)["stack"], None, "the stack that found no room")
            readers.tell()
            second = readers.says()
            true("_PyEval_EvalFrameDefault" in [f["function"] for f in said_of(w, second)["stack"] or ()],
                 "the stack of the same place, later")
        the_only_losses(w, "stacks")


def said_of(watch, address):
    return json.loads(watch.line('"told":{', f'"local":"{address}"', seconds=30))["told"]


@test
def ends_that_find_no_place_are_counted_exactly():
    with listen() as ls, \
            Watch("--after", "50ms", "--new", "--json", "--no-stacks", "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        ends, spill = Map(w.process.pid, "ends"), Map(w.process.pid, "spill")
        ends.put_everywhere(1)
        spill.fill()
        for client in half_closed(ls, 20):
            client.close()
        spill.empty()
        ends.put_everywhere(0)
        # There is room again.
        kept = half_closed(ls, 1)
        w.line("half-closed")
        summary, lost = the_only_losses(w, "ends_untracked")
        equal((lost["ends_untracked"], summary["tracked"]), (40, 2), "ends, two of each connection")
        for m in (ends, spill):
            m.close()
        kept[0].close()


@test
def lags_that_find_no_place_are_counted_exactly():
    with listen() as ls, Watch("--after", "1h", "--new", "--json", "--no-stacks", *HERE) as w:
        w.ready()
        lags, variables = Map(w.process.pid, "lags"), Map(w.process.pid, ".bss")
        lags.fill()
        variables.put_in_array("lag_slots", 1)
        for client in half_closed(ls, 20):
            client.close()
        lags.empty()
        variables.put_in_array("lag_slots", 0)
        half_closed(ls, 1)[0].close()
        _, lost = the_only_losses(w, "lags")
        equal(lost["lags"], 20, "lags")
        equal([x["count"] for x in json_lines(w.text()) if x["event"] == "lag"], [1], "lags that were counted")
        for m in (lags, variables):
            m.close()


class Lags(Map):
    """The map of close lags."""

    def strangers(self):
        """Of processes that have ended."""
        return b"".join(struct.pack("=QIHBBII", 1, n + (1 << 24), 1, 0, 0, 0, 0) for n in range(self.size))


def lags_are_added_up_though_there_is_little_memory():
    """Its memory is limited to what it has, which is not enough to take out at once what has ended."""
    with listen() as ls, Watch("--after", "20ms", "--new", "--json", "--no-stacks",
                               "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        lags, variables = Lags(w.process.pid, "lags"), Map(w.process.pid, ".bss")
        kept = half_closed(ls, 1)
        w.line("half-closed", seconds=20)
        lift = limit_memory(w.process.pid)
        lags.fill()
        variables.put_in_array("lag_rows", lags.size)
        wait_for(lambda: w.process.poll() is not None or lags.count() < lags.size // 4 * 3, "room in the table", 20)
        if w.process.poll() is None:
            lift()  # what it says at the end is large
        kept[0].close()
        equal(w.stop(), (0, ""), "exit")
        for m in (lags, variables):
            m.close()


if not SANITIZED:  # there a program that finds no memory is ended
    test(lags_are_added_up_though_there_is_little_memory)


@test
def lags_that_two_tables_have_counted_add_up():
    """As where one CPU counts while another fills the place: the map has some of a bucket, the array others."""
    with listen() as ls, Watch("--after", "1h", "--new", "--json", "--no-stacks", *HERE) as w:
        w.ready()
        variables = Map(w.process.pid, ".bss")
        for taken in (1, 0):
            variables.put_in_array("lag_slots", taken)
            for client in half_closed(ls, 300):
                client.close()
        variables.close()
        equal(w.stop(), (0, ""), "exit")
        said = json_lines(w.text())
        equal(sum(x["count"] for x in said if x["event"] == "lag"), 600, "lags")


@test
def makings_that_find_no_place_are_counted_exactly():
    with listen() as ls, Watch("--after", "1h", "--new", "--json", *HERE) as w:
        w.ready()
        made = Map(w.process.pid, "made")
        made.fill()
        for client in half_closed(ls, 3):
            client.close()
        made.empty()
        half_closed(ls, 1)[0].close()
        made.close()
        _, lost = the_only_losses(w, "makings")
        equal(lost["makings"], 6, "sockets that were connected, and accepted")


class Pids(Map):
    """A map by process number."""

    def strangers(self):
        """Of no process that there can be."""
        return b"".join((n + (1 << 24)).to_bytes(4, "little") for n in range(self.size))


@test
def suspects_that_have_ended_make_room():
    """Once one leak of a process was reported, later ones have where they were made."""
    with Holder("suspect") as holder, Watch("--after", "50ms", "--json", "--port", str(holder.port)) as w:
        w.ready()
        suspects = Pids(w.process.pid, "suspects")
        suspects.fill()
        for _ in range(20):  # it becomes a suspect shortly after the first line
            line = json.loads(w.line("half-closed", f'"local":"{holder.leak()[0]}"', seconds=30))
            if line["made"]["stack"]:
                break
        true(line["made"]["stack"], "where it was made")
        suspects.close()
        equal(w.stop(), (0, ""), "exit")
        equal(json_lines(w.text())[-1]["lost"]["makings"], 0, "makings lost")


FORKS = """
import os, sys
sys.stdin.readline()
for _ in range(3):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""


@test
def children_that_find_no_place_are_counted_exactly():
    """So nothing can be said for the command."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [binary("unclosed"), "watch", "--json", "--output", f"{folder}/lines", "--",
                sys.executable, "-ISc", FORKS]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as p:
            lines = f"{folder}/lines"
            wait_for(lambda: os.path.exists(lines) and os.path.getsize(lines), "a line", 30)
            pids = Pids(p.pid, "pids")
            pids.size -= 1  # the command
            pids.fill()
            p.stdin.write("\n")
            p.stdin.close()
            equal(p.wait(within(30)), 3, "exit code")
            pids.close()
        with open(f"{folder}/lines", encoding="utf-8") as f:
            equal(json_lines(f.read())[-1]["lost"]["children"], 3, "children")


LONG_QUEUE = """
import socket, sys
n = 16384
open("/proc/sys/net/core/somaxconn", "w").write(str(2 * n))
ls = [socket.create_server(("127.0.0.1", 0), backlog=2 * n) for _ in range(2)]
for i in range(n):
    socket.create_connection(ls[0].getsockname()).close()
print(flush=True)
for word in sys.stdin:  # past the end of the queue that is looked at, and at the front of another
    for listener in ls:
        socket.create_connection(listener.getsockname()).close()
"""


@test
def what_waits_far_back_in_a_queue_is_counted():
    apart = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    with Python(LONG_QUEUE, before=apart) as p:
        p.says()
        with Watch("--after", "50ms", "--new", "--json", "--no-stacks", "--pid", str(p.pid)) as w:
            w.ready()
            p.tell()
            w.line("not-accepted", seconds=20)
            the_only_losses(w, "listeners")
            # Where it takes minutes to fill the queue, some that wait in it are reset meanwhile.
            equal([x["state"] for x in json_lines(w.text()) if x["event"] == "half-closed" and x["state"] != "CLOSED"],
                  ["CLOSE_WAIT"], f"what was reported in {w.text()}")


@cases("+bpf,+perfmon,+sys_ptrace", "+bpf,+perfmon")
def namespaces_that_may_not_be_entered_are_counted(rights):
    """It has the rights that it needs at least, which are not those to enter namespaces; or cannot see in which
    processes are."""
    with subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE) as there:
        wait_for(lambda: os.readlink(f"/proc/{there.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "a namespace")
        r = run("setpriv", f"--bounding-set=-all,{rights}", binary("unclosed"), "watch", "--json",
                "--duration", "10ms", *HERE)
        equal((r.returncode, r.stderr), (0, ""), "exit")
        summary = json_lines(r.stdout)[-1]
        true(summary["lost"]["namespaces"] >= 1, f"{summary}")
        equal(summary["complete"], False, "complete")
        there.stdin.close()


# In a network namespace of its own; nothing of it outlives the first.
APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-c",
         'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"', "sh"]
# One process makes sockets on a CPU, another on that to which the kernel hands, by interrupts, the packets of the first.
TWO_CPUS = """
import os, signal, socket, sys, time
cpus = sorted(os.sched_getaffinity(0))

def hand_packets_on():
    with open("/sys/class/net/lo/queues/rx-0/rps_cpus", "w") as f:
        f.write("%x" % (1 << cpus[1]))

def connects():
    ls = socket.create_server(("127.0.0.1", 0))
    while True:
        c = socket.create_connection(ls.getsockname())
        ls.accept()[0].close()
        c.close()

def is_refused():
    with socket.socket() as refuses:
        refuses.bind(("127.0.0.1", 0))
        while True:
            with socket.socket() as s:
                s.connect_ex(refuses.getsockname())

def start(cpu, for_ever):
    pid = os.fork()
    if not pid:
        os.sched_setaffinity(0, {cpu})
        for_ever()
    return pid

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
STORM = TWO_CPUS + """
hand_packets_on()
start(cpus[0], connects)
start(cpus[1], is_refused)
sys.stdin.read()
"""


def times_waited(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(next(line.split()[1] for line in f if line.startswith("voluntary_ctxt")))


def limit_memory(pid):
    """To what it has. Returns what lifts the limit."""
    with open(f"/proc/{pid}/statm", encoding="utf-8") as f:
        size = int(f.read().split()[0]) * resource.getpagesize()
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (size, before[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_AS, before)


def reports_that_find_no_memory_are_counted():
    """Its memory is limited to what it has, and while it is stopped so much comes due that it needs more. Then
    something is missed: looking for that needs memory, too, and is put off."""
    with listen() as ls, Watch("--after", "1ms", "--new", "--json", "--no-stacks",
                               "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        limit_memory(w.process.pid)
        w.process.send_signal(signal.SIGSTOP)
        clients = half_closed(ls, 800)
        time.sleep(0.01)  # not synchronisation: so that the last is due, too
        before = times_waited(w.process.pid)
        w.process.send_signal(signal.SIGCONT)
        wait_for(lambda: times_waited(w.process.pid) > before + 20, "whole turns of it", 20)
        with Python(STORM, before=APART):
            wait_for(lambda: calls_left_out(w.process.pid), "a call that was left out", 30)
            before = times_waited(w.process.pid)
            wait_for(lambda: times_waited(w.process.pid) > before + 20, "turns in which that is looked at", 20)
        summary, lost = the_only_losses(w, "reports_forgotten")
        equal(summary["emitted"], summary["received"], f"balance of {summary}")
        # At most one of an event; some of those whose peers these are may be among them.
        true(800 <= summary["reported"] + lost["reports_forgotten"] <= summary["emitted"], f"reports of {summary}")
        equal(summary["open"], summary["reported"], f"open of {summary}")
        for client in clients:
            client.close()


if not SANITIZED:  # there a program that finds no memory is ended
    test(once(reports_that_find_no_memory_are_counted))


INTERRUPTED = TWO_CPUS + """
sys.path.insert(0, sys.argv[1])
from bpfmaps import calls_left_out
hand_packets_on()
both = start(cpus[0], connects), start(cpus[1], is_refused)
while not calls_left_out(os.getppid()):
    time.sleep(0.01)
for pid in both:
    end(pid)
print(calls_left_out(os.getppid()))
"""


@test
def calls_that_the_kernel_left_out_are_counted():
    """A program that an interrupt stops is not run again before it ends. So nothing can be said for the
    command, whose connections may be among what was not seen."""
    with tempfile.TemporaryDirectory() as folder:
        shell = "mount -t sysfs sysfs /sys && ip link set lo up && exec \"$@\""
        r = run("unshare", "--net", "--mount", "sh", "-c", shell, "sh", binary("unclosed"), "watch", "--after", "1h",
                "--json", "--output", f"{folder}/lines", "--", sys.executable, "-c", INTERRUPTED,
                os.path.dirname(os.path.abspath(sys.modules["tap"].__file__)))
        equal((r.returncode, r.stderr), (3, ""), "exit")
        with open(f"{folder}/lines", encoding="utf-8") as f:
            summary = json_lines(f.read())[-1]
        true(summary["lost"]["missed"] >= int(r.stdout) > 0, f"{summary}, the kernel counts {r.stdout}")
        equal(summary["complete"], False, "complete")


# Keeps one end of each connection of a storm, beside what is interrupted by its packets, until some calls were left
# out. It has kept one before the watch began.
KEPT = TWO_CPUS + """
import json, resource, struct, subprocess
sys.path.insert(0, sys.argv[1])
from bpfmaps import Map, calls_left_out, libc
path, argv = sys.argv[2], sys.argv[3:]
most = min(32000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
ls, kept = socket.create_server(("127.0.0.1", 0), backlog=100), []

def keep():
    kept.append(socket.create_connection(ls.getsockname()))
    ls.accept()[0].close()

def reported():
    with open(path) as f:
        lines = [json.loads(line) for line in f if line.endswith("\\n")]
    return lines and {int(x["local"].rpartition(":")[2]) for x in lines if x["event"] == "half-closed"}

def wait_until(condition):
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)

def published():
    # A socket whose state is still the old one, with its end, which is whole: a copy of one that it had before.
    early = socket.create_connection(ls.getsockname())
    ls.accept()[0].close()
    wait_until(lambda: early.getsockname()[1] in reported())
    number = max((began, n) for n, (_, began, *_, flags) in ends.elements("=QQQQQI") if flags & 1)[1]
    spare = (number + 64) % ends.size
    ends.copy(number, spare)
    libc.connect(early.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
    early.connect(ls.getsockname())
    ends.copy(spare, number)
    return early, ls.accept()[0], number

keep()
watch = subprocess.Popen([*argv, "--output", path, "--port", str(ls.getsockname()[1])])
wait_until(lambda: os.path.exists(path) and reported() != [])
ends = Map(watch.pid, "ends")
early = published()
until = time.monotonic() + 20
hand_packets_on()
beside = start(cpus[1], is_refused)
os.sched_setaffinity(0, {cpus[0]})
while len(kept) < most - 100 and calls_left_out(watch.pid) < 8 and time.monotonic() < until:
    keep()
end(beside)
ports = [c.getsockname()[1] for c in kept]
wait_until(lambda: not set(ports[1:]) - reported())
print(json.dumps([calls_left_out(watch.pid), len(ports), sorted(set(ports[1:]) - reported()), ports[0] in reported(),
                  early[2] in dict(ends.elements("=Q"))]))
watch.send_signal(signal.SIGINT)
watch.wait()
"""


@test
def an_end_whose_beginning_was_missed_is_found():
    """Each that was kept is reported. An end that is there before its socket has the state is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        shell = "mount -t sysfs sysfs /sys && ip link set lo up && exec \"$@\""
        r = run("unshare", "--net", "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", KEPT,
                os.path.dirname(os.path.abspath(sys.modules["tap"].__file__)), f"{folder}/lines", binary("unclosed"),
                "watch", "--after", "1s", "--json", "--no-stacks", "--buffer", "65536", timeout=100)
        equal(r.stderr, "", "errors")
        missed, kept, unseen, first, early = json.loads(r.stdout)
        true(missed > 0, f"none of {kept} was missed")
        true(early, "the end that was there before the state")
        equal((unseen, first), ([], True), f"not reported of {kept}, with {missed} missed; the first was")


@test
def only_tcp_s_sockets_are_kept_in_mind():
    """Of others the watch does not see the end."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as ls, \
            socket.create_server(("127.0.0.1", 0)) as tcp, Watch("--after", "1h", "--json", *HERE) as w:
        w.ready()
        ls.bind(f"{folder}/socket")
        ls.listen()
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(f"{folder}/socket")
                ls.accept()[0].close()
        with socket.create_connection(tcp.getsockname()), tcp.accept()[0]:
            made = Map(w.process.pid, "made")
            wait_for(lambda: made.count() == 2, "both ends of one connection")
        wait_for(lambda: made.count() == 0, "none")
        made.close()


HOLDS = 1  # WATCH_HOLDER of enum watch_flag


@test
def an_end_whose_end_was_not_seen_is_not_reported():
    """A copy of it stands for one that the watch did not see to close."""
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Watch("--after", "1s", "--json", "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        client = socket.create_connection(ls.getsockname())
        ls.accept()[0].close()
        equal(client.recv(1), b"", "read")
        last = socket.create_connection(ls.getsockname())  # now, so that it gets no other's memory
        server = ls.accept()[0]
        ends, live = Map(w.process.pid, "ends"), Map(w.process.pid, "live")
        number = next(n for n, (*_, flags) in ends.elements("=QQQQQI") if flags & HOLDS)
        other = (number + 64) % ends.size
        ends.copy(number, other)
        live.put(other // 64, 2 ** 64 - 1)
        gone = name(client)
        client.close()
        server.close()
        w.line("half-closed", name(last))
        true(gone not in w.text(), f"{gone}, which was closed, in:\n{w.text()}")
        last.close()
        ends.close()
        live.close()


@test
def an_end_that_nothing_told_of_is_found():
    """One that is taken out of the table stands for it. It counts as missed, though no call was left out."""
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Watch("--after", "2s", "--json", "--no-stacks", "--port", str(ls.getsockname()[1])) as w:
        w.ready()
        ends = Map(w.process.pid, "ends")
        client = socket.create_connection(ls.getsockname())
        ls.accept()[0].close()
        number = wait_for(lambda: next((n for n, (*_, flags) in ends.elements("=QQQQQI") if flags & HOLDS), None),
                          "its end")
        ends.clear(number)
        line = json.loads(w.line("half-closed", f'"local":"{name(client)}"', seconds=60))
        true(line["age_ms"] > 2000, f"its age in {line}")
        left_out = calls_left_out(w.process.pid)
        equal(w.stop(), (0, ""), "exit")
        summary = json_lines(w.text())[-1]
        true(summary["lost"]["missed"] > left_out or left_out, f"{summary}, {left_out} calls were left out")
        equal(summary["complete"], False, "complete")
        client.close()
        ends.close()


main()
