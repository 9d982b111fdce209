# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of which the contract and the interop table know nothing: transfers, FreeSWITCH's own ways to withhold a number, its timers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from engines import FreeSwitch
from harness import Lab, wait_until

LAB = Lab(pbx=FreeSwitch.host)
ENGINE = FreeSwitch(LAB.container(FreeSwitch.host))
NANP, INTL, SMALL = "12125550100", "0044123456", "20000"  # acme, then beta; beta, then acme; small (two calls), then acme


@pytest.fixture(autouse=True)
def healthy():
    LAB.reset()
    ENGINE.forget()
    wait_until(lambda: all(ENGINE.reachable().values()), 60, "every target reachable")
    yield
    ENGINE.command("hupall NORMAL_CLEARING siptrunk_test yes")
    LAB.reset()
    wait_until(lambda: ENGINE.active_calls() == 0, 40, "no call left over")


def usage(trunk: str) -> int:
    """Channels of a trunk, in and out, by FreeSWITCH's own count."""
    return int(ENGINE.command(f"limit_usage hash siptrunk {trunk}"))


def legs_to(number: str) -> list[str]:
    """The channels of calls to carriers."""
    rows = ENGINE.command("show channels").splitlines()
    return [row.partition(",")[0] for row in rows if "sofia/siptrunk/" in row and ",outbound," in row and number in row]


@contextmanager
def calling_in(number: str, host: str = "acme1"):
    """A carrier's call that lasts as long as the block does, or until FreeSWITCH ends it."""
    with ThreadPoolExecutor() as pool, LAB.caller_at(host, ENGINE.trunk_port).talking(number) as call:
        yield pool, call


# --- channels of a trunk ---


def test_a_call_in_counts_wherever_it_goes():
    """inbound.lua transfers it to the operator's context, and the operator may transfer it again."""
    with calling_in("7"):
        wait_until(lambda: "ACTIVE" in ENGINE.command("show calls") or "ACTIVE" in ENGINE.command("show channels"), 10, "the call in")
        assert usage("acme") == 1
        (channel,) = [row.partition(",")[0] for row in ENGINE.command("show channels").splitlines() if ",inbound," in row]
        ENGINE.command(f"uuid_transfer {channel} 7 XML from-acme")
        time.sleep(1)
        assert usage("acme") == 1
        began = time.time()
        assert LAB.caller.call(NANP, hold=2).code == 200
        assert len(LAB.carriers["acme1"].invites(began)) == 1
    wait_until(lambda: usage("acme") == 0, 10, "the channel is free")


def test_calls_in_and_out_count_together():
    with calling_in("7"), LAB.caller.talking(NANP):
        wait_until(lambda: len(legs_to(NANP)) == 1, 10, "the call out")
        wait_until(lambda: usage("acme") == 2, 5, "one call in, one call out")
    wait_until(lambda: usage("acme") == 0, 10, "the channels are free")


def test_a_call_that_passes_through_counts_on_its_way_in_and_on_its_way_out():
    with calling_in("9"):
        wait_until(lambda: len(legs_to(NANP)) == 1, 10, "the call out")
        wait_until(lambda: usage("acme") == 2, 5, "both channels of the carrier")
    wait_until(lambda: usage("acme") == 0, 10, "the channels are free")


def test_a_call_out_counts_after_the_phone_has_transferred_it():
    """The carrier's channel goes on without the phone that dialled; the trunk takes one call more, not two."""
    began = time.time()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(LAB.caller.call, SMALL, 8)
        wait_until(lambda: len(legs_to(SMALL)) == 1, 10, "the call out")
        (leg,) = legs_to(SMALL)
        wait_until(lambda: ENGINE.command(f"uuid_getvar {leg} endpoint_disposition").strip() == "ANSWER", 10, "the answer")
        ENGINE.command(f"uuid_setvar {leg} siptrunk_test yes")
        ENGINE.command(f"uuid_transfer {leg} 7 XML from-acme")  # which answers, and waits
        assert first.result().code == 200
    assert usage("small") == 1, "the carrier's channel is still up"
    load = LAB.caller.load(SMALL, 2, rate=1000, hold=1)
    assert load.codes == {200: 2}
    assert {host: len(LAB.carriers[host].invites(began)) for host in ("beta1", "acme1")} == {"beta1": 2, "acme1": 1}
    ENGINE.command(f"uuid_kill {leg}")
    wait_until(lambda: usage("small") == 0, 10, "the channel is free")
    wait_until(lambda: f"_{leg}/" not in ENGINE.command("hash_dump db"), 10, "nothing is left of the leg")


# --- who calls ---


def sent_by(number: str, check: Callable[[str], object] = bool, **phone: object) -> list[str]:
    """The texts of the INVITEs that a call by lab/phone.py made."""
    LAB.tell({host: {"whole": True} for host in LAB.carriers})
    began = time.time()
    assert LAB.caller.phone(number, **phone)["code"] == 200
    return [line["text"] for wire in LAB.wires(began).values() for line in wire if line["first"].startswith("INVITE ")]


@pytest.mark.parametrize("number", [INTL, "96123", "97123"])
def test_the_operators_dialplan_withholds_a_number(number: str):
    """By the application `privacy`; 96123 shows one number whoever calls, 97123 receives the number."""
    for text in sent_by("*31" + number, **{"from": '"Bob Example" <sip:1000@pbx.example>'}):
        assert re.search(r'(?m)^From: "Anonymous" <sip:anonymous@anonymous\.invalid>', text), text
        assert re.search(r"(?m)^Privacy: id\r$", text), text
        told = "\n".join(line for line in text.splitlines() if not line.startswith("P-Asserted-Identity:"))
        assert not re.search(r"\b1000\b|Bob", told), text
        assert ("P-Asserted-Identity: <sip:55501000@" in text) is (number == "97123"), text


def test_headers_of_the_caller_who_withholds_the_number_stay_here():
    """Those that FreeSWITCH passes on, and a name of the channel that a caller can ask for."""
    headers = [
        ["Privacy", "id"], ["Diversion", "<sip:1000@pbx.example>;reason=unconditional"], ["X-Extension", "1000"], ["P-Charge-Info", "<sip:1000@pbx.example>"],
        ["X-FS-Channel-Name", "Bob"],
    ]  # fmt: skip
    (text,) = sent_by(INTL, **{"from": '"Bob Example" <sip:1000@pbx.example>'}, headers=headers)
    assert not re.search(r"\b1000\b|Bob", text), text


def test_a_shown_caller_has_the_name_that_the_phone_gives():
    """Without harm to the header that carries it."""
    (text,) = sent_by(INTL, **{"from": '"B\u00f6b %22 ${uuid} O\'Neil" <sip:1000@pbx.example>'})
    (line,) = re.findall(r"(?m)^From: (.*?)\r$", text)
    assert re.fullmatch(r'"B\u00f6b  \{uuid\} O\'Neil" <sip:55501000@[0-9.]+>;tag=\S+', line), line
    assert "Privacy:" not in text and "X-FS-" not in text
    (text,) = sent_by(INTL, **{"from": "<sip:1000@pbx.example>"})
    assert re.search(r"(?m)^From: <sip:55501000@[0-9.]+>;tag=", text), text


def test_the_sender_of_a_probe_is_never_the_carrier_itself():
    began = time.time()
    wanted = {"acme1": "pbx-100@sip.acme.example", "beta1": f"probe@{LAB.addresses['fs']}"}

    def senders(host: str) -> set[str]:
        probes = [line for line in LAB.carriers[host].wire(began) if line["first"].startswith("OPTIONS ")]
        return {re.search(r"<sip:([^>]*)>", line["headers"]["from"])[1] for line in probes}

    for host, sender in wanted.items():
        wait_until(lambda host=host: senders(host), 12, f"a probe of {host}")
        assert sender in senders(host) and not any(found in ("sip.acme.example", "gw1.beta.example") for found in senders(host))


# --- after the answer ---


def test_media_that_cannot_be_used_before_the_answer_ring_no_second_phone():
    """A 183 with a codec that was not offered: the carrier is released, and the record says what it sent."""
    media = ["m=audio 40000 RTP/AVP 18", "a=rtpmap:18 G729/8000"]
    LAB.tell({"beta1": {"invite": {"do": "progress_then_answer", "after": 5, "media": media}}})
    known, began = len(ENGINE.records()), time.time()
    assert LAB.caller.call(INTL).code != 200
    wait_until(lambda: len(ENGINE.records()) > known, 10, "the record")
    assert [(a["trunk"], a["code"], a["next"]) for a in ENGINE.records()[-1]["attempts"]] == [("beta", 183, "final")]
    assert not ENGINE.cooling()
    assert not LAB.carriers["acme1"].invites(began)
    (leg,) = LAB.carriers["beta1"].invites(began)
    assert leg["cancelled"] or leg["bye"] == "rx"
