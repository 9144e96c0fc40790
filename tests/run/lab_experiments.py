# SPDX-License-Identifier: MIT
"""The five experiments: what the ends are in, on the wire and on loopback, for everyone; what else tells
the truth about it: RFC 9293's diagram, ss in the same namespaces, tshark on the capture."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from labtest import EXPERIMENTS, illegal, lab, need, place, records, script  # noqa: E402
from tap import SANITIZED, cases, equal, has, json_lines, main, run, test, true  # noqa: E402

# What was observed first: state of the client end, of the server end, who holds which.
SEEN = {
    "both-close": ("gone", "TIME_WAIT", None),
    "client-never-closes": ("gone", "TIME_WAIT", None),
    "server-never-closes": ("FIN_WAIT_2", "CLOSE_WAIT", ("server", "daytimed")),
    "client-waits-before-close": ("CLOSE_WAIT", "FIN_WAIT_2", ("client", "daytime")),
    "server-waits-before-close": ("FIN_WAIT_2", "CLOSE_WAIT", ("server", "daytimed")),
}
# And how each ends once the side that waited has closed.
FINAL = {
    "both-close": ("gone", "TIME_WAIT"),
    "client-never-closes": ("gone", "TIME_WAIT"),
    "server-never-closes": ("TIME_WAIT", "gone"),
    "client-waits-before-close": ("gone", "TIME_WAIT"),
    "server-waits-before-close": ("TIME_WAIT", "gone"),
}
REPLY = 25  # bytes of asctime and its newline


def check_record(r, loopback=False):
    name = r["scenario"]
    equal((r["passed"], r["status"], r["error"]), (True, "passed", None), name)
    client, server, holder = SEEN[name]
    equal((r["ends"]["client"]["state"], r["ends"]["server"]["state"]), (client, server), name)
    equal((r["final"]["client"]["state"], r["final"]["server"]["state"]), FINAL[name], f"{name}, at the end")
    equal(r["loopback"], loopback, f"{name}: loopback")
    if holder:
        end = r["ends"][holder[0]]
        equal([h["comm"] for h in end["holders"]], [holder[1]], f"{name}: holders")
        equal(end["timer"], "none", f"{name}: no timer runs where a program holds CLOSE_WAIT")
    if (client, server) == ("FIN_WAIT_2", "CLOSE_WAIT"):
        equal(r["ends"]["server"]["recv_q"], 1, f"{name}: the unread FIN")
        true(59000 < r["ends"]["client"]["timer_ms"] <= 60000, f"{name}: the orphan's timer")
    if "TIME_WAIT" == FINAL[name][1]:
        true(59000 < r["final"]["server"]["timer_ms"] <= 60000, f"{name}: TIME_WAIT's timer")
    equal(any(r["lost"].values()), False, f"{name}: lost")


@cases(("root", "-j4"), ("user", "-j4"), ("root", "--ipv6"), ("user", "--ipv6"))
def all_five(who, option):
    done, found = records(option, user=who == "user")
    equal((done.returncode, done.stderr), (0, ""), "exit")
    equal([r["scenario"] for r in found], EXPERIMENTS, "scenarios, in order")
    for r in found:
        check_record(r)
        equal(illegal(r), None, r["scenario"])
        packets = [e for e in r["timeline"] if e["kind"] == "packet"]
        first = [e["flags"] for e in packets if e["flags"] == "ACK" or not e["retransmission"]][:3]
        equal(first, ["SYN", "SYN ACK", "ACK"], "handshake")
        equal(sum(e["len"] for e in packets if not e["retransmission"]), REPLY, "bytes on the wire")
        equal(sum("FIN" in e["flags"] for e in packets if not e["retransmission"]), 2, "FINs")
        equal(sum("RST" in e["flags"] for e in packets), 0, "resets")
        true(all("conn" in e for e in r["timeline"] if e["kind"] in ("call", "packet")),
             "every call and packet belongs to the connection")
        family = ":" in r["connections"][0]["client"].rpartition(":")[0]
        equal(family, option == "--ipv6", "address family")


@test
def on_loopback():
    """In a network namespace of the test's own, so that no TIME_WAIT is left on this host."""
    program = os.path.join(place(), "bin", "unclosed")
    done = run("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$0" lab --json --loopback', program)
    equal((done.returncode, done.stderr), (0, ""), "exit")
    found = json_lines(done.stdout)
    equal([r["scenario"] for r in found], EXPERIMENTS, "scenarios")
    for r in found:
        check_record(r, loopback=True)
        equal([e for e in r["timeline"] if e["kind"] == "packet"], [], "packets")


@test
def where_namespaces_are_refused():
    """One line says what refuses and how to allow it; the experiments still run."""
    program = os.path.join(place(), "bin", "unclosed")
    done = run("unshare", "-rn", "sh", "-c",
               'ip link set lo up && echo 0 >/proc/sys/user/max_user_namespaces &&'
               ' exec setpriv --bounding-set=-all --inh-caps=-all "$0" lab', program)
    equal(done.returncode, 0, done.stderr)
    has(done.stderr, "sysctl user.max_user_namespaces=", "stderr")
    equal(len([line for line in done.stderr.splitlines() if "no namespaces here" in line]), 1, "lines")
    has(done.stdout, "states without packets", "stdout")


def refused_namespaces(*words, how):
    """Runs the lab where `how` has seen to it that it gets no network of its own."""
    return run("unshare", "-rnm", "sh", "-c", f'ip link set lo up && {how} "$0" lab "$@"',
               os.path.join(place(), "bin", "unclosed"), *words, cwd=place())


@test
def an_experiment_by_its_path_runs_without_namespaces():
    """The file itself, or a copy; a stranger's of the same name does not."""
    own = "share/unclosed/scenarios/experiments/both-close.lua"
    with open(os.path.join(place(), own), encoding="utf-8") as f:
        text = f.read()
    how = "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all"
    for path in (own, script(text, "copy.lua")):
        done = refused_namespaces(path, how=how)
        equal(done.returncode, 0, done.stdout + done.stderr)
        has(done.stdout, "states without packets", "stdout")
    done = refused_namespaces(script(text + "\n", "both-close.lua"), how=how)
    equal(done.returncode, 3, done.stdout + done.stderr)
    has(done.stdout, "sysctl user.max_user_namespaces=", "stdout")


@test
def a_read_only_proc_sys_is_named():
    """As in a container: the namespaces are made, but nothing can be set in them."""
    how = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec"
    done = refused_namespaces(how=how)
    equal(done.returncode, 0, done.stdout + done.stderr)
    (line,) = [line for line in done.stderr.splitlines() if "no namespaces here" in line]
    has(line, "Read-only file system", "what refused")
    has(line, "--security-opt systempaths=unconfined", "how to allow it")


@test
def the_calls_are_where_they_happen():
    _, (r,) = records("server-never-closes")
    seen = [(e["from"], e.get("call") or e["flags"], e.get("detail", "")) for e in r["timeline"]
            if e["kind"] in ("call", "packet")]
    order = [("client", "connect"), ("client", "SYN"), ("server", "accept"), ("server", "write"),
             ("server", "PSH ACK"), ("client", "read"), ("client", "close"), ("client", "FIN ACK")]
    at = [next(i for i, s in enumerate(seen) if s[:2] == o) for o in order]
    equal(at, sorted(at), f"order in {seen}")
    true(("client", "read", "25 bytes") in seen, f"the read in {seen}")
    true(("client", "exit", "0") in seen, f"the exit in {seen}")


@test
def the_text_is_a_diagram():
    done = lab("server-never-closes", env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "80"})
    equal(done.returncode, 0, done.stderr)
    for part in ("experiment 2", "client 10.0.0.1:", "server 10.0.0.2:13", "daytimed[", "FIN_WAIT_1",
                 "FIN_WAIT_2", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "RFC 9293 §3.6", "has not read the",
                 "✓ server CLOSE_WAIT", "◄", "►"):
        has(done.stdout, part, "diagram")
    true(all(len(line) <= 80 for line in done.stdout.splitlines()), "no line is longer than 80 columns")
    true("\033" not in done.stdout, "no colour in a pipe")
    done = lab("server-never-closes", "--ascii")
    true(done.stdout.isascii(), "--ascii is ASCII")


@test
def both_conclusions_hold():
    done = lab()
    equal(done.returncode, 0, done.stderr)
    tail = done.stdout[done.stdout.index("5 of 5 scenarios"):]
    equal(tail.count("\n  holds"), 2, f"conclusions that hold in:\n{tail}")
    true("does not hold" not in tail, f"none that does not:\n{tail}")


AGREES = """
scenario { title = "The lab and ss agree" }
local names = { ESTAB = "ESTABLISHED", ["SYN-SENT"] = "SYN_SENT", ["FIN-WAIT-1"] = "FIN_WAIT_1",
	["FIN-WAIT-2"] = "FIN_WAIT_2", ["TIME-WAIT"] = "TIME_WAIT", ["CLOSE-WAIT"] = "CLOSE_WAIT",
	["LAST-ACK"] = "LAST_ACK", CLOSING = "CLOSING" }
local function agree(host)
	local state = "gone"
	for line in host:run("ss", "-tanH"):output():gmatch("[^\\n]+") do
		local name = line:match("^(%S+)")
		if name ~= "LISTEN" and name ~= "SYN-RECV" then
			state = names[name] or name
		end
	end
	expect(host, state, { within = "0" })
	return state
end
local function both(want_client, want_server)
	expect(client, want_client)
	expect(server, want_server)
	check(agree(client) == want_client, "ss says " .. want_client .. " of the client")
	check(agree(server) == want_server, "ss says " .. want_server .. " of the server")
end
local l = server:listen(13)
local c = client:connect(server, 13)
local s = l:accept()
both("ESTABLISHED", "ESTABLISHED")
wire.hold { flags = "FIN" }
c:close()
both("FIN_WAIT_1", "ESTABLISHED")
s:close()
both("FIN_WAIT_1", "FIN_WAIT_1")
wire.hold { without = "FIN" }
wire.release()
both("CLOSING", "CLOSING")
wire.release()
both("TIME_WAIT", "TIME_WAIT")
"""

AGREES_HALF = AGREES[:AGREES.index("wire.hold")] + """
c:close()
both("FIN_WAIT_2", "CLOSE_WAIT")
wire.hold { flags = "FIN", from = server, nth = 1 }
-- A repeated FIN would be acknowledged once more, after the server's end is gone: the listener's reset then
-- ends TIME_WAIT (RFC 1337).
wire.drop { flags = "FIN", from = server }
s:close()
both("FIN_WAIT_2", "LAST_ACK")
wire.release()
both("TIME_WAIT", "gone")
"""


@cases("both-at-once", "one-after-the-other")
def the_states_are_those_of_ss(which):
    need("ss")
    path = script(AGREES if which == "both-at-once" else AGREES_HALF, f"agrees-{which}.lua")
    for option in ([], ["-6"]):
        done, found = records(path, "--allow=ss", *option)
        equal(done.returncode, 0, f"{done.stderr}{[x for x in found[0]['expectations'] if not x['passed']]}"
                                  f"{found[0]['error']}")
        true(len(found[0]["expectations"]) >= 18, "as many comparisons as states")
        equal(illegal(found[0]), None, "legal")


@test
def tshark_reads_the_capture():
    need("tshark")
    for option in ([], ["-6"]):
        path = os.path.join(place(), "all.pcap")
        done, found = records(f"--pcap={path}", *option)
        equal(done.returncode, 0, done.stderr)
        sent = [e for r in found for e in r["timeline"] if e["kind"] == "packet"]
        out = run("tshark", "-n", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o",
                  "ip.check_checksum:TRUE", "-T", "fields", "-e", "tcp.flags.fin", "-e", "tcp.checksum.status",
                  "-e", "_ws.malformed", "-e", "frame.time_epoch", "-e", "tcp.window_size")
        rows = [line.split("\t") for line in out.stdout.splitlines()]
        equal(out.returncode, 0, out.stderr)
        equal(len(rows), len(sent), "packets")
        equal([int(row[4]) for row in rows], [e["window"] for e in sent], "windows, scaled")
        stamps = [float(row[3]) for row in rows]
        equal(stamps, sorted(stamps), "time goes forward, from one scenario to the next too")
        equal({row[1] for row in rows}, {"1"}, "TCP checksums (1 is good)")
        equal({row[2] for row in rows}, {""}, "malformed packets")
        true(all(abs(float(row[3]) - time.time()) < 600 for row in rows), "stamps are of now")
        bad = run("tshark", "-n", "-r", path, "-o", "tcp.check_checksum:TRUE", "-Y",
                  "_ws.expert.severity >= 6291456", "-T", "fields", "-e", "_ws.expert.message")
        equal(bad.stdout, "", "complaints")
        os.unlink(path)


@test
def the_same_again_and_again():
    """No run differs from another in what it shows."""
    for _ in range(3 if SANITIZED else 10):
        done = lab("-q", "-j8")
        equal(done.returncode, 0, done.stdout + done.stderr)


main()
