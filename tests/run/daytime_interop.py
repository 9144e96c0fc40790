# SPDX-License-Identifier: MIT
"""The client against the servers that exist, the server against the clients that exist; the units."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from daytimed import Server  # noqa: E402
from tap import BUILD, SOURCE, Skip, binary, cases, equal, has, main, run, test, true  # noqa: E402

REPLY = r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}\r?\n"


# daytimed with the clients that exist.

@cases(("ncat", "ncat", "--recv-only", "127.0.0.1", "PORT"),
       ("ncat over IPv6", "ncat", "-6", "--recv-only", "::1", "PORT"),
       ("ncat sending", "sh", "-c", "echo hello | ncat 127.0.0.1 PORT"),
       ("socat", "socat", "-u", "TCP:127.0.0.1:PORT", "-"),
       ("socat both ways", "sh", "-c", "echo hello | socat - TCP:127.0.0.1:PORT"),
       ("busybox nc", "busybox", "nc", "127.0.0.1", "PORT"),
       ("curl", "curl", "-s", "telnet://127.0.0.1:PORT"),
       ("bash", "bash", "-c", "cat </dev/tcp/127.0.0.1/PORT"))
def clients_get_the_whole_reply(_, program, *argv):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed")
    with Server() as server:
        got = run(program, *(a.replace("PORT", str(server.port)) for a in argv), timeout=20)
        equal(got.returncode, 0, f"exit code; it said {got.stderr}")
        true(re.fullmatch(REPLY, got.stdout), f"a whole reply, not {got.stdout!r}")


@test
def a_udp_client_gets_the_reply():
    with Server("--udp") as server:
        got = run("sh", "-c", f"echo | socat -t 2 - UDP:127.0.0.1:{server.port}", timeout=20)
        true(re.fullmatch(REPLY, got.stdout), f"a whole reply, not {got.stdout!r}")


# daytime with the servers that exist, in a network namespace of the test's own: port 13 is free there.

def rival(package, text, argv, client):
    """What the client says when run beside the server. 10.9.9.1 is there because openbsd-inetd does not
    answer 127/8 over UDP."""
    folder = os.path.join(BUILD, "rivals")
    env = {**os.environ, "LD_LIBRARY_PATH": f"{folder}/usr/lib/x86_64-linux-gnu:"
                                            f"{folder}/lib/x86_64-linux-gnu"}
    got = run(os.path.join(SOURCE, "tools", "unpack"), folder, package, "libevent-core-2.1-7",
              "libwrap0", "libbsd0", "libtirpc3", timeout=120)
    if got.returncode:
        raise Skip(f"{package} cannot be fetched here")
    with tempfile.TemporaryDirectory() as scratch:
        with open(f"{scratch}/conf", "w", encoding="ascii") as conf:
            conf.write(text)
        start = " ".join(argv).replace("SCRATCH", scratch)
        unload = "unset LD_LIBRARY_PATH; "
        script = ("ip link set lo up; ip addr add 10.9.9.1/32 dev lo; "
                  f"{folder}/usr/sbin/{start} </dev/null >/dev/null 2>&1 & s=$!; "
                  f"{unload}i=0; while [ $i -lt 200 ]; do {client} && break; i=$((i+1)); sleep 0.02; "
                  "done; kill $s")
        more = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return run("unshare", "--net", "--pid", "--fork", "--kill-child", *more, "sh", "-c", script,
                   env=env, timeout=60)


XINETD = """service daytime
{
	type = INTERNAL
	id = daytime-PROTOCOL
	socket_type = KIND
	protocol = PROTOCOL
	user = root
	wait = WAIT
	disable = no
}
"""


def xinetd(protocol, kind, wait):
    return XINETD.replace("PROTOCOL", protocol).replace("KIND", kind).replace("WAIT", wait)


INETD = "daytime stream tcp nowait root internal\ndaytime dgram udp wait root internal\n"
RIVALS = {
    "xinetd": (xinetd("tcp", "stream", "no") + xinetd("udp", "dgram", "yes"),
               ["xinetd", "-dontfork", "-f", "SCRATCH/conf", "-pidfile", "SCRATCH/pid"]),
    "openbsd-inetd": (INETD, ["inetd", "-i", "SCRATCH/conf"]),
    "inetutils-inetd": (INETD, ["inetutils-inetd", "-d", "SCRATCH/conf"]),
}


@cases("xinetd", "openbsd-inetd", "inetutils-inetd")
def the_client_understands(package):
    text, argv = RIVALS[package]
    got = rival(package, text, argv, f"{binary('daytime')} --offset 127.0.0.1 2>/dev/null")
    match = re.search(r"^(.+)\noffset ([+-]\d+\.\d+) s, give or take", got.stdout)
    true(match, f"a reply and an offset, not {got.stdout!r} {got.stderr!r}")
    true(abs(float(match[2])) < 5, f"the offset is {match[2]} s on one machine")


@cases("xinetd", "openbsd-inetd", "inetutils-inetd")
def the_client_understands_over_udp(package):
    text, argv = RIVALS[package]
    got = rival(package, text, argv,
                f"{binary('daytime')} --udp --timeout=300ms 10.9.9.1 2>/dev/null")
    true(len(got.stdout) > 20, f"a reply, not {got.stdout!r} {got.stderr!r}")


@test
def port_13_of_localhost_unless_told():
    script = (f"ip link set lo up; {binary('daytimed')} --user=none 2>&1 & s=$!; i=0; "
              f"while [ $i -lt 400 ]; do {binary('daytime')} 2>/dev/null && break; i=$((i+1)); sleep 0.02; done; "
              "kill $s; wait $s")
    more = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    got = run("unshare", "--net", "--pid", "--fork", "--kill-child", *more, "sh", "-c", script, timeout=60)
    true(re.match(r"listening on port 13\.\.\.\n\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\n", got.stdout), got)


# The client by itself.

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def with_hosts(text, *argv):
    """Runs a command with another /etc/hosts, in a mount namespace."""
    with tempfile.NamedTemporaryFile("w") as hosts:
        hosts.write(text)
        hosts.flush()
        more = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return run("unshare", "--mount", *more, "sh", "-c",
                   f'mount --bind {hosts.name} /etc/hosts && exec "$@"', "sh", *argv)


@test
def the_next_address_is_tried_when_one_refuses():
    with Server("--address=127.0.0.9") as server:
        got = with_hosts("127.0.0.8 many\n127.0.0.9 many\n", binary("daytime"), "-4", "many",
                         server.port)
        equal((got.returncode, got.stderr), (0, ""), "client")
        true(re.fullmatch(REPLY, got.stdout), got.stdout)


@test
def the_next_address_is_tried_after_a_quarter_of_a_second():
    """one address is silent: its listener's queue is full"""
    with Server("--address=127.0.0.9") as server:
        silent = socket.socket()
        silent.bind(("127.0.0.8", server.port))
        silent.listen(0)
        fillers = []
        for _ in range(3):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.8", server.port))
            fillers.append(s)
        # Which of the two comes first is the resolver's choice; the silent one must be first once.
        took = []
        for hosts in ("127.0.0.8 many\n127.0.0.9 many\n", "127.0.0.9 many\n127.0.0.8 many\n"):
            began = time.monotonic()
            got = with_hosts(hosts, binary("daytime"), "-4", "many", server.port)
            took.append(time.monotonic() - began)
            equal((got.returncode, got.stderr), (0, ""), "client")
        true(0.25 < max(took) < 0.8, f"one waited for 250 ms: {took}")


@test
def every_address_that_failed_is_named():
    port = free_port()
    got = with_hosts("127.0.0.8 many\n127.0.0.9 many\n::1 many\n", binary("daytime"), "many", port)
    equal(got.returncode, 1, "exit code")
    for address in (f"127.0.0.8:{port}", f"127.0.0.9:{port}", f"[::1]:{port}"):
        has(got.stderr, f"{address}: connect: Connection refused")


@test
def the_family_can_be_chosen():
    with Server() as server:
        hosts = "127.0.0.1 both\n::1 both\n"
        for flag, address in (("-4", "127.0.0.1"), ("-6", "[::1]")):
            got = with_hosts(hosts, "env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-e", "trace=connect", "-o", "/dev/stderr",
                             binary("daytime"), flag, "both", server.port)
            equal(got.returncode, 0, "exit code")
            other = "AF_INET6" if flag == "-4" else "AF_INET,"
            true(f"sa_family={other}" not in got.stderr, f"{flag} asks {address} only")


@test
def several_hosts_are_asked():
    with Server() as server:
        got = run(binary("daytime"), "-p", server.port, "127.0.0.1", "::1")
        equal(got.returncode, 0, "exit code")
        true(re.fullmatch(f"127.0.0.1: {REPLY}::1: {REPLY}", got.stdout), got.stdout)
    got = run(binary("daytime"), "-p", server.port, "127.0.0.1", "::1")
    equal((got.returncode, got.stderr.count("refused")), (1, 2), "none answers")


@cases("asctime", "rfc3339", "nist")
def the_offset_is_near_nothing_on_one_machine(form):
    zone = {"TZ": "Asia/Seoul"}
    with Server(f"--format={form}", env=zone) as server:
        got = run(binary("daytime"), "--offset", "127.0.0.1", server.port,
                  env={**os.environ, **zone})
        equal((got.returncode, got.stderr), (0, ""), "client")
        match = re.search(r"^offset ([+-]\d+\.\d{3}) s, give or take (\d+\.\d{3}) s$", got.stdout, re.M)
        true(match and abs(float(match[1])) <= float(match[2]), got.stdout)


@test
def a_form_that_is_not_known_has_no_offset():
    with Server("--format=half past %H") as server:
        got = run(binary("daytime"), "--offset", "127.0.0.1", server.port)
        equal(got.returncode, 1, "exit code")
        has(got.stderr, "the reply's form is not known; no offset")
        has(got.stdout, "half past")


@cases(("America/New_York", 1), ("Asia/Seoul", 0))
def a_zone_that_is_not_known_here_has_no_offset(local, code):
    """xinetd's form names a zone, and the same letters mean others elsewhere"""
    with Server("--format=%d %b %Y %H:%M:%S KST", env={"TZ": "Asia/Seoul"}) as server:
        got = run(binary("daytime"), "--offset", "127.0.0.1", server.port, env={**os.environ, "TZ": local})
        equal(got.returncode, code, "exit code")
        has(got.stdout, " KST\n")
        if code:
            equal(got.stderr, f"daytime: 127.0.0.1:{server.port}: the reply's zone is neither UTC nor this host's; "
                              "no offset\n", "what it says")
        else:
            match = re.search(r"^offset ([+-][\d.]+) s, give or take ([\d.]+) s$", got.stdout, re.M)
            true(match and abs(float(match[1])) <= float(match[2]), got.stdout)


@test
def a_udp_server_that_is_not_there_is_named():
    port = free_port()
    got = run(binary("daytime"), "--udp", "127.0.0.1", port)
    equal((got.returncode, got.stderr),
          (1, f"daytime: 127.0.0.1:{port}: read: Connection refused\n"), "client")


@test
def a_lost_datagram_is_sent_again():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(10)
        waited = []

        def second():
            s.recvfrom(100)
            data, sender = s.recvfrom(100)
            equal(data, b"", "an empty datagram")
            s.sendto(b"", sender)  # tells no time, and is no reason to ask at once
            answered = time.monotonic()
            _, sender = s.recvfrom(100)
            waited.append(time.monotonic() - answered)
            s.sendto(b"later\r\n" + b"x" * 100, sender)
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        got = run(binary("daytime"), "--udp", "--limit=5", "127.0.0.1", s.getsockname()[1])
        equal((got.returncode, got.stdout), (0, "later\n"), "client")
        has(got.stderr, "longer than 5 bytes")
        true(waited[0] > 0.5, f"asked again after {waited[0]:.3f} s, not a second")


@test
def a_silent_udp_server_is_left_in_time():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        got = run(binary("daytime"), "--udp", "--timeout=300ms", "127.0.0.1", port)
        equal((got.returncode, got.stderr),
              (1, f"daytime: 127.0.0.1:{port}: read: Connection timed out\n"), "client")


@cases(("no.such.host.invalid", "cannot look up 'no.such.host.invalid'"),)
def a_name_that_is_not_known_is_said(host, said):
    got = run(binary("daytime"), host)
    equal(got.returncode, 1, "exit code")
    has(got.stderr, said)


@test
def a_service_that_is_not_known_is_said():
    got = run(binary("daytime"), "-p", "no-such-service", "127.0.0.1")
    equal((got.returncode, got.stderr),
          (1, "daytime: no service 'no-such-service' is known here; give the port's number\n"),
          "client")


def silent_listener():
    """A listener whose queue is full: nobody answers a SYN to it. With the sockets that fill it."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(0)
    sockets = [silent]
    for _ in range(3):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(silent.getsockname())
        sockets.append(s)
    return sockets


@test
def a_host_that_does_not_answer_is_left_in_time():
    sockets = silent_listener()
    port = sockets[0].getsockname()[1]
    got = run(binary("daytime"), "--timeout=300ms", "127.0.0.1", port)
    equal((got.returncode, got.stderr),
          (1, f"daytime: 127.0.0.1:{port}: connect: Connection timed out\n"), "client")


@cases(("socket", "error=EMFILE", "127.0.0.1:PORT: socket: Too many open files"),
       ("connect", "error=ENETUNREACH", "127.0.0.1:PORT: connect: Network is unreachable"),
       ("connect", "retval=0", "127.0.0.1:PORT: read, after 0 bytes: "),
       ("getsockopt", "error=ENOBUFS", "127.0.0.1:PORT: connect: No buffer space available"),
       ("recvfrom", "error=ECONNRESET", "127.0.0.1:PORT: read, after 0 bytes: Connection reset"))
def the_step_that_failed_is_named(call, what, said):
    with Server() as server:
        got = run("strace", "-D", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                  f"inject={call}:{what}", binary("daytime"), "127.0.0.1", server.port,
                  env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        equal(got.returncode, 1, "exit code")
        has(got.stderr, "daytime: " + said.replace("PORT", str(server.port)))


@cases(("recvfrom", "error=EINTR:when=1"), ("poll", "error=EINTR:when=1..2"),
       ("recvfrom", "error=EINTR:when=1", "--udp"), ("recvfrom", "error=EAGAIN:when=1", "--udp"))
def the_client_goes_on_when_interrupted(call, what, *options):
    with Server("--udp") as server:
        got = run("strace", "-D", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                  f"inject={call}:{what}", binary("daytime"), *options, "127.0.0.1", server.port,
                  env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        equal((got.returncode, got.stderr), (0, ""), "client")


@cases(("socket", "error=EMFILE", "socket"), ("connect", "error=ENETUNREACH", "connect"),
       ("sendto", "error=EPERM", "send"), ("recvfrom", "error=EIO", "read"))
def the_udp_step_that_failed_is_named(call, what, step):
    with Server("--udp") as server:
        got = run("strace", "-D", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                  f"inject={call}:{what}", binary("daytime"), "--udp", "127.0.0.1", server.port,
                  env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        equal(got.returncode, 1, "exit code")
        has(got.stderr, f"daytime: 127.0.0.1:{server.port}: {step}: ")


@test
def the_next_address_is_asked_over_udp():
    with Server("--udp", "--address=127.0.0.9") as server:
        got = with_hosts("127.0.0.8 many\n127.0.0.9 many\n", binary("daytime"), "-4", "--udp",
                         "many", server.port)
        equal((got.returncode, got.stderr), (0, ""), "client")


@test
def output_that_cannot_be_written_is_said():
    with Server() as server, open("/dev/full", "w", encoding="ascii") as full:
        got = subprocess.run([binary("daytime"), "127.0.0.1", str(server.port)], stdout=full,
                             stderr=subprocess.PIPE, text=True, check=False)
        equal((got.returncode, got.stderr),
              (3, "daytime: cannot write the reply: No space left on device\n"), "client")


# The documents.

@test
def every_test_that_the_fault_table_names_exists():
    code = ""
    for folder in ("run", "unit"):
        for name in os.listdir(os.path.join(SOURCE, "tests", folder)):
            with open(os.path.join(SOURCE, "tests", folder, name), encoding="utf-8") as f:
                code += f.read()
    counters = ""  # are named so too
    for name in os.listdir(os.path.join(SOURCE, "src", "daytime")):
        with open(os.path.join(SOURCE, "src", "daytime", name), encoding="utf-8") as f:
            counters += f.read()
    scenarios = os.listdir(os.path.join(SOURCE, "scenarios", "daytimed"))
    with open(os.path.join(SOURCE, "docs", "RELIABILITY.md"), encoding="utf-8") as f:
        named = set(re.findall(r"`([a-z0-9]+(?:[_-][a-z0-9]+){2,})`", f.read()))
    true(len(named) > 50, f"{len(named)} names")
    missing = [n for n in named if f"def {n}(" not in code and f"void {n}(" not in code and
               f"{n}.lua" not in scenarios and n not in counters]
    equal(missing, [], "named, and not there")


@test
def every_test_that_may_be_skipped_exists():
    with open(os.path.join(SOURCE, "tests", "allowed-skips"), encoding="utf-8") as f:
        named = re.findall(r"^([a-z0-9_]+)/(\w+)", f.read(), re.M)
    true(len(named) > 5, f"{len(named)} names")
    for suite, case in named:
        with open(os.path.join(SOURCE, "tests", "run", f"{suite}.py"), encoding="utf-8") as f:
            has(f.read(), f"def {case}(", f"{suite}: what tests/allowed-skips names")


# The units.

@test
def the_units_are_hardened():
    unit = os.path.join(BUILD, "packaging", "daytimed.service")
    if not shutil.which("systemd-analyze"):
        raise Skip("systemd is not installed")
    with tempfile.TemporaryDirectory() as folder:
        for name in (unit, os.path.join(SOURCE, "packaging", "daytimed.socket")):
            shutil.copy(name, folder)
        got = run("systemd-analyze", "security", "--offline=true",
                  os.path.join(folder, "daytimed.service"))
        level = re.search(r"Overall exposure level for daytimed.service: ([\d.]+)", got.stdout)
        true(level and float(level[1]) <= 1.5, f"exposure {level and level[1]}")


@test
def the_service_may_ask_how_good_the_clock_is():
    """else --format=nist could only say that nobody knows; setting it takes a capability"""
    with open(os.path.join(BUILD, "packaging", "daytimed.service"), encoding="utf-8") as f:
        lines = f.read().splitlines()
    true(not any(line.startswith("ProtectClock=") for line in lines), "ProtectClock= forbids clock_adjtime()")
    equal([line for line in lines if line.startswith("SystemCallFilter=")][-1], "SystemCallFilter=clock_adjtime",
          "the last word on system calls")
    has("\n".join(lines), "\nCapabilityBoundingSet=\nAmbientCapabilities=\n", "the unit")


@test
def the_service_starts_what_is_installed():
    with open(os.path.join(BUILD, "packaging", "daytimed.service"), encoding="utf-8") as f:
        has(f.read(), "/sbin/daytimed\n")


signal.signal(signal.SIGCHLD, signal.SIG_DFL)
main()
