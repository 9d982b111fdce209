# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failover contract, case by case, with real calls: what the caller saw, what each carrier
received, and what the call's record says."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from cases import BOTH_ACME, CASES, INTL, LIMITED, MARGIN, NANP, POOL, QUICK, SECURE, SHARED, TIE_LINE, Call, Case
from exceptions import BY_CONTACT, DELAYS, EXCEPTIONS, LET_IN, QUALITY, STRANGER
from harness import CallResult, Lab, invites, wait_until

# No carrier says these to a new INVITE without a reason that the engine mends, or hears otherwise.
UNSPEAKABLE = ()

# The quality of a call in which nobody said a word: nothing came, nothing was reported.
MUTE = {"rx_packets": 0, "rx_lost": 0, "rx_jitter_ms": None, "tx_packets": 0, "tx_lost": None, "tx_jitter_ms": None, "rtt_ms": None}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name, marks=[pytest.mark.quick] * (case.name in QUICK)) for case in CASES])
def test_contract(case: Case, healthy, lab: Lab, engine, engine_name: str, plan: dict):
    with kept(case.name, engine_name):
        for number, call in enumerate(case.calls, start=1):
            otherwise = DELAYS.get((engine_name, case.name)) if number == 1 else None
            place(replace(call, delay=otherwise[0]) if otherwise else call, f"{case.name}, call {number}", lab, engine, plan)


@contextmanager
def kept(case: str, engine_name: str):
    """What is listed as an exception must still fail, or the list is out of date."""
    reason = EXCEPTIONS.get((engine_name, case))
    try:
        yield
    except AssertionError:
        if reason:
            pytest.xfail(reason)
        raise
    assert not reason, f"{case} is kept after all: take it out of the list of exceptions"


def place(call: Call, what: str, lab: Lab, engine, plan: dict) -> None:
    """Set the faults, place the call, and hold all three sides against the table."""
    lab.tell(call.faults)
    engine.drain(*call.drained)
    for (kind, name), seconds in call.marks.items():
        engine.mark(kind, mark_of(name, lab), seconds)
    if call.marked_down is not None:
        wait_until(lambda: marks_stand(call, lab, engine, plan), 20, f"{what}: the probes found dead {call.marked_down or 'nobody'}")
    known = len(engine.records())
    began = time.time()

    seen = lab.caller.call(call.number, cancel_after=call.cancel_after, callee_hangs_up=call.callee_hangs_up)

    wait_until(lambda: len(engine.records()) > known, 10, f"{what}: the call's record")
    records = engine.records()[known:]
    assert len(records) == 1, f"{what}: one record for the call"
    check_caller(call, what, seen, plan)
    check_record(call, what, records[0], lab, plan)
    check_delay(what, records[0], seen)
    time.sleep(call.linger)
    wires: dict[str, list[dict]] = {}

    def is_over() -> bool:
        """The BYE of a call that was answered may come after its record."""
        wires.update(lab.wires(began))
        return call.code != 200 or any(invite["bye"] for invite in invites(wires[call.attempts[-1].host]))

    def all_released() -> bool:
        return all(is_released(leg) for host in call.released for leg in invites(lab.carriers[host].wire(began)))

    with suppress(TimeoutError):  # the check below names the leg
        wait_until(all_released, 10, f"{what}: the release of what was late")
    wait_until(is_over, 10, f"{what}: the end of the call at the carrier")
    check_carriers(call, what, wires)
    if call.code == 200:
        check_times(what, records[0], wires[call.attempts[-1].host])


def mark_of(name: str, lab: Lab) -> str:
    """The name of a mark: a carrier host's target over UDP, or the trunk itself."""
    return f"{lab.addresses[name]}_5060_udp" if name in lab.addresses else name


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
    if call.heard is not None:
        assert tuple(code for _delay, code in seen.provisionals if code > 100) == call.heard, f"{what}: what the caller heard"
    bounds = plan["routes"][0]["attempts"][0]["bounds"]
    least = sum(bounds[name]["effective"] for name in call.delay) + call.extra
    most = sum(bounds[name]["latest"] for name in call.delay) + call.extra + MARGIN
    assert least <= seen.pdd <= most, f"{what}: post-dial delay {seen.pdd:.2f} s, expected {least:g} to {most:g}"


def check_record(call: Call, what: str, record: dict, lab: Lab, plan: dict) -> None:
    got = [(a["trunk"], lab.host_of(a["target"]), a["code"], a["next"]) for a in record["attempts"]]
    assert got == [(a.trunk, a.host, a.code, a.next) for a in call.attempts], f"{what}: attempts of the record"
    assert [(p["trunk"], p["why"]) for p in record["passed_over"]] == list(call.passed_over), f"{what}: whom the record says was passed over"
    last = record["attempts"][-1] if call.attempts else {"trunk": "", "target": ""}
    assert (record["trunk"], record["target"]) == (last["trunk"], last["target"]), f"{what}: trunk and target are those of the last attempt"
    assert record["to"] == call.number and record["route"], f"{what}: route and number"
    assert all(attempt["ms"] >= 0 and attempt["at"] and attempt["reason"] for attempt in record["attempts"]), f"{what}: each attempt has its time and reason"
    ring = plan["routes"][0]["attempts"][0]["bounds"]["ring"]
    for attempt in (attempt for attempt in record["attempts"] if attempt["code"] in (180, 183)):
        assert ring["effective"] <= attempt["ms"] / 1000 <= ring["latest"] + MARGIN, f"{what}: it rang for {attempt['ms']} ms, expected {ring}"
    expected = "cancelled" if call.cancel_after is not None else "answered" if call.code == 200 else "failed"
    assert record["result"] == expected, f"{what}: result"
    mute = MUTE if QUALITY.get(lab.pbx, True) else None  # media does not pass the host "sbc"
    assert record["quality"] == (mute if expected == "answered" else None), f"{what}: quality"


def check_delay(what: str, record: dict, seen: CallResult) -> None:
    """The record tells the post-dial delay as the caller had it: none of a call of which nothing could be heard."""
    heard = seen.code == 200 or any(code > 100 for _delay, code in seen.provisionals)
    assert (record["pdd_ms"] is not None) is heard, f"{what}: pdd_ms {record['pdd_ms']}, the caller heard {seen.provisionals}"
    if heard:
        assert abs(record["pdd_ms"] / 1000 - seen.pdd) < MARGIN / 2, f"{what}: pdd_ms {record['pdd_ms']}, the caller waited {seen.pdd:.3f} s"


def check_carriers(call: Call, what: str, wires: dict[str, list[dict]]) -> None:
    expected = Counter({**Counter(attempt.host for attempt in call.attempts), **call.invites})
    answered = 0
    for host, wire in wires.items():
        got = {line["call_id"] for line in wire if line["dir"] == "rx" and line["first"].startswith("INVITE")}
        assert len(got) == expected[host], f"{what}: {host} received {len(got)} calls, expected {expected[host]}"
        legs = invites(wire)
        challenges = [sum(code in (401, 407) for code in leg["responses"]) for leg in legs]
        assert max(challenges, default=0) <= 2, f"{what}: {host} refused the credentials {max(challenges)} times"
        late = [leg for leg in legs if host in call.released]
        for leg in late:
            assert is_released(leg), f"{what}: {host}, late, was released: {leg['responses']}"
        answered += len([leg for leg in legs if 200 in leg["responses"] and leg not in late])
        if call.cancel_after is not None and any(leg["responses"] for leg in legs):
            assert all(leg["cancelled"] for leg in legs), f"{what}: {host} received the CANCEL"
    assert answered == (1 if call.code == 200 else 0), f"{what}: one answered leg at the most, got {answered}"


def is_released(leg: dict) -> bool:
    """Whether the leg of a carrier that was too late has ended: ACK and BYE for its 200, CANCEL and ACK otherwise."""
    return leg["acked"] and (leg["bye"] == "rx" if 200 in leg["responses"] else leg["cancelled"])


def check_times(what: str, record: dict, wire: list[dict]) -> None:
    """How long the carrier took to answer, and how long it was talked to, are what the carrier saw itself."""
    placed = {invite["call_id"] for invite in invites(wire)}  # an earlier call's answer may still be repeated for want of its ACK
    answer = next(line for line in wire if line["code"] == 200 and line["method"] == "INVITE" and line["call_id"] in placed)
    leg = [line for line in wire if line["call_id"] == answer["call_id"]]
    took = answer["t"] - leg[0]["t"]
    talk = next(line["t"] for line in leg if line["first"].startswith("BYE ")) - answer["t"]
    told = record["attempts"][-1]["ms"] / 1000
    assert abs(told - took) < MARGIN / 2, f"{what}: answered after {told} s, the carrier saw {took:.3f} s"
    assert talk - 1 - MARGIN / 2 < record["talk_seconds"] < talk + MARGIN / 2, f"{what}: {record['talk_seconds']} s of talk, the carrier saw {talk:.3f} s"


def test_a_channel_that_dials_out_twice_starts_afresh(healthy, lab: Lab, engine, engine_name: str):
    """As after a transfer: what the first hunt asked and condemned means nothing to the second. One record each."""
    with kept("a_channel_that_dials_out_twice", engine_name):
        lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
        lab.carriers["acme1"].tell(invite={"do": "code", "code": 403})
        known = len(engine.records())
        assert lab.caller.call("5").code == 503
        wait_until(lambda: len(engine.records()) >= known + 2, 10, "both records")
        got = [[(a["trunk"], a["code"]) for a in record["attempts"]] for record in engine.records()[known:]]
        assert got == [[("beta", 503), ("acme", 403)], [("acme", 403), ("beta", 503)]]

        lab.carriers["beta1"].tell(invite={"do": "ring_then_code", "code": 503})
        lab.carriers["acme1"].tell(invite={"do": "code", "code": 486})
        assert lab.caller.call("5").code == 486
        wait_until(lambda: len(engine.records()) >= known + 4, 10, "both records")
        heard = [(record["trunk"], record["pdd_ms"] is not None) for record in engine.records()[known + 2 :]]
        assert heard == [("beta", True), ("acme", False)], "the ringing was that of the first hunt"


def test_a_caller_who_was_answered_before_fails_over_like_any_other(healthy, lab: Lab, engine, engine_name: str):
    """By a menu or a queue: that the caller's channel is answered says nothing about the carrier, nor when."""
    with kept("a_caller_who_was_answered_before", engine_name):
        lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
        lab.carriers["acme1"].tell(invite={"do": "trying_then_answer", "after": 1, "ring": 2.5})
        known, began = len(engine.records()), time.time()
        assert lab.caller.call("6", hold=8).code == 200
        wait_until(lambda: len(engine.records()) > known, 10, "the record")
        record = engine.records()[-1]
        assert [(a["trunk"], a["code"], a["next"]) for a in record["attempts"]] == [("beta", 503, "next_target"), ("acme", 200, "final")]
        assert record["result"] == "answered"
        acme = lab.carriers["acme1"]
        wait_until(lambda: any(leg["bye"] for leg in acme.invites(began)), 10, "the end of the call at the carrier")
        check_times("the call", record, acme.wire(began))
        assert 0.95 <= record["pdd_ms"] / 1000 <= 1 + MARGIN, "from the hunt's start to the ringing"


def test_wrong_credentials_are_offered_once(healthy, lab: Lab, engine, engine_name: str):
    """A carrier whose every challenge has a nonce of its own, so that the engine could try for ever."""
    with kept("wrong_credentials_with_fresh_nonces", engine_name):
        for host in ("acme1", "acme2"):
            lab.carriers[host].tell(invite_auth=True, fresh_nonce=True)
        began = time.time()
        assert lab.caller.call(NANP).code == 200
        asked = [line for host in ("acme1", "acme2") for line in lab.carriers[host].wire(began) if line["first"].startswith("INVITE")]
        assert len(asked) == 2, f"{len(asked)} INVITEs with wrong credentials"


def test_every_code_has_its_verdict(healthy, lab: Lab, engine, plan: dict):
    """A call for each SIP code from 300 to 699: the record says the plan's verdict, and only as many phones rang as it allows."""
    lab.carriers["beta1"].tell(invite={"do": "code", "code": "number"})
    codes = [code for code in range(300, 700) if code not in UNSPEAKABLE]
    table = next(attempt["verdicts"] for route in plan["routes"] if route["name"] == "intl" for attempt in route["attempts"])
    known, began = len(engine.records()), time.time()
    load = lab.caller.load([f"0044{code}" for code in codes], len(codes), rate=12, hold=0.1)
    assert len(load.results) == len(codes)
    wait_until(lambda: len(engine.records()) == known + len(codes), 30, "a record of each call")
    records = {int(record["to"][-3:]): record for record in engine.records()[known:]}
    told = {int(result.number[-3:]): result.code for result in load.results}
    asked = Counter(call["user"] for call in lab.carriers["acme1"].invites(began))
    wrong = {}
    for code in codes:
        verdict = plan["verdicts"][table][str(code)]
        got = [(attempt["code"], attempt["next"]) for attempt in records[code]["attempts"]]
        expected = [(code, verdict)] if verdict == "final" else [(code, verdict), (200, "final")]
        if got != expected or (told[code] == 200) is (verdict == "final") or asked[f"0044{code}"] != len(expected) - 1:
            wrong[code] = (verdict, got, told[code], asked[f"0044{code}"])
    assert not wrong


@pytest.mark.parametrize(("number", "weights"), [(POOL, {"acme1": 60, "acme2": 20, "beta1": 0}), (SHARED, {"acme1": 75, "beta1": 25})])
def test_weights_are_drawn_for_each_call(healthy, lab: Lab, engine, number: str, weights: dict[str, int]):
    """RFC 2782, by the chi-square test: a right draw fails it once in 10,000 runs. Weight 0 is rare, and may come."""
    for carrier in lab.carriers.values():
        carrier.tell(invite={"do": "answer", "ring": 0})
    known, began, calls = len(engine.records()), time.time(), 300
    codes = lab.caller.load(number, calls, rate=12, hold=0.1).codes
    assert codes == {200: calls}, [(r["result"], r["attempts"]) for r in engine.records()[known:] if r["result"] != "answered"]
    got = {host: len(carrier.invites(began)) for host, carrier in lab.carriers.items()}
    assert sum(got.values()) == calls
    shares = {host: weight / sum(weights.values()) for host, weight in weights.items() if weight}
    assert got.get("beta1", 0) < calls * 0.08 or "beta1" in shares, f"weight 0 was drawn {got['beta1']} times of {calls}"
    drawn = sum(got[host] for host in shares)
    chi_square = sum((got[host] - drawn * share) ** 2 / (drawn * share) for host, share in shares.items())
    assert chi_square < 15.14, f"{got}: chi-square {chi_square:.1f} with one degree of freedom"


def test_a_trunk_takes_its_limit_and_no_more(healthy, lab: Lab, engine):
    """Twenty callers at the same moment; the trunk takes two calls at once, the next one the rest. Then it is free again."""
    for _round in range(2):
        known, began = len(engine.records()), time.time()
        assert lab.caller.load(LIMITED, 20, rate=1000, hold=3).codes == {200: 20}
        assert {host: len(lab.carriers[host].invites(began)) for host in ("beta1", "acme1")} == {"beta1": 2, "acme1": 18}
        wait_until(lambda known=known: len(engine.records()) == known + 20, 10, "a record of each call")
        full = [record for record in engine.records()[known:] if record["passed_over"]]
        assert {(p["trunk"], p["target"], p["why"]) for record in full for p in record["passed_over"]} == {("small", None, "full")}
        assert len(full) == 18
        wait_until(lambda: engine.active_calls() == 0, 10, "no call left")


def test_calls_at_the_same_moment_all_fit_into_the_limit(healthy, lab: Lab, engine):
    """A call counts once, also while its leg to the carrier comes into being."""
    for _round in range(6):
        began = time.time()
        assert lab.caller.load(LIMITED, 2, rate=1000, hold=0.3).codes == {200: 2}
        assert len(lab.carriers["beta1"].invites(began)) == 2
        wait_until(lambda: engine.active_calls() == 0, 10, "no call left")


def test_a_trunk_on_trial_takes_one_call_at_a_time(healthy, lab: Lab, engine):
    """Twelve callers at the same moment: one asks the trunk, the others the next one. When that call has ended, another may."""
    engine.mark("trial", "beta", 60)
    for _round in range(2):
        known, began = len(engine.records()), time.time()
        assert lab.caller.load(INTL, 12, rate=1000, hold=3).codes == {200: 12}
        assert {host: len(lab.carriers[host].invites(began)) for host in ("beta1", "acme1")} == {"beta1": 1, "acme1": 11}
        wait_until(lambda known=known: len(engine.records()) == known + 12, 10, "a record of each call")
        over = [[(p["trunk"], p["why"]) for p in record["passed_over"]] for record in engine.records()[known:]]
        assert sorted(over) == [[]] + [[("beta", "trial")]] * 11
        wait_until(lambda: engine.active_calls() == 0, 10, "no call left")


def test_a_trial_that_nobody_renews_ends(healthy, lab: Lab, engine):
    engine.mark("trial", "beta", -1)
    began = time.time()
    assert lab.caller.load(INTL, 4, rate=1000, hold=2).codes == {200: 4}
    assert len(lab.carriers["beta1"].invites(began)) == 4


def test_a_trial_that_failed_is_over(healthy, lab: Lab, engine):
    """The next caller may try, though the one who did still talks, through another trunk."""
    engine.mark("trial", "beta", 60)
    lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
    known = len(engine.records())
    assert lab.caller.load(INTL, 3, rate=1, hold=5).codes == {200: 3}
    wait_until(lambda: len(engine.records()) == known + 3, 10, "a record of each call")
    asked = [([attempt["trunk"] for attempt in record["attempts"]], record["passed_over"]) for record in engine.records()[known:]]
    assert asked == [(["beta", "acme"], [])] * 3


def test_a_trial_that_finds_the_trunk_full_is_over(healthy, lab: Lab, engine):
    """And the record says that it was full."""
    with ThreadPoolExecutor() as pool:
        known = len(engine.records())
        two = pool.submit(lab.caller.load, LIMITED, 2, 1000, 10)
        wait_until(lambda: engine.active_calls() >= 4, 8, "two calls are up")
        engine.mark("trial", "small", 60)
        third = pool.submit(replace(lab.caller, port=5062).call, LIMITED, hold=20)
        assert two.result().codes == {200: 2}
        wait_until(lambda: len(engine.records()) == known + 2, 10, "their records")
        assert replace(lab.caller, port=5064).call(LIMITED).code == 200
        assert not third.done()
        assert third.result().code == 200
    wait_until(lambda: len(engine.records()) == known + 4, 10, "a record of each call")
    got = [(record["trunk"], [(p["trunk"], p["why"]) for p in record["passed_over"]]) for record in engine.records()[known + 2 :]]
    assert got == [("small", []), ("acme", [("small", "full")])]


def test_whoever_waits_for_a_trial_asks_the_trunk_after_all(healthy, lab: Lab, engine):
    """When nothing else is left, a call is not failed for a mark."""
    engine.mark("trial", "beta", 60)
    engine.mark("closed", "acme", 60)
    began = time.time()
    assert lab.caller.load(INTL, 6, rate=1000, hold=1).codes == {200: 6}
    assert len(lab.carriers["beta1"].invites(began)) == 6


def test_the_record_tells_how_the_call_sounded(healthy, lab: Lab, engine, engine_name: str):
    """A carrier that loses every tenth packet, and reports what it heard itself; a phone that sends back what it hears."""
    lab.carriers["beta1"].tell(invite={"do": "answer", "ring": 0.2, "rtp": 10})
    known = len(engine.records())
    seen = lab.caller.call(INTL, hold=7, echo=True)
    wait_until(lambda: len(engine.records()) > known, 10, "the record")
    record = engine.records()[-1]
    quality = record["quality"]
    if not QUALITY.get(engine_name, True):
        assert quality is None
        return
    assert list(quality) == ["rx_packets", "rx_lost", "rx_jitter_ms", "tx_packets", "tx_lost", "tx_jitter_ms", "rtt_ms"]
    sent = seen.talk * 45  # 50 a second, but for those that the carrier loses; the phone sends back what it hears
    assert -35 <= quality["rx_packets"] - sent <= 45 and 10 < quality["rx_lost"] <= 60 and -65 <= quality["tx_packets"] - sent <= 45, (quality, seen.talk)
    told = [name for name, value in quality.items() if value is not None]
    assert told == QUALITY.get(engine_name, list(quality)), quality
    if "rtt_ms" in told:
        assert 3 < quality["rx_jitter_ms"] < 50 and quality["tx_jitter_ms"] in (None, pytest.approx(2)), quality
        assert quality["tx_lost"] == 7 and 49 < quality["rtt_ms"] < 1000, quality
    assert 0 <= record["pdd_ms"] <= seen.pdd * 1000 + 30, "from the hunt's start"


@pytest.mark.parametrize(
    ("what", "delay"),
    [
        ({"do": "trying_then_answer", "after": 2, "ring": 3}, 2),
        ({"do": "late_answer", "after": 2}, 2),  # without ringing
        ({"do": "code", "code": 486}, None),
        ({"do": "trying"}, None),
    ],
)
def test_the_record_tells_the_post_dial_delay(healthy, lab: Lab, engine, engine_name: str, what: dict, delay: float | None):
    """Of calls that rang, and of none that did not; and of a call that nobody answered no quality."""
    lab.carriers["beta1"].tell(invite=what)
    known = len(engine.records())
    seen = lab.caller.call(INTL, cancel_after=3 if what["do"] == "trying" else None)
    wait_until(lambda: len(engine.records()) > known, 10, "the record")
    record = engine.records()[-1]
    assert record["pdd_ms"] is None if delay is None else delay - 0.05 <= record["pdd_ms"] / 1000 <= seen.pdd + 0.03, (record["pdd_ms"], seen.pdd)
    assert (record["quality"] is None) is (delay is None or not QUALITY.get(engine_name, True))


def test_whoever_listens_is_told(healthy, lab: Lab, engine):
    """Of an answer at its moment, of an attempt at its end, with what the record says."""
    lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
    lab.carriers["acme1"].tell(invite={"do": "answer", "ring": 1.5})
    known = len(engine.records())
    with ThreadPoolExecutor() as pool:
        listening = pool.submit(engine.listen, 14)
        wait_until(engine.listened_to, 10, "the listener")
        assert lab.caller.call(INTL, hold=4).code == 200
        heard = listening.result()
    (record,) = engine.records()[known:]
    attempts = [{**attempt, "code": str(attempt["code"]), "ms": str(attempt["ms"])} for attempt in record["attempts"]]
    common = [{"Route": "intl", "Call": record["call"], "Trunk": attempt["trunk"], "Target": attempt["target"]} for attempt in attempts]
    expected = [
        {**common[at], "name": "attempt", "Code": attempt["code"], "Outcome": attempt["code"], "Ms": attempt["ms"], "Verdict": attempt["next"]}
        for at, attempt in enumerate(attempts)
    ]
    expected.insert(1, {**common[1], "name": "answered"})
    assert [{key: fields.get(key) for key in wanted} for (_at, fields), wanted in zip(heard, expected, strict=True)] == expected
    (answered_at, answered), (ended_at, _ended) = heard[1:]
    assert 2.5 < ended_at - answered_at < 4 + MARGIN, "at the moment of the answer, not at the end of the call"
    assert abs(int(answered["Ms"]) - record["attempts"][1]["ms"]) < 1000


def test_a_dead_name_server_stops_no_call(healthy, lab: Lab, engine):
    """Nothing is looked up in the call path, over UDP and TCP; a TLS trunk's name is known from before."""
    assert lab.caller.call(SECURE).code == 200
    lab.freeze("ns")
    try:
        for number in (NANP, INTL, TIE_LINE, SECURE):
            seen = lab.caller.call(number)
            assert seen.code == 200 and seen.pdd < MARGIN, f"{number}: {seen.code} after {seen.pdd:.2f} s"
    finally:
        lab.thaw("ns")


def test_probe_and_call_go_to_the_same_address(healthy, lab: Lab):
    """And both name the domain, not the address."""
    began = time.time()
    assert lab.caller.call(NANP).code == 200

    def probes():
        return [line["host"] for line in lab.carriers["acme1"].wire(began) if line["first"].startswith("OPTIONS")]

    wait_until(lambda: "sip.acme.example" in probes(), 10, "a probe of the domain at the address of the call")
    assert [call["host"] for call in lab.carriers["acme1"].invites(began)] == ["sip.acme.example"]


def test_probes_name_the_account(healthy, lab: Lab, engine_name: str):
    """As their sender: some carriers shut out the address of a user that they do not know. Calls still name the caller."""
    began, account = time.time(), "pbx-100@sip.acme.example"

    def senders():
        probes = [line for line in lab.carriers["acme1"].wire(began) if line["first"].startswith("OPTIONS")]
        return {re.search(r"<sip:([^>;]+)", line["headers"]["from"])[1] for line in probes}

    with suppress(TimeoutError):  # of an engine that cannot
        wait_until(lambda: account in senders(), 10, "a probe by the account")
    with kept("probes_name_the_account", engine_name):
        assert account in senders() and not [sender for sender in senders() if sender.startswith("acme.")]
    assert lab.caller.call(NANP).code == 200
    assert [call["from_user"][-4:] for call in lab.carriers["acme1"].invites(began)] == ["1000"]


def test_the_operators_hook(healthy, lab: Lab, engine, engine_name: str):
    """It sets a header and the caller's number; whatever else it does, the contract stands."""
    with kept("the_operators_hook", engine_name):
        beta = lab.carriers["beta1"]
        for number in ("0044123", "0044001", "0044002", "0044003"):
            engine.forget()
            began = time.time()
            seen = lab.caller.call(number)
            assert seen.code == 200 and seen.pdd < 1 + MARGIN, f"{number}: {seen.code} after {seen.pdd}"
            (call,) = beta.invites(began)
            well = number == "0044123"
            assert (call["from_user"], call["headers"]["x_trunk"]) == (("55501000", "beta beta.1") if well else ("1000", "")), number
        began = time.time()
        assert lab.caller.call("0044124").code == 200
        assert beta.invites(began)[0]["headers"]["x_trunk"] == "", "a hook that failed is left out for a while"


INBOUND = (
    ("acme1", "7", "1000", 200),  # a trunk's own address: the operator's context
    ("acme2", "7", "1000", 200),
    ("acme1", "8", "1000", 403),  # which may not lead out again
    ("acme1", NANP, "1000", 404),
    ("beta1", "7", "1000", 403),  # a trunk without a context
    ("beta1", NANP, "1000", 403),
    ("ns", "7", "1000", None),  # nobody's address
    ("ns", "7", "acme.1", None),  # whatever it calls itself
    ("ns", "7", "acme", None),
    ("ns", "7", "acme.probe", None),
    ("ns", "7", "branded.1.withheld", None),
    ("ns", NANP, "caller", None),
)


@pytest.mark.parametrize(("host", "number", "name", "code"), INBOUND)
def test_inbound(healthy, lab: Lab, engine, engine_name: str, host: str, number: str, name: str, code: int | None):
    began = time.time()
    if host in BOTH_ACME:
        code = LET_IN.get((engine_name, number), code)
    assert lab.caller_at(host, engine.trunk_port).call(number, from_user=name, timeout=10).code == (code or STRANGER[engine_name])
    assert not [call for carrier in lab.carriers.values() for call in carrier.invites(began)], "nothing went out"


def test_calls_of_two_accounts_at_one_address_are_told_apart(healthy, lab: Lab, engine, engine_name: str):
    """By the contact that the account registered: the context of acme's second account answers 486. From a stranger's address it is nobody's."""
    began = time.time()
    engine.register("second")

    def contacts():
        wires = [line for host in BOTH_ACME for line in lab.carriers[host].wire(began)]
        asked = [line for line in wires if line["dir"] == "rx" and line["method"] == "REGISTER" and "pbx-200" in line["headers"]["to"]]
        return [re.search(r"sip:([^@;>]+)@", line["headers"]["contact"])[1] for line in asked if line["headers"]["contact"]]

    wait_until(contacts, 20, "the registration")
    call = {"to": "<sip:2001@acme.example>", "steps": [["answer"], ["bye"]]}
    for host in BOTH_ACME:
        assert lab.caller_at(host, engine.trunk_port).phone(contacts()[0], **call)["code"] == BY_CONTACT.get(engine_name, 486)
    assert lab.caller_at("beta1", engine.trunk_port).phone(contacts()[0], **call)["code"] == 403
    assert lab.caller_at("ns", engine.trunk_port).phone(contacts()[0], **call)["code"] == STRANGER[engine_name]


def test_inbound_that_the_operator_lets_through(healthy, lab: Lab, engine, engine_name: str):
    with kept("inbound_that_the_operator_lets_through", engine_name):
        began = time.time()
        assert lab.caller_at("acme2", engine.trunk_port).call("9", timeout=10).code == 200
        assert len(lab.carriers["acme1"].invites(began)) == 1
