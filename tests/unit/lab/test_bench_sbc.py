# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SBC's bench makes of wire logs and of SIPp's statistics."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "lab/bench"))

import sbc  # noqa: E402


def line(t: float, call_id: str, first: str, code: int | None = None, direction: str = "rx") -> dict:
    return {"t": t, "call_id": call_id, "first": first, "code": code, "dir": direction}


def test_the_carriers_share_and_that_of_kamailio():
    refuses = [
        line(1.000, "a", "INVITE sip:1@x SIP/2.0"),
        line(1.001, "a", "SIP/2.0 100 Trying", 100, "tx"),
        line(1.002, "a", "SIP/2.0 503 Service Unavailable", 503, "tx"),
        line(1.600, "a", "INVITE sip:1@x SIP/2.0"),
        line(1.601, "a", "SIP/2.0 503 Service Unavailable", 503, "tx"),
        line(2.000, "unfinished", "INVITE sip:1@x SIP/2.0"),
    ]
    answers = [line(1.005, "a", "INVITE sip:1@y SIP/2.0"), line(1.505, "a", "INVITE sip:1@y SIP/2.0"), line(1.1, "b", "INVITE sip:1@y SIP/2.0")]

    carriers, own = sbc.shares(refuses, answers)

    assert carriers == pytest.approx([0.002])
    assert own == pytest.approx([0.003])


def test_repeated_messages_of_sipps_counts():
    text = "CurrentTime;0_INVITE_Recv;0_INVITE_Retrans;1_503_Sent;1_503_Retrans;\n1;10;0;10;0;\n2;20;3;20;4;\n"

    assert sbc.repeated(sbc.last_row(text)) == 7


@pytest.mark.parametrize("text", ["", "CurrentTime;0_INVITE_Retrans;\n"])
def test_no_counts_yet(text):
    assert sbc.repeated(sbc.last_row(text)) == 0


def test_how_busy_the_cores_were():
    before, after = "cpu  100 0 100 800 0 0 0 0 0 0", "cpu  130 0 110 850 10 0 0 0 0 0"

    assert sbc.busy_share(before, after) == pytest.approx(0.4)


def burst(rate: int, lost: int) -> sbc.Burst:
    return sbc.Burst(rate, lost, 0, 0, [], 3.0, 1.0)


def test_the_best_rate_loses_nothing():
    assert sbc.best([burst(100, 0), burst(200, 1), burst(200, 0), burst(300, 5), burst(300, 1)]).rate == 200
    assert sbc.best([burst(100, 1)]) is None


def test_a_rate_that_loses_calls_is_tried_once_more(monkeypatch):
    lost = iter([0, 4, 0, 3, 2])
    monkeypatch.setattr(sbc, "burst", lambda _system, _carriers, _number, rate: burst(rate, next(lost)))
    monkeypatch.setattr(sbc.time, "sleep", lambda _seconds: None)

    assert [step.rate for step in sbc.climb(None, None, "1")] == [sbc.RATES[0], sbc.RATES[1], sbc.RATES[1], sbc.RATES[2], sbc.RATES[2]]


def test_percentiles_of_few_and_none():
    assert sbc.percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert sbc.percentile([1.0], 99) == 1.0
    assert math.isnan(sbc.percentile([], 99))
