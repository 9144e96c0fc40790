# SPDX-License-Identifier: MIT
"""daytimed among strangers: every sort of client, its limits, UDP, signals, workers, activation."""
import contextlib
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from daytimed import (Server, counters, descriptors, last_counters, load, read_all,  # noqa: E402
                      state_of, status)
from tap import (BUILD, SANITIZED, SOURCE, Skip, binary, cases, equal, has, main, run, test,  # noqa: E402
                 true, wait_for)

REPLY = re.compile(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}\n")
IP_PKTINFO = 8  # linux/in.h
LINGER_NOW = struct.pack("ii", 1, 0)


def whole_reply(s):
    """Reads to the end of the stream: the whole reply, then a FIN and no reset."""
    data = read_all(s)
    true(REPLY.fullmatch(data), f"a whole reply, not {data!r}")


def settled(server, **want):
    """Waits until the counters are these."""
    def reached():
        now = counters(server)
        return all(now[k] == v for k, v in want.items())
    try:
        wait_for(reached, f"counters {want}")
    except AssertionError as error:
        raise AssertionError(f"{error}; they are {counters(server)}") from None


# Closing: the reply, then a FIN, whatever the client does.

@test
def a_client_that_sent_bytes_first_loses_nothing():
    with Server() as server:
        for _ in range(200):
            with server.connect() as s:
                s.sendall(b"x" * 1000)
                whole_reply(s)
        settled(server, accepted=200, closed=200, reset_by_us=0)


@test
def the_textbook_server_loses_some_of_these():
    """control: the same client against accept, write, close is reset"""
    rival = subprocess.Popen([os.path.join(BUILD, "bench", "bench_rival"), "textbook", "0"],
                             stderr=subprocess.PIPE, text=True)
    with rival:
        try:
            port = int(re.search(r"port (\d+)", rival.stderr.readline())[1])

            def lost():
                with socket.create_connection(("127.0.0.1", port)) as s:
                    try:
                        s.sendall(b"x" * 1000)
                        return not REPLY.fullmatch(read_all(s))
                    except ConnectionError:
                        return True
            true(any(lost() for _ in range(2000)), "one of 2000 is reset")
        finally:
            rival.kill()


@test
def a_client_that_goes_on_sending_loses_nothing():
    with Server() as server:
        with server.connect() as s:
            for _ in range(60):  # 60,000 bytes: within the bound
                s.sendall(b"x" * 1000)
            whole_reply(s)
        settled(server, closed=1, reset_by_us=0)


@test
def a_client_that_sends_for_ever_is_reset_after_its_reply():
    with Server("--drain-bytes=100000") as server:
        with server.connect() as s:
            whole_reply(s)
            try:
                for _ in range(10000):
                    s.sendall(b"x" * 10000)
                raise AssertionError("sent 100 MB")
            except ConnectionError:
                pass
        settled(server, too_much=1, reset_by_us=1, closed=0, open=0)


@test
def a_client_that_never_closes_is_reset_in_time():
    with Server("--drain-time=300ms") as server:
        with server.connect() as s:
            whole_reply(s)
            began = time.monotonic()
            settled(server, timed_out=1, reset_by_us=1, open=0)
            true(time.monotonic() - began < 3, "in time")
            equal(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0, True, "a reset came")


@test
def a_client_that_reads_late_loses_nothing():
    with Server("--drain-time=5s") as server:
        with server.connect() as s:
            settled(server, replied=1, open=1)
            whole_reply(s)
        settled(server, closed=1)


@test
def a_client_that_half_closes_first_loses_nothing():
    with Server() as server:
        for _ in range(100):
            with server.connect() as s:
                s.shutdown(socket.SHUT_WR)
                whole_reply(s)
        settled(server, closed=100, reset_by_us=0)


@test
def a_client_that_resets_harms_nobody():
    with Server() as server:
        for _ in range(100):
            s = server.connect()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOW)
            s.close()
        with server.connect() as s:
            whole_reply(s)
        settled(server, accepted=101, open=0)
        now = counters(server)
        equal(now["closed"] + now["reset_by_client"] + now["unsent"], 101, "all accounted for")
        true(now["reset_by_client"] + now["unsent"] > 0, "resets were seen")


def segments_in(s):
    """Segments that a connection has received (tcpi_segs_in of struct tcp_info)."""
    info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    return struct.unpack_from("I", info, 140)[0]


@test
def the_fin_rides_on_the_replys_segment():
    with Server() as server, server.connect() as s:
        whole_reply(s)
        equal(segments_in(s), 2, "segments received: SYN ACK, and the reply with the FIN")


@cases((), ("--ipv6",))
def the_labs_scenarios_of_it_pass(*options):
    folder = os.path.join(SOURCE, "scenarios", "daytimed")
    files = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    got = run(binary("unclosed"), "lab", "-q", *options, *files)
    equal(got.returncode, 0, f"exit code; it said {got.stdout} {got.stderr}")
    has(got.stdout, f"{len(files)} of {len(files)} scenarios")


# Limits.

def is_reset(server):
    """Connects and is reset, at once or with the first read."""
    try:
        with server.connect() as s:
            data = s.recv(100)
    except ConnectionResetError:
        return
    raise AssertionError(f"one too many got {data!r}")


@test
def connections_in_all_are_limited():
    with Server("--max-connections=2", "--after-reply=keep") as server:
        held = [server.connect(), server.connect()]
        true(all(s.recv(100) for s in held), "two are served")
        is_reset(server)
        settled(server, accepted=3, replied=2, refused={"full": 1, "source": 0, "descriptors": 0})
        has(server.err(), "refused 127.0.0.1: too many connections in all")


@test
def connections_of_one_source_are_limited():
    with Server("--max-per-source=2", "--after-reply=hold:100s") as server:
        held = [server.connect(), server.connect()]
        true(all(s.recv(100) for s in held), "two are served")
        is_reset(server)
        other = socket.create_connection(("127.0.0.1", server.port),
                                         source_address=("127.0.0.2", 0))
        true(other.recv(100), "another source is served")
        six = server.connect(socket.AF_INET6)
        true(six.recv(100), "IPv6 is another source")
        settled(server, refused={"full": 0, "source": 1, "descriptors": 0})
        server.send(signal.SIGUSR1)
        for s in (*held, other, six):
            equal(read_all(s), b"", "the end of the hold")
            s.close()
        settled(server, closed=4, open=0)
        true(server.connect().recv(100), "the source may come again")


@cases(("--max-connections=4", "full", "in all"), ("--max-per-source=4", "source", "from this source"))
def limits_are_those_of_all_workers(option, counter, said):
    """four workers and a limit of 4, not of 16; what one lets go another may take"""
    with Server("--workers=4", option, "--after-reply=hold:100s") as server:
        for _ in range(2):
            held = []
            wait_for(lambda h=held: len(h) == 4 or take(server, h), "four are served")
            for _ in range(40):  # whichever worker they come to
                is_reset(server)
            has(server.err(), f"too many connections {said}")
            workers = [int(p) for p in run("pgrep", "-x", "-P", server.pid, "daytimed").stdout.split()]
            for pid in workers:
                os.kill(pid, signal.SIGUSR1)  # ends the holds
            for s in held:
                equal(read_all(s), b"", "the end of the hold")
                s.close()
            settled(server, open=0)
        equal(counters(server)["replied"], 8, "replies")
        true(counters(server)["refused"][counter] >= 80, "refused")


def take(server, held):
    """Keeps a connection, if it is served."""
    s = server.connect()
    try:
        if s.recv(100):
            held.append(s)
    except ConnectionResetError:
        s.close()
    return False


@test
def refusing_leaks_nothing():
    with Server("--max-per-source=1", "--after-reply=keep", "--log=quiet") as server:
        first = server.connect()
        first.recv(100)
        load(server.port, 500)
        fds, rss = descriptors(server.pid), int(status(server.pid)["VmRSS"].split()[0])
        equal(load(server.port, 20000), (0, 20000), "all are refused")
        equal(descriptors(server.pid), fds, "descriptors")
        equal(counters(server)["refused"]["source"], 20500, "refused")
        if not SANITIZED:
            grown = int(status(server.pid)["VmRSS"].split()[0]) - rss
            true(grown < 64, f"memory grew by {grown} KiB")


if not SANITIZED:  # a sanitizer's memory is not the server's
    @cases("served", "refused")
    def memory_and_descriptors_stay_what_they_are(mode):
        """make soak-flat, in small"""
        got = run(sys.executable, os.path.join(SOURCE, "tests", "soak_flat.py"), BUILD, mode, 10000)
        equal(got.returncode, 0, f"exit code; it said {got.stdout}{got.stderr}")


    @test
    def memory_stays_small():
        with Server() as server:
            load(server.port, 1000)
            before = int(status(server.pid)["VmRSS"].split()[0])
            equal(load(server.port, 30000), (30000, 0), "replies")
            after = int(status(server.pid)["VmRSS"].split()[0])
            true(after <= 3072, f"{after} KiB resident")
            true(after - before < 64, f"grew from {before} to {after} KiB")


# Formats.

@cases(("rfc3339", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+]09:00\n"),
       ("nist", r"\n\d{5} \d\d-\d\d-\d\d \d\d:\d\d:\d\d 00 [012] [0-4] 050\.0 UTC\(NIST\) \* \n"),
       ("%Y week %V %Z", r"\d{4} week \d\d KST\n"))
def the_format_can_be_chosen(form, pattern):
    with Server(f"--format={form}", env={"TZ": "Asia/Seoul"}) as server, server.connect() as s:
        got = read_all(s).decode()
        true(re.fullmatch(pattern, got), f"{got!r} is {pattern}")


@test
def the_format_has_options():
    with Server("--format=rfc3339", "--utc", "--crlf", env={"TZ": "Asia/Seoul"}) as server:
        got = read_all(server.connect()).decode()
        true(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z\r\n", got), f"{got!r}")
    with Server("--format=nist", "--label=UTC(LAB)", "--health=3") as server:
        got = read_all(server.connect()).decode()
        true(re.fullmatch(r"\n[0-9 :-]{23} 00 [012] 3 050.0 UTC\(LAB\) \* \n", got), f"{got!r}")


@test
def the_zone_is_read_once_where_tz_is_unset():
    env = {k: v for k, v in os.environ.items() if k != "TZ"}
    log = os.memfd_create("log")
    with subprocess.Popen([binary("daytimed"), "--user=none", "--format=%c %Z %z", "0"], stderr=log,
                          env=env) as p:
        try:
            port = wait_for(lambda: (m := re.search(rb"port (\d+)", os.pread(log, 4096, 0)))
                            and int(m[1]), "it listens")
            for _ in range(2):
                true(len(read_all(socket.create_connection(("127.0.0.1", port)))) > 20, "a reply")
                time.sleep(1.01)  # so that the text is made anew, under the filter
        finally:
            p.terminate()
        equal(p.wait(10), 0, "exit code")


# UDP.

def udp_client(source="127.0.0.1", port=0):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((source, port))
    s.settimeout(10)
    return s


def udp_settled(server, **want):
    wait_for(lambda: all(counters(server)["udp"][k] == v for k, v in want.items()),
             f"UDP counters {want}")


@test
def udp_is_off_unless_asked():
    with Server() as server, udp_client() as s:
        s.connect(("127.0.0.1", server.port))
        s.send(b"")
        try:
            s.recv(100)
            raise AssertionError("a reply")
        except ConnectionRefusedError:
            pass


@test
def udp_answers_from_the_address_that_was_asked():
    with Server("--udp") as server:
        for address in ("127.0.0.1", "127.0.0.3"):
            with udp_client("127.0.0.9") as s:
                s.sendto(b"any bytes", (address, server.port))
                data, sender = s.recvfrom(1000)
                true(REPLY.fullmatch(data), f"a reply, not {data!r}")
                equal(sender, (address, server.port), "sender")
        got = run(binary("daytime"), "--udp", "::1", server.port)
        equal((got.returncode, got.stderr), (0, ""), "daytime --udp over IPv6")
        udp_settled(server, received=3, replied=3)


@test
def udp_serves_an_ipv4_address_alone():
    with Server("--udp", "--address=127.0.0.5", "--log=connections") as server:
        with udp_client("127.0.0.9") as s:
            s.sendto(b"", ("127.0.0.5", server.port))
            data, sender = s.recvfrom(1000)
            equal(sender, ("127.0.0.5", server.port), "sender")
            true(REPLY.fullmatch(data), "a reply")
        whole_reply(socket.create_connection(("127.0.0.5", server.port)))
        wait_for(lambda: ": closed" in server.err(), "a line of the log")
        has(server.err(), "127.0.0.1 port ")


@cases(("IPv4 alone", "--address=0.0.0.0"), ("both families",))
def udp_never_answers_a_broadcast(_, *options):
    """127.255.255.255 is the broadcast address of the loopback's subnet"""
    with Server("--udp", *options) as server, udp_client("127.0.0.9") as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.sendto(b"", ("127.255.255.255", server.port))
        udp_settled(server, received=1, replied=0)
        now = counters(server)["udp"]
        equal((now["refused"]["address"], now["unsent"]), (1, 0) if options else (0, 1), "refused, unsent")
        s.sendto(b"", ("127.0.0.3", server.port))
        true(REPLY.fullmatch(s.recv(1000)), "one host is answered")
        udp_settled(server, received=2, replied=1)


@test
def udp_has_a_rate_per_source():
    with Server("--udp", "--udp-burst=3") as server, udp_client() as s:
        for _ in range(50):
            s.sendto(b"", ("127.0.0.1", server.port))
        for _ in range(3):
            s.recv(1000)
        udp_settled(server, received=50)
        now = counters(server)["udp"]
        true(now["replied"] <= 3 + 1, f"{now['replied']} replies to 50")
        equal(now["refused"]["source"], 50 - now["replied"], "refused")
        with udp_client("127.0.0.2") as other:
            other.sendto(b"", ("127.0.0.1", server.port))
            true(other.recv(1000), "another source is answered")


@test
def udp_has_a_rate_in_all():
    with Server("--udp", "--udp-rate-all=5") as server:
        for i in range(50):
            with udp_client(f"127.0.1.{i + 1}") as s:
                s.sendto(b"", ("127.0.0.1", server.port))
        udp_settled(server, received=50)
        now = counters(server)["udp"]
        true(5 <= now["replied"] <= 20, f"{now['replied']} replies to 50 sources")
        equal(now["refused"]["all"], 50 - now["replied"], "refused")


@test
def udp_never_answers_well_known_ports_nor_itself():
    if os.geteuid() != 0:
        raise Skip("only root can send from a port below 1024")
    with Server("--udp") as server:
        with udp_client(port=1000) as s:
            s.sendto(b"", ("127.0.0.1", server.port))
            udp_settled(server, received=1, replied=0)
        forge("127.0.0.77", server.port, "127.0.0.1", server.port)
        udp_settled(server, received=2, replied=0)
        equal(counters(server)["udp"]["refused"]["address"], 2, "refused")


def forge(source, source_port, to, to_port, payload=b""):
    """Sends a UDP datagram with a source that is a lie."""
    udp = struct.pack("!HHHH", source_port, to_port, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                     socket.inet_aton(source), socket.inet_aton(to))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(ip + udp, (to, 0))


@test
def two_servers_forged_at_each_other_fall_silent():
    if os.geteuid() != 0:
        raise Skip("only root can forge a source")
    with Server("--udp") as a, Server("--udp") as b:
        forge("127.0.0.1", a.port, "127.0.0.1", b.port)
        wait_for(lambda: counters(b)["udp"]["refused"]["source"] +
                 counters(a)["udp"]["refused"]["source"] > 0, "one has had enough")
        first = counters(a)["udp"]["replied"] + counters(b)["udp"]["replied"]
        true(first <= 12, f"{first} replies on one datagram")
        time.sleep(0.5)  # were the loop alive it would go on in this time
        later = counters(a)["udp"]["replied"] + counters(b)["udp"]["replied"]
        true(later <= first + 1, f"{later - first} replies after that")


@test
def an_echo_bot_is_answered_no_more_than_its_rate():
    with Server("--udp") as server, udp_client() as bot:
        bot.settimeout(0.5)
        bot.sendto(b"", ("127.0.0.1", server.port))
        echoes = 0
        try:
            while echoes < 100:
                data, sender = bot.recvfrom(1000)
                bot.sendto(data, sender)
                echoes += 1
        except TimeoutError:
            pass
        true(echoes <= 8, f"{echoes} replies went round")


@test
def a_udp_flood_does_not_stop_tcp():
    with Server("--udp", "--udp-rate-all=100") as server, udp_client() as s:
        for _ in range(20000):
            s.sendto(b"x" * 100, ("127.0.0.1", server.port))
        whole_reply(server.connect())
        now = counters(server)["udp"]
        true(now["replied"] <= 10, f"{now['replied']} replies to one source")


@test
def a_reply_is_256_bytes_at_most():
    """one datagram over UDP, as RFC 867 has it; a format that makes more is no start"""
    with Server("--udp", "--crlf", "--format=%254d") as server, udp_client() as s:
        s.sendto(b"", ("127.0.0.1", server.port))
        equal(len(s.recv(1000)), 256, "bytes")
        udp_settled(server, received=1, replied=1)
    got = run(binary("daytimed"), "--user=none", "--format=%255d", "0")
    equal((got.returncode, got.stderr), (3, "daytimed: the time cannot be written in this format\n"), "start")


# Signals.

def listening(port):
    return run("ss", "-Hltn", f"sport = :{port}").stdout


@test
def sigterm_finishes_what_is_in_flight():
    with Server("--grace=10s") as server:
        s = server.connect()
        settled(server, replied=1)
        server.send(signal.SIGTERM)
        wait_for(lambda: not listening(server.port), "no more clients are taken")
        true(server.process.poll() is None, "it waits for the client")
        whole_reply(s)
        s.close()
        equal(server.process.wait(5), 0, "exit code")
        last = last_counters(server)
        equal((last["closed"], last["cut_by_stop"]), (1, 0), "counters")


@test
def the_limits_are_what_the_manual_says():
    """100 connections of one source, 1000 in all, 65536 bytes to read: all as it is without options"""
    def connection(source, server):
        s = socket.socket()
        s.bind((source, 0))
        s.settimeout(10)
        s.connect(("127.0.0.1", server.port))
        return s
    with Server("--after-reply=keep") as server, contextlib.ExitStack() as stack:
        for n in range(10):
            for _ in range(100):
                stack.enter_context(connection(f"127.0.1.{n + 1}", server))
            if n == 0:
                with contextlib.suppress(ConnectionResetError):
                    stack.enter_context(connection("127.0.1.1", server))
                settled(server, replied=100)
                equal(counters(server)["refused"]["source"], 1, "the 101st of one source")
        settled(server, replied=1000)
        with contextlib.suppress(ConnectionResetError):
            stack.enter_context(connection("127.0.1.11", server))
        wait_for(lambda: counters(server)["refused"]["full"] == 1, "the 1001st is refused")
    with Server() as server, server.connect() as s, server.connect() as more:
        whole_reply(s)
        s.sendall(bytes(65536))
        wait_for(lambda: state_of(server.port, s.getsockname()[1]) == ("FIN_WAIT2", 0), "all is read")
        equal(counters(server)["too_much"], 0, "with 65536 bytes")
        more.sendall(bytes(65537))
        wait_for(lambda: counters(server)["too_much"] == 1, "with one more")


@test
def the_times_are_what_the_manual_says():
    """--timeout 5s, --drain-time 5s and --grace 2s, side by side; --udp-rate 1 and --udp-burst 5 meanwhile"""
    with Server() as server, Server() as stopped, Server("--udp") as udp, udp_client() as asker, \
            socket.create_server(("127.0.0.1", 0)) as silent:
        ended = {}
        began = time.monotonic()
        never_reads = server.connect()
        look = select.poll()
        look.register(never_reads, 0)  # an error and a hang-up only
        with stopped.connect(), subprocess.Popen(
                [binary("daytime"), "127.0.0.1", str(silent.getsockname()[1])], stderr=subprocess.DEVNULL) as client:
            settled(stopped, replied=1)
            stopped.send(signal.SIGTERM)
            asker.setblocking(False)
            asked, replies, first = 0, 0, time.monotonic()
            waited = {"--grace": lambda: stopped.process.poll() is not None,
                      "--timeout": lambda: client.poll() is not None,
                      "--drain-time": lambda: look.poll(0)}
            while len(ended) < len(waited) and time.monotonic() - began < 15:
                asker.sendto(b"", ("127.0.0.1", udp.port))
                asked += 1
                for name in waited.keys() - ended.keys():
                    if waited[name]():
                        ended[name] = time.monotonic() - began
                with contextlib.suppress(BlockingIOError):
                    while asker.recv(100):
                        replies += 1
                select.select([asker], [], [], 0.01)
            took = time.monotonic() - first
        for name, least, most in (("--grace", 1.9, 3), ("--timeout", 4.9, 6), ("--drain-time", 4.9, 6)):
            true(least < ended.get(name, 99) < most, f"{name}: {ended}")
        true(5 + took - 1.2 < replies < 5 + took + 0.2, f"{replies} replies to {asked} datagrams in {took:.2f} s")
        never_reads.close()


@test
def a_client_that_never_reads_is_finished():
    with Server("--drain-time=300ms") as server, server.connect():
        settled(server, replied=1)
        settled(server, timed_out=1, reset_by_us=1, open=0)


@test
def the_udp_rate_in_all_is_what_the_manual_says():
    """1000 a second, and after a rest as many at once"""
    with Server("--udp") as server, udp_client("0.0.0.0") as s:
        began = time.monotonic()
        for n in range(1, 3001):  # each from an address of its own
            info = struct.pack("=i4s4s", 0, bytes((127, 1, n // 250, n % 250 + 1)), bytes(4))
            s.sendmsg([b""], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, ("127.0.0.1", server.port))
            if n % 100 == 0:  # no more than its socket holds
                wait_for(lambda sent=n: counters(server)["udp"]["received"] == sent, "all are received")
        took = time.monotonic() - began
        now = counters(server)["udp"]
        most = 1000 * (1 + took)
        true(1000 <= now["replied"] <= most + 1, f"{now['replied']} replies to 3000 in {took:.3f} s")
        if most < 2500:  # so many sources have room in the table
            true(now["refused"]["all"] > 0, "some are refused")
            true(now["replied"] > most - 200, f"{now['replied']} replies to 3000 in {took:.3f} s")


@test
def the_clients_limit_is_what_the_manual_says():
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            subprocess.Popen([binary("daytime"), "127.0.0.1", str(listener.getsockname()[1])],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        s, _ = listener.accept()
        with s:
            s.sendall(b"x" * 5000)
            out, err = client.communicate(timeout=10)
        equal(out, b"x" * 4096 + b"\n", "shown")
        has(err.decode(), "the reply is longer than 4096 bytes")


@test
def sigterm_serves_those_who_wait():
    with Server() as server:
        server.send(signal.SIGSTOP)
        waiting = [server.connect() for _ in range(80)]  # by the kernel, into the accept queue
        server.send(signal.SIGTERM)
        server.send(signal.SIGCONT)
        for s in waiting:
            whole_reply(s)
            s.close()
        equal(server.process.wait(5), 0, "exit code")
        equal(last_counters(server)["closed"], 80, "closed")


@test
def sigterm_does_not_wait_for_ever():
    with Server("--grace=200ms") as server:
        with server.connect():
            settled(server, replied=1)
            began = time.monotonic()
            equal(server.stop(), 0, "exit code")
            true(0.1 < time.monotonic() - began < 3, "the grace")
            equal(last_counters(server)["cut_by_stop"], 1, "cut by the stop")


# A log that is full or blocked.

@test
def a_blocked_log_does_not_block_service():
    reader, writer = os.pipe()
    with subprocess.Popen([binary("daytimed"), "--user=none", "--log=connections", "0"],
                          stderr=writer) as p:
        os.close(writer)
        try:
            port = int(re.search(rb"port (\d+)", os.read(reader, 100))[1])
            for _ in range(3000):  # nobody reads any more: 64 KiB, then the pipe is full
                with socket.create_connection(("127.0.0.1", port), 5) as s:
                    whole_reply(s)
        finally:
            p.terminate()
        equal(p.wait(10), 0, "exit code")
    os.close(reader)


@test
def a_full_log_does_not_stop_service():
    with open("/dev/full", "w", encoding="ascii") as full:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with subprocess.Popen([binary("daytimed"), "--user=none", "--log=connections", str(port)],
                              stderr=full) as p:
            try:
                def served():
                    try:
                        with socket.create_connection(("127.0.0.1", port), 5) as s:
                            return REPLY.fullmatch(read_all(s))
                    except ConnectionRefusedError:
                        return None
                wait_for(served, "a reply")
            finally:
                p.terminate()
            equal(p.wait(10), 0, "exit code")


@test
def connections_can_be_logged():
    with Server("--log=connections") as server:
        s = server.connect()
        port = s.getsockname()[1]
        whole_reply(s)
        s.close()
        wait_for(lambda: f"127.0.0.1 port {port}: closed\n" in server.err(), "a line")
        with server.connect(socket.AF_INET6) as s:
            port = s.getsockname()[1]
            whole_reply(s)
        wait_for(lambda: f"::1 port {port}: closed\n" in server.err(), "a line")


@cases("a file", "a pipe")
def the_last_lines_of_a_worker_are_written(kind):
    """a client that closes as its worker stops: the line about it waits for no round that never comes"""
    with contextlib.ExitStack() as stack:
        reader, writer = os.pipe() if kind == "a pipe" else (None, os.memfd_create("log"))
        argv = [binary("daytimed"), "--user=none", "--workers=2", "--log=connections", "0"]
        p = stack.enter_context(subprocess.Popen(argv, stderr=writer))
        stack.callback(p.kill)

        def said():
            return (os.pread(writer, 1 << 16, 0) if reader is None else os.read(reader, 1 << 16)).decode()
        text = wait_for(lambda: (t := said()) and t.endswith("...\n") and t, "it listens")
        with socket.create_connection(("127.0.0.1", int(re.search(r"port (\d+)", text)[1])), 10) as s:
            true(s.recv(100), "a reply")
            p.terminate()
            equal(read_all(s), b"", "the end")
            near = s.getsockname()[1]
        equal(p.wait(10), 0, "exit code")
        has(said(), f"127.0.0.1 port {near}: closed\n")
        os.close(writer)
        if reader is not None:
            os.close(reader)


# Workers.

@test
def workers_share_a_port():
    with Server("--workers=3", "--udp", "--max-per-source=1000") as server:
        equal(load(server.port, 3000, 8), (3000, 0), "replies")
        with udp_client() as s:
            s.sendto(b"", ("127.0.0.1", server.port))
            true(s.recv(100), "UDP")
        wait_for(lambda: counters(server)["closed"] == 3000, "counters of all")
        equal(server.stop(), 0, "exit code")
        equal(last_counters(server)["closed"], 3000, "last counters")


@test
def a_worker_that_dies_ends_the_service():
    with Server("--workers=2") as server:
        children = run("pgrep", "-x", "-P", server.pid, "daytimed").stdout.split()
        equal(len(children), 2, "workers")
        os.kill(int(children[1]), signal.SIGKILL)
        equal(server.process.wait(10), 3, "exit code")
        has(server.err(), "worker 2 was ended by signal 9; stopping\n")
        for pid in children:
            true(not os.path.exists(f"/proc/{pid}"), "no worker is left")


@test
def workers_do_not_outlive_their_parent():
    with Server("--workers=2") as server:
        children = run("pgrep", "-x", "-P", server.pid, "daytimed").stdout.split()
        server.stop(signal.SIGKILL)
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), "all end")


@test
def holds_end_in_every_worker():
    with Server("--workers=2", "--after-reply=hold:100s") as server:
        held = [server.connect() for _ in range(8)]
        true(all(s.recv(100) for s in held), "replies")
        server.send(signal.SIGUSR1)
        for s in held:
            equal(read_all(s), b"", "the end of the hold")


# Socket activation and readiness.

def activated(*options, kinds=(socket.SOCK_STREAM,), env=None, pid="$$", count=None,
              listening=True):
    """Starts daytimed as a service manager does; returns the process, the ports and its log."""
    sockets = []
    for kind in kinds:
        s = socket.socket(socket.AF_INET6, kind)
        s.bind(("::", 0))
        if kind == socket.SOCK_STREAM and listening:
            s.listen(5)
        sockets.append(s)
    moves = " ".join(f"{3 + i}<&{s.fileno()}" for i, s in enumerate(sockets) if
                     s.fileno() != 3 + i)
    script = (f"export LISTEN_PID={pid} LISTEN_FDS={count or len(sockets)}; "
              f"exec \"$@\" {moves}")
    log = os.memfd_create("log")
    p = subprocess.Popen(["bash", "-c", script, "sh", binary("daytimed"), "--user=none", *options],
                         stderr=log, pass_fds=[s.fileno() for s in sockets],
                         env={**os.environ, **(env or {})})
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return p, ports, lambda: os.pread(log, 1 << 16, 0).decode()


@test
def sockets_of_a_service_manager_are_served():
    p, ports, log = activated(kinds=(socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM))
    with p:
        try:
            wait_for(lambda: f"listening on port {ports[0]}...\n" in log(), "the port's name")
            for port in ports[:2]:
                whole_reply(socket.create_connection(("127.0.0.1", port), 5))
            with udp_client() as s:
                s.sendto(b"", ("127.0.0.1", ports[2]))
                true(REPLY.fullmatch(s.recv(100)), "UDP")
        finally:
            p.terminate()
        equal(p.wait(10), 0, "exit code")


@cases((dict(kinds=(socket.SOCK_DGRAM, socket.SOCK_DGRAM)), "more than one UDP socket"),
       (dict(count=99), "LISTEN_FDS=99 is not 1 to 8 sockets"),
       (dict(pid="me"), "LISTEN_PID=me is no process"),
       (dict(listening=False), "neither a TCP listener nor a UDP socket"),
       (dict(count=8), "is no IP socket"))
def wrong_sockets_are_refused(how, said):
    p, _, log = activated(**how)
    with p:
        try:
            equal(p.wait(10), 3, "exit code")
        finally:
            p.kill()
        has(log(), said)


@cases(1, 99)
def sockets_for_another_process_are_left(count):
    p, ports, log = activated("0", pid="1", count=count)
    with p:
        try:
            port = wait_for(lambda: (m := re.search(r"port (\d+)", log())) and int(m[1]), "listens")
            true(port not in ports, "a port of its own")
        finally:
            p.terminate()
        equal(p.wait(10), 0, "exit code")


@cases(("path",), ("abstract",), ("path", "--workers=2"))
def readiness_and_the_stop_are_told(kind, *options):
    """the stop as it begins: a client that is open is waited for after that"""
    with tempfile.TemporaryDirectory() as folder, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        if kind == "path":
            name = f"{folder}/notify"
            manager.bind(name)
        else:
            name = f"@unclosed-test-{os.getpid()}"
            manager.bind("\0" + name[1:])
        with Server("--grace=100s", "--drain-time=100s", *options, env={"NOTIFY_SOCKET": name}) as server:
            equal(manager.recv(100), b"READY=1", "when it serves")
            with server.connect() as s:
                true(s.recv(100), "a reply")
                server.send(signal.SIGTERM)
                equal(manager.recv(100), b"STOPPING=1", "as it begins to stop")
                true(server.process.poll() is None, "it still waits for the client")
                server.send(signal.SIGTERM)  # once more: not told again
            equal(server.process.wait(10), 0, "exit code")
            manager.setblocking(False)
            try:
                raise AssertionError(f"{manager.recv(100)} at the end")
            except BlockingIOError:
                pass


@cases("relative", "/no/such/socket")
def a_bad_notification_socket_is_refused(name):
    got = run(binary("daytimed"), "--user=none", "0", env={**os.environ, "NOTIFY_SOCKET": name})
    equal(got.returncode, 3, "exit code")
    has(got.stderr, f"NOTIFY_SOCKET={name}")


@test
def one_address_can_be_served():
    with Server("--address=127.0.0.5") as server:
        whole_reply(socket.create_connection(("127.0.0.5", server.port), 5))
        try:
            server.connect()
            raise AssertionError("127.0.0.1 is served too")
        except ConnectionRefusedError:
            pass
    with Server("--address=::1", "--udp") as server:
        whole_reply(server.connect(socket.AF_INET6))
    got = run(binary("daytimed"), "--user=none", "--address=nowhere", "0")
    equal((got.returncode, got.stderr),
          (3, "daytimed: 'nowhere' is no IPv4 or IPv6 address\n"), "no address")


main()
