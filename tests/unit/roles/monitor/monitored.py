# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan under watch, for tests: two carriers, and the log as a list."""

from __future__ import annotations

from siptrunk_monitor.watch import Watch

ACME1, ACME2, BETA = "198.18.1.21:5060", "198.18.1.22:5060", "198.18.1.31:5060"


def trunk(name, *addresses, **differs):
    targets = [{"id": "%s.%d" % (name, number), "host": "gw%d.%s.example" % (number, name), "address": address.partition(":")[0], "port": 5060}
               for number, address in enumerate(addresses, start=1)]
    return {"name": name, "carrier": name, "site": None, "transport": "udp", "max_channels": 0, "domain": None, "probe": {"interval": 10},
            "targets": targets, "registrations": [], **differs}


TRUNKS = [trunk("acme", ACME1, ACME2, registrations=[{"name": "acme"}]), trunk("beta", BETA, max_channels=2)]
ROUTES = [{"name": "nanp", "groups": [["acme"], ["beta"]]}]


class Log(list):
    def __call__(self, event, now, **fields):
        self.append({"at": now, "event": event, **fields})

    def of(self, event):
        return [{key: value for key, value in line.items() if key not in ("at", "event")} for line in self if line["event"] == event]


def watched(settings, saved=None, now=0.0):
    log = Log()
    watch = Watch(settings, log, saved)
    watch.adopt(TRUNKS, ROUTES, now)
    return watch, log


def attempt(trunk, target, outcome, verdict, call="c1", route="nanp"):
    return {"route": route, "trunk": trunk, "target": target, "code": outcome if outcome.isdigit() else "", "outcome": outcome, "ms": "12",
            "verdict": verdict, "call": call}


def answer(trunk, target, call="c1", route="nanp"):
    return {"route": route, "trunk": trunk, "target": target, "ms": "250", "call": call}


def found(probes=None, drained=None, registered="registered", channels=0, missing=()):
    """A look at the engine, as ``trunk.look`` returns it."""
    return {"missing": list(missing), "trunks": [{
        "name": item["name"], "drained": (drained or {}).get(item["name"]), "channels": channels,
        "registered": (registered == "registered") if item["registrations"] else None,
        "registrations": [{"name": own["name"], "trunk": item["name"], "state": registered} for own in item["registrations"]],
        "targets": [{**target, "probe": (probes or {}).get(target["id"], "alive"), "rtt_ms": 1.5} for target in item["targets"]],
    } for item in TRUNKS]}
