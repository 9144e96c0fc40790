#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What people and scripts get of real runs: diagrams, JSON, capture, page, picture."""
import errno
import json
import os
import re
import sys
import tempfile
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import SOURCE, binary, cases, equal, has, json_lines, main, run, test, true  # noqa: E402

EXPERIMENTS = ("both-close", "client-never-closes", "server-never-closes", "client-waits-before-close",
               "server-waits-before-close")


def lab(*args, status=0, said="", **kw):
    done = run(binary("unclosed"), "lab", *args, **kw)
    true(done.returncode == status and re.fullmatch(said, done.stderr), f"unclosed lab {args}: {done}")
    return done.stdout


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@cases((), ("-6",))
def diagrams_fit(*family):
    for columns in (80, 140):
        text = lab(*family, "--colour", env=dict(os.environ, COLUMNS=str(columns)))
        for line in plain(text).splitlines():
            true(len(line) <= columns, f"{len(line)} of {columns} columns: {line!r}")
        equal("seq 0 win" in text, columns == 140, "sequence numbers in a wide terminal")
        for name in EXPERIMENTS:
            has(plain(text), f"\u2713 {name}", "summary")
        equal(plain(text).count("  holds: shown by"), 2, "conclusions that hold")


@test
def long_titles_fit():
    for line in lab("fork-parent-closes", "both-close-fins-cross", "server-close-restart-without-reuseaddr").splitlines():
        true(len(line) <= 80, f"{len(line)} columns: {line!r}")


@test
def whose_call():
    """a call of another program than the one at the head of its side names it"""
    has(lab("fork-parent-closes"), "\u2502 child: close", "the child's close")


@test
def plain_ascii():
    true(lab("--ascii", "server-never-closes").isascii(), "--ascii")
    true(lab("server-never-closes", env=dict(os.environ, LC_ALL="C")).isascii(), "in the C locale")


@test
def words_of_experiment_2():
    """all that stands around the arrows, up to the server's end, times, ports, pids and descriptors masked"""
    text = lab("server-never-closes")
    text = re.sub(r"^ *\d+\.\d ", "  T.T ", text, flags=re.M)
    text = re.sub(r"10\.0\.0\.1:\d{5}", "10.0.0.1:PPPPP", text)
    text = re.sub(r"\b\d+(\.\d)? (ms|us|s)\b", "TIME", text)
    text = re.sub(r"\[\d+\]", "[P]", re.sub(r"fd \d+", "fd N", text))
    # Whether a state already stands beside the call or only beside the packet depends on the moment.
    lines = [line for line in text.splitlines() if "\u2502" not in line]
    lines = lines[:[i for i, line in enumerate(lines) if "process is ended" in line][0]]
    # An expectation stands where it was decided; which ones share a line depends on that, too.
    met = sorted(x for line in lines for x in re.findall(r"\u2713 (.*?)(?=   |$)", line))
    text = "\n".join([line for line in lines if "\u2713" not in line] + met) + "\n"
    path = os.path.join(SOURCE, "tests", "golden", "experiment-2.txt")
    if os.environ.get("UNCLOSED_GOLDEN") == "write":
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    with open(path, encoding="utf-8") as f:
        equal(text, f.read(), "words")


@test
def json_of_the_experiments():
    runs = json_lines(lab("--json"))
    equal([r["scenario"] for r in runs], list(EXPERIMENTS), "scenarios in order")
    want = {"client-never-closes": ("gone", "TIME_WAIT"), "server-never-closes": ("FIN_WAIT_2", "CLOSE_WAIT"),
            "client-waits-before-close": ("CLOSE_WAIT", "FIN_WAIT_2"),
            "server-waits-before-close": ("FIN_WAIT_2", "CLOSE_WAIT"), "both-close": ("gone", "TIME_WAIT")}
    for one in runs:
        name = one["scenario"]
        equal((one["schema"], one["passed"], one["status"], one["error"]), (1, True, "passed", None), name)
        equal((one["ends"]["client"]["state"], one["ends"]["server"]["state"]), want[name], name)
        equal(sum(one["lost"].values()), 0, f"{name}: lost")
        times = [e["t_us"] for e in one["timeline"]]
        equal(times, sorted(times), f"{name}: times")
        true(all(x["passed"] and x["where"] for x in one["expectations"]), f"{name}: expectations")
    waits = runs[2]["ends"]["server"]
    equal((waits["recv_q"], waits["timer"], waits["timer_ms"]), (1, "none", 0), "server-never-closes: server")
    equal([h["comm"] for h in waits["holders"]], ["daytimed"], "server-never-closes: holders")
    true(0 < runs[2]["ends"]["client"]["timer_ms"] <= 60000, "server-never-closes: the orphan's timer")


@test
def capture_of_real_packets():
    """tshark reads it without a complaint, checksums right, packet by packet what the JSON says"""
    with tempfile.TemporaryDirectory() as folder:
        for family in ((), ("-6",)):
            path = os.path.join(folder, "x.pcap")
            runs = json_lines(lab("--json", f"--pcap={path}", *family,
                                  said=rf"unclosed lab: wrote {path} \(\d+ packets\)\n"))
            done = run("tshark", "-n", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
                       "-T", "fields", "-e", "tcp.checksum.status", "-e", "ip.checksum.status", "-e", "tcp.len",
                       "-e", "tcp.flags", "-e", "_ws.expert.severity", "-e", "_ws.malformed")
            equal(done.returncode, 0, done.stderr)
            want = [[str(e["len"]), e["flags"]] for r in runs for e in r["timeline"] if e["kind"] == "packet"]
            rows = [line.split("\t") for line in done.stdout.splitlines()]
            got = []
            for tcp, ip, length, flags, severity, malformed in rows:
                equal((tcp, ip, malformed), ("1", "" if family else "1", ""), "checksums, malformed")
                true(not severity or int(max(severity.split(","))) < 0x600000, f"complaint {severity}")
                bits = int(flags, 16)
                got.append([length, " ".join(n for n, b in (("SYN", 2), ("FIN", 1), ("RST", 4), ("PSH", 8), ("ACK", 16))
                                             if bits & b)])
            equal(got, want, "packets")


@test
def page_and_picture():
    with tempfile.TemporaryDirectory() as folder:
        page, picture = os.path.join(folder, "x.html"), os.path.join(folder, "x.svg")
        lab("-q", f"--html={page}")
        with open(page, encoding="utf-8") as f:
            source = f.read()
        for name in EXPERIMENTS:
            has(source, f'data-name="{name}"', "page")
        lab("-q", f"--svg={picture}", "both-close")
        has(ET.parse(picture).getroot().tag, "svg", "picture")
        done = run(binary("unclosed"), "lab", f"--svg={picture}")
        equal(done.returncode, 2, "a picture of five")
        has(done.stderr, "--html", "what to do")
        for option in ("html", "svg", "pcap"):
            done = run(binary("unclosed"), "lab", "-q", f"--{option}=/nonexistent/x", "both-close")
            equal(done.returncode, 3, f"--{option} to nowhere")
            has(done.stderr, "/nonexistent/x", f"--{option} to nowhere")


@test
def names_are_unique():
    """a name chooses one scenario: reports, pages and completion go by it"""
    names = [n for _, _, files in os.walk(os.path.join(SOURCE, "scenarios")) for n in files if n.endswith(".lua")]
    equal(sorted(n for n in names if names.count(n) > 1), [], "names used twice")


@test
def explained_by_what_is_there():
    """every scenario that an explanation names exists, passes, and shows that state"""
    words = [json.loads(line) for line in run(binary("unclosed"), "explain", "--json").stdout.splitlines()]
    names = sorted({w["scenario"] for w in words if w["scenario"]})
    runs = {r["scenario"]: r for r in json_lines(lab("--json", *names))}
    for word in words:
        one = runs.get(word["scenario"])
        if one and word["kind"] == "state":
            seen = {e[end] for e in one["timeline"] for end in ("client", "server") if end in e}
            # A listener is no end of the connection: the record has it as not there yet. Of a CLOSED one
            # only its descriptor tells: it fails to write where sock_diag says that nothing is there.
            if word["name"] == "CLOSED":
                fails = [e["server"] for e in one["timeline"] if e.get("result") == -errno.EPIPE]
                equal(fails, ["gone"], "what sock_diag says of the end whose descriptor fails")
            else:
                true(word["name"] in seen or word["name"] == "LISTEN",
                     f"{word['name']} in {word['scenario']}: {seen}")


main()
