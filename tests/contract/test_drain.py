# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks drain, restore and verify, against a running engine: what they say, and what becomes of calls."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cases import DEAD, INTL
from harness import Lab, wait_until

REPO = Path(__file__).resolve().parents[2]
INVENTORIES = {
    "asterisk": ("inventories/lab",),
    "freeswitch": ("inventories/lab/hosts.yml", "inventories/lab-freeswitch"),
    "sbc": ("inventories/lab/hosts.yml", "inventories/lab-sbc"),
}
REASON = "it's \"maintenance\"; ${SHELL(id)} \\ /"
ZONE = "acme.example.zone"


@pytest.fixture
def play(lab: Lab, engine_name: str):
    """play(name, *options): (exit status, output) of a playbook on the PBX."""

    def run(name: str, *options: str) -> tuple[int, str]:
        inventories = [part for path in (*INVENTORIES[engine_name], "tests/contract/inventory") for part in ("-i", path)]
        argv = ["ansible-playbook", *inventories, "--limit", lab.pbx, f"playbooks/{name}.yml", *options]
        environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_HOST_PATTERN_MISMATCH": "warning"}
        done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def verify(play, lab: Lab, tmp_path):
    """verify(*options): (exit status, output, report) of the playbook verify, which never changes anything."""

    def run(*options: str) -> tuple[int, str, dict]:
        path = tmp_path / "report.json"
        status, output = play("verify", "-e", f"verify_json={path}", *options)
        assert re.search(rf"^{lab.pbx} +: ok=\d+ +changed=0 +unreachable=0 ", output, re.MULTILINE), output
        return status, output, json.loads(path.read_text(encoding="utf-8"))

    return run


def asked(record: dict) -> tuple[list[str], list[tuple[str, str]]]:
    """(trunks that were asked, (trunk, why) of those passed over)."""
    return [attempt["trunk"] for attempt in record["attempts"]], [(entry["trunk"], entry["why"]) for entry in record["passed_over"]]


def call_through(lab: Lab, engine) -> tuple[list[str], list[tuple[str, str]]]:
    """As `asked`, of a call that is placed now, by a second phone."""
    known = len(engine.records())
    assert replace(lab.caller, port=5062).call(INTL).code == 200
    wait_until(lambda: len(engine.records()) > known, 10, "the record of the call")
    return asked(engine.records()[-1])


def is_up(engine) -> bool:
    """Whether it answers, and every target does; one that starts does not for a while."""
    try:
        found = engine.reachable()
    except RuntimeError:
        return False
    return bool(found) and all(found.values())


THROUGH_BETA = (["beta"], [])
PAST_BETA = (["acme"], [("beta", "drained")])


def test_a_trunk_is_drained_and_put_back(healthy, lab: Lab, engine, play):
    """The call in progress goes on, the next ones take the backup, also after a restart, until the trunk is put back."""
    reason = json.dumps({"reason": REASON})
    with ThreadPoolExecutor() as pool:
        known = len(engine.records())
        with lab.caller.talking(INTL) as talking:
            wait_until(lambda: any(200 in leg["responses"] for leg in lab.carriers["beta1"].invites(time.time() - 15)), 10, "the call through beta is up")
            draining = pool.submit(play, "drain", "-e", "trunk=beta", "-e", reason, "-e", "wait=120", "-e", "by=alice")
            wait_until(engine.drained, 60, "beta is drained")
            assert call_through(lab, engine) == PAST_BETA
            assert not draining.done() and not talking.done(), "the playbook waits while the call goes on"
        ended = time.monotonic()
        status, said = draining.result()
    first = talking.result()
    assert (first.code, first.ended_by) == (200, "caller"), "the call in progress was left alone"
    assert status == 0 and time.monotonic() - ended < 15, said
    assert " by alice: " in said and "beta: active -> drained since" in said
    wait_until(lambda: len(engine.records()) == known + 2, 10, "both records")
    assert asked(engine.records()[-1]) == THROUGH_BETA

    status, said = play("drain", "-e", "trunk=beta", "-e", reason)
    assert status == 0 and f"{lab.pbx} " in said and " changed=0 " in said, "drained already"

    lab.service(engine.process, "restart", lab.pbx)
    wait_until(lambda: is_up(engine), 60, "every target reachable after the restart")
    assert call_through(lab, engine) == PAST_BETA

    status, said = play("restore", "-e", "trunk=beta")
    assert status == 0 and "-> active" in said and "by alice" in said, said
    assert call_through(lab, engine) == THROUGH_BETA


@pytest.mark.parametrize(("options", "text"), [
    (("-e", "trunk=beta"), "Say which trunk and why"),
    (("-e", "reason=x"), "Say which trunk and why"),
    (("-e", "trunk=beta,nope", "-e", "reason=x"), "no trunk of the plan is named: nope. Those that exist: acme, "),
    (("-e", "trunk=pool", "-e", "reason=x"), "route pool would have no trunk left in service on this host"),
])  # fmt: skip
def test_what_is_refused_changes_nothing(healthy, engine, play, options, text):
    status, said = play("drain", *options)
    assert status != 0 and text in said and " changed=0 " in said, said
    assert not engine.drained()


def test_a_route_may_be_left_without_a_trunk_by_force(healthy, engine, play, verify):
    status, said = play("drain", "-e", "trunk=pool", "-e", "reason=x", "-e", "force=true")
    assert status == 0 and "WARNING, no trunk in service: route pool" in said, said
    assert engine.drained()
    status, said, report = verify()
    assert status != 0 and [problem["what"] for problem in report["problems"]] == ["route pool has no trunk that is up and in service"], said


def test_all_is_well(healthy, verify, plan):
    for options in ((), ("--check",)):
        status, said, report = verify(*options)
        assert status == 0 and report["healthy"] is True and report["problems"] == [] == report["warnings"], said
        assert [row["id"] for row in report["rows"]] == [target["id"] for trunk in plan["trunks"] for target in trunk["targets"]]
        assert all(row["drift"] is False for row in report["rows"])


def test_a_drained_trunk_is_a_warning(healthy, engine, verify):
    engine.drain("beta")
    status, said, report = verify()
    assert status == 0 and report["healthy"] is True, said
    assert [(warning["trunk"], warning["what"].partition(" ")[0]) for warning in report["warnings"]] == [("beta", "drained")]


def test_a_silent_carrier_is_told(healthy, lab: Lab, engine, verify, plan):
    lab.tell({"acme1": DEAD})
    gone = [
        target["id"] for trunk in plan["trunks"] if trunk["probe"]["interval"] for target in trunk["targets"] if lab.host_of(f"{target['address']}:") == "acme1"
    ]
    wait_until(lambda: {name for name, alive in engine.reachable().items() if not alive} == set(gone), 40, "the probes notice")
    status, said, report = verify()
    assert status != 0 and report["healthy"] is False
    assert [row["id"] for row in report["rows"] if row["state"] == "BAD" and row["probe"] == "dead"] == gone, said
    assert all(f"{lab.pbx} {row['trunk']} {row['target']}: no answer to its probes" in said for row in report["rows"] if row["id"] in gone)
    lab.reset()
    wait_until(lambda: all(engine.reachable().values()), 60, "every target reachable again")


def test_a_phone_system_that_is_down_is_told(healthy, lab: Lab, engine, verify):
    lab.service(engine.process, "stop", lab.pbx)
    try:
        status, said, report = verify()
    finally:
        lab.service(engine.process, "start", lab.pbx)
    assert status != 0 and report["rows"] == [] and "its phone system does not answer: cannot connect" in said, said
    wait_until(lambda: is_up(engine), 60, "every target reachable after the start")


def test_the_dns_that_says_otherwise_is_told(healthy, lab: Lab, verify):
    lab.serve_zones(f"cp {ZONE} {ZONE}.before; sed -i 's/^gw2 .*/gw2 A {lab.net}.99/' {ZONE}")
    try:
        status, said, report = verify()
    finally:
        lab.serve_zones(f"mv {ZONE}.before {ZONE}")
    assert status != 0 and {row["trunk"] for row in report["rows"] if row["drift"]} == {"acme", "acme-hosts", "acme-tls", "acme-wild", "pool", "second"}, said
    told = [problem["what"] for problem in report["problems"] if problem["trunk"] == "acme" and "DNS" in problem["what"]]
    assert told == [
        f"the DNS says otherwise than what is deployed: sip.acme.example lost {lab.net}.22:5060, has {lab.net}.99:5060; deploy again"
    ]
