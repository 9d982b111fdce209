# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drain marks in Asterisk: AstDB, family ``siptrunk_drained``, which the dialplan asks before each call and a restart leaves alone.

Source: of Asterisk 22 ``main/db.c`` (DBPut and DBDel need ``write = system``; a value is kept as it comes).
"""

from __future__ import annotations

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, trunk, trunk_asterisk

_GONE = "Database entry not found"


class Marks:
    """As ``drain`` describes it, with an ``ami.AmiClient`` that it connects when needed. Errors: those of the client."""

    def __init__(self, client):
        self._client = client

    def read(self, names):
        if not self._client.connected:
            self._client.connect()
        tree = self._client.action_list("DBGetTree", wanted=("DBGetTreeResponse",), Family=trunk.DRAINED)[1]
        channels = self._client.action_list("CoreShowChannels", wanted=("CoreShowChannel",))[1]
        counted = trunk_asterisk.count_channels(channel.get("Channel") for channel in channels)
        return {
            "drained": trunk_asterisk.drains((entry.get("Key"), entry.get("Val")) for entry in tree),
            "channels": {name: counted[name] for name in names},
        }

    def write(self, name, text):
        if text is not None:
            self._client.action("DBPut", Family=trunk.DRAINED, Key=name, Val=text)
            return
        try:
            self._client.action("DBDel", Family=trunk.DRAINED, Key=name)
        except ami.AmiActionError as exc:
            # somebody else was faster
            if exc.reason != _GONE:
                raise
