# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many calls while the primary fails: how many are lost, what it costs."""

from __future__ import annotations

import os
import threading
import time

from harness import Caller, Lab, LoadResult, podman
from rich.table import Table

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


def lost(lab: Lab, ours: Caller, theirs: Caller, rest) -> Table:
    """`rest` runs before each load: marks are forgotten, probes find everybody alive."""
    table = Table(title="300 calls, 10 per second, the primary fails half-way", title_style="bold")
    for name in ("the primary", "siptrunk.failover: lost", "post-dial delay, median / 99 %", "classic guide: lost", "post-dial delay, median / 99 %"):
        table.add_column(name, justify="right" if "lost" in name or "delay" in name else "left")
    for what, fault in FAULTS.items():
        cells = [what]
        for caller in (ours, theirs):
            rest()
            result = cut_in_the_middle(lab, caller, fault)
            cells += [str(300 - result.codes[200]), f"{result.percentile(50) * 1000:,.0f} / {result.percentile(99) * 1000:,.0f} ms"]
        table.add_row(*cells)
    return table


def cpu_seconds(container: str) -> float:
    """What Asterisk has used so far (proc(5), stat: utime and stime)."""
    fields = podman(container, ["sh", "-c", "cat /proc/$(pidof asterisk)/stat"]).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def full_minute(lab: Lab, caller: Caller, container: str, rate: float = 50) -> str:
    """A minute of calls in failover, the primary saying 503 to each."""
    for carrier in lab.carriers.values():
        carrier.tell(invite=AT_ONCE)
    lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
    used, began, calls = cpu_seconds(container), time.monotonic(), int(rate * 60)
    result = caller.load(NUMBER, calls, rate, hold=1, timeout=45)
    took, used = time.monotonic() - began, cpu_seconds(container) - used
    lab.reset()
    return (
        f"{calls} calls, {rate:g} per second, each failing over from a 503: {calls - result.codes[200]} lost, post-dial delay "
        f"{result.percentile(50) * 1000:.0f} ms median, {result.percentile(99) * 1000:.0f} ms 99 %; Asterisk used {used / took:.0%} of one core"
    )
