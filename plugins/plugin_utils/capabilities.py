# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine can do, as data that the engine's role hands in. No engine is named here.

{
  "engine": str,                            for messages
  "transports": [str], "address_families": ["ipv4" | "ipv6"], "alive_on": [str],
  "features": [str],                        of FEATURES; what is not listed is refused
  "one_tls_name": bool,                     it can verify one certificate name per address and port
  "credentials": {"without": [character],   what it cannot send in a login or a password
                  "bytes": int},            the most it sends of the two together
  "options": {"of": key of a trunk's engine_options,
              "booleans": [text of false, text of true],
              "value": regular expression of a value,
              "objects": {object: [option that failover depends on, and nobody may set]}},
  "settings": {name: {"floor": seconds,     the least the engine keeps
                      "step": seconds,      its granularity; asked values are rounded up
                      "slack": seconds,     how much later than the value it may act
                      "scope": "host" | "attempt"}}
}
"""

from __future__ import annotations

import math
import re
from typing import Any

FEATURES = {
    "register": "registration",
    "register_each": "registration at every target (register: each)",
    "max_channels": "a limit of channels (max_channels)",
    "weights": "trunks that share one priority by weight",
    "emergency": "emergency routes",
    "probe_timeout": "a time-out of its own for probes (probe.timeout)",
    "realm": "an account for one digest realm alone (realm)",
    "inbound_by_contact": "calls in by the contact that an account registered",
    "tls_by_domain": "a check of the carrier's certificate against the trunk's domain",
    "tls_wildcard": "certificates for a wildcard (tls.wildcard)",
    "no_progress": "a bound of its own for a carrier that says 100 and no more (no_progress_timeout)",
}

ANYTHING: dict[str, Any] = {
    "engine": "any engine",
    "transports": ["udp", "tcp", "tls"],
    "address_families": ["ipv4", "ipv6"],
    "alive_on": ["any", "2xx"],
    "features": list(FEATURES),
    "one_tls_name": False,
    "credentials": {},
    "options": {"of": None, "objects": {}},
    "settings": {},
}


def effective(capabilities: dict[str, Any], setting: str, asked: float) -> dict[str, float]:
    """The bound as asked for, as the engine keeps it, and the latest moment it may act, in seconds."""
    limits = capabilities["settings"].get(setting, {})
    step = limits.get("step", 0)
    kept = max(asked, limits.get("floor", 0))
    if step:
        kept = round(math.ceil(round(kept / step, 6)) * step, 6)
    return {"asked": asked, "effective": kept, "latest": round(kept + limits.get("slack", 0), 6)}


def missing(capabilities: dict[str, Any], feature: str) -> str | None:
    """A sentence when the engine lacks `feature`, else None."""
    if feature in capabilities["features"]:
        return None
    return f"{capabilities['engine']} does not offer {FEATURES[feature]} yet; remove it"


def unsendable(capabilities: dict[str, Any], login: str, password: str) -> list[str]:
    """Sentences about a login and a password that the engine would send as others. They do not show the password."""
    engine, limits = capabilities["engine"], capabilities["credentials"]
    found = [
        f"{key}: {engine} cannot send '{character}' in it; choose another"
        for character in limits.get("without", [])
        for key, text in (("auth_username", login), ("password", password))
        if character in text
    ]
    size = len(login.encode()) + len(password.encode())
    if size > limits.get("bytes", size):
        found.append(f"password: with the login it is {size} bytes long, and {engine} sends at most {limits['bytes']}; choose a shorter one")
    return found


_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def engine_options(capabilities: dict[str, Any], given: dict[str, dict[str, Any]]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The options of a trunk that are this engine's, as text: {object: {option: value}}; and sentences about what it cannot take."""
    limits = capabilities["options"]
    objects, found, problems = limits["objects"], {}, []
    for name, options in sorted((given.get(limits["of"]) or {}).items()):
        where = f"engine_options: {limits['of']}: {name}"
        if name not in objects:
            known = f"expected {' or '.join(sorted(objects))}" if objects else f"{capabilities['engine']} offers none yet; remove it"
            problems.append(f"{where}: {known}")
        elif not isinstance(options, dict):
            problems.append(f"{where}: expected a mapping of options")
        else:
            found[name] = {str(option): _text(limits, value) for option, value in sorted(options.items(), key=str)}
            problems.extend(f"{where}: {problem}" for option, value in found[name].items() if (problem := _refused(limits, name, option, value)))
    return found, problems


def _text(limits: dict[str, Any], value: Any) -> str:
    return limits["booleans"][value] if isinstance(value, bool) else str(value) if isinstance(value, (str, int, float)) else ""


def _refused(limits: dict[str, Any], name: str, option: str, value: str) -> str | None:
    if not _OPTION.fullmatch(option):
        return f"'{option}': expected the name of an option"
    if option.lower() in limits["objects"][name]:
        return f"{option}: failover depends on it; remove it"
    if not re.fullmatch(limits["value"], value):
        return f"{option}: expected a text without line breaks or characters that the engine takes for its own"
    return None
