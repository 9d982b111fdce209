#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kept_secrets
short_description: Read secrets of an earlier run on a host, or make new ones
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Returns the secret in each file, and a new random one for a file that does not exist, is empty, or cannot be read. Writes nothing.
  - Use it with C(no_log), as its results are secrets.
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  paths:
    description: Paths of the files.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Read the password of an earlier run, or make one
  siptrunk.failover.kept_secrets:
    paths: [/etc/asterisk/siptrunk/ami.secret]
  register: kept
  no_log: true
"""

RETURN = r"""
secrets:
  description: The secret of each path, 32 letters and digits where it is new.
  returned: always
  type: dict
safe:
  description: Those of O(paths) that have a secret, belong to C(root), and can be read by nobody else.
  returned: always
  type: list
  elements: str
"""

import os
import secrets
import stat
import string

from ansible.module_utils.basic import AnsibleModule


def read(path: str) -> str:
    """The secret in a file; empty without one."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def is_safe(path: str) -> bool:
    """Whether it belongs to root, and nobody else reads it."""
    found = os.lstat(path)
    return stat.S_ISREG(found.st_mode) and (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o600)


def new() -> str:
    """A secret that any configuration file takes."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _character in range(32))


def main() -> None:
    module = AnsibleModule(argument_spec=dict(paths=dict(type="list", elements="path", required=True)), supports_check_mode=True)
    found = {path: read(path) for path in module.params["paths"]}
    safe = [path for path, secret in found.items() if secret and is_safe(path)]
    module.exit_json(changed=False, secrets={path: secret or new() for path, secret in found.items()}, safe=safe)


if __name__ == "__main__":
    main()
