#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: asterisk_dialplan_info
short_description: How an operator's Asterisk dialplan uses the trunks
version_added: "0.1.0"
description:
  - Reads C(extensions.conf) and the files it includes, and reports which contexts lead to the context C(siptrunk-outbound), and which of the
    operator's extensions take calls of a route, because Asterisk looks at a context's own extensions before included ones.
  - Says so in a warning where no context leads there, and where an extension takes calls that its pattern is not made for. An extension
    that is more specific than the route's is taken for intended.
  - It reads files, so it needs no running Asterisk. The collection's own folder, C(siptrunk) in O(directory), is left out. C(extensions.ael) and
    C(extensions.lua) are searched for the name of the context, no more.
author:
  - siptrunk.failover contributors (@siptrunk)
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  directory:
    description: Asterisk's configuration directory.
    type: path
    default: /etc/asterisk
  routes:
    description: The routes of the plan; of each, C(name) and C(match), a list of mappings with C(pattern).
    type: list
    elements: dict
    required: true
seealso:
  - module: siptrunk.failover.compile_plan
"""

EXAMPLES = r"""
- name: See how the dialplan uses the trunks
  siptrunk.failover.asterisk_dialplan_info:
    routes: "{{ siptrunk_plan.routes }}"
  register: dialplan

- name: Show the contexts whose calls may leave through a trunk
  ansible.builtin.debug:
    msg: "{{ dialplan.contexts | map(attribute='context') }}"
"""

RETURN = r"""
contexts:
  description: The contexts of the operator's that lead to the trunks, in the order of the files.
  returned: always
  type: list
  elements: dict
  contains:
    context:
      description: Its name.
      type: str
    file:
      description: File of the line that leads on.
      type: str
    line:
      description: Number of that line.
      type: int
problems:
  description: Why calls do not use the trunks, each a sentence with file, line and fix.
  returned: always
  type: list
  elements: str
dialplan:
  description: What was read, for the action plugin of the same name, which judges it on the controller and leaves it out of the result.
  returned: never
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_dialplan import look


def main():
    module = AnsibleModule(
        argument_spec=dict(directory=dict(type="path", default="/etc/asterisk"), routes=dict(type="list", elements="dict", required=True)),
        supports_check_mode=True,
    )
    module.exit_json(changed=False, dialplan=look(module.params["directory"]))


if __name__ == "__main__":
    main()
