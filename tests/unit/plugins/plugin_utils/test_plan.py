# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of small models, every figure worked by hand."""

from __future__ import annotations

import copy
import io
import itertools
import json
import re
import tokenize
from pathlib import Path

import pytest
import yaml

from ansible_collections.siptrunk.failover.plugins.module_utils import trunk as trunk_state
from ansible_collections.siptrunk.failover.plugins.plugin_utils import model, plan, verdicts

HERE = Path(plan.__file__).parent
SPEC_FILE = HERE.parents[1] / "roles" / "plan" / "meta" / "argument_specs.yml"
SPEC = yaml.safe_load(SPEC_FILE.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
SECRET = 's3cret;"\\x'


def target(host, address, priority=10, weight=50, port=5060):
    return {
        "host": host,
        "address": address,
        "port": port,
        "priority": priority,
        "weight": weight,
        "family": f"ipv{6 if ':' in address else 4}",
    }


def answer(*targets, errors=()):
    """A result of plugins/module_utils/resolver.py."""
    problems = [{"kind": kind, "name": name, "message": message} for kind, name, message in errors]
    return {"domain": "", "transport": "udp", "source": "srv", "targets": list(targets), "ttl": 300, "errors": problems, "ok": not errors}


GW1 = target("gw1.acme.example", "198.18.1.10", 10)
GW2 = target("gw2.acme.example", "198.18.1.11", 20)
ANSWERS = {
    ("sip.acme.example", "udp"): answer(GW2, GW1),
    ("gw1.beta.example:5060", "udp"): answer(target("gw1.beta.example", "198.18.2.10", 0, 0)),
}
ACME = {
    "name": "acme",
    "carrier": "acme",
    "site": "nyc1",
    "domain": "sip.acme.example",
    "username": "pbx-100",
    "password": SECRET,
    "register": True,
}
BETA = {"name": "beta", "carrier": "beta", "site": "lax1", "servers": [{"host": "gw1.beta.example", "priority": 1, "weight": 2}]}
NANP = {"name": "nanp", "match": ["_1NXXNXXXXXX", "_911"], "trunks": ["acme", "beta"]}
FLOOR = {"settings": {"no_response_timeout": {"floor": 6.4, "step": 0.064, "scope": "host"}}}


def trunk(name, number, targets=1, **more):
    """A trunk of so many targets at 198.18.`number`.0/24."""
    return {"name": name, "servers": [{"host": f"198.18.{number}.{host}", "priority": host} for host in range(1, targets + 1)], **more}


def compile_model(trunks=(ACME, BETA), routes=(NANP,), policy=None, capabilities=None, answers=None, hunts=None):
    checked = model.read_model(SPEC, list(trunks), list(routes), policy or {})
    return plan.compile_plan(checked, capabilities, ANSWERS if answers is None else answers, hunts)


def problems_of(**kwargs):
    with pytest.raises(model.ModelError) as error:
        compile_model(**kwargs)
    return error.value.problems


def simple(*trunks, route=None, **kwargs):
    """The only route of a plan over `trunks`, asked in order."""
    route = {"name": "all", "match": ["_X."], "trunks": [item["name"] for item in trunks], **(route or {})}
    return compile_model(trunks, [route], **kwargs)["routes"][0]


# --- the whole -----------------------------------------------------------------------------


def test_questions():
    checked = model.read_model(SPEC, [BETA, {**ACME, "transport": "tcp"}, {**ACME, "name": "other"}, trunk("literal", 3)], [NANP], {})
    assert plan.questions(checked) == [("gw1.beta.example:5060", "udp"), ("sip.acme.example", "tcp"), ("sip.acme.example", "udp")]


def test_two_trunks():
    def bound(seconds, kept=None):
        return {"asked": seconds, "effective": kept or seconds, "latest": kept or seconds}

    compiled = compile_model(policy={"no_response_timeout": 4}, capabilities=FLOOR)
    targets = [
        {"id": "acme.1", **GW1, "proves": []},
        {"id": "acme.2", **GW2, "proves": []},
    ]
    bounds = {"silence": bound(4, 6.4), "progress": bound(10), "ring": bound(60)}
    assert compiled == {
        "trunks": [
            {
                "name": "acme",
                "carrier": "acme",
                "site": "nyc1",
                "transport": "udp",
                "domain": "sip.acme.example",
                "from_domain": "sip.acme.example",
                "from_user": None,
                "caller_id": None,
                "codecs": ["alaw", "ulaw"],
                "digits": {"strip": 0, "prepend": ""},
                "identity": {"asserted": "none"},
                "tls": {"wildcard": False},
                "options": {},
                "max_channels": 0,
                "account": {"username": "pbx-100", "auth_username": "pbx-100", "realm": None},
                "inbound": {"from": ["198.18.1.10/31"], "context": None, "contacts": []},
                "probe": {"interval": 30, "timeout": 3, "alive_on": "any"},
                "targets": targets,
                "registrations": [{"name": "acme", **targets[0]}],
            },
            {
                "name": "beta",
                "carrier": "beta",
                "site": "lax1",
                "transport": "udp",
                "domain": None,
                "from_domain": None,
                "from_user": None,
                "caller_id": None,
                "codecs": ["alaw", "ulaw"],
                "digits": {"strip": 0, "prepend": ""},
                "identity": {"asserted": "none"},
                "tls": {"wildcard": False},
                "options": {},
                "max_channels": 0,
                "account": None,
                "inbound": {"from": ["198.18.2.10/32"], "context": None, "contacts": []},
                "probe": {"interval": 30, "timeout": 3, "alive_on": "any"},
                "targets": [{"id": "beta.1", **target("gw1.beta.example", "198.18.2.10", 1, 2), "proves": []}],
                "registrations": [],
            },
        ],
        "routes": [
            {
                "name": "nanp",
                "match": [
                    {"pattern": "_1NXXNXXXXXX", "regex": "^1[2-9][0-9][0-9][2-9][0-9][0-9][0-9][0-9][0-9][0-9]$"},
                    {"pattern": "_911", "regex": "^911$"},
                ],
                "emergency": False,
                "trunks": [[{"name": "acme", "weight": 50}], [{"name": "beta", "weight": 50}]],
                "max_attempts": 3,
                "max_targets": 2,
                "cool_down": 30,
                "hunt_after_ringing": False,
                "attempts": [
                    {"trunk": "acme", "target": "acme.1", "bounds": bounds, "verdicts": "table-1"},
                    {"trunk": "acme", "target": "acme.2", "bounds": bounds, "verdicts": "table-1"},
                    {"trunk": "beta", "target": "beta.1", "bounds": bounds, "verdicts": "table-1"},
                ],
                "worst_post_dial_delay": {"seconds": 20, "sum": "acme 2 x 10"},
            }
        ],
        "numbers": [
            {"pattern": "_1NXXNXXXXXX", "regex": "^1[2-9][0-9][0-9][2-9][0-9][0-9][0-9][0-9][0-9][0-9]$", "route": "nanp"},
            {"pattern": "_911", "regex": "^911$", "route": "nanp"},
        ],
        "verdicts": {"table-1": {str(outcome): verdict for outcome, verdict in verdicts.DEFAULTS.items()}},
        "no_response_timeout": bound(4, 6.4),
        "notes": [],
    }


def test_the_plan_is_json_without_any_password():
    compiled = compile_model(trunks=[ACME, {**BETA, "username": "u", "password": "hunter2", "realm": "r"}])
    text = json.dumps(compiled)
    assert json.loads(text) == compiled
    assert "s3cret" not in text and "hunter2" not in text and "password" not in text


def test_the_same_model_gives_the_same_plan_in_whatever_order_it_is_written():
    trunks = [ACME, BETA, trunk("gamma", 3, 2, verdicts={480: "next_trunk"}, inbound_from=["198.18.2.0/24"]), trunk("unused", 4)]
    routes = [
        NANP,
        {**NANP, "name": "intl", "match": ["_00."], "trunks": ["gamma", "acme"]},
        {**NANP, "name": "a", "match": ["1"], "verdicts": {404: "next_trunk"}},
    ]
    answers = {question: {**found, "targets": found["targets"][::-1]} for question, found in ANSWERS.items()}
    expected = json.dumps(compile_model(trunks, routes), sort_keys=True)
    for shuffled, others in itertools.product(itertools.permutations(trunks), itertools.permutations(routes)):
        assert json.dumps(compile_model(shuffled, others, answers=answers), sort_keys=True) == expected


def test_compiling_leaves_the_model_as_it_was():
    checked = model.read_model(SPEC, [ACME, BETA], [NANP], {})
    before = copy.deepcopy((checked, ANSWERS))
    assert plan.compile_plan(checked, None, ANSWERS) == plan.compile_plan(checked, None, ANSWERS)
    assert (checked, ANSWERS) == before


# --- targets -------------------------------------------------------------------------------


def targets_of(found, capabilities=None):
    return compile_model(
        [ACME], [{**NANP, "trunks": ["acme"]}], answers={("sip.acme.example", "udp"): answer(*found)}, capabilities=capabilities
    )["trunks"][0]["targets"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([target("a", "198.18.1.2", 20), target("b", "198.18.1.1", 10)], ["198.18.1.1", "198.18.1.2"], id="priority"),
        pytest.param(
            [target("a", "198.18.1.1", 10, 0), target("b", "198.18.1.2", 10, 9)],
            ["198.18.1.2", "198.18.1.1"],
            id="then weight, heaviest first",
        ),
        pytest.param([target("b", "198.18.1.1"), target("a", "198.18.1.2")], ["198.18.1.2", "198.18.1.1"], id="then host"),
        pytest.param(
            [target("a", "198.18.1.10"), target("a", "198.18.1.9")], ["198.18.1.9", "198.18.1.10"], id="then address, as a number"
        ),
        pytest.param([target("a", "198.18.1.1", 10), target("b", "198.18.1.1", 20)], ["198.18.1.1"], id="one address once"),
        pytest.param(
            [target("a", "198.18.1.1", port=5060), target("a", "198.18.1.1", port=5070)],
            ["198.18.1.1", "198.18.1.1"],
            id="two ports are two targets",
        ),
        pytest.param([target("a", "2001:db8::1", 1), target("a", "198.18.1.1", 2)], ["2001:db8::1", "198.18.1.1"], id="both families"),
    ],
)
def test_targets(found, expected):
    for shuffled in (found, found[::-1]):
        targets = targets_of(shuffled)
        assert [item["address"] for item in targets] == expected
        assert [item["id"] for item in targets] == [f"acme.{number}" for number in range(1, len(expected) + 1)]


def test_of_equal_addresses_the_first_by_priority_stays():
    assert [item["host"] for item in targets_of([target("late", "198.18.1.1", 20), target("early", "198.18.1.1", 10)])] == ["early"]


def test_servers_keep_the_users_priorities_and_ports():
    beta = {
        "name": "beta",
        "servers": [
            {"host": "gw1.beta.example", "port": 5070, "priority": 30, "weight": 7},
            {"host": "198.18.2.11", "priority": 20},
            {"host": "[2001:db8::2]", "port": 5061},
        ],
    }
    answers = {("gw1.beta.example:5070", "udp"): answer(target("gw1.beta.example", "198.18.2.10", 0, 0, port=5070))}
    compiled = compile_model([beta], [{**NANP, "trunks": ["beta"]}], answers=answers)
    assert [(t["host"], t["address"], t["port"], t["priority"], t["weight"], t["family"]) for t in compiled["trunks"][0]["targets"]] == [
        ("2001:db8::2", "2001:db8::2", 5061, 10, 50, "ipv6"),
        ("198.18.2.11", "198.18.2.11", 5060, 20, 50, "ipv4"),
        ("gw1.beta.example", "198.18.2.10", 5070, 30, 7, "ipv4"),
    ]


@pytest.mark.parametrize(
    ("domain", "transport", "expected"),
    [
        ("198.18.1.10", "udp", ("198.18.1.10", 5060)),
        ("198.18.1.10", "tls", ("198.18.1.10", 5061)),
        ("198.18.1.10:5070", "tcp", ("198.18.1.10", 5070)),
        ("2001:db8::1", "udp", ("2001:db8::1", 5060)),
        ("[2001:db8::1]", "udp", ("2001:db8::1", 5060)),
        ("[2001:db8::1]:5070", "udp", ("2001:db8::1", 5070)),
    ],
)
def test_a_domain_that_is_an_address_needs_no_name_server(domain, transport, expected):
    literal = {"name": "literal", "domain": domain, "transport": transport}
    compiled = compile_model([literal], [{**NANP, "trunks": ["literal"]}], answers={})
    assert [(item["address"], item["port"]) for item in compiled["trunks"][0]["targets"]] == [expected]


def test_registrations():
    def names(register):
        return [
            (item["name"], item["address"]) for item in compile_model([{**ACME, "register": register}, BETA])["trunks"][0]["registrations"]
        ]

    assert names(False) == []
    assert names(True) == [("acme", "198.18.1.10")]
    assert names("each") == [("acme.1", "198.18.1.10"), ("acme.2", "198.18.1.11")]


@pytest.mark.parametrize(
    ("change", "from_domain"),
    [
        ({}, "sip.acme.example"),
        ({"domain": "sip.acme.example.:5060"}, "sip.acme.example"),
        ({"from_domain": "pbx.example"}, "pbx.example"),
        ({"domain": "2001:db8::1"}, "[2001:db8::1]"),
        ({"domain": "[2001:db8::1]"}, "[2001:db8::1]"),
    ],
)
def test_from_domain(change, from_domain):
    answers = {**ANSWERS, ("sip.acme.example.:5060", "udp"): answer(GW1)}
    assert compile_model([{**ACME, **change}], [{**NANP, "trunks": ["acme"]}], answers=answers)["trunks"][0]["from_domain"] == from_domain


GONE = ("nxdomain", "sip.acme.example", "sip.acme.example does not exist")


def test_dns_without_targets():
    answers = {**ANSWERS, ("sip.acme.example", "udp"): answer(errors=[GONE, ("timeout", "x", "no answer")])}
    assert problems_of(answers=answers) == [
        "trunk 'acme': domain 'sip.acme.example' leads to no address: sip.acme.example does not exist; no answer; "
        "correct the name, or give servers"
    ]


def test_dns_without_targets_for_a_server():
    answers = {
        **ANSWERS,
        ("gw1.beta.example:5060", "udp"): answer(errors=[("nxdomain", "gw1.beta.example", "gw1.beta.example does not exist")]),
    }
    assert problems_of(answers=answers) == [
        "trunk 'beta': server 'gw1.beta.example:5060' leads to no address: gw1.beta.example does not exist; "
        "correct the name, or give servers"
    ]


def test_dns_in_part():
    answers = {
        **ANSWERS,
        ("sip.acme.example", "udp"): answer(GW1, errors=[("timeout", "gw2.acme.example", "gw2.acme.example: no answer in 5 s")]),
    }
    compiled = compile_model(answers=answers)
    assert compiled["notes"] == ["trunk 'acme': 'sip.acme.example' resolves in part: gw2.acme.example: no answer in 5 s"]
    assert [item["id"] for item in compiled["trunks"][0]["targets"]] == ["acme.1"]


# --- bounds --------------------------------------------------------------------------------


def bounds_of(policy, settings=None, route=None, **trunk_settings):
    attempt = simple(trunk("acme", 1, **trunk_settings), route=route, policy=policy, capabilities={"settings": settings or {}})["attempts"][
        0
    ]
    return {name: tuple(bound[key] for key in ("asked", "effective", "latest")) for name, bound in attempt["bounds"].items()}


@pytest.mark.parametrize(
    ("policy", "settings", "expected"),
    [
        pytest.param(
            {}, {}, {"silence": (4, 4, 4), "progress": (10, 10, 10), "ring": (60, 60, 60)}, id="defaults, an engine without limits"
        ),
        pytest.param(
            {"no_response_timeout": 7, "no_progress_timeout": 8.2, "ring_timeout": 30.5},
            {
                "no_response_timeout": {"floor": 6.4, "step": 0.064},
                "no_progress_timeout": {"step": 1, "slack": 1},
                "ring_timeout": {"step": 0.5, "floor": 45},
            },
            {"silence": (7, 7.04, 7.04), "progress": (8.2, 9, 10), "ring": (30.5, 45, 45)},
            id="floor, step and slack of each",
        ),
        pytest.param(
            {"no_progress_timeout": 5},
            {"no_response_timeout": {"floor": 6.4}},
            {"silence": (4, 5, 5), "progress": (5, 5, 5), "ring": (60, 60, 60)},
            id="a shorter bound for progress ends silence too",
        ),
        pytest.param(
            {"no_progress_timeout": 6},
            {"no_response_timeout": {"floor": 6.4}, "no_progress_timeout": {"slack": 1}},
            {"silence": (4, 6.4, 6.4), "progress": (6, 6, 7), "ring": (60, 60, 60)},
            id="but only if it acts first at the latest",
        ),
    ],
)
def test_bounds(policy, settings, expected):
    assert bounds_of(policy, settings) == expected


def test_bounds_of_the_trunk_win_over_the_routes_and_those_over_the_policys():
    policy = {"ring_timeout": 40, "no_progress_timeout": 20}
    assert bounds_of(policy)["ring"][0] == 40
    assert bounds_of(policy, route={"ring_timeout": 41})["ring"][0] == 41
    assert bounds_of(policy, route={"ring_timeout": 41}, ring_timeout=42)["ring"][0] == 42
    assert bounds_of(policy, route={"no_progress_timeout": 21}, no_progress_timeout=22)["progress"][0] == 22


@pytest.mark.parametrize("key", ["max_attempts", "max_targets", "cool_down", "hunt_after_ringing"])
def test_a_route_overrides_the_policy(key):
    of_policy, of_route = (False, True) if key == "hunt_after_ringing" else (3, 2)
    assert simple(trunk("acme", 1), policy={key: of_policy})[key] == of_policy
    assert simple(trunk("acme", 1), policy={key: of_policy}, route={key: of_route})[key] == of_route
    assert simple(trunk("acme", 1), policy={key: of_route}, route={key: of_policy})[key] == of_policy, "0 or false of a route counts too"


def test_probe_as_the_engine_keeps_it():
    settings = {"probe_interval": {"floor": 5, "step": 1}, "probe_timeout": {"floor": 2}}

    def probe(**asked):
        item = trunk("acme", 1, probe=asked)
        return compile_model([item], [{**NANP, "trunks": ["acme"]}], capabilities={"settings": settings})["trunks"][0]["probe"]

    assert probe(interval=10.5, timeout=3) == {"interval": 11, "timeout": 3, "alive_on": "any"}
    assert probe(interval=2, timeout=1) == {"interval": 5, "timeout": 2, "alive_on": "any"}
    assert probe(interval=0) == {"interval": 0, "timeout": 3, "alive_on": "any"}, "0 turns the probe off, whatever the floor"


# --- verdicts ------------------------------------------------------------------------------


def tables_of(policy=None, routes=(None,), trunks=(None,)):
    items = [trunk(f"t{number}", number, verdicts=overrides or {}) for number, overrides in enumerate(trunks)]
    every = [
        {"name": f"r{number}", "match": [f"_{number}X."], "trunks": [item["name"] for item in items], "verdicts": overrides or {}}
        for number, overrides in enumerate(routes)
    ]
    compiled = compile_model(items, every, policy={"verdicts": policy or {}})
    used = {(route["name"], attempt["trunk"]): attempt["verdicts"] for route in compiled["routes"] for attempt in route["attempts"]}
    return compiled["verdicts"], used


def test_every_table_holds_every_code_and_outcome():
    tables, _used = tables_of(trunks=[{"5xx": "final"}, {480: "next_trunk"}])
    for table in tables.values():
        assert set(table) == {*map(str, range(300, 700)), "silent", "unreachable", "no_progress", "rang_out"}


def test_equal_tables_are_kept_once():
    tables, used = tables_of(policy={404: "final"}, routes=[None, {500: "next_target"}], trunks=[None, {480: "final"}, {480: "next_trunk"}])
    assert list(tables) == ["table-1", "table-2"]
    assert used == {(route, name): "table-2" if name == "t2" else "table-1" for route in ("r0", "r1") for name in ("t0", "t1", "t2")}


@pytest.mark.parametrize(
    ("policy", "route", "of_trunk", "code", "verdict"),
    [
        pytest.param(None, None, None, "480", "final", id="the decision table"),
        pytest.param({480: "next_trunk"}, None, None, "480", "next_trunk", id="policy"),
        pytest.param({480: "next_trunk"}, {480: "next_target"}, None, "480", "next_target", id="route over policy"),
        pytest.param({480: "next_trunk"}, {480: "next_target"}, {480: "final"}, "480", "final", id="trunk over route"),
        pytest.param({503: "final"}, None, {"5xx": "next_trunk"}, "503", "next_trunk", id="a trunk's class over a policy's code"),
        pytest.param({"5xx": "final"}, {503: "next_trunk"}, None, "502", "final", id="the rest of the class stays"),
        pytest.param({"silent": "next_trunk"}, None, None, "silent", "next_trunk", id="an outcome"),
        pytest.param({"4xx": "next_trunk"}, None, {"4xx": "next_trunk"}, "486", "final", id="always final"),
    ],
)
def test_precedence(policy, route, of_trunk, code, verdict):
    tables, used = tables_of(policy, [route], [of_trunk])
    assert tables[used["r0", "t0"]][code] == verdict


# --- the worst post-dial delay -------------------------------------------------------------

ALL_FINAL = {**{f"{digit}xx": "final" for digit in (3, 4, 5, 6)}, **dict.fromkeys(["unreachable", "no_progress"], "final")}
QUICK = {"no_progress_timeout": 5}  # silence: min(6.4, 5)


@pytest.mark.parametrize(
    ("trunks", "policy", "route", "seconds", "worked"),
    [
        # one trunk is the last one, and asked at once
        pytest.param([trunk("a", 1, 2)], {}, {}, 0, "0", id="one trunk"),
        # a: one target, 100 and then nothing: 10
        pytest.param([trunk("a", 1), trunk("b", 2)], {}, {}, 10, "a 10", id="two trunks of one target"),
        # a: 10 for its first target (it may say 100, and 5xx at the last moment), 10 for its second
        pytest.param([trunk("a", 1, 2), trunk("b", 2)], {}, {}, 20, "a 2 x 10", id="two trunks, two targets first"),
        # a may be passed over and asked last of all: b is what counts
        pytest.param([trunk("b", 2), trunk("a", 1, 2)], {}, {}, 20, "a 2 x 10", id="the cheapest may come last"),
        # three of two targets; any two: (10 + 10) + (10 + 10)
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2), trunk("c", 3, 2)], {}, {}, 40, "a 2 x 10 + b 2 x 10", id="three trunks of two targets"
        ),
        # only two of the four targets are asked
        pytest.param([trunk("a", 1, 4), trunk("b", 2, 4)], {}, {}, 20, "a 2 x 10", id="max_targets"),
        pytest.param([trunk("a", 1, 4), trunk("b", 2, 4)], {}, {"max_targets": 3}, 30, "a 3 x 10", id="max_targets of the route"),
        pytest.param([trunk("a", 1, 2, no_progress_timeout=5), trunk("b", 2)], {}, {}, 10, "a 2 x 5", id="equal: the later one comes last"),
        # a: 2 x 5 = 10; b: 12; c: 3. Without the cheapest, c: 22
        pytest.param(
            [trunk("a", 1, 2, **QUICK), trunk("b", 2, no_progress_timeout=12), trunk("c", 3, no_progress_timeout=3)],
            {},
            {},
            22,
            "a 2 x 5 + b 12",
            id="trunks with bounds of their own",
        ),
        # a code or 100-only leads to the next trunk, silence alone to the next target: 6.4 + 10
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2)],
            {"verdicts": {"5xx": "next_trunk", 408: "next_trunk"}},
            {},
            16.4,
            "a 16.4",
            id="only silence leads to the next target",
        ),
        # nothing leads to the next target: one attempt, 10
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2)],
            {"verdicts": {"5xx": "next_trunk", 408: "next_trunk", "silent": "next_trunk", "unreachable": "final"}},
            {},
            10,
            "a 10",
            id="nothing leads to the next target",
        ),
        # only silence goes on at all: 6.4 + 6.4
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2)],
            {"verdicts": {**ALL_FINAL, 604: "final", 606: "final"}},
            {},
            12.8,
            "a 2 x 6.4",
            id="only silence goes on",
        ),
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2)], {"verdicts": {**ALL_FINAL, "silent": "final"}}, {}, 0, "a 2 x 0", id="nothing goes on"
        ),
        # after ringing, a 5xx in the last second: 12 each
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2)],
            {"ring_timeout": 12},
            {"hunt_after_ringing": True},
            24,
            "a 2 x 12",
            id="hunt_after_ringing",
        ),
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2)],
            {"ring_timeout": 8},
            {"hunt_after_ringing": True},
            20,
            "a 2 x 10",
            id="hunt_after_ringing, a short ring",
        ),
        # it rang out at 12 leads to the next trunk; 10 to the next target
        pytest.param(
            [trunk("a", 1, 2), trunk("b", 2, 2)],
            {"ring_timeout": 12, "verdicts": {"rang_out": "next_trunk"}},
            {},
            22,
            "a 22",
            id="rang_out leads to the next trunk",
        ),
    ],
)
def test_worst_post_dial_delay(trunks, policy, route, seconds, worked):
    found = simple(*trunks, policy=policy, route=route, capabilities=FLOOR)["worst_post_dial_delay"]
    assert found["seconds"] == seconds
    assert found["sum"] == worked


THREE = [trunk("a", 1, 2), trunk("b", 2, 2), trunk("c", 3, 2)]


def test_the_defaults_just_fit_three_trunks_of_two_targets():
    assert simple(*THREE, capabilities=FLOOR)["worst_post_dial_delay"]["seconds"] == 40
    assert SPEC["siptrunk_policy"]["options"]["max_post_dial_delay"]["default"] == 40


def test_a_worst_case_over_the_limit_is_refused():
    with pytest.raises(model.ModelError) as error:
        simple(*THREE, policy={"max_post_dial_delay": 39.9})
    assert str(error.value) == (
        "route 'all': the last trunk may be asked only after 40 seconds (a 2 x 10 + b 2 x 10), more than max_post_dial_delay 39.9; "
        "lower no_progress_timeout or max_targets, remove a trunk, or raise max_post_dial_delay"
    )
    assert simple(*THREE, policy={"max_post_dial_delay": 39.9}, route={"max_post_dial_delay": 40})


def test_what_the_engine_adds_counts_towards_the_limit():
    slack = {"settings": {"no_progress_timeout": {"step": 1, "slack": 1}}}
    with pytest.raises(model.ModelError, match=r"after 44 seconds \(a 2 x 11 \+ b 2 x 11\), more than max_post_dial_delay 40;"):
        simple(*THREE, capabilities=slack)


def test_an_emergency_route_lifts_the_limits_and_says_so():
    trunks = [*THREE, trunk("d", 4, 2)]
    route = {"name": "all", "match": ["911"], "trunks": ["a", "b", "c", "d"], "emergency": True}
    compiled = compile_model(trunks, [route])
    assert compiled["routes"][0]["max_attempts"] == 4
    assert compiled["notes"] == [
        "route 'all': the last trunk may be asked only after 60 seconds (a 2 x 10 + b 2 x 10 + c 2 x 10), "
        "more than max_post_dial_delay 40; an emergency route may"
    ]


def test_a_trunk_that_max_attempts_never_reaches():
    with pytest.raises(model.ModelError) as error:
        simple(*THREE, route={"max_attempts": 2})
    assert str(error.value) == (
        "route 'all': it lists 3 trunks, but max_attempts is 2, so 'c' might never be asked; raise max_attempts, or remove a trunk"
    )


# --- SBCs ----------------------------------------------------------------------------------

KAMAILIO = {"settings": {name: {"floor": 0.5, "step": 0.001, "slack": 0.2} for name in ("no_response_timeout", "no_progress_timeout")}}
SBCS = trunk("sbcs", 9, 2, sbcs="siptrunk_sbc")


@pytest.mark.parametrize(
    ("trunks", "routes", "policy", "seconds"),
    [
        pytest.param([trunk("a", 1)], [["a"]], {}, 10.2, id="one target"),
        # 3 x 10.2
        pytest.param([trunk("a", 1, 2), trunk("b", 2)], [["a", "b"]], {}, 30.6, id="the last one counts too"),
        pytest.param([trunk("a", 1, 5)], [["a"]], {}, 20.4, id="no more than max_targets"),
        # as many as there may be
        pytest.param([ACME], [["acme"]], {"max_targets": 3}, 30.6, id="a domain leads to as many targets as may be asked"),
        pytest.param([{**trunk("a", 1), "servers": [{"host": "gw.example"}]}], [["a"]], {}, 20.4, id="and so does the name of a server"),
        pytest.param([trunk("a", 1), trunk("b", 2, no_progress_timeout=15)], [["a"], ["b"]], {}, 15.2, id="the slowest route"),
    ],
)
def test_how_long_an_sbc_hunts(trunks, routes, policy, seconds):
    routes = [{"name": f"r{at}", "match": [f"_{at}X."], "trunks": names} for at, names in enumerate(routes, start=1)]
    assert plan.longest_hunt(model.read_model(SPEC, trunks, routes, policy), KAMAILIO) == seconds


def test_sbcs_get_the_time_to_ask_everyone_and_to_ring():
    compiled = compile_model([SBCS], [{"name": "all", "match": ["_X."], "trunks": ["sbcs"]}], hunts={"sbcs": 61.2})
    bounds = compiled["routes"][0]["attempts"][0]["bounds"]
    assert {name: bound["effective"] for name, bound in bounds.items()} == {"silence": 4, "progress": 62.2, "ring": 122.2}


def test_what_an_sbc_answers_that_has_asked_everyone_is_final():
    beta = {**BETA, "no_progress_timeout": 5}
    compiled = compile_model([SBCS, beta], [{"name": "all", "match": ["_X."], "trunks": ["sbcs", "beta"]}], hunts={"sbcs": 61.2})
    route = compiled["routes"][0]
    table = compiled["verdicts"][route["attempts"][0]["verdicts"]]
    assert {code: table[code] for code in ("500", "no_progress", "404", "503", "silent", "403")} == {
        "500": "final", "no_progress": "final", "404": "final", "503": "next_target", "silent": "next_target", "403": "next_trunk",
    }  # fmt: skip
    assert compiled["verdicts"][route["attempts"][-1]["verdicts"]]["500"] == "next_target", "of beta"
    # 4 for a silent SBC, 4 for the other; what they say, they say at once
    assert route["worst_post_dial_delay"] == {"seconds": 8, "sum": "sbcs 2 x 4"}


def test_what_carriers_mean_does_not_make_a_pbx_ask_the_next_sbc():
    """The policy has another verdict on 480: the SBC has heeded it. The trunk's own counts, with the time that a hunt takes."""
    routes = [{"name": "all", "match": ["_X."], "trunks": ["sbcs"], "verdicts": {404: "next_target"}}]
    compiled = compile_model([SBCS], routes, {"verdicts": {480: "next_target"}}, hunts={"sbcs": 61.2})
    table = compiled["verdicts"][compiled["routes"][0]["attempts"][0]["verdicts"]]
    assert (table["404"], table["480"]) == ("final", "final")
    with pytest.raises(model.ModelError, match=r"after 124\.4 seconds \(sbcs 2 x 62\.2\)"):
        compile_model([{**SBCS, "verdicts": {500: "next_target"}}, BETA], [{**routes[0], "trunks": ["sbcs", "beta"]}], hunts={"sbcs": 61.2})


def test_who_goes_on_after_an_sbc_waits_for_its_hunt():
    with pytest.raises(model.ModelError, match=r"after 66\.2 seconds \(sbcs 66\.2\)"):
        compile_model(
            [{**SBCS, "verdicts": {"no_progress": "next_trunk"}}, BETA],
            [{"name": "all", "match": ["_X."], "trunks": ["sbcs", "beta"]}],
            hunts={"sbcs": 61.2},
        )


def test_a_bound_that_would_cut_the_hunt_of_an_sbc_is_refused():
    routes = [{"name": "all", "match": ["_X."], "trunks": ["sbcs"]}]
    assert problems_of(trunks=[{**SBCS, "no_progress_timeout": 30}], routes=routes, hunts={"sbcs": 61.2}) == [
        "trunk 'sbcs': no_progress_timeout 30: the SBCs behind it may hunt for 61.2 seconds; remove it, or give at least 62.2"
    ]
    compiled = compile_model([{**SBCS, "no_progress_timeout": 70}], routes, hunts={"sbcs": 61.2})
    assert compiled["routes"][0]["attempts"][0]["bounds"]["progress"]["effective"] == 70


# --- calls in ------------------------------------------------------------------------------


def test_two_accounts_at_one_address_are_told_apart_by_their_contacts():
    one, two = (trunk(name, 1, username=f"pbx-{name}", password=SECRET, register=True, inbound_context=f"from-{name}") for name in ("a", "b"))
    third = trunk("c", 1, username="pbx-c", password=SECRET)  # it does not register
    for features, contacts, counted in (
        (
            ["inbound_by_contact", "register", "no_progress"],
            [{"user": "pbx-b", "trunk": "b", "context": "from-b"}],
            "those to the contact 'pbx-b' count as 'b', all others as 'a'",
        ),
        (["register", "no_progress"], [], "those calls count as 'a'"),
    ):
        route = {**NANP, "trunks": ["a", "b", "c"]}
        compiled = compile_model([one, two, third], [route], capabilities={"features": features}, policy={"max_post_dial_delay": 60})
        assert [item["inbound"]["contacts"] for item in compiled["trunks"]] == [contacts, [], []]
        notes = [note for note in compiled["notes"] if "both receive" in note]
        assert notes == [
            f"trunks 'a' and 'b' both receive calls from 198.18.1.1/32: {counted}",
            "trunks 'a' and 'c' both receive calls from 198.18.1.1/32: those calls count as 'a'",
        ]


# --- options of the engine -------------------------------------------------------------------

WITH_OPTIONS = {
    "engine": "examplepbx",
    "options": {"of": "asterisk", "booleans": ["no", "yes"], "value": "[ -~]*", "objects": {"endpoint": ["aors"], "aor": []}},
}


def test_options_of_the_engine_pass_as_text():
    given = {"asterisk": {"endpoint": {"user_eq_phone": True, "rtp_timeout": 30, "media_encryption": "sdes"}}, "freeswitch": {"gateway": {"x": "y"}}}
    compiled = compile_model([{**ACME, "engine_options": given}], [{**NANP, "trunks": ["acme"]}], None, WITH_OPTIONS)
    assert compiled["trunks"][0]["options"] == {"endpoint": {"media_encryption": "sdes", "rtp_timeout": "30", "user_eq_phone": "yes"}}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"endpoint": {"aors": "other"}}, "endpoint: aors: failover depends on it; remove it"),
        ({"endpoint": {"AORS": "other"}}, "endpoint: AORS: failover depends on it; remove it"),
        ({"endpont": {"x": "y"}}, "endpont: expected aor or endpoint"),
        ({"endpoint": ["x"]}, "endpoint: expected a mapping of options"),
        ({"endpoint": {"x y": "z"}}, "endpoint: 'x y': expected the name of an option"),
        ({"aor": {"x": "a\nb"}}, "aor: x: expected a text without line breaks or characters that the engine takes for its own"),
    ],
)
def test_options_that_the_engine_cannot_take(given, problem):
    assert problems_of(
        trunks=[{**ACME, "engine_options": {"asterisk": given}}], routes=[{**NANP, "trunks": ["acme"]}], capabilities=WITH_OPTIONS
    ) == [f"trunk 'acme': engine_options: asterisk: {problem}"]


def test_an_engine_without_options_says_so():
    bare = {"engine": "examplesbc", "options": {"of": "sbc", "objects": {}}}
    assert problems_of(
        trunks=[{**ACME, "engine_options": {"sbc": {"x": {}}}}], routes=[{**NANP, "trunks": ["acme"]}], capabilities=bare
    ) == ["trunk 'acme': engine_options: sbc: x: examplesbc offers none yet; remove it"]


# --- who a carrier must prove to be ----------------------------------------------------------

FORGED = target("gw.stranger.example", "198.18.9.9", 5)
NEXT_HOP = {"engine": "examplepbx", "features": ["no_progress"]}  # checks the certificate against the host that it connects to


def over_tls(answers, capabilities=None, **tls):
    acme = {"name": "acme", "domain": "acme.example", "transport": "tls", "tls": tls}
    return compile_model([acme], [{**NANP, "trunks": ["acme"]}], None, capabilities, {("acme.example", "tls"): answer(*answers)})


def test_names_within_the_domain_need_not_be_listed():
    compiled = over_tls([GW1, GW2], NEXT_HOP)
    assert [one["proves"] for one in compiled["trunks"][0]["targets"]] == [["acme.example"]] * 2
    assert compiled["notes"] == []


def test_a_name_that_dns_made_up_is_refused_where_the_engine_would_believe_it():
    acme = {"name": "acme", "domain": "acme.example", "transport": "tls"}
    assert problems_of(
        trunks=[acme], routes=[{**NANP, "trunks": ["acme"]}], capabilities=NEXT_HOP, answers={("acme.example", "tls"): answer(FORGED, GW1)}
    ) == [
        "trunk 'acme': DNS leads from 'acme.example' to 'gw.stranger.example', and examplepbx checks a certificate against that host; "
        "where the carrier's documents name it, add it to tls: names"
    ]


def test_a_name_that_the_user_listed_is_the_carriers():
    compiled = over_tls([FORGED], NEXT_HOP, names=["GW.Stranger.Example"])
    assert compiled["trunks"][0]["targets"][0]["proves"] == ["acme.example", "gw.stranger.example"]


def test_dns_that_leads_out_of_the_domain_is_said_where_the_domain_is_checked():
    compiled = over_tls([FORGED, GW1], {"engine": "examplesbc", "features": ["tls_by_domain", "no_progress"]})
    assert compiled["notes"] == ["trunk 'acme': DNS leads from 'acme.example' to 'gw.stranger.example', whose certificate must be for acme.example"]


def test_a_server_proves_its_own_name():
    server = {"name": "acme", "servers": [{"host": "gw1.beta.example"}], "transport": "tls", "tls": {"names": ["beta.example"]}}
    compiled = compile_model([server], [{**NANP, "trunks": ["acme"]}], None, NEXT_HOP, {("gw1.beta.example:5061", "tls"): answer(GW1)})
    assert compiled["trunks"][0]["targets"][0]["proves"] == ["beta.example", "gw1.acme.example"]


ONE_NAME = {"engine": "exampleswitch", "features": ["tls_by_domain", "no_progress", "register"], "one_tls_name": True}


def one_name(*trunks, **acme):
    """Trunk acme with its domain, and others at the same address: compiled for an engine that checks one name of a certificate."""
    acme = {"name": "acme", "domain": "acme.example", "transport": "tls", **acme}
    answers = {(name, "tls"): answer(GW1) for name in ("acme.example", "other.example", "gw1.acme.example:5061")}
    names = [trunk["name"] for trunk in (acme, *trunks)]
    return {"trunks": [acme, *trunks], "routes": [{**NANP, "trunks": names}], "capabilities": ONE_NAME, "answers": answers}


OTHER = {"name": "other", "domain": "other.example", "transport": "tls"}
HOST = {"name": "host", "servers": [{"host": "gw1.acme.example"}], "transport": "tls"}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        pytest.param(one_name(), "acme.example", id="domain"),
        pytest.param(one_name(tls={"names": ["www.acme.example"]}), "acme.example", id="domain before other names"),
        pytest.param(one_name(tls={"names": ["GW1.acme.example"]}), "gw1.acme.example", id="host that is listed"),
        pytest.param(one_name(domain=None, servers=HOST["servers"]), "gw1.acme.example", id="host of a server"),
        pytest.param(one_name({**OTHER, "tls": {"names": ["acme.example"]}}), "acme.example", id="in common"),
        pytest.param(one_name(HOST, tls={"names": ["gw1.acme.example"]}), "gw1.acme.example", id="host in common"),
        pytest.param(
            one_name({**OTHER, "tls": {"names": ["y.example", "x.example"]}}, tls={"names": ["Y.example.", "x.example"]}), "y.example", id="listed first"
        ),
    ],
)
def test_one_name_is_proved_at_an_address_where_the_engine_checks_one(given, name):
    compiled = compile_model(**given)
    assert [trunk["targets"][0]["proves"] for trunk in compiled["trunks"]] == [[name]] * len(given["trunks"])
    narrowed = [trunk["name"] for trunk in given["trunks"] if trunk.get("tls")]
    there = f"{GW1['address']}:{GW1['port']}"
    said = "trunk '{}': exampleswitch accepts only a certificate for '{}' at {}, none for its other names"
    assert [note for note in compiled["notes"] if "accepts only" in note] == [said.format(trunk, name, there) for trunk in sorted(narrowed)]


def test_a_registration_proves_the_name_of_its_target():
    account = {"username": "pbx-100", "password": "vaulted", "register": True}
    compiled = compile_model(**one_name(tls={"names": ["gw1.acme.example"]}, **account))
    assert compiled["trunks"][0]["registrations"][0]["proves"] == ["gw1.acme.example"]


def test_names_that_have_nothing_in_common_are_refused_where_the_engine_checks_one():
    assert problems_of(**one_name(OTHER)) == [
        f"trunks at {GW1['address']}:{GW1['port']} over TLS accept no common certificate name ('acme': acme.example; 'other': other.example), and "
        "exampleswitch can verify one name for each address and port; add one name of the carrier's certificate to tls: names of each of them"
    ]
    assert compile_model(**{**one_name(OTHER), "capabilities": {**ONE_NAME, "one_tls_name": False}})


def test_the_overrides_of_a_persons_word_are_said():
    beta = {**BETA, "verdicts": {603: "full", "6xx": "next_trunk"}}
    notes = compile_model(trunks=[ACME, beta], policy={"verdicts": {"4xx": "next_trunk"}})["notes"]
    assert notes == [
        "siptrunk_policy: verdict of 4xx: 482-483, 486-487 stay final; a trunk may change 486 one by one",
        "trunk 'beta': verdict of 603: full: it usually means that a person or a policy said no; such a call is placed again",
        "trunk 'beta': verdict of 6xx: 600-603, 605, 607-699 stay final; a trunk may change 600-603, 605, 607-699 one by one",
    ]


# --- capabilities --------------------------------------------------------------------------

EXAMPLE = {"engine": "examplepbx", "transports": ["udp"], "address_families": ["ipv4"], "alive_on": ["any"], "features": [], "credentials": {"without": [":"]}}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"transport": "tls"}, "examplepbx offers the transports udp, not tls"),
        ({"probe": {"alive_on": "2xx"}}, "probe: examplepbx takes a target for alive on any, not on 2xx"),
        ({"max_channels": 1}, "examplepbx does not offer a limit of channels (max_channels) yet; remove it"),
        ({"register": True, "username": "u", "password": SECRET}, "examplepbx does not offer registration yet; remove it"),
        ({"transport": "udp", "realm": "acme"}, "examplepbx does not offer an account for one digest realm alone (realm) yet; remove it"),
        ({"username": "u", "password": "s:t"}, "password: examplepbx cannot send ':' in it; choose another"),
        (
            {"servers": [{"host": "2001:db8::1"}]},
            "none of its addresses is ipv4, which is what examplepbx uses; give servers with such addresses",
        ),
    ],
)
def test_what_an_engine_cannot_do_for_a_trunk(change, problem):
    assert problems_of(
        trunks=[trunk("acme", 1, **change) if "servers" not in change else {"name": "acme", **change}],
        routes=[{**NANP, "trunks": ["acme"]}],
        capabilities=EXAMPLE,
    ) == [f"trunk 'acme': {problem}"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"emergency": True}, "examplepbx does not offer emergency routes yet; remove it"),
        ({"trunks": [["a", "b"]]}, "examplepbx does not offer trunks that share one priority by weight yet; remove it"),
    ],
)
def test_what_an_engine_cannot_do_for_a_route(change, problem):
    route = {"name": "all", "match": ["_X."], "trunks": ["a", "b"], **change}
    assert problems_of(trunks=THREE[:2], routes=[route], capabilities={**EXAMPLE, "features": ["no_progress"]}) == [f"route 'all': {problem}"]


def test_an_engine_without_a_bound_for_100_has_the_one_for_ringing():
    compiled = compile_model([trunk("acme", 2)], [{"name": "all", "match": ["_X."], "trunks": ["acme"]}], capabilities=EXAMPLE, policy={"ring_timeout": 15})
    bounds = compiled["routes"][0]["attempts"][0]["bounds"]
    assert bounds["progress"] == {"asked": 10, "effective": 15, "latest": 15} and bounds["silence"]["effective"] == 4
    assert [w for w in compiled["notes"] if "no_progress_timeout" in w] == [
        "examplepbx does not offer a bound of its own for a carrier that says 100 and no more (no_progress_timeout) yet: ring_timeout bounds it"
    ]
    routes = [{"name": "all", "match": ["_X."], "trunks": ["acme", "beta"]}]
    (problem,) = problems_of(trunks=[trunk("acme", 2), trunk("beta", 1)], routes=routes, capabilities=EXAMPLE)
    assert "lower ring_timeout or max_targets" in problem


def test_an_engine_without_a_time_out_for_probes_has_the_bound_for_silence():
    for features, seconds in (([], 6.4), (["probe_timeout"], 2)):
        compiled = compile_model([trunk("acme", 2, probe={"timeout": 2})], [{"name": "all", "match": ["_X."], "trunks": ["acme"]}],
                                 capabilities={**EXAMPLE, **FLOOR, "features": features})  # fmt: skip
        assert compiled["trunks"][0]["probe"]["timeout"] == seconds


def test_numbers_stand_in_the_order_in_which_they_are_tried():
    """Of all routes: an engine that takes the first match finds what Asterisk finds."""
    routes = [
        {"name": name, "match": match, "trunks": ["acme"]}
        for name, match in (("any", ["_X.", "_9!"]), ("hunting", ["_9XXXX"]), ("hurried", ["_95XXX"]), ("one", ["95123"]))
    ]
    compiled = compile_model([trunk("acme", 2)], routes)
    assert [(n["pattern"], n["route"]) for n in compiled["numbers"]] == [
        ("95123", "one"), ("_95XXX", "hurried"), ("_9XXXX", "hunting"), ("_9!", "any"), ("_X.", "any"),
    ]  # fmt: skip
    assert next(number["route"] for number in compiled["numbers"] if re.match(number["regex"], "95124")) == "hurried"


def test_registering_at_each_target_is_a_feature_of_its_own():
    each = trunk("acme", 1, register="each", username="u", password=SECRET)
    for features, lacking in (([], 2), (["register"], 1), (["register", "register_each"], 0)):
        try:
            simple(each, capabilities={**EXAMPLE, "features": features})
            problems = []
        except model.ModelError as error:
            problems = error.problems
        assert len(problems) == lacking


def test_addresses_of_another_family_are_left_out():
    found = [target("a", "2001:db8::1", 1), target("a", "198.18.1.1", 2)]
    assert [item["address"] for item in targets_of(found, {"address_families": ["ipv4"]})] == ["198.18.1.1"]
    assert [item["address"] for item in targets_of(found, {"address_families": ["ipv6"]})] == ["2001:db8::1"]


def test_all_that_is_wrong_is_said_at_once():
    trunks = [trunk("a", 1, 2, transport="tcp", max_channels=3), trunk("b", 2, 2, probe={"alive_on": "2xx"})]
    routes = [{"name": "all", "match": ["_X."], "trunks": ["a", "b"], "max_attempts": 1, "max_post_dial_delay": 5}]
    assert [problem.split(":")[0] for problem in problems_of(trunks=trunks, routes=routes, capabilities=EXAMPLE)] == [
        "trunk 'a'",
        "trunk 'a'",
        "trunk 'b'",
        "route 'all'",
        "route 'all'",
    ]


# --- warnings ------------------------------------------------------------------------------


def warnings_of(*trunks, routes=None):
    return compile_model(trunks, routes or [{"name": "all", "match": ["_X."], "trunks": [item["name"] for item in trunks]}])["notes"]


@pytest.mark.parametrize(
    ("one", "other", "warnings"),
    [
        pytest.param({"carrier": "acme"}, {"carrier": "beta"}, [], id="nothing in common"),
        pytest.param({}, {}, [], id="nothing known"),
        pytest.param({"carrier": "acme"}, {"carrier": "acme"}, ["share the carrier 'acme': they can fail together"], id="carrier"),
        pytest.param({"site": "nyc1"}, {"site": "nyc1"}, ["share the site 'nyc1': they can fail together"], id="site"),
        pytest.param(
            {"carrier": "acme", "site": "nyc1"},
            {"carrier": "acme", "site": "nyc1"},
            ["share the carrier 'acme': they can fail together", "share the site 'nyc1': they can fail together"],
            id="both",
        ),
    ],
)
def test_shared_fate(one, other, warnings):
    assert warnings_of(trunk("a", 1, **one), trunk("b", 2, **other)) == [
        f"route 'all': trunks 'a' and 'b' {warning}" for warning in warnings
    ]


def test_shared_address():
    assert warnings_of(
        trunk("a", 1, 2), {**trunk("b", 1, 2), "servers": [{"host": "198.18.1.2", "port": 5070}, {"host": "198.18.9.9"}]}
    ) == [
        "route 'all': trunks 'a' and 'b' share the address 198.18.1.2: they fail together",
        "trunks 'a' and 'b' both receive calls from 198.18.1.2/32: those calls count as 'a'",
    ]


def test_shared_fate_of_trunks_on_different_routes_is_no_matter():
    routes = [{"name": f"r-{name}", "match": [f"_{number}."], "trunks": [name]} for number, name in enumerate("ab")]
    assert warnings_of(trunk("a", 1, carrier="acme"), trunk("b", 2, carrier="acme"), routes=routes) == []


def test_a_trunk_in_no_route():
    routes = [{"name": "all", "match": ["_X."], "trunks": ["b"]}]
    assert warnings_of(trunk("b", 2), trunk("a", 1), routes=routes) == ["trunk 'a' stands in no route: no call leaves through it"]
    assert warnings_of(trunk("c", 3), trunk("b", 2), trunk("a", 1), routes=routes) == [
        "2 trunks stand in no route, so that no call leaves through them: a, c"
    ]


def test_each_source_address_belongs_to_one_trunk():
    trunks = [
        trunk("b", 1, inbound_from=["198.18.2.0/30", "198.18.4.7"]),
        trunk("a", 2, inbound_from=["198.18.1.0/24"]),
        trunk("c", 3, inbound_from=["198.18.2.0/24"]),
    ]
    compiled = compile_model(trunks, [{"name": "all", "match": ["_X."], "trunks": ["a", "b", "c"]}])
    assert {item["name"]: item["inbound"]["from"] for item in compiled["trunks"]} == {
        "a": ["198.18.1.0/24", "198.18.2.1/32"],
        "b": ["198.18.2.0/32", "198.18.2.2/31", "198.18.4.7/32"],
        "c": ["198.18.2.4/30", "198.18.2.8/29", "198.18.2.16/28", "198.18.2.32/27", "198.18.2.64/26", "198.18.2.128/25", "198.18.3.1/32"],
    }
    assert compiled["notes"] == [
        "trunks 'a' and 'b' both receive calls from 198.18.1.1/32, 198.18.2.1/32: those calls count as 'a'",
        "trunks 'a' and 'c' both receive calls from 198.18.2.1/32: those calls count as 'a'",
        "trunks 'b' and 'c' both receive calls from 198.18.2.0/32, 198.18.2.2/31: those calls count as 'b'",
    ]


# --- the rule of the house -----------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(HERE.glob("*.py")), ids=lambda path: path.name)
def test_the_compiler_knows_no_engine(path):
    """Only prose on the syntax of patterns may name Asterisk, which it comes from."""
    tokens = list(tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline))
    for token in tokens:
        prose = token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""'))
        names = set(re.findall("asterisk|freeswitch|kamailio|opensips|sofia|pjsip", token.string, re.IGNORECASE))
        allowed = {"Asterisk"} if prose and (path.name == "patterns.py" or "pattern" in token.string) else set()
        assert names <= allowed, f"{path.name} line {token.start[0]}"


def test_what_looks_at_running_trunks_can_read_the_plan():
    each = trunk("each", 3, targets=12, username="u", password="p", register="each", transport="tcp", max_channels=30, probe={"interval": 0})
    compiled = compile_model(trunks=[ACME, BETA, each], routes=[{**NANP, "trunks": ["acme", "beta"]}])
    read = trunk_state.parse_plan(json.dumps(compiled, sort_keys=True).encode())
    assert read == compiled["trunks"] and [len(item["targets"]) for item in read] == [2, 1, 12]


@pytest.mark.parametrize(("pattern", "strip", "prepend", "left"), [
    ("_1NXX", 3, "", None),
    ("_1NXX", 4, "00", None),
    ("_1NXX", 4, "", 4),
    ("911", 5, "00", 3),
    ("_00.", 2, "", None),
    ("_X.", 2, "9", None),
    ("_X.", 2, "", 2),
    ("_X!", 1, "", 1),
])
def test_a_trunk_leaves_digits_to_dial(pattern, strip, prepend, left):
    trunk = {"name": "acme", "servers": [{"host": "198.18.1.10"}], "digits": {"strip": strip, "prepend": prepend}}
    route = {"name": "all", "match": [pattern], "trunks": ["acme"]}
    said = f"route 'all': pattern '{pattern}': trunk 'acme' strips {strip} digits, but "
    if left and not pattern.endswith((".", "!")):
        wrong = f"{said}the number has {left}: nothing is left to dial; lower digits.strip, or remove the trunk from this route"
        assert problems_of(trunks=[trunk], routes=[route]) == [wrong]
        return
    doubt = [f"{said}a number that matches may have {left}; lower digits.strip, or give the pattern more digits"] if left else []
    assert compile_model(trunks=[trunk], routes=[route])["notes"] == doubt
