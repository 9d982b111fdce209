# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from datetime import datetime

import pytest
from engines import Asterisk
from harness import Lab, enter, wait_until
from watch import Watch

EVENTS = "/var/log/siptrunk/events.jsonl"


class Outage(Watch):
    """A lab's PBX, and the host that watches it."""

    def __init__(self):
        self.lab = Lab()
        super().__init__(self.lab.container("watch"))
        self.engine = Asterisk(self.lab.container("pbx"))

    def shell(self, script, host="watch", check=True):
        return enter(self.lab.container(host), ["sh", "-c", script], check=check)

    def firing(self, since, alert=None):
        """The messages since then that something began."""
        return [line for line in self.told(since) if line["status"] == "firing" and alert in (None, line["alert"])]

    def events(self, since, event):
        """The monitor's own log, {at, ...}, moments as seconds of the epoch."""
        found = [json.loads(line) for line in self.shell(f"cat {EVENTS}", "pbx").splitlines()]
        found = [{**line, "at": datetime.fromisoformat(line["at"]).timestamp()} for line in found if line["event"] == event]
        return [line for line in found if line["at"] >= since]

    def quiet(self):
        """Whether nothing fires, and everyone who was told of something was told of its end."""
        alerts = json.loads(self.shell("amtool --alertmanager.url=http://127.0.0.1:9093 alert query --output=json"))
        return not [alert for alert in alerts if alert["labels"]["alertname"] != "SiptrunkReturn"]

    def register(self):
        """Ask the carrier now, instead of in an hour."""
        self.engine.command("pjsip send register acme")


@pytest.fixture(scope="session")
def watch():
    return Outage()


@pytest.fixture
def well(watch):
    """The same when all is well, and nobody is told of anything."""
    watch.shell("systemctl start prometheus prometheus-alertmanager")
    watch.lab.thaw("acme1", "acme2")
    watch.lab.reset()
    watch.shell("systemctl stop siptrunk-monitor; rm -f /var/lib/siptrunk-monitor/state.json; systemctl start siptrunk-monitor", "pbx")
    watch.register()
    wait_until(lambda: all(watch.engine.reachable().values()), 60, "every target alive")
    watch.engine.forget()
    wait_until(watch.quiet, 120, "the end of all alerts", 2)
    return watch
