# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml changes one SBC after the other; who has the address gives it to the other one before."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from cases import NANP
from harness import wait_until
from pair import HOSTS, LOAD, OUT_OF_SERVICE, assert_answered, assert_recorded

REPO = Path(__file__).resolve().parents[3]
RATE = 10 * LOAD
LONGEST = 540  # seconds that a run of site.yml may take
FIRST, SECOND = HOSTS  # in the order of the inventory; keepalived gives the first one the higher priority


def play(limit="siptrunk_sbc", **variables):
    """(exit status, output) of site.yml, which may restart."""
    inventories = ["-i", "inventories/lab/hosts.yml", "-i", "inventories/lab-sbc-ha", "-i", "tests/contract/inventory", "-i", "molecule/sbc-ha/inventory"]
    variables = {"sbc_allow_restart": True, "sbc_verify_number": NANP, **variables}
    argv = ["ansible-playbook", *inventories, "--limit", limit, "playbooks/site.yml", "-e", json.dumps(variables)]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_HOST_PATTERN_MISMATCH": "warning", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def changed(said):
    return dict(re.findall(r"^(sbc2?) +: ok=\d+ +changed=(\d+)", said, re.MULTILINE))


def state(pair, host):
    """What is deployed, since when its Kamailio runs, and whether it is out of service."""
    return pair.shell(host, f"readlink -f /etc/kamailio/siptrunk; cat /run/kamailio/kamailio.pid; ls {OUT_OF_SERVICE} 2>&1", check=False)


def spans(seen, which):
    """[(from, to)] in which that was so."""
    found, since = [], None
    for one in seen:
        if which(one):
            since = since or one.moment
        elif since:
            found.append((since, one.moment))
            since = None
    return found + ([(since, float("inf"))] if since else [])


def overlap(some, others):
    return [(one, other) for one in some for other in others if max(one[0], other[0]) < min(one[1], other[1])]


@pytest.fixture
def first_active(pair):
    if pair.holders() != [FIRST]:
        pair.shell(SECOND, "systemctl restart keepalived")
        wait_until(lambda: pair.holders() == [FIRST], 10, f"the address on {FIRST}")
    return pair


def test_no_call_is_lost_while_both_are_restarted(first_active):
    pair = first_active
    with ThreadPoolExecutor() as pool:
        load = pool.submit(pair.load, NANP, round(LONGEST * RATE), RATE, 8)
        watching = pool.submit(pair.watch, LONGEST)
        try:
            time.sleep(3)
            status, said = play(sbc_workers=6)
            done = time.time()
            time.sleep(3)
        finally:  # calls come as long as the play takes
            pair.lab.caller.place_no_more()
            pair.watch_no_more()
        watched, seen = watching.result(), load.result()
    assert status == 0 and set(changed(said)) == set(HOSTS) and "0" not in changed(said).values(), said
    assert done < max(call.call.started for call in seen), "calls came until the end"
    assert_answered(seen, len(seen))
    assert_recorded(pair, seen)

    for host in HOSTS:
        stops = [(before, after) for before, after in pairwise(watched[host]) if before.pid != after.pid]
        assert len({one.pid for one in watched[host]} - {""}) == 2 and all(not one.here and one.out for stop in stops for one in stop), watched
    assert not overlap(*(spans(watched[host], lambda one: one.out or not one.pid) for host in HOSTS)), watched
    (_begin, left), (back, _end) = spans(watched[FIRST], lambda one: one.here)
    ((taken, given),) = spans(watched[SECOND], lambda one: one.here)
    print(f"takeover by site.yml: no call of {len(seen)} lost; the address was nowhere for {taken - left:.2f} and {back - given:.2f} s")
    assert left < taken < left + 1 and given < back < given + 1
    # the first one has the higher priority, and was well again long before
    ((_out, again),) = spans(watched[FIRST], lambda one: one.out)
    ((second_out, _again),) = spans(watched[SECOND], lambda one: one.out)
    assert again + 4 < second_out < given

    status, said = play(sbc_workers=6)
    assert status == 0 and changed(said) == {FIRST: "0", SECOND: "0"}, said
    assert pair.holders() == [FIRST]


def test_where_the_first_fails_its_verification_the_other_serves_as_it_was(first_active):
    pair = first_active
    before = state(pair, SECOND)
    pair.lab.tell(dict.fromkeys(pair.lab.carriers, {"invite": {"do": "code", "code": 503}}))
    status, said = play(sbc_workers=7, sbc_verify_timeout=20)
    assert status != 0 and f"A call to {NANP} through {pair.lab.addresses[FIRST]} does not ring" in said, said
    pair.lab.reset()
    assert OUT_OF_SERVICE in state(pair, FIRST).splitlines() and state(pair, SECOND) == before
    assert pair.holders() == [SECOND]
    assert_answered(pair.load(NANP, 10, 10, 1), 10)


def test_one_without_the_address_is_verified_where_the_carrier_wants_a_password(pair):
    """Its call goes out from its own address, and the answers come there."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite_auth": True}})
    since = time.time()
    status, said = play(standby, sbc_workers=5)
    assert status == 0 and changed(said)[standby] != "0", said
    (call,) = pair.lab.carriers["acme1"].invites(since)
    assert call["responses"][:2] == [407, 100] and call["peer"].startswith(f"{pair.lab.addresses[standby]}:"), call
    assert pair.holders() == [active]


@pytest.mark.parametrize("why", ["dead", "out of service"])
def test_the_only_one_that_lives_is_not_taken_out(pair, why):
    active, standby = pair.roles()
    if why == "dead":
        pair.kill(standby)
    else:
        pair.shell(standby, f"touch {OUT_OF_SERVICE}")
    before = state(pair, active)
    status, said = play(active, sbc_workers=9)
    assert status != 0 and f"{pair.lab.addresses[standby]} does not take it" in said, said
    assert state(pair, active) == before and pair.holders() == [active]
    assert_answered(pair.load(NANP, 5, 10, 1), 5)
