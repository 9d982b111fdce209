# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of calls when the active SBC fails. The lines that begin with "takeover" are the figures of docs/sbc.md."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from cases import INTL, NANP
from harness import by_call, enter, invites, wait_until
from pair import LOAD, Pair, assert_answered, assert_talked, outcome

CALLS, RATE, HOLD = round(150 * LOAD), 10 * LOAD, 8
FAILS_AFTER = 6  # seconds
FAULTS = {"kill": 3.0, "hang": 4.0, "power_off": 3.0}  # seconds to the first call through the standby, at the most
REINVITE = Path(__file__).parent / "reinvite.xml"


def later(seconds, function, *arguments):
    """Call it in a while; what it returns is in the list."""
    returned = []

    def run():
        time.sleep(seconds)
        returned.append(function(*arguments))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, returned


def after_the_invite(pair, function, *arguments):
    """As `later`, half a second after the primary has received its next INVITE."""
    since = time.time()

    def run():
        wait_until(lambda: pair.lab.carriers["acme1"].invites(since), 10, "the INVITE", 0.05)
        time.sleep(0.5)  # for a signed one, and for what one SBC tells the other
        return function(*arguments)

    return later(0, run)


def longest_silence(seen, about):
    """From when to when the phone heard nothing, in the seconds after that moment."""
    heard = sorted(t for call in seen for t, direction, _first in call.call.messages if direction == "rx" and about - 0.5 < t < about + 10)
    return max(pairwise(heard), key=lambda pair: pair[1] - pair[0])


@pytest.mark.parametrize("fault", FAULTS)
def test_calls_go_on_under_traffic(pair, fault):
    active, standby = pair.roles()
    thread, returned = later(FAILS_AFTER, getattr(pair, fault), active)
    seen = pair.load(NANP, CALLS, RATE, HOLD)
    thread.join()
    (failed_at,) = returned
    assert pair.holders() == [standby]

    silence, heard = longest_silence(seen, failed_at)
    failed_at = max(failed_at, silence)  # to cut the power takes a moment
    up = [call for call in seen if call.answered_at and call.answered_at < failed_at < call.answered_at + HOLD]
    in_set_up = [call for call in seen if call.call.started < failed_at and not (call.answered_at and call.answered_at < failed_at)]
    during = [call for call in seen if failed_at <= call.call.started < heard]
    after = [call for call in seen if call.call.started >= heard]
    lost = [call for call in seen if call.call.code != 200]
    print(
        f"takeover after {fault}: the first answer {heard - failed_at:.2f} s after; {len(seen)} calls: {len(up)} were up, {len(in_set_up)} were being set up "
        f"({sum(call in lost for call in in_set_up)} lost), {len(during)} came meanwhile ({sum(call in lost for call in during)} lost), "
        f"{len(after)} after it ({sum(call in lost for call in after)} lost)"
    )
    assert len(seen) == CALLS and len(up) > RATE * (FAILS_AFTER - 2)
    assert heard - failed_at < FAULTS[fault]
    assert Counter(call.bye for call in seen if call.call.code == 200) == {200: CALLS - len(lost)}  # from the far end, which knows its calls
    assert not [call for call in lost if call in after or call in during]

    # each call that was answered before, or came after, has its record once, with the time that they talked
    if fault == "power_off":
        pair.mend()
        wait_until(pair.well, 120, "both SBCs")
    placed = {call.call.call_id for call in seen}
    records = {call_id: found for call_id, found in pair.records().items() if call_id in placed}
    assert not [call_id for call_id, found in records.items() if len(found) > 1]
    due = [call for call in [*up, *after] if call.call.code == 200]
    assert [call.call.call_id for call in due if call.call.call_id not in records] == []
    assert {records[call.call.call_id][0][0] for call in due} == {standby}
    for call in due:
        record = records[call.call.call_id][0][1]
        assert (record["result"], record["trunk"]) == ("answered", "acme")
        assert_talked(record, call.call)
    without = [call for call in [*in_set_up, *during] if call.call.code == 200 and call.call.call_id not in records]
    print(f"takeover after {fault}: {len(without)} of {len(in_set_up) + len(during)} calls that were set up across it have no record")
    assert not without


@pytest.mark.parametrize("signed", [False, True], ids=["usual", "signed"])
def test_requests_within_a_call_reach_the_other_side(pair, signed):
    """A re-INVITE of the caller's and one of the carrier's, and a BYE, all after the takeover."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite": {"do": "answer", "reinvite": 12, "agree": 1}, "invite_auth": signed}})
    since = time.time()
    thread, returned = later(4, pair.kill, active)
    calls = [by_call(pair.lab.caller.sipp(NANP, 9, 20, 60, "1000", 5, 5, scenario=REINVITE))][0]
    thread.join()
    assert pair.holders() == [standby] and returned[0] - since < 8
    wire = pair.lab.wires(since)["acme1"]
    assert len(calls) == 5
    for messages in calls:
        call_id = messages[0].header("Call-ID")
        answered = [(m.header("CSeq"), m.code) for m in messages if m.dir == "rx" and m.code and (m.code, m.header("CSeq")) != (100, "1 INVITE")]
        # what a stall lets come twice counts once
        assert list(dict.fromkeys(answered)) == [("1 INVITE", 180), ("1 INVITE", 200), ("2 INVITE", 100), ("2 INVITE", 200), ("3 BYE", 200)]
        assert list(dict.fromkeys(m.first.split()[0] for m in messages if m.dir == "rx" and not m.code)) == ["INVITE", "ACK"]
        asked = [line for line in wire if line["call_id"] == call_id and line["dir"] == "rx" and not line["code"] and not line["retrans"]]
        sent = [(line["method"], line["cseq"]) for line in asked]
        first = 2 if signed else 1  # a signed INVITE has a CSeq of its own
        assert [pair for pair in sent if pair[1] >= first] == [
            ("INVITE", first), ("ACK", first), ("INVITE", first + 1), ("ACK", first + 1), ("BYE", first + 2),
        ]  # fmt: skip
        # all of them from whom the carrier knows, to whom it knows
        assert len({(line["headers"]["from"].partition(";tag")[0], line["headers"]["to"].partition(";tag")[0]) for line in asked}) == 1


def test_a_withheld_caller_stays_withheld_across_a_takeover(pair):
    """In no message to the carrier, and in no parameter that it could decode (uac's vsf); the caller sees its own From in each answer."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"whole": True, "invite": {"do": "answer", "reinvite": 8}}})
    since = time.time()
    thread, _returned = later(2, pair.kill, active)
    withheld = {"from": '"Bob" <sip:4711@pbx.example>', "headers": [["Privacy", "id"]]}
    seen = pair.lab.caller.phone(NANP, **withheld, steps=[["answer"], ["wait", 7], ["hold"], ["wait", 2], ["bye"]])
    thread.join()
    assert seen["failed"] is None and pair.holders() == [standby]
    texts = [line["text"] for line in pair.lab.wires(since)["acme1"] if line["dir"] == "rx" and line["call_id"] == seen["call_id"]]
    requests = [text for text in texts if not text.startswith("SIP/2.0")]
    assert [text.split()[0] for text in requests] == ["INVITE", "ACK", "INVITE", "ACK", "BYE"] and len(texts) > len(requests)
    assert not [text for text in texts if re.search("4711|Bob|vsf=", text)]
    assert all("From: <sip:anonymous@anonymous.invalid>" in text for text in requests)
    answers = [m["text"] for m in seen["messages"] if m["dir"] == "rx" and m["text"].startswith("SIP/2.0")]
    assert all('From: "Bob" <sip:4711@pbx.example>' in text for text in answers), answers


def test_a_carrier_hangs_up_after_the_takeover(pair):
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite": {"do": "answer", "talk": 9}}})
    since = time.time()
    thread, _returned = later(4, pair.kill, active)
    seen = pair.load(NANP, 5, 5, 60)
    thread.join()
    assert [(call.call.code, call.call.ended_by) for call in seen] == [(200, "callee")] * 5
    carried = invites(pair.lab.wires(since)["acme1"])
    assert [call["bye"] for call in carried] == ["tx"] * 5
    records = pair.records()
    assert [[host for host, _record in records[call.call.call_id]] for call in seen] == [[standby]] * 5
    for call in seen:
        assert_talked(records[call.call.call_id][0][1], call.call)


def move(pair, host):
    """The address, by choice: the SBC that asked is still there."""
    return pair.do(host, "systemctl restart keepalived")


BUSY = {"do": "ring_then_code", "after": 7, "code": 486}
OVERLOADED = {"do": "code", "after": 5, "code": 503, "headers": {"Retry-After": "300"}}


@pytest.mark.parametrize(
    ("behaviour", "signed", "leaves"),
    [(BUSY, False, Pair.kill), (BUSY, True, move), (OVERLOADED, False, move)],
    ids=["busy-kill", "busy-signed-move", "overloaded-move"],
)
def test_a_refusal_after_the_takeover_is_handed_on(pair, behaviour, signed, leaves):
    """The carrier has its ACK, the caller his answer, the call its record, once; and what the carrier asks for is heeded."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite": behaviour, "invite_auth": signed}})
    thread, _returned = after_the_invite(pair, leaves, pair, active)
    seen = pair.lab.caller.call(NANP, timeout=30)
    thread.join()
    assert pair.holders() == [standby]
    assert seen.code == behaviour["code"]
    assert -0.5 <= seen.messages[-2][0] - seen.started - behaviour["after"] < 2
    wire = [line for line in pair.lab.carriers["acme1"].wire(seen.started - 1) if line["call_id"] == seen.call_id]
    assert [line["retrans"] for line in wire if line["code"] == behaviour["code"]] == [False]
    assert [(line["method"], line["cseq"]) for line in wire if not line["code"]][-1] == ("ACK", 2 if signed else 1)
    pair.mend()
    wait_until(pair.well, 90, "both SBCs, and no call left on either")
    ((writer, record),) = pair.records()[seen.call_id]
    assert (writer, record["result"], record["trunk"]) == (standby, "failed", "acme")
    assert [(attempt["code"], attempt["next"]) for attempt in record["attempts"]] == [(behaviour["code"], "final")]
    rests = pair.engines[standby].cooling()
    assert bool(rests) is (behaviour is OVERLOADED), rests


@pytest.mark.parametrize(
    ("rings", "signed", "leaves"),
    [(2, False, Pair.kill), (2, True, Pair.kill), (7, False, move)],  # 7: the other one gives up what it asked 2 s before the answer
    ids=["usual", "signed", "long"],
)
def test_who_was_asked_before_the_takeover_is_heard(pair, rings, signed, leaves):
    """It rings and answers through the other one, and each hears the CSeq that it knows."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite": {"do": "trying_then_answer", "after": 5, "ring": rings}, "invite_auth": signed}})
    thread, _returned = after_the_invite(pair, leaves, pair, active)
    (messages,) = by_call(pair.lab.caller.sipp(NANP, 1, 20, 60, "1000"))
    thread.join()
    assert pair.holders() == [standby]
    seen = outcome(messages)
    assert (seen.call.code, seen.bye) == (200, 200) and seen.call.ring_pdd is not None, seen
    assert 4.5 <= seen.call.ring_pdd < 7 and -0.5 <= seen.call.answered_pdd - 5 - rings < 2, seen
    answers = [message for message in messages if message.dir == "rx" and message.method == "INVITE"]
    assert {message.header("CSeq") for message in answers} == {"1 INVITE"}
    # and both ends as the caller wrote them, whatever the carrier was told
    ends = {(message.header("From"), message.header("To").partition(";tag")[0]) for message in answers}
    assert ends == {(messages[0].header("From"), messages[0].header("To"))}
    wire = [line for line in pair.lab.carriers["acme1"].wire(seen.call.started - 1) if line["call_id"] == seen.call.call_id]
    first = 2 if signed else 1
    assert [(line["method"], line["cseq"]) for line in wire if line["dir"] == "rx"][-3:] == [("INVITE", first), ("ACK", first), ("BYE", first + 1)]
    assert [host for host, _record in pair.records()[seen.call.call_id]] == [standby]


def test_a_call_whose_ack_was_lost_ends_by_its_bye(pair):
    """As the address moves an ACK may be lost, and the caller may hang up before the carrier's 200 comes again. The call holds no place after that."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite": {"do": "trying_then_answer", "after": 0, "ring": 5}}})
    pair.lose(standby, f"ip saddr {pair.lab.caller.address} @th,64,24 0x41434b")  # ACK
    thread, _returned = after_the_invite(pair, pair.kill, active)
    (seen,) = pair.load(NANP, 1, 1, 3)
    thread.join()
    assert pair.holders() == [standby]
    assert_answered([seen], 1)
    assert [host for host, _record in pair.records()[seen.call.call_id]] == [standby]
    wait_until(lambda: pair.engines[standby].active_calls() == 0, 5, "no call left")


def test_an_answer_that_comes_before_the_other_ones_word_has_its_record(pair):
    """What the active one tells in its last moments the standby may hear after the carrier's 200."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite": {"do": "trying_then_answer", "after": 0, "ring": 2}}})
    pair.lose(standby, "udp dport 5064")
    since = time.time()

    def leave():
        wait_until(lambda: pair.lab.carriers["acme1"].invites(since), 10, "the call")
        moved = move(pair, active)
        # the word comes again, but no later than 3.5 s after the first time
        wait_until(lambda: pair.lab.carriers["acme1"].invites(since)[0]["acked"], 10, "the answer", 0.1)
        return moved, pair.do(standby, "nft flush ruleset")

    thread, returned = later(0, leave)
    (messages,) = by_call(pair.lab.caller.sipp(NANP, 6, 20, 60, "1000"))
    thread.join()
    assert pair.holders() == [standby]
    seen = outcome(messages)
    assert (seen.call.code, seen.bye) == (200, 200), seen
    ((moved, told),) = returned
    assert seen.call.started < moved < seen.answered_at < told, (seen, moved, told)
    ((host, record),) = pair.records()[seen.call.call_id]
    assert (host, record["result"], record["trunk"]) == (standby, "answered", "acme")
    assert_talked(record, seen.call)
    assert record["attempts"][0]["ms"] == pytest.approx(2000, abs=900), record


@pytest.mark.parametrize(("signed", "host"), [(False, "acme1"), (True, "acme1"), (True, "acme2")], ids=["usual", "signed", "signed-elsewhere"])
def test_calls_that_come_again_go_on(pair, signed, host):
    """The carrier said nothing yet, and the caller has heard nothing either: he sends his calls to the other one, which knows them from the first.

    Who was asked takes that for the same INVITE again, as both make the same branch of it; or the other one asks somebody else.
    """
    active, standby = pair.roles()
    slow = {"do": "late_answer", "after": 4} if host == "acme1" else {"do": "silent"}
    pair.lab.tell({"acme1": {"invite": slow, "invite_auth": signed}, "acme2": {"invite_auth": signed}})
    pair.lose(active, f"ip daddr {pair.lab.caller.address}", "output")
    since = time.time()

    def leave():
        wait_until(lambda: len(pair.lab.carriers["acme1"].invites(since)) == 2, 10, "the calls")
        if host != "acme1":
            pair.engines[standby].mark("held", f"{pair.lab.addresses['acme1']}_5060_udp", 20)
        return pair.kill(active)

    thread, _returned = later(0, leave)
    seen = pair.load(NANP, 2, 10, 3)
    thread.join()
    try:
        assert_answered(seen, 2)
        first = 2 if signed else 1
        records, wire = pair.records(), pair.lab.carriers[host].wire(since)
        for call in seen:
            asked = [(line["method"], line["cseq"]) for line in wire if line["call_id"] == call.call.call_id and line["dir"] == "rx" and not line["code"]]
            assert asked[-3:] == [("INVITE", first), ("ACK", first), ("BYE", first + 1)]
            ((writer, record),) = records[call.call.call_id]
            assert (writer, record["result"], len(record["attempts"])) == (standby, "answered", 1)
    finally:  # or the one that died has its calls in the other's memory for ten minutes
        pair.each(lambda which: pair.shell(which, "systemctl stop kamailio"))


# With a call each second from a moment on: Kamailio stands still as one comes, and reads it when the address has left. Prints which one.
LATE = """
import subprocess, sys, time
first = float(sys.argv[1])
number = int(time.time() - first + 2)
def at(moment, *command):
    time.sleep(max(0, first + number + moment - time.time()))
    subprocess.run(["systemctl", *command], check=True)
at(-0.5, "kill", "--signal", "STOP", "kamailio")
at(0.2, "stop", "keepalived")
at(2.2, "kill", "--signal", "CONT", "kamailio")
print(number)
"""


def test_what_is_read_after_the_address_has_left_takes_nothing_from_the_other(pair):
    """An INVITE waits in the socket of one that stands still, the address leaves, the caller sends it again; then the first one reads it."""
    active, standby = pair.roles()
    since = time.time()

    def leave():
        wait_until(lambda: pair.lab.carriers["acme1"].invites(since), 10, "the first call")
        return int(enter(pair.lab.container(active), ["python3", "-c", LATE, str(pair.lab.carriers["acme1"].invites(since)[0]["t"])]))

    thread, returned = later(0, leave)
    seen = pair.load(NANP, 6, 1, 6)
    thread.join()
    assert pair.holders() == [standby]
    assert_answered(seen, 6)
    (number,) = returned
    late = seen[number].call
    assert late.messages[1][1:] == ("tx", late.messages[0][2]), late  # it heard nothing of the first one
    records = pair.records()
    assert [[host for host, _record in records.get(call.call.call_id, [])] for call in seen] == [[standby]] * 6


def test_calls_that_came_in_go_on(pair):
    """From a carrier through the SBC to the phone system (lab/provision.yml)."""
    active, _standby = pair.roles()
    carrier = pair.lab.caller_at("acme1")
    thread, _returned = later(4, pair.kill, active)
    seen = [outcome(messages) for messages in by_call(carrier.sipp("7", 9, 20, 60, "1000", 5, 5))]
    thread.join()
    assert_answered(seen, 5)


def test_the_standby_knows_marks_and_places(pair):
    active, standby = pair.roles()
    pair.lab.tell({"beta1": {"silent": True}})
    thread, _returned = later(0, pair.load, INTL, 5, 5, 12)  # beta is asked in vain, and cools down; acme has five places taken
    wait_until(pair.engines[standby].cooling, 20, "the mark on the standby")

    def places(host):
        return pair.engines[host].ask("dlg.profile_get_size", "trunk", "acme")

    try:
        wait_until(lambda: places(active) == 5 == places(standby), 15, "the places on the standby")
    finally:
        thread.join()
    wait_until(lambda: places(active) == 0 == places(standby), 15, "no place taken")


def test_one_that_is_started_again_learns_of_the_calls(pair):
    """And is the standby from then on, or stays the active one if it was quick; either way the call ends with its record."""
    active, _standby = pair.roles()
    thread, returned = later(4, pair.crash, active)
    seen = pair.load(NANP, 10, 10, 12)
    thread.join()
    assert_answered(seen, 10)
    records = pair.records()
    assert [len(records[call.call.call_id]) for call in seen] == [1] * 10


def test_one_that_is_started_again_learns_of_all_calls(pair):
    """They are more than a datagram holds; after that it is the only one."""
    active, standby = pair.roles()
    calls = 200

    def knows_all():
        if pair.ills().get(standby) != {"calls": 2 * calls}:  # both legs, and nothing wrong
            return False
        return [table["all"] for table in pair.engines[standby].ask("htable.stats") if table["name"] == "calls"] == [calls]

    def fail():
        pair.crash(standby)
        wait_until(knows_all, 15, "all calls, and what is to be in their records")
        return pair.kill(active)

    thread, returned = later(6, fail)
    seen = pair.load(NANP, calls, 50, 25)
    thread.join()
    assert pair.holders() == [standby]
    assert_answered(seen, calls)
    assert max(call.answered_at for call in seen) < returned[0]
    records = pair.records()
    assert [[host for host, _record in records.get(call.call.call_id, [])] for call in seen] == [[standby]] * calls
