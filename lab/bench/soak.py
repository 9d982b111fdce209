# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make soak`: calls for SOAK_MINUTES (10) at 10 per second while the primary fails in one way after another; then 100,000 attempts for the monitor.

Fails when a call is lost, or when the engine keeps channels, or grows without end, or the monitor misses an attempt or costs too much (monitor.py).
"""

from __future__ import annotations

import os
import random
import sys
import threading

import monitor
from bench import bench_lab, console, playbook
from engines import Asterisk, FreeSwitch, Kamailio
from load import AT_ONCE, FAULTS, NUMBER
from systems import freeswitch_here, ours

RATE = 10


def soak(lab, system, minutes: int) -> bool:
    """Whether all is well with it."""
    lost, broken, sizes = 0, 0, []
    for minute in range(minutes):
        for carrier in lab.carriers.values():
            carrier.tell(invite=AT_ONCE)
        fault = random.choice(list(FAULTS))
        timers = [
            threading.Timer(15, lambda told=FAULTS[fault]: lab.carriers["beta1"].tell(**told)),
            threading.Timer(40, lambda: lab.carriers["beta1"].tell(invite=AT_ONCE)),
        ]
        for timer in timers:
            timer.start()
        result = system.caller.load(NUMBER, 60 * RATE, RATE, hold=1, timeout=45)
        for timer in timers:
            timer.join()
        broken += result.broken
        lost += 60 * RATE - result.codes[200] - result.broken
        sizes.append(system.memory())
        console.print(f"{system.name}, minute {minute + 1}: the primary {fault} for 25 s; {dict(result.codes)}; it holds {sizes[-1] // 1024} MiB")
        system.forget()
    left = system.engine.active_calls()
    settled = sizes[len(sizes) // 2 :]
    grown = settled[-1] - settled[0] if len(settled) > 2 else 0
    calls = f"{minutes * 60 * RATE} calls, {lost} lost, and {broken} that rang when their carrier died"
    console.print(f"{system.name}: {calls}; {left} channels left; memory grew by {grown} KiB in the second half\n")
    return not lost and broken <= minutes and not left and grown <= 50 * 1024


def main() -> int:
    minutes = int(os.environ.get("SOAK_MINUTES", "10"))
    kinds = [Asterisk, FreeSwitch, Kamailio] if freeswitch_here() else [Asterisk, Kamailio]
    with bench_lab() as lab:
        well = [soak(lab, ours(lab, kind), minutes) for kind in kinds]
        playbook("site.yml", "--extra-vars", '{"monitor_enabled": true}')  # not before: its marks would hide the faults
        well += [monitor.cost(lab, kind) for kind in kinds]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
