# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.siptrunk.failover.plugins.filter import alertmanager_config, monitor_targets, without_secrets
from ansible_collections.siptrunk.failover.plugins.plugin_utils import alerting

REPO = Path(__file__).resolve().parents[4]
DESK = {"name": "desk", "webhook_configs": [{"url": "http://127.0.0.1:8000/", "max_alerts": 5}], "email_configs": [{"to": "desk@example.com"}]}
PAGER = {"name": "pager", "pagerduty_configs": [{"routing_key": "k3y-of-the-pager"}]}


def test_the_monitors_defaults_are_known():
    defaults = yaml.safe_load((REPO / "roles/monitor/defaults/main.yml").read_text(encoding="utf-8"))
    assert (alerting.LOOPBACK, alerting.PORT) == (defaults["monitor_listen_address"], defaults["monitor_port"])


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"monitor_listen_address": "127.0.0.9"}, None),
        ({"monitor_listen_address": "::1"}, None),
        ({"monitor_listen_address": "localhost"}, None),
        ({"monitor_listen_address": "192.0.2.1"}, "192.0.2.1:9560"),
        ({"monitor_listen_address": "2001:db8::1", "monitor_port": 99}, "[2001:db8::1]:99"),
        ({"monitor_listen_address": "pbx.example.com"}, "pbx.example.com:9560"),
        ({"monitor_listen_address": "0.0.0.0"}, "pbx:9560"),
        ({"monitor_listen_address": "::", "ansible_host": "192.0.2.2"}, "192.0.2.2:9560"),
    ],
)
def test_how_a_monitor_is_reached(variables, expected):
    found = alerting.monitors(["pbx"], {"pbx": variables}, "watch")
    assert found == {"targets": [{"host": "pbx", "address": expected}] if expected else [], "unreachable": [] if expected else ["pbx"]}


def test_on_its_own_host_a_monitor_is_reached_on_loopback():
    addresses = {"open": "0.0.0.0", "open6": "::", "own": "2001:db8::1"}
    variables = {"pbx": {}, **{name: {"monitor_listen_address": address} for name, address in addresses.items()}}
    assert alerting.monitors(["pbx"], variables, "pbx")["targets"] == [{"host": "pbx", "address": "127.0.0.1:9560"}]
    assert alerting.monitors(["open"], variables, "open")["targets"] == [{"host": "open", "address": "127.0.0.1:9560"}]
    assert alerting.monitors(["open6"], variables, "open6")["targets"] == [{"host": "open6", "address": "127.0.0.1:9560"}]
    assert alerting.monitors(["own"], variables, "own")["targets"] == [{"host": "own", "address": "[2001:db8::1]:9560"}]


def test_a_host_without_a_monitor_is_not_watched():
    assert alerting.monitors(["pbx"], {"pbx": {"monitor_enabled": False}}, "watch") == {"targets": [], "unreachable": []}


def test_a_return_is_told_to_the_same_people_without_an_end():
    route = {"receiver": "desk", "group_wait": "5s", "routes": [{"matchers": ['severity="critical"'], "receiver": "pager"}, {"matchers": ['trunk="acme"']}]}
    made = alerting.alertmanager([DESK, PAGER], route, {"global": {"smtp_smarthost": "mail:25"}})
    once = {"matchers": ['alertname="SiptrunkReturn"']}
    assert made["global"] == {"smtp_smarthost": "mail:25"}
    assert made["route"]["receiver"] == "desk" and made["route"]["group_wait"] == "5s" and made["route"]["group_by"] == ["..."]
    assert made["route"]["routes"] == [
        {"matchers": ['severity="critical"'], "receiver": "pager", "routes": [{**once, "receiver": "pager (once)"}]},
        {"matchers": ['trunk="acme"'], "routes": [{**once, "receiver": "desk (once)"}]},
        {**once, "receiver": "desk (once)"},
    ]
    assert made["receivers"][:2] == [DESK, PAGER]
    assert [receiver["name"] for receiver in made["receivers"][2:]] == ["desk (once)", "pager (once)"]
    assert made["receivers"][2]["webhook_configs"] == [{"url": "http://127.0.0.1:8000/", "max_alerts": 5, "send_resolved": False}]
    assert made["receivers"][2]["email_configs"] == [{"to": "desk@example.com", "send_resolved": False}]


def test_a_receiver_that_no_route_names_is_not_doubled():
    made = alerting.alertmanager([DESK, PAGER], {}, {"inhibit_rules": [{"equal": ["mine"]}]})
    assert [receiver["name"] for receiver in made["receivers"]] == ["desk", "pager", "desk (once)"]
    assert made["inhibit_rules"][-1] == {"equal": ["mine"]} and len(made["inhibit_rules"]) == 4


def test_a_route_that_is_down_keeps_back_no_trunk():
    sources = [source for rule in alerting.alertmanager([DESK], {}, {})["inhibit_rules"] for source in rule["source_matchers"]]
    assert sorted(source for source in sources if source.startswith("alertname")) == [
        f'alertname="Siptrunk{name}"' for name in ("CertificateExpiring", "EngineGone", "MonitorGone")
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("line 9: field nonsense not found in type config.plain", "line 9: field nonsense not found in type config.plain"),
        ('undefined receiver "dsek" used in route', 'undefined receiver "dsek" used in route'),
        ('no "url" in receiver "desk"', 'no "url" in receiver "desk"'),
        ("cannot unmarshal !!str `s3cret-...` into bool", "cannot unmarshal !!str *** into bool"),
        ('parse "http://u:pa/ss@host": invalid port ":pa" after host', "parse ***: invalid port *** after host"),
        ("nobody at s3cret-word answers", "nobody at *** answers"),
        ('bad "s3\\"cret"', "bad ***"),
    ],
)
def test_what_amtool_says_is_shown_without_secrets(said, shown):
    receivers = [{"name": "desk", "webhook_configs": [{"url": "http://u:pa/ss@host", "send_resolved": True}], "x_configs": [{"token": "s3cret-word", "n": 25}]}]
    assert alerting.without_secrets(said, receivers, {"receiver": "dsek"}, {}) == shown


def test_each_rule_says_what_is_and_what_to_do():
    """A label that an alert does not have would be "<no value>" in its text."""
    (group,) = yaml.safe_load((REPO / "tests/alerts/rules.yml").read_text(encoding="utf-8"))["groups"]
    labels = {
        "Engine": {"engine"}, "Monitor": set(), "Route": {"route"},
        "Failover": {"route", "trunk"}, "Return": {"route", "at"}, "Certificate": {"trunk", "target"},
    }  # fmt: skip
    for rule in group["rules"]:
        assert set(rule["annotations"]) == {"summary", "description"} and rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].startswith("{{ $labels.instance }}: ") and len(rule["annotations"]["description"]) > 80
        known = next((known for name, known in labels.items() if rule["alert"].startswith(f"Siptrunk{name}")), {"trunk"})
        assert set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))) <= known | {"instance"}


@pytest.mark.parametrize("plugin", [alertmanager_config, monitor_targets, without_secrets], ids=lambda plugin: plugin.__name__.rpartition(".")[2])
def test_each_filter_has_its_plugins_name(plugin):
    name = plugin.__name__.rpartition(".")[2]
    assert list(plugin.FilterModule().filters()) == [name]
    assert yaml.safe_load(plugin.DOCUMENTATION)["name"] == name
    assert yaml.safe_load(plugin.EXAMPLES) and yaml.safe_load(plugin.RETURN)


def test_the_filters():
    made = alertmanager_config.alertmanager_config([DESK])
    assert made["route"]["receiver"] == "desk"
    assert monitor_targets.monitor_targets(["pbx"], {"pbx": {}}, "watch")["unreachable"] == ["pbx"]
    assert without_secrets.without_secrets("k3y-of-the-pager", [PAGER]) == "***"
