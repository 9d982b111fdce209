# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for tests, as far as ``trunk_info`` reads them."""

from __future__ import annotations


def captured_plan(address="127.0.0.1"):
    """The plan of the phone systems whose answers were captured, which lack its trunk ``gone``."""

    def trunk(name, ports, **differs):
        targets = [{"id": "%s.%d" % (name, number), "host": "sip.%s.example" % name, "address": address, "port": port}
                   for number, port in enumerate(ports, start=1)]
        return {"name": name, "carrier": None, "site": None, "transport": "udp", "max_channels": 0, "probe": {"interval": 10},
                "targets": targets, "registrations": [], **differs}

    return {"trunks": [
        trunk("acme-east", [5070, 5071], carrier="acme", site="nyc1", max_channels=2, registrations=[{"name": "acme-east"}]),
        trunk("beta", [5072], probe={"interval": 0}),
        trunk("delta", [5071], registrations=[{"name": "delta"}]),
        trunk("gone", [5070]),
    ]}


def one_trunk(**differs):
    """The one trunk of a plan, ``a`` with the target ``a.1``, which does not register."""
    return [{**captured_plan()["trunks"][3], "name": "a",
             "targets": [{"id": "a.1", "host": "h.example", "address": "127.0.0.1", "port": 5070}], **differs}]
