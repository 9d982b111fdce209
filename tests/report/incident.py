# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of an afternoon, as the monitor and the engines write them, and as report.yml gathers them."""

from __future__ import annotations

import base64
import json
import random
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

WINDOW = {"from": "2026-11-25T13:00:00.000Z", "to": "2026-11-25T15:00:00.000Z"}
TARGETS = {"acme": "198.51.100.10:5060", "beta": "203.0.113.20:5060", "gamma": "192.0.2.30:5061"}
HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}{% raw %}\u202e</td><img src=x onerror=alert(2)>"


def at(text: str) -> datetime:
    """14:03:12.5 on the day of the window."""
    return datetime.fromisoformat(f"2026-11-25T{text}").replace(tzinfo=UTC)


def stamp(moment: datetime | str) -> str:
    moment = at(moment) if isinstance(moment, str) else moment
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(moment: datetime | str, event: str, **fields: Any) -> dict[str, Any]:
    return {"at": stamp(moment), "event": event, **fields}


def attempt(moment: datetime | str, trunk: str, code: int | None = 200, reason: str = "OK", ms: int = 90, verdict: str = "final") -> dict[str, Any]:
    return {"at": stamp(moment), "trunk": trunk, "target": TARGETS.get(trunk, "192.0.2.99:5060"), "code": code, "reason": reason, "ms": ms, "next": verdict}


def record(moment: datetime | str, attempts: list[dict[str, Any]], result: str = "answered", **fields: Any) -> dict[str, Any]:
    """A call. ``pdd_ms`` is from the call's begin to the end of the last attempt, unless told."""
    moment = at(moment) if isinstance(moment, str) else moment
    last = attempts[-1] if attempts else {"trunk": "", "target": ""}
    delay = None if result == "failed" or not attempts else round((datetime.fromisoformat(last["at"]) - moment).total_seconds() * 1000) + last["ms"]
    return {
        "at": stamp(moment),
        "call": f"{moment.timestamp():.3f}",
        "from": "1000",
        "to": "12125550100",
        "route": "national",
        "trunk": last["trunk"],
        "target": last["target"],
        "result": result,
        "talk_seconds": 61 if result == "answered" else 0,
        "attempts": attempts,
        "passed_over": [],
        "pdd_ms": delay,
        "quality": None,
        **fields,
    }


def measured(loss: float, jitter: float, rtt: float) -> dict[str, Any]:
    lost = round(3000 * loss / 100)
    return {
        "rx_packets": 3000 - lost,
        "rx_lost": lost,
        "rx_jitter_ms": jitter,
        "tx_packets": 3000,
        "tx_lost": lost // 2,
        "tx_jitter_ms": jitter / 2,
        "rtt_ms": rtt,
    }


def log(lines: list[Any], found: bool = True, **fields: Any) -> dict[str, Any]:
    """Lines (objects, or text as it is) as the module log_window returns them."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    data = base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"))).decode()
    return {"found": ["/var/log/it"] if found else [], "files": [], "lines": len(lines), "malformed": 0, "left_out": 0, "errors": [], "data": data, **fields}


def host(name: str, events: list[Any] | None, records: list[Any] | None) -> dict[str, Any]:
    """A host as report.yml gathers it; None where it has no such log."""
    return {"name": name, "why": None, "events": log(events or [], events is not None), "records": log(records or [], records is not None)}


def afternoon(name: str, seed: int, lost: int = 0) -> dict[str, Any]:
    """acme says 503 from 14:03:12 to 14:20; its calls go to beta. Before, beta was drained; after, acme loses its registration for a minute."""
    draw = random.Random(seed)
    fails, well, held_until = at("14:03:12"), at("14:20:03"), at("14:21:10")
    calls: list[dict[str, Any]] = []
    heard: list[dict[str, Any]] = [event("13:00:05", "started")]
    moment, closed = at("13:00:10"), 0
    while moment < at("14:59:30"):
        moment += timedelta(seconds=draw.expovariate(1 / 5))
        if fails <= moment < held_until and closed >= 3:
            extra = timedelta(milliseconds=draw.randint(2, 9))
            calls.append(
                record(
                    moment,
                    [attempt(moment + extra, "beta", ms=draw.randint(90, 260))],
                    quality=measured(draw.uniform(0.3, 1.4), draw.uniform(4, 11), draw.uniform(70, 110)),
                    passed_over=[{"trunk": "acme", "target": TARGETS["acme"], "why": "held" if closed < 9 else "closed"}],
                )
            )
            closed += 1
        elif fails <= moment < well:
            first = attempt(moment, "acme", 503, "Service Unavailable", draw.randint(150, 260), "next_target")
            second = moment + timedelta(milliseconds=first["ms"] + 5)
            closed += 1
            calls.append(
                record(
                    moment,
                    [first, attempt(second, "beta", ms=draw.randint(90, 260))],
                    quality=measured(draw.uniform(0.3, 1.4), draw.uniform(4, 11), draw.uniform(70, 110)),
                )
            )
            if closed == 1:
                heard.append(event(second + timedelta(milliseconds=120), "failover", route="national", **{"from": "acme", "to": "beta"}, why="503"))
        else:
            kind = draw.random()
            if kind < 0.82:
                calls.append(
                    record(
                        moment,
                        [attempt(moment, "acme", ms=draw.randint(60, 180))],
                        quality=measured(draw.uniform(0, 0.2), draw.uniform(1, 4), draw.uniform(22, 40)),
                    )
                )
            elif kind < 0.92:
                calls.append(record(moment, [attempt(moment, "acme", 486, "Busy Here", 130)], "failed"))
            else:
                calls.append(record(moment, [attempt(moment, "acme", 487, "the caller hung up", 4200)], "cancelled"))
    for number in range(lost):
        moment = at("14:03:40") + timedelta(seconds=61 * number)
        calls.append(
            record(
                moment,
                [
                    attempt(moment, "acme", 503, "Service Unavailable", 200, "next_target"),
                    attempt(moment + timedelta(seconds=0.2), "beta", None, "silent", 6400, "next_trunk"),
                ],
                "failed",
                to=f"1415555{number:04d}",
            )
        )
    heard += [
        event("13:20:00", "drained", trunk="beta", by="anna", why="their maintenance"),
        event("13:45:30", "restored", trunk="beta"),
        event("14:03:25", "burst", trunk="acme", failures=3, seconds=13),
        event("14:03:26", "health", trunk="acme", target=TARGETS["acme"], state="held", why="503", level=1),
        event("14:03:40", "health", trunk="acme", target=None, state="closed", why="3 failures in a row", level=1),
        event("14:05:10", "probe", trunk="acme", target=TARGETS["acme"], state="dead", was="alive"),
        event("14:20:03", "probe", trunk="acme", target=TARGETS["acme"], state="alive", was="dead"),
        event("14:20:10", "health", trunk="acme", target=None, state="trial", why="probes are well", level=1),
        event("14:21:05", "health", trunk="acme", target=None, state="open", why="a call went through", level=1),
        event("14:21:10", "health", trunk="acme", target=TARGETS["acme"], state="open", why="3 probes and 60 s", level=1),
        event("14:21:40", "return", route="national", **{"from": "beta", "to": "acme"}, seconds=1108.2),
        event("14:40:00", "registration", trunk="acme", registration="acme.1", state="rejected", was="registered"),
        event("14:41:07", "registration", trunk="acme", registration="acme.1", state="registered", was="rejected"),
    ]
    return host(name, sorted(heard, key=lambda one: one["at"]), sorted(calls, key=lambda one: one["at"]))


def gathered() -> list[dict[str, Any]]:
    """Four hosts: two that saw the outage, one without a monitor, one that does not answer; and what is hostile in a log."""
    hosts = [afternoon("pbx1", 1, lost=2), afternoon("pbx2", 2)]
    bare = [
        record(at("13:30:00") + timedelta(seconds=37 * number), [attempt(at("13:30:00") + timedelta(seconds=37 * number), "gamma")]) for number in range(40)
    ]
    bad = attempt("14:30:00", "gamma", 500, HOSTILE, 800, "next_target")
    bare.append(
        record("14:30:00", [bad, attempt("14:30:01", HOSTILE, None, "silent", 4000, "next_trunk")], "failed", **{"from": HOSTILE, "to": HOSTILE}, route=HOSTILE)
    )
    hosts.append(host("pbx3", None, [*bare, '{"at":"2026-11-25T14:31:00.000Z","call":"to', "[]"]))
    hosts.append({"name": f"pbx4{HOSTILE}", "why": "Failed to connect to the host via ssh: ssh: connect to host pbx4 port 22: Connection timed out"})
    return hosts
