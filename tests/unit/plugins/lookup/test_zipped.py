# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor as one file: the same each time, and complete."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleLookupError

from ansible_collections.siptrunk.failover.plugins.lookup import zipped

REPO = Path(__file__).resolve().parents[4]
PACKAGE = REPO / "roles" / "monitor" / "files" / "siptrunk_monitor"
NAMES = yaml.safe_load((REPO / "roles" / "monitor" / "vars" / "main.yml").read_text(encoding="utf-8"))["__monitor_module_utils"]


def packed(path):
    zipped.pack(path, PACKAGE, [REPO / "plugins" / "module_utils" / f"{name}.py" for name in NAMES])
    return path


def test_the_same_files_make_the_same_zip(tmp_path):
    assert packed(tmp_path / "a.pyz").read_bytes() == packed(tmp_path / "b.pyz").read_bytes()


def test_python_finds_all_in_it_and_nothing_else(tmp_path):
    """But for the library of the metrics, which comes from the distribution."""
    path = packed(tmp_path / "monitor.pyz")
    modules = [name[:-3].replace("/", ".") for name in zipfile.ZipFile(path).namelist() if not name.endswith(("__init__.py", "__main__.py"))]
    stub = "import sys, types; p = types.ModuleType('prometheus_client'); p.CollectorRegistry = p.MetricsHandler = None; p.__path__ = []; " \
        "c = types.ModuleType('prometheus_client.core'); c.CounterMetricFamily = c.GaugeMetricFamily = None; " \
        "sys.modules.update({'prometheus_client': p, 'prometheus_client.core': c}); import importlib; " \
        f"sys.path = [{str(path)!r}] + [entry for entry in sys.path if 'ansible' not in entry]; [importlib.import_module(name) for name in {modules!r}]"
    done = subprocess.run([sys.executable, "-I", "-c", stub], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(modules) == len(NAMES) + len(list(PACKAGE.glob("*.py"))) - 2


def test_a_folder_that_is_no_program_is_refused(tmp_path, monkeypatch):
    lookup = zipped.LookupModule()
    monkeypatch.setattr(lookup, "set_options", lambda **dummy: None)
    monkeypatch.setattr(lookup, "find_file_in_search_path", lambda *dummy: str(tmp_path))
    with pytest.raises(AnsibleLookupError, match="no package 'x'"):
        lookup.run(["x"], {})
