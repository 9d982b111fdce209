# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine templates over plain data, by Jinja2 alone.

Ansible's own templating looks at each value whether it is a template itself, which takes ten times as long: for a
thousand trunks, most of a deployment. Nothing in the plan is a template, and nothing here makes it one.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

COLLECTION = "siptrunk.failover"
_FILTERS = Path(__file__).parents[1] / "filter"


@functools.cache
def _filters() -> dict[str, Callable[..., Any]]:
    """The collection's filters, by full name."""
    modules = [importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.filter.{path.stem}") for path in sorted(_FILTERS.glob("*.py"))]
    return {f"{COLLECTION}.{name}": function for module in modules for name, function in module.FilterModule().filters().items()}


def render(template: Path, plan: dict[str, Any], variables: dict[str, Any]) -> str:
    """The text of a template, which sees the plan as `siptrunk_plan`, its trunks by name as `trunks`, and the variables.

    An undefined variable is an error (jinja2.UndefinedError).
    """
    environment = jinja2.Environment(  # noqa: S701 (no HTML)
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(template.parent)
    )
    environment.filters.update(_filters())
    return environment.get_template(template.name).render(
        {**variables, "siptrunk_plan": plan, "trunks": {trunk["name"]: trunk for trunk in plan["trunks"]}}
    )


def render_each(template: Path, plan: dict[str, Any], variables: dict[str, Any], key: str) -> dict[str, str]:
    """The texts of a template for each entry of a list of the plan, seen as `item`, by file name: route.lua.j2 gives route-NAME.lua."""
    kind, ending = template.stem.split(".", 1)
    return {f"{kind}-{item['name']}.{ending}": render(template, plan, {**variables, "item": item}) for item in plan[key]}
