# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outbound registrations of an SBC, as ``registration`` describes them.

Source: ``uac_reg.c`` (``uac_reg_update``, ``uac_reg_tm_callback``) of Kamailio 6.1.
"""

from __future__ import annotations

from ansible_collections.siptrunk.failover.plugins.module_utils import kamailio
from ansible_collections.siptrunk.failover.plugins.module_utils.registration import REGISTERED, STOPPED, UNREGISTERED, registration

_DISABLED, _ONLINE = 1, 4


def registrations(rows):
    """Registrations, sorted by name, from ``kamailio.registrations``. uac does not tell a refusal from silence."""
    return sorted((_registration(row) for row in rows), key=lambda item: item["name"])


def _registration(row):
    flags = row.get("flags") or 0
    state = REGISTERED if flags & _ONLINE else STOPPED if flags & _DISABLED else UNREGISTERED
    left = row.get("diff_expires")
    user = "sip:%s@%s" % (row.get("l_username"), row.get("l_domain"))
    return registration(row["l_uuid"], row.get("auth_proxy") or "", user, state, left if isinstance(left, int) and left > 0 else None)


def reader(client):
    """A function that reads the registrations anew at each call, with a ``kamailio.KamailioClient``. Errors: those of the client."""
    return lambda: registrations(kamailio.registrations(client))
