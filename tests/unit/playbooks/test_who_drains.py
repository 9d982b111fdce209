# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drain is kept with the name of the person who ran it, not with the account that Ansible logs in with."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

TASKS = yaml.safe_load((Path(__file__).resolve().parents[3] / "playbooks/tasks/trunk_state.yml").read_text(encoding="utf-8"))
CHANGE = next(task for task in TASKS if "module_defaults" in task)
HOSTS = {
    "named": ({"by": "bob", "awx_user_name": "carol"}, "bob"),
    "awx": ({"awx_user_name": "carol", "tower_user_name": "other"}, "carol"),
    "tower": ({"by": "", "tower_user_name": "carol"}, "carol"),
}


@pytest.mark.parametrize(
    ("environment", "user"),
    [({"SUDO_USER": "dave", "USER": "root"}, "dave"), ({"USER": "alice", "LOGNAME": "other"}, "alice"), ({"LOGNAME": "erin"}, "erin"), ({}, getpass.getuser())],
    ids=["sudo", "user", "logname", "no environment"],
)
def test_who_drains(environment, user, tmp_path):
    hosts = {**HOSTS, "plain": ({}, user)}
    inventory = {"all": {"hosts": {host: {"ansible_user": "admin", "ansible_become": True, **variables} for host, (variables, _name) in hosts.items()}}}
    show = {"ansible.builtin.debug": {"msg": "<{{ inventory_hostname }}: %s>" % CHANGE["module_defaults"]["siptrunk.failover.trunk_state"]["by"]}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [{"vars": CHANGE["vars"], **show}]}]), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", "hosts.json", "play.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**{key: value for key, value in os.environ.items() if key not in ("SUDO_USER", "USER", "LOGNAME")}, **environment},
    )
    for host, (_variables, name) in hosts.items():
        assert f"<{host}: {name}>" in done.stdout, done.stdout + done.stderr
