# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the floating address is, and who speaks from it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cases import NANP
from harness import wait_until
from pair import HOSTS, LOAD, SIP, assert_answered, assert_recorded

OPERATOR = Path(__file__).parents[1] / "files" / "operator.conf"


def later(seconds, function, *arguments):
    def run():
        time.sleep(seconds)
        function(*arguments)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def apart(pair, rule):
    """Each hears nothing of the other that fits the rule; {other} is its address."""
    others = dict(zip(HOSTS, HOSTS[::-1], strict=True))
    pair.each(lambda host: pair.lose(host, rule.format(other=pair.lab.addresses[others[host]])))


def together(pair):
    pair.each(lambda host: pair.shell(host, "nft flush ruleset"))


def test_the_active_one_registers_and_both_probe(pair):
    active, standby = pair.roles()
    since = time.time()
    time.sleep(9)
    wire = pair.lab.wires(since)
    probing = {line["peer"] for lines in wire.values() for line in lines if line["dir"] == "rx" and line["method"] == "OPTIONS"}
    assert probing == {f"{pair.lab.addresses[host]}:{SIP}" for host in HOSTS}
    states = pair.each(lambda host: pair.engines[host].ask("uac.reg_dump"))
    online = {host: int(rows[0]["flags"]) & 4 > 0 for host, rows in states.items()}
    assert online[active]
    # after a takeover the other one does, from the same address
    since = time.time()
    pair.kill(active)
    wait_until(lambda: registers(pair, since), 30, "a registration through the standby")
    assert registers(pair, since) == {f"{pair.floating}:{SIP}"}
    assert pair.holders() == [standby]


def registers(pair, since):
    return {line["peer"] for lines in pair.lab.wires(since).values() for line in lines if line["dir"] == "rx" and line["method"] == "REGISTER"}


def test_after_a_partition_there_is_one(pair):
    """VRRP alone is cut: both take the address. Afterwards one has it, at once, and calls reach it."""
    apart(pair, "ip protocol vrrp")
    wait_until(lambda: sorted(pair.holders()) == sorted(HOSTS), 10, "two masters", 0.1)
    watched = {}
    watching = threading.Thread(target=lambda: watched.update(pair.watch(5)))
    watching.start()
    time.sleep(1)
    healed = time.time()
    together(pair)
    watching.join()
    (loser,) = (host for host in HOSTS if not watched[host][-1].here)
    (winner,) = (host for host in HOSTS if watched[host][-1].here)
    gone = watched[loser][-1].moment
    print(f"takeover: a partition healed, and {loser} gave the address up {gone - healed:.2f} s after")
    assert healed < gone < healed + 3
    assert len(watched[winner]) == 1
    assert pair.holders() == [winner]
    seen = pair.load(NANP, 5, 5, 1)
    assert_answered(seen, 5)


def test_a_reload_moves_nothing(pair):
    active, standby = pair.roles()
    watched = {}
    watching = threading.Thread(target=lambda: watched.update(pair.watch(6)))
    watching.start()
    time.sleep(1)
    pair.each(lambda host: pair.shell(host, "systemctl reload keepalived"))
    watching.join()
    assert [seen.here for seen in watched[active]] == [True] and [seen.here for seen in watched[standby]] == [False]


def test_it_returns_by_choice_alone(pair):
    """A host that comes back does not take the address; who has it gives it to the other by a restart of keepalived. Calls go on."""
    active, standby = pair.roles()
    pair.kill(active)
    wait_until(lambda: pair.holders() == [standby], 10, "the takeover")
    pair.mend()
    wait_until(pair.well, 90, "both SBCs")
    time.sleep(3)
    assert pair.holders() == [standby]
    moment = []
    thread = later(4, lambda: moment.append(pair.do(standby, "systemctl restart keepalived")))
    seen = pair.load(NANP, 100, 10, 8)
    thread.join()
    assert pair.holders() == [active]
    assert_answered(seen, 100)
    heard = min(t for call in seen for t, direction, _first in call.call.messages if direction == "rx" and t > moment[0] + 0.05)
    print(f"takeover by choice: no call of {len(seen)} lost, the next answer after {heard - moment[0]:.2f} s")


def test_no_caller_waits_for_one_that_cannot_speak(pair):
    """Who has just lost the address has said 100 to nobody whom it asked nothing for: such a caller would never call the other one."""
    calls, rate, moves = round(480 * LOAD), 20 * LOAD, 4
    with ThreadPoolExecutor() as pool:
        load = pool.submit(pair.load, NANP, calls, rate, 1)
        for _move in range(moves):
            time.sleep(4)
            wait_until(lambda: len(pair.holders()) == 1, 10, "one with the address")
            active, standby = pair.roles()
            pair.do(active, "systemctl restart keepalived")
            wait_until(lambda standby=standby: pair.holders() == [standby], 10, "the other one")
        seen = load.result()
    assert_answered(seen, calls)
    records = assert_recorded(pair, seen)
    # nothing left it any more; that was no fault of the carriers'
    assert {attempt["code"] for call in seen for attempt in records[call.call.call_id][0][1]["attempts"]} == {200}
    assert not any(pair.each(lambda host: pair.engines[host].cooling()).values())


def test_the_operators_keepalived_is_left_alone(pair):
    line = "include /etc/kamailio/siptrunk/keepalived.conf\n"
    assert pair.shell("sbc", "cat /etc/keepalived/keepalived.conf") == line
    assert pair.shell("sbc2", "cat /etc/keepalived/keepalived.conf") == OPERATOR.read_text(encoding="utf-8") + line
    # keepalived may have just been restarted
    wait_until(lambda: "192.0.2.77/32" in pair.shell("sbc2", "ip -4 addr show eth0"), 10, "the operator's address")
