# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions with the engines: events in, marks out, on scripted servers."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from conftest import SETTINGS
from hypothesis import given
from hypothesis import strategies as st
from monitored import watched
from siptrunk_monitor import engine_asterisk, engine_freeswitch, engine_sbc

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, kamailio
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils import ami_server, esl_server

ATTEMPT = {"route": "nanp", "trunk": "acme", "target": "198.18.1.21:5060", "code": "503", "outcome": "503", "ms": "12", "verdict": "next_target", "call": "c1"}
ANSWERED = {"route": "nanp", "trunk": "acme", "target": "198.18.1.21:5060", "ms": "250", "call": "c1"}
MARKS = {("held", "198.18.1.21_5060_udp"): 1800000030, ("closed", "beta"): 0}


def capitals(fields):
    return {key.capitalize(): value for key, value in fields.items()}


def heard(engine, count):
    found = []
    while len(found) < count:
        found.append(engine.next(2))
    return found


def user_event(name, fields):
    return "Event: UserEvent\nPrivilege: user,all\nUserEvent: %s\n%s\n" % (name, "".join("%s: %s\n" % field for field in capitals(fields).items()))


@pytest.mark.parametrize("cut", [None, 7])
def test_asterisk(cut):
    events = (
        user_event("SiptrunkAttempt", ATTEMPT) + user_event("SiptrunkAnswered", ANSWERED) + user_event("Other", {})
        + "Event: ContactStatus\nURI: sip:x\nContactStatus: Unreachable\nAOR: acme.1\nEndpointName: acme.1\n\n"
        + "Event: ContactStatus\nContactStatus: Reachable\nAOR: acme.1\n\n" + "Event: ContactStatus\nContactStatus: Removed\nAOR: acme.1\n\n"
        + "Event: Registry\nStatus: Rejected\n\n" + "Event: FullyBooted\nStatus: x\n\n"
    )
    login = [ami_server.LOGIN[0], (ami_server.LOGIN[1][0], ami_server.LOGIN[1][1] + events)]
    done = "Response: Success\nActionID: {id}\nMessage: Variable Set\n\n"
    with ami_server.ScriptedServer([*login, ("Setvar", done), ("Setvar", done)], cut=cut) as server:
        engine = engine_asterisk.Asterisk({"host": "127.0.0.1", "port": server.port, "username": ami_server.USER}, ami_server.SECRET, [])
        engine.connect()
        assert heard(engine, 8) == [
            ("attempt", ATTEMPT), ("answered", ANSWERED), None, ("probe", "acme.1", "dead"), ("probe", "acme.1", "alive"), ("look",), ("look",), None]
        engine.mark(MARKS)
        engine.close()
    told = [(fields["Variable"], fields["Value"]) for fields in server.received if fields["Action"] == "Setvar"]
    assert told == [("SIPTRUNK_HELD_198.18.1.21_5060_udp", "1800000030"), ("SIPTRUNK_CLOSED_beta", "0")]
    assert [fields["Events"] for fields in server.received if fields["Action"] == "Login"] == [engine_asterisk.CLASSES]


def test_an_asterisk_that_says_less_than_it_should():
    for fields in ([("Event", "UserEvent")], [("Event", "UserEvent"), ("UserEvent", "SiptrunkAttempt")], [("Event", "ContactStatus")], []):
        kind, *dummy = engine_asterisk.told(ami.Message(fields)) or ("nothing",)
        assert kind in ("nothing", "attempt", "look")


@pytest.mark.parametrize("cut", [None, 7])
def test_freeswitch(cut):
    def custom(subclass, **headers):
        return esl_server.event(**{"Event-Name": "CUSTOM", "Event-Subclass": subclass, **headers})

    events = (
        custom("siptrunk::attempt", **capitals(ATTEMPT)) + custom("siptrunk::answered", **capitals(ANSWERED)) + custom("other")
        + custom("sofia::gateway_state", **{"Gateway": "acme.1.probe", "State": "NOREG", "Ping-Status": "DOWN"})
        + custom("sofia::gateway_state", **{"Gateway": "acme.1.probe", "Ping-Status": "UP"})
        + custom("sofia::gateway_state", **{"Gateway": "acme.registration", "State": "FAIL_WAIT", "Ping-Status": "DOWN"})
        + custom("sofia::gateway_state", Gateway=["no", "text"])
    )
    subscribe = ("event json CUSTOM siptrunk::attempt siptrunk::answered sofia::gateway_state", esl_server.reply("+OK event listener enabled json") + events)
    steps = [*esl_server.LOGIN, subscribe, esl_server.api("hash insert/siptrunk_held/198.18.1.21_5060_udp/1800000030", "+OK\n"),
             esl_server.api("hash insert/siptrunk_closed/beta/0", "+OK\n")]
    with esl_server.ScriptedServer(steps, cut=cut) as server:
        engine = engine_freeswitch.FreeSwitch({"host": "127.0.0.1", "port": server.port}, esl_server.PASSWORD, [])
        engine.connect()
        assert heard(engine, 7) == [
            ("attempt", ATTEMPT), ("answered", ANSWERED), None, ("probe", "acme.1", "dead"), ("probe", "acme.1", "alive"), ("look",), ("look",)]
        engine.mark(MARKS)
        engine.close()


@pytest.fixture
def control(tmp_path, monkeypatch):
    """A control socket that takes everything; what it was asked."""
    asked = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "sock"))
        monkeypatch.setattr(kamailio.KamailioClient.__init__, "__defaults__", (str(tmp_path / "sock"), 2))

        def serve():
            while True:
                data, peer = server.recvfrom(65536)
                question = json.loads(data)
                asked.append((question["method"], *question["params"]))
                server.sendto(b'{"result": 0}', peer)

        threading.Thread(target=serve, daemon=True).start()
        yield asked


def test_an_sbc(control):
    engine = engine_sbc.Sbc({}, "", [])
    engine.connect()
    (listening,) = control
    assert listening[:3] == ("htable.sets", "listener", "monitor")
    port, word = listening[3].split()
    events = [
        {"event": "SiptrunkAttempt", **capitals({**ATTEMPT, "ms": 12})}, {"event": "SiptrunkAttempt", **capitals({**ATTEMPT, "code": None})},
        {"event": "SiptrunkAnswered", **capitals({**ANSWERED, "ms": 250})}, {"event": "SiptrunkTarget", "Uri": "sip:198.18.1.21:5060"}, {"event": "Other"},
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hunt:
        for event in events:
            hunt.sendto(json.dumps({**event, "word": word}).encode(), ("127.0.0.1", int(port)))
    assert heard(engine, 5) == [("attempt", ATTEMPT), ("attempt", {**ATTEMPT, "code": ""}), ("answered", ANSWERED), ("look",), None]
    engine.mark(MARKS)
    assert control[1:] == [listening, ("htable.seti", "marks", "held:198.18.1.21_5060_udp", 1800000030), ("htable.seti", "marks", "closed:beta", 0)]
    engine.close()


FIELDS = ("Route", "Trunk", "Target", "Code", "Outcome", "Ms", "Verdict", "Call", "AOR", "ContactStatus", "Gateway", "Ping-Status")
TEXTS = st.sampled_from(["acme", "beta", "nanp", "next_target", "final", "200", "Reachable", "UP", "acme.1", "acme.1.probe"]) | st.text()


def hear(happened):
    """What the monitor makes of an event must be a line of the log, or nothing."""
    watch, log = watched(SETTINGS)
    kind, *told = happened or (None,)
    assert kind in (None, "look", "attempt", "answered", "probe")
    if told:
        getattr(watch, kind)(*told, 1.0)
    watch.tick(2.0)
    assert all("\n" not in json.dumps(line) for line in log)


@given(st.sampled_from(["UserEvent", "ContactStatus", "Registry", ""]), st.sampled_from(["SiptrunkAttempt", "SiptrunkAnswered", "x"]),
       st.lists(st.tuples(st.sampled_from(FIELDS), TEXTS)))
def test_whatever_asterisk_says(name, kind, fields):
    hear(engine_asterisk.told(ami.Message([("Event", name), ("UserEvent", kind), *fields])))


@given(st.sampled_from(engine_freeswitch.EVENTS), st.dictionaries(st.sampled_from(FIELDS), TEXTS | st.none() | st.integers() | st.lists(st.text())))
def test_whatever_freeswitch_says(subclass, fields):
    hear(engine_freeswitch.told({"Event-Subclass": subclass, **fields}))


@given(st.sampled_from(["SiptrunkAttempt", "SiptrunkAnswered", "SiptrunkTarget", "x", None]),
       st.dictionaries(st.sampled_from(FIELDS), TEXTS | st.none() | st.integers() | st.floats() | st.booleans() | st.lists(st.text())))
def test_whatever_an_sbc_says(kind, fields):
    hear(engine_sbc.told({"event": kind, **fields}))
