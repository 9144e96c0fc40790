# SPDX-License-Identifier: MIT
"""One probe for each fact of the kernel that the design rests on (docs/KERNEL.md). A kernel that differs
says so here, by name, before anything built on it goes wrong. Runs in a network namespace of its own."""
import array
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import time

if os.environ.get("UNCLOSED_PROBE_NETNS") != "1":
    os.environ["UNCLOSED_PROBE_NETNS"] = "1"
    os.execvp("unshare", ["unshare", "-rnm", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', sys.executable,
                          *sys.argv])

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import binary, equal, json_lines, main, run, test, true, wait_for, within  # noqa: E402

ESTABLISHED, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE_WAIT, LISTEN = 1, 4, 5, 6, 8, 10
SO_COOKIE = 57
SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
NLM_F_REQUEST, NLM_F_ACK = 1, 4
TICK_MS = 10  # at most: HZ is 100 or more


def message(kind, flags, local, peer):
    """A request of sock_diag for that 4-tuple."""
    ident = struct.pack("!HH", local[1], peer[1]) + socket.inet_aton(local[0]) + bytes(12) + \
        socket.inet_aton(peer[0]) + bytes(12) + struct.pack("=III", 0, 0xffffffff, 0xffffffff)
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xffffffff) + ident
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def diag(local, peer):
    """sock_diag's exact look-up of a 4-tuple: (state, timer, expires ms, rqueue, inode, cookie), or None
    where the kernel knows none."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as nl:
        nl.send(message(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, local, peer))
        answer = nl.recv(65536)
    kind = struct.unpack_from("=H", answer, 4)[0]
    if kind == 2:
        code = -struct.unpack_from("=i", answer, 16)[0]
        true(code == errno.ENOENT, f"sock_diag answered {errno.errorcode.get(code, code)}")
        return None
    _, state, timer, _ = struct.unpack_from("=BBBB", answer, 16)
    expires, rqueue, _, _, inode = struct.unpack_from("=IIIII", answer, 16 + 4 + 48)
    cookie = struct.unpack_from("=Q", answer, 16 + 4 + 40)[0]
    return state, timer, expires, rqueue, inode, cookie


def destroy(local, peer):
    """Asks for SOCK_DESTROY: 0, or the errno value of the answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as nl:
        nl.send(message(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, local, peer))
        return -struct.unpack_from("=i", nl.recv(65536), 16)[0]


def pair():
    """A connection over loopback: (listener, client, server, client's address, server's address)."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, address = listener.accept()
    return listener, client, server, address, listener.getsockname()


def state_of(local, peer):
    found = diag(local, peer)
    return found and found[0]


@test
def an_unread_fin_counts_as_one_in_recv_q():
    _l, client, server, c, s = pair()
    server.close()
    wait_for(lambda: state_of(c, s) == CLOSE_WAIT, "CLOSE_WAIT")
    equal(diag(c, s)[3], 1, "Recv-Q with the FIN unread")
    equal(client.recv(10), b"", "end of stream")
    equal(diag(c, s)[3], 0, "Recv-Q once it was read")


@test
def recv_q_zero_does_not_prove_that_a_read_returned_zero():
    """A FIN merged into the last data is consumed with the data."""
    _l, client, server, c, s = pair()
    server.send(b"line\n", socket.MSG_MORE)
    server.shutdown(socket.SHUT_WR)
    wait_for(lambda: state_of(c, s) == CLOSE_WAIT, "CLOSE_WAIT")
    equal(diag(c, s)[3], 6, "Recv-Q: five bytes and the FIN")
    equal(client.recv(100), b"line\n", "the line")
    equal(diag(c, s)[3], 0, "Recv-Q after one read of data")


@test
def siocinq_does_not_count_the_fin():
    _l, client, server, c, s = pair()
    server.close()
    wait_for(lambda: state_of(c, s) == CLOSE_WAIT, "CLOSE_WAIT")
    count = array.array("i", [0])
    fcntl.ioctl(client, termios.FIONREAD, count)
    equal(count[0], 0, "SIOCINQ")


@test
def a_look_up_of_what_is_gone_answers_with_the_listener():
    _l, client, server, c, s = pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.close()
    wait_for(lambda: state_of(s, c) == LISTEN, "LISTEN for a 4-tuple that no longer exists")
    equal(diag(c, s), None, "the other direction, where nothing listens")


@test
def an_orphan_in_fin_wait_2_has_a_timer_and_a_held_one_has_none():
    _l, client, server, c, s = pair()
    client.close()
    wait_for(lambda: state_of(c, s) == FIN_WAIT2, "FIN_WAIT_2")
    _, timer, expires, _, inode, _ = diag(c, s)
    true(timer != 0 and 55000 < expires <= 60000, f"timer {timer}, {expires} ms")
    equal(inode, 0, "an orphan's inode")
    equal(server.recv(1), b"", "end of stream")
    _l2, client, server, c, s = pair()
    client.shutdown(socket.SHUT_WR)
    wait_for(lambda: state_of(c, s) == FIN_WAIT2, "FIN_WAIT_2")
    equal(diag(c, s)[1], 0, "the timer of one that a descriptor holds")


@test
def tcp_fin_timeout_is_of_the_namespace_and_may_be_a_second():
    with open("/proc/sys/net/ipv4/tcp_fin_timeout", "r+", encoding="ascii") as f:
        before = f.read()
        f.seek(0)
        f.write("1")
    _l, client, server, c, s = pair()
    client.close()
    began = time.monotonic()
    wait_for(lambda: state_of(c, s) == FIN_WAIT2, "FIN_WAIT_2")
    wait_for(lambda: diag(c, s) is None, "the orphan dropped")
    true(0.5 < time.monotonic() - began < 4, f"after {time.monotonic() - began:.1f} s")
    with open("/proc/sys/net/ipv4/tcp_fin_timeout", "w", encoding="ascii") as f:
        f.write(before)


@test
def time_wait_has_sixty_seconds():
    _l, client, server, c, s = pair()
    client.close()
    server.close()
    wait_for(lambda: state_of(c, s) == TIME_WAIT, "TIME_WAIT")
    true(58000 < diag(c, s)[2] <= 60000, f"{diag(c, s)[2]} ms")


@test
def closing_with_unread_bytes_resets():
    _l, client, server, c, s = pair()
    client.send(b"never read")
    wait_for(lambda: diag(s, c)[3] == 10, "the bytes arrived")
    server.close()
    try:
        client.recv(10)
        raise AssertionError("no reset")
    except ConnectionResetError:
        pass


@test
def closing_with_only_the_fin_unread_does_not_reset():
    _l, client, server, c, s = pair()
    client.shutdown(socket.SHUT_WR)
    wait_for(lambda: state_of(s, c) == CLOSE_WAIT, "CLOSE_WAIT")
    server.close()
    equal(client.recv(10), b"", "a FIN, not a reset")


def segments_out(sock):
    """tcpi_segs_out of TCP_INFO."""
    return struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), 136)[0]


@test
def a_fin_rides_on_the_data_with_msg_more():
    _l, client, server, c, s = pair()
    before = segments_out(server)
    server.send(b"x" * 25, socket.MSG_MORE)
    server.shutdown(socket.SHUT_WR)
    equal(segments_out(server) - before, 1, "segments sent, for data and FIN")


@test
def a_descriptor_can_be_copied_and_shut_down_for_its_holder():
    """pidfd_getfd(2): the holder is another process, as in `release`."""
    _l, client, server, c, s = pair()
    libc = ctypes.CDLL(None, use_errno=True)
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        client.close()
        os.close(w)
        os.read(r, 1)
        os._exit(0)
    os.close(r)
    fd = server.fileno()
    server.close()
    client.shutdown(socket.SHUT_WR)
    wait_for(lambda: state_of(s, c) == CLOSE_WAIT, "CLOSE_WAIT")
    pidfd = os.pidfd_open(child)
    copy = libc.syscall(438, pidfd, fd, 0)
    true(copy >= 0, f"pidfd_getfd: {errno.errorcode.get(ctypes.get_errno())}")
    with socket.socket(fileno=copy) as sock:
        sock.shutdown(socket.SHUT_RDWR)
    equal(client.recv(1), b"", "the peer is freed")
    os.close(w)
    os.waitpid(child, 0)
    os.close(pidfd)


@test
def a_cookie_is_the_same_from_the_socket_and_from_sock_diag():
    _l, client, _server, c, s = pair()
    cookie = struct.unpack("=Q", client.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
    equal(diag(c, s)[5], cookie, "sock_diag's cookie")


# Switches off the checksum offload of the interface that is named (ETHTOOL_STXCSUM).
PLAIN_FRAMES = """
import ctypes, fcntl, socket, struct, sys
value = ctypes.create_string_buffer(struct.pack("=II", 0x17, 0))
request = struct.pack("16sP16x", sys.argv[1].encode(), ctypes.addressof(value))
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, request)
"""
SERVE = """
import socket
with socket.create_server(("10.0.0.2", 13)) as listener:
    print("listens", flush=True)
    listener.accept()
"""
CONNECT = 'import socket; socket.create_connection(("10.0.0.2", 13)).recv(1)'
NO_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
SOL_PACKET, PACKET_IGNORE_OUTGOING, ETH_P_IP = 263, 23, 0x800


def checked(*argv):
    done = run(*argv)
    equal((done.returncode, done.stderr), (0, ""), " ".join(map(str, argv[:12])))


def make_host(number):
    """A host in a network namespace of its own, cabled to ours: the process that keeps it, our end's socket, and
    the words that enter it."""
    keeper = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE)
    ours = os.readlink("/proc/self/ns/net")
    wait_for(lambda: os.readlink(f"/proc/{keeper.pid}/ns/net") != ours, "a second namespace")
    inside = ["nsenter", "-t", str(keeper.pid), "-n"]
    end = f"wire{number}"
    checked("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "address", f"02:00:00:00:00:0{number}",
            "netns", keeper.pid)
    checked(sys.executable, "-S", "-c", PLAIN_FRAMES, end)
    checked(*inside, sys.executable, "-S", "-c", PLAIN_FRAMES, "eth0")
    checked("ip", "link", "set", end, "up")
    checked(*inside, "ip", "addr", "add", f"10.0.0.{number}/24", "dev", "eth0")
    checked(*inside, "ip", "link", "set", "eth0", "up")
    checked(*inside, "ip", "neigh", "add", f"10.0.0.{3 - number}", "lladdr", f"02:00:00:00:00:0{3 - number}", "dev",
            "eth0", "nud", "permanent")
    checked(*inside, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start")
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    wire.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    wire.bind((end, ETH_P_IP))
    return keeper, wire, inside


def sum_is_right(frame):
    """Whether the TCP checksum of an IPv4 frame is."""
    ip = frame[14:14 + struct.unpack_from("!H", frame, 16)[0]]
    segment = ip[(ip[0] & 15) * 4:]
    whole = ip[12:20] + struct.pack("!HH", socket.IPPROTO_TCP, len(segment)) + segment + bytes(len(segment) % 2)
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return total == 0xffff


@test
def a_veth_pair_between_namespaces_needs_no_privileges():
    """All of the lab's network, by root of a user namespace only: two hosts, no checksum offload, packet sockets that
    see every frame and carry it on, and a port below 1024 for a program without privileges."""
    with open("/proc/self/uid_map", encoding="ascii") as f:
        equal(f.read().split()[2], "1", "users in the namespace")
    hosts = [make_host(1), make_host(2)]
    programs = []
    try:
        programs.append(subprocess.Popen([*hosts[1][2], *NO_PRIVILEGES, sys.executable, "-S", "-c", SERVE],
                                         stdout=subprocess.PIPE, text=True))
        equal(programs[0].stdout.readline(), "listens\n", "port 13, without privileges")
        programs.append(subprocess.Popen([*hosts[0][2], *NO_PRIVILEGES, sys.executable, "-S", "-c", CONNECT]))
        wires, seen = [host[1] for host in hosts], [0, 0]
        while min(seen) < 2:  # SYN, SYN ACK, ACK, and what ends it
            ready, _, _ = select.select(wires, [], [], within(10))
            true(ready, f"frames from the hosts: {seen}")
            for wire in ready:
                frame = wire.recv(65536)
                true(sum_is_right(frame), f"the checksum of {frame.hex()}")
                wires[1 - wires.index(wire)].send(frame)
                seen[wires.index(wire)] += 1
        equal(programs[0].wait(within(10)), 0, "what accepted")
    finally:
        for program in [*programs, *(host[0] for host in hosts)]:
            program.kill()
            program.wait()
        for host in hosts:
            host[1].close()
            host[0].stdin.close()


@test
def time_wait_blocks_a_later_bind_without_so_reuseaddr():
    """Of the port, not only of the 4-tuple; with SO_REUSEADDR on both sockets it does not."""
    listener, client, server, c, s = pair()
    server.close()
    client.close()
    listener.close()
    wait_for(lambda: state_of(s, c) == TIME_WAIT, "TIME_WAIT")
    with socket.socket() as later:
        try:
            later.bind(s)
            raise AssertionError("bound beside a TIME_WAIT")
        except OSError as error:
            equal(errno.errorcode[error.errno], "EADDRINUSE", "without SO_REUSEADDR")
        later.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        later.bind(s)
        later.listen()
    equal(state_of(s, c), TIME_WAIT, "all the while")


def last_ack_recv(sock):
    """tcpi_last_ack_recv of TCP_INFO, ms."""
    return struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 56)[0]


@test
def last_ack_recv_is_a_lower_bound_of_the_age_of_close_wait():
    """The FIN carries an ACK; what is acknowledged later makes it younger, never older."""
    _l, client, server, c, s = pair()
    began = time.monotonic()
    client.shutdown(socket.SHUT_WR)
    wait_for(lambda: state_of(s, c) == CLOSE_WAIT, "CLOSE_WAIT")
    wait_for(lambda: last_ack_recv(server) >= 50, "50 ms since the FIN")
    seen = last_ack_recv(server)
    age = (time.monotonic() - began) * 1000
    true(seen <= age + TICK_MS, f"{seen} ms of at most {age:.1f}")
    server.send(b"x")
    wait_for(lambda: last_ack_recv(server) < 50, "what the peer acknowledges makes it younger")
    equal(state_of(s, c), CLOSE_WAIT, "the state all the while")


@test
def a_holder_is_told_when_sock_destroy_ends_its_connection():
    """SOCK_DESTROY, which `release --reset` uses: the holder reads ECONNABORTED, the peer a reset."""
    _l, client, server, c, s = pair()
    client.shutdown(socket.SHUT_WR)
    wait_for(lambda: state_of(s, c) == CLOSE_WAIT, "CLOSE_WAIT")
    equal(destroy(s, c), 0, "the answer to SOCK_DESTROY")
    true(state_of(s, c) in (None, LISTEN), "the connection is gone")
    for sock, code in ((server, errno.ECONNABORTED), (client, errno.ECONNRESET)):
        equal(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), code, "what the ends are told")


@test
def states_asked_right_after_delivery_are_the_new_ones():
    """The lab asks both kernels when send(2) of a frame on the veth has returned: SYN, FIN and their ACKs have
    the states that they led to in the same row."""
    (record,) = json_lines(run(binary("unclosed"), "lab", "--json", "server-never-closes").stdout)
    led_to = {}
    for event in record["timeline"]:
        if event["kind"] == "packet":
            led_to.setdefault((event["from"], event["flags"]), (event["client"], event["server"]))
    equal(led_to["client", "SYN"], ("SYN_SENT", "SYN_RECV"), "SYN")
    equal(led_to["server", "SYN ACK"], ("ESTABLISHED", "SYN_RECV"), "SYN ACK")
    equal(led_to["client", "ACK"], ("ESTABLISHED", "ESTABLISHED"), "ACK")
    equal(led_to["client", "FIN ACK"], ("FIN_WAIT_1", "CLOSE_WAIT"), "FIN ACK")
    equal(led_to["server", "ACK"], ("FIN_WAIT_2", "CLOSE_WAIT"), "ACK of the FIN")


@test
def the_kernels_types_have_what_bpf_attaches_to():
    """/sys/kernel/btf/vmlinux names tp_btf/inet_sock_set_state, iter/task_file, bpf_sock_from_file's result and, from
    6.3 on, tp_btf/sock_recv_length, without which a fexit takes its place."""
    with open("/sys/kernel/btf/vmlinux", "rb") as f:
        names = set(f.read().split(b"\0"))
    release = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
    for name in (b"btf_trace_inet_sock_set_state", b"btf_trace_tcp_destroy_sock", b"bpf_iter__task_file",
                 b"bpf_sock_from_file"):
        true(name in names, f"no {name.decode()}")
    equal(b"btf_trace_sock_recv_length" in names, release >= (6, 3), f"sock_recv_length in {release}")


@test
def libc_has_tables_to_unwind_its_frames():
    """It has no frame pointers, so bpf_get_stack() ends in it: libdw reads .eh_frame instead."""
    with open("/proc/self/maps", encoding="utf-8") as f:
        (path, *_) = {line.split()[-1] for line in f if "/libc.so." in line or "/libc-2." in line}
    with open(path, "rb") as f:
        header = f.read(64)
        offset, = struct.unpack_from("=Q", header, 40)
        size, count, names_at = struct.unpack_from("=HHH", header, 58)
        f.seek(offset)
        sections = [struct.unpack_from("=IIQQQQ", f.read(size)) for _ in range(count)]
        f.seek(sections[names_at][4])
        names = f.read(sections[names_at][5])
    held = {names[s[0]:names.index(b"\0", s[0])]: s[5] for s in sections}
    true(held.get(b".eh_frame", 0) > 0 and held.get(b".eh_frame_hdr", 0) > 0, f"{path} has {sorted(held)}")


main()
