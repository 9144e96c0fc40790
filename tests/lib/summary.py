# SPDX-License-Identifier: MIT
"""Adds up test cases from the logs that meson wrote in build directories, one for each time it ran.

A skip counts as a failure unless tests/allowed-skips names it with a reason. So do a test that was
to run and did not, one that ended badly with no case of it failed, and no case at all. What a test
that failed said of it stands with it again: the end of a long log is what is looked at. So do the cases that
were run again (tests/lib/tap.py): more than a busy host accounts for are a failure."""
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}
SAID_LINES, SAID_COLUMNS = 30, 300
AGAIN = re.compile(r"^# (.*): once more, for (.*)$", re.MULTILINE)
MOST_AGAIN = 10  # in one build; on a host that was kept busy there were six


def allowed_skips():
    reasons = {}
    for line in (ROOT / "allowed-skips").read_text().splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            if not reason:
                raise SystemExit(f"tests/allowed-skips: '{name}' has no reason")
            reasons[name] = reason
    return reasons


class Sum:
    def __init__(self):
        self.allowed = allowed_skips()
        self.passed = self.failed = self.skipped = self.again = 0

    def fail(self, directory, what):
        print(f"{directory}: {what}")
        self.failed += 1

    def case(self, directory, test, case):
        """Adds a case; returns whether it failed."""
        name = f"{test}/{case.get('name').partition(' - ')[2] or case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            self.fail(directory, f"failed: {name}")
        elif case.find("skipped") is None:
            self.passed += 1
            return False
        elif reason := self.allowed.get(name) or self.allowed.get(name.partition(" ")[0]):
            print(f"{directory}: skipped: {name} ({reason})")
            self.skipped += 1
            return False
        else:
            self.fail(directory, f"skipped without leave: {name}")
        return True

    def run_again(self, directory, results):
        """Adds the cases that failed, and were run once more as that proved nothing."""
        found = [f"{name}/{case}, for {why}" for name, test in sorted(results.items())
                 for case, why in AGAIN.findall(test.get("stdout", ""))]
        for what in found:
            print(f"{directory}: run again: {what}")
        self.again += len(found)
        if len(found) > MOST_AGAIN:
            self.fail(directory, f"cases were run again {len(found)} times, more than {MOST_AGAIN}")


def cases_of(directory):
    """The cases of each test that gave some: meson has a suite PROJECT.PROJECT:SUITE / TEST of them. A
    test that ended before its first is a case of the suite PROJECT."""
    found = {}
    for log in sorted((Path(directory) / "meson-logs").glob("*.junit.xml")):
        for suite in ET.parse(log).getroot().iter("testsuite"):
            if " / " in suite.get("name"):
                found.setdefault(suite.get("name").split(" / ")[-1], []).extend(suite.iter("testcase"))
    return found


def results_of(directory):
    """How each test as a whole ended: meson's record of it."""
    found = {}
    for log in sorted((Path(directory) / "meson-logs").glob("*.json")):
        for line in log.read_text().splitlines():
            test = json.loads(line)
            found[test["name"].split(" / ")[-1]] = test
    return found


def tell(test):
    """What the test wrote of its failures."""
    said = test.get("stderr", "").splitlines()
    said += [line for line in test.get("stdout", "").splitlines() if line.startswith("#")]
    for line in said[:SAID_LINES]:
        print(f"    {line[:SAID_COLUMNS]}")
    if len(said) > SAID_LINES:
        print(f"    ({len(said) - SAID_LINES} more lines)")


def add_up(wanted):
    """`wanted` has the names of the tests to run, by build directory. Prints what went wrong and the
    sum; returns the exit code."""
    total = Sum()
    for directory, names in wanted.items():
        cases, results = cases_of(directory), results_of(directory)
        for name in sorted(names - results.keys()):
            total.fail(directory, f"not run: {name}")
        for name, test in sorted(results.items()):
            bad = [total.case(directory, name, case) for case in cases.get(name, ())]
            if test["result"] not in GOOD and not any(bad):
                total.fail(directory, f"failed: {name}: {test['result']}")
            elif not bad:
                total.fail(directory, f"{name} ran no case")
            if test["result"] not in GOOD:
                tell(test)
        total.run_again(directory, results)
    if total.again:
        print(f"cases were run again {total.again} times, beside what a watch had missed")
    tail = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{tail}", flush=True)
    return 1 if total.failed or not total.passed else 0
