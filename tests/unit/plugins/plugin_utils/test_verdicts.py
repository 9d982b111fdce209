# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision table, written out a second time and compared code by code."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.plugin_utils import verdicts

REST = "every other code of the class"

# (row of the decision table, codes, verdict); a row with REST takes what no other row names
ROWS = (
    ("the target fails", {408, 500, 502, 503, 504, 580}, "next_target"),
    ("the carrier does not speak it", {501, 505, 513}, "next_trunk"),
    ("the account is at fault", {401, 402, 403, 407}, "next_trunk"),
    ("the media or the identity is refused", {415, 488, 606, 429, 436, 437, 438}, "next_trunk"),
    ("the number is wrong", {404, 410, 484, 485, 604}, "final"),
    ("the callee cannot be reached", {480, 433}, "final"),
    ("a loop", {482, 483}, "final"),
    ("busy", {486, 600}, "final"),
    ("the caller hung up", {487}, "final"),
    ("a human or a policy said no", {603, 607, 608}, "final"),
    (f"3xx, {REST}", set(range(300, 400)), "next_trunk"),
    (f"4xx, {REST}", set(range(400, 500)), "next_trunk"),
    (f"5xx, {REST}", set(range(500, 600)), "next_target"),
    (f"6xx, {REST}", set(range(600, 700)), "final"),
)
NAMED = set().union(*(codes for row, codes, _verdict in ROWS if REST not in row))
WITHOUT_CODE = {"silent": "next_target", "unreachable": "next_target", "no_progress": "next_trunk", "rang_out": "final"}
NEVER_CHANGED = {482, 483, 487}
SPOKEN = {486} | set(range(600, 700)) - {604, 606}


@pytest.mark.parametrize(
    ("codes", "verdict"), [pytest.param(codes - (NAMED if REST in row else set()), verdict, id=row) for row, codes, verdict in ROWS]
)
def test_row(codes, verdict):
    assert {code: verdicts.DEFAULTS[code] for code in codes} == dict.fromkeys(codes, verdict)
    assert {code: verdicts.default_verdict(code) for code in codes} == dict.fromkeys(codes, verdict)


def test_every_code_and_outcome_has_one_verdict():
    named = [code for row, codes, _verdict in ROWS if REST not in row for code in codes]
    assert len(named) == len(set(named)), "a code stands in two rows of this test"
    assert set(verdicts.DEFAULTS) == {*range(300, 700), *WITHOUT_CODE}
    assert set(verdicts.DEFAULTS.values()) == {"next_target", "next_trunk", "final"}


@pytest.mark.parametrize(("outcome", "verdict"), WITHOUT_CODE.items())
def test_outcome_without_a_code(outcome, verdict):
    assert verdicts.DEFAULTS[outcome] == verdict


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({480: "next_trunk"}, {480: "next_trunk"}, id="code"),
        pytest.param({"480": "next_trunk"}, {480: "next_trunk"}, id="code in quotes"),
        pytest.param({"silent": "next_trunk", "RANG_OUT": "next_trunk"}, {"silent": "next_trunk", "rang_out": "next_trunk"}, id="outcomes"),
        pytest.param({604: "next_trunk", 606: "final"}, {604: "next_trunk", 606: "final"}, id="6xx that may change"),
        pytest.param({486: "final"}, {486: "final"}, id="always final, and so it says"),
        pytest.param({"5xx": "final"}, dict.fromkeys(range(500, 600), "final"), id="class"),
        pytest.param({"3XX": "final"}, dict.fromkeys(range(300, 400), "final"), id="class in capitals"),
        pytest.param(
            {500: "next_target", "5xx": "final", 503: "next_trunk"},
            {**dict.fromkeys(range(500, 600), "final"), 500: "next_target", 503: "next_trunk"},
            id="a code wins over its class, wherever it stands",
        ),
        pytest.param(
            {"4xx": "next_trunk"}, dict.fromkeys(set(range(400, 500)) - NEVER_CHANGED - SPOKEN, "next_trunk"), id="4xx spares what never changes"
        ),
        pytest.param({"6xx": "next_trunk"}, {604: "next_trunk", 606: "next_trunk"}, id="6xx spares what never changes"),
    ],
)
def test_overrides(written, read):
    assert verdicts.parse_overrides(written) == (read, [])


def test_always_final_is_what_the_table_calls_final_always():
    assert verdicts.ALWAYS_FINAL == NEVER_CHANGED
    assert verdicts.SPOKEN == SPOKEN


@pytest.mark.parametrize("verdict", ["next_target", "next_trunk", "full"])
@pytest.mark.parametrize("of_trunk", [False, True])
def test_always_final_cannot_be_changed(verdict, of_trunk):
    for code in NEVER_CHANGED:
        (problem,) = verdicts.parse_overrides({code: verdict}, of_trunk)[1]
        assert problem.startswith(f"verdict of {code}: always final (") and problem.endswith("); remove this line")


@pytest.mark.parametrize("verdict", ["next_target", "next_trunk", "full"])
def test_only_a_trunk_changes_a_persons_word(verdict):
    for code in SPOKEN:
        (problem,) = verdicts.parse_overrides({code: verdict})[1]
        assert problem.startswith(f"verdict of {code}: final (") and problem.endswith("only a trunk whose carrier says it for its own limits may change it")
        assert verdicts.parse_overrides({code: verdict}, of_trunk=True) == ({code: verdict}, [])
        (doubt,) = verdicts.doubts({code: verdict})
        assert doubt.startswith(f"verdict of {code}: {verdict}: ")
        assert verdicts.doubts({code: "final"}) == []


@pytest.mark.parametrize(
    ("written", "doubts"),
    [
        pytest.param({"5xx": "next_trunk", 503: "full"}, [], id="nothing to say"),
        pytest.param({"4xx": "next_trunk"}, ["verdict of 4xx: 482-483, 486-487 stay final; a trunk may change 486 one by one"], id="4xx"),
        pytest.param(
            {"6XX": "full"},
            ["verdict of 6xx: 600-603, 605, 607-699 stay final; a trunk may change 600-603, 605, 607-699 one by one"],
            id="6xx",
        ),
        pytest.param({"6xx": "final"}, [], id="a class that changes nothing"),
    ],
)
def test_a_class_says_which_codes_it_leaves_out(written, doubts):
    assert verdicts.doubts(written) == doubts
    assert verdicts.parse_overrides(written)[1] == []


KEYS = "expected a SIP code from 300 to 699, a class such as 5xx, or one of silent, unreachable, no_progress, rang_out"
VERDICTS = "expected one of next_target, next_trunk, full, final"
OF_TRUNK = "only a trunk whose carrier says it for its own limits may change it"


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        pytest.param({486: "next_trunk"}, [f"verdict of 486: final (the callee is busy); {OF_TRUNK}"], id="busy"),
        pytest.param({487: "next_trunk"}, ["verdict of 487: always final (the caller hung up); remove this line"], id="hung up"),
        pytest.param({482: "next_trunk"}, ["verdict of 482: always final (a loop: asking again feeds it); remove this line"], id="loop"),
        pytest.param({603: "next_trunk"}, [f"verdict of 603: final (a person or a policy said no); {OF_TRUNK}"], id="declined"),
        pytest.param({200: "final"}, [f"verdicts key '200': {KEYS}"], id="2xx"),
        pytest.param({700: "final"}, [f"verdicts key '700': {KEYS}"], id="7xx"),
        pytest.param({"2xx": "final"}, [f"verdicts key '2xx': {KEYS}"], id="class 2xx"),
        pytest.param({"50x": "final"}, [f"verdicts key '50x': {KEYS}"], id="half a class"),
        pytest.param({"busy": "final"}, [f"verdicts key 'busy': {KEYS}"], id="unknown outcome"),
        pytest.param({"٤٨٠": "final"}, [f"verdicts key '٤٨٠': {KEYS}"], id="digits of another script"),
        pytest.param({True: "final"}, [f"verdicts key 'true': {KEYS}"], id="bool"),
        pytest.param({"4" * 5000: "final"}, [f"verdicts key '{'4' * 5000}': {KEYS}"], id="number too long for int()"),
        pytest.param({480: "retry"}, [f"verdict 'retry' of 480: {VERDICTS}"], id="unknown verdict"),
        pytest.param({480: None}, [f"verdict None of 480: {VERDICTS}"], id="no verdict"),
        pytest.param({480: ["final"]}, [f"verdict ['final'] of 480: {VERDICTS}"], id="list for verdict"),
        pytest.param({480: "retry", 99: "final"}, [f"verdict 'retry' of 480: {VERDICTS}", f"verdicts key '99': {KEYS}"], id="two at once"),
    ],
)
def test_problems(written, problems):
    assert verdicts.parse_overrides(written)[1] == problems


@given(
    st.dictionaries(st.sampled_from(list(verdicts.DEFAULTS)), st.sampled_from(verdicts.VERDICTS)),
    st.dictionaries(st.sampled_from("3456"), st.sampled_from(verdicts.VERDICTS)),
)
@settings(max_examples=60, deadline=None)
def test_a_compact_table_says_the_same_in_the_fewest_rows(codes, classes):
    merged = {**verdicts.DEFAULTS, **{code: classes[str(code)[0]] for code in verdicts.CODES if str(code)[0] in classes}, **codes}
    table = {str(outcome): verdict for outcome, verdict in merged.items()}
    rows = verdicts.compact(table)
    short = dict(rows)
    assert len(short) == len(rows), "a row stands twice"
    assert {outcome: short.get(outcome) or short[outcome[0] + "XX"] for outcome in table} == table
    assert not [code for code in short if code.isdigit() and short[code[0] + "XX"] == short[code]]
