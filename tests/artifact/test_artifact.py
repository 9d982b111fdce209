# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact as a user gets it: built, installed in another folder, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
FORBIDDEN = ("tests/", "molecule/", "lab/", "bench/", "inventories/lab", ".cache", ".git", ".ci", ".config", "Makefile", "pytest.ini", "__pycache__")
PLUGINS = {
    "module": [
        *("asterisk_conf_info", "asterisk_deploy", "asterisk_dialplan_info", "call_probe", "compile_plan", "freeswitch_deploy", "freeswitch_info"),
        *("host_files", "host_info", "kept_secrets"),
        *("log_window", "options_ping", "registration_info", "restart_info", "sbc_deploy", "srv_info", "trunk_info", "trunk_state"),
    ],
    "filter": [
        *("alertmanager_config", "asterisk_draws", "asterisk_value", "asterisk_verdicts"),
        *("dns_questions", "freeswitch_codec", "freeswitch_gateways", "freeswitch_route", "freeswitch_value"),
        *("health", "health_table", "monitor_targets", "report_page", "report_window", "sbc_dispatcher", "sbc_faults", "sbc_plan", "sbc_registrations"),
        *("sbc_secrets", "trunk_secrets", "without_secrets"),
    ],
    "lookup": ["rendered", "zipped"],
    "role": ["alerting", "asterisk", "freeswitch", "monitor", "plan", "sbc"],
}


def run(*argv: str, cwd: Path, collections: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": str(collections)} if collections else {}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    run("ansible-galaxy", "collection", "build", str(REPO), "--output-path", str(folder), cwd=folder)
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def installed(tarball, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    run("ansible-galaxy", "collection", "install", "--offline", str(tarball), "-p", str(folder), cwd=folder)
    return folder


def test_nothing_of_tests_labs_or_caches_is_inside(tarball):
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    assert [name for name in names if name.startswith(FORBIDDEN) or "/__pycache__" in name] == []
    playbooks = [f"playbooks/{name}.yml" for name in ("site", "drain", "restore", "verify", "report", "sbc_records", "tasks/control", "tasks/somebody")]
    files = ("README.md", "LICENSE", "CHANGELOG.md", "site.yml", "playbooks/templates/report.html.j2", "playbooks/templates/sbc_records.zone.j2")
    for needed in (*files, *playbooks, *(f"roles/{name}/README.md" for name in PLUGINS["role"])):
        assert needed in names
    assert any(name.startswith("inventories/example/") for name in names)


def test_every_plugin_of_the_tree_is_listed_here():
    for kind, folder in (("module", "modules"), ("filter", "filter"), ("lookup", "lookup")):
        assert PLUGINS[kind] == sorted(path.stem for path in (REPO / "plugins" / folder).glob("*.py"))
    assert PLUGINS["role"] == sorted(path.name for path in (REPO / "roles").iterdir())


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in PLUGINS.items() for name in names])
def test_documented(installed, kind, name):
    said = json.loads(run("ansible-doc", "--json", "-t", kind, f"siptrunk.failover.{name}", cwd=installed, collections=installed))
    (doc,) = said.values()
    if kind == "role":
        assert doc["entry_points"]["main"]["short_description"]
        options = doc["entry_points"]["main"]["options"]
        assert all(option.get("description") for option in options.values())
    else:
        assert doc["doc"]["short_description"] and doc["doc"]["description"] and doc["examples"] and doc["return"]


def test_works_from_another_folder(installed, tmp_path):
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "siptrunk_trunks": [{"name": "a", "servers": [{"host": "198.18.1.1"}]}, {"name": "b", "servers": [{"host": "198.18.2.1"}]}],
                "siptrunk_routes": [{"name": "all", "match": ["_X."], "trunks": ["a", "b"]}],
            },
            "tasks": [
                {"ansible.builtin.include_role": {"name": "siptrunk.failover.plan", "rolespec_validate": False}},
                {"ansible.builtin.assert": {"that": ["siptrunk_plan.routes[0].attempts | map(attribute='target') | list == ['a.1', 'b.1']"]}},
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    run("ansible-playbook", "-i", "localhost,", "-c", "local", "play.yml", cwd=tmp_path, collections=installed)


def test_the_example_inventory_parses(installed):
    example = installed / "ansible_collections" / "siptrunk" / "failover" / "inventories" / "example"
    said = json.loads(run("ansible-inventory", "-i", str(example), "--list", cwd=installed, collections=installed))
    assert said["siptrunk_asterisk"]["hosts"] and said["siptrunk_freeswitch"]["hosts"]
