# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders and files as they should be, in a folder of the test's own."""

from __future__ import annotations

import getpass
import grp
import hashlib
import os
import stat

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import host_files
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused

OWN = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getegid()).gr_name}


@pytest.fixture
def entries(tmp_path):
    """Two folders, a file with text, and one whose content is its own business."""
    folders = [{**OWN, "path": str(tmp_path / "a/b"), "mode": 0o2750}, {**OWN, "path": str(tmp_path / "c"), "mode": 0o755}]
    files = [
        {**OWN, "path": str(tmp_path / "c/settings"), "mode": 0o640, "data": b"one\npassword = sesame\n"},
        {**OWN, "path": str(tmp_path / "key"), "mode": 0o600},
    ]
    return folders, files


def mode(entry):
    return stat.S_IMODE(os.stat(entry["path"]).st_mode)


def paths(*kinds):
    return [entry["path"] for kind in kinds for entry in kind]


def test_all_is_made_once(entries):
    folders, files = entries
    wanted = paths(folders, files[:1])
    assert host_files.settle(folders, files, True)[0] == wanted
    assert not os.path.exists(folders[0]["path"]) and not os.path.exists(files[0]["path"])
    assert host_files.settle(folders, files, False)[0] == wanted
    assert [mode(entry) for entry in (*folders, files[0])] == [0o2750, 0o755, 0o640]
    assert host_files.read(files[0]["path"]) == files[0]["data"]
    assert not os.path.exists(files[1]["path"]), "no content, no file"
    assert host_files.settle(folders, files, False) == host_files.settle(folders, files, True) == ([], [])


@pytest.mark.parametrize("damage", ["content", "mode", "gone"])
def test_what_differs_is_mended_and_check_mode_foretells_it(entries, damage):
    folders, files = entries
    host_files.settle(folders, files, False)
    path = files[0]["path"]
    if damage == "content":
        with open(path, "ab") as stream:
            stream.write(b"two\n")
    elif damage == "mode":
        os.chmod(path, 0o644)
    else:
        os.unlink(path)
    foretold = host_files.settle(folders, files, True)
    assert host_files.settle(folders, files, False) == foretold
    assert foretold[0] == [path]
    assert (host_files.read(path), mode(files[0])) == (files[0]["data"], 0o640)


def test_the_mode_of_a_folder_and_of_a_file_with_any_content_is_mended(entries):
    folders, files = entries
    host_files.settle(folders, files, False)
    os.chmod(folders[0]["path"], 0o777)
    with open(files[1]["path"], "w", encoding="utf-8") as stream:
        stream.write("made by openssl")
    os.chmod(files[1]["path"], 0o666)
    assert host_files.settle(folders, files, False)[0] == [folders[0]["path"], files[1]["path"]]
    assert (mode(folders[0]), mode(files[1]), host_files.read(files[1]["path"])) == (0o2750, 0o600, b"made by openssl")


def test_differences_are_shown_but_no_secret(entries):
    folders, files = entries
    (shown,) = host_files.settle(folders, files, True)[1]
    assert "+one" in shown["prepared"] and "sesame" not in shown["prepared"]
    assert host_files.settle(folders, [{**files[0], "hidden": True}, {**files[0], "data": b"\xff"}], True)[1] == []


def test_nobody_reads_a_file_before_it_has_its_mode(entries, monkeypatch):
    folders, files = entries
    host_files.settle(folders, [], False)
    seen = []
    monkeypatch.setattr(os, "replace", lambda source, target: seen.append((mode({"path": source}), host_files.read(source), os.path.exists(target))))
    host_files.settle([], files[:1], False)
    assert seen == [(0o640, files[0]["data"], False)]


def test_a_write_that_fails_leaves_nothing_behind(entries, monkeypatch):
    folders, files = entries
    host_files.settle(folders, files, False)

    def fail(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        host_files.settle([], [{**files[0], "data": b"two\n"}], False)
    assert os.listdir(folders[1]["path"]) == ["settings"]
    assert host_files.read(files[0]["path"]) == files[0]["data"]


def test_a_user_that_is_still_to_be_made(entries):
    (folder, _other), files = entries
    os.makedirs(folder["path"])
    stranger = {**folder, "owner": "no-such-user"}
    assert host_files.settle([stranger], [{**files[0], "group": "no-such-group"}], True)[0] == [folder["path"], files[0]["path"]]
    with pytest.raises(Refused, match=r"^There is no user 'no-such-user' on this host, to which \S+/a/b should belong\.$"):
        host_files.settle([stranger], [], False)


def test_files_whose_content_is_not_that_of_a_digest(entries):
    folders, files = entries
    host_files.settle(folders, files, False)
    same = {"path": files[0]["path"], "digest": hashlib.sha256(files[0]["data"]).hexdigest()}
    assert host_files.unknown([same, {"path": files[1]["path"], "digest": "0" * 64}, {"path": files[1]["path"]}]) == [files[1]["path"]]
