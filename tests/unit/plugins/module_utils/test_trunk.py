# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import os

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import trunk
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import captured_plan, one_trunk

MARK = ("cool", "127.0.0.1_5070_udp")


def seen(**differs):
    return {"probes": {"a.1": (trunk.ALIVE, 1.5)}, "marks": {}, "drained": {}, "channels": {}, "registrations": [], **differs}


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
        trunk.read_plan(str(tmp_path / "plan.json"), "asterisk")


def test_read_plan(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(ValueError, match=r"^plan: .*plan\.json does not exist; the role siptrunk\.failover\.freeswitch writes the plan"):
        trunk.read_plan(str(path), "freeswitch")
    path.write_text(json.dumps(captured_plan()), encoding="utf-8")
    assert trunk.read_plan(str(path), "freeswitch") == captured_plan()["trunks"]
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^plan: .*plan\.json: not JSON: .*; deploy again"):
        trunk.read_plan(str(path), "freeswitch")
    with pytest.raises(ValueError, match=r"^plan: .*: not a regular file"):
        trunk.read_plan(str(tmp_path), "asterisk")
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(ValueError, match=r"^plan: .*: not a regular file"):
        trunk.read_plan(str(tmp_path / "pipe"), "asterisk")
    with pytest.raises(ValueError, match=r"^plan: "):
        trunk.read_plan(str(path / "below"), "asterisk")
    with pytest.raises(ValueError, match=r"^plan: "):
        trunk.read_plan("plan\0.json", "asterisk")


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
    return trunk.look(trunks or one_trunk(), seen(**differs))["trunks"][0]


def test_a_trunk_at_its_best():
    assert trunk.look(one_trunk(carrier="acme", site="nyc1"), seen()) == {"missing": [], "trunks": [{
        "name": "a", "carrier": "acme", "site": "nyc1", "transport": "udp", "up": True, "closed_until": None, "trial_until": None, "drained": None,
        "channels": 0, "channels_limit": 0, "full": False, "registered": None, "registrations": [],
        "targets": [{"id": "a.1", "host": "h.example", "address": "127.0.0.1", "port": 5070,
                     "probe": "alive", "rtt_ms": 1.5, "cooling_until": None, "held_until": None}],
    }]}


@pytest.mark.parametrize("differs, up", [
    ({"probes": {"a.1": (trunk.DEAD, None)}}, False),
    ({"probes": {"a.1": (trunk.UNKNOWN, None)}}, True),
    ({"probes": {}}, False),
    ({"marks": {MARK: 1795410000}}, False),
    ({"marks": {("held", "127.0.0.1_5070_udp"): 1795410000}}, False),
    ({"marks": {("closed", "a"): 1795410000}}, False),
    ({"marks": {("trial", "a"): 1795410000}}, False),
    ({"marks": {("closed", "b"): 1795410000, ("trial", "b"): 1795410000, ("held", "a"): 1795410000}}, True),
    ({"marks": {("cool", "127.0.0.1_5070_tcp"): 1795410000, ("cool", "127.0.0.1_5071_udp"): 1795410000, ("cool", "127.0.0.2_5070_udp"): 1795410000}}, True),
    ({"drained": {"a": trunk.drain_mark("x")}, "channels": {"a": 9}}, True),
])
def test_up_is_one_target_that_is_there_and_not_passed_over(differs, up):
    assert stands(**differs)["up"] is up


def test_a_mark_counts_for_its_own_transport():
    assert stands(one_trunk(transport="tcp"), marks={MARK: 1795410000})["up"] is True
    assert stands(one_trunk(transport="tcp"), marks={("cool", "127.0.0.1_5070_tcp"): 1795410000})["up"] is False


def test_one_target_of_several_is_enough_and_none_is_not():
    targets = [{**one_trunk()[0]["targets"][0], "id": "a.%d" % number, "port": 5069 + number} for number in (1, 2, 3)]
    probes = {"a.1": (trunk.DEAD, None), "a.2": (trunk.ALIVE, 1.0), "a.3": (trunk.ALIVE, 1.0)}
    two_left = stands(one_trunk(targets=targets), probes=probes, marks={("cool", "127.0.0.1_5071_udp"): 1795410000})
    assert [bool(target["cooling_until"]) for target in two_left["targets"]] == [False, True, False] and two_left["up"] is True
    del probes["a.3"]
    assert stands(one_trunk(targets=targets), probes=probes, marks={("cool", "127.0.0.1_5071_udp"): 1795410000})["up"] is False
    assert stands(one_trunk(targets=[]))["up"] is False


def test_targets_that_the_engine_lacks_in_the_order_of_the_plan():
    targets = [{**one_trunk()[0]["targets"][0], "id": "a.%d" % number} for number in (2, 10, 1)]
    found = trunk.look(one_trunk(targets=targets), seen())
    assert found["missing"] == ["a.2", "a.10"]
    assert [target["probe"] for target in found["trunks"][0]["targets"]] == ["unknown", "unknown", "alive"]


def test_a_trunk_that_is_not_probed_is_off_whatever_was_seen():
    off = stands(one_trunk(probe={"interval": 0}), probes={"a.1": (trunk.DEAD, 2.0)})
    assert (off["targets"][0]["probe"], off["targets"][0]["rtt_ms"], off["up"]) == ("off", None, True)
    assert stands(one_trunk(probe={"interval": 0.5}))["targets"][0]["probe"] == "alive"


@pytest.mark.parametrize("second, text", [
    (0, "1970-01-01T00:00:00Z"), (1795410530, "2026-11-23T05:08:50Z"), (10**20, "9999-12-31T23:59:59Z"),
])
def test_cooling_until(second, text):
    assert stands(marks={MARK: second})["targets"][0]["cooling_until"] == text


@pytest.mark.parametrize("limit, channels, full", [(0, 0, False), (0, 99, False), (2, 1, False), (2, 2, True), (2, 3, True)])
def test_full(limit, channels, full):
    found = stands(one_trunk(max_channels=limit), channels={"a": channels, "b": 100})
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
    stood = stands(one_trunk(registrations=[{"name": name} for name in planned]), registrations=[*found, registered("b")])
    assert stood["registered"] is expected
    assert stood["registrations"] == found


def test_sorted_by_name_and_drained_by_name():
    trunks = [{**one_trunk()[0], "name": name} for name in ("c", "a", "b")]
    found = trunk.look(trunks, seen(drained={"b": {"by": "ops"}, "x": {}}))["trunks"]
    assert [(item["name"], item["drained"]) for item in found] == [("a", None), ("b", {"by": "ops"}), ("c", None)]


# What an engine says

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


def test_look_leaves_what_it_was_given():
    given = one_trunk(registrations=[{"name": "a"}]), seen(registrations=[registered("a")])
    kept = copy.deepcopy(given)
    trunk.look(*given)
    assert given == kept


def routed(**differs):
    """The plan with one route, as JSON."""
    return json.dumps({**captured_plan(), "routes": [{"name": "all", "emergency": False, "trunks": [[{"name": "beta", "weight": 50}]], **differs}]}).encode()


def test_a_plan_with_its_routes():
    trunks, routes = trunk.parse_routed_plan(routed(match=[]))
    assert trunks == captured_plan()["trunks"]
    assert routes == [{"name": "all", "emergency": False, "trunks": [[{"name": "beta", "weight": 50}]], "match": []}]


@pytest.mark.parametrize("key, value, text", [
    ("name", "A", r"routes\[0\].name: expected the name of a route"),
    ("emergency", "no", r"routes\[0\].emergency: expected true or false"),
    ("trunks", ["beta"], r"routes\[0\].trunks\[0\]: expected a list"),
    ("trunks", [[{"name": "beta/x"}]], r"routes\[0\].trunks\[0\]\[0\].name: expected the name of a trunk"),
])
def test_a_route_that_is_none(key, value, text):
    with pytest.raises(ValueError, match=text):
        trunk.parse_routed_plan(routed(**{key: value}))
