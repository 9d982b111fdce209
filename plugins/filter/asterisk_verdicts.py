# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: asterisk_verdicts
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: A verdict table of the plan as few extensions
description:
  - Asterisk looks up the verdict of a SIP code as it looks up a number. Each class of codes (3xx to 6xx) becomes one
    pattern with its commonest verdict, and each code that differs an extension of its own, which wins.
options:
  _input:
    description: A table of C(siptrunk_plan.verdicts).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the table
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan.verdicts['table-1'] | siptrunk.failover.asterisk_verdicts }}"
"""

RETURN = r"""
_value:
  description: Pairs of extension and verdict.
  type: list
  elements: list
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils.verdicts import compact


def asterisk_verdicts(table):
    """Pairs [extension, verdict]: named outcomes, then per class its pattern and its exceptions."""
    return [[f"_{outcome}" if outcome.endswith("XX") else outcome, verdict] for outcome, verdict in compact(table)]


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"asterisk_verdicts": asterisk_verdicts}
