# SPDX-License-Identifier: MIT
"""The README's examples of `unclosed list` and `unclosed release`: what is printed is what stands there."""
import os
import re
import sys
from contextlib import contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from examples import TEXT, TIME, Host, Server, example, masked, same_lines  # noqa: E402
from tap import equal, has, json_lines, main, test, wait_for  # noqa: E402

CLIENTS = {"Three": 3}


@contextmanager
def a_server_that_never_closes():
    """The one of which the README says it, and its clients, which have asked it and gone."""
    many, line = re.search(r"^(\w+) clients have asked a server that never closes, `(.*?)`", TEXT, re.M).groups()
    with Host() as host, Server(host, line, "listening on port 8013...\n") as server:
        for _ in range(CLIENTS[many]):
            equal(host.type(example("daytime localhost")[0]).stderr, "", "a client's errors")
        yield host, server.pid


def ours(host):
    """A filter for the sockets of this host: there may be other servers of the name beside it."""
    return f" --netns={host.netns}"


def listed(host, more=""):
    return json_lines(host.type("unclosed list --json --comm=daytimed" + more + ours(host)).stdout)


def columns(text):
    """A table's text without what differs, where a time is at the left side of its column."""
    return masked(re.sub(rf"(?<=unread  ){TIME} *", lambda found: "TIME".ljust(len(found[0])), text))


def of_process(text, pid):
    """The same table, where the process has this number: its column is as wide as its name."""
    was = re.search(r"daytimed\[(\d+)\]", text)[1]
    text = re.sub(r"HELD BY +", lambda found: found[0].strip().ljust(len(found[0]) - len(was) + len(pid)), text)
    return text.replace(f"[{was}]", f"[{pid}]")


@test
def list_prints_what_the_readme_shows():
    typed, shown = example("unclosed list ")
    with a_server_that_never_closes() as (host, pid):
        wait_for(lambda: len(listed(host, " --older=1s")) == 3, "three sockets that are old enough")
        done = host.type(typed + ours(host))
        equal((done.returncode, done.stderr), (1, ""), "exit")
        # How many namespaces there are is the host's affair, and that of some not all is seen.
        printed, seen = (re.sub(r"in \d+ network namespaces?\.", "in all network namespaces.", text)
                         for text in (done.stdout, of_process(shown, str(pid))))
        printed = re.sub(r"^Not seen: other network namespaces.*\n", "", printed, flags=re.M)
        same_lines(columns(printed), columns(seen), typed)


def spelled_out(text):
    """An example where "..." stands for two more like the one before, and a long line is folded."""
    found, begin = [], 0
    for line in re.sub(r"(?<=,)\n {11}(?=\w)", " ", text).splitlines():
        if line == "...":
            found += found[begin:] * 2
            begin = len(found)
            continue
        if not line.startswith(" "):
            begin = len(found)
        found.append(line)
    return "\n".join(found)


def with_any_descriptor(text):
    """A connection's address is that of either family, as the name of the host was looked up."""
    return re.sub(r"\bfd \d+", "fd N", masked(text)).replace("[::ffff:127.0.0.1]", "[::1]")


@test
def release_prints_what_the_readme_shows():
    typed, shown = example("unclosed release ")
    with a_server_that_never_closes() as (host, _):
        wait_for(lambda: [x["cause"] for x in listed(host)] == ["unread"] * 3, "three sockets that are unread")
        done = host.type(typed + ours(host))
        equal((done.returncode, done.stderr), (0, ""), "exit")
        same_lines(with_any_descriptor(done.stdout), with_any_descriptor(spelled_out(shown)), typed)
        audit = re.search(r"Recorded in (\S+)", shown)[1]
        steps = json_lines(host.type(f"cat {audit}").stdout)
        equal([x["phase"] for x in steps], ["before", "after"] * 3, f"steps in {audit}")
        has(TEXT, "`list` shows it as `dead`", "what the README says then")
        equal([x["cause"] for x in listed(host)], ["dead"] * 3, "what is listed then")


main()
