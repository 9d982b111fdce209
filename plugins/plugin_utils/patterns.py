# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Number patterns, in the syntax of Asterisk's extensions, for every engine.

``_1NXXNXXXXXX``: ``X`` is 0-9, ``Z`` 1-9, ``N`` 2-9, ``[13-5]`` one of a set, ``.`` one or more
of anything, ``!`` zero or more. Without the underscore the pattern is one literal number.
Of several patterns that match, the more specific wins, position by position (Asterisk's
documentation, "Pattern Matching").
"""

from __future__ import annotations

import functools
import re

DIALABLE = "0123456789*#+"
_SETS = {"X": frozenset("0123456789"), "Z": frozenset("123456789"), "N": frozenset("23456789")}
_WILDCARDS = {".": f"[{DIALABLE}]+", "!": f"[{DIALABLE}]*"}


class PatternError(ValueError):
    """The text is not a number pattern; the message says what was expected."""


def parse(pattern: str) -> tuple[frozenset[str] | str, ...]:
    """Split a pattern into positions: a set of digits each, or a final "." or "!".

    Raises PatternError, whose message completes "pattern X: ...".
    """
    if not pattern.startswith("_"):
        if not pattern or set(pattern) - set(DIALABLE):
            raise PatternError(f"expected a number of {DIALABLE}, or a pattern that starts with an underscore")
        return tuple(frozenset(digit) for digit in pattern)
    positions: list[frozenset[str] | str] = []
    rest = pattern[1:]
    while rest:
        char = rest[0].upper()
        if char in _SETS:
            positions.append(_SETS[char])
        elif char in DIALABLE:
            positions.append(frozenset(char))
        elif char in _WILDCARDS:
            if len(rest) > 1:
                raise PatternError(f"{char!r} matches all that follows: it must be the last character")
            positions.append(char)
        elif char == "[":
            end = rest.find("]")
            if end < 0:
                raise PatternError("a set '[' without its ']'")
            positions.append(_digits(rest[1:end]))
            rest = rest[end:]
        else:
            raise PatternError(f"{rest[0]!r} is not allowed: expected {DIALABLE}, X, Z, N, a set such as [1-5], and '.' or '!' at the end")
        rest = rest[1:]
    if not positions:
        raise PatternError("expected something after the underscore")
    return tuple(positions)


def _digits(text: str) -> frozenset[str]:
    digits: set[str] = set()
    for first, last in re.findall(r"(.)(?:-(.))?", text):
        chosen = first if not last else "".join(map(chr, range(ord(first), ord(last) + 1)))
        if not chosen or set(chosen) - set(DIALABLE):
            raise PatternError(f"the set [{text}]: expected single characters of {DIALABLE} or ranges such as 1-5")
        digits.update(chosen)
    if not digits:
        raise PatternError("the set [] is empty")
    return frozenset(digits)


@functools.cache
def specificity(pattern: str) -> tuple:
    """A sort key of a pattern that parse() accepts: the more specific first, as Asterisk chooses (main/pbx.c, ext_cmp).

    A literal number comes before every pattern, and the end of a pattern after "." and "!".
    """
    end = [(3000, [])]
    positions = [(len(p), sorted(p)) if isinstance(p, frozenset) else (1000 + 1000 * ".!".index(p), []) for p in parse(pattern)]
    return pattern.startswith("_"), positions + end


def overlap(one: str, other: str) -> bool:
    """Whether some number matches both patterns."""
    (first, open_first), (second, open_second) = _stretched(one), _stretched(other)
    longer, may_stretch = max(len(first), len(second)), (open_first, open_second)
    if any(len(fixed) < longer and not stretches for fixed, stretches in zip((first, second), may_stretch, strict=True)):
        return False
    return all(mine & theirs for mine, theirs in zip(first, second, strict=False))


def covers(one: str, other: str) -> bool:
    """Whether every number that matches `other` matches `one`."""
    (first, open_first), (second, open_second) = _stretched(one), _stretched(other)
    if len(second) < len(first) or not open_first and (open_second or len(second) > len(first)):
        return False
    return all(theirs <= mine for mine, theirs in zip(first, second, strict=False))


@functools.cache
def _stretched(pattern: str) -> tuple[list[frozenset[str]], bool]:
    """The positions that a number must have, and whether anything may follow."""
    positions = [frozenset(DIALABLE) if position == "." else position for position in parse(pattern)]
    return [position for position in positions if isinstance(position, frozenset)], parse(pattern)[-1] in (".", "!")


def to_regex(positions: tuple[frozenset[str] | str, ...]) -> str:
    """An anchored regular expression (POSIX extended and PCRE) that matches the same numbers."""
    parts = []
    for position in positions:
        if isinstance(position, str):
            parts.append(_WILDCARDS[position])
        elif len(position) == 1:
            (digit,) = position
            parts.append(f"\\{digit}" if digit in "*+" else digit)
        else:
            parts.append(f"[{_ranges(position)}]")
    return f"^{''.join(parts)}$"


def _ranges(digits: frozenset[str]) -> str:
    """The inside of a bracket expression, where POSIX takes a backslash for itself; digits in a row as a range."""
    numbers = "".join(sorted(digits & frozenset("0123456789")))
    others = "".join(sorted(digits - frozenset(numbers)))
    in_a_row = len(numbers) > 2 and numbers in "0123456789"
    return (f"{numbers[0]}-{numbers[-1]}" if in_a_row else numbers) + others
