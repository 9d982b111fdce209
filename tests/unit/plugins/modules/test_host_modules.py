# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_info, host_files and kept_secrets, from their arguments to their JSON."""

from __future__ import annotations

import base64
import getpass
import grp
import hashlib
import json
import os
import string
import sys

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.modules import host_files, host_info, kept_secrets

OWN = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getegid()).gr_name}


@pytest.fixture
def run(printed):
    """run(module, **arguments): its JSON."""
    def start(module, **arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit) as end:
            module.main()
        output = json.loads(printed().out)
        assert (end.value.code != 0) == output.get("failed", False)
        return output

    return start


def test_a_look_that_wants_nothing_finds_nothing(run):
    found = run(host_info)
    assert list(yaml.safe_load(host_info.RETURN)) == [name for name in found if name not in ("changed", "invocation")]
    assert not any(value for name, value in found.items() if name != "invocation")


@pytest.mark.parametrize("check", [True, False])
def test_one_look_finds_everything(run, tmp_path, check):
    (tmp_path / "there").write_text("a", encoding="utf-8")
    (tmp_path / "dangling").symlink_to("nowhere")
    there, dangling, gone = (str(tmp_path / name) for name in ("there", "dangling", "gone"))
    found = run(
        host_info, version_command=["echo", "Asterisk 22.1"], files=[gone, there, dangling], digests=[there, gone], packages=["no-such=1"],
        user=OWN["owner"], python=sys.executable, python_modules=["json", "no_such_module"], _ansible_check_mode=check,
    )  # fmt: skip
    assert (found["changed"], found["installed"], found["version"]) == (False, True, "Asterisk 22.1")
    assert found["files"] == [there, dangling]
    assert found["digests"] == {there: hashlib.sha256(b"a").hexdigest(), gone: None}
    assert (found["missing_packages"], found["missing_python_modules"]) == (["no-such=1"], ["no_such_module"])
    assert found["python_version"] == list(sys.version_info[:2]) and found["user"]["home"]


def test_a_look_that_fails_says_why(run):
    assert run(host_info, version_command=["false"])["msg"].startswith("false failed: ")
    words = "/nonexistent/python does not run: /nonexistent/python: No such file or directory. Nothing was changed."
    assert run(host_info, python="/nonexistent/python")["msg"] == words


def test_files_are_written_and_their_content_is_in_no_output(run, tmp_path):
    entries = [
        {**OWN, "path": str(tmp_path / "text"), "mode": "0640", "content": "sesame of text"},
        {**OWN, "path": str(tmp_path / "bytes"), "mode": "0600", "data": base64.b64encode(b"\xffsesame").decode()},
    ]
    arguments = {"folders": [{**OWN, "path": str(tmp_path / "folder"), "mode": "2750"}], "files": entries, "_ansible_diff": True}
    foretold = run(host_files, **arguments, _ansible_check_mode=True)
    assert foretold["changed"] and not (tmp_path / "text").exists()
    made = run(host_files, **arguments)
    assert made["paths"] == foretold["paths"] == [str(tmp_path / name) for name in ("folder", "text", "bytes")]
    assert (tmp_path / "text").read_text(encoding="utf-8") == "sesame of text" and (tmp_path / "bytes").read_bytes() == b"\xffsesame"
    assert "sesame" not in json.dumps([foretold, made]) and entries[1]["data"] not in json.dumps([foretold, made])
    assert run(host_files, **arguments)["changed"] is False


def test_a_digest_of_another_content_changes_nothing(run, tmp_path):
    entry = {**OWN, "path": str(tmp_path / "file"), "mode": "0600", "digest": hashlib.sha256(b"a").hexdigest()}
    arguments = {"folders": [{**OWN, "path": str(tmp_path / "folder"), "mode": "0700"}], "files": [entry]}
    found = run(host_files, **arguments)
    assert (found["changed"], found["unknown"]) == (False, [entry["path"]]) and not (tmp_path / "folder").exists()
    (tmp_path / "file").write_bytes(b"a")
    os.chmod(entry["path"], 0o644)
    assert run(host_files, **arguments)["paths"] == [str(tmp_path / "folder"), entry["path"]]
    assert os.stat(entry["path"]).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("entry, words", [
    ({"mode": "rw", "content": "sesame"}, "invalid literal"),
    ({"mode": "0600", "content": "sesame", "data": "c2VzYW1l"}, "mutually exclusive"),
    ({"mode": "0600", "src": "/etc/hostname"}, "src is a file of the controller"),
    ({"mode": "0600", "content": "sesame", "owner": "no-such-user"}, "There is no user 'no-such-user' on this host"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(run, tmp_path, entry, words):
    assert words in run(host_files, files=[{"path": str(tmp_path / "file"), **entry}])["msg"]
    assert not (tmp_path / "file").exists()


def test_a_secret_is_kept_and_a_missing_one_is_new_each_time(run, tmp_path):
    paths = {name: str(tmp_path / name) for name in ("kept", "open", "empty", "gone")}
    for name, text, mode in (("kept", "sesame\n", 0o600), ("open", "poppy", 0o644), ("empty", "\n", 0o600)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(mode)
    first, second = (run(kept_secrets, paths=list(paths.values())) for _again in range(2))
    assert first["changed"] is False and not (tmp_path / "gone").exists()
    assert (first["secrets"][paths["kept"]], first["secrets"][paths["open"]]) == ("sesame", "poppy")
    for name in ("empty", "gone"):
        new = first["secrets"][paths[name]]
        assert len(new) == 32 and set(new) <= set(string.ascii_letters + string.digits) and new != second["secrets"][paths[name]]
    assert first["safe"] == ([paths["kept"]] if (os.getuid(), os.getegid()) == (0, 0) else [])
