# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outbound registrations, in the same words whatever the engine.

A registration is a dict:

``name``        the engine's own name for it
``trunk``       the trunk it belongs to: the name up to the first "."
``server``      the URI it registers at
``user``        the URI it registers, without a password if one was written into it
``state``       one of ``STATES``
``expires_in``  seconds until the engine registers again, an int; None when it plans to do no such thing, or does not tell

Source: ``res/res_pjsip_outbound_registration.c`` of Asterisk 13 to 22.
"""

from __future__ import annotations

import re

REGISTERED = "registered"
UNREGISTERED = "unregistered"
REJECTED = "rejected"
STOPPED = "stopped"
UNKNOWN = "unknown"
STATES = (REGISTERED, UNREGISTERED, REJECTED, STOPPED, UNKNOWN)

# Asterisk since 13.5 says "Unregistered" for its states stopping and stopped; before, "Stopped".
_ASTERISK_STATES = {
    "registered": REGISTERED,
    "unregistered": UNREGISTERED,
    "rejected": REJECTED,
    "stopping": STOPPED,
    "stopped": STOPPED,
}

_STATUS = re.compile(r"\s*(?P<word>\w*)\s*(?:\(exp\. (?P<seconds>\d+)s\))?")
_CLI_ROW = re.compile(r" ?(?P<name>[^/]+)/.*\s(?P<status>\w+\s+\(exp\. \d+s\))\s*")
_URI_PASSWORD = re.compile(r"^(<?sips?:[^:@]*):[^@]*@", re.IGNORECASE)


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
    return {
        "name": name,
        "trunk": name.partition(".")[0],
        "server": event.get("ServerUri", ""),
        "user": _URI_PASSWORD.sub(r"\1@", event.get("ClientUri", "")),
        "state": state,
        "expires_in": expiries.get(name, expires_in),
    }


def parse_status(text):
    """(state, expires_in) from Asterisk's words: ``Registered``, ``Rejected (exp. 17s)``, ``Unregistered (exp. 6s ago)``.

    A time in the past is no plan: expires_in is None.
    """
    match = _STATUS.match(text)
    seconds = match.group("seconds")
    return _ASTERISK_STATES.get(match.group("word").lower(), UNKNOWN), int(seconds) if seconds else None


def cli_expiries(lines):
    """{name: seconds} from the rows of ``pjsip show registrations`` (Asterisk 20 and later), those due in the future only.

    This is the time of the next refresh or retry. A rejected registration that is not among them has been given up,
    or is being tried at this moment. One that an operator stopped stays until the time that was planned before.
    """
    rows = (_CLI_ROW.fullmatch(line) for line in lines)
    return {row.group("name"): parse_status(row.group("status"))[1] for row in rows if row}


def asterisk_reader(client):
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


def select(found, names=(), trunks=()):
    """Those of ``found`` that have one of the ``names``, if any are given, and one of the ``trunks``, if any are given.

    Errors: ValueError that names what does not exist and lists what does.
    """
    for what, key, asked in (("registration named", "name", names), ("registration of trunk", "trunk", trunks)):
        present = sorted({item[key] for item in found})
        unknown = [value for value in asked if value not in present]
        if unknown:
            raise ValueError("no outbound %s: %s. Those that exist: %s" % (what, ", ".join(unknown), ", ".join(present) or "none"))
    selected = [item for item in found if (not names or item["name"] in names) and (not trunks or item["trunk"] in trunks)]
    if names and trunks and not selected:
        raise ValueError("none of the registrations %s belongs to the trunks %s" % (", ".join(names), ", ".join(trunks)))
    return selected


def describe(found):
    """One line for an operator: ``rejected: a, b; registered: c``, states in the order of ``STATES``."""
    groups = ((state, [item["name"] for item in found if item["state"] == state]) for state in STATES)
    return "; ".join("%s: %s" % (state, ", ".join(names)) for state, names in groups if names)
