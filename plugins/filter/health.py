# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: Judge the health of hosts from what the modules said of them
description:
  - Joins what modules said of each host into one report. A problem makes it unhealthy; a warning, such as a drained trunk, does not.
  - The playbook C(siptrunk.failover.verify) is its user.
options:
  _input:
    description:
      - Lists with an entry for each host - C(hosts) with their names, and the results of C(ping) (C(reached)), C(trunk_info) (C(trunks)), C(slurp)
        of the plan (C(plan)), C(srv_info) (C(answers)), C(uri) of the metrics (C(metrics)) and C(restart_info) (C(pending)).
      - A result may be one of a failure. Metrics that are skipped are those of a host without a monitor.
    type: dict
    required: true
  at:
    description: The moment, for the report.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Judge
  ansible.builtin.set_fact:
    report: "{{ seen | siptrunk.failover.health('2026-11-25T06:14:06Z') }}"
"""

RETURN = r"""
_value:
  description:
    - C(healthy), C(problems) and C(warnings) (each with C(host), C(trunk), C(target), C(what)), C(hosts), C(summary), and C(rows), one for each
      target of each host.
  type: dict
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils.health import judge
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain


def health(seen, at):
    """See plugin_utils/health.py."""
    return judge(plain(seen), str(at))


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"health": health}
