# SPDX-License-Identifier: MIT
"""Every way to read the end of a stream, by each tier that sees reads: who was told, when, and in which
functions; and that of a read that a tier does not see, or that tells nothing, no such thing is said."""
import atexit
import functools
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from account import OFF, between, compare, functions_are, known_well, told_is  # noqa: E402
from helper import Helper  # noqa: E402
from tap import BUILD, Skip, cases, equal, main, true, wait_for  # noqa: E402
from watching import Watch, listen, name, pair  # noqa: E402

TIERS = ("sock_recv_length", "fexit", "syscalls")
# 0 was the answer, but not to a read of what comes next: the FIN is there to be read.
TELL_NOTHING = {"peek", "no-bytes", "recv-no-bytes"}
# One call took data and FIN together, and no read returned 0.
TAKE_ALL = {"recv-takes-all", "splice-takes-all", "peek-after-all", "no-bytes-after-all"}
# io_uring reads in a thread of the kernel's, which has no stack of the program's.
BY_WORKER = {"uring-async", "uring-splice"}
UNSEEN = {"syscalls": {"recvmmsg", "uring-recv", "uring-read", "uring-readv", "uring-recvmsg",
                       "uring-waits", "uring-async"}}
LEAST = 30  # ways

KERNEL = tuple(int(n) for n in os.uname().release.split(".")[:2])


class Reader(Helper):
    """A running mkread."""

    def __init__(self, family):
        super().__init__(os.path.join(BUILD, "tests", "mkread"), *(["--v6"] if family == "6" else []))
        self.expect("ready")

    def go_on(self):
        """Has it make or read ends: {local address and port: what it did with this end}."""
        self.tell()
        ends = [json.loads(line) for line in self.lines_to("done")]
        true(len(ends) >= LEAST, f"only {len(ends)} ways")
        return {(e["local"], e["peer"]): e for e in ends if not e["refused"]}


def told_of(end, tier):
    """What is to be said of the read of this end; None: nothing."""
    if end["way"] in TELL_NOTHING | TAKE_ALL | UNSEEN.get(tier, set()):
        return None
    return {**end, "comm": "mkread"}


def cause_of(end, tier):
    if end["way"] in TELL_NOTHING:
        return "unread"
    return "told" if told_of(end, tier) else "drained"


def reader_is(said, end, tier):
    done = told_of(end, tier)
    if not done or end["way"] not in BY_WORKER:
        told_is(said, done, "mkread")
        return
    told = said["told"]
    true(told, "nobody was told")
    equal(told["pid"], done["pid"], "who was told")
    between("told", said["time"] - told["ago_ms"] / 1000, done["at"])
    if end["way"] == "uring-async":
        true(told["tid"] not in (done["pid"], done["tid"]), "it was a thread of the program's own")
        equal(told["stack"], None, "stack of the kernel's own thread")


def is_known(said, end, tier):
    """What its line says of an end that was read before."""
    equal(said["cause"], cause_of(end, tier), "cause")
    equal([(h["pid"], h["fd"], h["comm"]) for h in said["holders"]], [(end["pid"], end["fd"], "mkread")], "holder")
    equal((said["state"], said["closed_first"], said["made"]["by"]), ("CLOSE_WAIT", "peer", "connect"), "end")
    between("half-closed", said["time"] - said["age_ms"] / 1000, end["began"])
    functions_are(said["made"], "mkread", "make_ends main")
    reader_is(said, end, tier)


def is_late(said, end):
    """The line came first: the machine let the reader wait for as long as the watch waits."""
    return not said["told"] and end["at"][1] / 1e9 + OFF > said["time"]


def is_unread(said, end, by):
    """The same of one that nobody has read yet."""
    equal((said["cause"], said["told"], said["made"]["by"]), ("unread", None, by), "cause")
    between("half-closed", said["time"] - said["age_ms"] / 1000, end["began"])
    functions_are(said["made"], "mkread", "make_ends main")


def is_told_now(said, end, tier):
    """The line that says that a read returned 0, of one that had a line before."""
    between("told", said["time"], end["at"])
    equal((said["cause"], said["state"]), ("told", "CLOSE_WAIT"), "cause and state")
    reader_is(said, end, tier)


def lines(watch, event, want):
    """The lines of an event about these ends, once they are there."""
    def look():
        for x in map(json.loads, watch.news('"local":')):
            watch.told_of.setdefault(x["event"], {})[x["local"], x["peer"]] = x
        missing[:] = [want[k] for k in set(want) - set(watch.told_of.get(event, {}))]
        return not missing
    missing = []
    try:
        wait_for(look, event, 20)
    except AssertionError:
        raise AssertionError(f"no line {event} about {missing}") from None
    return watch.told_of[event]


@cases(*[(tier, family) for tier in TIERS for family in ("4", "6")])
def every_way_to_read_the_end_is_told(tier, family):
    with Reader(family) as p, Watch("--new", "--after", "300ms", "--json", "--reads", tier,
                                    "--pid", str(p.pid)) as w:
        wait_for(lambda: w.process.poll() is not None or "watching" in w.text(), "its begin", 30)
        if w.process.poll() is not None and tier == "fexit":
            raise Skip("left out: this kernel lets no function be traced")
        if w.process.poll() is not None and tier == "sock_recv_length" and KERNEL < (6, 3):
            raise Skip("left out: Linux 6.3 has brought the tracepoint")
        w.ready()
        connected = p.go_on()
        said = lines(w, "half-closed", connected)
        late = {k: e for k, e in connected.items() if is_late(said[k], e)}
        for key, end in late.items():
            compare(is_unread, said[key], end, "connect")
        for key in set(connected) - set(late):
            compare(is_known, said[key], connected[key], tier)
        wait_for(lambda: (lines(w, "half-closed", connected),
                          len(w.told_of["half-closed"]) >= 2 * len(connected))[1], "the other ends' lines", 20)
        accepted = p.go_on()
        for key, end in accepted.items():
            compare(is_unread, w.told_of["half-closed"][key], end, "accept")
        after = {**accepted, **late}
        seen = {k: e for k, e in after.items() if told_of(e, tier)}
        said = lines(w, "told", seen)
        for key, end in seen.items():
            compare(is_told_now, said[key], end, tier)
        w.stop()
        equal({k: after.get(k) for k in set(lines(w, "told", seen)) - set(seen)}, {}, "told besides")
        for ends in (connected, accepted):
            known_well("when it became half-closed", [e["began"] for e in ends.values()])
            known_well("when it was read", [e["at"] for e in ends.values()])


@functools.cache
def listener_and_watch():
    """For all the ways through io_uring; each looks for a connection of its own."""
    ls = listen()
    w = Watch("--after", "50ms", "--json", "--port", str(ls.getsockname()[1]))
    atexit.register(w.__exit__)
    return ls, w.ready()


@cases(*[(how, kind) for how in ("recv", "read", "readv") for kind in ("inline", "async")])
def a_read_through_io_uring_counts(how, kind):
    ls, w = listener_and_watch()
    client, server = pair(ls)
    end = name(client)
    server.close()
    with Helper(os.path.join(BUILD, "tests", "uread"), client.fileno(), how, *(["async"] if kind == "async" else []),
                pass_fds=[client.fileno()]) as p:
        said = p.says()
        if p.process.poll() == 77:
            raise Skip("the kernel refuses io_uring")
        equal(said, "0", "read")
        # By --port, so that the line may come before the read.
        told = json.loads(w.line('"told":{', f'"local":"{end}"', seconds=20))["told"]
        equal(told["pid"], p.pid, "who was told")
        equal(told["tid"] == p.pid, kind == "inline", f"thread {told['tid']} is the program's own")
    client.close()


main()
