# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the trunks of the plan stand, in the same words whatever the engine.

``look(trunks, seen)`` joins the plan with what a reader saw of the engine; it is pure. ``seen`` is a dict:

``probes``         {target id: (one of ``PROBES``, round trip in ms or None)}, with every target that the engine has
``marks``          {mark: epoch second until which it holds}, as ``marks.read`` tells them
``drained``        {trunk name: {"by", "at", "why"}}, each a str or None
``channels``       {trunk name: legs up}
``registrations``  as ``registration`` describes them

The readers of the engines are in ``trunk_asterisk``, ``trunk_freeswitch`` and ``trunk_sbc``.
"""

from __future__ import annotations

import json
import os
import re
import time

from ansible_collections.siptrunk.failover.plugins.module_utils import marks, registration

ALIVE = "alive"
DEAD = "dead"
UNKNOWN = "unknown"
OFF = "off"
PROBES = (ALIVE, DEAD, UNKNOWN, OFF)

# Far more than the plan of a thousand trunks.
MAX_PLAN = 16 * 1024 * 1024

# The family of the drain marks in Asterisk, their realm in FreeSWITCH.
DRAINED = "siptrunk_drained"

_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z

# What goes into questions to the engine is matched in full: a plan that was tampered with asks for nothing else.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_TARGET = re.compile(r"[a-z][a-z0-9-]{0,30}\.[0-9]{1,9}")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")


def _is_int(lowest, highest):
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def _is_match(*patterns):
    return lambda value: isinstance(value, str) and any(pattern.fullmatch(value) for pattern in patterns)


def _is_text(value):
    return value is None or isinstance(value, str)


def _is_seconds(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


# {key: (what the value has to be, in words)}; a dict or a list with one dict in it stands for itself.
_TARGET_SHAPE = {
    "id": (_is_match(_TARGET), "the name of a trunk, a dot and a number"),
    "host": (_is_text, "a text or null"),
    "address": (_is_match(_ADDRESS), "an address"),
    "port": (_is_int(1, 65535), "a port"),
}
_TRUNK_SHAPE = {
    "name": (_is_match(_NAME), "the name of a trunk"),
    "carrier": (_is_text, "a text or null"),
    "site": (_is_text, "a text or null"),
    "transport": (lambda value: value in ("udp", "tcp", "tls"), "udp, tcp or tls"),
    "max_channels": (_is_int(0, 10**9), "a number of channels"),
    "probe": {"interval": (_is_seconds, "a number of seconds")},
    "targets": [_TARGET_SHAPE],
    "registrations": [{"name": (_is_match(_NAME, _TARGET), "the name of a registration")}],
}
_PLAN_SHAPE = {"trunks": [_TRUNK_SHAPE]}
_MEMBER_SHAPE = {"name": (_is_match(_NAME), "the name of a trunk")}
_ROUTE_SHAPE = {
    "name": (_is_match(_NAME), "the name of a route"),
    "emergency": (lambda value: isinstance(value, bool), "true or false"),
    "trunks": [[_MEMBER_SHAPE]],
}


def read_plan(path, engine, parse=None):
    """The trunks of the plan in a file, where the role of the engine has put it; or what ``parse`` makes of it.

    Errors: ValueError that names the file, and what is wrong in it.
    """
    try:
        # Opening a pipe or a device might never end.
        if os.path.exists(path) and not os.path.isfile(path):
            raise ValueError("not a regular file")
        with open(path, "rb") as stream:
            data = stream.read(MAX_PLAN + 1)
        return (parse or parse_plan)(data)
    except FileNotFoundError:
        raise ValueError("plan: %s does not exist; the role siptrunk.failover.%s writes the plan when it deploys" % (path, engine)) from None
    except OSError as exc:
        raise ValueError("plan: %s" % exc) from None
    except ValueError as exc:
        raise ValueError("plan: %s: %s; deploy again to have it written anew" % (path, exc)) from None


def parse_plan(data):
    """The trunks of the plan, a list of dicts as plan.py documents, from its JSON in bytes.

    What ``look`` and the readers use of it is there and has its type. Errors: ValueError that names the first that is not.
    """
    return _checked(data, _PLAN_SHAPE)["trunks"]


def parse_routed_plan(data):
    """(trunks, routes) of the plan, as ``parse_plan``; of a route its name, its trunks' names and whether it is for emergencies are there."""
    plan = _checked(data, {**_PLAN_SHAPE, "routes": [_ROUTE_SHAPE]})
    return plan["trunks"], plan["routes"]


def _checked(data, shape):
    """The plan from its JSON in bytes. Errors: ValueError."""
    if len(data) > MAX_PLAN:
        raise ValueError("longer than %d bytes" % MAX_PLAN)
    try:
        plan = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise ValueError("not UTF-8 at byte %d" % exc.start) from None
    except RecursionError:
        raise ValueError("not a plan: nested too deeply") from None
    except ValueError as exc:
        raise ValueError("not JSON: %s" % exc) from None
    _check(plan, shape, "")
    return plan


def _check(value, shape, where):
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise ValueError("%s: expected a mapping" % (where or "the whole"))
        for key, inner in shape.items():
            place = "%s.%s" % (where, key) if where else key
            if key not in value:
                raise ValueError("%s: missing" % place)
            _check(value[key], inner, place)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ValueError("%s: expected a list" % where)
        for index, item in enumerate(value):
            _check(item, shape[0], "%s[%d]" % (where, index))
    else:
        fits, expected = shape
        if not fits(value):
            raise ValueError("%s: expected %s" % (where, expected))


def select(trunks, names=()):
    """Those of the plan's trunks that have one of the ``names``, if any are given.

    Errors: ValueError that names what does not exist and lists what does.
    """
    present = sorted({trunk["name"] for trunk in trunks})
    unknown = [name for name in names if name not in present]
    if unknown:
        raise ValueError("no trunk of the plan is named: %s. Those that exist: %s" % (", ".join(unknown), ", ".join(present) or "none"))
    return [trunk for trunk in trunks if not names or trunk["name"] in names]


def look(trunks, seen):
    """{"trunks": how each trunk of the plan stands, sorted by name; "missing": ids of the targets that the engine lacks}."""
    return {
        "trunks": sorted((_trunk(trunk, seen) for trunk in trunks), key=lambda found: found["name"]),
        "missing": [target["id"] for trunk in trunks for target in trunk["targets"] if target["id"] not in seen["probes"]],
    }


def _trunk(trunk, seen):
    name = trunk["name"]
    targets = [_target(target, trunk, seen) for target in trunk["targets"]]
    own = [item for item in seen["registrations"] if item["trunk"] == name]
    states = {item["name"]: item["state"] for item in own}
    channels = seen["channels"].get(name, 0)
    limit = trunk["max_channels"]
    closed, trial = (_moment(seen, kind, name) for kind in (marks.CLOSED, marks.TRIAL))
    return {
        "name": name,
        "carrier": trunk["carrier"],
        "site": trunk["site"],
        "transport": trunk["transport"],
        "up": closed is None and trial is None and any(_is_asked(target, seen) for target in targets),
        "closed_until": closed,
        "trial_until": trial,
        "drained": seen["drained"].get(name),
        "channels": channels,
        "channels_limit": limit,
        "full": 0 < limit <= channels,
        "registered": all(states.get(item["name"]) == registration.REGISTERED for item in trunk["registrations"]) if trunk["registrations"] else None,
        "registrations": own,
        "targets": targets,
    }


def _target(target, trunk, seen):
    probe, rtt = seen["probes"].get(target["id"], (UNKNOWN, None))
    name = marks.target_name(target["address"], target["port"], trunk["transport"])
    return {
        **{key: target[key] for key in ("id", "host", "address", "port")},
        **({"probe": OFF, "rtt_ms": None} if trunk["probe"]["interval"] == 0 else {"probe": probe, "rtt_ms": rtt}),
        "cooling_until": _moment(seen, marks.COOL, name),
        "held_until": _moment(seen, marks.HELD, name),
    }


def _moment(seen, kind, name):
    until = seen["marks"].get((kind, name))
    return None if until is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(until, _LAST_SECOND)))


def _is_asked(target, seen):
    """Whether the next call would ask this target in its turn: it is there, and no mark passes it over."""
    return target["id"] in seen["probes"] and target["probe"] != DEAD and target["cooling_until"] is None and target["held_until"] is None


def drain_mark(text):
    """{"by", "at", "why"} from the value of a drain mark: JSON, or whatever somebody wrote there by hand as the reason."""
    try:
        mark = json.loads(text)
    except (ValueError, RecursionError):
        mark = None
    if not isinstance(mark, dict):
        return {"by": None, "at": None, "why": text}
    return {key: mark[key] if isinstance(mark.get(key), str) else None for key in ("by", "at", "why")}
