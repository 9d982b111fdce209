# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sbc_registrations
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The registrations, as Kamailio reads them
description:
  - A row of the table C(uacreg) for each registration. It holds the password; use it in tasks that hide their output.
options:
  _input:
    description: The plan.
    type: dict
    required: true
  secrets:
    description: Password by trunk name.
    type: dict
    required: true
  address:
    description: The address under which carriers reach the host.
    type: str
    required: true
  ports:
    description: Its port by transport.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who registers
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan | siptrunk.failover.sbc_registrations(secrets, '198.18.1.13', {'udp': 5060, 'tcp': 5060, 'tls': 5061}) | length }}"
"""

RETURN = r"""
_value:
  description: Lines.
  type: list
  elements: str
"""

from ansible_collections.siptrunk.failover.plugins.filter.sbc_dispatcher import authority, uri


def sbc_registrations(plan, secrets, address, ports):
    """The rows of Kamailio's table of registrations."""
    rows = []
    for trunk in plan["trunks"]:
        account, transport = trunk["account"], trunk["transport"]
        contact = f"{address}:{ports[transport]}" + ("" if transport == "udp" else f";transport={transport}")
        for at in trunk["registrations"]:
            domain = authority(trunk, at)
            values = (
                len(rows) + 1, at["name"], account["username"], trunk["from_domain"] or domain, account["username"], domain, account["realm"] or "",
                account["auth_username"], secrets[trunk["name"]], "", uri(trunk, at), 600, 0, 0,
                contact, "",
            )  # fmt: skip
            rows.append(":".join(_cell(value) for value in values))
    return rows


def _cell(value):
    return str(value).replace("\\", "\\\\").replace(":", "\\:").replace("\t", "\\t")


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"sbc_registrations": sbc_registrations}
