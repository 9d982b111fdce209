# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.module_utils import log_lines as library
from ansible_collections.siptrunk.failover.plugins.modules import log_window

WINDOW = {"from": "2026-11-25T14:00:00.000Z", "to": "2026-11-25T15:00:00.000Z"}


@pytest.fixture
def run(capsys):
    """run(check_mode=False, **options): the module's result."""

    def run_module(check_mode=False, **options):
        with patch_module_args({**WINDOW, **options, "_ansible_check_mode": check_mode}):
            with pytest.raises(SystemExit) as ended:
                log_window.main()
        result = json.loads(capsys.readouterr().out)
        assert bool(ended.value.code) == result.get("failed", False)
        assert result.get("changed", False) is False
        return result

    return run_module


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join('{"at":"2026-11-25T14:%02d:00.000Z","event":"started"}\n' % minute for minute in range(60)), encoding="utf-8")
    library.os.utime(path, (2e9, 2e9))
    return str(path)


def test_documentation_fits_the_code(run):
    returned = yaml.safe_load(log_window.RETURN)
    result = run()
    assert set(returned) == {"events", "records"}
    for kind in returned:
        assert list(returned[kind]["contains"]) == list(result[kind])
    assert yaml.safe_load(log_window.EXAMPLES)


@pytest.mark.parametrize("check_mode", [False, True])
def test_both_kinds_of_log(run, log, check_mode):
    result = run(check_mode=check_mode, events=[log], records=["/nonexistent", log])
    assert (result["events"]["lines"], result["records"]["lines"], result["records"]["found"]) == (60, 60, [log])
    assert len(library.unpack(result["records"]["data"])) == 60


def test_what_does_not_fit_is_said(run, log):
    result = run(events=[log], limit=0)
    assert result["events"]["left_out"] == 60
    assert "60 lines of the events" in json.dumps(result["warnings"]) and "shorter window" in json.dumps(result["warnings"])


def test_a_window_of_another_shape_is_refused(run):
    assert "expected a moment such as" in run(to="tomorrow")["msg"]
