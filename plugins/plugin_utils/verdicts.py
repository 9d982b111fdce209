# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision table: what each outcome of an attempt means for the rest of the call.

An outcome is a SIP status code from 300 to 699 (RFC 3261 section 21), or one of the names in
``OUTCOMES`` for an attempt that ended without one. A verdict is one of:

``next_target``  ask the trunk's next target, then the next trunk: this address is at fault
``next_trunk``   ask the next trunk: the carrier or its account is at fault, on every target
``full``         ask the next trunk, and hold nothing against this one: its limit of calls is reached, and it is healthy
``final``        stop: a person or the called number has answered, or the caller has hung up

Carriers say 403, 480, 486, 503 or 603 for "too many calls". ``full`` keeps apart what a code means for the call and what it says of the trunk.
"""

from __future__ import annotations

from collections import Counter

NEXT_TARGET = "next_target"
NEXT_TRUNK = "next_trunk"
FULL = "full"
FINAL = "final"
VERDICTS = (NEXT_TARGET, NEXT_TRUNK, FULL, FINAL)

CODES = range(300, 700)

# name: (what happened, verdict)
OUTCOMES = {
    "silent": ("no SIP answer at all, not even 100", NEXT_TARGET),
    "unreachable": ("the request could not be sent: refused, no route", NEXT_TARGET),
    "no_progress": ("100 Trying, then neither ringing nor media", NEXT_TRUNK),
    "rang_out": ("it rang, and nobody answered", FINAL),
}

# The first row that holds a code decides. Rows are (codes, verdict, why).
_TABLE = (
    ((404, 410, 484, 485, 604), FINAL, "the number is wrong, on every trunk"),
    ((433, 480), FINAL, "the callee cannot be reached now"),
    ((482, 483), FINAL, "a loop: asking again feeds it"),
    ((486, 600), FINAL, "the callee is busy"),
    ((487,), FINAL, "the caller hung up"),
    ((606,), NEXT_TRUNK, "this carrier cannot carry the media"),
    (range(600, 700), FINAL, "a person or a policy said no"),
    (range(300, 400), NEXT_TRUNK, "a redirect is never followed: it could lead anywhere"),
    ((408,), NEXT_TARGET, "the target's own upstream timed out"),
    ((501, 505, 513), NEXT_TRUNK, "this carrier does not speak it"),
    (range(500, 600), NEXT_TARGET, "the target failed"),
    (range(400, 500), NEXT_TRUNK, "the account or the request is at fault, on every target"),
)

# Nothing may change these: a loop would go on, or a call that its caller has ended.
ALWAYS_FINAL = frozenset((482, 483, 487))

# Usually a person's word, or that of a policy about the caller: only a trunk may change these, each by its own code, and only for an
# answer that comes before any ringing. Some carriers say them when their own limits are reached.
SPOKEN = frozenset((486,)) | frozenset(range(600, 700)) - {604, 606}


def default_verdict(code: int) -> str:
    """The verdict of SIP status `code` (300 to 699) when no policy says otherwise."""
    return next(verdict for codes, verdict, _why in _TABLE if code in codes)


DEFAULTS: dict[int | str, str] = {code: default_verdict(code) for code in CODES}
DEFAULTS.update({name: verdict for name, (_what, verdict) in OUTCOMES.items()})


def parse_overrides(overrides: dict, of_trunk: bool = False) -> tuple[dict[int | str, str], list[str]]:
    """Read a `verdicts` mapping as a user writes it.

    Keys are codes (480, "480"), classes ("5xx") or outcome names; a code wins over its class. A class leaves out
    ALWAYS_FINAL and SPOKEN; only a trunk (`of_trunk`) may change a code of SPOKEN.
    Returns the overrides by outcome, and what is wrong with them as sentences.
    """
    classes: dict[int | str, str] = {}
    single: dict[int | str, str] = {}
    problems = []
    for key, verdict in overrides.items():
        text = str(key).lower()
        if verdict not in VERDICTS:
            problems.append(f"verdict {verdict!r} of {text}: expected one of {', '.join(VERDICTS)}")
        elif text in OUTCOMES:
            single[text] = verdict
        elif base := _class_of(text):
            classes.update({code: verdict for code in range(base, base + 100) if code not in ALWAYS_FINAL | SPOKEN})
        elif len(text) == 3 and text.isascii() and text.isdigit() and int(text) in CODES:
            code = int(text)
            if code in ALWAYS_FINAL and verdict != FINAL:
                problems.append(f"verdict of {code}: always final ({_why(code)}); remove this line")
            elif code in SPOKEN and verdict != FINAL and not of_trunk:
                problems.append(f"verdict of {code}: final ({_why(code)}); only a trunk whose carrier says it for its own limits may change it")
            single[code] = verdict
        else:
            problems.append(
                f"verdicts key {text!r}: expected a SIP code from 300 to 699, a class such as 5xx, or one of {', '.join(OUTCOMES)}"
            )
    return {**classes, **single}, problems


def doubts(overrides: dict) -> list[str]:
    """What a user should know about overrides that parse_overrides accepts, as sentences."""
    found = []
    for key, verdict in overrides.items():
        text = str(key).lower()
        if verdict == FINAL:
            continue
        if base := _class_of(text):
            spared = [code for code in sorted(ALWAYS_FINAL | SPOKEN) if base <= code < base + 100]
            if spared:
                found.append(f"verdict of {text}: {_ranges(spared)} stay final; a trunk may change {_ranges(sorted(SPOKEN & set(spared)))} one by one")
        elif text.isdigit() and int(text) in SPOKEN:
            found.append(f"verdict of {text}: {verdict}: it usually means that {_why(int(text))}; such a call is placed again")
    return found


def _class_of(text: str) -> int | None:
    """300 of "3xx"."""
    return int(text[0]) * 100 if len(text) == 3 and text[0] in "3456" and text[1:] == "xx" else None


def _ranges(codes: list[int]) -> str:
    """ "486", "600-603, 605"."""
    parts: list[list[int]] = []
    for code in codes:
        if parts and parts[-1][-1] == code - 1:
            parts[-1].append(code)
        else:
            parts.append([code])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def compact(table: dict[str, str]) -> list[tuple[str, str]]:
    """A table in few rows: named outcomes, then per class its commonest verdict ("4XX") and the codes that differ, which win."""
    rows = sorted((outcome, verdict) for outcome, verdict in table.items() if not outcome.isdigit())
    for first in "3456":
        codes = {code: verdict for code, verdict in table.items() if code.startswith(first) and code.isdigit()}
        common = Counter(codes.values()).most_common(1)[0][0]
        rows.append((f"{first}XX", common))
        rows.extend(sorted((code, verdict) for code, verdict in codes.items() if verdict != common))
    return rows


def _why(code: int) -> str:
    return next(why for codes, _verdict, why in _TABLE if code in codes)
