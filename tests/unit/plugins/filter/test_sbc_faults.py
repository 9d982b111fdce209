# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each variable of the role sbc that makes no sense is named, with what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.siptrunk.failover.plugins.filter.sbc_faults import sbc_faults

ROLE = Path(__file__).resolve().parents[4] / "roles" / "sbc"
OWN = "198.18.1.13"
LISTED = ["1: lo    inet 127.0.0.1/8 scope host lo", f"2: eth0    inet {OWN}/24 brd 198.18.1.255 scope global eth0"]
PAIR = {"sbc_floating_address": "198.18.1.14/24", "sbc_peers": [OWN, "198.18.1.15"]}


def faults(own=OWN, **variables):
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    return sbc_faults({**defaults, **variables}, own, LISTED)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"sbc_sip_port": "5070", "sbc_workers": "4"},
        {"sbc_sip_ip": OWN, "sbc_external_address": "203.0.113.4", "sbc_inside": ["198.18.1.0/24", "2001:db8::/32"], "sbc_pbxs": ["198.18.1.11:5060"]},
        {"sbc_media": "rtpengine", "sbc_media_ports": "30000-30003"},
        {"sbc_media_ports": "none"},  # not used
        {"sbc_tls_certificate_file": "/a", "sbc_tls_key_file": "/b", "sbc_verify_number": "+12125550100", "sbc_drain_wait": 0},
        PAIR,
        {**PAIR, "sbc_peers": ["198.18.1.15"], "sbc_vrrp_interface": "eth0", "sbc_floating_address": "203.0.113.4/32"},
    ],
)
def test_what_makes_sense(variables):
    assert faults(**variables) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"sbc_sip_port": 99999}, "sbc_sip_port 99999: expected a port, 1 to 65535."),
        ({"sbc_tls_port": "five"}, "sbc_tls_port five: expected a port, 1 to 65535."),
        ({**PAIR, "sbc_sync_port": "5060"}, "sbc_sync_port 5060: sbc_sip_port is the same, expected another port."),
        ({"sbc_vrrp_router_id": 0}, "sbc_vrrp_router_id 0: expected a number that no other pair on this network has, 1 to 255."),
        ({"sbc_workers": 0}, "sbc_workers 0: expected processes, 1 to 256."),
        ({"sbc_memory": 0}, "sbc_memory 0: expected MiB, 1 to 1048576."),
        ({"sbc_flood_limit": 0}, "sbc_flood_limit 0: expected requests within 2 seconds, 1 to 1048576."),
        ({"sbc_drain_wait": -1}, "sbc_drain_wait -1: expected seconds, 0 to 86400."),
        ({"sbc_verify_timeout": 0}, "sbc_verify_timeout 0: expected seconds, more than 0 and up to 3600."),
        ({"sbc_verify_number": "1-212"}, "sbc_verify_number 1-212: expected 1 to 32 of 0-9, *, # and +."),
        ({"sbc_external_address": "sbc.acme.example"}, "sbc_external_address sbc.acme.example: expected an IPv4 address, such as 198.18.1.13."),
        ({"sbc_tls_key_file": "/b"}, "sbc_tls_certificate_file and sbc_tls_key_file: expected both or none."),
        ({"sbc_inside": ["198.18.1.0/33"]}, "sbc_inside 198.18.1.0/33: expected an address or a network, such as 198.18.1.0/24."),
        ({"sbc_inside": ["10"]}, "sbc_inside 10: expected an address or a network, such as 198.18.1.0/24."),
        ({"sbc_inside": "198.18.1.0/24"}, "sbc_inside 198.18.1.0/24: expected a list."),
        ({"sbc_inside": ["pbx1"]}, "sbc_inside pbx1: expected an address or a network, such as 198.18.1.0/24."),
        ({"sbc_media": "rtpengine", "sbc_media_ports": "10000-10002"}, "sbc_media_ports 10000-10002: expected two ports from 1024"),
        ({"sbc_media": "rtpengine", "sbc_media_ports": "10000"}, "sbc_media_ports 10000: expected two ports from 1024"),
        ({**PAIR, "sbc_floating_address": "198.18.1.14"}, "sbc_floating_address 198.18.1.14: expected an IPv4 address with its prefix length"),
        ({**PAIR, "sbc_floating_address": "198.18.1.300/24"}, "sbc_floating_address 198.18.1.300/24: expected an IPv4 address with its prefix length"),
        ({**PAIR, "sbc_floating_address": f"{OWN}/24"}, f"sbc_floating_address {OWN}/24: expected an address that neither of the two SBCs has as its own."),
        ({**PAIR, "sbc_peers": [OWN]}, f"sbc_peers ['{OWN}']: expected the own addresses of the two SBCs that share 198.18.1.14, of which this one has {OWN}."),
        ({**PAIR, "sbc_peers": [OWN, "198.18.1.15", "198.18.1.16"]}, "sbc_peers"),
        ({**PAIR, "sbc_peers": ["sbc2"]}, "sbc_peers"),
    ],
)
def test_what_makes_none(variables, said):
    (fault,) = faults(**variables)
    assert fault.startswith(said)


@pytest.mark.parametrize("pbx", ["198.18.1.11", "pbx1:5060", "198.18.1.11:0", "198.18.1.11:sip", "[2001:db8::1]:5060"])
def test_a_pbx_is_an_address_and_a_port(pbx):
    assert faults(sbc_pbxs=[pbx]) == [f"sbc_pbxs {pbx}: expected address:port, such as 198.18.1.11:5060. Names are not looked up during a call."]


def test_it_listens_at_an_address_of_the_host():
    assert faults("198.18.1.99", sbc_sip_ip="198.18.1.99") == ["sbc_sip_ip 198.18.1.99: expected an address of this host, which has 127.0.0.1, 198.18.1.13."]
    assert faults("pbx", sbc_sip_ip="pbx") == ["sbc_sip_ip pbx: expected an IPv4 address, such as 198.18.1.13."]


def test_a_point_to_point_address_is_one_of_the_host():
    values = {**yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))}
    assert sbc_faults(values, "203.0.113.4", ["2: ppp0    inet 203.0.113.4 peer 203.0.113.1/32 scope global ppp0"]) == []


def test_a_host_that_speaks_from_no_ipv4_address_is_refused():
    assert faults("2001:db8::1") == ["sbc_sip_ip is empty, and the host speaks from 2001:db8::1: expected an IPv4 address of this host."]


def test_all_of_it_is_told_at_once():
    assert len(faults(sbc_sip_port=0, sbc_workers=0, sbc_pbxs=["a", "b"])) == 4
