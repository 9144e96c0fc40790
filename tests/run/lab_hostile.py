# SPDX-License-Identifier: MIT
"""What a scenario or a program of a stranger may try against the run, and against whoever started it."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from labtest import lab, need, place, records, script  # noqa: E402
from tap import SANITIZED, cases, equal, has, main, run, test, true  # noqa: E402

# Runs a command and prints the most memory that any process below it had.
PEAK = """import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("peak KiB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)"""
# A build under AddressSanitizer looks for leaks with ptrace(2), which another tracer has already.
NO_LEAK_CHECK = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
HEAD = 'scenario { title = "T" }\n'


def ends(text, code, *parts, options=(), **kw):
    done = lab(script(text), *options, **kw)
    equal(done.returncode, code, f"exit code; {done.stdout}{done.stderr}")
    flat = " ".join(done.stdout.split())
    for part in parts:
        has(flat, " ".join(part.split()), "report")
    return done


@cases("write(\"forged\")", "read(10)", "close()", "dup()", "nonblocking()", "shutdown(\"both\")",
       "set(\"SO_RCVBUF\", 1)", "accept()", "connect(server, 13)", "post()")
def the_command_socket_is_not_the_scripts(call):
    """What is written into it would be read as the answer to a call."""
    for fd in (0, 1, 2, 3):
        name = call.partition("(")[0].replace("nonblocking", "nonblock").replace("post", "sendmsg")
        ends(HEAD + f"local l = server:listen(13)\nl.fd = {fd}\nl:{call}", 1, f"{name} failed with EBADF")


@test
def a_replaced_process_makes_no_calls():
    ends(HEAD + 'local p = server:process()\np:exec("cat")\np:listen(13)', 2, "makes no calls for a scenario")


@cases("root", "user")
def a_program_finds_no_way_round_the_read_only_file_system(who):
    target = os.path.join(place(), "escaped")
    for attempt in (f"touch {target}", f"touch /proc/1/root{target}",
                    f"mount -o remount,rw / ; touch {target}", f"mount -o remount,bind,rw / ; touch {target}",
                    f"unshare -m -r sh -c 'mount -o remount,bind,rw / ; touch {target}'"):
        ends(HEAD + f'local t = server:run("sh", "-c", "{attempt}")\ncheck(t:exits() ~= 0, "refused")', 0,
             options=["--allow=sh"], user=who == "user")
        true(not os.path.exists(target), f"{attempt}: written")


@test
def a_program_inherits_no_descriptor_of_the_callers():
    with open(os.path.join(place(), "held"), "w", encoding="ascii") as held:
        ends(HEAD + f'local t = server:run("test", "-e", "/proc/self/fd/{held.fileno()}")\nt:exits(1)', 0,
             options=["--allow=test"], pass_fds=[held.fileno()])
    os.unlink(held.name)


@test
def refused_requests_use_no_memory():
    """What was made of a request before it was refused is freed: 100 of these would else be 200 MiB.
    AddressSanitizer keeps what was freed, and is slow: there they are few, and their memory is not read."""
    rounds = 20 if SANITIZED else 100
    text = (HEAD + 'local t = {}\nfor i = 1, 30000 do t[i] = "x" end\nt[30001] = step\n'
            f'for _ = 1, {rounds} do pcall(expect, client, t) end\ncheck(true, "still here")')
    done = run(sys.executable, "-c", PEAK, os.path.join(place(), "bin", "unclosed"), "lab", script(text), cwd=place())
    equal(done.returncode, 0, f"exit code; {done.stdout}{done.stderr}")
    kib = int(done.stdout.rsplit("peak KiB ", 1)[1])
    true(SANITIZED or kib < 64 * 1024, f"the largest process had {kib} KiB")


@test
def a_program_that_writes_without_end_delays_nothing():
    text = HEAD + 'local d = server:run("yes")\nd:says("no", { within = "%s" })'
    ends(text % "200ms", 1, "has not said 'no' in time", options=["--allow=yes"])
    ends(text % "1h", 1, "is not done after 300 ms", options=["--allow=yes", "--timeout=300ms"])


@cases((60000, 0), (65536, 0), (65537, 2))
def large_outputs_arrive_whole_or_not_at_all(size, code):
    ends(HEAD + f'local n = #server:run("sh", "-c", "yes | head -c {size}"):output()\ncheck(n == {size}, "all")',
         code, *["kept"] * (code != 0), options=["--allow=sh"])


@test
def an_answer_that_does_not_fit_is_refused():
    ends(HEAD + 'server:run("head", "-c65536", "/dev/zero"):output()', 2, "the answer is too long", "own.lua:2",
         options=["--allow=head"])


@test
def a_call_that_a_signal_interrupts_is_one_call():
    path = script(HEAD + """local l = server:listen(13)
local p = client:process()
local syn = wire.hold { flags = "SYN", from = client }
local c = p:socket()
c:begin("connect", server, 13)
syn:caught()
p:kill("STOP")
wire.quiet()
p:kill("CONT")
wire.quiet()
syn:stop()
wire.release()
c:finish()
expect(client, "ESTABLISHED")
""")
    done, (r,) = records(path)
    equal(done.returncode, 0, r["error"])
    calls = [e for e in r["timeline"] if e["kind"] == "call" and e["call"] == "connect"]
    equal([c["result"] for c in calls], [0], "connects")
    true(r["run_us"] < 5000000, f"a process that is stopped is not waited for: {r['run_us']} us")


@test
def a_forked_programs_calls_are_all_seen():
    path = script(HEAD + """local d = server:run("python3", "-S", "-c", [[
import socket, os
listener = socket.create_server(("10.0.0.2", 13))
sock, _ = listener.accept()
for i in range(50):
    pid = os.fork()
    if pid == 0:
        os.close(sock.fileno())
        os._exit(0)
    os.waitpid(pid, 0)
sock.close()
]])
d:listens()
client:connect(server, 13)
d:exits(0, { within = "30s" })
expect(server, "FIN_WAIT_2")
""")
    done, (r,) = records(path, "--allow=python3")
    equal(done.returncode, 0, r["error"])
    calls = [e["call"] for e in r["timeline"] if e["kind"] == "call"]
    equal((calls.count("close"), calls.count("exit")), (51, 51), "closes and exits")


def status_of(pid):
    """The fields of /proc/PID/status, {} where it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="latin-1") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}


def child_named(parent, name):
    """The pid of a child of `parent` with that name, or None."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        status = status_of(pid)
        if status.get("PPid") == str(parent) and status.get("Name") == name:
            return int(pid)
    return None


@test
def the_room_is_closed():
    """The process that runs the script: a seccomp filter, no descriptor but the one to the run, and limits."""
    path = script(HEAD + 'server:listen(13):accept({ within = "20s" })')
    with subprocess.Popen([os.path.join(place(), "bin", "unclosed"), "lab", path], stdout=subprocess.DEVNULL) as lab_run:
        room = None
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                the_run = child_named(lab_run.pid, "unclosed-lab")
                room = child_named(the_run, "unclosed-lab") if the_run else None
                if room and status_of(room).get("Seccomp") == "2":
                    break
                time.sleep(0.01)
            true(room, "the room's process")
            equal((status_of(room)["Seccomp"], status_of(room)["NoNewPrivs"]), ("2", "1"), "Seccomp, NoNewPrivs")
            equal(sorted(os.listdir(f"/proc/{room}/fd")), ["1", "2", "3"] if SANITIZED else ["3"], "descriptors")
            with open(f"/proc/{room}/limits", encoding="ascii") as f:
                limits = {line[:25].strip(): line[26:].split()[:2] for line in f}
            equal([limits["Max cpu time"], limits["Max file size"], limits["Max processes"]],
                  [["2", "3"], ["0", "0"], ["0", "0"]], "limits")
        finally:
            lab_run.kill()


# Not under AddressSanitizer, which sets and asks for limits of its own and ends where it cannot.
@cases(*(() if SANITIZED else (1, 2, 3, 4)))
def a_limit_that_cannot_be_set_ends_the_room(which):
    """The CPU seconds are all that bounds a string function. strace refuses one of the room's setrlimit()s;
    the lab traces its actors itself, so that only this process can be traced by another."""
    need("strace")
    path = script('scenario { title = "T" }\ncheck(true, "it ran")')
    calls = os.path.join(place(), "calls")
    done = run("strace", "-f", "-o", calls, "-e", "trace=setrlimit,prlimit64", "-e",
               f"inject=setrlimit,prlimit64:error=EPERM:when={which}",
               os.path.join(place(), "bin", "unclosed"), "lab", path, env=NO_LEAK_CHECK)
    with open(calls, encoding="utf-8") as f:
        refused = [line for line in f if "INJECTED" in line]
    true(refused, "a limit was refused")
    equal(done.returncode, 2, f"exit code; {done.stdout}{done.stderr} {refused}")
    true("it ran" not in done.stdout, done.stdout)


def python_on(side, code):
    """A script's call that runs Python on a host."""
    return f'local d = {side}:run("python3", "-S", "-c", [[\n{code}]])\n'


@test
def a_state_that_cannot_follow_fails_the_run():
    """A socket in CLOSE_WAIT is taken away and its connection put back to ESTABLISHED, which no TCP does
    (TCP_REPAIR; dup2() is not watched): the states are the kernel's, and the run is failed."""
    path = script(HEAD + python_on("client", """
import os, socket, time
c = socket.create_connection(("10.0.0.2", 13))
c.recv(1)
here, there = c.getsockname(), c.getpeername()
c.setsockopt(socket.IPPROTO_TCP, 19, 1)
os.dup2(0, c.fileno())
again = socket.socket()
again.setsockopt(socket.IPPROTO_TCP, 19, 1)
again.bind(here)
again.connect(there)
""").replace("local d", "local l = server:listen(13)\nlocal d") + """local s = l:accept()
s:shutdown("write")
d:exits(0)
check(true, "the script itself is content")
""")
    done, (r,) = records(path, "--allow=python3")
    equal((done.returncode, r["status"]), (1, "failed"), r["error"])
    has(r["error"], "ESTABLISHED", "error")


FLOOD = """
import ctypes, os, socket, time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("10.0.0.2", 9))
class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_int), ("iov", ctypes.POINTER(Iovec)),
                ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("pad", ctypes.c_int), ("sent", ctypes.c_uint)]
iov = Iovec(bytes(1000), 1000)
many = (Message * 1024)(*[Message(iov=ctypes.pointer(iov), iovlen=1) for _ in range(1024)])
libc = ctypes.CDLL(None)
ready = open("/dev/zero")
while not os.path.exists("%s"):
    time.sleep(0.001)
for i in range(20):
    libc.sendmmsg(u.fileno(), many, 1024, 0)
done = open("/dev/full")
"""


def open_files(pid):
    """What the process has open right now."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:  # closed meanwhile
            pass
    return found


def wait_for_file(pid, path):
    """Until the process has that file open."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if path in open_files(pid):
            return
        time.sleep(0.001)
    raise AssertionError(f"{pid} has not opened {path}")


@test
def frames_lost_unseen_break_the_run():
    """The run stands still while a program sends more than the wire's queue holds: what was not recorded
    was there all the same. (sendmmsg() is not stopped at.)"""
    go = os.path.join(place(), "go")
    path = script(HEAD + python_on("client", FLOOD % go) + 'd:exits(0)\ncheck(true, "the script itself is content")')
    with subprocess.Popen([os.path.join(place(), "bin", "unclosed"), "lab", "--json", "--allow=python3", path],
                          stdout=subprocess.PIPE, text=True) as lab_run:
        program = the_run = None
        try:
            while lab_run.poll() is None and not program:
                the_run = child_named(lab_run.pid, "unclosed-lab")
                program = child_named(the_run, "python3") if the_run else None
            wait_for_file(program, "/dev/zero")
            os.kill(the_run, signal.SIGSTOP)
            with open(go, "w", encoding="ascii"):
                pass
            wait_for_file(program, "/dev/full")
            os.kill(the_run, signal.SIGCONT)
            (r,) = map(json.loads, lab_run.communicate(timeout=60)[0].splitlines())
        finally:
            lab_run.kill()
    os.unlink(go)
    equal((lab_run.returncode, r["status"]), (1, "broken"), r["error"])
    has(r["error"], "were lost unseen", "error")


@test
def a_program_executed_by_another_thread_is_the_same_process():
    """Its descriptors are seen under its number; the threads that the exec ended leave nothing."""
    path = script(HEAD + python_on("server", """
import os, socket, threading
l = socket.create_server(("10.0.0.2", 13))
s, _ = l.accept()
os.set_inheritable(s.fileno(), True)
code = "import os, socket, sys; s = socket.socket(fileno=int(sys.argv[1])); os.read(s.fileno(), 0); s.recv(9); s.close()"
threading.Thread(target=os.execvp, args=("python3", ["python3", "-S", "-c", code, str(s.fileno())])).start()
threading.Event().wait()
""") + """d:listens()
local c = client:connect(server, 13)
expect(server, "ESTABLISHED", { orphan = false })
expect(server, "ESTABLISHED", { told = false })
c:shutdown("write")
d:exits(0)
expect(server, "gone")
""")
    done, (r,) = records(path, "--allow=python3")
    equal(done.returncode, 0, r["error"])
    calls = [(e["call"], e["detail"]) for e in r["timeline"] if e["kind"] == "call" and e["from"] == "server"]
    equal(calls, [("accept", ""), ("read", "0 bytes"), ("read", "end of stream"), ("close", ""), ("exit", "0")],
          "the server's calls")


@test
def many_holders_are_counted():
    path = script(HEAD + python_on("server", """
import os, socket
l = socket.create_server(("10.0.0.2", 13))
s, _ = l.accept()
for i in range(299):
    os.dup(s.fileno())
s.recv(1)
""") + """d:listens()
local c = client:connect(server, 13)
expect(client, "ESTABLISHED")
wire.quiet { lasting = "300ms" }
observe("300 descriptors.")
""")
    done, (r,) = records(path, "--allow=python3")
    equal(done.returncode, 0, r["error"])
    equal((r["ends"]["server"]["nholders"], len(r["ends"]["server"]["holders"])), (300, 8), "holders: all, and kept")


@test
def a_call_that_nobody_waits_for_costs_nothing():
    """An answer that waits to be taken does not keep the run awake."""
    ends(HEAD + 'local l = server:listen(13)\nl:begin("accept")\nlocal c = client:connect(server, 13)\n'
         'expect(client, "ESTABLISHED")\nlocal s = l:finish()\ncheck(s:close() == 0, "closed")', 0)


main()
