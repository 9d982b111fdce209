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

import pytest
import yaml
from rendering import HOST, SPEC, TEMPLATES, collection_plugins, renderer

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("cases/*/model.yml"))
PLAN = next(template for template in TEMPLATES if template.stem == "plan.json")
HEADER = "Written by Ansible (siptrunk.failover). Changes made here are lost."


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
    text = renderer(engine, load(folder))(template)
    golden = folder / engine / template.stem
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(
        encoding="utf-8"
    ), f"{golden.relative_to(HERE)} differs; if that is meant, run pytest tests/golden --update-golden"
    assert (HEADER in text.splitlines()[0] or template == PLAN) and text.endswith("\n")


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_nothing_stands_in_a_case_but_what_is_rendered(folder):
    engines = {template.parents[1].name for template in TEMPLATES}
    expected = {"model.yml", *(f"{template.parents[1].name}/{template.stem}" for template in TEMPLATES)}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == expected
    assert engines == set(HOST)


def used(item, path=""):
    """The paths of all keys that a model sets: trunks[].probe.interval."""
    if isinstance(item, list):
        return set().union(*(used(entry, f"{path}[]") for entry in item))
    if not isinstance(item, dict) or path.endswith("verdicts"):
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


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_passwords_stand_in_one_file_alone(folder):
    """And in pjsip.conf as Asterisk reads them back."""
    case = load(folder)
    for trunk in case["trunks"]:
        if "password" in trunk:
            written = trunk["password"].replace(";", "\\;")
            holders = [template.stem for template in TEMPLATES if written in renderer("asterisk", case)(template)]
            assert holders == ["pjsip.conf"]
            assert trunk["password"] not in json.dumps(json.loads(renderer("asterisk", case)(PLAN)), ensure_ascii=False)
