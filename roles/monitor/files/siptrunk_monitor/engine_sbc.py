# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kamailio, as the monitor sees it: through its control socket, and what the hunt tells."""

from __future__ import annotations

from ansible_collections.siptrunk.failover.plugins.module_utils import kamailio, marks, trunk_sbc


class Sbc:
    """A session: as long as the same Kamailio runs. Errors: those of ``kamailio.KamailioClient``."""

    def __init__(self, settings, secret, trunks):
        self._client = kamailio.KamailioClient()
        self._events = kamailio.KamailioEvents(self._client)
        self.adopt(trunks)

    def adopt(self, trunks):
        """Look at these trunks of the plan."""
        self._read = trunk_sbc.reader(self._client, trunks)

    def connect(self):
        self._events.connect()

    def close(self):
        self._events.close()

    def look(self):
        """As ``Asterisk.look``."""
        return self._read()

    def next(self, timeout):
        """As ``Asterisk.next``."""
        event = self._events.next_event(timeout)
        return None if event is None else told(event)

    def mark(self, until):
        """As ``Asterisk.mark``. Who listens is a mark too."""
        self._events.renew()
        marks.put(self._client, until)


def told(event):
    """An event of hunt.lua in the words of ``Sbc.next``."""

    def of(name):
        value = event.get(name)
        return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""

    kind = event.get("event")
    if kind == "SiptrunkAttempt":
        return "attempt", {key: of(key.capitalize()) for key in ("route", "trunk", "target", "code", "outcome", "ms", "verdict", "call")}
    if kind == "SiptrunkAnswered":
        return "answered", {key: of(key.capitalize()) for key in ("route", "trunk", "target", "ms", "call")}
    if kind == "SiptrunkTarget":
        return ("look",)  # it was probed dead, or alive again; which trunks share it the look tells
    return None
