# SPDX-License-Identifier: MIT
"""daytimed and daytime as in the text that this grew out of: replies, and each side's misbehaviour."""
import ast
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from daytimed import Server, ends, read_all, state_of  # noqa: E402
from tap import SOURCE, binary, cases, equal, has, main, run, test, true, wait_for  # noqa: E402

ASCTIME = r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}\n"


def start_client(*argv):
    return subprocess.Popen([binary("daytime"), *(str(a) for a in argv)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fake_server(handler):
    """Serves one connection with handler(socket) in a thread; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one():
        with listener:
            s, _ = listener.accept()
            with s:
                handler(s)
    threading.Thread(target=one, daemon=True).start()
    return listener.getsockname()[1]


@cases("127.0.0.1", "::1", "localhost")
def the_client_prints_the_servers_time(host):
    with Server() as server:
        before = int(time.time())
        got = run(binary("daytime"), host, server.port)
        equal((got.returncode, got.stderr), (0, ""), "client")
        true(re.fullmatch(ASCTIME, got.stdout), f"asctime's form: {got.stdout!r}")
        told = time.mktime(time.strptime(got.stdout.strip()))
        true(before <= told <= time.time(), f"{got.stdout!r} is now")
        equal(server.stop(), 0, "server's exit code")


@test
def the_reply_is_local_time():
    with Server(env={"TZ": "Asia/Seoul"}) as server:
        s = server.connect()
        told = time.strptime(read_all(s).decode().strip())
        import calendar
        ahead = calendar.timegm(told) - time.time()
        true(9 * 3600 - 5 < ahead <= 9 * 3600 + 1, f"Seoul is nine hours ahead, not {ahead} s")


@test
def a_used_port_can_be_bound_again_at_once():
    with Server() as server:
        port = server.port
        read_all(server.connect())
        wait_for(lambda: any(e[0] == "TIME_WAIT" for e in ends(port)), "a TIME_WAIT of the server's")
    with Server(port=port) as server:
        equal(server.port, port, "port")


@test
def a_port_in_use_is_said():
    with Server() as server:
        got = run(binary("daytimed"), "--user=none", server.port)
        equal(got.returncode, 3, "exit code")
        equal(got.stderr, f"daytimed: cannot bind port {server.port}: Address already in use\n")


@test
def keep_never_closes_nor_reads():
    """keep: the server's end stays in CLOSE_WAIT with the FIN unread, and others are served"""
    with Server("--after-reply=keep") as server:
        s = server.connect()
        port = s.getsockname()[1]
        true(re.fullmatch(ASCTIME, s.recv(100).decode()), "a reply")
        equal(state_of(server.port, port), ("ESTABLISHED", 0), "server's end")
        s.close()
        wait_for(lambda: state_of(server.port, port) == ("CLOSE_WAIT", 1), "CLOSE_WAIT, Recv-Q 1")
        wait_for(lambda: (state_of(port, server.port) or ("gone",))[0] == "FIN_WAIT2", "FIN_WAIT2")
        equal(run(binary("daytime"), "127.0.0.1", server.port).returncode, 0, "another client")
        began = time.monotonic()
        equal(server.stop(), 0, "exit code")
        true(time.monotonic() - began < 1.5, "SIGTERM ends it promptly")
        wait_for(lambda: state_of(server.port, port) is None, "closed by the kernel")


@test
def hold_closes_later():
    with Server("--after-reply=hold:300ms") as server:
        s = server.connect()
        began = time.monotonic()
        read_all(s)
        took = time.monotonic() - began
        true(0.25 < took < 5, f"closed after {took:.3f} s")


@test
def hold_ends_on_sigusr1():
    with Server("--after-reply=hold:100s") as server:
        s, other = server.connect(), server.connect()
        port = s.getsockname()[1]
        true(s.recv(100) and other.recv(100), "replies")
        s.close()
        wait_for(lambda: state_of(server.port, port) == ("CLOSE_WAIT", 1), "CLOSE_WAIT, Recv-Q 1")
        server.send(signal.SIGUSR1)
        wait_for(lambda: state_of(server.port, port) is None, "closed")
        equal(read_all(other), b"", "the other's end of stream")
        third = server.connect()
        third.recv(100)
        true(state_of(server.port, third.getsockname()[1])[0] == "ESTABLISHED", "held anew")
        equal(server.stop(seconds=2), 0, "exit code")


@test
def close_waits_for_the_client():
    """close: the FIN comes with the reply, and the descriptor is freed when the client closes"""
    with Server() as server:
        s = server.connect()
        read_all(s)
        fds = f"/proc/{server.pid}/fd"
        held = len(os.listdir(fds))
        s.close()
        wait_for(lambda: len(os.listdir(fds)) == held - 1, "the connection's descriptor is gone")


@test
def every_descriptor_is_cloexec():
    with Server("--after-reply=keep") as server:
        s = server.connect()
        s.recv(100)
        folder = f"/proc/{server.pid}/fdinfo"
        for fd in os.listdir(folder):
            with open(f"{folder}/{fd}", encoding="ascii") as f:
                flags = int(re.search(r"flags:\s*(\d+)", f.read())[1], 8)
            if int(fd) > 2:
                true(flags & os.O_CLOEXEC, f"descriptor {fd} is close-on-exec")


@test
def client_exit_closes_all_the_same():
    with Server() as server:
        got = run("strace", "-e", "trace=close,shutdown,recvfrom,exit_group", "-o", "/dev/stderr",
                  binary("daytime"), "--after-reply=exit", "127.0.0.1", server.port,
                  env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        equal(got.returncode, 0, "exit code")
        tail = got.stderr[got.stderr.rindex("recvfrom"):]
        true("close(" not in tail and "shutdown(" not in tail, f"no close after the reply:\n{tail}")


@test
def client_hold_ends_on_sigusr1():
    with Server() as server:
        client = start_client("--after-reply=hold:100s", "127.0.0.1", server.port)
        true(client.stdout.readline(), "the reply comes before the hold")
        wait_for(lambda: any(e[0] == "CLOSE_WAIT" for e in ends(server.port)), "CLOSE_WAIT")
        client.send_signal(signal.SIGUSR1)
        equal(client.wait(5), 0, "exit code")


@test
def client_hold_ends_in_time():
    with Server() as server:
        began = time.monotonic()
        equal(run(binary("daytime"), "--after-reply=hold:200ms", "127.0.0.1",
                  server.port).returncode, 0, "exit code")
        true(time.monotonic() - began > 0.2, "held")


@test
def the_client_waits_for_the_whole_line():
    def slowly(s):
        for part in (b"\r\nSun Nov", b" 22 11:02:45", b" 2026\r\n"):
            s.sendall(part)
            time.sleep(0.05)  # the segments' distance, not a wait for anything
        s.recv(1)             # never closes first
    got = run(binary("daytime"), "127.0.0.1", fake_server(slowly))
    equal((got.returncode, got.stdout), (0, "\nSun Nov 22 11:02:45 2026\n"), "client")


@test
def a_second_operand_that_is_a_number_is_a_port():
    """not a host of the old form 0.1.134.159"""
    got = run(binary("daytime"), "localhost", "99999")
    equal((got.returncode, got.stdout), (2, ""), "exit code and output")
    equal(got.stderr, "daytime: '99999' is no port; it is a number from 0 to 65535; see 'daytime --help'\n")


@test
def until_end_reads_on():
    def two_lines(s):
        s.sendall(b"one\n")
        time.sleep(0.1)
        s.sendall(b"two")
    got = run(binary("daytime"), "--until=end", "127.0.0.1", fake_server(two_lines))
    equal((got.returncode, got.stdout), (0, "one\ntwo\n"), "client")


@test
def a_whole_line_before_a_reset_is_a_reply():
    """the client is stopped as it has connected; then the line comes, and the reset"""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        trace, port = f"{folder}/trace", listener.getsockname()[1]
        argv = ["strace", "-D", "-q", "-o", trace, "-e", "trace=getsockopt", "-e",
                "inject=getsockopt:signal=SIGSTOP:when=1", binary("daytime"), "127.0.0.1", str(port)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}) as client:
            s, peer = listener.accept()
            wait_for(lambda: "stopped by SIGSTOP" in open(trace, encoding="utf-8").read(), "the client stops")
            with s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.sendall(b"Sun Nov 22 11:02:45 2026\n")
                wait_for(lambda: state_of(peer[1], port) == ("ESTABLISHED", 25), "the line is there")
            wait_for(lambda: state_of(peer[1], port) is None, "the reset is there")
            client.send_signal(signal.SIGCONT)
            out, err = client.communicate(timeout=20)
            equal((client.returncode, out, err), (0, "Sun Nov 22 11:02:45 2026\n", ""), "client")


@test
def strange_bytes_are_shown_escaped():
    got = run(binary("daytime"), "127.0.0.1",
              fake_server(lambda s: s.sendall(b"\x1b[2Jhi\x07\r\n")))
    equal(got.stdout, "\\x1b[2Jhi\\x07\n", "shown")


@test
def an_endless_reply_ends_at_the_limit():
    def for_ever(s):
        try:
            while True:
                s.sendall(b"x" * 1000)
        except OSError:
            pass
    got = run(binary("daytime"), "--limit=100", "127.0.0.1", fake_server(for_ever))
    equal((got.returncode, got.stdout), (0, "x" * 100 + "\n"), "client")
    has(got.stderr, "the reply is longer than 100 bytes")


@test
def a_silent_server_is_left_in_time():
    port = fake_server(lambda s: s.recv(1))
    began = time.monotonic()
    got = run(binary("daytime"), "--timeout=200ms", "127.0.0.1", port)
    equal(got.returncode, 1, "exit code")
    equal(got.stderr, f"daytime: 127.0.0.1:{port}: read, after 0 bytes: Connection timed out\n")
    true(time.monotonic() - began < 3, "in time")


@test
def an_empty_reply_is_an_error():
    port = fake_server(lambda s: None)
    got = run(binary("daytime"), "127.0.0.1", port)
    equal((got.returncode, got.stderr),
          (1, f"daytime: 127.0.0.1:{port}: read: the server closed without a reply\n"), "client")


@test
def a_refused_connection_names_every_address():
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    got = run(binary("daytime"), "127.0.0.1", port)
    equal((got.returncode, got.stderr),
          (1, f"daytime: 127.0.0.1:{port}: connect: Connection refused\n"), "client")


@cases(("daytimed", "--after-reply=never"), ("daytimed", "--after-reply=hold:100"),
       ("daytimed", "65536"), ("daytimed", "13", "14"), ("daytimed", "--no-such"),
       ("daytime", "--timeout=0"), ("daytime", "--until=dawn"), ("daytime", "--after-reply=keep"),
       ("daytime", "--limit=0"), ("daytime", "--timeout=36526d"), ("daytime", "--timeout=106752d"),
       ("daytime", "--after-reply=hold:36526d"), ("daytimed", "--after-reply=hold:106751d", "0"),
       ("daytimed", "--drain-time=36526d", "0"), ("daytimed", "--grace=36526d", "0"))
def misuse_is_refused(program, *argv):
    got = run(binary(program), *argv)
    equal((got.returncode, got.stdout), (2, ""), "exit code and output")
    has(got.stderr, f"see '{program} --help'")
    equal(got.stderr.count("\n"), 1, "lines")


@test
def a_duration_may_be_100_years():
    with Server("--after-reply=hold:36525d", "--drain-time=36525d", "--grace=36525d") as server:
        got = run(binary("daytime"), "--timeout=36525d", "127.0.0.1", server.port)
        equal((got.returncode, got.stderr), (0, ""), "client")
        s = server.connect()
        true(s.recv(100), "a reply")
        server.send(signal.SIGUSR1)
        equal(s.recv(100), b"", "the end of the hold")
    got = run(binary("daytimed"), "--grace=876601h")
    has(got.stderr, "daytimed: '876601h' is longer than 100 years (36525d); see ")


@cases("daytimed", "daytime")
def help_names_every_option(program):
    got = run(binary(program), "--help")
    equal(got.returncode, 0, "exit code")
    for line in run(binary(program), "--describe-options").stdout.splitlines():
        has(got.stdout, line.split("|")[2])
    equal(run(binary(program), "--version").stdout.split()[0], program)



def section(page, option):
    """What a manual page says of an option: the lines from its .It to the next."""
    with open(os.path.join(SOURCE, "man", page), encoding="utf-8") as f:
        parts = re.split(r"^\.It ", f.read(), flags=re.M)
    return next(p for p in parts if re.match(rf"(Fl \w Ar \w+ , )?Fl -{option}( |$)", p, re.M)).replace("\n", " ")


@cases(("daytime", "timeout", "5s"), ("daytime", "limit", "4096"),
       ("daytimed", "workers", "1"), ("daytimed", "drain-time", "5s"), ("daytimed", "drain-bytes", "65536"),
       ("daytimed", "max-connections", "1000"), ("daytimed", "max-per-source", "100"),
       ("daytimed", "udp-rate", "1"), ("daytimed", "udp-burst", "5"), ("daytimed", "udp-rate-all", "1000"),
       ("daytimed", "grace", "2s"))
def the_manual_and_the_help_name_one_default(program, option, default):
    """what the programs do without options is for daytimed_serving's ..._are_what_the_manual_says"""
    page = "daytime.1" if program == "daytime" else "daytimed.8"
    shown = " ".join(run(binary(program), "--help").stdout.split())
    true(re.search(rf" --{option}=[A-Z]+ [^()]*(\([^()]*\) [^()]*)?\({default}\) ", shown), f"{default} in --help")
    true(re.search(rf"\b{default} (bytes )?unless given", section(page, option)), f"{default} in {page}")


# A resolver that takes every question and answers none, in namespaces of its own.
SILENT_RESOLVER = r"""
import os, socket, subprocess, sys, time
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))
began = time.monotonic()
got = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
took = time.monotonic() - began
silent.setblocking(False)
print(repr((got.returncode, got.stdout, got.stderr, took, len(silent.recv(1000)))))
"""


def with_silent_resolver(*argv):
    """(exit code, stdout, stderr, seconds) of a program whose resolver never answers."""
    more = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("resolv.conf", "nameserver 127.0.0.1\n"), ("nsswitch.conf", "hosts: files dns\n")):
            with open(f"{folder}/{name}", "w", encoding="ascii") as f:
                f.write(text)
        got = run("unshare", "--mount", "--net", *more, "sh", "-ec",
                  f"ip link set lo up; for f in resolv.conf nsswitch.conf; do "
                  f'mount --bind {folder}/$f "$(readlink -f /etc/$f)"; done; exec "$@"',
                  "sh", sys.executable, "-c", SILENT_RESOLVER, *argv)
        true(got.stdout, got.stderr)
        code, out, err, took, asked = ast.literal_eval(got.stdout)
        true(asked > 0, "it was asked")
        return code, out, err, took


@test
def a_name_server_that_never_answers_is_given_up_in_time():
    """--timeout bounds the look-up too, for each of several hosts; an address needs none"""
    code, out, err, took = with_silent_resolver(binary("daytime"), "--timeout=400ms", "silent.example",
                                                "other.example")
    equal((code, out), (1, ""), "exit code and output")
    equal(err, "".join(f"daytime: cannot look up '{name}.example': no answer in time\n"
                       for name in ("silent", "other")), "what it says")
    true(0.7 < took < 3, f"{took:.2f} s")


main()
