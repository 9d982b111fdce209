# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.siptrunk.failover.plugins.filter import dns_questions, health, health_table

NOBODY = {"hosts": [], "reached": [], "trunks": [], "plan": [], "answers": [], "metrics": [], "pending": []}


def test_from_what_was_seen_to_the_table():
    report = health.health(NOBODY, "2026-11-25T06:14:06Z")
    assert report["healthy"] is False
    assert health_table.health_table(report)[-1] == "0 hosts, 0 trunks, 0 targets: 0 problems"


def test_the_names_of_a_plan():
    plan = {"trunks": [{"transport": "tls", "domain": "b.example", "targets": []}, {"transport": "tls", "domain": "a.example", "targets": []}]}
    assert dns_questions.dns_questions(plan) == [{"transport": "tls", "domains": ["a.example", "b.example"]}]


def test_rows_that_are_none():
    with pytest.raises(AnsibleFilterError, match="rows: 'some' is not auto, all or unhealthy"):
        health_table.health_table(health.health(NOBODY, ""), "some")


@pytest.mark.parametrize("plugin", [dns_questions, health, health_table], ids=lambda plugin: plugin.__name__.rpartition(".")[2])
def test_each_filter_has_its_plugins_name(plugin):
    name = plugin.__name__.rpartition(".")[2]
    assert list(plugin.FilterModule().filters()) == [name]
    assert yaml.safe_load(plugin.DOCUMENTATION)["name"] == name
    assert yaml.safe_load(plugin.EXAMPLES) and yaml.safe_load(plugin.RETURN)
