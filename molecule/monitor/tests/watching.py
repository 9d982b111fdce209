# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the monitor of a lab's PBX writes and measures."""

from __future__ import annotations

import json
import re

from harness import enter, wait_until

LOG = "/var/log/siptrunk/events.jsonl"
FETCH = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9560/metrics', timeout=5).read().decode())"


class Monitor:
    """The service on a container."""

    def __init__(self, container: str):
        self.container = container

    def forget(self) -> None:
        """Begin anew: what flapped in an earlier test is not held for longer in the next."""
        enter(self.container, ["sh", "-c", "systemctl stop siptrunk-monitor; rm -f /var/lib/siptrunk-monitor/state.json; systemctl start siptrunk-monitor"])

    def mark(self) -> int:
        """How long the log is now."""
        return int(enter(self.container, ["sh", "-c", f"wc -c < {LOG}"]))

    def events(self, since: int = 0, event: str | None = None, **fields: object) -> list[dict]:
        """The log's lines from that mark on, of one event, with these fields."""
        lines = enter(self.container, ["tail", "-c", f"+{since + 1}", LOG]).splitlines()
        found = [json.loads(line) for line in lines]
        return [line for line in found if event in (None, line["event"]) and all(line.get(key) == value for key, value in fields.items())]

    def wait_for(self, since: int, timeout: float, event: str, **fields: object) -> dict:
        """The first such line."""
        wait_until(lambda: self.events(since, event, **fields), timeout, f"{event} {fields}")
        return self.events(since, event, **fields)[0]

    def metrics(self) -> dict[str, float]:
        """By name with labels, as Prometheus gets them, labels in the order of their names."""
        text = enter(self.container, ["python3", "-c", FETCH])
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
        return {re.sub(r"\{(.*)\}", lambda match: "{%s}" % ",".join(sorted(match[1].split(","))), name): float(value) for name, value in rows}


def begin(lab, engine) -> Monitor:
    """The monitor of a PBX whose carriers all answer, and which knows it, and nothing else."""
    lab.reset()
    engine.drain()
    engine.forget()
    monitor = Monitor(engine.container)
    monitor.forget()
    well = ("siptrunk_up", "siptrunk_target_up", "siptrunk_registered", "siptrunk_engine_up")
    wait_until(lambda: all(value == 1 for name, value in monitor.metrics().items() if name.startswith(well)), 90, "every trunk up")
    return monitor
