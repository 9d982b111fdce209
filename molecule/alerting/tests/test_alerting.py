# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told when the primary breaks under traffic, by a real Prometheus and Alertmanager."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import datetime

from harness import wait_until

NUMBER = "12125550100"  # acme, then beta
REFUSING = {host: {"invite": {"do": "code", "code": 503}, "register": 403} for host in ("acme1", "acme2")}
WITHIN = 60  # seconds, from the event to the message


class Traffic(threading.Thread):
    """Calls, one each second, beside the test."""

    def __init__(self, watch, calls):
        super().__init__()
        self.watch, self.calls = watch, calls
        self.start()

    def run(self):
        self.result = self.watch.lab.caller.load(NUMBER, self.calls, 1, hold=0.3)

    def codes(self):
        self.join()
        return self.result.codes


def wait_for(watch, since, alert, **labels):
    """The message that something began."""

    def found():
        return [line for line in watch.firing(since, alert) if labels.items() <= line["labels"].items()]

    wait_until(found, WITHIN, f"the message {alert}", 1)
    return found()[0]


def end_of_outage(watch, since):
    watch.lab.reset()
    watch.register()
    wait_until(lambda: watch.events(since, "return"), 90, "the return to the primary", 1)


def test_four_messages_of_an_outage_each_once(well):
    """Registration lost, calls fail one after the other, a backup in use, the primary again."""
    broken = time.time()
    traffic = Traffic(well, 65)
    well.lab.tell(REFUSING)
    well.register()
    lost = wait_for(well, broken, "SiptrunkRegistrationLost", trunk="acme", instance="pbx")
    burst = wait_for(well, broken, "SiptrunkFailureBurst", trunk="acme", instance="pbx")
    failover = wait_for(well, broken, "SiptrunkFailover", route="nanp", trunk="beta", instance="pbx")
    assert max(line["at"] for line in (lost, burst, failover)) - broken < WITHIN
    assert failover["annotations"]["summary"] == "pbx: calls of route nanp go through the backup beta"
    end_of_outage(well, broken)
    back = wait_for(well, broken, "SiptrunkReturn", route="nanp", instance="pbx")
    assert back["at"] - well.events(broken, "return")[0]["at"] < WITHIN
    assert back["annotations"]["summary"] == "pbx: calls of route nanp are back on the primary"
    assert traffic.codes() == Counter({200: 65})

    def ended():
        return Counter(line["alert"] for line in well.told(broken) if line["status"] == "resolved")

    wait_until(lambda: len(ended()) == len(well.firing(broken)) - 1, 90, "the ends of all but the return, which has none", 2)
    began = Counter(line["alert"] for line in well.firing(broken))
    four = ("SiptrunkRegistrationLost", "SiptrunkFailureBurst", "SiptrunkFailover", "SiptrunkReturn")
    assert {name: began.pop(name) for name in four} == dict.fromkeys(four, 1)
    assert began in ({}, {"SiptrunkTrunkDown": 1})
    assert ended() == {**dict.fromkeys(four[:3], 1), **began}
    for event, line in (("registration", lost), ("burst", burst), ("failover", failover), ("return", back)):
        known = well.events(broken, event)[0]["at"]
        print(f"{event}: told {line['at'] - known:.1f} s after it was known, {line['at'] - broken:.1f} s after the primary broke")
    for line in well.told(broken):
        assert "no value" not in str(line["annotations"]) and "error expanding" not in str(line["annotations"])
        assert len(line["annotations"]["description"]) > 80


def test_a_primary_that_flaps_is_no_storm(well):
    began = time.time()
    traffic = Traffic(well, 45)
    while time.time() < began + 36:
        well.lab.tell(REFUSING)
        time.sleep(4)
        well.lab.reset()
        time.sleep(4)
    assert traffic.codes() == Counter({200: 45})
    time.sleep(12)  # what is still on its way
    told = Counter(line["alert"] for line in well.firing(began))
    assert told["SiptrunkFailureBurst"] == 1
    assert 1 <= told["SiptrunkFailover"] <= len(well.events(began, "failover")) <= 4
    assert told["SiptrunkReturn"] <= len(well.events(began, "return")) <= 4
    assert max(count for alert, count in told.items() if alert not in ("SiptrunkFailover", "SiptrunkReturn")) == 1


def test_a_monitor_that_is_killed_in_an_outage_costs_no_call(well):
    well.lab.freeze("acme1", "acme2")
    wait_until(lambda: well.events(time.time() - 30, "health"), 40, "the outage")
    began = time.time()
    well.shell("systemctl kill --signal KILL siptrunk-monitor; systemctl stop siptrunk-monitor", "pbx")
    traffic = Traffic(well, 20)
    gone = wait_for(well, began, "SiptrunkMonitorGone", instance="pbx")
    assert gone["annotations"]["summary"] == "pbx: nobody watches its trunks, and the host may be down"
    assert traffic.codes() == Counter({200: 20})


def test_prometheus_away_in_an_outage_loses_no_message(well):
    began = time.time()
    well.shell("systemctl stop prometheus")
    traffic = Traffic(well, 12)
    well.lab.tell(REFUSING)
    well.register()
    wait_until(lambda: well.events(began, "failover"), 30, "the failover", 1)
    assert traffic.codes() == Counter({200: 12})
    well.shell("systemctl start prometheus")
    for alert in ("SiptrunkRegistrationLost", "SiptrunkFailureBurst", "SiptrunkFailover"):
        wait_for(well, began, alert)

    well.shell("systemctl restart prometheus")  # in the middle of it
    time.sleep(15)  # it looks, and tells, anew
    told = Counter((line["alert"], line["status"]) for line in well.told(began) if datetime.fromisoformat(line["startsAt"]).timestamp() >= began)
    assert [told["SiptrunkRegistrationLost", status] for status in ("firing", "resolved")] == [1, 0]
    assert [told["SiptrunkFailover", status] for status in ("firing", "resolved")] == [1, 0]

    well.shell("systemctl stop prometheus")
    traffic = Traffic(well, 40)
    end_of_outage(well, began)
    well.shell("systemctl start prometheus")
    wait_for(well, began, "SiptrunkReturn")
    assert traffic.codes() == Counter({200: 40})
