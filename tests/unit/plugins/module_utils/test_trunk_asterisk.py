# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, trunk_asterisk
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    CLOSE, DENIED, LOGIN, SECRET, USER, ScriptedServer, captured_trunks, event_list, getvar,
)
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import captured_plan, one_trunk

HASH = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("text, expected", [
    ("614", 0.614), ("12731", 12.731), ("0", 0.0), ("N/A", None), ("", None), ("-5", None), ("1.5", None), ("9" * 400, None), ("\u0661", None),
])
def test_milliseconds(text, expected):
    assert trunk_asterisk.milliseconds(text) == expected


def test_drains_of_our_family_alone():
    keys = ["/siptrunk_drained/a", "/siptrunkXdrained/b", "/SIPTRUNK_DRAINED/c", "/siptrunk_drained", "/x/siptrunk_drained/d", ""]
    assert list(trunk_asterisk.drains((key, "x") for key in keys)) == ["a"]


def test_channels_of_trunks_alone():
    assert trunk_asterisk.count_channels([
        "PJSIP/acme-east.1-0000001a", "PJSIP/acme-east.12-0000001b", "PJSIP/a.1-100000000",
        "PJSIP/acme-east-0000001c", "PJSIP/acme-east.x-0000001d", "PJSIP/1000-0000001e", "Local/acme-east.1-0000001f", "PJSIP/acme-east.1-00000020<ZOMBIE>",
        "SIP/acme-east.1-00000021", "xPJSIP/acme-east.1-00000022", "",
    ]) == {"acme-east": 2, "a": 1}


def test_a_real_asterisk():
    with ScriptedServer(captured_trunks()) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            found = trunk_asterisk.reader(client, captured_plan()["trunks"])()
    assert found["missing"] == ["gone.1"]
    columns = ("name", "up", "drained", "channels", "full", "registered")
    assert [tuple(item[column] for column in columns) for item in found["trunks"]] == [
        ("acme-east", True, {"by": "ops", "at": "2026-11-23T04:00:00Z", "why": "maintenance"}, 2, True, True),
        ("beta", True, {"by": None, "at": None, "why": "carrier asked"}, 1, False, None),
        ("delta", False, None, 0, False, False),
        ("gone", False, None, 0, False, None),
    ]
    columns = ("id", "probe", "rtt_ms", "cooling_until")
    assert [tuple(target[column] for column in columns) for item in found["trunks"] for target in item["targets"]] == [
        ("acme-east.1", "alive", 0.614, None),
        ("acme-east.2", "dead", None, "2033-05-18T03:33:19Z"),
        ("beta.1", "off", None, None),
        ("delta.1", "dead", None, "2033-05-18T03:33:19Z"),
        ("gone.1", "unknown", None, None),
    ]
    assert [item["name"] for item in found["trunks"][0]["registrations"]] == ["acme-east"]
    assert {fields["Family"] for fields in server.received if fields["Action"] == "DBGetTree"} == {"siptrunk_drained"}


NOW = 1795410530
EPOCH = getvar("EPOCH", NOW)
COOL = "GLOBAL(SIPTRUNK_COOL_127.0.0.1_5070_udp)"
OTHERS = [getvar("GLOBAL(SIPTRUNK_%s)" % name) for name in ("HELD_127.0.0.1_5070_udp", "CLOSED_a", "TRIAL_a")]
ENDPOINT = getvar("PJSIP_ENDPOINT(a.1,context)", "siptrunk-inbound")
AOR = getvar("PJSIP_AOR(a.1,contact)", "a.1@@%s" % HASH)
LISTS = [("DBGetTree", event_list("DBGetTreeResponse")), ("CoreShowChannels", event_list("CoreShowChannel"))]


def asked(*getvars, lists=tuple(LISTS), trunks=None):
    """What a trunk without registrations is found to be by the answers to these Getvars."""
    with ScriptedServer([*LOGIN, *lists, *getvars]) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            return trunk_asterisk.reader(client, trunks or one_trunk())()


def probed(status="Reachable", rtt="614"):
    return [getvar("PJSIP_CONTACT(a.1@@%s,status)" % HASH, status), getvar("PJSIP_CONTACT(a.1@@%s,rtt)" % HASH, rtt)]


@pytest.mark.parametrize("status, rtt, expected", [
    ("Reachable", "614", ("alive", 0.614)),
    ("Reachable", "soon", ("alive", None)),
    ("Unreachable", "N/A", ("dead", None)),
    ("NonQualified", "N/A", ("unknown", None)),
    ("Unknown", "N/A", ("unknown", None)),
    ("Created", "N/A", ("unknown", None)),
    ("reachable", "1", ("unknown", 0.001)),
    ("", "", ("unknown", None)),
])
def test_probe_of_asterisk(status, rtt, expected):
    target = asked(EPOCH, getvar(COOL), *OTHERS, ENDPOINT, AOR, *probed(status, rtt))["trunks"][0]["targets"][0]
    assert (target["probe"], target["rtt_ms"]) == expected


@pytest.mark.parametrize("mark, cooling", [
    (NOW + 1, True), (NOW, False), (NOW - 1, False), ("%d.000000" % (NOW + 30), True), ("9" * 20, True), ("soon", False), ("", False), ("-1", False),
])
def test_a_mark_holds_until_its_second_by_asterisks_clock(mark, cooling):
    found = asked(EPOCH, getvar(COOL, mark), *OTHERS, ENDPOINT, AOR, *probed())["trunks"][0]
    assert (found["targets"][0]["cooling_until"] is not None, found["up"]) == (cooling, not cooling)


@pytest.mark.parametrize("endpoint, aor", [("", "a.1@@%s" % HASH), ("siptrunk-inbound", ""), ("", "")])
def test_a_target_is_missing_without_its_endpoint_or_its_aor(endpoint, aor):
    assert asked(EPOCH, getvar(COOL), *OTHERS, getvar("PJSIP_ENDPOINT(a.1,context)", endpoint), getvar("PJSIP_AOR(a.1,contact)", aor))["missing"] == ["a.1"]


@pytest.mark.parametrize("contact", ["x", "a.1", "a.1@@%s" % HASH[1:], "a.1),SHELL(id)@@%s" % HASH, "?a.1@@%s" % HASH, "\x00\ufffd", "x" * 5000])
def test_a_contact_that_is_none_is_not_asked_for(contact):
    found = asked(EPOCH, getvar(COOL), *OTHERS, ENDPOINT, getvar("PJSIP_AOR(a.1,contact)", contact))
    assert found["missing"] == [] and found["trunks"][0]["targets"][0]["probe"] == "unknown"


def test_the_first_of_several_contacts_counts():
    two = getvar("PJSIP_AOR(a.1,contact)", "a.1@@%s,a.1@@%s" % (HASH, HASH[::-1]))
    assert asked(EPOCH, getvar(COOL), *OTHERS, ENDPOINT, two, *probed())["trunks"][0]["targets"][0]["probe"] == "alive"


def test_an_address_that_two_trunks_share_is_asked_for_once():
    trunks = one_trunk() + one_trunk(name="b", targets=[{**one_trunk()[0]["targets"][0], "id": "b.1"}])
    both = [getvar("PJSIP_ENDPOINT(a.1,context)", "siptrunk-inbound"), getvar("PJSIP_ENDPOINT(b.1,context)"), AOR, getvar("PJSIP_AOR(b.1,contact)")]
    marked = [OTHERS[0], *(getvar("GLOBAL(SIPTRUNK_%s)" % name) for name in ("CLOSED_a", "CLOSED_b", "TRIAL_a", "TRIAL_b"))]
    found = asked(EPOCH, getvar(COOL, NOW + 9), *marked, *both, *probed(), trunks=trunks)
    assert [item["targets"][0]["cooling_until"] for item in found["trunks"]] == ["2026-11-23T05:08:59Z"] * 2


def test_a_plan_without_trunks_asks_for_the_rest_all_the_same():
    with ScriptedServer([*LOGIN, *LISTS, EPOCH]) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            assert trunk_asterisk.reader(client, [])() == {"trunks": [], "missing": []}


@pytest.mark.parametrize("epoch", ["", "noon", "-1"])
def test_asterisk_without_a_clock(epoch):
    with pytest.raises(ami.AmiProtocolError, match="answers EPOCH with '%s'" % epoch):
        asked(getvar("EPOCH", epoch), getvar(COOL), *OTHERS)


@pytest.mark.parametrize("steps", [
    [("DBGetTree", DENIED)],
    [LISTS[0], ("CoreShowChannels", DENIED)],
    [*LISTS, EPOCH, getvar(COOL), *OTHERS, ("Getvar PJSIP_ENDPOINT(a.1,context)", DENIED), AOR],
])
def test_what_asterisk_refuses_is_an_error(steps):
    with pytest.raises(ami.AmiActionError, match="Permission denied"):
        asked(lists=steps)


def test_lists_with_entries_that_lack_their_fields():
    tree = event_list("DBGetTreeResponse", "Key: /siptrunk_drained/a", "Val: x")
    lists = [("DBGetTree", tree), ("CoreShowChannels", event_list("CoreShowChannel", "Exten: s"))]
    found = asked(EPOCH, getvar(COOL), *OTHERS, ENDPOINT, AOR, *probed(), lists=lists)["trunks"][0]
    assert (found["drained"], found["channels"]) == ({"by": None, "at": None, "why": ""}, 0)


def test_the_reader_connects_by_itself_and_again_after_a_loss():
    first = [*LOGIN, ("DBGetTree", CLOSE)]
    second = [*LOGIN, *LISTS, EPOCH, getvar(COOL), *OTHERS, ENDPOINT, AOR, *probed()]
    with ScriptedServer(first, second) as server:
        client = ami.AmiClient("127.0.0.1", server.port, USER, SECRET)
        read = trunk_asterisk.reader(client, one_trunk())
        with pytest.raises(ami.AmiProtocolError):
            read()
        assert read()["trunks"][0]["up"] is True
        client.logoff()
