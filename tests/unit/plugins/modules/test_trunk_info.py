# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.module_utils import trunk
from ansible_collections.siptrunk.failover.plugins.modules import trunk_info
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils import esl_server
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    CARRIER_PASSWORD, CHALLENGE, DENIED, LOGIN, SECRET, USER, ScriptedServer, captured_trunks, event_list, getvar, then_close,
)
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import captured_plan

ASKED = [("DBGetTree", event_list("DBGetTreeResponse")), ("CoreShowChannels", event_list("CoreShowChannel")), getvar("EPOCH", 1795410530)]
BETA = [
    *(getvar("GLOBAL(SIPTRUNK_%s)" % name) for name in ("COOL_127.0.0.1_5072_udp", "HELD_127.0.0.1_5072_udp", "CLOSED_beta", "TRIAL_beta")),
    getvar("PJSIP_ENDPOINT(beta.1,context)", "siptrunk-inbound"),
    getvar("PJSIP_AOR(beta.1,contact)", "beta.1@@66137b194179d4cab14c64e3631e0879"),
    getvar("PJSIP_CONTACT(beta.1@@66137b194179d4cab14c64e3631e0879,status)", "NonQualified"),
    getvar("PJSIP_CONTACT(beta.1@@66137b194179d4cab14c64e3631e0879,rtt)", "N/A"),
]


@pytest.fixture
def plan(tmp_path):
    """The file of the captured plan."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(captured_plan()), encoding="utf-8")
    return path


@pytest.fixture
def run(printed, plan):
    """run(port, check_mode=False, **options): the module's result. Neither password is ever in what it prints."""

    def run_module(port, check_mode=False, **options):
        is_freeswitch = options.get("engine") == "freeswitch"
        ours = {} if is_freeswitch else {"username": USER}
        if "password_file" not in options:
            ours["password"] = esl_server.PASSWORD if is_freeswitch else SECRET
        options = {**ours, "port": port, "plan": str(plan), **options}
        with patch_module_args({**options, "_ansible_check_mode": check_mode}):
            with pytest.raises(SystemExit) as ended:
                trunk_info.main()
        output = printed()
        assert CARRIER_PASSWORD not in output.out + output.err
        assert SECRET not in output.out + output.err
        assert esl_server.PASSWORD not in output.out + output.err
        result = json.loads(output.out)
        assert bool(ended.value.code) == result.get("failed", False)
        assert result.get("changed", False) is False
        return result

    return run_module


def test_documentation_fits_the_code():
    returned = yaml.safe_load(trunk_info.RETURN)
    found = trunk.look(captured_plan()["trunks"], {"probes": {}, "marks": {}, "drained": {}, "channels": {}, "registrations": []})
    assert set(returned) == {*found, "all_up"}
    of_trunk, one = returned["trunks"]["contains"], found["trunks"][0]
    assert list(of_trunk) == list(one)
    assert list(of_trunk["targets"]["contains"]) == list(one["targets"][0])
    assert list(of_trunk["drained"]["contains"]) == list(trunk.drain_mark(""))
    assert of_trunk["targets"]["contains"]["probe"]["choices"] == list(trunk.PROBES)
    assert yaml.safe_load(trunk_info.EXAMPLES)


@pytest.mark.parametrize("check_mode", [False, True])
def test_all_trunks(run, check_mode):
    with ScriptedServer(captured_trunks()) as server:
        result = run(server.port, check_mode=check_mode)
    assert [(item["name"], item["up"], item["registered"]) for item in result["trunks"]] == [
        ("acme-east", True, True), ("beta", True, None), ("delta", False, False), ("gone", False, None)]
    assert (result["all_up"], result["missing"]) == (False, ["gone.1"])
    assert [fields["Action"] for fields in server.received][-1] == "Logoff"


def test_a_selection_asks_for_no_more_than_it_needs(run):
    with ScriptedServer(LOGIN + ASKED + BETA) as server:
        result = run(server.port, trunks=["beta"])
    assert [item["name"] for item in result["trunks"]] == ["beta"]
    assert (result["all_up"], result["missing"]) == (True, [])


def test_a_plan_without_trunks_is_not_up(run, plan):
    plan.write_text('{"trunks": []}', encoding="utf-8")
    with ScriptedServer(LOGIN + ASKED) as server:
        result = run(server.port)
    assert (result["trunks"], result["all_up"], result["missing"]) == ([], False, [])


def test_the_password_may_stay_on_the_host(run, tmp_path):
    (tmp_path / "secret").write_text("%s\n" % SECRET, encoding="utf-8")
    with ScriptedServer(LOGIN + ASKED + BETA) as server:
        assert run(server.port, trunks=["beta"], password_file=str(tmp_path / "secret"))["all_up"] is True


def test_a_text_that_no_encoding_takes_ends_in_a_result(run, plan):
    """JSON may hold half a surrogate pair, in the plan and in a mark."""
    spoilt = captured_plan()
    spoilt["trunks"][1]["carrier"] = "\ud800"
    plan.write_text(json.dumps(spoilt), encoding="utf-8")
    tree = ("DBGetTree", event_list("DBGetTreeResponse", 'Key: /siptrunk_drained/beta\nVal: {"why": "\\udfff"}'))
    with ScriptedServer(LOGIN + [tree] + ASKED[1:] + BETA) as server:
        result = run(server.port, trunks=["beta"])
    assert result["trunks"][0]["name"] == "beta" and result["trunks"][0]["drained"]["by"] is None


@pytest.mark.parametrize("text, message", [
    (None, "does not exist; the role siptrunk.failover.asterisk writes the plan"),
    ("{", "not JSON: "),
    ('{"trunks": [{}]}', "trunks[0].name: missing; deploy again"),
])
def test_a_plan_that_is_none_is_noticed_before_anybody_is_asked(run, plan, text, message):
    plan.unlink()
    if text is not None:
        plan.write_text(text, encoding="utf-8")
    result = run(5038, host="192.0.2.1")
    assert result["failed"] and result["msg"].startswith("plan: %s" % plan) and message in result["msg"]


def test_unknown_trunk(run):
    result = run(5038, host="192.0.2.1", trunks=["beta", "zeta"])
    assert result["failed"] and result["msg"] == "no trunk of the plan is named: zeta. Those that exist: acme-east, beta, delta, gone"


def test_missing_permission_says_what_to_grant(run):
    with ScriptedServer(LOGIN + [("DBGetTree", DENIED)]) as server:
        result = run(server.port, trunks=["beta"])
    assert result["msg"] == "Asterisk refused the manager action DBGetTree: Permission denied. The manager user needs write = reporting"


def test_refused_login(run):
    refusal = "Response: Error\nActionID: {id}\nMessage: Authentication failed\n\n"
    with ScriptedServer([CHALLENGE, ("Login", then_close(refusal))]) as server:
        result = run(server.port)
    assert result["failed"] and "refused the login of 'siptrunk': Authentication failed" in result["msg"]


def test_refused_port(run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = run(unused.getsockname()[1])
    assert result["failed"] and "cannot connect to the Asterisk manager interface at 127.0.0.1:" in result["msg"]


@pytest.mark.parametrize("options, text", [
    ({"port": 0}, "port: 0 is not a port"),
    ({"connect_timeout": "nan"}, "connect_timeout: nan is not"),
    ({"username": ""}, "username: must not be empty"),
    ({"password_file": "x", "password": "both-of-them"}, "mutually exclusive"),
    ({"password": None}, "password: must not be empty"),
    ({"engine": "kamailio"}, "value of engine must be one of"),
])
def test_wrong_options(run, options, text):
    result = run(**{"port": 5038, **options})
    assert result["failed"] and text in result["msg"]


# FreeSWITCH

@pytest.mark.parametrize("check_mode", [False, True])
def test_all_trunks_of_freeswitch(run, plan, check_mode):
    plan.write_text(json.dumps(captured_plan("127.0.0.42")), encoding="utf-8")
    with esl_server.ScriptedServer(esl_server.captured_trunks()) as server:
        result = run(server.port, engine="freeswitch", check_mode=check_mode)
    assert [(item["name"], item["up"], item["registered"]) for item in result["trunks"]] == [
        ("acme-east", True, True), ("beta", True, None), ("delta", False, False), ("gone", False, None)]
    assert (result["all_up"], result["missing"]) == (False, ["gone.1"])


def test_a_selection_and_a_password_on_the_host_of_freeswitch(run, tmp_path):
    (tmp_path / "secret").write_text("%s\n" % esl_server.PASSWORD, encoding="utf-8")
    with esl_server.ScriptedServer([*esl_server.LOGIN, *esl_server.look(["beta"], esl_server.gateways(beta__1={}))]) as server:
        result = run(server.port, engine="freeswitch", trunks=["beta"], password_file=str(tmp_path / "secret"))
    assert [item["name"] for item in result["trunks"]] == ["beta"]
    assert (result["all_up"], result["missing"]) == (True, [])


@pytest.mark.parametrize("engine", ["asterisk", "freeswitch"])
def test_each_engine_has_its_plan(run, engine):
    result = run(5038, host="192.0.2.1", engine=engine, plan=None)
    assert result["failed"] and result["msg"] == (
        "plan: /etc/%s/siptrunk/plan.json does not exist; the role siptrunk.failover.%s writes the plan when it deploys" % (engine, engine))


@pytest.mark.parametrize("command, module", [
    ("sofia xmlstatus gateway", "mod_sofia"), ("hash_dump db siptrunk", "mod_hash"), ("db list/siptrunk_drained", "mod_db"),
])
def test_what_freeswitch_lacks_is_named(run, command, module):
    steps = [esl_server.api(command, esl_server.NO_COMMAND % command.split()[0]) if step[0] == "api %s" % command else step
             for step in esl_server.look(["beta"])[:2 if module == "mod_hash" else None]]
    with esl_server.ScriptedServer([*esl_server.LOGIN, *steps]) as server:
        result = run(server.port, engine="freeswitch", trunks=["beta"])
    assert result["failed"] and result["msg"].endswith("Command not found! FreeSWITCH needs the module %s" % module)


def test_refused_login_to_freeswitch(run):
    with esl_server.ScriptedServer(esl_server.REFUSED) as server:
        result = run(server.port, engine="freeswitch")
    assert result["failed"] and "refused the login" in result["msg"]
