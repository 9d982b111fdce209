# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drain marks in FreeSWITCH: mod_db, realm ``siptrunk_drained``, which the hunt asks before each call and a restart leaves alone.

Source: of FreeSWITCH 1.10.12 ``mod_db.c`` (``db_api_function``) and ``switch_utils.c`` (``switch_separate_string``).
"""

from __future__ import annotations

import re

from ansible_collections.siptrunk.failover.plugins.module_utils import trunk, trunk_freeswitch
from ansible_collections.siptrunk.failover.plugins.module_utils.esl import EslActionError

_LIST = "db list/%s" % trunk.DRAINED
_SELECT = "db select/%s/%%s" % trunk.DRAINED
_INSERT = "db insert/%s/%%s/%%s" % trunk.DRAINED
_DELETE = "db delete/%s/%%s" % trunk.DRAINED
_CHANNELS = "limit_usage hash siptrunk %s"
_OK = "+OK"
_COUNT = re.compile(r"[0-9]{1,9}")


class Marks:
    """As ``drain`` describes it, with an ``esl.EslClient`` that it connects when needed. Errors: those of the client."""

    def __init__(self, client):
        self._client = client

    def read(self, names):
        """Of the trunks in the plan, ``names`` or more have to be asked for: mod_db may cut its list short."""
        client = self._client
        if not client.connected:
            client.connect()
        listed, *usage = client.apis([_LIST, *(_CHANNELS % name for name in names)])
        drained = trunk_freeswitch.drained_names(listed, names)
        return {
            "drained": trunk_freeswitch.drains(zip(drained, client.apis([_SELECT % name for name in drained]))),
            "channels": {name: _count(client, _CHANNELS % name, text) for name, text in zip(names, usage)},
        }

    def write(self, name, text):
        command = _DELETE % name if text is None else _INSERT % (name, escaped(text))
        said = self._client.api(command)
        if said.strip() != _OK:
            raise EslActionError("db", ascii(said[:80]))


def _count(client, command, text):
    if not _COUNT.fullmatch(text):
        raise client.strange(command, text)
    return int(text)


def escaped(text):
    """The text as the last part of a command of mod_db, which takes backslash and apostrophe for its own."""
    return text.replace("\\", "\\\\").replace("'", "\\'")
