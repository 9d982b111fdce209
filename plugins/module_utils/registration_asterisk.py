# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outbound registrations of Asterisk, as ``registration`` describes them.

Source: ``res/res_pjsip_outbound_registration.c`` of Asterisk 13 to 22.
"""

from __future__ import annotations

import re

from ansible_collections.siptrunk.failover.plugins.module_utils.registration import (
    REGISTERED, REJECTED, STOPPED, UNKNOWN, UNREGISTERED, registration,
)

# Asterisk since 13.5 says "Unregistered" for its states stopping and stopped; before, "Stopped".
_STATES = {
    "registered": REGISTERED,
    "unregistered": UNREGISTERED,
    "rejected": REJECTED,
    "stopping": STOPPED,
    "stopped": STOPPED,
}

_STATUS = re.compile(r"\s*(?P<word>\w*)\s*(?:\(exp\. (?P<seconds>\d+)s\))?")
_CLI_ROW = re.compile(r" ?(?P<name>[^/]+)/.*\s(?P<status>\w+\s+\(exp\. \d+s\))\s*")


def registrations(events, expiries=None):
    """Registrations, sorted by name, from the events that answer ``PJSIPShowRegistrationsOutbound``.

    ``events``: objects with ``get(field, default)``. All but OutboundRegistrationDetail are passed over, above all
    AuthDetail, which holds the carrier's password in clear.
    ``expiries``: {name: seconds} from ``cli_expiries``; without it ``expires_in`` is None on real servers, because
    Asterisk registers without pjsip's own timer, and so always reports ``NextReg: 0``.
    """
    found = [_registration(event, expiries or {}) for event in events if event.get("Event", "") == "OutboundRegistrationDetail"]
    return sorted(found, key=lambda item: item["name"])


def _registration(event, expiries):
    name = event.get("ObjectName", "")
    # There is no Status at all while Asterisk has the object but no client for it: it could not be applied.
    state, expires_in = parse_status(event.get("Status", ""))
    next_registration = event.get("NextReg", "")
    if next_registration.isdigit() and int(next_registration) > 0:
        expires_in = int(next_registration)
    return registration(name, event.get("ServerUri", ""), event.get("ClientUri", ""), state, expiries.get(name, expires_in))


def parse_status(text):
    """(state, expires_in) from Asterisk's words: ``Registered``, ``Rejected (exp. 17s)``, ``Unregistered (exp. 6s ago)``.

    A time in the past is no plan: expires_in is None.
    """
    match = _STATUS.match(text)
    seconds = match.group("seconds")
    return _STATES.get(match.group("word").lower(), UNKNOWN), int(seconds) if seconds else None


def cli_expiries(lines):
    """{name: seconds} from the rows of ``pjsip show registrations`` (Asterisk 20 and later), those due in the future only.

    This is the time of the next refresh or retry. A rejected registration that is not among them has been given up,
    or is being tried at this moment. One that an operator stopped stays until the time that was planned before.
    """
    rows = (_CLI_ROW.fullmatch(line) for line in lines)
    return {row.group("name"): parse_status(row.group("status"))[1] for row in rows if row}


def reader(client):
    """A function that reads the registrations anew at each call, with an ``ami.AmiClient`` that it connects when needed.

    The manager user needs ``write = reporting`` (or system). If it may also run commands (``write = command``),
    ``expires_in`` is filled in; Asterisk is asked for that first, because it logs a refused action as a security event.
    Errors: those of the client.
    """
    may_command = None

    def read():
        nonlocal may_command
        if not client.connected:
            client.connect()
            may_command = None
        if may_command is None:
            may_command = "Command" in client.action("ListCommands")
        events = client.action_list("PJSIPShowRegistrationsOutbound", wanted=("OutboundRegistrationDetail",))[1]
        output = client.action("Command", Command="pjsip show registrations").all("Output") if may_command else ()
        return registrations(events, cli_expiries(output))

    return read
