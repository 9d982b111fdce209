# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates of a role, rendered without a host: from a model as a user writes it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

from ansible_collections.siptrunk.failover.plugins.plugin_utils import model, plan, rendering

ROLES = Path(__file__).parents[2] / "roles"
SPEC = yaml.safe_load((ROLES / "plan/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
# what the role learns from the host: an operator's files that clash with nothing
HOST = {
    "asterisk": {
        "__asterisk_conf": {"clashes": [], "system": False, "manager_general": True, "manager_enabled": True},
        "__asterisk_ami_password": "golden",
        "__asterisk_monitor_password": "golden too",
        "__asterisk_major": "22",
    },
    "freeswitch": {
        "__freeswitch_found": {
            "prefix": "/usr", "config_directory": "/etc/freeswitch", "log_directory": "/var/log/freeswitch", "certificate_directory": "/etc/freeswitch/tls",
        },
        "__freeswitch_esl_password": "golden",
        "__freeswitch_address": "198.18.10.12",
    },
    "sbc": {
        "__sbc_host": {"digests": dict.fromkeys(["/etc/kamailio/keys/sbc.pem", "/etc/ssl/certs/ca-certificates.crt"])},
        "__sbc_address": "198.18.10.13",
        "__sbc_interface": "eth0",
        "__sbc_relay_service": "golden",
    },
}
TEMPLATES = sorted(path for engine in HOST for path in ROLES.glob(f"{engine}/templates/*.j2"))  # those that follow from the model
EACH = {"route.lua": "routes"}  # templates that are rendered once for each entry of a list of the plan


@contextlib.contextmanager
def collection_plugins():
    """Let Ansible find the collection's filters where Python found the collection."""
    if AnsibleCollectionConfig.collection_finder is None:
        loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "ansible_collections"}
        init_plugin_loader(sys.path)
        yield
        AnsibleCollectionConfig.collection_finder._remove()
        sys.modules.update(loaded)
    else:
        yield


def answers_of(case):
    answers = {}
    for question, records in case.get("answers", {}).items():
        transport, name = question.split()
        targets = [
            {"priority": int(priority), "weight": int(weight), "port": int(port), "host": host, "address": address, "family": "ipv4"}
            for priority, weight, port, host, address in map(str.split, records)
        ]
        answers[name, transport] = {"targets": targets, "errors": []}
    return answers


def without(trunk, paths):
    """A trunk without what an engine does not offer, such as probe.alive_on or realm."""
    for path in paths:
        key, _dot, inner = path.partition(".")
        if inner:
            trunk = {**trunk, key: {name: value for name, value in trunk.get(key, {}).items() if name != inner}}
        else:
            trunk = {name: value for name, value in trunk.items() if name != key}
    return trunk


def _role(engine, loader):
    return {
        name: value
        for part in ("defaults", "vars")
        for name, value in loader.load_from_file(str(ROLES / engine / part / "main.yml"), trusted_as_template=True).items()
    }


def compiler(engine):
    """A function from a case to the plan that this engine's role makes of it. Raises model.ModelError."""
    loader = DataLoader()
    role = _role(engine, loader)
    capabilities = Templar(loader=loader, variables={**role, **HOST[engine]}).template(role[f"__{engine}_capabilities"])

    def compile_case(case):
        trunks = [without(trunk, case.get("refused_by", {}).get(engine, ())) for trunk in case["trunks"]]
        read = model.read_model(SPEC, trunks, case["routes"], case.get("policy", {}))
        return plan.compile_plan(read, capabilities, answers_of(case), case.get("hunts"))

    return compile_case


def renderer(engine, case):
    """A function from a template to {file name: text}, with the variables of the role at the time of its tasks, in Ansible's order of precedence."""
    loader = DataLoader()
    compiled = compiler(engine)(case)
    available = {
        **_role(engine, loader), **HOST[engine], **case.get("variables", {}).get(engine, {}), "siptrunk_trunks": case["trunks"], "siptrunk_plan": compiled,
    }  # fmt: skip
    values, wanted = (Templar(loader=loader, variables=available).template(available[f"__{engine}_{name}"]) for name in ("rendering", "templates"))

    def render(template):
        if template.name not in wanted and template.stem not in EACH:
            return {}
        if template.stem in EACH:
            return rendering.render_each(template, compiled, values, EACH[template.stem])
        return {template.stem: rendering.render(template, compiled, values)}

    return render


def rendered(role, name, **variables):
    """A template that needs no more than the role's own variables, and perhaps others for some, as Ansible renders it."""
    loader = DataLoader()
    template = trust_as_template(f"{{{{ lookup('ansible.builtin.template', '{ROLES / role / 'templates' / name}.j2') }}}}")
    return Templar(loader=loader, variables={**_role(role, loader), **variables}).template(template)
