# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import time

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.module_utils import registration, registration_asterisk
from ansible_collections.siptrunk.failover.plugins.modules import registration_info
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils import esl_server
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    CARRIER_PASSWORD, CHALLENGE, CLOSE, DENIED, LOGIN, SECRET, USER, ScriptedServer, captured_list, registration_list, then_close,
)

LIST = "PJSIPShowRegistrationsOutbound"
COMMANDS = ("ListCommands", "Response: Success\nActionID: {id}\n\n")
ERROR = "Response: Error\nActionID: {id}\nMessage: %s\n\n"


def session(*lists):
    return LOGIN + [COMMANDS] + [(LIST, answer) for answer in lists]


@pytest.fixture
def run(printed):
    """run(port, check_mode=False, **options): the module's result. Neither password is ever in what it prints."""

    def run_module(port, check_mode=False, **options):
        ours = {"password": esl_server.PASSWORD} if options.get("engine") == "freeswitch" else {"username": USER, "password": SECRET}
        options = {**ours, "port": port, "interval": 0.02, **options}
        with patch_module_args({**options, "_ansible_check_mode": check_mode}):
            with pytest.raises(SystemExit) as ended:
                registration_info.main()
        output = printed()
        assert CARRIER_PASSWORD not in output.out + output.err
        assert SECRET not in output.out + output.err
        assert esl_server.PASSWORD not in output.out + output.err
        result = json.loads(output.out)
        assert bool(ended.value.code) == result.get("failed", False)
        assert result.get("changed", False) is False
        return result

    return run_module


def states(result):
    return {found["name"]: found["state"] for found in result["registrations"]}


def test_documentation_fits_the_code():
    options = yaml.safe_load(registration_info.DOCUMENTATION)["options"]
    returned = yaml.safe_load(registration_info.RETURN)["registrations"]["contains"]
    assert options["state"]["choices"] == returned["state"]["choices"] == list(registration.STATES)
    found = registration_asterisk.registrations([{"Event": "OutboundRegistrationDetail"}])[0]
    assert list(returned) == list(found)
    assert yaml.safe_load(registration_info.EXAMPLES)


@pytest.mark.parametrize("check_mode", [False, True])
def test_looks_once(run, check_mode):
    with ScriptedServer(session(captured_list())) as server:
        result = run(server.port, check_mode=check_mode)
    assert states(result) == {"acme-east.198-18-1-10": "unregistered", "beta": "registered", "delta": "rejected", "gamma": "rejected"}
    assert result["all_registered"] is False
    assert [action["Action"] for action in server.received][-1] == "Logoff"


def test_selection(run):
    with ScriptedServer(session(captured_list()), session(captured_list())) as server:
        by_trunk = run(server.port, trunks=["acme-east", "beta"])
        by_name = run(server.port, names=["beta"])
    assert list(states(by_trunk)) == ["acme-east.198-18-1-10", "beta"] and by_trunk["all_registered"] is False
    assert list(states(by_name)) == ["beta"] and by_name["all_registered"] is True


@pytest.mark.parametrize("options", [{}, {"state": "registered"}])
def test_no_registration_at_all_is_no_error_and_nothing_to_wait_for(run, options):
    with ScriptedServer(session(registration_list())) as server:
        result = run(server.port, **options)
    assert result["registrations"] == [] and result["all_registered"] is False


@pytest.mark.parametrize("options, text", [
    ({"names": ["beta", "zeta"]}, "no outbound registration named: zeta. Those that exist: a.1, beta"),
    ({"trunks": ["zeta"]}, "no outbound registration of trunk: zeta. Those that exist: a, beta"),
    ({"names": ["zeta"], "state": "registered"}, "no outbound registration named: zeta. Those that exist: a.1, beta"),
])
def test_unknown_selection(run, options, text):
    with ScriptedServer(session(registration_list(**{"beta": "Registered", "a.1": "Rejected"}))) as server:
        result = run(server.port, **options)
    assert result["failed"] and result["msg"] == text


@pytest.mark.parametrize("check_mode", [False, True])
def test_waits_for_the_selected_ones_only(run, check_mode):
    answers = [registration_list(a=state, b="Rejected") for state in ("Unregistered", "Rejected", "Registered")]
    with ScriptedServer(session(*answers)) as server:
        result = run(server.port, check_mode=check_mode, names=["a"], state="registered")
    assert states(result) == {"a": "registered"} and result["all_registered"] is True


def test_waits_for_another_state(run):
    with ScriptedServer(session(registration_list(a="Registered"), registration_list(a="Unregistered"))) as server:
        result = run(server.port, state="unregistered")
    assert states(result) == {"a": "unregistered"} and result["all_registered"] is False


def test_timeout_zero_is_one_look(run):
    with ScriptedServer(session(registration_list(a="Registered", b="Rejected", c="Rejected"))) as server:
        result = run(server.port, state="registered", timeout=0)
    assert result["msg"] == "not every registration reached the state registered within 0 s: registered: a; rejected: b, c"
    assert states(result) == {"a": "registered", "b": "rejected", "c": "rejected"} and result["all_registered"] is False


def test_the_last_look_is_at_the_deadline(run):
    with ScriptedServer(session(registration_list(a="Rejected"), registration_list(a="Registered"))) as server:
        started = time.monotonic()
        result = run(server.port, state="registered", timeout=0.3, interval=60)
        assert 0.3 <= time.monotonic() - started < 5
    assert states(result) == {"a": "registered"}


def test_waits_through_a_restart(run):
    """What Asterisk 22 was seen to do: shutting down, gone, action unknown, module not running, unregistered, registered."""
    with ScriptedServer(
        session(registration_list(a="Registered", b="Rejected"), CLOSE),
        [("Challenge", then_close(ERROR % "Asterisk is shutting down"))],
        session(ERROR % "Invalid/unknown command: %s." % LIST, DENIED, registration_list(a="Unregistered", b="Unregistered"),
                registration_list(a="Registered", b="Registered")),
    ) as server:
        result = run(server.port, state="registered")
    assert states(result) == {"a": "registered", "b": "registered"} and result["all_registered"] is True


def test_timeout_while_it_is_gone_says_why_and_returns_what_was_seen(run):
    with ScriptedServer(session(registration_list(a="Rejected"), CLOSE)) as server:
        result = run(server.port, state="registered", timeout=0.1, interval=0.08, connect_timeout=0.1)
    assert result["failed"] and result["msg"].startswith("not every registration reached the state registered within 0.1 s: ")
    assert "127.0.0.1:%d" % server.port in result["msg"]
    assert states(result) == {"a": "rejected"}


def test_a_refused_login_is_not_tried_again(run):
    refused = [CHALLENGE, ("Login", then_close(ERROR % "Authentication failed"))]
    with ScriptedServer(refused) as server:
        result = run(server.port, state="registered", timeout=30)
    assert result["failed"] and "refused the login of 'siptrunk': Authentication failed" in result["msg"]


def test_missing_permission_says_what_to_grant(run):
    with ScriptedServer(session(DENIED)) as server:
        result = run(server.port)
    assert result["msg"] == (
        "Asterisk refused the manager action %s: Permission denied. The manager user needs write = reporting, and Asterisk the module"
        " res_pjsip_outbound_registration" % LIST)


def test_refused_port(run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = run(unused.getsockname()[1])
    assert result["failed"] and "cannot connect to the Asterisk manager interface at 127.0.0.1:" in result["msg"]


@pytest.mark.parametrize("options, text", [
    ({"port": 0}, "port: 0 is not a port"),
    ({"port": 65536}, "port: 65536 is not a port"),
    ({"timeout": -1}, "timeout: -1.0 is not a number of seconds of 0 or more"),
    ({"timeout": "nan"}, "timeout: nan is not"),
    ({"interval": 0}, "interval: 0.0 is not a number of seconds of 0.01 or more"),
    ({"connect_timeout": "inf"}, "connect_timeout: inf is not"),
    ({"username": "x\r\n\r\nAction: Originate", "state": "registered"}, "field Username of a manager action holds a line break"),
    ({"state": "up"}, "value of state must be one of"),
    ({"engine": "kamailio"}, "value of engine must be one of"),
])
def test_wrong_options(run, options, text):
    if "username" in options:
        with ScriptedServer([CHALLENGE]) as server:
            result = run(server.port, **options)
        assert b"Originate" not in server.wire
    else:
        result = run(**{"port": 5038, **options})
    assert result["failed"] and text in result["msg"]


@pytest.mark.parametrize("option", ["username", "password"])
@pytest.mark.parametrize("value", ["", None])
def test_credentials_may_not_be_empty(run, option, value):
    result = run(5038, **{option: value})
    assert result["failed"] and result["msg"] == "%s: must not be empty" % option


def test_a_user_name_is_what_asterisk_needs(capsys):
    with patch_module_args({"password": SECRET}):
        with pytest.raises(SystemExit):
            registration_info.main()
    assert json.loads(capsys.readouterr().out)["msg"] == "engine is asterisk but all of the following are missing: username"


# FreeSWITCH

def of_freeswitch(*looks):
    """A session in which FreeSWITCH has these registrations, look by look: {name: its word for the state}."""
    steps = [
        step for states_ in looks
        for step in (esl_server.RUNNING, esl_server.api(esl_server.STATUS, esl_server.gateways(
            **{"%s__registration" % name: {"state": word, "status": "UP" if word == "REGED" else "DOWN"} for name, word in states_.items()})))
    ]
    return [*esl_server.LOGIN, *steps]


@pytest.mark.parametrize("check_mode", [False, True])
def test_looks_once_at_freeswitch(run, check_mode):
    session_ = [*esl_server.LOGIN, esl_server.RUNNING, esl_server.api(esl_server.STATUS, esl_server.fixture("sofia_xmlstatus_gateway.txt"))]
    with esl_server.ScriptedServer(session_) as server:
        result = run(server.port, engine="freeswitch", check_mode=check_mode)
    assert states(result) == {"acme-east": "registered", "delta": "rejected", "gamma.1": "rejected", "omega": "stopped"}
    assert result["all_registered"] is False


def test_freeswitch_knows_no_user_names(run):
    with esl_server.ScriptedServer(of_freeswitch({"a": "REGED"})) as server:
        assert run(server.port, engine="freeswitch", username="ignored")["all_registered"] is True


def test_selection_of_freeswitch(run):
    with esl_server.ScriptedServer(of_freeswitch({"a": "REGED", "b": "FAIL_WAIT"}), of_freeswitch({"a": "REGED"})) as server:
        assert states(run(server.port, engine="freeswitch", trunks=["a"])) == {"a": "registered"}
        result = run(server.port, engine="freeswitch", names=["zeta"])
    assert result["failed"] and result["msg"] == "no outbound registration named: zeta. Those that exist: a"


def test_waits_through_a_restart_of_freeswitch(run):
    first = of_freeswitch({"a": "REGED", "b": "FAIL_WAIT"}) + [(esl_server.RUNNING[0], esl_server.then_close(esl_server.GOODBYE))]
    loading = [*esl_server.LOGIN, *(esl_server.api(command, esl_server.NO_COMMAND % "sofia") for command in (
        "sofia xmlstatus profile siptrunk", esl_server.STATUS)), esl_server.NOT_RUNNING, esl_server.api(esl_server.STATUS, esl_server.gateways())]
    third = loading + of_freeswitch({"a": "TRYING", "b": "UNREGED"}, {"a": "REGED", "b": "REGED"})[1:]
    with esl_server.ScriptedServer(first, third) as server:
        result = run(server.port, engine="freeswitch", state="registered")
    assert states(result) == {"a": "registered", "b": "registered"} and result["all_registered"] is True


def test_a_refused_login_to_freeswitch_is_not_tried_again(run):
    with esl_server.ScriptedServer(esl_server.REFUSED) as server:
        result = run(server.port, engine="freeswitch", state="registered", timeout=30)
    assert result["failed"] and "refused the login. Check password in event_socket.conf.xml" in result["msg"]


def test_a_profile_that_does_not_run(run):
    with esl_server.ScriptedServer([*esl_server.LOGIN, esl_server.NOT_RUNNING, esl_server.api(esl_server.STATUS, esl_server.gateways())]) as server:
        result = run(server.port, engine="freeswitch")
    assert result["failed"] and result["msg"] == "FreeSWITCH refused the command sofia: the profile siptrunk does not run"


def test_refused_port_of_freeswitch(run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = run(unused.getsockname()[1], engine="freeswitch")
    assert result["failed"] and "cannot connect to the FreeSWITCH event socket at 127.0.0.1:" in result["msg"]
