# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the logs, checked and made harmless: what comes out has the shape that report.py relies on.

A line may be torn, or written by somebody else: one that is not of the expected shape is counted, and never an error. Text of callers
and carriers loses its control and direction characters, which could make a page say something else than it does.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from typing import Any

LONGEST_TEXT = 120
MOST_ATTEMPTS = 40  # of one call
VERDICTS = ("final", "full", "next_target", "next_trunk")
RESULTS = ("answered", "cancelled", "failed")
QUALITY = ("rx_packets", "rx_lost", "rx_jitter_ms", "tx_packets", "tx_lost", "tx_jitter_ms", "rtt_ms")

# Of each kind of event: what it must have, and what it may have. A name without a type is text.
EVENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "attempt": (("route", "trunk", "outcome", "verdict", "call"), ("target", "code:number", "ms:number")),
    "answered": (("route", "trunk", "call"), ("target", "ms:number")),
    "failover": (("route", "from", "to"), ("why",)),
    "return": (("route", "from", "to"), ("seconds:number",)),
    "registration": (("trunk", "state"), ("registration", "was")),
    "probe": (("trunk", "target", "state"), ("was",)),
    "health": (("trunk", "state"), ("target", "why", "level:number")),
    "burst": (("trunk",), ("failures:number", "seconds:number")),
    "drained": (("trunk",), ("by", "why")),
    "restored": (("trunk",), ()),
    "drift": (("trunk",), ("domain", "drifted:flag")),
    "certificate": (("trunk",), ("target", "expires")),
    "started": ((), ()),
    "engine_lost": ((), ("why",)),
    "engine_back": ((), ("seconds:number",)),
    "missed": ((), ("attempts:number", "from", "to")),
}


class Malformed(ValueError):
    """A line of another shape."""


def harmless(value: str, longest: int = LONGEST_TEXT) -> str:
    """Text without what changes how its surroundings are read, and not too long."""
    cut = value[: longest + 1]
    if not cut.isprintable():  # separators and category C
        cut = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" else char for char in cut)
    return cut if len(cut) <= longest else cut[: longest - 1] + "…"


def text(value: Any) -> str | None:
    return harmless(value) if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12 else None


def moment(value: Any) -> int:
    """Milliseconds of the epoch of a moment as the logs write it."""
    if not isinstance(value, str) or len(value) != 24 or value[-1] != "Z":
        raise Malformed("no moment")
    try:
        return round(datetime.fromisoformat(value).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Malformed("no moment") from None


def _needed(item: dict[str, Any], key: str) -> str:
    found = text(item.get(key))
    if found is None:
        raise Malformed(key)
    return found


def _items(item: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = item.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Malformed(key)
    return found[:MOST_ATTEMPTS]


def _whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def call(item: dict[str, Any]) -> dict[str, Any]:
    """A record of a call, its moments in milliseconds."""
    attempts = []
    for one in _items(item, "attempts"):
        verdict = one.get("next")
        if verdict not in VERDICTS:
            raise Malformed("next")
        attempts.append(
            {
                "at": moment(one.get("at")),
                "trunk": _needed(one, "trunk"),
                "target": text(one.get("target")),
                "code": _whole(one.get("code")),
                "reason": text(one.get("reason")),
                "ms": max(0, _whole(one.get("ms")) or 0),
                "verdict": verdict,
            }
        )
    result = item.get("result")
    if result not in RESULTS:
        raise Malformed("result")
    quality = item.get("quality")
    measured = {key: number(quality.get(key)) for key in QUALITY} if isinstance(quality, dict) else {}
    return {
        "at": moment(item.get("at")),
        "call": text(item.get("call")),
        "from": text(item.get("from")),
        "to": text(item.get("to")),
        "route": _needed(item, "route"),
        "result": result,
        "pdd": number(item.get("pdd_ms")),
        "quality": measured if any(value is not None for value in measured.values()) else None,
        "attempts": attempts,
        "passed_over": [{"trunk": _needed(one, "trunk"), "target": text(one.get("target")), "why": _needed(one, "why")} for one in _items(item, "passed_over")],
    }


def event(item: dict[str, Any]) -> dict[str, Any] | None:
    """An event of the monitor; None for a kind that is not known here."""
    kind = _needed(item, "event")
    found: dict[str, Any] = {"at": moment(item.get("at")), "event": kind}
    if kind not in EVENTS:
        return None
    needed, possible = EVENTS[kind]
    for key in needed:
        found[key] = _needed(item, key)
    for entry in possible:
        key, dummy, shape = entry.partition(":")
        value = item.get(key)
        found[key] = number(value) if shape == "number" else value is True if shape == "flag" else text(value)
    return found


def parse(lines: Iterable[bytes], kind: Any) -> tuple[list[dict[str, Any]], int]:
    """What the lines say, each line once and by time, and how many are malformed. ``kind`` is ``call`` or ``event``."""
    found, malformed, seen = [], 0, set()
    for line in lines:
        if line in seen:  # a file that was being compressed is read twice
            continue
        seen.add(line)
        try:
            item = json.loads(line.decode("utf-8"))
            if not isinstance(item, dict):
                raise Malformed("no object")
            one = kind(item)
        except (ValueError, RecursionError):
            malformed += 1
        else:
            found += [] if one is None else [one]
    return sorted(found, key=lambda one: one["at"]), malformed
