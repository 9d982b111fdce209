#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Look at a host once, for all that a role must know before it changes anything
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Returns in one go which files, packages, users and Python modules a host has, the version of a program, and the addresses of the host.
  - Each task of Ansible costs the start of a module on the host, so one look is many times as quick as a task for each question.
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  version_command:
    description:
      - A command that shows the version of a program. When it fails, the module fails with the output of the command.
    type: list
    elements: str
    default: []
  version_package:
    description: The Debian package whose candidate is shown instead where the program is not installed.
    type: str
    default: ""
  files:
    description: Paths of files and folders that may exist.
    type: list
    elements: path
    default: []
  digests:
    description: Paths of files whose content is to be compared.
    type: list
    elements: path
    default: []
  packages:
    description: Names of packages that may be installed.
    type: list
    elements: str
    default: []
  user:
    description: Name of a user that may exist.
    type: str
    default: ""
  addresses:
    description: Whether the IPv4 addresses of the host are wanted.
    type: bool
    default: false
  python:
    description: Path of a Python.
    type: path
  python_modules:
    description: Names of modules that O(python) may have. Each is imported.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look at the host
  siptrunk.failover.host_info:
    version_command: [asterisk, -V]
    version_package: asterisk
    packages: [python3-dnspython]
  register: host

- name: Refuse a host without Asterisk
  ansible.builtin.fail:
    msg: Install Asterisk first.
  when: not host.installed

- name: Install what is missing
  ansible.builtin.package:
    name: "{{ host.missing_packages }}"
  when: host.missing_packages | length > 0
"""

RETURN = r"""
installed:
  description: Whether the program of O(version_command) is installed.
  returned: always
  type: bool
version:
  description: The output of O(version_command), or of C(apt-cache policy) for O(version_package). Empty if neither is known.
  returned: always
  type: str
  sample: Asterisk 22.10.1
files:
  description: Those of O(files) that exist. A link exists whatever it leads to.
  returned: always
  type: list
  elements: str
digests:
  description: The SHA-256 of each of O(digests), by path. Null for one that is not a file.
  returned: always
  type: dict
missing_packages:
  description:
    - Those of O(packages) that are not known to be installed. Only dpkg is queried, and only for plain names; any other package counts as missing.
  returned: always
  type: list
  elements: str
user:
  description: C(home) and C(shell) of O(user). Null if there is no such user.
  returned: always
  type: dict
address:
  description: The IPv4 address from which the host reaches others. Empty without O(addresses).
  returned: always
  type: str
  sample: 198.18.1.10
addresses:
  description: The lines of C(ip -o -4 addr show). Empty without O(addresses).
  returned: always
  type: list
  elements: str
python_version:
  description: Major and minor number of O(python). Empty without O(python).
  returned: always
  type: list
  elements: int
  sample: [3, 13]
missing_python_modules:
  description: Those of O(python_modules) that O(python) cannot import.
  returned: always
  type: list
  elements: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils import host
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused


def look(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """What RETURN says."""
    installed, version = host.version_text(options["version_command"], options["version_package"]) if options["version_command"] else (False, "")
    address, addresses = host.addresses() if options["addresses"] else ("", [])
    python_version, missing_modules = host.python(options["python"], options["python_modules"]) if options["python"] else ([], [])
    return dict(
        installed=installed,
        version=version,
        files=[path for path in options["files"] if os.path.lexists(path)],
        digests={path: host.sha256(path) for path in options["digests"]},
        missing_packages=host.missing_packages(options["packages"]),
        user=host.user(options["user"]),
        address=address,
        addresses=addresses,
        python_version=python_version,
        missing_python_modules=missing_modules,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            version_command=dict(type="list", elements="str", default=[]),
            version_package=dict(type="str", default=""),
            files=dict(type="list", elements="path", default=[]),
            digests=dict(type="list", elements="path", default=[]),
            packages=dict(type="list", elements="str", default=[]),
            user=dict(type="str", default=""),
            addresses=dict(type="bool", default=False),
            python=dict(type="path"),
            python_modules=dict(type="list", elements="str", default=[]),
        ),
        supports_check_mode=True,
    )
    try:
        found = look(module.params)
    except (Refused, OSError) as error:
        module.fail_json(msg="%s. Nothing was changed." % error)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
