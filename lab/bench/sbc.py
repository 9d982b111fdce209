# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SBC: what a hunt adds to the post-dial delay, and how many calls per second it carries (model: sbc.yml).

The caller's SIPp, the carriers and Kamailio share the machine's cores: a Kamailio that has them alone carries more.
"""

from __future__ import annotations

import math
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from engines import Kamailio
from harness import Lab, beside, enter, state_folder
from load import AT_ONCE
from rich.table import Table
from systems import System, ours

SIPP = Path(__file__).resolve().parents[1] / "sipp"
HUNTS, ANSWERED_AT_ONCE = "0044123456", "12125550100"  # beta first, then acme; acme first
CALLS = 600
MANY_HUNT, MANY_ANSWERED = "81234", "91234"  # the same, where SIPp is the carriers
RATES = (100, 200, 250, 300, 350, 400, 450, 500, 550, 600, 700, 800, 900, 1000)
SECONDS, REST, HOLD = 6, 6, 1  # of load at each rate; after it, until Kamailio has forgotten its transactions; of each call


def percentile(ordered: list[float], percent: float) -> float:
    """Nearest rank."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


# --- what a hunt adds --------------------------------------------------------------------


def shares(refuses: list[dict], answers: list[dict]) -> tuple[list[float], list[float]]:
    """Of two carriers' logs, for each call that went from the one to the other: seconds that the first took for its 503, and seconds from there
    until the second had the INVITE: Kamailio's own, with two ways through the kernel."""
    asked, refused, carriers, own = {}, {}, [], []
    for line in refuses:
        if line["first"].startswith("INVITE "):
            asked.setdefault(line["call_id"], line["t"])
        elif line["dir"] == "tx" and line["code"] == 503:
            refused.setdefault(line["call_id"], line["t"])
    for line in answers:
        if line["first"].startswith("INVITE ") and line["call_id"] in refused:
            at = refused.pop(line["call_id"])
            carriers.append(at - asked[line["call_id"]])
            own.append(line["t"] - at)
    return sorted(carriers), sorted(own)


def added(lab: Lab, system: System) -> Table:
    """Calls whose first target answers 503, every other one a call whose first target answers."""
    for carrier in lab.carriers.values():
        carrier.tell(invite=AT_ONCE)
    lab.carriers["beta1"].tell(invite={"do": "code", "code": 503})
    system.rest()
    system.caller.load([HUNTS, ANSWERED_AT_ONCE], 20, 20, hold=0.1)  # warm
    began = time.time()
    result = system.caller.load([HUNTS, ANSWERED_AT_ONCE], CALLS, 40, hold=0.1)
    wires = lab.wires(began)
    lab.reset()
    delays = {number: sorted(call.pdd for call in result.results if call.number == number and call.code == 200) for number in (HUNTS, ANSWERED_AT_ONCE)}
    carrier, own = shares(wires["beta1"], wires["acme1"])
    table = Table(title=f"{system.name}: what a 503 adds, ms ({CALLS} calls, {CALLS - result.codes[200]} lost)", title_style="bold")
    for name in ("", "median", "95 %", "calls"):
        table.add_column(name, justify="right" if name else "left")

    def row(name: str, found: list[float], **options: object) -> None:
        middle = statistics.median(found) if found else math.nan
        table.add_row(name, f"{middle * 1000:.1f}", f"{percentile(found, 95) * 1000:.1f}", str(len(found)), **options)

    row("post-dial delay, the first target answers", delays[ANSWERED_AT_ONCE])
    row("post-dial delay, the first says 503", delays[HUNTS], end_section=True)
    difference = statistics.median(delays[HUNTS]) - statistics.median(delays[ANSWERED_AT_ONCE])
    table.add_row("added, of the medians", f"{difference * 1000:+.1f}", "", "")
    row("of it: the carrier, from INVITE to 503", carrier)
    row("of it: Kamailio, from the 503 to the next carrier's INVITE", own)
    return table


# --- calls per second --------------------------------------------------------------------


@dataclass
class Burst:
    """Calls at one rate for some seconds."""

    rate: int
    lost: int
    repeated: int  # messages that were sent again, wherever
    dropped: int  # datagrams for which Kamailio's socket had no room
    delays: list[float]  # post-dial delays, sorted
    used: float  # seconds of CPU that Kamailio took
    busy: float  # share of all cores that something took

    @property
    def calls(self) -> int:
        return self.rate * SECONDS

    @property
    def per_core(self) -> float:
        """Calls for each second of CPU that Kamailio took."""
        return self.calls / self.used


def last_row(text: str) -> dict[str, str]:
    """The last line of one of SIPp's statistics, by the names in its first one."""
    head, *rows = text.strip().splitlines() or [""]
    return dict(zip(head.split(";"), rows[-1].split(";"), strict=False)) if rows else {}


def repeated(counts: dict[str, str]) -> int:
    """Messages that came or went again, of SIPp's counts."""
    return sum(int(value) for name, value in counts.items() if name.endswith("_Retrans"))


def busy_share(before: str, after: str) -> float:
    """Of /proc/stat, first line (proc(5): user nice system idle iowait ...)."""
    ticks = [int(new) - int(old) for old, new in zip(before.split()[1:9], after.split()[1:9], strict=True)]
    return 1 - (ticks[3] + ticks[4]) / max(1, sum(ticks))


def _stat() -> str:
    return Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]


class Carriers:
    """SIPp at a port of both carriers: one says 503, one answers."""

    def __init__(self, lab: Lab) -> None:
        hosts = {"refuse": "beta1", "answer": "acme1"}
        self.folders, self.programs = [], []
        for name, host in hosts.items():
            folder = state_folder(lab.name, host) / "many"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            shutil.copy(SIPP / "refuse.xml", folder)
            scenario = ["-sf", "refuse.xml"] if name == "refuse" else ["-sn", "uas"]
            options = ["-i", lab.addresses[host], "-p", "5070", "-nostdin", "-trace_counts", "-fd", "1"]
            self.programs.append(beside(lab.container(host), ["env", "--chdir", "/lab/state/many", "sipp", *scenario, *options]))
            self.folders.append(folder)

    def repeated(self) -> int:
        """So far."""
        tables = [path.read_text(encoding="utf-8") for folder in self.folders for path in folder.glob("*_counts.csv")]
        return sum(repeated(last_row(table)) for table in tables)

    def stop(self) -> None:
        for program in self.programs:
            program.terminate()
            program.wait()


def _dropped(container: str) -> int:
    """Datagrams so far (RcvbufErrors)."""
    head, values = (line.split() for line in enter(container, ["grep", "^Udp:", "/proc/net/snmp"]).splitlines())
    return int(values[head.index("RcvbufErrors")])


def burst(system: System, carriers: Carriers, number: str, rate: int) -> Burst:
    """Place so many calls per second, and see them end."""
    caller, calls = system.caller, rate * SECONDS
    script = (
        'd=$(mktemp -d) && cd "$d" && cat > many.xml || exit 1; '
        f"timeout -k 5 60 sipp {caller.pbx}:5060 -sf many.xml -s {number} -i {caller.address} -mi {caller.address} -p 5060 -m {calls} -l {calls} "
        f"-r {rate} -d {HOLD * 1000} -recv_timeout 10000 -timeout 45s -nostdin -trace_stat -stf stat -trace_counts -fd 600 -trace_rtt -rtt_freq 1 > out 2>&1; "
        "for name in stat *_counts.csv *_rtt.csv; do cat $name; echo; echo; done; cd /; rm -rf \"$d\""
    )
    again, dropped, used, stat = carriers.repeated(), _dropped(system.container), system.cpu_seconds(), _stat()
    said = enter(caller.container, ["sh", "-c", script], (SIPP / "many.xml").read_text(encoding="utf-8"))
    used, stat = system.cpu_seconds() - used, busy_share(stat, _stat())
    time.sleep(2)  # the carriers write each second
    totals, counts, times = said.split("\n\n")[:3]
    delays = sorted(float(line.split(";")[1]) / 1000 for line in times.strip().splitlines()[1:])
    lost = calls - int(last_row(totals).get("SuccessfulCall(C)", 0))
    again = carriers.repeated() - again + repeated(last_row(counts))
    return Burst(rate, lost, again, _dropped(system.container) - dropped, delays, used, stat)


def climb(system: System, carriers: Carriers, number: str, tell=lambda found: None) -> list[Burst]:
    """One rate after the other, until calls are lost at one twice: others may use the machine, too."""
    found: list[Burst] = []
    for rate in RATES:
        for _attempt in range(2):
            found.append(burst(system, carriers, number, rate))
            tell(found[-1])
            time.sleep(REST)
            if not found[-1].lost:
                break
        else:
            break
    return found


def best(found: list[Burst]) -> Burst | None:
    """The highest rate at which no call was lost."""
    return max((step for step in found if not step.lost), key=lambda step: step.rate, default=None)


def rates(lab: Lab, system: System, tell=print) -> list:
    """A table for both kinds of calls, and what it comes to."""
    carriers = Carriers(lab)
    table = Table(title=f"{system.name}: calls per second, {SECONDS} s at each rate, with SIPp on the same cores", title_style="bold")
    for name in ("", "rate", "lost", "sent again", "dropped", "median, ms", "99 %, ms", "Kamailio, cores", "all cores busy"):
        table.add_column(name, justify="right" if name else "left")
    lines = []
    for name, number in (("the first target answers", MANY_ANSWERED), ("the first says 503", MANY_HUNT)):
        found = climb(system, carriers, number, lambda step, name=name: tell(f"  {name}: {step.rate} per second, {step.lost} lost"))
        for at, step in enumerate(found):
            delays = (f"{percentile(step.delays, percent) * 1000:.1f}" for percent in (50, 99))
            cells = (str(step.rate), str(step.lost), str(step.repeated), str(step.dropped), *delays, f"{step.used / SECONDS:.2f}", f"{step.busy:.0%}")
            table.add_row("" if at else name, *cells, end_section=at == len(found) - 1)
        top = best(found)
        carried = f"{top.rate} calls per second without loss; Kamailio takes a core for {top.per_core:.0f} of them" if top else "loses calls at each rate"
        lines.append(f"{system.name}, {name}: {carried}")
    carriers.stop()
    return [table, *lines]


def measure(lab: Lab, tell=print) -> list:
    system = ours(lab, Kamailio)
    return [added(lab, system), *rates(lab, system, tell)]
