# SPDX-License-Identifier: MIT
"""`unclosed list` on healthy servers under load, and on sockets that change while they are listed."""
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import binary, cases, equal, json_lines, main, run, test, true, wait_for  # noqa: E402

ROUNDS = 50_000  # per tier
ADVERSARIES = 4

ADVERSARY = r"""
import itertools, os, random, socket, struct, sys
me, rounds = int(sys.argv[1]), int(sys.argv[2])
reset = struct.pack("ii", 1, 0)
lst = socket.create_server((f"127.0.{me}.1", 0), backlog=64)
held = []
print(lst.getsockname()[1], flush=True)
for i in itertools.count():              # until it is ended
    if i == rounds:
        print("done", flush=True)
    c = socket.socket()
    c.bind((f"127.0.{me}.2", 0))
    c.connect(lst.getsockname())
    s, _ = lst.accept()
    how = i % 5
    if how == 0:                         # CLOSE_WAIT
        c.close()
    elif how == 1:                       # both have sent a FIN, or FIN_WAIT_2
        s.shutdown(socket.SHUT_WR)
        held.append(c)
    elif how == 2:                       # dead
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        c.close()
    elif how == 3:                       # another descriptor, a number used a moment ago
        fd = os.dup2(s.fileno(), 300 + random.randrange(50), inheritable=False)
        s.close()
        s = socket.socket(fileno=fd)
        held = [h for h in held if h.fileno() != fd or h.detach() < 0]
        c.close()
    else:                                # unread bytes
        c.send(b"x" * 100)
        c.close()
    held.append(s)
    while len(held) > 30:
        h = held.pop(random.randrange(len(held)))
        try:
            h.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        except OSError:
            pass
        h.close()
"""


@contextlib.contextmanager
def own_netns():
    """A process that keeps a network namespace with loopback up; gives the words that enter it."""
    argv = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            equal(p.stdout.readline(), "up\n", "namespace")
            yield ["nsenter", f"--net=/proc/{p.pid}/ns/net", "--"], os.stat(f"/proc/{p.pid}/ns/net").st_ino
        finally:
            p.stdin.close()
            p.wait(20)


def stop(processes):
    for p in processes:
        p.terminate()
    for p in processes:
        p.wait(20)
        for pipe in (p.stdin, p.stdout):
            if pipe:
                pipe.close()


def owner_is_right(s, pids):
    """Each adversary has addresses of its own, so that a wrong owner shows."""
    owners = {h["pid"] for h in s["holders"]}
    address = s["local"] or s["peer"]
    if address is None:
        true(owners <= set(pids.values()), f"a stranger: {s}")
        return
    me = int(re.match(r"127\.0\.(\d+)\.", address).group(1))
    true(owners <= {pids[me]}, f"a wrong owner: {s}")


@cases("bpf", "proc")
def no_wrong_owner_while_everything_changes(tier):
    """Adversaries open, move, reset and reuse descriptors; nobody is named or accused wrongly."""
    with own_netns() as (inside, ino):
        players, pids, listed, looks = [], {}, 0, 0
        try:
            for me in range(1, ADVERSARIES + 1):
                p = subprocess.Popen([*inside, sys.executable, "-c", ADVERSARY, str(me), str(ROUNDS // ADVERSARIES)],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                players.append(p)
                pids[me] = p.pid
                p.stdout.readline()
            done = [threading.Thread(target=p.stdout.readline, daemon=True) for p in players]
            for thread in done:
                thread.start()
            while looks < 2 or any(thread.is_alive() for thread in done):
                r = run(binary("unclosed"), "list", "--json", "--tier", tier, "--netns", ino, timeout=120)
                equal(r.stderr, "", "stderr")
                for s in json_lines(r.stdout):
                    listed += 1
                    owner_is_right(s, pids)
                    true(s["cause"] not in ("no-descriptor", "not-accepted", "shared", "told"),
                         f"a false accusation: {s}")
                looks += 1
            true(all(p.poll() is None for p in players), "an adversary died")
        finally:
            stop(players)
        print(f"# at least {ROUNDS} rounds, {looks} looks, {listed} sockets listed")
        true(looks >= 2 and listed > 100, f"{looks} looks at {listed} sockets are no test")


def start_servers(inside, folder):
    conf = os.path.join(folder, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(f"daemon off; master_process on; worker_processes 2; pid {folder}/pid; error_log stderr crit;\n"
                "user root; events { worker_connections 512; }\n"
                f"http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n"
                f"fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n"
                "server { listen 127.0.0.1:8080; location / { return 200 'hello'; } } }\n")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return [subprocess.Popen([*inside, *argv], **quiet) for argv in (
        ("nginx", "-c", conf, "-p", folder),
        ("redis-server", "--bind", "127.0.0.1", "--port", "6379", "--save", "", "--dir", folder),
        ("memcached", "-u", "root", "-l", "127.0.0.1", "-p", "11211", "-c", "512"))]


CLIENT = r"""
import random, socket, sys, time
port, ask, answer, seconds = int(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode(), sys.argv[3].encode(), float(sys.argv[4])
def connect():
    return socket.create_connection(("127.0.0.1", port))
def turn(s):
    s.sendall(ask)
    got = b""
    while answer not in got:
        part = s.recv(4096)
        if not part:
            raise SystemExit(f"closed by the server at {port}")
        got += part
pool = [connect() for _ in range(20)]       # half of them stay idle
end = time.monotonic() + seconds
print("busy", flush=True)
turns = 0
while time.monotonic() < end:
    turn(pool[turns % 10])
    if turns % 10 == 0:                     # and short ones
        s = connect(); turn(s); s.close()
    turns += 1
print(turns, flush=True)
sys.stdin.read()
"""


@test
def healthy_servers_yield_no_finding():
    """nginx, redis and memcached with pools, under load and then idle: nothing needs a person."""
    work = ((8080, "GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "hello"), (6379, "PING\\r\\n", "PONG"),
            (11211, "get x\\r\\n", "END"))
    with tempfile.TemporaryDirectory() as folder, own_netns() as (inside, ino):
        servers, clients = start_servers(inside, folder), []
        try:
            for port, _, _ in work:
                wait_for(lambda port=port: f":{port} " in run(*inside, "ss", "-tlnH").stdout, f"port {port}")
            for port, ask, answer in work:
                clients.append(subprocess.Popen([*inside, sys.executable, "-c", CLIENT, str(port), ask, answer, "4"],
                                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for c in clients:
                equal(c.stdout.readline(), "busy\n", "client")
            looks, end = 0, time.monotonic() + 3.5
            while time.monotonic() < end:
                for tier in ("bpf", "proc"):
                    for older in ((), ("--older", "500ms")):
                        r = run(binary("unclosed"), "list", "--netns", ino, "--tier", tier, *older)
                        equal(r.returncode, 0, f"a false accusation: {r.stdout}")
                        looks += 1
            for c in clients:
                true(int(c.stdout.readline()) > 50, "too little load for a test")
            true(looks >= 4, f"{looks} looks")
            for tier in ("bpf", "proc"):
                found = [json.loads(line) for line in run(
                    binary("unclosed"), "list", "--json", "--netns", ino, "--tier", tier).stdout.splitlines()]
                causes = {s["cause"] for s in found}
                true(causes <= {"time-wait", "orphan", "closing"}, f"idle pools are accused: {found}")
        finally:
            stop(clients + servers)


main()
