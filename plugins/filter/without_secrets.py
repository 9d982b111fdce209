# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: without_secrets
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: What amtool says of receivers, without their secrets
description:
  - Takes out every value of the receivers and sections, and all that is quoted and neither the name of a setting or receiver nor part of the route.
options:
  _input:
    description: The message.
    type: str
    required: true
  receivers:
    description: As for P(siptrunk.failover.alertmanager_config#filter).
    type: list
    elements: dict
    required: true
  route:
    description: As for P(siptrunk.failover.alertmanager_config#filter).
    type: dict
    default: {}
  sections:
    description: As for P(siptrunk.failover.alertmanager_config#filter).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what amtool complains of
  ansible.builtin.debug:
    msg: "{{ checked.stderr | siptrunk.failover.without_secrets(receivers=alerting_receivers) }}"
"""

RETURN = r"""
_value:
  description: The message, with asterisks for what may be secret.
  type: str
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils import alerting
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain


def without_secrets(text, receivers, route=None, sections=None):
    """See plugin_utils/alerting.py."""
    return alerting.without_secrets(str(text), plain(receivers), plain(route or {}), plain(sections or {}))


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"without_secrets": without_secrets}
