# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sbc_secrets
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The passwords of the trunks, as Kamailio's hunt reads them
description:
  - A Lua table of passwords by the names of their trunks. Use it in tasks that hide their output.
options:
  _input:
    description: The plan.
    type: dict
    required: true
  secrets:
    description: Password by trunk name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Count them
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan | siptrunk.failover.sbc_secrets(secrets) | length }}"
"""

RETURN = r"""
_value:
  description: A Lua table constructor.
  type: str
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils.lua import lua


def sbc_secrets(plan, secrets):
    """The text of the table."""
    return lua({trunk["name"]: secrets[trunk["name"]] for trunk in plan["trunks"] if trunk["account"]})


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"sbc_secrets": sbc_secrets}
