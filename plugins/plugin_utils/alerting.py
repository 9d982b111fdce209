# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is watched, and who is told: what Prometheus and Alertmanager have to know. Plain data in and out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LOOPBACK = "127.0.0.1"
"""Where a monitor listens unless it is told otherwise; the default of monitor_listen_address."""
PORT = 9560
"""The default of monitor_port."""

ONCE = " (once)"
"""Ends the name of a doubled receiver."""

RETURN = 'alertname="SiptrunkReturn"'


def monitors(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], here: str) -> dict[str, list]:
    """How Prometheus on the host `here` reaches the monitor of each host.

    Returns {"targets": [{"host", "address"}], "unreachable": [host]}: the monitor of an unreachable host listens on its own loopback only.
    Hosts with `monitor_enabled: false` have none.
    """
    targets, unreachable = [], []
    for host in hosts:
        known = variables[host]
        if str(known.get("monitor_enabled", True)).lower() in ("false", "no", "0"):
            continue
        listen = str(known.get("monitor_listen_address", LOOPBACK))
        if host != here and (listen == "localhost" or _is(listen, "is_loopback")):
            unreachable.append(host)
            continue
        if _is(listen, "is_unspecified"):  # on all its addresses: the one that Ansible uses will do
            listen = LOOPBACK if host == here else str(known.get("ansible_host") or host)
        address = f"[{listen}]" if ":" in listen else listen
        targets.append({"host": host, "address": f"{address}:{known.get('monitor_port', PORT)}"})
    return {"targets": targets, "unreachable": unreachable}


def _is(address: str, what: str) -> bool:
    try:
        return getattr(ipaddress.ip_address(address), what)
    except ValueError:
        return False


def alertmanager(receivers: list[dict], route: dict, sections: dict) -> dict:
    """Alertmanager's configuration.

    receivers  as Alertmanager has them; the first one gets what no route says otherwise
    route      what differs in the top route, as Alertmanager has it
    sections   all else, as Alertmanager has it: `global`, `templates`, ...

    Every alert is a message of its own, sent at once. Flapping is damped before it comes here, by the monitor and the rules. What cannot be known, or
    was told more gravely, is kept back; a trunk that is down never, as a route that is down may not be one of its own. A return to the primary is an
    event that does not end, so that its receivers are doubled, without messages of the end.
    """
    usual = {"group_by": ["..."], "group_wait": "2s", "group_interval": "10s", "repeat_interval": "12h"}
    top = _with_returns({"receiver": receivers[0]["name"], **usual, **route}, "")
    doubled = set(_receivers(top))
    inhibit = [
        _inhibit(['alertname="SiptrunkMonitorGone"'], ['alertname=~"Siptrunk.+"', 'alertname!="SiptrunkMonitorGone"'], "instance"),
        _inhibit(['alertname="SiptrunkEngineGone"'], ['alertname=~"Siptrunk.+"', 'alertname!~"Siptrunk(Monitor|Engine)Gone"'], "instance"),
        _inhibit(
            ['alertname="SiptrunkCertificateExpiring"', 'severity="critical"'],
            ['alertname="SiptrunkCertificateExpiring"', 'severity="warning"'],
            *("instance", "trunk", "target"),
        ),
    ]
    return {
        **sections,
        "route": top,
        "inhibit_rules": inhibit + sections.get("inhibit_rules", []),
        "receivers": receivers + [_once(receiver) for receiver in receivers if f"{receiver['name']}{ONCE}" in doubled],
    }


def _inhibit(source: list[str], target: list[str], *equal: str) -> dict:
    return {"source_matchers": source, "target_matchers": target, "equal": list(equal)}


def _once(receiver: dict) -> dict:
    """The receiver, not told of ends."""
    quiet = {
        kind: [{**config, "send_resolved": False} for config in configs] if kind.endswith("_configs") and isinstance(configs, list) else configs
        for kind, configs in receiver.items()
    }
    return {**quiet, "name": f"{receiver['name']}{ONCE}"}


def _with_returns(route: dict, inherited: str) -> dict:
    """The route, and each below it, with a last branch that takes what it would have sent of returns."""
    receiver = route.get("receiver", inherited)
    below = [_with_returns(branch, receiver) for branch in route.get("routes") or []]
    return {**route, "routes": [*below, {"matchers": [RETURN], "receiver": f"{receiver}{ONCE}"}]}


def _receivers(route: dict) -> Iterator[str]:
    yield route.get("receiver", "")
    for branch in route.get("routes", []):
        yield from _receivers(branch)


SHORTEST = 4
"""Characters. What is shorter hides nothing, and would blot out half of a message."""
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|\'([^\']*)\'')


def without_secrets(text: str, receivers: list[dict], route: dict, sections: dict) -> str:
    """A message about this configuration without its values, any of which may be a secret, whole or in part.

    Programs quote what they cite. Of that the names of settings and of receivers stay, and what the route says.
    """
    names = {str(receiver.get("name")) for receiver in receivers} | set(_strings(route)) | set(_keys([receivers, route, sections]))
    for value in sorted(set(_strings([receivers, sections])) - names, key=len, reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return QUOTED.sub(lambda found: found[0] if next(filter(None, found.groups()), "") in names else "***", text)


def _keys(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        yield from map(str, data)
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _keys(item)


def _strings(data: Any) -> Iterator[str]:
    """All that stands in it and is no key."""
    if isinstance(data, (dict, list)):
        for item in data.values() if isinstance(data, dict) else data:
            yield from _strings(item)
    elif not isinstance(data, bool) and data is not None:
        yield str(data)
