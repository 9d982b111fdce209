# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import esl, trunk_freeswitch
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.esl_server import (
    CLOSE, EPOCH, LOGIN, NO_COMMAND, PASSWORD, STATUS, ScriptedServer, api, captured_trunks, gateways, look,
)
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import captured_plan, one_trunk

ALIVE = {"pingcount": "1", "pingtime": "0.47"}
BOTH = gateways(a__1={}, a__1__probe=ALIVE)


def asked(*steps, trunks=None):
    """What a trunk without registrations is found to be by the answers to these commands."""
    with ScriptedServer([*LOGIN, *steps]) as server:
        with esl.EslClient("127.0.0.1", server.port, PASSWORD) as client:
            return trunk_freeswitch.reader(client, one_trunk() if trunks is None else trunks)()


def test_a_real_freeswitch():
    found = asked(*captured_trunks()[1:], trunks=captured_plan("127.0.0.42")["trunks"])
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
        ("acme-east.1", "alive", 0.47, None),
        ("acme-east.2", "dead", None, "2033-05-18T03:33:19Z"),
        ("beta.1", "off", None, None),
        ("delta.1", "unknown", None, "2033-05-18T03:33:19Z"),
        ("gone.1", "unknown", None, None),
    ]
    assert [item["name"] for item in found["trunks"][0]["registrations"]] == ["acme-east"]


@pytest.mark.parametrize("elements, expected", [
    (ALIVE, ("alive", 0.47)),
    ({"pingcount": "3", "pingtime": "12.00"}, ("alive", 12.0)),
    ({"pingcount": "1", "pingtime": "soon"}, ("alive", None)),
    ({"pingcount": "1", "pingtime": "nan"}, ("alive", None)),
    ({"pingcount": "1", "pingtime": None}, ("alive", None)),
    ({"pingcount": "0"}, ("unknown", None)),
    ({"pingcount": "-1", "pingtime": "1.00"}, ("unknown", None)),
    ({"pingcount": None, "pingtime": "1.00"}, ("unknown", None)),
    ({"status": "DOWN"}, ("dead", None)),
    ({"status": "DOWN", "pingcount": "2", "pingtime": "1.00"}, ("dead", None)),
    ({"status": "down", "pingcount": "2", "pingtime": "1.00"}, ("unknown", None)),
    ({"status": None, "pingcount": "2", "pingtime": "1.00"}, ("unknown", None)),
    ({"status": "DOWN", "pinging": "1", "ping": "%d" % (EPOCH - 60)}, ("alive", None)),  # challenged
    ({"status": "UP", "pinging": "1", "ping": "%d" % (EPOCH - 60)}, ("alive", None)),
    ({"status": "DOWN", "pinging": "1", "ping": "%d" % (EPOCH - 20)}, ("dead", None)),  # not yet answered
    ({"status": "DOWN", "pinging": "0", "ping": "%d" % (EPOCH - 60)}, ("dead", None)),
    ({"status": "DOWN", "pinging": "1", "ping": "soon"}, ("dead", None)),
])
def test_probe_of_freeswitch(elements, expected):
    target = asked(*look(["a"], gateways(a__1={}, a__1__probe=elements)))["trunks"][0]["targets"][0]
    assert (target["probe"], target["rtt_ms"]) == expected


@pytest.mark.parametrize("began, expected", [(0, "dead"), (40, "dead"), (41, "alive")])
@pytest.mark.parametrize("epoch", [EPOCH - 10**6, EPOCH + 10**6])
def test_the_age_of_a_probe_is_by_freeswitchs_clock(epoch, began, expected):
    """It does not follow when the host's clock is set."""
    status = gateways(a__1={}, a__1__probe={"status": "DOWN", "pinging": "1", "ping": "%d" % (epoch - began)})
    assert asked(*look(["a"], status, epoch=epoch))["trunks"][0]["targets"][0]["probe"] == expected


def test_a_clock_that_is_none():
    steps = look(["a"], BOTH)
    steps[2] = api("strepoch", "noon")
    with pytest.raises(esl.EslProtocolError, match="answers strepoch with 'noon'"):
        asked(*steps)


@pytest.mark.parametrize("interval, names, missing", [
    (10, ["a__1", "a__1__probe"], []),
    (10, ["a__1"], ["a.1"]),
    (10, ["a__1__probe"], ["a.1"]),
    (10, [], ["a.1"]),
    (0, ["a__1"], []),
    (0, ["a__1", "a__1__probe"], []),
    (0, ["a__1__probe"], ["a.1"]),
])
def test_a_target_is_missing_without_its_gateway_or_that_of_its_probe(interval, names, missing):
    found = asked(*look(["a"], gateways(**{name: ALIVE for name in names})), trunks=one_trunk(probe={"interval": interval}))
    assert found["missing"] == missing
    assert found["trunks"][0]["targets"][0]["probe"] == ("off" if interval == 0 else "unknown" if missing else "alive")


@pytest.mark.parametrize("mark, cooling", [
    ("D/siptrunk_cool_127.0.0.1_5070_udp/%d\n" % (EPOCH + 1), True),
    ("D/siptrunk_cool_127.0.0.1_5070_udp/%d.5\n" % (EPOCH + 1), True),
    ("D/siptrunk_cool_127.0.0.1_5070_udp/%d\n" % EPOCH, False),
    ("D/siptrunk_cool_127.0.0.1_5070_udp/%d\n" % (EPOCH - 1), False),
    ("D/siptrunk_cool_127.0.0.1_5070_udp/soon\n", False),
    ("D/siptrunk_cool_127.0.0.1_5070_udp/%s\n" % ("9" * 30), False),
    ("D/siptrunk_cool_127.0.0.1_5070_tcp/%d\n" % (EPOCH + 1), False),
    ("D/siptrunk_cool_127.0.0.1_5071_udp/%d\n" % (EPOCH + 1), False),
    ("D/xsiptrunk_cool_127.0.0.1_5070_udp/%d\n" % (EPOCH + 1), False),
    ("D/x/D/siptrunk_cool_127.0.0.1_5070_udp/%d\n" % (EPOCH + 1), False),
])
def test_a_mark_holds_until_its_second_by_freeswitchs_clock(mark, cooling):
    found = asked(*look(["a"], BOTH, marks="D/siptrunk_cool_x/1\n" + mark))["trunks"][0]
    assert (found["targets"][0]["cooling_until"] is not None, found["up"]) == (cooling, not cooling)


def test_why_is_asked_of_drained_trunks_of_the_plan_alone():
    trunks = [{**one_trunk()[0], "name": name} for name in ("a", "b", "c")]
    steps = [*look("abc", BOTH, drained="z,c,a.1,b"), api("db select/siptrunk_drained/b", '{"by": "ops"}'), api("db select/siptrunk_drained/c")]
    found = asked(*steps, trunks=trunks)["trunks"]
    assert [item["drained"] for item in found] == [None, {"by": "ops", "at": None, "why": None}, None]


@pytest.mark.parametrize("length, cut", [(4093, False), (4094, True), (4095, True)])
def test_a_list_that_mod_db_has_cut_is_no_list(length, cut):
    listed = ("x" * length)[:-2] + ",b"
    assert trunk_freeswitch.drained_names(listed, ["a", "b"]) == (["a", "b"] if cut else ["b"])


@pytest.mark.parametrize("why", ["x" * 300, "\u00fc" * 300, "\u20ac" * 300, "carrier asked"])
def test_a_mark_that_mod_db_has_cut(why):
    text = json.dumps({"by": "ops", "at": None, "why": why}, ensure_ascii=False).encode()[:255].decode("utf-8", "replace")
    mark = trunk_freeswitch.drain_mark(text)
    assert mark["by"] == "ops" and len(mark["why"]) > 10 and why.startswith(mark["why"].rstrip("\ufffd"))


@pytest.mark.parametrize("text", ["carrier asked", "x" * 255, '{"by": "ops"' + " " * 300, '{"why": "\\', '{"by": "ops", "why": "w'])
def test_a_mark_that_is_no_json_is_the_reason(text):
    assert trunk_freeswitch.drain_mark(text) == {"by": None, "at": None, "why": text}


def test_channels_and_the_limit():
    found = asked(*look(["a"], BOTH, channels={"a": 2}), trunks=one_trunk(max_channels=2))["trunks"][0]
    assert (found["channels"], found["full"]) == (2, True)


def test_registrations_come_along_where_the_plan_has_any():
    status = gateways(a__1={}, a__1__probe=ALIVE, a__registration={"state": "REGED"}, b__registration={"state": "REGED"})
    found = asked(*look(["a"], status), trunks=one_trunk(registrations=[{"name": "a"}]))["trunks"][0]
    assert ([item["name"] for item in found["registrations"]], found["registered"]) == (["a"], True)
    found = asked(*look(["a"], status))["trunks"][0]
    assert (found["registrations"], found["registered"]) == ([], None)


def test_a_thousand_targets_take_a_few_round_trips(monkeypatch):
    trunks = [one_trunk(name="t%d" % number, targets=[{**one_trunk()[0]["targets"][0], "id": "t%d.1" % number}])[0] for number in range(1000)]
    status = gateways(**{name: ALIVE for number in range(1000) for name in ("t%d__1" % number, "t%d__1__probe" % number)})
    sent = []
    monkeypatch.setattr(esl.EslClient, "_send", lambda self, data, deadline, send=esl.EslClient._send: (sent.append(data), send(self, data, deadline)))
    found = asked(*look(["t%d" % number for number in range(1000)], status), trunks=trunks)
    assert found["missing"] == [] and len(found["trunks"]) == 1000 and len(sent) <= 25


def test_a_plan_without_trunks():
    assert asked(*look([]), trunks=[]) == {"trunks": [], "missing": []}


@pytest.mark.parametrize("command, text, shown", [
    ("strepoch", "noon", "noon"), ("strepoch", "", ""), ("strepoch", "-1", "-1"), (STATUS, "Invalid Syntax!", "Invalid Syntax!"),
    ("limit_usage hash siptrunk a", "USAGE: limit_usage", "USAGE: limit_usage"), ("limit_usage hash siptrunk a", "-1", "-1"),
])
def test_what_is_no_answer(command, text, shown):
    steps = [api(command, text) if step[0] == "api %s" % command else step for step in look(["a"], BOTH)]
    with pytest.raises(esl.EslProtocolError, match="answers %s with '%s'" % (command, shown)):
        asked(*steps)


@pytest.mark.parametrize("command", ["strepoch", STATUS, "hash_dump db siptrunk", "db list/siptrunk_drained", "limit_usage hash siptrunk a"])
def test_what_freeswitch_refuses_is_an_error(command):
    word = command.split()[0]
    steps = [api(command, NO_COMMAND % word) if step[0] == "api %s" % command else step for step in look(["a"], BOTH)]
    with pytest.raises(esl.EslActionError, match="refused the command %s: %s Command not found!" % (word, word)):
        asked(*steps)


def test_the_reader_connects_by_itself_and_again_after_a_loss():
    with ScriptedServer([*LOGIN, ("api strepoch", CLOSE)], [*LOGIN, *look(["a"], BOTH)]) as server:
        client = esl.EslClient("127.0.0.1", server.port, PASSWORD)
        read = trunk_freeswitch.reader(client, one_trunk())
        with pytest.raises(esl.EslProtocolError):
            read()
        assert read()["trunks"][0]["up"] is True
        client.close()
