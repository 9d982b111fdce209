# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import os

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, trunk
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    CLOSE, DENIED, LOGIN, SECRET, USER, ScriptedServer, captured_plan, captured_trunks, event_list, getvar,
)

HASH = "0123456789abcdef0123456789abcdef"
MARK = ("127.0.0.1", 5070, "udp")


def plan(**differs):
    """The one trunk of a plan, ``a`` with the target ``a.1``, which does not register."""
    return [{**captured_plan()["trunks"][3], "name": "a",
             "targets": [{"id": "a.1", "host": "h.example", "address": "127.0.0.1", "port": 5070}], **differs}]


def seen(**differs):
    return {"probes": {"a.1": (trunk.ALIVE, 1.5)}, "cooling": {}, "drained": {}, "channels": {}, "registrations": [], **differs}


def registered(name, state="registered"):
    return {"name": name, "trunk": name.partition(".")[0], "server": "", "user": "", "state": state, "expires_in": None}


# The plan

def spoiled(*path, value):
    """The text of the captured plan with another value at a path; the value ``KeyError`` removes it."""
    spoilt = captured_plan()
    place = spoilt
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(spoilt).encode()


def test_the_plan_as_it_is():
    assert trunk.parse_plan(json.dumps({**captured_plan(), "routes": ["whatever"]}).encode()) == captured_plan()["trunks"]
    assert trunk.parse_plan(b'{"trunks": []}') == []


TRUNK = ("trunks", 1)
TARGET = (*TRUNK, "targets", 0)


@pytest.mark.parametrize("data, text", [
    (b"", "not JSON: Expecting value"),
    (b"{", "not JSON: Expecting property name"),
    (b"\xff\xfe{\x00}\x00", "not UTF-8 at byte 0"),
    (b'{"trunks": "\xfc"}', "not UTF-8 at byte 12"),
    (b"[" * 1000000, "nested too deeply"),
    (b"null", "the whole: expected a mapping"),
    (b"[]", "the whole: expected a mapping"),
    (b"{}", "trunks: missing"),
    (b'{"trunks": {}}', "trunks: expected a list"),
    (b'{"trunks": ["a"]}', r"trunks\[0\]: expected a mapping"),
    (spoiled(*TRUNK, "name", value=KeyError), r"trunks\[1\]\.name: missing"),
    (spoiled(*TRUNK, "name", value="Beta"), r"trunks\[1\]\.name: expected the name of a trunk"),
    (spoiled(*TRUNK, "name", value="a" * 32), r"trunks\[1\]\.name: expected the name of a trunk"),
    (spoiled(*TRUNK, "name", value=7), r"trunks\[1\]\.name: expected the name of a trunk"),
    (spoiled(*TRUNK, "name", value="a\n"), r"trunks\[1\]\.name: expected the name of a trunk"),
    (spoiled(*TRUNK, "carrier", value=["acme"]), r"trunks\[1\]\.carrier: expected a text or null"),
    (spoiled(*TRUNK, "site", value=7), r"trunks\[1\]\.site: expected a text or null"),
    (spoiled(*TRUNK, "transport", value="sctp"), r"trunks\[1\]\.transport: expected udp, tcp or tls"),
    (spoiled(*TRUNK, "transport", value=["udp"]), r"trunks\[1\]\.transport: expected udp, tcp or tls"),
    (spoiled(*TRUNK, "max_channels", value=-1), r"trunks\[1\]\.max_channels: expected a number of channels"),
    (spoiled(*TRUNK, "max_channels", value="30"), r"trunks\[1\]\.max_channels: expected a number of channels"),
    (spoiled(*TRUNK, "max_channels", value=True), r"trunks\[1\]\.max_channels: expected a number of channels"),
    (spoiled(*TRUNK, "probe", value=30), r"trunks\[1\]\.probe: expected a mapping"),
    (spoiled(*TRUNK, "probe", "interval", value=None), r"trunks\[1\]\.probe\.interval: expected a number of seconds"),
    (spoiled(*TRUNK, "probe", "interval", value=float("nan")), r"trunks\[1\]\.probe\.interval: expected a number of seconds"),
    (spoiled(*TRUNK, "probe", "interval", value=False), r"trunks\[1\]\.probe\.interval: expected a number of seconds"),
    (spoiled(*TRUNK, "targets", value=None), r"trunks\[1\]\.targets: expected a list"),
    (spoiled(*TARGET, value="beta.1"), r"trunks\[1\]\.targets\[0\]: expected a mapping"),
    (spoiled(*TARGET, "host", value=5), r"trunks\[1\]\.targets\[0\]\.host: expected a text"),
    (spoiled(*TARGET, "port", value=0), r"trunks\[1\]\.targets\[0\]\.port: expected a port"),
    (spoiled(*TARGET, "port", value=65536), r"trunks\[1\]\.targets\[0\]\.port: expected a port"),
    (spoiled(*TARGET, "port", value=5060.5), r"trunks\[1\]\.targets\[0\]\.port: expected a port"),
    (spoiled(*TRUNK, "registrations", value=KeyError), r"trunks\[1\]\.registrations: missing"),
    (spoiled(*TRUNK, "registrations", value=[{"name": "x y"}]), r"trunks\[1\]\.registrations\[0\]\.name: expected the name of a registration"),
])
def test_a_plan_that_is_none_names_what_is_wrong(data, text):
    with pytest.raises(ValueError, match=text):
        trunk.parse_plan(data)


@pytest.mark.parametrize("key, text", [("id", "the name of a trunk, a dot and a number"), ("address", "an address")])
@pytest.mark.parametrize("value", ["", "x,FILE(/etc/shadow)", "1)SHELL(id", "127.0.0.1\n", "127.0.0.1,aors)", None, "${X}", "beta.1 "])
def test_nothing_but_a_name_or_an_address_gets_into_a_question(key, text, value):
    with pytest.raises(ValueError, match=r"trunks\[1\]\.targets\[0\]\.%s: expected %s" % (key, text)):
        trunk.parse_plan(spoiled(*TARGET, key, value=value))


def test_a_plan_beyond_the_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(trunk, "MAX_PLAN", 100)
    (tmp_path / "plan.json").write_bytes(b"0" * 1000)
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        trunk.read_plan(str(tmp_path / "plan.json"))


def test_read_plan(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(ValueError, match=r"^plan: .*plan\.json does not exist; the role .* writes the plan"):
        trunk.read_plan(str(path))
    path.write_text(json.dumps(captured_plan()), encoding="utf-8")
    assert trunk.read_plan(str(path)) == captured_plan()["trunks"]
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^plan: .*plan\.json: not JSON: .*; deploy again"):
        trunk.read_plan(str(path))
    with pytest.raises(ValueError, match=r"^plan: .*: not a regular file"):
        trunk.read_plan(str(tmp_path))
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(ValueError, match=r"^plan: .*: not a regular file"):
        trunk.read_plan(str(tmp_path / "pipe"))
    with pytest.raises(ValueError, match=r"^plan: "):
        trunk.read_plan(str(path / "below"))
    with pytest.raises(ValueError, match=r"^plan: "):
        trunk.read_plan("plan\0.json")


def test_select():
    trunks = captured_plan()["trunks"]
    assert trunk.select(trunks) == trunks
    assert [found["name"] for found in trunk.select(trunks, ["delta", "beta"])] == ["beta", "delta"]
    with pytest.raises(ValueError, match=r"no trunk of the plan is named: beta\.1, zeta\. Those that exist: acme-east, beta, delta, gone$"):
        trunk.select(trunks, ["beta", "beta.1", "zeta"])
    with pytest.raises(ValueError, match="Those that exist: none$"):
        trunk.select([], ["a"])


# How a trunk stands

def stands(trunks=None, **differs):
    return trunk.look(trunks or plan(), seen(**differs))["trunks"][0]


def test_a_trunk_at_its_best():
    assert trunk.look(plan(carrier="acme", site="nyc1"), seen()) == {"missing": [], "trunks": [{
        "name": "a", "carrier": "acme", "site": "nyc1", "transport": "udp", "up": True, "drained": None,
        "channels": 0, "channels_limit": 0, "full": False, "registered": None, "registrations": [],
        "targets": [{"id": "a.1", "host": "h.example", "address": "127.0.0.1", "port": 5070,
                     "probe": "alive", "rtt_ms": 1.5, "cooling_until": None}],
    }]}


@pytest.mark.parametrize("differs, up", [
    ({"probes": {"a.1": (trunk.DEAD, None)}}, False),
    ({"probes": {"a.1": (trunk.UNKNOWN, None)}}, True),
    ({"probes": {}}, False),
    ({"cooling": {MARK: 1795410000}}, False),
    ({"cooling": {("127.0.0.1", 5070, "tcp"): 1795410000, ("127.0.0.1", 5071, "udp"): 1795410000, ("127.0.0.2", 5070, "udp"): 1795410000}}, True),
    ({"drained": {"a": trunk.drain_mark("x")}, "channels": {"a": 9}}, True),
])
def test_up_is_one_target_that_is_there_and_not_passed_over(differs, up):
    assert stands(**differs)["up"] is up


def test_a_mark_counts_for_its_own_transport():
    assert stands(plan(transport="tcp"), cooling={MARK: 1795410000})["up"] is True
    assert stands(plan(transport="tcp"), cooling={("127.0.0.1", 5070, "tcp"): 1795410000})["up"] is False


def test_one_target_of_several_is_enough_and_none_is_not():
    targets = [{**plan()[0]["targets"][0], "id": "a.%d" % number, "port": 5069 + number} for number in (1, 2, 3)]
    probes = {"a.1": (trunk.DEAD, None), "a.2": (trunk.ALIVE, 1.0), "a.3": (trunk.ALIVE, 1.0)}
    two_left = stands(plan(targets=targets), probes=probes, cooling={("127.0.0.1", 5071, "udp"): 1795410000})
    assert [bool(target["cooling_until"]) for target in two_left["targets"]] == [False, True, False] and two_left["up"] is True
    del probes["a.3"]
    assert stands(plan(targets=targets), probes=probes, cooling={("127.0.0.1", 5071, "udp"): 1795410000})["up"] is False
    assert stands(plan(targets=[]))["up"] is False


def test_targets_that_the_engine_lacks_in_the_order_of_the_plan():
    targets = [{**plan()[0]["targets"][0], "id": "a.%d" % number} for number in (2, 10, 1)]
    found = trunk.look(plan(targets=targets), seen())
    assert found["missing"] == ["a.2", "a.10"]
    assert [target["probe"] for target in found["trunks"][0]["targets"]] == ["unknown", "unknown", "alive"]


def test_a_trunk_that_is_not_probed_is_off_whatever_was_seen():
    off = stands(plan(probe={"interval": 0}), probes={"a.1": (trunk.DEAD, 2.0)})
    assert (off["targets"][0]["probe"], off["targets"][0]["rtt_ms"], off["up"]) == ("off", None, True)
    assert stands(plan(probe={"interval": 0.5}))["targets"][0]["probe"] == "alive"


@pytest.mark.parametrize("second, text", [
    (0, "1970-01-01T00:00:00Z"), (1795410530, "2026-11-23T05:08:50Z"), (10**20, "9999-12-31T23:59:59Z"),
])
def test_cooling_until(second, text):
    assert stands(cooling={MARK: second})["targets"][0]["cooling_until"] == text


@pytest.mark.parametrize("limit, channels, full", [(0, 0, False), (0, 99, False), (2, 1, False), (2, 2, True), (2, 3, True)])
def test_full(limit, channels, full):
    found = stands(plan(max_channels=limit), channels={"a": channels, "b": 100})
    assert (found["channels"], found["channels_limit"], found["full"]) == (channels, limit, full)


@pytest.mark.parametrize("planned, found, expected", [
    ([], [], None),
    ([], [registered("a")], None),
    (["a"], [registered("a")], True),
    (["a"], [], False),
    (["a"], [registered("a.1")], False),
    (["a.1", "a.2"], [registered("a.1"), registered("a.2")], True),
    (["a.1", "a.2"], [registered("a.1"), registered("a.2", "rejected")], False),
    (["a"], [registered("a", "unknown")], False),
    (["a"], [registered("a"), registered("a.9", "rejected")], True),
])
def test_registered_is_every_registration_of_the_plan(planned, found, expected):
    stood = stands(plan(registrations=[{"name": name} for name in planned]), registrations=[*found, registered("b")])
    assert stood["registered"] is expected
    assert stood["registrations"] == found


def test_sorted_by_name_and_drained_by_name():
    trunks = [{**plan()[0], "name": name} for name in ("c", "a", "b")]
    found = trunk.look(trunks, seen(drained={"b": {"by": "ops"}, "x": {}}))["trunks"]
    assert [(item["name"], item["drained"]) for item in found] == [("a", None), ("b", {"by": "ops"}), ("c", None)]


# What Asterisk says

@pytest.mark.parametrize("text, expected", [
    ("17", 17), ("1795410530", 1795410530), ("1795410530.000000", 1795410530), ("9" * 20, int("9" * 20)),
    ("", None), ("9" * 21, None), ("-1", None), ("soon", None), ("17 ", None), ("1e9", None), ("17\n", None),
    ("\u0661\u0667", None), ("0x11", None), ("nan", None), (".5", None),
])
def test_seconds(text, expected):
    assert trunk.seconds(text) == expected


@pytest.mark.parametrize("text, expected", [
    ("614", 0.614), ("12731", 12.731), ("0", 0.0), ("N/A", None), ("", None), ("-5", None), ("1.5", None), ("9" * 400, None), ("\u0661", None),
])
def test_milliseconds(text, expected):
    assert trunk.milliseconds(text) == expected


@pytest.mark.parametrize("text, expected", [
    ('{"by": "ops", "at": "2026-11-23T04:00:00Z", "why": "w", "more": 1}', ("ops", "2026-11-23T04:00:00Z", "w")),
    ('{"why": "J\u00fcrgen"}', (None, None, "J\u00fcrgen")),
    ('{"by": 7, "at": null, "why": ["w"]}', (None, None, None)),
    ("{}", (None, None, None)),
    ("carrier asked", (None, None, "carrier asked")),
    ("", (None, None, "")),
    ("1", (None, None, "1")),
    ('["ops"]', (None, None, '["ops"]')),
    ('{"by": "ops"', (None, None, '{"by": "ops"')),
    ("[" * 100000, (None, None, "[" * 100000)),
])
def test_drain_mark(text, expected):
    assert trunk.drain_mark(text) == dict(zip(("by", "at", "why"), expected))


def test_drains_of_our_family_alone():
    keys = ["/siptrunk_drained/a", "/siptrunkXdrained/b", "/SIPTRUNK_DRAINED/c", "/siptrunk_drained", "/x/siptrunk_drained/d", ""]
    assert list(trunk.drains((key, "x") for key in keys)) == ["a"]


def test_channels_of_trunks_alone():
    assert trunk.count_channels([
        "PJSIP/acme-east.1-0000001a", "PJSIP/acme-east.12-0000001b", "PJSIP/a.1-100000000",
        "PJSIP/acme-east-0000001c", "PJSIP/acme-east.x-0000001d", "PJSIP/1000-0000001e", "Local/acme-east.1-0000001f", "PJSIP/acme-east.1-00000020<ZOMBIE>",
        "SIP/acme-east.1-00000021", "xPJSIP/acme-east.1-00000022", "",
    ]) == {"acme-east": 2, "a": 1}


def test_a_real_asterisk():
    with ScriptedServer(captured_trunks()) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            found = trunk.asterisk_reader(client, captured_plan()["trunks"])()
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
ENDPOINT = getvar("PJSIP_ENDPOINT(a.1,aors)", "a.1")
AOR = getvar("PJSIP_AOR(a.1,contact)", "a.1@@%s" % HASH)
LISTS = [("DBGetTree", event_list("DBGetTreeResponse")), ("CoreShowChannels", event_list("CoreShowChannel"))]


def asked(*getvars, lists=tuple(LISTS), trunks=None):
    """What a trunk without registrations is found to be by the answers to these Getvars."""
    with ScriptedServer([*LOGIN, *lists, *getvars]) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            return trunk.asterisk_reader(client, trunks or plan())()


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
    target = asked(EPOCH, getvar(COOL), ENDPOINT, AOR, *probed(status, rtt))["trunks"][0]["targets"][0]
    assert (target["probe"], target["rtt_ms"]) == expected


@pytest.mark.parametrize("mark, cooling", [
    (NOW + 1, True), (NOW, False), (NOW - 1, False), ("%d.000000" % (NOW + 30), True), ("9" * 20, True), ("soon", False), ("", False), ("-1", False),
])
def test_a_mark_holds_until_its_second_by_asterisks_clock(mark, cooling):
    found = asked(EPOCH, getvar(COOL, mark), ENDPOINT, AOR, *probed())["trunks"][0]
    assert (found["targets"][0]["cooling_until"] is not None, found["up"]) == (cooling, not cooling)


@pytest.mark.parametrize("endpoint, aor", [("", "a.1@@%s" % HASH), ("a.1", ""), ("", "")])
def test_a_target_is_missing_without_its_endpoint_or_its_aor(endpoint, aor):
    assert asked(EPOCH, getvar(COOL), getvar("PJSIP_ENDPOINT(a.1,aors)", endpoint), getvar("PJSIP_AOR(a.1,contact)", aor))["missing"] == ["a.1"]


@pytest.mark.parametrize("contact", ["x", "a.1", "a.1@@%s" % HASH[1:], "a.1),SHELL(id)@@%s" % HASH, "?a.1@@%s" % HASH, "\x00\ufffd", "x" * 5000])
def test_a_contact_that_is_none_is_not_asked_for(contact):
    found = asked(EPOCH, getvar(COOL), ENDPOINT, getvar("PJSIP_AOR(a.1,contact)", contact))
    assert found["missing"] == [] and found["trunks"][0]["targets"][0]["probe"] == "unknown"


def test_the_first_of_several_contacts_counts():
    two = getvar("PJSIP_AOR(a.1,contact)", "a.1@@%s,a.1@@%s" % (HASH, HASH[::-1]))
    assert asked(EPOCH, getvar(COOL), ENDPOINT, two, *probed())["trunks"][0]["targets"][0]["probe"] == "alive"


def test_an_address_that_two_trunks_share_is_asked_for_once():
    trunks = plan() + plan(name="b", targets=[{**plan()[0]["targets"][0], "id": "b.1"}])
    both = [getvar("PJSIP_ENDPOINT(a.1,aors)", "a.1"), getvar("PJSIP_ENDPOINT(b.1,aors)"), AOR, getvar("PJSIP_AOR(b.1,contact)")]
    found = asked(EPOCH, getvar(COOL, NOW + 9), *both, *probed(), trunks=trunks)
    assert [item["targets"][0]["cooling_until"] for item in found["trunks"]] == ["2026-11-23T05:08:59Z"] * 2


def test_a_plan_without_trunks_asks_for_the_rest_all_the_same():
    with ScriptedServer([*LOGIN, *LISTS, EPOCH]) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            assert trunk.asterisk_reader(client, [])() == {"trunks": [], "missing": []}


@pytest.mark.parametrize("epoch", ["", "noon", "-1"])
def test_asterisk_without_a_clock(epoch):
    with pytest.raises(ami.AmiProtocolError, match="does not tell the time: EPOCH is '%s'" % epoch):
        asked(getvar("EPOCH", epoch), getvar(COOL), ENDPOINT, AOR)


@pytest.mark.parametrize("steps", [
    [("DBGetTree", DENIED)],
    [LISTS[0], ("CoreShowChannels", DENIED)],
    [*LISTS, EPOCH, getvar(COOL), ("Getvar PJSIP_ENDPOINT(a.1,aors)", DENIED), AOR],
])
def test_what_asterisk_refuses_is_an_error(steps):
    with pytest.raises(ami.AmiActionError, match="Permission denied"):
        asked(lists=steps)


def test_lists_with_entries_that_lack_their_fields():
    tree = event_list("DBGetTreeResponse", "Key: /siptrunk_drained/a", "Val: x")
    lists = [("DBGetTree", tree), ("CoreShowChannels", event_list("CoreShowChannel", "Exten: s"))]
    found = asked(EPOCH, getvar(COOL), ENDPOINT, AOR, *probed(), lists=lists)["trunks"][0]
    assert (found["drained"], found["channels"]) == ({"by": None, "at": None, "why": ""}, 0)


def test_the_reader_connects_by_itself_and_again_after_a_loss():
    first = [*LOGIN, ("DBGetTree", CLOSE)]
    second = [*LOGIN, *LISTS, EPOCH, getvar(COOL), ENDPOINT, AOR, *probed()]
    with ScriptedServer(first, second) as server:
        client = ami.AmiClient("127.0.0.1", server.port, USER, SECRET)
        read = trunk.asterisk_reader(client, plan())
        with pytest.raises(ami.AmiProtocolError):
            read()
        assert read()["trunks"][0]["up"] is True
        client.logoff()


def test_look_leaves_what_it_was_given():
    given = plan(registrations=[{"name": "a"}]), seen(registrations=[registered("a")])
    kept = copy.deepcopy(given)
    trunk.look(*given)
    assert given == kept
