# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders and single files as they should be: content, owner, group and mode. Configuration that has to be tried first is release.py's."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import stat
import tempfile
import typing as t

from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused, diff


def read(path: str) -> bytes | None:
    """The bytes of a file; None: there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def unknown(files: t.Iterable[dict[str, t.Any]]) -> list[str]:
    """Paths of the files whose `digest` is not that of their content on the host."""
    return [entry["path"] for entry in files if entry.get("digest") and _digest(read(entry["path"])) != entry["digest"]]


def settle(folders: t.Iterable[dict[str, t.Any]], files: t.Iterable[dict[str, t.Any]], check: bool) -> tuple[list[str], list[dict[str, str]]]:
    """Make folders and files as they should be; returns (the paths that changed, differences for Ansible).

    An entry is {"path", "owner", "group", "mode": 0o644}, that of a file also has `data`, its bytes, and `hidden`, whether no output shows
    them. Without `data` the content stays as it is, and a file that does not exist is left alone. Refused when it cannot be done.
    """
    changed: list[str] = []
    differences: list[dict[str, str]] = []
    for entry in folders:
        if not os.path.isdir(entry["path"]) and not check:
            os.makedirs(os.path.dirname(entry["path"]), exist_ok=True)
            os.mkdir(entry["path"], 0o700)
            changed.append(entry["path"])
        if _own(entry, check) and entry["path"] not in changed:
            changed.append(entry["path"])
    for entry in files:
        path, data = entry["path"], entry.get("data")
        before = read(path)
        if data is not None and data != before:
            changed.append(path)
            differences += _difference(entry, before)
            if not check:
                _write(entry)
        elif before is not None and _own(entry, check):
            changed.append(path)
    return changed, differences


def _digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def _own(entry: dict[str, t.Any], check: bool) -> bool:
    """Whether owner, group or mode are, or were, others. A path that is not there yet has others."""
    try:
        found = os.stat(entry["path"])
    except FileNotFoundError:
        return True
    wanted = _ids(entry, check)
    if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (*wanted, entry["mode"]):
        return False
    if not check:
        if (found.st_uid, found.st_gid) != wanted:
            os.chown(entry["path"], *wanted)
        os.chmod(entry["path"], entry["mode"])
    return True


def _ids(entry: dict[str, t.Any], check: bool) -> tuple[t.Any, ...]:
    """(uid, gid); in check mode None for those that are still to be made."""
    ids: list[t.Any] = []
    for kind, look, number in (("user", pwd.getpwnam, "pw_uid"), ("group", grp.getgrnam, "gr_gid")):
        name = entry["owner" if kind == "user" else "group"]
        try:
            ids.append(getattr(look(name), number))
        except KeyError:
            if not check:
                raise Refused("There is no %s '%s' on this host, to which %s should belong." % (kind, name, entry["path"])) from None
            ids.append(None)
    return tuple(ids)


def _write(entry: dict[str, t.Any]) -> None:
    """A file is there with all its content or not at all, and owner and mode stand before there is content to read."""
    handle, temporary = tempfile.mkstemp(prefix=".siptrunk-", dir=os.path.dirname(entry["path"]))
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchown(stream.fileno(), *_ids(entry, False))
            os.fchmod(stream.fileno(), entry["mode"])
            stream.write(entry["data"])
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, entry["path"])
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _difference(entry: dict[str, t.Any], before: bytes | None) -> list[dict[str, str]]:
    """Of text, for Ansible; of what is hidden or no text, nothing."""
    if entry.get("hidden"):
        return []
    try:
        texts = [{} if data is None else {entry["path"]: data.decode("utf-8")} for data in (before, entry["data"])]
    except UnicodeDecodeError:
        return []
    return diff(*texts)
