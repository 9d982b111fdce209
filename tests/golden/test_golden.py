# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a role renders, compared with those in cases/<name>/<engine>/, byte for byte.

A case is a model.yml: trunks, routes and policy as a user writes them, `answers`, what DNS says of
"transport name" as a list of "priority weight port host address", and `variables` of the roles.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from rendering import HOST, SPEC, TEMPLATES, collection_plugins, rendered, renderer

from ansible_collections.siptrunk.failover.plugins.filter import asterisk_value, freeswitch_value
from ansible_collections.siptrunk.failover.plugins.plugin_utils.lua import lua

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("cases/*/model.yml"))
STARTUP = '<X-PRE-PROCESS cmd="set" data="api_on_startup=lua ~return"/>'
HEADER = "Written by Ansible (siptrunk.failover). Changes made here are lost."

WITHOUT_HEADER = {"plan.json", "uacreg", "version"}  # their formats have no comments


@pytest.fixture(scope="module", autouse=True)
def plugin_loader():
    with collection_plugins():
        yield


def load(folder):
    return yaml.safe_load((folder / "model.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_rendered(folder, template, update_golden):
    engine = template.parents[1].name
    for name, text in renderer(engine, load(folder))(template).items():
        golden = folder / engine / name
        if update_golden:
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(
            encoding="utf-8"
        ), f"{golden.relative_to(HERE)} differs; if that is meant, run pytest tests/golden --update-golden"
        assert (HEADER in text.splitlines()[0] or name in WITHOUT_HEADER) and text.endswith("\n")


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_nothing_stands_in_a_case_but_what_is_rendered(folder):
    engines = {template.parents[1].name for template in TEMPLATES}
    expected = {"model.yml"}
    for engine in engines:
        render = renderer(engine, load(folder))
        expected |= {f"{engine}/{name}" for template in TEMPLATES if template.parents[1].name == engine for name in render(template)}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == expected
    assert engines == set(HOST)


def test_rules_of_alerts(update_golden):
    """As the defaults of the role make them; tests/alerts/ tries them with promtool."""
    text = rendered("alerting", "rules.yml")
    golden = HERE.parent / "alerts/rules.yml"
    if update_golden:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "tests/alerts/rules.yml differs; if that is meant, run pytest tests/golden --update-golden"
    assert HEADER in text.splitlines()[0] and text.endswith("\n")


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        (":9093", "127.0.0.1:9093"),
        ("0.0.0.0:9093", "127.0.0.1:9093"),
        ("[::]:9093", "127.0.0.1:9093"),
        ("[::1]:9093", "[::1]:9093"),
        ("192.0.2.1:9093", "192.0.2.1:9093"),
        ("10.0.0.0:9093", "10.0.0.0:9093"),
    ],
)
def test_where_alertmanager_is_reached(listen, reached):
    made = yaml.safe_load(rendered("alerting", "prometheus.yml", alerting_alertmanager_listen=listen))
    assert made["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": [reached]}]}]


def used(item, path=""):
    """The paths of all keys that a model sets: trunks[].probe.interval."""
    if isinstance(item, list):
        return set().union(*(used(entry, f"{path}[]") for entry in item))
    if not isinstance(item, dict) or not item or path.endswith("verdicts"):
        return {path}
    return set().union(*(used(value, f"{path}.{key}".lstrip(".")) for key, value in item.items()))


def offered(options, path):
    for key, option in options.items():
        here = f"{path}.{key}"
        if "options" in option:
            yield from offered(option["options"], here + ("[]" if option["type"] == "list" else ""))
        else:
            yield here + ("[]" if option["type"] == "list" and option.get("elements") == "str" else "")


def test_everything_uses_every_option():
    found = used({key: value for key, value in load(HERE / "cases/everything").items() if key in ("trunks", "routes", "policy")})
    for key in ("trunks", "routes", "policy"):
        variable = f"siptrunk_{key}"
        wanted = set(offered(SPEC[variable]["options"], key + ("[]" if SPEC[variable]["type"] == "list" else "")))
        assert not {path for path in wanted if not any(name.startswith(path) for name in found)}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_the_order_of_the_model_changes_nothing(template):
    engine, case = template.parents[1].name, load(HERE / "cases/everything")
    turned = {**case, "trunks": case["trunks"][::-1], "routes": case["routes"][::-1]}
    assert renderer(engine, turned)(template) == renderer(engine, case)(template)


@pytest.mark.parametrize(
    ("engine", "file", "write"),
    [
        ("asterisk", "pjsip.conf", asterisk_value.asterisk_value),
        ("freeswitch", "profile.xml", freeswitch_value.freeswitch_value),
        ("sbc", "secrets.lua", lua),
    ],
)
@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_passwords_stand_in_one_file_alone(folder, engine, file, write):
    """As the engine reads them back."""
    case = load(folder)
    render = renderer(engine, case)
    files = {name: text for template in TEMPLATES if template.parents[1].name == engine for name, text in render(template).items()}
    for trunk in case["trunks"]:
        if "password" in trunk:
            assert [name for name, text in files.items() if write(trunk["password"]) in text] == [file]
            assert trunk["password"] not in json.dumps(json.loads(files["plan.json"]), ensure_ascii=False)


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_xml_is_well_formed_and_each_directive_stands_alone_on_its_line(folder):
    """FreeSWITCH's preprocessor works by line, and drops what it does not like without a word."""
    render = renderer("freeswitch", load(folder))
    for template in TEMPLATES:
        if template.stem.endswith(".xml"):
            text = render(template)[template.stem]
            ElementTree.fromstring(f"<all>{text}</all>")
            lines = [line for line in text.splitlines() if line != STARTUP]
            assert not [line for line in lines if "PRE-PROCESS" in line or "<include" in line or "<?" in line or line.count("<!--") > 1]
