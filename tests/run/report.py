#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the reports make of runs that no lab has run, against tests/golden.

UNCLOSED_GOLDEN=write writes the golden files anew; look at the difference before committing it.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import SOURCE, BUILD, cases, equal, has, json_lines, main, run, test, true  # noqa: E402

GOLDEN = os.path.join(SOURCE, "tests", "golden")
FAKE = os.path.join(BUILD, "tests", "fake_report")
RUNS = ("server-never-closes", "lost-fin", "failing", "many", "hostile", "empty")


def fake(*args):
    done = run(FAKE, *args)
    equal((done.returncode, done.stderr), (0, ""), f"fake_report {' '.join(args)}")
    return done.stdout


def golden(name, text):
    path = os.path.join(GOLDEN, name)
    if os.environ.get("UNCLOSED_GOLDEN") == "write":
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    with open(path, encoding="utf-8") as f:
        want = f.read()
    if text != want:
        with tempfile.NamedTemporaryFile("w", suffix=name, encoding="utf-8") as got:
            got.write(text)
            got.flush()
            diff = subprocess.run(["diff", "-u", path, got.name], stdout=subprocess.PIPE, check=False)
        raise AssertionError(f"{name} differs:\n{diff.stdout.decode()}")


def width(line):
    return len(re.sub(r"\x1b\[[0-9;]*m", "", line))


@cases(*RUNS)
def diagram(name):
    golden(f"{name}.txt", fake("text", name))


@test
def diagram_wide():
    golden("server-never-closes.140.txt", fake("text", "140", "server-never-closes"))


@test
def diagram_ascii():
    text = fake("text-ascii", "lost-fin") + fake("text-ascii", "server-never-closes")
    true(text.isascii(), "a letter beyond ASCII")
    golden("ascii.txt", text)


@cases(*[(name, columns) for name in RUNS for columns in (80, 100, 140)])
def diagram_fits(name, columns):
    for style in ("text", "text-colour", "text-ascii"):
        for line in fake(style, str(columns), name).splitlines():
            true(width(line) <= columns, f"{width(line)} columns in {style}: {line!r}")
            equal(line, line.rstrip(), "a line with spaces at its end")


@test
def colour_only_adds_sequences():
    plain = fake("text", *RUNS)
    coloured = fake("text-colour", *RUNS)
    true(coloured != plain, "no colour at all")
    equal(re.sub(r"\x1b\[[0-9;]*m", "", coloured), plain, "text without the colours")


@test
def nothing_from_a_program_reaches_the_terminal():
    for style in ("text", "text-ascii", "json", "summary"):
        text = fake(style, "hostile")
        strange = [c for c in text if ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0]
        true(not strange, f"{style}: {strange}")
        true("\u202e" not in text, f"{style}: a bidirectional override")


@test
def summary():
    golden("summary.txt", fake("summary", "server-never-closes", "failing", "empty"))
    golden("summary-good.txt", fake("summary", "server-never-closes", "lost-fin"))
    golden("summary-ascii.txt", fake("summary-ascii", "server-never-closes", "failing"))


@cases("server-never-closes", "hostile")
def json_object(name):
    text = fake("json", name)
    equal(text.count("\n"), 1, "lines")
    golden(f"{name}.json", json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n")


@test
def json_has_the_fields():
    one, many = json_lines(fake("json", "server-never-closes", "many"))
    equal((one["schema"], one["scenario"], one["passed"], one["status"], one["error"]),
          (1, "server-never-closes", True, "passed", None), "head")
    client, server = one["ends"]["client"], one["ends"]["server"]
    equal((client["state"], client["timer_ms"], client["holders"]), ("FIN_WAIT_2", 60000, []), "client")
    equal((server["state"], server["recv_q"], server["holders"]),
          ("CLOSE_WAIT", 1, [{"pid": 70, "comm": "daytimed", "fd": 5}]), "server")
    equal(one["final"]["client"]["state"], "TIME_WAIT", "final")
    fin = [e for e in one["timeline"] if e.get("flags") == "FIN ACK"][0]
    equal((fin["kind"], fin["from"], fin["len"], fin["fate"], fin["client"], fin["server"]),
          ("packet", "client", 0, "delivered", "FIN_WAIT_1", "CLOSE_WAIT"), "FIN")
    equal((many["lost"]["events"], many["lost"]["frames"]), (3, 1), "lost")
    equal(len(many["connections"]), 6, "connections")


def keys_of(value):
    """every name of a field, however deep"""
    if isinstance(value, dict):
        for name, below in value.items():
            yield name
            yield from keys_of(below)
    elif isinstance(value, list):
        for below in value:
            yield from keys_of(below)


@test
def json_fields_are_in_the_manual():
    with open(os.path.join(SOURCE, "man", "unclosed-lab.1"), encoding="utf-8") as f:
        words = set(re.findall(r"\w+", f.read()))
    names = {name for one in json_lines(fake("json", *RUNS)) for name in keys_of(one)}
    equal(sorted(names - words), [], "fields that the manual does not name")


def tshark(path, *args):
    done = run("tshark", "-n", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", *args)
    equal(done.returncode, 0, f"tshark {done.stderr}")
    return done.stdout


@test
def capture():
    """tshark reads the capture; every checksum is right, every stamp to the nanosecond"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.pcap")
        fake(f"pcap={path}", "server-never-closes", "lost-fin")
        rows = tshark(path, "-T", "fields", "-e", "tcp.checksum.status", "-e", "ip.checksum.status",
                      "-e", "frame.time_epoch", "-e", "tcp.flags.str", "-e", "tcp.len").splitlines()
        one, lost = json_lines(fake("json", "server-never-closes", "lost-fin"))
        sent = [e for e in one["timeline"] + lost["timeline"]
                if e["kind"] == "packet" and e["fate"] != "released"]
        equal(len(rows), len(sent), "packets")
        for row, event in zip(rows, sent):
            tcp, ip, stamp, _, length = row.split("\t")
            if event["fate"] != "injected":  # the fake one has its flags changed under its checksum
                equal((tcp, ip, int(length)), ("1", "1", event["len"]), f"checksums of {row}")
            true(stamp.endswith("000") and len(stamp.partition(".")[2]) == 9, f"stamp {stamp}")
        equal(tshark(path, "-Y", "_ws.malformed || _ws.expert.severity == error").splitlines(), [], "complaints")


@test
def capture_that_cannot_be_written():
    for path in ("/nonexistent/x.pcap", "/dev/full"):
        done = run(FAKE, f"pcap={path}", "server-never-closes")
        equal(done.returncode, 1, "status")
        has(done.stderr, path, "error")


main()
