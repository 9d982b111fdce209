# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a time window out of a JSON Lines log and its rotated files.

Each line is an object with ``at``, a moment in UTC such as ``2026-11-25T06:14:06.123Z``. Lines stand in the order in which they
were written, not of ``at``: a call is written when it ends, and dated when it began. So a file is read to its end, and only one
that was not written to since the window began is left alone.

Memory is bounded: lines are streamed, and compressed as they are found.
"""

from __future__ import annotations

import base64
import bz2
import glob
import gzip
import json
import lzma
import os
import re
import zlib
from datetime import datetime, timezone

LONGEST_LINE = 1 << 20  # bytes; what is longer is no line of ours
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", re.ASCII)
_START = b'{"at":"'
_START_SPACED = b'{"at": "'
_ROTATED = re.compile(r"[.-][0-9][0-9T_.:-]*(\.(gz|bz2|xz|zst|lz4|Z))?\Z|\.(gz|bz2|xz|zst|lz4|Z)\Z", re.ASCII)


def epoch(moment):
    """Seconds of the epoch of a moment as the logs write it. Errors: ValueError."""
    if not MOMENT.match(moment):
        raise ValueError("%s: expected a moment such as 2026-11-25T06:14:06.123Z" % moment)
    return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def files_of(path):
    """The log itself and its rotated files: ``path.1``, ``path.2.gz``, ``path-20261125`` and the like."""
    return [name for name in [path, *sorted(glob.glob(glob.escape(path) + "[.-]*"))] if name == path or _ROTATED.match(name[len(path) :])]


def moment_of(line):
    """``at`` of a line, or None when it is no line of a log."""
    for start in (_START, _START_SPACED):
        if line.startswith(start):
            moment = line[len(start) : len(start) + 24].decode("ascii", "replace")
            if MOMENT.match(moment) and line[len(start) + 24 : len(start) + 25] == b'"':
                return moment
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    moment = found.get("at") if isinstance(found, dict) else None
    return moment if isinstance(moment, str) and MOMENT.match(moment) else None


def _lines(stream):
    """Each line of a stream without its end; None for one that is too long. The last one, if it is being written, is left out."""
    whole = True
    for part in iter(lambda: stream.readline(LONGEST_LINE), b""):
        ended = part.endswith(b"\n")
        if whole and ended:
            yield part.rstrip(b"\r\n")
        elif whole and len(part) >= LONGEST_LINE:
            yield None
        whole = ended


def read(paths, since, until, limit):
    """Lines of the logs ``paths`` with since <= ``at`` < until, moments as the logs write them; at most ``limit`` bytes of them.

    found      the logs that exist
    files      the files that were read
    lines      how many lines ``data`` holds
    malformed  how many lines of the files that were read have no moment, whatever their time
    left_out   how many lines of the window did not fit into ``limit``
    errors     files that could not be read, each with the reason
    data       the lines, compressed by zlib, in Base64

    Errors: ValueError for a moment that is none.
    """
    begins = epoch(since)
    epoch(until)
    result = {"found": [], "files": [], "lines": 0, "malformed": 0, "left_out": 0, "errors": []}
    opened, seen, taken, chunks, packer = [], set(), 0, [], zlib.compressobj()
    # All are opened before any is read: one that is renamed meanwhile is neither missed nor read twice.
    for path in paths:
        for name in files_of(path):
            try:
                handle = open(name, "rb")  # pylint: disable=consider-using-with
            except FileNotFoundError:
                continue
            except OSError as error:
                result["errors"].append("%s: %s" % (name, error.strerror))
                continue
            state = os.fstat(handle.fileno())
            if path not in result["found"]:
                result["found"].append(path)
            if (state.st_dev, state.st_ino) in seen or state.st_mtime < begins:
                handle.close()
                continue
            seen.add((state.st_dev, state.st_ino))
            opened.append((state.st_mtime, name, handle))
    for _written, name, handle in sorted(opened, key=lambda item: item[:2]):
        with handle:
            ending = os.path.splitext(name)[1]
            try:
                if ending in (".zst", ".lz4", ".Z"):
                    raise OSError("this compression is not known here")
                stream = OPENERS[ending](handle) if ending in OPENERS else handle
                for line in _lines(stream):
                    moment = moment_of(line) if line else None
                    if moment is None:
                        result["malformed"] += line != b""
                    elif since <= moment < until:
                        if result["left_out"] or taken + len(line) + 1 > limit:
                            result["left_out"] += 1
                            continue
                        taken += len(line) + 1
                        result["lines"] += 1
                        chunks.append(packer.compress(line + b"\n"))
                result["files"].append(name)
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                result["errors"].append("%s: %s" % (name, getattr(error, "strerror", None) or error))
    chunks.append(packer.flush())
    result["data"] = base64.b64encode(b"".join(chunks)).decode("ascii")
    return result


def unpack(data):
    """The lines of ``data``, each as bytes."""
    return zlib.decompress(base64.b64decode(data)).splitlines()
