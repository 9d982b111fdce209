# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters write, read back the way Asterisk reads it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.filter import asterisk_draws, asterisk_value, asterisk_verdicts, trunk_secrets
from ansible_collections.siptrunk.failover.plugins.plugin_utils import verdicts

TEXT = st.text(st.sampled_from("ab;\\\"'-=> é$") | st.characters(exclude_categories=["Cc", "Cs"]), max_size=20).map(str.strip)


def read_back(line):
    """The value of "key = value", as main/config.c takes it: \\; is a semicolon, any other ; begins a comment."""
    out = ""
    for char in line.partition("=")[2].strip():
        if char == ";" and not out.endswith("\\"):
            break
        out = out[:-1] + ";" if char == ";" else out + char
    return out.strip()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("sip:198.18.1.10:5060;transport=tcp;lr", "sip:198.18.1.10:5060\\;transport=tcp\\;lr"),
        ("a;--b--;c", "a\\;--b--\\;c"),
        ('s3cret;"\\x', 's3cret\\;"\\x'),
        (";", "\\;"),
        ("", ""),
        (5060, "5060"),
    ],
)
def test_asterisk_value(value, written):
    assert asterisk_value.asterisk_value(value) == written
    assert read_back(f"key = {written}") == str(value)


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_asterisk_value_is_read_back_unchanged(text):
    assert read_back(f"key = {asterisk_value.asterisk_value(text)}") == text


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "\n"])
def test_asterisk_value_refuses_a_line_break(text):
    with pytest.raises(AnsibleFilterError) as error:
        asterisk_value.asterisk_value(text)
    assert str(error.value) == "a value for Asterisk's configuration holds a line break; the plan compiler should have refused it"


def look_up(extensions, outcome):
    """What Asterisk finds for `outcome`: the literal extension, else the pattern of its class."""
    return extensions[outcome] if outcome in extensions else extensions[f"_{outcome[0]}XX"]


@given(
    st.dictionaries(st.sampled_from(list(verdicts.DEFAULTS)), st.sampled_from(verdicts.VERDICTS)),
    st.dictionaries(st.sampled_from("3456"), st.sampled_from(verdicts.VERDICTS)),
)
@settings(max_examples=60, deadline=None)
def test_asterisk_verdicts_says_the_same_as_the_table(codes, classes):
    merged = {**verdicts.DEFAULTS, **{code: classes[str(code)[0]] for code in verdicts.CODES if str(code)[0] in classes}, **codes}
    table = {str(outcome): verdict for outcome, verdict in merged.items()}
    pairs = asterisk_verdicts.asterisk_verdicts(table)
    extensions = dict(pairs)
    assert len(extensions) == len(pairs), "an extension stands twice"
    assert {outcome: look_up(extensions, outcome) for outcome in table} == table
    redundant = [code for code, verdict in extensions.items() if code.isdigit() and extensions[f"_{code[0]}XX"] == verdict]
    assert redundant == []


def test_asterisk_verdicts_of_the_decision_table():
    table = {str(outcome): verdict for outcome, verdict in verdicts.DEFAULTS.items()}
    final = ["404", "410", "433", "480", "482", "483", "484", "485", "486", "487"]
    assert asterisk_verdicts.asterisk_verdicts(table) == [
        ["no_progress", "next_trunk"],
        ["rang_out", "final"],
        ["silent", "next_target"],
        ["unreachable", "next_target"],
        ["_3XX", "next_trunk"],
        ["_4XX", "next_trunk"],
        *([code, "next_target" if code == "408" else "final"] for code in sorted([*final, "408"])),
        ["_5XX", "next_target"],
        *([code, "next_trunk"] for code in ("501", "505", "513")),
        ["_6XX", "final"],
        ["606", "next_trunk"],
    ]


@pytest.mark.parametrize(
    ("groups", "steps"),
    [
        ([[("a", 50)]], [{"items": "a&", "sum": 0}]),
        ([[("a", 50)], [("b", 0)]], [{"items": "a&b&", "sum": 0}]),
        ([[("a", 60), ("b", 0), ("c", 20)]], [{"items": "b*0&a*60&c*20&", "sum": 80}]),
        ([[("a", 0), ("b", 0)]], [{"items": "a*1&b*1&", "sum": 2}]),
        (
            [[("a", 1)], [("b", 2), ("c", 3)], [("d", 4)], [("e", 5)]],
            [{"items": "a&", "sum": 0}, {"items": "b*2&c*3&", "sum": 5}, {"items": "d&e&", "sum": 0}],
        ),
        ([], []),
    ],
)
def test_asterisk_draws(groups, steps):
    given_groups = [[{"id": name, "weight": weight} for name, weight in group] for group in groups]
    assert asterisk_draws.asterisk_draws(given_groups, "id") == steps


def test_trunk_secrets():
    trunks = [{"name": "acme", "password": 's;"\\'}, {"name": "beta"}, {"name": "gamma", "password": ""}]
    assert trunk_secrets.FilterModule().filters()["trunk_secrets"](trunks) == {"acme": 's;"\\'}


@pytest.mark.parametrize(
    "plugin", [asterisk_draws, asterisk_value, asterisk_verdicts, trunk_secrets], ids=lambda plugin: plugin.__name__.rpartition(".")[2]
)
def test_each_filter_has_its_plugins_name(plugin):
    name = plugin.__name__.rpartition(".")[2]
    assert list(plugin.FilterModule().filters()) == [name]
    assert f"\nname: {name}\n" in plugin.DOCUMENTATION
