# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of configuration files as releases on disk: switched at once, tried, and taken back.

    siptrunk -> siptrunk.d/7    what the operator's files include
    siptrunk.d/6, siptrunk.d/7  the release of before, and the live one
    siptrunk.d/journal.json     only while a release is not verified: {"from": "6", "includes": {...}}
    siptrunk.d/fresh            only until the first release of an engine that was just installed is verified
    siptrunk.d/waiting.json     what waits for a restart of the engine: {sentence: since when, in seconds of the epoch}

What to do follows from what is on disk, never from what an earlier run had in mind: a run that was killed at any
point is completed, or taken back, by the next one. Releases have numbers: a hash of the content would give
whoever sees it a way to try passwords.

Files are {name: text}. An engine is any object with

    tidy()                                   remove what a killed run left elsewhere
    rehearse(files, includes)                try them apart from the running engine; returns how; Refused with the engine's words
    faults(files)                            what the running engine lacks of these files, as sentences
    restart_needed(files)                    what of them takes effect only after a restart, as sentences
    restart_only(before, files, waiting)     what of that cannot be seen in the running engine, and is to be remembered; `waiting`
                                             is what was remembered of earlier files, of which it returns what still waits
    started()                                when it was started, in seconds of the epoch; None: it does not run
    busy()                                   whether a restart would end calls
    activate(files, before, names, restart, known)  load the files `names` (or restart), and look. `before` are the files
                                             of before, `known` the faults that do not count: they were there before
    accounts(files)                          {registration: all that it is made with}
    register(names)                          register these anew at once, where the engine has not done so when it loaded the files
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import fcntl
import html
import json
import os
import re
import shutil
import time
import typing as t

HIDDEN = "********"
_SECRET = re.compile(r"^([^\S\n]*[\w-]*(?:password|secret|md5_cred|token)[\w-]*[^\S\n]*=>?[^\S\n]*)(.+)$", re.IGNORECASE | re.MULTILINE)
_SECTION = re.compile(r"^\s*(?:\[([^\]]+)\]|<(?:configuration|gateway|profile) name=\"([^\"]+)\")")
_XML_SECRET = re.compile(r"^([^\S\n]*<param name=\"[\w-]*(?:password|secret|token)[\w-]*\" value=\")(.*)(\"/>)$", re.IGNORECASE | re.MULTILINE)


class Refused(Exception):
    """Not done, and why, for a person. `rolled_back`: whether files had been switched, and are back."""

    def __init__(self, words: str, rolled_back: bool = False) -> None:
        super().__init__(words)
        self.rolled_back = rolled_back


def said(error: Exception) -> str:
    """An exception as a sentence: an OSError names its file."""
    if isinstance(error, OSError):
        return "%s: %s." % (error.filename, error.strerror) if error.filename else "%s." % error.strerror
    return str(error)


class Store:
    """The releases `name` in `directory`.

    includes: {path of an operator's file: the line that includes ours}. private: names of files for root alone.
    gid: the group that reads the other files; None where it does not exist yet. hidden: names of files that the group reads, and no
    output shows.
    """

    def __init__(self, directory, name, gid, includes, private=(), hidden=()):
        self.directory = directory
        self.link = os.path.join(directory, name)
        self.folder = self.link + ".d"
        self.uid, self.gid = os.geteuid(), gid
        self.includes, self.private, self.hidden = includes, private, {*private, *hidden}
        self._journal, self._fresh = os.path.join(self.folder, "journal.json"), os.path.join(self.folder, "fresh")
        self._waiting = os.path.join(self.folder, "waiting.json")

    @contextlib.contextmanager
    def locked(self, timeout):
        """One deployment at a time, `timeout` seconds of waiting at most. A lock ends with its process, however it ends."""
        if not os.path.isdir(self.directory):
            yield
            return
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            deadline = time.monotonic() + timeout
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Refused("Another deployment to %s is under way. Nothing was changed." % self.directory) from None
                    time.sleep(0.2)
            yield
        finally:
            os.close(handle)

    # --- looking ---

    def writable(self):
        """OSError when nothing can be written."""
        place = self.folder if os.path.isdir(self.folder) else self.directory
        if os.path.isdir(place) and not os.access(place, os.W_OK):
            reason = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(reason, os.strerror(reason), place)

    def live(self):
        """The release that is included; None: there is none."""
        if os.path.islink(self.link):
            folder, _sep, number = os.readlink(self.link).rpartition("/")
            return number if folder == os.path.basename(self.folder) and os.path.isdir(self.path(number)) else None
        return "0" if os.path.isdir(self.link) else None  # a folder: it becomes release 0

    def previous(self):
        """The verified release of before the live one; None: there is none."""
        journal, live = self.journal(), self.live()
        if journal and journal["from"] != live:
            return journal["from"]
        older = [number for number in self._numbers() if live is not None and int(number) < int(live)]
        return max(older, key=int, default=None)

    def path(self, number):
        plain = number == "0" and not os.path.islink(self.link) and os.path.isdir(self.link)
        return self.link if plain else os.path.join(self.folder, number)

    def read(self, number):
        """The files of a release; what cannot be read is left out."""
        files = {}
        for name in sorted(os.listdir(self.path(number))) if number is not None else []:
            with contextlib.suppress(IsADirectoryError, FileNotFoundError, UnicodeDecodeError):
                with open(os.path.join(self.path(number), name), encoding="utf-8") as stream:
                    files[name] = stream.read()
        return files

    def wrong(self, number, files):
        """Names of the files of a release that are not as asked: content, owner, mode, missing, or not ours."""
        if number is None:
            return sorted(files)
        if not os.path.islink(self.link) or not all(self._suits(folder, 0o750) for folder in (self.folder, self.path(number))):
            return sorted(files)
        found = self.read(number)
        names = set(files) | set(os.listdir(self.path(number)))
        return sorted(
            name
            for name in names
            if found.get(name) != files.get(name) or name not in files or not self._suits(os.path.join(self.path(number), name), self._mode(name))
        )

    def lacking(self):
        """What each operator's file lacks: {path: {"text": to append, "created": whether there is no such file}}."""
        found = {}
        for path, line in sorted(self.includes.items()):
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                    text = stream.read()
            except FileNotFoundError:
                text = None
            if line not in [known.strip() for known in (text or "").splitlines()]:
                found[path] = {"text": ("\n" if text and not text.endswith("\n") else "") + line + "\n", "created": text is None}
        return found

    def journal(self):
        """The note of a deployment that is not verified; None: all is well."""
        try:
            with open(self._journal, encoding="utf-8") as stream:
                return json.load(stream)
        except FileNotFoundError:
            return None

    def waiting(self, started):
        """What has waited for a restart since before the engine was started is no longer waiting. Sentences, sorted."""
        try:
            with open(self._waiting, encoding="utf-8") as stream:
                noted = json.load(stream)
        except (FileNotFoundError, ValueError):
            return []
        return sorted(what for what, since in noted.items() if started is not None and since >= started)

    def fresh(self):
        """Whether the engine was just installed, and has no calls to lose."""
        return os.path.isdir(self._fresh)

    def in_force(self, started):
        """The files with which an engine that was started then began: those of before, when a run was cut short since."""
        journal = self.journal()
        if journal and journal["from"] is not None and started is not None and os.path.islink(self.link) and started < os.lstat(self.link).st_mtime:
            return self.read(journal["from"])
        return self.read(self.live())

    # --- acting ---

    def write(self, files):
        """A new release, not live yet; its number. What is left of it is removed when the disk does not take it."""
        if not os.path.isdir(self.folder):
            os.mkdir(self.folder, 0o700)
        self._own(self.folder, 0o750)
        self.prune()
        number = str(max(map(int, self._numbers()), default=0) + 1)
        path = os.path.join(self.folder, number)
        try:
            os.mkdir(path, 0o700)
            for name, text in sorted(files.items()):
                self._write(os.path.join(path, name), text, self._mode(name))
            self._own(path, 0o750)
            _sync(path)
            _sync(self.folder)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return number

    def begin(self, number, lacking):
        """Note what is about to happen, then make the release live and the operator's files include it."""
        journal = self.journal() or {"from": self.live(), "includes": {}}
        journal["includes"].update(lacking)
        _remove(self._journal + ".new")
        self._write(self._journal + ".new", json.dumps(journal), 0o600)
        os.replace(self._journal + ".new", self._journal)
        _sync(self.folder)
        if os.path.isdir(self.link) and not os.path.islink(self.link):
            os.rename(self.link, os.path.join(self.folder, "0"))
        self._switch(number)
        for path, entry in sorted(lacking.items()):
            _append(path, entry["text"])

    def finish(self):
        """The live release is verified: forget how to go back."""
        keep = self.previous()
        if self.fresh():
            os.rmdir(self._fresh)
        _remove(self._journal)
        with contextlib.suppress(OSError):  # verified is verified: what cannot be tidied up now, the next run finds
            _sync(self.folder)
            self.prune(keep)

    def wait(self, waiting):
        """Remember what waits for a restart."""
        _remove(self._waiting + ".new")
        self._write(self._waiting + ".new", json.dumps(dict.fromkeys(waiting, time.time())), 0o600)
        os.replace(self._waiting + ".new", self._waiting)

    def restore(self):
        """Back to the last verified release, and the operator's files to what they were."""
        journal = self.journal()
        if journal is None:
            return
        self._switch(journal["from"])
        for path, entry in sorted(journal["includes"].items()):
            _take_back(path, entry["text"], entry["created"])

    def prune(self, keep=None):
        """Remove all releases but the live one and `keep`, the one of before, and what a killed run left over."""
        kept = {self.live(), keep or self.previous()}
        for number in self._numbers():
            if number not in kept:
                shutil.rmtree(os.path.join(self.folder, number), ignore_errors=True)
        for path in (self.link, self._journal, self._waiting):
            _remove(path + ".new")

    def _switch(self, number):
        if number is None:
            _remove(self.link)
        elif number != self.live():
            _remove(self.link + ".new")
            os.symlink(os.path.join(os.path.basename(self.folder), number), self.link + ".new")
            os.replace(self.link + ".new", self.link)
        _sync(self.directory)

    def _numbers(self):
        return [name for name in os.listdir(self.folder) if name.isdigit()] if os.path.isdir(self.folder) else []

    def _mode(self, name):
        return 0o600 if name in self.private else 0o640

    def _group(self, mode):
        return self.gid if mode & 0o070 and self.gid is not None else os.getegid()

    def _suits(self, path, mode):
        try:
            found = os.lstat(path)
        except OSError:
            return False
        return (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (self.uid, self._group(mode), mode)

    def _own(self, path, mode):
        if not self._suits(path, mode):
            os.chown(path, self.uid, self._group(mode))
            os.chmod(path, mode)

    def _write(self, path, text, mode):
        """Owner and mode stand before there is content to read."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with _naming(path), open(handle, "w", encoding="utf-8", newline="") as stream:
            self._own(path, mode)
            stream.write(text)
            stream.flush()
            os.fsync(handle)


def _remove(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@contextlib.contextmanager
def _naming(path):
    """An OSError of a write names no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


def _sync(folder):
    """A rename is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _append(path, text):
    """In place: owner, mode, links and attributes of an operator's file stay."""
    with _naming(path), open(path, "a", encoding="utf-8", newline="") as stream:
        size = stream.tell()
        try:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            os.truncate(path, size)
            raise


def _take_back(path, text, created):
    """Undo `_append`, if it was done."""
    end = text.encode("utf-8")
    with contextlib.suppress(FileNotFoundError):
        with open(path, "rb") as stream:
            content = stream.read()
        if created and content in (end, b""):
            os.unlink(path)
        elif content.endswith(end):
            os.truncate(path, len(content) - len(end))


# --- secrets and differences ---

PLAN = "plan.json"  # hundreds of lines for programs; what people read says the same


def _values(name, text, private):
    """(section and key, value, line with the value hidden) of each line; without a secret, value is None."""
    section, count = "", {}
    for line in text.splitlines():
        head, found = _SECTION.match(line), _XML_SECRET.match(line) or _SECRET.match(line)
        section = head.group(1) or head.group(2) if head and not found else section
        key = "%s/%s" % (section, found.group(1).strip() if found else "")
        count[key] = count.get(key, 0) + 1
        if name in private:
            yield "", line, HIDDEN
        elif found:
            yield (key, count[key]), found.group(2), found.group(1) + HIDDEN + "".join(found.groups()[2:])
        else:
            yield (key, count[key]), None, line


def _telling(text):
    """The lines that may hold a secret: of several, none as short as a bracket, for all brackets of a message would be hidden with it."""
    lines = text.splitlines()
    return [line for line in lines if len(lines) == 1 or len(line.strip()) > len("return {")]


def secrets_in(files, private=()):
    """The values that no output may show."""
    return {
        form
        for name, text in files.items()
        for value in (_telling(text) if name in private else [found.group(2) for pattern in (_XML_SECRET, _SECRET) for found in pattern.finditer(text)])
        if value.strip()
        for form in (value.strip(), value.strip().replace("\\;", ";"), html.unescape(value.strip()))
    }


def diff(before: dict[str, str], after: dict[str, str], private: t.Collection[str] = ()) -> list[dict[str, str]]:
    """What changes from files to files, for Ansible: unified, secrets hidden; a secret that changes says so."""
    found = []
    for name in sorted(set(before) | set(after)):
        old = {key: value for key, value, _shown in _values(name, before.get(name, ""), private) if value is not None}
        lines = [[], []]
        for side, text in enumerate((before.get(name, ""), after.get(name, ""))):
            for key, value, shown in _values(name, text, private):
                changed = " (changed)" if side and key in old and old[key] != value else ""
                lines[side].append(shown + changed)
        text = "\n".join(difflib.unified_diff(*lines, "before: %s" % name, "after: %s" % name, lineterm=""))
        if text and name == PLAN:
            found.append({"prepared": "%s changes too: the same for the collection's own programs, not shown.\n" % name})
        elif text:
            found.append({"prepared": text + "\n"})
    return found


# --- the deployment ---


def deploy(store, engine, files, allow_restart=False, check=False, timeout=60):
    """Make `files` the live release that the engine runs, or leave everything as it was and raise Refused.

    Returns {changed, release, previous, tried, restart_needed, restarted, registered_anew, diff, did}; `did` is a list of sentences.
    """
    try:
        with store.locked(timeout):
            return _deploy(store, engine, files, allow_restart, check)
    except OSError as error:
        raise Refused("%s Nothing was changed." % said(error)) from error


def _deploy(store, engine, files, allow_restart, check):
    live, unverified, fresh = store.live(), store.journal() is not None, store.fresh()
    before = store.read(live)
    if not check:
        engine.tidy()
    wrong, lacking = store.wrong(live, files), store.lacking()
    transaction = bool(unverified or wrong or lacking or fresh)
    did = ["Complete a deployment that was cut short."] if unverified else []
    did += ["Write %s." % ", ".join(wrong)] if wrong else []
    did += ["Include it in %s." % ", ".join(lacking)] if lacking else []
    try:
        tried = engine.rehearse(files, lacking) if transaction else ""
    except Refused as error:
        if unverified and not check:  # what the run that was cut short left live goes back too
            raise Refused("%s\n%s" % (error, _roll_back(store, engine, before, sorted(files), False, [])), rolled_back=True) from None
        raise Refused("%s Nothing was changed." % error) from None
    started = engine.started()
    waiting_before = store.waiting(started)
    remembered = sorted(engine.restart_only(store.in_force(started), files, waiting_before))
    waiting = engine.restart_needed(files) + remembered
    new = fresh and not engine.busy()
    restart = new or (bool(waiting) and allow_restart)
    known = [] if unverified or live is None else engine.faults(before)
    did += [] if transaction else known
    journal = store.journal()
    registered = store.read(journal["from"]) if journal else before  # with these files
    did += ["Restart: the engine is new." if new else "Restart: %s." % "; ".join(waiting)] if restart else []
    result = {
        "changed": bool(did),
        "release": live,
        "previous": store.previous(),
        "tried": tried,
        "restart_needed": [] if restart else waiting,
        "restarted": restart,
        "registered_anew": [],
        "did": did,
        "diff": diff({name: before[name] for name in wrong if name in before}, {name: files[name] for name in wrong if name in files}, store.hidden),
    }
    result["diff"] += [{"prepared": "+++ after: %s\n+%s\n" % (path, entry["text"].strip())} for path, entry in sorted(lacking.items())]
    if did:
        store.writable()
    if check or not did:
        return result

    names = sorted(files) if unverified or not (wrong or lacking) else sorted({*wrong, *map(os.path.basename, lacking)})
    number = store.write(files) if wrong else live
    try:
        if transaction:
            store.begin(number, lacking)
        engine.activate(files, before, names, restart)
        result["registered_anew"] = _register(engine, registered, files)
        if transaction:
            if (remembered or waiting_before) and not restart:
                store.wait(remembered)
            store.finish()
    except (Refused, OSError) as error:
        if not transaction:
            raise
        raise Refused("%s\n%s" % (said(error), _roll_back(store, engine, files, names, restart, known)), rolled_back=True) from error
    result.update(release=number, previous=store.previous(), restart_needed=pending(store, engine, files))
    return result


def _register(engine, before, files):
    """Use changed credentials now, not when the registration is due, which may be in an hour. The names of those registrations."""
    old, new = engine.accounts(before), engine.accounts(files)
    names = sorted(name for name in new if name in old and new[name] != old[name])
    engine.register(names)
    return names


def pending(store, engine, files):
    """What of the live files takes effect only after a restart, as sentences: seen in the running engine, or remembered."""
    return engine.restart_needed(files) + store.waiting(engine.started())


def _roll_back(store, engine, files, names, restart, known):
    """Take a release back; a sentence that says how that went. The journal stays until the engine is as before."""
    try:
        store.restore()
        engine.activate(store.read(store.live()), files, names, restart, known)
        _register(engine, files, store.read(store.live()))
        store.finish()
    except (Refused, OSError) as error:
        return "The files of before are not fully back in force: %s Run again when that is mended." % said(error)
    return "The files of before are back, and in force."
