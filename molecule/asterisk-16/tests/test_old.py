# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else the distribution of this host is too old for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness import Lab, enter

REPO = Path(__file__).resolve().parents[3]


def test_a_kamailio_that_is_too_old_is_not_even_installed(tmp_path):
    """Debian bullseye's is 5.4."""
    (tmp_path / "hosts.yml").write_text("siptrunk_sbc: {hosts: {pbx: }}\n", encoding="utf-8")
    inventories = ("inventories/lab", "molecule/asterisk-16/inventory", str(tmp_path / "hosts.yml"))
    argv = ["ansible-playbook", *(part for path in inventories for part in ("-i", path)), "playbooks/site.yml", "--limit", "pbx"]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_HOST_PATTERN_MISMATCH": "warning"}
    done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0 and "This role wants Kamailio 6 or later, such as Debian 13's; on pbx it is 5 (Candidate: 5.4" in said, said
    assert "Nothing was changed." in said and " changed=0 " in said
    assert enter(Lab().container("pbx"), ["sh", "-c", "ls /usr/sbin/kamailio /etc/kamailio 2>/dev/null"], check=False) == ""
