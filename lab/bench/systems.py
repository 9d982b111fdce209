# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The phone systems that the bench measures: each engine as the role configures it, and as the classic guide does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines import Asterisk, FreeSwitch, Kamailio
from harness import Caller, Lab, enter, wait_until

HERE = Path(__file__).resolve().parent


@dataclass
class System:
    """A phone system: how to call it, and what of it runs where."""

    name: str
    caller: Caller
    container: str
    process: str
    engine: Asterisk | FreeSwitch | Kamailio | None = None  # the classic ones have none
    forget: Callable[[], None] = lambda: None

    def rest(self) -> None:
        """Marks are forgotten, and the probes find everybody alive."""
        if self.engine:
            wait_until(lambda: all(self.engine.reachable().values()), 40, f"{self.name}: all alive")
            self.forget()

    def cpu_seconds(self) -> float:
        """What its service has used so far (cgroup v2)."""
        stat = enter(self.container, ["cat", f"/sys/fs/cgroup/system.slice/{self.process}.service/cpu.stat"])
        return int(dict(line.split() for line in stat.splitlines())["usage_usec"]) / 1e6

    def memory(self) -> int:
        """What its processes hold, KiB, without files; what they share counts once."""
        sums = "/^RssAnon/ {own += $2} /^RssShmem/ && $2 > shared {shared = $2} END {print own + shared}"
        return int(enter(self.container, ["sh", "-c", f"for pid in $(pidof {self.process}); do cat /proc/$pid/status; done | awk '{sums}'"]))


def _caller(lab: Lab, number: int) -> Caller:
    return Caller(lab.container("caller"), f"{lab.net}.91", f"{lab.net}.{number}")


def ours(lab: Lab, kind: type[Asterisk | FreeSwitch | Kamailio]) -> System:
    """An engine that the role configured."""
    engine = kind(lab.container(kind.host))
    number = int(lab.addresses[kind.host].rpartition(".")[2])
    return System(f"{kind.name}, siptrunk.failover", _caller(lab, number), engine.container, kind.process, engine, engine.forget)


def _copy(container: str, name: str, path: str) -> None:
    enter(container, ["sh", "-c", f"cat > {path}"], (HERE / name).read_text(encoding="utf-8"))


def classic_asterisk(lab: Lab) -> System:
    """Two Dial lines."""
    container = lab.container("classic")
    enter(container, ["apt-get", "install", "-y", "asterisk"])
    for name in ("pjsip.conf", "extensions.conf"):
        _copy(container, f"classic-{name}", f"/etc/asterisk/{name}")
    enter(container, ["systemctl", "restart", "asterisk"])
    wait_until(lambda: "backup-trunk" in enter(container, ["asterisk", "-rx", "pjsip list endpoints"], check=False), 30, "the classic Asterisk")
    return System("Asterisk, classic guide", _caller(lab, 15), container, "asterisk")


def classic_freeswitch(lab: Lab) -> System:
    """Two bridge actions."""
    container, etc = lab.container("classic-fs"), FreeSwitch.etc
    _copy(container, "classic-freeswitch.xml", f"{etc}/dialplan/00_classic.xml")
    _copy(container, "classic-gateways.xml", f"{etc}/sip_profiles/external.xml")
    enter(container, ["systemctl", "restart", "freeswitch"])
    status = [f"{FreeSwitch.prefix}/bin/fs_cli", "-x", "sofia status"]
    wait_until(lambda: "backup-trunk" in enter(container, status, check=False), 30, "the classic FreeSWITCH")
    return System("FreeSWITCH, classic guide", _caller(lab, 14), container, "freeswitch")


def freeswitch_here() -> bool:
    """Whether this machine has a FreeSWITCH, of which lab/setup made an image."""
    return (Path(os.environ.get("SIPTRUNK_CACHE", HERE.parents[1] / ".cache")) / "freeswitch.env").exists()


def all_systems(lab: Lab) -> list[System]:
    found = [ours(lab, Asterisk), classic_asterisk(lab)]
    return found + ([ours(lab, FreeSwitch), classic_freeswitch(lab)] if freeswitch_here() else [])
