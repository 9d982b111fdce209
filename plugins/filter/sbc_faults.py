# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sbc_faults
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: What makes no sense in the variables of the role sbc
description:
  - A sentence for each variable that Kamailio, keepalived or rtpengine would refuse, or take for something else.
options:
  _input:
    description: The role's variables that say where it listens and whom it serves, by their names.
    type: dict
    required: true
  own:
    description: The address from which the host speaks, where O(_input) names none.
    type: str
    required: true
  addresses:
    description: Lines of C(ip -o -4 addr show), the addresses of the host.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse what makes no sense
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join(' ') }}"
  vars:
    faults: "{{ variables | siptrunk.failover.sbc_faults(own='198.18.1.13', addresses=listed.stdout_lines) }}"
"""

RETURN = r"""
_value:
  description: Sentences.
  type: list
  elements: str
"""

import re

from ansible_collections.siptrunk.failover.plugins.plugin_utils import addresses as ip

_PORT = (1, 65535, "a port")
_LISTS = ("sbc_inside", "sbc_pbxs", "sbc_peers")
_WHOLE = {
    "sbc_sip_port": _PORT,
    "sbc_tls_port": _PORT,
    "sbc_sync_port": _PORT,
    "sbc_vrrp_router_id": (1, 255, "a number that no other pair on this network has"),
    "sbc_workers": (1, 256, "processes"),
    "sbc_memory": (1, 1 << 20, "MiB"),
    "sbc_flood_limit": (1, 1 << 20, "requests within 2 seconds"),
    "sbc_drain_wait": (0, 86400, "seconds"),
}


def _is_ipv4(text):
    return re.fullmatch(r"\d+(\.\d+){3}", text) is not None and ip.is_address(text)


def _number(text, kind=int):
    try:
        return kind(str(text))
    except ValueError:
        return None


def _numbers(values):
    for name, (low, high, what) in _WHOLE.items():
        number = _number(values[name])
        if number is None or not low <= number <= high:
            yield f"{name} {values[name]}: expected {what}, {low} to {high}."
    seconds = _number(values["sbc_verify_timeout"], float)
    if seconds is None or not 0 < seconds <= 3600:
        yield f"sbc_verify_timeout {values['sbc_verify_timeout']}: expected seconds, more than 0 and up to 3600."
    if values["sbc_verify_number"] and not re.fullmatch(r"[0-9*#+]{1,32}", str(values["sbc_verify_number"])):
        yield f"sbc_verify_number {values['sbc_verify_number']}: expected 1 to 32 of 0-9, *, # and +."
    if values["sbc_floating_address"] and str(values["sbc_sync_port"]) == str(values["sbc_sip_port"]):
        yield f"sbc_sync_port {values['sbc_sync_port']}: sbc_sip_port is the same, expected another port."


def _listens(values, own, listed):
    for name in ("sbc_sip_ip", "sbc_external_address"):
        if values[name] and not _is_ipv4(values[name]):
            yield f"{name} {values[name]}: expected an IPv4 address, such as 198.18.1.13."
    if not values["sbc_sip_ip"] and not _is_ipv4(own):
        yield f"sbc_sip_ip is empty, and the host speaks from {own}: expected an IPv4 address of this host."
    if _is_ipv4(own) and own not in listed:
        yield f"sbc_sip_ip {own}: expected an address of this host, which has {', '.join(listed) or 'none'}."
    if bool(values["sbc_tls_certificate_file"]) != bool(values["sbc_tls_key_file"]):
        yield "sbc_tls_certificate_file and sbc_tls_key_file: expected both or none."


def _neighbours(values):
    for network in values["sbc_inside"]:
        if not ip.is_network(str(network)) or "." not in str(network) and ":" not in str(network):
            yield f"sbc_inside {network}: expected an address or a network, such as 198.18.1.0/24."
    for pbx in values["sbc_pbxs"]:
        host, _colon, port = str(pbx).partition(":")
        if not _is_ipv4(host) or not 1 <= (_number(port) or 0) <= 65535:
            yield f"sbc_pbxs {pbx}: expected address:port, such as 198.18.1.11:5060. Names are not looked up during a call."


def _media(values):
    if values["sbc_media"] != "rtpengine":
        return
    found = re.fullmatch(r"(\d+)-(\d+)", str(values["sbc_media_ports"]))
    first, last = map(int, found.groups()) if found else (0, 0)
    if not (1024 <= first and first + 3 <= last <= 65535):
        yield f"sbc_media_ports {values['sbc_media_ports']}: expected two ports from 1024 to 65535, such as 10000-19999, at least four in all."


def _pair(values, own):
    shared = values["sbc_floating_address"]
    if not shared:
        return
    address, _slash, length = shared.partition("/")
    if not _is_ipv4(address) or not 1 <= (_number(length) or 0) <= 32:
        yield f"sbc_floating_address {shared}: expected an IPv4 address with its prefix length, such as 198.18.1.14/24."
    peers = list(map(str, values["sbc_peers"]))
    others = sorted(set(peers) - {own})
    if len(others) != 1 or not _is_ipv4(others[0]):
        yield f"sbc_peers {peers}: expected the own addresses of the two SBCs that share {address}, of which this one has {own}."
    if address in (own, *peers):
        yield f"sbc_floating_address {shared}: expected an address that neither of the two SBCs has as its own."


def sbc_faults(values, own, addresses):
    """The sentences; `addresses` as `ip -o -4 addr show` prints them, "2: eth0    inet 198.18.1.13/24 ..."."""
    if ip.MISSING:
        return [f"{ip.MISSING}."]
    plain = [f"{name} {values[name]}: expected a list." for name in _LISTS if isinstance(values[name], str)]
    if plain:
        return plain
    listed = re.findall(r" inet ([0-9.]+)[ /]", "\n".join(addresses))
    return [*_numbers(values), *_listens(values, own, listed), *_neighbours(values), *_media(values), *_pair(values, own)]


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"sbc_faults": sbc_faults}
