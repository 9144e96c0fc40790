#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page and the picture, in real Chromium: stepping lights the right states, nothing is said on
the console, nothing is loaded, everything fits a phone and can be reached by keyboard.

UNCLOSED_SHOTS=folder keeps screenshots there, to be looked at."""
import json
import os
import re
import sys
import tempfile
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from browser import Browser  # noqa: E402
from tap import BUILD, cases, equal, has, json_lines, main, run, test, true  # noqa: E402

FAKE = os.path.join(BUILD, "tests", "fake_report")
RUNS = ("server-never-closes", "lost-fin", "failing", "many", "hostile", "empty")
FOLDER = tempfile.TemporaryDirectory(prefix="unclosed-page-")
LIT = """return ['client', 'server'].map(end =>
    [...document.querySelectorAll('.machine[data-end=' + end + '] .lit')].map(n => n.dataset.state).join())"""
ROWS = "return document.querySelectorAll('.run:not([hidden]) .row').length"


def made(form, *names):
    done = run(FAKE, form, *names)
    equal((done.returncode, done.stderr), (0, ""), f"{form} of {names}")
    return done.stdout


def page(browser, *names):
    """Opens the page of these runs."""
    path = os.path.join(FOLDER.name, "-".join(names) + ".html")
    with open(path, "w", encoding="utf-8") as f:
        f.write(made("html", *names))
    browser.open("about:blank")
    browser.console()
    browser.open("file://" + path)


def shot(browser, name):
    folder = os.environ.get("UNCLOSED_SHOTS")
    if folder:
        browser.screenshot(os.path.join(folder, name + ".png"))


def states(record):
    """The states of both ends, each pair once while it lasts, as the record has them."""
    seen = [["gone", "gone"]]
    for event in record["timeline"]:
        if "client" in event and [event["client"], event["server"]] != seen[-1]:
            seen.append([event["client"], event["server"]])
    return seen


def without_repeats(pairs):
    return [p for i, p in enumerate(pairs) if i == 0 or p != pairs[i - 1]]


def element(browser, selector):
    return browser.run("return document.querySelector(arguments[0])", selector)


def text(browser, selector):
    return browser.run("return document.querySelector(arguments[0]).textContent", selector)


@cases("server-never-closes")
def stepping_lights_the_states(name):
    """by keys forwards, by the button backwards: the machines show what the record says"""
    page(BROWSER, name)
    count = BROWSER.run(ROWS)
    forwards = [BROWSER.run(LIT)]
    for _ in range(count - 1):
        BROWSER.press("ArrowRight")
        forwards.append(BROWSER.run(LIT))
    want, now = [], ["gone", "gone"]
    for event in json_lines(made("json", name))[0]["timeline"]:  # nothing is folded: a row for each
        now = [event.get("client", now[0]), event.get("server", now[1])]
        want.append(now)
    equal(forwards, want, "states lit, step by step")
    true(element(BROWSER, "#next:disabled"), "forward is off at the end")
    backwards = [BROWSER.run(LIT)]
    back = element(BROWSER, "#back")
    for _ in range(count - 1):
        BROWSER.click(back)
        backwards.append(BROWSER.run(LIT))
    equal(backwards, forwards[::-1], "states lit on the way back")
    equal(BROWSER.console(), [], "console")


@test
def stepping_through_the_experiments():
    """real runs: the page of a run lights what the same run's JSON says"""
    path = os.path.join(FOLDER.name, "experiments.html")
    done = run(os.path.join(BUILD, "src", "unclosed"), "lab", "--json", f"--html={path}")
    equal((done.returncode, done.stderr), (0, f"unclosed lab: wrote {path} (5 scenarios)\n"), "unclosed lab")
    records = json_lines(done.stdout)
    equal(len(records), 5, "experiments")
    BROWSER.open("file://" + path)
    for number, record in enumerate(records):
        lit = BROWSER.run("""const p = document.querySelector('#pick'), out = [];
            p.value = arguments[0]; p.dispatchEvent(new Event('change'));
            for (let i = 0; i < 1000; i++) {
                const row = document.querySelector('.run:not([hidden]) .now');
                const lit = (() => { %s })();
                if (lit.join() !== row.dataset.client + ',' + row.dataset.server) return [['differs at', i]];
                out.push(lit);
                if (document.querySelector('#next').disabled) break;
                document.querySelector('#next').click();
            }
            return out;""" % LIT, number)
        got, want = without_repeats(lit), states(record)
        equal(got, want if got[0] == ["gone", "gone"] else want[1:], record["scenario"])
        true(["gone", "gone"] != got[-1], "the last states")
    equal(BROWSER.console(), [], "console")


@test
def every_way_of_stepping():
    page(BROWSER, "server-never-closes", "lost-fin")
    count = BROWSER.run(ROWS)
    BROWSER.press("End")
    equal(text(BROWSER, "#count"), f"{count} / {count}", "End")
    BROWSER.press("Home")
    equal(text(BROWSER, "#count"), f"1 / {count}", "Home")
    BROWSER.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    equal(text(BROWSER, "#count"), f"3 / {count}", "three forwards, one back")
    BROWSER.run("const s = document.querySelector('#slider'); s.value = 7; s.dispatchEvent(new Event('input'))")
    equal(text(BROWSER, "#count"), f"8 / {count}", "slider")
    BROWSER.click(element(BROWSER, "#last"))
    equal(text(BROWSER, "#count"), f"{count} / {count}", "last")
    BROWSER.run("document.querySelectorAll('.run:not([hidden]) .row')[4].dispatchEvent("
                "new MouseEvent('click', {bubbles: true}))")
    equal(text(BROWSER, "#count"), f"5 / {count}", "a click on a row")
    BROWSER.run("document.querySelector('#slider').focus()")
    BROWSER.press("ArrowRight")
    equal(text(BROWSER, "#count"), f"6 / {count}", "a key on the slider moves one step, not two")
    has(BROWSER.run("return location.hash"), "#server-never-closes/", "address")
    BROWSER.run("const p = document.querySelector('#pick'); p.value = 1; p.dispatchEvent(new Event('change'))")
    equal(BROWSER.run("return [...document.querySelectorAll('.run')].map(r => r.hidden)"), [True, False], "shown")
    BROWSER.run("location.hash = '#server-never-closes/3'")
    equal(BROWSER.run("return [...document.querySelectorAll('.run')].map(r => r.hidden)"), [False, True], "address")
    equal(BROWSER.console(), [], "console")


@test
def fields_of_a_packet():
    """on hover, and on focus by the keyboard alone"""
    page(BROWSER, "server-never-closes")
    fields = """return ['flags', 'bytes', 'seq', 'ack', 'window', 'from'].map(
        n => document.querySelector('#field-' + n).textContent)"""
    want = [[e["flags"], str(e["len"]), str(e["seq"]), "\u2014" if e["ack"] is None else str(e["ack"]),
             str(e["window"]), f"{e['from']} to {'server' if e['from'] == 'client' else 'client'}"]
            for e in json_lines(made("json", "server-never-closes"))[0]["timeline"] if e["kind"] == "packet"]
    true(element(BROWSER, "#packet[hidden]"), "no packet at first")
    BROWSER.point_at(element(BROWSER, ".row.packet .shaft"))
    equal(BROWSER.run(fields), want[0], "on hover")
    BROWSER.point_at(element(BROWSER, "h1"))
    true(element(BROWSER, "#packet[hidden]"), "no packet when the mouse has left")
    focused = []
    for _ in range(60):
        BROWSER.press("Tab")
        if BROWSER.run("return document.activeElement.matches('.row')"):
            focused.append(BROWSER.run(fields))
    equal(focused[:len(want)], want, "on focus")
    equal(BROWSER.console(), [], "console")


@test
def explanations():
    page(BROWSER, "server-never-closes")
    told = {json.loads(line)["name"]: json.loads(line)
            for line in run(os.path.join(BUILD, "src", "unclosed"), "explain", "--json").stdout.splitlines()}
    for _ in range(14):
        BROWSER.press("ArrowRight")
    equal(BROWSER.run(LIT), ["FIN_WAIT_2", "CLOSE_WAIT"], "states")
    for end, state in (("client", "FIN_WAIT_2"), ("server", "CLOSE_WAIT")):
        for part in ("what", "keeps", "ends", "act"):
            has(text(BROWSER, f"#meaning-{end}"), told[state][part], f"{end}'s explanation")


@test
def a_screen_reader_is_told():
    page(BROWSER, "server-never-closes")
    rows = BROWSER.run("return [...document.querySelectorAll('.row')].map(r => r.getAttribute('aria-label'))")
    true(all(rows), "every row has words")
    for _ in range(11):
        BROWSER.press("ArrowRight")
    equal(text(BROWSER, "#said"), rows[11], "what is said")
    has(rows[11], "the client calls close. The client is now in FIN_WAIT_1.", "words of a row")
    equal(BROWSER.run("return document.querySelector('#slider').getAttribute('aria-valuetext')"), rows[11], "slider")
    nodes = BROWSER.devtools("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value")) for n in nodes if not n.get("ignored")}
    for want in (("button", "step forward"), ("button", "step back"), ("slider", "step"),
                 ("heading", "unclosed lab")):
        true(want in named, f"{want} in the accessibility tree")
    equal([n for n in named if n[0] in ("button", "slider", "combobox") and not n[1]], [], "controls without a name")


CONTRAST = r"""
const lum = c => { const v = c.match(/[\d.]+/g).slice(0, 3).map(x => x / 255).map(
    x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const ratio = (a, b) => { const [x, y] = [lum(a), lum(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
const fill = e => getComputedStyle(e).fill, paper = getComputedStyle(document.body).backgroundColor, bad = [];
document.querySelectorAll('.run').forEach(r => { r.hidden = false; });
document.querySelectorAll('.diagram text').forEach(t => {
    const box = t.parentNode.matches('.state') ? fill(t.parentNode.querySelector('rect')) : paper;
    if (ratio(fill(t), box) < 4.5) bad.push(t.textContent + ' ' + fill(t) + ' on ' + box); });
document.querySelectorAll('.machine .node').forEach(n => { n.classList.add('lit');
    const f = fill(n.querySelector('text')), b = fill(n.querySelector('rect'));
    if (ratio(f, b) < 4.5) bad.push(n.dataset.state + ' ' + f + ' on ' + b); });
return bad;
"""


@cases("light", "dark")
def contrast(scheme):
    """every letter of diagram and machines stands out by 4.5 (WCAG AA), light and dark"""
    BROWSER.media(scheme=scheme)
    page(BROWSER, *RUNS)
    equal(BROWSER.run(CONTRAST), [], "too faint")
    BROWSER.media(scheme="light")


@cases(("phone", 390, 844), ("small", 360, 640), ("desktop", 1280, 900), ("wide", 1920, 1080))
def fits(name, width, height):
    for scheme in ("light", "dark") if os.environ.get("UNCLOSED_SHOTS") else ("light",):
        BROWSER.media(scheme=scheme)
        BROWSER.size(width, height, 2 if width < 900 else 1, width < 900)
        page(BROWSER, *RUNS)
        for number, run_name in enumerate(RUNS):
            BROWSER.run("const p = document.querySelector('#pick'); p.value = arguments[0];"
                        "p.dispatchEvent(new Event('change'))", number)
            wide = BROWSER.run("return [document.documentElement.scrollWidth, innerWidth]")
            true(wide[0] <= wide[1], f"{run_name} is wider than the screen: {wide}")
            BROWSER.run("const s = document.querySelector('#slider'); s.value = 13; s.dispatchEvent(new Event('input'))")
            shot(BROWSER, f"{name}-{scheme}-{run_name}")
            small = BROWSER.run("""return [...document.querySelectorAll('.run:not([hidden]) .diagram text')]
                .map(t => t.getCTM().a * parseFloat(getComputedStyle(t).fontSize)).sort((a, b) => a - b)[0] || 99""")
            true(small > (7.5 if width < 900 else 11), f"the smallest letters of {run_name} are {small} px")
            seen = BROWSER.run("""const n = document.querySelector('.run:not([hidden]) .now');
                if (!n) return true; const r = n.getBoundingClientRect(); return r.top >= 0 && r.top < innerHeight""")
            true(seen, f"{run_name}: the current row is out of sight")
    BROWSER.media(scheme="light")
    BROWSER.size(1280, 900)
    equal(BROWSER.console(), [], "console")


INSIDE = """
const bad = [], box = t => t.getBoundingClientRect();
document.querySelectorAll('.run').forEach(r => { r.hidden = false; });
document.querySelectorAll('.diagram .row').forEach(row => {
    const texts = [...row.querySelectorAll('text')], paper = box(row.closest('svg'));
    texts.forEach((t, i) => {
        if (box(t).left < paper.left || box(t).right > paper.right + 1) bad.push('outside: ' + t.textContent);
        texts.slice(i + 1).forEach(u => {
            const wide = Math.min(box(t).right, box(u).right) - Math.max(box(t).left, box(u).left);
            const high = Math.min(box(t).bottom, box(u).bottom) - Math.max(box(t).top, box(u).top);
            if (wide > 2 && high > 5) bad.push(t.textContent + ' over ' + u.textContent);
        });
    });
});
return bad;
"""


@test
def text_stays_inside_the_picture():
    """no text of a diagram leaves its picture or stands over another, in made-up runs and real ones"""
    page(BROWSER, *[r for r in RUNS if r != "hostile"])
    equal(BROWSER.run(INSIDE), [], "texts")
    path = os.path.join(FOLDER.name, "real.html")
    done = run(os.path.join(BUILD, "src", "unclosed"), "lab", "-q", f"--html={path}", "experiments", "reset", "half-close")
    equal((done.returncode, done.stderr), (0, ""), "unclosed lab")
    BROWSER.open("file://" + path)
    equal(BROWSER.run(INSIDE), [], "texts of real runs")


@test
def nothing_is_loaded_and_nothing_hostile_runs():
    source = made("html", *RUNS)
    equal(re.findall(r"https?:|//[a-z]|@import|url\((?!#)", source), [], "addresses in the page")
    page(BROWSER, "hostile", "server-never-closes")
    equal(BROWSER.run("return performance.getEntriesByType('resource').map(e => e.name)"), [], "loaded")
    equal(BROWSER.run("return [document.scripts.length, document.images.length, document.querySelectorAll("
                      "'[onload], [onerror]').length]"), [1, 0, 0], "scripts, images, handlers")
    has(text(BROWSER, "h2"), "<script>alert(1)</script>", "title as text")
    equal(BROWSER.console(), [], "console")


@test
def printing():
    """on paper every run is shown whole, without controls"""
    page(BROWSER, "server-never-closes", "failing")
    BROWSER.media(type="print")
    shown = BROWSER.run("""return ['.run:nth-child(1)', '.run:nth-child(2)', '#bar', '#machines'].map(
        s => getComputedStyle(document.querySelector(s)).display)""")
    equal(shown, ["block", "block", "none", "none"], "display")
    equal(BROWSER.run("return getComputedStyle(document.querySelector('.later')).opacity"), "1", "later rows")
    BROWSER.media(type="print", scheme="dark")
    inks = BROWSER.run("""return ['.run', '.run .diagram text.heading', '.run .diagram text'].map(s =>
        document.querySelector(s)).filter(e => e).map(e => getComputedStyle(e)).map(s => s.fill + s.color)""")
    true(all("228, 232, 239" not in ink for ink in inks) and inks, f"white paper takes dark ink: {inks}")
    BROWSER.media(scheme="light")


@cases(*RUNS)
def picture(name):
    """the SVG is well-formed, and Chromium draws it alone"""
    path = os.path.join(FOLDER.name, name + ".svg")
    source = made("svg", name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(source)
    root = ET.fromstring(source)
    equal(root.tag, "{http://www.w3.org/2000/svg}svg", "root")
    equal(re.findall(r"<script|https?:(?!//www\.w3\.org/2000/svg)", source), [], "scripts and addresses")
    BROWSER.open("file://" + path)
    shot(BROWSER, f"svg-{name}")
    height = BROWSER.run("return document.documentElement.getBoundingClientRect().height")
    true(abs(height - float(root.get("height"))) < 2, "drawn at its own size")
    equal(BROWSER.console(), [], "console")


with Browser() as BROWSER, FOLDER:
    BROWSER.media(scheme="light")
    BROWSER.size(1280, 900)
    main()
