# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_window
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The time window of a report, out of what an operator asks for
description:
  - Moments are ISO 8601; without an offset they are UTC. What is wrong with a window that makes no sense is returned, for the playbook to say.
options:
  _input:
    description: What was asked for. Without V(from) and V(last) it is the last 24 hours before V(to), or before now.
    type: dict
    required: true
    suboptions:
      from:
        description: The beginning.
        type: str
      to:
        description: The end. By default now.
        type: str
      last:
        description: Instead of V(from), a number and C(s), C(m), C(h), C(d) or C(w), such as V(2h).
        type: str
"""

EXAMPLES = r"""
- name: Show the last two hours
  ansible.builtin.debug:
    msg: "{{ {'last': '2h'} | siptrunk.failover.report_window }}"
"""

RETURN = r"""
_value:
  description: The moments C(from) and C(to), as the logs write them; or C(problem), which names the variable that is wrong, and says what was expected.
  type: dict
"""

from datetime import UTC, datetime

from ansible_collections.siptrunk.failover.plugins.plugin_utils.report_window import WindowError, window


def report_window(asked):
    """`window` of now."""
    try:
        return window(datetime.now(UTC), asked.get("from"), asked.get("to"), asked.get("last"))
    except WindowError as error:
        return {"problem": str(error)}


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"report_window": report_window}
