# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the harness makes of SIPp's message logs (captured/, as SIPp 3.8 wrote them) and of a carrier's."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from harness import Caller, LoadResult, by_call, call_result, invites, parse_sipp_messages, timed_out

CAPTURED = Path(__file__).parent / "captured"


def captured(name: str) -> str:
    return (CAPTURED / f"{name}.log").read_text(encoding="utf-8")


def seen(name: str):
    return call_result(parse_sipp_messages(captured(name)), "12125550100")


class Containers:
    """Stands for `podman exec`: answers with what it was given, and remembers what it was asked."""

    def __init__(self, answer: str = "") -> None:
        self.answer, self.asked = answer, []

    def __call__(self, container, argv, input=None, check=True):
        self.asked.append((container, argv, input))
        return self.answer


def test_messages_have_time_direction_and_text():
    messages = parse_sipp_messages(captured("busy"))

    assert [(m.dir, m.first) for m in messages] == [
        ("tx", "INVITE sip:12125550100@198.18.10.20:5060 SIP/2.0"),
        ("rx", "SIP/2.0 100 Trying"),
        ("rx", "SIP/2.0 180 Ringing"),
        ("rx", "SIP/2.0 486 Busy Here"),
        ("tx", "ACK sip:12125550100@198.18.10.20:5060 SIP/2.0"),
    ]
    assert messages[0].t == pytest.approx(1795398989.468356, abs=1e-6)
    assert messages[0].text.endswith("a=rtpmap:0 PCMU/8000\n")
    assert {m.header("Call-ID") for m in messages} == {"9e545ec26623-1@198.18.10.10"}
    assert [m.method for m in messages] == ["INVITE", "INVITE", "INVITE", "INVITE", "ACK"]


def test_messages_of_sipp_3_7():
    rule = "-----------------------------------------------"
    old = f"{rule} 2026-11-23 01:56:29.468356\nTCP message received [30] bytes :\n\nSIP/2.0 503 No\r\n\r\n"

    (message,) = parse_sipp_messages(old)

    assert (message.t, message.dir, message.code) == (pytest.approx(1795398989.468356, abs=1e-6), "rx", 503)


def test_a_message_that_sipp_did_not_expect_counts_once():
    unexpected = "-----------------------------------------------\nUnexpected UDP message received:\n\nSIP/2.0 299 Odd\n\n"

    assert parse_sipp_messages(captured("busy") + unexpected) == parse_sipp_messages(captured("busy"))


def test_an_answered_call():
    result = seen("answer")

    assert (result.number, result.code, result.reason, result.ended_by) == ("12125550100", 200, "OK", "caller")
    assert result.call_id == parse_sipp_messages(captured("answer"))[0].header("Call-ID")
    assert [code for _delay, code in result.provisionals] == [100, 180]
    assert 0 < result.pdd == result.ring_pdd < 0.1
    assert result.answered_pdd == pytest.approx(0.2, abs=0.1)
    assert result.talk == pytest.approx(0.5, abs=0.1)
    assert result.messages[0] == (result.started, "tx", "INVITE sip:12125550100@198.18.10.20:5060 SIP/2.0")


def test_a_failed_call():
    result = seen("busy")

    assert (result.code, result.reason, result.ended_by) == (486, "Busy Here", "failure")
    assert result.answered_pdd is None and result.talk is None
    assert result.pdd == result.ring_pdd < 0.1, "ringing ends the post-dial delay, not the failure after it"


def test_a_failure_without_ringing_ends_the_post_dial_delay():
    messages = [m for m in parse_sipp_messages(captured("busy")) if m.code != 180]

    result = call_result(messages)

    assert result.ring_pdd is None and result.pdd == pytest.approx(0.3, abs=0.05)


def test_a_cancelled_call():
    result = seen("cancel")

    assert (result.code, result.reason, result.ended_by, result.talk) == (487, "Request Terminated", "cancel", None)


def test_a_callee_that_hangs_up():
    result = seen("callee")

    assert (result.code, result.ended_by) == (200, "callee")
    assert result.talk == pytest.approx(0.2, abs=0.1)


def test_a_cancel_that_nobody_wanted_is_a_time_out():
    result = timed_out(seen("cancel"))

    assert (result.code, result.reason, result.ended_by) == (None, "", None)
    assert result.pdd == result.ring_pdd, "it did ring"
    assert timed_out(seen("busy")) == seen("busy")


def test_stragglers_of_an_earlier_call_are_left_out():
    first, second = parse_sipp_messages(captured("cancel")), parse_sipp_messages(captured("answer"))
    straggler = next(m for m in first if m.code == 487)

    assert call_result([straggler, *second, straggler]) == call_result(second)
    assert [len(messages) for messages in by_call([straggler, *second])] == [len(second)]


def test_nothing_was_sent():
    result = call_result([], "1")

    assert (result.number, result.started, result.code, result.pdd, result.ended_by) == ("1", 0.0, None, None, None)


def test_percentiles_are_those_of_the_nearest_rank():
    load = LoadResult(Counter({200: 4}), [0.1, 0.2, 0.3, 0.4])

    assert [load.percentile(p) for p in (0, 25, 50, 51, 95, 100)] == [0.1, 0.1, 0.2, 0.3, 0.4, 0.4]
    assert math.isnan(LoadResult(Counter(), []).percentile(50))


def test_one_exec_places_a_call():
    containers = Containers(captured("answer"))

    result = Caller("phone", "198.18.10.91", "198.18.10.11", run=containers).call("12125550100", hold=1.5, timeout=7, from_user="1001")

    assert result.code == 200
    ((container, argv, scenario),) = containers.asked
    assert container == "phone" and scenario.startswith("<?xml")
    for option in ("sipp 198.18.10.11:5060 ", "SEQUENTIAL 12125550100 |", "-key from 1001 ", "-d 1500 ", "-recv_timeout 7000 ", "-i 198.18.10.91 "):
        assert option in argv[2]


def test_the_caller_gives_up_when_told():
    containers = Containers(captured("cancel"))
    caller = Caller("phone", "198.18.10.91", "198.18.10.11", run=containers)

    assert caller.call("1", cancel_after=0.5).code == 487
    assert "-recv_timeout 500 " in containers.asked[0][1][2]
    assert caller.call("1", timeout=0.5).code is None


def test_a_load_counts_codes():
    containers = Containers(captured("answer") + captured("busy") + captured("cancel"))

    load = Caller("phone", "198.18.10.91", "198.18.10.11", run=containers).load("1", calls=3, rate=10)

    assert load.codes == {200: 1, 486: 1, None: 1}
    assert load.pdd == [seen("answer").pdd]


def line(first: str, call_id: str = "a", retrans: bool = False, to: str = "<sip:1@x>", direction: str = "", code: int = 0) -> dict:
    """A line of wire.jsonl, as far as `invites` reads it."""
    method = "INVITE" if code else first.split()[0]
    direction = direction or ("tx" if code else "rx")
    found = {"first": first, "method": method, "code": code or None, "call_id": call_id, "headers": {"to": to}}
    return {"t": 1.0, "dir": direction, "retrans": retrans, **found}


def test_the_calls_of_a_carrier():
    wire = [
        line("OPTIONS sip:x SIP/2.0", "probe"),
        line("INVITE sip:1@x SIP/2.0"),
        line("SIP/2.0 100 Trying", code=100),
        line("INVITE sip:1@x SIP/2.0", retrans=True),
        line("SIP/2.0 100 Trying", code=100, retrans=True),
        line("SIP/2.0 407 Who", code=407),
        line("ACK sip:1@x SIP/2.0"),
        line("INVITE sip:1@x SIP/2.0"),  # with credentials: the same call
        line("SIP/2.0 200 OK", code=200),
        line("INVITE sip:1@x SIP/2.0", to="<sip:1@x>;tag=1"),  # within the call
        line("BYE sip:2@y SIP/2.0", direction="tx"),
        line("INVITE sip:2@x SIP/2.0", "b"),
        line("CANCEL sip:2@x SIP/2.0", "b"),
        line("BYE sip:3@x SIP/2.0", "from before"),
    ]

    first, second = invites(wire)

    assert {k: first[k] for k in ("call_id", "retransmissions", "responses", "cancelled", "acked", "bye")} == {
        "call_id": "a", "retransmissions": 1, "responses": [100, 407, 200], "cancelled": False, "acked": True, "bye": "tx",
    }  # fmt: skip
    assert (second["call_id"], second["cancelled"], second["acked"], second["bye"]) == ("b", True, False, None)
