# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: asterisk_draws
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: Groups of equal priority as the steps in which the dialplan puts them in order
description:
  - A group of one has its place. A larger one is drawn anew for each call by weight (RFC 2782), which the dialplan does.
  - Those of weight 0 come first in a draw, as RFC 2782 has it. Where all have weight 0, all have the same chance.
options:
  _input:
    description: Groups in order of priority, each a list of items with a weight.
    type: list
    elements: list
    required: true
  key:
    description: The key of an item's name.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the steps of a route
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan.routes[0].trunks | siptrunk.failover.asterisk_draws('name') }}"
"""

RETURN = r"""
_value:
  description:
    - Steps, each with C(items), names that end in C(&) each, and C(sum), 0 where nothing is drawn.
    - In a draw an item is C(name*weight), and C(sum) is the sum of the weights.
  type: list
  elements: dict
"""


def asterisk_draws(groups, key):
    """Steps {"items": str, "sum": int}; neighbours that are not drawn are one step."""
    steps = []
    for group in groups:
        if len(group) > 1:
            weights = [item["weight"] for item in group] if any(item["weight"] for item in group) else [1] * len(group)
            drawn = sorted(zip(weights, group), key=lambda pair: pair[0] > 0)
            steps.append({"items": "".join(f"{item[key]}*{weight}&" for weight, item in drawn), "sum": sum(weights)})
        elif steps and steps[-1]["sum"] == 0:
            steps[-1]["items"] += f"{group[0][key]}&"
        else:
            steps.append({"items": f"{group[0][key]}&", "sum": 0})
    return steps


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"asterisk_draws": asterisk_draws}
