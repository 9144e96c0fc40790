# SPDX-License-Identifier: MIT
"""Adds up the test cases of the build directories named, from meson's JUnit logs.

A skip counts as a failure unless tests/allowed-skips names it with a reason. No case at all fails.
"""
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def allowed_skips():
    reasons = {}
    for line in (ROOT / "allowed-skips").read_text().splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            if not reason:
                sys.exit(f"tests/allowed-skips: '{name}' has no reason")
            reasons[name] = reason
    return reasons


def case_name(suite, case):
    return f"{suite.get('name').split('/')[-1].strip()}/{case.get('name').partition(' - ')[2] or case.get('name')}"


def main(dirs):
    allowed = allowed_skips()
    passed = failed = skipped = 0
    for directory in dirs:
        log = Path(directory) / "meson-logs" / "testlog.junit.xml"
        if not log.exists():
            print(f"{directory}: no test ran")
            failed += 1
            continue
        for suite in ET.parse(log).getroot().iter("testsuite"):
            cases = list(suite.iter("testcase"))
            if not cases:
                print(f"{directory}: {suite.get('name')} ran no case")
                failed += 1
            for case in cases:
                name = case_name(suite, case)
                if case.find("failure") is not None or case.find("error") is not None:
                    print(f"{directory}: failed: {name}")
                    failed += 1
                elif case.find("skipped") is not None:
                    reason = allowed.get(name) or allowed.get(name.partition(" ")[0])
                    if reason:
                        print(f"{directory}: skipped: {name} ({reason})")
                        skipped += 1
                    else:
                        print(f"{directory}: skipped without leave: {name}")
                        failed += 1
                else:
                    passed += 1
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{tail}")
    return 1 if failed or not passed else 0


sys.exit(main(sys.argv[1:]))
