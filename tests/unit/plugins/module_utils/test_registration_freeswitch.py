# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import esl, registration, registration_freeswitch, sofia
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.esl_server import (
    CLOSE, LOGIN, NO_COMMAND, NOT_RUNNING, PASSWORD, RUNNING, STATUS, ScriptedServer, api, fixture, gateways,
)

ONE = gateways(a__registration={"state": "REGED"})


def one(**elements):
    """The registration of one gateway."""
    return registration_freeswitch.registrations(sofia.gateways(gateways(a__1__registration=elements)))[0]


def test_registrations_of_a_real_freeswitch():
    assert registration_freeswitch.registrations(sofia.gateways(fixture("sofia_xmlstatus_gateway.txt"))) == [
        {"name": "acme-east", "trunk": "acme-east", "server": "sip:127.0.0.42:5080", "user": "sip:acme-user@sip.acme.example",
         "state": "registered", "expires_in": None},
        {"name": "delta", "trunk": "delta", "server": "sip:127.0.0.42:5081", "user": "sip:delta@127.0.0.42:5081",
         "state": "rejected", "expires_in": 51},
        {"name": "gamma.1", "trunk": "gamma", "server": "sip:127.0.0.42:5082", "user": "sip:gamma@127.0.0.42:5082",
         "state": "rejected", "expires_in": 57},
        {"name": "omega", "trunk": "omega", "server": "sip:127.0.0.42:5080", "user": "sip:stopped@127.0.0.42:5080",
         "state": "stopped", "expires_in": None},
    ]


@pytest.mark.parametrize("word, status, state", [
    ("REGED", "UP", "registered"),
    ("REGED", "DOWN", "registered"),
    ("REGISTER", "DOWN", "registered"),
    ("REGISTER", "UP", "registered"),
    ("UNREGED", "DOWN", "unregistered"),
    ("TRYING", "DOWN", "unregistered"),
    ("EXPIRED", "DOWN", "unregistered"),
    ("FAILED", "DOWN", "rejected"),
    ("FAILED", "UP", "rejected"),
    ("FAIL_WAIT", "DOWN", "rejected"),
    ("TIMEOUT", "UP", "rejected"),
    ("UNREGISTER", "UP", "stopped"),
    ("DOWN", "DOWN", "stopped"),
    ("DOWN", "UP", "stopped"),
    ("NOREG", "UP", "unknown"),
    ("reged", "UP", "unknown"),
    ("", "UP", "unknown"),
    (None, None, "unknown"),
])
def test_states(word, status, state):
    assert one(state=word, status=status)["state"] == state
    assert state in registration.STATES


@pytest.mark.parametrize("word", ["UNREGED", "TRYING", "EXPIRED"])
def test_a_refresh_does_not_look_like_a_loss(word):
    assert one(state=word, status="UP")["state"] == "registered"
    assert one(state=word, status=None)["state"] == "unregistered"


@pytest.mark.parametrize("word, retry, seconds", [
    ("FAIL_WAIT", "27s", 27), ("FAIL_WAIT", "0s", 0), ("FAIL_WAIT", "NEVER", None), ("FAIL_WAIT", None, None), ("FAIL_WAIT", "-5s", None),
    ("FAIL_WAIT", "9" * 30 + "s", None), ("TRYING", "27s", None), ("FAILED", "27s", None), ("REGED", None, None),
])
def test_expires_in(word, retry, seconds):
    assert one(state=word, retry=retry)["expires_in"] == seconds


@pytest.mark.parametrize("text, user", [
    ("&lt;sip:a@h;transport=tcp&gt;", "sip:a@h;transport=tcp"), ("&lt;sip:a&amp;b@h&gt;", "sip:a&b@h"), ("sip:a@h", "sip:a@h"), ("", ""), (None, ""),
    ("&lt;sip:a:s3cret@h&gt;", "sip:a@h"),
])
def test_user(text, user):
    assert one(**{"from": text})["user"] == user


def test_sorted_by_name_and_nothing_but_registrations():
    found = registration_freeswitch.registrations(sofia.gateways(gateways(b__registration={}, a__2__registration={}, a__1={}, a__1__probe={}, registration={})))
    assert [(item["name"], item["trunk"]) for item in found] == [("a.2", "a"), ("b", "b")]


def test_the_reader_connects_by_itself_and_again_after_a_loss():
    with ScriptedServer([*LOGIN, (RUNNING[0], CLOSE)], [*LOGIN, RUNNING, api(STATUS, ONE), RUNNING, api(STATUS, ONE)]) as server:
        client = esl.EslClient("127.0.0.1", server.port, PASSWORD)
        read = registration_freeswitch.reader(client)
        with pytest.raises(esl.EslProtocolError):
            read()
        assert [found["name"] for found in read()] == [found["name"] for found in read()] == ["a"]
        client.close()


@pytest.mark.parametrize("steps, error, text", [
    ([NOT_RUNNING, api(STATUS, gateways())], esl.EslActionError, "FreeSWITCH refused the command sofia: the profile siptrunk does not run"),
    ([api(sofia.RUNNING, NO_COMMAND % "sofia"), api(STATUS, NO_COMMAND % "sofia")], esl.EslActionError, "sofia Command not found!"),
    ([RUNNING, api(STATUS, "Invalid Syntax!\n")], esl.EslProtocolError, r"answers sofia xmlstatus gateway with 'Invalid Syntax!\\n'"),
])
def test_what_is_no_answer(steps, error, text):
    with ScriptedServer([*LOGIN, *steps]) as server:
        with esl.EslClient("127.0.0.1", server.port, PASSWORD) as client:
            with pytest.raises(error, match=text):
                registration_freeswitch.reader(client)()
