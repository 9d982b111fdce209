# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What callers and carriers write is text: it is dialled, or recorded, or refused, and never evaluated."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from cases import INTL
from harness import Lab, enter, invites, wait_until

PROOF = "/tmp/siptrunk-evaluated"
EVALUATED = (f"${{SHELL(touch {PROOF})}}", f"`touch {PROOF}`", f"$(touch {PROOF})", f"${{system(touch {PROOF})}}", f"$${{system touch {PROOF}}}")
SYNTAX = (
    "$[1+1]", "${EXTEN}", "${", "}", "$", ",1", "&PJSIP/acme.1/sip:1", "^1", ";x", '"', "'", "\\", '","to":"', "\n", "\r\nX-Trunk: evaluated",
    "\t", " ", "()", "[]", "<>", "|", "=", "%", "%24", "@acme.1", ":5", "/", "?x=y", "é", "\U0001f4de", "~", "!", ".", "-", "_", "A", "sip:",
)  # fmt: skip


@pytest.fixture
def untouched(lab: Lab):
    """No command ran on the PBX."""
    enter(lab.container(lab.pbx), ["rm", "-f", PROOF])
    yield
    assert not enter(lab.container(lab.pbx), ["sh", "-c", f"ls {PROOF} 2>/dev/null || true"]), "what somebody wrote was run as a command"


def test_a_dialled_number_is_digits_or_refused(healthy, untouched, lab: Lab, engine):
    """Anything else in it, at its end or in its middle, coded as a URI wants it."""
    known, began = len(engine.records()), time.time()
    numbers = [quote(number, safe="") for text in (*EVALUATED, *SYNTAX) for number in (INTL + text, f"00{text}44")]
    load = lab.caller.load(numbers, len(numbers), rate=20, hold=0.1)
    answers = {result.number: result.code for result in load.results}
    assert len(answers) == len(set(numbers))
    assert not {number: code for number, code in answers.items() if code is None or not 400 <= code < 500}
    assert not [call for wire in lab.wires(began).values() for call in invites(wire)], "nothing went out"
    assert len(engine.records()) == known


def test_every_character_of_a_telephone_number_arrives(healthy, lab: Lab):
    """RFC 3261 section 25.1: "#" is coded within a URI, "+" and "*" are not. As many digits as anybody can dial."""
    for number in ("00123456789", "0044*21", "0044+7", "0044#", "0044" + "1234567890" * 6):
        began = time.time()
        assert lab.caller.call(quote(number, safe="*+"), hold=0.1).code == 200
        (call,) = lab.carriers["beta1"].invites(began)
        assert call["user"] == quote(number, safe="*+")


def test_what_a_caller_calls_himself(healthy, untouched, lab: Lab, engine):
    known = len(engine.records())
    names = ["1000" + text for text in (*EVALUATED, '","result":"none', "}", "\\", "é", "," * 20, "9" * 60)]
    for name in names:
        assert lab.caller.call(INTL, from_user=quote(name, safe=""), hold=0.1).code == 200, name
    wait_until(lambda: len(engine.records()) == known + len(names), 10, "a record of each call")
    for record in engine.records()[known:]:
        assert record["from"].isascii() and record["from"].replace("*", "").replace("+", "").isalnum()
        assert (record["result"], record["to"], len(record["attempts"])) == ("answered", INTL, 1)


def test_what_a_carrier_gives_as_its_reason(healthy, untouched, lab: Lab, engine):
    reasons = [*EVALUATED, '"}],"trunk":"other', "$[1/0]", "a,b&c^d|e", ")", "}", "\\", "Überlastet", "", "x" * 400]
    for reason in reasons:
        lab.carriers["beta1"].tell(invite={"do": "code", "code": 503, "reason": reason})
        known = len(engine.records())
        assert lab.caller.call(INTL, hold=0.1).code == 200, reason
        wait_until(lambda known=known: len(engine.records()) == known + 1, 10, f"the record of {reason}")
        record = engine.records()[-1]
        assert [(a["code"], a["next"]) for a in record["attempts"]] == [(503, "next_target"), (200, "final")]
        assert record["attempts"][0]["reason"] and all(c.isalnum() or c in " .," for c in record["attempts"][0]["reason"])
