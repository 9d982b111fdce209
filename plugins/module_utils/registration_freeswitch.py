# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outbound registrations of FreeSWITCH, as ``registration`` describes them.

Each has a gateway of its own, whose name ends in ``.registration``; without that, it is the name of the registration.

Source: ``sofia_reg.c`` (``sofia_reg_check_gateway``) of FreeSWITCH 1.10.12.
"""

from __future__ import annotations

import html
import re

from ansible_collections.siptrunk.failover.plugins.module_utils import esl, sofia
from ansible_collections.siptrunk.failover.plugins.module_utils.registration import (
    REGISTERED, REJECTED, STOPPED, UNKNOWN, UNREGISTERED, registration,
)

SUFFIX = ".registration"

_STATES = {
    "REGED": REGISTERED,
    "REGISTER": REGISTERED,  # answered 200; becomes REGED within a second
    "UNREGED": UNREGISTERED,
    "TRYING": UNREGISTERED,
    "EXPIRED": UNREGISTERED,
    "FAILED": REJECTED,
    "FAIL_WAIT": REJECTED,
    "TIMEOUT": REJECTED,
    "UNREGISTER": STOPPED,
    "DOWN": STOPPED,
}
# A refresh passes through these with the gateway's status UP; it is DOWN before the first success and after a failure.
_REFRESHES = ("UNREGED", "TRYING", "EXPIRED")

_RETRY = re.compile(r"([0-9]{1,9})s")


def registrations(gateways):
    """Registrations, sorted by name, from ``sofia.gateways``."""
    found = [_registration(name[:-len(SUFFIX)], gateway) for name, gateway in gateways.items() if name.endswith(SUFFIX)]
    return sorted(found, key=lambda item: item["name"])


def _registration(name, gateway):
    word = gateway.get("state", "")
    state = REGISTERED if word in _REFRESHES and gateway.get("status") == "UP" else _STATES.get(word, UNKNOWN)
    # Sofia tells the time of the next attempt in this state alone; while TRYING it repeats what was planned before.
    retry = _RETRY.fullmatch(gateway.get("retry", "")) if word == "FAIL_WAIT" else None
    user = html.unescape(gateway.get("from", ""))
    if user.startswith("<") and user.endswith(">"):
        user = user[1:-1]
    return registration(name, gateway.get("proxy", ""), user, state, int(retry.group(1)) if retry else None)


def reader(client):
    """A function that reads the registrations anew at each call, with an ``esl.EslClient`` that it connects when needed.

    Errors: those of the client; EslActionError also while the profile does not run, for that is not the same as no registration.
    """

    def read():
        if not client.connected:
            client.connect()
        profile, status = client.apis([sofia.RUNNING, sofia.STATUS])
        if not sofia.is_running(profile):
            raise esl.EslActionError("sofia", "the profile %s does not run" % sofia.PROFILE)
        return registrations(sofia.read_gateways(client, status))

    return read
