# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk, as the monitor sees it: through the manager interface."""

from __future__ import annotations

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, marks, trunk, trunk_asterisk

# The classes of UserEvent, and of ContactStatus and Registry.
CLASSES = "user,system"
_CONTACT_STATES = {"Reachable": trunk.ALIVE, "Unreachable": trunk.DEAD}


class Asterisk:
    """A session. ``settings``: host, port, username. Errors: those of ``ami.AmiClient``."""

    def __init__(self, settings, secret, trunks):
        self._client = ami.AmiClient(settings["host"], settings["port"], settings["username"], secret, connect_timeout=5.0, answer_timeout=10.0,
                                     events=CLASSES)
        self.adopt(trunks)

    def adopt(self, trunks):
        """Look at these trunks of the plan."""
        self._read = trunk_asterisk.reader(self._client, trunks)

    def connect(self):
        self._client.connect()

    def close(self):
        self._client.close()

    def look(self):
        """The state as it is, as ``trunk.look`` returns it."""
        return self._read()

    def next(self, timeout):
        """What happened: ("attempt", {...}), ("answered", {...}), ("probe", target id, state), ("look",); None when nothing that matters did."""
        event = self._client.next_event(timeout)
        return None if event is None else told(event)

    def mark(self, until):
        """Set marks, as ``marks.put`` does."""
        marks.put(self._client, until)


def told(event):
    """An event of Asterisk in the words of ``Asterisk.next``."""
    name = event.get("Event")
    if name == "UserEvent":
        kind = event.get("UserEvent")
        if kind == "SiptrunkAttempt":
            return "attempt", {
                "route": event.get("Route"), "trunk": event.get("Trunk"), "target": event.get("Target"), "code": event.get("Code"),
                "outcome": event.get("Outcome"), "ms": event.get("Ms"), "verdict": event.get("Verdict"), "call": event.get("Call"),
            }
        if kind == "SiptrunkAnswered":
            return "answered", {key: event.get(key.capitalize()) for key in ("route", "trunk", "target", "ms", "call")}
    elif name == "ContactStatus":
        state = _CONTACT_STATES.get(event.get("ContactStatus"))
        return ("probe", event.get("AOR"), state) if state else ("look",)
    elif name == "Registry":
        return ("look",)
    return None
