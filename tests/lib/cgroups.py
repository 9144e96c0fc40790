# SPDX-License-Identifier: MIT
"""Control groups for the processes of a test."""
import os
from contextlib import contextmanager

from tap import wait_for


def hierarchy():
    """The folder of the unified hierarchy, wherever it is mounted."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return next(line.split()[1] for line in f if line.split()[2] == "cgroup2")


def is_removed(folder):
    try:
        os.rmdir(folder)
        return True
    except OSError:
        return False


@contextmanager
def a_cgroup(path):
    """A fresh one below the unified hierarchy: its folder. It goes once nobody is in it any more."""
    folder = f"{hierarchy()}/{path}"
    os.mkdir(folder)
    try:
        yield folder
    finally:
        wait_for(lambda: is_removed(folder), f"{folder!r} to be empty")
