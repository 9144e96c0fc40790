# SPDX-License-Identifier: MIT
"""Ended at any step, by any signal, the lab leaves no process, interface, mount or file behind."""
import os
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from labtest import as_user, lab, need, place, script  # noqa: E402
from tap import SANITIZED, cases, equal, main, run, test, true, wait_for  # noqa: E402

# Each step is a moment at which the lab may be ended: so many milliseconds after its start.
STEPS_MS = list(range(0, 200, 25)) if SANITIZED else list(range(0, 120, 6))


def marked(mark):
    """Every process that has the mark in its environment: the lab, its runs, rooms and actors."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark.encode() in f.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def outside():
    """What must be the same afterwards."""
    links = run("ip", "-o", "link").stdout
    with open("/proc/mounts", encoding="utf-8") as f:
        mounts = f.read()
    return [line.split(":")[1] for line in links.splitlines()], mounts, sorted(os.listdir(place()))


def end_at(ms, sig, user, options=()):
    mark = f"UNCLOSED_TEST_MARK={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    # The tests may run under nohup or in the background, where some of these are ignored.
    command = ["env", "--default-signal=INT,HUP,TERM", os.path.join(place(), "bin", "unclosed"), "lab", *options]
    child = subprocess.Popen(as_user(*command) if user else command, cwd=place(),
                             env={**os.environ, name: value}, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    time.sleep(ms / 1000)  # the moment is what is varied: nothing is waited for
    running = child.poll() is None
    if running:
        child.send_signal(sig)
    status = child.wait(10)
    wait_for(lambda: not marked(mark), f"no process left {ms} ms after the start", 10)
    return running, status


@cases(("SIGKILL", "root"), ("SIGTERM", "root"), ("SIGINT", "root"), ("SIGKILL", "user"), ("SIGHUP", "root"))
def ended_at_many_steps(name, who):
    sig = getattr(signal, name)
    before = outside()
    hit = 0
    for ms in STEPS_MS:
        running, status = end_at(ms, sig, who == "user")
        if running and status == -sig:
            hit += 1
        else:
            equal(status, 0, f"not ended, {ms} ms after the start")
    true(hit >= 3, f"only {hit} of {len(STEPS_MS)} moments hit a running lab")
    equal(outside(), before, "interfaces, mounts and files")


@test
def the_runs_are_ended_with_a_stuck_script():
    path = script('scenario { title = "T" }\nserver:listen(13):accept({ within = "1h" })', "stuck.lua")
    running, status = end_at(150, signal.SIGKILL, False, [path])
    equal((running, status), (True, -signal.SIGKILL), "ended")


def state_of(pid):
    """The letter in /proc/PID/stat, or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="latin-1") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(n) for n in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def makers_below(tracer):
    """strace also has children of its own, which try what the kernel can do."""
    return [pid for pid in children_of(tracer) if name_of(pid) == "unclosed"]


@cases("namespaces", "loopback")
def a_run_that_is_not_bound_to_its_maker_so_far_ends_too(where):
    """strace holds the run at its prctl(PR_SET_PDEATHSIG) until the maker, which has done all it does before it
    waits for something, is killed."""
    need("strace")
    path = script('scenario { title = "T" }\nwire.quiet { lasting = "50s", within = "50s" }\ncheck(true, "quiet")',
                  "quiet.lua")
    mark = f"UNCLOSED_TEST_MARK={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    command = [os.path.join(place(), "bin", "unclosed"), "lab", *["--loopback"] * (where == "loopback"), path]
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl", "-e",
                               "inject=prctl:delay_enter=3s:when=1", *command],
                              env={**os.environ, name: value}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        maker = wait_for(lambda: makers_below(tracer.pid), "the maker")[0]
        wait_for(lambda: children_of(maker) and state_of(maker) == "S", "the maker waits")
        os.kill(maker, signal.SIGKILL)
        tracer.wait(10)
        wait_for(lambda: not marked(mark), "no process left", 10)
    finally:
        tracer.kill()
        for pid in marked(mark):
            os.kill(int(pid), signal.SIGKILL)
        tracer.wait(10)


@test
def loopback_ends_its_programs():
    path = script('scenario { title = "T" }\nlocal d = server:run("daytimed", "--user=none", server.port)\n'
                  'd:listens()\nd:says("nothing", { within = "1h" })', "stuck-loopback.lua")
    for sig in (signal.SIGTERM, signal.SIGKILL):
        running, _ = end_at(150, sig, False, ["--loopback", path])
        true(running, "ended while it ran")


@test
def nothing_is_left_after_success():
    before = outside()
    done = lab("-q")
    equal(done.returncode, 0, done.stderr)
    equal(outside(), before, "interfaces, mounts and files")


main()
