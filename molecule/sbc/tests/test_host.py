# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The converged SBC, looked at from outside by pytest-testinfra."""

from __future__ import annotations

import json
import threading

from inside_backend import inside
from cases import INTL, code
from engines import Kamailio
from harness import Lab, wait_until

LAB = Lab(pbx=Kamailio.host)
ENGINE = Kamailio(LAB.container(Kamailio.host))
SECRET = 'only"password'  # of the lab's carrier account

testinfra_hosts = [inside(ENGINE.container)]

LISTEN = """
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
    ear.bind(("127.0.0.1", 0))
    ear.settimeout(20)
    ask("htable.sets", "listener", "monitor", "%d abc" % ear.getsockname()[1])
    for _ in range(3):
        print(ear.recv(65536).decode())
"""
LISTENING = f"ss -Hlnu sport != :{Kamailio.trunk_port} and src 127.0.0.1"


def test_service_runs_and_is_enabled(host):
    service = host.service("kamailio")
    assert service.is_running
    assert service.is_enabled
    assert {process.user for process in host.process.filter(comm="kamailio")} == {"kamailio"}


def test_listens_where_it_is_meant_to_and_nowhere_else(host):
    here = LAB.addresses["sbc"]
    listening = {tuple(line.split()[i] for i in (0, 4)) for line in host.check_output("ss -Hlntu").splitlines()}
    tls = ("tcp", f"{here}:5061")  # from the next restart on, where a trunk uses it
    assert listening - {tls} == {("udp", f"{here}:5060"), ("tcp", f"{here}:5060")}


def test_the_control_socket_is_for_root_and_the_group_of_kamailio(host):
    socket = host.file("/run/kamailio/siptrunk.sock")
    assert (socket.user, socket.group, socket.mode) == ("kamailio", "kamailio", 0o660)


def test_own_files_are_not_for_everybody(host):
    files = host.check_output("find -L /etc/kamailio/siptrunk -type f -printf '%f %u %g %m\\n'").splitlines()
    found = dict(line.split(" ", 1) for line in files)
    assert {"kamailio.cfg", "hunt.lua", "plan.lua", "plan.json", "secrets.lua", "uacreg", "dispatcher.list"} <= set(found)
    assert set(found.values()) == {"root kamailio 640"}
    assert host.file("/var/log/kamailio").mode == 0o750


def test_no_secret_in_the_journal_or_the_plan(host):
    said = "journalctl -u kamailio --no-pager -o cat; cat /etc/kamailio/siptrunk/plan.json /etc/kamailio/siptrunk/plan.lua"
    assert host.run(f"({said}) | grep -acF '{SECRET}'").stdout.strip() == "0"


def test_who_listens_hears_each_attempt_and_answer(host):
    """With the fields that the PBXs' events have."""
    LAB.reset()
    wait_until(lambda: all(ENGINE.reachable().values()), 60, "every target reachable")
    ENGINE.forget()
    LAB.tell({"beta1": code(503)})
    heard = []
    listener = threading.Thread(target=lambda: heard.extend(ENGINE.script(LISTEN).splitlines()))
    listener.start()
    wait_until(lambda: host.check_output(LISTENING), 10, "the listener")
    seen = LAB.caller.call(INTL)
    listener.join()
    LAB.reset()
    events = [json.loads(line) for line in heard]
    assert [(event["event"], event["Trunk"], event.get("Code"), event.get("Verdict")) for event in events] == [
        ("SiptrunkAttempt", "beta", "503", "next_target"),
        ("SiptrunkAnswered", "acme", None, None),
        ("SiptrunkAttempt", "acme", "200", "final"),
    ]
    assert {event["Call"] for event in events} == {seen.call_id} == {ENGINE.records()[-1]["call"]}
    assert {event["word"] for event in events} == {"abc"}
    assert all(event["Route"] == "intl" and event["Target"].endswith(":5060") and event["Ms"] >= 0 for event in events)
