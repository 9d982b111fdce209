#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: log_window
short_description: Read what a host logged of its trunks in a time window
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Reads the monitor's log and the engine's records of calls, with their rotated and compressed files, and returns the lines of a time window.
  - A file is streamed, and left alone when it was not written to since the window began. What is returned is compressed, and bounded by O(limit).
extends_documentation_fragment:
  - siptrunk.failover.read_only
options:
  from:
    description: The window's first moment, in UTC, as the logs write it, such as V(2026-11-25T06:00:00.000Z).
    type: str
    required: true
  to:
    description: The window's end, written alike. A line of this very moment is not in the window.
    type: str
    required: true
  events:
    description: Logs of the monitor. One that does not exist is passed over. Their rotated files are found by their names.
    type: list
    elements: path
    default: [/var/log/siptrunk/events.jsonl]
  records:
    description: Records of calls, alike.
    type: list
    elements: path
    default: []
  limit:
    description: MiB of lines, before they are compressed, that are returned at most of O(events), and as many of O(records).
    type: int
    default: 64
"""

EXAMPLES = r"""
- name: What happened in an hour
  siptrunk.failover.log_window:
    from: 2026-11-25T06:00:00.000Z
    to: 2026-11-25T07:00:00.000Z
    records: [/var/log/asterisk/siptrunk-cdr.jsonl]
  register: logged

- name: Say how much that is
  ansible.builtin.debug:
    msg: "{{ logged.records.lines }} calls, {{ logged.events.lines }} events"
"""

RETURN = r"""
events:
  description: What was found of O(events).
  returned: always
  type: dict
  contains: &log
    found:
      description: The logs that exist.
      type: list
      elements: str
      sample: [/var/log/siptrunk/events.jsonl]
    files:
      description: The files that were read.
      type: list
      elements: str
      sample: [/var/log/siptrunk/events.jsonl.1, /var/log/siptrunk/events.jsonl]
    lines:
      description: How many lines RV(events.data) holds.
      type: int
      sample: 212
    malformed:
      description: How many lines of the files that were read are no objects with a moment.
      type: int
      sample: 0
    left_out:
      description: How many lines of the window did not fit into O(limit). The first ones are kept.
      type: int
      sample: 0
    errors:
      description: Files that could not be read, each with the reason.
      type: list
      elements: str
      sample: []
    data:
      description: The lines, compressed by zlib, in Base64.
      type: str
      sample: eJwDAAAAAAE=
records:
  description: What was found of O(records).
  returned: always
  type: dict
  contains: *log
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils import log_lines


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "from": {"type": "str", "required": True},
            "to": {"type": "str", "required": True},
            "events": {"type": "list", "elements": "path", "default": ["/var/log/siptrunk/events.jsonl"]},
            "records": {"type": "list", "elements": "path", "default": []},
            "limit": {"type": "int", "default": 64},
        },
        supports_check_mode=True,
    )
    try:
        found = {
            kind: log_lines.read(module.params[kind], module.params["from"], module.params["to"], module.params["limit"] << 20)
            for kind in ("events", "records")
        }
    except ValueError as error:
        module.fail_json(msg=f"The window cannot be read: {error}")
    for kind, log in found.items():
        if log["left_out"]:
            module.warn(f"{log['left_out']} lines of the {kind} in this window did not fit into {module.params['limit']} MiB; ask for a shorter window")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
