# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PBX whose trunk are two SBCs: they hunt, and it does not hunt a second time. Any of them carries the calls alone."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from conftest import OUT_OF_SERVICE
from harness import enter, wait_until

NANP = "12125550100"  # acme (gw1, then gw2), then beta
INTL = "0044123456"  # beta, then acme
CARRIERS = ("acme1", "acme2", "beta1")
MARGIN = 2.0


def code(status):
    return {"invite": {"do": "code", "code": status}}


def record_of(engine, known):
    wait_until(lambda: len(engine.records()) > known, 15, "the record of the call")
    return engine.records()[known]


def place(lab, sbcs, number):
    """One call: what the caller saw, the PBX's record, the SBCs' records, and the INVITEs that each carrier got."""
    known, began = len(lab.engine.records()), time.time()
    before = {host: len(sbc.records()) for host, sbc in sbcs.items()}
    result = lab.caller.call(number)
    record = record_of(lab.engine, known)
    wait_until(lambda: any(len(sbc.records()) > before[host] for host, sbc in sbcs.items()), 15, "an SBC's record")
    of_sbcs = [line for host, sbc in sbcs.items() for line in sbc.records()[before[host] :]]
    return result, record, of_sbcs, {host: len(lab.carriers[host].invites(began)) for host in CARRIERS}


@pytest.mark.parametrize(
    ("number", "controls", "heard", "asked", "last"),
    [
        pytest.param(NANP, {}, 200, {"acme1": 1, "acme2": 0, "beta1": 0}, (200, "final"), id="answered"),
        pytest.param(NANP, {"acme1": code(503)}, 200, {"acme1": 1, "acme2": 1, "beta1": 0}, (200, "final"), id="the SBC goes on"),
        pytest.param(NANP, {"acme1": code(486)}, 486, {"acme1": 1, "acme2": 0, "beta1": 0}, (486, "final"), id="busy"),
        pytest.param(INTL, {"beta1": code(404)}, 404, {"acme1": 0, "acme2": 0, "beta1": 1}, (404, "final"), id="unallocated"),
        pytest.param(NANP, dict.fromkeys(CARRIERS, code(503)), 503, {"acme1": 1, "acme2": 1, "beta1": 1}, (500, "final"), id="nobody left"),
        pytest.param(NANP, dict.fromkeys(CARRIERS, code(403)), 503, {"acme1": 1, "acme2": 0, "beta1": 1}, (500, "final"), id="nobody left, refused"),
    ],
)
def test_the_pbx_asks_one_sbc_and_takes_its_word(lab, sbcs, number, controls, heard, asked, last):
    lab.tell(controls)
    result, record, of_sbcs, invites = place(lab, sbcs, number)
    assert result.code == heard
    assert invites == asked
    assert [(attempt["trunk"], attempt["code"], attempt["next"]) for attempt in record["attempts"]] == [("sbcs", *last)]
    assert len(of_sbcs) == 1 and len(of_sbcs[0]["attempts"]) == sum(asked.values())


def test_an_sbc_has_the_time_to_ask_everyone(lab, sbcs):
    """Longer than a carrier that says 100 and no more would get."""
    lab.tell({"acme1": {"invite": {"do": "trying"}}, "beta1": {"invite": {"do": "trying"}}})
    result, record, of_sbcs, invites = place(lab, sbcs, NANP)
    assert result.code == 503
    assert result.pdd > 20 - 1
    assert invites == {"acme1": 1, "acme2": 0, "beta1": 1}
    assert [(attempt["code"], attempt["next"]) for attempt in record["attempts"]] == [(500, "final")]
    assert [attempt["reason"] for attempt in of_sbcs[0]["attempts"]] == ["Trying", "Trying"]


def test_both_carry_calls(lab, sbcs):
    before = {host: len(sbc.records()) for host, sbc in sbcs.items()}
    assert lab.caller.load(NANP, 40, rate=10, hold=1).codes == {200: 40}
    wait_until(lambda: sum(len(sbc.records()) - before[host] for host, sbc in sbcs.items()) == 40, 15, "a record of each call")
    carried = {host: len(sbc.records()) - before[host] for host, sbc in sbcs.items()}
    assert min(carried.values()) >= 8, f"{carried}: a fair coin is as bad once in 20,000 times"


def test_one_that_is_out_of_service_says_503_and_the_other_is_asked(lab, sbcs):
    enter(sbcs["sbc1"].container, ["touch", OUT_OF_SERVICE])
    known = len(lab.engine.records())
    result = lab.caller.load(NANP, 20, rate=10, hold=1)
    assert result.codes == {200: 20}
    wait_until(lambda: len(lab.engine.records()) == known + 20, 15, "a record of each call")
    first = Counter(record["attempts"][0]["code"] for record in lab.engine.records()[known:])
    assert set(first) <= {200, 503}
    assert {record["target"] for record in lab.engine.records()[known:]} == {f"{lab.addresses['sbc2']}:5060"}


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_when_one_dies_all_calls_go_to_the_other(lab, sbcs, signal):
    """Calls that come before the probes notice wait for the bound of silence once, and the target cools down."""
    silence = lab.engine.plan()["no_response_timeout"]["latest"]
    enter(sbcs["sbc1"].container, ["sh", "-c", f"systemctl kill --signal {signal} kamailio; [ {signal} = STOP ] || systemctl stop kamailio"])
    result = lab.caller.load(NANP, 60, rate=10, hold=1)
    assert result.codes == {200: 60}
    assert result.pdd[-1] < silence + MARGIN
    wait_until(lambda: not all(lab.engine.reachable().values()), 30, "the probes notice")
    later = lab.caller.load(NANP, 20, rate=10, hold=1)
    assert later.codes == {200: 20} and later.pdd[-1] < MARGIN
    # one that goes on after a while would place the calls that it has not read yet
    enter(sbcs["sbc1"].container, ["sh", "-c", "systemctl kill --signal KILL kamailio; systemctl stop kamailio"])
