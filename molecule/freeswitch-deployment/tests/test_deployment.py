# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments to FreeSWITCH that go wrong: each leaves it as it was, or the next run heals it (tests/deployment)."""

from __future__ import annotations

import re
import time

import pytest

pytest.register_assert_rewrite("deployments")

from deployments import *  # noqa: E402, F403 (its tests are this file's)  # pylint: disable=wildcard-import,unused-wildcard-import
from deployments import SECRETS, Host, model  # noqa: E402
from engines import FreeSwitch  # noqa: E402
from harness import wait_until  # noqa: E402

GATEWAY = re.compile(r"<name>(\S+)</name>\s*<profile>siptrunk</profile>.*?<uptime-usec>(\d+)</uptime-usec>", re.DOTALL)
AGAIN = "until ! fs 'sofia profile siptrunk {}' | grep -q 'Please wait'; do sleep 1; done"  # FreeSWITCH wants ten seconds between two
NOT_HERE = "Error Creating SIP UA for profile: siptrunk (sip:mod_sofia@198.18.99.99:5090"
NEW_PASSWORD = "another-password-of-the-event-socket"  # noqa: S105


class OnFreeSwitch(Host):
    """The lab's FreeSWITCH."""

    name, host, module, service, group = "FreeSWITCH", "fs", "freeswitch_deploy", "freeswitch", "freeswitch"
    inventory = ("inventories/lab/hosts.yml", "inventories/lab-freeswitch")
    prefix = FreeSwitch.prefix
    config, secret_file = FreeSwitch.etc, "esl.secret"
    log = f"{FreeSwitch.log}/freeswitch.log"
    included = ("autoload_configs/00_siptrunk.xml", "sip_profiles/siptrunk.xml", "dialplan/00_siptrunk.xml")
    tools = f"SECRET=$(cat {config}/siptrunk/esl.secret 2>/dev/null); fs() {{ {prefix}/bin/fs_cli -p ${{SECRET:-ClueCon}} -x \"$1\"; }}; "
    everything = "fs 'sofia status'; fs 'sofia xmlstatus gateway'; fs 'xml_locate root'"
    plays = {"key": {"freeswitch_esl_password": NEW_PASSWORD}}
    replaced = {
        "renamed": "s/beta-tcp/delta/g",
        "wrong-password": r"s/lab\(\\*;only\)/bad\1/g",
        "nonsense": r's/\(sip-ip\\*" value=\\*"\)[0-9.]*/\1198.18.99.99/',
        "silence": r's/\(timer-T1X64\\*" value=\\*"\)[0-9]*/\18000/',
        "codecs": r's/\(codec-prefs\\*" value=\\*"\)[A-Z,]*/\1PCMU/g',
        "taken": r's/\(sip-port\\*" value=\\*"\)5090/\15060/',
        "dropped": r's/\(name=\\*"ping\\*" value=\\*"[0-9]*\\*"\/>\)/\1<?x?>/g',
        "lua": "s/-- nanp: the/return return -- nanp: the/",
        "xml": "s/<.gateways>/<gateways>/",
    }
    watched = {
        "while the throwaway FreeSWITCH tries": "ls /run/siptrunk-try-*/var/freeswitch.xml.fsxml",
        "before the release is written": f"[ -d {config}/siptrunk.d/$((NOW + 1)) ]",
        "when the journal stands": f"[ -e {config}/siptrunk.d/journal.json ]",
        "when the release is live": f'[ -e {config}/siptrunk.d/journal.json ] && [ "$(readlink {config}/siptrunk)" = siptrunk.d/$((NOW + 1)) ]',
        "when FreeSWITCH loads it": f"[ -e {config}/siptrunk.d/journal.json ] && {prefix}/bin/fs_cli -p $(cat {config}/siptrunk/esl.secret)"
        " -x 'sofia xmlstatus gateway gamma.1' | grep -q '<name>gamma'",
        "when the event socket has its new password": f"{prefix}/bin/fs_cli -p {NEW_PASSWORD} -x status | grep -q ready",
    }
    waits = ["timer-T1X64=8000 of the Sofia profile siptrunk (now 4000)"]
    shown = ['+    <gateway name="gamma.1">', '+      <param name="password" value="********"/>']
    kills = 6

    def fs(self, *commands):
        return self.shell(self.tools + "; ".join(f"fs '{command}'" for command in commands))

    def objects(self):
        said = self.shell(
            self.tools + "fs 'sofia xmlstatus gateway' > /tmp/gateways; grep -h '<name>' /tmp/gateways | sed 's/ *<.\\?name>//g' | sort | while read -r name;"
            ' do echo "$name $(fs "sofia_gateway_data $name ivar siptrunk_mark")'
            ' $(fs "sofia xmlstatus gateway $name" | grep -E "<(pingfreq|from|proxy)>" | tr -d " \\n")"; done; rm /tmp/gateways;'
            " fs 'sofia xmlstatus profile siptrunk' | grep -E '<(url|context|inbound-codecs|outbound-codecs)>';"
            " fs 'xml_locate root' | md5sum; fs 'show modules' | md5sum"
        )
        return said.splitlines()

    def uptimes(self):
        """{gateway: seconds since it was started}."""
        return {name: int(age) / 1e6 for name, age in GATEWAY.findall(self.fs("sofia xmlstatus gateway"))}

    def started(self):
        return time.time() - max(self.uptimes().values())

    def calls(self):
        return int(self.fs("show calls count").split()[0])

    def ready(self):
        said = self.shell(self.tools + "fs 'sofia xmlstatus profile siptrunk'; fs 'sofia xmlstatus profile internal'", check=False)
        return said.count("<profile-info>") == 2

    def restart(self):
        self.shell(f"systemctl restart {self.service}")
        wait_until(self.ready, 30, "both profiles")

    def pristine(self):
        """As the operator had it, before there was anything of ours."""
        self.shell(f"cd {self.config} && rm -rf siptrunk siptrunk.d {' '.join(self.included)} && systemctl restart {self.service}")
        wait_until(lambda: "<profile-info>" in self.shell(self.tools + "fs 'sofia xmlstatus profile internal'", check=False), 30, "the operator's profile")

    def tree(self):
        return self.shell(f"cd {self.config} && find . -type f -o -type l | sort | xargs md5sum; ls -laR --time-style=+ . | grep -v ^total")


HOST = OnFreeSwitch()
MOMENTS = [moment for moment in HOST.watched if "password" not in moment]
CASES = {
    "damage": {
        "an element is gone, loaded": "sed -i '/name=\"ping\"/d' siptrunk/profile.xml; fs reloadxml; fs 'sofia profile siptrunk killgw acme.1.probe'; sleep 1;"
        " fs 'sofia profile siptrunk rescan'",
        "no dialplan, loaded": "sed -i '/<extension/,/<.extension>/d' siptrunk/dialplan.xml; fs reloadxml",
        "a file is no XML": "echo '<gateway' >> siptrunk/profile.xml; fs reloadxml",
        "a file is gone": "rm siptrunk/route-nanp.lua",
        "the link is gone": "rm siptrunk",
        "everybody may read": "chmod 644 siptrunk/profile.xml",
        "an include is gone, loaded": "rm sip_profiles/siptrunk.xml; fs reloadxml",
        "an include is emptied, loaded": ": > dialplan/00_siptrunk.xml; fs reloadxml",
        "everything is gone, loaded": f"rm -r siptrunk.d; fs reloadxml; {AGAIN.format('stop')}",
    },
    "loss": {
        "a gateway": ("fs 'sofia profile siptrunk killgw beta.1'; sleep 1", "FreeSWITCH runs without gateway beta.1."),
        "the profile": (AGAIN.format("stop") + "; sleep 1", "Start the Sofia profile siptrunk."),
    },
    "refused": {"an address that is not here": ({"freeswitch_sip_ip": "198.18.99.99"}, f"[ERR] sofia.c:3302 {NOT_HERE}")},
    "refusal": {
        "an address that is not here": ("nonsense", [NOT_HERE, "The Sofia profile siptrunk did not start."]),
        "a line that FreeSWITCH drops": ("dropped", ["FreeSWITCH dropped lines of profile.xml"]),
        "no Lua": ("lua", [f"{HOST.config}/siptrunk/route-nanp.lua:3: "]),
        "no XML": ("xml", ["error near line", f"{HOST.config}/siptrunk/profile.xml is not well-formed: mismatched tag"]),
    },
    "user": ["nobody", "freeswitch"],
    "killed": [
        *((moment, "usual") for moment in MOMENTS),
        *((moment, "other") for moment in MOMENTS[2:]),
        *((moment, "nonsense") for moment in MOMENTS[3:]),
    ],
}


def test_a_change_exchanges_the_gateways_of_its_trunk_and_no_others(host):
    before, wait_until_asked = host.uptimes(), 3
    time.sleep(wait_until_asked)
    host.deploy("other")
    after = host.uptimes()
    assert set(before) - set(after) == {"beta-tcp.1"} and set(after) - set(before) == {"gamma.1", "gamma.registration"}
    exchanged = {name for name in set(before) & set(after) if after[name] < before[name] + wait_until_asked - 1}
    assert exchanged == {"acme.1", "acme.2", "acme.registration"}, "probes have named the account before, too"


def test_codecs_need_no_restart(host):
    started = host.started()
    result = host.deploy("codecs")
    assert result["changed"] and result["restart_needed"] == []
    assert "<inbound-codecs>PCMU</inbound-codecs>" in host.fs("sofia xmlstatus profile siptrunk")
    assert host.started() <= started + 3


@pytest.mark.parametrize("name", ["dialplan/phones.xml", "autoload_configs/modules.conf.xml"])
def test_the_operators_own_xml_is_broken(host, name):
    before, running = host.files(), host.objects()
    path = f"{host.config}/{name}"
    host.shell(f"cp -a {path} /tmp/kept.xml && echo '</context></nothing>' >> {path}")
    try:
        for check in (True, False):
            result = host.deploy("other", check=check)
            assert result["failed"] and result["rolled_back"] is False
            assert f"{path} is not well-formed: mismatched tag" in result["msg"] and "error near line" in result["msg"], result["msg"]
            assert result["msg"].endswith("Nothing was changed.")
        assert (host.files(), host.objects()) == (before, running)
    finally:
        host.shell(f"cat /tmp/kept.xml > {path} && rm /tmp/kept.xml")


def test_what_the_running_freeswitch_alone_refuses_is_rolled_back(host):
    """Its own profile has the port that the throwaway one found free."""
    before, running = host.files(), host.objects()
    result = host.deploy("taken", allow_restart=True)
    assert result["failed"] and result["rolled_back"] is True, result
    assert "Start the Sofia profile siptrunk." in result["msg"]
    assert re.search(r"Error Creating SIP UA for profile: siptrunk \(sip:mod_sofia@[0-9.]+:5060", result["msg"]), result["msg"]
    assert result["msg"].endswith("The files of before are back, and in force.")
    assert (host.files(), host.objects()) == (before, running)
    assert host.lab.caller.call("12125550100", hold=1).code == 200


def test_a_first_deployment_that_fails_leaves_nothing(host):
    host.pristine()
    tree = host.tree()
    running = host.shell(host.tools + host.everything)
    result = host.deploy("taken")
    assert result["failed"] and result["rolled_back"] is True, result
    assert "Error Creating SIP UA for profile: siptrunk" in result["msg"] and result["msg"].endswith("The files of before are back, and in force.")
    host.shell(f"cd {host.config} && rmdir siptrunk.d")
    assert host.tree() == tree
    assert host.shell(host.tools + host.everything) == running


def test_the_first_deployment_is_as_predicted(host):
    """Apart from the marks, which hang on a password that is made up in each run."""
    host.pristine()
    said = [host.play(model(), "--diff", *options) for options in (["--check"], [])]
    assert all(succeeded for succeeded, _said in said), said
    parts = [text[text.index("TASK [siptrunk.failover.freeswitch : Bring") : text.index("PLAY RECAP")] for _succeeded, text in said]
    differences = [re.sub(r'(siptrunk_mark" value=")\w+', r"\1", part) for part in parts]
    assert differences[0] == differences[1]
    assert '+      <param name="password" value="********"/>' in differences[0] and "+++ after: dialplan.xml" in differences[0]
    succeeded, again = host.play(model())
    assert succeeded and re.search(r"^fs .* changed=0 ", again, re.MULTILINE)
    for secret in (SECRETS[0], SECRETS[0].replace('"', "&#34;"), host.secret()):
        assert secret not in said[0][1] + said[1][1]


def test_a_restart_that_is_allowed_is_made_once(host):
    host.deploy("silence")
    started = host.started()
    result = host.deploy("silence", allow_restart=True)
    assert result["restarted"] and result["restart_needed"] == [] and result["did"] == [f"Restart: {host.waits[0]}."], result
    assert host.started() > started + 1
    again = host.deploy("silence", allow_restart=True)
    assert not again["changed"] and not again["restarted"] and again["restart_needed"] == []
    assert host.deploy("usual", allow_restart=True)["restarted"]


def test_a_restart_by_hand_will_do(host):
    assert host.deploy("silence")["restart_needed"] == host.waits
    host.shell(host.tools + AGAIN.format("restart"))
    wait_until(host.ready, 20, "the profile")
    assert host.deploy("silence")["restart_needed"] == []
    assert host.deploy("usual", allow_restart=True)["restarted"]


def test_exchanging_all_gateways_is_no_restart(host):
    host.deploy("silence")
    host.shell(f"sed 's/\\(siptrunk_mark[^ ]* value=[^ ]*\\)[0-9a-f]\\{{4\\}}/\\1beef/g' {host.programs}/silence.py > {host.programs}/marked.py")
    began = time.time()
    result = host.deploy("marked")
    assert result["changed"] and result["restart_needed"] == host.waits
    assert host.started() > began
    assert host.deploy("marked")["restart_needed"] == host.waits


def test_killed_when_the_event_socket_has_its_new_password(host):
    running = host.objects()
    assert host.killed("when the event socket has its new password", "key") == ""
    result = host.deploy("usual")
    assert "failed" not in result, result
    assert host.objects() == running and host.leftovers() == ""


def test_a_new_password_of_the_event_socket(host):
    before = host.secret()
    assert host.deploy("key")["changed"] and host.deploy("key")["changed"] is False
    assert "is ready" in host.fs("status") and host.secret() == NEW_PASSWORD
    assert host.shell(f"{host.prefix}/bin/fs_cli -p {before} -x status", check=False) == ""


def test_nobody_knows_the_password_of_the_event_socket(host):
    before = host.files()
    settings = f"{host.config}/siptrunk/settings.xml"
    host.shell(
        f"cp -a {settings} /tmp/kept.xml; {host.tools} sed -i 's/\\(\"password\" value=\"\\)[^\"]*/\\1lost/' {settings};"
        " fs reloadxml; fs 'reload mod_event_socket'; sleep 1;"
        f" cat /tmp/kept.xml > {settings}; rm /tmp/kept.xml",
        check=False,
    )
    try:
        for name in ("usual", "other"):
            result = host.deploy(name)
            assert result["failed"] and result["rolled_back"] is False, result
            assert "refused the login" in result["msg"] and "freeswitch_esl_password" in result["msg"]
        assert host.files() == before
    finally:
        host.restart()


def test_a_module_that_lacks_is_named(host):
    before = host.files()
    path = f"{host.config}/autoload_configs/modules.conf.xml"
    host.shell(f"cp -a {path} /tmp/kept.xml; sed -i '/mod_lua/d' {path}")  # it cannot be unloaded
    try:
        host.restart()
        for name in ("usual", "other"):
            result = host.deploy(name)
            assert result["failed"] and result["rolled_back"] is False, result
            assert "FreeSWITCH runs without mod_lua; load it in autoload_configs/modules.conf.xml" in result["msg"]
        assert host.files() == before
    finally:
        host.shell(f"{host.tools} cat /tmp/kept.xml > {path}; rm /tmp/kept.xml; fs 'load mod_lua'")


def test_freeswitch_says_why_the_throwaway_one_did_not_start(host):
    """Its modules are gone, which the running one has loaded long ago: without them it has no log but its console."""
    before, folder = host.files(), FreeSwitch.modules
    host.shell(f"mv {folder} {folder}.gone")
    try:
        result = host.deploy("other")
        assert result.get("failed") and result["rolled_back"] is False, result
        assert "The throwaway FreeSWITCH did not start.\n[CRIT] switch_loadable_module.c:" in result["msg"], result["msg"]
        for module in (f"{folder}/mod_logfile.so", f"{folder}/mod_lua.so"):
            assert f"Error Loading module {module} {module}: cannot open shared object file: No such file or directory" in result["msg"]
        assert not any(secret in result["msg"] for secret in (*SECRETS, host.secret()))
        assert host.files() == before
    finally:
        host.shell(f"mv {folder}.gone {folder}")
