# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a role renders, compared with those in cases/<name>/<engine>/, byte for byte.

A case is a model.yml: trunks, routes and policy as a user writes them, `answers`, what DNS says of
"transport name" as a list of "priority weight port host address", and `variables` of the roles.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

from ansible_collections.siptrunk.failover.plugins.plugin_utils import model, plan

HERE = Path(__file__).parent
ROLES = HERE.parents[1] / "roles"
SPEC = yaml.safe_load((ROLES / "plan/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
CASES = sorted(path.parent for path in HERE.glob("cases/*/model.yml"))
TEMPLATES = sorted(ROLES.glob("asterisk/templates/*.j2"))
# what the role learns from the host: an operator's files that clash with nothing
HOST = {
    "asterisk": {
        "__asterisk_conf": {"clashes": [], "system": False, "manager_general": True, "manager_enabled": True},
        "__asterisk_ami_password": "golden",
    }
}
HEADER = "Written by Ansible (siptrunk.failover). Changes made here are lost."


@pytest.fixture(scope="module", autouse=True)
def plugin_loader():
    """Let Ansible find the collection's filters where Python found the collection."""
    if AnsibleCollectionConfig.collection_finder is None:
        loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "ansible_collections"}
        init_plugin_loader(sys.path)
        yield
        AnsibleCollectionConfig.collection_finder._remove()
        sys.modules.update(loaded)
    else:
        yield


def answers_of(case):
    answers = {}
    for question, records in case.get("answers", {}).items():
        transport, name = question.split()
        targets = [
            {"priority": int(priority), "weight": int(weight), "port": int(port), "host": host, "address": address, "family": "ipv4"}
            for priority, weight, port, host, address in map(str.split, records)
        ]
        answers[name, transport] = {"targets": targets, "errors": []}
    return answers


def variables(engine, case):
    """The variables of the role at the time of its template tasks, in Ansible's order of precedence."""
    loader = DataLoader()
    role = {
        name: value
        for part in ("defaults", "vars")
        for name, value in loader.load_from_file(str(ROLES / engine / part / "main.yml"), trusted_as_template=True).items()
    }
    checked = model.read_model(SPEC, case["trunks"], case["routes"], case.get("policy", {}))
    compiled = plan.compile_plan(checked, role[f"__{engine}_capabilities"], answers_of(case))
    role.update(case.get("variables", {}).get(engine, {}))
    return {**role, **HOST[engine], "siptrunk_trunks": case["trunks"], "siptrunk_plan": compiled}


def render(template, available):
    """The text as the module ansible.builtin.template writes it."""
    text = trust_as_template(template.read_text(encoding="utf-8"))
    return Templar(loader=DataLoader(), variables=available).template(text, escape_backslashes=False, overrides={"trim_blocks": True})


def load(folder):
    return yaml.safe_load((folder / "model.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_rendered(folder, template, update_golden):
    engine = template.parents[1].name
    text = render(template, variables(engine, load(folder)))
    golden = folder / engine / template.stem
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(
        encoding="utf-8"
    ), f"{golden.relative_to(HERE)} differs; if that is meant, run pytest tests/golden --update-golden"
    assert HEADER in text.splitlines()[0] and text.endswith("\n")


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
    assert render(template, variables(engine, turned)) == render(template, variables(engine, case))


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_passwords_stand_in_one_file_alone(folder):
    """And in pjsip.conf as Asterisk reads them back."""
    case = load(folder)
    for trunk in case["trunks"]:
        if "password" in trunk:
            written = trunk["password"].replace(";", "\\;")
            holders = [template.stem for template in TEMPLATES if written in render(template, variables("asterisk", case))]
            assert holders == ["pjsip.conf"]
            assert trunk["password"] not in json.dumps(variables("asterisk", case)["siptrunk_plan"], ensure_ascii=False)
