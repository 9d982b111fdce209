# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels to the host: the real action plugin, with a connection that only writes down what it is asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.siptrunk.failover.plugins.action import asterisk_deploy, freeswitch_deploy
from ansible_collections.siptrunk.failover.plugins.module_utils.deployment import digest

MANY = {"a.conf": "a" * 200_000, "b.conf": "b"}


def run(plugin, files, monkeypatch, *answers, wait=0):
    sent = []
    answers = iter(answers)

    def execute_module(self, module_args=None, task_vars=None, wrap_async=False):
        sent.append(module_args or dict(self._task.args))
        return next(answers)

    action = plugin.ActionModule.__new__(plugin.ActionModule)
    action._task = SimpleNamespace(args={"files": files, "group": "g"}, async_val=wait)
    action._connection = SimpleNamespace(has_native_async=False)
    monkeypatch.setattr(plugin.ActionModule, "_execute_module", execute_module)
    monkeypatch.setattr("ansible.plugins.action.ActionBase.run", lambda *_args: {})
    return action.run(task_vars={}), sent


@pytest.mark.parametrize("plugin", [asterisk_deploy, freeswitch_deploy])
def test_files_that_the_host_has_do_not_travel(plugin, monkeypatch):
    result, sent = run(plugin, MANY, monkeypatch, {"changed": False, "release": "3"})
    assert result == {"changed": False, "release": "3"}
    assert sent == [{"group": "g", "digests": {name: digest(text) for name, text in MANY.items()}}]


def test_files_that_it_lacks_do(monkeypatch):
    result, sent = run(asterisk_deploy, MANY, monkeypatch, {"changed": False, "unknown": ["b.conf"]}, {"changed": True})
    assert result == {"changed": True}
    assert sent[1] == {"group": "g", "files": MANY}


def test_a_failure_is_the_result(monkeypatch):
    result, sent = run(asterisk_deploy, MANY, monkeypatch, {"failed": True, "msg": "no Asterisk"})
    assert (result["msg"], len(sent)) == ("no Asterisk", 1)


@pytest.mark.parametrize(("files", "wait"), [({"a.conf": "a"}, 0), ("no mapping", 0), ({**MANY, "c.conf": 1}, 0), (MANY, 60)])
def test_what_is_small_or_wrong_or_not_waited_for_is_sent_at_once(files, wait, monkeypatch):
    _result, sent = run(asterisk_deploy, files, monkeypatch, {"changed": True}, wait=wait)
    assert sent == [{"group": "g", "files": files}]
