# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor under calls and faults, on real engines."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime

from cryptography import x509
from harness import enter, read_file, wait_until
from watching import LOG

INTL = "0044123456"  # beta, which has one target, then acme
DEAD = {"beta1": {"silent": True}}
ERRORS = "siptrunk_monitor_log_errors_total"
STATE = "/var/lib/siptrunk-monitor/state.json"
FAILING = {"beta1": {"invite": {"do": "code", "code": 503}}}


def moment(line):
    return datetime.fromisoformat(line["at"]).timestamp()


def beta(lab):
    return f"{lab.addresses['beta1']}:5060"


def last_record(engine, known):
    wait_until(lambda: len(engine.records()) > known, 10, "the record of the call")
    return engine.records()[-1]


def test_it_tells_the_state_as_it_is(lab, engine, monitor):
    enter(engine.container, ["systemctl", "restart", "siptrunk-monitor"])
    wait_until(lambda: monitor.events(0, "started"), 10, "the start")
    time.sleep(3)
    lines = monitor.events()
    start = max(index for index, line in enumerate(lines) if line["event"] == "started")
    told = [(line["trunk"], line["target"], line["state"], line["was"]) for line in lines[start:] if line["event"] == "probe"]
    assert sorted(told) == [
        ("acme", f"{lab.addresses['acme1']}:5060", "alive", None), ("acme", f"{lab.addresses['acme2']}:5060", "alive", None),
        ("acme-tls", f"{lab.addresses['acme1']}:5061", "off", None), ("acme-tls", f"{lab.addresses['acme2']}:5061", "off", None),
        ("beta", beta(lab), "alive", None),
    ]
    assert [(line["trunk"], line["state"]) for line in lines[start:] if line["event"] == "registration"] == [("acme", "registered")]
    metrics = monitor.metrics()
    assert metrics['siptrunk_registered{trunk="acme"}'] == 1 and metrics['siptrunk_route_up{route="intl"}'] == 1
    assert metrics['siptrunk_attempts_total{code="503",trunk="beta",verdict="next_target"}'] == 0
    assert metrics['siptrunk_failovers_total{from="beta",route="intl",to="acme"}'] == 0
    assert metrics['siptrunk_srv_drift{trunk="acme"}'] == 0
    assert metrics['siptrunk_active{role="primary",route="intl",trunk="beta"}'] == 1
    certificate = x509.load_pem_x509_certificate(read_file(lab.container("acme1"), "/lab/certificates/good.pem"))
    name = f'siptrunk_certificate_expiry_timestamp_seconds{{target="{lab.addresses["acme1"]}:5061",trunk="acme-tls"}}'
    wait_until(lambda: name in monitor.metrics(), 10, "the certificate")
    assert monitor.metrics()[name] == certificate.not_valid_after_utc.timestamp()


def test_a_dead_primary_is_held_for_a_while_after_its_return(lab, engine, monitor):
    since, before = monitor.mark(), monitor.metrics()
    lab.tell(DEAD)
    monitor.wait_for(since, 40, "health", trunk="beta", state="held")
    assert lab.caller.call(INTL).code == 200
    failover = monitor.wait_for(since, 5, "failover", route="intl")
    assert (failover["from"], failover["to"]) == ("beta", "acme") and failover["why"] in ("down", "held")
    metrics = monitor.metrics()
    assert metrics[f'siptrunk_target_up{{target="{beta(lab)}",trunk="beta"}}'] == 0 and metrics['siptrunk_up{trunk="beta"}'] == 0
    assert metrics['siptrunk_active{role="backup",route="intl",trunk="acme"}'] == 1
    name = 'siptrunk_failovers_total{from="beta",route="intl",to="acme"}'
    assert metrics[name] == before[name] + 1 and metrics['siptrunk_last_failover_timestamp_seconds{route="intl"}'] >= moment(failover) - 1

    lab.reset()
    alive = monitor.wait_for(since, 40, "probe", trunk="beta", target=beta(lab), state="alive")
    known = len(engine.records())
    assert lab.caller.call(INTL).code == 200
    record = last_record(engine, known)
    assert record["trunk"] == "acme" and {"trunk": "beta", "target": beta(lab), "why": "held"} in record["passed_over"]
    released = monitor.wait_for(since, 130, "health", trunk="beta", state="open")
    assert moment(released) - moment(alive) >= 12
    assert lab.caller.call(INTL).code == 200
    returned = monitor.wait_for(since, 15, "return", route="intl")
    assert (returned["from"], returned["to"]) == ("acme", "beta") and returned["seconds"] > 10
    assert len(monitor.events(since, "failover", route="intl")) == len(monitor.events(since, "return", route="intl")) == 1


def test_a_trunk_whose_calls_fail_is_closed_and_opens_after_a_trial(lab, engine, monitor):
    since = monitor.mark()
    lab.tell(FAILING)
    for dummy in range(3):
        assert lab.caller.call(INTL).code == 200
    assert monitor.wait_for(since, 5, "health", trunk="beta", target=None, state="closed")["why"] == "503"
    time.sleep(1)  # it writes its log first, and tells the engine then
    known, asked = len(engine.records()), time.time()
    assert lab.caller.call(INTL).code == 200
    assert {"trunk": "beta", "target": beta(lab), "why": "closed"} in last_record(engine, known)["passed_over"]
    burst, metrics = monitor.wait_for(since, 5, "burst", trunk="beta"), monitor.metrics()
    assert burst["failures"] == 3 == metrics['siptrunk_consecutive_failures{trunk="beta"}']
    assert metrics['siptrunk_closed{trunk="beta"}'] == metrics['siptrunk_failure_burst{trunk="beta"}'] == 1
    assert lab.carriers["beta1"].invites(asked) == []

    monitor.wait_for(since, 60, "health", trunk="beta", state="trial")
    assert lab.caller.call(INTL).code == 200  # the trial fails, the call does not
    wait_until(lambda: len(monitor.events(since, "health", trunk="beta", state="closed")) == 2, 5, "closed again")
    lab.reset()
    wait_until(lambda: len(monitor.events(since, "health", trunk="beta", state="trial")) == 2, 60, "on trial again")
    known = len(engine.records())
    assert lab.caller.call(INTL).code == 200
    assert last_record(engine, known)["trunk"] == "beta"
    monitor.wait_for(since, 10, "health", trunk="beta", target=None, state="open")
    states = [line["state"] for line in monitor.events(since, "health", trunk="beta", target=None)]
    assert states == ["closed", "trial", "closed", "trial", "open"]
    assert monitor.metrics()['siptrunk_closed{trunk="beta"}'] == 0


def test_a_full_disk_and_readers_that_hang_stop_nothing(lab, engine, monitor):
    fill = f"mv {LOG} {LOG}.aside; ln -s /dev/full {LOG}; ln -sf /dev/full {STATE}.new; systemctl restart siptrunk-monitor"
    enter(engine.container, ["sh", "-c", fill])
    hang = "import socket, time; held = [socket.create_connection(('127.0.0.1', 9560)) for number in range(100)]; print(flush=True); time.sleep(60)"
    with subprocess.Popen(["podman", "exec", engine.container, "python3", "-c", hang], stdout=subprocess.PIPE) as readers:
        readers.stdout.readline()
        try:
            lab.tell(DEAD)
            wait_until(lambda: not engine.reachable()["beta.1"], 20, "beta dead")
            known = len(engine.records())
            assert lab.caller.call(INTL).code == 200
            wait_until(lambda: monitor.metrics()[f'siptrunk_target_held{{target="{beta(lab)}",trunk="beta"}}'] == 1, 30, "beta held")
            assert monitor.metrics()[ERRORS] > 5 and last_record(engine, known)["trunk"] == "acme"
        finally:
            readers.kill()
            enter(engine.container, ["sh", "-c", f"rm -f {LOG} {STATE}.new; mv {LOG}.aside {LOG}"])
    errors, since = monitor.metrics()[ERRORS], monitor.mark()
    assert lab.caller.call(INTL).code == 200
    monitor.wait_for(since, 10, "attempt", trunk="acme")
    assert monitor.metrics()[ERRORS] == errors


def test_it_follows_an_engine_that_was_started_anew(lab, engine, monitor):
    since = monitor.mark()
    enter(engine.container, ["systemctl", "restart", engine.process])
    monitor.wait_for(since, 30, "engine_lost")
    back = monitor.wait_for(since, 60, "engine_back")
    assert back["seconds"] >= 0
    wait_until(lambda: monitor.metrics()['siptrunk_up{trunk="acme"}'] == 1, 30, "acme up")
    wait_until(lambda: all(engine.reachable().values()), 60, "every target reachable")
    after = monitor.mark()
    assert lab.caller.call(INTL).code == 200
    monitor.wait_for(after, 5, "attempt", trunk="beta", outcome="200")
    assert monitor.metrics()['siptrunk_registration_losses_total{trunk="acme"}'] == 0 or monitor.events(since, "registration")


def test_a_drained_trunk_is_told_of(lab, engine, monitor):
    since = monitor.mark()
    engine.drain("beta")
    drained = monitor.wait_for(since, 10, "drained", trunk="beta")
    assert drained["why"] == "test" and monitor.metrics()['siptrunk_drained{trunk="beta"}'] == 1
    engine.drain()
    monitor.wait_for(since, 10, "restored", trunk="beta")
    assert monitor.metrics()['siptrunk_drained{trunk="beta"}'] == 0


def test_a_lost_registration_is_told_of(lab, engine, monitor):
    since, before = monitor.mark(), monitor.metrics()
    name = 'siptrunk_registration_losses_total{trunk="acme"}'
    lab.tell({host: {"register": 403} for host in ("acme1", "acme2")})
    engine.register("acme")
    lost = monitor.wait_for(since, 30, "registration", trunk="acme", was="registered")
    assert lost["state"] in ("rejected", "unregistered") and monitor.metrics()[name] == before[name] + 1
    assert monitor.metrics()['siptrunk_registered{trunk="acme"}'] == 0
    lab.reset()
    engine.register("acme")
    monitor.wait_for(since, 90, "registration", trunk="acme", state="registered")
