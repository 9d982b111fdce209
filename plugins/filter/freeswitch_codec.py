# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: freeswitch_codec
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The name that FreeSWITCH has for a codec of the model
description:
  - The model names codecs as Asterisk does. FreeSWITCH takes the names of RFC 3551.
options:
  _input:
    description: A codec of the model, such as V(alaw).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ 'alaw' | siptrunk.failover.freeswitch_codec }}"
"""

RETURN = r"""
_value:
  description: The name, such as V(PCMA).
  type: str
"""

_NAMES = {"alaw": "PCMA", "ulaw": "PCMU", "ilbc": "iLBC", "speex": "SPEEX"}


def freeswitch_codec(name):
    """FreeSWITCH's name for a codec: that of RFC 3551, or of its registration."""
    return _NAMES.get(name.lower(), name.upper())


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"freeswitch_codec": freeswitch_codec}
