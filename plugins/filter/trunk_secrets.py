# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: trunk_secrets
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The passwords of the trunks, by trunk name
description:
  - The plan carries no secret, so that it can be shown and kept. An engine's template takes the passwords from here.
  - Use it in tasks that hide their output.
options:
  _input:
    description: The variable C(siptrunk_trunks).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Know the password of a trunk
  ansible.builtin.set_fact:
    secret: "{{ (siptrunk_trunks | siptrunk.failover.trunk_secrets)['acme'] }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: Password by trunk name, of the trunks that have one.
  type: dict
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils.model import secrets


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"trunk_secrets": secrets}
