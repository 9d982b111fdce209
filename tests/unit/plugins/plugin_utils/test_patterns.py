# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Number patterns against a matcher and an order written down a second time."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.plugin_utils import patterns

DIALABLE = "0123456789*#+"
CLASSES = {"X": "0123456789", "Z": "123456789", "N": "23456789"}
NUMBERS = ["".join(number) for length in range(4) for number in itertools.product("0125789*#+", repeat=length)]


def units(pattern):
    """The pattern's positions as text: "_1N[2-4]." is 1, 23456789, 234 and "."."""
    if not pattern.startswith("_"):
        return list(pattern)
    found = []
    for unit in re.findall(r"\[[^]]*\]|.", pattern[1:]):
        inside = unit[1:-1]
        for low, high in re.findall(r"(\d)-(\d)", inside):
            inside = inside.replace(f"{low}-{high}", "".join(map(str, range(int(low), int(high) + 1))))
        found.append(inside if unit.startswith("[") else CLASSES.get(unit.upper(), unit))
    return found


def matches(pattern, number):
    """Whether Asterisk's pattern matches, found by walking along both."""
    *fixed, last = units(pattern)
    if last not in ".!" or not pattern.startswith("_"):
        fixed, last = [*fixed, last], ""
    return (
        all(digit in unit for digit, unit in zip(number, fixed, strict=False))
        and len(number) >= len(fixed) + (last == ".")
        and (last != "" or len(number) == len(fixed))
    )


UNITS = ["X", "Z", "N", "x", "n", *DIALABLE, "[1-5]", "[13-5]", "[*#]", "[+0-2]", "[79]", "[2-9]", "[28]"]
BODIES = st.lists(st.sampled_from(UNITS), min_size=1, max_size=3).map("".join)
PATTERNS = st.builds("_{}{}".format, BODIES, st.sampled_from(["", ".", "!"]))


@pytest.mark.parametrize(
    ("pattern", "positions"),
    [
        ("100", ["1", "0", "0"]),
        ("*8#", ["*", "8", "#"]),
        ("_1NXX", ["1", "23456789", "0123456789", "0123456789"]),
        ("_zn", ["123456789", "23456789"]),
        ("_[13-5*].", ["1345*", "."]),
        ("_+!", ["+", "!"]),
        ("_.", ["."]),
    ],
)
def test_parse(pattern, positions):
    assert patterns.parse(pattern) == tuple(unit if unit in (".", "!") else frozenset(unit) for unit in positions)


LITERAL = "expected a number of 0123456789*#+, or a pattern that starts with an underscore"
ALLOWED = "is not allowed: expected 0123456789*#+, X, Z, N, a set such as [1-5], and '.' or '!' at the end"
SET = "expected single characters of 0123456789*#+ or ranges such as 1-5"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", LITERAL),
        ("1NXX", LITERAL),
        ("1 2", LITERAL),
        ("١٢", LITERAL),
        ("_", "expected something after the underscore"),
        ("_.1", "'.' matches all that follows: it must be the last character"),
        ("_1!X", "'!' matches all that follows: it must be the last character"),
        ("_1[23", "a set '[' without its ']'"),
        ("_1[]", "the set [] is empty"),
        ("_[1-]", f"the set [1-]: {SET}"),
        ("_[5-1]", f"the set [5-1]: {SET}"),
        ("_[a-c]", f"the set [a-c]: {SET}"),
        ("_[0-a]", f"the set [0-a]: {SET}"),
        ("_[X]", f"the set [X]: {SET}"),
        ("_1A", f"'A' {ALLOWED}"),
        ("_1-2", f"'-' {ALLOWED}"),
        ("_1]", f"']' {ALLOWED}"),
        ("__1", f"'_' {ALLOWED}"),
        ("_1/2", f"'/' {ALLOWED}"),
    ],
)
def test_errors(pattern, message):
    with pytest.raises(patterns.PatternError) as error:
        patterns.parse(pattern)
    assert str(error.value) == message


@given(st.text(max_size=12))
@settings(max_examples=200, deadline=None)
def test_junk_is_parsed_or_refused(text):
    try:
        assert patterns.parse(text)
    except patterns.PatternError as error:
        assert str(error)


@given(PATTERNS | st.text(DIALABLE, min_size=1, max_size=3), st.text(DIALABLE, min_size=4, max_size=6))
@settings(max_examples=150, deadline=None)
def test_the_regex_matches_the_same_numbers(pattern, long):
    regex = re.compile(patterns.to_regex(patterns.parse(pattern)))
    assert [n for n in [*NUMBERS, long] if regex.search(n)] == [n for n in [*NUMBERS, long] if matches(pattern, n)]


@pytest.mark.parametrize(
    ("pattern", "regex"),
    [
        ("100", "^100$"),
        ("_1NXXNXXXXXX", "^1[2-9][0-9][0-9][2-9][0-9][0-9][0-9][0-9][0-9][0-9]$"),
        ("_[135]", "^[135]$"),
        ("_+X", r"^\+[0-9]$"),
        ("*8#", r"^\*8#$"),
        ("_0.", "^0[0123456789*#+]+$"),
        ("_0!", "^0[0123456789*#+]*$"),
        ("_[*#1-3]", "^[1-3#*]$"),
    ],
)
def test_the_regex_suits_posix_too(pattern, regex):
    """In POSIX (regex(7)) a backslash inside brackets is a plain character, and before # it is undefined."""
    assert patterns.to_regex(patterns.parse(pattern)) == regex


# Asterisk, main/pbx.c, ext_cmp_pattern_pos(): literal numbers stand before patterns. Then position by
# position: fewer characters, the lowest character, the lowest that only one has; then ".", "!" and the end.
END = 3


def _asterisk_key(pattern):
    def rank(unit):
        return (".!".index(unit) + 1, 0, "") if unit in ".!" else (0, len(unit), "".join(sorted(unit)))

    return (pattern.startswith("_"), *map(rank, units(pattern)), (END, 0, ""))


def our_key(pattern):
    return patterns.specificity(pattern)


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(["100", "_10X", "_1XX"], id="a literal digit first"),
        pytest.param(["_1[23]X", "_1[2-4]X", "_1NX", "_1ZX", "_1XX"], id="the smaller set first"),
        pytest.param(["_[1-3]X", "_[2-4]X", "_[358]X"], id="equal sizes: the lowest digit first"),
        pytest.param(["_[135]X", "_[136]X", "_[145]X"], id="equal lowest digit: the next one"),
        pytest.param(["_9X", "_9.", "_9!"], id="a digit, then '.', then '!'"),
        pytest.param(["_1NXX", "_1N.", "_1.", "_X.", "_."], id="the first position that differs decides"),
        pytest.param(["12", "_12!"], id="a literal number before a pattern that ends there"),
    ],
)
def test_specificity(ordered):
    for shuffled in itertools.islice(itertools.permutations(ordered), 24):
        assert sorted(shuffled, key=our_key) == ordered
    assert sorted(ordered, key=_asterisk_key) == ordered


@st.composite
def meeting(draw):
    """Two patterns that match one number."""
    number = draw(st.text("0125789*#", min_size=1, max_size=4))

    def pattern():
        fixed = draw(st.integers(1, len(number)))
        body = [draw(st.sampled_from([unit for unit in UNITS if digit in units(f"_{unit}")[0]])) for digit in number[:fixed]]
        return f"_{''.join(body)}{draw(st.sampled_from('.!')) if fixed < len(number) else draw(st.sampled_from(['', '!']))}"

    return number, (pattern(), pattern())


@given(meeting())
@settings(max_examples=300, deadline=None)
def test_specificity_is_asterisks_wherever_two_patterns_meet(number_and_pair):
    number, pair = number_and_pair
    assert all(matches(pattern, number) for pattern in pair)
    assume(not _ends_against_exclamation_mark(*pair))
    for shuffled in (pair, pair[::-1]):
        assert our_key(min(shuffled, key=_asterisk_key)) == min(map(our_key, pair))


def _ends_against_exclamation_mark(one, other):
    return any(long[-1:] == ["!"] and len(long) == len(short) + 1 for long, short in itertools.permutations([units(one), units(other)], 2))


def test_exclamation_mark_before_the_end():
    assert sorted(["_X", "_X!"], key=our_key) == sorted(["_X", "_X!"], key=_asterisk_key)


@pytest.mark.parametrize(
    ("one", "other", "meet", "all_of_it"),
    [
        ("_1NXX", "_1NXX", True, True),
        ("_1XXX", "_1NXX", True, True),
        ("_1NXX", "_1XXX", True, False),
        ("_X.", "_1NXX", True, True),
        ("_X.", "5", False, False),
        ("_X!", "5", True, True),
        ("_1NXX", "_1N.", True, False),
        ("_1NX.", "_1N.", True, False),
        ("_1N!", "_1N.", True, True),
        ("_1N.", "_1NX", True, True),
        ("_[13]XX", "_[24]XX", False, False),
        ("_[13]XX", "_[34]XX", True, False),
        ("112", "_1XX", True, False),
        ("_1XX", "112", True, True),
        ("_1XX", "_1XXX", False, False),
        ("_1XX", "_1XXX.", False, False),
    ],
)
def test_numbers_of_two_patterns(one, other, meet, all_of_it):
    assert patterns.overlap(one, other) == meet and patterns.covers(one, other) == all_of_it
    one, other = other, one
    assert patterns.overlap(one, other) == meet


@given(meeting(), st.text("0125789*#", min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_one_pattern_covers_another_only_where_each_number_of_it_matches(number_and_pair, any_number):
    number, (one, other) = number_and_pair
    assert patterns.overlap(one, other)
    if patterns.covers(one, other):
        assert not matches(other, any_number) or matches(one, any_number)
    assert not (matches(one, any_number) and matches(other, any_number)) or patterns.overlap(one, other)
