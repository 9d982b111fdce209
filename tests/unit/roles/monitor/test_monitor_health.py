# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of targets and trunks, under a clock of its own."""

from __future__ import annotations

import json

from conftest import SETTINGS
from hypothesis import given
from hypothesis import strategies as st
from siptrunk_monitor import health
from siptrunk_monitor.health import ALIVE, CLOSED, DEAD, HELD, OFF, OPEN, TRIAL, UNKNOWN

LONGEST = SETTINGS["hold_down_max"]
A_LITTLE = 0.01  # floats are not exact


def target(interval=10, **changed):
    return health.Target({**SETTINGS, **changed}, interval)


def trunk(**changed):
    return health.Trunk({**SETTINGS, **changed})


def test_a_target_that_is_up_from_the_start_is_never_held():
    one = target()
    assert one.probed(ALIVE, 0) == [] and one.tick(1000) == [] and not one.held


def test_a_target_that_was_down_is_held_until_it_stayed_up():
    one = target()
    one.probed(ALIVE, 0)
    assert one.probed(DEAD, 10) == [(HELD, "down", 1)]
    assert one.tick(5000) == [] and one.held  # as long as it is down
    assert one.probed(ALIVE, 6000) == [] and one.held
    assert one.tick(6059) == [] and one.tick(6060) == [(OPEN, "up", 1)] and not one.held


def test_three_good_probes_may_take_longer():
    one = target(interval=40)
    one.probed(DEAD, 0)
    one.probed(ALIVE, 10)
    assert one.tick(129) == [] and one.tick(130) != []


def test_each_flap_doubles_the_time_up_to_the_longest():
    one, now, held = target(), 0, []
    for dummy in range(7):
        one.probed(DEAD, now)
        one.probed(ALIVE, now + 1)
        held.append(one.hold)
        now += 2
    assert held == [60, 120, 240, 480, 900, 900, 900]
    assert one.tick(now - 1 + 899) == [(OPEN, "up", 5)] or one.tick(now + 900) == [(OPEN, "up", 5)]


def test_time_takes_the_doublings_back_one_by_one():
    one, now = target(), 0
    for dummy in range(3):
        one.probed(DEAD, now)
        one.probed(ALIVE, now + 1)
        now += 2
    now += 240
    one.tick(now)
    assert not one.held and one.level(now) == 3 and one.level(now + LONGEST) == 2 and one.level(now + 9 * LONGEST) == 0
    one.probed(DEAD, now + 9 * LONGEST)
    assert one.hold == 60


def test_an_outage_takes_no_doubling_back_however_long():
    one = target()
    for moment in (0, 100):
        one.probed(DEAD, moment)
        one.probed(ALIVE, moment + 1)
        one.tick(moment + 99)
    one.probed(DEAD, 400)
    assert one.level(400) == one.level(400 + 9 * LONGEST) == 3


def test_a_target_whose_probe_is_switched_off_is_released():
    one = target()
    one.probed(DEAD, 0)
    assert one.probed(OFF, 1) == [(OPEN, "not probed", 1)] and not one.held


def test_what_is_not_known_counts_neither_as_up_nor_as_another_failure():
    one = target()
    one.probed(DEAD, 0)
    one.probed(ALIVE, 10)
    one.probed(UNKNOWN, 60)  # the engine was started anew
    one.probed(ALIVE, 70)
    assert one.tick(129) == [] and one.tick(130) == [(OPEN, "up", 1)]
    one.probed(DEAD, 200)
    one.probed(UNKNOWN, 210)
    assert one.probed(DEAD, 220) == [] and one.level(220) == 2


def test_a_target_comes_back_from_the_state_file_as_it_was():
    one = target()
    one.probed(DEAD, 0)
    one.probed(ALIVE, 100)
    other = target()
    other.restore(json.loads(json.dumps(one.saved())), 130)
    assert other.held and other.probed(ALIVE, 131) == [] and other.tick(159) == [] and other.tick(160) == [(OPEN, "up", 1)]


def test_a_target_that_is_still_down_after_a_restart_did_not_flap():
    one = target()
    one.probed(DEAD, 0)
    other = target()
    other.restore(one.saved(), 50)
    assert other.held and other.probed(DEAD, 51) == [] and other.level(51) == 1


PROBES = st.lists(st.tuples(st.floats(0, 400), st.sampled_from([ALIVE, ALIVE, DEAD, UNKNOWN])), max_size=40)


@given(PROBES)
def test_a_target_is_held_while_it_is_down_and_never_for_ever_after(steps):
    one, now, ends = target(), 0.0, None
    for wait, state in steps:
        now += wait
        one.tick(now)
        one.probed(state, now)
        assert one.held or state != DEAD
        ends = None if state == DEAD else ends if ends is not None else now + LONGEST
        assert not one.held or ends is None or now <= ends + A_LITTLE
    if one.probe == DEAD:
        one.probed(ALIVE, now)
    one.tick(now + LONGEST + A_LITTLE)
    assert not one.held


@given(PROBES, st.floats(0, 3000))
def test_a_flap_never_shortens_a_hold(steps, wait):
    """One that goes down again comes back no sooner than it would have."""
    one, now = target(), 0.0
    for pause, state in steps:
        now += pause
        one.tick(now)
        one.probed(state, now)
    one.probed(ALIVE, now)
    before = one.up_since + one.hold if one.held else now
    now += wait
    one.tick(now)
    one.probed(DEAD, now)
    one.probed(ALIVE, now)
    assert now + one.hold >= before - A_LITTLE


@given(PROBES, st.floats(-1e6, 1e6))
def test_a_clock_that_was_set_holds_nothing_for_longer(steps, jump):
    one, now = target(), 1e9
    for wait, state in steps:
        now += wait
        one.probed(state, now)
        one.tick(now)
    one.probed(ALIVE, now)
    now += jump
    one.tick(now)
    one.tick(now + LONGEST + A_LITTLE)
    assert not one.held


def test_a_clock_that_was_set_back_makes_a_target_stay_up_from_then_on():
    one = target()
    one.probed(DEAD, 1000)
    one.probed(ALIVE, 1001)
    one.tick(100)
    assert one.tick(159) == [] and one.tick(160) == [(OPEN, "up", 1)]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.dictionaries(
    st.sampled_from(["held", "up_since", "not_dead_since", "strikes", "rests_since", "state", "closed_until"]), inner)))
def test_a_spoiled_state_file_is_no_state_or_a_sound_one(saved):
    for one in (target(), trunk()):
        try:
            one.restore(saved, 1000.0)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if isinstance(one, health.Target):
            one.probed(ALIVE, 1000.0)
        one.tick(1000.0 + LONGEST)
        one.tick(1001.0 + LONGEST)
        assert getattr(one, "held", False) is False and getattr(one, "state", OPEN) != CLOSED


# --- trunks ---


def fail(one, now, times=1, outcome="503", fine=True):
    return [transition for dummy in range(times) for transition in one.attempted("next_target", outcome, fine, now)]


def test_three_failures_in_a_row_close_a_trunk():
    one = trunk()
    assert fail(one, 0, 2) == []
    assert fail(one, 100) == [(CLOSED, "503", 1)]
    assert one.state == CLOSED and one.closed_until == 130


def test_an_answer_or_another_final_verdict_begins_the_count_anew():
    for between in (lambda one: one.worked("answered", 0), lambda one: one.attempted("final", "486", True, 0)):
        one = trunk()
        fail(one, 0, 2)
        between(one)
        assert fail(one, 0, 2) == [] and one.is_open and one.failures == 2


def test_a_caller_who_hung_up_and_the_end_of_an_answered_call_say_nothing():
    one = trunk()
    fail(one, 0, 2)
    assert one.attempted("final", "487", True, 1) == one.attempted("final", "200", True, 1) == [] and one.failures == 2
    assert fail(one, 2)[-1][0] == CLOSED
    assert one.tick(32) == [(TRIAL, "time", 1)]
    assert one.attempted("final", "487", True, 40) == one.attempted("final", "200", True, 40) == [] and one.state == TRIAL


def test_a_carrier_at_its_limit_says_nothing_of_its_health():
    """Neither a failure nor a sign that it works, in service or on trial."""
    one = trunk()
    fail(one, 0, 2)
    assert one.attempted("full", "603", True, 1) == [] and one.failures == 2 and one.is_open
    assert fail(one, 2)[-1][0] == CLOSED
    one.tick(32)
    assert one.attempted("full", "480", True, 33) == [] and one.state == TRIAL


def test_failures_of_targets_that_the_probes_found_do_not_close():
    one = trunk()
    assert [state for state, dummy, dummy in fail(one, 0, 9, "silent", fine=False)] == ["burst"] and one.is_open and one.failures == 9


def test_a_trunk_on_trial_opens_after_a_call_and_closes_for_longer_after_a_failure():
    one = trunk()
    fail(one, 0, 3)
    assert one.tick(29) == [] and one.tick(30) == [(TRIAL, "time", 1)]
    assert fail(one, 31)[-1] == (CLOSED, "503", 2) and one.closed_until == 31 + 60
    assert one.tick(91)[0][0] == TRIAL
    assert one.attempted("final", "404", True, 92) == [(OPEN, "404", 2)] and one.is_open
    assert fail(one, 93, 3)[-1] == (CLOSED, "503", 3)


def test_a_trial_without_calls_ends_after_the_longest_hold_down():
    one = trunk()
    fail(one, 0, 3)
    assert one.tick(30)[0][0] == TRIAL
    assert one.tick(30 + LONGEST - 1) == [] and one.tick(30 + LONGEST) == [(OPEN, "not failing", 1)]


def test_a_hold_down_of_nothing_holds_nothing_for_long():
    one = target(hold_down=0, hold_down_max=0, good_probes=0)
    for now in range(10):
        one.probed(DEAD, now), one.probed(ALIVE, now), one.tick(now + 0.5)
    assert not one.held


def test_a_closed_trunk_is_not_closed_further_by_calls_that_had_no_other():
    one = trunk()
    fail(one, 0, 3)
    assert fail(one, 10, 5) == [] and one.closed_until == 30


def test_a_call_that_worked_opens_a_closed_trunk():
    one = trunk()
    fail(one, 0, 3)
    assert one.worked("answered", 5) == [(OPEN, "answered", 1)]


def test_no_trunk_closes_where_that_is_not_wanted():
    one = trunk(close_after=0)
    fail(one, 0, 50)
    assert one.is_open


def test_a_burst_is_three_failures_in_a_row_within_a_minute_and_stands_for_a_minute():
    one = trunk(close_after=0)
    fail(one, 0), fail(one, 31), fail(one, 62)
    assert not one.in_burst(62)
    assert fail(one, 80) == [("burst", 49, 4)] and one.in_burst(80) and one.in_burst(139) and not one.in_burst(140)
    assert fail(one, 100) == [] and one.in_burst(159)  # the same burst goes on
    one.worked("answered", 110)
    assert one.in_burst(159)  # long enough to be seen


TRUNK_STEPS = st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["fail", "fail", "fail", "unfine", "ok", "cancel"])), max_size=60)


def play(one, steps, now=0.0):
    for wait, what in steps:
        now += wait
        one.tick(now)
        if what in ("fail", "unfine"):
            fail(one, now, fine=what == "fail")
        elif what == "ok":
            one.worked("answered", now)
        else:
            one.attempted("final", "487", True, now)
    return now


@given(TRUNK_STEPS)
def test_no_trunk_is_closed_for_longer_than_the_longest_time(steps):
    one = trunk()
    now = play(one, steps)
    if one.state == CLOSED:
        assert now < one.closed_until <= now + LONGEST + A_LITTLE
    one.tick(now + LONGEST + A_LITTLE)
    assert one.state in (OPEN, TRIAL)
    one.worked("answered", now + LONGEST)
    assert one.is_open


@given(TRUNK_STEPS, st.floats(-1e6, 1e6))
def test_nor_when_the_clock_was_set(steps, jump):
    one = trunk()
    now = play(one, steps, 1e9) + jump
    one.tick(now)
    one.tick(now + LONGEST + A_LITTLE)
    assert one.state != CLOSED and not one.in_burst(now + LONGEST + A_LITTLE)


@given(TRUNK_STEPS)
def test_the_state_file_keeps_a_trunk(steps):
    one, other = trunk(), trunk()
    now = play(one, steps)
    other.restore(json.loads(json.dumps(one.saved())), now)
    assert (other.state, other.closed_until, other.level(now)) == (one.state, one.closed_until, one.level(now))
