# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives the monitor: a JSON file, written as a whole or not at all."""

from __future__ import annotations

import json
import os

LONGEST = 64 * 1024 * 1024


def load(path):
    """What was saved, a dict; an empty one where nothing usable is there: the monitor then begins anew."""
    try:
        with open(path, "rb") as stream:
            saved = json.loads(stream.read(LONGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return saved if isinstance(saved, dict) else {}


def save(path, saved):
    """Errors: OSError, the file of before is then as it was."""
    data = json.dumps(saved, separators=(",", ":")).encode()
    temporary = path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    os.replace(temporary, path)
