# SPDX-License-Identifier: MIT
"""Every argument of every function of unclosed-scenario(5): what it takes, and what is said of anything else."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from labtest import lab, records, script  # noqa: E402
from tap import SOURCE, cases, equal, has, main, test, true  # noqa: E402

HEAD = 'scenario { title = "T" }\n'
# What the lines below are about. `sp` is a process of the server, `s` and `c` are connected sockets.
WORLD = HEAD + """
local sp = server:process("srv")
local l = sp:listen(13)
local c = client:connect(server, 13)
local s = l:accept()
local d = server:run("daytimed", "--user=none", "14")
local r = wire.watch()
local function refused(text, f)
	local ok, why = pcall(f)
	if ok then
		error("accepted where it should say: " .. text, 0)
	end
	if not why:find("^own%.lua:%d+: ") or not why:find(text, 1, true) then
		error("should say: " .. text .. "; but says: " .. tostring(why), 0)
	end
end
"""
HOST = "takes client or server, not "
WRONG = [
    # The ends. What is taken for an end is the wrong one.
    ('expect(sp, "FIN_WAIT_2")', "expect " + HOST + "a process"),
    ('expect(s, "FIN_WAIT_2")', "expect " + HOST + "a socket"),
    ('expect(d, "FIN_WAIT_2")', "expect " + HOST + "a program"),
    ('expect(r, "FIN_WAIT_2")', "expect " + HOST + "a rule"),
    ('expect("server", "FIN_WAIT_2")', "not the text 'server': write it without quotes"),
    ('expect("sever", "FIN_WAIT_2")', "expect " + HOST + "the text 'sever'"),
    ('expect(nil, "FIN_WAIT_2")', "expect " + HOST + "nothing"),
    ('expect({ side = 1 }, "FIN_WAIT_2")', "expect " + HOST + "a table"),
    ('expect(1, "FIN_WAIT_2")', "expect " + HOST + "the number 1"),
    ("expect()", "expect " + HOST + "nothing"),
    ('expect(client, "ESTABLISHED", { side = 1 })', "'side' is not taken here"),
    ('expect_path("server", "ESTABLISHED")', "expect_path " + HOST + "the text 'server'"),
    ('expect_path(sp, "ESTABLISHED")', "expect_path " + HOST + "a process"),
    ('expect_packet(sp, { flags = "SYN" })', "expect_packet " + HOST + "a process"),
    ('expect_packet("client", { flags = "SYN" })', "expect_packet " + HOST),
    ("sample(s)", "sample " + HOST + "a socket"),
    ('wire.inject(sp, { flags = "RST" })', "wire.inject " + HOST + "a process"),
    ('wire.hold { from = "cliet" }', "'from' takes client or server, not the text 'cliet'"),
    ("wire.drop { from = 1 }", "'from' takes client or server, not the number 1"),
    ("wire.watch { from = sp }", "'from' takes client or server, not a process"),
    ('client:connect("server", 13)', "connect " + HOST + "the text 'server': write it without quotes"),
    ("client:connect(13)", "connect " + HOST + "the number 13"),
    ("sp:connect(s, 13)", "connect " + HOST + "a socket"),
    ("sp:socket():connect(nil, 13)", "connect " + HOST + "nothing"),
    ('sp:socket():begin("connect", sp, 13)', HOST + "a process"),
    # A dot in the place of a colon, and the other way round.
    ("server.listen(13)", "write host:listen(...) with ':', not '.'"),
    ("server.run('daytimed')", "write host:run(...) with ':'"),
    ("sp.listen(13)", "write process:listen(...) with ':'"),
    ("s.close()", "write socket:close(...) with ':'"),
    ('s.begin("read")', "write socket:begin(...) with ':'"),
    ("d.listens()", "write program:listens(...) with ':'"),
    ("r.stop()", "write rule:stop(...) with ':'"),
    ("s.close(sp)", "write socket:close(...) with ':'"),
    ("wire:cut()", "write wire.cut(...) with '.', not ':'"),
    ('wire:drop { flags = "SYN" }', "write wire.drop(...) with '.'"),
    # Names that are not there.
    ("c:clos()", "a socket has no 'clos'; did you mean 'close'?"),
    ("sp:lisen(13)", "a process has no 'lisen'; did you mean 'listen'?"),
    ("d:sais('x')", "a program has no 'sais'; did you mean 'says'?"),
    ("server:proces()", "a host has no 'proces'; did you mean 'process'?"),
    ("r:stp()", "a rule has no 'stp'; did you mean 'stop'?"),
    ("wire.hodl()", "wire has no 'hodl'; did you mean 'hold'?"),
    ("local x = s[{}]", "a socket has no field of that kind"),
    # What says of the scenario.
    ('scenario "x"', "scenario takes names and values, as in { title = \"...\" }, not the text 'x'"),
    ("scenario()", "scenario takes names and values"),
    ("step()", "step takes a text, not nothing"),
    ("step(1)", "step takes a text, not the number 1"),
    ("step('a', 'b')", "step takes no more than that, not the text 'b'"),
    ("observe(1)", "observe takes a text, not the number 1"),
    ("observe('x', 1)", "observe takes options, which are names and values"),
    ("observe('x', { conection = 1 })", "did you mean 'connection'?"),
    ("observe('x', { connection = 0 })", "'connection' is to be a whole number from 1"),
    # What is expected.
    ("expect(client)", "expect takes a state, such as \"CLOSE_WAIT\", or a list of them, not nothing"),
    ("expect(client, s)", "or a list of them, not a socket"),
    ("expect(client, { recv_q = 1 })", "expect needs a state"),
    ("expect(client, { 1 })", "'states' is to be a list of texts"),
    ("expect(client, 'CLOSEWAIT')", "'CLOSEWAIT' is no TCP state"),
    ("expect(client, 'gone', 2)", "expect takes options, which are names and values, as in { within = \"2s\" }"),
    ("expect(client, 'gone', { within = 2 })", "'within' is to be a duration, such as \"2s\""),
    ("expect(client, 'gone', { within = 'soon' })", "'within' is to be a duration, such as \"2s\""),
    ("expect(client, 'gone', { orphan = 1 })", "'orphan' is to be true or false"),
    ("expect(client, 'gone', { told = 'no' })", "'told' is to be true or false"),
    ("expect(client, 'gone', { timer = 1 })", "'timer' is to be true or false"),
    ("expect(client, 'gone', { recv_q = '1' })", "'recv_q' is to be a whole number"),
    ("expect(client, 'gone', { send_q = 1.5 })", "'send_q' is to be a whole number"),
    ("expect(client, 'gone', { retransmits = true })", "'retransmits' is to be a whole number"),
    ("expect(client, 'gone', {}, 1)", "expect takes no more than that"),
    ("expect_path(client, 1)", "expect_path takes states, such as \"CLOSE_WAIT\", not the number 1"),
    ("expect_path(client, 'A', nil, 'B')", "expect_path takes states, such as \"CLOSE_WAIT\", not nothing"),
    ("expect_path(client, 'gone', { conn = 1 })", "'conn' is not taken here"),
    ("expect_path(client)", "expect needs a state"),
    ("expect_packet(client, 'SYN')", "expect_packet takes names and values, as in { flags = \"FIN ACK\" }"),
    ("expect_packet(client)", "expect_packet takes names and values"),
    ("expect_packet(client, { flags = 'FINACK' })",
     "'FINACK' is no TCP flag; they are FIN, SYN, RST, PSH, ACK, URG, ECE and CWR"),
    ("expect_packet(client, { flgs = 'FIN' })", "did you mean 'flags'?"),
    ("expect_packet(client, { without = 1 })", "'without' is to be a text"),
    ("expect_packet(client, { length = -1 })", "'length' is to be a whole number from 0 to 65535"),
    ("expect_packet(client, { count = -1 })", "'count' is to be a whole number from 0"),
    ("expect_packet(client, { retransmission = 1 })", "'retransmission' is to be true or false"),
    ("sample(client, { within = '2s' })", "'within' is not taken here"),
    ("sample(client, 1)", "sample takes options"),
    ("check()", "check takes a condition, not nothing"),
    ("check(true)", "check takes a text, not nothing"),
    ("check(true, 1)", "check takes a text, not the number 1"),
    ("check(true, '')", "check needs a text"),
    # Hosts.
    ("server:run()", "run takes a command"),
    ("server:run('daytimed', {})", "run takes a command and its arguments, texts or numbers, not a table"),
    ("server:run('daytimed', nil, 13)", "texts or numbers, not nothing"),
    ("server:process(1)", "process takes a text, not the number 1"),
    ("server:listen('13')", "listen takes a port, such as 13, not the text '13'"),
    ("server:listen(65536)", "'port' is to be a whole number from 0 to 65535"),
    ("server:listen(1.5)", "'port' is to be a whole number"),
    ("server:listen(13, { backlogg = 1 })", "did you mean 'backlog'?"),
    ("server:listen(13, { backlog = '1' })", "'backlog' is to be a whole number"),
    ("server:listen(13, { reuse = 1 })", "'reuse' is to be true or false"),
    ("client:connect(server, '13')", "connect takes a port, such as 13, not the text '13'"),
    ("client:connect(server, 13, { from = '13' })", "'from' takes the port to connect from, not the text '13'"),
    ("client:connect(server, 13, { from = 65536 })", "'port' is to be a whole number from 0 to 65535"),
    ("client:connect(server, 13, { frm = 1 })", "'frm' is not taken here; did you mean 'from'?"),
    ("server:sysctl()", "sysctl takes a text, not nothing"),
    ("server:sysctl('ipv4/tcp_fin_timeout')", "sysctl takes a number or a text, not nothing"),
    ("server:sysctl('ipv4/tcp_fin_timeout', {})", "sysctl takes a number or a text, not a table"),
    ("server:sysctl('ipv4/tcp_fin_timeout', 1, { optional = 1 })", "'optional' is to be true or false"),
    ("server:sysctl('ipv4/ip_forward', 1)", "may not set the sysctl"),
    # Programs.
    ("d:says()", "says takes a text, not nothing"),
    ("d:says('x', { withn = '1s' })", "'withn' is not taken here"),
    ("d:listens(1)", "listens takes options"),
    ("d:exits('0')", "exits takes a number, not the text '0'"),
    ("d:exits(0.5)", "'status' is to be a whole number"),
    ("d:exits(0, 1)", "exits takes options"),
    ("d:output(1)", "output takes options"),
    ("d:kill(9)", "kill takes a signal, such as \"TERM\", not the number 9"),
    ("d:kill('WINK')", "no signal 'WINK'"),
    # Processes.
    ("sp:limit()", "limit takes a number, not nothing"),
    ("sp:limit(-1)", "'count' is to be a whole number from 0"),
    ("sp:fork(1)", "fork takes a text, not the number 1"),
    ("sp:exec()", "exec takes a text, not nothing"),
    ("sp:exec('sh')", "exec takes \"cat\""),
    ("sp:exec('cat', { kep = true })", "did you mean 'keep'?"),
    ("sp:exec('cat', { keep = 1 })", "'keep' is to be true or false"),
    ("sp:exit('0')", "exit takes a number, not the text '0'"),
    ("sp:take(1)", "take takes options"),
    ("sp:socket(1)", "socket takes options"),
    # Sockets.
    ("l:accept(3)", "accept takes options, which are names and values"),
    ("l:accept({ fails = 'EPIPEE' })", "'fails' is to be the name of an error, such as \"EPIPE\""),
    ("l:accept({ fails = 32 })", "'fails' is to be the name of an error"),
    ("l:accept({ begin = true })", "'begin' is not taken here"),
    ("l:accept({ actor = 1 })", "'actor' is not taken here"),
    ("c:write()", "write takes a text or a number, not nothing"),
    ("c:write({})", "write takes a text or a number, not a table"),
    ("c:write('')", "write takes a text of at least one byte, or a number of bytes"),
    ("c:write(0)", "'count' is to be a whole number from 1"),
    ("c:write(('x'):rep(5000))", "write takes at most"),
    ("c:read('1')", "read takes a number, not the text '1'"),
    ("c:read(0)", "'count' is to be a whole number from 1"),
    ("c:read(1, 2)", "read takes options"),
    ("c:read({ count = 1 })", "'count' is not taken here"),
    ("c:reads_end(1)", "reads_end takes options"),
    ("c:shutdown()", "shutdown takes a text, not nothing"),
    ("c:shutdown(1)", "shutdown takes a text, not the number 1"),
    ("c:shutdown('wr')", "shutdown takes \"read\", \"write\" or \"both\""),
    ("server:listen(13, { reuseport = 1 })", "'reuseport' is to be true or false"),
    ("c:disconnect(1)", "disconnect takes options"),
    ("c:close(1)", "close takes options"),
    ("c:set('SO_LINGER')", "set takes a number, not nothing"),
    ("c:set('SO_LINGER', true)", "set takes a number, not true"),
    ("c:set('SO_BINDTODEVICE', 1)", "no socket option"),
    ("c:set('SO_LINGER', 1e12)", "'value' is to be a whole number from"),
    ("c:dup(1)", "dup takes options"),
    ("c:bind()", "bind takes a port, such as 13, not nothing"),
    ("c:bind(65536)", "'port' is to be a whole number from 0 to 65535"),
    ("c:nonblocking(true)", "nonblocking takes options"),
    ("c:begin('bind', 13)", "begin takes \"accept\", \"connect\","),
    ("c:begin()", "begin takes \"accept\", \"connect\","),
    ("c:begin('write')", "begin(\"write\") takes a text or a number, not nothing"),
    ("c:begin('read', 'x')", "begin(\"read\") takes a number, not the text 'x'"),
    ("c:begin('close', 1)", "begin(\"close\") takes no arguments, not the number 1"),
    ("c:begin('shutdown', 'wr')", "shutdown takes \"read\""),
    ("c:finish()", "finish waits for a call that was begun"),
    ("c:post(1)", "post takes options"),
    ("c:pass(server)", "pass takes a process, not server"),
    ("c:pass()", "pass takes a process, not nothing"),
    ("c:in_process(c)", "in_process takes a process, not a socket"),
    # The wire.
    ("wire.drop('SYN')", "wire.drop takes names and values, as in { flags = \"FIN ACK\" }, not the text 'SYN'"),
    ("wire.drop { flag = 'SYN' }", "did you mean 'flags'?"),
    ("wire.drop { by = '1s' }", "'by' is not taken here"),
    ("wire.drop { data = 1 }", "'data' is to be true or false"),
    ("wire.drop { nth = 0 }", "'nth' is to be a whole number from 1"),
    ("wire.drop { times = 0 }", "'times' is to be a whole number from 1"),
    ("wire.drop { percent = 101 }", "'percent' is to be a whole number from 1 to 100"),
    ("wire.drop { length = 65536 }", "'length' is to be a whole number from 0 to 65535"),
    ("wire.drop { flags = 1 }", "'flags' is to be a text"),
    ("wire.drop { without = 'NIX' }", "'NIX' is no TCP flag"),
    ("wire.duplicate { from = l }", "'from' takes client or server, not a socket"),
    ("wire.reorder { from = 'server' }", "'from' takes client or server"),
    ("wire.delay()", "wire.delay needs 'by'"),
    ("wire.delay { by = 20 }", "'by' is to be a duration, such as"),
    ("wire.inject(client, {})", "wire.inject needs 'flags'"),
    ("wire.inject(client)", "wire.inject takes names and values"),
    ("wire.inject(client, { flags = 'RST', seq = 'x' })", "'seq' is to be a whole number"),
    ("wire.inject(client, { flags = 'RST', ack = 0.5 })", "'ack' is to be a whole number"),
    ("wire.inject(client, { flags = 'RST', length = 2000 })", "at most 1024 bytes"),
    ("wire.quiet('1s')", "wire.quiet takes options"),
    ("wire.quiet { lasting = 1 }", "'lasting' is to be a duration"),
    ("wire.release { revers = true }", "did you mean 'reverse'?"),
    ("wire.release { reverse = 1 }", "'reverse' is to be true or false"),
    ("wire.cut(1)", "wire.cut takes no arguments, not the number 1"),
    ("wire.mend(1)", "wire.mend takes no arguments"),
    ("r:caught('1')", "caught takes a number, not the text '1'"),
    ("r:caught(-1)", "'count' is to be a whole number from 0"),
    ("r:release(1)", "release takes options"),
    ("r:stop(1)", "stop takes no arguments"),
]


def quoted(text):
    return f"[==[{text}]==]"


@test
def each_mistake_is_told_with_its_line():
    """All in one script, which catches each error: the text, and the script's line before it."""
    lines = [f"refused({quoted(text)}, function() {code} end)" for code, text in WRONG]
    done, (r,) = records(script(WORLD + "\n".join(lines) + '\ncheck(true, "all were refused")\n'))
    equal((done.returncode, r["error"]), (0, None), "each is refused")


@test
def the_line_is_the_scripts():
    done = lab(script(HEAD + '\n\nlocal sp = server:process("srv")\nexpect(sp, "FIN_WAIT_2")\n'))
    equal(done.returncode, 2, done.stdout)
    flat = " ".join(done.stdout.split())
    has(flat, "own.lua:5: expect takes client or server, not a process; the line: expect(sp, \"FIN_WAIT_2\")", "report")
    true("prelude" not in flat, f"no word of the prelude: {flat}")


@cases(
    ("rfc", 'rfc = "99.9"', "RFC 9293 has no section '99.9'"),
    ("rfc-below", 'rfc = "3.10.7.5"', "RFC 9293 has no section '3.10.7.5'"),
    ("rfc-number", "rfc = 3.6", "'rfc' is to be a text"),
    ("proves", 'proves = { "passive-closed" }', "no conclusion 'passive-closed'; they are passive-close and exit-closes"),
    ("proves-text", 'proves = "passive-close"', "'proves' is to be a list of texts"),
    ("source", "source = 1", "'source' is to be a text"),
    ("shows", "shows = {}", "'shows' is to be a text"),
    ("loss", 'loss = "no"', "'loss' is to be true or false"),
)
def what_a_scenario_says_of_itself(_name, text, part):
    done = lab(script(f'scenario {{ title = "T", {text} }}\n'))
    equal(done.returncode, 2, done.stdout)
    has(" ".join(done.stdout.split()), "own.lua:1: " + part, "report")


@test
def what_may_be_left_out():
    """Counts, ports and options, alone and together."""
    path = script(HEAD + """
local l = server:listen({ backlog = 2 })
local c = client:connect(server, { within = "5s" })
local s = l:accept({ within = "5s" })
s:write("abc")
check(c:read({ within = "5s" }) == "abc", "options alone")
s:write("def")
check(c:read(nil, { within = "5s" }) == "def", "nil, and options")
s:write("ghi")
check(c:read(2, nil) == "gh", "a count")
check(c:read() == "i", "nothing")
c:begin("read")
s:write(3)
check(#c:finish({ within = "5s" }) == 3, "a call that was begun")
wire.quiet()
wire.quiet { lasting = "1ms", within = "5s" }
expect_path(client, "ESTABLISHED", { connection = 1 })
expect(client, { "ESTABLISHED", "gone" }, {})
local r = wire.watch()
r:caught(0, {})
r:stop()
check(sample(client).state == "ESTABLISHED", "a sample")
""")
    done, (r,) = records(path)
    equal((done.returncode, r["error"]), (0, None), r["expectations"])


@test
def every_function_of_the_page_is_tried():
    with open(os.path.join(SOURCE, "man", "unclosed-scenario.5"), encoding="utf-8") as f:
        named = set(re.findall(r"Fn (?:\w+[.:])?(\w+)", f.read()))
    code = " ".join(code for code, _ in WRONG)
    missing = {name for name in named if not re.search(rf"\b{name}\b", code)}
    equal(missing, set(), "functions that no line above gives a wrong argument")


main()
