# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that the role of the engine has deployed, as far as the monitor needs it."""

from __future__ import annotations

import json
import os

from ansible_collections.siptrunk.failover.plugins.module_utils import trunk


def read(path):
    """(trunks as ``trunk.parse_plan`` gives them, [{name, emergency, groups: [[trunk name]]}]). Errors: ValueError, OSError."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("plan: %s is not a regular file" % path)
    with open(path, "rb") as stream:
        data = stream.read(trunk.MAX_PLAN + 1)
    try:
        trunks = trunk.parse_plan(data)
        return trunks, _routes(json.loads(data.decode("utf-8")), {item["name"] for item in trunks})
    except ValueError as exc:
        raise ValueError("plan: %s: %s; deploy again to have it written anew" % (path, exc)) from None


def _routes(plan, names):
    try:
        routes = [{"name": str(route["name"]), "emergency": route.get("emergency") is True,
                   "groups": [[str(member["name"]) for member in group] for group in route["trunks"]]} for route in plan["routes"]]
    except (KeyError, TypeError):
        raise ValueError("routes: expected a list of routes, each with a name and groups of trunks") from None
    for route in routes:
        if not route["groups"] or not all(route["groups"]) or not {name for group in route["groups"] for name in group} <= names:
            raise ValueError("routes: %s has a group without trunks, or a trunk that is none" % ascii(route["name"]))
    return routes


def identity(path):
    """What changes when the file does; None while there is none. Links are followed: a release is activated by a link."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
