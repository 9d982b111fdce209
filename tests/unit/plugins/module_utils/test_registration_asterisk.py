# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, registration_asterisk
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    CARRIER_PASSWORD, CLOSE, LOGIN, SECRET, USER, ScriptedServer, captured_cli, captured_list, fixture, registration_list,
)

LIST = "PJSIPShowRegistrationsOutbound"
WITHOUT_COMMAND = ("ListCommands", "Response: Success\nActionID: {id}\nPing: Keepalive command. (Priv: <none>)\n\n")
WITH_COMMAND = ("ListCommands", "Response: Success\nActionID: {id}\nCommand: Execute Asterisk CLI Command. (Priv: command,all)\n\n")


def captured_events():
    text = fixture("pjsip_show_registrations_outbound.txt").replace("\n", "\r\n")
    return ami.Parser().feed(ami.BANNER + b"11.0.0\r\n" + text.encode())


def test_registrations_from_a_real_answer():
    assert registration_asterisk.registrations(captured_events()) == [
        {"name": "acme-east.198-18-1-10", "trunk": "acme-east", "server": "sip:127.0.0.1:5099", "user": "sip:acme-user@127.0.0.1:5099",
         "state": "unregistered", "expires_in": None},
        {"name": "beta", "trunk": "beta", "server": "sip:127.0.0.1:5098", "user": "sip:beta@127.0.0.1:5098",
         "state": "registered", "expires_in": None},
        {"name": "delta", "trunk": "delta", "server": "sip:127.0.0.1:5096", "user": "sip:delta@127.0.0.1:5096",
         "state": "rejected", "expires_in": None},
        {"name": "gamma", "trunk": "gamma", "server": "sip:127.0.0.1:5097", "user": "sip:gamma@127.0.0.1:5097",
         "state": "rejected", "expires_in": None},
    ]


def test_the_carriers_password_is_dropped():
    events = captured_events()
    assert CARRIER_PASSWORD in [event.get("Password") for event in events]
    assert CARRIER_PASSWORD not in repr(registration_asterisk.registrations(events))


def test_sorted_by_name_and_plain_dicts_will_do():
    events = [{"Event": "OutboundRegistrationDetail", "ObjectName": name, "Status": "Registered"} for name in ("b", "a.2", "a.1")]
    assert [(found["name"], found["trunk"]) for found in registration_asterisk.registrations(events)] == [("a.1", "a"), ("a.2", "a"), ("b", "b")]
    assert registration_asterisk.registrations([]) == []


@pytest.mark.parametrize("text, expected", [
    ("Registered", ("registered", None)),
    ("Unregistered", ("unregistered", None)),
    ("Rejected", ("rejected", None)),
    ("Stopping", ("stopped", None)),
    ("Stopped", ("stopped", None)),
    ("REGISTERED", ("registered", None)),
    ("Registered        (exp. 47s)", ("registered", 47)),
    ("Rejected (exp. 0s)", ("rejected", 0)),
    ("Unregistered      (exp. 6s ago)", ("unregistered", None)),
    ("Registering", ("unknown", None)),
    ("", ("unknown", None)),
    ("(", ("unknown", None)),
])
def test_parse_status(text, expected):
    assert registration_asterisk.parse_status(text) == expected


@pytest.mark.parametrize("next_registration, expected", [("0", None), ("", None), ("-5", None), ("soon", None), ("17", 17)])
def test_next_registration(next_registration, expected):
    event = {"Event": "OutboundRegistrationDetail", "ObjectName": "a", "Status": "Registered", "NextReg": next_registration}
    assert registration_asterisk.registrations([event])[0]["expires_in"] == expected


def test_an_object_without_a_client_is_unknown():
    assert registration_asterisk.registrations([{"Event": "OutboundRegistrationDetail", "ObjectName": "a"}])[0]["state"] == "unknown"


def test_cli_expiries_from_real_output():
    assert registration_asterisk.cli_expiries(fixture("pjsip_show_registrations_cli.txt").splitlines()) == {
        "acme-east.198-18-1-10": 19, "beta": 19, "delta": 24}


def test_cli_expiries_from_a_long_name_and_from_asterisk_18():
    name = "a-trunk-with-a-name-that-fills-the-whole-column-and-more"
    assert registration_asterisk.cli_expiries([
        " %s/sip:long.example:5060  auth                        Registered        (exp. 3s)" % name,
        " old/sip:h                                              n/a                         Registered       ",
    ]) == {name: 3}


def test_reader_fills_in_the_expiry_where_it_may():
    session = LOGIN + [WITH_COMMAND] + [(LIST, captured_list()), ("Command", captured_cli())] * 2
    with ScriptedServer(session) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            read = registration_asterisk.reader(client)
            first, second = read(), read()
    assert [(found["name"], found["expires_in"]) for found in first] == [
        ("acme-east.198-18-1-10", 19), ("beta", 19), ("delta", 24), ("gamma", None)]
    assert first == second


def test_reader_asks_for_no_command_where_it_may_not():
    with ScriptedServer(LOGIN + [WITHOUT_COMMAND, (LIST, captured_list())]) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            assert {found["expires_in"] for found in registration_asterisk.reader(client)()} == {None}


def test_reader_connects_by_itself_and_again_after_a_loss():
    first = LOGIN + [WITHOUT_COMMAND, (LIST, CLOSE)]
    second = LOGIN + [WITHOUT_COMMAND, (LIST, registration_list(a="Registered"))]
    with ScriptedServer(first, second) as server:
        client = ami.AmiClient("127.0.0.1", server.port, USER, SECRET)
        read = registration_asterisk.reader(client)
        with pytest.raises(ami.AmiProtocolError):
            read()
        assert [found["name"] for found in read()] == ["a"]
        client.logoff()
