# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments that go wrong, on the converged PBX: each leaves it as it was, or the next run heals it.

A play takes ten seconds, so most tests run the one module that matters: a play in check mode leaves it on the
host, arguments and all, as Ansible would run it (`deployments`). Every test ends with the lab's own model in force.
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
from harness import Lab, podman, wait_until

REPO = Path(__file__).resolve().parents[3]
MODEL = yaml.safe_load((REPO / "inventories/lab/group_vars/siptrunk_pbx.yml").read_text(encoding="utf-8"))
PROGRAMS = "~/siptrunk-deployments"
RESTART = "systemctl restart asterisk; for i in $(seq 100); do asterisk -rx 'core waitfullybooted' >/dev/null && break; sleep 0.1; done"
SECRETS = ('only"password', "sesame-of-gamma")
LAB = Lab()
PBX = LAB.container("pbx")


# --- models --------------------------------------------------------------------------------


def model(change=None):
    """The lab's trunks and routes, changed by `change`."""
    variables = {key: copy.deepcopy(MODEL[key]) for key in ("siptrunk_trunks", "siptrunk_routes")}
    if change:
        change({trunk["name"]: trunk for trunk in variables["siptrunk_trunks"]}, variables)
    return variables


def other(trunks, variables):
    """gamma comes, beta-tcp goes, acme has another password."""
    variables["siptrunk_trunks"].remove(trunks["beta-tcp"])
    gamma = {"name": "gamma", "servers": [{"host": f"{LAB.net}.32"}], "username": "me", "password": SECRETS[1], "register": True, "probe": {"interval": 0}}
    variables["siptrunk_trunks"].append(gamma)
    variables["siptrunk_routes"][2]["trunks"] = ["gamma", "acme"]


def nonsense(trunks, _variables):
    trunks["acme"]["codecs"] = ["nonsense"]  # a name that only the engine can judge


# The other models differ from the usual one in words alone: what sed makes of it is what a play would.
REPLACED = {
    "renamed": "s/beta-tcp/delta/g",
    "nonsense": "s/nallow = [a-z,]*/nallow = nonsense/g",
    "silence": r's/\(timer_t1\( =\|":\)\) 100/\1 125/g; s/\(timer_b\( =\|":\)\) 6400/\1 8000/g',
}


# --- the host ------------------------------------------------------------------------------


def shell(script, check=True):
    return podman(PBX, ["sh", "-c", script], check=check)


def privileged(script):
    """In the container, with what it lacks to mount a file system."""
    subprocess.run(["podman", "exec", "--privileged", PBX, "sh", "-c", script], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def play(variables, *options, **environment):
    """(whether it succeeded, output) of the whole playbook with these variables."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as stream:
        json.dump(variables, stream)
        stream.flush()
        argv = ["ansible-playbook", "-i", "inventories/lab", "site.yml", "-e", f"@{stream.name}", *options]
        environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", **environment}
        done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def deployments():
    """The module with the arguments of each model, on the host. What Ansible leaves holds passwords: it is removed."""
    shell(f"rm -rf ~/.ansible/tmp {PROGRAMS}; mkdir -m 700 {PROGRAMS}")
    try:
        for name, change in (("usual", None), ("other", other)):
            succeeded, said = play(model(change), "--check", ANSIBLE_KEEP_REMOTE_FILES="1", ANSIBLE_PIPELINING="0")
            assert succeeded, said
            shell(
                "sed 's/\"_ansible_check_mode\": true/\"_ansible_check_mode\": false/' ~/.ansible/tmp/*/AnsiballZ_asterisk_deploy.py"
                f" > {PROGRAMS}/{name}.py; rm -rf ~/.ansible/tmp"
            )
        for name, script in REPLACED.items():
            shell(f"cd {PROGRAMS} && sed '{script}' usual.py > {name}.py && ! cmp -s usual.py {name}.py")
        yield
    finally:
        shell(f"rm -rf {PROGRAMS} ~/.ansible/tmp")


def deploy(name, check=False, user="root"):
    """The module's result."""
    option = '"_ansible_check_mode": %s'
    script = f"sed 's/{option % 'false'}/{option % str(check).lower()}/; s/\"timeout\": 30/\"timeout\": 8/' {PROGRAMS}/{name}.py"
    said = shell(f"cd /tmp; {script} > deployment.py; chmod 644 deployment.py; runuser -u {user} -- python3 deployment.py; rm deployment.py", check=False)
    return json.loads(said)


def objects():
    """What runs, by what Asterisk itself says: names, contacts, and the dialplan of the trunks."""
    said = shell(
        "for kind in endpoints aors auths registrations identifies contacts transports; do asterisk -rx \"pjsip list $kind\"; done;"
        " asterisk -rx 'manager show users'; asterisk -rx 'dialplan show' | grep -F '[extensions.conf:'"
    )
    # a contact has an identifier of its own in each run, a state and a delay
    names = re.findall(r"^ *((?:Endpoint|Aor|Auth|Identify|Transport|Contact): +[^ /]+(?:/\S+)?)", said, re.MULTILINE)
    registrations = re.findall(r"^ ([^ /]+)/sip", said, re.MULTILINE)
    return sorted(names + registrations + re.findall(r"^.*\[extensions\.conf:\d+\]$", said, re.MULTILINE))


def files():
    """Everything below the configuration directory that has to do with the trunks, by content, owner and mode."""
    return shell(
        "cd /etc/asterisk && ls -l siptrunk | sed 's/.*-> //'; cat pjsip.conf extensions.conf manager.conf | md5sum;"
        " find -L siptrunk -type f -exec md5sum {} + -exec stat -c '%n %U:%G %a' {} + | sort; ls -A siptrunk.d"
    )


def leftovers():
    """What no run may leave behind, whatever becomes of it."""
    return shell(
        "ls -d /run/siptrunk-try-* /tmp/siptrunk-try-* /etc/asterisk/*.new /etc/asterisk/siptrunk.d/*.* 2>/dev/null;"
        " pgrep -fxa 'asterisk -C .*siptrunk-try-.*'; asterisk -rx 'logger show channels' | grep siptrunk",
        check=False,
    )


def since(moment):
    return shell(f"journalctl --since @{moment} --no-pager -o cat; cat /var/log/asterisk/messages.log")


@pytest.fixture(autouse=True)
def usual(deployments):
    """Each test begins and ends with the lab's own model in force, and nothing left over."""
    assert "failed" not in deploy("usual")
    yield
    after = deploy("usual")
    assert "failed" not in after, after
    assert deploy("usual")["changed"] is False
    assert leftovers() == ""


# --- what may happen -----------------------------------------------------------------------


def test_a_change_is_deployed_and_the_second_run_changes_nothing():
    predicted = deploy("other", check=True)
    before = files()
    result = deploy("other")
    assert predicted["changed"] and result["changed"] and predicted["did"] == result["did"]
    assert "throwaway Asterisk 22" in result["tried"]
    assert int(result["release"]) == int(result["previous"]) + 1 and files() != before
    assert deploy("other")["changed"] is deploy("other", check=True)["changed"] is False


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("echo '[acme.1]' >> siptrunk/pjsip.conf; asterisk -rx 'module reload res_pjsip.so'", id="a broken line, loaded"),
        pytest.param("sed -i 's/^exten/;exten/' siptrunk/extensions.conf; asterisk -rx 'dialplan reload'", id="no dialplan, loaded"),
        pytest.param("rm siptrunk/pjsip.conf", id="a file is gone"),
        pytest.param("rm siptrunk", id="the link is gone"),
        pytest.param("chmod 644 siptrunk/pjsip.conf", id="everybody may read"),
        pytest.param("sed -i '/siptrunk/d' pjsip.conf; asterisk -rx 'module reload res_pjsip.so'", id="the include is gone, loaded"),
        pytest.param("rm -r siptrunk.d; asterisk -rx 'dialplan reload'", id="everything is gone"),
    ],
)
def test_what_was_broken_by_hand_is_mended(damage):
    running, password = objects(), shell("cat /etc/asterisk/siptrunk/ami.secret")
    shell(f"cd /etc/asterisk && {damage}")
    assert deploy("usual", check=True)["changed"]
    result = deploy("usual")
    assert result["changed"], result
    assert objects() == running
    assert shell("cat /etc/asterisk/siptrunk/ami.secret") == password
    assert deploy("usual")["changed"] is False


def test_what_the_running_asterisk_lost_is_loaded_again():
    """All files are right, and yet it runs without them."""
    running = objects()
    shell("asterisk -rx 'dialplan remove context siptrunk-hunt'")
    assert deploy("usual", check=True)["did"] == deploy("usual")["did"] == ["Asterisk runs without context siptrunk-hunt."]
    assert objects() == running


def test_the_play_fails_with_the_words_of_asterisk():
    succeeded, said = play(model(nonsense))
    assert not succeeded and "Error parsing allow=nonsense at line" in said and "Nothing was changed." in said


@pytest.mark.parametrize("check", [True, False])
def test_an_object_that_asterisk_refuses_changes_nothing(check):
    before, running = files(), objects()
    began = int(time.time())
    result = deploy("nonsense", check=check)
    assert result["failed"] and result["rolled_back"] is False
    assert "Error parsing allow=nonsense at line 38 of /etc/asterisk/siptrunk/pjsip.conf" in result["msg"]
    assert "Could not create an object of type 'endpoint' with id 'acme.1'" in result["msg"]
    assert result["msg"].endswith("Nothing was changed.")
    assert (files(), objects()) == (before, running)
    assert "nonsense" not in shell("cat /var/log/asterisk/messages.log") + since(began), "the live Asterisk saw it"


def test_what_the_running_asterisk_alone_refuses_is_rolled_back():
    """The operator's modules.conf keeps out a module that the throwaway one has: no registration comes up."""
    shell("cp -a /etc/asterisk/modules.conf /tmp && sed -i '/^\\[modules\\]/a noload = res_pjsip_outbound_registration.so' /etc/asterisk/modules.conf")
    try:
        shell(RESTART)
        before, running = files(), objects()
        result = deploy("other")
        assert result["failed"] and result["rolled_back"] is True
        assert "Asterisk runs without registration gamma." in result["msg"]
        assert result["msg"].endswith("The files of before are back, and in force.")
        assert (files(), objects()) == (before, running)
    finally:
        shell(f"cp -a /tmp/modules.conf /etc/asterisk && rm /tmp/modules.conf && {RESTART}")


def test_a_full_disk_changes_nothing():
    before, running = files(), objects()
    # the files of before fit, and the new ones do not
    privileged(
        "cd /etc/asterisk && cp -a siptrunk.d /tmp/kept && mount -t tmpfs -o size=$(( $(du -sk siptrunk.d | cut -f1) + 16 ))k tmpfs siptrunk.d"
        " && cp -a /tmp/kept/. siptrunk.d && rm -r /tmp/kept && chown root:asterisk siptrunk.d && chmod 750 siptrunk.d"
    )
    try:
        result = deploy("other")
        assert result["failed"] and result["rolled_back"] is False
        assert re.search(r"/etc/asterisk/siptrunk\.d/\d+/\S+: No space left on device\. Nothing was changed\.$", result["msg"])
        assert (files(), objects()) == (before, running)
        assert leftovers() == ""
    finally:
        privileged("umount /etc/asterisk/siptrunk.d")


@pytest.mark.parametrize("user", ["nobody", "asterisk"])
def test_without_permission_nothing_changes(user):
    before, running = files(), objects()
    for check in (True, False):
        result = deploy("other", check=check, user=user)
        assert result["failed"] and result["rolled_back"] is False
        assert re.search(r"/etc/asterisk/siptrunk\S*: Permission denied\. Nothing was changed\.$", result["msg"])
    assert (files(), objects()) == (before, running)


def test_a_read_only_disk_changes_nothing():
    before, running = files(), objects()
    privileged("mount --bind /etc/asterisk /etc/asterisk && mount -o remount,ro,bind /etc/asterisk")
    try:
        result = deploy("other")
        assert re.search(r"Read-only file system\. Nothing was changed\.$", result["msg"])
        assert (files(), objects()) == (before, running)
    finally:
        privileged("umount /etc/asterisk")


WATCHED = {
    "while the throwaway Asterisk tries": "ls -d /run/siptrunk-try-*/var/asterisk.ctl",
    "before the release is written": "[ -d /etc/asterisk/siptrunk.d/$((NOW + 1)) ]",
    "when the journal stands": "[ -e /etc/asterisk/siptrunk.d/journal.json ]",
    "when the release is live": '[ "$(readlink /etc/asterisk/siptrunk)" = siptrunk.d/$((NOW + 1)) ]',
    "when Asterisk loads it": "asterisk -rx 'pjsip list endpoints' | grep -q gamma.1",
}


def killed(when):
    """Run the deployment of `other`, and kill it when the shell's condition `when` is true, or after so many seconds."""
    wait = f"sleep {when}" if isinstance(when, float) else f"for i in $(seq 2000); do {WATCHED[when]} >/dev/null 2>&1 && break; kill -0 $! || break; done"
    return shell(
        f"cd /tmp; NOW=$(readlink /etc/asterisk/siptrunk | cut -d/ -f2); python3 {PROGRAMS}/other.py > killed.out 2>&1 &"
        f" {wait}; kill -KILL $! && wait $!; cat killed.out; rm killed.out",
        check=False,
    )


@pytest.mark.parametrize("then", ["other", "usual", "nonsense"])
@pytest.mark.parametrize("when", WATCHED)
def test_killed_midway_the_next_run_heals(when, then):
    running = objects()
    assert killed(when) == "", "it ended before it was killed"
    result = deploy(then)
    if then == "nonsense":  # refused: what the killed run left live is taken back
        assert result["failed"]
    else:
        assert "failed" not in result, result
        assert deploy(then)["changed"] is False
        assert leftovers() == ""
    if then == "other":
        assert "gamma.1" in str(objects()) and "beta-tcp" not in str(objects())
    else:
        assert objects() == running


def test_killed_at_any_moment_the_next_run_heals():
    running = objects()
    unharmed = 0
    for tenths in range(1, 25):
        unharmed += killed(tenths / 10) != ""
        assert "failed" not in deploy("usual")
        assert objects() == running
        assert deploy("usual")["changed"] is False and leftovers() == "", f"killed after {tenths / 10} s"
        if unharmed == 2:
            break
    assert tenths > 8


def test_a_stopped_asterisk_is_started():
    running = objects()
    shell("systemctl stop asterisk")
    assert deploy("usual", check=True)["did"] == ["Start Asterisk."]
    assert shell("systemctl is-active asterisk", check=False).strip() == "inactive"
    result = deploy("usual")
    assert result["did"] == ["Start Asterisk."]
    assert (shell("systemctl is-active asterisk").strip(), objects()) == ("active", running)


def test_a_change_while_asterisk_is_stopped_is_tried_and_then_started():
    shell("systemctl stop asterisk")
    assert deploy("nonsense")["failed"]
    assert shell("systemctl is-active asterisk", check=False).strip() == "inactive"
    assert "throwaway" in deploy("other")["tried"]
    assert "gamma.1" in str(objects())


def test_a_call_survives_every_converge():
    seen = []
    caller = threading.Thread(target=lambda: seen.append(LAB.caller.call("12125550100", hold=30)))
    caller.start()
    try:
        wait_until(lambda: "1 active call" in shell("asterisk -rx 'core show channels count'"), 20, "the call")
        for name in ("other", "usual", "nonsense", "renamed", "other"):
            deploy(name)
        assert "1 active call" in shell("asterisk -rx 'core show channels count'")
    finally:
        caller.join()
    assert (seen[0].code, seen[0].ended_by) == (200, "caller")
    assert seen[0].talk == pytest.approx(30, abs=1)


@pytest.mark.parametrize(("name", "gone"), [("renamed", "beta-tcp"), ("other", "beta-tcp")])
def test_a_trunk_that_is_renamed_or_removed_leaves_nothing_behind(name, gone):
    deploy(name)
    assert gone not in str(objects())
    assert shell(f"grep -rl '{gone}' /etc/asterisk/siptrunk/ || true") == ""
    assert gone not in shell("asterisk -rx 'pjsip show contacts'; asterisk -rx 'pjsip show registrations'; asterisk -rx 'dialplan show'")


@pytest.mark.parametrize("name", ["usual", "other"])
def test_a_restart_of_the_service_equals_the_reload(name):
    deploy(name)
    running = objects()
    assert len(running) > 50
    shell(RESTART)
    wait_until(lambda: objects() == running, 20, "the same objects")
    assert deploy(name)["changed"] is False


def test_what_needs_a_restart_says_so_and_waits():
    def uptime():
        return int(re.search(r"System uptime: *(\d+)", shell("asterisk -rx 'core show uptime seconds'"))[1])

    started = uptime()
    result = deploy("silence")
    assert result["restart_needed"] == ["timer_b=8000 (now 6400)", "timer_t1=125 (now 100)"]
    assert "RESTART NEEDED: timer_b=8000" in str(result["warnings"]) and not result["restarted"]
    assert uptime() >= started
    again = deploy("silence")
    assert again["changed"] is False and again["restart_needed"] == result["restart_needed"]


def test_secrets_are_in_no_output_list_of_processes_or_log():
    seen, over = [], threading.Event()

    def watch():
        while not over.is_set():
            seen.append(shell("for i in $(seq 20); do ps -eww -o args; sleep 0.05; done"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = int(time.time())
    try:
        succeeded, said = play(model(other), "--diff", "-vvv")
    finally:
        over.set()
        watcher.join()
    assert succeeded, said
    assert "+password = ********" in said and "+[gamma]" in said, "the difference is shown"
    for secret in (*SECRETS, shell("cat /etc/asterisk/siptrunk/ami.secret")):
        assert secret not in said
        assert secret not in "".join(seen)
        assert secret not in since(began)
