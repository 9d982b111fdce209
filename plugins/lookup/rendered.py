# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rendered
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: An engine's template, filled in with the plan
description:
  - Renders a template of the role with plain Jinja2, which for thousands of trunks is ten times as quick as
    P(ansible.builtin.template#lookup). The template sees C(siptrunk_plan), its trunks by name as C(trunks), what O(values) holds, and the collection's filters.
  - No value is taken for a template itself.
options:
  _terms:
    description: Names of templates.
    required: true
    type: list
    elements: str
  each:
    description:
      - A list of the plan, such as V(routes). The template is rendered once for each entry, which it sees as C(item), and the result is a
        dictionary of texts by file name - C(route.lua.j2) becomes C(route-nanp.lua) for the entry named C(nanp).
    type: str
  by_name:
    description:
      - Return one dictionary of all the texts by file name - C(pjsip.conf.j2) becomes C(pjsip.conf). The values are looked at once for all templates,
        which for thousands of trunks is quicker than a look-up for each.
    type: bool
    default: false
  values:
    description: What the template may use besides the plan.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what would be written
  ansible.builtin.debug:
    msg: "{{ lookup('siptrunk.failover.rendered', 'extensions.conf.j2', values={'asterisk_before_dial': ''}) }}"

- name: Show the names of all files
  ansible.builtin.debug:
    msg: "{{ lookup('siptrunk.failover.rendered', 'pjsip.conf.j2', 'extensions.conf.j2', values=values, by_name=true) | list }}"
"""

RETURN = r"""
_raw:
  description: The texts; with O(each), dictionaries of them; with O(by_name), one dictionary.
  type: list
  elements: raw
"""

from pathlib import Path

import jinja2
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plan import KEYS
from ansible_collections.siptrunk.failover.plugins.plugin_utils.rendering import render, render_each


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        compiled = (variables or {}).get("siptrunk_plan")
        if compiled is None:
            raise AnsibleLookupError("there is no siptrunk_plan; include the role siptrunk.failover.plan before")
        plan = {key: compiled[key] for key in KEYS}  # Ansible adds others to a result
        each, values = self.get_option("each"), plain(self.get_option("values"))
        found = []
        for term in terms:
            path = self.find_file_in_search_path(variables, "templates", term)
            if not path:
                raise AnsibleLookupError(f"there is no template '{term}'")
            try:
                found.append(render_each(Path(path), plan, values, each) if each else render(Path(path), plan, values))
            except jinja2.UndefinedError as error:
                raise AnsibleLookupError(f"{term}: {error}") from error
        if not self.get_option("by_name"):
            return found
        texts = found if each else [{Path(term).stem: text} for term, text in zip(terms, found, strict=True)]
        return [{name: text for named in texts for name, text in named.items()}]
