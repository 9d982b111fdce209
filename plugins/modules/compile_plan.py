#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compile_plan
short_description: Compile the model of trunks and routes into the plan
version_added: "0.1.0"
description:
  - Checks the model, resolves its domains as the managed host sees them (M(siptrunk.failover.srv_info)), and compiles the plan.
  - Where the host has no dnspython, the controller asks the host's own name servers, and a warning says so.
  - All that is wrong is reported at once; each sentence names the item, what was expected and what to do.
  - The result is the plan, which holds no password.
author:
  - siptrunk.failover contributors (@siptrunk)
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  trunks:
    description: The variable C(siptrunk_trunks); see the role P(siptrunk.failover.plan#role).
    type: raw
    required: true
  routes:
    description: The variable C(siptrunk_routes).
    type: raw
    required: true
  policy:
    description: The variable C(siptrunk_policy).
    type: raw
    default: {}
  capabilities:
    description:
      - What the engine can do, as data. Keys are C(engine), C(transports), C(address_families), C(alive_on), C(features) and
        C(settings); what is left out is not limited.
    type: dict
seealso:
  - module: siptrunk.failover.srv_info
"""

EXAMPLES = r"""
- name: Compile the plan
  siptrunk.failover.compile_plan:
    trunks: "{{ siptrunk_trunks }}"
    routes: "{{ siptrunk_routes }}"
  register: siptrunk_plan

- name: Show how long a caller may wait
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.worst_post_dial_delay.seconds }} s"
  loop: "{{ siptrunk_plan.routes }}"
"""

RETURN = r"""
trunks:
  description: The trunks by name, each with its C(targets) in the order to ask them.
  type: list
  elements: dict
  returned: success
routes:
  description: The routes by name, each with its C(attempts), their bounds and verdict tables, and C(worst_post_dial_delay).
  type: list
  elements: dict
  returned: success
numbers:
  description: The patterns of all routes, the most specific first, each with its regular expression and the name of its route.
  type: list
  elements: dict
  returned: success
verdicts:
  description: The verdict tables by name; each has every SIP code from 300 to 699 and the outcomes without a code.
  type: dict
  returned: success
no_response_timeout:
  description: The bound for silence as asked and as the engine keeps it, in seconds.
  type: dict
  returned: success
notes:
  description: What works, but may surprise, such as trunks that share a carrier. Each is a warning of the task too.
  type: list
  elements: str
  returned: success
"""
