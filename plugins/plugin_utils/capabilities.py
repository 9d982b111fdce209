# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine can do, as data that the engine's role hands in. No engine is named here.

{
  "engine": str,                            for messages
  "transports": [str], "address_families": ["ipv4" | "ipv6"], "alive_on": [str],
  "features": [str],                        of FEATURES; what is not listed is refused
  "credentials": {"without": [character],   what it cannot send in a login or a password
                  "bytes": int},            the most it sends of the two together
  "settings": {name: {"floor": seconds,     the least the engine keeps
                      "step": seconds,      its granularity; asked values are rounded up
                      "slack": seconds,     how much later than the value it may act
                      "scope": "host" | "attempt"}}
}
"""

from __future__ import annotations

import math
from typing import Any

FEATURES = {
    "register": "registration",
    "register_each": "registration at every target (register: each)",
    "max_channels": "a limit of channels (max_channels)",
    "weights": "trunks that share one priority by weight",
    "emergency": "emergency routes",
    "probe_timeout": "a time-out of its own for probes (probe.timeout)",
    "realm": "an account for one digest realm alone (realm)",
    "no_progress": "a bound of its own for a carrier that says 100 and no more (no_progress_timeout)",
}

ANYTHING: dict[str, Any] = {
    "engine": "any engine",
    "transports": ["udp", "tcp", "tls"],
    "address_families": ["ipv4", "ipv6"],
    "alive_on": ["any", "2xx"],
    "features": list(FEATURES),
    "credentials": {},
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
