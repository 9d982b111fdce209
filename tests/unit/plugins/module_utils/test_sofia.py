# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import sofia
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.esl_server import NO_COMMAND, fixture, gateways


def test_gateways_of_a_real_freeswitch():
    found = sofia.gateways(fixture("sofia_xmlstatus_gateway.txt"))
    assert list(found) == [
        "omega.registration", "gamma.1.registration", "delta.registration", "acme-east.registration", "delta.1.probe", "delta.1",
        "beta.1", "acme-east.2.probe", "acme-east.2", "acme-east.1.probe", "acme-east.1"]
    assert found["delta.registration"] == {
        "name": "delta.registration", "profile": "siptrunk", "from": "&lt;sip:delta@127.0.0.42:5081&gt;", "proxy": "sip:127.0.0.42:5081",
        "ping": "0", "pingcount": "0", "pingtime": "0.00", "pinging": "0", "state": "FAIL_WAIT", "status": "DOWN", "uptime-usec": "0", "retry": "51s"}
    # Its user name is "<state>REGED</state>&", which FreeSWITCH does not escape.
    assert found["delta.1"]["state"] == "NOREG"


def test_gateways_of_other_profiles_are_none_of_ours():
    assert "other.registration" in fixture("sofia_xmlstatus_gateway.txt")
    assert list(sofia.gateways(gateways(a__1={}, b__1={"profile": "phones"}, c__1={"profile": None}, d__1={"name": None}))) == ["a.1"]


def test_the_newest_of_two_gateways_of_one_name_counts():
    text = gateways(a__1={"state": "NOREG"}, x={"name": "a.1", "state": "UNREGISTER"})
    assert sofia.gateways(text)["a.1"]["state"] == "NOREG"


def test_a_value_that_looks_like_elements_is_a_value():
    text = gateways(a__1={"from": "<state>REGED</state>", "proxy": "sip:  <gateway>    <name>x</name>  </gateway>"})
    found = sofia.gateways(text)
    assert list(found) == ["a.1"] and found["a.1"]["state"] == "NOREG"
    assert (found["a.1"]["from"], found["a.1"]["proxy"]) == ("<state>REGED</state>", "sip:  <gateway>    <name>x</name>  </gateway>")


def test_no_gateways():
    assert sofia.gateways(gateways()) == {}


@pytest.mark.parametrize("text", ["", "Invalid Syntax!\n", "Invalid Gateway!\n", NO_COMMAND % "sofia", "x" * 300 + "<gateways>"])
def test_what_is_no_list_of_gateways(text):
    with pytest.raises(ValueError, match="no list of gateways"):
        sofia.gateways(text)


def test_is_running():
    assert sofia.is_running('<?xml version="1.0" encoding="ISO-8859-1"?>\n<profile>\n  <profile-info>\n')
    assert not sofia.is_running("Invalid Profile!\n")
