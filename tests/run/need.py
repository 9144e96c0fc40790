# SPDX-License-Identifier: MIT
"""tools/need: what it asks of apt-get, as root and through sudo, and what it says where it cannot. Every
program that could change this host is a stand-in that notes how it was called."""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import SOURCE, equal, main, run, test  # noqa: E402

NEED = os.path.join(SOURCE, "tools", "need")
REAL = ("sh", "sed", "grep", "mktemp", "env", "cat", "printf")
NOTE = '#!/bin/sh\necho "${0##*/} $*" >>"$NOTES"\n'
DPKG = '#!/bin/sh\nfor p in $INSTALLED; do echo "installed $p"; done\n'
SUDO = NOTE + 'exec "$@"\n'
ID = '#!/bin/sh\necho "$USER_ID"\n'
# Fails while the lists are not fetched, where it is told to; then succeeds, unless it never does.
APT = NOTE + """case $1 in
update) touch "$NOTES.updated" ;;
install) [ "$APT" = works ] || { [ "$APT" = stale ] && [ -e "$NOTES.updated" ]; } || { echo "E: no such package"; exit 100; } ;;
esac
"""
POLICY = "/usr/sbin/policy-rc.d"


def needed(*packages, installed="", uid=0, sudo=True, apt="works", debian=True, tools=()):
    """Runs tools/need with stand-ins: (the finished process, the calls that were noted)."""
    with tempfile.TemporaryDirectory(prefix="unclosed-need-") as place:
        programs = {"id": ID, "tee": NOTE + "cat >/dev/null\n", "chmod": NOTE, "rm": NOTE, "apt-get": APT}
        programs |= {"dpkg-query": DPKG} if debian else {}
        programs |= {"sudo": SUDO} if sudo else {}
        programs |= {tool: NOTE for tool in tools}
        for name, text in programs.items():
            path = os.path.join(place, name)
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(path, 0o755)
        for name in REAL + ("touch",):
            os.symlink(shutil.which(name), os.path.join(place, name))
        notes = os.path.join(place, "notes")
        env = {"PATH": place, "NOTES": notes, "TMPDIR": place, "INSTALLED": installed, "USER_ID": str(uid), "APT": apt}
        done = run(os.path.join(place, "sh"), NEED, *packages, env=env)
        calls = []
        if os.path.exists(notes):
            with open(notes, encoding="ascii") as f:
                calls = f.read().splitlines()
        return done, [c for c in calls if not c.startswith("rm -f " + place)]


def policy(prefix=""):
    """The calls that keep a new package's services from starting, where the host has no policy of its own."""
    if os.path.exists(POLICY):
        return [], []
    before = [f"tee {POLICY}", f"chmod 755 {POLICY}"]
    after = [f"rm -f {POLICY}"]
    if prefix:
        before, after = ([c for call in calls for c in (prefix + call, call)] for calls in (before, after))
    return before, after


INSTALL = "apt-get install -y --no-install-recommends"
SUDO_INSTALL = f"sudo env DEBIAN_FRONTEND=noninteractive {INSTALL}"


@test
def where_all_is_there_nothing_happens():
    done, calls = needed("meson", "clang", installed="clang meson gcc")
    equal((done.returncode, done.stdout, done.stderr, calls), (0, "", "", []), "exit code, output, calls")


@test
def root_installs_what_is_missing_and_no_more():
    before, after = policy()
    done, calls = needed("meson", "clang", "lua", installed="clang")
    equal((done.returncode, done.stderr), (0, "installing: meson lua\n"), "exit code, stderr")
    equal(calls, before + [f"{INSTALL} meson lua"] + after, "calls")


@test
def others_install_through_sudo():
    before, after = policy("sudo ")
    done, calls = needed("meson", uid=1000)
    equal((done.returncode, done.stderr), (0, "installing: meson\n"), "exit code, stderr")
    equal(calls, before + [f"{SUDO_INSTALL} meson", f"{INSTALL} meson"] + after, "calls")


@test
def without_sudo_one_line_names_the_packages():
    done, calls = needed("meson", "clang", installed="clang", uid=1000, sudo=False)
    equal((done.returncode, done.stdout, calls), (3, "", []), "exit code, stdout, calls")
    equal(done.stderr, "unclosed: these packages are missing, and only root may install them: meson\n", "stderr")


@test
def stale_lists_are_fetched_and_it_is_tried_again():
    before, after = policy()
    done, calls = needed("meson", apt="stale")
    equal(done.returncode, 0, done.stderr)
    equal(calls, before + [f"{INSTALL} meson", "apt-get update", f"{INSTALL} meson"] + after, "calls")


@test
def what_cannot_be_installed_is_named_with_apts_words():
    _, after = policy()
    done, calls = needed("meson", apt="fails")
    equal(done.returncode, 3, "exit code")
    equal(done.stderr.splitlines(), ["installing: meson", "E: no such package",
                                     "unclosed: apt-get could not install: meson"], "stderr")
    equal(calls[len(calls) - len(after):], after, "the policy goes in any case")


@test
def on_another_distribution_it_is_one_line():
    done, calls = needed("meson", "clang", debian=False)
    equal((done.returncode, done.stdout, calls), (3, "", []), "exit code, stdout, calls")
    equal(done.stderr, "unclosed: not a Debian system, and 'meson' is missing; install what these packages hold: "
          "meson clang\n", "stderr")
    done, calls = needed("meson", debian=False, tools=("meson", "ninja", "clang", "bpftool", "pkg-config"))
    equal((done.returncode, done.stdout, done.stderr, calls), (0, "", "", []), "where the tools are there")


main()
