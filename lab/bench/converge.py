# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a deployment takes with 2, 100 and 1,000 trunks, beside a role with one task per trunk; with 1, 5 and 20 hosts; and many look-ups."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from engines import Asterisk, FreeSwitch
from harness import Lab
from rich.table import Table

from ansible_collections.siptrunk.failover.plugins.plugin_utils import model, plan

Playbook = Callable[..., float]  # (path, *options) -> seconds
DOMAINS, LOOPED = 500, 20
HOSTS = (1, 5, 20)  # about 71 MB of memory for each
RUNS = 3


def trunks_and_routes(count: int) -> dict:
    """A model of so many trunks, and a route for each five."""
    trunks = [
        {"name": f"t{n}", "servers": [{"host": f"198.19.{n // 250}.{n % 250 + 1}"}], "username": f"user{n}", "password": f"word{n}"}
        for n in range(count)
    ]
    for trunk in trunks:
        trunk["probe"] = {"interval": 0}  # nobody is there
    names = [trunk["name"] for trunk in trunks]
    routes = [{"name": f"r{n}", "match": [f"_9{n:04d}X."], "trunks": names[n * 5 : n * 5 + 3]} for n in range(max(1, count // 5))]
    return {"siptrunk_trunks": trunks, "siptrunk_routes": routes}


def compile_seconds(spec: str) -> float:
    """The compiler alone: 1,000 trunks and 200 routes."""
    with open(spec, encoding="utf-8") as stream:
        options = yaml.safe_load(stream)["argument_specs"]["main"]["options"]
    given = trunks_and_routes(1000)
    began = time.perf_counter()
    plan.compile_plan(model.read_model(options, given["siptrunk_trunks"], given["siptrunk_routes"], {}), None, {})
    return time.perf_counter() - began


def converge(playbook: Playbook, engine: Asterisk | FreeSwitch) -> Table:
    """On one engine's host. The naive role (of Asterisk) is timed with 2 and 20 trunks; its time with more is what that comes to per trunk."""
    table = Table(title=f"ansible-playbook site.yml on {engine.name}, seconds", title_style="bold")
    for name in ("trunks", "changed", "again", "again, to that of 2", "one task per trunk, again"):
        table.add_column(name, justify="right")
    naive = {count: [run(playbook, "lab/bench/naive.yml", count, "classic") for _again in range(2)][1] for count in (2, 20)} if engine.host == "pbx" else {}
    slope = (naive[20] - naive[2]) / 18 if naive else 0
    base = None
    for count in (2, 100, 1000):
        first, *more = (run(playbook, "site.yml", count, engine.host) for _again in range(4))
        again = statistics.median(more)
        base = base or again
        single = "" if not naive else f"{naive[2] + slope * (count - 2):,.0f}" + (" (scaled)" if count > 20 else "")
        table.add_row(f"{count:,}", f"{first:.1f}", f"{again:.1f}", f"x {again / base:.1f}", single)
    return table


def hosts(playbook: Playbook, lab: Lab) -> Table:
    """With the usual model, on Asterisk hosts of their own, each with its monitor, where nothing is to be changed."""
    forks = os.environ.get("ANSIBLE_FORKS", "5")
    table = Table(title=f"ansible-playbook site.yml on Asterisk and its monitor, unchanged, {forks} forks, seconds", title_style="bold")
    for name in ("hosts", "median", "least to most"):
        table.add_column(name, justify="right")
    names = [f"fleet{number:02d}" for number in range(1, max(HOSTS) + 1)]
    variables = {name: {"lab_number": 100 + number, "monitor_enabled": True} for number, name in enumerate(names, start=1)}
    with tempfile.TemporaryDirectory() as folder:
        inventory = Path(folder, "fleet.json")
        inventory.write_text(json.dumps({"siptrunk_asterisk": {"hosts": variables}}), encoding="utf-8")

        def on(path: str, count: int, unchanged: bool = False) -> float:
            return playbook(path, "-i", str(inventory), "--limit", ",".join(names[:count]), unchanged=unchanged)

        try:
            for path in ("lab/create.yml", "lab/provision.yml", "site.yml"):
                on(path, len(names))
            for count in HOSTS:
                took = [on("site.yml", count, unchanged=True) for _again in range(RUNS)]
                table.add_row(str(count), f"{statistics.median(took):.1f}", f"{min(took):.1f} to {max(took):.1f}")
        finally:
            containers = [f"{lab.container('pbx').removesuffix('pbx')}{name}" for name in names]
            subprocess.run(["podman", "rm", "--force", "--volumes", "--ignore", "--time", "0", *containers], check=True, capture_output=True)
    return table


def look_ups(playbook: Playbook) -> str:
    """srv_info with many domains, beside a loop with one each."""
    names = [f"d{n}.many.acme.example" for n in range(DOMAINS)]
    at_once = run(playbook, "lab/bench/look_ups.yml", values={"domains": [names]})
    loop = run(playbook, "lab/bench/look_ups.yml", values={"domains": [[name] for name in names[:LOOPED]]})
    return f"srv_info: {DOMAINS} domains in one task {at_once:.1f} s; a loop of single look-ups {loop:.1f} s for {LOOPED}, so {loop / LOOPED * DOMAINS:,.0f} s"


def run(playbook: Playbook, path: str, count: int = 0, host: str = "pbx", values: dict | None = None) -> float:
    """On one host, in whose variables the model is, as operators have it: Ansible copies what `-e` gives once more."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "hosts.json").write_text(json.dumps({"all": {"hosts": {host: {}}}}), encoding="utf-8")
        Path(folder, "host_vars").mkdir()
        Path(folder, "host_vars", f"{host}.json").write_text(json.dumps(values or trunks_and_routes(count)), encoding="utf-8")
        return playbook(path, "-i", folder, "--limit", host)
