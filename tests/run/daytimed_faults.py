# SPDX-License-Identifier: MIT
"""Every call of daytimed's that can fail, made to fail; and what it may do at all."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from daytimed import (Server, counters, cpu_ns, descriptors, last_counters, load,  # noqa: E402
                      read_all, status)
from tap import (SANITIZED, Skip, binary, cases, equal, has, main, run, test, true,  # noqa: E402
                 wait_for)

# -D: the tracer is a grandchild, so that the process started is the server.
STRACE = ("strace", "-D", "-q", "-o", "/dev/null")
COVERAGE = "UNCLOSED_COVERAGE" in os.environ  # such a build calls what a proper one does not
QUIET_SANITIZER = {"ASAN_OPTIONS": "detect_leaks=0"}


def injected(call, what, *options, **kw):
    # strace replaces the call by number -1, which the filter would kill for: it refuses it instead.
    return Server("--seccomp=errno", *options, wrap=(*STRACE, "-e", f"trace={call}", "-e", f"inject={call}:{what}"),
                  env=QUIET_SANITIZER, **kw)


def whole_reply(server):
    with server.connect() as s:
        true(re.fullmatch(rb"\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\n", read_all(s)), "a whole reply")


# accept(), by class.

@cases("ECONNABORTED", "EPROTO", "EINTR", "ENETDOWN", "EHOSTUNREACH", "ETIMEDOUT", "EOPNOTSUPP",
       "EPERM")
def accept_goes_on(error):
    with injected("accept4", f"error={error}:when=1..5") as server:
        whole_reply(server)
        now = counters(server)
        equal((now["accept_errors"], now["replied"]), (5, 1), "errors and replies")


@test
def accept_does_not_spin_on_what_it_goes_on_from():
    with injected("accept4", "error=EPROTO:when=1..200") as server:
        whole_reply(server)
        has(server.err(), "accept: Protocol error; pausing for 50 ms")
        equal(counters(server)["accept_errors"], 200, "errors")


@cases("ENOBUFS", "ENOMEM")
def accept_backs_off(error):
    with injected("accept4", f"error={error}:when=1..3") as server:
        began = time.monotonic()
        whole_reply(server)
        took = time.monotonic() - began
        true(0.3 < took < 3, f"50 + 100 + 200 ms, not {took:.3f} s")
        equal(server.err().count("accept: "), 1, "log lines")


@cases("EMFILE", "ENFILE")
def accept_sheds(error):
    with injected("accept4", f"error={error}:when=1") as server:
        s = server.connect()
        try:
            read_all(s)
            raise AssertionError("not refused")
        except ConnectionResetError:
            pass
        wait_for(lambda: "1 connections refused, pausing" in server.err(), "a log line")
        whole_reply(server)
        now = counters(server)
        equal((now["refused"]["descriptors"], now["accept_errors"]), (1, 1), "counters")


@test
def no_descriptor_left_is_survived():
    """EMFILE for real: refused at once, under 1 % CPU, a line a second, served within 1 s after"""
    with Server() as server:
        whole_reply(server)
        wait_for(lambda: counters(server)["open"] == 0, "nothing open")
        high = max(int(fd) for fd in os.listdir(f"/proc/{server.pid}/fd"))
        run("prlimit", "--pid", server.pid, f"--nofile={high + 1}:20000")
        fds, before, began = descriptors(server.pid), cpu_ns(server.pid), time.monotonic()
        refused = 0
        while time.monotonic() - began < 2.2:
            try:
                with server.connect() as s:
                    true(not s.recv(100), "no reply")
            except ConnectionResetError:
                refused += 1
        used = (cpu_ns(server.pid) - before) / 1e9 / (time.monotonic() - began)
        true(refused > 5, f"{refused} were refused")
        if not SANITIZED:
            true(used < 0.01, f"{used:.2%} CPU")
        true(server.err().count("accept: Too many open files") <= 3, "log lines in 2.2 s")
        equal(descriptors(server.pid), fds, "descriptors")
        run("prlimit", "--pid", server.pid, "--nofile=20000:20000")
        began = time.monotonic()
        served = None
        while not served:
            try:
                with server.connect() as s:
                    served = read_all(s)
            except ConnectionResetError:
                pass
        true(time.monotonic() - began < 1, "served again within 1 s")


@cases("EBADF", "EINVAL", "ENOTSOCK")
def accept_stops(error):
    with injected("accept4", f"error={error}:when=1") as server:
        server.connect()
        equal(server.process.wait(10), 3, "exit code")
        has(server.err(), "daytimed: cannot accept connections any more: ")


# Every other call while it serves.

# The first sendto() is the log's line that it listens.
@cases(("sendto", "error=ENOBUFS:when=2", "unsent"), ("sendto", "error=EPIPE:when=2", "unsent"),
       ("sendto", "retval=3:when=2", "unsent"),
       ("shutdown", "error=ENOTCONN:when=1", "reset_by_client"),
       ("recvfrom", "error=ECONNRESET:when=1", "reset_by_client"))
def a_connection_that_fails_is_only_itself(call, what, counter):
    with injected(call, what) as server:
        with server.connect() as s:
            try:
                read_all(s)
            except ConnectionResetError:
                pass
        whole_reply(server)
        wait_for(lambda: counters(server)["open"] == 0, "nothing open")
        now = counters(server)
        equal((now["accepted"], now[counter]), (2, 1), counter)


@cases(("recvfrom", "error=EINTR:when=1"), ("epoll_wait", "error=EINTR:when=1..5"),
       ("setsockopt", "error=ENOMEM:when=20+"), ("close", "error=EINTR:when=20+"))
def trifles_are_passed_over(call, what):
    with injected(call, what) as server:
        whole_reply(server)
        whole_reply(server)
        wait_for(lambda: counters(server)["closed"] == 2, "closed")


def end_together(server, count=8):
    """So many clients that have all closed before the server looks at the first."""
    server.send(signal.SIGSTOP)
    wait_for(lambda: status(server.pid)["State"][0] in "Tt", "the server stops")
    socks = [server.connect() for _ in range(count)]
    for s in socks:
        s.shutdown(socket.SHUT_WR)
    server.send(signal.SIGCONT)
    for s in socks:
        with s:
            true(read_all(s), "a reply")


@cases("delay_enter=0", "error=ENOSYS")
def connections_that_end_together_are_closed_together(what):
    """by one close_range(); one by one where the kernel or a filter around this process refuses that"""
    trace = f"/tmp/unclosed-close-{os.getpid()}"
    try:
        with Server("--seccomp=errno", wrap=("strace", "-D", "-q", "-o", trace, "-e", "trace=close,close_range",
                                             "-e", f"inject=close_range:{what}"), env=QUIET_SANITIZER) as server:
            whole_reply(server)
            wait_for(lambda: counters(server)["open"] == 0, "nothing open")
            fds = descriptors(server.pid)
            end_together(server)
            wait_for(lambda: counters(server)["closed"] == 9, "closed")
            wait_for(lambda: descriptors(server.pid) == fds, "descriptors")
            wait_for(lambda: "close_range(" in read_text(trace), "close_range() was called")
    finally:
        os.unlink(trace)


@test
def a_connection_the_epoll_has_no_memory_for_is_closed_all_the_same():
    # The first calls watch the signals and the listener; the third is a connection's.
    with injected("epoll_ctl", "error=ENOMEM:when=3", "--drain-time=200ms") as server:
        before = descriptors(server.pid)
        s = server.connect()
        read_all(s)
        wait_for(lambda: "epoll_ctl: Cannot allocate memory" in server.err(), "a log line")
        s.close()
        wait_for(lambda: descriptors(server.pid) == before, "its descriptor is closed")
        equal(counters(server)["closed"], 1, "closed")


@test
def a_listener_that_cannot_be_waited_for_again_is_tried_again():
    with Server("--seccomp=errno", wrap=(
            *STRACE, "-e", "trace=epoll_ctl,accept4", "-e", "inject=accept4:error=ENOBUFS:when=1",
            "-e", "inject=epoll_ctl:error=ENOMEM:when=4"), env=QUIET_SANITIZER) as server:
        whole_reply(server)


@test
def an_epoll_that_fails_ends_the_service():
    with injected("epoll_wait", "error=EBADF:when=2") as server:
        server.connect()
        equal(server.process.wait(10), 3, "exit code")
        has(server.err(), "daytimed: epoll_wait: Bad file descriptor\n")


@cases(("recvmsg", "error=ENOMEM:when=1"), ("sendmsg", "error=ENETUNREACH:when=1"))
def udp_goes_on(call, what):
    with injected(call, what, "--udp", "--udp-burst=10") as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect(("127.0.0.1", server.port))

            def answered():
                s.send(b"")
                try:
                    return s.recv(100)
                except TimeoutError:
                    return None
            wait_for(answered, "a reply")
        now = counters(server)["udp"]
        equal(now["unsent"], call == "sendmsg", "unsent")
        equal(now["received"], now["replied"] + now["unsent"], "every datagram is counted once")


# Every call at the start: refusing to serve beats serving unconfined.

def refuses_to_start(said, *wrap, user="none", options=(), env=None, lines=1):
    argv = [*wrap, binary("daytimed"), *options] + ([f"--user={user}"] if user else []) + ["0"]
    got = run(*argv, timeout=20, env={**os.environ, **QUIET_SANITIZER, **(env or {})})
    equal(got.returncode, 3, f"exit code; it said {got.stderr}")
    has(got.stderr, said)
    true("listening" not in got.stderr, "it never served")
    if not COVERAGE:  # which says so where the user that was become may not write it down
        equal(got.stderr.count("\n"), lines, "lines")


def strace_first(call, what):
    return (*STRACE, "-e", f"trace={call}", "-e", f"inject={call}:{what}")


@cases(("bind", "error=EACCES", "cannot bind port 0: Permission denied"),
       ("listen", "error=EADDRINUSE", "cannot listen on port 0"),
       ("epoll_create1", "error=EMFILE", "epoll_create1: Too many open files"),
       ("signalfd4", "error=ENOMEM", "signals: Cannot allocate memory"),
       ("epoll_ctl", "error=ENOMEM:when=1", "epoll_ctl: Cannot allocate memory"),
       ("epoll_ctl", "error=ENOMEM:when=2", "epoll_ctl: Cannot allocate memory"),
       ("getsockname", "error=ENOBUFS", "cannot tell the port: No buffer space available"),
       ("socket", "error=EMFILE", "cannot open a socket for port 0: Too many open files"),
       ("setsockopt", "error=ENOMEM:when=1", "cannot set up the socket for port 0: "),
       ("setsockopt", "error=ENOMEM:when=2", "cannot set up the socket for port 0: "),
       ("fcntl", "error=EMFILE", "cannot reserve a descriptor: Too many open files"),
       ("getrandom", "error=EIO", "getrandom: Input/output error"),
       ("rt_sigprocmask", "error=EINVAL", "signals: Invalid argument"))
def a_start_that_fails_says_why(call, what, said):
    refuses_to_start(said, *strace_first(call, what))


@cases(("bind", "error=EADDRINUSE:when=2", "cannot bind port "),
       ("setsockopt", "error=ENOPROTOOPT:when=5+", "cannot have UDP datagrams tell where they went"),
       ("getsockname", "error=ENOBUFS:when=2", "cannot tell the UDP port: "))
def a_start_with_udp_that_fails_says_why(call, what, said):
    refuses_to_start(said, *strace_first(call, what), options=("--udp",))


@cases(("pipe2", "error=EMFILE", "pipe: Too many open files"),
       ("pipe2", "error=EMFILE:when=2", "pipe: Too many open files"),
       ("clone", "error=EAGAIN", "cannot start worker 1: Resource temporarily unavailable"),
       ("clone", "error=EAGAIN:when=2", "cannot start worker 2: Resource temporarily unavailable"),
       ("rt_sigprocmask", "error=EINVAL:when=1", "sigprocmask: Invalid argument"))
def a_start_of_workers_that_fails_says_why(call, what, said):
    if call == "clone" and "clone(" not in run("strace", "-f", "-e", "trace=clone", "sh", "-c",
                                               "(true)").stderr:
        call = "fork"
    refuses_to_start(said, *strace_first(call, what), options=("--workers=2",))


@cases(("signalfd4", "error=ENOMEM", "signals: Cannot allocate memory"),
       ("prctl", "error=EINVAL:when=1", ""))
def a_worker_that_cannot_start_ends_all(call, what, said):
    wrap = ("strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e",
            f"inject={call}:{what}")
    if call == "prctl":
        if "PDEATHSIG" not in run("strace", "-f", "-e", "trace=prctl", "timeout", "-s", "TERM", "1",
                                  binary("daytimed"), "--user=none", "--workers=2", "0").stderr:
            raise AssertionError("no prctl(PR_SET_PDEATHSIG)")
        wrap = ("strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=prctl", "-e",
                "inject=prctl:error=EINVAL:when=1")
        # -f counts for each process by itself: the first of a worker's is this one. The parent's
        # first fails too, which only asks what the kernel knows.
        got = run(*wrap, binary("daytimed"), "--user=none", "--workers=2", "0", timeout=20,
                  env={**os.environ, **QUIET_SANITIZER})
        equal(got.returncode, 3, f"exit code; it said {got.stderr}")
        return
    refuses_to_start("worker 1 did not start", *wrap, options=("--workers=2",), lines=2)
    del said


@test
def a_worker_that_fails_ends_the_service():
    wrap = ("strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=accept4", "-e",
            "inject=accept4:error=EBADF:when=1")
    with Server("--workers=2", "--seccomp=errno", wrap=wrap, env=QUIET_SANITIZER) as server:
        server.connect()
        equal(server.process.wait(10), 3, "exit code")
        true(re.search(r"worker [12] ended with code 3; stopping\n", server.err()), server.err())


@cases(("socket", "error=EMFILE:when=2", "/tmp/x", "notification socket: Too many open files"),
       ("socket", "error=EMFILE:when=99", "/" + "x" * 200, "is no socket's path"),
       ("socket", "error=EMFILE:when=99", "@", "is no socket's path"))
def a_bad_way_to_notify_is_no_start(call, what, path, said):
    refuses_to_start(said, *strace_first(call, what), env={"NOTIFY_SOCKET": path})


@test
def without_ipv6_there_is_ipv4():
    with injected("socket", "error=EAFNOSUPPORT:when=1") as server:
        whole_reply(server)


if not SANITIZED:  # AddressSanitizer asks for the limits too, and gives up where it is refused
    @cases(("error=EPERM", "only 0 files may be open: 32 connections"),
           ("error=EPERM:when=2+", "only 128 files may be open: 96 connections"))
    def a_limit_of_files_that_cannot_be_raised_cuts_the_table(what, said):
        wrap = ("prlimit", "--nofile=128:128", *strace_first("prlimit64", what))
        if "when=2" in what:  # libc asks once; then it is asked, set, set lower, and asked again
            wrap = ("prlimit", "--nofile=128:128",
                    *strace_first("prlimit64", "error=EPERM:when=3..4"))
        with Server("--seccomp=errno", wrap=wrap, env=QUIET_SANITIZER) as server:
            has(server.err(), said)
            whole_reply(server)


@cases(("retval=1", "00 1 0"), ("retval=2", "00 2 0"), ("retval=0", "00 0 0"),
       ("retval=5", "00 0 4"), ("error=EPERM", "00 0 4"))
def the_nist_form_tells_the_state_of_the_clock(what, digits):
    with injected("clock_adjtime", what, "--format=nist") as server:
        with server.connect() as s:
            has(read_all(s).decode(), f" {digits} 050.0 UTC(NIST) * \n")


@cases("getresuid", "getresgid", "setuid")
def a_drop_of_privileges_that_cannot_be_checked_is_no_start(call):
    if os.geteuid() != 0:
        raise Skip("only root drops privileges")
    if call == "setuid":
        refuses_to_start("could become root again", *strace_first(call, "retval=0"), user=None)
    else:
        refuses_to_start("cannot read back", *strace_first(call, "error=EFAULT"), user=None)


@test
def a_stop_with_a_listener_that_is_gone_is_no_success():
    with injected("accept4", "error=EBADF:when=1") as server:
        server.send(signal.SIGTERM)
        equal(server.process.wait(10), 3, "exit code")


@test
def a_log_without_proc_is_polled():
    """where /proc is not there the log is asked before it is written to"""
    wrap = (*STRACE, "-P", "/proc/self/fd/2", "-e", "trace=openat", "-e",
            "inject=openat:error=ENOENT")
    reader, writer = os.pipe()
    argv = [*wrap, binary("daytimed"), "--seccomp=errno", "--user=none", "--log=connections", "0"]
    with subprocess.Popen(argv, stderr=writer, env={**os.environ, **QUIET_SANITIZER}) as p:
        os.close(writer)
        try:
            port = int(re.search(rb"port (\d+)", os.read(reader, 100))[1])
            for _ in range(2000):  # until the pipe is full, and on
                with socket.create_connection(("127.0.0.1", port), 5) as s:
                    true(read_all(s), "a reply")
        finally:
            p.terminate()
        equal(p.wait(10), 0, "exit code")
    os.close(reader)


@test
def a_log_that_is_interrupted_goes_on():
    """the service, as it hands a line on (its third sendto()), and the log's writer"""
    wrap = ("strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=write,sendto",
            "-e", "inject=write:error=EINTR:when=2..4", "-e", "inject=sendto:error=EINTR:when=3")
    with Server("--seccomp=errno", "--log=connections", wrap=wrap, env=QUIET_SANITIZER) as server:
        whole_reply(server)
        wait_for(lambda: server.err().count(": closed\n") == 1, "the first line")
        whole_reply(server)
        wait_for(lambda: server.err().count(": closed\n") == 2, "both lines")


@cases("setgroups", "setresgid", "setresuid")
def a_failed_drop_of_privileges_is_no_start(call):
    if os.geteuid() != 0:
        raise Skip("only root drops privileges")
    refuses_to_start("cannot ", *strace_first(call, "error=EAGAIN"), user=None)


@cases("setgroups", "setresgid", "setresuid")
def a_drop_of_privileges_is_proven(call):
    """a kernel that says yes and does nothing is not believed"""
    if os.geteuid() != 0:
        raise Skip("only root drops privileges")
    # One group more, so that not dropping it shows.
    wrap = ("setpriv", "--groups=0,4242", "--") if call == "setgroups" else ()
    refuses_to_start("refusing to serve", *wrap, *strace_first(call, "retval=0"), user=None)


@cases("seccomp", "prctl")
def a_filter_that_cannot_be_installed_is_no_start(call):
    if call == "prctl":
        refuses_to_start("cannot set no_new_privs",
                         *strace_first("prctl", f"error=EINVAL:when={prctl_at('PR_SET_NO_NEW_PRIVS')}"))
    elif not SANITIZED:  # a sanitized build installs none
        refuses_to_start("cannot install the seccomp filter; refusing to serve",
                         *strace_first("seccomp", "error=EINVAL:when=" + filter_load_at()))


def filter_load_at():
    """Which of the seccomp() calls loads the filter; those before ask what the kernel knows."""
    log = run("timeout", "-s", "TERM", "1", "strace", "-o", "/dev/stdout", "-e", "trace=seccomp",
              binary("daytimed"), "--user=none", "0").stdout.splitlines()
    calls = [line for line in log if line.startswith("seccomp(")]
    return str(1 + next(i for i, line in enumerate(calls)
                        if "SECCOMP_SET_MODE_FILTER" in line and line.endswith("= 0")))


@test
def capabilities_that_cannot_be_dropped_are_no_start():
    if os.geteuid() != 0:
        raise Skip("only root has capabilities to drop")
    refuses_to_start("cannot drop the capabilities: Operation not permitted", *strace_first("capset", "error=EPERM"))


@cases(("PR_CAPBSET_DROP", "error=EPERM", " from the bounding set; refusing to serve"),
       ("PR_CAPBSET_DROP", "retval=0", " is still in the bounding set after its drop"),
       ("PR_CAP_AMBIENT_CLEAR_ALL", "error=EINVAL", "cannot clear the ambient capabilities"))
def bounds_that_cannot_be_set_are_no_start(which, what, said):
    """for who has the capability to set them"""
    if os.geteuid() != 0:
        raise Skip("only root has capabilities to drop")
    refuses_to_start(said, *strace_first("prctl", f"{what}:when={prctl_at(which)}"))


@test
def root_that_may_not_set_bounds_serves_without():
    """a container's root, without CAP_SETPCAP: all else is dropped"""
    if os.geteuid() != 0:
        raise Skip("only root has capabilities to drop")
    with Server(wrap=("setpriv", "--bounding-set=-setpcap", "--"), user="nobody") as server:
        whole_reply(server)
        now = status(server.pid)
        equal([int(now[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")], [0] * 4, "capabilities")
        true(int(now["CapBnd"], 16), "the bounding set is there, so that this test shows something")


def prctl_at(what):
    """Which of the prctl() calls is the first to do that."""
    log = run("timeout", "-s", "TERM", "1", "strace", "-o", "/dev/stdout", "-e", "trace=prctl",
              binary("daytimed"), "--user=none", "0").stdout.splitlines()
    calls = [line for line in log if line.startswith("prctl(")]
    return 1 + next(i for i, line in enumerate(calls) if what in line)


@cases(("no-such-user", "there is no user 'no-such-user'"), ("root", "user 'root' is root"))
def a_bad_user_is_refused(user, said):
    if os.geteuid() != 0:
        raise Skip("only root becomes another user")
    refuses_to_start(said, user=user)


@test
def only_root_can_become_another_user():
    if os.geteuid() != 0:
        refuses_to_start("only root can become another user", user="daemon")
        return
    wrap = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    refuses_to_start("only root can become another user", *wrap, user="daemon")


@test
def root_of_a_namespace_with_no_other_user_must_say_so():
    """default: refuses to serve; --user=none serves"""
    wrap = ("unshare", "--user", "--map-root-user", "--net")
    if run(*wrap, "true").returncode != 0:
        raise Skip("no user namespaces here")
    refuses_to_start("--user=none stays as it is", *wrap, user=None)
    with Server(wrap=wrap) as server:
        equal(status(server.pid)["Uid"].split()[1], str(os.geteuid()), "uid outside")
        equal(server.stop(), 0, "exit code")


# What it may still do.

@cases(None, "nobody")
def root_is_given_up(user):
    if os.geteuid() != 0:
        raise Skip("only root drops privileges")
    with Server(user=user, env=QUIET_SANITIZER) as server:
        whole_reply(server)
        now = status(server.pid)
        for kind in ("Uid", "Gid"):
            true("0" not in now[kind].split(), f"{kind}: {now[kind]}")
        equal(now["Groups"].strip(), "", "groups")
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(now[kind], 16), 0, kind)
        equal(now["NoNewPrivs"], "1", "no_new_privs")
        if not SANITIZED:
            equal(now["Seccomp"], "2", "seccomp mode")
        equal(server.stop(), 0, "exit code")


if not (SANITIZED or COVERAGE):  # these make calls of their own; a sanitized build has no filter
    @test
    def the_filter_and_the_calls_agree():
        """after the start: at most 20 calls are allowed, nothing else is called, and all are needed"""
        said = run(binary("daytimed"), "--udp", "--format=nist", "--workers=2", "--describe-syscalls").stdout
        table = {who: set(names.split()) for who, _, names in (line.partition(":") for line in said.splitlines())}
        for who, names in table.items():
            true(len(names) <= 20, f"{who}: {len(names)} calls")
        allowed = table["server"]
        called = called_after_start("--udp", "--format=nist", "--drain-time=300ms",
                                    "--drain-bytes=1000")
        equal(called - allowed, set(), "called but not allowed")
        # Without a vdso, after a stop in poll(), and to a log that is no file.
        unused = {"clock_gettime", "restart_syscall", "write"}
        equal(allowed - called - unused, set(), "allowed but not called")
        called = called_after_start("--workers=2", follow=False)
        equal(called - table["supervisor"], set(), "called by the supervisor but not allowed")
        equal(table["supervisor"] - called - unused, set(), "allowed it but not called")
        equal(table["log-writer"], {"read", "write", "exit_group", "sendto", "clock_gettime", "restart_syscall"},
              "what the log's writer may call")


def called_after_start(*options, follow=True):
    """The names of what a server calls once its filter is in place, under every sort of client."""
    trace = f"/tmp/unclosed-calls-{os.getpid()}"
    try:
        with Server(*options, wrap=("strace", "-D", "-q", "-o", trace)) as server:
            exercise(server, follow)
            if follow:  # the text is made, and the clock asked, once a second: ask in a second one
                second = int(time.time())
                wait_for(lambda: int(time.time()) > second, "the next second")
                with server.connect() as s:
                    read_all(s)
            server.stop()
            wait_for(lambda: "+++ exited" in read_text(trace), "the trace")
        lines = read_text(trace).splitlines()
    finally:
        os.unlink(trace)
    start = next(i for i, line in enumerate(lines)
                 if line.startswith("seccomp(SECCOMP_SET_MODE_FILTER") and line.endswith("= 0"))
    return {m[1] for line in lines[start + 1:] if (m := re.match(r"(\w+)\(", line))}


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def exercise(server, everything):
    if everything:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            s.sendto(b"", ("127.0.0.1", server.port))
            s.recv(100)
        end_together(server)
        never = server.connect()
        read_all(never)
        with server.connect() as much:
            read_all(much)
            try:
                for _ in range(100):
                    much.sendall(b"x" * 1000)
            except ConnectionError:
                pass
        wait_for(lambda: counters(server)["reset_by_us"] == 2, "two resets")
        high = max(int(fd) for fd in os.listdir(f"/proc/{server.pid}/fd"))
        run("prlimit", "--pid", server.pid, f"--nofile={high + 1}:20000")
        wait_for(lambda: counters(server)["open"] == 0, "nothing open")
        with contextlib.suppress(ConnectionResetError):  # also where connect() has not returned yet
            with server.connect():
                wait_for(lambda: counters(server)["refused"]["descriptors"] > 0, "one shed")
        wait_for(lambda: counters(server)["refused"]["descriptors"] > 0, "one shed")
        run("prlimit", "--pid", server.pid, "--nofile=20000:20000")
    with server.connect() as s:
        try:
            read_all(s)
        except ConnectionResetError:
            pass
    counters(server)
    server.send(signal.SIGUSR1)


# A log that is a file has a writer of its own, which may hang without the service.

def with_writer(what, *options, trace="/dev/null"):
    """A server whose write() calls, all of which its log's writer makes, meet with `what`; `trace` has them."""
    return Server("--seccomp=errno", "--log=connections", *options, env=QUIET_SANITIZER, wrap=(
        "strace", "-D", "-f", "-q", "-o", trace, "-e", "trace=write", "-e", f"inject=write:{what}"))


def writer_of(server):
    return int(wait_for(lambda: run("pgrep", "-x", "-P", server.pid, "daytimed-log").stdout, "a writer"))


# What the writer's socket pair (208 KiB) and a worker's buffer (16 KiB) take, at 27 bytes a line and more, is
# 9,000 at most; how many of these depends on how many are sent together.
LINES_TOO_MANY = 15000


def hang(writer):
    """Nothing that the log's writer calls comes back: to the service, a file system that hangs."""
    os.kill(writer, signal.SIGSTOP)
    wait_for(lambda: process_state(writer) == "T", "the writer hangs")


def process_state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rpartition(") ")[2][0]


@test
def a_log_on_a_file_system_that_hangs_does_not_block_service():
    """meanwhile all are served; then the lines that were kept come, and the count of the others"""
    with Server("--log=connections", "--max-per-source=1000") as server:
        writer = writer_of(server)
        hang(writer)
        equal(load(server.port, LINES_TOO_MANY), (LINES_TOO_MANY, 0), "replies, errors")
        equal(process_state(writer), "T", "the log, after all replies")
        equal(server.err().count(": closed\n"), 0, "lines written so far")
        os.kill(writer, signal.SIGCONT)
        wait_for(lambda: server.err().count(": closed\n") > 100, "the lines that waited", 20)
        equal(server.stop(), 0, "exit code")
        lost = sum(int(n) for n in re.findall(r"(\d+) log lines lost\n", server.err()))
        true(lost > 100, f"{lost} lines were lost")
        equal(server.err().count(": closed\n") + lost, LINES_TOO_MANY, "lines written and lost")
        equal(last_counters(server)["log_lines_lost"], lost, "lost, in the counters")


@test
def the_lines_that_workers_lose_are_counted_while_they_serve():
    with Server("--log=connections", "--workers=2", "--max-per-source=1000") as server:
        writer = writer_of(server)
        hang(writer)
        equal(load(server.port, LINES_TOO_MANY), (LINES_TOO_MANY, 0), "replies, errors")
        os.kill(writer, signal.SIGCONT)
        wait_for(lambda: server.err().count(": closed\n") > 100, "the lines that waited", 20)
        true(counters(server)["log_lines_lost"] > 100, "lost, before the end")


@test
def a_log_that_hangs_does_not_hold_up_the_end():
    with Server("--log=connections") as server:
        writer = writer_of(server)
        hang(writer)
        try:
            whole_reply(server)
            equal(server.stop(), 0, "exit code")
            equal(process_state(writer), "T", "the log, after the end")
        finally:
            os.kill(writer, signal.SIGKILL)


@test
def a_log_file_is_shared_with_others():
    """what a script writes to the file that is its output and the log's, in turn, all stays"""
    with tempfile.TemporaryFile() as log:
        def text():
            return os.pread(log.fileno(), 1 << 16, 0).decode()
        with subprocess.Popen([binary("daytimed"), "--user=none", "0"], stderr=log) as p:
            try:
                wait_for(lambda: text().startswith("listening on port "), "the first line")
                os.write(log.fileno(), b"a line of the script's\n")
            finally:
                p.terminate()
            equal(p.wait(10), 0, "exit code")
        true(re.fullmatch(r"listening on port \d+...\na line of the script's\n{.*}\n", text()), text())


@test
def a_full_file_system_loses_lines_and_says_so():
    # The second write fails with a line, the third as it tells that, the fourth with the next line.
    with tempfile.NamedTemporaryFile() as trace, with_writer("error=ENOSPC:when=2..4", trace=trace.name) as server:
        for writes in (2, 4, 6, 7, 8):  # each line by itself
            whole_reply(server)
            wait_for(lambda want=writes: read_text(trace.name).count(" write(") >= want, f"{writes} writes")
        equal(server.stop(), 0, "exit code")
        equal(server.err().count(": closed\n"), 3, "lines written")
        has(server.err(), "\n2 log lines lost\n", "what is told")
        equal(last_counters(server)["log_lines_lost"], 2, "lost, in the counters")


@test
def a_line_about_a_connection_is_not_kept_back():
    """on a server that has nothing else to do it comes within a second; about 60 at once, in few pieces"""
    with tempfile.NamedTemporaryFile() as trace, Server("--log=connections", wrap=(
            "strace", "-D", "-q", "-o", trace.name, "-e", "trace=sendto"), env=QUIET_SANITIZER) as server:
        whole_reply(server)
        wait_for(lambda: server.err().count(": closed\n") == 1, "a line", seconds=1)
        end_together(server, 60)
        wait_for(lambda: server.err().count(": closed\n") == 61, "60 lines")
        sends = len(re.findall(r'^sendto\(\d+, "127\.0\.0\.1 port', read_text(trace.name), re.M))
        true(1 < sends <= 20, f"61 lines in {sends} pieces")


@cases((), ("--workers=2",))
def a_log_writer_that_dies_takes_nobody_with_it(*options):
    with Server("--log=connections", *options) as server:
        writer = writer_of(server)
        os.kill(writer, signal.SIGKILL)
        for _ in range(20):
            whole_reply(server)
        server.send(signal.SIGUSR2)
        whole_reply(server)
        equal(server.stop(), 0, "exit code")


@cases((), ("--workers=2",))
def the_log_writer_has_little_and_ends_last(*options):
    with Server(*options) as server:
        writer = writer_of(server)
        if not COVERAGE:
            equal(descriptors(writer), 2, "descriptors: it holds no port")
        if not SANITIZED:
            equal(status(writer)["Seccomp"], "2", "seccomp mode")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(writer, number)
        whole_reply(server)
        equal(server.stop(), 0, "exit code")
        equal(last_counters(server)["replied"], 1, "the last line was written")
        wait_for(lambda: not os.path.exists(f"/proc/{writer}"), "the writer ends")


@cases(("socketpair", "socketpair for the log's writer: "), ("fork", "cannot start the log's writer: "))
def a_log_writer_that_cannot_start_is_no_start(call, said):
    call = "clone,fork,vfork,clone3" if call == "fork" else call
    with tempfile.TemporaryFile() as log:
        got = subprocess.run([*strace_first(call, "error=EAGAIN"), binary("daytimed"), "--user=none", "0"],
                             stderr=log, timeout=20, check=False, env={**os.environ, **QUIET_SANITIZER})
        equal(got.returncode, 3, "exit code")
        log.seek(0)
        has(log.read().decode(), said)


@test
def a_log_that_nobody_reads_any_more_ends_nothing():
    """its reader has gone: a supervisor of workers does not die of SIGPIPE"""
    reader, writer = os.pipe()
    argv = [binary("daytimed"), "--user=none", "--workers=2", "0"]
    with subprocess.Popen(argv, stderr=writer) as server:
        os.close(writer)
        try:
            said = os.read(reader, 1000)
            os.close(reader)
            has(said.decode(), "listening on port ")
            server.send_signal(signal.SIGUSR2)
            port = int(re.search(rb"port (\d+)", said)[1])
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                true(read_all(s), "a reply")
        finally:
            server.terminate()
        equal(server.wait(10), 0, "exit code")


if not (SANITIZED or COVERAGE):
    @test
    def a_call_that_is_not_allowed_kills():
        """the filter bites: getpid() in the place of epoll_wait() ends the process"""
        with Server(wrap=strace_first("epoll_wait", "retval=-1:syscall=getpid:when=2")) as server:
            server.connect()
            equal(server.process.wait(10), -signal.SIGSYS, "ended by SIGSYS")


@test
def the_last_counters_account_for_every_connection():
    with Server("--drain-time=300ms") as server:
        for n in range(20):
            with server.connect() as s:
                if n % 2:
                    read_all(s)
        wait_for(lambda: counters(server)["open"] == 0, "nothing open")
        equal(server.stop(), 0, "exit code")
        last = last_counters(server)
        equal(last["accepted"], 20, "accepted")
        equal(last["accepted"], last["replied"] + last["unsent"] + sum(last["refused"].values()),
              "accepted = replied + unsent + refused")
        equal(last["replied"], last["closed"] + last["timed_out"] + last["too_much"] +
              last["reset_by_client"] + last["cut_by_stop"], "replied = ended, each in one way")


main()
