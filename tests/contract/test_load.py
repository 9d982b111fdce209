# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many callers while the primary carrier dies: none of them is lost, and no call has two answered legs.

The carriers answer at once, without ringing: a call that rings at a carrier when it dies has rung out by the contract's rule 5
(a second phone is not rung), which is no matter of the hunt.
"""

from __future__ import annotations

import threading
import time

import pytest
from cases import NANP
from harness import Lab, wait_until

CALLS, RATE = 300, 10
PRIMARY = ("acme1", "acme2")
AT_ONCE = {"do": "late_answer", "after": 0}


def tell(lab: Lab, **control: object) -> None:
    for host in PRIMARY:
        lab.carriers[host].tell(**control)


FAULTS = {
    "power_cut": (lambda lab: lab.kill(*PRIMARY), lambda lab: lab.start(*PRIMARY)),
    "503": (lambda lab: tell(lab, invite={"do": "code", "code": 503}), lambda lab: None),
    "silence": (lambda lab: tell(lab, silent=True), lambda lab: None),
    "process_killed": (lambda lab: lab.kill_program(*PRIMARY), lambda lab: lab.start_program(*PRIMARY)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_caller_is_lost(fault: str, healthy, lab: Lab, engine, record_property):
    break_it, mend_it = FAULTS[fault]
    for carrier in lab.carriers.values():
        carrier.tell(invite=AT_ONCE)
    known, began = len(engine.records()), time.time()
    cut = threading.Timer(CALLS / RATE / 2, break_it, [lab])
    cut.start()
    try:
        load = lab.caller.load(NANP, CALLS, RATE, hold=1)
    finally:
        cut.join()
        mend_it(lab)
    wait_until(lambda: len(engine.records()) >= known + CALLS, 30, "a record of each call")
    records = engine.records()[known:]

    assert load.codes == {200: CALLS}
    assert len(records) == CALLS and all(record["result"] == "answered" for record in records)
    legs = {host: [call for call in carrier.invites(began) if 200 in call["responses"]] for host, carrier in lab.carriers.items()}
    assert sum(map(len, legs.values())) == CALLS, {host: len(found) for host, found in legs.items()}
    assert len(legs["acme1"]) > CALLS / 4 and len(legs["beta1"]) > CALLS / 4, "the fault came in the middle"
    for name, value in (("post-dial delay, median ms", load.percentile(50)), ("99 % ms", load.percentile(99)), ("most ms", load.percentile(100))):
        record_property(name, round(value * 1000))
