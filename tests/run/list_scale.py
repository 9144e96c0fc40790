# SPDX-License-Identifier: MIT
"""`unclosed list` where there are many sockets: what it saves itself, and that nothing gets lost by it."""
import contextlib
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fixture import Fixture  # noqa: E402
from tap import binary, equal, json_lines, main, test, true  # noqa: E402

MANY = "1x4500"  # more than a namespace may hold whose sockets are all listed
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")  # the leak check cannot trace what is traced


def states(made):
    return sorted(line.split()[0] for line in made.run("ss", "-tanH").stdout.splitlines())


@contextlib.contextmanager
def only(n):
    """A fixture with n in CLOSE_WAIT, a listener, and nothing else: the closers' ends are taken away.
    Some are sockets still, which then reset the others; so it is looked whether it came out so."""
    for _ in range(30):
        with Fixture(scale=f"1x{n}") as made:
            if made.drop_closers() and states(made) == ["CLOSE-WAIT"] * n + ["LISTEN"]:
                yield made
                return
    raise AssertionError("closers' ends that do not become entries, thirty times")


def listed(made):
    """What is listed, by cookie, and what the kernel was asked for: dumps and BPF iterators."""
    with tempfile.NamedTemporaryFile("r") as trace:
        r = made.run("strace", "-f", "-qq", "-o", trace.name, "-e", "trace=bpf,sendto", binary("unclosed"),
                     "list", "--json", "--tier", "bpf", "--netns", made.netns, env=ENV)
        lines = trace.read().splitlines()
    equal(r.stderr, "", "stderr")
    asked = {"passes": sum("BPF_ITER_CREATE" in line for line in lines),
             "dumps": sum("sendto(" in line and "NLM_F_REQUEST|0x300" in line for line in lines)}
    return {s["cookie"]: s for s in json_lines(r.stdout)}, asked


def of_close_wait(found):
    return [s for s in found.values() if s["state"] == "CLOSE_WAIT"]


@test
def a_namespace_of_which_all_was_told_is_not_walked():
    with only(50) as made:
        found, asked = listed(made)
        equal({s["cause"] for s in found.values()}, {"unread"}, "causes")
        equal((len(found), asked), (50, {"passes": 1, "dumps": 1}), "a pass, and the listeners")
        with Fixture("not-accepted=3", within=made) as more:
            found, asked = listed(made)
            true(asked["dumps"] > 1, "the table was walked")
            for m in more.of("not-accepted", end="server"):
                equal(found[m["cookie"]]["cause"], "not-accepted", "cause")


@test
def among_many_what_no_descriptor_holds_is_found():
    with Fixture(scale=MANY) as made:
        plain, asked = listed(made)
        equal(len(of_close_wait(plain)), 4500, "in CLOSE_WAIT")
        equal(asked["passes"], 2, "a pass and a count")
        with Fixture("no-descriptor=2", "not-accepted=2", "half-closed-here=1", "orphan=2", within=made) as more:
            found, asked = listed(made)
            true(asked["passes"] > 2, "a pass, a count, and the holders of what is new")
            for m in more.sockets:
                equal(found[m["cookie"]]["cause"], m["snapshot"] or m["cause"], f"cause of {m}")
            equal({s["cookie"] for s in of_close_wait(plain)} - {*found}, set(), "nothing got lost")


@test
def the_fixture_holds_what_it_says():
    with Fixture(scale="2x4500") as made:
        equal(states(made).count("CLOSE-WAIT"), sum(s["count"] for s in made.sockets), "in CLOSE_WAIT")


main()
