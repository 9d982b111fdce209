# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory without a phone system is refused: nobody was drained, is healthy, or has anything to report."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"


@pytest.mark.parametrize("name", ["drain", "restore", "verify", "report"])
def test_nobody_is_refused(name, tmp_path):
    (tmp_path / "hosts.yml").write_text("{web: {hosts: {web1: }}}\n", encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", "hosts.yml", str(PLAYBOOKS / f"{name}.yml"), "-e", "trunk=acme", "-e", "reason=maintenance"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "ANSIBLE_HOST_PATTERN_MISMATCH": "warning", "PWD": str(tmp_path)},
    )
    assert done.returncode != 0
    assert "None of the hosts is in a group siptrunk_asterisk, siptrunk_freeswitch or siptrunk_sbc" in done.stdout + done.stderr, done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["hosts.yml"]
