# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels to the host: the real action plugin, with a connection that only writes down what it is asked."""

from __future__ import annotations

import base64
import hashlib
from types import SimpleNamespace

from ansible_collections.siptrunk.failover.plugins.action import host_files

BINARY = b"\xff\x00program"


def run(files, monkeypatch, *answers):
    sent = []
    answers = iter(answers)

    def execute_module(self, module_args=None, task_vars=None):
        sent.append(module_args or dict(self._task.args))
        return next(answers)

    action = host_files.ActionModule.__new__(host_files.ActionModule)
    action._task = SimpleNamespace(args={"files": files, "folders": [{"path": "/f"}]})
    monkeypatch.setattr(host_files.ActionModule, "_execute_module", execute_module)
    monkeypatch.setattr("ansible.plugins.action.ActionBase.run", lambda *_args: {})
    return action.run(task_vars={}), sent


def entries(tmp_path):
    (tmp_path / "program").write_bytes(BINARY)
    return [{"path": "/p", "src": str(tmp_path / "program")}, {"path": "/t", "content": "text\n", "hidden": True}, {"path": "/key"}]


def with_contents(key, *forms):
    first, second = forms
    return {"folders": [{"path": "/f"}], "files": [{"path": "/p", key: first}, {"path": "/t", "hidden": True, key: second}, {"path": "/key"}]}


DIGESTS = with_contents("digest", hashlib.sha256(BINARY).hexdigest(), hashlib.sha256(b"text\n").hexdigest())
DATA = with_contents("data", base64.b64encode(BINARY).decode(), base64.b64encode(b"text\n").decode())


def test_contents_that_the_host_has_do_not_travel(tmp_path, monkeypatch):
    assert run(entries(tmp_path), monkeypatch, {"changed": False, "paths": []}) == ({"changed": False, "paths": []}, [DIGESTS])


def test_contents_that_it_lacks_do(tmp_path, monkeypatch):
    assert run(entries(tmp_path), monkeypatch, {"changed": False, "unknown": ["/t"]}, {"changed": True}) == ({"changed": True}, [DIGESTS, DATA])


def test_a_failure_is_the_result(tmp_path, monkeypatch):
    result, sent = run(entries(tmp_path), monkeypatch, {"failed": True, "msg": "no"})
    assert (result, len(sent)) == ({"failed": True, "msg": "no"}, 1)


def test_a_file_that_the_controller_lacks_is_named(monkeypatch):
    result, sent = run([{"path": "/p", "src": "/nonexistent/program"}], monkeypatch)
    assert (result, sent) == ({"failed": True, "msg": "/nonexistent/program: No such file or directory. Nothing was changed."}, [])


def test_the_module_says_what_is_wrong_with_the_arguments(monkeypatch):
    for wrong in ("no list", [{"path": "/p", "src": "/etc/hostname", "content": "two"}], [{"path": "/p", "content": 1}]):
        assert run(wrong, monkeypatch, {"failed": True}) == ({"failed": True}, [{"folders": [{"path": "/f"}], "files": wrong}])
