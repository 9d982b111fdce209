# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: freeswitch_value
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: Write a value so that FreeSWITCH reads it back unchanged from an XML attribute
description:
  - FreeSWITCH's preprocessor looks at lines of text, before there is XML. It replaces C($${name}), and takes a line that merely
    names C(X-PRE-PROCESS) for a directive (FreeSWITCH, switch_xml.c, preprocess). Both are written as character references.
  - A value with a line break cannot be written, and is an error.
options:
  _input:
    description: The value.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show a value as a gateway needs it
  ansible.builtin.debug:
    msg: '<param name="password" value="{{ secret | siptrunk.failover.freeswitch_value }}"/>'
"""

RETURN = r"""
_value:
  description: The value, escaped.
  type: str
"""

import re

from ansible.errors import AnsibleFilterError

_SPECIAL = re.compile(r"[&<>\"]|\$(?=\$\{)|-(?=PRE-PROCESS)", re.IGNORECASE)


def freeswitch_value(value):
    """`value` as it stands between the quotes of an XML attribute."""
    text = str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise AnsibleFilterError("a value for FreeSWITCH's configuration holds a line break; the plan compiler should have refused it")
    return _SPECIAL.sub(lambda match: f"&#{ord(match.group())};", text)


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"freeswitch_value": freeswitch_value}
