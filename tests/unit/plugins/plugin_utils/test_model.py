# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model: one mistake for each rule and the exact sentence it earns; what is not said is filled in."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.plugin_utils import model
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plan import compile_plan, questions

SPEC_FILE = Path(model.__file__).parents[2] / "roles" / "plan" / "meta" / "argument_specs.yml"
SPEC = yaml.safe_load(SPEC_FILE.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
SECRET = 's3cret;"\\x'

TRUNK = {"name": "acme", "servers": [{"host": "198.18.1.10"}]}
ACCOUNT = {"username": "pbx-100", "password": SECRET}
ROUTE = {"name": "all", "match": ["_X."], "trunks": ["acme"]}


def read(trunks=None, routes=None, policy=None):
    return model.read_model(SPEC, [TRUNK] if trunks is None else trunks, [ROUTE] if routes is None else routes, policy or {})


def problems_of(*args, **kwargs):
    with pytest.raises(model.ModelError) as error:
        read(*args, **kwargs)
    assert str(error.value) == "\n".join(error.value.problems)
    return error.value.problems


def changed(item, change):
    """`item` with `change`; a key whose value is "absent" goes."""
    return {key: value for key, value in {**copy.deepcopy(item), **change}.items() if value != "absent"}


NAME = "expected a lower-case letter, then up to 30 of a-z, 0-9 and '-'"
USER = "expected at most 64 letters, digits and + . _ ~ ! * ' ( ) & = $ / -"
LOGIN = "expected at most 128 letters, digits and + . _ ~ ! * ' ( ) & = $ / @ % -"
HOST = "expected a host name or an address"
HOSTPORT = f"{HOST}, and at the most a port"
NETWORK = "expected an address or a network, such as 198.18.1.0/24"
MEMBER = "trunks: expected the name of a trunk, or a mapping of name and weight, got"
CONTROL = "it holds a line break or another control character; remove it"
NOTHING = "expected a value, got nothing; give one, or remove the key"
SPACE = "it starts or ends with a space; remove it"

QUOTES = 'put it in quotes, as in "011": without them YAML makes 9 of 011, drops the plus of +49, and takes no for false'
TRUNK_MISTAKES = (
    # the shape
    ({"pasword": SECRET}, "unknown key 'pasword': did you mean 'password'?"),
    ({"probe": {"intervall": 30}}, "unknown key 'probe.intervall': did you mean 'interval'?"),
    ({"servers": [{"host": "198.18.1.10", "prot": 5060}]}, "unknown key 'servers[0].prot': did you mean 'port'?"),
    ({"digits": {"zzz": 1}}, "unknown key 'digits.zzz': known are prepend, strip"),
    ({"transport": "sctp"}, "value of transport must be one of: udp, tcp, tls, got: sctp"),
    ({"probe": {"alive_on": "503"}}, "value of alive_on must be one of: any, 2xx, got: 503 found in probe"),
    ({"servers": [{"port": 5060}]}, "missing required arguments: host found in servers"),
    ({"max_channels": "many"}, "max_channels: expected a number, got 'many'"),
    ({"probe": "30"}, "probe: expected a mapping, got a string"),
    ({"probe": True}, "probe: expected a mapping, got true or false"),
    ({"digits": [{"strip": 1}]}, "digits: expected a mapping, got a list"),
    ({"servers": "198.18.1.10"}, "servers: expected a list, got a string"),
    ({"servers": {"host": "198.18.1.10"}}, "servers: expected a list, got a mapping"),
    ({"servers": ["198.18.1.10"]}, "servers[0]: expected a mapping, got a string"),
    ({"digits": {"strip": "INF"}}, "digits.strip: expected a number, got 'INF'"),
    ({"servers": [{"host": "198.18.1.10", "weight": None}]}, f"servers[0].weight: {NOTHING}"),
    *(
        ({key: None}, f"{key}: {NOTHING}")
        for key in ("transport", "register", "codecs", "digits", "inbound_from", "max_channels", "probe", "verdicts")
    ),
    # strings
    ({"carrier": "acme\nbeta"}, f"carrier: {CONTROL}"),
    ({"site": "nyc\x00"}, f"site: {CONTROL}"),
    ({"site": "nyc\u2028"}, f"site: {CONTROL}"),
    ({"site": "nyc\ud800"}, f"site: {CONTROL}"),
    ({"realm": "acme.example\r"}, f"realm: {CONTROL}"),
    ({"codecs": ["alaw\n"]}, f"codecs[0]: {CONTROL}"),
    ({"digits": {"prepend": "00\t"}}, f"digits.prepend: {CONTROL}"),
    ({"servers": [{"host": "198.18.1.10\n"}]}, f"servers[0].host: {CONTROL}"),
    ({"carrier": " acme"}, f"carrier: {SPACE}"),
    ({"site": "nyc1 "}, f"site: {SPACE}"),
    ({**ACCOUNT, "realm": "r" * 1025}, "realm: it is 1025 characters long; expected 1024 at the most"),
    # what YAML took for something else: 011, +12125550100, 04711, no, 2024-01-31
    ({**ACCOUNT, "password": 1234}, f"password: expected a string, got a number; {QUOTES}"),
    ({"digits": {"prepend": 9}}, f"digits.prepend: expected a string, got 9; {QUOTES}"),
    ({"caller_id": 12125550100}, f"caller_id: expected a string, got 12125550100; {QUOTES}"),
    ({**ACCOUNT, "username": 2505}, f"username: expected a string, got 2505; {QUOTES}"),
    ({"site": False}, f"site: expected a string, got false; {QUOTES}"),
    ({"carrier": datetime.date(2024, 1, 31)}, f"carrier: expected a string, got 2024-01-31; {QUOTES}"),
    ({"codecs": ["alaw", 729]}, f"codecs[1]: expected a string, got 729; {QUOTES}"),
    ({**ACCOUNT, "password": [SECRET]}, "password: expected a string, got a list; put it in quotes"),
    ({**ACCOUNT, "password": f"{SECRET}\n"}, f"password: {CONTROL}"),
    ({**ACCOUNT, "password": f"{SECRET} "}, f"password: {SPACE}"),
    # forms
    ({"username": "pbx 100", "password": SECRET}, f"username 'pbx 100': {USER}; a login with @ belongs in auth_username"),
    ({"username": "a@b.example", "password": SECRET}, f"username 'a@b.example': {USER}; a login with @ belongs in auth_username"),
    ({**ACCOUNT, "auth_username": "a;b"}, f"auth_username 'a;b': {LOGIN}"),
    ({"from_user": "<1>"}, f"from_user '<1>': {USER.replace(' /', '')}"),
    ({"from_domain": "acme_.example:5060"}, f"from_domain 'acme_.example:5060': {HOST}"),
    ({"caller_id": "Example <100>"}, "caller_id 'Example <100>': expected a number of at most 32 of 0-9, *, # and +"),
    ({"digits": {"prepend": "w1"}}, "digits: prepend 'w1': expected at most 32 digits, *, # or +"),
    ({"sbcs": "our sbcs"}, "sbcs 'our sbcs': expected the name of a group of the inventory: letters, digits, '_' and '-'"),
    ({"inbound_context": "from,trunk"}, "inbound_context 'from,trunk': expected at most 64 letters, digits, '_' and '-'"),
    ({"codecs": ["alaw", "g729/8000"]}, "codecs 'g729/8000': expected names of codecs, such as alaw"),
    # where it is
    ({"servers": "absent"}, "expected either 'domain' or a list of 'servers'; give one of them"),
    ({"servers": []}, "expected either 'domain' or a list of 'servers'; give one of them"),
    ({"domain": "sip.acme.example"}, "expected either 'domain' or a list of 'servers'; remove one of them"),
    *(
        ({"servers": "absent", "domain": domain}, f"domain '{domain}': {problem}")
        for domain, problem in (
            ("acme..example", HOSTPORT),
            ("-acme.example", HOSTPORT),
            ("acme.example;lr", HOSTPORT),
            (f"{'a' * 64}.example", HOSTPORT),
            (".".join(["a" * 50] * 6), HOSTPORT),
            ("acme.example:0", "port '0': expected 1 to 65535"),
            ("acme.example:65536", "port '65536': expected 1 to 65535"),
            ("198.18.1.10:", "port '': expected 1 to 65535"),
            ("acme.example:٥٠٦٠", "port '٥٠٦٠': expected 1 to 65535"),
            ("[2001:db8::1", HOSTPORT),
            ("[2001:db8::1]]:5060", HOSTPORT),
            ("[[2001:db8::1]]:5060", HOSTPORT),
            ("]198.18.1.10[", HOSTPORT),
            ("[acme.example]:5060", HOSTPORT),
        )
    ),
    *(
        ({"servers": "absent", "domain": domain}, f"domain '{domain}': {HOST}, not a URI; write {host} alone, and user and transport under their own keys")
        for domain, host in (
            ("sip:sip.acme.example", "sip.acme.example"),
            ("sips:pbx@acme.example:5061;transport=tls", "acme.example:5061"),
            ("<sip:[2001:db8::1]>", "[2001:db8::1]"),
            ("pbx@acme.example", "acme.example"),
            ("https://acme.example/", "acme.example"),
        )
    ),
    (
        {"servers": [{"host": "sip:198.18.1.10"}]},
        f"servers[0].host 'sip:198.18.1.10': {HOST}, not a URI; write 198.18.1.10 alone, and user and transport under their own keys",
    ),
    ({"servers": [{"host": "198.18.1.10"}, {"host": "198.18.1.11:5060"}]}, f"servers[1].host '198.18.1.11:5060': {HOST}"),
    ({"servers": [{"host": "gw1 acme"}]}, f"servers[0].host 'gw1 acme': {HOST}"),
    # the account
    ({"register": True}, "register needs an account: username is missing; give it, or set register: false"),
    ({"register": "each", "username": "pbx-100"}, "register needs an account: password is missing; give it, or set register: false"),
    ({"register": "twice", **ACCOUNT}, "register 'twice': expected true, false or each"),
    ({"register": "true", **ACCOUNT}, "register 'true': expected true, false or each; it is a string: remove its quotes"),
    ({"register": "no", **ACCOUNT}, "register 'no': expected true, false or each; it is a string: remove its quotes"),
    ({"password": SECRET}, "password without username: give the username of the account"),
    ({"username": "pbx-100"}, "password is missing: username is set, so the carrier will ask for it; give it, or remove username"),
    # probes, inbound, verdicts
    ({"probe": {"interval": 2, "timeout": 3}}, "probe: timeout 3: expected at most the interval, 2 seconds"),
    (
        {"inbound_from": ["0.0.0.0/0"]},
        "inbound_from '0.0.0.0/0': nearly anybody could call in; expected the carrier's own networks, a prefix of 8 bits or longer",
    ),
    ({"codecs": []}, "codecs: expected at least one, such as alaw"),
    ({"servers": [{"host": "198.18.1.300"}]}, "servers[0].host '198.18.1.300': expected a host name or an address"),
    ({"inbound_from": ["198.18.1.0/33"]}, f"inbound_from '198.18.1.0/33': {NETWORK}"),
    ({"inbound_from": ["198.18.1.10", "acme.example"]}, f"inbound_from 'acme.example': {NETWORK}"),
    ({"verdicts": {480: "retry"}}, "verdict 'retry' of 480: expected one of next_target, next_trunk, full, final"),
    ({"verdicts": {487: "next_trunk"}}, "verdict of 487: always final (the caller hung up); remove this line"),
    # who the carrier must prove to be
    ({"transport": "tls", "tls": {"names": ["gw1 acme"]}}, "tls: names 'gw1 acme': expected a host name"),
    ({"tls": {"names": ["gw1.acme.example"]}}, "tls: the transport is udp; set transport: tls, or remove these settings"),
    ({"tls": {"wildcard": True}, "transport": "tcp"}, "tls: the transport is tcp; set transport: tls, or remove these settings"),
)

ROUTE_MISTAKES = (
    ({"trunk": ["acme"]}, "unknown key 'trunk': did you mean 'trunks'?"),
    ({"trunks": "absent"}, "missing required arguments: trunks"),
    ({"match": "absent"}, "missing required arguments: match"),
    ({"no_response_timeout": 3}, "unknown key 'no_response_timeout': did you mean 'no_progress_timeout'?"),
    ({"match": []}, "match: expected at least one pattern, such as _1NXXNXXXXXX"),
    ({"match": ["_1.2"]}, "pattern '_1.2': '.' matches all that follows: it must be the last character"),
    ({"match": ["_X.\n"]}, f"match[0]: {CONTROL}"),
    *(
        (
            {"match": [pattern]},
            f"pattern '{pattern}' matches whatever is dialled, and a dialplan's special extensions such as h and t; "
            "expected a digit first, such as _X. or _+X.",
        )
        for pattern in ("_.", "_!")
    ),
    ({"match": [9]}, f"match[0]: expected a string, got 9; {QUOTES}"),
    ({"match": ["_XX", "_X[0-9]"]}, "pattern '_X[0-9]' matches the same numbers as '_XX' of route 'all'; remove one"),
    ({"trunks": []}, "trunks: expected at least one trunk, the first to be asked first"),
    ({"trunks": ["acme", []]}, "trunks: expected at least one trunk, the first to be asked first"),
    ({"trunks": ["acne"]}, "unknown trunk 'acne': did you mean 'acme'?"),
    ({"trunks": ["acme", "zeta"]}, "unknown trunk 'zeta': add it to siptrunk_trunks"),
    ({"trunks": ["acme", {"name": "acme"}]}, "trunk 'acme' stands here twice; remove one"),
    ({"trunks": [["acme", "acme"]]}, "trunk 'acme' stands here twice; remove one"),
    ({"trunks": [{"name": "acme", "weigth": 3}]}, f"{MEMBER} a mapping"),
    ({"trunks": [{"name": 5}]}, f"{MEMBER} 5; put the name in quotes"),
    ({"trunks": [None]}, f"{MEMBER} nothing"),
    ({"trunks": [5]}, f"{MEMBER} 5; put the name in quotes"),
    ({"trunks": [False]}, f"{MEMBER} false; put the name in quotes"),
    ({"trunks": [[["acme"]]]}, f"{MEMBER} a list"),
    ({"trunks": [[{}]]}, f"{MEMBER} an empty mapping"),
    *(
        ({"trunks": [{"name": "acme", "weight": weight}]}, f"weight {weight!r} of trunk 'acme': expected a whole number from 0 to 65535")
        for weight in (-1, 65536, 1.5, True, "70", None)
    ),
    (
        {"verdicts": {"5xy": "final"}},
        "verdicts key '5xy': expected a SIP code from 300 to 699, a class such as 5xx, "
        "or one of silent, unreachable, no_progress, rang_out",
    ),
)

POLICY_MISTAKES = (
    ({"no_responce_timeout": 3}, "unknown key 'no_responce_timeout': did you mean 'no_response_timeout'?"),
    ({"ring_timeout": None}, f"ring_timeout: {NOTHING}"),
    ({"no_response_timeout": "soon"}, "no_response_timeout: expected a number, got 'soon'"),
    ({"ring_timeout": float("inf")}, "ring_timeout: expected a number, got inf"),
    ({"cool_down": float("nan")}, "cool_down: expected a number, got nan"),
    ({"max_attempts": True}, "max_attempts: expected a number, got true or false"),
    ({"max_targets": {"x": 1}}, "max_targets: expected a number, got a mapping"),
    (
        {"verdicts": {"603": "next_trunk"}},
        "verdict of 603: final (a person or a policy said no); only a trunk whose carrier says it for its own limits may change it",
    ),
)


@pytest.mark.parametrize(("change", "problem"), [pytest.param(*mistake, id=ascii(mistake[1])[:70]) for mistake in TRUNK_MISTAKES])
def test_mistake_in_a_trunk(change, problem):
    assert problems_of(trunks=[changed(TRUNK, change)]) == [f"siptrunk_trunks[0] (acme): {problem}"]


@pytest.mark.parametrize(("change", "problem"), [pytest.param(*mistake, id=mistake[1][:70]) for mistake in ROUTE_MISTAKES])
def test_mistake_in_a_route(change, problem):
    assert problems_of(routes=[changed(ROUTE, change)]) == [f"siptrunk_routes[0] (all): {problem}"]


@pytest.mark.parametrize(("policy", "problem"), [pytest.param(*mistake, id=str(mistake[0])) for mistake in POLICY_MISTAKES])
def test_mistake_in_the_policy(policy, problem):
    assert problems_of(policy=policy) == [f"siptrunk_policy: {problem}"]


def test_mistake_in_a_switch():
    (problem,) = problems_of(policy={"hunt_after_ringing": "perhaps"})
    assert problem.startswith("siptrunk_policy: argument 'hunt_after_ringing' is of type str and we were unable to convert to bool: ")


@pytest.mark.parametrize("name", ["Acme", "1acme", "a_cme", "a.b", "-a", "a" * 32, "", "ácme"])
@pytest.mark.parametrize("variable", ["siptrunk_trunks", "siptrunk_routes"])
def test_mistake_in_a_name(variable, name):
    routes = [{**ROUTE, "name": name}] if variable == "siptrunk_routes" else [{**ROUTE, "trunks": [{"name": name}]}]
    trunks = [TRUNK] if variable == "siptrunk_routes" else [{**TRUNK, "name": name}]
    assert problems_of(trunks, routes) == [f"{variable}[0]: name '{name}': {NAME}"]


EMPTY = "expected a list of at least one item, got"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, f": {EMPTY} nothing; see the documentation of the model"),
        ([], f": {EMPTY} an empty list; see the documentation of the model"),
        ({}, f": {EMPTY} an empty mapping; see the documentation of the model"),
        ({"name": "acme"}, f": {EMPTY} a mapping; see the documentation of the model"),
        ("acme", f": {EMPTY} a string; see the documentation of the model"),
        (["acme"], "[0]: expected a mapping, got a string"),
        ([None], "[0]: expected a mapping, got nothing"),
    ],
)
def test_mistake_in_the_list_itself(value, problem):
    with pytest.raises(model.ModelError) as error:
        model.read_model(SPEC, value, value, {})
    assert error.value.problems == [f"siptrunk_trunks{problem}", f"siptrunk_routes{problem}"]


@pytest.mark.parametrize(("policy", "kind"), [("fast", "a string"), ([1], "a list"), (5, "a number"), (True, "true or false")])
def test_mistake_in_the_policy_itself(policy, kind):
    assert problems_of(policy=policy) == [f"siptrunk_policy: expected a mapping, got {kind}"]


# key: (an item that holds it, least, most, unit); the item is a path into the trunk, the route or the policy
RANGES = {
    "port": ("server", 1, 65535, ""),
    "priority": ("server", 0, 65535, ""),
    "weight": ("server", 0, 65535, ""),
    "max_channels": ("trunk", 0, 100000, " calls"),
    "strip": ("digits", 0, 20, " digits"),
    "interval": ("probe", 0, 3600, " seconds"),
    "timeout": ("probe", 0.1, 60, " seconds"),
    "no_response_timeout": ("policy", 0.5, 32, " seconds"),
    "no_progress_timeout": ("trunk route policy", 1, 180, " seconds"),
    "ring_timeout": ("trunk route policy", 1, 600, " seconds"),
    "max_attempts": ("route policy", 1, 20, " trunks"),
    "max_targets": ("route policy", 1, 20, " targets"),
    "max_post_dial_delay": ("route policy", 1, 3600, " seconds"),
    "cool_down": ("route policy", 0, 3600, " seconds"),
}
PLACES = {
    "server": (
        "siptrunk_trunks[0] (acme): servers[0]",
        lambda change: {"trunks": [{**TRUNK, "servers": [{"host": "198.18.1.10", **change}]}]},
    ),
    "digits": ("siptrunk_trunks[0] (acme): digits", lambda change: {"trunks": [{**TRUNK, "digits": change}]}),
    "probe": ("siptrunk_trunks[0] (acme): probe", lambda change: {"trunks": [{**TRUNK, "probe": {"interval": 0, **change}}]}),
    "trunk": ("siptrunk_trunks[0] (acme)", lambda change: {"trunks": [{**TRUNK, **change}]}),
    "route": ("siptrunk_routes[0] (all)", lambda change: {"routes": [{**ROUTE, **change}]}),
    "policy": ("siptrunk_policy", lambda change: {"policy": change}),
}


def test_every_rule_of_a_range_or_a_form_is_tried_here():
    assert set(model.RANGES) == set(RANGES)
    tried = "\n".join(str(problem) for _change, problem in TRUNK_MISTAKES)
    assert [key for key in model._FORMS if key != "name" and f"{key} '" not in tried] == []


@pytest.mark.parametrize(("key", "place"), [(key, place) for key, (places, *_rest) in RANGES.items() for place in places.split()])
def test_ranges(key, place):
    _places, least, most, unit = RANGES[key]
    where, model_with = PLACES[place]
    by = 0.05 if least in (0.1, 0.5) else 1
    for value in (round(least - by, 2), most + 1):
        assert problems_of(**model_with({key: value})) == [f"{where}: {key} {value}: expected {least:g} to {most:g}{unit}"]
    read(**model_with({key: least}))
    read(**model_with({key: most}))


@pytest.mark.parametrize(
    ("trunks", "routes", "problems"),
    [
        pytest.param(
            [TRUNK, {**TRUNK, "name": "beta"}, TRUNK],
            [ROUTE],
            ["siptrunk_trunks[2]: the name 'acme' is taken by siptrunk_trunks[0]; choose another"],
            id="trunks of one name",
        ),
        pytest.param(
            [TRUNK],
            [ROUTE, {**ROUTE, "match": ["_0."]}],
            ["siptrunk_routes[1]: the name 'all' is taken by siptrunk_routes[0]; choose another"],
            id="routes of one name",
        ),
        pytest.param(
            [TRUNK],
            [ROUTE, {**ROUTE, "name": "other", "match": ["_0.", "_[0-9]."]}],
            ["siptrunk_routes[1] (other): pattern '_[0-9].' matches the same numbers as '_X.' of route 'all'; remove one"],
            id="equal patterns, written differently",
        ),
        pytest.param(
            [{**TRUNK, "max_channels": -1, "caller_id": "x", "inbound_from": ["y"]}, {"name": "beta"}],
            [{**ROUTE, "trunks": ["acme", "gamma"], "match": ["_"]}],
            [
                "siptrunk_policy: ring_timeout 0: expected 1 to 600 seconds",
                "siptrunk_trunks[0] (acme): caller_id 'x': expected a number of at most 32 of 0-9, *, # and +",
                "siptrunk_trunks[0] (acme): max_channels -1: expected 0 to 100000 calls",
                "siptrunk_trunks[0] (acme): inbound_from 'y': expected an address or a network, such as 198.18.1.0/24",
                "siptrunk_trunks[1] (beta): expected either 'domain' or a list of 'servers'; give one of them",
                "siptrunk_routes[0] (all): unknown trunk 'gamma': add it to siptrunk_trunks",
                "siptrunk_routes[0] (all): pattern '_': expected something after the underscore",
            ],
            id="everything at once",
        ),
        pytest.param(
            [{**TRUNK, "tranport": "udp"}, "beta"],
            [{"name": "all"}],
            [
                "siptrunk_trunks[0] (acme): unknown key 'tranport': did you mean 'transport'?",
                "siptrunk_trunks[1]: expected a mapping, got a string",
                "siptrunk_routes[0] (all): missing required arguments: match, trunks",
            ],
            id="shapes at once",
        ),
    ],
)
def test_several_items(trunks, routes, problems):
    policy = {"ring_timeout": 0} if len(problems) > 5 else {}
    assert sorted(problems_of(trunks, routes, policy)) == sorted(problems)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"servers": [{"host": "gw1.acme.example", "port": 5070, "priority": 1, "weight": 0}]},
        *(
            {"servers": "absent", "domain": domain}
            for domain in ("sip.acme.example", "acme.example.:5070", "198.18.1.10", "198.18.1.10:5070")
        ),
        *(
            {"servers": "absent", "domain": domain}
            for domain in ("2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5070", "_sip._udp.acme.example")
        ),
        {**ACCOUNT, "register": True, "realm": "any thing; at all"},
        {**ACCOUNT, "register": "each", "auth_username": "auth+1@acme.example"},
        {"inbound_from": ["198.18.1.0/24", "198.18.2.7", "2001:db8::/32"], "inbound_context": "from_acme-1"},
        {"probe": {"interval": 0, "timeout": 3}},
        {"carrier": "Acme Télécom", "site": "nyc 1"},
        {"name": "a" * 31},
    ],
)
def test_what_is_right_is_taken(change):
    trunk = changed(TRUNK, change)
    read(trunks=[trunk], routes=[{**ROUTE, "trunks": [trunk["name"]]}])


def test_defaults_are_filled():
    assert read(trunks=[{**TRUNK, "probe": {"interval": 60}}], routes=[{**ROUTE, "trunks": ["acme"]}]) == {
        "trunks": [
            {
                "name": "acme",
                **dict.fromkeys(
                    ["carrier", "site", "domain", "username", "auth_username", "password", "realm", "from_user", "from_domain"]
                ),
                **dict.fromkeys(["caller_id", "sbcs", "inbound_context", "no_progress_timeout", "ring_timeout"]),
                "servers": [{"host": "198.18.1.10", "port": None, "priority": 10, "weight": 50}],
                "transport": "udp",
                "register": False,
                "codecs": ["alaw", "ulaw"],
                "digits": {"strip": 0, "prepend": ""},
                "identity": {"asserted": "none"},
                "tls": {"names": [], "wildcard": False},
                "engine_options": {"asterisk": {}, "freeswitch": {}, "sbc": {}},
                "inbound_from": [],
                "max_channels": 0,
                "probe": {"interval": 60, "timeout": 3, "alive_on": "any"},
                "verdicts": {},
            }
        ],
        "routes": [
            {
                "name": "all",
                "match": ["_X."],
                "trunks": [[{"name": "acme", "weight": 50}]],
                "emergency": False,
                **dict.fromkeys(["no_progress_timeout", "ring_timeout", "max_attempts", "max_targets", "max_post_dial_delay", "cool_down"]),
                "hunt_after_ringing": None,
                "verdicts": {},
            }
        ],
        "policy": {
            "no_response_timeout": 4,
            "no_progress_timeout": 10,
            "ring_timeout": 60,
            "max_attempts": 3,
            "max_targets": 2,
            "max_post_dial_delay": 40,
            "cool_down": 30,
            "hunt_after_ringing": False,
            "verdicts": {},
        },
    }


def test_every_key_of_the_argument_spec_is_in_the_model():
    complete = read()
    for variable, key in (("siptrunk_trunks", "trunks"), ("siptrunk_routes", "routes")):
        assert set(complete[key][0]) == set(SPEC[variable]["options"])
    assert set(complete["policy"]) == set(SPEC["siptrunk_policy"]["options"])


def test_groups_of_a_route():
    trunks = [{**TRUNK, "name": name} for name in ("acme", "beta", "gamma")]
    route = {**ROUTE, "trunks": [["acme", {"name": "beta", "weight": 70}], {"name": "gamma", "weight": 0}]}
    assert read(trunks, [route])["routes"][0]["trunks"] == [
        [{"name": "acme", "weight": 50}, {"name": "beta", "weight": 70}],
        [{"name": "gamma", "weight": 0}],
    ]


def test_the_users_variables_stay_as_they_were():
    trunks, routes, policy = (
        [changed(TRUNK, {"probe": {}, "digits": {}, **ACCOUNT})],
        [copy.deepcopy(ROUTE)],
        {"verdicts": {480: "next_trunk"}},
    )
    before = copy.deepcopy((trunks, routes, policy))
    read(trunks, routes, policy)
    assert (trunks, routes, policy) == before


def test_secrets():
    assert model.secrets(
        [{**TRUNK, **ACCOUNT}, {"name": "beta"}, {"name": "gamma", "password": None}, {"name": "zeta", "password": ""}]
    ) == {"acme": SECRET}


@pytest.mark.parametrize(
    "change",
    [
        *(
            {key: junk}
            for key in SPEC["siptrunk_trunks"]["options"]
            if key != "password"
            for junk in ("\x00", None, [None], {"x": SECRET}, -1, "?", True)
        ),
        {"password": f"{SECRET}\x00"},
        {"username": "absent"},
        {"pasword": SECRET},
        {"servers": [{"host": "198.18.1.10", "password": SECRET}]},
    ],
)
def test_no_message_shows_a_password(change):
    try:
        read(trunks=[changed({**TRUNK, **ACCOUNT}, change)])
    except model.ModelError as error:
        assert SECRET not in str(error)


# --- junk ----------------------------------------------------------------------------------

FULL = {
    "trunks": [
        {
            **TRUNK,
            **ACCOUNT,
            "servers": [{"host": "gw1.acme.example", "port": "5060", "priority": "10", "weight": "50"}],
            **{"carrier": "acme", "site": "nyc1", "auth_username": "a", "realm": "r", "register": "each", "from_user": "u"},
            **{"from_domain": "acme.example", "caller_id": "100", "codecs": ["alaw"], "digits": {"strip": "1", "prepend": "00"}},
            **{"inbound_from": ["198.18.1.0/24"], "inbound_context": "from-acme", "max_channels": "0", "ring_timeout": "30"},
            **{"probe": {"interval": "30", "timeout": "3", "alive_on": "any"}, "verdicts": {"480": "next_trunk"}, "transport": "udp"},
        },
        {"name": "beta", "domain": "sip.beta.example:5070"},
    ],
    "routes": [{**ROUTE, "trunks": [["acme", {"name": "beta", "weight": 70}]], "emergency": "false", "max_attempts": "2"}],
    "policy": {"no_response_timeout": "4", "hunt_after_ringing": "false", "verdicts": {"5xx": "final"}},
}


def paths_to_strings(value, path=()):
    if isinstance(value, str):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in paths_to_strings(inner, (*path, key))]


def with_junk(path, junk):
    whole = copy.deepcopy(FULL)
    *parents, last = path
    holder = whole
    for key in parents:
        holder = holder[key]
    holder[last] = junk
    return whole


PATHS = paths_to_strings(FULL)
DOMAIN = ("trunks", 1, "domain")
ADDRESS_LIKE = st.text("0123456789abcdef:.[]/%", min_size=1, max_size=24)
ANSWER = {"targets": [{"host": "gw", "address": "198.18.1.10", "port": 5060, "priority": 0, "weight": 0}], "errors": []}


@given(
    st.sampled_from(PATHS),
    st.text(max_size=20) | ADDRESS_LIKE | st.floats().map(str) | st.text("Xx.![]0-9_*", max_size=8).map("_{}".format),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(DOMAIN, "[2001:db8::1]]:5")
@example(DOMAIN, "[2001:db8::1]5060")
@example(DOMAIN, "[2001:db8::1]")
@example(DOMAIN, "2001:db8::1")
@example(("trunks", 0, "servers", 0, "host"), "[2001:db8::1]")
@example(("trunks", 0, "verdicts"), {"9" * 5000: "final"})
@example(("trunks", 0, "inbound_from", 0), "::/0")
def test_junk_anywhere_is_taken_or_refused_and_nothing_else(path, junk):
    whole = with_junk(path, junk)
    try:
        read_model = model.read_model(SPEC, whole["trunks"], whole["routes"], whole["policy"])
        compile_plan(read_model, None, dict.fromkeys(questions(read_model), ANSWER))
    except model.ModelError as error:
        assert error.problems and all(isinstance(problem, str) and problem for problem in error.problems)


@pytest.mark.parametrize(
    "junk", [None, True, -1, 1.5, float("nan"), [], {}, [[]], [{}], {"x": []}, [None], b"bytes", 10**400, object()], ids=ascii
)
def test_junk_of_another_type_is_taken_or_refused_and_nothing_else(junk):
    for path in [*PATHS, *{path[:-1] for path in PATHS if len(path) > 1}, *((name,) for name in FULL)]:
        whole = with_junk(path, junk)
        try:
            model.read_model(SPEC, whole["trunks"], whole["routes"], whole["policy"])
        except model.ModelError:
            pass
