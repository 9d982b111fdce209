# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role says of its variables, and what it sets them to, are one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir() if path.is_dir())
PREFIXES = {"plan": "siptrunk_"}  # the model belongs to no role

pytestmark = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path):
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def options(role):
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


def defaults(role):
    return load(role / "defaults" / "main.yml")


def public(variables):
    return {name for name in variables if not name.startswith("__")}


def walk(found, path=""):
    """(path, option) of all options, nested ones too."""
    for name, option in found.items():
        yield f"{path}{name}", option
        yield from walk(option.get("options", {}), f"{path}{name}.")


def test_defaults_and_argument_specs_agree(role):
    with_default = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert {name: value for name, value in defaults(role).items() if not name.startswith("__")} == with_default


def test_types_suit_the_defaults(role):
    """Ansible itself takes every default for what the spec says it is, and does not change it."""
    spec = {name: {**option, "required": False} for name, option in options(role).items()}
    result = ArgumentSpecValidator(spec).validate({name: value for name, value in defaults(role).items() if name in spec})
    assert result.error_messages == []
    plain = {name: value for name, value in defaults(role).items() if name in spec and "options" not in spec[name]}
    assert {name: result.validated_parameters[name] for name in plain} == plain


def test_options_are_typed_and_described(role):
    assert [path for path, option in walk(options(role)) if "type" not in option or not option.get("description")] == []


def test_nested_defaults_suit_their_types_and_choices(role):
    kinds = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict, "path": str, "raw": object}
    nested = [(path, option) for path, option in walk(options(role)) if "default" in option]
    assert [path for path, option in nested if not isinstance(option["default"], kinds[option["type"]])] == []
    assert [path for path, option in nested if "choices" in option and option["default"] not in option["choices"]] == []
    assert [path for path, option in nested if option.get("required")] == []


def test_prefix(role):
    prefix = PREFIXES.get(role.name, f"{role.name}_")
    assert [name for name in {*public(defaults(role)), *options(role)} if not name.startswith(prefix)] == []


def test_internal_variables(role):
    assert [name for path in (role / "vars").glob("*.yml") for name in load(path) if not name.startswith(f"__{role.name}_")] == []


def test_readme(role):
    text = (role / "README.md").read_text(encoding="utf-8")
    assert [name for name in options(role) if name not in text] == []
