# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking trunks out of service and putting them back: what stands, what is asked, what has to be written.

An engine's side of it (``drain_asterisk.Marks``, ``drain_freeswitch.Marks``) has two methods:

``read(names)``      {"drained": {trunk name: {"by", "at", "why"}}, "channels": {trunk name: legs up}}
``write(name, text)``  puts the mark of a trunk; without a text, takes it away
"""

from __future__ import annotations

import json
import re
import time

from ansible_collections.siptrunk.failover.plugins.module_utils import control_port, session

DRAINED = "drained"
ACTIVE = "active"
STATES = (DRAINED, ACTIVE)

# What FreeSWITCH's mod_db tells of a value in full, in bytes. The same for every engine, or one takes what the other does not.
MAX_MARK = 254
MAX_BY = 64

_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
# JSON escapes C0; these mean something to a terminal or an editor all the same.
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029]")


class Failed(Exception):
    """The text says what went wrong; ``Change.result`` says what is done all the same."""


def now():
    """This moment, ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def clean(text):
    """The text as every encoding takes it: half of a surrogate pair becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def mark_text(mark):
    """What is kept of a mark {"by", "at", "why"}: JSON on one line, without control characters, at most MAX_MARK bytes.

    Errors: ValueError that names the option at fault.
    """
    text = _compact(mark)
    if len(_compact(mark["by"]).encode()) - 2 > MAX_BY:
        raise ValueError("by: longer than %d bytes" % MAX_BY)
    over = len(text.encode()) - MAX_MARK
    if over > 0:
        room = len(_compact(mark["why"]).encode()) - 2 - over
        raise ValueError("reason: %d bytes too long; beside who and when there is room for %d (in UTF-8, quotes and backslashes count twice)" % (over, room))
    return text


def _compact(value):
    return _CONTROL.sub(lambda match: "\\u%04x" % ord(match.group()), json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def wanted(standing, names, state, why):
    """{trunk name: the mark to write, or None to take it away} of those of ``names`` that are not as asked.

    ``standing``: the marks, as an engine's ``read`` tells them. A trunk that is drained for another reason keeps the time since when.
    """
    if state == ACTIVE:
        return {name: None for name in names if name in standing}
    found = {}
    for name in names:
        mark = standing.get(name)
        if mark is None:
            found[name] = why
        elif mark["why"] != why["why"]:
            found[name] = {**why, "at": mark["at"] if _AT.fullmatch(mark["at"] or "") else why["at"]}
    return found


def without_trunk(routes, drained):
    """Names of the routes all of whose trunks are in ``drained``. Emergency routes ignore drains."""
    members = {route["name"]: [member["name"] for group in route["trunks"] for member in group] for route in routes if not route["emergency"]}
    return [name for name, trunks in members.items() if all(trunk in drained for trunk in trunks)]


def describe(mark):
    """A mark, or None for a trunk in service, for a person to read."""
    if mark is None:
        return ACTIVE
    return "drained since %s by %s: %s" % (_shown(mark["at"]), _shown(mark["by"]), _compact(mark["why"] or ""))


def _shown(text):
    return _compact(text or "?")[1:-1]


class Change:
    """What was asked for, what stands, and what becomes of it. ``prepare`` first, then ``make``, then ``wait``; ``result`` at any time after.

    marks, plan            an engine's side of it; the plan as ``trunk.parse_routed_plan`` has it
    names, state, force    the trunks, one of STATES, whether a route may be left without a trunk
    why                    the mark for those that are drained now
    """

    def __init__(self, marks, plan, names, state, force, why):
        self._marks = marks
        self._plan_names = [item["name"] for item in plan[0]]
        self._routes = plan[1]
        self._names = list(dict.fromkeys(names))
        self._state = state
        self._force = force
        self._why = {key: clean(text) for key, text in why.items()}
        self._before = {}
        self._after = {}
        self._channels = {}
        self._changes = {}

    def prepare(self):
        """Look, and find out what is to be changed.

        Errors: Failed, ValueError that names an option, those of the engine's client.
        """
        if self._state == DRAINED:
            mark_text(self._why)
        seen = self._marks.read(self._plan_names)
        self._before, self._channels = seen["drained"], seen["channels"]
        self._changes = wanted(self._before, self._names, self._state, self._why)
        self._note(self._changes)
        known = without_trunk(self._routes, self._before)
        stranded = [name for name in without_trunk(self._routes, self._after) if name not in known]
        if stranded and not self._force:
            self._note({})
            raise Failed(
                "%s would have no trunk left in service on this host, and its calls would fail. Put another trunk back first, or say "
                "force: true. Nothing was changed" % ", ".join("route %s" % name for name in stranded))

    def make(self):
        """Change it, one trunk after the other, and look whether the engine says so. Errors: Failed, those of the engine's client."""
        if not self._changes:
            return
        changes, done = self._changes, {}
        for name, mark in changes.items():
            try:
                self._marks.write(name, mark and mark_text(mark))
            except session.SessionError as exc:
                self._note(done)
                begun = [*done, name]
                raise Failed("%s: %s. Done before: %s. Not begun: %s" % (
                    name, control_port.explain(exc), ", ".join(done) or "none",
                    ", ".join(other for other in changes if other not in begun) or "none")) from None
            done[name] = mark
        seen = self._marks.read(self._names)
        self._channels = seen["channels"]
        strange = [name for name, mark in changes.items() if seen["drained"].get(name) != mark]
        if strange:
            raise Failed("%s: the phone system took the change, and does not tell it back. Somebody else made another at the same moment, or its "
                         "database takes none" % ", ".join(strange))

    def wait(self, timeout, interval):
        """Look again and again until none of the trunks carries a call. The engine may be away for a while, as during a restart.

        Errors: Failed when ``timeout`` seconds are over; session.AuthError, session.FieldError.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                self._channels = self._marks.read(self._names)["channels"]
                trouble = ", ".join("%s (%d)" % (name, self._channels[name]) for name in self._names if self._channels[name])
            except (session.AuthError, session.FieldError):
                raise
            except session.SessionError as exc:
                trouble = control_port.explain(exc)
            if not trouble:
                return
            left = end - time.monotonic()
            if left <= 0:
                raise Failed("drained, but not without calls after %g s: %s" % (timeout, trouble))
            time.sleep(min(interval, left))

    def result(self):
        """What the module returns."""
        changed = [name for name in self._names if name in self._changes]
        before, after, channels = self._before, self._after, self._channels
        return {
            "changed": bool(changed),
            "trunks": [
                {"name": name, "changed": name in changed, "before": before.get(name), "after": after.get(name), "channels": channels.get(name, 0)}
                for name in self._names
            ],
            "idle": not any(channels.get(name) for name in self._names),
            "routes_without_trunk": without_trunk(self._routes, after),
            "summary": [self._line(name) for name in self._names],
            "diff": {
                "before": "".join("%s: %s\n" % (name, describe(before.get(name))) for name in changed),
                "after": "".join("%s: %s\n" % (name, describe(after.get(name))) for name in changed),
            },
        }

    def _line(self, name):
        was, became = describe(self._before.get(name)), describe(self._after.get(name))
        up = self._channels.get(name, 0)
        return "%s: %s%s%s" % (name, was, "" if was == became else " -> %s" % became, "; legs up: %d" % up if up else "")

    def _note(self, changes):
        """These are the changes, and no others."""
        self._changes = dict(changes)
        self._after = {name: mark for name, mark in {**self._before, **changes}.items() if mark}
