# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that watches: its rules, its files, and deployments that go wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from harness import enter

REPO = Path(__file__).resolve().parents[3]
SECRET = "sesame-of-the-desk"  # molecule/alerting/inventory
FILES = "/etc/prometheus /etc/default/prometheus /etc/default/prometheus-alertmanager"
INVENTORIES = [f"{REPO}/{path}" for path in ("inventories/lab", "inventories/lab-watch", "molecule/alerting/inventory")]


def state(watch):
    """All that a deployment could change: files with owners and modes, and what is in force."""
    files = watch.shell(f"find {FILES} -printf '%p %u:%g %m\\n' | sort; find {FILES} -type f | sort | xargs sha256sum")
    return files, watch.shell("amtool --alertmanager.url=http://127.0.0.1:9093 config show"), watch.ask("vector(1)") != []


def deploy(*arguments):
    inventories = [part for path in INVENTORIES for part in ("-i", path)]
    done = subprocess.run(
        ["ansible-playbook", "-v", "--diff", *inventories, "--limit", "watch", str(REPO / "playbooks/site.yml"), *arguments],
        capture_output=True, text=True, check=False, timeout=180, stdin=subprocess.DEVNULL, env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_rules_do_what_they_say(watch):
    """As the defaults make them, by Prometheus's own tool."""
    folder = REPO / "tests/alerts"
    cases = sorted(path.name for path in folder.glob("*.yml") if path.name != "rules.yml")
    for path in folder.glob("*.yml"):
        enter(watch.container, ["sh", "-c", f"mkdir -p /tmp/alerts; cat > /tmp/alerts/{path.name}"], path.read_text(encoding="utf-8"))
    said = watch.shell(f"cd /tmp/alerts && promtool test rules {' '.join(cases)} 2>&1", check=False)
    assert said.count("SUCCESS") == len(cases) and "FAILED" not in said, said


def test_the_metrics_are_as_they_should_be_and_the_rules_ask_for_no_others(watch):
    script = "import urllib.request; print(urllib.request.urlopen('http://%s:9560/metrics').read().decode(), end='')"
    metrics = enter(watch.container, ["python3", "-c", script % watch.lab.addresses["pbx"]])
    assert enter(watch.container, ["promtool", "check", "metrics"], metrics) == ""
    rules = watch.shell("grep expr: -A 1 /etc/prometheus/siptrunk/rules.yml")
    known = set(re.findall(r"^# TYPE (\S+)", metrics, re.MULTILINE))
    assert set(re.findall(r"siptrunk_\w+", rules)) <= known


def test_nothing_listens_to_the_world_and_secrets_are_kept(watch):
    listening = watch.shell("ss -Hltn | awk '{print $4}' | sort").split()
    assert [where for where in listening if ":909" in where] == ["127.0.0.1:9090", "127.0.0.1:9093"]
    assert watch.shell("stat -c '%U:%G %a' /etc/prometheus/alertmanager.yml").strip() == "root:prometheus 640"
    assert watch.shell(f"grep -rlF {SECRET} /etc").split() == ["/etc/prometheus/alertmanager.yml"]


def test_a_return_goes_to_those_who_are_not_told_of_ends(watch):
    ask = "amtool config routes test --config.file=/etc/prometheus/alertmanager.yml alertname="
    assert [watch.shell(ask + alert).strip() for alert in ("SiptrunkFailover", "SiptrunkReturn")] == ["lab", "lab (once)"]
    assert watch.shell("amtool config show --alertmanager.url=http://127.0.0.1:9093").count("send_resolved: false") == 1


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"alerting_receivers": [{"name": "desk", "webhook_configs": [{"url": f"http://u:{SECRET}/x@host/", "nonsense": 1}]}]}, "invalid URL"),
        ({"alerting_trunk_down_for": "a while"}, "a while"),
        ({"alerting_alertmanager_arguments": ["--nonsense"]}, "nonsense"),
    ],
    ids=["receiver", "rule", "argument"],
)
def test_a_deployment_that_fails_changes_nothing(watch, change, complaint):
    before = state(watch)
    code, said = deploy("-e", json.dumps(change))
    assert code != 0 and "the files of before are back, and in force" in said and complaint in said
    assert state(watch) == before
    assert SECRET not in said and SECRET[:7] not in said


def test_arguments_that_somebody_else_set_are_not_replaced(watch):
    place = "/etc/default/prometheus"
    watch.shell(f"cp --archive {place} /tmp/kept; echo 'ARGS=\"--log.level=debug\"' > {place}")
    try:
        before = state(watch)
        code, said = deploy()
        assert code != 0 and "alerting_prometheus_arguments" in said and "Nothing was changed." in said, said
        assert state(watch) == before
    finally:
        watch.shell(f"mv /tmp/kept {place}")


def test_another_receiver_is_put_into_force_without_a_restart(watch):
    def since():
        return watch.shell("systemctl show --property ActiveEnterTimestamp prometheus prometheus-alertmanager")

    started = since()
    try:
        code, said = deploy("-e", json.dumps({"alerting_receivers": [{"name": "other-desk", "webhook_configs": [{"url": f"http://127.0.0.1:8000/{SECRET}"}]}]}))
        assert code == 0 and SECRET not in said and "changed=1" in said, said
        assert "other-desk (once)" in state(watch)[1] and since() == started
    finally:
        assert deploy()[0] == 0
    assert since() == started


def test_files_alone_for_a_server_that_exists(watch):
    before = state(watch)
    change = ["-e", '{"alerting_install": false, "alerting_directory": "/srv/rules", "alerting_prometheus_service": ""}']
    code, said = deploy(*change)
    assert code == 0 and "changed=3" in said, said
    assert watch.shell("stat -c '%n %U:%G %a' /srv/rules/*").splitlines() == [
        "/srv/rules/alertmanager.yml root:prometheus 640", "/srv/rules/rules.yml root:root 644", "/srv/rules/targets.json root:root 644",
    ]  # fmt: skip
    watch.shell("rm -r /srv/rules")
    assert state(watch) == before
