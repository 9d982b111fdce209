# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's own CDRs carry what the record of the call says."""

from __future__ import annotations

import json

from engines import FreeSwitch
from harness import Lab, enter, wait_until

LAB = Lab(pbx=FreeSwitch.host)
ENGINE = FreeSwitch(LAB.container(FreeSwitch.host))
CDRS = f"{FreeSwitch.log}/json_cdr"


def cdr_of(call: str) -> dict:
    """The variables in mod_json_cdr's file of a call; empty while there is none."""
    text = enter(ENGINE.container, ["sh", "-c", f"cat {CDRS}/*{call}*.json 2>/dev/null || true"])
    return json.loads(text)["variables"] if text else {}


def test_the_cdr_of_a_call_that_failed_over():
    LAB.tell({"beta1": {"invite": {"do": "code", "code": 503}}})
    try:
        known = len(ENGINE.records())
        assert LAB.caller.call("0044123456").code == 200
        wait_until(lambda: len(ENGINE.records()) > known, 10, "the record of the call")
    finally:
        LAB.reset()
    record = ENGINE.records()[-1]
    wait_until(lambda: cdr_of(record["call"]), 10, "its CDR")
    found = cdr_of(record["call"])
    assert [found[f"siptrunk_{key}"] for key in ("route", "trunk", "target")] == [record[key] for key in ("route", "trunk", "target")]
    assert json.loads(found["siptrunk_attempts"]) == record["attempts"] and len(record["attempts"]) == 2
    assert json.loads(found["siptrunk_passed_over"]) == record["passed_over"]
