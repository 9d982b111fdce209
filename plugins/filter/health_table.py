# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_table
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: A health report as a table
description:
  - Lays out what P(siptrunk.failover.health#filter) found, with the warnings and a summary below.
options:
  _input:
    description: The report.
    type: dict
    required: true
  rows:
    description: Which targets to show. V(auto) shows all unless there are more than 60, and then as V(unhealthy) those that are not well.
    type: str
    choices: [auto, all, unhealthy]
    default: auto
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ report | siptrunk.failover.health_table }}"
"""

RETURN = r"""
_value:
  description: Its lines.
  type: list
  elements: str
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.siptrunk.failover.plugins.plugin_utils.health import table
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain


def health_table(report, rows="auto"):
    """See plugin_utils/health.py."""
    try:
        return table(plain(report), rows)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"health_table": health_table}
