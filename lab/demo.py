# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make lab`: bring the lab up, break the primary carrier, and show what became of the calls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from engines import Asterisk, FreeSwitch
from harness import CallResult, Lab, wait_until
from rich.console import Console
from rich.table import Table
from watch import Watch

REPO = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("SIPTRUNK_CACHE", REPO / ".cache"))
LOG = CACHE / "lab.log"
NO_FREESWITCH = CACHE / "image-freeswitch.missing"  # lab/setup says there why
NUMBER = "12125550100"
PRIMARY = ("acme1", "acme2")
console = Console(highlight=False)


class PhoneSystem:
    """A phone system of the lab, its caller, and the table of what the caller noticed."""

    def __init__(self, engine: type[Asterisk | FreeSwitch], port: int) -> None:
        self.lab = Lab(pbx=engine.host)
        self.lab.caller.port = port
        self.engine = engine(self.lab.container(engine.host))
        self.name = engine.name
        self.lost = 0
        self.table = Table(title=f"What the caller noticed: {self.name}", title_style="bold", header_style="bold")
        for name in ("", "call", "told", "post-dial delay", "went out through", "asked on the way"):
            self.table.add_column(name, justify="right" if name in ("told", "post-dial delay") else "left")

    def well(self) -> bool:
        """Whether the probes find every target alive."""
        return all(self.engine.reachable().values())

    def calls(self, phase: str, count: int) -> None:
        """Place calls, one after the other, and add them to the table."""
        for number in range(1, count + 1):
            known = len(self.engine.records())
            seen = self.lab.caller.call(NUMBER)
            wait_until(lambda known=known: len(self.engine.records()) > known, 10, "the record of the call")
            record = self.engine.records()[-1]
            self.lost += seen.code != 200
            row = describe(seen, record, self.lab)
            console.print(f"  {phase:7}call {number} by {self.name}: {seen.code} after {row[1]}, through {record['trunk'] or 'nobody'}")
            self.table.add_row(phase if number == 1 else "", str(number), *row, end_section=number == count)


def main() -> int:
    systems = [PhoneSystem(Asterisk, 5060)]
    if not NO_FREESWITCH.exists():
        systems.append(PhoneSystem(FreeSwitch, 5070))
    lab = systems[0].lab
    watch = Watch(lab.container("watch"))
    LOG.write_text("", encoding="utf-8")
    names = " and ".join(system.name for system in systems)
    console.print(f"\n[bold]{names} with two carriers.[/] acme is the primary (two servers, found by DNS SRV), beta the backup.\n")
    step(f"containers: {names}, carriers, name server, phone, and one that watches", lambda: playbook("lab/create.yml", systems))
    lab.thaw(*PRIMARY)
    step("carriers, DNS zones, the operator's own files", lambda: playbook("lab/provision.yml", systems))
    step("[bold]ansible-playbook site.yml[/]", lambda: playbook("site.yml", systems))
    lab.reset()
    step("the probes find every carrier alive", lambda: wait_until(lambda: all(s.well() for s in systems), 60, "every target alive"))

    try:
        began = time.time()
        calls(systems, "before", 2)
        step("[bold red]power cut at acme[/]: both its servers stop", lambda: lab.freeze(*PRIMARY))
        calls(systems, "outage", 4)
    finally:
        step("[bold green]acme is back[/]", lambda: lab.thaw(*PRIMARY))
    took = step("the probes find it alive", lambda: wait_until(lambda: all(s.well() for s in systems), 60, "acme alive again"))
    took += step(
        "it has cooled down (cool_down: 30 s after it was silent)",
        lambda: wait_until(lambda: not any(s.engine.cooling() for s in systems), 60, "acme cooled down"),
    )
    took += step("the monitor trusts it again", lambda: wait_until(lambda: watch.ask("siptrunk_up == 0") == [], 60, "acme trusted again", 1))
    calls(systems, "after", 2)
    step("the message that it is in use again", lambda: wait_until(lambda: back_again(watch, began) == len(systems), 60, "the last message", 1))

    for system in systems:
        console.print()
        console.print(system.table)
    console.print()
    console.print(messages(watch, began))
    lost = sum(system.lost for system in systems)
    verdict = "[bold green]No call was lost.[/]" if not lost else f"[bold red]{lost} calls were lost.[/]"
    console.print(f"\n{verdict} The first call of the outage waited for silence; after that nobody noticed.")
    console.print(f"acme was in use again {took:.0f} s after it came back.\n")
    console.print("[dim]The lab stays up. Try:[/]")
    for command, what in (hint for system in systems for hint in HINTS[system.name]):
        console.print(f"  {command}  [dim]{what}[/]", soft_wrap=True)
    for command, what in HINTS["everywhere"]:
        console.print(f"  {command.format(inventories=' '.join(inventories(systems)))}  [dim]{what}[/]", soft_wrap=True)
    console.print()
    if NO_FREESWITCH.exists():
        why = NO_FREESWITCH.read_text(encoding="utf-8").strip()
        console.print(f"[yellow]FreeSWITCH was skipped[/]: {why}.\n", soft_wrap=True)
    return 1 if lost else 0


def back_again(watch: Watch, since: float) -> int:
    """How many phone systems told that they use their primary again."""
    return len({line["labels"]["instance"] for line in watch.told(since) if line["alert"] == "SiptrunkReturn"})


def messages(watch: Watch, since: float) -> Table:
    """What Alertmanager sent since then to whom it should tell."""
    table = Table(title="Who is on call was told", title_style="bold", header_style="bold")
    for name in ("at", "alert", "what it says"):
        table.add_column(name)
    for line in watch.told(since):
        if line["status"] == "firing":
            table.add_row(datetime.fromtimestamp(line["at"]).strftime("%H:%M:%S"), line["alert"], line["annotations"]["summary"])
    return table


HINTS = {
    "Asterisk": (
        ("lab/run podman exec siptrunk-lab-pbx asterisk -rx 'pjsip show contacts'", "what the probes of Asterisk see"),
        ("lab/run podman exec siptrunk-lab-pbx tail -n 3 /var/log/asterisk/siptrunk-cdr.jsonl", "the record of its last calls"),
    ),
    "FreeSWITCH": (
        ("lab/run podman exec siptrunk-lab-fs fs sofia xmlstatus gateway acme.1.probe", "what a probe of FreeSWITCH sees"),
        (f"lab/run podman exec siptrunk-lab-fs tail -n 3 {FreeSwitch.records_file}", "the record of its last calls"),
    ),
    "everywhere": (
        ("lab/run podman exec siptrunk-lab-watch amtool --alertmanager.url=http://127.0.0.1:9093 alert", "what is wrong now"),
        ("lab/run podman pause siptrunk-lab-acme1", "break one server; then run make lab again"),
        ("lab/run ansible-playbook {inventories} site.yml --check --diff", "change the model first: inventories/lab/group_vars/siptrunk_pbx.yml"),
        ("make lab-down", "remove every trace"),
    ),
}


def step(what: str, action) -> float:
    """Run `action` under a spinner; the seconds it took."""
    began = time.monotonic()
    with console.status(what):
        action()
    took = time.monotonic() - began
    console.print(f"[green]✓[/] {what} [dim]{took:.1f} s[/]")
    return took


def inventories(systems: Iterable[PhoneSystem]) -> list[str]:
    """Options of ansible-playbook."""
    folders = ["lab", "lab-watch"] + (["lab-freeswitch"] if any(s.name == FreeSwitch.name for s in systems) else [])
    return [part for folder in folders for part in ("-i", f"inventories/{folder}")]


def playbook(path: str, systems: Iterable[PhoneSystem]) -> None:
    argv = ["ansible-playbook", *inventories(systems), path]
    with LOG.open("a", encoding="utf-8") as log:
        done = subprocess.run(argv, cwd=REPO, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        console.print("\n".join(LOG.read_text(encoding="utf-8").splitlines()[-30:]), markup=False)
        sys.exit(f"ansible-playbook {path} failed; the whole log is {LOG}")


def calls(systems: list[PhoneSystem], phase: str, count: int) -> None:
    """The same calls by every phone system, at the same time: they meet the same outage."""
    with console.status(f"calls {phase}"), ThreadPoolExecutor() as pool:
        list(pool.map(lambda system: system.calls(phase, count), systems))


def describe(seen: CallResult, record: dict, lab: Lab) -> tuple[str, str, str, str]:
    """told, post-dial delay, went out through, asked on the way"""
    colour = "green" if seen.code == 200 else "red"
    delay = "-" if seen.pdd is None else f"{seen.pdd * 1000:.0f} ms" if seen.pdd < 1 else f"[yellow]{seen.pdd:.2f} s[/]"
    asked = [f"{lab.host_of(a['target'])} {a['code'] or a['reason']} ({a['ms'] / 1000:.1f} s)" for a in record["attempts"][:-1]]
    through = f"{record['trunk']} [dim]({lab.host_of(record['target'])})[/]"
    return f"[{colour}]{seen.code}[/]", delay, through, "\n".join(asked) or "[dim]nobody[/]"


if __name__ == "__main__":
    sys.exit(main())
