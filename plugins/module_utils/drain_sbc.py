# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drain marks of an SBC: a file for each trunk, which the hunt looks for before each call, and a restart leaves alone."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.siptrunk.failover.plugins.module_utils import trunk
from ansible_collections.siptrunk.failover.plugins.module_utils.kamailio import KamailioError

FOLDER = "/var/lib/siptrunk/drained"
_CHANNELS = "dlg.profile_get_size"


def drained(names, folder=FOLDER):
    """{trunk name: {"by", "at", "why"}} of those of the trunks that are drained."""
    found = {}
    for name in names:
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
                found[name] = trunk.drain_mark(stream.read().rstrip("\n"))
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise KamailioError("the drain marks cannot be read: %s" % exc) from None
    return found


def channels(client, names):
    """{trunk name: calls up}. Errors: those of the client."""
    found = {}
    for name in names:
        count = client.ask(_CHANNELS, "trunk", name)
        if not isinstance(count, int):
            raise client.strange(_CHANNELS, count)
        found[name] = count
    return found


class Marks:
    """As ``drain`` describes it, with a ``kamailio.KamailioClient``. Errors: those of the client."""

    def __init__(self, client, folder=FOLDER):
        self._client, self._folder = client, folder

    def read(self, names):
        return {"drained": drained(names, self._folder), "channels": channels(self._client, names)}

    def write(self, name, text):
        path, new = os.path.join(self._folder, name), os.path.join(self._folder, ".new-%s" % name)
        try:
            if text is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                return
            with open(new, "w", encoding="utf-8") as stream:
                os.fchmod(stream.fileno(), 0o644)  # Kamailio looks for it; the folder is closed to others
                stream.write(text + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(new, path)
        except OSError as exc:
            raise KamailioError("the drain mark cannot be written: %s" % exc) from None
