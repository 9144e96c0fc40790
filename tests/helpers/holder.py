# SPDX-License-Identifier: MIT
"""Holds sockets and does with them what its standard input says, one command a line; answers each with
one line of JSON. Names are words; a name stands for one end.

  pair S C          connects: S is the accepted end, C the other
  shut X | close X  shutdown(SHUT_WR); close
  reset X           close with a RST
  move X Y          dup2: Y's socket takes X's descriptor number, Y's own is closed
  dissolve X        connect(AF_UNSPEC): the same socket without its connection
  reconnect X       dissolves X and connects it to a new listener; answers its addresses
  read X            reads to the end: {"data": bytes, "error": errno or 0}
  send X            sends 10 bytes
  state X           the state that TCP_INFO tells
"""
import ctypes
import json
import os
import socket
import struct
import sys

ends = {}
listeners = []
libc = ctypes.CDLL(None, use_errno=True)


def listen():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(8)
    listeners.append(s)
    return s


def dissolve(s):
    if libc.connect(s.fileno(), struct.pack("16x"), 16) != 0:
        raise OSError(ctypes.get_errno(), "connect(AF_UNSPEC)")


def state(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def tell(s):
    cookie = struct.unpack("Q", s.getsockopt(socket.SOL_SOCKET, 57, 8))[0]
    local, peer = s.getsockname(), s.getpeername()
    return {"fd": s.fileno(), "pid": os.getpid(), "cookie": cookie,
            "local": f"{local[0]}:{local[1]}", "peer": f"{peer[0]}:{peer[1]}",
            "inode": os.fstat(s.fileno()).st_ino, "state": state(s)}


def read_all(s):
    total = 0
    try:
        while data := s.recv(4096):
            total += len(data)
    except OSError as e:
        return {"data": total, "error": e.errno}
    return {"data": total, "error": 0}


def reconnect(s):
    dissolve(s)
    s.connect(listen().getsockname())
    return tell(s)


def do(verb, *names):
    s = ends.get(names[0]) if names else None
    if verb == "pair":
        a = listen()
        ends[names[1]] = socket.create_connection(a.getsockname())
        ends[names[0]] = a.accept()[0]
        return [tell(ends[n]) for n in names]
    if verb == "shut":
        s.shutdown(socket.SHUT_WR)
    elif verb == "close":
        ends.pop(names[0]).close()
    elif verb == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends.pop(names[0]).close()
    elif verb == "move":
        other = ends.pop(names[1])
        os.dup2(other.fileno(), s.fileno())
        other.close()
        return tell(s)
    elif verb == "dissolve":
        dissolve(s)
    elif verb == "reconnect":
        return reconnect(s)
    elif verb == "read":
        return read_all(s)
    elif verb == "send":
        s.send(b"0123456789")
    elif verb == "state":
        return state(s)
    else:
        raise ValueError(verb)
    return {}


for line in sys.stdin:
    try:
        answer = do(*line.split())
    except OSError as error:
        answer = {"failed": error.errno}
    print(json.dumps(answer), flush=True)
