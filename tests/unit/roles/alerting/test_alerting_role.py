# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role's variables find out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

VARIABLES = yaml.safe_load((Path(__file__).parents[4] / "roles/alerting/vars/main.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        (None, False),
        ("", False),
        ('# Set the arguments.\nARGS=""\n\n#   --web.listen-address=":9090"\n# ARGS="--never"\n', False),
        ("ARGS=\n  ARGS='' \n", False),
        (f'# {VARIABLES["__alerting_header"]}\nARGS="--web.listen-address=127.0.0.1:9090"\n', False),
        ('ARGS="--web.listen-address=:80"\n', True),
        ("\tARGS=--storage.tsdb.path=\n", True),
        ('ARGS="\n--log.level=debug"\n', True),
        ("ARGS=\\\n--log.level=debug\n", True),
        ('ARGS="--log.level=debug"\nARGS=""\n', True),
    ],
)
def test_arguments_that_somebody_else_set_are_found(tmp_path, text, foreign):
    path = tmp_path / "prometheus"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    argv = ["sh", "-c", VARIABLES["__alerting_foreign"], "sh", VARIABLES["__alerting_header"], str(tmp_path / "another"), str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == ([str(path)] if foreign else [], "")
