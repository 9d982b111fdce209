# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on the managed host. Those that need a whole host are stood in for by scripts on the PATH."""

from __future__ import annotations

import hashlib
import os
import sys
import time

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import host
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A function that puts a script of this name before all others. What ran stands in `tmp_path`/calls."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(name, script):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{script}\n', encoding="utf-8")
        path.chmod(0o755)

    return write


def calls(tmp_path):
    return (tmp_path / "calls").read_text(encoding="utf-8").splitlines()


def test_run_gives_status_and_all_output():
    assert host.run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\nerr\n")
    assert host.run(["sh", "-c", "printf 'caf\\351'"]) == (0, "caf\ufffd")


def test_run_speaks_english_and_finds_what_the_administrator_has():
    status, text = host.run(["sh", "-c", "echo $LC_ALL; echo $PATH"])
    assert (status, text.splitlines()[0]) == (0, "C")
    assert text.rstrip().endswith(":/usr/local/sbin:/usr/sbin:/sbin")


def test_run_says_why_it_could_not():
    assert host.run(["/nonexistent/program"]) == (127, "/nonexistent/program: No such file or directory")
    began = time.monotonic()
    assert host.run(["sleep", "60"], timeout=0.2) == (124, "sleep: no end within 0 s")
    assert time.monotonic() - began < 10


def test_a_service_that_fails_tells_its_journal(stand_in, tmp_path):
    stand_in("systemctl", "echo Job failed.; exit 1")
    stand_in("journalctl", "echo no such codec")
    with pytest.raises(Refused, match=r"^systemctl start pbx failed: Job failed\.\nno such codec$"):
        host.systemctl("start", "pbx", 5)
    assert calls(tmp_path) == ["systemctl start pbx", "journalctl --unit pbx --lines 10 --no-pager --output cat"]
    assert not host.is_enabled("pbx")


def test_a_service_that_works(stand_in, tmp_path):
    stand_in("systemctl", "exit 0")
    host.systemctl("restart", "pbx", 5)
    assert host.is_enabled("pbx")
    assert calls(tmp_path) == ["systemctl restart pbx", "systemctl is-enabled --quiet pbx"]


ADDRESSES = "echo '2: eth0    inet 198.18.10.11/24 brd 198.18.10.255 scope global eth0'; echo '2: eth0    inet6 2001:db8::11/64 scope global'"
RUNS_THE_REST = 'while [ "$1" != "setpriv" ] && [ "$1" != "true" ]; do shift; done; exec "$@"'


def test_apart_keeps_the_hosts_addresses_and_takes_the_users_rights(stand_in):
    stand_in("ip", ADDRESSES)
    stand_in("unshare", RUNS_THE_REST)
    stand_in("setpriv", "exit 0")
    command = host.apart("pbx", "voip")
    assert command[:2] == ["unshare", "-n"]
    assert "198.18.10.11 2001:db8::11" in command
    assert command[-13:-5] == ["setpriv", "--reuid", "pbx", "--regid", "voip", "--init-groups", "--pdeathsig", "KILL"]


def test_apart_without_the_right_to_an_empty_network_takes_a_namespace_of_the_user(stand_in):
    stand_in("ip", ADDRESSES)
    stand_in("unshare", '[ "$1" = -rn ]')
    stand_in("setpriv", 'while [ "$1" != "unshare" ]; do [ $# = 0 ] && exit 0; shift; done; exec "$@"')
    command = host.apart("pbx", "voip")
    assert command[0] == "setpriv" and command[8:10] == ["unshare", "-rn"]


def test_apart_where_there_is_no_way(stand_in):
    stand_in("ip", ADDRESSES)
    stand_in("unshare", "exit 1")
    stand_in("setpriv", 'while [ "$1" != "unshare" ]; do shift; done; exec "$@"')
    assert host.apart("pbx", "voip") is None


def test_scratch_is_in_memory_for_root(monkeypatch):
    monkeypatch.setattr(host.os, "access", lambda path, _mode: path == "/run")
    assert host.scratch() == "/run"
    monkeypatch.setattr(host.os, "access", lambda _path, _mode: False)
    assert host.scratch() == host.tempfile.gettempdir()


def test_the_version_of_a_program_and_what_would_be_installed_without_it(stand_in):
    stand_in("apt-cache", 'echo "$2: Candidate: 1:22.4"')
    assert host.version_text(["echo", "Asterisk 22.10.1"], "asterisk") == (True, "Asterisk 22.10.1")
    assert host.version_text(["/nonexistent/asterisk", "-V"], "asterisk") == (False, "asterisk: Candidate: 1:22.4")
    assert host.version_text(["/nonexistent/asterisk", "-V"]) == (False, "")
    stand_in("apt-cache", "echo broken; exit 100")
    assert host.version_text(["/nonexistent/asterisk", "-V"], "asterisk") == (False, "")


def test_a_program_that_does_not_run_is_not_taken_for_none():
    with pytest.raises(Refused, match=r"^sh -c echo no libssl; exit 1 failed: no libssl$"):
        host.version_text(["sh", "-c", "echo no libssl; exit 1"], "asterisk")


def test_only_what_dpkg_knows_by_its_plain_name_counts_as_installed(stand_in, tmp_path):
    known = "installed here here:amd64\\nconfig-files gone gone:amd64\\ninstalled lib lib:amd64\\ninstalled lib lib:i386"
    stand_in("dpkg-query", f"printf '{known}\\n'; echo 'dpkg-query: no packages found matching never' >&2; exit 1")
    names = ["here", "gone", "never", "lib:i386", "here:arm64", "here=1.0", "here*"]
    assert host.missing_packages(names) == ["gone", "never", "here:arm64", "here=1.0", "here*"]
    assert calls(tmp_path)[-1].endswith(" here gone never lib:i386 here:arm64"), "no pattern reaches dpkg-query, which would expand it"
    before = calls(tmp_path)
    assert host.missing_packages([]) == [] and calls(tmp_path) == before


def test_without_dpkg_every_package_may_be_missing(monkeypatch):
    monkeypatch.setattr(host, "run", lambda argv: (127, "dpkg-query: No such file or directory"))
    assert host.missing_packages(["asterisk"]) == ["asterisk"]


@pytest.mark.parametrize("route, address", [("echo '192.0.2.1 via 198.18.1.1 dev eth0 src 198.18.1.10 uid 0'", "198.18.1.10"), ("exit 2", "198.18.1.13")])
def test_the_address_from_which_the_host_speaks(stand_in, route, address):
    line = "2: eth0    inet 198.18.1.13/24 brd 198.18.1.255 scope global eth0"
    stand_in("ip", f'case "$*" in *route*) {route};; *) echo "{line}";; esac')
    stand_in("hostname", "echo 198.18.1.13 198.18.2.13")
    assert host.addresses() == (address, [line])


def test_a_host_that_does_not_list_its_addresses_is_refused(stand_in):
    stand_in("ip", "echo no netlink; exit 1")
    stand_in("hostname", "")
    with pytest.raises(Refused, match="^no netlink$"):
        host.addresses()


def test_the_modules_that_a_python_cannot_import(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("print('noise')\nraise RuntimeError('half installed')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert host.python(sys.executable, ["json", "broken", "never_heard_of"]) == (list(sys.version_info[:2]), ["broken", "never_heard_of"])
    with pytest.raises(Refused, match=r"^/nonexistent/python does not run: /nonexistent/python: No such file"):
        host.python("/nonexistent/python", [])


def test_users_and_digests(tmp_path):
    assert host.user("root")["home"] == "/root" and host.user("no-such-user") is None
    (tmp_path / "file").write_bytes(b"a")
    (tmp_path / "link").symlink_to("file")
    assert host.sha256(str(tmp_path / "file")) == host.sha256(str(tmp_path / "link")) == hashlib.sha256(b"a").hexdigest()
    assert host.sha256(str(tmp_path)) is host.sha256(str(tmp_path / "gone")) is None


def test_what_is_tried_does_not_start_when_the_run_was_killed_before():
    """PR_SET_PDEATHSIG has no effect after the death of the parent. Here the parent is a shell, and not the run."""
    elsewhere = host.apart("root", "root")
    if elsewhere is None:
        pytest.skip("this host allows no network namespace")
    assert host.run([*elsewhere, "echo", "tried"]) == (0, "tried\n")
    assert host.run(["sh", "-c", '"$@"; true', "sh", *elsewhere, "echo", "tried"]) == (0, "")
