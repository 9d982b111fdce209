# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make soak`: calls for SOAK_MINUTES (10) at 10 per second while the primary fails in one way after another.

Fails when a call is lost, or when Asterisk keeps channels, or grows without end.
"""

from __future__ import annotations

import os
import random
import sys
import threading

from bench import bench_lab, console, forget
from harness import Lab, podman
from load import AT_ONCE, FAULTS, NUMBER

RATE = 10


def memory(lab: Lab) -> int:
    """Asterisk's resident memory, KiB."""
    return int(podman(lab.container("pbx"), ["sh", "-c", "awk '/VmRSS/ {print $2}' /proc/$(pidof asterisk)/status"]))


def main() -> int:
    minutes = int(os.environ.get("SOAK_MINUTES", "10"))
    lost, sizes = 0, []
    with bench_lab() as lab:
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
            codes = lab.caller.load(NUMBER, 60 * RATE, RATE, hold=1, timeout=45).codes
            for timer in timers:
                timer.join()
            lost += 60 * RATE - codes[200]
            sizes.append(memory(lab))
            console.print(f"minute {minute + 1}: the primary {fault} for 25 s; {dict(codes)}; Asterisk holds {sizes[-1] // 1024} MiB")
            forget(lab)
        left = podman(lab.container("pbx"), ["asterisk", "-rx", "core show channels count"]).split()[0]
    settled = sizes[len(sizes) // 2 :]
    grown = settled[-1] - settled[0] if len(settled) > 2 else 0
    console.print(f"\n{minutes * 60 * RATE} calls, {lost} lost; {left} channels left; memory grew by {grown} KiB in the second half")
    return 1 if lost or left != "0" or grown > 50 * 1024 else 0


if __name__ == "__main__":
    sys.exit(main())
