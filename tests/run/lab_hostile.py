# SPDX-License-Identifier: MIT
"""What a scenario or a program of a stranger may try against the run, and against whoever started it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from labtest import lab, place, records, script  # noqa: E402
from tap import SANITIZED, cases, equal, has, main, run, test, true  # noqa: E402

# Runs a command and prints the most memory that any process below it had.
PEAK = """import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("peak KiB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)"""
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


@test
def a_call_that_nobody_waits_for_costs_nothing():
    """An answer that waits to be taken does not keep the run awake."""
    ends(HEAD + 'local l = server:listen(13)\nl:begin("accept")\nlocal c = client:connect(server, 13)\n'
         'expect(client, "ESTABLISHED")\nlocal s = l:finish()\ncheck(s:close() == 0, "closed")', 0)


main()
