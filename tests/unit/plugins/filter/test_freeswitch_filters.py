# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters for FreeSWITCH write, read back by the rules of its preprocessor, of XML and of Lua."""

from __future__ import annotations

import ast
import re
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.filter import freeswitch_codec, freeswitch_gateways, freeswitch_route, freeswitch_value
from ansible_collections.siptrunk.failover.plugins.plugin_utils import verdicts

PIECES = (
    *("$${a}", "$$", "{", "}", "${b}", "X-PRE-PROCESS", "x-pre-process", "<!--#", "-->", "<include>", "<?", "&amp;", "&#36;"),
    *('"', "'", "\\", "%", "é", "\u2028"),
)
TEXT = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=4), max_size=8).map("".join)


# --- XML ---


def read_back(line):
    """The attribute `value` of a line, as switch_xml.c takes it: line by line first, then XML. None: the line is not passed on as it is."""
    if re.search(r"<include>|</include>|<\?|<!--#|X-PRE-PROCESS", line, re.IGNORECASE) or "$${" in line:
        return None
    return ElementTree.fromstring(line).get("value")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain ;'\\%{}", "plain ;'\\%{}"),
        ("$${conf_dir}", "&#36;${conf_dir}"),
        ("${x} $$ $$$${", "${x} $$ $$&#36;${"),
        ("X-PRE-PROCESS x-Pre-process PRE-PROCESS", "X&#45;PRE-PROCESS x&#45;Pre-process PRE-PROCESS"),
        ('<a b="c">&amp;', "&#60;a b=&#34;c&#34;&#62;&#38;amp;"),
        ("", ""),
        (5060, "5060"),
    ],
)
def test_freeswitch_value(value, written):
    assert freeswitch_value.freeswitch_value(value) == written
    assert read_back(f'<param value="{written}"/>') == str(value)


@given(TEXT)
@settings(max_examples=300, deadline=None)
def test_freeswitch_value_is_read_back_unchanged(text):
    assert read_back(f'<param value="{freeswitch_value.freeswitch_value(text)}"/>') == text


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "\n"])
def test_freeswitch_value_refuses_a_line_break(text):
    with pytest.raises(AnsibleFilterError) as error:
        freeswitch_value.freeswitch_value(text)
    assert str(error.value) == "a value for FreeSWITCH's configuration holds a line break; the plan compiler should have refused it"


# --- Lua ---


class LuaReader:
    """Reads a table constructor of literals, strictly (Lua 5.2 reference manual, sections 3.1 and 3.4.8)."""

    TOKEN = re.compile(rb'\s*(?:(?P<string>"(?:[^"\\\n]|\\[0-9]{3})*")|(?P<number>-?[0-9][0-9.e+-]*)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[][{}=,]))')
    RESERVED = frozenset(
        "and break do else elseif end false for function goto if in local nil not or repeat return then true until while".split()
    )

    def __init__(self, text):
        self.tokens, at, data = [], 0, text.encode()
        while data[at:].strip():
            match = self.TOKEN.match(data, at)
            assert match, data[at : at + 40]
            self.tokens.append((match.lastgroup, match.group(match.lastgroup).decode("latin-1")))
            at = match.end()

    def take(self, sign=None):
        kind, text = self.tokens.pop(0)
        assert sign in (None, text), (sign, text)
        return kind, text

    def value(self):
        kind, text = self.take()
        if kind == "string":
            return re.sub(r"\\([0-9]{3})", lambda match: chr(int(match.group(1))), text[1:-1]).encode("latin-1").decode()
        if kind == "number":
            return ast.literal_eval(text)
        if kind == "word":
            return {"true": True, "false": False}[text]
        assert text == "{"
        return self.table()

    def table(self):
        """A list, or a dictionary; an empty table is the first."""
        items, keyed = [], {}
        while self.tokens[0][1] != "}":
            if self.tokens[0][1] == "[" or (self.tokens[0][0] == "word" and self.tokens[1][1] == "="):
                if self.tokens[0][1] == "[":
                    self.take("[")
                    key = self.value()
                    self.take("]")
                else:
                    key = self.take()[1]
                    assert key not in self.RESERVED, f"{key} is a word of Lua's own"
                self.take("=")
                keyed[key] = self.value()
            else:
                items.append(self.value())
            if self.tokens[0][1] != "}":
                self.take(",")
        self.take("}")
        assert not (items and keyed)
        return keyed or items


def from_lua(text):
    reader = LuaReader(text)
    value = reader.value()
    assert not reader.tokens
    return value


NUMBER = st.integers(-(2**31), 2**31) | st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 3))
KEY = st.sampled_from(("name", "3XX", "404", "table-1", "end", "and", "true", "nil", "_x", "é", 'a"]b')) | TEXT.filter(bool)
DATA = st.recursive(
    TEXT | NUMBER | st.booleans(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, min_size=1, max_size=4), max_leaves=20
)


@given(DATA)
@settings(max_examples=300, deadline=None)
def test_a_lua_literal_is_read_back_unchanged(data):
    written = freeswitch_route.lua(data)
    assert from_lua(written) == data
    assert not re.search(r"[^\x20-\x7e\n]|\$|\[\[|--", re.sub(r"-\d", "", re.sub(r'"[^"]*"', '""', written))), "no comment, no long string, ASCII alone"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"), (4.0, "4"), (4.25, "4.25"), (12345678, "12345678"), (1234567.5, "1234567.5"), ("a-1", '"a-1"'),
        ('"\\\n$', '"\\034\\092\\010\\036"'), ("é1", '"\\195\\1691"'), ({"end": 1, "a": "b"}, '{["end"] = 1, a = "b"}'), ([], "{}"),
    ],
)  # fmt: skip
def test_a_lua_literal(value, written):
    assert freeswitch_route.lua(value) == written


# --- a route ---

BOUNDS = {name: {"asked": 1, "effective": 2.5, "latest": 3} for name in ("silence", "progress", "ring")}
TABLE = {str(outcome): verdict for outcome, verdict in verdicts.DEFAULTS.items()}


def target(name, priority=10, **more):
    return {"id": name, "host": "gw1.acme.example", "address": "198.18.1.10", "port": 5060, "priority": priority, "weight": 50, "name": name, **more}


SECURE = target("acme.1", port=5061, proves=["acme.example"])


def trunk(**more):
    return {
        "name": "acme", "domain": None, "transport": "udp", "account": None, "from_user": None, "from_domain": None, "caller_id": None,
        "identity": {"asserted": "none"}, "options": {}, "codecs": ["alaw", "opus"], "digits": {"strip": 1, "prepend": "+49#"}, "max_channels": 3,
        "probe": {"interval": 0},
        "targets": [target("acme.1"), target("acme.2", 10), target("acme.3", 20)], "registrations": [], **more,
    }  # fmt: skip


def test_freeswitch_route():
    attempts = [{"trunk": "acme", "target": name, "bounds": BOUNDS, "verdicts": "table-2"} for name in ("acme.1", "acme.2", "acme.3")]
    route = {
        "name": "all", "emergency": False, "max_attempts": 3, "max_targets": 2, "hunt_after_ringing": True, "cool_down": 12.5,
        "trunks": [[{"name": "acme", "weight": 70}]], "attempts": attempts,
    }  # fmt: skip
    plan = {"trunks": [trunk()], "verdicts": {"table-1": {}, "table-2": TABLE}}
    found = from_lua(freeswitch_route.freeswitch_route(route, plan, {"cdr_file": '/a "b"', "before_dial": ""}))
    assert {key: found[key] for key in found if key not in ("plan", "verdicts")} == {
        "emergency": False, "max_attempts": 3, "max_targets": 2, "hunt_after_ringing": True, "cool_down": 13, "cdr_file": '/a "b"', "before_dial": "",
        "trunks": [[{"name": "acme", "weight": 70}]],
    }  # fmt: skip
    assert list(found["plan"]) == ["acme"] and list(found["verdicts"]) == ["table-2"]
    acme = found["plan"]["acme"]
    assert (acme["codecs"], acme["digits"], acme["caller_id"], acme["max_channels"]) == ("PCMA:OPUS", {"strip": 1, "prepend": "+49#"}, "", 3)
    assert [[one["id"] for one in group] for group in acme["targets"]] == [["acme.1", "acme.2"], ["acme.3"]]
    first = acme["targets"][0][0]
    assert (first["mark"], first["probed"], first["verdicts"]) == ("198.18.1.10_5060_udp", False, "table-2")
    assert first["bounds"]["ring"]["effective"] == 2.5
    rows = found["verdicts"]["table-2"]
    assert {code: rows.get(code) or rows[code[0] + "XX"] for code in TABLE if code.isdigit()} == {code: TABLE[code] for code in TABLE if code.isdigit()}


def test_a_route_has_the_operators_variables_of_a_leg():
    attempts = [{"trunk": "acme", "target": "acme.1", "bounds": BOUNDS, "verdicts": "table-1"}]
    route = {
        "name": "all", "emergency": False, "max_attempts": 3, "max_targets": 2, "hunt_after_ringing": True, "cool_down": 12.5,
        "trunks": [[{"name": "acme", "weight": 70}]], "attempts": attempts,
    }  # fmt: skip
    given = {"leg": {"sip_invite_params": "user=phone", "rtp_secure_media": "mandatory:AES_CM_128_HMAC_SHA1_80"}, "gateway": {"x": "y"}}
    plan = {"trunks": [trunk(targets=[target("acme.1")], options=given)], "verdicts": {"table-1": TABLE}}
    assert from_lua(freeswitch_route.freeswitch_route(route, plan))["plan"]["acme"]["leg"] == given["leg"]


@pytest.mark.parametrize(
    ("more", "shows_name", "asserted", "host"),
    [
        ({}, True, "none", None),
        ({"from_user": "4930123"}, False, "none", None),
        ({"caller_id": "4930123"}, False, "none", None),
        ({"identity": {"asserted": "pai"}}, True, "pai", "gw1.acme.example"),
        ({"identity": {"asserted": "rpid"}, "from_domain": "pbx.example"}, True, "rpid", "pbx.example"),
    ],
)
def test_a_route_tells_what_the_carrier_may_know_of_the_caller(more, shows_name, asserted, host):
    attempts = [{"trunk": "acme", "target": "acme.1", "bounds": BOUNDS, "verdicts": "table-1"}]
    route = {
        "name": "all", "emergency": False, "max_attempts": 3, "max_targets": 2, "hunt_after_ringing": True, "cool_down": 12.5,
        "trunks": [[{"name": "acme", "weight": 70}]], "attempts": attempts,
    }  # fmt: skip
    plan = {"trunks": [trunk(targets=[target("acme.1")], **more)], "verdicts": {"table-1": TABLE}}
    acme = from_lua(freeswitch_route.freeswitch_route(route, plan))["plan"]["acme"]
    assert (acme["shows_name"], acme["asserted"], acme["targets"][0][0].get("identity_host")) == (shows_name, asserted, host)


@pytest.mark.parametrize(("name", "written"), [("alaw", "PCMA"), ("ULAW", "PCMU"), ("g722", "G722"), ("opus", "OPUS"), ("ilbc", "iLBC"), ("speex", "SPEEX")])
def test_freeswitch_codec(name, written):
    assert freeswitch_codec.freeswitch_codec(name) == written


# --- gateways ---

ACCOUNT = {"username": "pbx-100", "auth_username": "login", "realm": None}
SECRET = "a $${secret} \"&"


def gateways(key="key", secret=SECRET, **more):
    found = freeswitch_gateways.freeswitch_gateways(trunk(**more), {"acme": secret}, key, "198.18.9.9")
    assert all(set(gateway) == {"name", "mark", "params"} for gateway in found)
    return {gateway["name"]: gateway for gateway in found}


def params(gateway):
    assert len(dict(gateway["params"])) == len(gateway["params"]), "each once"
    return dict(gateway["params"])


def test_a_gateway_for_each_thing_to_do():
    one = [target("acme.1")]
    assert list(gateways(targets=one)) == ["acme.1"]
    assert list(gateways(targets=one, probe={"interval": 10})) == ["acme.1", "acme.1.probe"]
    assert list(gateways(targets=one, account=ACCOUNT, registrations=[target("acme")])) == ["acme.1", "acme.registration"]
    assert list(gateways(account=ACCOUNT, registrations=[target("acme.1"), target("acme.2")]))[-2:] == ["acme.1.registration", "acme.2.registration"]


def test_calls_neither_register_nor_are_probed_and_only_registrations_register():
    found = gateways(targets=[target("acme.1")], probe={"interval": 10}, account=ACCOUNT, registrations=[target("acme")])
    call, probe, registration = map(params, found.values())
    assert (call["register"], probe["register"], registration["register"]) == ("false", "false", "true")
    assert "ping" not in call and "ping" not in registration
    assert (probe["ping"], probe["ping-min"], probe["ping-max"]) == ("10", "1", "1")
    assert "password" not in probe
    for gateway in (call, registration):
        assert (gateway["username"], gateway["auth-username"], gateway["password"]) == ("pbx-100", "login", SECRET)
        assert gateway["gw-auth-acl"] == "198.18.1.10/32"


@pytest.mark.parametrize(
    ("more", "proxy", "where"),
    [
        ({}, "gw1.acme.example", "sip:198.18.1.10:5060;transport=udp"),
        ({"domain": "sip.acme.example"}, "sip.acme.example", "sip:198.18.1.10:5060;transport=udp"),
        (
            {"transport": "tls", "domain": "sip.acme.example", "targets": [SECURE], "registrations": [SECURE]},
            "sip.acme.example",
            "sip:acme.example:5061;transport=tls;maddr=198.18.1.10",
        ),
        ({"targets": [target("acme.1", host="198.18.1.10", port=5070)]}, "198.18.1.10:5070", "sip:198.18.1.10:5070;transport=udp"),
    ],
)
def test_the_request_names_the_domain_and_goes_to_the_address(more, proxy, where):
    found = gateways(**{"probe": {"interval": 10}, "account": ACCOUNT, "registrations": [target("acme")], **more})
    assert (params(found["acme.1"])["proxy"], params(found["acme.1"])["outbound-proxy"]) == (proxy, where)
    assert params(found["acme.1.probe"])["register-proxy"] == where
    assert params(found["acme.1"])["register-transport"] == more.get("transport", "udp")


@pytest.mark.parametrize(
    ("more", "sender"),
    [
        ({}, "probe@198.18.9.9"),
        ({"domain": "sip.acme.example"}, "probe@198.18.9.9"),
        ({"from_domain": "pbx.example"}, "probe@pbx.example"),
        ({"from_user": "4930123"}, "4930123@198.18.9.9"),
        ({"account": ACCOUNT}, "pbx-100@gw1.acme.example"),
        ({"account": ACCOUNT, "domain": "sip.acme.example"}, "pbx-100@sip.acme.example"),
        ({"account": ACCOUNT, "from_user": "4930123", "from_domain": "pbx.example"}, "4930123@pbx.example"),
        ({"account": {**ACCOUNT, "username": "a@b#>"}, "domain": "c.example"}, "a%40b%23%3E@c.example"),
    ],
)
def test_the_sender_of_a_probe_is_never_the_carrier_itself(more, sender):
    found = gateways(targets=[target("acme.1")], probe={"interval": 10}, **more)
    assert params(found["acme.1.probe"])["from-domain"] == sender


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ({"secret": "another"}, {"acme.1", "acme.registration"}),
        ({"account": {**ACCOUNT, "auth_username": "other"}}, {"acme.1", "acme.registration"}),
        ({"account": {**ACCOUNT, "username": "other"}}, {"acme.1", "acme.1.probe", "acme.registration"}),
        ({"from_user": "x"}, {"acme.1", "acme.1.probe", "acme.registration"}),
        ({"from_domain": "x"}, {"acme.1", "acme.1.probe", "acme.registration"}),
        ({"probe": {"interval": 11}}, {"acme.1.probe"}),
        ({"options": {"gateway": {"contact-params": "x=y"}, "leg": {}}}, {"acme.1", "acme.1.probe", "acme.registration"}),
        ({"options": {"leg": {"x": "y"}}}, set()),
        ({"domain": "x"}, {"acme.1", "acme.1.probe", "acme.registration"}),
        ({"key": "another"}, {"acme.1", "acme.1.probe", "acme.registration"}),
        ({"carrier": "x", "max_channels": 9, "codecs": ["g722"], "caller_id": "1"}, set()),
    ],
)
def test_a_mark_changes_with_what_the_gateway_is(more, changed):
    usual = {"targets": [target("acme.1")], "probe": {"interval": 10}, "account": ACCOUNT, "registrations": [target("acme")]}
    before, after = gateways(**usual), gateways(**{**usual, **more})
    assert {name for name in before if before[name]["mark"] != after[name]["mark"]} == changed
    assert gateways(**usual) == before


def test_a_mark_tells_nothing_of_the_password():
    """It is a keyed hash: whoever sees it cannot try passwords against it."""
    (mark,) = {gateway["mark"] for gateway in gateways(account=ACCOUNT).values()}
    assert re.fullmatch("[0-9a-f]{16}", mark)


@pytest.mark.parametrize(
    "plugin", [freeswitch_codec, freeswitch_gateways, freeswitch_route, freeswitch_value], ids=lambda plugin: plugin.__name__.rpartition(".")[2]
)
def test_each_filter_has_its_plugins_name(plugin):
    name = plugin.__name__.rpartition(".")[2]
    assert list(plugin.FilterModule().filters()) == [name]
    assert f"\nname: {name}\n" in plugin.DOCUMENTATION
