# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two SBCs of the lab, what befalls them, and what callers see of it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from engines import Kamailio
from harness import CallResult, Lab, Message, by_call, call_result, enter, wait_until

HOSTS = ("sbc", "sbc2")
SIP = 5060

# `make soak` asks for so many times the calls, at so many times the rate.
LOAD = float(os.environ.get("SIPTRUNK_LOAD", "1"))

OUT_OF_SERVICE = "/var/lib/siptrunk/out-of-service"

WATCHED = "/run/siptrunk-watched"  # ends WATCH
# Prints [moment, whether the address is here, whether it is out of service, the process id of its Kamailio] whenever that changes, for some seconds.
WATCH = """
import json, os, socket, sys, time

def here():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        try:
            link.bind((sys.argv[1], 0))
        except OSError:
            return False
    return True

def pid():
    try:
        with open("/run/kamailio/kamailio.pid") as stream:
            return stream.read().strip()
    except OSError:
        return ""

ends, before = time.time() + float(sys.argv[3]), None
while time.time() < ends and not os.path.exists(sys.argv[4]):
    now = [here(), os.path.exists(sys.argv[2]), pid()]
    if now != before:
        print(json.dumps([time.time(), *now]), flush=True)
    before = now
    time.sleep(0.02)
"""

# Prints [state of each node, whether each relay answers, targets that do not, calls], asked in one go.
STATE = """
relays = ask("rtpengine.show", "all") or [{}]
targets = [target["DEST"] for found in (ask("dispatcher.list") or {}).get("RECORDS", []) for target in found["SET"]["TARGETS"]]
print(json.dumps([
    [node["status"] for node in ask("dmq.list_nodes") or []],
    [relay.get("active") for relay in (relays if isinstance(relays, list) else [relays])],
    [target["ATTRS"]["DUID"] for target in targets if target["FLAGS"].startswith(("I", "T"))],
    2 * int((ask("dlg.stats_active") or {}).get("all", 0)),  # both legs
]))
"""


class Seen(NamedTuple):
    """What WATCH prints."""

    moment: float
    here: bool
    out: bool
    pid: str


@dataclass
class Outcome:
    """One call of a load."""

    call: CallResult
    bye: int | None  # the answer to the caller's BYE

    @property
    def answered_at(self) -> float | None:
        return None if self.call.answered_pdd is None else self.call.started + self.call.answered_pdd


def assert_answered(seen: list[Outcome], calls: int) -> None:
    """All those calls were answered, and their BYEs too; otherwise the messages of the calls that were not."""
    others = {call.call.call_id: call.call.messages for call in seen if (call.call.code, call.bye) != (200, 200)}
    assert len(seen) == calls and not others, others


def assert_talked(record: dict, call: CallResult) -> None:
    """The talk time of the record is no shorter than the phone talked, and no longer than from its INVITE to the last it heard; in whole seconds."""
    heard = max(t for t, direction, _first in call.messages if direction == "rx")
    assert call.talk - 1.1 <= record["talk_seconds"] <= heard - call.started + 0.1, (record, call)


def assert_recorded(pair: Pair, seen: list[Outcome]) -> dict[str, list[tuple[str, dict]]]:
    """Each of these calls has one record, within ten seconds; otherwise the messages of those that have not. See `Pair.records`."""
    records: dict[str, list[tuple[str, dict]]] = {}

    def complete() -> bool:
        records.update(pair.records())
        return all(len(records.get(call.call.call_id, [])) == 1 for call in seen)

    with suppress(TimeoutError):
        wait_until(complete, 10, "the records")
    others = {call.call.call_id: call.call.messages for call in seen if len(records.get(call.call.call_id, [])) != 1}
    assert not others, {call_id: (records.get(call_id), messages) for call_id, messages in others.items()}
    return records


def outcome(messages: list[Message]) -> Outcome:
    answers = [message.code for message in messages if message.dir == "rx" and message.code and message.method == "BYE"]
    return Outcome(call_result(messages), answers[0] if answers else None)


class Pair:
    """Both of them. The phone calls their floating address."""

    def __init__(self) -> None:
        self.lab = Lab(pbx="floating")
        self.floating = self.lab.addresses["floating"]
        self.engines = {host: Kamailio(self.lab.container(host)) for host in HOSTS}

    def shell(self, host: str, script: str, check: bool = True) -> str:
        return enter(self.lab.container(host), ["sh", "-c", script], check=check)

    def each(self, function) -> dict:
        """{host: what function(host) returns}, at once, as an exec takes its time."""
        with ThreadPoolExecutor() as pool:
            return dict(zip(HOSTS, pool.map(function, HOSTS), strict=True))

    def holders(self) -> list[str]:
        """Who has the address."""
        found = self.each(lambda host: self.shell(host, f"ip -o -4 addr show to {self.floating}", check=False).strip())
        return [host for host, text in found.items() if text]

    def roles(self) -> tuple[str, str]:
        """(active, standby)"""
        (active,) = self.holders()
        return active, next(host for host in HOSTS if host != active)

    def watch(self, seconds: float) -> dict[str, list[Seen]]:
        """What happened to each host meanwhile."""
        self.each(lambda host: self.shell(host, f"rm -f {WATCHED}"))
        script = ["python3", "-c", WATCH, self.floating, OUT_OF_SERVICE, str(seconds), WATCHED]
        return self.each(lambda host: [Seen(*json.loads(line)) for line in enter(self.lab.container(host), script, check=False).splitlines()])

    def watch_no_more(self) -> None:
        """`watch` ends now."""
        self.each(lambda host: self.shell(host, f"touch {WATCHED}"))

    # --- faults; each returns its moment ---

    def do(self, host: str, script: str) -> float:
        """The moment at which a script on the host began."""
        return float(self.shell(host, f"date +%s.%N; {script} >/dev/null 2>&1").split()[0])

    def kill(self, host: str) -> float:
        """kill -9 of Kamailio, for good."""
        return self.do(host, "systemctl kill --signal KILL kamailio; systemctl stop kamailio")

    def crash(self, host: str) -> float:
        """kill -9 of Kamailio, which systemd starts again."""
        return self.do(host, "systemctl kill --signal KILL kamailio")

    def hang(self, host: str) -> float:
        """It stands still; its sockets stay."""
        return self.do(host, "systemctl kill --signal STOP kamailio")

    def power_off(self, host: str) -> float:
        """The host and all its addresses are gone."""
        began = time.time()
        self.lab.kill(host)
        return began

    def lose(self, host: str, rule: str, hook: str = "input") -> None:
        """What comes in, or goes out, and fits the nftables rule, until its ruleset is flushed."""
        chain = f"nft add table inet apart; nft add chain inet apart {hook} '{{ type filter hook {hook} priority 0; }}'"
        self.shell(host, f"{chain}; nft add rule inet apart {hook} {rule} drop")

    def mend(self) -> None:
        """Both run, whatever befell them."""
        for host in HOSTS:
            subprocess.run(["podman", "start", self.lab.container(host)], check=False, capture_output=True)
        wait_until(lambda: all(self.each(lambda host: self.shell(host, "systemctl is-active dbus", check=False).strip() == "active").values()), 30, "systemd")
        heal = (  # nothing is restarted that runs: that may move the address
            f"rm -f {OUT_OF_SERVICE}; nft flush ruleset; systemctl kill --signal CONT kamailio rtpengine-daemon; systemctl reset-failed;"
            " systemctl start rtpengine-daemon kamailio keepalived"
        )
        self.each(lambda host: self.shell(host, heal, check=False))

    def ills(self) -> dict[str, object]:
        """What is wrong with them, by host: one has the address, both know each other and reach all carriers, and no call is left."""

        def of(host: str) -> object:
            try:
                nodes, relays, silent, calls = json.loads(self.engines[host].script(STATE))
            except RuntimeError as error:  # nobody at the control socket yet
                return str(error)[-200:]
            ill = {"nodes": nodes.count("active") != len(HOSTS) and nodes, "relays": not all(relays) and relays, "silent": silent, "calls": calls}
            return {what: found for what, found in ill.items() if found}

        holders = self.holders()
        found = {"holders": len(holders) != 1 and holders, **self.each(of)}
        return {what: ill for what, ill in found.items() if ill not in (False, {})}

    def well(self) -> bool:
        return not self.ills()

    # --- what was seen ---

    def records(self) -> dict[str, list[tuple[str, dict]]]:
        """[(who wrote it, record)] by Call-ID."""
        found: dict[str, list[tuple[str, dict]]] = {}
        for host, records in self.each(lambda host: self.engines[host].records()).items():
            for record in records:
                found.setdefault(record["call"], []).append((host, record))
        return found

    def load(self, number: str, calls: int, rate: float, hold: float, gives_up: float = 32) -> list[Outcome]:
        """Calls, each of which is held for some seconds; a phone gives up by its timers B and F (RFC 3261)."""
        messages = self.lab.caller.sipp(number, hold, gives_up, calls / rate + hold + gives_up + 25, "1000", calls, rate, ends=32)
        return [outcome(call) for call in by_call(messages)]
