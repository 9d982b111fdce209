# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of events: JSON Lines, rotated by size. What cannot be written is counted, and never stops the monitor."""

from __future__ import annotations

import json
import os
import threading
import time

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def stamp(moment):
    """``2026-11-25T06:14:06.123Z``."""
    milliseconds = int(moment * 1000)
    return "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)), milliseconds % 1000)


class Log:
    """``path``, then ``path.1`` (the newest of the old ones) to ``path.files``, each of ``max_bytes`` at most, roughly."""

    def __init__(self, path, max_bytes, files):
        self.errors = 0
        self._lock = threading.Lock()  # names and certificates are asked for in a thread of their own
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._file = None
        self._size = 0
        self._torn = False

    def write(self, event, now, **fields):
        """Append one line."""
        line = ("%s\n" % _encode({"at": stamp(now), "event": event, **fields})).encode("utf-8", "replace")
        with self._lock:
            self._append(line)

    def close(self):
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, data):
        try:
            if self._file is None:
                self._open()
            if 0 < self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
                self._open()
            # What a full disk cut off must not spoil the line after it.
            data = b"\n" + data if self._torn else data
            written = os.write(self._file, data)
            self._size += written
            self._torn = written < len(data)
            if self._torn:
                self.errors += 1
        except OSError:
            self.errors += 1
            self._reopen_later()

    def _reopen_later(self):
        try:
            self.close()
        except OSError:
            self._file = None

    def _open(self):
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._file).st_size
        self._torn = self._size > 0 and os.pread(self._file, 1, self._size - 1) != b"\n"

    def _rotate(self):
        self.close()
        for number in range(self._files, 0, -1):
            newer = self._path if number == 1 else "%s.%d" % (self._path, number - 1)
            if os.path.exists(newer):
                os.replace(newer, "%s.%d" % (self._path, number))
        if self._files == 0:
            os.unlink(self._path)


def tail(path, max_bytes):
    """The last lines of the log, as far as they fit into ``max_bytes``, oldest first; the file before it too if it is short."""
    lines = []
    for name in (path + ".1", path):
        try:
            with open(name, "rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - max_bytes))
                lines += stream.read(max_bytes).split(b"\n")
        except OSError:
            continue
    return lines
