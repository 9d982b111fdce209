# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A carrier that changes its DNS, as the monitors of all engines see it."""

from __future__ import annotations

import contextlib

from harness import enter, wait_until
from watching import begin

ZONE = "acme.example.zone"
DRIFT = 'siptrunk_srv_drift{trunk="acme"}'


@contextlib.contextmanager
def without_gw2(lab):
    """acme's second target is in its DNS no more, and that is true for five seconds at a time."""
    lab.serve_zones(f"cp {ZONE} {ZONE}.kept; sed -i -e '/^_sip._udp.sip .*gw2/d' -e 's/^\\$TTL 60/$TTL 5/' {ZONE}")
    try:
        yield
    finally:
        lab.serve_zones(f"mv {ZONE}.kept {ZONE}")


def test_drift_is_noticed_and_its_end_when_the_ttl_is_over(systems):
    lab, monitors = systems[0][0], [begin(*system) for system in systems]
    since = [monitor.mark() for monitor in monitors]
    with without_gw2(lab):
        for monitor in monitors:
            enter(monitor.container, ["systemctl", "restart", "siptrunk-monitor"])
        for monitor, mark in zip(monitors, since, strict=True):
            drift = monitor.wait_for(mark, 20, "drift", trunk="acme", drifted=True)
            assert drift["answered"] == [f"{lab.addresses['acme1']}:5060"] and len(drift["deployed"]) == 2
            assert monitor.metrics()[DRIFT] == 1
    for monitor in monitors:
        wait_until(lambda monitor=monitor: monitor.metrics()[DRIFT] == 0, 45, "the end of the drift")
