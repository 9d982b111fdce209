# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failover contract, case by case, with real calls: what the caller saw, what each carrier
received, and what the call's record says."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from cases import CASES, MARGIN, Call, Case
from engines import EXCEPTIONS
from harness import CARRIERS, CallResult, Lab, wait_until


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contract(case: Case, healthy, lab: Lab, engine, engine_name: str, plan: dict):
    if reason := EXCEPTIONS.get((engine_name, case.name)):
        pytest.xfail(reason)
    for number, call in enumerate(case.calls, start=1):
        place(call, f"{case.name}, call {number}", lab, engine, plan)


def test_no_exception_without_a_case(engine_name: str):
    names = {case.name for case in CASES}
    assert not [name for engine, name in EXCEPTIONS if engine == engine_name and name not in names]


def place(call: Call, what: str, lab: Lab, engine, plan: dict) -> None:
    """Set the faults, place the call, and hold all three sides against the table."""
    for host in CARRIERS:
        lab.carriers[host].tell(**call.faults.get(host, {}))
    if call.marked_down is not None:
        wait_until(lambda: marks_stand(call, lab, engine, plan), 20, f"{what}: the probes found dead {call.marked_down or 'nobody'}")
    known = len(engine.records())
    began = time.time()

    seen = lab.caller.call(call.number, cancel_after=call.cancel_after, callee_hangs_up=call.callee_hangs_up)

    wait_until(lambda: len(engine.records()) > known, 10, f"{what}: the call's record")
    records = engine.records()[known:]
    assert len(records) == 1, f"{what}: one record for the call"
    check_caller(call, what, seen, plan)
    check_record(call, what, records[0], lab)
    check_carriers(call, what, lab, began)


def marks_stand(call: Call, lab: Lab, engine, plan: dict) -> bool:
    """Whether exactly the hosts of `marked_down` are marked down, as far as they are probed."""
    reachable = engine.reachable()
    probed = [target for trunk in plan["trunks"] if trunk["probe"]["interval"] for target in trunk["targets"]]
    return all(reachable[target["id"]] is (lab.host_of(target["address"] + ":") not in call.marked_down) for target in probed)


def check_caller(call: Call, what: str, seen: CallResult, plan: dict) -> None:
    if call.cancel_after is not None:
        assert seen.ended_by == "cancel" and seen.code == 487, f"{what}: the caller's cancel is confirmed, got {seen.code}"
        return
    assert seen.code == call.code, f"{what}: the caller is told {call.code}, got {seen.code}"
    if call.code == 200:
        assert seen.ended_by == ("callee" if call.callee_hangs_up else "caller"), f"{what}: ended by {seen.ended_by}"
    bounds = plan["routes"][0]["attempts"][0]["bounds"]
    least = sum(bounds[name]["effective"] for name in call.delay) + call.extra
    most = sum(bounds[name]["latest"] for name in call.delay) + call.extra + MARGIN
    assert least <= seen.pdd <= most, f"{what}: post-dial delay {seen.pdd:.2f} s, expected {least:g} to {most:g}"


def check_record(call: Call, what: str, record: dict, lab: Lab) -> None:
    got = [(a["trunk"], lab.host_of(a["target"]), a["code"], a["next"]) for a in record["attempts"]]
    assert got == [(a.trunk, a.host, a.code, a.next) for a in call.attempts], f"{what}: attempts of the record"
    last = record["attempts"][-1]
    assert (record["trunk"], record["target"]) == (last["trunk"], last["target"]), f"{what}: trunk and target are those of the last attempt"
    assert record["to"] == call.number and record["route"], f"{what}: route and number"
    assert all(attempt["ms"] >= 0 and attempt["at"] and attempt["reason"] for attempt in record["attempts"]), f"{what}: each attempt has its time and reason"
    expected = "cancelled" if call.cancel_after is not None else "answered" if call.code == 200 else "failed"
    assert record["result"] == expected, f"{what}: result"


def check_carriers(call: Call, what: str, lab: Lab, began: float) -> None:
    expected = Counter({**Counter(attempt.host for attempt in call.attempts), **call.invites})
    answered = 0
    for host, carrier in lab.carriers.items():
        wire = carrier.wire(began)
        got = {line["call_id"] for line in wire if line["dir"] == "rx" and line["first"].startswith("INVITE")}
        assert len(got) == expected[host], f"{what}: {host} received {len(got)} calls, expected {expected[host]}"
        answered += len({line["call_id"] for line in wire if line["dir"] == "tx" and line["method"] == "INVITE" and line["code"] == 200})
        if call.cancel_after is not None and got:
            assert [line for line in wire if line["first"].startswith("CANCEL")], f"{what}: {host} received the CANCEL"
    assert answered == (1 if call.code == 200 else 0), f"{what}: one answered leg at the most, got {answered}"


def test_a_channel_that_dials_out_twice_starts_afresh(healthy, lab: Lab, engine):
    """As after a transfer: what the first hunt asked and condemned means nothing to the second. One record each."""
    lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
    lab.carriers["acme1"].tell(invite={"do": "code", "code": 403})
    known = len(engine.records())
    assert lab.caller.call("5").code == 503
    wait_until(lambda: len(engine.records()) >= known + 2, 10, "both records")
    got = [[(a["trunk"], a["code"]) for a in record["attempts"]] for record in engine.records()[known:]]
    assert got == [[("beta", 503), ("acme", 403)], [("acme", 403), ("beta", 503)]]
