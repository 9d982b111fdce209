# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters for Kamailio write, as its modules and Lua read it."""

from __future__ import annotations

import re

import pytest

from ansible_collections.siptrunk.failover.plugins.filter.sbc_dispatcher import sbc_dispatcher
from ansible_collections.siptrunk.failover.plugins.filter.sbc_plan import sbc_plan
from ansible_collections.siptrunk.failover.plugins.filter.sbc_registrations import sbc_registrations
from ansible_collections.siptrunk.failover.plugins.filter.sbc_secrets import sbc_secrets
from ansible_collections.siptrunk.failover.plugins.plugin_utils import patterns

PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


def trunk(name, *addresses, transport="udp", interval=30, account=None, **more):
    targets = [{"id": f"{name}.{n}", "host": address, "address": address, "port": 5060} for n, address in enumerate(addresses, 1)]
    registrations = [{"name": name, **targets[0]}] if account else []
    return {
        "name": name, "transport": transport, "domain": None, "from_user": None, "from_domain": None, "probe": {"interval": interval}, "targets": targets,
        "account": account and {"username": account, "auth_username": account, "realm": None}, "registrations": registrations, **more,
    }  # fmt: skip


def test_each_probed_target_is_a_set_of_its_own():
    """Two trunks may share a target, and each has its own mark."""
    plan = {"trunks": [trunk("a", "192.0.2.1", "192.0.2.2", domain="sip.a.example"), trunk("b", "192.0.2.9", interval=0), trunk("c", "192.0.2.1")]}
    assert sbc_dispatcher(plan) == [
        '1 sip:sip.a.example 0 0 duid=a.1;obproxy="sip:192.0.2.1:5060;transport=udp"',
        '2 sip:sip.a.example 0 0 duid=a.2;obproxy="sip:192.0.2.2:5060;transport=udp"',
        '3 sip:192.0.2.1:5060 0 0 duid=c.1;obproxy="sip:192.0.2.1:5060;transport=udp"',
    ]


def test_a_probe_leaves_from_the_address_it_is_told():
    plan = {"trunks": [trunk("a", "192.0.2.1"), trunk("b", "192.0.2.2", transport="tls")]}
    first, second = sbc_dispatcher(plan, {"udp": "udp:192.0.2.13:5060"})
    assert first.endswith(';obproxy="sip:192.0.2.1:5060;transport=udp";ping_socket=udp:192.0.2.13:5060')
    assert second.endswith(";transport=tls\"")


def test_the_sender_of_a_probe_is_that_of_calls_or_the_account():
    trunks = [trunk("a", "192.0.2.1", account="pbx-1", domain="sip.a.example"), trunk("b", "192.0.2.2", account="x", from_domain="b.example")]
    trunks.append(trunk("c", "192.0.2.3", account="login", from_user="line-1", domain="sip.c.example"))
    senders = [line.partition(";ping_from=")[2] for line in sbc_dispatcher({"trunks": trunks})]
    assert senders == ['"sip:pbx-1@sip.a.example"', '"sip:x@b.example"', '"sip:line-1@sip.c.example"']


def cells(row):
    """As db_text reads a row (dbt_file.c): a backslash takes the next character for what it is."""
    return [re.sub(r"\\(.)", r"\1", cell) for cell in re.split(r"(?<!\\)(?:\\\\)*:", row)]


@pytest.mark.parametrize(("transport", "contact"), [("udp", "192.0.2.13:5060"), ("tls", "192.0.2.13:5061;transport=tls")])
def test_a_registration_names_the_address_where_it_is_reached(transport, contact):
    plan = {"trunks": [trunk("a", "192.0.2.1", transport=transport, account="pbx"), trunk("b", "192.0.2.2")]}
    (row,) = sbc_registrations(plan, {"a": "secret"}, "192.0.2.13", PORTS)
    assert cells(row)[1:4] == ["a", "pbx", "192.0.2.1:5060"] and cells(row)[-2] == contact


def test_a_password_is_read_back_as_it_is():
    password = 'a:b\\c;d"e'
    (row,) = sbc_registrations({"trunks": [trunk("a", "192.0.2.1", account="pbx")]}, {"a": password}, "192.0.2.13", PORTS)
    assert row.count("a\\:b\\\\c;d\"e") == 1
    assert sbc_secrets({"trunks": [trunk("a", "192.0.2.1", account="pbx"), trunk("b", "192.0.2.2")]}, {"a": password, "b": None}) == (
        '{a = "a:b\\092c\\059d\\034e"}'
    )


@pytest.mark.parametrize("pattern", ["_1NXXNXXXXXX", "_00.", "112", "_*8X#", "_+49Z.", "_[2-48]X!"])
def test_a_pattern_of_lua_takes_what_the_regular_expression_takes(pattern):
    """Lua has %+ for \\+, and the same sets, anchors and repetitions otherwise."""
    regex = patterns.to_regex(patterns.parse(pattern))
    written = sbc_plan({"trunks": [], "routes": [], "numbers": [{"pattern": pattern, "regex": regex, "route": "r"}]})
    lua = re.search(r'pattern = "(.*?)"', written).group(1)
    read = re.sub(r"\\([0-9]{3})", lambda match: chr(int(match.group(1))), lua)
    assert re.sub(r"%(.)", r"\\\1", read) == regex
    assert not re.search(r"(?<!%)[().?{|-]", re.sub(r"\[[^]]*\]", "", read)), "a sign that means something else to Lua"


def over_tls(name, domain, *proves, wildcard=False):
    made = trunk(name, "192.0.2.1", transport="tls", caller_id=None, from_user=None, identity={"asserted": "none"}, tls={"wildcard": wildcard})
    made |= {"domain": domain, "inbound": {"from": [], "context": None}}
    made["targets"][0] |= {"proves": list(proves)}
    return made


def test_trunks_that_share_an_address_prove_each_their_own_name():
    """A call is checked by its trunk and target, a probe by the name that it was for."""
    plan = {"trunks": [over_tls("a", "sip.a.example", "sip.a.example"), over_tls("b", "sip.b.example:5060", "sip.b.example", wildcard=True)]}
    written = sbc_plan({**plan, "routes": [], "numbers": []})
    assert 'proves = {["a.1"] = {"sip.a.example"}}' in written and 'proves = {["b.1"] = {"sip.b.example"}}' in written
    peers = written[written.index('["192.0.2.1_5060"]') : written.index("trunks = ")]
    assert '{authority = "sip.a.example", names = {"sip.a.example"}, wildcard = false}' in peers
    assert '{authority = "sip.b.example", names = {"sip.b.example"}, wildcard = true}' in peers


def test_trunks_that_prove_the_same_are_one_peer():
    plan = {"trunks": [over_tls("a", "sip.a.example", "sip.a.example"), over_tls("b", "sip.a.example", "sip.a.example")]}
    assert sbc_plan({**plan, "routes": [], "numbers": []}).count("authority = ") == 1
