# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments to Asterisk that go wrong: each leaves it as it was, or the next run heals it (tests/deployment)."""

from __future__ import annotations

import re
import time

import pytest

pytest.register_assert_rewrite("deployments")

from deployments import *  # noqa: E402, F403 (its tests are this file's)  # pylint: disable=wildcard-import,unused-wildcard-import
from deployments import Host, model  # noqa: E402

NONSENSE = {"siptrunk_trunks": model(lambda trunks, _variables: trunks["acme"].update(codecs=["nonsense"]))["siptrunk_trunks"]}  # only the engine can judge


class OnAsterisk(Host):
    """The lab's Asterisk."""

    name, host, module, service, group = "Asterisk", "pbx", "asterisk_deploy", "asterisk", "asterisk"
    inventory = ("inventories/lab",)
    config, secret_file = "/etc/asterisk", "ami.secret"
    kept = ("/etc/asterisk/siptrunk-monitor.secret",)
    log = "/var/log/asterisk/messages.log"
    included = ("pjsip.conf", "extensions.conf", "manager.conf")
    everything = "for what in 'pjsip show contacts' 'pjsip show registrations' 'dialplan show'; do asterisk -rx \"$what\"; done"
    replaced = {
        "renamed": "s/beta-tcp/delta/g",
        "wrong-password": r"s/lab\(\\*;only\)/bad\1/g",
        "nonsense": "s/nallow = [a-z,]*/nallow = nonsense/g",
        "silence": r's/\(timer_t1\( =\|":\)\) 100/\1 125/g; s/\(timer_b\( =\|":\)\) 6400/\1 8000/g',
    }
    watched = {
        "while the throwaway Asterisk tries": "ls -d /run/siptrunk-try-*/var/asterisk.ctl",
        "before the release is written": f"[ -d {config}/siptrunk.d/$((NOW + 1)) ]",
        "when the journal stands": f"[ -e {config}/siptrunk.d/journal.json ]",
        "when the release is live": f'[ -e {config}/siptrunk.d/journal.json ] && [ "$(readlink {config}/siptrunk)" = siptrunk.d/$((NOW + 1)) ]',
        "when Asterisk loads it": f"[ -e {config}/siptrunk.d/journal.json ] && asterisk -rx 'pjsip list endpoints' | grep -q gamma.1",
    }
    waits = ["timer_b=8000 (now 6400)", "timer_t1=125 (now 100)"]
    shown = ["+password = ********", "+[gamma]"]

    def objects(self):
        said = self.shell(
            "for kind in endpoints aors auths registrations identifies contacts transports; do asterisk -rx \"pjsip list $kind\"; done;"
            " asterisk -rx 'manager show users'; asterisk -rx 'dialplan show' | grep -F '[extensions.conf:'"
        )
        # a contact has an identifier of its own in each run, a state and a delay
        names = re.findall(r"^ *((?:Endpoint|Aor|Auth|Identify|Transport|Contact): +[^ /]+(?:/\S+)?)", said, re.MULTILINE)
        registrations = re.findall(r"^ ([^ /]+)/sip", said, re.MULTILINE)
        return sorted(names + registrations + re.findall(r"^.*\[extensions\.conf:\d+\]$", said, re.MULTILINE))

    def started(self):
        return time.time() - int(re.search(r"System uptime: *(\d+)", self.shell("asterisk -rx 'core show uptime seconds'"))[1])

    def calls(self):
        return int(re.search(r"(\d+) active calls?", self.shell("asterisk -rx 'core show channels count'"))[1])

    def restart(self):
        self.shell("systemctl restart asterisk; for i in $(seq 100); do asterisk -rx 'core waitfullybooted' >/dev/null && break; sleep 0.1; done")

    def leftovers(self):
        return super().leftovers() + self.shell("asterisk -rx 'logger show channels' | grep siptrunk", check=False)


HOST = OnAsterisk()
CASES = {
    "damage": {
        "a broken line, loaded": "echo '[acme.1]' >> siptrunk/pjsip.conf; asterisk -rx 'module reload res_pjsip.so'",
        "no dialplan, loaded": "sed -i 's/^exten/;exten/' siptrunk/extensions.conf; asterisk -rx 'dialplan reload'",
        "a file is gone": "rm siptrunk/pjsip.conf",
        "the link is gone": "rm siptrunk",
        "everybody may read": "chmod 644 siptrunk/pjsip.conf",
        "the include is gone, loaded": "sed -i '/siptrunk/d' pjsip.conf; asterisk -rx 'module reload res_pjsip.so'",
        "everything is gone": "rm -r siptrunk.d; asterisk -rx 'dialplan reload'",
    },
    "loss": {"a context": ("asterisk -rx 'dialplan remove context siptrunk-hunt'", "Asterisk runs without context siptrunk-hunt.")},
    "refused": {"a codec that is none": (NONSENSE, "Error parsing allow=nonsense at line")},
    "refusal": {
        "a codec that is none": (
            "nonsense",
            [
                "nonsense",
                "Error parsing allow=nonsense at line ",
                f" of {HOST.config}/siptrunk/pjsip.conf",
                "Could not create an object of type 'endpoint' with id 'acme.1'",
            ],
        )
    },
    "user": ["nobody", "asterisk"],
    "killed": [(moment, then) for then in ("other", "usual", "nonsense") for moment in HOST.watched],
}


def test_what_the_running_asterisk_alone_refuses_is_rolled_back(host):
    """The operator's modules.conf keeps out a module that the throwaway one has: no registration comes up."""
    host.shell("cp -a /etc/asterisk/modules.conf /tmp && sed -i '/^\\[modules\\]/a noload = res_pjsip_outbound_registration.so' /etc/asterisk/modules.conf")
    try:
        host.restart()
        before, running = host.files(), host.objects()
        result = host.deploy("other")
        assert result["failed"] and result["rolled_back"] is True
        assert "Asterisk runs without registration gamma." in result["msg"]
        assert result["msg"].endswith("The files of before are back, and in force.")
        assert (host.files(), host.objects()) == (before, running)
    finally:
        host.shell("cp -a /tmp/modules.conf /etc/asterisk && rm /tmp/modules.conf")
        host.restart()
