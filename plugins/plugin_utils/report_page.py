# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a page: where things stand on the timelines, and the template filled in, with everything escaped."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2

from ansible_collections.siptrunk.failover.plugins.plugin_utils import report as analysis
from ansible_collections.siptrunk.failover.plugins.plugin_utils.report import Clock, count, duration, seconds, together

TEMPLATE = Path(__file__).parents[2] / "playbooks" / "templates" / "report.html.j2"
STRIPS = ("probe", "held", "closed", "trial", "registration", "drained")
BINS = 96
LANES = 60  # of the whole window
ZOOMED = 12  # outages with a timeline of their own
SEGMENTS = 400  # of one strip: what is closer than a pixel is one
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000)


class Scale:
    """A span of time as percent of the width."""

    def __init__(self, begins: int, ends: int):
        self.begins, self.ends = begins, max(ends, begins + 1)

    def x(self, at: float) -> float:
        return round(100 * (min(max(at, self.begins), self.ends) - self.begins) / (self.ends - self.begins), 3)

    def holds(self, at: float) -> bool:
        return self.begins <= at <= self.ends

    def ticks(self, clock: Clock) -> list[dict[str, Any]]:
        """About six moments that are easy to read; every second one is minor, and left out where there is no room."""
        step = 1000 * next((step for step in STEPS if (self.ends - self.begins) / (1000 * step) <= 7), STEPS[-1])
        first = -(-self.begins // step)
        return [
            {"x": self.x(number * step), "label": label(number * step, step, clock), "minor": bool((number - first) % 2)}
            for number in range(first, self.ends // step + 1)
        ]


def label(at: int, step: int, clock: Clock) -> str:
    """A moment on the axis, as short as the step allows."""
    day, dummy, time = f" {clock(at)}".rpartition(" ")
    if step >= 86_400_000:
        return day.strip() or time
    return time if step < 60_000 else time[:5]


def strip(kind: str, spans: list[dict[str, Any]], scale: Scale, clock: Clock) -> dict[str, Any] | None:
    """One row of a lane: when the trunk, or a target of it, was in a state."""
    segments: list[dict[str, Any]] = []
    for span in sorted((span for span in spans if span["kind"] == kind), key=lambda span: span["start"]):
        end = scale.ends if span["end"] is None else span["end"]
        if end < scale.begins or span["start"] > scale.ends:
            continue
        until = "still so at the end" if span["end"] is None else f"to {clock(end)}"
        title = f"{analysis.KIND_WORDS[kind]}{' ' + span['target'] if span['target'] else ''}: {clock(span['start'])} {until}"
        x, width = scale.x(span["start"]), round(scale.x(end) - scale.x(span["start"]), 3)
        if segments and len(segments) >= SEGMENTS:
            segments[-1]["width"] = round(max(segments[-1]["width"], x + width - segments[-1]["x"]), 3)
            segments[-1]["title"] = f"{analysis.KIND_WORDS[kind]}, again and again until {clock(end)}"
        else:
            segments.append({"x": x, "width": width, "title": title})
    return {"kind": kind, "label": analysis.KIND_WORDS[kind], "segments": segments} if segments else None


def lanes(host: dict[str, Any], trunks: list[str], scale: Scale, clock: Clock) -> list[dict[str, Any]]:
    """For each trunk: strips of states, bars of calls carried and attempts failed, marks of failovers and returns."""
    width = (scale.ends - scale.begins) / BINS
    carried: dict[str, Counter[int]] = {trunk: Counter() for trunk in trunks}
    failed: dict[str, Counter[int]] = {trunk: Counter() for trunk in trunks}
    for call in host["calls"]:
        if call["carrier"] in carried and scale.holds(call["at"]):
            carried[call["carrier"]][min(BINS - 1, int((call["at"] - scale.begins) / width))] += 1
        for attempt in call["failed"]:
            if attempt["trunk"] in failed and scale.holds(attempt["at"]):
                failed[attempt["trunk"]][min(BINS - 1, int((attempt["at"] - scale.begins) / width))] += 1
    most = max([1, *(number for counter in carried.values() for number in counter.values())])
    worst = max([1, *(number for counter in failed.values() for number in counter.values())])
    found = []
    for trunk in trunks:
        spans = [span for span in host["spans"] if span["trunk"] == trunk]
        strips = [row for row in (strip(kind, spans, scale, clock) for kind in STRIPS) if row]
        marks = [
            {"kind": "failover", "at": one["at"], "title": f"failover to {one['to']} ({one['route']}) at {clock(one['at'])}"}
            for one in host["failovers"]
            if one["from"] == trunk
        ]
        marks += [
            {"kind": "return", "at": one["back"], "title": f"return from {one['to']} ({one['route']}) at {clock(one['back'])}"}
            for one in host["failovers"]
            if one["from"] == trunk and one["back"] is not None
        ]
        marks += [
            {"kind": "burst", "at": event["at"], "title": f"failures in a row at {clock(event['at'])}"}
            for event in host["events"]
            if event["event"] == "burst" and event["trunk"] == trunk
        ]
        marks = [{**mark, "x": scale.x(mark["at"])} for mark in sorted(marks, key=lambda mark: mark["at"]) if scale.holds(mark["at"])]
        bars = []
        for number in sorted({*carried[trunk], *failed[trunk]}):
            up, down = carried[trunk][number], failed[trunk][number]
            began = scale.begins + number * width
            told = [count(up, "call") + " carried"] if up else []
            told += [count(down, "attempt") + " failed"] if down else []
            bars.append(
                {
                    "x": round(100 * number / BINS, 3),
                    "width": round(100 / BINS, 3),
                    "title": f"{clock(began)}: {', '.join(told)}",
                    "up": max(2.0, round(22 * up / most, 1)) if up else 0,
                    "down": max(2.0, round(11 * down / worst, 1)) if down else 0,
                }
            )
        told = [f"{row['label']} {count(len(row['segments']), 'time')}" for row in strips]
        told += [
            f"{count(sum(mark['kind'] == kind for mark in marks), kind)}"
            for kind in ("failover", "return", "burst")
            if any(mark["kind"] == kind for mark in marks)
        ]
        told += [f"{count(sum(carried[trunk].values()), 'call')} carried", f"{count(sum(failed[trunk].values()), 'attempt')} failed"]
        found.append(
            {
                "trunk": trunk,
                "strips": strips,
                "marks": marks[:SEGMENTS],
                "bars": bars,
                "calls": sum(carried[trunk].values()),
                "failures": sum(failed[trunk].values()),
                "told": ", ".join(told),
            }
        )
    return found


def trunks_of(host: dict[str, Any]) -> list[str]:
    """Those of which there is something to draw, troubled ones first."""
    troubled = {span["trunk"] for span in host["spans"] if span["trunk"]} | {one["from"] for one in host["failovers"]}
    troubled |= {attempt["trunk"] for call in host["calls"] for attempt in call["failed"]}
    used = {call["carrier"] for call in host["calls"] if call["carrier"]} - troubled
    return sorted(troubled) + sorted(used)


def overview(report: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """The timeline of the whole window."""
    scale, room, left_out, hosts = Scale(report["window"]["from"], report["window"]["to"]), LANES, 0, []
    for host in report["hosts"]:
        trunks = trunks_of(host)
        shown, left_out = trunks[: max(0, room)], left_out + max(0, len(trunks) - max(0, room))
        room -= len(shown)
        if shown:
            hosts.append({"host": host["name"], "lanes": lanes(host, shown, scale, clock)})
    return {"ticks": scale.ticks(clock), "hosts": hosts, "left_out": left_out, "bar": (scale.ends - scale.begins) / BINS}


def zoom(report: dict[str, Any], group: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """The timeline of one outage: the trunk, and those that took its calls."""
    pad = max(60_000, (group["end"] - group["start"]) // 4)
    scale = Scale(max(report["window"]["from"], group["start"] - pad), min(report["window"]["to"], group["end"] + pad))
    trunks = list(dict.fromkeys([group["trunk"], *(name for name, _calls in group["to"].most_common(2))]))
    hosts = [host for host in report["hosts"] if host["name"] in group["hosts"][:4]]
    return {
        "ticks": scale.ticks(clock),
        "hosts": [{"host": host["name"], "lanes": lanes(host, trunks, scale, clock)} for host in hosts],
        "left_out": 0,
        "bar": (scale.ends - scale.begins) / BINS,
    }


def ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms" if value < 10_000 else seconds(value)


def figure(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


@functools.cache
def template() -> jinja2.Template:
    """The page's layout, compiled once."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(TEMPLATE.parent)
    )
    environment.filters.update(
        clock=jinja2.pass_context(lambda context, at: context["clock"](at)),
        duration=duration,
        seconds=seconds,
        ms=ms,
        percent=percent,
        figure=figure,
        together=together,
        words=analysis.words,
        outcome=analysis.outcome_of,
    )
    return environment.get_template(TEMPLATE.name)


def page(window: dict[str, str], gathered: list[dict[str, Any]]) -> dict[str, Any]:
    """The page (``html``), and what a terminal shows of it (``summary``, a list of lines)."""
    report = analysis.analyse(window, gathered)
    clock = Clock(report["window"])
    begins, ends = report["window"]["from"], report["window"]["to"]
    shown = report["incidents"][: analysis.MOST["incidents"]]
    outages = [{**group, "zoom": zoom(report, group, clock) if number < ZOOMED else None} for number, group in enumerate(shown) if group["kind"] == "outage"]
    other_day, hosts = "" if clock.one_day else f"{Clock.date(ends)} ", count(len(report["hosts"]), "host")
    html = template().render(
        clock=clock,
        report=report,
        shown=shown,
        outages=outages,
        most=analysis.MOST,
        overview=overview(report, clock),
        count=count,
        window=f"{Clock.date(begins)} {clock(begins)[-8:]} to {other_day}{clock(ends)[-8:]} UTC ({duration(ends - begins)}), {hosts}",
    )
    left = len(report["incidents"]) - len(shown)
    more = [f"... and {left} more"] if left else []
    return {"html": html, "summary": [report["headline"], *(f"- {group['sentence']}" for group in shown), *more, *report["notices"]]}
