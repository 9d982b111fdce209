# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook with no host to work on, or with tags that it does not have, fails: nothing was deployed or drained, and no host is healthy.

Where an inventory lacks one of the groups, Ansible has nothing to warn of.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
OF_OPERATORS = ["drain", "restore", "verify", "report"]
ALL = ["site", *OF_OPERATORS, "sbc_records"]
TYPO = "{siptrunk_asterisks: {hosts: {pbx1: }}, web: {hosts: {web1: }}}\n"
LOCAL = "{ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}', asterisk_install: false}"


def playbook(folder, name, *options, inventory="{web: {hosts: {web1: }}}\n"):
    (folder / "hosts.yml").write_text(inventory, encoding="utf-8")
    lab = {name: value for name, value in os.environ.items() if name not in ("ANSIBLE_HOST_PATTERN_MISMATCH", "ANSIBLE_INVENTORY_UNPARSED_FAILED")}
    done = subprocess.run(
        ["ansible-playbook", "-i", "hosts.yml", str(name), "-e", "trunk=acme", "-e", "reason=maintenance", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**lab, "PWD": str(folder), "COLUMNS": "2000"},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "inventory"), [*((name, TYPO) for name in ALL), ("site", "{web: {hosts: {web1: }}}\n")])
def test_nobody_is_refused(name, inventory, tmp_path):
    status, text = playbook(tmp_path, PLAYBOOKS / f"{name}.yml", inventory=inventory)
    wanted = {"site": "siptrunk_asterisk, siptrunk_freeswitch, siptrunk_sbc or siptrunk_alerting", "sbc_records": "siptrunk_sbc"}
    similar = "; the inventory has siptrunk_asterisks" if "siptrunk" in inventory else ""
    assert (status, "WARNING]: Could not match" in text) == (2, False), text
    assert f"No host is in a group {wanted.get(name, 'siptrunk_asterisk, siptrunk_freeswitch or siptrunk_sbc')}{similar}. Correct" in text
    assert [path.name for path in tmp_path.iterdir()] == ["hosts.yml"]


def test_an_inventory_that_does_not_exist_is_refused(tmp_path):
    status, text = playbook(tmp_path, PLAYBOOKS / "site.yml", "--inventory=nowhere", inventory="{}\n")
    assert status == 2
    assert "No host is in a group siptrunk_asterisk" in text


@pytest.mark.parametrize(("limit", "refused"), [([], True), (["--limit=pbx1"], False)])
def test_a_mistyped_group_beside_a_good_one_is_refused(limit, refused, tmp_path):
    inventory = f"siptrunk_pbx: {{children: {{siptrunk_asterisk: {{hosts: {{pbx1: {LOCAL}}}}}, siptrunk_freeswich: {{hosts: {{pbx2: }}}}}}}}\n"
    _status, text = playbook(tmp_path, PLAYBOOKS / "site.yml", "--tags=alerting", *limit, inventory=inventory)
    assert ("pbx2: in siptrunk_freeswich, siptrunk_pbx, but in none of siptrunk_asterisk, siptrunk_freeswitch, " in text) is refused, text


@pytest.mark.parametrize("name", [*OF_OPERATORS, "sbc_records"])
def test_tags_are_refused_where_there_are_none(name, tmp_path):
    inventory = f"siptrunk_sbc: {{hosts: {{sbc1: {LOCAL}}}}}\n"
    status, text = playbook(tmp_path, PLAYBOOKS / f"{name}.yml", "--tags=monitor", inventory=inventory)
    assert status == 2
    assert "No task has the tag monitor. This playbook has no tags: run it without --tags. Nothing was changed." in text


def test_each_role_has_its_tag_down_to_the_tasks_that_it_includes(tmp_path):
    inventory = f"siptrunk_asterisk: {{hosts: {{pbx1: {LOCAL}}}}}\n"
    _status, text = playbook(tmp_path, PLAYBOOKS / "site.yml", "--tags=monitor", inventory=inventory)
    assert "There is no plan on pbx1" in text
    assert "asterisk : Look at the host" not in text
    status, text = playbook(tmp_path, PLAYBOOKS / "site.yml", "--skip-tags=asterisk,monitor", inventory=inventory)
    assert (status, re.findall(r"\w+ : Look at the host|WARNING.*", text)) == (0, []), text


def test_another_playbook_has_tags_of_its_own(tmp_path):
    """Imported beside other plays, ours neither stop a run of those, nor take tags given to the import for unknown."""
    plays = "".join(f"- import_playbook: {PLAYBOOKS / name}.yml\n  tags: [trunks]\n" for name in ("site", "verify"))
    (tmp_path / "all.yml").write_text(f"- import_playbook: {PLAYBOOKS}/site.yml\n{plays}", encoding="utf-8")
    inventory = f"siptrunk_asterisk: {{hosts: {{pbx1: {LOCAL}}}}}\n"
    status, text = playbook(tmp_path, "all.yml", "--tags=trunks", inventory=inventory)
    assert status == 2
    assert "No Asterisk on pbx1" in text
    beside = f"- import_playbook: {PLAYBOOKS}/site.yml\n- hosts: all\n  gather_facts: false\n  tags: [web]\n  tasks: []\n"
    (tmp_path / "all.yml").write_text(beside, encoding="utf-8")
    status, text = playbook(tmp_path, "all.yml", "--tags=web")
    assert status == 0, text
