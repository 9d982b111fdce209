# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: freeswitch_route
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: A route of the plan as the Lua table that FreeSWITCH's hunt reads
description:
  - All that a call needs to know, in the plan's own words - the route, its trunks in groups of one priority, their targets likewise,
    each target with its bounds and the name of its verdict table, and these tables, compacted.
options:
  _input:
    description: A route of the plan.
    type: dict
    required: true
  plan:
    description: The plan.
    type: dict
    required: true
  more:
    description: What the hunt is to know besides.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what a call of the first route reads
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan.routes[0] | siptrunk.failover.freeswitch_route(siptrunk_plan) }}"
"""

RETURN = r"""
_value:
  description: A Lua table constructor.
  type: str
"""

from ansible_collections.siptrunk.failover.plugins.filter.freeswitch_codec import freeswitch_codec
from ansible_collections.siptrunk.failover.plugins.plugin_utils.lua import lua, route_table


def freeswitch_route(route, plan, more=None):
    """The text of the table."""
    return lua(route_table(route, plan, more or {}, _of_trunk, _of_target))


def _of_trunk(trunk):
    return {
        "codecs": ":".join(map(freeswitch_codec, trunk["codecs"])),
        "shows_name": not (trunk["from_user"] or trunk["caller_id"]),
        "asserted": trunk["identity"]["asserted"],
        "leg": trunk["options"].get("leg", {}),
    }


def _of_target(trunk, target):
    """The domain of the identity for a carrier that is trusted with it."""
    return {} if trunk["identity"]["asserted"] == "none" else {"identity_host": trunk["from_domain"] or target["host"]}


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"freeswitch_route": freeswitch_route}
