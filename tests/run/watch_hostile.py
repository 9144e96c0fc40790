# SPDX-License-Identifier: MIT
"""unclosed watch before names that others chose to write on the terminal of who looks."""
import os
import sys
from contextlib import ExitStack, contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cgroups import a_cgroup  # noqa: E402
from helper import Python  # noqa: E402
from tap import equal, has, json_lines, main, test  # noqa: E402
from watching import Watch  # noqa: E402

COMM = b"\x1b]0;\"\\\n\xff\x9bx"
SHOWN_COMM = "\\x1b]0;\"\\\\\\n\\xff\\x9bx"
CONTAINER = "\x1b]0;pwn\x07zz"
SHOWN_CONTAINER = "\\x1b]0;pwn\\x07zz"
PROGRAM = """
import ctypes, os, socket, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
if sys.argv[2]:
    with open(sys.argv[2] + "/cgroup.procs", "w") as f:
        f.write("0")
ls = socket.create_server(("127.0.0.1", 0))
print(flush=True)
for line in sys.stdin:
    c = socket.create_connection(ls.getsockname())
    ls.accept()[0].close()
    c.recv(1)
    print("%s:%d" % c.getsockname(), flush=True)
    sys.stdin.readline()
    c.close()
    print(flush=True)
"""


class Hostile(Python):
    """A process of that name which, at a line, is told of its peer's close, and at the next one closes."""

    def __init__(self, folder=""):
        super().__init__(PROGRAM, COMM.hex(), folder)
        self.says()

    def turn(self):
        self.tell()
        return self.says()


@contextmanager
def a_delegated_cgroup():
    """One whose owner has named a container in it."""
    with ExitStack() as made:
        # The longest path counts where there are hierarchies of both kinds.
        path = f"unclosed-{'x' * 80}-{os.getpid()}.slice"
        made.enter_context(a_cgroup(path))
        made.enter_context(a_cgroup(f"{path}/lxc"))
        yield made.enter_context(a_cgroup(f"{path}/lxc/{CONTAINER}"))


def watched(*options):
    """What the watch says of such a process, its connection's address, and the process."""
    with a_delegated_cgroup() as folder, Hostile(folder) as p, \
            Watch("--after", "1ms", "--pid", str(p.pid), *options) as w:
        w.ready()
        address = p.turn()
        w.line("half-closed", address)
        p.turn()
        w.line("over", address)
        equal(w.stop(), (0, ""), "exit")
        bad = [b for b in w.text() if ord(b) < 32 and b != "\n" or 0x7f <= ord(b) <= 0x9f]
        equal(bad, [], f"unsafe bytes in {w.text()!r}")
        return w.text(), address, p


@test
def no_name_writes_on_the_terminal():
    """The process's own name, and the container's, which the owner of a delegated cgroup chooses."""
    text, address, p = watched("--plain")
    for what in ("half-closed", "over"):
        line = next(ln for ln in text.splitlines() if address in ln and what in ln)
        has(line, f" {SHOWN_COMM}[{p.pid}] fd ")
        has(line, f" in {SHOWN_CONTAINER}")
    has(text, f" ago in {SHOWN_COMM}[{p.pid}]")
    has(text, f"\n  {SHOWN_COMM}[{p.pid}] ->:")


@test
def no_name_breaks_the_json():
    text, address, p = watched("--json")
    said = json_lines(text)
    line = next(x for x in said if x.get("local") == address)
    equal([(h["pid"], h["comm"]) for h in line["holders"]], [(p.pid, SHOWN_COMM)], "holders")
    equal(line["told"]["comm"], SHOWN_COMM, "who was told")
    equal(line["container"], SHOWN_CONTAINER, "container")
    equal({x["comm"] for x in said if x["event"] == "lag"}, {SHOWN_COMM}, "whose lags")


main()
