# SPDX-License-Identifier: MIT
"""The whole catalogue passes, over IPv4 and IPv6 and with packets lost by chance; its timelines are
legal and cover the matrix; the page that lists it is up to date."""
import collections
import functools
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import BUILD, SANITIZED, SOURCE, binary, cases, equal, has, json_lines, main, run, test, true  # noqa: E402

THEMES = {"experiments", "who-closes-first", "half-close", "reset", "death", "sharing", "not-accepted",
          "loss", "timers", "exhaustion", "idle-pool"}
STATES = ["FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK"]

# RFC 9293 figure 5 and its text, and Linux's shortcuts: what may be seen right after what. All may be
# left for "gone".
FOLLOWS = {
    "gone": {"SYN_SENT", "SYN_RECV", "ESTABLISHED", "LISTEN", "CLOSED"},
    "LISTEN": {"SYN_RECV", "ESTABLISHED"},
    "CLOSED": {"SYN_SENT", "LISTEN"},
    "SYN_SENT": {"ESTABLISHED", "SYN_RECV", "CLOSED"},
    "SYN_RECV": {"ESTABLISHED", "FIN_WAIT_1", "CLOSE_WAIT"},
    "ESTABLISHED": {"FIN_WAIT_1", "CLOSE_WAIT"},
    "FIN_WAIT_1": {"FIN_WAIT_2", "CLOSING", "TIME_WAIT"},
    "FIN_WAIT_2": {"TIME_WAIT"},
    "CLOSING": {"TIME_WAIT"},
    "TIME_WAIT": set(),
    "CLOSE_WAIT": {"LAST_ACK"},
    "LAST_ACK": set(),
}


FAMILIES = ((), ("--ipv6",)) if not SANITIZED else ((),)


@functools.cache
def catalogue(*options):
    """Every scenario's run, by theme and name, in the catalogue's order."""
    words = [s["theme"] + "/" + s["scenario"] for s in listing()]
    done = run(binary("unclosed"), "lab", "--json", *options, "*", timeout=400)
    runs = json_lines(done.stdout)
    equal(len(runs), len(words), f"runs with {options}: {done.stderr}")
    return dict(zip(words, runs))


@functools.cache
def listing():
    return json_lines(run(binary("unclosed"), "lab", "--list", "--json").stdout)


@functools.cache
def matrix():
    return json.loads(run(binary("unclosed"), "lab", "--matrix", "--json").stdout)["cells"]


def why(r):
    failed = [f"{x['where']}: wanted {x['wanted']}, saw {x['seen']}"
              for x in r["expectations"] if not x["passed"]]
    return "; ".join(([r["error"]] if r["error"] else []) + failed)


def all_pass(runs):
    bad = [f"{word}: {r['status']}: {why(r)}" for word, r in runs.items() if not r["passed"]]
    true(not bad, "\n".join(bad))
    lost = [word for word, r in runs.items() if any(r["lost"].values())]
    equal(lost, [], "records that had no room")


@cases(*FAMILIES)
def passes(*options):
    all_pass(catalogue(*options))


@cases(*[(10, 1), (30, 2)] if not SANITIZED else [(20, 3)])
def passes_with_losses(percent, seed):
    """The same verdicts, and packets were lost indeed."""
    runs = catalogue(f"--loss={percent}", f"--seed={seed}")
    all_pass(runs)
    lossy = [r for r in runs.values() if r["loss"]]
    true(len(lossy) >= 88, f"only {len(lossy)} scenarios lose packets by chance")
    lost = sum(e.get("fate") == "dropped" for r in lossy for e in r["timeline"])
    sent = sum(e["kind"] == "packet" for r in lossy for e in r["timeline"])
    true(sent * percent / 300 < lost, f"only {lost} of {sent} packets were lost")


@test
def says_what_it_is():
    """At least 45 scenarios in all themes, each with title, text, source, section, and both ends."""
    equal(THEMES - {s["theme"] for s in listing()}, set(), "themes without a scenario")
    true(len(listing()) >= 45, f"only {len(listing())} scenarios")
    for s in listing():
        for field in ("title", "source", "shows", "rfc9293"):
            true(s[field], f"{s['scenario']} has no {field}")
    for word, r in catalogue().items():
        if word.split("/")[0] in THEMES:
            ends = {x["end"] for x in r["expectations"]} - {None}
            equal(ends, {"client", "server"}, f"ends that {word} expects anything of")


@cases(*FAMILIES)
def timelines_are_legal(*options):
    """Checked here again, from the JSON, against a table of its own."""
    for word, r in catalogue(*options).items():
        states = collections.defaultdict(lambda: "gone")
        for i, e in enumerate(r["timeline"]):
            for end in ("client", "server"):
                if end not in e:
                    continue
                before, after = states[e["conn"], end], e[end]
                true(after in FOLLOWS[before] | {before, "gone"},
                     f"{word}, event {i}: the {end} went from {before} to {after}")
                states[e["conn"], end] = after


@test
def matrix_has_no_empty_cell():
    equal([c["state"] for c in matrix()][::len(matrix()) // len(STATES)], STATES, "states")
    for c in matrix():
        true(bool(c["scenario"]) != bool(c["reason"]), f"{c['state']}/{c['event']} is not one of both")
    text = run(binary("unclosed"), "lab", "--matrix").stdout
    for c in matrix():
        has(text, c["scenario"] or c["reason"], "the matrix")
        has(text, c["title"], "the matrix")


@cases(*FAMILIES)
def matrix_is_covered(*options):
    """Each scenario that the matrix names visits that cell, by its timeline; the others nobody does."""
    visited = collections.defaultdict(set)
    for word, r in catalogue(*options).items():
        for cell in r["cells"]:
            visited[cell].add(word.split("/")[1])
    for c in matrix():
        cell = f"{c['state']}/{c['event']}"
        if c["scenario"]:
            true(c["scenario"] in visited[cell], f"{c['scenario']} does not visit {cell}")
        else:
            equal(visited[cell], set(), f"visits of {cell}, which cannot be reached")


def skeleton(r):
    """A timeline without times, ports and pids."""
    return [(e["kind"], e["from"], e.get("conn"), e.get("flags"), e.get("len"), e.get("seq"),
             e.get("ack"), e.get("fate"), e.get("call"), e.get("result"), e.get("detail"),
             e.get("client"), e.get("server")) for e in r["timeline"]]


# Scenarios that make the wire fail in every way, with programs that wait for one another: every event of
# theirs has one place.
STEADY = ["both-close-fins-cross", "rst-in-closing", "fin-duplicated", "fin-overtakes-data",
          "last-fin-duplicated", "old-fin-in-fin-wait-2", "stray-rst-challenge-ack", "linger-zero-close",
          "fork-parent-closes", "shutdown-then-close"]


@test
def same_script_same_timeline():
    """Event for event, five times."""
    first = None
    for n in range(5):
        runs = json_lines(run(binary("unclosed"), "lab", "--json", "-j", "2", *STEADY).stdout)
        got = {r["scenario"]: skeleton(r) for r in runs}
        first = first or got
        for name in STEADY:
            equal(got[name], first[name], f"timeline of {name}, run {n + 1}")


# What unclosed-lab(1) says may vary: how often the kernel's own timers fire, and what follows from it. These
# scripts shorten retransmission, or are about it.
TIMED = re.compile("tcp_rto_min_us|tcp_retries|tcp_orphan_retries|KEEPIDLE|USER_TIMEOUT|SO_LINGER\", [1-9]|wire.cut|"
                   "nth = 1|queue-full")
# ... and what depends on how far a program had come: what of these is not compared.
WHERE_THE_WRITER_WAS = {
    "crash-with-data-queued": "PSH",  # a segment has it where it left before the program wrote on
    "shutdown-both-behind-unsent-data": "PSH",
    "rst-after-accept": "length of the write that the reset ended",
}


def lanes(r):
    """What each host sent and each process called, in its order; nothing orders one host's doings and the
    other's but the packets, which each side's own order has."""
    found = collections.defaultdict(list)
    varies = WHERE_THE_WRITER_WAS.get(r["scenario"], "")
    for e in r["timeline"]:
        if e["kind"] == "packet":
            flags = [f for f in e["flags"].split() if f != varies]
            found["packets", e["from"]].append([flags] + [e[k] for k in ("conn", "len", "seq", "ack", "fate")])
        elif e["kind"] == "call":
            cut_short = "write" in varies and e["call"] == "write" and e["result"] > 0
            found["calls", e["from"], e["pid"]].append([e[k] for k in ("call", "result", "detail")[:1 if cut_short else 3]])
        elif e["kind"] == "step":
            found["steps", None].append(e["text"])
    return found


def differences(r, other):
    one, two = lanes(r), lanes(other)
    found = []
    for lane in one.keys() | two.keys():
        n = min(len(one[lane]), len(two[lane])) if lane[0] == "calls" else None
        if one[lane][:n] != two[lane][:n]:
            found.append((lane, one[lane], two[lane]))
    return found


def same_script_same_order_for_each():
    """All scenarios but those of the kernel's timers: each host sends, and each process calls, the same in
    the same order. (A run may end before a call of a program that nobody waits for.)"""
    held_to = 0
    again = catalogue("--seed=1")
    for word, r in catalogue().items():
        with open(os.path.join(SOURCE, "scenarios", word + ".lua"), encoding="utf-8") as f:
            if TIMED.search(f.read()):
                continue
        held_to += 1
        runs = [r, again[word]]
        wrong = differences(*runs)
        while wrong and len(runs) < 5:  # a machine that stood still for a second has the kernel send something again
            runs.append(json_lines(run(binary("unclosed"), "lab", "--json", word.split("/")[1]).stdout)[0])
            wrong = wrong if all(differences(other, runs[-1]) for other in runs[:-1]) else []
        equal(wrong, [], word)
    true(held_to >= 85, f"only {held_to} scenarios are held to it")


if not SANITIZED:  # one more run of all, and the order is not the sanitizers' to find wrong
    test(same_script_same_order_for_each)


@test
def same_seed_same_losses():
    """The same packets of each host are lost, by number, and another seed takes others."""
    def lost(seed):
        r = json_lines(run(binary("unclosed"), "lab", "--json", "--loss=30", f"--seed={seed}",
                           "client-shutdown-server-writes-on").stdout)[0]
        true(r["passed"], why(r))
        fates = collections.defaultdict(str)
        for e in r["timeline"]:
            if e["kind"] == "packet":
                fates[e["from"]] += "x" if e["fate"] == "dropped" else "."
        return fates
    seen = set()
    for seed in (1, 2, 3, 4):
        a, b = lost(seed), lost(seed)
        for host in ("client", "server"):
            n = min(len(a[host]), len(b[host]))
            equal(a[host][:n], b[host][:n], f"fates of the {host}'s packets with seed {seed}")
        seen.add(tuple(sorted(a.items())))
    true(len(seen) > 1, "every seed loses the same packets")


@test
def page_is_up_to_date():
    """docs/CATALOGUE.md is what tools/catalogue writes; every counterpart is a scenario."""
    done = run(sys.executable, os.path.join(SOURCE, "tools", "catalogue"), BUILD, "--check")
    equal((done.returncode, done.stderr), (0, ""), "tools/catalogue --check")


if __name__ == "__main__":
    main()
