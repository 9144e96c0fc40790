# SPDX-License-Identifier: MIT
"""How tests/check comes to its sum: of what meson's logs have, and of cases that were run again."""
import contextlib
import io
import json
import os
import sys
import tempfile
from xml.sax.saxutils import quoteattr

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import summary  # noqa: E402
import tap  # noqa: E402
from tap import cases, equal, has, main, once, test, true  # noqa: E402


def added_up(tests, wanted=None):
    """The sum's exit code and words, of a build whose tests gave this: result, stdout, and cases (name, what of it)."""
    with tempfile.TemporaryDirectory() as build:
        os.mkdir(f"{build}/meson-logs")
        with open(f"{build}/meson-logs/x.json", "w", encoding="utf-8") as f:
            for name, (result, said, _) in tests.items():
                f.write(json.dumps({"name": f"unclosed:run / {name}", "result": result, "stdout": said}) + "\n")
        with open(f"{build}/meson-logs/x.junit.xml", "w", encoding="utf-8") as f:
            f.write("<testsuites>")
            for name, (_, _, rows) in tests.items():
                f.write(f'<testsuite name="unclosed.unclosed:run / {name}">')
                f.writelines(f"<testcase name={quoteattr(case)}>{what}</testcase>" for case, what in rows)
                f.write("</testsuite>")
            f.write("</testsuites>")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = summary.add_up({build: set(wanted or tests)})
        return code, out.getvalue().replace(build, "BUILD")


GOOD, BAD = [("1 - a", "")], [("1 - a", ""), ("2 - b", "<failure/>")]


@cases((GOOD, "OK", 0, "1 passed, 0 failed"), (BAD, "FAIL", 1, "BUILD: failed: t/b"),
       (GOOD, "TIMEOUT", 1, "BUILD: failed: t: TIMEOUT"), ([], "OK", 1, "BUILD: t ran no case"),
       ([("1 - a", "<skipped/>")], "OK", 1, "BUILD: skipped without leave: t/a"))
def what_went_wrong_is_in_the_sum(rows, result, code, says):
    got, said = added_up({"t": (result, "", rows)})
    equal(got, code, "exit code")
    has(said, says)


@test
def what_did_not_run_has_failed():
    code, said = added_up({"t": ("OK", "", GOOD)}, {"t", "u"})
    equal(code, 1, "exit code")
    has(said, "BUILD: not run: u\n1 passed, 1 failed\n")


@cases((10, 0), (11, 1))
def cases_that_were_run_again_are_counted(times, code):
    said = "1..1\n" + "# a: once more, for 3 events; it failed: x\n" * times + "ok 1 - a\n"
    got, said = added_up({"t": ("OK", said, GOOD)})
    equal(got, code, "exit code")
    equal(said.count("BUILD: run again: t/a, for 3 events; it failed: x\n"), times, "each is named")
    has(said, f"\ncases were run again {times} times, beside what a watch had missed\n1 passed, {code} failed\n")


@cases(("again", [1, 1, 0], 3, 2), ("again", [1, 1, 1], 3, 2), ("again", [0], 1, 0), ("once", [1, 0], 1, 0))
def a_case_that_proves_nothing_is_run_again(how, failures, runs, repeats):
    ran = []

    def case():
        ran.append(1)
        true(not failures[len(ran) - 1], "what it failed with\nand more")
    kept, tap.INCONCLUSIVE[:] = list(tap.INCONCLUSIVE), [lambda: "a reason"]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(AssertionError):
            tap.conclusive("x", once(case) if how == "once" else case)
    finally:
        tap.INCONCLUSIVE[:] = kept
    equal(len(ran), runs, "runs")
    equal(out.getvalue(), "# x: once more, for a reason; it failed: what it failed with\n" * repeats, "what is said of it")


@test
def what_is_said_of_a_case_is_what_the_sum_looks_for():
    """Of one that fails for itself nothing is said, and it is not run again."""
    equal(summary.AGAIN.findall("ok 1 - b\n# x y: once more, for a; it failed: z\n"), [("x y", "a; it failed: z")], "found")
    ran, kept = [], list(tap.INCONCLUSIVE)
    tap.INCONCLUSIVE[:] = [lambda: None]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(AssertionError):
            tap.conclusive("x", lambda: true(ran.append(1), "no"))
    finally:
        tap.INCONCLUSIVE[:] = kept
    equal((len(ran), out.getvalue()), (1, ""), "runs, and what is said")


main()
