# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments that go wrong, on a converged PBX: what is the same for every engine.

A play takes ten seconds, so most tests run the one module that matters: a play in check mode leaves it on the
host, arguments and all, as Ansible would run it (`Host.prepare`). Every test ends with the lab's own model in force.

A test file of an engine defines `HOST`, a Host, and CASES, the values of the fixtures that tests here are parametrised by;
then it takes everything from here (`from deployments import *`), and adds what only its engine has.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import yaml
from harness import Lab, enter, wait_until

REPO = Path(__file__).resolve().parents[2]
MODEL = yaml.safe_load((REPO / "inventories/lab/group_vars/siptrunk_pbx.yml").read_text(encoding="utf-8"))
PROGRAMS = "~/siptrunk-deployments"
SECRETS = ('only"password', "sesame-of-gamma")


# --- models --------------------------------------------------------------------------------


def model(change=None):
    """The lab's trunks and routes, changed by `change`."""
    variables = {key: copy.deepcopy(MODEL[key]) for key in ("siptrunk_trunks", "siptrunk_routes")}
    if change:
        change({trunk["name"]: trunk for trunk in variables["siptrunk_trunks"]}, variables)
    return variables


def other(trunks, variables):
    """gamma comes, beta-tcp goes, acme is told another user."""
    variables["siptrunk_trunks"].remove(trunks["beta-tcp"])
    trunks["acme"]["from_user"] = "pbx-100"
    gamma = {"name": "gamma", "servers": [{"host": f"{Lab().net}.32"}], "username": "me", "password": SECRETS[1], "register": True, "probe": {"interval": 0}}
    variables["siptrunk_trunks"].append(gamma)
    variables["siptrunk_routes"][2]["trunks"] = ["gamma", "acme"]


# --- the host ------------------------------------------------------------------------------


class Host:
    """The PBX of a lab, and the deployments that were prepared on it.

    A subclass says what is its engine's: the attributes, `objects`, and the values of CASES.
    """

    name = host = inventory = module = service = config = log = program = ""
    included = ()  # the operator's files that include ours, below `config`
    replaced: dict[str, str] = {}  # other models that differ from the usual one in words alone: what sed makes of it is what a play would
    plays: dict[str, dict] = {}  # more variables of a play for a model of that name
    watched: dict[str, str] = {}  # moment at which a run is killed: a condition of the shell; NOW is the live release
    programs = PROGRAMS
    secret_file = tools = everything = ""  # tools: what the scripts of CASES begin with; everything: a script that shows all there is
    kept = ()  # files with passwords outside the release
    waits: list[str] = []  # what says that the model `silence` waits for a restart
    shown: list[str] = []  # parts of the difference from `usual` to `other`
    kills = 10  # moments of a run at which it is killed
    settled = False  # whether the test before ended well

    def __init__(self):
        self.lab = Lab(pbx=self.host)
        self.container = self.lab.container(self.host)

    def shell(self, script, check=True):
        return enter(self.container, ["sh", "-c", script], check=check)

    def privileged(self, script):
        """In the container, with what it lacks to mount a file system."""
        subprocess.run(["podman", "exec", "--privileged", self.container, "sh", "-c", script], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def play(self, variables, *options, playbook="site.yml", **environment):
        """(whether it succeeded, output) of a playbook with these variables."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as stream:
            json.dump({**variables, "monitor_enabled": False}, stream)
            stream.flush()
            inventories = [part for path in self.inventory for part in ("-i", path)]
            argv = ["ansible-playbook", *inventories, "--limit", self.host, playbook, "-e", f"@{stream.name}", *options]
            environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_HOST_PATTERN_MISMATCH": "warning", **environment}
            done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout + done.stderr

    def prepare(self):
        """The module with the arguments of each model, on the host. What Ansible leaves holds passwords: see `forget`."""
        self.shell(f"rm -rf ~/.ansible/tmp {PROGRAMS}; mkdir -m 700 {PROGRAMS}")
        for name, variables in {"usual": model(), "other": model(other), **self.plays}.items():
            succeeded, said = self.play({**model(), **variables}, "--check", ANSIBLE_KEEP_REMOTE_FILES="1", ANSIBLE_PIPELINING="0")
            assert succeeded, said
            self.shell(
                f"sed 's/\"_ansible_check_mode\": true/\"_ansible_check_mode\": false/' ~/.ansible/tmp/*/AnsiballZ_{self.module}.py"
                f" > {PROGRAMS}/{name}.py; rm -rf ~/.ansible/tmp"
            )
        for name, script in self.replaced.items():
            self.shell(f"cd {PROGRAMS} && sed '{script}' usual.py > {name}.py && ! cmp -s usual.py {name}.py")

    def forget(self):
        self.shell(f"rm -rf {PROGRAMS} ~/.ansible/tmp")

    def deploy(self, name, check=False, user="root", allow_restart=False):
        """The module's result."""
        option = '"_ansible_check_mode": %s'
        script = f"sed 's/{option % 'false'}/{option % str(check).lower()}/; s/\"timeout\": 30/\"timeout\": 12/"
        script += "; s/\"allow_restart\": false/\"allow_restart\": true/" if allow_restart else ""
        script += f"' {PROGRAMS}/{name}.py"
        run = f"chmod 644 deployment.py; runuser -u {user} -- python3 deployment.py; rm deployment.py"
        return json.loads(self.shell(f"cd /tmp; {script} > deployment.py; {run}", check=False))

    def killed(self, when, name="other"):
        """Run the deployment, and kill it when the shell's condition `when` is true, or after so many seconds. It stands still while the shell looks."""
        look = f"kill -STOP $! || break; {self.watched.get(when, '')} >/dev/null 2>&1 && break; kill -CONT $!; sleep 0.01"
        wait = f"sleep {when}" if isinstance(when, float) else f"while [ -e /proc/$!/exe ]; do {look}; done"
        return self.shell(
            f"cd /tmp; NOW=$(readlink {self.config}/siptrunk | cut -d/ -f2); python3 {PROGRAMS}/{name}.py > killed.out 2>&1 &"
            f" {wait}; kill -KILL $! && wait $!; cat killed.out; rm killed.out",
            check=False,
        )

    def objects(self):
        """What runs, by what the engine itself says."""
        raise NotImplementedError

    def calls(self):
        """How many there are now."""
        raise NotImplementedError

    def restart(self):
        """The service, until it is ready."""
        raise NotImplementedError

    def files(self):
        """Everything below the configuration directory that has to do with the trunks, by content, owner and mode."""
        return self.shell(
            f"cd {self.config} && ls -l siptrunk | sed 's/.*-> //'; md5sum {' '.join(self.included)};"
            " find -L siptrunk -type f -exec md5sum {} + -exec stat -c '%n %U:%G %a' {} + | sort; ls -A siptrunk.d"
        )

    def leftovers(self):
        """What no run may leave behind, whatever becomes of it."""
        return self.shell(
            f"ls -d /run/siptrunk-try-* /tmp/siptrunk-try-* {self.config}/*.new {self.config}/siptrunk.d/*.new {self.config}/siptrunk.d/journal* 2>/dev/null;"
            " pgrep -fa -- '-(conf|C) [^ ]*siptrunk-[t]ry-'",
            check=False,
        )

    def logged(self):
        """The engine's own log."""
        return self.shell(f"cat {self.log}", check=False)

    def since(self, moment):
        return self.shell(f"journalctl --since @{moment} --no-pager -o cat") + self.logged()

    def secrets(self):
        """All passwords that the role generates."""
        return [self.secret(), *(self.shell(f"cat {path}").strip() for path in self.kept)]

    def secret(self):
        return self.shell(f"cat {self.config}/siptrunk/{self.secret_file}")


# --- fixtures ------------------------------------------------------------------------------


def pytest_generate_tests(metafunc):
    for fixture, values in metafunc.module.CASES.items():
        if fixture in metafunc.fixturenames:
            named = values if isinstance(values, dict) else {value: value for value in values}
            metafunc.parametrize(fixture, list(named.values()), ids=[", then ".join(name) if isinstance(name, tuple) else name for name in named])


@pytest.fixture(scope="module")
def host(request):
    found = request.module.HOST
    try:
        found.prepare()
        found.deploy("usual", allow_restart=True)  # another model may have needed one
        yield found
    finally:
        found.forget()


@pytest.fixture(autouse=True)
def usual(host):
    """Each test begins and ends with the lab's own model in force, and nothing left over."""
    if not host.settled:
        before = host.deploy("usual")
        assert "failed" not in before, before
    host.settled = False
    yield
    after = host.deploy("usual")
    assert "failed" not in after, after
    assert host.deploy("usual")["changed"] is False
    assert host.leftovers() == ""
    host.settled = True


# --- what may happen -----------------------------------------------------------------------


def test_a_change_is_deployed_and_the_second_run_changes_nothing(host):
    predicted = host.deploy("other", check=True)
    before = host.files()
    result = host.deploy("other")
    assert predicted["changed"] and result["changed"] and predicted["did"] == result["did"]
    assert f"throwaway {host.name}" in result["tried"]
    assert int(result["release"]) == int(result["previous"]) + 1 and host.files() != before
    assert host.deploy("other")["changed"] is host.deploy("other", check=True)["changed"] is False


def test_what_was_broken_by_hand_is_mended(host, damage):
    running, password = host.objects(), host.secret()
    host.shell(f"cd {host.config} && {host.tools}{damage}")
    assert host.deploy("usual", check=True)["changed"]
    result = host.deploy("usual")
    assert result["changed"] and "failed" not in result, result
    assert host.objects() == running
    assert host.secret() == password
    assert host.deploy("usual")["changed"] is False


def test_what_the_running_engine_lost_is_loaded_again(host, loss):
    """All files are right, and yet it runs without them."""
    running = host.objects()
    script, did = loss
    host.shell(host.tools + script)
    assert host.deploy("usual", check=True)["did"] == host.deploy("usual")["did"] == [did]
    assert host.objects() == running


def test_the_play_fails_with_the_words_of_the_engine(host, refused):
    variables, words = refused
    succeeded, said = host.play({**model(), **variables})
    assert not succeeded and words in said and "Nothing was changed." in said


@pytest.mark.parametrize("check", [True, False])
def test_what_the_engine_refuses_changes_nothing(host, check, refusal):
    name, words = refusal
    before, running, log = host.files(), host.objects(), host.logged()
    began = int(time.time())
    result = host.deploy(name, check=check)
    assert result["failed"] and result["rolled_back"] is False
    for part in words:
        assert part in result["msg"]
    assert result["msg"].endswith("Nothing was changed.")
    assert (host.files(), host.objects()) == (before, running)
    assert words[0] not in host.since(began).replace(log, ""), "the live one saw it"


def test_a_full_disk_changes_nothing(host):
    before, running = host.files(), host.objects()
    # the files of before fit, and the new ones do not
    host.privileged(
        f"cd {host.config} && cp -a siptrunk.d /tmp/kept && mount -t tmpfs -o size=$(( $(du -sk siptrunk.d | cut -f1) + 16 ))k tmpfs siptrunk.d"
        f" && cp -a /tmp/kept/. siptrunk.d && rm -r /tmp/kept && chown root:{host.group} siptrunk.d && chmod 750 siptrunk.d"
    )
    try:
        result = host.deploy("other")
        assert result["failed"] and result["rolled_back"] is False
        assert re.search(rf"{host.config}/siptrunk\.d/\d+/\S+: No space left on device\. Nothing was changed\.$", result["msg"]), result["msg"]
        assert (host.files(), host.objects()) == (before, running)
        assert host.leftovers() == ""
    finally:
        host.privileged(f"umount {host.config}/siptrunk.d")


def test_without_permission_nothing_changes(host, user):
    before, running = host.files(), host.objects()
    for check in (True, False):
        result = host.deploy("other", check=check, user=user)
        assert result["failed"] and result["rolled_back"] is False
        assert re.search(rf"{host.config}/siptrunk\S*: Permission denied\. Nothing was changed\.$", result["msg"]), result["msg"]
    assert (host.files(), host.objects()) == (before, running)


def test_a_read_only_disk_changes_nothing(host):
    before, running = host.files(), host.objects()
    host.privileged(f"mount --bind {host.config} {host.config} && mount -o remount,ro,bind {host.config}")
    try:
        result = host.deploy("other")
        assert re.search(r"Read-only file system\. Nothing was changed\.$", result["msg"]), result["msg"]
        assert (host.files(), host.objects()) == (before, running)
    finally:
        host.privileged(f"umount {host.config}")


def test_killed_midway_the_next_run_heals(host, killed):
    when, then = killed
    running = host.objects()
    for _attempt in range(5):
        if host.killed(when) == "":
            break
        assert host.deploy("usual")["changed"]  # it ended before that was seen
    else:
        pytest.fail(f"it ended five times before that was seen: {when}")
    result = host.deploy(then)
    if then == "nonsense":  # refused: what the killed run left live is taken back
        assert result["failed"]
    else:
        assert "failed" not in result, result
        assert host.deploy(then)["changed"] is False
        assert host.leftovers() == ""
    if then == "other":
        assert "gamma.1" in str(host.objects()) and "beta-tcp" not in str(host.objects())
    else:
        assert host.objects() == running, result


def test_killed_at_any_moment_the_next_run_heals(host):
    running = host.objects()
    took = []
    for name in ("other", "usual"):
        began = time.monotonic()
        assert host.deploy(name)["changed"]
        took.append(time.monotonic() - began)
    lasts, killed = min(took), 0
    for part in range(1, host.kills + 1):
        moment = round(lasts * part / host.kills, 3)
        if host.killed(moment) == "":
            killed += 1
        else:
            lasts = min(lasts, moment)  # it takes less now
        result = host.deploy("usual")
        assert "failed" not in result, result
        assert host.objects() == running, result
        assert host.deploy("usual")["changed"] is False and host.leftovers() == "", f"killed after {moment} s of {lasts:.1f}"
    assert killed >= host.kills // 2


def test_a_stopped_engine_is_started(host):
    running, did = host.objects(), [f"Start {host.name}."]
    host.shell(f"systemctl stop {host.service}")
    assert host.deploy("usual", check=True)["did"] == did
    assert host.shell(f"systemctl is-active {host.service}", check=False).strip() == "inactive"
    result = host.deploy("usual")
    assert result["did"] == did
    assert (host.shell(f"systemctl is-active {host.service}").strip(), host.objects()) == ("active", running)


def test_a_change_while_the_engine_is_stopped_is_tried_and_then_started(host):
    host.shell(f"systemctl stop {host.service}")
    assert host.deploy("nonsense")["failed"]
    assert host.shell(f"systemctl is-active {host.service}", check=False).strip() == "inactive"
    assert "throwaway" in host.deploy("other")["tried"]
    assert "gamma.1" in str(host.objects())


def test_a_call_survives_every_converge(host):
    """It lasts until the last deployment has ended, however long that takes; then its caller hangs up."""
    moments, placed, carriers = [], time.time(), host.lab.carriers.values()
    with host.lab.caller.talking("12125550100") as call:
        wait_until(lambda: host.calls() == 1 and any(leg["acked"] for carrier in carriers for leg in carrier.invites(placed)), 60, "the call")
        for name in ("other", "usual", "nonsense", "renamed", "other"):
            host.deploy(name)
            moments.append(time.time())
        assert host.calls() == 1
    seen = call.result()
    assert (seen.code, seen.ended_by) == (200, "caller")
    answered = seen.started + seen.answered_pdd
    assert answered < moments[0] and moments[-1] < answered + seen.talk


@pytest.mark.parametrize("name", ["renamed", "other"])
def test_a_trunk_that_is_renamed_or_removed_leaves_nothing_behind(host, name):
    host.deploy(name)
    assert "beta-tcp" not in str(host.objects())
    assert host.shell(f"grep -rl beta-tcp {host.config}/siptrunk/ || true") == ""
    assert "beta-tcp" not in host.shell(host.tools + host.everything)


@pytest.mark.parametrize("name", ["usual", "other"])
def test_a_restart_of_the_service_equals_the_reload(host, name):
    host.deploy(name)
    running = host.objects()
    assert len(running) > 8
    host.restart()
    wait_until(lambda: host.objects() == running, 20, "the same objects")
    assert host.deploy(name)["changed"] is False


def test_what_needs_a_restart_says_so_and_waits(host):
    started = host.started()
    result = host.deploy("silence")
    assert result["restart_needed"] == host.waits
    assert f"RESTART NEEDED: {host.waits[0]}" in str(result["warnings"]) and not result["restarted"]
    assert host.started() <= started + 3, "a moment by the engine's uptime, in whole seconds"
    healthy, said = host.play({}, playbook="playbooks/verify.yml")
    assert not healthy and f"RESTART NEEDED, and until then not in force: {host.waits[0]}" in said
    again = host.deploy("silence")
    assert again["changed"] is False and again["restart_needed"] == result["restart_needed"]
    assert host.deploy("usual")["restart_needed"] == [], "what runs is as it was"


def test_changed_credentials_register_at_once(host):
    """Not when the registration is due, up to an hour later; and the result is looked at."""

    def answers(since):
        return {message["code"] for wire in host.lab.wires(since).values() for message in wire if message["dir"] == "tx" and message["method"] == "REGISTER"}

    began = time.time()
    result = host.deploy("wrong-password")
    assert result["registered_anew"] == ["acme"] and [text.partition(" is ")[0] for text in result["not_registered"]] == ["acme"], result
    assert "REGISTRATION REFUSED: acme is " in str(result["warnings"])
    assert 401 in answers(began)
    healthy, said = host.play({}, playbook="playbooks/verify.yml")
    assert not healthy and "acme: not registered: acme is " in said
    began = time.time()
    result = host.deploy("usual")
    assert result["registered_anew"] == ["acme"], result
    wait_until(lambda: 200 in answers(began), 60, "the registration with the former password")
    assert host.deploy("usual")["registered_anew"] == []


def test_no_record_is_lost_when_the_file_is_rotated(host):
    """The engine opens it for each record: what logrotate renames it does not go on writing to."""
    path = host.shell("sed -n 's/^\"\\(.*\\)\" {/\\1/p' /etc/logrotate.d/siptrunk-*").strip()
    host.shell(f"touch {path}; chown {host.service}:{host.group} {path}; rm -f {path}.1")
    for number in ("12125550101", "12125550102"):
        host.lab.caller.call(number)
        wait_until(lambda number=number: number in host.shell(f"cat {path}", check=False), 20, f"the record of {number}")
        host.shell(f"if command -v logrotate; then logrotate -f /etc/logrotate.d/siptrunk-*; else mv {path} {path}.1; fi")
        assert number in host.shell(f"cat {path}.1")


def test_secrets_are_in_no_output_list_of_processes_or_log(host):
    seen, over = [], threading.Event()

    def watch():
        while not over.is_set():
            seen.append(host.shell("for i in $(seq 20); do ps -eww -o args; sleep 0.05; done"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = int(time.time())
    try:
        succeeded, said = host.play(model(other), "--diff", "-vvv")
    finally:
        over.set()
        watcher.join()
    assert succeeded, said
    for shown in host.shown:
        assert shown in said, "the difference is shown"
    for secret in (*SECRETS, SECRETS[0].replace('"', "&#34;"), *host.secrets()):
        assert secret not in said
        assert secret not in "".join(seen)
        assert secret not in host.since(began)
