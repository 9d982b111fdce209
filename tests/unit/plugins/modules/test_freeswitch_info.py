# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.module_utils import freeswitch_folders as library
from ansible_collections.siptrunk.failover.plugins.modules import freeswitch_info

CLASSIC = {"conf": "/opt/fs/conf", "log": "/opt/fs/log", "mod": "/opt/fs/mod", "certs": "/opt/fs/certs"}


@pytest.fixture
def run(capsys):
    """run(check_mode=False, **options): the module's result."""

    def run_module(check_mode=False, **options):
        with patch_module_args({**options, "_ansible_check_mode": check_mode}):
            with pytest.raises(SystemExit) as ended:
                freeswitch_info.main()
        result = json.loads(capsys.readouterr().out)
        assert bool(ended.value.code) == result.get("failed", False)
        assert result.get("changed", False) is False
        return result

    return run_module


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_freeswitch_of_another_layout(run, monkeypatch, tmp_path, check_mode):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/freeswitch").touch()
    monkeypatch.setattr(library, "folders", lambda prefix, service: CLASSIC if (prefix, service) == (str(tmp_path), "pbx") else None)
    result = run(check_mode, prefixes=["/nowhere", str(tmp_path)], service="pbx")
    assert result["installed"] and result["prefix"] == str(tmp_path)
    assert [result[f"{name}_directory"] for name in ("config", "log", "module", "certificate")] == list(CLASSIC.values())
    assert set(yaml.safe_load(freeswitch_info.RETURN)) == set(result) - {"changed", "invocation"}


def test_a_host_without_freeswitch_has_the_folders_of_the_packages(run):
    result = run(prefixes=["/nowhere"])
    assert not result["installed"] and result["prefix"] == "/usr"
    assert (result["config_directory"], result["log_directory"]) == ("/etc/freeswitch", "/var/log/freeswitch")
    assert result["prefixes"] == ["/nowhere"], "the role's message names them"


def test_one_that_does_not_start_says_why(run, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/freeswitch").touch()
    monkeypatch.setattr(library, "run", lambda argv, timeout=30: (1, "libpcre.so.3 => not found"))
    result = run(prefixes=[str(tmp_path)])
    assert "does not start" in result["msg"] and "libpcre.so.3 => not found" in result["msg"] and result["msg"].endswith("Nothing was changed.")
    assert result["config_directory"] == "/etc/freeswitch"
