# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: dns_questions
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The names that a deployed plan was made of
description:
  - What M(siptrunk.failover.srv_info) has to be asked again to find out whether the DNS still says what is deployed. Addresses are left out.
options:
  _input:
    description: The plan of a host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Ask again
  siptrunk.failover.srv_info:
    transport: "{{ item.transport }}"
    domains: "{{ item.domains }}"
  loop: "{{ plan | siptrunk.failover.dns_questions }}"
"""

RETURN = r"""
_value:
  description: For each transport C(transport) and C(domains).
  type: list
  elements: dict
"""

from ansible_collections.siptrunk.failover.plugins.plugin_utils.health import questions
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain


def dns_questions(plan):
    """See plugin_utils/health.py."""
    return questions(plain(plan))


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"dns_questions": dns_questions}
