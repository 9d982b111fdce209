# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments to Kamailio that go wrong: each leaves it as it was, or the next run heals it (tests/deployment)."""

from __future__ import annotations

import time

import pytest

pytest.register_assert_rewrite("deployments")

from deployments import *  # noqa: E402, F403 (its tests are this file's)  # pylint: disable=wildcard-import,unused-wildcard-import
from deployments import Host  # noqa: E402
from engines import Kamailio  # noqa: E402
from harness import wait_until  # noqa: E402


class OnSbc(Host):
    """The lab's Kamailio."""

    name, host, module, service, group = "Kamailio", "sbc", "sbc_deploy", "kamailio", "kamailio"
    inventory = ("inventories/lab/hosts.yml", "inventories/lab-sbc")
    config, secret_file = "/etc/kamailio", "secrets.lua"
    log = "/dev/null"  # it writes to the journal
    included = ("../default/kamailio",)
    everything = "cat /etc/kamailio/siptrunk/plan.lua"
    replaced = {
        "renamed": "s/beta-tcp/delta/g",
        "wrong-password": r"s/lab\(\\*;only\)/bad\1/g",
        "nonsense": "s/local function drained(trunk)/local function drained(trunk/",
        "module": r's/loadmodule \(\\*"\)tm.so/loadmodule \1tmm.so/',
        "silence": "s/children=8/children=9/g",
        "taken": r"s/\(listen=[a-z]*:\)[0-9.]*:/\1198.18.99.99:/g",
    }
    watched = {
        "while the throwaway Kamailio tries": "ls /run/siptrunk-try-*/var/siptrunk.sock",
        "before the release is written": "[ -d /etc/kamailio/siptrunk.d/$((NOW + 1)) ]",
        "when the journal stands": "[ -e /etc/kamailio/siptrunk.d/journal.json ]",
        "when the release is live": '[ -e /etc/kamailio/siptrunk.d/journal.json ] && [ "$(readlink /etc/kamailio/siptrunk)" = siptrunk.d/$((NOW + 1)) ]',
    }
    shown = ["+++ after: plan.lua", "name = \"gamma\""]
    kills = 6

    @property
    def engine(self):
        return Kamailio(self.container)

    @property
    def waits(self):
        """What `silence` waits for, once it is deployed: the live file, and the one of the release before, which runs."""
        new, old = (self.shell(f"sha256sum < {self.config}/{path}/kamailio.cfg | cut -c1-8").strip() for path in ("siptrunk", self.before()))
        return [f"kamailio.cfg {new} (now {old})"]

    def before(self):
        live = int(self.shell(f"readlink {self.config}/siptrunk").strip().rpartition("/")[2])
        return f"siptrunk.d/{live - 1}"

    def objects(self):
        return [
            *sorted(self.engine.reachable()),
            *sorted(row["l_uuid"] for row in self.engine.ask("uac.reg_dump")),
            *self.shell(f"cd {self.config}/siptrunk && md5sum plan.lua hunt.lua kamailio.cfg; grep -o 'id = .*' plan.lua | sort -u").splitlines(),
        ]

    def calls(self):
        return self.engine.active_calls() // 2  # it counts both legs

    def started(self):
        return time.time() - self.engine.ask("core.uptime")["uptime"]

    def ready(self):
        return self.shell(f"test -S /run/kamailio/siptrunk.sock && systemctl is-active {self.service}", check=False).strip() == "active"

    def restart(self):
        self.shell(f"systemctl restart {self.service}")
        wait_until(self.ready, 30, "Kamailio")


HOST = OnSbc()
MOMENTS = list(HOST.watched)
CASES = {
    "damage": {
        "a line is gone": "sed -i '/name = .beta/d' siptrunk/plan.lua",
        "no hunt": ": > siptrunk/hunt.lua",
        "a file is gone": "rm siptrunk/uacreg",
        "the link is gone": "rm siptrunk",
        "everybody may read": "chmod 644 siptrunk/secrets.lua",
        "the start file names another": "sed -i '/siptrunk/d' ../default/kamailio",
        "everything is gone": "rm -r siptrunk.d",
    },
    "loss": {"the service": ("systemctl disable kamailio 2>/dev/null", "Enable kamailio.")},
    "refused": {
        "an address that is not here": ({"sbc_sip_ip": "198.18.99.99"}, "sbc_sip_ip 198.18.99.99: expected an address of this host"),
        "too little memory": ({"sbc_memory": 1}, "could not allocate shared memory"),
    },
    "refusal": {
        "no Lua": ("nonsense", ["A throwaway Kamailio refused the files", "hunt.lua:"]),
        "a module that is not there": ("module", ["kamailio -c refused the files.", "could not find module <tmm"]),
    },
    "user": ["nobody", "kamailio"],
    "killed": [
        *((moment, "usual") for moment in MOMENTS),
        *((moment, "other") for moment in MOMENTS[2:]),
        *((moment, "nonsense") for moment in MOMENTS[3:]),
    ],
}
