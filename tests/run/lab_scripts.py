# SPDX-License-Identifier: MIT
"""Scripts that are wrong, hostile or slow, and what people mistype: each gets one clear answer."""
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from labtest import illegal, lab, need, place, records, script  # noqa: E402
from tap import SOURCE, cases, equal, has, main, run, test, true  # noqa: E402

HEAD = 'scenario { title = "T" }\n'


def refused(text, *parts, code=2, name="own.lua", options=()):
    """Runs a script that must fail with that exit code and all the parts in its report."""
    done = lab(script(text, name), *options)
    equal(done.returncode, code, f"exit code; {done.stdout}{done.stderr}")
    flat = " ".join(done.stdout.split())
    for part in parts:
        has(flat, " ".join(part.split()), "report")
    return done


@cases(
    ("syntax", HEAD + "expect(client,,)", "own.lua:2:"),
    ("nil-call", HEAD + "local x = nil\nx.y()", "own.lua:3:", "x.y()"),
    ("unknown-global", HEAD + 'exspect(client, "gone")', "nothing is called 'exspect'"),
    ("raised", HEAD + 'error("my own words")', "my own words", "own.lua:2:"),
    ("raised-table", HEAD + "error({})", "no text"),
    ("no-title", "expect(client, 'gone')", "a script begins with scenario"),
    ("call-before-title", "server:process()", "a script begins with scenario"),
    ("mistyped-option", HEAD + 'expect(client, "gone", { recvq = 1 })', "did you mean 'recv_q'?", "own.lua:2"),
    ("mistyped-about", 'scenario { titel = "T" }', "did you mean 'title'?"),
    ("wrong-kind", HEAD + 'expect(client, "gone", { recv_q = "1" })', "'recv_q' is to be a whole number"),
    ("long-text", HEAD + 'step(("x"):rep(1000000))', "more than a scenario may give", "own.lua:2"),
    ("many-names", HEAD + 'local t = {}; for i = 1, 1e6 do t[i] = "" end; expect(client, t)',
     "not enough memory"),
    ("nested-copies", HEAD + 'local t = { "x", "x", "x", "x", "x", "x", "x", "x", "x", "x" }\n'
     "for _ = 1, 6 do t = { t, t, t, t, t, t, t, t, t, t } end\nexpect(client, t)", "more than a scenario may give"),
    ("nothing", "", "says no scenario"),
    ("no-expectation", HEAD, "expects nothing"),
    ("twice", HEAD + HEAD, "given twice"),
    ("bad-state", HEAD + 'expect(client, "CLOSEWAIT")', "'CLOSEWAIT' is no TCP state", "CLOSE_WAIT"),
    ("no-state", HEAD + "expect(client, {})", "expect needs a state"),
    ("bad-within", HEAD + 'expect(client, "gone", { within = "soon" })', "'within' is to be a duration, such as \"2s\""),
    ("bad-flag", HEAD + 'wire.drop { flags = "FINN" }', "'FINN' is no TCP flag"),
    ("bad-sysctl", HEAD + 'server:sysctl("ipv4/ip_forward", 1)', "may not set the sysctl"),
    ("bad-option", HEAD + 'local l = server:listen(13); l:set("SO_BINDTODEVICE", 1)', "no socket option"),
    ("bad-signal", HEAD + 'server:process():kill("WINK")', "no signal 'WINK'"),
    ("function-argument", HEAD + "step(print)", "'print' is not there"),
    ("function-value", HEAD + "expect(client, { function() end })", "cannot be given to the lab"),
    ("deep-table", HEAD + "local t = {}; t[1] = t; expect(client, t)", "nested more than"),
    ("options-number", HEAD + "server:listen(13):accept(3)", "names and values", "own.lua:2:"),
    ("mistyped-in-a-call", HEAD + "server:listen(13, { backlogg = 2 })", "did you mean 'backlog'?", "own.lua:2"),
    ("mistyped-wait", HEAD + 'server:listen(13, { withn = "2s" })', "'withn' is not taken here", "own.lua:2"),
    ("port-too-high", HEAD + "server:listen(65536)", "'port' is to be a whole number from 0 to 65535"),
    ("no-such-packet", HEAD + "wire.drop { nth = 0 }", "'nth' is to be a whole number from 1"),
    ("number-keys", HEAD + 'expect(client, "gone", { [2.5] = 1 })', "options are names and values"),
)
def wrong(_name, text, *parts):
    refused(text, *parts)


@cases("io", "os", "debug", "package", "require", "load", "loadfile", "dofile", "coroutine", "print",
       "collectgarbage")
def not_there(name):
    refused(HEAD + f"local x = {name}", f"'{name}' is not there", "own.lua:2:")


@cases(
    ("string.dump", HEAD + "string.dump(function() end)", "attempt to call a nil value"),
    ("metatable-of-globals", HEAD + "getmetatable(_G).__index = nil", "attempt to index a boolean value"),
    ("metatable-of-strings", HEAD + 'getmetatable("").__index = nil; step(("x"):rep(3))', "rep"),
    ("metatable-of-hosts", HEAD + "getmetatable(client).run = nil", "attempt to index a boolean value"),
    ("format-flood", HEAD + 'string.format("%99999d", 1)', "invalid conversion"),
)
def escapes(_name, text, part):
    refused(text, part)


@test
def bytecode_is_refused():
    refused(b"\x1bLua" + bytes(range(200)), "bytecode; a scenario is Lua text")


@cases(
    ("loop", HEAD + "while true do end", "an endless loop?"),
    ("loop-in-pcall", HEAD + "while true do pcall(function() while true do end end) end",
     "an endless loop?"),
    ("loop-before-title", "while true do end", "an endless loop?"),
    ("recursion", HEAD + "local function f() return f() + 1 end f()", "own.lua: not enough memory"),
    ("memory", HEAD + 'local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end', "not enough memory"),
    ("one-string", HEAD + 'local s = ("x"):rep(1e9)', "not enough memory"),
    ("pattern", HEAD + 'local i = (("a"):rep(60000)):find((".-"):rep(30) .. "b")',
     "more than 2 s of processor time"),
)
def spent(_name, text, part):
    refused(text, part)


@test
def other_commands_need_leave():
    text = HEAD + 'local t = server:run("true"); t:exits(0)'
    refused(text, "wants to run 'true'", "--allow=true")
    equal(lab(script(text), "--allow=true").returncode, 0, "with leave")
    equal(lab(script(text), "--allow=*").returncode, 0, "with all")
    refused(text, "wants to run 'true'", options=["--allow=false"])


@test
def a_program_writes_nowhere():
    target = os.path.join(place(), "written")
    text = HEAD + f'local t = server:run("touch", "{target}"); check(t:exits() ~= 0, "touch fails")'
    for user in (False, True):
        done = lab(script(text), "--allow=touch", user=user)
        equal(done.returncode, 0, done.stdout)
    true(not os.path.exists(target), "nothing was written")


@test
def a_step_waits_no_longer_than_it_says():
    _, (r,) = records(script(HEAD + 'local l = server:listen(13)\nl:accept({ within = "100ms" })'))
    has(r["error"], "accept does not return in time", "error")
    true(100000 <= r["run_us"] < 5000000, f"it took {r['run_us']} us")


@test
def a_long_name_keeps_its_line():
    name = "n" * 200 + ".lua"
    for text in ('check(false, "no")', 'expect(client, "ESTABLISHED", { within = "1ms" })'):
        done, (r,) = records(script(HEAD + "\n" + text, name))
        equal((done.returncode, r["expectations"][0]["where"].rpartition(":")[2]), (1, "3"), r)
    refused(HEAD + 'expect(client, "none")', ":2: 'none' is no TCP state", name=name)


@cases("own", "own.lua.bak", "own.txt", "n" * 100, "n" * 200)
def a_wrong_line_is_quoted_whatever_the_files_name(name):
    refused(HEAD + "local x = nil\nx.y()", ":3:", "; the line: x.y()", name=name)


@test
def the_list_has_columns():
    done = lab("--list", script(HEAD, "m" * 70 + ".lua"), script(HEAD, "m.lua"))
    ends = [line.rindex("T") for line in done.stdout.splitlines() if line.startswith("  ")]
    equal(ends, [73, 73], f"where the titles begin in {done.stdout}")


@cases(
    ("before-listening", 'server:run("daytimed", "--no-such-option"):listens()',
     "exited with status 2", "before it listened", "no option --no-such-option"),
    ("cannot-run", 'server:run("no-such-command")', "no command 'no-such-command'"),
    ("never-says", 'server:run("daytimed", "--user=none", "13"):says("hello", { within = "100ms" })',
     "has not said 'hello'"),
    ("call-fails", 'client:connect(server, 13)', "connect failed with ECONNREFUSED", 'fails = '),
    ("never-accepts", 'server:listen(13):accept({ within = "100ms" })', "accept does not return in time"),
    ("killed-in-call", 'local p = server:process(); local l = p:listen(13); l:begin("accept"); '
     'p:kill("KILL"); l:finish()', "has ended in the midst of"),
)
def actors(_name, text, *parts):
    refused(HEAD + text, *parts, code=1, options=["--allow=no-such-command"])


@test
def a_failed_expectation_is_told():
    """What was expected, what was seen, where, and the timeline so far."""
    text = HEAD + """local d = server:run("daytimed", "--user=none", "--after-reply=keep", server.port)
client:run("daytime", server.address, d:listens()):exits(0)
expect(server, "LAST_ACK", { within = "100ms", recv_q = 1 })
"""
    done = refused(text, "wanted LAST_ACK, recv_q 1, saw CLOSE_WAIT, recv_q 1", "own.lua:4", "SYN ACK",
                   "write 25 bytes", code=1)
    true("✗" in done.stdout, "marked")
    done, (r,) = records(script(text))
    equal((done.returncode, r["passed"], r["status"]), (1, False, "failed"), "record")
    equal(r["ends"]["server"]["state"], "CLOSE_WAIT", "ends")
    true(len(r["timeline"]) > 8 and illegal(r) is None, "the timeline so far")


@test
def an_illegal_wish_is_an_unmet_one():
    refused(HEAD + 'local l = server:listen(13); client:connect(server, 13)\n'
            'expect_path(client, "ESTABLISHED", "CLOSE_WAIT")', "wanted ESTABLISHED, CLOSE_WAIT", code=1)


@test
def quiet_waits_for_one_that_computes():
    """A program works for 300 ms, far longer than the wire's 20, and then connects."""
    path = script(HEAD + """local l = server:listen(13)
client:run("python3", "-S", "-c", [[
import socket, time
s, end = socket.socket(), time.monotonic() + 0.3
while time.monotonic() < end:
    pass
s.connect(("10.0.0.2", 13))
s.recv(1)
]])
wire.quiet()
expect_packet(client, { flags = "SYN", within = "1ms" })
""")
    done, (r,) = records(path, "--allow=python3")
    equal((done.returncode, r["error"]), (0, None), r["expectations"])


@test
def it_ends_in_time():
    refused(HEAD + 'server:listen(13):accept({ within = "1h" })', "is not done after 300 ms", code=1,
            options=["--timeout=300ms"])


@cases(
    ("sever-never-closes", "did you mean 'server-never-closes'?"),
    ("half-closed", "did you mean 'half-close'?"),
    ("half-close/shutdown-then-closed", "did you mean 'shutdown-then-close'?"),
    ("half-close/nosuch", "no scenario 'half-close/nosuch'"),
    ("half-close/qqqqqqqqqqqq", "unclosed lab --list"),
    ("--pcap=both-close", "'both-close' is a scenario, not a FILE to write; ./both-close would be"),
    ("--html=half-close", "'half-close' is a scenario"),
    ("--svg=experiments", "'experiments' is a scenario"),
    ("qqqqqqqqqqqq", "unclosed lab --list"),
    ("nosuch/*", "no scenario 'nosuch/*'"),
    ("--jsn", "did you mean --json?"),
    ("-zq", "no option -z"),
    ("--quiet=yes", "option --quiet takes no argument"),
    ("--jobs=0", "--jobs takes 1 to"),
    ("--timeout=5", "takes a duration"),
    ("--seed=-1", "--seed takes a number"),
    ("--colour=blue", "auto, always or never"),
    ("--pcap", "needs an argument"),
)
def mistyped(word, part):
    done = lab(word)
    equal((done.returncode, done.stdout), (2, ""), "exit code, stdout")
    has(done.stderr, part, "stderr")
    equal(len(done.stderr.splitlines()), 1, "lines")


@test
def files_that_are_no_scenarios():
    for path, part in (("./no-such.lua", "No such file"), ("/dev/zero", "no regular file"),
                       (place() + "/", "no regular file")):
        done = lab(path)
        true(done.returncode in (2, 3), f"{path}: exit {done.returncode}")
        has(done.stderr, part, path)
    big = script("-- " + "x" * 300000, "big.lua")
    done = lab(big)
    equal(done.returncode, 2, "exit code")
    has(done.stderr, "longer than", "stderr")


@cases("--pcap", "--html", "--svg")
def a_file_that_cannot_be_written_is_told_first(option):
    """Nothing is run for nothing."""
    for path, why in (("/nosuch/x", "No such file or directory"), (place(), "Is a directory"),
                      (place() + "/new/", "Is a directory")):
        done = lab("both-close", f"{option}={path}")
        equal((done.returncode, done.stdout), (3, ""), f"{path}: exit code, stdout")
        has(done.stderr, f"cannot write {path}: {why}", "stderr")
        equal(len(done.stderr.splitlines()), 1, "lines")
    true(not os.path.exists(place() + "/new"), "nothing is made")


@test
def a_wrong_script_has_no_diagram():
    text = lab(script("x = = ")).stdout
    true("10.0.0." not in text, text)
    has(text, "own.lua:1: unexpected symbol", "report")


@test
def under_another_tracer_it_says_so():
    need("strace")
    done = run("strace", "-f", "-o", "/dev/null", os.path.join(place(), "bin", "unclosed"), "lab", "-q", "both-close")
    equal(done.returncode, 1, done.stderr)
    has(done.stdout, "somebody else traces it already", "report")


@test
def help_for_a_command():
    program = os.path.join(place(), "bin", "unclosed")
    equal(run(program, "help", "lab").stdout, run(program, "lab", "--help").stdout, "help lab")
    equal(run(program, "help").stdout, run(program, "--help").stdout, "help")
    summaries = re.findall(r"^  [a-z]+ +(\S)", run(program, "--help").stdout.partition("Commands:")[2], re.M)
    true(len(summaries) > 4 and all(c.islower() for c in summaries), f"how the summaries begin: {summaries}")
    done = run(program, "help", "lst")
    equal((done.returncode, done.stdout), (2, ""), "help lst")
    has(done.stderr, "did you mean 'list'?", "help lst")


@test
def a_full_disk_is_told():
    done = lab("both-close", "--pcap=/dev/full")
    equal(done.returncode, 3, "exit code of the capture")
    has(done.stderr, "No space left on device", "stderr")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([os.path.join(place(), "bin", "unclosed"), "lab", "both-close"], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    equal(done.returncode, 3, "exit code of the report")


@cases(">/dev/full", ">&-", "<&- >&-")
def what_could_not_be_written_is_no_success(where):
    program = os.path.join(place(), "bin", "unclosed")
    for words in ("--help", "lab --list both-close", "lab both-close", "lab --json both-close"):
        done = run("sh", "-c", f'exec "$0" {words} {where}', program)
        equal(done.returncode, 3, words)
        equal(len(done.stderr.splitlines()), 1, f"{words}: lines in {done.stderr}")


@test
def a_cluster_of_options_after_another():
    done = lab("--json", "-zq")
    equal(done.returncode, 2, "exit code")
    has(done.stderr, "no option -z", "stderr")


@test
def inherited_signal_dispositions_do_no_harm():
    program = os.path.join(place(), "bin", "unclosed")
    for name in ("CHLD", "PIPE", "INT"):
        equal(run("env", f"--ignore-signal={name}", program, "lab", "-q", "both-close", timeout=20).returncode, 0, name)


@test
def the_list_shows_a_strangers_title_harmlessly():
    path = script('scenario { title = "\\27[31mred\\255\\n" }', "title.lua")
    done = lab("--list", path)
    equal(done.returncode, 0, done.stderr)
    has(done.stdout, "\\x1b[31mred\\xff\\n\n", "list")


@test
def what_does_not_fit_is_counted():
    """8192 events, 256 expectations, 2048 connections are kept; how many more there were is said."""
    path = script(HEAD + 'for _ = 1, 8200 do step("x") end\nfor _ = 1, 300 do check(true, "yes") end')
    done, (r,) = records(path)
    equal((done.returncode, r["lost"]["events"], r["lost"]["expectations"]), (0, 8, 44), "lost")
    has(lab(path).stdout, "8 events, 44 expectations did not fit", "text")
    path = script(HEAD + 'for _ = 1, 300 do check(true, "yes") end\ncheck(false, "the last straw")')
    has(lab(path).stdout, "wanted the last straw", "what decided the run")
    path = script(HEAD + 'local p = client:process()\nfor _ = 1, 2060 do\nlocal s = p:socket()\n'
                  's:connect(server, 99, { fails = "ECONNREFUSED" })\ns:close()\nend')
    done, (r,) = records(path)
    equal((done.returncode, r["lost"]["connections"], len(r["connections"])), (0, 12, 2048), "connections")


@test
def chances_follow_the_seed():
    path = script(HEAD + 'local l = server:listen(13)\nlocal c = client:connect(server, 13)\nlocal s = l:accept()\n'
                  'for _ = 1, 8 do c:write("x"); s:read(1) end\nexpect(client, "ESTABLISHED")', "seed.lua")

    def dropped(seed):
        _, (r,) = records("--loss=40", f"--seed={seed}", path)
        return [(e["from"], e["seq"], e["len"]) for e in r["timeline"]
                if e["kind"] == "packet" and e["fate"] == "dropped"][:2]

    seen = [dropped(seed) for seed in (1, 1, 2, 3, 4, 5)]
    true(all(seen), f"packets are lost with every seed: {seen}")
    true(len(set(map(str, seen[1:]))) > 1, f"seeds differ: {seen}")


@test
def a_file_on_standard_output_has_it_alone():
    for option, first in (("--pcap=-", b"\x4d\x3c\xb2\xa1"), ("--html=-", b"<!doctype"), ("--svg=-", b"<")):
        done = lab("-q", "both-close", option, text=False, errors=None)
        equal(done.returncode, 0, done.stderr)
        true(done.stdout[:9].lower().startswith(first.lower()), f"{option}: {done.stdout[:20]!r}")
        true(b"both-close" in done.stderr, "the report is on standard error")
    done = lab("both-close", "--json", "--svg=-")
    equal((done.returncode, done.stdout), (2, ""), "--json and a file cannot both have it")


@test
def the_list_names_all():
    done = lab("--list")
    equal(done.returncode, 0, done.stderr)
    for folder, _, files in os.walk(os.path.join(SOURCE, "scenarios")):
        for name in files:
            has(done.stdout, name.removesuffix(".lua"), "list")


@test
def globs_and_themes_choose():
    names = [r["scenario"] for r in records("*-waits-*", "experiments/server-*")[1]]
    equal(names, ["client-waits-before-close", "server-waits-before-close", "server-never-closes"], "chosen")
    equal(len(records("experiments")[1]), 5, "a theme")
    equal(len(records("experiments/")[1]), 5, "a theme as the shell completes a folder")


@test
def a_file_that_was_written_is_named():
    """With what is in it; not where --quiet asks for less, or where it is standard output."""
    files = {option: os.path.join(place(), "told." + option) for option in ("pcap", "html", "svg")}
    options = [f"--{option}={path}" for option, path in files.items()]
    done, (r,) = records("both-close", *options)
    packets = sum(e["kind"] == "packet" for e in r["timeline"])
    equal(done.stderr.splitlines(), [f"unclosed lab: wrote {files['pcap']} ({packets} packets)",
                                     f"unclosed lab: wrote {files['html']} (1 scenario)",
                                     f"unclosed lab: wrote {files['svg']} (1 scenario)"], "stderr")
    equal(lab("both-close", "-q", *options).stderr, "", "--quiet")
    equal(records("both-close", "--pcap=/dev/null")[0].stderr.count("wrote"), 1, "another")
    equal(lab("both-close", "--html=-").stderr.count("wrote"), 0, "standard output")


@test
def the_report_on_a_full_disk_says_why():
    program = os.path.join(place(), "bin", "unclosed")
    for words in ("lab --json both-close", "lab both-close", "lab -q both-close", "--help"):
        done = run("sh", "-c", f'exec "$0" {words} >/dev/full', program)
        equal(done.returncode, 3, words)
        has(done.stderr, "No space left on device", words)


@test
def quiet_json_is_json():
    done, found = records("-q", "both-close", "client-never-closes")
    equal((done.returncode, [r["scenario"] for r in found]), (0, ["both-close", "client-never-closes"]), done.stderr)


@test
def quiet_is_one_line_for_each():
    done = lab("-q", "both-close", script(HEAD + 'check(false, "no")'))
    equal((done.returncode, done.stderr), (1, ""), "exit code, stderr")
    lines = done.stdout.splitlines()
    true(re.fullmatch(r"✓ both-close +[\d.]+ m?s", lines[0]), lines[0])
    true(re.fullmatch(r"✗ own +[\d.]+ m?s  wanted no, saw not so", lines[1]), lines[1])
    true("10.0.0." not in done.stdout, "no diagram")
    has(done.stdout, "not all passed: 1 of 2 scenarios in", "the sum")


def on_terminals(columns, *argv, stdout=False, **kw):
    """Runs the lab with a terminal of that width as standard error, and as standard output or else a pipe.
    Returns what the terminal was sent."""
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([os.path.join(place(), "bin", "unclosed"), "lab", *argv], stderr=child,
                          stdout=child if stdout else subprocess.DEVNULL, **kw) as process:
        os.close(child)
        text = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # EIO: nobody has it open any more
                break
            text += part
    os.close(parent)
    return text.decode().replace("\r\n", "\n")


@test
def progress_is_shown_on_a_terminal():
    """One line that is overwritten, where the report goes elsewhere and there is something to wait for."""
    text = on_terminals(80, "-q", "half-close/*")
    steps = re.findall(r"\r(\d+) of (\d+) scenarios", text)
    equal("".join(f"\r{done} of {n} scenarios" for done, n in steps) + "\n", text, "nothing else")
    counts = [int(done) for done, _ in steps]
    equal(counts, sorted(counts), "it only grows")
    equal({int(n) for _, n in steps}, {counts[-1]}, "it ends with all")
    true(len(set(counts)) > 1 and counts[0] < counts[-1], f"it begins before the end: {counts}")
    equal(on_terminals(80, "-q", "who-closes-first/both*"), "", "few")
    text = on_terminals(80, "-q", "half-close/*", stdout=True)
    shown, report = re.fullmatch(r"((?:\r\d+ of \d+ scenarios)+)\r {20,}\r(.*)", text, re.S).groups()
    true(shown.count("\r") > 1, f"it goes on: {shown!r}")
    true("\r" not in report and len(report.splitlines()) >= counts[-1], f"and makes room for the report: {report!r}")
    true(" scenarios\r" not in on_terminals(80, "half-close/*", stdout=True), "not between diagrams")
    true(" scenarios\r" not in on_terminals(80, "-q", "--json", "half-close/*", stdout=True), "nor objects")


@test
def a_narrow_terminal_is_told_what_a_diagram_needs():
    warning = "a diagram needs 80 columns, and this terminal has 60"
    has(on_terminals(60, "both-close", stdout=True), warning, "60 columns")
    for columns, words in ((80, ["both-close"]), (60, ["-q", "both-close"]), (60, ["--json", "both-close"]),
                           (60, ["--list", "both-close"])):
        true("a diagram needs" not in on_terminals(columns, *words, stdout=True), f"{columns}: {words}")
    true("a diagram needs" not in on_terminals(60, "both-close"), "no diagram there")


@cases(1, 2, 3)
def a_rule_takes_the_nth(nth):
    """Of three writes, each of as many bytes as its number; the ones before and after pass."""
    path = script(HEAD + f"""local l = server:listen(13)
local c = client:connect(server, 13)
local s = l:accept()
c:set("TCP_NODELAY", 1)
local r = wire.hold {{ from = client, data = true, nth = {nth} }}
for n = 1, 3 do c:write(n) end
r:caught()
wire.quiet()
wire.release()
expect(client, "ESTABLISHED")
""")
    done, (r,) = records(path)
    equal(done.returncode, 0, r["error"])
    held = [e["len"] for e in r["timeline"] if e["kind"] == "packet" and e["fate"] == "held"]
    equal(held, [nth], "held")


CONNECTED = HEAD + """local l = server:listen(13)
local c = client:connect(server, 13)
local s = l:accept()
c:set("TCP_NODELAY", 1)
"""


def client_data(text, *options):
    """Runs a script on a connection: its record, and length and fate of the client's packets with data, in order."""
    done, (r,) = records(script(CONNECTED + text), *options)
    equal((done.returncode, r["error"]), (0, None), r["expectations"])
    return r, [(e["len"], e["fate"]) for e in r["timeline"]
               if e["kind"] == "packet" and e["from"] == "client" and e["len"]]


@test
def what_is_delayed_arrives_later():
    r, data = client_data("""local r = wire.delay { from = client, data = true, by = "80ms", nth = 2 }
c:write(1)
c:write(2)
r:caught()
s:write(4)
c:read()
s:read(1)
check(#s:read() == 2, "it has come")
""")
    equal(data, [(1, "delivered"), (2, "held"), (2, "released")], "the client's data")
    held, other, released = [e["t_us"] for e in r["timeline"] if e.get("len") in (2, 4)]
    true(released - held >= 80000, f"after {released - held} us")
    true(held <= other < released, "what the server sends meanwhile is not delayed")


@test
def what_is_reordered_comes_after_the_next():
    """One write makes two packets; on a busy machine the wire may stand still for the 20 ms between them."""
    for _ in range(5):
        r, data = client_data("""wire.reorder { from = client, data = true, nth = 1 }
c:write(2000)
wire.quiet()
check(#s:read() == 2000, "both have come")
""")
        times = [e["t_us"] for e in r["timeline"] if e.get("len") == data[0][0]]
        if times[1] - times[0] < 20000:
            equal([fate for _, fate in data], ["held", "delivered", "released"], f"{data}")
            break
    else:
        raise AssertionError("the wire is always late")
    r, data = client_data("""wire.reorder { from = client, data = true }
c:write(7)
check(#s:read() == 7, "it has come")
""")
    equal(data, [(7, "held"), (7, "released")], "with none behind it")
    held, released = [e["t_us"] for e in r["timeline"] if e.get("len") == 7]
    true(released - held >= 20000, f"after {released - held} us")


@cases("drop", "hold")
def a_rule_takes_those_of_a_length(action):
    """Of packets with 1, 2 and 3 bytes the one with 2, its retransmissions too; not one without data."""
    fate = {"drop": "dropped", "hold": "held"}[action]
    _, data = client_data(f"""local r = wire.{action} {{ length = 2 }}
for n = 1, 3 do c:write(n) wire.quiet() end
r:caught()
check(true, "one of that length was sent")
""")
    equal({(n, f) for n, f in data if n < 4}, {(1, "delivered"), (2, fate), (3, "delivered")}, "the client's data")
    _, data = client_data(f"local r = wire.{action} {{ length = 0, from = server }}\nc:write(1)\nr:caught()\n"
                          'check(true, "an ACK has none")')
    equal(data[0], (1, "delivered"), "the other host's")


@cases("drop", "hold")
def a_rule_takes_some_by_chance(action):
    """100 takes each of eight ACKs, 50 neither all nor none; the same ones with the same seed."""
    fate = {"drop": "dropped", "hold": "held"}[action]

    def fates(percent, seed):
        r, _ = client_data(f"""wire.{action} {{ from = client, data = false, percent = {percent} }}
s:set("TCP_NODELAY", 1)
for n = 1, 8 do s:write(1) c:read(1) end
wire.quiet()
check(true, "all were read")
""", f"--seed={seed}")
        return [e["fate"] for e in r["timeline"] if e["kind"] == "packet" and e["from"] == "client"][2:10]

    equal(fates(100, 1), [fate] * 8, "100 percent")
    seen = [fates(50, seed) for seed in (1, 1, 2, 3)]
    equal(seen[0], seen[1], "the same seed")
    for one in seen:
        equal(set(one), {fate, "delivered"}, f"50 percent: {seen}")
    true(len(set(map(str, seen))) > 1, f"seeds differ: {seen}")


@test
def a_packet_is_sent_once():
    """One that was held is in the record twice, and a copy and one from nobody are the wire's."""
    client_data("""local h = wire.hold { from = client, length = 5 }
c:write(5)
h:caught()
h:release()
check(#s:read() == 5, "the held one came")
wire.duplicate { from = client, length = 6, nth = 1 }
c:write(6)
check(#s:read() == 6, "the other came")
wire.inject(server, { flags = "ACK", length = 9, seq = 1 })
wire.quiet()
expect_packet(client, { length = 5, count = 1 })
expect_packet(client, { length = 6, count = 1 })
expect_packet(client, { length = 9, count = 0 })
""")


@test
def what_was_set_in_a_kernel_is_told():
    text = lab(script(HEAD + 'client:sysctl("ipv4/tcp_fin_timeout", 7)\nserver:sysctl("core/somaxconn", 9)\n'
                      'check(true, "both were set")')).stdout
    has(text, "The client's kernel has tcp_fin_timeout set to 7.", "diagram")
    has(text, "The server's kernel has somaxconn set to 9.", "diagram")
    true("Both kernels" not in text, f"nothing else was set: {text}")


@test
def what_loss_sets_is_told():
    """Once for both hosts; what this kernel does not know was not set."""
    path = script(HEAD + 'check(true, "it ran")')
    steps = [e["text"] for e in records("--loss=10", path)[1][0]["timeline"] if e["kind"] == "step"]
    for name, value in (("tcp_orphan_retries", 100), ("tcp_retries2", 100), ("tcp_rfc1337", 1)):
        equal(steps.count(f"Both kernels have {name} set to {value}."), 1, f"{name} in {steps}")
    equal(len(steps), len(set(steps)), f"once: {steps}")
    true(3 <= len(steps) <= 5, f"steps: {steps}")
    none = script('scenario { title = "T", loss = false }\ncheck(true, "it ran")')
    for options in ([path], ["--loss=10", none]):
        equal([e for e in records(*options)[1][0]["timeline"] if e["kind"] == "step"], [], "without losses")


@test
def colours_are_for_terminals():
    plain = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    terminal = {**plain, "TERM": "xterm-256color"}
    true("\033[" in on_terminals(80, "both-close", stdout=True, env=terminal), "on a terminal")
    quiet = on_terminals(80, "-q", "both-close", stdout=True, env=terminal)
    true("\033[" in quiet, f"in the summary: {quiet}")
    for word in ("1", "0"):
        text = on_terminals(80, "both-close", stdout=True, env={**terminal, "NO_COLOR": word})
        true("both-close" in text and "\033" not in text, "NO_COLOR")
    text = on_terminals(80, "both-close", "--colour=always", stdout=True, env={**terminal, "NO_COLOR": "1"})
    true("\033[" in text, "NO_COLOR, but asked for")
    true("\033" not in on_terminals(80, "both-close", "--colour=never", stdout=True, env=terminal), "never")
    true("\033" not in lab("both-close", env=plain).stdout, "in a pipe")


@test
def a_conclusion_fails_only_where_it_was_tried():
    """A script that is wrong, or a program that fails, says nothing of TCP."""
    def tail(*texts):
        paths = [script(f'scenario {{ title = "T", proves = {{ "passive-close" }} }}\n{text}\n', f"own{i}.lua")
                 for i, text in enumerate(texts)]
        return " ".join(lab("-q", *paths).stdout.partition("While the passive closer")[2].split())

    fails, wrong_, broken = 'check(false, "no")', "x = = 1", "client:connect(server, 13)"
    has(tail('check(true, "yes")'), "FIN_WAIT_2: holds: shown by own0", "passed")
    has(tail(fails), "FIN_WAIT_2: does not hold here: see own0", "failed")
    has(tail(broken), "FIN_WAIT_2: was not tried: see own0", "broken")
    has(tail("nothing()"), "FIN_WAIT_2: was not tried: see own0", "a wrong script")
    has(tail('check(true, "yes")', broken), "FIN_WAIT_2: was not tried: see own1", "one was not")
    has(tail(broken, fails), "FIN_WAIT_2: does not hold here: see own1", "one was not, one failed")
    equal(tail(wrong_), "", "what bears on nothing")


main()
