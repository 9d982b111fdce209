# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The converged PBX, looked at from outside by pytest-testinfra."""

from __future__ import annotations

import os
import re

from inside_backend import inside
import pytest

LAB = os.environ.get("SIPTRUNK_LAB", "asterisk")
SECRET_PARTS = ('only"password', r"only\"password")  # of the lab's carrier account

testinfra_hosts = [inside(f"siptrunk-{LAB}-pbx")]


def test_service_runs_and_is_enabled(host):
    service = host.service("asterisk")
    assert service.is_running
    assert service.is_enabled


@pytest.mark.parametrize("socket", ["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060", "tcp://127.0.0.1:5038"])
def test_listens(host, socket):
    assert host.socket(socket).is_listening


def test_manager_interface_is_on_loopback_only(host):
    listening = [line.split()[3] for line in host.check_output("ss -Hltn").splitlines() if line.split()[3].endswith(":5038")]
    assert listening == ["127.0.0.1:5038"]


@pytest.mark.parametrize("name", ["pjsip.conf", "extensions.conf", "manager.conf", "plan.json"])
def test_own_files_are_not_for_everybody(host, name):
    file = host.file(f"/etc/asterisk/siptrunk/{name}")
    assert (file.user, file.group, file.mode) == ("root", "asterisk", 0o640)


@pytest.mark.parametrize("path", ["siptrunk/ami.secret", "siptrunk-monitor.secret"])
def test_the_generated_password_is_for_root_alone(host, path):
    file = host.file(f"/etc/asterisk/{path}")
    assert (file.user, file.mode) == ("root", 0o600)
    assert len(file.content_string) == 32


@pytest.mark.parametrize("name", ["pjsip.conf", "extensions.conf"])
def test_the_operators_files_gain_one_include_and_nothing_else(host, name):
    lines = host.file(f"/etc/asterisk/{name}").content_string.splitlines()
    assert lines[0].startswith("; The operator's own file")
    assert [line for line in lines if "siptrunk/" in line] == [f"#include siptrunk/{name}"]
    assert host.file(f"/etc/asterisk/{name}").mode == 0o644


def test_secrets_are_in_no_log_and_no_world_readable_file(host):
    for part in SECRET_PARTS:
        assert host.run(f"grep -rlF '{part}' /var/log /tmp /root 2>/dev/null").stdout == ""
        found = host.run(f"grep -rlF '{part}' /etc /var/lib/asterisk /var/spool/asterisk 2>/dev/null").stdout.split()
        assert all(host.file(path).mode & 0o007 == 0 for path in found)
    assert host.run("grep -rlF 'only\"password' /etc/asterisk/siptrunk").stdout.split() == ["/etc/asterisk/siptrunk/pjsip.conf"]


def test_the_dialplan_computes_without_a_complaint(host):
    """In the calls of the contract, which come before."""
    complaints = "ast_expr2|func_[a-z]+[.]c|pbx_(functions|variables)[.]c"
    assert host.run(f"grep -hE '{complaints}' /var/log/asterisk/messages.log | grep -v 'already registered'").stdout == ""


@pytest.mark.parametrize(("user", "read", "write"), [
    ("siptrunk", "<none>", "system,reporting"), ("siptrunk-monitor", "system,user,reporting", "call,reporting"),
])
def test_a_manager_user_may_do_what_it_needs(host, user, read, write):
    said = host.check_output(f"asterisk -rx 'manager show user {user}'")
    assert re.search(r"read perm: (\S+)", said)[1] == read
    assert re.search(r"write perm: (\S+)", said)[1] == write


def test_a_fresh_start_has_nothing_to_say_about_the_plan(host):
    log = "/var/log/asterisk/messages.log"
    known = int(host.check_output(f"wc -l < {log}"))
    host.check_output("systemctl restart asterisk && asterisk -rx 'core waitfullybooted'")
    said = host.check_output(f"tail -n +{known + 1} {log}").splitlines()
    assert [line for line in said if "Asterisk Ready" in line or "pjsip" in line.lower()], "the log of this start"
    readers = r"(config|config_options|sorcery|res_sorcery_config|pbx|pbx_config|manager)\.c:"
    complaints = [line for line in said if re.search(rf"(ERROR|WARNING).* {readers}", line)]
    assert [line for line in complaints if "siptrunk" in line] == []


def test_the_effective_timers_are_the_plans(host):
    settings = host.check_output("asterisk -rx 'pjsip show settings'")
    assert "timer_b                     : 6400" in settings
    assert "timer_t1                    : 100" in settings
