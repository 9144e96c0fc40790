# SPDX-License-Identifier: MIT
"""How unclosed watch sees reads where the best way is not to be had: the next one is taken, is named, and works."""
import contextlib
import functools
import json
import os
import re
import signal
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from bpfmaps import BPFTOOL, bpf_ids  # noqa: E402
from tap import Skip, binary, cases, equal, has, json_lines, main, run, test, true  # noqa: E402
from watching import HERE, Watch, name  # noqa: E402

KERNEL_TYPES = "/sys/kernel/btf/vmlinux"
TRACEPOINT, FUNCTION = b"btf_trace_sock_recv_length", b"tcp_recvmsg"
PROGRAMS = {"sock_recv_length": "on_recv_length", "fexit": "on_recvmsg", "syscalls": "on_read_exit"}
# A sanitizer that looks for leaks wants to trace the process, too.
STRACE = ("env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-D", "-q", "-e", "trace=bpf")


@functools.cache
def works(tier):
    """Whether this kernel has it."""
    return run(binary("unclosed"), "watch", "--reads", tier, "--duration", "1ms", *HERE).returncode == 0


def next_tier():
    return "fexit" if works("fexit") else "syscalls"


@contextlib.contextmanager
def a_kernel_without(*names):
    """What to run a program behind, so that it finds the kernel's types without these names: as an older
    kernel's are."""
    with open(KERNEL_TYPES, "rb") as f:
        types = f.read()
    for one in names:
        true(b"\0" + one + b"\0" in types, f"{one} in {KERNEL_TYPES}")
        types = types.replace(b"\0" + one + b"\0", b"\0" + one[:-1] + b"?\0")
    with tempfile.NamedTemporaryFile() as f:
        f.write(types)
        f.flush()
        yield ("unshare", "--mount", "sh", "-c", f'mount --bind {f.name} {KERNEL_TYPES} && exec "$@"', "sh")


def which_call(what):
    """The numbers, counted from 1, of the call of bpf(2) that loads, or attaches, the program for the first
    tier, and of the one after it: a program that is refused is loaded once more for the reasons."""
    with tempfile.NamedTemporaryFile("r") as trace:
        r = run(*STRACE, "-o", trace.name, binary("unclosed"), "watch", "--reads", "sock_recv_length",
                "--duration", "1ms", *HERE)
        equal((r.returncode, r.stderr), (0, ""), "exit")
        calls = trace.read().splitlines()
    loads = next(n for n, c in enumerate(calls) if f'prog_name="{PROGRAMS["sock_recv_length"]}"' in c)
    if what == "load":
        return loads + 1, loads + 2
    fd = re.search(r"= (\d+)$", calls[loads])[1]
    attaches = rf"bpf\(BPF_(LINK_CREATE|RAW_TRACEPOINT_OPEN), .*prog_fd={fd}\b"
    number = next(n for n, c in enumerate(calls) if re.match(attaches, c)) + 1
    return number, number


@contextlib.contextmanager
def a_kernel_that_refuses_to(what):
    first, last = which_call(what)
    # After EINVAL libbpf tries an older way to attach.
    yield (*STRACE, "-o", "/dev/null", "-e", f"inject=bpf:error=EOPNOTSUPP:when={first}..{last}")


def loaded(pid):
    """The names of the process's programs."""
    shown = (run(BPFTOOL, "-j", "prog", "show", "id", number) for kind, number in bpf_ids(pid) if kind == "prog")
    return {json.loads(r.stdout)["name"] for r in shown}


def tells_through(tier, before):
    """Runs a watch, which has to take that tier, and to tell of a read."""
    with socket.create_server(("127.0.0.1", 0)) as ls, \
            Watch("--after", "100ms", "--json", *HERE, before=before) as w:
        w.ready()
        equal(json.loads(w.line("watching"))["reads"], tier, "the tier in the first line")
        equal(loaded(w.process.pid) & set(PROGRAMS.values()), {PROGRAMS[tier]}, "programs for reads")
        client = socket.create_connection(ls.getsockname())
        ls.accept()[0].close()
        equal(client.recv(1), b"", "read")
        line = json.loads(w.line("half-closed", f'"local":"{name(client)}"', seconds=30))
        equal((line["cause"], line["told"]["pid"]), ("told", os.getpid()), "who was told")
        true("_PyEval_EvalFrameDefault" in [f["function"] for f in line["told"]["stack"]], "where")
        client.close()
        equal(w.stop(), (0, ""), "exit")


@test
def the_best_is_taken_where_it_is_there():
    tells_through("sock_recv_length" if works("sock_recv_length") else next_tier(), ())


@test
def a_kernel_without_mptcp_is_watched_all_the_same():
    with a_kernel_without(b"mptcp_sock", b"mptcp_subflow_context") as before:
        tells_through("sock_recv_length" if works("sock_recv_length") else next_tier(), before)


@test
def without_the_tracepoint_the_next_is_taken():
    with a_kernel_without(TRACEPOINT) as before:
        tells_through(next_tier(), before)


@test
def without_the_tracepoint_and_the_function_the_last_is_taken():
    with a_kernel_without(TRACEPOINT, FUNCTION) as before:
        tells_through("syscalls", before)


@cases("load", "attach")
def where_the_kernel_refuses_the_first_the_next_is_taken(what):
    with a_kernel_that_refuses_to(what) as before:
        tells_through(next_tier(), before)


@cases("sock_recv_length", "fexit")
def one_that_was_asked_for_is_not_replaced(tier):
    with a_kernel_without(TRACEPOINT, FUNCTION) as before:
        r = run(*before, binary("unclosed"), "watch", "--reads", tier, "--duration", "1ms", *HERE)
    equal((r.returncode, r.stdout, len(r.stderr.splitlines())), (3, "", 1), f"exit, after: {r.stderr}")
    has(r.stderr, f"unclosed watch: this kernel does not let reads be seen through {tier}: ")


@cases((), ("--no-stacks",))
def lines_say_how_sockets_are_seen_to_be_accepted(*options):
    """Without stacks they are not."""
    r = run(binary("unclosed"), "watch", "--json", "--new", "--duration", "10ms", *options, *HERE)
    equal((r.returncode, r.stderr), (0, ""), "exit")
    said = json_lines(r.stdout)[0]["accepts"]
    true(said is None if options else said in ("fexit", "syscalls"), f"accepts: {said}")


@test
def people_read_which_it_is():
    with a_kernel_without(TRACEPOINT, FUNCTION) as before:
        r = run(*before, binary("unclosed"), "watch", "--duration", "1ms", *HERE)
    equal((r.returncode, r.stderr), (0, ""), "exit")
    has(r.stdout.splitlines()[0], "(reads: syscalls)")


# Makes the call of this number as a 32-bit program does, with a first argument in both's registers.
CALL_AS_32_BIT = """
import ctypes, mmap, sys
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# push rbx; mov eax, esi; mov ebx, edi; xor edx, edx; int 0x80; pop rbx; ret
code.write(bytes.fromhex("53 89f0 89fb 31d2 cd80 5b c3"))
call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
print(call(int(sys.argv[1]), int(sys.argv[2])), flush=True)
"""


@test
def a_call_of_a_32_bit_program_is_no_read_of_its_number():
    """i386's getgid() has the number of recvmsg(), and returns 0. The connection was read to its end before."""
    if os.uname().machine != "x86_64":
        raise Skip("calls of 32-bit programs are made on x86 alone")
    with socket.create_server(("127.0.0.1", 0)) as ls:
        client = socket.create_connection(ls.getsockname())
        ls.accept()[0].close()
        equal(client.recv(1), b"", "read")
        with Watch("--after", "50ms", "--json", "--no-stacks", "--reads", "syscalls", *HERE) as w:
            line = json.loads(w.line("half-closed", f'"local":"{name(client)}"'))
            equal(line["cause"], "drained", "cause")
            r = run(sys.executable, "-ISc", CALL_AS_32_BIT, client.fileno(), 47, pass_fds=[client.fileno()])
            if r.returncode == -signal.SIGSEGV:
                raise Skip("the kernel runs no calls of 32-bit programs")
            equal((r.returncode, r.stdout), (0, "0\n"), "the call")
            equal(client.recv(1), b"", "read")
            told = json.loads(w.line('"event":"told"', f'"local":"{name(client)}"'))["told"]
            equal(told["pid"], os.getpid(), "who was told")
        client.close()


main()
