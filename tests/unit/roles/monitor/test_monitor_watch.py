# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from what the monitor hears."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from monitored import ACME1, ACME2, BETA, ROUTES, TRUNKS, Log, answer, attempt, found, trunk, watched
from siptrunk_monitor import watch as watch_module

from ansible_collections.siptrunk.failover.plugins.module_utils import marks

HELD = (marks.HELD, "198.18.1.21_5060_udp")


def test_the_first_look_tells_the_state_as_it_is_and_the_next_only_changes(settings):
    watch, log = watched(settings)
    watch.look(found(drained={"beta": {"by": "ann", "at": "2026-11-25T06:00:00Z", "why": "maintenance"}}), 1)
    assert [line["was"] for line in log.of("probe")] == [None] * 3 and log.of("drained") == [{"trunk": "beta", "by": "ann", "why": "maintenance"}]
    assert watch.trunks["beta"].drained_at == datetime(2026, 11, 25, 6, tzinfo=timezone.utc).timestamp()
    assert log.of("registration") == [{"trunk": "acme", "registration": "acme", "state": "registered", "was": None}]
    del log[:]
    watch.look(found(), 6)
    assert log == [{"at": 6, "event": "restored", "trunk": "beta"}]


def test_an_attempt_is_written_down_and_counted(settings):
    watch, log = watched(settings)
    assert watch.attempt(attempt("acme", ACME1, "503", "next_target"), 5) and watch.attempt(attempt("acme", ACME2, "silent", "next_target"), 6)
    assert log.of("attempt") == [
        {"route": "nanp", "trunk": "acme", "target": ACME1, "code": 503, "outcome": "503", "ms": 12, "verdict": "next_target", "call": "c1"},
        {"route": "nanp", "trunk": "acme", "target": ACME2, "code": None, "outcome": "silent", "ms": 12, "verdict": "next_target", "call": "c1"}]
    assert watch.attempts == {("acme", "next_target", "503"): 1, ("acme", "next_target", "silent"): 1}


@pytest.mark.parametrize("change", [{"trunk": "omega"}, {"trunk": ""}, {"verdict": "maybe"}, {"outcome": ""}])
def test_an_attempt_that_makes_no_sense_changes_nothing(settings, change):
    watch, log = watched(settings)
    assert not watch.attempt({**attempt("acme", ACME1, "503", "next_target"), **change}, 5) and log == [] and not watch.attempts
    assert not watch.answered({**answer("acme", ACME1), "trunk": "omega"}, 5) and not watch.probe("omega.1", "dead", 5) and not watch.probe("acme.1", "?", 5)


def test_an_outcome_that_nobody_knows_is_no_label_of_its_own(settings):
    watch, dummy = watched(settings)
    watch.attempt(attempt("acme", ACME1, 'x"} 1\n', "next_target"), 5)
    assert list(watch.attempts) == [("acme", "next_target", "other")]


def test_a_target_that_is_down_is_marked_until_it_stayed_up(settings):
    watch, log = watched(settings)
    watch.look(found(), 0)
    assert watch.marks(0) == {}
    watch.probe("acme.1", "dead", 100)
    assert watch.changed and watch.marks(100) == {HELD: 130} and watch.trunks["acme"].up
    watch.probe("acme.2", "dead", 100)
    assert not watch.trunks["acme"].up and watch.trunks["acme"].why == "down"
    watch.probe("acme.1", "alive", 200)
    watch.tick(230)
    assert watch.marks(230)[HELD] == 260 and watch.trunks["acme"].why == "held"
    watch.tick(260)
    assert HELD not in watch.marks(260)
    assert [(line["target"], line["state"]) for line in log.of("health")] == [(ACME1, "held"), (ACME2, "held"), (ACME1, "open")]


def test_no_mark_holds_for_longer_than_half_a_minute(settings):
    watch, dummy = watched(settings)
    watch.probe("acme.1", "dead", 1000)
    watch.changed = False
    for number in range(3):
        watch.attempt(attempt("beta", BETA, "503", "next_target"), 1000 + number)
    assert watch.changed and not watch.trunks["beta"].up  # the engine is told at once
    assert watch.marks(1002.5) == {HELD: 1032, (marks.CLOSED, "beta"): 1032}
    assert watch.marks(1020.5)[marks.CLOSED, "beta"] == 1032 + 5  # it is over then, and the trial begins
    watch.tick(1032)
    assert watch.marks(1032) == {HELD: 1062, (marks.TRIAL, "beta"): 1062}
    watch.answered(answer("beta", BETA), 1040)
    assert watch.marks(1040) == {HELD: 1070}


def test_failures_of_a_target_that_is_down_or_held_do_not_close_its_trunk(settings):
    watch, dummy = watched(settings)
    watch.probe("acme.1", "dead", 0)
    for number in range(5):
        watch.attempt(attempt("acme", ACME1, "silent", "next_target", call=str(number)), number)
    watch.probe("acme.1", "alive", 10)
    for number in range(5):
        watch.attempt(attempt("acme", ACME1, "503", "next_target", call=str(number)), 20)
    assert watch.trunks["acme"].health.is_open and watch.trunks["acme"].health.failures == 10


def test_a_failover_says_what_the_call_found_and_a_return_for_how_long(settings):
    watch, log = watched(settings)
    watch.look(found(), 0)
    watch.attempt(attempt("acme", ACME1, "503", "next_target"), 1)
    watch.attempt(attempt("acme", ACME2, "no_progress", "next_trunk"), 2)
    watch.answered(answer("beta", BETA), 3)
    assert log.of("failover") == [{"route": "nanp", "from": "acme", "to": "beta", "why": "no_progress"}]
    watch.attempt(attempt("beta", BETA, "200", "final"), 500)  # the end of that call, long after
    watch.answered(answer("acme", ACME1, "c2"), 40)
    assert log.of("return") == [{"route": "nanp", "from": "beta", "to": "acme", "seconds": 37}]
    watch.attempt(attempt("beta", BETA, "200", "final"), 600)
    assert len(log.of("failover")) == 1 and watch.failovers["nanp", "acme", "beta"] == watch.returns["nanp"] == 1


def test_the_memory_of_calls_that_failed_is_bounded(settings, monkeypatch):
    monkeypatch.setattr(watch_module, "MOST_CALLS", 10)
    watch, dummy = watched(settings)
    for number in range(30):
        watch.attempt(attempt("acme", ACME1, "503", "next_target", str(number)), number)
    assert list(watch._failed) == [str(number) for number in range(20, 30)]


@pytest.mark.parametrize(("outcome", "carried"), [("rang_out", True), ("486", True), ("603", True), ("487", False), ("404", False), ("200", False)])
def test_what_counts_as_carried_without_an_answer(settings, outcome, carried):
    watch, log = watched(settings)
    watch.attempt(attempt("beta", BETA, outcome, "final"), 1)
    assert (len(log.of("failover")) == 1) == carried


@pytest.mark.parametrize(("why", "prepare"), [
    ("down", lambda watch: watch.look(found({"acme.1": "dead", "acme.2": "dead"}), 0)),
    ("down", lambda watch: watch.look(found(missing=["acme.1", "acme.2"]), 0)),
    ("drained", lambda watch: watch.look(found(drained={"acme": {"by": None, "at": None, "why": "x"}}), 0)),
    ("closed", lambda watch: [watch.attempt(attempt("acme", ACME1, "503", "next_target", "c9"), 0) for dummy in range(3)]),
])
def test_a_failover_says_why_the_primary_was_not_asked(settings, why, prepare):
    watch, log = watched(settings)
    watch.look(found(), 0)
    prepare(watch)
    watch.answered(answer("beta", BETA), 3)
    assert log.of("failover") == [{"route": "nanp", "from": "acme", "to": "beta", "why": why}]


def test_of_two_primaries_a_failover_is_from_the_one_that_the_call_asked(settings):
    watch, log = watched(settings)
    watch.adopt([*TRUNKS, trunk("gamma", "198.18.1.41:5060")], [{"name": "nanp", "groups": [["acme", "beta"], ["gamma"]]}], 0)
    watch.attempt(attempt("beta", BETA, "503", "next_trunk"), 1)
    watch.answered(answer("gamma", "198.18.1.41:5060"), 2)
    assert log.of("failover") == [{"route": "nanp", "from": "beta", "to": "gamma", "why": "503"}]


def test_a_full_primary():
    full = trunk("acme", ACME1, max_channels=1)
    from conftest import SETTINGS
    watch, log = watched(SETTINGS)
    watch.adopt([full, TRUNKS[1]], ROUTES, 0)
    watch.look(found(channels=1), 1)
    watch.answered(answer("beta", BETA), 3)
    assert log.of("failover")[0]["why"] == "full"


def test_a_lost_registration_is_counted_once(settings):
    watch, log = watched(settings)
    watch.look(found(), 1)
    watch.look(found(registered="rejected"), 6)
    watch.look(found(registered="rejected"), 11)
    assert watch.trunks["acme"].losses == 1 and not watch.trunks["acme"].registered
    assert log.of("registration")[1:] == [{"trunk": "acme", "registration": "acme", "state": "rejected", "was": "registered"}]
    watch.look(found(), 20)
    watch.look(found(registered="unregistered"), 25)
    assert watch.trunks["acme"].losses == 2


def test_an_engine_that_has_just_come_back_may_take_its_time_to_register(settings):
    watch, dummy = watched(settings)
    watch.look(found(), 1)
    watch.engine(False, 5)
    watch.engine(True, 10)
    watch.look(found(registered="unregistered"), 11)
    assert watch.trunks["acme"].losses == 0
    watch.look(found(registered="unregistered"), 26)
    assert watch.trunks["acme"].losses == 1


def test_who_stands_by_has_lost_nothing(settings):
    """Of two SBCs that share an address the other one registers, and at a takeover this one begins anew."""
    watch, log = watched(settings)
    watch.look(found(), 1)
    standing_by = found()
    for item in standing_by["trunks"]:
        item.update(registered=None, registrations=[])
    watch.look(standing_by, 100)
    assert watch.trunks["acme"].registered is None
    watch.look(found(registered="unregistered"), 200)
    assert watch.trunks["acme"].losses == 0 and watch.trunks["acme"].registered is False
    watch.look(found(), 205)
    watch.look(found(registered="rejected"), 210)
    assert watch.trunks["acme"].losses == 1
    assert [(line["state"], line["was"]) for line in log.of("registration")] == [
        ("registered", None), ("unregistered", None), ("registered", "unregistered"), ("rejected", "registered")]


def test_the_memory_outlives_the_process(settings):
    watch, dummy = watched(settings)
    watch.probe("acme.1", "dead", 100)
    for number in range(3):
        watch.attempt(attempt("beta", BETA, "503", "next_target", str(number)), 100)
    watch.answered(answer("beta", BETA), 101)
    for number in range(3):
        watch.attempt(attempt("beta", BETA, "503", "next_target", str(number)), 102)
    other, log = watched(settings, json.loads(json.dumps(watch.saved())), 105)
    assert other.marks(105) == {HELD: 135, (marks.CLOSED, "beta"): 135}
    assert other.routes["nanp"].active == "beta" and other.routes["nanp"].failed_over_at == 101 and log == []


@pytest.mark.parametrize("saved", [{"targets": 3}, {"trunks": {"acme": []}}, {"routes": {"nanp": {"active": []}}}, {"targets": {"acme": {ACME1: None}}}])
def test_a_spoiled_memory_is_none(settings, saved):
    watch, dummy = watched(settings, saved)
    assert watch.marks(0) == {} and watch.routes["nanp"].active == "acme"


def test_another_plan_keeps_what_is_still_in_it(settings):
    watch, log = watched(settings)
    watch.look(found(), 0)
    watch.probe("acme.1", "dead", 1)
    watch.attempt(attempt("acme", ACME1, "503", "next_target"), 1)
    watch.answered(answer("beta", BETA), 2)
    gamma = trunk("gamma", "198.18.1.41:5060")
    watch.adopt([TRUNKS[0], gamma], [{"name": "nanp", "groups": [["acme"], ["gamma"]]}, {"name": "new", "groups": [["gamma"]]}], 3)
    assert list(watch.trunks) == ["acme", "gamma"] and watch.marks(3) == {HELD: 33}
    assert watch.trunks["acme"].health.failures == 1 and watch.routes["nanp"].active == "acme" and watch.routes["nanp"].failed_over_at == 2
    del log[:]
    watch.look(found({"acme.1": "dead"}), 4)
    assert log == []


def test_what_another_plan_leaves_out_ends_in_the_log_too(settings):
    watch, log = watched(settings)
    watch.look(found({"acme.1": "dead"}), 1)
    for number in range(3):
        watch.attempt(attempt("beta", BETA, "503", "next_target", str(number)), 2)
    watch.adopt([trunk("acme", ACME2)], [{"name": "nanp", "groups": [["acme"]]}], 3)
    assert log.of("probe")[-1] == {"trunk": "acme", "target": ACME1, "state": "off", "was": "dead"}
    assert [(line["trunk"], line["target"], line["state"], line["why"]) for line in log.of("health")[-2:]] == [
        ("acme", ACME1, "open", "gone"), ("beta", None, "open", "gone")]


def test_a_registration_that_was_deployed_anew_is_not_lost(settings):
    watch, dummy = watched(settings)
    watch.look(found(), 1)
    watch.adopt(TRUNKS, ROUTES, 100)
    watch.look(found(registered="unregistered"), 101)
    assert watch.trunks["acme"].losses == 0
    watch.look(found(registered="unregistered"), 116)
    assert watch.trunks["acme"].losses == 1


def test_drift_and_a_certificate_are_forgotten_with_the_name_and_tls(settings):
    log = Log()
    watch = watch_module.Watch(settings, log)
    before = trunk("acme", ACME1, transport="tls", domain="sip.acme.example")
    watch.adopt([before], [{"name": "nanp", "groups": [["acme"]]}], 0)
    watch.drift("acme", "sip.acme.example", [ACME1], [ACME2], 1)
    watch.certificate("acme", ACME1, 1795400000.0, 1)
    watch.adopt([before], [{"name": "nanp", "groups": [["acme"]]}], 2)
    assert watch.trunks["acme"].drifted and watch.trunks["acme"].expires
    watch.adopt([trunk("acme", ACME1)], [{"name": "nanp", "groups": [["acme"]]}], 3)
    assert not watch.trunks["acme"].drifted and not watch.trunks["acme"].expires


def test_drift_and_certificates_are_told_when_they_change(settings):
    watch, log = watched(settings)
    watch.drift("acme", "sip.acme.example", [ACME1, ACME2], [ACME1, ACME2], 1)
    watch.drift("acme", "sip.acme.example", [ACME1, ACME2], [ACME1, ACME2], 2)
    watch.drift("acme", "sip.acme.example", [ACME1, ACME2], [ACME1], 3)
    assert [line["drifted"] for line in log.of("drift")] == [False, True] and watch.trunks["acme"].drifted
    watch.certificate("acme", ACME1, 1795400000.0, 4)
    watch.certificate("acme", ACME1, 1795400000.0, 5)
    watch.certificate("acme", "198.18.1.99:5061", 1795400000.0, 5)
    assert log.of("certificate") == [{"trunk": "acme", "target": ACME1, "expires": "2026-11-23T02:13:20Z"}]


def test_missed_attempts_are_named(settings):
    watch, log = watched(settings)
    watch.attempt(attempt("acme", ACME1, "503", "next_target"), 1)
    watch.tally.record(json.dumps({"call": "c1", "attempts": [{"at": "t1"}, {"at": "t2"}]}), 1)
    watch.tick(12)
    assert log.of("missed") == [{"attempts": 1, "from": "t1", "to": "t2"}] and watch.missed == 1
