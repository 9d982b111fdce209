# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kamailio's files and answers are taken to say. The rest is tried on a Kamailio (molecule/sbc)."""

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import kamailio_engine
from ansible_collections.siptrunk.failover.plugins.module_utils.kamailio import KamailioRefused
from ansible_collections.siptrunk.failover.plugins.module_utils.kamailio_engine import START_FILE, VRRP_FILE, Kamailio, include_lines

ENGINE = Kamailio("/etc/kamailio", "kamailio", "kamailio", "kamailio", 1)
FILES = {
    "dispatcher.list": '# ours\n1 sip:a 0 0 duid=a.1;obproxy="x"\n2 sip:b 0 0 duid=b.1;obproxy="x"\n',
    "uacreg": "id(int,auto) l_uuid(string)\n1:a:pbx\n",
}


class Answering:
    """Answers of a Kamailio: the targets and registrations it has."""

    def __init__(self, targets=("a.1", "b.1"), registrations=("a",)):
        self.answers = {
            "dispatcher.list": {"RECORDS": [{"SET": {"ID": 1, "TARGETS": [{"DEST": {"FLAGS": "AP", "ATTRS": {"DUID": name}}} for name in targets]}}]},
            "uac.reg_dump": [{"l_uuid": name} for name in registrations],
        }

    def ask(self, method):
        if not self.answers:
            raise KamailioRefused("nobody there")
        return self.answers[method]


@pytest.mark.parametrize(
    ("answers", "faults"),
    [
        ({}, []),
        ({"targets": ["a.1"]}, ["Kamailio runs without target b.1."]),
        ({"targets": ["a.1", "b.1", "c.1"]}, ["Kamailio still has target c.1."]),
        ({"registrations": ["c"]}, ["Kamailio runs without registration a.", "Kamailio still has registration c."]),
    ],
)
def test_what_runs_is_what_the_files_say(answers, faults):
    assert ENGINE.faults(FILES, Answering(**answers)) == faults


def test_one_that_does_not_answer_is_a_fault():
    silent = Answering()
    silent.answers = {}
    assert ENGINE.faults(FILES, silent) == ["Kamailio does not tell what it runs: nobody there."]


def test_a_configuration_waits_for_a_restart_until_it_is_taken_back():
    first, second, third = ({"kamailio.cfg": text} for text in ("one\n", "two\n", "three\n"))
    assert ENGINE.restart_only(first, first, []) == []
    (waits,) = ENGINE.restart_only(first, second, [])
    assert ENGINE.restart_only(second, second, [waits]) == [waits]
    (waits_still,) = ENGINE.restart_only(second, third, [waits])
    assert waits_still.split("(")[1] == waits.split("(")[1]
    assert ENGINE.restart_only(third, first, [waits_still]) == []


def test_the_first_configuration_waits_for_nothing_here():
    assert ENGINE.restart_only({}, {"kamailio.cfg": "one\n"}, []) == [] == ENGINE.restart_only({"kamailio.cfg": "one\n"}, {}, [])


def test_the_operators_files_name_ours():
    start = {START_FILE: "CFGFILE=/etc/kamailio/siptrunk/kamailio.cfg"}
    assert include_lines("/etc/kamailio", FILES) == start
    shared = {*FILES, "keepalived.conf"}
    assert include_lines("/etc/kamailio", shared) == {**start, VRRP_FILE: "include /etc/kamailio/siptrunk/keepalived.conf"}


@pytest.fixture
def host(monkeypatch):
    """A host with a media relay, and what was done to it."""
    state = {"runs": "one\n", "enabled": True, "asked": False, "did": []}

    def run(argv, timeout=30):
        return (0 if state["runs"] else 3), "active" if state["runs"] else "inactive"

    monkeypatch.setattr(kamailio_engine, "run", run)
    monkeypatch.setattr(kamailio_engine, "is_enabled", lambda _service: state["enabled"])
    monkeypatch.setattr(kamailio_engine, "systemctl", lambda verb, service, _timeout: state["did"].append(f"{verb} {service}"))
    monkeypatch.setattr(kamailio_engine, "_relay_runs", lambda: state["runs"])
    monkeypatch.setattr(kamailio_engine.os.path, "exists", lambda _path: True)
    monkeypatch.setattr(Kamailio, "_relays", lambda _self: state["asked"])
    return state


@pytest.mark.parametrize(
    ("before", "files", "waits", "did"),
    [
        ({"asked": True}, {"rtpengine.conf": "one\n"}, False, []),
        ({"asked": True}, {"rtpengine.conf": "two\n"}, True, []),  # until the restart
        ({"runs": None, "enabled": False}, {"rtpengine.conf": "one\n"}, False, ["start rtpengine-daemon", "enable rtpengine-daemon"]),
        ({"asked": True}, {}, False, []),  # the running Kamailio needs it still
        ({}, {}, False, ["disable rtpengine-daemon", "stop rtpengine-daemon"]),
        ({"runs": None}, {}, False, []),
    ],
)
def test_the_media_relay_is_what_the_running_kamailio_needs(host, before, files, waits, did):
    host.update(before)
    assert bool(ENGINE._other_relay(files)) is waits
    assert bool(ENGINE._faults_of_relay(files)) is bool(did)
    ENGINE._relay(files)
    assert host["did"] == did


def test_at_a_restart_the_media_relay_is_started_anew_only_if_its_settings_change(host):
    for text in ("one\n", "two\n"):
        ENGINE._start_relay({"rtpengine.conf": text})
    assert host["did"] == ["start rtpengine-daemon", "restart rtpengine-daemon"]
