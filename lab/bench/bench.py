# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: post-dial delay, load, detection and deployment, beside the classic guide's dialplan and a naive role in the same run.

Figures of one run on one machine: compare the columns with each other, not with another machine's.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["SIPTRUNK_LAB"], os.environ["SIPTRUNK_LAB_NET"] = "bench", "22"

import converge  # noqa: E402
import load  # noqa: E402
import sbc  # noqa: E402
import systems  # noqa: E402
from harness import Caller, Lab, wait_until  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
SPEC = REPO / "roles/plan/meta/argument_specs.yml"
NUMBER = "0044123456"  # beta first, then acme: the primary has one target
CALLS = 15
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def playbook(path: str, *options: str, unchanged: bool = False) -> float:
    """Run a playbook on the bench's lab; the seconds it took. `unchanged`: one that changes something is a failure."""
    began = time.monotonic()
    inventories = ["inventories/lab", "inventories/lab-sbc", str(HERE / "inventory.yml"), str(HERE / "sbc.yml")]
    if systems.freeswitch_here():
        inventories += ["inventories/lab-freeswitch", str(HERE / "freeswitch.yml")]
    argv = ["ansible-playbook", *(part for name in inventories for part in ("-i", name)), path, *options]
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout[-3000:]}\nansible-playbook {path} failed")
    if unchanged and re.search(r" changed=[1-9]", done.stdout):
        sys.exit(f"{done.stdout[-3000:]}\nansible-playbook {path} changed something")
    return time.monotonic() - began


def delays(caller: Caller, count: int, before=lambda: None) -> list[float]:
    """Post-dial delays in milliseconds of `count` calls, one after the other; those that were answered."""
    found = []
    for _number in range(count):
        before()
        seen = caller.call(NUMBER, hold=0.1, timeout=90)
        if seen.code == 200 and seen.pdd is not None:
            found.append(seen.pdd * 1000)
    return found


def measure(lab: Lab, measured: list[systems.System]) -> Table:
    """A row for each system in each case: the classic ones need fewer calls where each takes half a minute."""
    table = Table(title="Post-dial delay, ms", title_style="bold")
    for name in ("", "", "median", "least to most", "added", "calls", "lost"):
        table.add_column(name, justify="left" if not name else "right")
    direct: dict[str, float] = {}

    def rows(what: str, calls: int, slow_calls: int, before: bool = False, found_out: bool = False) -> None:
        for number, system in enumerate(measured):
            if found_out and system.engine:
                delays(system.caller, 1)  # the systems before took longer than the cool-down: find out anew
            count = calls if system.engine else slow_calls
            figures = delays(system.caller, count, system.forget if before else lambda: None)
            cells = ["-", "-", "-"]
            if figures:
                median = statistics.median(figures)
                base = direct.setdefault(system.name, median)
                cells = [f"{median:,.1f}", f"{min(figures):,.1f} to {max(figures):,.1f}", f"{median - base:+,.1f}"]
            table.add_row("" if number else what, system.name, *cells, str(count), str(count - len(figures)), end_section=number == len(measured) - 1)
            console.print(f"  {what}, {system.name}: {cells[0]} ms, {count - len(figures)} of {count} lost")

    beta = lab.carriers["beta1"]
    lab.reset()
    for system in measured:
        system.rest()
        delays(system.caller, 3)  # warm
    rows("both carriers well", CALLS, CALLS)
    beta.tell(invite={"do": "code", "code": 503})
    rows("primary says 503", CALLS, CALLS)
    beta.tell(invite={"do": "silent"})  # its OPTIONS are still answered: only the call finds out
    rows("primary silent, first call", 3, 1, before=True)
    rows("primary silent, next call", 5, 1, found_out=True)  # within its cool-down
    lab.reset()
    return table


def detection(lab: Lab, system: systems.System) -> str:
    """Seconds until the probes notice that the primary is dead, and that it is back."""
    lab.carriers["beta1"].tell(silent=True)
    down = wait_until(lambda: not system.engine.reachable()["beta.1"], 30, "the probes notice")
    lab.reset()
    back = wait_until(lambda: system.engine.reachable()["beta.1"], 30, "the probes notice that it is back")
    probe = next(trunk["probe"] for trunk in system.engine.plan()["trunks"] if trunk["name"] == "beta")
    return f"{system.name}: detection by probe (every {probe['interval']} s, time-out {probe['timeout']} s): dead after {down:.1f} s, back after {back:.1f} s"


@contextlib.contextmanager
def bench_lab():
    """A lab of the bench's own, removed afterwards."""
    console.print("[bold]The bench's own lab[/] (about two minutes)")
    try:
        playbook("lab/create.yml")
        playbook("lab/provision.yml")
        console.print(f"ansible-playbook site.yml, from nothing, packages included: {playbook('site.yml'):.1f} s")
        yield Lab()
    finally:
        playbook("lab/destroy.yml")


def delays_and_detection(lab: Lab, measured: list[systems.System]) -> list:
    return [measure(lab, measured), *(detection(lab, system) for system in measured if system.engine)]


def under_load(lab: Lab, measured: list[systems.System]) -> list:
    return [load.lost(lab, measured), *(load.full_minute(lab, system) for system in measured if system.engine)]


def deployments(_lab: Lab, measured: list[systems.System]) -> list:
    compiled = f"The compiler alone, 1,000 trunks and 200 routes: {converge.compile_seconds(str(SPEC)):.2f} s"
    return [*(converge.converge(playbook, system.engine) for system in measured if system.engine), compiled, converge.look_ups(playbook)]


def in_front(lab: Lab, _measured: list[systems.System]) -> list:
    return sbc.measure(lab, console.print)


def many_hosts(lab: Lab, _measured: list[systems.System]) -> list:
    return [converge.hosts(playbook, lab)]


PARTS = {"delays": delays_and_detection, "load": under_load, "sbc": in_front, "deployments": deployments, "hosts": many_hosts}


def main() -> int:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        print(f"bench: unknown part {', '.join(unknown)}; known are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    found = []
    with bench_lab() as lab:
        measured = systems.all_systems(lab)
        for name in wanted:
            console.print(f"[bold]{name}[/]")
            found += PARTS[name](lab, measured)
    if not systems.freeswitch_here():
        found.append("FreeSWITCH was skipped: this machine has none (see lab/setup).")
    for item in found:
        console.print()
        console.print(item)
    return 0


if __name__ == "__main__":
    sys.exit(main())
