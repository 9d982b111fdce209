# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The converged FreeSWITCH, looked at from outside by pytest-testinfra."""

from __future__ import annotations

import json
import re
import time

from inside_backend import inside
from engines import FreeSwitch
from harness import Lab

SECRET_PARTS = ('only"password', "only&#34;password", "only&quot;password")  # of the lab's carrier account, as it stands and as XML has it
ETC, LOG = FreeSwitch.etc, FreeSwitch.log
OURS = ("autoload_configs/00_siptrunk.xml", "dialplan/00_siptrunk.xml", "sip_profiles/siptrunk.xml")

LAB = Lab(pbx=FreeSwitch.host)
ENGINE = FreeSwitch(LAB.container(FreeSwitch.host))

testinfra_hosts = [inside(ENGINE.container)]


def expanded() -> str:
    """The configuration that runs, as the preprocessor left it: what a line-wise preprocessor drops is not in it."""
    return ENGINE.command("xml_locate root")


def test_service_runs_and_is_enabled(host):
    service = host.service("freeswitch")
    assert service.is_running
    assert service.is_enabled
    assert {process.user for process in host.process.filter(comm="freeswitch")} == {"freeswitch"}


def test_listens_where_it_is_meant_to_and_nowhere_else(host):
    """The operator's profile, the trunks' profile, and the event socket on loopback alone. TLS stays until the profile's next restart."""
    here = LAB.addresses["fs"]
    listening = {tuple(line.split()[i] for i in (0, 4)) for line in host.check_output("ss -Hlntu").splitlines()}
    wanted = {(protocol, f"{here}:{port}") for protocol in ("udp", "tcp") for port in (5060, 5090)} | {("tcp", "127.0.0.1:8021")}
    tls = ("tcp", f"{here}:5091")
    assert listening - {tls} == wanted
    assert tls in listening or "tls" not in {trunk["transport"] for trunk in ENGINE.plan()["trunks"]}


def test_the_stock_password_of_the_event_socket_is_refused(host):
    assert "is ready" in ENGINE.command("status")
    assert host.run(f"{FreeSwitch.prefix}/bin/fs_cli -p ClueCon -x status").rc == 255


def test_own_files_are_not_for_everybody(host):
    files = host.check_output(f"find -L {ETC}/siptrunk -type f -printf '%f %u %g %m\\n'").splitlines()
    found = dict(line.split(" ", 1) for line in files)
    assert found.pop("esl.secret").startswith("root ") and host.file(f"{ETC}/siptrunk/esl.secret").mode == 0o600
    assert {"profile.xml", "dialplan.xml", "settings.xml", "hunt.lua", "inbound.lua", "trunks.lua", "route-nanp.lua", "plan.json"} <= set(found)
    assert set(found.values()) == {"root freeswitch 640"}


def test_the_generated_password_is_for_root_alone(host):
    assert len(host.file(f"{ETC}/siptrunk/esl.secret").content_string.strip()) == 32


def test_the_operators_files_are_what_they_were(host):
    """Three files of one line each came, and nothing else: the folders hold them and what the operator had."""
    for path in OURS:
        lines = host.file(f"{ETC}/{path}").content_string.strip().splitlines()
        assert len(lines) == 1 and re.fullmatch(r'<X-PRE-PROCESS cmd="include" data="\.\./siptrunk/\w+\.xml"/>', lines[0]), path
    theirs = host.check_output(f"cd {ETC} && grep -rlF siptrunk . --exclude-dir=siptrunk.d --exclude-dir=siptrunk").split()
    assert sorted(theirs) == sorted(f"./{path}" for path in (*OURS, "dialplan/phones.xml"))


def test_the_running_configuration_has_all_of_ours(host):
    running = expanded()
    ours = ('<profile name="siptrunk">', '<context name="siptrunk-outbound">', '<context name="siptrunk-inbound">')
    for part in (*ours, '<profile name="internal">', 'name="phones"'):
        assert part in running, part
    assert "X-PRE-PROCESS" not in running
    assert running.index('value="ClueCon"') > running.index('name="event_socket.conf"'), "ours comes first, and FreeSWITCH takes the first"


def test_every_gateway_of_the_plan_runs(host):
    plan = ENGINE.plan()
    wanted = set()
    for trunk in plan["trunks"]:
        for target in trunk["targets"]:
            wanted |= {target["id"]} | ({f"{target['id']}.probe"} if trunk["probe"]["interval"] else set())
        wanted |= {f"{target['name']}.registration" for target in trunk["registrations"]}
    running = set(re.findall(r"<name>([^<]+)</name>", ENGINE.command("sofia xmlstatus gateway")))
    assert running == wanted and "acme.registration" in wanted


def test_secrets_are_in_no_log_and_no_world_readable_file(host):
    for part in SECRET_PARTS:
        # FreeSWITCH writes its whole configuration into its log folder: that folder is closed
        # no runuser here: its session goes to the journal, command and all
        found = host.run(f"grep -rlF -- '{part}' /var/log /tmp /root /run {LOG} 2>/dev/null").stdout.split()
        assert [path for path in found if path != f"{LOG}/freeswitch.xml.fsxml"] == []
        readable = f"setpriv --reuid nobody --regid nogroup --clear-groups grep -rlF -- '{part}' {FreeSwitch.prefix} /etc /var/lib 2>/dev/null"
        assert host.run(readable).stdout == ""
    assert host.file(LOG).mode & 0o007 == 0
    holders = host.run(f"grep -rlF 'only&#34;password' {ETC}/siptrunk/").stdout.split()
    assert holders == [f"{ETC}/siptrunk/profile.xml"]


def test_a_fresh_start_has_nothing_to_say_about_the_plan(host):
    known = int(host.check_output(f"wc -l < {LOG}/freeswitch.log"))
    host.check_output("systemctl restart freeswitch")
    deadline = time.monotonic() + 60
    while "is ready" not in host.run(f"{FreeSwitch.prefix}/bin/fs_cli -p $(cat {ETC}/siptrunk/esl.secret) -x status").stdout:
        assert time.monotonic() < deadline, host.run("journalctl -u freeswitch -n 30 --no-pager").stdout
        time.sleep(0.5)
    while "sip:mod_sofia@" not in ENGINE.command("sofia status profile siptrunk"):
        assert time.monotonic() < deadline, ENGINE.command("sofia status")
        time.sleep(0.5)
    said = host.check_output(f"tail -n +{known + 1} {LOG}/freeswitch.log").splitlines()
    assert said, "the log of this start"
    complaints = [line for line in said if re.search(r"\[(ERR|CRIT|ALERT|WARNING)\]", line)]
    theirs = r"[Oo]pen (of )?\w+\.conf|No config file found|MSG Thread 0 Started|Ping succeeded"  # files that the operator does not have; news
    assert [line for line in complaints if not re.search(theirs, line)] == []


def test_the_effective_timer_is_the_plans(host):
    milliseconds = round(ENGINE.plan()["no_response_timeout"]["effective"] * 1000)
    assert f'name="timer-T1X64" value="{milliseconds}"' in expanded()


def test_a_drained_trunk_is_still_drained_after_a_restart(host):
    ENGINE.drain("beta")
    try:
        host.check_output("systemctl restart freeswitch")
        deadline = time.monotonic() + 60
        while True:
            said = host.run(f"{FreeSwitch.prefix}/bin/fs_cli -p $(cat {ETC}/siptrunk/esl.secret) -x 'db select/siptrunk_drained/beta'").stdout.strip()
            if said == "test":
                break
            assert time.monotonic() < deadline, said
            time.sleep(0.5)
    finally:
        ENGINE.drain()


def test_records_are_json_with_the_fields_of_every_engine(host):
    fields = {"at", "call", "from", "to", "route", "trunk", "target", "result", "talk_seconds", "attempts", "passed_over", "pdd_ms", "quality"}
    lines = host.file(FreeSwitch.records_file).content_string.splitlines()
    assert lines and all(set(json.loads(line)) == fields for line in lines)
    assert host.file(FreeSwitch.records_file).mode & 0o007 == 0
