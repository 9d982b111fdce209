# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sbc_dispatcher
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The targets to probe, as Kamailio's dispatcher reads them
description:
  - A line for each target that is probed, in a set of its own.
options:
  _input:
    description: The plan.
    type: dict
    required: true
  probe_from:
    description: The socket to probe from by transport, such as C(udp:198.18.1.13:5060). A transport that is not there leaves it to Kamailio.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what is probed
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan | siptrunk.failover.sbc_dispatcher }}"
"""

RETURN = r"""
_value:
  description: Lines.
  type: list
  elements: str
"""


def sets(plan):
    """The dispatcher's set of each target that is probed: one each, so that two may share a URI."""
    probed = [target["id"] for trunk in plan["trunks"] if trunk["probe"]["interval"] for target in trunk["targets"]]
    return {name: number for number, name in enumerate(probed, start=1)}


def uri(trunk, target):
    """Where requests go: nothing is looked up in the call path."""
    return f"sip:{_host(target['address'])}:{target['port']};transport={trunk['transport']}"


def authority(trunk, target):
    """What requests name: the domain, not the address."""
    return trunk["domain"] or (target["host"] if target["host"] != target["address"] else f"{_host(target['address'])}:{target['port']}")


def _sender(trunk, target):
    """From of a probe is that of the trunk's own requests, where it has one: some carriers block senders that they do not know."""
    user = trunk["from_user"] or trunk["account"] and trunk["account"]["username"]
    return f';ping_from="sip:{user}@{trunk["from_domain"] or authority(trunk, target)}"' if user else ""


def _host(address):
    return f"[{address}]" if ":" in address else address


def sbc_dispatcher(plan, probe_from=None):
    """The lines of the dispatcher's list: a probe names the domain and goes to the target."""
    numbers = sets(plan)
    sockets = {transport: f";ping_socket={socket}" for transport, socket in (probe_from or {}).items()}
    return [
        f'{numbers[target["id"]]} sip:{authority(trunk, target)} 0 0 duid={target["id"]};obproxy="{uri(trunk, target)}"'
        f'{_sender(trunk, target)}{sockets.get(trunk["transport"], "")}'
        for trunk in plan["trunks"]
        for target in trunk["targets"]
        if target["id"] in numbers
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"sbc_dispatcher": sbc_dispatcher}
