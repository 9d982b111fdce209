#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: freeswitch_info
short_description: Find a FreeSWITCH and its folders
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Looks for C(bin/freeswitch), and returns where that FreeSWITCH reads its configuration and writes its logs.
  - These folders depend on how it was built. With C(--prefix=/usr/local/freeswitch) the configuration is in C(etc/freeswitch) below that,
    without a prefix in C(conf), and in a package in C(/etc/freeswitch). FreeSWITCH's own library is queried, so FreeSWITCH need not run.
  - C(-conf), C(-log), C(-mod), C(-certs) and C(-base) in the C(ExecStart) of the systemd unit, in its environment files, or in
    C(FREESWITCH_OPTS), are respected.
  - On a host without FreeSWITCH the folders are those of the packages, and O(prefixes) were searched in vain.
  - When FreeSWITCH's library cannot be loaded, the module fails with the words of the loader.
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  prefixes:
    description: Where to look for C(bin/freeswitch); the first that has one is taken.
    type: list
    elements: path
    default: [/usr, /usr/local/freeswitch, /opt/freeswitch]
  service:
    description: The systemd unit that starts it.
    type: str
    default: freeswitch
"""

EXAMPLES = r"""
- name: Find FreeSWITCH's folders
  siptrunk.failover.freeswitch_info:
  register: freeswitch

- name: Copy a file into its configuration
  ansible.builtin.copy:
    src: before-dial.lua
    dest: "{{ freeswitch.config_directory }}/before-dial.lua"
    mode: "0644"
"""

RETURN = r"""
installed:
  description: Whether there is a FreeSWITCH.
  returned: always
  type: bool
prefix:
  description: Where its C(bin/freeswitch) is. V(/usr) without one.
  returned: always
  type: str
  sample: /usr/local/freeswitch
config_directory:
  description: Where it reads its configuration.
  returned: always
  type: str
  sample: /usr/local/freeswitch/conf
log_directory:
  description: Where it writes its logs.
  returned: always
  type: str
  sample: /usr/local/freeswitch/log
module_directory:
  description: Where its modules are.
  returned: always
  type: str
  sample: /usr/local/freeswitch/mod
certificate_directory:
  description: Where it looks for certificates, and keeps those that it makes.
  returned: always
  type: str
  sample: /usr/local/freeswitch/certs
prefixes:
  description: Where it was looked for, O(prefixes) or the default of that.
  returned: always
  type: list
  elements: str
  sample: [/usr, /usr/local/freeswitch, /opt/freeswitch]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils import freeswitch_folders


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            prefixes=dict(type="list", elements="path", default=["/usr", "/usr/local/freeswitch", "/opt/freeswitch"]),
            service=dict(type="str", default="freeswitch"),
        ),
        supports_check_mode=True,
    )
    prefix, problem = freeswitch_folders.installed(module.params["prefixes"]), ""
    found = freeswitch_folders.PACKAGED
    if prefix:
        try:
            found = freeswitch_folders.folders(prefix, module.params["service"])
        except freeswitch_folders.FoldersError as error:
            problem = "The FreeSWITCH of %s does not start: %s. Nothing was changed." % (prefix, error)
    result = dict(
        installed=prefix != "",
        prefix=prefix or "/usr",
        config_directory=found["conf"],
        log_directory=found["log"],
        module_directory=found["mod"],
        certificate_directory=found["certs"],
        prefixes=module.params["prefixes"],
    )
    if problem:
        module.fail_json(msg=problem, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
