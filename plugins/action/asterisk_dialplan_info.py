# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the calls of an operator's dialplan use the trunks: decided on the controller, which knows patterns, by what the module read on the host."""

from __future__ import annotations

import re
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.siptrunk.failover.plugins.plugin_utils import patterns
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain

_SHOWN = 10


class ActionModule(ActionBase):
    """Ansible's entry point."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the contexts that lead to the trunks, and what is wrong, which is also a warning."""
        super().run(tmp, task_vars)
        args = plain(self._task.args)
        routes = args.get("routes")
        sent = {**args, "routes": [] if isinstance(routes, list) else routes}  # the host needs none
        result: dict[str, Any] = self._execute_module(module_args=sent, task_vars=task_vars)
        if "dialplan" not in result:
            return result
        dialplan = result.pop("dialplan")
        found = problems(dialplan, routes)
        return {**result, "contexts": dialplan["contexts"], "problems": found, "warnings": [*result.get("warnings", []), *found]}


def problems(dialplan: dict[str, Any], routes: list[dict[str, Any]]) -> list[str]:
    """Why calls do not use the trunks, as sentences with file, line and fix."""
    if not routes:
        return []
    if not dialplan["contexts"]:
        return [] if dialplan["elsewhere"] else [_unused(dialplan)]
    starts: dict[tuple[str, int, str, str], list[str]] = {}
    for start, extensions in dialplan["before"].items():
        for extension in extensions:
            starts.setdefault((extension["file"], extension["line"], extension["pattern"], extension["context"]), []).append(start)
    sentences = [_sentence(*key, starts[key], hits) for key in sorted(starts) if (hits := _taken(key[2], routes))]
    more = len(sentences) - _SHOWN
    return sentences[:_SHOWN] + ([f"and {more} more extensions that take calls of a route"] if more > 0 else [])


def _taken(pattern: str, routes: list[dict[str, Any]]) -> dict[str, bool]:
    """{name of a route: whether all its calls are taken}. A pattern that is more specific than the route's, and leaves it others, is meant to."""
    hits = {}
    number = re.sub(r"(\[[^\]]*\])|[- ]", r"\1", pattern)  # Asterisk leaves them out, where they are no range
    try:
        rank = patterns.specificity(number)
    except patterns.PatternError:  # a name such as "s", or letters: no number of a route
        return {}
    for route in routes:
        matches = [entry["pattern"] for entry in route["match"]]
        whole = [patterns.covers(number, match) for match in matches]
        if any(all_of_it or patterns.overlap(number, match) and rank > patterns.specificity(match) for all_of_it, match in zip(whole, matches, strict=True)):
            hits[route["name"]] = all(whole)
    return hits


def _sentence(file: str, line: int, pattern: str, context: str, starts: list[str], hits: dict[str, bool]) -> str:
    calls = ", ".join(f"{'all' if whole else 'some'} calls of the route '{name}'" for name, whole in sorted(hits.items()))
    included = ", ".join(f"[{name}]" for name in starts if name != context)
    by = f", which {included} include{'' if ', ' in included else 's'}," if included else ""
    return (
        f"{file} line {line}: '{pattern}' of [{context}]{by} takes {calls}, which so do not use the trunks: Asterisk looks at a context's own "
        "extensions first, then at what it includes, in order. Remove the extension, or let it do Goto(siptrunk-outbound,${EXTEN},1)."
    )


def _unused(dialplan: dict[str, Any]) -> str:
    phones = dialplan["phones"]
    where = f"[{phones['context']}] ({phones['file']} line {phones['line']})" if phones else "the context of your phones"
    return (
        f"No context of {dialplan['file']} leads to siptrunk-outbound, so no call uses the trunks. Add this line to {where}: include => siptrunk-outbound"
    )
