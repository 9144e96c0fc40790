# SPDX-License-Identifier: MIT
"""The README's example of `unclosed watch`: what is printed of a server that forgets to close stands there."""
import os
import re
import signal
import sys
import tempfile
from itertools import dropwhile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import watching  # noqa: E402,F401  pylint: disable=unused-import  # what a watch has missed makes a failure prove nothing
from examples import Host, example, masked, same_lines  # noqa: E402
from tap import BUILD, SAID, equal, main, test, true, wait_for, within  # noqa: E402

CLIENT = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8013'"
FRAME = re.compile(r" {12}\S")


def frames(text):
    """Without what the C library's debug information says of its own functions, where there is any: its way to a
    system call is one frame. Lines and folders of the server are those of whoever compiles it."""
    text = re.sub(r"\S+ in libc\S+( at \S+)?(\n {12}\S+ in libc\S+( at \S+)?)*", "a call in the C library", text)
    return re.sub(r"at \S*my-server\.c:\d+$", "at my-server.c:LINE", text, flags=re.M)


def folded(printed, shown):
    """What is printed, with "..." for the frames where the README has it."""
    rest, lines = printed.splitlines(), []
    for line in shown.splitlines():
        if line.strip() == "...":
            true(rest and FRAME.match(rest[0]), f"a frame where the README has '...', after {lines[-1:]}: {rest[:1]}")
            rest = list(dropwhile(FRAME.match, rest))
            lines.append(line)
        elif rest:
            lines.append(rest.pop(0))
    return "\n".join(lines + rest)


def without_what_varies(text):
    """By what the watch sees reads is the kernel's affair."""
    return re.sub(r"\(reads: \w+\)", "(reads: TIER)", frames(masked(text)))


def watched(typed):
    """What is printed where one client comes and goes, and the watch is interrupted once it has spoken of it."""
    with Host() as host, tempfile.TemporaryFile() as said:
        watch = host.start(typed, os.path.abspath(f"{BUILD}/tests"), stdout=said, stderr=said)

        def printed():
            return os.pread(said.fileno(), 1 << 16, 0).decode()
        try:
            wait_for(lambda: host.type(CLIENT).returncode == 0, "a server that listens", 30)
            wait_for(lambda: "\n  accepted  " in printed(), "what is said of the client", 30)
            os.killpg(watch.pid, signal.SIGINT)  # as a terminal does
            equal(watch.wait(within(20)), 1, "exit code: something was reported")
            SAID.append(printed())
            return SAID[-1]
        finally:
            if watch.poll() is None:
                os.killpg(watch.pid, signal.SIGKILL)
                watch.wait()


@test
def watch_prints_what_the_readme_shows():
    typed, shown = example("unclosed watch ")
    before, interrupt, after = shown.partition("^C\n")
    true(interrupt, "the README says how it ends")
    shown = without_what_varies(before + after)
    same_lines(folded(without_what_varies(watched(typed)), shown), shown, typed)


main()
