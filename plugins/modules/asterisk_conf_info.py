#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: asterisk_conf_info
short_description: What in an operator's Asterisk configuration would clash with the trunks
version_added: "0.1.0"
description:
  - Reads C(pjsip.conf) and C(manager.conf), and the files they include, and reports what the collection must not write twice.
  - The collection's own folder, C(siptrunk) in O(directory), is left out. Missing files hold nothing.
author:
  - siptrunk.failover contributors (@siptrunk)
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  directory:
    description: Asterisk's configuration directory.
    type: path
    default: /etc/asterisk
  pjsip_sections:
    description: Names of the sections that the collection writes to C(pjsip.conf).
    type: list
    elements: str
    default: []
  reserved:
    description: Options on which failover depends, by the type of their section. The operator may add other options to the collection's sections.
    type: dict
    default: {}
  trunks:
    description:
      - The trunks of the plan, each with C(name), C(domain), C(account), C(targets), C(registrations) and C(inbound).
      - Reported are sections that take calls from their addresses (C(type=identify)), or register an account that they register. Host names in
        C(match) are looked up on this host.
    type: list
    elements: dict
    default: []
  transports:
    description:
      - The PJSIP transports of the trunks, by protocol, or V(tls_wildcard); each a mapping with C(bind).
      - With C(name), a transport of the operator's is used instead of one that the collection makes.
    type: dict
    default: {}
  timer_t1:
    description: SIP timer T1 that the plan needs, in milliseconds (RFC 3261 section 17.1.1.1).
    type: int
    required: true
  timer_b:
    description: SIP timer B that the plan needs, in milliseconds.
    type: int
    required: true
  manager_users:
    description: Names of the manager users that it writes to C(manager.conf).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Look for clashes
  siptrunk.failover.asterisk_conf_info:
    pjsip_sections: [acme, acme.1]
    transports:
      udp:
        bind: 0.0.0.0:5060
    timer_t1: 100
    timer_b: 6400
    manager_users: [siptrunk]
  register: found
"""

RETURN = r"""
clashes:
  description: What would clash, each a sentence with file, line and fix.
  returned: always
  type: list
  elements: str
system:
  description: Whether the operator has a section of C(type=system) of their own.
  returned: always
  type: bool
manager_general:
  description: Whether C(manager.conf) has a section C([general]).
  returned: always
  type: bool
manager_enabled:
  description: Whether it enables the manager interface.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_conf import (
    chan_sip_clashes,
    is_true,
    pjsip_clashes,
    read_sections,
    trunk_clashes,
)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            directory=dict(type="path", default="/etc/asterisk"),
            pjsip_sections=dict(type="list", elements="str", default=[]),
            reserved=dict(type="dict", default={}),
            trunks=dict(type="list", elements="dict", default=[]),
            transports=dict(type="dict", default={}),
            timer_t1=dict(type="int", required=True),
            timer_b=dict(type="int", required=True),
            manager_users=dict(type="list", elements="str", required=True),
        ),
        supports_check_mode=True,
    )
    params = module.params
    own = params["directory"] + "/siptrunk"
    pjsip = read_sections(params["directory"], "pjsip.conf", skip=own)
    manager = read_sections(params["directory"], "manager.conf", skip=own)
    timers = {"timer_t1": params["timer_t1"], "timer_b": params["timer_b"]}
    clashes = list(pjsip_clashes(pjsip, set(params["pjsip_sections"]), params["transports"], timers, params["reserved"]))
    clashes.extend(trunk_clashes(pjsip, set(params["pjsip_sections"]), params["trunks"]))
    clashes.extend(chan_sip_clashes(read_sections(params["directory"], "sip.conf")))
    clashes.extend(
        "%s line %d: the manager user [%s] is taken; set asterisk_ami_username or asterisk_monitor_username to another name."
        % (section["file"], section["line"], section["name"])
        for section in manager
        if section["name"] in params["manager_users"]
    )
    general = [section for section in manager if section["name"] == "general"]
    module.exit_json(
        changed=False,
        clashes=clashes,
        system=any(section["options"].get("type") == "system" and not section["template"] for section in pjsip),
        manager_general=bool(general),
        manager_enabled=any(is_true(section["options"].get("enabled", "")) for section in general),
    )


if __name__ == "__main__":
    main()
