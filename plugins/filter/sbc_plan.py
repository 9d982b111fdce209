# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sbc_plan
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The plan as the Lua table that Kamailio's hunt reads
description:
  - Routes with their trunks, targets, bounds and verdicts, the patterns of numbers, the addresses that may call in, the accounts, and the names that a
    carrier must prove over TLS.
  - Passwords stand in a file of their own (P(siptrunk.failover.sbc_secrets#filter)).
options:
  _input:
    description: The plan.
    type: dict
    required: true
  more:
    description: What the hunt is to know besides.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what Kamailio reads
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan | siptrunk.failover.sbc_plan }}"
"""

RETURN = r"""
_value:
  description: A Lua table constructor.
  type: str
"""

from ansible_collections.siptrunk.failover.plugins.filter.sbc_dispatcher import authority, sets, uri
from ansible_collections.siptrunk.failover.plugins.plugin_utils.lua import lua, route_table


def sbc_plan(plan, more=None):
    """The text of the table."""
    numbers = sets(plan)

    def login(trunk):
        account = trunk["account"]
        return {"user": account["auth_username"], "realm": account["realm"] or ""} if account else {}

    def of_trunk(trunk):
        return {
            "login": login(trunk),
            "asserted": trunk["identity"]["asserted"],
            "from_user": trunk["from_user"] or "",
            "from_domain": trunk["from_domain"] or "",
            "transport": trunk["transport"],
        }

    def of_target(trunk, target):
        host = trunk["domain"] or target["host"]
        return {"set": numbers.get(target["id"], 0), "authority": authority(trunk, target), "uri": uri(trunk, target), "host": host}

    over_tls = [(trunk, target) for trunk in plan["trunks"] for target in trunk["targets"] if trunk["transport"] == "tls"]
    peers = {}
    for trunk, target in over_tls:
        peer = {"authority": authority(trunk, target).partition(":")[0].lower(), "names": target["proves"], "wildcard": trunk["tls"]["wildcard"]}
        known = peers.setdefault(f"{target['address']}_{target['port']}", [])
        if peer not in known:
            known.append(peer)
    trunks = {
        trunk["name"]: {
            "name": trunk["name"],
            "login": login(trunk),
            "caller_id": trunk["caller_id"] or "",
            "from_user": trunk["from_user"] or "",
            "from_domain": trunk["from_domain"] or "",
            "addresses": sorted({target["address"] for target in trunk["targets"]}),
            "wildcard": trunk["tls"]["wildcard"],
            "proves": {target["id"]: target["proves"] for target in trunk["targets"] if target["proves"]},
        }
        for trunk in plan["trunks"]
    }

    return lua({
        **(more or {}),
        "numbers": [{"pattern": number["regex"].replace("\\", "%"), "route": number["route"]} for number in plan["numbers"]],
        "registrations": {registration["name"]: trunk["name"] for trunk in plan["trunks"] for registration in trunk["registrations"]},
        "inbound": [{"name": t["name"], "context": t["inbound"]["context"] or "", "from": t["inbound"]["from"]} for t in plan["trunks"]],
        "tls": peers,
        "trunks": trunks,
        "routes": {route["name"]: route_table(route, plan, {}, of_trunk, of_target) for route in plan["routes"]},
    })


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"sbc_plan": sbc_plan}
