# SPDX-License-Identifier: MIT
"""What unclosed watch leaves out when it is told to, and when it speaks and stops."""
import json
import os
import re
import sys
import time
from contextlib import ExitStack, contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cgroups import a_cgroup, hierarchy  # noqa: E402
from tap import binary, cases, equal, has, json_lines, main, run, test, true, wait_for, within  # noqa: E402
from watching import HERE, Holder, Watch  # noqa: E402

CONTAINER = "0123456789abcdef" * 4


def a_scope(name):
    return a_cgroup(f"{name}-{os.getpid()}.scope")


@contextmanager
def two_holders():
    """Of different names, ports and cgroups, each with a connection that its peer has closed. The wanted
    one is in a cgroup below the one that is named."""
    with a_scope("unclosed") as folder, a_scope("unclosed-beside") as other, \
            a_scope(f"{os.path.basename(folder)}/below") as below, \
            Holder("wanted-one", below) as wanted, Holder("other-one", other) as unwanted:
        unwanted.leak()  # it comes due before the wanted one
        address, fd = wanted.leak()
        yield wanted, unwanted, folder, (address, fd)


def options(how, wanted, folder):
    return {"pid": ["--pid", wanted.pid], "comm": ["--comm", wanted.comm],
            "pattern": ["--comm", "wan?ed-[nop]*"], "port": ["--port", wanted.port],
            "cgroup": ["--cgroup", folder]}[how]


@contextmanager
def cgroups_down_to(depth):
    """A fresh one, and so many below it, each in the one before."""
    with ExitStack() as stack:
        folders = [stack.enter_context(a_scope("unclosed-deep"))]
        for _ in range(depth):
            folders.append(stack.enter_context(a_cgroup(f"{os.path.relpath(folders[-1], hierarchy())}/in")))
        yield folders


@cases("the root", "a child")
def a_cgroup_reaches_as_far_down_as_there_are_any(wanted):
    with cgroups_down_to(20) as folders, Holder("above", folders[0]) as above, Holder("at", folders[1]) as at, \
            Holder("deep", folders[-1]) as deep:
        at_root = wanted == "the root"
        top = hierarchy() if at_root else folders[1]
        with Watch("--after", "100ms", "--json", "--no-stacks", "--new", "--cgroup", top) as w:
            w.ready()
            first = above.leak()[0]
            for holder in (deep, at):
                w.line("half-closed", f'"local":"{holder.leak()[0]}"')
            equal(f'"local":"{first}"' in w.text(), at_root, "whether the line of the one above is there")


@cases("pid", "comm", "pattern", "port", "cgroup")
def what_is_filtered_out_costs_no_event(how):
    with two_holders() as (wanted, unwanted, folder, (address, fd)), \
            Watch("--after", "100ms", "--json", "--no-stacks",
                  *map(str, options(how, wanted, folder))) as w:
        line = json.loads(w.line("half-closed", f'"local":"{address}"'))
        equal([(h["pid"], h["fd"], h["comm"]) for h in line["holders"]],
              [(wanted.pid, fd, "wanted-one")], "holder")
        unwanted.leak()
        unwanted.quick()
        wanted.quick()
        address = wanted.leak()[0]
        w.line("half-closed", f'"local":"{address}"')
        equal(w.stop(), (0, ""), "exit")
        said = json_lines(w.text())
        equal({h["pid"] for x in said for h in x.get("holders", [])}, {wanted.pid}, "who is spoken of")
        equal({x["port"] for x in said if x["event"] == "lag"}, {wanted.port}, "ports of the lags")
        equal(sum(x["count"] for x in said if x["event"] == "lag"), 1, "closes counted")
        equal((said[-1]["emitted"], said[-1]["lost"]["events"]), (2, 0), f"events: {said[-1]}")


@cases("wanted-one", "wan*", "*-on[!f]", "[!o]?nted-one")
def a_name_means_what_it_means_to_list(pattern):
    """Of two processes, list and watch choose the same."""
    with Holder("wanted-one") as a, Holder("wanted-onf") as b:
        made = {b.leak()[0], a.leak()[0]}
        listed = run(binary("unclosed"), "list", "--json", "--comm", pattern)
        true(listed.returncode <= 1, listed.stderr)
        chosen = {x["local"] for x in json_lines(listed.stdout) if x.get("local") in made}
        true(chosen, f"{pattern} chooses something")
        with Watch("--after", "50ms", "--json", "--no-stacks", "--comm", pattern) as w:
            for address in chosen:
                w.line("half-closed", f'"local":"{address}"')
            w.stop()
            said = {x["local"] for x in json_lines(w.text()) if x.get("local") in made}
            equal(said, chosen, f"chosen by {pattern}")


@test
def the_container_is_named():
    with a_scope(f"docker-{CONTAINER}") as folder:
        # The name of a scope holds the number alone: the rest of a_scope's name is no digit of it.
        with Holder("in-a-container", folder) as holder:
            address = holder.leak()[0]
            with Watch("--after", "50ms", "--json", "--no-stacks", "--pid", str(holder.pid)) as w:
                line = json.loads(w.line("half-closed", f'"local":"{address}"'))
            equal(line["container"], CONTAINER, "container")
            equal(line["cgroup"], os.stat(folder).st_ino, "cgroup")
            with Watch("--after", "50ms", "--plain", "--no-stacks", "--pid", str(holder.pid)) as w:
                w.line("half-closed", address, f"in {CONTAINER[:12]} ")


@test
def the_lags_come_at_intervals():
    """As a table; with a histogram only at the end."""
    with Holder("closes-quickly") as holder, \
            Watch("--interval", "100ms", "--pid", str(holder.pid)) as w:
        w.ready()
        holder.quick()
        row = rf"^  closes-quickly\[{holder.pid}\] ->:{holder.port} +%d( +\d+(\.\d+)? [mu]?s){{4}}$"
        bar = r"^ +\d+ [mu]?s \.\. \d+ [mu]?s +%d ([#█]|$)"

        def count(expression, n):
            return len(re.findall(expression % n, w.whole_lines(), re.MULTILINE))
        wait_for(lambda: count(row, 1) >= 3, "three tables", 20)
        equal(w.process.poll(), None, "its end")
        holder.quick()
        wait_for(lambda: count(row, 2), "a table with the second", 20)
        tables = w.whole_lines().count("close lag")
        most = (time.monotonic() - w.began) / 0.1 + 1
        true(tables < most, f"{tables} tables where {most} were due")
        equal(count(r"\.\.%.0s", 0), 0, "histograms before the end")
        w.stop()
        has(w.text(), "  closes      p50      p90      p99      max\n")
        true(count(bar, 1) + count(bar, 2), f"a histogram in {w.text()}")


@test
def the_duration_is_kept():
    with Watch("--json", "--duration", "400ms", *HERE) as w:
        w.ready()
        wait_for(lambda: "summary" in w.text(), "the end", 20)
        true(time.monotonic() - w.began >= 0.4, "it ended early")
        equal((w.process.wait(within(20)), w.process.stderr.read()), (0, ""), "exit")
        equal([x["event"] for x in json_lines(w.text())], ["watching", "summary"], "events")


main()
