# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model as the user writes it: read, completed with defaults, and checked.

The shape (keys, types, choices, defaults) is the argument spec of the role ``plan``; sense is
checked here. All that is wrong is reported at once, each problem naming its item.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.siptrunk.failover.plugins.plugin_utils import addresses, patterns, verdicts

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_HOST = re.compile(r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.?")
_USER = re.compile(r"[A-Za-z0-9+._~!*'()&=$/-]{1,64}")  # RFC 3261 section 25.1, "user", of what needs no escape
_LOGIN = re.compile(r"[A-Za-z0-9+._~!*'()&=$/@%-]{1,128}")
_DIGITS = re.compile(r"[0-9*#+]{0,32}")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]+)?")
_URI = re.compile(r"<?(?:[A-Za-z]+://|sips?:|[^@]*@)(?:[^@]*@)?([^;>?/]*)", re.IGNORECASE)  # of which group 1 is the host, and at the most a port
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")

# key: (least, most, unit); wherever the key stands in the model
RANGES: dict[str, tuple[float, float, str]] = {
    "port": (1, 65535, ""),
    "priority": (0, 65535, ""),
    "weight": (0, 65535, ""),
    "max_channels": (0, 100000, "calls"),
    "strip": (0, 20, "digits"),
    "interval": (0, 3600, "seconds"),
    "timeout": (0.1, 60, "seconds"),
    "no_response_timeout": (0.5, 32, "seconds"),
    "no_progress_timeout": (1, 180, "seconds"),
    "ring_timeout": (1, 600, "seconds"),
    "max_attempts": (1, 20, "trunks"),
    "max_targets": (1, 20, "targets"),
    "max_post_dial_delay": (1, 3600, "seconds"),
    "cool_down": (0, 3600, "seconds"),
}

# key: (pattern, what is expected)
_FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "name": (NAME, "a lower-case letter, then up to 30 of a-z, 0-9 and '-'"),
    "username": (_USER, "at most 64 letters, digits and + . _ ~ ! * ' ( ) & = $ / -; a login with @ belongs in auth_username"),
    "auth_username": (_LOGIN, "at most 128 letters, digits and + . _ ~ ! * ' ( ) & = $ / @ % -"),
    "from_user": (re.compile(r"[A-Za-z0-9+._~!*'()&=$-]{1,64}"), "at most 64 letters, digits and + . _ ~ ! * ' ( ) & = $ -"),
    "from_domain": (_HOST, "a host name or an address"),
    "caller_id": (re.compile(r"[0-9*#+]{1,32}"), "a number of at most 32 of 0-9, *, # and +"),
    "prepend": (_DIGITS, "at most 32 digits, *, # or +"),
    "sbcs": (_WORD, "the name of a group of the inventory: letters, digits, '_' and '-'"),
    "inbound_context": (_WORD, "at most 64 letters, digits, '_' and '-'"),
    "names": (_HOST, "a host name"),
    "codecs": (re.compile(r"[A-Za-z0-9]+"), "names of codecs, such as alaw"),
}


class ModelError(ValueError):
    """The model cannot be used. `problems` holds one sentence per mistake."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def read_model(spec: dict[str, Any], trunks: Any, routes: Any, policy: Any) -> dict[str, Any]:
    """Check the user's variables; return the model, complete with defaults.

    `spec` is the ``options`` mapping of the role's argument spec. The model is
    {"trunks": [...], "routes": [...], "policy": {...}}; route["trunks"] becomes a list of
    groups, each a list of {"name", "weight"}. Raises ModelError.
    """
    if addresses.MISSING:
        raise ModelError([addresses.MISSING])
    problems: list[str] = []
    read_trunks = _read_list(spec, "siptrunk_trunks", trunks, problems)
    read_routes = _read_list(spec, "siptrunk_routes", routes, problems)
    read_policy = _read_item(ArgumentSpecValidator(spec["siptrunk_policy"]["options"]), "siptrunk_policy", policy or {}, problems)
    if problems:
        raise ModelError(problems)

    for where, item in _items(read_trunks, read_routes, read_policy):
        problems.extend(f"{where}: {problem}" for problem in _check_values(item))
    for where, trunk in _named("siptrunk_trunks", read_trunks):
        problems.extend(f"{where}: {problem}" for problem in _check_trunk(trunk))
    for where, route in _named("siptrunk_routes", read_routes):
        problems.extend(f"{where}: {problem}" for problem in _read_route(route, {t["name"] for t in read_trunks}))
    problems.extend(_check_unique("siptrunk_trunks", read_trunks))
    problems.extend(_check_unique("siptrunk_routes", read_routes))
    problems.extend(_check_patterns(read_routes))
    if problems:
        raise ModelError(problems)
    return {"trunks": read_trunks, "routes": read_routes, "policy": read_policy}


def secrets(trunks: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The passwords of the model, by trunk name: the one thing the plan does not carry."""
    return {trunk["name"]: trunk["password"] for trunk in trunks if trunk.get("password")}


# --- shape -------------------------------------------------------------------------------


def _read_list(spec: dict[str, Any], variable: str, value: Any, problems: list[str]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        problems.append(f"{variable}: expected a list of at least one item, got {_kind(value)}; see the documentation of the model")
        return []
    validator = ArgumentSpecValidator(spec[variable]["options"])
    return [_read_item(validator, _where(variable, index, item), item, problems) for index, item in enumerate(value)]


def _read_item(validator: ArgumentSpecValidator, where: str, item: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(item, dict):
        problems.append(f"{where}: expected a mapping, got {_kind(item)}")
        return {}
    options = validator.argument_spec
    found = list(_check_shape(options, item, ""))
    if not found:
        result = validator.validate(item)
        found = [_without_secrets(message, item) for message in result.error_messages]
    problems.extend(f"{where}: {problem}" for problem in found)
    return {} if found else _complete(options, result.validated_parameters)


def _check_shape(options: dict[str, Any], item: dict[str, Any], prefix: str) -> Iterator[str]:
    """Unknown keys by their path, and strings that no text format could carry."""
    for key, value in item.items():
        path = f"{prefix}{key}"
        if key not in options:
            close = difflib.get_close_matches(str(key), options, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(sorted(options))}"
            yield f"unknown key '{path}': {hint}"
            continue
        yield from _check_quotes(path, value, options[key])
        yield from _check_strings(path, value)
        if value is None and options[key].get("default") is not None:
            yield f"{path}: expected a value, got nothing; give one, or remove the key"
        elif options[key].get("type") in ("int", "float") and value is not None and not _NUMBER.fullmatch(str(value)):
            got = repr(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else _kind(value)
            yield f"{path}: expected a number, got {got}"
        elif "options" in options[key] and value is not None:
            yield from _check_nested(options[key], value, path)


def _check_nested(option: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    """Mappings inside an item; Ansible's validator, which comes next, trips over what is none."""
    if option["type"] == "list" and not isinstance(value, list):
        yield f"{path}: expected a list, got {_kind(value)}"
        return
    for where, entry in [(path, value)] if option["type"] == "dict" else [(f"{path}[{index}]", entry) for index, entry in enumerate(value)]:
        if isinstance(entry, dict):
            yield from _check_shape(option["options"], entry, f"{where}.")
        else:
            yield f"{where}: expected a mapping, got {_kind(entry)}"


def _check_quotes(path: str, value: Any, option: dict[str, Any]) -> Iterator[str]:
    """Strings without quotes, which YAML read as something else: 011 as 9, +49 as 49, no as false. What the user wrote is lost by then."""
    if option.get("type") == "list" and option.get("elements") == "str" and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _check_quotes(f"{path}[{index}]", entry, {"type": "str", "no_log": option.get("no_log")})
    elif option.get("type") == "str" and value is not None and not isinstance(value, str):
        got, hint = _kind(value), "put it in quotes"
        if isinstance(value, (bool, int, float, datetime.date)):
            got = got if option.get("no_log") else str(value).lower()
            hint = 'put it in quotes, as in "011": without them YAML makes 9 of 011, drops the plus of +49, and takes no for false'
        yield f"{path}: expected a string, got {got}; {hint}"


def _check_strings(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if _UNPRINTABLE.search(value):
            yield f"{path}: it holds a line break or another control character; remove it"
        elif value != value.strip():
            yield f"{path}: it starts or ends with a space; remove it"
        elif len(value) > 1024:
            yield f"{path}: it is {len(value)} characters long; expected 1024 at the most"
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            if isinstance(entry, str):
                yield from _check_strings(f"{path}[{index}]", entry)


def _complete(options: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Fill the defaults of nested mappings too, which the validator leaves out when the user gave none."""
    for key, option in options.items():
        if isinstance(item.get(key), dict) and "options" in option:
            for name, inner in option["options"].items():
                if item[key].get(name) is None:
                    item[key][name] = inner.get("default")
    return item


def _without_secrets(message: str, item: dict[str, Any]) -> str:
    secret = item.get("password")
    return message.replace(secret, "********") if isinstance(secret, str) and secret else message


# --- sense -------------------------------------------------------------------------------


def _items(trunks: list, routes: list, policy: dict) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "siptrunk_policy", policy
    for where, item in (*_named("siptrunk_trunks", trunks), *_named("siptrunk_routes", routes)):
        yield where, item
        for key in ("digits", "probe", "tls"):
            if key in item:
                yield f"{where}: {key}", item[key]
        for index, server in enumerate(item.get("servers") or []):
            yield f"{where}: servers[{index}]", server


def _check_values(item: dict[str, Any]) -> Iterator[str]:
    for key, value in item.items():
        if value is None:
            continue
        if key in RANGES:
            least, most, unit = RANGES[key]
            if not least <= value <= most:
                shown = value if isinstance(value, int) else f"{value:g}"
                yield f"{key} {shown}: expected {least:g} to {most:g}{' ' + unit if unit else ''}"
        elif key in _FORMS:
            form, expected = _FORMS[key]
            for text in value if isinstance(value, list) else [value]:
                if not form.fullmatch(text):
                    yield f"{key} '{text}': expected {expected}"
    if "verdicts" in item:
        yield from verdicts.parse_overrides(item["verdicts"], of_trunk="transport" in item)[1]


def _check_trunk(trunk: dict[str, Any]) -> Iterator[str]:
    if bool(trunk["domain"]) == bool(trunk["servers"]):
        yield "expected either 'domain' or a list of 'servers'; " + ("remove one of them" if trunk["domain"] else "give one of them")
    if trunk["domain"]:
        yield from _check_hostport("domain", trunk["domain"], port_allowed=True)
    if not trunk["codecs"]:
        yield "codecs: expected at least one, such as alaw"
    for index, server in enumerate(trunk["servers"] or []):
        yield from _check_hostport(f"servers[{index}].host", server["host"], port_allowed=False)
    if trunk["register"] not in (True, False, "each"):
        meant = str(trunk["register"]).lower() in ("true", "yes", "on", "false", "no", "off")
        yield f"register '{trunk['register']}': expected true, false or each{'; it is a string: remove its quotes' if meant else ''}"
    if trunk["register"] and not (trunk["username"] and trunk["password"]):
        yield f"register needs an account: {'password' if trunk['username'] else 'username'} is missing; give it, or set register: false"
    elif trunk["password"] and not trunk["username"]:
        yield "password without username: give the username of the account"
    elif (trunk["username"] or trunk["auth_username"]) and not trunk["password"]:
        yield "password is missing: username is set, so the carrier will ask for it; give it, or remove username"
    if trunk["transport"] != "tls" and (trunk["tls"]["names"] or trunk["tls"]["wildcard"]):
        yield f"tls: the transport is {trunk['transport']}; set transport: tls, or remove these settings"
    if 0 < trunk["probe"]["interval"] < trunk["probe"]["timeout"]:
        yield f"probe: timeout {trunk['probe']['timeout']:g}: expected at most the interval, {trunk['probe']['interval']:g} seconds"
    for network in trunk["inbound_from"]:
        if addresses.is_network(network) and addresses.prefix(network) < 8:
            yield f"inbound_from '{network}': nearly anybody could call in; expected the carrier's own networks, a prefix of 8 bits or longer"
        elif not addresses.is_network(network):
            yield f"inbound_from '{network}': expected an address or a network, such as 198.18.1.0/24"


def _check_hostport(key: str, text: str, port_allowed: bool) -> Iterator[str]:
    uri = _URI.match(text)
    if uri:
        yield f"{key} '{text}': expected a host name or an address, not a URI; write {uri[1] or 'the host'} alone, and user and transport under their own keys"
        return
    host, _sep, port = text.rpartition(":") if port_allowed and re.search(r"^[^:]+:[^:]*$|\]:", text) else (text, "", "")
    if port_allowed and _sep and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        yield f"{key} '{text}': port '{port}': expected 1 to 65535"
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not addresses.is_address(bare) and (not _HOST.fullmatch(host) or re.fullmatch(r"[0-9.]+", host)):
        yield f"{key} '{text}': expected a host name or an address{', and at the most a port' if port_allowed else ''}"


def _read_route(route: dict[str, Any], known: set[str]) -> Iterator[str]:
    if not route["trunks"] or [] in route["trunks"]:
        yield "trunks: expected at least one trunk, the first to be asked first"
    groups, seen = [], set()
    for entry in route["trunks"]:
        group = []
        for member in entry if isinstance(entry, list) else [entry]:
            named = {"name": member} if isinstance(member, str) else member
            if not isinstance(named, dict) or not isinstance(named.get("name"), str) or set(named) - {"name", "weight"}:
                name = named.get("name", "") if isinstance(named, dict) else member
                scalar = isinstance(name, (bool, int, float))
                got = f"{str(name).lower()}; put the name in quotes" if scalar else _kind(member)
                yield f"trunks: expected the name of a trunk, or a mapping of name and weight, got {got}"
                continue
            name, weight = named["name"], named.get("weight", 50)
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                yield f"unknown trunk '{name}': " + (f"did you mean '{close[0]}'?" if close else "add it to siptrunk_trunks")
            if name in seen:
                yield f"trunk '{name}' stands here twice; remove one"
            if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= 65535:
                yield f"weight {weight!r} of trunk '{name}': expected a whole number from 0 to 65535"
                continue
            seen.add(name)
            group.append({"name": name, "weight": weight})
        groups.append(group)
    route["trunks"] = groups
    if not route["match"]:
        yield "match: expected at least one pattern, such as _1NXXNXXXXXX"


def _check_unique(variable: str, items: list[dict[str, Any]]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        first = seen.setdefault(item["name"], index)
        if first != index:
            yield f"{variable}[{index}]: the name '{item['name']}' is taken by {variable}[{first}]; choose another"


def _check_patterns(routes: list[dict[str, Any]]) -> Iterator[str]:
    seen: dict[tuple, tuple[str, str]] = {}
    for where, route in _named("siptrunk_routes", routes):
        for pattern in route["match"]:
            try:
                positions = patterns.parse(pattern)
            except patterns.PatternError as error:
                yield f"{where}: pattern '{pattern}': {error}"
                continue
            if isinstance(positions[0], str):
                yield (
                    f"{where}: pattern '{pattern}' matches whatever is dialled, and a dialplan's special extensions such as h and t; "
                    f"expected a digit first, such as _X. or _+X."
                )
                continue
            other = seen.setdefault(positions, (route["name"], pattern))
            if other != (route["name"], pattern) or route["match"].count(pattern) > 1:
                yield f"{where}: pattern '{pattern}' matches the same numbers as '{other[1]}' of route '{other[0]}'; remove one"


# --- naming ------------------------------------------------------------------------------


def _named(variable: str, items: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, item in enumerate(items):
        yield _where(variable, index, item), item


def _where(variable: str, index: int, item: Any) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    return f"{variable}[{index}]" + (f" ({name})" if isinstance(name, str) and NAME.fullmatch(name) else "")


def _kind(value: Any) -> str:
    for kind, text in ((bool, "true or false"), (dict, "a mapping"), (list, "a list"), (str, "a string"), ((int, float), "a number")):
        if isinstance(value, kind):
            return f"an empty {text[2:]}" if value in ({}, [], "") and kind in (dict, list, str) else text
    return "nothing" if value is None else type(value).__name__
