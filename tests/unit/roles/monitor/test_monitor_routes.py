# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failover and return."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from siptrunk_monitor.routes import Route


def route(*groups):
    return Route("nanp", groups or [["acme"], ["beta"], ["gamma"]], 30)


def test_at_the_start_the_primary_is_active():
    assert (route().active, route().on_backup, route().failed_over_at) == ("acme", False, 0)


def test_a_call_through_a_backup_is_a_failover_and_the_next_is_none():
    one = route()
    assert one.carried("acme", 1) == []
    assert one.carried("beta", 2) == [("failover", "acme", "beta")]
    assert one.carried("beta", 3) == one.carried("gamma", 4) == []
    assert (one.active, one.failed_over_at, one.role("gamma")) == ("gamma", 2, "backup")


def test_the_return_waits_until_no_backup_carried_a_call_for_a_while():
    one = route()
    one.carried("beta", 100)
    assert one.carried("acme", 110) == [] and one.on_backup and one.tick(129) == []
    assert one.tick(130) == [("return", "beta", "acme", 30)] and one.active == "acme" and one.returned_at == 130


def test_the_return_is_at_once_when_the_backup_was_idle():
    one = route()
    one.carried("beta", 100)
    assert one.carried("acme", 200) == [("return", "beta", "acme", 100)]


def test_a_clock_that_was_set_back_does_not_put_the_return_off():
    one = route()
    one.carried("beta", 1000), one.carried("acme", 1001)
    assert one.tick(100) == [] and one.tick(129) == []
    assert [kind for kind, *dummy in one.tick(130)] == ["return"]


def test_flapping_makes_one_pair_of_events():
    one, seen = route(), []
    for second in range(101):
        seen += one.carried("acme" if second % 3 else "beta", second)
    seen += one.tick(200)
    assert [kind for kind, *dummy in seen] == ["failover", "return"]


def test_a_backup_in_between_makes_the_return_wait_for_the_primary_anew():
    one = route()
    one.carried("beta", 100), one.carried("acme", 110), one.carried("beta", 120)
    assert one.tick(1000) == [] and one.on_backup
    assert one.carried("acme", 1001) == [("return", "beta", "acme", 901)]


def test_no_return_without_a_call_through_the_primary():
    one = route()
    one.carried("beta", 0)
    assert one.tick(100000) == [] and one.on_backup


def test_trunks_that_share_the_first_priority_are_all_primaries():
    one = route(["acme", "beta"], ["gamma"])
    assert one.carried("beta", 1) == one.carried("acme", 2) == one.carried("beta", 3) == []
    assert one.active == "beta" and one.carried("gamma", 4) == [("failover", "beta", "gamma")]


def test_a_trunk_of_another_route_changes_nothing():
    one = route()
    assert one.carried("omega", 1) == [] and one.active == "acme"


def test_the_memory_survives_and_a_trunk_that_is_gone_does_not():
    one, other = route(), route()
    one.carried("beta", 100)
    other.restore(one.saved(), 200)
    assert other.active == "beta" and other.failed_over_at == 100 and other.carried("acme", 210) == [("return", "beta", "acme", 110)]
    third = route(["acme"], ["gamma"])
    third.restore(one.saved(), 200)
    assert third.active == "acme"


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from(["acme", "beta", "gamma", None]))))
def test_failovers_and_returns_take_turns(steps):
    one, now, kinds = route(), 0.0, []
    for wait, trunk in steps:
        now += wait
        kinds += [event[0] for event in (one.carried(trunk, now) if trunk else one.tick(now))]
    assert kinds == (["failover", "return"] * len(kinds))[:len(kinds)]
    assert one.on_backup == (len(kinds) % 2 == 1)
