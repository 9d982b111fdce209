# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FreeSWITCH, as the monitor sees it: through the event socket."""

from __future__ import annotations

from ansible_collections.siptrunk.failover.plugins.module_utils import esl, marks, trunk, trunk_freeswitch

EVENTS = ("siptrunk::attempt", "siptrunk::answered", "sofia::gateway_state")
_PROBE = ".probe"
_PING_STATES = {"UP": trunk.ALIVE, "DOWN": trunk.DEAD}


class FreeSwitch:
    """A session. ``settings``: host, port. Errors: those of ``esl.EslClient``."""

    def __init__(self, settings, secret, trunks):
        self._client = esl.EslClient(settings["host"], settings["port"], secret, connect_timeout=5.0, answer_timeout=10.0)
        self.adopt(trunks)

    def adopt(self, trunks):
        """Look at these trunks of the plan."""
        self._read = trunk_freeswitch.reader(self._client, trunks)

    def connect(self):
        self._client.connect()
        self._client.events(*EVENTS)

    def close(self):
        self._client.close()

    def look(self):
        """As ``Asterisk.look``."""
        return self._read()

    def next(self, timeout):
        """As ``Asterisk.next``."""
        event = self._client.next_event(timeout)
        return None if event is None else told(event)

    def mark(self, until):
        """As ``Asterisk.mark``."""
        marks.put(self._client, until)


def told(event):
    """An event of FreeSWITCH in the words of ``FreeSwitch.next``."""

    def of(name):
        value = event.get(name, "")
        return value if isinstance(value, str) else ""

    kind = of("Event-Subclass")
    if kind == "siptrunk::attempt":
        return "attempt", {key: of(key.capitalize()) for key in ("route", "trunk", "target", "code", "outcome", "ms", "verdict", "call")}
    if kind == "siptrunk::answered":
        return "answered", {key: of(key.capitalize()) for key in ("route", "trunk", "target", "ms", "call")}
    if kind == "sofia::gateway_state":
        gateway, state = of("Gateway"), _PING_STATES.get(of("Ping-Status"))
        return ("probe", gateway[:-len(_PROBE)], state) if gateway.endswith(_PROBE) and state else ("look",)
    return None
