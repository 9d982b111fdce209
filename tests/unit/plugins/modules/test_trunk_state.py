# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.module_utils import drain, trunk
from ansible_collections.siptrunk.failover.plugins.modules import trunk_state
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils import esl_server
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    DENIED, LOGIN, SECRET, USER, ScriptedServer, event_list,
)
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import captured_plan

NAMES = ["acme-east", "beta", "delta", "gone"]
MARK = {"by": "ops", "at": "2026-11-23T04:00:00Z", "why": "maintenance"}
OK = "Response: Success\nActionID: {id}\n\n"


@pytest.fixture
def plan(tmp_path):
    """The file of the captured plan, with a route."""
    route = {"name": "all", "emergency": False, "trunks": [[{"name": "acme-east"}], [{"name": "beta"}]]}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**captured_plan(), "routes": [route]}), encoding="utf-8")
    return path


@pytest.fixture
def run(printed, plan, monkeypatch):
    """run(port, check_mode=False, **options): the module's result. Neither password is ever in what it prints."""
    monkeypatch.setattr(drain, "now", lambda: MARK["at"])

    def run_module(port, check_mode=False, **options):
        is_freeswitch = options.get("engine") == "freeswitch"
        ours = {"password": esl_server.PASSWORD} if is_freeswitch else {"username": USER, "password": SECRET}
        given = {**ours, "port": port, "plan": str(plan), "state": "drained", "reason": "maintenance", "by": "ops", **options}
        with patch_module_args({**{key: value for key, value in given.items() if value is not None}, "_ansible_check_mode": check_mode}):
            with pytest.raises(SystemExit) as ended:
                trunk_state.main()
        output = printed()
        assert SECRET not in output.out + output.err
        assert esl_server.PASSWORD not in output.out + output.err
        result = json.loads(output.out)
        assert bool(ended.value.code) == result.get("failed", False)
        return result

    return run_module


def asterisk_look(channels=(), **marks):
    """The two questions of a look; ``marks``: {trunk: mark}."""
    entries = ["Key: /siptrunk_drained/%s\nVal: %s" % (name.replace("_", "-"), json.dumps(mark)) for name, mark in marks.items()]
    return [("DBGetTree", event_list("DBGetTreeResponse", *entries)),
            ("CoreShowChannels", event_list("CoreShowChannel", *("Channel: PJSIP/%s-0000001a" % name for name in channels)))]


def freeswitch_look(names, channels=(), **marks):
    return [
        esl_server.api("db list/siptrunk_drained", ",".join(marks)),
        *(esl_server.api("limit_usage hash siptrunk %s" % name, str(list(channels).count(name))) for name in names),
        *(esl_server.api("db select/siptrunk_drained/%s" % name, json.dumps(mark)) for name, mark in marks.items()),
    ]


def test_documentation_fits_the_code(run):
    returned = yaml.safe_load(trunk_state.RETURN)
    with ScriptedServer(LOGIN + asterisk_look()) as server:
        result = run(server.port, check_mode=True, trunks=["beta"])
    assert set(returned) == set(result) - {"changed", "diff", "invocation", "warnings"}
    assert list(returned["trunks"]["contains"]) == list(result["trunks"][0])
    options = yaml.safe_load(trunk_state.DOCUMENTATION)["options"]
    assert options["state"]["choices"] == list(drain.STATES)
    assert yaml.safe_load(trunk_state.EXAMPLES)


def test_drain_and_put_back(run):
    with ScriptedServer(LOGIN + asterisk_look() + [("DBPut", OK)] + asterisk_look(["beta.1"], beta=MARK)) as server:
        result = run(server.port, trunks=["beta"])
    assert result["trunks"] == [{"name": "beta", "changed": True, "before": None, "after": MARK, "channels": 1}]
    assert (result["changed"], result["idle"], result["routes_without_trunk"]) == (True, False, [])
    assert result["summary"] == ['beta: active -> drained since 2026-11-23T04:00:00Z by ops: "maintenance"; legs up: 1']
    put = server.received[4]
    assert (put["Key"], trunk.drain_mark(put["Val"])) == ("beta", MARK)
    with ScriptedServer(LOGIN + asterisk_look(beta=MARK) + [("DBDel", OK)] + asterisk_look()) as server:
        result = run(server.port, trunks=["beta"], state="active", reason=None)
    assert (result["changed"], result["trunks"][0]["after"]) == (True, None)
    assert result["summary"] == ['beta: drained since 2026-11-23T04:00:00Z by ops: "maintenance" -> active']


def test_freeswitch(run):
    text = drain.mark_text(MARK)
    steps = [*freeswitch_look(NAMES), esl_server.api("db insert/siptrunk_drained/beta/%s" % text, "+OK\n"), *freeswitch_look(["beta"], beta=MARK)]
    with esl_server.ScriptedServer(esl_server.LOGIN + steps) as server:
        result = run(server.port, engine="freeswitch", trunks=["beta"])
    assert (result["changed"], result["trunks"][0]["after"]) == (True, MARK)


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("state, marks", [("drained", {"beta": MARK}), ("active", {})])
def test_nothing_to_do(run, check_mode, state, marks):
    with ScriptedServer(LOGIN + asterisk_look(**marks)) as server:
        assert run(server.port, check_mode=check_mode, trunks=["beta"], state=state)["changed"] is False


def test_check_mode_changes_nothing_and_says_what_it_would(run):
    with ScriptedServer(LOGIN + asterisk_look()) as server:
        result = run(server.port, check_mode=True, trunks=["beta"], wait=True)
    assert (result["changed"], result["trunks"][0]["after"]) == (True, MARK)
    assert result["diff"] == {"before": "beta: active\n", "after": 'beta: drained since 2026-11-23T04:00:00Z by ops: "maintenance"\n'}


def test_a_route_without_a_trunk(run):
    with ScriptedServer(LOGIN + asterisk_look(acme_east=MARK)) as server:
        result = run(server.port, trunks=["beta"])
    assert result["failed"] and result["msg"].startswith("route all would have no trunk left") and result["changed"] is False
    with ScriptedServer(LOGIN + asterisk_look(acme_east=MARK)) as server:
        result = run(server.port, trunks=["beta"], force=True, check_mode=True)
    assert (result["changed"], result["routes_without_trunk"]) == (True, ["all"])


def test_a_failed_half(run):
    with ScriptedServer(LOGIN + asterisk_look() + [("DBPut", OK), ("DBPut", DENIED)]) as server:
        result = run(server.port, trunks=["beta", "delta", "gone"])
    assert result["failed"] and result["changed"] is True
    assert result["msg"] == ("delta: Asterisk refused the manager action DBPut: Permission denied. The manager user needs write = reporting,system. "
                             "Done before: beta. Not begun: gone")
    assert [item["changed"] for item in result["trunks"]] == [True, False, False]


def test_the_wait_runs_out(run):
    looks = asterisk_look(["beta.1", "beta.1"], beta=MARK)
    with ScriptedServer(LOGIN + looks + looks) as server:
        result = run(server.port, trunks=["beta"], wait=True, timeout=0)
    assert result["failed"] and result["msg"] == "drained, but not without calls after 0 s: beta (2)"
    assert (result["idle"], result["trunks"][0]["channels"], result["trunks"][0]["after"]) == (False, 2, MARK)


@pytest.mark.parametrize("options, message", [
    ({"trunks": ["beta", "zeta"]}, "no trunk of the plan is named: zeta. Those that exist: acme-east, beta, delta, gone"),
    ({"trunks": []}, "trunks: name at least one"),
    ({"reason": " "}, "reason: must not be empty"),
    ({"reason": None}, "state is drained but all of the following are missing: reason"),
    ({"timeout": "nan"}, "timeout: nan is not a number of seconds"),
    ({"interval": 0}, "interval: 0.0 is not"),
    ({"reason": "x" * 300}, "reason: "),
    ({"by": "x" * 65}, "by: longer than 64 bytes"),
])
def test_wrong_options_are_noticed_before_anybody_is_asked(run, options, message):
    result = run(5038, host="192.0.2.1", **{"trunks": ["beta"], **options})
    assert result["failed"] and result["msg"].startswith(message)


def test_a_plan_without_routes_is_refused(run, plan):
    plan.write_text(json.dumps(captured_plan()), encoding="utf-8")
    assert run(5038, host="192.0.2.1", trunks=["beta"])["msg"].startswith("plan: %s: routes: missing" % plan)


def test_who_it_is_without_being_told(run, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "alice")
    with ScriptedServer(LOGIN + asterisk_look()) as server:
        assert run(server.port, check_mode=True, trunks=["beta"], by=None)["trunks"][0]["after"]["by"] == "alice"
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr(trunk_state.getpass, "getuser", lambda: {}["nobody"])
    with ScriptedServer(LOGIN + asterisk_look()) as server:
        assert run(server.port, check_mode=True, trunks=["beta"], by=None)["trunks"][0]["after"]["by"].startswith("uid ")
