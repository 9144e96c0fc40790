# SPDX-License-Identifier: MIT
"""What unclosed watch says of processes that are not there, or no longer, and of what the kernel refuses."""
import ctypes
import json
import os
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import binary, cases, equal, has, json_lines, main, run, test, true, wait_for  # noqa: E402
from watching import HERE, Holder, Watch  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
NOTE = "unclosed watch: no process is called '%s' now; one that comes will be watched\n"


def a_free_pid():
    with open("/proc/sys/kernel/pid_max", encoding="utf-8") as f:
        return next(n for n in range(int(f.read()) - 1, 1, -1) if not os.path.exists(f"/proc/{n}"))


@cases("alone", "beside one that is there")
def a_process_that_is_not_there_is_misuse(how):
    pid = a_free_pid()
    r = run(binary("unclosed"), "watch", *(HERE if how != "alone" else ()), "--pid", pid)
    equal((r.returncode, r.stdout, r.stderr), (2, "", f"unclosed watch: there is no process {pid}\n"), "answer")


@test
def a_process_that_ends_while_it_is_looked_for_is_misuse():
    """strace says so in the kernel's place, at the second of two calls, between which it was there."""
    r = run("env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-D", "-q", "-o", "/dev/null", "-e", "trace=pidfd_open",
            "-e", "inject=pidfd_open:error=ESRCH:when=2", binary("unclosed"), "watch", *HERE)
    equal((r.returncode, r.stdout, r.stderr), (2, "", f"unclosed watch: there is no process {os.getpid()}\n"), "answer")


@test
def a_thread_is_no_process():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        r = run(binary("unclosed"), "watch", "--pid", thread.native_id)
        equal((r.returncode, r.stderr),
              (2, f"unclosed watch: {thread.native_id} is a thread; --pid wants its process\n"), "answer")
    finally:
        done.set()
        thread.join()


@cases("nosuch", "no[s]uch*")
def a_name_that_nobody_has_is_said(name):
    r = run(binary("unclosed"), "watch", "--duration", "10ms", "--comm", name)
    equal((r.returncode, r.stderr), (0, NOTE % name), "answer")


@test
def a_name_that_somebody_has_is_not():
    with Holder("is-there"):
        r = run(binary("unclosed"), "watch", "--duration", "10ms", "--comm", "is-th?re")
        equal((r.returncode, r.stderr), (0, ""), "answer")


@test
def who_comes_later_is_watched():
    with Watch("--after", "50ms", "--no-stacks", "--comm", "comes-later") as w:
        w.ready()
        with Holder("comes-later") as holder:
            w.line("half-closed", holder.leak()[0])
        equal(w.stop(), (0, NOTE % "comes-later"), "exit")


@cases("--plain", "--json")
def it_ends_with_the_last_that_it_watches(how):
    """What they held is over by then, and said."""
    with Holder("the-first") as one, Holder("the-second") as two, \
            Watch("--after", "50ms", "--no-stacks", how, "--pid", str(one.pid), "--pid", str(two.pid)) as w:
        w.ready()
        ends = [one.leak()[0], two.leak()[0]]
        for end in ends:
            w.line("half-closed", end)
        two.kill()
        w.line("over", ends[1])
        equal(w.process.poll(), None, "it goes on while one is left")
        one.kill()
        wait_for(lambda: (w.text(), w.process.poll())[1] is not None, "its end", 20)
        equal(w.stop(), (0, ""), "exit")
        w.line("over", ends[0])
        if how == "--json":
            equal([x["event"] for x in json_lines(w.text()) if x["event"] != "lag"][-2:],
                  ["processes-ended", "summary"], "last events")
            equal(json_lines(w.text())[-1]["open"], 0, "open at the end")
        else:
            has(w.text(), "\nall the processes have ended\n")
            has(w.text(), "\n2 reported, 0 still open\n")


@test
def it_does_not_wait_for_what_others_hold_on_to():
    """The process has ended; what it shared with another does not end with it."""
    with Holder("the-one") as one:
        with Watch("--after", "50ms", "--no-stacks", "--pid", str(one.pid)) as w:
            end, fd = one.leak()
            w.line("half-closed", end)
            copy = os.pidfd_open(one.pid)
            kept = pidfd_getfd(copy, fd)
            one.kill()
            wait_for(lambda: (w.text(), w.process.poll())[1] is not None, "its end", 20)
            has(w.text(), "\nthe process has ended\n")
            has(w.text(), "\n1 reported, 1 still open")
            os.close(kept)
            os.close(copy)


def pidfd_getfd(pidfd, fd):
    got = libc.syscall(438, pidfd, fd, 0)
    true(got >= 0, "pidfd_getfd")
    return got


@cases(("", False), ("1", True))
def what_is_refused_is_told_to_who_asks(value, told):
    """UNCLOSED_DEBUG: what libbpf says of programs that the kernel refuses. Else the one line."""
    env = {**os.environ, **({"UNCLOSED_DEBUG": value} if told else {})}
    r = run("setpriv", "--bounding-set", "-perfmon,-sys_admin", binary("unclosed"), "watch", "--duration", "10ms",
            env=env)
    equal(r.returncode, 3, "exit code")
    equal(r.stderr.splitlines()[-1], "unclosed watch: loading the watch programs: not permitted: CAP_PERFMON is missing;"
          " run as root, or with CAP_BPF and CAP_PERFMON", "the last line")
    equal("libbpf: " in r.stderr, told, f"libbpf's words in {r.stderr!r}")


def refuse_bpf():
    """A seccomp filter under which bpf(2) is not permitted."""
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *c) for c in code))
    fprog = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(program)))
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, fprog, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        os._exit(99)


@cases((["setpriv", "--bounding-set=-all"], "CAP_BPF and CAP_PERFMON are missing"),
       (["setpriv", "--bounding-set=-all,+bpf"], "CAP_PERFMON is missing"),
       (["unshare", "--user", "--map-root-user"], "this is a user namespace"),
       ([], "a seccomp filter is in force"))
def what_is_missing_is_named(before, says):
    r = run(*before, binary("unclosed"), "watch", "--duration", "1ms", preexec_fn=None if before else refuse_bpf)
    equal((r.returncode, r.stdout), (3, ""), "exit")
    equal(len(r.stderr.splitlines()), 1, f"lines in {r.stderr}")
    has(r.stderr, "loading the watch programs: not permitted: " + says)


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


@cases((("--pid", HERE[1], "--", "true"), "--pid and a command"), (("--",), "--: no command follows"),
       (("true",), "true: to run it, say -- true; to watch what runs, --comm or --pid"),
       (("--comm", "a-name-of-16-byte"), "--comm a-name-of-16-byte: a process's name has at most 15 bytes: say "
        "a-name-of-16-by"))
def what_cannot_be_meant_is_misuse(words, why):
    r = run(binary("unclosed"), "watch", *words)
    equal((r.returncode, r.stdout), (2, ""), "answer")
    has(r.stderr, why)


@test
def one_of_the_named_that_ended_is_not_waited_for():
    """The watch goes on, and sleeps."""
    with Holder("ends") as holder, Watch("--after", "1s", "--no-stacks", "--pid", str(holder.pid),
                                         *HERE) as w:
        w.ready()
        holder.kill()
        wait_for(lambda: all(state(w.process.pid) == "S" for _ in range(200)), "its sleep", 20)


@test
def who_is_named_is_a_suspect_from_the_start():
    with Holder("by-its-name") as holder, Watch("--after", "50ms", "--json", "--comm", "by-its-name") as w:
        w.ready()
        line = json.loads(w.line("half-closed", f'"local":"{holder.leak()[0]}"', seconds=30))
        true(line["made"]["stack"], f"where it was made: {line['made']}")


main()
