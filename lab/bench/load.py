# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many calls while the primary fails: how many are lost, what it costs."""

from __future__ import annotations

import threading
import time

from harness import Caller, Lab, LoadResult
from rich.table import Table
from systems import System

NUMBER = "0044123456"  # beta first, then acme
AT_ONCE = {"do": "answer", "ring": 0}
FAULTS = {"says 503": {"invite": {"do": "code", "code": 503}}, "falls silent": {"silent": True}, "closes its port": {"closed": True}}


def cut_in_the_middle(lab: Lab, caller: Caller, fault: dict, calls: int = 300, rate: float = 10) -> LoadResult:
    """Calls of one second each; half-way the primary fails."""
    for carrier in lab.carriers.values():
        carrier.tell(invite=AT_ONCE)
    cut = threading.Timer(calls / rate / 2, lambda: lab.carriers["beta1"].tell(**fault))
    cut.start()
    try:
        return caller.load(NUMBER, calls, rate, hold=1, timeout=45)
    finally:
        cut.join()
        lab.reset()


def lost(lab: Lab, measured: list[System]) -> Table:
    """A row for each system in each fault."""
    table = Table(title="300 calls, 10 per second, the primary fails half-way", title_style="bold")
    for name in ("the primary", "", "lost", "post-dial delay, median", "99 %"):
        table.add_column(name, justify="left" if name in ("the primary", "") else "right")
    for what, fault in FAULTS.items():
        for number, system in enumerate(measured):
            system.rest()
            result = cut_in_the_middle(lab, system.caller, fault)
            failed = f"{300 - result.codes[200] - result.broken}" + (f" (and {result.broken} that rang)" if result.broken else "")
            row = (failed, f"{result.percentile(50) * 1000:,.0f} ms", f"{result.percentile(99) * 1000:,.0f} ms")
            table.add_row("" if number else what, system.name, *row, end_section=number == len(measured) - 1)
    return table


def full_minute(lab: Lab, system: System, rate: float = 50) -> str:
    """A minute of calls in failover, the primary saying 503 to each."""
    system.rest()
    for carrier in lab.carriers.values():
        carrier.tell(invite=AT_ONCE)
    lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
    used, began, calls = system.cpu_seconds(), time.monotonic(), int(rate * 60)
    result = system.caller.load(NUMBER, calls, rate, hold=1, timeout=45)
    took, used = time.monotonic() - began, system.cpu_seconds() - used
    lab.reset()
    return (
        f"{system.name}: {calls} calls, {rate:g} per second, each failing over from a 503: {calls - result.codes[200]} lost, post-dial delay "
        f"{result.percentile(50) * 1000:.0f} ms median, {result.percentile(99) * 1000:.0f} ms 99 %; {used / took:.0%} of one core"
    )
