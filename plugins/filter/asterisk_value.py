# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: asterisk_value
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: Write a value so that Asterisk's configuration parser reads it back unchanged
description:
  - A semicolon would start a comment (Asterisk, main/config.c); it gets a backslash.
  - A value with a line break cannot be written, and is an error.
options:
  _input:
    description: The value.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show a value as pjsip.conf needs it
  ansible.builtin.debug:
    msg: "{{ 'sip:198.18.1.10:5060;lr' | siptrunk.failover.asterisk_value }}"
"""

RETURN = r"""
_value:
  description: The value, escaped.
  type: str
"""

from ansible.errors import AnsibleFilterError


def asterisk_value(value):
    """`value` as it stands after "key = " in an Asterisk configuration file."""
    text = str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise AnsibleFilterError("a value for Asterisk's configuration holds a line break; the plan compiler should have refused it")
    return text.replace(";", "\\;")


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"asterisk_value": asterisk_value}
