# SPDX-License-Identifier: MIT
"""The stacks that unclosed watch shows: of the read that returned 0, of accept and of connect."""
import ctypes
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from bpfmaps import Map  # noqa: E402
from helper import Helper  # noqa: E402
from tap import (BUILD, SANITIZED, SOURCE, Skip, binary, cases, equal, has, main, run, test, true,  # noqa: E402
                 wait_for)
from watching import Holder, Watch, functions, in_order, name  # noqa: E402

IN_OPEN = 0x20
REPORTED = 4  # of an end's flags in the kernel's table
SAID_WITHIN = 0.001  # seconds between what the program and the watch say of one read


def mkstack_source_line():
    path = os.path.join(SOURCE, "tests", "helpers", "mkstack", "mkstack.c")
    with open(path, encoding="utf-8") as f:
        return next(n for n, line in enumerate(f, 1) if "LINE: the read" in line)


class Program(Helper):
    """A program that prints a line when it is ready."""

    def __init__(self, *argv):
        super().__init__(*argv)
        self.expect("ready")


def comm_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
        return f.read().strip()


def watched(program, *ways, how=()):
    """Runs mkstack under a watch; the watch's line and mkstack's own words, by way."""
    told = {}
    with Program(program, *how, *ways) as p, \
            Watch("--after", "100ms", "--json", "--pid", str(p.pid)) as w:
        w.ready()
        p.tell()
        for _ in ways:
            way, address, at = p.says().split()
            line = json.loads(w.line("half-closed", f'"local":"{address}"'))
            told[way] = (line, int(at) / 1e9)
    return told


@test
def functions_have_the_names_of_their_source():
    """As C++ and Rust write them, without parameters, and without what a compiler adds to a clone's."""
    line, _ = watched(os.path.join(BUILD, "tests", "mkstack"), "mangled")["mangled"]
    in_order(line["told"]["stack"], "read_to_the_end", "net::Handler<int>::read_all",
             "<std::net::tcp::TcpListener>::accept", "main")


@test
def a_place_whose_stack_is_not_kept_any_more_is_sent_again():
    """A program that closes in time comes by, then hundreds of others, then it leaks."""
    with Program(os.path.join(BUILD, "tests", "mkstack"), "in-time", "many", "direct") as p, \
            Watch("--after", "100ms", "--json", "--pid", str(p.pid)) as w:
        w.ready()
        p.tell()
        true(p.says().startswith("in-time"), "the first")
        p.expect("many")
        address = p.says().split()[1]
        told = json.loads(w.line("half-closed", f'"local":"{address}"', seconds=30))["told"]
        equal(told["stack_note"], "", "note")
        in_order(told["stack"], "read_to_the_end", "direct", "run", "main")
        w.stop()
        equal(json.loads(w.text().splitlines()[-1])["lost"]["stacks_not_kept"], 0, "not kept")


@cases("", "+checkpoint_restore")
def a_program_in_a_folder_closed_to_the_watch(more):
    """The folder is another user's; the kernel shows the file itself to those who may see all that is mapped."""
    with tempfile.TemporaryDirectory() as folder:
        program = shutil.copy(os.path.join(BUILD, "tests", "mkstack"), folder)
        with Program(program, "direct") as p:
            os.chown(folder, 65534, 65534)
            with Watch("--after", "100ms", "--json", "--pid", str(p.pid),
                       before=["setpriv", f"--bounding-set=-all,+bpf,+perfmon,+sys_ptrace{more and ',' + more}"]) as w:
                w.ready()
                p.tell()
                told = json.loads(w.line("half-closed", f'"local":"{p.says().split()[1]}"'))["told"]
            os.chown(folder, 0, 0)
        if more:
            in_order(told["stack"], "read_to_the_end", "direct", "main")
        else:
            true("main" not in functions(told["stack"]), f"no name is known in {told['stack']}")
            equal(told["stack_note"], "its files may not be read: CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN is missing",
                  "note")


@test
def a_stack_of_another_user_s_program():
    """With no rights but those that the manual asks for."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = shutil.copy(binary("unclosed"), folder)
        rights = "-all,+bpf,+perfmon,+sys_ptrace"
        with Program(os.path.join(BUILD, "tests", "mkstack"), "direct") as p:
            r = subprocess.Popen(["setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={rights}",
                                  f"--ambient-caps={rights}", program, "watch", "--after", "100ms", "--json",
                                  "--duration", "20s", "--pid", str(p.pid)], stdout=subprocess.PIPE, text=True)
            with r:
                r.stdout.readline()
                p.tell()
                told = json.loads(r.stdout.readline())["told"]
                r.send_signal(signal.SIGINT)
                r.stdout.read()
    true(told["stack"] and not told["stack_note"].startswith("the process"), f"a stack: {told}")


@test
def a_process_whose_first_thread_has_ended_has_stacks():
    """/proc shows nothing of it but through its other threads."""
    mkstack = os.path.join(BUILD, "tests", "mkstack")
    line, _ = watched(mkstack, "accepted-direct", how=["leaderless"])["accepted-direct"]
    for stack in line["told"]["stack"], line["made"]["stack"]:
        in_order(stack, "run", "run_all")
        true(is_whole(stack), f"end of {functions(stack)}")
    equal(functions(line["made"]["stack"])[1], "take_connection", "where it was made")


@cases("before", "after")
def a_program_s_stack_is_not_named_after_the_next_one(when):
    """One that executes another, which inherits what it was told of."""
    with Holder("before-exec") as holder, \
            Watch("--after", "1500ms" if when == "before" else "50ms", "--json", "--port", str(holder.port)) as w:
        w.ready()
        address, _ = holder.leak()
        if when == "after":
            w.line("half-closed", f'"local":"{address}"')
        holder.ask("exec", "sleep", "100")
        wait_for(lambda: comm_of(holder.pid) == "sleep", "the other program")
        told = json.loads(w.line("half-closed", f'"local":"{address}"'))["told"]
        if told["stack_note"]:  # else it was read before
            equal((when, told["stack"], told["stack_note"]),
                  ("before", [], "the process runs another program since then"), "stack")
        else:
            in_order(told["stack"], "_PyEval_EvalFrameDefault", "Py_BytesMain")


def is_whole(stack):
    """It ends where the program begins, or the thread: in libc, which has names for that only with libc6-dbg."""
    last = stack[-1]
    return last["function"] in ("_start", "__clone3", "clone3") or (not last["function"] and "libc.so" in last["object"])


@cases("wide", "filled", "thread-direct", "thread-wide", "thread-filled")
def a_buffer_on_the_stack_is_no_end_of_it(way):
    """Larger than what is copied from its lower end, and never used, or full."""
    line, _ = watched(os.path.join(BUILD, "tests", "mkstack"), way)[way]
    stack = line["told"]["stack"]
    in_order(stack, "read_to_the_end", way.rpartition("-")[2], "run")
    equal((is_whole(stack), line["told"]["stack_note"]), (True, ""), f"end of {functions(stack)}")


@test
def a_stack_that_ends_before_its_first_call_says_so():
    """It has more calls than are kept, or two buffers, so that what lies between them is not copied."""
    told = watched(os.path.join(BUILD, "tests", "mkstack"), "deep", "twice", "direct")
    at = {way: line["told"] for way, (line, _) in told.items()}
    equal({way: x["stack_note"] for way, x in at.items()},
          {"deep": "more calls above", "twice": "more calls above: 24 KiB of the stack were copied", "direct": ""},
          "notes")
    equal(functions(at["deep"]["stack"])[-40:], ["deep"] * 40, "deep")
    equal(functions(at["twice"]["stack"])[-2:], ["read_to_the_end", "filled"], "twice")


@test
def the_read_is_named_with_file_and_line():
    told = watched(os.path.join(BUILD, "tests", "mkstack"), "direct", "detour", "accepted-direct")
    for way, (line, _) in told.items():
        stack = line["told"]["stack"]
        in_order(stack, "read_to_the_end", "detour" if way == "detour" else "direct", "run", "main")
        true(("detour" in functions(stack)) == (way == "detour"), f"{way}: {functions(stack)}")
        read = next(f for f in stack if f["function"] == "read_to_the_end")
        true(read["file"].endswith("mkstack.c"), f"file {read['file']}")
        equal(read["line"], mkstack_source_line(), "line")
        equal(read["object"], "mkstack", "object")


@test
def the_moment_of_the_read_is_told():
    for way, (line, at) in watched(os.path.join(BUILD, "tests", "mkstack"), "direct", "accepted-direct").items():
        said = line["time"] - line["told"]["ago_ms"] / 1000
        true(abs(said - at) < SAID_WITHIN, f"{way}: read {said - at} s from when it was")


@test
def the_socket_s_making_is_named():
    told = watched(os.path.join(BUILD, "tests", "mkstack"), "direct", "accepted-direct")
    line = told["direct"][0]
    equal(line["made"]["by"], "connect", "made by")
    in_order(line["made"]["stack"], "make_connection", "run", "main")
    line = told["accepted-direct"][0]
    equal(line["made"]["by"], "accept", "made by")
    in_order(line["made"]["stack"], "take_connection", "run", "main")


@test
def with_made_the_first_leak_shows_where_it_was_made():
    with Holder("leaks-once") as holder, \
            Watch("--after", "50ms", "--json", "--made", "--port", str(holder.port)) as w:
        w.ready()
        line = json.loads(w.line("half-closed", f'"local":"{holder.leak()[0]}"', seconds=30))
        equal(line["made"]["by"], "connect", "made by")
        true("_PyEval_EvalFrameDefault" in functions(line["made"]["stack"]), f"where: {line['made']}")
        mk = os.path.join(BUILD, "tests", "mkstack")
    with Watch("--after", "50ms", "--json", "--made") as w:
        w.ready()
        with Program(mk, "accepted-direct") as p:
            p.tell()
            _, address, _ = p.says().split()
            line = json.loads(w.line("half-closed", f'"local":"{address}"', seconds=30))
    in_order(line["made"]["stack"], "take_connection", "run", "main")


@test
def made_needs_stacks():
    r = run(binary("unclosed"), "watch", "--made", "--no-stacks")
    equal(r.returncode, 2, "exit")
    has(r.stderr, "--made and --no-stacks")


@test
def a_second_leak_of_a_process_shows_where_it_was_made():
    """Nobody was named, so it is recorded only from the first line about a process on."""
    with Holder("leaks-twice") as holder, Watch("--after", "50ms", "--plain", "--port", str(holder.port)) as w:
        w.ready()
        w.line("half-closed", holder.leak()[0], seconds=30)
        for _ in range(20):  # shortly after that line
            w.line("half-closed", holder.leak()[0], seconds=30)
            if "\n  connected " in w.text():
                break
        w.stop()
        parts = w.text().split(" half-closed 127")[1:]
        true("\n  told at " in parts[0] and "\n  connected " not in parts[0], f"the first: {parts[0]}")
        true("\n  connected " in parts[-1] and "_PyEval_EvalFrameDefault" in parts[-1].split("\n  connected ")[1],
             f"where it was made, in:\n{parts[-1]}")


class Opened:
    """When a file is opened next."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.at = None
        true(self.fd >= 0 and libc.inotify_add_watch(self.fd, path.encode(), IN_OPEN) >= 0, "inotify")

    def look(self):
        try:
            if os.read(self.fd, 4096) and not self.at:
                self.at = time.time()
        except BlockingIOError:
            pass
        return self.at


def opened_before_it_is_needed(folder):
    """When the programs' files were opened: that of one which has closed its connections in time, and of one
    which has not."""
    path = {way: shutil.copy(os.path.join(BUILD, "tests", "mkstack"), os.path.join(folder, way))
            for way in ("in-time", "direct")}
    with Program(path["in-time"], *["in-time"] * 20) as quick, Program(path["direct"], "direct") as slow, \
            Watch("--after", "4s", "--json", "--pid", str(quick.pid), "--pid", str(slow.pid)) as w:
        opened = {way: Opened(p) for way, p in path.items()}
        w.ready()
        quick.tell()
        for _ in range(20):
            quick.says()
        slow.tell()
        told = int(slow.says().split()[2]) / 1e9
        at = wait_for(opened["direct"].look, "its program is opened", 20)
        true(at < told + 4, f"opened {at - told} s after the read")
        w.line("half-closed", '"function":"direct"')
        return opened["in-time"].look()


@test
def a_stack_is_read_before_it_is_needed_and_only_then():
    """On a busy machine the one that closes in time may be kept from it for an eighth of a second, in which it is
    looked at rightly; but not each time."""
    found = []
    while len(found) < 3 and None not in found:
        with tempfile.TemporaryDirectory() as folder:
            found.append(opened_before_it_is_needed(folder))
    true(None in found, f"it was opened at {found}")


@test
def debug_information_in_a_file_of_its_own_is_found():
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "apart")
        apart = os.path.join(folder, "elsewhere.debug")
        shutil.copy(os.path.join(BUILD, "tests", "mkstack"), program)
        subprocess.run(["objcopy", "--only-keep-debug", program, apart], check=True)
        subprocess.run(["strip", "--strip-all", program], check=True)
        bare = watched(program, "direct")["direct"][0]["told"]["stack"]
        true("read_to_the_end" not in functions(bare), f"names in {functions(bare)}")
        true(any(f["object"] == "apart" and f["offset"] for f in bare), "object and offset")
        subprocess.run(["objcopy", f"--add-gnu-debuglink={apart}", program], check=True)
        os.mkdir(os.path.join(folder, ".debug"))
        shutil.move(apart, os.path.join(folder, ".debug"))
        line = watched(program, "detour")["detour"][0]
        in_order(line["told"]["stack"], "read_to_the_end", "detour", "run", "main")
        has(str([f["line"] for f in line["told"]["stack"]]), str(mkstack_source_line()))


@cases("deleted", "debug", "folder")
def what_others_put_in_a_file_s_place_is_not_opened(where):
    """A FIFO that nobody writes to, where the program was, by the name that the kernel gives it since; or
    where its debug information would lie."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "x")
        shutil.copy(os.path.join(BUILD, "tests", "mkstack"), program)
        if where != "deleted":
            subprocess.run(["strip", "--strip-all", program], check=True)
            link = os.path.join(folder, "x.debug" if where == "debug" else ".debug/x.debug")
            os.makedirs(os.path.dirname(link), exist_ok=True)
            with open(link, "w", encoding="utf-8"):
                pass
            subprocess.run(["objcopy", f"--add-gnu-debuglink={link}", program], check=True)
            os.unlink(link)
            os.mkfifo(link)
        with Program(program, "direct") as p, Watch("--after", "100ms", "--json", "--pid", str(p.pid)) as w:
            w.ready()
            if where == "deleted":
                os.unlink(program)
                os.mkfifo(f"{program} (deleted)")
            p.tell()
            address = p.says().split()[1]
            stack = json.loads(w.line("half-closed", f'"local":"{address}"'))["told"]
            equal(stack["stack_note"], "", "note")
            if where == "deleted":
                in_order(stack["stack"], "read_to_the_end", "direct", "run", "main")


LEAST_RIGHTS = ("setpriv", "--bounding-set=-all,+bpf,+perfmon,+sys_ptrace")
RIGHTS = {"root": (), "the least rights": LEAST_RIGHTS}  # with these a file is found by its name alone
APART = 'mount -t tmpfs tmpfs "$1" && cp "$2" "$1/x" && cp "$3" "$1/libc.so.6" && ' \
    'LD_LIBRARY_PATH="$1" exec "$1/x" direct'
MINE = {"read_to_the_end", "direct", "run", "main"}


def libc_of(program):
    said = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(line.split()[2] for line in said.splitlines() if "libc.so.6" in line)


def stack_of(program, change=lambda: None, before=()):
    """What is shown of the read of such a program, of which something changes once it runs."""
    with program as p, Watch("--after", "100ms", "--json", "--pid", str(p.pid), before=before) as w:
        w.ready()
        change()
        p.tell()
        address = p.says().split()[1]
        told = json.loads(w.line("half-closed", f'"local":"{address}"', seconds=30))["told"]
        equal(told["stack_note"], "", "note")
        return told["stack"]


@cases(*RIGHTS)
def a_program_that_only_its_mount_namespace_has_is_named(rights):
    """It and its C library; where they lie there, other programs lie here."""
    mkstack = os.path.join(BUILD, "tests", "mkstack")
    with tempfile.TemporaryDirectory() as folder:
        for decoy in ("x", "libc.so.6"):
            shutil.copy("/bin/true", f"{folder}/{decoy}")
        stack = stack_of(Program("unshare", "--mount", "sh", "-c", APART, "sh", folder, mkstack, libc_of(mkstack)),
                         before=RIGHTS[rights])
        in_order(stack, "read_to_the_end", "direct", "run", "main")
        equal({f["object"] for f in stack if f["function"] in MINE}, {"x"}, "objects")
        true([f for f in stack if f["object"] == "libc.so.6" and f["function"]], f"calls of the C library in {stack}")


def put_in_place(path, other):
    """As a package is upgraded: what ran goes on with the file that has no name any more. The name that the
    kernel gives it then is another's, too."""
    shutil.copy(other, f"{path} (deleted)")
    shutil.copy(other, f"{path}.new")
    os.rename(f"{path}.new", path)


@cases(*[(what, rights) for what in ("program", "library") for rights in RIGHTS])
def what_was_replaced_while_it_runs_is_not_named_after_the_new_one(what, rights):
    """Its own names are known to who may open what is mapped. Who may not takes what is in memory, which has
    the way, but of a program's own functions no names."""
    mkstack = os.path.join(BUILD, "tests", "mkstack")
    with tempfile.TemporaryDirectory() as folder:
        program, library = f"{folder}/x", f"{folder}/libc.so.6"
        shutil.copy(mkstack, program)
        shutil.copy(libc_of(mkstack), library)
        runs = Program("env", f"LD_LIBRARY_PATH={folder}", program, "direct")
        replaced = program if what == "program" else library
        stack = stack_of(runs, lambda: put_in_place(replaced, "/bin/true"), RIGHTS[rights])
        if what == "program" and RIGHTS[rights]:
            equal([f["function"] for f in stack if f["function"] in MINE], [], "names")
            true(len(stack) > len(MINE), f"the way in {stack}")
        else:
            in_order(stack, "read_to_the_end", "direct", "run", "main")


# A file system with one file, "x", that a process serves: include/uapi/linux/fuse.h. The program is run from it.
SERVED = r"""
import ctypes, os, stat, struct, sys
LOOKUP, FORGET, GETATTR, OPEN, READ, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 26, 36, 42
KEEP_CACHE, ENOSYS, LONG = 2, 38, 1 << 30
folder = sys.argv[1]
with open(sys.argv[2], "rb") as f:
    content = f.read()
def attr(node):
    mode = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o755
    return struct.pack("=6Q10I", node, len(content), 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
def answer(opcode, node, body):
    if opcode == INIT:
        return struct.pack("=IIIIHHII36x", 7, 31, 1 << 17, 0, 8, 8, 1 << 17, 1)
    if opcode == LOOKUP and body == b"x\0":
        return struct.pack("=QQQQII", 2, 0, LONG, LONG, 0, 0) + attr(2)
    if opcode == GETATTR:
        return struct.pack("=QII", LONG, 0, 0) + attr(node)
    if opcode == OPEN:
        return struct.pack("=QII", 0, KEEP_CACHE, 0)
    if opcode == READ:
        at, size = struct.unpack_from("=QI", body, 8)
        return content[at:at + size]
fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fuse
assert not ctypes.CDLL(None).mount(b"x", folder.encode(), b"fuse", 0, options)
if not os.fork():
    os.close(0)
    os.close(1)
    while True:
        request = os.read(fuse, 1 << 18)
        length, opcode, unique, node = struct.unpack_from("=IIQQ", request)
        if opcode not in (FORGET, INTERRUPT, BATCH_FORGET):
            said = answer(opcode, node, request[40:])
            os.write(fuse, struct.pack("=IiQ", 16 + len(said or b""), 0 if said is not None else -ENOSYS, unique) +
                     (said or b""))
with open(folder + "/x", "rb") as f:
    f.read()  # from here on the kernel has it
os.execv(folder + "/x", [folder + "/x", *sys.argv[3:]])
"""


def a_file_system_that_does_not_answer_holds_up_no_line():
    """The program's, which comes without its stack, and another's; nor the end. Who reads the stack waits for
    ever."""
    if not os.path.exists("/dev/fuse"):
        raise Skip("there is no FUSE")
    with tempfile.TemporaryDirectory() as folder, Holder("elsewhere") as other, \
            Program("unshare", "--mount", sys.executable, "-ISc", SERVED, folder,
                    os.path.join(BUILD, "tests", "mkstack"), "direct") as p:
        server = int(subprocess.check_output(["pgrep", "-P", str(p.pid)], text=True))
        try:
            with Watch("--after", "100ms", "--json", "--pid", str(p.pid), "--pid", str(other.pid)) as w:
                w.ready()
                os.kill(server, signal.SIGSTOP)
                p.tell()
                address, others = p.says().split()[1], other.leak()[0]
                told = json.loads(w.line("half-closed", f'"local":"{address}"', seconds=30))["told"]
                equal((told["pid"], told["stack"], told["stack_note"]),
                      (p.pid, [], "the stack is not read yet"), "who was told, and where")
                w.line("half-closed", f'"local":"{others}"', seconds=30)
                equal(w.stop(), (0, ""), "exit")
        finally:
            os.kill(server, signal.SIGKILL)


def a_file_system_that_does_not_answer_holds_up_the_end_once():
    """Not once for each of the lines that wait for a stack."""
    if not os.path.exists("/dev/fuse"):
        raise Skip("there is no FUSE")
    with tempfile.TemporaryDirectory() as folder, \
            Program("unshare", "--mount", sys.executable, "-ISc", SERVED, folder,
                    os.path.join(BUILD, "tests", "mkstack"), *["direct"] * 6) as p:
        server = int(subprocess.check_output(["pgrep", "-P", str(p.pid)], text=True))
        try:
            with Watch("--after", "100ms", "--json", "--pid", str(p.pid)) as w:
                w.ready()
                ends = Map(w.process.pid, "ends")
                os.kill(server, signal.SIGSTOP)
                p.tell()
                mine = [p.says().split()[1] for _ in range(6)]
                wait_for(lambda: sum(flags & REPORTED > 0 for _, (*_, flags) in ends.elements("=QQQQQI")) == 6,
                         "six reports")
                ends.close()
                equal(w.stop(), (0, ""), "exit")  # waits for less time than two of them would take
                said = [x for x in map(json.loads, w.text().splitlines()) if x["event"] == "half-closed"]
                equal(sorted((x["local"], x["told"]["stack_note"]) for x in said),
                      sorted((end, "the stack is not read yet") for end in mine), "lines")
        finally:
            os.kill(server, signal.SIGKILL)


if not SANITIZED:  # whose search for leaks waits for every thread
    test(a_file_system_that_does_not_answer_holds_up_no_line)
    test(a_file_system_that_does_not_answer_holds_up_the_end_once)


PYTHON = """
import socket, sys
ls = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
sys.stdin.readline()
c = socket.create_connection(ls.getsockname())
ls.accept()[0].close()
c.recv(1)
print('"local":"%s:%d","peer":"%s:%d"' % (c.getsockname() + c.getpeername()), flush=True)
sys.stdin.read()
"""


@cases("python3")
def a_debian_program_without_frame_pointers(name):
    """Its own functions are named from the read down to its entry point."""
    with Program(f"/usr/bin/{name}", "-c", PYTHON) as p, \
            Watch("--after", "100ms", "--json", "--pid", str(p.pid)) as w:
        w.ready()
        p.tell()
        line = json.loads(w.line("half-closed", p.says(), seconds=30))
        stack = line["told"]["stack"]
        in_order(stack, "_PyEval_EvalFrameDefault", "Py_RunMain", "Py_BytesMain")
        equal(line["told"]["stack_note"], "", "note")
        true(any("recv" in f["function"] for f in stack[:2]), f"innermost: {functions(stack)[:2]}")


JITTED = r"""
import ctypes, mmap, os, socket, sys
fd = os.open(sys.argv[1], os.O_RDWR) if sys.argv[1:] else -1
m = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
ls = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
sys.stdin.readline()
c = socket.create_connection(ls.getsockname())
ls.accept()[0].close()
# push rbp; mov rbp,rsp; xor eax,eax (read); syscall; pop rbp; ret
text = bytes([0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0x0f, 0x05, 0x5d, 0xc3])
m.write(text)
at = ctypes.addressof(ctypes.c_char.from_buffer(m))
path = "/tmp/perf-%d.map" % os.getpid()
with open(path, "w") as f:
    f.write("%x %x jitted_read\n" % (at, len(text)))
buf = ctypes.create_string_buffer(8)
call = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)(at)
assert call(c.fileno(), ctypes.addressof(buf), 8) == 0
print("%s:%d" % c.getsockname(), flush=True)
sys.stdin.read()
os.unlink(path)
"""


def innermost_of_jitted(*argv, ready=lambda: None):
    with Program("/usr/bin/python3", "-c", JITTED, *argv) as p, \
            Watch("--after", "100ms", "--json", "--pid", str(p.pid)) as w:
        w.ready()
        ready()
        p.tell()
        address = p.says()
        line = json.loads(w.line("half-closed", f'"local":"{address}"', seconds=30))
        return line["told"]["stack"][0]


@test
def perf_maps_name_code_that_no_file_holds():
    """A read in code that was copied to fresh memory, as a JIT does, and named in a perf map."""
    first = innermost_of_jitted()
    equal((first["function"], first["object"]), ("jitted_read", "perf map"), "innermost")


@test
def a_device_s_memory_is_not_touched():
    """The same in memory of a device like /dev/zero: it is not opened, at which other devices do something."""
    with tempfile.TemporaryDirectory() as folder:
        path, opened = f"{folder}/device", []
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        first = innermost_of_jitted(path, ready=lambda: opened.append(Opened(path)))
        equal((first["function"], first["object"]), ("jitted_read", "perf map"), "innermost")
        equal(opened[0].look(), None, "when it was opened")


BRIEF = """
import socket, sys, time
ls = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
sys.stdin.readline()
c = socket.create_connection(ls.getsockname())
name = "%s:%d" % c.getsockname()
ls.accept()[0].close()
time.sleep(0.5)
c.recv(1)
time.sleep(0.01)
c.close()
print(name, flush=True)
sys.stdin.read()
"""


@test
def what_happens_while_a_stack_is_read_is_said_after_it_and_in_order():
    """The first stack of a program takes longer than this connection stays half-closed."""
    with Program("/usr/bin/python3", "-c", BRIEF) as p, \
            Watch("--after", "1ms", "--json", "--pid", str(p.pid)) as w:
        w.ready()
        p.tell()
        address = p.says()
        w.line("over", f'"local":"{address}"', seconds=30)
        said = [x for x in map(json.loads, w.whole_lines().splitlines()) if x.get("local") == address]
        equal([x["event"] for x in said], ["half-closed", "told", "closed", "over"], "order")
        equal(said[1]["told"]["stack_note"], "", "note")
        in_order(said[1]["told"]["stack"], "_PyEval_EvalFrameDefault", "Py_RunMain", "Py_BytesMain")


@test
def one_program_s_files_are_read_once_for_all_its_processes():
    """Nine, one more than are kept apart: each has its own stack."""
    programs = [Program("/usr/bin/python3", "-c", PYTHON) for _ in range(9)]
    pids = [option for p in programs for option in ("--pid", str(p.pid))]
    with Watch("--after", "100ms", "--json", *pids) as w:
        w.ready()
        for p in programs:
            with p:
                p.tell()
                line = json.loads(w.line("half-closed", p.says(), seconds=30))
                in_order(line["told"]["stack"], "_PyEval_EvalFrameDefault", "Py_RunMain", "Py_BytesMain")
                equal((line["told"]["pid"], line["told"]["stack_note"]), (p.pid, ""), "whose")

main()
