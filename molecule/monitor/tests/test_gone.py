# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor that dies or hangs in an outage, on all engines at once, as this takes its time."""

from __future__ import annotations

import time

import pytest
from harness import enter, wait_until
from watching import begin

INTL = "0044123456"  # beta, which has one target, then acme
MISSED = "siptrunk_monitor_missed_attempts_total"
MARK_SECONDS = 31  # after which no mark of a monitor that is gone holds any more


@pytest.mark.parametrize("fate", ["killed", "hung"])
def test_calls_go_on_and_its_marks_run_out(systems, fate):
    monitors = [begin(*system) for system in systems]
    since, known = [monitor.mark() for monitor in monitors], [len(engine.records()) for lab, engine in systems]
    systems[0][0].tell({"beta1": {"silent": True}})
    for monitor, mark in zip(monitors, since, strict=True):
        monitor.wait_for(mark, 40, "health", trunk="beta", state="held")
    for lab, engine in systems:
        if fate == "killed":
            lab.service("siptrunk-monitor", "kill", engine.host)
        else:
            enter(engine.container, ["systemctl", "kill", "--signal", "STOP", "siptrunk-monitor"])
    gone = time.time()
    assert [lab.caller.call(INTL).code for lab, engine in systems for dummy in range(3)] == [200] * 3 * len(systems)
    systems[0][0].reset()
    for dummy, engine in systems:
        wait_until(lambda engine=engine: all(engine.reachable().values()), 20, "every target reachable")
    time.sleep(max(0.0, gone + MARK_SECONDS - time.time()))
    assert [lab.caller.call(INTL).code for lab, engine in systems] == [200] * len(systems)

    marks = [monitor.mark() for monitor in monitors]
    if fate == "hung":  # all at once, before systemd holds one for dead
        for dummy, engine in systems:
            enter(engine.container, ["systemctl", "kill", "--signal", "CONT", "siptrunk-monitor"])
    for (lab, engine), monitor, before, mark in zip(systems, monitors, known, marks, strict=True):
        wait_until(lambda engine=engine, before=before: len(engine.records()) == before + 4, 10, "the records of four calls")
        records = engine.records()[before:]
        assert [record["trunk"] for record in records] == ["acme", "acme", "acme", "beta"] and records[-1]["passed_over"] == []
        attempts = sum(len(record["attempts"]) for record in records)
        if fate == "killed":
            lab.service("siptrunk-monitor", "start", engine.host)
            assert monitor.wait_for(mark, 30, "missed")["attempts"] == attempts == monitor.metrics()[MISSED]
            # it stayed up while nobody looked, and the monitor does not know for how long
            assert monitor.metrics()[f'siptrunk_target_held{{target="{lab.addresses["beta1"]}:5060",trunk="beta"}}'] == 1
        else:
            wait_until(lambda: len(monitor.events(mark, "attempt")) == attempts, 15, "the attempts, of which it heard late")
            time.sleep(5)
            assert monitor.metrics()[MISSED] == 0
