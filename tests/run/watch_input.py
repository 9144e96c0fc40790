# SPDX-License-Identifier: MIT
"""What unclosed watch is given: options that cannot be meant, signals that are ignored, few descriptors, a stopped
terminal, times past the end of time."""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import binary, cases, equal, has, json_lines, main, run, test, true, wait_for  # noqa: E402
from terminal import Terminal  # noqa: E402
from watching import HERE, MISSED, Holder, Watch  # noqa: E402

WATCH = (binary("unclosed"), "watch")
HELP = "; see 'unclosed watch --help'\n"
FOR_EVER = "9223372036s"  # 2^63 ns, and a bit less: later than now no clock shows it


def run_watched(*words, **more):
    """A watch of a command. Where the kernel did not show it something, as on a busy host, its status is 3 for that
    alone: then once more."""
    for _ in range(5):
        with tempfile.NamedTemporaryFile("r") as lines:
            r = run(*WATCH, "--json", "--output", lines.name, "--", *words, **more)
            if not MISSED.search(lines.read()):
                break
    return r


def is_misuse(words, why):
    """One line, and nothing else."""
    r = run(*WATCH, *words, timeout=20)
    equal((r.returncode, r.stdout, r.stderr), (2, "", f"unclosed watch: {why}{HELP}"), "answer")


def cgroups():
    """A mounted folder of each version, where there is one."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return {kind: path for _, path, kind, *_ in map(str.split, f) if kind in ("cgroup", "cgroup2")}


# What cannot be meant.

@cases(("after", "1s", "2s"), ("duration", "1s", "1s"), ("interval", "1s", "2s"), ("comm", "a", "b"),
       ("port", "1", "2"), ("cgroup", "here", "here"), ("output", "/dev/null", "/dev/null"), ("buffer", "4", "8"),
       ("reads", "fexit", "syscalls"))
def the_second_of_an_option_would_replace_the_first(option, *values):
    values = [v if v != "here" else cgroups()["cgroup2"] for v in values]
    is_misuse([w for v in values for w in (f"--{option}", v)], f"--{option} may be given once")


@cases(("list", "--port", "1", "--port", "2"), ("list", "--comm=a", "--comm=b"), ("release", "--pid=1", "--pid=1"))
def so_it_would_in_list_and_release(command, *words):
    r = run(binary("unclosed"), command, *words)
    option = words[0].partition("=")[0]
    equal((r.returncode, r.stdout, r.stderr),
          (2, "", f"unclosed {command}: {option} may be given once; see 'unclosed {command} --help'\n"), "answer")


@test
def what_widens_may_be_given_again():
    r = run(binary("unclosed"), "list", "--state=CLOSED", "--state=LAST_ACK", "--port=1")
    equal((r.returncode, r.stderr), (0, ""), "answer")
    r = run(*WATCH, *HERE, *HERE, "--json", "--json", "--duration", "10ms")
    equal((r.returncode, r.stderr), (0, ""), "answer")


def to_run(word):
    return f"{word}: to run it, say -- {word}; to watch what runs, --comm or --pid"


@cases((("true", "--"), to_run("true")), (("a", "--", "true"), to_run("a")),
       (("--output", "--", "true"), to_run("true")), (("",), "an empty word means nothing here"),
       (("--output", ""), "--output: an empty name means nothing here"),
       (("--cgroup", ""), "--cgroup: an empty name means nothing here"))
def what_cannot_be_meant_is_misuse(words, why):
    is_misuse(words, why)


@test
def what_follows_the_command_is_its_own():
    r = run_watched("sh", "-c", 'echo "$@"; exit 9', "sh", "--", "--json", "--bogus")
    equal((r.returncode, r.stdout), (9, "-- --json --bogus\n"), "answer")


# Who is watched.

@test
def a_name_and_a_command_is_misuse():
    """What a stranger of that name leaves unclosed would be the command's exit status."""
    is_misuse(("--comm", "x", "--", "true"), "--comm and a command: watch the one or the other")


@test
def a_number_with_a_name_means_that_process_by_that_name():
    """As to list, which narrows by each."""
    with Holder("the-name") as both, Holder("the-name") as named, Holder("another") as numbered:
        pids = ("--pid", str(both.pid), "--pid", str(numbered.pid))
        with Watch("--after", "50ms", "--json", "--no-stacks", *pids, "--comm", "the-n*") as w:
            w.ready()
            others = {named.leak()[0], numbered.leak()[0]}
            wanted = both.leak()[0]
            w.line("half-closed", f'"local":"{wanted}"')
            listed = {x["local"] for x in json_lines(run(binary("unclosed"), "list", "--json", "--pid", both.pid,
                                                         "--comm", "the-n*").stdout)}
            equal(listed & {wanted, *others}, {wanted}, "what list says")
            both.kill()
            numbered.kill()
            wait_for(lambda: (w.text(), w.process.poll())[1] is not None, "its end with the last of them", 20)
            equal(w.stop(), (0, ""), "exit")
            said = {x["local"] for x in json_lines(w.text()) if "local" in x}
            equal(said & {wanted, *others}, {wanted}, "what it says")


@test
def a_number_whose_process_has_another_name_is_told():
    with Holder("another") as holder:
        r = run(*WATCH, "--duration", "10ms", "--pid", holder.pid, "--comm", "the-\x1bname")
        equal((r.returncode, r.stderr), (0, "unclosed watch: none of --pid is called 'the-\\x1bname' now; one that "
                                            "comes to be will be watched\n"), "answer")


@cases("another file system", "a file", *(["cgroup v1"] if "cgroup" in cgroups() else []))
def a_cgroup_that_is_none_is_misuse(how):
    """Its number may be that of another: each root of version 1 has that of version 2's."""
    path = {"another file system": "/tmp", "cgroup v1": cgroups().get("cgroup"),
            "a file": f"{cgroups()['cgroup2']}/cgroup.procs"}[how]
    is_misuse(("--cgroup", path),
              f"--cgroup {path}: not a folder of cgroup v2, whose place is what 'findmnt -t cgroup2' shows")


# Signals.

def ignoring(*numbers, block=()):
    def set_up():
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, block)
    return set_up


@cases((signal.SIGINT, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT), (signal.SIGTERM, signal.SIGHUP))
def a_signal_that_is_ignored_does_not_end_it(ignored, other):
    """As nohup has it, and a shell without job control of what runs in the background."""
    with tempfile.TemporaryDirectory() as folder, Holder("speaks") as holder:
        lines = f"{folder}/lines"
        w = subprocess.Popen([*WATCH, "--json", "--after", "1ms", "--no-stacks", "--output", lines, "--pid",
                              str(holder.pid)], stdin=subprocess.DEVNULL, preexec_fn=ignoring(ignored))

        def said(word):
            with open(lines, encoding="utf-8") as f:
                return word in f.read()
        try:
            wait_for(lambda: os.path.exists(lines) and said('"watching"'), "the beginning", 30)
            w.send_signal(ignored)
            address = holder.leak()[0]
            wait_for(lambda: said(f'"local":"{address}"'), "a line", 20)
            w.send_signal(other)
            equal(w.wait(20), 0, "exit code")
            true(said('"summary"'), "a summary")
        finally:
            if w.poll() is None:
                w.kill()
                w.wait()


SIGNALS = "import re; print(re.findall('Sig(?:Blk|Ign):.*', open('/proc/self/status').read()))"


@cases("as usual", "ignored and blocked")
def the_command_has_the_signals_that_its_watch_was_given(how):
    """What it blocks and ignores is as it were without the watch."""
    given = ignoring(signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR2,
                     block=(signal.SIGUSR1, signal.SIGTERM)) if how != "as usual" else None
    command = (sys.executable, "-ISc", SIGNALS)
    alone = run("env", *command, preexec_fn=given)  # Python itself ignores some, in both
    watched = run_watched(*command, preexec_fn=given)
    equal((watched.returncode, watched.stdout, watched.stderr), (0, alone.stdout, ""), "signals")


@test
def the_status_of_a_command_is_had_where_ended_children_are_ignored():
    r = run_watched("sh", "-c", "exit 7", preexec_fn=ignoring(signal.SIGCHLD), timeout=20)
    equal(r.returncode, 7, "exit code")


# A stopped terminal.

@cases(("screen", 0), ("lines", 3))
def a_signal_ends_it_on_a_terminal_that_was_stopped(how, code):
    """^S. What it had to say of it would be written there, too."""
    words = ("--plain", "--interval", "1ms", "--json") if how == "lines" else ()
    with Holder("says-much") as holder, \
            Terminal(*WATCH, "--after", "1ms", "--no-stacks", *words, "--pid", holder.pid) as t:
        t.shows("OPEN, LAST MINUTE" if how == "screen" else '"watching"')
        holder.quick()
        if how == "lines":
            t.shows('"lag"')
        t.type("\x13")
        holder.leak()  # there is more to show
        stopped_at = time.monotonic()
        wait_for(lambda: time.monotonic() - stopped_at > 1, "that it should be shown")
        t.process.send_signal(signal.SIGTERM)
        wait_for(lambda: t.process.poll() is not None, "its end", 20)
        equal(t.process.returncode, code, "exit code")


# Times.

@cases("--duration", "--interval", "--after")
def a_time_that_no_clock_will_show_never_comes(option):
    with Holder("waits") as holder, \
            Watch("--json", "--no-stacks", *(() if option == "--after" else ("--after", "50ms")), option, FOR_EVER,
                  "--pid", str(holder.pid)) as w:
        w.ready()
        holder.quick()
        address = holder.leak()[0]
        if option != "--after":
            w.line("half-closed", f'"local":"{address}"')
        equal((w.process.poll(), '"lag"' in w.text()), (None, False), "its end, and close lags")
        equal(w.stop(), (0, ""), "exit")
        events = [x["event"] for x in json_lines(w.text())]
        equal(events, ["watching", *(["half-closed"] if option != "--after" else []), "lag", "summary"], "events")


def lags_of(w):
    return w.whole_lines().count('"lag"')


def offset_after_a_stop(w, interval):
    """How far from the turns that were due one comes after a stop; in intervals, 0 to 1."""
    def following():
        n = lags_of(w)
        wait_for(lambda: lags_of(w) > n, "the next close lags", 20)
        return time.monotonic()
    first = following()
    w.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: time.monotonic() > first + 1.5 * interval, "a turn and a half")
    w.process.send_signal(signal.SIGCONT)
    late, after = following(), following()
    true(late > first + 1.5 * interval, "it was late")
    return (after - first) / interval % 1


@test
def intervals_are_counted_from_the_start():
    """One that comes late, as on a busy machine, does not delay those that follow; missed ones are left out."""
    with Holder("closes") as holder, \
            Watch("--json", "--no-stacks", "--interval", "600ms", "--pid", str(holder.pid)) as w:
        w.ready()
        holder.quick()
        seen = []
        for _ in range(5):
            seen.append(offset_after_a_stop(w, 0.6))
            if min(seen[-1], 1 - seen[-1]) < 0.2:
                return
    raise AssertionError(f"offsets from the turn that was due: {seen}")


# Descriptors.

def with_descriptors(n):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


@cases(10, 20, 45, 60)
def too_few_descriptors_are_named(n):
    r = run(*WATCH, "--duration", "10ms", *HERE, preexec_fn=with_descriptors(n))
    equal((r.returncode, r.stdout), (3, ""), "answer")
    said = re.fullmatch(rf"unclosed watch: a watch takes \d+ descriptors, and ulimit -n, which is {n}, leaves it \d+; "
                        r"allow more, with ulimit -n (\d+)\n", r.stderr)
    true(said, f"what it says: {r.stderr}")
    r = run(*WATCH, "--duration", "10ms", *HERE, preexec_fn=with_descriptors(int(said[1])))
    equal((r.returncode, r.stderr), (0, ""), "with as many as it says")


@test
def as_many_as_it_asks_for_are_enough():
    """Also where it has most to open: stacks, names of functions, a walk over one process."""
    with Holder("leaks") as holder:
        few = run(*WATCH, "--duration", "10ms", *HERE, preexec_fn=with_descriptors(20)).stderr
        enough = re.search(r"with ulimit -n (\d+)", few)[1]
        with Watch("--json", "--after", "50ms", "--made", "--pid", str(holder.pid), "--interval", "100ms",
                   before=("prlimit", f"--nofile={enough}")) as w:
            w.ready()
            line = json.loads(w.line("half-closed", f'"local":"{holder.leak()[0]}"', seconds=30))
            true(line["told"]["stack"] and line["made"]["stack"], f"stacks of {line}")
            has(json.dumps(line["told"]["stack"]), "recv")
            equal(w.stop(), (0, ""), "exit")


main()
