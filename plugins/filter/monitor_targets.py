# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: monitor_targets
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: Where Prometheus finds the monitor of each host
description:
  - Reads C(monitor_listen_address) and C(monitor_port) of each host. A monitor that listens on all addresses is reached at C(ansible_host).
  - Hosts with C(monitor_enabled=false) have none.
options:
  _input:
    description: Names of hosts of the inventory.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of the hosts, C(hostvars).
    type: dict
    required: true
  here:
    description: The host that Prometheus runs on, which reaches a monitor on its own loopback.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Name the hosts whose monitor nobody else reaches
  ansible.builtin.debug:
    msg: "{{ (groups['siptrunk_pbx'] | siptrunk.failover.monitor_targets(hostvars=hostvars, here=inventory_hostname)).unreachable }}"
"""

RETURN = r"""
_value:
  description: C(targets), a list of C(host) and C(address) with its port, and C(unreachable), the hosts whose monitor listens on their loopback only.
  type: dict
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils.alerting import monitors


def monitor_targets(hosts, hostvars, here):
    """See plugin_utils/alerting.py."""
    return monitors(hosts, hostvars, here)


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"monitor_targets": monitor_targets}
