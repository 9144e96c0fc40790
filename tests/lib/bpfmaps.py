# SPDX-License-Identifier: MIT
"""The BPF maps and programs that hang on a running process's descriptors, for the tests that look at
them or fill them up."""
import ctypes
import json
import mmap
import os
import shutil
import struct

from tap import run, true, wait_for

BPFTOOL = shutil.which("bpftool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
BPF_MAP_UPDATE_ELEM = 2
BPF_MAP_GET_FD_BY_ID, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH = 14, 26, 27

libc = ctypes.CDLL(None, use_errno=True)


def fdinfos(pid):
    """What the kernel tells of each descriptor: dicts of text."""
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as f:
                yield {key: value.strip() for key, _, value in (line.partition(":") for line in f)}
        except FileNotFoundError:
            continue


def bpf_ids(pid):
    """The programs, maps and links that a process holds: pairs of kind and number."""
    found = set()
    for info in fdinfos(pid):
        for key, kind in (("map_id", "map"), ("link_id", "link"), ("prog_id", "prog")):
            if key in info:
                found.add((kind, int(info[key])))
                break
    return found


def is_loaded(kind, number):
    return run(BPFTOOL, "-j", kind, "show", "id", number).returncode == 0


def are_gone(ids):
    """Waits until none of what bpf_ids() gave is loaded any more."""
    wait_for(lambda: not any(is_loaded(*x) for x in ids), f"{ids} to go", 20)


def calls_left_out(pid):
    """How often the kernel did not run one of the process's tracing programs, as it ran already."""
    return sum(int(info.get("recursion_misses", 0)) for info in fdinfos(pid))


def bpf(command, attr):
    space = ctypes.create_string_buffer(attr)
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    r = libc.syscall(number, command, space, len(attr))
    true(r >= 0, f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return r


class Map:
    """A map of a process, by its name, or the end of it."""

    def __init__(self, pid, name):
        mine = {number for kind, number in bpf_ids(pid) if kind == "map"}
        shown = json.loads(run(BPFTOOL, "-j", "map", "show").stdout)
        info = next(m for m in shown if m["id"] in mine and m.get("name", "").endswith(name))
        self.btf, self.id = info.get("btf_id"), info["id"]
        self.key, self.value, self.size = info["bytes_key"], info["bytes_value"], info["max_entries"]
        self.fd = bpf(BPF_MAP_GET_FD_BY_ID, struct.pack("=III", info["id"], 0, 0))

    def strangers(self):
        """As many keys as there is room for, none of which anybody has a use for."""
        return b"".join(n.to_bytes(4, "little").rjust(self.key, b"\xee") for n in range(self.size))

    def batch(self, command, values):
        keys = self.strangers()
        attr = struct.pack("=QQQQIIQQ", 0, 0, address(keys), address(values), self.size, self.fd, 0, 0)
        bpf(command, attr)

    def fill(self):
        """Fills a hash map up."""
        self.batch(BPF_MAP_UPDATE_BATCH, bytes((self.value + 7) // 8 * 8 * self.size))

    def empty(self):
        """Takes out what fill() put in."""
        self.batch(BPF_MAP_DELETE_BATCH, b"")

    def put_everywhere(self, word):
        """Makes this the first word of each value of an array that can be mapped."""
        stride = (self.value + 7) // 8 * 8
        with mmap.mmap(self.fd, stride * self.size) as m:
            for at in range(0, stride * self.size, stride):
                struct.pack_into("=Q", m, at, word)

    def elements(self, form):
        """Of an array that can be mapped: the number and the parts, of that form, of each element that is not
        zero in its first 64 bits."""
        stride = (self.value + 7) // 8 * 8
        with mmap.mmap(self.fd, stride * self.size) as m:
            for i in range(self.size):
                if m[i * stride:i * stride + 8] != bytes(8):
                    yield i, struct.unpack_from(form, m, i * stride)

    def copy(self, number, to):
        """Of the same: makes one element what another is."""
        stride = (self.value + 7) // 8 * 8
        with mmap.mmap(self.fd, stride * self.size) as m:
            m[to * stride:(to + 1) * stride] = m[number * stride:(number + 1) * stride]

    def clear(self, number):
        """Of the same: makes one element zero."""
        stride = (self.value + 7) // 8 * 8
        with mmap.mmap(self.fd, stride * self.size) as m:
            m[number * stride:(number + 1) * stride] = bytes(stride)

    def count(self):
        """How many elements there are."""
        return len(json.loads(run(BPFTOOL, "-j", "map", "dump", "id", self.id).stdout))

    def put(self, key, value):
        """Gives a key of 32 bits a value of 64."""
        key, value = struct.pack("=I", key), struct.pack("=Q", value)
        bpf(BPF_MAP_UPDATE_ELEM, struct.pack("=IIQQQ", self.fd, 0, address(key), address(value), 0))

    def put_in_array(self, variable, word):
        """Of a section of variables: makes this the first 32 bits of each element of an array in it, or of one
        that is no array."""
        types = {t["id"]: t for t in json.loads(run(BPFTOOL, "-j", "btf", "dump", "id", self.btf).stdout)["types"]}
        number = next(i for i, t in types.items() if (t["kind"], t["name"]) == ("VAR", variable))
        where = next(v for t in types.values() for v in t.get("vars", ()) if v["type_id"] == number)
        stride = where["size"] // types[types[number]["type_id"]].get("nr_elems", 1)
        with mmap.mmap(self.fd, (self.value + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE) as m:
            for at in range(where["offset"], where["offset"] + where["size"], stride):
                struct.pack_into("=I", m, at, word)

    def close(self):
        os.close(self.fd)


def address(data):
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
