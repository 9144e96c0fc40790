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


@contextlib.contextmanager
def scaled(scale):
    """A fixture without the closers' ends."""
    for _ in range(20):
        with Fixture(scale=scale) as made:
            if made.drop_closers():
                yield made
                return
    raise AssertionError("orphans that do not become entries, twenty times")


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


@test
def a_namespace_of_which_all_was_told_is_not_walked():
    with scaled("1x50") as made:
        found, asked = listed(made)
        equal({s["cause"] for s in found.values()}, {"unread"}, "causes")
        equal((len(found), asked), (50, {"passes": 1, "dumps": 1}), "a pass, and the listeners")


@test
def what_waits_to_be_accepted_is_found_beside():
    with scaled("1x50") as made:
        with Fixture("not-accepted=3", within=made) as more:
            found, asked = listed(made)
            true(asked["dumps"] > 1, "the table was walked")
            for m in more.of("not-accepted", end="server"):
                equal(found[m["cookie"]]["cause"], "not-accepted", "cause")


@test
def what_no_descriptor_holds_is_found_among_many():
    with scaled(MANY) as made:
        plain, asked = listed(made)
        equal((len(plain), asked), (4500, {"passes": 1, "dumps": 1}), "only the pass")
        with Fixture("no-descriptor=2", "not-accepted=2", "half-closed-here=1", "orphan=2", within=made) as more:
            found, asked = listed(made)
            true(asked["passes"] > 1, "the kernel counted")
            for m in more.sockets:
                if m["cause"] != "healthy":
                    equal(found[m["cookie"]]["cause"], m["snapshot"] or m["cause"], f"cause of {m}")
            equal(len({*plain} - {*found}), 0, "nothing got lost")


@test
def a_count_that_agrees_spares_the_list():
    """CLOSE_WAIT is as told; only the others are listed."""
    with scaled(MANY) as made:
        with Fixture("idle=4", within=made):
            found, asked = listed(made)
            equal((len(found), asked), (4500, {"passes": 2, "dumps": 1}), "a pass and a count")


@test
def the_fixture_holds_what_it_says():
    with scaled("2x4500") as made:
        found, _ = listed(made)
        equal((len(found), {s["cause"] for s in found.values()}), (9000, {"unread"}), "all as made")
        equal(sum(s["count"] for s in made.sockets), 9000, "as printed")


main()
