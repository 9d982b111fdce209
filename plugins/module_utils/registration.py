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

The readers of the engines are in ``registration_asterisk`` and ``registration_freeswitch``.
"""

from __future__ import annotations

import re

REGISTERED = "registered"
UNREGISTERED = "unregistered"
REJECTED = "rejected"
STOPPED = "stopped"
UNKNOWN = "unknown"
STATES = (REGISTERED, UNREGISTERED, REJECTED, STOPPED, UNKNOWN)

_URI_PASSWORD = re.compile(r"^(<?sips?:[^:@]*):[^@]*@", re.IGNORECASE)


def registration(name, server, user, state, expires_in):
    """One registration. A password that was written into ``user`` is dropped."""
    return {
        "name": name,
        "trunk": name.partition(".")[0],
        "server": server,
        "user": _URI_PASSWORD.sub(r"\1@", user),
        "state": state,
        "expires_in": expires_in,
    }


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
