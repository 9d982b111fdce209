# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: alertmanager_config
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The configuration of Alertmanager for these receivers
description:
  - Every alert is a message of its own, sent at once. What follows from something worse is kept back. A return to the primary is told once, and not its end.
  - The result holds what is secret in the receivers. Use it in tasks that hide their output.
options:
  _input:
    description: Receivers, as Alertmanager has them. The first one gets what the route does not send elsewhere.
    type: list
    elements: dict
    required: true
  route:
    description: What differs in the top route, as Alertmanager has it.
    type: dict
    default: {}
  sections:
    description: Further sections, as Alertmanager has them, such as C(global).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what a webhook makes of it
  ansible.builtin.debug:
    msg: "{{ [{'name': 'desk', 'webhook_configs': [{'url': 'http://127.0.0.1:8000/'}]}] | siptrunk.failover.alertmanager_config }}"
"""

RETURN = r"""
_value:
  description: The configuration.
  type: dict
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils.alerting import alertmanager
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain


def alertmanager_config(receivers, route=None, sections=None):
    """See plugin_utils/alerting.py."""
    return alertmanager(plain(receivers), plain(route or {}), plain(sections or {}))


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"alertmanager_config": alertmanager_config}
