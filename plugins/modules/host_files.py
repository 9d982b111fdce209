#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Make folders and files as they should be, all at once
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Makes folders, writes files, and sets owner, group and mode, in one go.
  - Each task of Ansible costs the start of a module on the host, so for a handful of paths this is many times as quick as a task for each.
  - A file is replaced as a whole, and owner and mode stand before there is content to read.
  - The contents travel to the host only when it has others.
options:
  folders:
    description: Folders, which are made with the folders above them.
    type: list
    elements: dict
    default: []
    suboptions: &attributes
      path:
        description: Where it is.
        type: path
        required: true
      owner:
        description: Name of the user that owns it.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      mode:
        description: The mode, in octal digits.
        type: str
        required: true
  files:
    description: Files, whose folders have to exist or to be among O(folders).
    type: list
    elements: dict
    default: []
    suboptions:
      <<: *attributes
      content:
        description:
          - The text of the file. Without this, O(files[].src) and O(files[].data) only owner, group and mode are set, of a file that exists.
        type: str
      src:
        description: Path of a file on the controller with the content.
        type: path
      data:
        description: The content in base64.
        type: str
      digest:
        description:
          - The SHA-256 of the content, instead of the content. If a file has another content, nothing is done but to return RV(unknown).
        type: str
      hidden:
        description: Whether differences leave the file out.
        type: bool
        default: false
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: full
    description: Shows the differences of text that is not hidden. Passwords, secrets and tokens in it are hidden.
  idempotent:
    support: full
    description: Changes nothing when all is as it should be.
"""

EXAMPLES = r"""
- name: Install a program and its settings
  siptrunk.failover.host_files:
    folders:
      - {path: /etc/watch, mode: "0755"}
    files:
      - {path: /usr/local/bin/watch, src: "{{ role_path }}/files/watch", mode: "0755"}
      - {path: /etc/watch/settings.json, content: "{{ settings | to_nice_json }}", mode: "0644"}
  register: installed

- name: Restart it
  ansible.builtin.systemd_service:
    name: watch
    state: restarted
  when: "'/etc/watch/settings.json' in installed.paths"
"""

RETURN = r"""
paths:
  description: The folders and files that were changed, or would be.
  returned: success
  type: list
  elements: str
unknown:
  description: The files that have another content than O(files[].digest) stands for; nothing was done.
  returned: when files are to be sent
  type: list
  elements: str
"""

import base64
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils.host_files import settle, unknown
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused, said

ATTRIBUTES = dict(path=dict(type="path", required=True), owner=dict(type="str", default="root"), group=dict(type="str", default="root"),
                  mode=dict(type="str", required=True))  # fmt: skip
CONTENTS = ("content", "src", "data", "digest")


def entry(given: dict[str, t.Any]) -> dict[str, t.Any]:
    """As host_files.py has it."""
    data = base64.b64decode(given["data"]) if given.get("data") is not None else None
    return dict(given, mode=int(given["mode"], 8), data=given["content"].encode("utf-8") if given.get("content") is not None else data)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            folders=dict(type="list", elements="dict", default=[], options=ATTRIBUTES),
            files=dict(
                type="list", elements="dict", default=[], mutually_exclusive=[CONTENTS],
                options=dict(
                    ATTRIBUTES,
                    content=dict(type="str", no_log=True),
                    src=dict(type="path"),
                    data=dict(type="str", no_log=True),
                    digest=dict(type="str", no_log=True),
                    hidden=dict(type="bool", default=False),
                ),
            ),
        ),
        supports_check_mode=True,
    )
    try:
        folders, files = (list(map(entry, module.params[kind])) for kind in ("folders", "files"))
    except ValueError as error:
        module.fail_json(msg="%s. Nothing was changed." % error)
    if any(given["src"] is not None for given in files):
        module.fail_json(msg="src is a file of the controller, which the action of this name reads. Nothing was changed.")
    try:
        lacking = unknown(files)
        if lacking:
            module.exit_json(changed=False, unknown=lacking)
        paths, differences = settle(folders, files, module.check_mode)
    except (Refused, OSError) as error:
        module.fail_json(msg=said(error))
    module.exit_json(changed=bool(paths), paths=paths, diff=differences)


if __name__ == "__main__":
    main()
