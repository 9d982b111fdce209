# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: post-dial delay and detection, beside the classic guide's dialplan in the same run.

Figures of one run on one machine: compare the columns with each other, not with another machine's.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["SIPTRUNK_LAB"], os.environ["SIPTRUNK_LAB_NET"] = "bench", "22"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Caller, Lab, podman, wait_until  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
NUMBER = "0044123456"  # beta first, then acme: the primary has one target
CALLS = 15
console = Console(highlight=False)


def playbook(path: str) -> float:
    """Run a playbook on the bench's lab; the seconds it took."""
    began = time.monotonic()
    argv = ["ansible-playbook", "-i", "inventories/lab", "-i", str(HERE / "inventory.yml"), path]
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


def main() -> None:
    lab = Lab()
    try:
        console.print("[bold]The bench's own lab[/] (about two minutes)")
        playbook("lab/create.yml")
        playbook("lab/provision.yml")
        first, again = playbook("site.yml"), playbook("site.yml")
        old = classic(lab)
        wait_until(lambda: "Unavail" not in podman(lab.container("pbx"), ["asterisk", "-rx", "pjsip list contacts"]), 30, "all alive")
        table = measure(lab, old)
        down, back = detection(lab)
    finally:
        playbook("lab/destroy.yml")
    console.print()
    console.print(table)
    console.print(f"Detection by probe (every 4 s, time-out 2 s): dead after {down:.1f} s, back after {back:.1f} s")
    console.print(f"ansible-playbook site.yml: {first:.1f} s from nothing (packages included), {again:.1f} s when nothing changed")


if __name__ == "__main__":
    main()
