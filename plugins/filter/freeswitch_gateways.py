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
  - One for the probes of each target, C(acme.1.probe), whose sender is the account, or C(probe) at the host's own address without one.
  - One for each registration, C(acme.registration) or C(acme.1.registration).
  - The request names the domain and goes to the resolved address, so that there is no look-up in the call path.
  - Over TLS the proxy is the name that the carrier must prove (RFC 5922), with the address as its C(maddr).
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
  address:
    description: The host's own address as carriers see it, for the sender of probes to a carrier where the host has no account.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the names of a trunk's gateways
  ansible.builtin.debug:
    msg: "{{ siptrunk_plan.trunks[0] | siptrunk.failover.freeswitch_gateways(secrets, key, '198.51.100.10') | map(attribute='name') }}"
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
from urllib.parse import quote


# Nobody may ask for credentials: without any, FreeSWITCH would sign as user "FreeSWITCH", which a carrier may count as an attack.
# An address that is nobody's (RFC 5737); "none" would be everybody.
_NO_ACCOUNT = [("gw-auth-acl", "192.0.2.0/32")]


def freeswitch_gateways(trunk, secrets, key, address):
    """A list of {"name", "mark", "params": [(name, value)]}."""
    found = []
    for target in trunk["targets"]:
        found.append((target["id"], _call(trunk, target, secrets)))
        if trunk["probe"]["interval"]:
            found.append((f"{target['id']}.probe", _probe(trunk, target, address)))
    found += [(f"{target['name']}.registration", _registration(trunk, target, secrets)) for target in trunk["registrations"]]
    return [{"name": name, "mark": _mark(key, params), "params": params} for name, params in found]


def _mark(key, params):
    """A hash alone would give whoever sees it a way to try passwords."""
    return hmac.new(key.encode(), json.dumps(params).encode(), hashlib.sha256).hexdigest()[:16]


def _where(trunk, target, proxy):
    """What the request names, and where it goes."""
    authority = trunk["domain"] or (target["host"] if target["host"] != target["address"] else f"{target['address']}:{target['port']}")
    address, maddr = target["address"], ""
    if trunk["transport"] == "tls":  # libsofia checks the certificate against the host, and goes to maddr; neither stands in a request
        address, maddr = target["proves"][0], f";maddr={target['address']}"
    return [
        ("proxy", authority),
        (proxy, f"sip:{address}:{target['port']};transport={trunk['transport']}{maddr}"),
        ("register-transport", trunk["transport"]),
    ]


def _account(trunk, target, secrets):
    """The credentials, and who may ask for them: to tell, FreeSWITCH would look the domain up at each challenge, while calls wait."""
    account = trunk["account"]
    if not account:
        return [*_NO_ACCOUNT]
    return [
        ("username", account["username"]),
        ("auth-username", account["auth_username"]),
        ("password", secrets[trunk["name"]]),
        ("gw-auth-acl", f"{target['address']}/32"),
    ]


def _from(trunk):
    return [(name, trunk[key]) for name, key in (("from-user", "from_user"), ("from-domain", "from_domain")) if trunk[key]]


def _options(trunk):
    return list(trunk["options"].get("gateway", {}).items())


def _call(trunk, target, secrets):
    return [
        *_where(trunk, target, "outbound-proxy"), ("register", "false"), *_account(trunk, target, secrets),
        *_from(trunk), ("caller-id-in-from", "false" if trunk["from_user"] else "true"), *_options(trunk),
    ]  # fmt: skip


def _probe(trunk, target, address):
    """Dead after one probe without an answer, alive after one with: hold-down is not FreeSWITCH's. The bound is the profile's timer-T1X64.

    From and To of its OPTIONS are "sip:" and the from-domain, or else the carrier's own domain (sofia.c, parse_gateways: options_from_uri).
    """
    interval = str(int(trunk["probe"]["interval"]))
    where = dict(_where(trunk, target, "register-proxy"))
    user = quote(trunk["from_user"] or (trunk["account"] or {}).get("username") or "probe", safe="-_.!~*'()&=+$,;?/")  # RFC 3261 section 25.1
    domain = trunk["from_domain"] or (where["proxy"] if trunk["account"] else address)
    return [
        *where.items(), ("register", "false"), *_NO_ACCOUNT, ("from-domain", f"{user}@{domain}"),
        ("ping", interval), ("ping-min", "1"), ("ping-max", "1"), *_options(trunk),
    ]  # fmt: skip


def _registration(trunk, target, secrets):
    """It never gives up; FreeSWITCH waits this much longer after each failure."""
    return [
        *_where(trunk, target, "register-proxy"), ("register", "true"), *_account(trunk, target, secrets), *_from(trunk),
        ("retry-seconds", "10"), *_options(trunk),
    ]  # fmt: skip


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"freeswitch_gateways": freeswitch_gateways}
