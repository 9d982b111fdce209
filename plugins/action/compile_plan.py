# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles the plan on the controller; the module of the same name holds the documentation."""

from __future__ import annotations

import base64
import functools
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.siptrunk.failover.plugins.module_utils import resolver
from ansible_collections.siptrunk.failover.plugins.plugin_utils import addresses
from ansible_collections.siptrunk.failover.plugins.plugin_utils.model import ModelError, read_model
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plan import Question, compile_plan, longest_hunt, questions

_ROLES = Path(__file__).parents[2] / "roles"


@functools.cache
def _spec() -> dict[str, Any]:
    """The shape of the model, from the one place where it is written down."""
    return yaml.safe_load((_ROLES / "plan/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]


@functools.cache
def _of_sbcs() -> dict[str, Any]:
    """What an SBC can do, as its role says it."""
    return yaml.safe_load((_ROLES / "sbc/vars/main.yml").read_text(encoding="utf-8"))["__sbc_capabilities"]


def _hunts(trunks: list[dict[str, Any]], groups: dict[str, list[str]], hostvars: Any) -> dict[str, float]:
    """Seconds for which the SBCs behind each trunk that leads to some may hunt, by its name."""
    hunts, problems = {}, []
    for trunk in trunks:
        where, group = f"trunk '{trunk['name']}': sbcs '{trunk['sbcs']}'", trunk["sbcs"]
        if group and not groups.get(group):
            problems.append(f"{where}: expected a group of the inventory that has a host; known are {', '.join(sorted(groups))}")
        for host in groups.get(group, []) if group else []:
            try:
                model = read_model(_spec(), *(plain(hostvars[host].get(f"siptrunk_{part}")) for part in ("trunks", "routes", "policy")))
            except ModelError as error:
                problems.extend(f"{where}: {host}: {problem}" for problem in error.problems)
            else:
                hunts[trunk["name"]] = max(longest_hunt(model, _of_sbcs()), hunts.get(trunk["name"], 0))
    if problems:
        raise ModelError(problems)
    return hunts


class _NoAnswer(Exception):
    """Names could not be looked up at all; the message says why."""


class ActionModule(ActionBase):
    """Ansible's entry point."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the plan; fail with all that is wrong."""
        super().run(tmp, task_vars)
        args = self._task.args = plain(self._task.args)  # Ansible copies the arguments of a task along with its result
        warnings: list[str] = []
        try:
            model = read_model(_spec(), args.get("trunks"), args.get("routes"), args.get("policy"))
            answers = self._resolve(questions(model), task_vars or {}, warnings)
            hunts = _hunts(model["trunks"], (task_vars or {}).get("groups", {}), (task_vars or {}).get("hostvars", {}))
            plan = compile_plan(model, args.get("capabilities"), answers, hunts)
        except ModelError as error:
            count = len(error.problems)
            text = "\n".join(f"- {problem}" for problem in error.problems)
            title = "The model has a mistake" if count == 1 else f"The model has {count} mistakes"
            return {"failed": True, "msg": f"{title}; nothing was changed.\n{text}"}
        except _NoAnswer as error:
            return {"failed": True, "msg": f"{error}. Nothing was changed."}
        return {"changed": False, **plan, "warnings": warnings + plan["notes"]}

    def _resolve(self, asked: list[Question], task_vars: dict[str, Any], warnings: list[str]) -> dict[Question, dict[str, Any]]:
        """Answers by question, as the managed host gets them."""
        by_transport = defaultdict(list)
        for name, transport in asked:
            by_transport[transport].append(name)
        if not by_transport:
            return {}
        results = self._resolve_on_host(by_transport, task_vars)
        if results is None:
            results = self._resolve_from_here(by_transport, task_vars, warnings)
        return dict(zip(((name, transport) for transport, names in by_transport.items() for name in names), results, strict=True))

    def _resolve_on_host(self, by_transport: dict[str, list[str]], task_vars: dict[str, Any]) -> list[dict[str, Any]] | None:
        """The results of srv_info on the host, or None when it has no dnspython."""
        asked = [{"transport": transport, "domains": names} for transport, names in by_transport.items()]
        said = self._execute_module(module_name="siptrunk.failover.srv_info", module_args={"questions": asked}, task_vars=task_vars)
        if not said.get("failed"):
            return said["results"]
        if "dnspython" in said.get("msg", ""):
            return None
        raise _NoAnswer(f"The domains of the trunks could not be looked up from the host: {said.get('msg')}")

    def _resolve_from_here(self, by_transport: dict[str, list[str]], task_vars: dict[str, Any], warnings: list[str]) -> list[dict[str, Any]]:
        said = self._execute_module(module_name="ansible.legacy.slurp", module_args={"src": "/etc/resolv.conf"}, task_vars=task_vars)
        if said.get("failed"):
            raise _NoAnswer(f"The host's name servers are unknown: {said.get('msg')}")
        nameservers = resolver.nameservers_of(base64.b64decode(said["content"]).decode("utf-8", "replace"))
        reachable = [server for server in nameservers if not addresses.is_loopback(server)]
        if not reachable:
            raise _NoAnswer(
                f"The host has no dnspython, and its name servers ({', '.join(nameservers) or 'none'}) answer only on the host; "
                "install it there: the package python3-dnspython (Debian) or python3-dns (Red Hat)"
            )
        warnings.append(f"the host has no dnspython: its name servers ({', '.join(reachable)}) were asked from the controller")
        try:
            return [
                result for transport, names in by_transport.items() for result in resolver.resolve(names, transport=transport, nameservers=reachable)
            ]
        except resolver.ResolverMissing as error:
            raise _NoAnswer(f"Neither the host nor the controller can look up names: {error}; install dnspython on either") from error
