# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of all hosts in one report, from what the modules said, and the report as a table.

A *problem* makes the report unhealthy. A *warning* does not: what was done on purpose (a drain, and what is wrong with a drained trunk), and what
could not be found out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.siptrunk.failover.plugins.plugin_utils import addresses

OK, WARNING, BAD = "ok", "warning", "BAD"

# Errors of a look-up that say nothing of what the domain says.
_NO_WORD = ("timeout", "refused", "servfail", "other", "bad_name")

_ACTIVE = re.compile(r"^siptrunk_active\{(?P<labels>[^}]*)\} 1(?:\.0*)?$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

_HEAD = ("", "host", "trunk", "target", "registration", "probe", "rtt", "active", "calls", "drained", "marks", "drift")
_RIGHT = (_HEAD.index("rtt"), _HEAD.index("calls"))
# More rows than that are hard to read, and those that are well tell nothing.
_MANY_ROWS = 60
_MANY_LINES = 50
_MANY_ALIKE = 5
_MAX_TEXT = 300


# --- what to ask the DNS -----------------------------------------------------------------


def questions(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The names that a plan was made of, as [{"transport", "domains"}], for srv_info."""
    asked: dict[str, set[str]] = {}
    for trunk in plan["trunks"]:
        for name in _names(trunk):
            asked.setdefault(trunk["transport"], set()).add(name)
    return [{"transport": transport, "domains": sorted(names)} for transport, names in sorted(asked.items())]


def _names(trunk: dict[str, Any]) -> list[str]:
    if trunk["domain"]:
        return [] if addresses.split_address(trunk["domain"]) else [trunk["domain"]]
    return list(dict.fromkeys(f"{target['host']}:{target['port']}" for target in trunk["targets"] if target["host"] != target["address"]))


def drift(trunk: dict[str, Any], answers: dict[tuple[str, str], dict[str, Any]]) -> tuple[bool | None, str]:
    """(whether the DNS says otherwise than what is deployed, in which way).

    None, "": nothing to ask. None and a text: no answer that says anything. `answers`: results of srv_info by (name, transport).
    """
    differs, unknown = [], []
    families = {target["family"] for target in trunk["targets"]}
    for name in _names(trunk):
        answer = answers.get((name, trunk["transport"]), {"targets": [], "errors": [{"kind": "timeout", "message": f"{name} was not looked up"}]})
        errors = [error for error in answer["errors"] if error["kind"] in _NO_WORD]
        if errors:
            unknown.append("; ".join(error["message"] for error in errors))
            continue
        got = _by_place(target for target in answer["targets"] if target["family"] in families)
        if trunk["domain"]:
            deployed = _by_place(trunk["targets"])
            if got.keys() == deployed.keys() and got != deployed:
                differs.append(f"{name}: other priorities or weights")
        else:  # priority and weight of a server are the model's own
            deployed = _by_place(target for target in trunk["targets"] if f"{target['host']}:{target['port']}" == name)
        if got.keys() != deployed.keys():
            gone = [f"lost {_place(place)}" for place in deployed if place not in got]
            differs.append(f"{name} {', '.join(gone + [f'has {_place(place)}' for place in got if place not in deployed])}")
    if differs:
        return True, "; ".join(differs)
    return (None, "; ".join(unknown)) if unknown or not _names(trunk) else (False, "")


def _by_place(targets: Iterable[dict[str, Any]]) -> dict[tuple[str, int], tuple[int, int]]:
    """{(address, port): (priority, weight)}, of an address that comes twice the one that is asked first, as in the plan."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for target in sorted(targets, key=lambda target: (target["priority"], -target["weight"])):
        found.setdefault((target["address"], target["port"]), (target["priority"], target["weight"]))
    return found


def _place(place: tuple[str, int]) -> str:
    return ("[%s]:%d" if ":" in place[0] else "%s:%d") % place


# --- the report --------------------------------------------------------------------------


def judge(seen: dict[str, list[Any]], at: str) -> dict[str, Any]:
    """The report.

    `seen` has a list for each of these, one entry per host:

    hosts    its name
    reached  result of ping
    trunks   result of trunk_info
    plan     result of slurp, of the plan
    answers  result of srv_info, asked once for each of questions()
    metrics  result of uri, of the monitor's metrics; skipped where there is no monitor
    pending  result of restart_info

    Returns {"at", "healthy", "problems", "wrong", "warnings", "hosts", "rows", "routes", "summary"}, plain data; a row for each target of each host,
    and a route for each of each host.
    """
    report: dict[str, Any] = {"at": at, "healthy": False, "problems": [], "warnings": [], "hosts": [], "rows": [], "routes": []}
    keys = ("hosts", "reached", "trunks", "plan", "answers", "metrics", "pending")
    for entry in zip(*(seen[key] for key in keys), strict=True):
        _Host(report, *entry).look()
    report["wrong"] = listed(report["problems"])
    report["healthy"] = not report["problems"] and bool(report["hosts"])
    report["summary"] = {
        "hosts": len(report["hosts"]),
        "hosts_without_answer": sum(host["error"] is not None for host in report["hosts"]),
        "trunks": len({(row["host"], row["trunk"]) for row in report["rows"]}),
        "targets": len(report["rows"]),
        "bad_targets": sum(row["state"] == BAD for row in report["rows"]),
        "problems": len(report["problems"]),
        "warnings": len(report["warnings"]),
    }
    return report


class _Host:
    """What was seen of one host, on its way into the report."""

    def __init__(self, report: dict[str, Any], name: str, *results: Any) -> None:
        self.report = report
        self.name = name
        self.reached, self.trunks, self.plan, self.answers, self.metrics, self.pending = (result if isinstance(result, dict) else {} for result in results)

    def look(self) -> None:
        kind, error = self._error()
        active = None if error else self._active()
        self.report["hosts"].append({"host": self.name, "error": error, "kind": kind, "monitor": active is not None})
        if error:
            self._say(BAD, error)
            return
        if active is None and not self.metrics.get("skipped"):
            self._say(WARNING, f"its monitor does not answer: {said(self.metrics)}")
        if "restart_needed" not in self.pending:
            self._say(WARNING, f"whether a restart is pending is not known: {said(self.pending)}")
        elif self.pending["restart_needed"]:
            self._say(BAD, f"RESTART NEEDED, and until then not in force: {'; '.join(self.pending['restart_needed'])}. {self.pending['advice']}")
        plan = json.loads(base64.b64decode(self.plan["content"]))
        answers = self._dns()
        deployed = {trunk["name"]: trunk for trunk in plan["trunks"]}
        for trunk in self.trunks["trunks"]:
            self._trunk(trunk, deployed.get(trunk["name"]), answers, active)
        self._routes(plan["routes"], active)

    def _error(self) -> tuple[str | None, str | None]:
        """(in a word, in full) why nothing is known of the host."""
        if "ping" not in self.reached:
            return "unreachable", f"unreachable: {said(self.reached)}"
        if "trunks" not in self.trunks:
            return "no answer", f"its phone system does not answer: {said(self.trunks)}"
        if "content" not in self.plan:
            return "no plan", f"its plan cannot be read: {said(self.plan)}"
        return None, None

    def _active(self) -> dict[str, list[tuple[str, str]]] | None:
        """{trunk: [(route, role)]} of the routes whose calls it carries, or None: no monitor says so."""
        if self.metrics.get("status") != 200:
            return None
        found: dict[str, list[tuple[str, str]]] = {}
        for match in _ACTIVE.finditer(self.metrics.get("content", "")):
            labels = dict(_LABEL.findall(match["labels"]))
            if labels.keys() >= {"route", "trunk", "role"}:
                found.setdefault(labels["trunk"], []).append((labels["route"], labels["role"]))
        return found

    def _dns(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = {}
        for result in self.answers.get("results", []):
            if "results" in result:
                found.update({(answer["domain"], answer["transport"]): answer for answer in result["results"]})
            else:
                self._say(WARNING, f"drift is not known: {said(result)}")
        return found

    def _trunk(self, trunk: dict[str, Any], deployed: dict[str, Any] | None, answers: dict[Any, Any], active: dict[str, Any] | None) -> None:
        name, drained = trunk["name"], trunk["drained"]
        grave = WARNING if drained else BAD
        state = OK
        if drained:
            state = self._say(WARNING, f"drained {drain_of(drained)}", name)
        bad_registrations = [item for item in trunk["registrations"] if item["state"] != "registered"]
        if trunk["registered"] is False:
            texts = [f"{item['name']} is {item['state']}" for item in bad_registrations] or ["the phone system does not have its registration"]
            state = worst(state, self._say(grave, f"not registered: {', '.join(texts)}", name))
        if trunk["full"]:
            state = worst(state, self._say(WARNING, f"full: {trunk['channels']} of {trunk['channels_limit']} channels", name))
        for key, what in (("closed_until", "closed after failed calls"), ("trial_until", "on trial, one call at a time")):
            if trunk.get(key):
                state = worst(state, self._say(grave, f"{what} (until {trunk[key]})", name))
        drifted, how = drift(deployed, answers) if deployed else (None, "")
        if drifted:
            state = worst(state, self._say(grave, f"the DNS says otherwise than what is deployed: {how}; deploy again", name))
        elif how and (deployed is None or any((asked, deployed["transport"]) in answers for asked in _names(deployed))):
            state = worst(state, self._say(WARNING, f"drift is not known: {how}", name))
        for target in trunk["targets"]:
            self._target(trunk, target, state, {"drift": drifted, "active": None if active is None else active.get(name, [])}, grave)

    def _target(self, trunk: dict[str, Any], target: dict[str, Any], state: str, more: dict[str, Any], grave: str) -> None:
        place = _place((target["address"], target["port"]))
        marks = [name for name, key in (("cooling", "cooling_until"), ("held", "held_until")) if target.get(key)]
        marks += [name for name, key in (("closed", "closed_until"), ("trial", "trial_until")) if trunk.get(key)]
        missing = target["id"] in self.trunks["missing"]
        texts = []
        if missing:
            texts.append("the phone system does not have it; see its log, or deploy again")
        elif target["probe"] == "dead":
            texts.append("no answer to its probes")
        if target["cooling_until"]:
            texts.append(f"passed over until {target['cooling_until']}: a call got no answer")
        if target.get("held_until") and target["probe"] != "dead":
            texts.append(f"held back until {target['held_until']} at least: it was down a moment ago")
        for text in texts:
            state = worst(state, self._say(grave, text, trunk["name"], place))
        if not missing and target["probe"] == "unknown":
            state = worst(state, self._say(WARNING, "not probed yet", trunk["name"], place))
        self.report["rows"].append({
            "state": state,
            "host": self.name,
            "trunk": trunk["name"],
            "target": place,
            "id": target["id"],
            "registration": _registration(trunk),
            "probe": "missing" if missing else target["probe"],
            "rtt_ms": target["rtt_ms"],
            "active": more["active"] and [{"route": route, "role": role} for route, role in more["active"]],
            "channels": trunk["channels"],
            "channels_limit": trunk["channels_limit"],
            "drained": trunk["drained"],
            "marks": marks,
            "drift": more["drift"],
        })  # fmt: skip

    def _routes(self, routes: list[dict[str, Any]], active: dict[str, Any] | None) -> None:
        """Where the next call of each route goes, as far as is known; routes that no call gets through, and those that a backup carries."""
        usable = [trunk for trunk in self.trunks["trunks"] if trunk["up"] and not trunk.get("closed_until")]
        in_service = {trunk["name"] for trunk in usable if not trunk["drained"]}
        # those that take a call, by whether it is an emergency call, which goes to drained trunks too
        takes = {emergency: {trunk["name"] for trunk in usable if not trunk["full"] and (emergency or not trunk["drained"])} for emergency in (False, True)}
        last = {route: trunk for trunk, carried in (active or {}).items() for route, _role in carried}
        backups = set()
        for route in routes:
            name, groups = route["name"], [[member["name"] for member in group] for group in route["trunks"]]
            if not route["emergency"] and not any(in_service.intersection(group) for group in groups):
                self._say(BAD, f"route {name} has no trunk that is up and in service")
            goes_to = next(filter(None, ([trunk for trunk in group if trunk in takes[route["emergency"]]] for group in groups)), [])
            role = None if not goes_to else "primary" if set(goes_to) & set(groups[0]) else "backup"
            backups |= {name} if role == "backup" else set()
            self.report["routes"].append({"host": self.name, "route": name, "next": goes_to, "role": role, "last": last.get(name)})
        for trunk, carried in sorted((active or {}).items()):
            backup = [route for route, role in carried if role == "backup" and route in backups]
            if backup:
                self._say(WARNING, f"a backup in use: carries {', '.join(backup)}", trunk)

    def _say(self, state: str, text: str, trunk: str | None = None, target: str | None = None) -> str:
        kind = "problems" if state == BAD else "warnings"
        self.report[kind].append({"host": self.name, "trunk": trunk, "target": target, "what": printable(text)})
        return state


def _registration(trunk: dict[str, Any]) -> str | None:
    """The state of the trunk's registrations, of several the first that is not well; None when it registers nowhere."""
    if trunk["registered"] is None:
        return None
    return "registered" if trunk["registered"] else next((item["state"] for item in trunk["registrations"] if item["state"] != "registered"), "none")


def worst(*states: str) -> str:
    """The worst of states."""
    return max(states, key=(OK, WARNING, BAD).index)


def said(result: dict[str, Any]) -> str:
    """What a failed module said."""
    return printable(str(result.get("msg") or "no answer"))


def printable(text: str) -> str:
    """The text on one line, not too long, without what moves a terminal's cursor."""
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 3] + "..."


def drain_of(mark: dict[str, Any]) -> str:
    """Who drained a trunk, when and why."""
    return f"since {mark['at'] or '?'} by {mark['by'] or '?'}: {mark['why'] or 'no reason given'}"


# --- the table ---------------------------------------------------------------------------


def table(report: dict[str, Any], rows: str = "auto") -> list[str]:
    """The report as lines of text: the table, the warnings, a summary.

    `rows`: "all", "unhealthy", or "auto": of very many those that are not well, and of very many of these the worst.
    """
    if rows not in ("auto", "all", "unhealthy"):
        raise ValueError(f"rows: {rows!r} is not auto, all or unhealthy")
    every = [_cells(row) for row in report["rows"]]
    unhealthy = [cells for cells in every if cells[0]]
    shown = every if rows == "all" or (rows == "auto" and len(every) <= _MANY_ROWS) else unhealthy
    if rows == "auto" and len(shown) > _MANY_ROWS:
        kept = set(sorted(range(len(shown)), key=lambda index: shown[index][0] != BAD)[:_MANY_ROWS])
        shown = [cells for index, cells in enumerate(shown) if index in kept]
    silent = [(BAD, host["host"], f"({host['kind']})", *[""] * (len(_HEAD) - 3)) for host in report["hosts"] if host["error"]]
    lines = _lay_out([*shown, *silent])
    if len(unhealthy) > len(shown):
        lines.append(f"... and {_count(len(unhealthy) - len(shown), 'target')} more that are not well; -e verify_rows=unhealthy shows them")
    if len(every) > max(len(shown), len(unhealthy)):
        lines.append(f"... and {_count(len(every) - len(unhealthy), 'healthy target')}; -e verify_rows=all shows all")
    lines += ["", *_next_calls(report["routes"]), *(f"warning: {line}" for line in listed(report["warnings"]))]
    total = report["summary"]
    lines.append(
        f"{_count(total['hosts'], 'host')}, {_count(total['trunks'], 'trunk')}, {_count(total['targets'], 'target')}: "
        + ("healthy" if report["healthy"] else _count(total["problems"], "problem"))
        + (f", {_count(total['warnings'], 'warning')}" if total["warnings"] else "")
    )
    return lines


def _next_calls(routes: list[dict[str, Any]]) -> list[str]:
    """Where the next call of each route goes: a line for those of a host that are alike."""
    alike: dict[tuple[str, str], list[str]] = {}
    for route in routes:
        if route["next"]:
            where = " or ".join(route["next"]) + (", a backup" if route["role"] == "backup" else "")
            where += f" (the last one went to {route['last']})" if route["last"] and route["last"] not in route["next"] else ""
            alike.setdefault((route["host"], where), []).append(route["route"])
    lines = []
    for (host, where), names in alike.items():
        more = [f"{len(names) - _MANY_ALIKE} others"] if len(names) > _MANY_ALIKE else []
        lines.append(f"{host}: the next call of {', '.join([*names[:_MANY_ALIKE], *more])} goes to {where}")
    return lines if len(lines) <= _MANY_LINES else [*lines[:_MANY_LINES], f"... and {len(lines) - _MANY_LINES} more"]


def listed(entries: list[dict[str, Any]]) -> list[str]:
    """Problems or warnings as lines: what is said many times of a host once, and the first ones of very many."""
    alike: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        alike.setdefault((entry["host"], entry["what"]), []).append(" ".join(filter(None, (entry["trunk"], entry["target"]))))
    lines = []
    for (host, what), places in alike.items():
        if len(places) > _MANY_ALIKE:
            lines.append(f"{host}: {what}: {len(places)} times, {', '.join(places[:_MANY_ALIKE])} and others")
        else:
            lines += [f"{host} {place}: {what}" if place else f"{host}: {what}" for place in places]
    return lines if len(lines) <= _MANY_LINES else [*lines[:_MANY_LINES], f"... and {len(lines) - _MANY_LINES} more"]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    rtt = "-" if row["rtt_ms"] is None else f"{row['rtt_ms']:.1f} ms"
    calls = f"{row['channels']}/{row['channels_limit']}" if row["channels_limit"] else str(row["channels"])
    return (
        "" if row["state"] == OK else row["state"], row["host"], row["trunk"], row["target"], row["registration"] or "-", row["probe"], rtt,
        _active(row["active"]), calls, "yes" if row["drained"] else "-", "+".join(row["marks"]) or "-", {True: "DRIFT", False: "no", None: "-"}[row["drift"]],
    )  # fmt: skip


def _active(carried: list[dict[str, str]] | None) -> str:
    """primary, backup or both, with the routes while there are few."""
    if not carried:
        return "-"
    roles = "+".join(sorted({entry["role"] for entry in carried}, reverse=True))
    return f"{roles} ({carried[0]['route']})" if len(carried) == 1 else f"{roles} ({len(carried)} routes)"


def _lay_out(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]

    def line(row: tuple[str, ...]) -> str:
        return "  ".join(row[column].rjust(width) if column in _RIGHT else row[column].ljust(width) for column, width in enumerate(widths)).rstrip()

    return [line(row) for row in (_HEAD, tuple("-" * width for width in widths), *rows)]
