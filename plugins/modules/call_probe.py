#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: call_probe
short_description: Place a call, and hang up when it rings
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Sends one INVITE over UDP from the host that the module runs on, and hangs up as soon as it rings or is answered (RFC 3261, sections 9, 13 and 15).
  - It is a real call. Whoever has the number may hear it ring, and a carrier may charge for it.
  - Check mode places none.
attributes:
  check_mode:
    description: Can run in C(check_mode).
    support: none
options:
  number:
    description: Whom to call.
    type: str
    required: true
  address:
    description: The IPv4 address of the phone system or SBC to ask.
    type: str
    required: true
  port:
    description: Its UDP port.
    type: int
    default: 5060
  local_address:
    description: The address of this host to call from. By default the one that its routes choose.
    type: str
  from_user:
    description: The caller's number.
    type: str
    default: siptrunk
  timeout:
    description: Seconds until it must ring.
    type: float
    default: 30
seealso:
  - module: siptrunk.failover.options_ping
"""

EXAMPLES = r"""
- name: Does a call get through?
  siptrunk.failover.call_probe:
    number: "12125550100"
    address: 198.18.1.13
"""

RETURN = r"""
rings:
  description: Whether it rang, or had early media, or was answered. The module fails otherwise.
  returned: when a call was placed
  type: bool
answered:
  description: Whether it was answered.
  returned: when a call was placed
  type: bool
code:
  description: The status that said so, or the one that refused the call. Null if none came.
  returned: when a call was placed
  type: int
  sample: 180
reason:
  description: Its phrase.
  returned: when a call was placed
  type: str
  sample: Ringing
ms:
  description: Milliseconds from the INVITE to that status.
  returned: when a call was placed
  type: float
  sample: 34.5
error:
  description: Why it did not ring. Null if it did.
  returned: when a call was placed
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils import call


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "number": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5060},
            "local_address": {"type": "str"},
            "from_user": {"type": "str", "default": "siptrunk"},
            "timeout": {"type": "float", "default": 30},
        },
    )
    try:
        result = call.place(**module.params)
    except ValueError as error:
        module.fail_json(msg=f"{error}. Nobody was called.")
    if result["error"]:
        module.fail_json(msg=f"A call to {module.params['number']} through {module.params['address']} does not ring: {result['error']}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
