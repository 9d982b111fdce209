# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the contract's tests look into each engine. The only place of tests/contract/ that knows one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from harness import podman


@dataclass
class Asterisk:
    """An Asterisk that the role configured."""

    container: str
    config: str = "/etc/asterisk/siptrunk"
    records_file: str = "/var/log/asterisk/siptrunk-cdr.jsonl"

    def command(self, text: str) -> str:
        """What the command line interface answers."""
        return podman(self.container, ["asterisk", "-rx", text])

    def plan(self) -> dict:
        """The plan that was deployed."""
        return json.loads(podman(self.container, ["cat", f"{self.config}/plan.json"]))

    def records(self) -> list[dict]:
        """One record for each call so far."""
        return [json.loads(line) for line in podman(self.container, ["cat", self.records_file], check=False).splitlines()]

    def forget(self) -> None:
        """Forget which targets are cooling down, and that the operator's hook failed."""
        names = r"asterisk -rx 'dialplan show globals' | sed -n 's/^ *\(SIPTRUNK_[^=]*\)=.*/\1/p'"
        script = names + ' | while read -r name; do asterisk -rx "dialplan set global $name 0"; done'
        podman(self.container, ["sh", "-c", script])

    def reachable(self) -> dict[str, bool]:
        """By target id: what the probes say. Targets that are not probed count as reachable."""
        rows = re.findall(r"Contact: +(\S+?)/\S+ +\S+ +(\w+)", self.command("pjsip list contacts"))
        return {target: status != "Unavail" for target, status in rows}

    def drain(self, *trunks: str) -> None:
        """Take these trunks out, and no others."""
        self.command("database deltree siptrunk_drained")
        for trunk in trunks:
            self.command(f"database put siptrunk_drained {trunk} test")

    def active_calls(self) -> int:
        """Channels that are up now."""
        return int(self.command("core show channels count").split()[0])


# Cases of the contract that an engine cannot keep: {(engine, case name): reason}. Anything else that fails is a failure.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("asterisk", "503_with_retry_after"): "the dialplan cannot see a header of an answer that is not a 200",
    ("asterisk", "late_answer_after_the_bound_for_silence"): "timer B has ended the transaction: the 200 belongs to nothing any more (RFC 3261 "
    "section 17.1.1.2), and the carrier gives the call up for want of an ACK",
    ("asterisk", "wrong_credentials_with_fresh_nonces"): "pjsip answers up to 10 challenges that each bring a new nonce, within 0.2 s; no setting ends that",
}
# Asterisk before 22 has no bound of its own for 100: a trunk cannot have two seconds to ring, nor an attempt be abandoned that early.
EXCEPTIONS |= {("asterisk-16", name): reason for (engine, name), reason in EXCEPTIONS.items() if engine == "asterisk"}
EXCEPTIONS |= {
    ("asterisk-16", f"late_{what}_of_an_abandoned_attempt"): "no attempt is abandoned before the bound for silence" for what in ("ringing", "answer")
}

ENGINES = {name: lambda lab: Asterisk(lab.container("pbx")) for name in ("asterisk", "asterisk-16")}
