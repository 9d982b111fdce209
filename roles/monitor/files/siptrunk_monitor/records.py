# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's call records, read as they are written, and the attempts in them that nobody heard of."""

from __future__ import annotations

import json
import os
from collections import OrderedDict, deque

CHUNK = 1 << 20
LONGEST_LINE = 1 << 20
MOST_CALLS = 50000
# The event of an attempt and the record of its call take different ways, and the record may be the faster: by seconds, when the engine has
# thousands of events to send.
GRACE = 10.0


class Follower:
    """The lines that are appended to a file, through rotations. ``position``: [inode, offset] to go on from; None for the end."""

    def __init__(self, path, position=None):
        self.trouble = None  # why the file could not be read
        self._path = path
        self._file = None
        self._inode = None
        self._wanted = position
        self._rest = b""
        self._offset = 0

    @property
    def position(self):
        """[inode, offset after the last whole line], or None where no file was ever seen."""
        return self._wanted if self._file is None else [self._inode, self._offset]

    def lines(self):
        """What is new, a list of bytes; of a long backlog a part at a time. Never raises."""
        try:
            if self._file is None and not self._open():
                return []
            found = self._read()
            if not found and self._is_replaced():
                self._file.close()
                self._file, self._wanted = None, [0, 0]
            self.trouble = None
            return found
        except OSError as exc:
            self.trouble = str(exc)
            return []

    def _open(self):
        try:
            self._file = open(self._path, "rb")  # pylint: disable=consider-using-with
        except FileNotFoundError:
            # One that comes into being later is new from its first line on.
            self._wanted = self._wanted or [0, 0]
            return False
        status = os.fstat(self._file.fileno())
        self._inode = status.st_ino
        self._rest = b""
        if self._wanted is None:
            self._offset = status.st_size
        else:
            inode, offset = self._wanted
            self._offset = offset if inode == status.st_ino and offset <= status.st_size else 0
        self._wanted = None
        self._file.seek(self._offset)
        return True

    def _read(self):
        data = self._file.read(CHUNK)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._offset += sum(map(len, lines)) + len(lines)
        if len(self._rest) > LONGEST_LINE:
            self._offset += len(self._rest)
            self._rest = b""
        return lines

    def _is_replaced(self):
        try:
            status = os.stat(self._path)
        except OSError:
            return False
        return status.st_ino != self._inode or status.st_size < self._offset


class Tally:
    """Attempts heard of against attempts recorded, call by call."""

    def __init__(self):
        self._heard = OrderedDict()
        self._pending = deque()

    def hear(self, call):
        """The event of an attempt of this call has come in."""
        self._heard[call] = self._heard.get(call, 0) + 1
        if len(self._heard) > MOST_CALLS:
            self._heard.popitem(last=False)

    def record(self, line, now):
        """A line of the call records has been read; one that is none is passed over."""
        try:
            record = json.loads(line)
            times = [str(attempt["at"]) for attempt in record["attempts"]]
            call = record["call"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if times and isinstance(call, str):
            self._pending.append((now + GRACE, call, times))

    def missed(self, now):
        """(how many attempts nobody heard of, the first and the last moment in the records of their calls), or None."""
        count, times = 0, []
        while self._pending and (self._pending[0][0] <= now or self._pending[0][0] > now + 2 * GRACE):
            dummy, call, recorded = self._pending.popleft()
            heard = self._heard.pop(call, 0)
            if heard > len(recorded):
                self._heard[call] = heard - len(recorded)
            elif heard < len(recorded):
                count += len(recorded) - heard
                times += recorded
        return (count, min(times), max(times)) if count else None

    def saved(self):
        """What outlives the process, plain data."""
        return {"heard": dict(self._heard), "pending": [[call, times] for dummy, call, times in self._pending]}

    def restore(self, saved):
        """Take up from ``saved()`` of an earlier process; what is none is passed over."""
        try:
            heard = {str(call): int(count) for call, count in saved["heard"].items()}
            pending = [(0.0, str(call), [str(time) for time in times]) for call, times in saved["pending"]]
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        self._heard.update(heard)
        self._pending.extend(pending)

    def __len__(self):
        return len(self._heard) + len(self._pending)
