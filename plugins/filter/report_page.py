# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_page
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: What happened to the trunks of all hosts in a time window, as one HTML page
description:
  - The page holds all that it needs. Everything from the logs is escaped; lines that are malformed are counted, and said.
options:
  _input:
    description: The hosts' results of M(siptrunk.failover.log_window), by the name of the host. One without V(events) could not be read.
    type: dict
    required: true
  window:
    description: The window, as P(siptrunk.failover.report_window#filter) gives it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the page
  ansible.builtin.copy:
    content: "{{ ({inventory_hostname: logged} | siptrunk.failover.report_page(window)).html }}"
    dest: report.html
    mode: "0600"
  vars:
    window: "{{ {'last': '2h'} | siptrunk.failover.report_window }}"
"""

RETURN = r"""
_value:
  description: The page as C(html), and C(summary), a list of lines for a terminal.
  type: dict
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain
from ansible_collections.siptrunk.failover.plugins.plugin_utils.report_page import page


def report_page(results, window):
    """`page` of the results of a task, by host."""
    gathered = []
    for name, result in plain(results).items():
        read = isinstance(result, dict) and "events" in result and "records" in result
        why = None if read else (result or {}).get("msg") or "it was not asked"
        gathered.append({"name": name, "why": why, **({"events": result["events"], "records": result["records"]} if read else {})})
    try:
        return page(plain(window), gathered)
    except (KeyError, ValueError) as error:
        raise AnsibleFilterError(f"these are no results of log_window: {error}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"report_page": report_page}
