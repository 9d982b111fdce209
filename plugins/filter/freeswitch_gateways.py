# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: freeswitch_gateways
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: The Sofia gateways of a trunk
description:
  - One for the calls to each target, C(acme.1), which neither registers nor is probed, so that no mark of FreeSWITCH's can fail a call.
  - One for the probes of each target, C(acme.1.probe), and one for each registration, C(acme.registration) or C(acme.1.registration).
  - The request names the domain and goes to the resolved address, so that there is no look-up in the call path. Over TLS it goes to the
    host's name, against which the carrier's certificate is checked (RFC 5922).
options:
  _input:
    description: A trunk of the plan.
    type: dict
    required: true
  secrets:
    description: Passwords by trunk name.
    type: dict
    required: true
  key:
    description: A secret of the host, with which each gateway is marked. The mark tells whether the running gateway is the one described.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the names of a trunk's gateways
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan.trunks[0] | siptrunk.failover.freeswitch_gateways(secrets, key) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: Gateways, each with C(name), C(mark) and C(params), pairs of name and value.
  type: list
  elements: dict
"""

import hashlib
import hmac
import json


def freeswitch_gateways(trunk, secrets, key):
    """A list of {"name", "mark", "params": [(name, value)]}."""
    found = []
    for target in trunk["targets"]:
        found.append((target["id"], _call(trunk, target, secrets)))
        if trunk["probe"]["interval"]:
            found.append((f"{target['id']}.probe", _probe(trunk, target)))
    found += [(f"{target['name']}.registration", _registration(trunk, target, secrets)) for target in trunk["registrations"]]
    return [{"name": name, "mark": _mark(key, params), "params": params} for name, params in found]


def _mark(key, params):
    """A hash alone would give whoever sees it a way to try passwords."""
    return hmac.new(key.encode(), json.dumps(params).encode(), hashlib.sha256).hexdigest()[:16]


def _where(trunk, target, proxy):
    """What the request names, and where it goes."""
    authority = trunk["domain"] or (target["host"] if target["host"] != target["address"] else f"{target['address']}:{target['port']}")
    host = target["host"] if trunk["transport"] == "tls" else target["address"]
    return [
        ("proxy", authority),
        (proxy, f"sip:{host}:{target['port']};transport={trunk['transport']}"),
        ("register-transport", trunk["transport"]),
    ]


def _account(trunk, target, secrets):
    """The credentials, and who may ask for them: to tell, FreeSWITCH would look the domain up at each challenge, while calls wait."""
    account = trunk["account"]
    if not account:
        return []
    return [
        ("username", account["username"]),
        ("auth-username", account["auth_username"]),
        ("password", secrets[trunk["name"]]),
        ("gw-auth-acl", f"{target['address']}/32"),
    ]


def _from(trunk):
    return [(name, trunk[key]) for name, key in (("from-user", "from_user"), ("from-domain", "from_domain")) if trunk[key]]


def _call(trunk, target, secrets):
    return [
        *_where(trunk, target, "outbound-proxy"), ("register", "false"), *_account(trunk, target, secrets),
        *_from(trunk), ("caller-id-in-from", "false" if trunk["from_user"] else "true"),
    ]  # fmt: skip


def _probe(trunk, target):
    """Dead after one probe without an answer, alive after one with: hold-down is not FreeSWITCH's. The bound is the profile's timer-T1X64."""
    interval = str(int(trunk["probe"]["interval"]))
    return [
        *_where(trunk, target, "register-proxy"), ("register", "false"), *_from(trunk),
        ("ping", interval), ("ping-min", "1"), ("ping-max", "1"),
    ]  # fmt: skip


def _registration(trunk, target, secrets):
    """It never gives up; FreeSWITCH waits this much longer after each failure."""
    return [*_where(trunk, target, "register-proxy"), ("register", "true"), *_account(trunk, target, secrets), *_from(trunk), ("retry-seconds", "10")]


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"freeswitch_gateways": freeswitch_gateways}
