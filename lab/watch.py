# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's host with Prometheus and Alertmanager knows, and what it told lab/receiver.py."""

from __future__ import annotations

import json
from dataclasses import dataclass

from harness import enter

TOLD = "/var/lib/receiver/notifications.jsonl"


@dataclass
class Watch:
    """A host of inventories/lab-watch."""

    container: str

    def told(self, since: float = 0) -> list[dict]:
        """The messages since then, each of one alert, as Alertmanager has it: {status, labels, annotations, ...}; and {at, alert}: when, and its name."""
        lines = [json.loads(line) for line in enter(self.container, ["cat", TOLD], check=False).splitlines()]
        return [
            {**alert, "at": line["at"], "alert": alert["labels"]["alertname"]} for line in lines for alert in line["alerts"] if line["at"] >= since
        ]

    def ask(self, query: str) -> list[dict]:
        """What Prometheus answers to a query now."""
        return json.loads(enter(self.container, ["promtool", "query", "instant", "-o", "json", "http://127.0.0.1:9090", query]))
