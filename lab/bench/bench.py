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
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import converge  # noqa: E402
import load  # noqa: E402
from harness import Caller, Lab, podman, wait_until  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
SPEC = REPO / "roles/plan/meta/argument_specs.yml"
NUMBER = "0044123456"  # beta first, then acme: the primary has one target
CALLS = 15
console = Console(highlight=False)


def playbook(path: str, *options: str) -> float:
    """Run a playbook on the bench's lab; the seconds it took."""
    began = time.monotonic()
    argv = ["ansible-playbook", "-i", "inventories/lab", "-i", str(HERE / "inventory.yml"), path, *options]
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout[-3000:]}\nansible-playbook {path} failed")
    return time.monotonic() - began


def classic(lab: Lab) -> Caller:
    """Set up the classic PBX; a caller that uses it."""
    container = lab.container("classic")
    podman(container, ["apt-get", "install", "-y", "asterisk"])
    for name in ("pjsip.conf", "extensions.conf"):
        podman(container, ["sh", "-c", f"cat > /etc/asterisk/{name}"], (HERE / name).read_text(encoding="utf-8"))
    podman(container, ["systemctl", "restart", "asterisk"])
    wait_until(lambda: "backup-trunk" in podman(container, ["asterisk", "-rx", "pjsip list endpoints"], check=False), 30, "the classic PBX")
    return Caller(lab.container("caller"), f"{lab.net}.91", f"{lab.net}.12")


def delays(caller: Caller, count: int, before=lambda: None) -> list[float]:
    """Post-dial delays in milliseconds of `count` calls, one after the other; all must be answered."""
    found = []
    for _number in range(count):
        before()
        seen = caller.call(NUMBER, hold=0.1, timeout=90)
        if seen.code != 200 or seen.pdd is None:
            sys.exit(f"a call failed with {seen.code}: there is nothing to measure")
        found.append(seen.pdd * 1000)
    return found


def forget(lab: Lab) -> None:
    """Forget which targets are cooling down."""
    pbx = lab.container("pbx")
    for name in re.findall(r"(SIPTRUNK_COOL_[^=\s]+)=", podman(pbx, ["asterisk", "-rx", "dialplan show globals"])):
        podman(pbx, ["asterisk", "-rx", f"dialplan set global {name} 0"])


def measure(lab: Lab, old: Caller) -> Table:
    table = Table(title="Post-dial delay, ms: median (least to most) of n calls", title_style="bold")
    for name in ("", "siptrunk.failover", "added", "classic guide", "added"):
        table.add_column(name, justify="left" if not name else "right")
    direct: dict[str, float] = {}

    def row(what: str, ours: list[float], theirs: list[float]) -> None:
        cells = [what]
        for who, figures in (("ours", ours), ("theirs", theirs)):
            median = statistics.median(figures)
            base = direct.setdefault(who, median)
            cells += [f"{median:,.1f} ({min(figures):,.1f} to {max(figures):,.1f}), n={len(figures)}", f"{median - base:+,.1f}"]
        table.add_row(*cells)
        console.print(f"  {what}: {cells[1]}; classic {cells[3]}")

    beta = lab.carriers["beta1"]
    lab.reset()
    delays(lab.caller, 3), delays(old, 3)  # warm
    row("both carriers well", delays(lab.caller, CALLS), delays(old, CALLS))
    beta.tell(invite={"do": "code", "code": 503})
    row("primary says 503", delays(lab.caller, CALLS), delays(old, CALLS))
    beta.tell(invite={"do": "silent"})  # its OPTIONS are still answered: only the call finds out
    row("primary silent, first call", delays(lab.caller, 3, before=lambda: forget(lab)), delays(old, 1))
    delays(lab.caller, 1)  # the classic PBX took longer than the cool-down: find out anew
    row("primary silent, next call", delays(lab.caller, 8), delays(old, 1))  # within its cool-down
    lab.reset()
    return table


def detection(lab: Lab) -> tuple[float, float]:
    """Seconds until the probes notice that the primary is dead, and that it is back."""

    def alive() -> bool:
        return "beta.1" not in re.findall(r"Contact: +(\S+?)/.*Unavail", podman(lab.container("pbx"), ["asterisk", "-rx", "pjsip list contacts"]))

    lab.carriers["beta1"].tell(silent=True)
    down = wait_until(lambda: not alive(), 30, "the probes notice")
    lab.reset()
    return down, wait_until(alive, 30, "the probes notice that it is back")


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


def main() -> None:
    with bench_lab() as lab:
        old = classic(lab)

        def rest() -> None:
            lab.reset()
            wait_until(lambda: "Unavail" not in podman(lab.container("pbx"), ["asterisk", "-rx", "pjsip list contacts"]), 30, "all alive")
            forget(lab)

        rest()
        found = [measure(lab, old)]
        down, back = detection(lab)
        found.append(f"Detection by probe (every 4 s, time-out 2 s): dead after {down:.1f} s, back after {back:.1f} s")
        console.print("Calls under load (five minutes)")
        found.append(load.lost(lab, lab.caller, old, rest))
        rest()
        found.append(load.full_minute(lab, lab.caller, lab.container("pbx")))
        console.print("Deployments and look-ups (three minutes)")
        found.append(converge.converge(playbook))
        found.append(f"The compiler alone, 1,000 trunks and 200 routes: {converge.compile_seconds(str(SPEC)):.2f} s")
        found.append(converge.look_ups(playbook))
    for item in found:
        console.print()
        console.print(item)


if __name__ == "__main__":
    main()
