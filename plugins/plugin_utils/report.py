# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened to the trunks of all hosts in a window of time: plain data in (report_input), plain data out.

Moments are milliseconds of the epoch. A few words have one meaning throughout:

failed       an attempt whose verdict was not ``final``, or that ended a call with a fault of the carrier
carried      a call that a trunk brought to its end: answered, or the callee's own busy, no, or silence
rerouted     a carried call of which a trunk had failed, or had been passed over for its health
lost         a call that nobody carried
given up     the caller hung up before hearing anything, while the hunt was on
outage       signs of trouble with one trunk, each less than ``JOIN`` after the one before
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ansible_collections.siptrunk.failover.plugins.module_utils.log_lines import unpack
from ansible_collections.siptrunk.failover.plugins.plugin_utils import report_input

JOIN = 60_000
AROUND = 3_600_000  # how long before and after an outage quality is compared
FEW = 3  # fewer calls that were rerouted, with no other sign, are no outage
HEALTH = ("down", "cooling", "held", "closed", "trial")  # why a trunk was passed over for its health
FAULTS = ("silent", "unreachable", "no_progress")
PHRASES = {
    "400": "Bad Request",
    "401": "Unauthorized",
    "402": "Payment Required",
    "403": "Forbidden",
    "404": "Not Found",
    "407": "Proxy Authentication Required",
    "408": "Request Timeout",
    "480": "Temporarily Unavailable",
    "484": "Address Incomplete",
    "486": "Busy Here",
    "487": "Request Terminated",
    "488": "Not Acceptable Here",
    "500": "Server Internal Error",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "504": "Server Time-out",
    "600": "Busy Everywhere",
    "603": "Decline",
}
WORDS = {
    "silent": "no answer at all",
    "unreachable": "it could not be reached",
    "no_progress": "100 Trying, then nothing",
    "rang_out": "it rang, nobody answered",
    "down": "its probes had no answer",
    "cooling": "it had just failed",
    "held": "it was held back after it had failed",
    "closed": "it was closed after failures in a row",
    "trial": "it was on trial",
    "drained": "it was drained by hand",
    "full": "it was full",
    "unknown": "why is not known",
}
MOST = {"incidents": 40, "lost": 200, "failovers": 300, "changes": 300, "malformed": 5}


# --- words ---


class Clock:
    """Writes moments; with the day where the window has more than one."""

    def __init__(self, window: dict[str, int]):
        self.one_day = self.date(window["from"]) == self.date(window["to"] - 1)

    @staticmethod
    def date(at: float) -> str:
        found = datetime.fromtimestamp(at / 1000, UTC)
        return f"{found.day} {found:%b %Y}"

    def __call__(self, at: float) -> str:
        found = datetime.fromtimestamp(at / 1000, UTC)
        return f"{found:%H:%M:%S}" if self.one_day else f"{found.day} {found:%b %H:%M:%S}"


def seconds(ms: float) -> str:
    """A short wait: 0.2 s, 6.4 s, 32 s."""
    return f"{ms / 1000:.1f} s" if ms < 9_950 else f"{ms / 1000:.0f} s"


def duration(ms: float) -> str:
    """How long something lasted: 45 s, 18 min 28 s, 2 h 5 min, 3 d 4 h."""
    whole = round(ms / 1000)
    for unit, below, name, under in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name}" + (f" {rest} {under}" if rest else "")
    return f"{whole} s"


def count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def together(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def words(outcome: str, reason: str | None = None) -> str:
    """An outcome, or a reason to pass a trunk over, in words."""
    if outcome in WORDS:
        return WORDS[outcome]
    phrase = PHRASES.get(outcome) or (reason if reason != outcome else "")
    return f"{outcome} {phrase}" if outcome.isdigit() and phrase else outcome


# --- calls ---


def outcome_of(attempt: dict[str, Any]) -> str:
    """A SIP code or a name, as the events have it, of an attempt of a record."""
    code, reason = attempt["code"], attempt["reason"]
    if code is None:
        return reason if reason in FAULTS or reason == "rang_out" else "unreachable"
    return "no_progress" if code == 100 else "rang_out" if 100 < code < 200 else str(code)


def fault(attempt: dict[str, Any]) -> bool:
    """Whether the attempt failed by the carrier's fault."""
    outcome = outcome_of(attempt)
    if attempt["verdict"] == "full":
        return False
    return attempt["verdict"] != "final" or outcome in FAULTS or outcome == "408" or (outcome[0] == "5" and len(outcome) == 3)


def fate(call: dict[str, Any]) -> str:
    """answered, refused (the callee's own busy, no, or silence), cancelled, lost; open while nothing is known."""
    if call["result"] != "failed":
        return call["result"]
    return "lost" if not call["attempts"] or call["attempts"][-1]["verdict"] == "full" or fault(call["attempts"][-1]) else "refused"


def from_events(events: list[dict[str, Any]], recorded: set[str | None]) -> list[dict[str, Any]]:
    """Calls of which there is no record yet, such as those that are still up, by what the monitor heard of them."""
    heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["event"] in ("attempt", "answered") and event["call"] not in recorded:
            heard[event["call"]].append(event)
    calls = []
    for name, parts in heard.items():
        attempts, result = [], "open"
        for part in parts:
            answered = part["event"] == "answered"
            outcome = "200" if answered else part["outcome"]
            if not answered and outcome == "200":
                continue  # the end of a call that began before the window, or that is told of as answered
            ms = max(0, int(part["ms"] or 0))
            attempts.append(
                {
                    "at": part["at"] - ms,
                    "trunk": part["trunk"],
                    "target": part["target"],
                    "ms": ms,
                    "code": int(outcome) if len(outcome) == 3 and outcome.isascii() and outcome.isdigit() else None,
                    "reason": outcome,
                    "verdict": "final" if answered or part["verdict"] not in report_input.VERDICTS else part["verdict"],
                }
            )
            if attempts[-1]["verdict"] == "final":
                result = "answered" if answered else "cancelled" if outcome == "487" else "failed"
        if attempts:
            calls.append(
                {
                    "at": attempts[0]["at"],
                    "call": name,
                    "from": None,
                    "to": None,
                    "route": parts[0]["route"],
                    "result": result,
                    "pdd": None,
                    "quality": None,
                    "attempts": attempts,
                    "passed_over": [],
                }
            )
    return calls


def enrich(call: dict[str, Any]) -> dict[str, Any]:
    """A call with what the rest asks of it again and again: fate, the trunk that carried it, what failed or was passed over before, and when."""
    call["fate"] = fate(call)
    call["carrier"] = call["attempts"][-1]["trunk"] if call["fate"] in ("answered", "refused") and call["attempts"] else None
    call["gave_up"] = call["fate"] == "cancelled" and call["pdd"] is None
    call["failed"] = [attempt for attempt in call["attempts"] if fault(attempt)]
    first: dict[str, int] = {}
    for one in call["passed_over"]:
        if one["why"] in HEALTH:
            first.setdefault(one["trunk"], call["at"])
    for attempt in call["failed"]:
        first.setdefault(attempt["trunk"], attempt["at"])
    call["trouble"] = first
    call["explained"] = False  # by an outage
    return call


# --- states, out of events ---


def intervals(events: list[dict[str, Any]], begins: int) -> list[dict[str, Any]]:
    """Spans of probe, held, closed, trial, registration, drained and engine; ``end`` is None while one lasts.

    What ended in the window and did not begin there began before: at the window's beginning. A monitor that starts does not know of a drain or a lost
    engine that it told of, and never tells that one ended meanwhile. What still is it tells again, and then that is one span.
    """
    spans: list[dict[str, Any]] = []
    running: dict[tuple[Any, ...], dict[str, Any]] = {}
    forgotten: dict[tuple[Any, ...], dict[str, Any]] = {}

    def turn(key: tuple[Any, ...], kind: str | None, at: int, why: str | None = None) -> None:
        span = running.get(key)
        if span and span["kind"] != kind:
            span["end"] = at
            del running[key]
        if kind and key not in running:
            before = forgotten.pop(key, None)
            if before and at - before["end"] <= JOIN:
                before["end"] = None
                running[key] = before
                return
            running[key] = {"kind": kind, "trunk": key[1], "target": key[2], "start": at, "end": None, "why": why}
            spans.append(running[key])

    def told_before(key: tuple[Any, ...], kind: str | None) -> None:
        if kind and key not in running:
            turn(key, kind, begins)

    for event in events:
        at, trunk = event["at"], event.get("trunk")
        if event["event"] == "probe":
            key = ("probe", trunk, event["target"])
            told_before(key, "probe" if event["was"] == "dead" else None)
            turn(key, "probe" if event["state"] == "dead" else None, at)
        elif event["event"] == "health":
            turn(("health", trunk, event["target"]), event["state"] if event["state"] in ("held", "closed", "trial") else None, at, event["why"])
        elif event["event"] == "registration":
            key = ("registration", trunk, event["registration"])
            lost = [state in ("unregistered", "rejected", "stopped") for state in (event["was"], event["state"])]
            told_before(key, "registration" if lost[0] else None)
            turn(key, "registration" if lost[1] else None, at, event["state"])
        elif event["event"] in ("drained", "restored"):
            told_before(("drained", trunk, None), "drained" if event["event"] == "restored" else None)
            why = " ".join(filter(None, [f"by {event['by']}" if event.get("by") else None, f"({event['why']})" if event.get("why") else None]))
            turn(("drained", trunk, None), "drained" if event["event"] == "drained" else None, at, why)
        elif event["event"] in ("engine_lost", "engine_back"):
            told_before(("engine", None, None), "engine" if event["event"] == "engine_back" else None)
            turn(("engine", None, None), "engine" if event["event"] == "engine_lost" else None, at, event.get("why"))
        elif event["event"] == "started":
            for key in [key for key in running if key[0] in ("drained", "engine")]:
                forgotten[key] = running[key]
                turn(key, None, at)
    return spans


def paired(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Failovers, each with the return that ended it."""
    found: list[dict[str, Any]] = []
    running: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "failover":
            running[event["route"]] = {
                "at": event["at"],
                "route": event["route"],
                "from": event["from"],
                "to": event["to"],
                "why": event["why"] or "",
                "back": None,
            }
            found.append(running[event["route"]])
        elif event["event"] == "return" and event["route"] in running:
            running.pop(event["route"])["back"] = event["at"]
    return found


def settled(failovers: list[dict[str, Any]], calls: list[dict[str, Any]], ends: int) -> list[dict[str, Any]]:
    """The same; one without a return, as of a monitor that forgot it, was over with the first call by the trunk after the last one by another."""
    for one in failovers:
        one["until"] = min((other["at"] for other in failovers if other["route"] == one["route"] and other["at"] > one["at"]), default=ends)
        if one["back"] is not None:
            continue
        carried = [call for call in calls if call["route"] == one["route"] and call["carrier"] and one["at"] < call["at"] < one["until"]]
        while one["until"] < ends and carried and carried[-1]["carrier"] != one["from"]:
            carried.pop()  # began before the next failover was told, and made it
        for call in carried:
            one["back"] = None if call["carrier"] != one["from"] else one["back"] or call["at"]
    return failovers


def derived(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Failovers of a host without a monitor, by its calls: the first that a backup carried in the place of a trunk, until that one carries again."""
    found: list[dict[str, Any]] = []
    running: dict[str, dict[str, Any]] = {}
    for call in calls:
        now, trunk = running.get(call["route"]), call["carrier"]
        if trunk is None:
            continue
        if now and trunk == now["from"]:
            running.pop(call["route"])["back"] = call["at"]
        elif not now:
            left = [(call["failed"][0]["at"], call["failed"][0]["trunk"], outcome_of(call["failed"][0]))] if call["failed"] else []
            left += [(call["at"], one["trunk"], one["why"]) for one in call["passed_over"]]
            primary = next((one for one in sorted(left, key=lambda one: one[0]) if one[1] != trunk), None)
            if primary:
                running[call["route"]] = {
                    "at": call["attempts"][-1]["at"],
                    "route": call["route"],
                    "from": primary[1],
                    "to": trunk,
                    "why": primary[2],
                    "back": None,
                }
                found.append(running[call["route"]])
    return found


# --- one host ---


def read_host(host: dict[str, Any]) -> dict[str, Any]:
    """A host as report.yml gathered it ({name, why, events, records}: the module's results, or why there are none), its lines read and checked."""
    found: dict[str, Any] = {"name": report_input.harmless(str(host["name"])), "why": None, "monitor": False, "calls": [], "events": [], "notices": []}
    if host.get("why"):
        found["why"] = report_input.harmless(" ".join(str(host["why"]).split()), 400)
        return found
    notices = found["notices"]
    for kind, shape, noun in (("events", report_input.event, "monitor's log"), ("records", report_input.call, "record of calls")):
        log = host[kind]
        found[{"events": "events", "records": "calls"}[kind]], malformed = report_input.parse(unpack(log["data"]), shape)
        malformed += int(log["malformed"])
        if malformed:
            notices.append(f"{count(malformed, 'line')} of the {noun} {'is' if malformed == 1 else 'are'} malformed and not counted here.")
        if log["left_out"]:
            notices.append(
                f"{count(int(log['left_out']), 'line')} of the {noun} did not fit: the figures are too low. Ask for a shorter window, or raise report_limit."
            )
        notices += [f"A file could not be read: {report_input.harmless(str(error), 400)}." for error in log["errors"]]
        if not log["found"]:
            notices.append(
                {
                    "events": "There is no log of a monitor: no probes, registrations or marks are known, and failovers are told by the calls.",
                    "records": "There is no record of calls: nothing is known of calls but what the monitor heard.",
                }[kind]
            )
    found["monitor"], found["records"] = bool(host["events"]["found"]), bool(host["records"]["found"])
    missed = sum(int(event["attempts"] or 0) for event in found["events"] if event["event"] == "missed")
    if missed:
        notices.append(f"The monitor did not hear {count(missed, 'attempt')}; the calls here are complete, failovers may be missing.")
    return found


def merge(signs: list[tuple[int, int | None]], ends: int) -> list[tuple[int, int, bool]]:
    """Spans less than JOIN apart as one: (start, end, whether it still lasts)."""
    merged: list[list[Any]] = []
    for start, end in sorted((start, end) for start, end in ((start, ends + 1 if end is None else end) for start, end in signs)):
        if merged and start <= merged[-1][1] + JOIN:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return [(start, min(end, ends), end > ends) for start, end in merged]


def without_return(one: dict[str, Any], spans: list[dict[str, Any]], troubled: list[dict[str, Any]], window: dict[str, int]) -> int | None:
    """When the trouble of a failover ended after which no call has gone through the trunk yet, so that nobody told of a return; None while it lasts."""
    trunk = one["from"]
    ends = [span["end"] for span in spans if span["trunk"] == trunk and span["start"] < one["until"] and (span["end"] is None or span["end"] >= one["at"])]
    last = max([one["at"], *(call["trouble"][trunk] for call in troubled if call["trouble"][trunk] < one["until"])])
    if None in ends or (not ends and last > window["to"] - JOIN):
        return None
    return max([last, *ends])


def outages(host: dict[str, Any], window: dict[str, int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The outages of a host, and calls that one trunk alone had failed in passing."""
    signs: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
    troubled: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in host["calls"]:
        for trunk, at in call["trouble"].items():
            signs[trunk].append((at, max([at, *(one["at"] + one["ms"] for one in call["failed"] if one["trunk"] == trunk)])))
            troubled[trunk].append(call)
    spans = [span for span in host["spans"] if span["kind"] in ("probe", "held", "closed", "trial")]
    moved = [one for one in host["failovers"] if one["why"] not in ("drained", "full")]
    bursts = [event for event in host["events"] if event["event"] == "burst"]
    for span in spans:
        signs[span["trunk"]].append((span["start"], span["end"]))
    for one in moved:
        signs[one["from"]].append((one["at"], without_return(one, spans, troubled[one["from"]], window) if one["back"] is None else one["back"]))
    for event in bursts:
        signs[event["trunk"]].append((event["at"], event["at"]))
    carried: dict[str, list[int]] = defaultdict(list)
    for call in host["calls"]:
        if call["carrier"]:
            carried[call["carrier"]].append(call["at"])
    found, stray = [], []
    for trunk in sorted(signs):
        for start, end, lasts in merge(signs[trunk], window["to"]):
            calls = [call for call in troubled[trunk] if start <= call["trouble"][trunk] <= end]
            here = [one for one in moved if one["from"] == trunk and start <= one["at"] <= end]
            kinds = {span["kind"] for span in spans if span["trunk"] == trunk and span["start"] <= end and (span["end"] or end) >= start}
            fates = Counter("rerouted" if call["carrier"] else "gave_up" if call["gave_up"] else call["fate"] for call in calls)
            failures = [attempt for call in calls for attempt in call["failed"] if attempt["trunk"] == trunk]
            certain = kinds or lasts or any(one["back"] is None for one in here)
            certain = certain or any(start <= event["at"] <= end for event in bursts if event["trunk"] == trunk)
            if not certain and len(calls) < FEW and (host["records"] or not here):
                stray += [{"trunk": trunk, "outcome": outcome_of(failures[0]) if failures else "down"} for call in calls if call["carrier"]]
                continue
            for call in calls:
                call["explained"] = True
            causes: Counter[str] = Counter()
            for attempt in failures:
                causes[words(outcome_of(attempt), attempt["reason"])] += 1
            if not causes:
                causes.update(words(one["why"]) for one in here if one["why"])
            if not causes:
                causes.update(words(one["why"]) for call in calls for one in call["passed_over"] if one["trunk"] == trunk)
            if not causes:
                causes[words("down" if "probe" in kinds else "held" if "held" in kinds else "closed")] += 1
            after = bisect.bisect_right(carried[trunk], max(call["trouble"][trunk] for call in calls)) if calls else len(carried[trunk])
            again = carried[trunk][after] if after < len(carried[trunk]) else None  # the first call that went through it as ever
            back = max((one["back"] for one in here if one["back"] is not None), default=again)
            until = end if again is None else min(end, again - 1)  # a return is told only when it has lasted for a while
            rerouted = [call for call in calls if call["carrier"]]
            found.append(
                {
                    "kind": "outage",
                    "trunk": trunk,
                    "host": host["name"],
                    "start": start,
                    "end": end,
                    "until": until,
                    "lasts": lasts,
                    "back": None if lasts else back,
                    "before": start <= window["from"],
                    "kinds": sorted(kinds),
                    "causes": causes,
                    "failovers": len(here),
                    "targets": sorted({span["target"] for span in spans if span["trunk"] == trunk and span["target"] and start <= span["start"] <= end}),
                    "rerouted": len(rerouted),
                    "lost": fates["lost"],
                    "gave_up": fates["gave_up"],
                    "open": fates["open"],
                    "to": Counter(call["carrier"] for call in rerouted) or Counter(one["to"] for one in here),
                    "delays": sorted(call["attempts"][-1]["at"] - call["at"] for call in rerouted),
                    "routes": {call["route"] for call in calls} | {one["route"] for one in here},
                    "through": sum(start <= at <= until for at in carried[trunk]),
                }
            )
    return found, stray


def planned(host: dict[str, Any], window: dict[str, int]) -> list[dict[str, Any]]:
    """What is no outage of a trunk: drained and full trunks, calls lost in passing, registrations that were lost, an engine that was gone."""
    found = []
    for why in ("drained", "full"):
        signs: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
        passed = [(call, trunk) for call in host["calls"] for trunk in {one["trunk"] for one in call["passed_over"] if one["why"] == why}]
        for call, trunk in passed:
            signs[trunk].append((call["at"], call["at"]))
        for span in host["spans"]:
            if span["kind"] == why:
                signs[span["trunk"]].append((span["start"], span["end"]))
        for trunk in sorted(signs):
            for start, end, lasts in merge(signs[trunk], window["to"]):
                calls = [call for call, name in passed if name == trunk and start <= call["at"] <= end]
                said = next((span["why"] for span in host["spans"] if (span["kind"], span["trunk"]) == (why, trunk) and start <= span["start"] <= end), None)
                found.append(
                    {
                        "kind": why,
                        "trunk": trunk,
                        "host": host["name"],
                        "start": start,
                        "end": end,
                        "lasts": lasts,
                        "why": said,
                        "before": start <= window["from"],
                        "to": Counter(call["carrier"] for call in calls if call["carrier"]),
                        "rerouted": sum(call["carrier"] is not None for call in calls),
                        "lost": sum(call["fate"] == "lost" for call in calls),
                    }
                )
    lost = [
        call
        for call in host["calls"]
        if call["fate"] == "lost" and not call["explained"] and not any(one["why"] in ("drained", "full") for one in call["passed_over"])
    ]
    for start, end, _lasts in merge([(call["at"], call["at"]) for call in lost], window["to"]):
        calls = [call for call in lost if start <= call["at"] <= end]
        asked = Counter(f"{one['trunk']} ({words(outcome_of(one), one['reason'])})" for call in calls for one in call["failed"])
        found.append(
            {
                "kind": "lost",
                "trunk": None,
                "host": host["name"],
                "start": start,
                "end": end,
                "lasts": False,
                "before": False,
                "asked": list(asked),
                "rerouted": 0,
                "lost": len(calls),
                "to": Counter(),
            }
        )
    for span in host["spans"]:
        if span["kind"] in ("registration", "engine"):
            end = window["to"] if span["end"] is None else span["end"]
            carried = sum(call["carrier"] == span["trunk"] and span["start"] <= call["at"] <= end for call in host["calls"])
            found.append(
                {
                    "kind": span["kind"],
                    "trunk": span["trunk"],
                    "host": host["name"],
                    "start": span["start"],
                    "end": end,
                    "lasts": span["end"] is None,
                    "before": span["start"] <= window["from"],
                    "why": span["why"],
                    "carried": carried,
                    "rerouted": 0,
                    "lost": 0,
                    "to": Counter(),
                }
            )
    return found


# --- all hosts ---


def grouped(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same trouble with the same trunk, seen by several hosts at once, is one incident."""
    groups: list[dict[str, Any]] = []
    latest: dict[tuple[str, str | None], dict[str, Any]] = {}
    for one in sorted(found, key=lambda one: (one["start"], one["host"])):
        key = (one["kind"], one["trunk"] or one["host"])
        group = latest.get(key)
        if group and one["start"] <= group["end"] + JOIN and one["host"] not in group["hosts"]:
            group["parts"].append(one)
            group["hosts"].append(one["host"])
            group["end"] = max(group["end"], one["end"])
        else:
            latest[key] = group = {"kind": one["kind"], "trunk": one["trunk"], "hosts": [one["host"]], "start": one["start"], "end": one["end"], "parts": [one]}
            groups.append(group)
    for group in groups:
        parts = group["parts"]
        group["lasts"], group["before"] = any(part["lasts"] for part in parts), parts[0]["before"]
        group["rerouted"], group["lost"] = sum(part["rerouted"] for part in parts), sum(part["lost"] for part in parts)
        group["to"] = sum((part["to"] for part in parts), Counter())
    return groups


def _began(group: dict[str, Any], clock: Clock) -> str:
    return f"since before {clock(group['start'])} UTC" if group["before"] else f"at {clock(group['start'])} UTC"


def _span(group: dict[str, Any], clock: Clock) -> str:
    begin = f"{'before ' if group['before'] else ''}{clock(group['start'])}"
    return f"since {begin} UTC, and still is" if group["lasts"] else f"from {begin} to {clock(group['end'])} UTC"


def _went_to(group: dict[str, Any]) -> str:
    names = [name if name != group["trunk"] else "its other address" for name, _calls in group["to"].most_common()]
    return together(names)


def _calls(group: dict[str, Any]) -> str:
    said = f"{count(group['rerouted'], 'call')} rerouted, {group['lost']:,} lost"
    gave_up, still = (sum(part.get(key, 0) for part in group["parts"]) for key in ("gave_up", "open"))
    return said + (f", {count(gave_up, 'caller')} hung up while waiting" if gave_up else "") + (f", {still:,} still undecided" if still else "")


def sentence(group: dict[str, Any], clock: Clock) -> str:
    """The incident, in plain words."""
    trunk, on = group["trunk"], f" on {together(sorted(group['hosts']))}"
    parts = group["parts"]
    if group["kind"] == "lost":
        asked = "; ".join(parts[0]["asked"][:3]) or "there was no trunk to ask"
        return f"{count(group['lost'], 'call')} {'was' if group['lost'] == 1 else 'were'} lost{on} at {clock(group['start'])} UTC: {asked}."
    if group["kind"] == "engine":
        return f"The phone system{on} was not there for its monitor {_span(group, clock)}."
    if group["kind"] == "registration":
        carried = sum(part["carried"] for part in parts)
        return f"{trunk} was not registered{on} {_span(group, clock)}; {count(carried, 'call')} went through it all the same."
    if group["kind"] in ("drained", "full"):
        how = f"drained{on}{' ' + parts[0]['why'] if parts[0]['why'] else ''}" if group["kind"] == "drained" else f"full{on}"
        span = _span(group, clock) if group["kind"] == "drained" or group["end"] - group["start"] >= 1000 else f"at {clock(group['start'])} UTC"
        went = f"; {count(group['rerouted'], 'call')} went to {_went_to(group)} instead, {group['lost']:,} lost" if group["rerouted"] else ""
        went = went or (f"; {count(group['lost'], 'call')} lost" if group["lost"] else "; no call was affected")
        return f"{trunk} was {how} {span}{went}."
    cause = sum((part["causes"] for part in parts), Counter()).most_common(1)[0][0]
    affected = group["rerouted"] + group["lost"] + sum(part["gave_up"] + part["open"] + part["failovers"] for part in parts)
    back = max((part["back"] for part in parts if part["back"] is not None), default=None)
    if not affected:
        targets = together(sorted({target for part in parts for target in part["targets"]}))
        through = sum(part["through"] for part in parts)
        what = f"{targets} of {trunk}" if targets and through else trunk
        end = "and still is" if group["lasts"] else f"well again at {clock(group['end'])}"
        spared = f"; {count(through, 'call')} went through its other address" if targets and through else "; no call was affected"
        return f"{what} failed{on} {_began(group, clock)} ({cause}), {end}{spared}."
    delays = sorted(delay for part in parts for delay in part["delays"])
    said = [f"{trunk} failed{on} {_began(group, clock)} ({cause})"]
    if group["to"]:
        after = ""
        if delays:
            usual, worst = statistics.median(delays), delays[-1]
            after = " at once" if usual < 50 else f" after {seconds(usual)}"
            after += f" ({seconds(worst)} at worst)" if worst >= max(2 * usual, usual + 100) else ""
        said.append(f"calls went to {_went_to(group)}{after}")
    elif group["lost"]:
        said.append("no other trunk took its calls")
    if group["lasts"]:
        said.append("not back when this report ends")
    elif back is not None:
        said.append(f"back on {trunk} at {clock(back)}, {duration(back - group['start'])} later")
    elif any(part["kinds"] for part in parts):
        said.append(f"well again at {clock(group['end'])}, no call went through it since")
    else:
        said.append(f"no call went through {trunk} since")
    return "; ".join([*said, _calls(group)]) + "."


def percentile(values: list[float], share: float) -> float | None:
    """The nearest rank; None of nothing."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def quality(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Loss in percent of all packets, jitter and round trip in ms as the median call had them; None where nothing was measured."""
    measured = [call["quality"] for call in calls if call["quality"]]
    found: dict[str, Any] = {"calls": len(calls), "measured": len(measured)}
    for side in ("rx", "tx"):
        pairs = [
            (one[f"{side}_packets"], max(0, one[f"{side}_lost"])) for one in measured if one[f"{side}_packets"] is not None and one[f"{side}_lost"] is not None
        ]
        sent = sum(max(0, packets) + lost for packets, lost in pairs)
        found[f"{side}_loss"] = 100 * sum(lost for _packets, lost in pairs) / sent if sent else None
        found[f"{side}_jitter"] = _median([one[f"{side}_jitter_ms"] for one in measured if one[f"{side}_jitter_ms"] is not None])
    found["rtt"] = _median([one["rtt_ms"] for one in measured if one["rtt_ms"] is not None])
    found["pdd"] = _median([call["pdd"] for call in calls if call["pdd"] is not None])
    return found


def around(group: dict[str, Any], hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Quality of the answered calls of the routes concerned before, during and after, by the trunk that carried them."""
    sorts: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    by_host = {part["host"]: part for part in group["parts"]}
    for host in hosts:
        part = by_host.get(host["name"])
        if not part:
            continue
        first = bisect.bisect_left(host["moments"], part["start"] - AROUND)
        last = bisect.bisect_right(host["moments"], part["end"] + AROUND)
        for call in host["calls"][first:last]:
            if call["fate"] == "answered" and call["carrier"] and (call["route"] in part["routes"] or not part["routes"] and call["carrier"] == group["trunk"]):
                when = call["trouble"].get(group["trunk"], call["at"])  # a call begins a little before its first attempt
                sorts[(0 if when < part["start"] else 1 if when <= part["until"] else 2), call["carrier"]].append(call)
    return [{"phase": ("before", "during", "after")[phase], "trunk": trunk, **quality(calls)} for (phase, trunk), calls in sorted(sorts.items())]


def by_trunk(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls, post-dial delay and attempts of each trunk, over all hosts."""
    calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
    attempts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    reasons: dict[str, str | None] = {}
    for host in hosts:
        for call in host["calls"]:
            if call["carrier"]:
                calls[call["carrier"]].append(call)
            for attempt in call["attempts"]:
                outcome = outcome_of(attempt)
                reasons.setdefault(outcome, attempt["reason"])
                attempts[attempt["trunk"]][attempt["verdict"], outcome] += 1
    rows = []
    for trunk in sorted({*calls, *attempts}):
        delays = [call["pdd"] for call in calls[trunk] if call["pdd"] is not None]
        rows.append(
            {
                "trunk": trunk,
                "calls": len(calls[trunk]),
                "answered": sum(call["fate"] == "answered" for call in calls[trunk]),
                "pdd": _median(delays),
                "pdd_95": percentile(delays, 0.95),
                "attempts": sum(attempts[trunk].values()),
                "failed": sum(number for (verdict, _outcome), number in attempts[trunk].items() if verdict not in ("final", "full")),
                "outcomes": [
                    {"verdict": verdict, "what": words(outcome, reasons[outcome]) if outcome != "200" else "200 OK", "count": number}
                    for (verdict, outcome), number in sorted(attempts[trunk].items(), key=lambda item: (item[0][0] == "final", -item[1], item[0]))
                ],
            }
        )
    return rows


def failover_rows(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All failovers, each with the answer that caused it where a call tells it."""
    rows = []
    for host in hosts:
        failures: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for call in host["calls"]:
            for attempt in call["failed"]:
                failures[call["route"], attempt["trunk"]].append((attempt["at"], words(outcome_of(attempt), attempt["reason"])))
        for found in failures.values():
            found.sort()
        for one in host["failovers"]:
            cause = words(one["why"]) if one["why"] else ""
            if one["why"] not in HEALTH and one["why"] not in ("drained", "full"):
                found = failures[one["route"], one["from"]]
                last = bisect.bisect_right(found, (one["at"], "\U0010ffff")) - 1
                if last >= 0 and one["at"] - found[last][0] <= JOIN:
                    cause = found[last][1]
            rows.append({**one, "host": host["name"], "cause": cause or "not told"})
    return sorted(rows, key=lambda row: (row["at"], row["host"], row["route"]))


KIND_WORDS = {
    "probe": "probe dead",
    "held": "held",
    "closed": "closed",
    "trial": "trial",
    "registration": "not registered",
    "drained": "drained",
    "engine": "engine gone",
}


def changes(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All that the monitors told of, in order, in words: what the timelines draw."""
    rows = []
    for host in hosts:
        name = host["name"]
        for span in host["spans"]:
            target = f" {span['target']}" if span["target"] else ""
            why = "" if not span["why"] else f" {span['why']}" if span["kind"] == "drained" else f" ({words(span['why'])})"
            rows.append({"at": span["start"], "host": name, "trunk": span["trunk"], "what": f"{KIND_WORDS[span['kind']]}{target}{why}"})
            if span["end"] is not None:
                rows.append({"at": span["end"], "host": name, "trunk": span["trunk"], "what": f"no longer {KIND_WORDS[span['kind']]}{target}"})
        for one in host["failovers"]:
            rows.append({"at": one["at"], "host": name, "trunk": one["from"], "what": f"failover of {one['route']} to {one['to']}"})
            if one["back"] is not None:
                rows.append({"at": one["back"], "host": name, "trunk": one["from"], "what": f"return of {one['route']} from {one['to']}"})
        for event in host["events"]:
            if event["event"] == "burst":
                many = "several" if event["failures"] is None else f"{event['failures']:.0f}"
                rows.append({"at": event["at"], "host": name, "trunk": event["trunk"], "what": f"{many} failures in a row"})
            elif event["event"] == "drift" and event["drifted"]:
                rows.append(
                    {"at": event["at"], "host": name, "trunk": event["trunk"], "what": f"the DNS of {event['domain'] or 'it'} no longer says what is deployed"}
                )
            elif event["event"] == "certificate":
                rows.append(
                    {"at": event["at"], "host": name, "trunk": event["trunk"], "what": f"certificate good until {event['expires'] or 'an unknown day'}"}
                )
            elif event["event"] == "started":
                rows.append({"at": event["at"], "host": name, "trunk": None, "what": "the monitor started"})
    return sorted(rows, key=lambda row: (row["at"], row["host"], row["trunk"] or "", row["what"]))


def headline(totals: dict[str, int], unread: int) -> str:
    """The first words of the page."""
    blind = f" {count(unread, 'host')} could not be read." if unread else ""
    if not totals["hosts"]:
        return f"Nothing is known.{blind}"
    if totals["outages"]:
        return f"{count(totals['outages'], 'outage')}: {count(totals['rerouted'], 'call')} rerouted, {totals['lost']:,} lost.{blind}"
    if totals["lost"]:
        return f"No outage, but {count(totals['lost'], 'call')} lost.{blind}"
    return f"No outage: {count(totals['calls'], 'call')}, none lost.{blind}"


def analyse(window: dict[str, str], gathered: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole report. ``window`` as report_window gives it; ``gathered`` as read_host takes it, one for each host."""
    limits = {key: report_input.moment(value) for key, value in window.items()}
    clock = Clock(limits)
    hosts = [read_host(host) for host in sorted(gathered, key=lambda host: str(host["name"]))]
    readable = [host for host in hosts if host["why"] is None]
    found, stray = [], []
    for host in readable:
        host["calls"] += from_events(host["events"], {call["call"] for call in host["calls"]})
        host["calls"] = sorted((enrich(call) for call in host["calls"]), key=lambda call: call["at"])
        host["moments"] = [call["at"] for call in host["calls"]]
        host["spans"] = intervals(host["events"], limits["from"])
        host["failovers"] = settled(paired(host["events"]) if host["monitor"] else derived(host["calls"]), host["calls"], limits["to"])
        of_host, alone = outages(host, limits)
        found += of_host + planned(host, limits)
        stray += alone
    incidents = grouped(found)
    for group in incidents:
        group["sentence"] = sentence(group, clock)
        group["quality"] = around(group, readable) if group["kind"] == "outage" else []
    order = {"outage": 0, "engine": 0, "lost": 1, "full": 2, "drained": 3, "registration": 4}
    incidents.sort(key=lambda group: (order[group["kind"]], group["start"], group["trunk"] or ""))
    calls = [call for host in readable for call in host["calls"]]
    fates = Counter(call["fate"] for call in calls)
    totals = {
        "hosts": len(readable),
        "calls": len(calls),
        "answered": fates["answered"],
        "refused": fates["refused"],
        "cancelled": fates["cancelled"],
        "lost": fates["lost"],
        "open": fates["open"],
        "rerouted": sum(call["carrier"] is not None and bool(call["trouble"]) for call in calls),
        "outages": sum(group["kind"] == "outage" for group in incidents),
        "failovers": sum(len(host["failovers"]) for host in readable),
        "returns": sum(one["back"] is not None for host in readable for one in host["failovers"]),
    }
    lost = [{**call, "host": host["name"]} for host in readable for call in host["calls"] if call["fate"] == "lost"]
    notices = [f"{host['name']} could not be read: {host['why']}" for host in hosts if host["why"] is not None]
    notices += [f"{host['name']}: {notice}" for host in readable for notice in host["notices"]]
    aside = Counter((one["trunk"], words(one["outcome"])) for one in stray)
    return {
        "window": limits,
        "totals": totals,
        "headline": headline(totals, len(hosts) - len(readable)),
        "notices": notices,
        "incidents": incidents,
        "stray": [f"{trunk}: {what}, {count(number, 'time')}" for (trunk, what), number in aside.most_common(20)],
        "stray_calls": len(stray),
        "failovers": failover_rows(readable),
        "trunks": by_trunk(readable),
        "lost": sorted(lost, key=lambda call: (call["at"], call["host"])),
        "changes": changes(readable),
        "hosts": readable,
    }
