# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route of the plan as a table of Lua, for the engines whose hunt is written in it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import groupby
from typing import Any

from ansible_collections.siptrunk.failover.plugins.plugin_utils.verdicts import compact

_SHORT = 100
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset("and break do else elseif end false for function goto if in local nil not or repeat return then true until while".split())
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 _.,:/@+*#()-]")


def lua(value, indent=0):
    """A Lua literal of plain data: dict, list, str, int, float, bool."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(int(value)) if float(value).is_integer() else repr(value)
    if isinstance(value, str):
        # all but letters, digits and a few others by number: no quoting, no line break, no "$" to be replaced
        return f'"{_NOT_PLAIN.sub(lambda match: "".join(f"{chr(92)}{byte:03d}" for byte in match.group().encode()), value)}"'
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        entries = [f"{_key(key)} = {lua(item, indent + 2)}" for key, item in value.items()]
    else:
        entries = [lua(item, indent + 2) for item in value]
    if len(", ".join(entries)) < _SHORT and not any("\n" in entry for entry in entries):
        return "{" + ", ".join(entries) + "}"
    return "{\n" + "".join(f"{pad}{entry},\n" for entry in entries) + " " * indent + "}"


def _key(name):
    """A trunk may be named as a word of Lua's own."""
    return name if _NAME.fullmatch(name) and name not in _RESERVED else f"[{lua(name)}]"


def route_table(
    route: dict[str, Any],
    plan: dict[str, Any],
    more: dict[str, Any],
    of_trunk: Callable[[dict], dict],
    of_target: Callable[[dict, dict], dict] = lambda _trunk, _target: {},
) -> dict[str, Any]:
    """All that a call of this route needs to know, in the plan's own words.

    `more` is what the engine's hunt is to know besides; of_trunk(trunk) and of_target(trunk, target) what it is to know of each.
    """
    trunks = {trunk["name"]: trunk for trunk in plan["trunks"]}
    attempts = {attempt["target"]: attempt for attempt in route["attempts"]}
    members = [member["name"] for group in route["trunks"] for member in group]
    return {
        **{key: route[key] for key in ("emergency", "max_attempts", "max_targets", "hunt_after_ringing")},
        "cool_down": math.ceil(route["cool_down"]),
        **more,
        "trunks": route["trunks"],
        "plan": {name: _trunk(trunks[name], attempts, of_trunk, of_target) for name in members},
        "verdicts": {name: dict(compact(plan["verdicts"][name])) for name in sorted({attempt["verdicts"] for attempt in route["attempts"]})},
    }


def _trunk(trunk, attempts, of_trunk, of_target):
    def target(found):
        attempt = attempts[found["id"]]
        return {
            **{key: found[key] for key in ("id", "address", "port", "weight")},
            "mark": f"{found['address']}_{found['port']}_{trunk['transport']}",
            "probed": trunk["probe"]["interval"] > 0,
            "bounds": {name: {"effective": bound["effective"]} for name, bound in attempt["bounds"].items()},
            "verdicts": attempt["verdicts"],
            **of_target(trunk, found),
        }

    return {
        "name": trunk["name"],
        "caller_id": trunk["caller_id"] or "",
        **of_trunk(trunk),
        "digits": trunk["digits"],
        "max_channels": trunk["max_channels"],
        "targets": [[target(found) for found in group] for _priority, group in groupby(trunk["targets"], key=lambda found: found["priority"])],
    }
