# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make lab`: bring the lab up, break the primary carrier, and show what became of the calls."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from harness import CallResult, Lab, podman, wait_until
from rich.console import Console
from rich.table import Table

REPO = Path(__file__).resolve().parents[1]
LOG = REPO / ".cache" / "lab.log"
NUMBER = "12125550100"
PRIMARY = ("acme1", "acme2")
console = Console(highlight=False)


def main() -> int:
    lab = Lab()
    LOG.write_text("", encoding="utf-8")
    console.print("\n[bold]A phone system with two carriers.[/] acme is the primary (two servers, found by DNS SRV), beta the backup.\n")
    step("containers: PBX, carriers, name server, phone", lambda: playbook("lab/create.yml"))
    lab.thaw(*PRIMARY)
    step("carriers, DNS zones, the operator's own files", lambda: playbook("lab/provision.yml"))
    step("[bold]ansible-playbook site.yml[/]", lambda: playbook("site.yml"))
    lab.reset()
    step("the probes find every carrier alive", lambda: wait_until(lambda: all_alive(lab), 60, "every target alive"))

    table = Table(title="What the caller noticed", title_style="bold", header_style="bold", row_styles=[""])
    for name in ("", "call", "told", "post-dial delay", "went out through", "asked on the way"):
        table.add_column(name, justify="right" if name in ("told", "post-dial delay") else "left")
    lost = 0
    try:
        lost += calls(lab, table, "before", 2)
        step("[bold red]power cut at acme[/]: both its servers stop", lambda: lab.freeze(*PRIMARY))
        lost += calls(lab, table, "outage", 4)
    finally:
        step("[bold green]acme is back[/]", lambda: lab.thaw(*PRIMARY))
    took = step("the probes find it alive", lambda: wait_until(lambda: all_alive(lab), 60, "acme alive again"))
    took += step("it has cooled down (cool_down: 30 s after it was silent)", lambda: wait_until(lambda: not cooling(lab), 60, "acme cooled down"))
    lost += calls(lab, table, "after", 2)

    console.print()
    console.print(table)
    verdict = "[bold green]No call was lost.[/]" if not lost else f"[bold red]{lost} calls were lost.[/]"
    took_text = f"acme was in use again {took:.0f} s after it came back."
    console.print(f"\n{verdict} The first call of the outage waited for silence; after that nobody noticed. {took_text}\n")
    console.print("[dim]The lab stays up. Try:[/]")
    for command, what in HINTS:
        console.print(f"  {command}  [dim]{what}[/]", soft_wrap=True)
    console.print()
    return 1 if lost else 0


HINTS = (
    ("lab/run podman exec siptrunk-lab-pbx asterisk -rx 'pjsip show contacts'", "what the probes see"),
    ("lab/run podman exec siptrunk-lab-pbx tail -n 3 /var/log/asterisk/siptrunk-cdr.jsonl", "the record of the last calls"),
    ("lab/run podman pause siptrunk-lab-acme1", "break one server; then run make lab again"),
    ("lab/run ansible-playbook -i inventories/lab site.yml --check --diff", "change the model first: inventories/lab/group_vars"),
    ("make lab-down", "remove every trace"),
)


def step(what: str, action) -> float:
    """Run `action` under a spinner; the seconds it took."""
    began = time.monotonic()
    with console.status(what):
        action()
    took = time.monotonic() - began
    console.print(f"[green]✓[/] {what} [dim]{took:.1f} s[/]")
    return took


def playbook(path: str) -> None:
    with LOG.open("a", encoding="utf-8") as log:
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventories/lab", path], cwd=REPO, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        )
    if done.returncode:
        console.print("\n".join(LOG.read_text(encoding="utf-8").splitlines()[-30:]), markup=False)
        sys.exit(f"ansible-playbook {path} failed; the whole log is {LOG.relative_to(REPO)}")


def all_alive(lab: Lab) -> bool:
    return "Unavail" not in podman(lab.container("pbx"), ["asterisk", "-rx", "pjsip list contacts"])


def cooling(lab: Lab) -> bool:
    """Whether a target that was silent is still passed over."""
    said = podman(lab.container("pbx"), ["asterisk", "-rx", "dialplan show globals"])
    return any(int(until) > time.time() for until in re.findall(r"SIPTRUNK_COOL_\S+=(\d+)", said))


def records(lab: Lab) -> list[dict]:
    return [json.loads(line) for line in podman(lab.container("pbx"), ["cat", "/var/log/asterisk/siptrunk-cdr.jsonl"], check=False).splitlines()]


def calls(lab: Lab, table: Table, phase: str, count: int) -> int:
    """Place calls and add them to the table; how many were lost."""
    lost = 0
    for number in range(1, count + 1):
        known = len(records(lab))
        with console.status(f"call {number} {phase}"):
            seen = lab.caller.call(NUMBER)
            wait_until(lambda known=known: len(records(lab)) > known, 10, "the record of the call")
        record = records(lab)[-1]
        lost += seen.code != 200
        row = describe(seen, record, lab)
        console.print(f"  {phase:7} call {number}: {seen.code} after {row[1]}, through {record['trunk']}")
        table.add_row(phase if number == 1 else "", str(number), *row, end_section=number == count)
    return lost


def describe(seen: CallResult, record: dict, lab: Lab) -> tuple[str, str, str, str]:
    colour = "green" if seen.code == 200 else "red"
    delay = "-" if seen.pdd is None else f"{seen.pdd * 1000:.0f} ms" if seen.pdd < 1 else f"[yellow]{seen.pdd:.2f} s[/]"
    asked = [f"{lab.host_of(a['target'])} {a['code'] or a['reason']} ({a['ms'] / 1000:.1f} s)" for a in record["attempts"][:-1]]
    through = f"{record['trunk']} [dim]({lab.host_of(record['target'])})[/]"
    return f"[{colour}]{seen.code}[/]", delay, through, ", ".join(asked) or "[dim]nobody[/]"


if __name__ == "__main__":
    sys.exit(main())
