# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan compiler: model, capabilities and DNS answers in; the plan out. Pure and deterministic.

The plan is all an engine needs, without the passwords:

{
  "trunks":   [{name, carrier, site, transport, domain, account, from_user, from_domain,
                caller_id, identity: {asserted}, tls: {wildcard}, options: {object: {option: value}}, codecs, digits,
                inbound: {from, context, contacts: [{user, trunk, context}]}, max_channels, probe,
                targets: [{id, host, address, port, priority, weight, family,
                           proves: [names, over TLS]}],
                registrations: [a target, and its name]}],
  "routes":   [{name, match: [{pattern, regex}], emergency, trunks: [[{name, weight}]],
                max_attempts, max_targets, cool_down, hunt_after_ringing,
                attempts: [{trunk, target, bounds, verdicts}],
                worst_post_dial_delay: {seconds, sum}}],
  "numbers":  [{pattern, regex, route}],    of all routes, the most specific first
  "verdicts": {table name: {code or outcome: verdict}},
  "no_response_timeout": {asked, effective, latest},      one per host
  "notes": [str],
}

An attempt's bounds are {"silence", "progress", "ring"}, each {"asked", "effective", "latest"} in
seconds from the INVITE; its "verdicts" names a table that holds every code from 300 to 699.
Targets stand in the order of RFC 2782 without its draw: priority, weight descending, host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

from ansible_collections.siptrunk.failover.plugins.plugin_utils import addresses, patterns, verdicts
from ansible_collections.siptrunk.failover.plugins.plugin_utils import capabilities as can
from ansible_collections.siptrunk.failover.plugins.plugin_utils.model import ModelError

# A user part that every engine's dialplan takes as it stands.
_CONTACT = re.compile(r"[A-Za-z0-9+.][A-Za-z0-9+._-]*")

DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}

Question = tuple[str, str]
"""(name or name:port, transport) to be resolved as RFC 3263 says."""


KEYS = ("trunks", "routes", "numbers", "verdicts", "no_response_timeout", "notes")
"""What a plan is made of."""


def questions(model: dict[str, Any]) -> list[Question]:
    """What has to be resolved before the model can be compiled, sorted; addresses are left out."""
    return sorted({(name, trunk["transport"]) for trunk in model["trunks"] for name in _names(trunk) if not addresses.split_address(name)})


def compile_plan(
    model: dict[str, Any],
    capabilities: dict[str, Any] | None,
    answers: dict[Question, dict[str, Any]],
    hunts: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Compile the model (see model.read_model) for an engine of these capabilities.

    `answers` holds a result of the module srv_info for each of questions(); `hunts`, by the name of each trunk
    that leads to SBCs of ours, the seconds for which those may hunt (longest_hunt). Raises ModelError with all that is wrong.
    """
    capabilities = can.ANYTHING if capabilities is None else {**can.ANYTHING, **capabilities}
    no_response_timeout = can.effective(capabilities, "no_response_timeout", model["policy"]["no_response_timeout"])
    problems: list[str] = []
    warnings: list[str] = []
    tables = _Tables()

    # by name, so that the order in which the user wrote them changes nothing, not even the names of tables
    settings = [_before_sbcs(trunk, hunts or {}, problems) for trunk in sorted(model["trunks"], key=lambda trunk: trunk["name"])]
    trunks = [_trunk(trunk, no_response_timeout["effective"], capabilities, answers, problems, warnings) for trunk in settings]
    if capabilities["one_tls_name"]:
        _choose_tls_names(trunks, settings, capabilities["engine"], problems, warnings)
    by_name = {trunk["name"]: (trunk, given) for trunk, given in zip(trunks, settings, strict=True)}
    in_order = sorted(model["routes"], key=lambda route: route["name"])
    routes = [_route(route, by_name, model["policy"], capabilities, tables, problems, warnings) for route in in_order]
    if problems:
        raise ModelError(problems)
    warnings[:0] = [f"siptrunk_policy: {doubt}" for doubt in verdicts.doubts(model["policy"]["verdicts"])]
    unused = sorted(set(by_name) - {member["name"] for route in routes for group in route["trunks"] for member in group})
    if lack := can.missing(capabilities, "no_progress"):
        warnings.append(f"{lack.partition(';')[0]}: ring_timeout bounds it")
    if len(unused) == 1:
        warnings.append(f"trunk '{unused[0]}' stands in no route: no call leaves through it")
    elif unused:
        warnings.append(f"{len(unused)} trunks stand in no route, so that no call leaves through them: {', '.join(unused)}")
    warnings.extend(_claim_inbound(trunks, capabilities))
    return dict(zip(KEYS, (trunks, routes, _numbers(routes), tables.by_name, no_response_timeout, warnings), strict=True))


def longest_hunt(model: dict[str, Any], capabilities: dict[str, Any]) -> float:
    """Seconds after which the engine has told the caller what came of it, at the latest, unless it rings: the longest of all routes.

    Nothing is resolved for it: a name counts with as many targets as may be asked.
    """
    capabilities = {**can.ANYTHING, **capabilities}
    by_name = {trunk["name"]: trunk for trunk in model["trunks"]}
    policy = model["policy"]

    def longest(route: dict[str, Any]) -> float:
        seconds = 0.0
        for trunk in (by_name[member["name"]] for group in route["trunks"] for member in group):
            chosen = _choice(trunk, route, policy)
            bounds = _bounds(capabilities, chosen, policy["no_response_timeout"])
            most = chosen("max_targets")
            known = [addresses.is_address(server["host"]) for server in trunk["servers"] or []]
            seconds += (min(most, len(known)) if known and all(known) else most) * bounds["progress"]["latest"]
        return seconds

    return round(max(longest(route) for route in model["routes"]), 3)


# --- trunks ------------------------------------------------------------------------------


# What an SBC of ours answers when it has asked everyone: nobody else is to be asked. That it is unwell it says by 503.
_SBC_VERDICTS = {500: verdicts.FINAL, "no_progress": verdicts.FINAL}
_SBC_TELLS = ("404", "410", "480", "484", "500")  # of these and what is always final
_SBC_MARGIN = 1  # second


def _before_sbcs(trunk: dict[str, Any], hunts: dict[str, float], problems: list[str]) -> dict[str, Any]:
    """The trunk's settings, with bounds and verdicts that let SBCs of ours hunt."""
    if trunk["name"] not in hunts:
        return trunk
    least = hunts[trunk["name"]] + _SBC_MARGIN
    asked = trunk["no_progress_timeout"]
    if asked is not None and asked < least:
        problems.append(
            f"trunk '{trunk['name']}': no_progress_timeout {asked:g}: the SBCs behind it may hunt for {hunts[trunk['name']]:g} seconds; "
            f"remove it, or give at least {least:g}"
        )
    return {**trunk, "no_progress_timeout": asked or least, "verdicts": {**_SBC_VERDICTS, **trunk["verdicts"]}}


def _trunk(
    trunk: dict[str, Any],
    no_response_timeout: float,
    capabilities: dict[str, Any],
    answers: dict[Question, dict[str, Any]],
    problems: list[str],
    warnings: list[str],
) -> dict[str, Any]:
    where = f"trunk '{trunk['name']}'"
    if trunk["transport"] not in capabilities["transports"]:
        problems.append(f"{where}: {capabilities['engine']} offers the transports {', '.join(capabilities['transports'])}, not {trunk['transport']}")
    if trunk["probe"]["alive_on"] not in capabilities["alive_on"]:
        problems.append(
            f"{where}: probe: {capabilities['engine']} takes a target for alive on {' or '.join(capabilities['alive_on'])}, "
            f"not on {trunk['probe']['alive_on']}"
        )
    needs = [("register", trunk["register"]), ("register_each", trunk["register"] == "each"), ("max_channels", trunk["max_channels"])]
    needs += [("realm", trunk["realm"]), ("tls_wildcard", trunk["tls"]["wildcard"])]
    problems.extend(f"{where}: {lack}" for feature, used in needs if used and (lack := can.missing(capabilities, feature)))
    if trunk["password"]:
        login = trunk["auth_username"] or trunk["username"]
        problems.extend(f"{where}: {problem}" for problem in can.unsendable(capabilities, login, trunk["password"]))

    warnings.extend(f"{where}: {doubt}" for doubt in verdicts.doubts(trunk["verdicts"]))
    options, refused = can.engine_options(capabilities, trunk["engine_options"])
    problems.extend(f"{where}: {problem}" for problem in refused)
    targets = _targets(trunk, capabilities, answers, where, problems, warnings)
    interval = trunk["probe"]["interval"]
    domain = (trunk["domain"] or "").rstrip(".") or None
    return {
        **{key: trunk[key] for key in ("name", "carrier", "site", "transport", "from_user", "caller_id")},
        **{key: trunk[key] for key in ("codecs", "digits", "max_channels", "identity")},
        "tls": {"wildcard": trunk["tls"]["wildcard"]},
        "options": options,
        "domain": domain,
        "from_domain": trunk["from_domain"] or (domain and addresses.host_of(domain)),
        "account": trunk["username"]
        and {"username": trunk["username"], "auth_username": trunk["auth_username"] or trunk["username"], "realm": trunk["realm"]},
        "inbound": {"from": [*trunk["inbound_from"], *(target["address"] for target in targets)], "context": trunk["inbound_context"]},
        "probe": {
            "interval": can.effective(capabilities, "probe_interval", interval)["effective"] if interval else 0,
            "timeout": no_response_timeout
            if can.missing(capabilities, "probe_timeout")
            else can.effective(capabilities, "probe_timeout", trunk["probe"]["timeout"])["effective"],
            "alive_on": trunk["probe"]["alive_on"],
        },
        "targets": targets,
        "registrations": _registrations(trunk, targets),
    }


def _registrations(trunk: dict[str, Any], targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where the account registers: at the first target under the trunk's name, or at each under the target's."""
    if trunk["register"] == "each":
        return [{"name": target["id"], **target} for target in targets]
    return [{"name": trunk["name"], **target} for target in targets[:1]] if trunk["register"] else []


def _names(trunk: dict[str, Any]) -> list[str]:
    """What stands for the trunk in DNS, each as RFC 3263 takes it: a name, or name:port."""
    if trunk["domain"]:
        return [trunk["domain"]]
    return [f"{server['host']}:{_port(server, trunk)}" if not addresses.is_address(server["host"]) else server["host"] for server in trunk["servers"]]


def _targets(
    trunk: dict[str, Any],
    capabilities: dict[str, Any],
    answers: dict[Question, dict[str, Any]],
    where: str,
    problems: list[str],
    warnings: list[str],
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for index, name in enumerate(_names(trunk)):
        server = trunk["servers"][index] if trunk["servers"] else None
        if literal := addresses.split_address(name):
            host, port = literal
            port = port or (_port(server, trunk) if server else DEFAULT_PORTS[trunk["transport"]])
            answer = {"targets": [{"host": host, "address": host, "port": port, "priority": 0, "weight": 0}], "errors": []}
        else:
            answer = answers[name, trunk["transport"]]
        said = "; ".join(error["message"] for error in answer["errors"])
        if not answer["targets"]:
            problems.append(f"{where}: {'server' if server else 'domain'} '{name}' leads to no address: {said}; correct the name, or give servers")
        elif said:
            warnings.append(f"{where}: '{name}' resolves in part: {said}")
        for target in answer["targets"]:
            found.append({**target, **({"priority": server["priority"], "weight": server["weight"]} if server else {})})

    usable = [target for target in found if addresses.family(target["address"]) in capabilities["address_families"]]
    if found and not usable:
        families = " and ".join(capabilities["address_families"])
        problems.append(f"{where}: none of its addresses is {families}, which is what {capabilities['engine']} uses; give servers with such addresses")
    usable.sort(key=lambda t: (t["priority"], -t["weight"], t["host"], addresses.sort_key(t["address"]), t["port"]))
    domain = trunk["domain"] and addresses.host_of(trunk["domain"].rstrip("."))
    if trunk["transport"] == "tls" and domain:
        _check_names(domain, trunk["tls"]["names"], sorted({target["host"] for target in usable}), capabilities, where, problems, warnings)
    unique = {(target["address"], target["port"]): target for target in reversed(usable)}
    ordered = [target for target in usable if unique[target["address"], target["port"]] is target]
    return [
        {
            "id": f"{trunk['name']}.{number}",
            "host": target["host"],
            "address": target["address"],
            "port": target["port"],
            "priority": target["priority"],
            "weight": target["weight"],
            "family": addresses.family(target["address"]),
            "proves": sorted({(domain or target["host"]).lower(), *(name.lower().rstrip(".") for name in trunk["tls"]["names"])})
            if trunk["transport"] == "tls"
            else [],
        }
        for number, target in enumerate(ordered, start=1)
    ]


def _check_names(
    domain: str, names: list[str], hosts: list[str], capabilities: dict[str, Any], where: str, problems: list[str], warnings: list[str]
) -> None:
    """Whoever forges a DNS answer can name a host with a good certificate of its own: only what the user configured is to be proved (RFC 5922)."""
    known = {name.lower().rstrip(".") for name in names}
    for host in hosts:
        if host.lower() == domain.lower() or host.lower().endswith("." + domain.lower()) or host.lower() in known:
            continue
        if can.missing(capabilities, "tls_by_domain"):
            problems.append(
                f"{where}: DNS leads from '{domain}' to '{host}', and {capabilities['engine']} checks a certificate against that host; "
                f"where the carrier's documents name it, add it to tls: names"
            )
        else:
            proves = [domain] if capabilities["one_tls_name"] else sorted({domain, *names})
            warnings.append(f"{where}: DNS leads from '{domain}' to '{host}', whose certificate must be for {' or '.join(proves)}")


def _choose_tls_names(
    trunks: list[dict[str, Any]], settings: list[dict[str, Any]], engine: str, problems: list[str], warnings: list[str]
) -> None:
    """Leave one name to prove at each address and port: the target's host where the user gave it, else the domain, else the first listed."""
    there: dict[tuple[str, int], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for trunk in trunks:
        for target in trunk["targets"]:
            if target["proves"]:
                there.setdefault((target["address"], target["port"]), []).append((trunk, target))
    for (address, port), pairs in sorted(there.items()):
        common = set.intersection(*(set(target["proves"]) for _trunk, target in pairs))
        if not common:
            names = "; ".join(f"'{trunk['name']}': {', '.join(target['proves'])}" for trunk, target in pairs)
            problems.append(
                f"trunks at {address}:{port} over TLS accept no common certificate name ({names}), and {engine} can verify one name for each "
                f"address and port; add one name of the carrier's certificate to tls: names of each of them"
            )
            continue
        wanted = [target["host"].lower() for _trunk, target in pairs] + [addresses.host_of(trunk["domain"] or "").lower() for trunk, _target in pairs]
        listed = [name.lower().rstrip(".") for trunk in settings for name in trunk["tls"]["names"]]
        name = next(name for name in [*wanted, *listed, *sorted(common)] if name in common)
        for trunk, target in pairs:
            if len(target["proves"]) > 1:
                warnings.append(f"trunk '{trunk['name']}': {engine} accepts only a certificate for '{name}' at {address}:{port}, none for its other names")
            target["proves"][:] = [name]  # of the registration at this target, too


def _claim_inbound(trunks: list[dict[str, Any]], capabilities: dict[str, Any]) -> Iterable[str]:
    """Let each source address belong to one trunk; say which trunks had to share.

    A carrier sends a registered account's calls to the contact that registered, which tells two accounts at one address apart.
    """
    claims = addresses.Claims()
    by_name = {trunk["name"]: trunk for trunk in trunks}
    by_contact = not can.missing(capabilities, "inbound_by_contact")
    for trunk in trunks:
        trunk["inbound"]["contacts"] = []
        trunk["inbound"]["from"], shared = claims.claim(trunk["name"], trunk["inbound"]["from"])
        for name, networks in sorted(shared.items()):
            user = trunk["account"]["username"] if trunk["registrations"] else ""
            known = {contact["user"] for contact in by_name[name]["inbound"]["contacts"]} | {(by_name[name]["account"] or {}).get("username")}
            if by_contact and _CONTACT.fullmatch(user) and user not in known:
                contact = {"user": user, "trunk": trunk["name"], "context": trunk["inbound"]["context"]}
                by_name[name]["inbound"]["contacts"].append(contact)
                others = f"those to the contact '{user}' count as '{trunk['name']}', all others as '{name}'"
                yield f"trunks '{name}' and '{trunk['name']}' both receive calls from {', '.join(networks)}: {others}"
                continue
            yield f"trunks '{name}' and '{trunk['name']}' both receive calls from {', '.join(networks)}: those calls count as '{name}'"


# --- routes ------------------------------------------------------------------------------


def _route(
    route: dict[str, Any],
    trunks: dict[str, tuple[dict[str, Any], dict[str, Any]]],
    policy: dict[str, Any],
    capabilities: dict[str, Any],
    tables: _Tables,
    problems: list[str],
    warnings: list[str],
) -> dict[str, Any]:
    where = f"route '{route['name']}'"
    members = [member["name"] for group in route["trunks"] for member in group]

    chosen = _choice(route, policy)
    needs = [("weights", any(len(group) > 1 for group in route["trunks"])), ("emergency", route["emergency"])]
    problems.extend(f"{where}: {lack}" for feature, used in needs if used and (lack := can.missing(capabilities, feature)))

    emergency = route["emergency"]
    max_attempts = len(members) if emergency else chosen("max_attempts")
    if len(members) > max_attempts:
        problems.append(
            f"{where}: it lists {len(members)} trunks, but max_attempts is {max_attempts}, so '{members[max_attempts]}' might never be asked; "
            f"raise max_attempts, or remove a trunk"
        )
    plan = {
        "name": route["name"],
        "match": _match(route),
        "emergency": emergency,
        "trunks": route["trunks"],
        "max_attempts": max_attempts,
        "max_targets": chosen("max_targets"),
        "cool_down": chosen("cool_down"),
        "hunt_after_ringing": chosen("hunt_after_ringing"),
        "attempts": [],
    }
    costs = {}
    for name in members:
        trunk, settings = trunks[name]
        bounds = _bounds(capabilities, _choice(settings, route, policy), policy["no_response_timeout"], hunted=bool(settings["sbcs"]))
        # policy and route speak of carriers; those of an SBC's trunk have been asked when it answers
        overrides = [] if settings["sbcs"] else [policy["verdicts"], route["verdicts"]]
        table = tables.name_of(*overrides, settings["verdicts"])
        at_once = bool(settings["sbcs"]) and all(tables.by_name[table][code] == verdicts.FINAL for code in _SBC_TELLS)
        plan["attempts"] += [{"trunk": name, "target": target["id"], "bounds": bounds, "verdicts": table} for target in trunk["targets"]]
        asked = min(len(trunk["targets"]), plan["max_targets"])
        costs[name] = (asked, _step(bounds, tables.by_name[table], plan["hunt_after_ringing"], at_once))
        _check_strip(route["match"], trunk, where, problems, warnings)
    plan["worst_post_dial_delay"] = _worst(costs)
    bound = "ring_timeout" if can.missing(capabilities, "no_progress") else "no_progress_timeout"
    _check_worst(plan, chosen("max_post_dial_delay"), bound, where, problems, warnings)
    warnings.extend(f"{where}: {doubt}" for doubt in verdicts.doubts(route["verdicts"]))
    warnings.extend(f"{where}: {fate}" for fate in _shared_fate([trunks[name][0] for name in members]))
    return plan


def _check_strip(match: list[str], trunk: dict[str, Any], where: str, problems: list[str], warnings: list[str]) -> None:
    """A trunk must leave digits to dial of the numbers that a route brings it."""
    strip, prepend = trunk["digits"]["strip"], trunk["digits"]["prepend"]
    for pattern in match if strip else []:
        positions = patterns.parse(pattern)
        shortest = len(positions) - (positions[-1] == "!")
        if shortest > strip or shortest == strip and prepend:
            continue
        said = f"{where}: pattern '{pattern}': trunk '{trunk['name']}' strips {strip} digits, "
        if isinstance(positions[-1], str):
            warnings.append(f"{said}but a number that matches may have {shortest}; lower digits.strip, or give the pattern more digits")
        else:
            problems.append(f"{said}but the number has {shortest}: nothing is left to dial; lower digits.strip, or remove the trunk from this route")


def _choice(*sources: dict[str, Any]) -> Callable[[str], Any]:
    """What is set, the most specific first."""
    return lambda key: next(value for source in sources if (value := source.get(key)) is not None)


def _match(route: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"pattern": pattern, "regex": patterns.to_regex(patterns.parse(pattern))} for pattern in sorted(route["match"], key=patterns.specificity)
    ]


def _numbers(routes: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The patterns of all routes in the order in which they are to be tried."""
    numbers = [{**match, "route": route["name"]} for route in routes for match in route["match"]]
    return sorted(numbers, key=lambda number: patterns.specificity(number["pattern"]))


def _bounds(
    capabilities: dict[str, Any], chosen: Callable[[str], float], no_response: float, hunted: bool = False
) -> dict[str, dict[str, float]]:
    """The three bounds of an attempt. A target that says nothing makes no progress either, so the shorter one ends it.

    Where it hunts before it rings, it rings for its whole time all the same.
    """
    silence = can.effective(capabilities, "no_response_timeout", no_response)
    ring = can.effective(capabilities, "ring_timeout", chosen("ring_timeout") + (chosen("no_progress_timeout") if hunted else 0))
    progress = can.effective(capabilities, "no_progress_timeout", chosen("no_progress_timeout"))
    if can.missing(capabilities, "no_progress"):
        progress = {**ring, "asked": progress["asked"]}
    shorter = min(silence, progress, key=lambda bound: bound["latest"])
    return {"silence": {**shorter, "asked": no_response}, "progress": progress, "ring": ring}


def _step(bounds: dict[str, dict[str, float]], table: dict[str, str], hunt_after_ringing: bool, at_once: bool) -> tuple[float, float]:
    """Seconds an attempt can last before the next target, and before the next trunk, is asked.

    A carrier may say 100 and then fail at any moment until the progress bound, so any code that
    goes on costs that bound: the bound for silence alone would promise too much. An SBC of ours says such codes `at_once`.
    """

    answered = {verdict for outcome, verdict in table.items() if outcome.isdigit()}

    def longest(*leading_on: str) -> float:
        times = [bounds["silence"]["latest"]] if {table["silent"], table["unreachable"]} & set(leading_on) else []
        if answered & set(leading_on):
            times.append(0 if at_once else bounds["progress"]["latest"])
            if hunt_after_ringing:
                times.append(bounds["ring"]["latest"])
        if table["no_progress"] in leading_on:
            times.append(bounds["progress"]["latest"])
        if table["rang_out"] in leading_on:
            times.append(bounds["ring"]["latest"])
        return max(times, default=0)

    return longest(verdicts.NEXT_TARGET), longest(verdicts.NEXT_TARGET, verdicts.NEXT_TRUNK, verdicts.FULL)


def _worst(costs: dict[str, tuple[int, tuple[float, float]]]) -> dict[str, Any]:
    """The worst time until the last trunk is asked. A mark may make any trunk the last one, so the cheapest is left out."""
    seconds = {}
    for name, (asked, (to_target, to_trunk)) in costs.items():
        seconds[name] = ((asked - 1) * to_target if asked else 0) + to_trunk if to_target else to_trunk
    last = min(reversed(seconds), key=seconds.__getitem__) if seconds else None
    parts = [
        f"{name} {asked} x {to_trunk:g}" if asked > 1 and to_target == to_trunk else f"{name} {seconds[name]:g}"
        for name, (asked, (to_target, to_trunk)) in costs.items()
        if name != last
    ]
    return {"seconds": round(sum(seconds.values()) - seconds[last], 3) if last else 0, "sum": " + ".join(parts) or "0"}


def _check_worst(plan: dict[str, Any], limit: float, bound: str, where: str, problems: list[str], warnings: list[str]) -> None:
    worst = plan["worst_post_dial_delay"]
    if worst["seconds"] <= limit:
        return
    text = f"{where}: the last trunk may be asked only after {worst['seconds']:g} seconds ({worst['sum']}), more than max_post_dial_delay {limit:g}"
    if plan["emergency"]:
        warnings.append(f"{text}; an emergency route may")
    else:
        problems.append(f"{text}; lower {bound} or max_targets, remove a trunk, or raise max_post_dial_delay")


def _shared_fate(trunks: list[dict[str, Any]]) -> Iterable[str]:
    for one, other in combinations(trunks, 2):
        for key in ("carrier", "site"):
            if one[key] and one[key] == other[key]:
                yield f"trunks '{one['name']}' and '{other['name']}' share the {key} '{one[key]}': they can fail together"
        shared = sorted({t["address"] for t in one["targets"]} & {t["address"] for t in other["targets"]})
        if shared:
            yield f"trunks '{one['name']}' and '{other['name']}' share the address {', '.join(shared)}: they fail together"


class _Tables:
    """Verdict tables by name; equal ones are kept once."""

    def __init__(self) -> None:
        self.by_name: dict[str, dict[str, str]] = {}
        self._known: dict[str, str] = {}

    def name_of(self, *overrides: dict) -> str:
        """The name of the table in which the later overrides win over the earlier ones and the defaults."""
        written = repr(overrides)  # as nearly all trunks and routes have none
        if written not in self._known:
            self._known[written] = self._name_of(overrides)
        return self._known[written]

    def _name_of(self, overrides: tuple[dict, ...]) -> str:
        merged = dict(verdicts.DEFAULTS)
        for override in overrides:
            merged.update(verdicts.parse_overrides(override, of_trunk=True)[0])
        table = {str(outcome): verdict for outcome, verdict in merged.items()}
        for name, known in self.by_name.items():
            if known == table:
                return name
        name = f"table-{len(self.by_name) + 1}"
        self.by_name[name] = table
        return name


def _port(server: dict[str, Any], trunk: dict[str, Any]) -> int:
    return server["port"] or DEFAULT_PORTS[trunk["transport"]]
