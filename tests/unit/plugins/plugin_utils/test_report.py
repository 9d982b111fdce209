# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says of small logs, computed by hand."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incident import HOSTILE, TARGETS, WINDOW, at, attempt, event, gathered, host, log, measured, record

from ansible_collections.siptrunk.failover.plugins.plugin_utils import report_input
from ansible_collections.siptrunk.failover.plugins.plugin_utils.report import analyse, duration, merge, percentile, together, words
from ansible_collections.siptrunk.failover.plugins.plugin_utils.report_page import page


def good(clock, trunk="acme", **fields):
    return record(clock, [attempt(clock, trunk)], **fields)


def rerouted(clock, wait=0.2, code=503, reason="Service Unavailable", **fields):
    """acme fails for `wait` seconds, beta carries."""
    first = attempt(clock, "acme", code, reason, round(wait * 1000), "next_target")
    return record(clock, [first, attempt(at(clock) + timedelta(seconds=wait), "beta")], **fields)


def lost(clock):
    return record(
        clock, [attempt(clock, "acme", 503, "Service Unavailable", 5, "next_trunk"), attempt(clock, "beta", None, "silent", 6400, "next_target")], "failed"
    )


def passed(clock, why, trunk="acme", by="beta"):
    return record(clock, [attempt(clock, by)], passed_over=[{"trunk": trunk, "target": TARGETS[trunk], "why": why}])


def moved(clock, back=None, why="503"):
    events = [event(clock, "failover", route="national", **{"from": "acme", "to": "beta"}, why=why)]
    return events + ([event(back, "return", route="national", **{"from": "beta", "to": "acme"}, seconds=60)] if back else [])


def look(events, records, name="pbx"):
    return analyse(WINDOW, [host(name, events, records)])


def said(found):
    return [group["sentence"] for group in found["incidents"]]


# --- outages ---


def test_the_sentence_of_an_outage():
    found = look(
        moved("14:03:12.300", "14:21:40"),
        [
            good("14:00:00"),
            *(rerouted(f"14:03:{second}") for second in (12, 20, 30)),
            *(passed(f"14:{minute:02}:00", "held") for minute in range(4, 8)),
            good("14:21:10"),
        ],
    )
    assert said(found) == [
        "acme failed on pbx at 14:03:12 UTC (503 Service Unavailable); calls went to beta at once (0.2 s at worst); "
        "back on acme at 14:21:40, 18 min 28 s later; 7 calls rerouted, 0 lost."
    ]
    (outage,) = found["incidents"]
    (part,) = outage["parts"]
    assert (part["rerouted"], part["lost"], part["gave_up"], part["failovers"], part["delays"]) == (7, 0, 0, 1, [0, 0, 0, 0, 200, 200, 200])
    assert found["headline"] == "1 outage: 7 calls rerouted, 0 lost."
    assert {key: found["totals"][key] for key in ("calls", "answered", "rerouted", "lost", "failovers", "returns")} == {
        "calls": 9,
        "answered": 9,
        "rerouted": 7,
        "lost": 0,
        "failovers": 1,
        "returns": 1,
    }


def test_the_wait_is_the_median_and_the_worst_where_that_is_much_more():
    found = look(moved("14:00:01", "14:02:00"), [rerouted("14:00:00", 0.2), rerouted("14:00:10", 0.2), rerouted("14:00:20", 6.4, None, "silent")])
    assert "calls went to beta after 0.2 s (6.4 s at worst)" in said(found)[0]
    assert "(503 Service Unavailable)" in said(found)[0]  # twice, against once


def test_lost_calls_and_callers_who_hung_up():
    waiting = record(
        "14:00:30",
        [attempt("14:00:30", "acme", 503, "Service Unavailable", 5, "next_target"), attempt("14:00:31", "beta", 487, "the caller hung up", 3000)],
        "cancelled",
        pdd_ms=None,
    )
    rang = record(
        "14:00:40",
        [attempt("14:00:40", "acme", 503, "Service Unavailable", 5, "next_target"), attempt("14:00:41", "beta", 487, "the caller hung up", 3000)],
        "cancelled",
        pdd_ms=1200,
    )
    found = look(moved("14:00:01", "14:02:00"), [rerouted("14:00:00"), lost("14:00:10"), lost("14:00:20"), waiting, rang])
    assert said(found)[0].endswith("1 call rerouted, 2 lost, 1 caller hung up while waiting.")
    assert [call["at"] for call in found["lost"]] == [report_input.moment(WINDOW["from"]) + 3600_000 + ms for ms in (10_000, 20_000)]
    assert len(found["incidents"]) == 1  # beta was silent twice, but that is told already


def test_an_outage_that_goes_on():
    dead = event("14:00:05", "probe", trunk="acme", target=TARGETS["acme"], state="dead", was="alive")
    for events, last in ((moved("14:00:01") + [dead], "14:30:00"), (moved("14:00:01"), "14:59:30")):
        found = look(events, [rerouted("14:00:00"), passed(last, "down")])
        assert "not back when this report ends" in said(found)[0]
        assert found["incidents"][0]["lasts"] is True


def test_a_return_that_the_monitor_forgot_is_seen_by_the_calls():
    def three(minute):
        return [rerouted(f"14:{minute}:{second}") for second in (10, 20, 30)]

    calls = [*three("03"), good("14:03:25"), good("14:10:00"), good("14:20:00"), *three("30"), good("14:40:00")]
    found = look(moved("14:03:11") + [event("14:05:00", "started")] + moved("14:30:11", "14:40:00"), calls)
    first, second = said(found)
    assert "; back on acme at 14:10:00, 6 min 50 s later; 3 calls rerouted, 0 lost." in first
    assert "acme failed on pbx at 14:30:10 UTC" in second and "; back on acme at 14:40:00, 9 min 50 s later; 3 calls rerouted, 0 lost." in second


def test_a_trunk_that_no_call_has_asked_since_does_not_pass_for_broken():
    alive = [
        event("14:00:05", "probe", trunk="acme", target=TARGETS["acme"], state="dead", was="alive"),
        event("14:40:00", "probe", trunk="acme", target=TARGETS["acme"], state="alive", was="dead"),
    ]
    calls = [rerouted("14:00:00"), passed("14:30:00", "down")]
    for events, words_ in ((alive, "; well again at 14:40:00, no call went through it since; "), ([], "; no call went through acme since; ")):
        found = look(moved("14:00:01") + events, calls)
        assert words_ in said(found)[0] and "acme failed on pbx at 14:00:00 UTC" in said(found)[0]
        assert found["incidents"][0]["lasts"] is False


def test_an_outage_that_began_before_the_window():
    found = look([event("13:10:00", "probe", trunk="acme", target=TARGETS["acme"], state="alive", was="dead")], [good("13:30:00")])
    assert said(found) == ["acme failed on pbx since before 13:00:00 UTC (its probes had no answer), well again at 13:10:00; no call was affected."]


def test_one_of_two_addresses_was_dead():
    probes = [
        event("14:00:00", "probe", trunk="acme", target="a:1", state="dead", was="alive"),
        event("14:10:00", "probe", trunk="acme", target="a:1", state="alive", was="dead"),
    ]
    found = look(probes, [good("14:01:00"), good("14:02:00")])
    assert said(found) == [
        "a:1 of acme failed on pbx at 14:00:00 UTC (its probes had no answer), well again at 14:10:00; 2 calls went through its other address."
    ]


def test_troubles_less_than_a_minute_apart_are_one_outage():
    calls = [rerouted(clock) for clock in ("14:00:00", "14:00:30", "14:01:20", "14:10:00", "14:10:10", "14:10:20")]
    found = look(None, [*calls, good("14:05:00"), good("14:20:00")])
    assert [group["parts"][0]["rerouted"] for group in found["incidents"]] == [3, 3]
    assert merge([(0, 10), (60_010, 60_020), (200_000, None)], 300_000) == [(0, 60_020, False), (200_000, 300_000, True)]


def test_a_single_failure_in_passing_is_no_outage():
    found = look([], [good("14:00:00"), rerouted("14:10:00"), good("14:20:00")])
    assert (said(found), found["stray_calls"], found["stray"]) == ([], 1, ["acme: 503 Service Unavailable, 1 time"])
    assert found["headline"] == "No outage: 3 calls, none lost."


def test_a_single_call_that_was_lost_is_told():
    found = look([], [lost("14:00:00")])
    assert said(found) == ["1 call was lost on pbx at 14:00:00 UTC: acme (503 Service Unavailable); beta (no answer at all)."]
    assert found["headline"] == "No outage, but 1 call lost."


def test_busy_declined_unallocated_and_cancelled_are_no_failures():
    calls = [
        record(f"14:00:{second:02}", [attempt("14:00:00", "acme", code, "x", 90)], result)
        for second, (code, result) in enumerate([(486, "failed"), (404, "failed"), (603, "failed"), (180, "failed"), (487, "cancelled")])
    ]
    found = look([], calls)
    assert (said(found), found["totals"]["lost"], found["totals"]["refused"], found["totals"]["cancelled"]) == ([], 0, 4, 1)


def test_a_carrier_that_failed_after_ringing_lost_the_call():
    found = look([], [record("14:00:00", [attempt("14:00:00", "acme", 503, "Service Unavailable", 900, "final")], "failed")])
    assert found["totals"]["lost"] == 1


def test_a_carrier_at_its_limit_has_not_failed_and_yet_a_call_may_be_lost():
    full = attempt("14:00:00", "acme", 603, "Decline", 90, "full")
    found = look([], [record("14:00:00", [full], "failed"), record("14:00:10", [full, attempt("14:00:10", "beta", 200, "OK", 90, "final")], "answered")])
    assert found["totals"]["lost"] == 1 and found["stray_calls"] == 0


def test_several_hosts_that_saw_the_same_are_one_incident():
    calls = [rerouted("14:03:12"), rerouted("14:03:20"), rerouted("14:03:30")]
    found = analyse(WINDOW, [host(name, moved("14:03:13", "14:21:40"), calls) for name in ("b", "a", "c", "d", "e")])
    assert said(found)[0].startswith("acme failed on a, b, c and 2 more at 14:03:12 UTC")
    assert said(found)[0].endswith("15 calls rerouted, 0 lost.") and len(found["incidents"]) == 1


def test_hosts_that_saw_the_same_trunk_fail_at_other_times_had_incidents_of_their_own():
    def three(minute):
        return [rerouted(f"14:{minute}:{second}") for second in (10, 20, 30)]

    found = analyse(WINDOW, [host("a", moved("14:03:13", "14:04:00"), three("03")), host("b", moved("14:06:13", "14:07:00"), three("06"))])
    assert [(group["hosts"], group["rerouted"]) for group in found["incidents"]] == [(["a"], 3), (["b"], 3)]


def test_a_host_without_a_monitor_tells_failovers_by_its_calls():
    found = look(None, [good("14:00:00"), rerouted("14:03:12"), rerouted("14:03:20"), passed("14:03:30", "cooling"), good("14:04:00")])
    (row,) = found["failovers"]
    assert (row["from"], row["to"], row["cause"], row["back"] - row["at"]) == ("acme", "beta", "503 Service Unavailable", 47_800)
    assert "back on acme at 14:04:00, 48 s later; 3 calls rerouted, 0 lost." in said(found)[0]
    assert "no log of a monitor" in found["notices"][0]


def test_a_host_without_records_tells_what_its_monitor_heard():
    found = look(moved("14:00:01", "14:02:00"), None)
    assert said(found) == [
        "acme failed on pbx at 14:00:01 UTC (503 Service Unavailable); calls went to beta; "
        "back on acme at 14:02:00, 1 min 59 s later; 0 calls rerouted, 0 lost."
    ]
    assert "no record of calls" in found["notices"][0]


def test_calls_that_are_still_up_count_by_what_the_monitor_heard():
    heard = []
    for number in range(3):
        heard += [
            event(
                f"14:00:0{number}",
                "attempt",
                route="national",
                trunk="acme",
                target="a:1",
                code=503,
                outcome="503",
                ms=100,
                verdict="next_target",
                call=f"c{number}",
            ),
            event(f"14:00:0{number}.400", "answered", route="national", trunk="beta", target="b:1", ms=300, call=f"c{number}"),
        ]
    ended = event("14:00:30", "attempt", route="national", trunk="acme", target="a:1", code=200, outcome="200", ms=100, verdict="final", call="began before")
    found = look([*heard, ended, *moved("14:00:00.400", "14:05:00")], [])
    assert (found["totals"]["calls"], found["totals"]["answered"], found["totals"]["rerouted"]) == (3, 3, 3)


def test_a_recorded_call_is_not_counted_again_from_the_events():
    call = rerouted("14:00:00")
    heard = [
        event("14:00:00.100", "attempt", route="national", trunk="acme", target="a", code=503, outcome="503", ms=100, verdict="next_target", call=call["call"])
    ]
    assert look(heard, [call])["totals"]["calls"] == 1


# --- what is no outage ---


def test_a_drained_trunk():
    events = [
        event("13:20:00", "drained", trunk="acme", by="anna", why="maintenance"),
        event("13:45:00", "restored", trunk="acme"),
        *moved("13:21:00", "13:46:00", "drained"),
    ]
    found = look(events, [passed("13:21:00", "drained"), passed("13:22:00", "drained")])
    assert said(found) == ["acme was drained on pbx by anna (maintenance) from 13:20:00 to 13:45:00 UTC; 2 calls went to beta instead, 0 lost."]
    assert (found["totals"]["outages"], found["totals"]["rerouted"], found["failovers"][0]["cause"]) == (0, 0, "it was drained by hand")


def test_a_full_trunk():
    found = look([], [passed("14:00:00", "full"), record("14:00:01", [], "failed", passed_over=[{"trunk": "acme", "target": None, "why": "full"}])])
    assert said(found) == ["acme was full on pbx from 14:00:00 to 14:00:01 UTC; 1 call went to beta instead, 1 lost."]


def test_a_registration_and_an_engine():
    events = [
        event("14:00:00", "registration", trunk="acme", registration="acme.1", state="rejected", was="registered"),
        event("14:01:00", "registration", trunk="acme", registration="acme.1", state="registered", was="rejected"),
        event("14:10:00", "engine_lost", why="connection refused"),
        event("14:10:30", "engine_back", seconds=30),
    ]
    assert said(look(events, [good("14:00:30")])) == [
        "The phone system on pbx was not there for its monitor from 14:10:00 to 14:10:30 UTC.",
        "acme was not registered on pbx from 14:00:00 to 14:01:00 UTC; 1 call went through it all the same.",
    ]


# --- figures ---


def test_quality_before_during_and_after():
    def heard(loss, jitter, rtt):
        return {"rx_packets": 100 - loss, "rx_lost": loss, "rx_jitter_ms": jitter, "tx_packets": 100, "tx_lost": None, "tx_jitter_ms": None, "rtt_ms": rtt}

    calls = [
        good("12:59:00", quality=heard(50, 99, 99)),
        good("13:30:00", quality=heard(0, 1, 20)),
        good("13:40:00", quality=heard(2, 3, 40)),
        good("13:50:00"),
        *(rerouted(f"14:00:0{second}", quality=heard(10, 8 + second, 100)) for second in range(3)),
        good("14:01:50", quality=heard(-1, 2, 30)),  # before the return is told, but well again
        good("14:31:00", route="another", quality=heard(90, 90, 90)),
    ]
    rows = look(moved("14:00:01", "14:02:00"), calls)["incidents"][0]["quality"]
    assert [(row["phase"], row["trunk"], row["calls"], row["measured"], row["rx_loss"], row["rx_jitter"], row["rtt"]) for row in rows] == [
        ("before", "acme", 3, 2, 1.0, 2, 30),
        ("during", "beta", 3, 3, 10.0, 9, 100),
        ("after", "acme", 1, 1, 0.0, 2, 30),
    ]
    assert {row["tx_loss"] for row in rows} == {None}


def test_quality_is_compared_with_the_hour_around():
    rerouted_ones = [rerouted(f"14:00:{second}") for second in (10, 20, 30)]
    calls = [good("12:58:00"), good("13:10:00"), *rerouted_ones, good("14:01:30"), good("15:01:00"), good("15:03:00")]
    window = {"from": "2026-11-25T12:00:00.000Z", "to": "2026-11-25T16:00:00.000Z"}
    rows = analyse(window, [host("pbx", moved("14:00:11", "14:02:00"), calls)])["incidents"][0]["quality"]
    assert [(row["phase"], row["calls"]) for row in rows] == [("before", 1), ("during", 3), ("after", 2)]


def test_the_first_call_of_an_outage_is_not_of_the_time_before_it():
    calls = [rerouted("14:00:00.002", at="2026-11-25T14:00:00.001Z"), rerouted("14:00:10"), rerouted("14:00:20")]
    rows = look(moved("14:00:01", "14:02:00"), calls)["incidents"][0]["quality"]
    assert [(row["phase"], row["trunk"], row["calls"]) for row in rows] == [("during", "beta", 3)]


def test_quality_of_a_trunk_that_works_now_and_then_is_of_the_time_of_its_trouble():
    calls = [*(rerouted(f"14:00:{second}") for second in ("00", "10", "40")), good("14:00:20"), good("14:01:30")]
    (outage,) = look(moved("14:00:01", "14:02:00"), calls)["incidents"]
    assert [(row["phase"], row["trunk"], row["calls"]) for row in outage["quality"]] == [("during", "acme", 1), ("during", "beta", 3), ("after", "acme", 1)]
    assert outage["parts"][0]["through"] == 1


def test_calls_delays_and_attempts_of_each_trunk():
    calls = [good(f"14:00:{second:02}", pdd_ms=second * 10) for second in range(1, 21)] + [rerouted("14:01:00", pdd_ms=700), lost("14:02:00")]
    calls += [record("14:03:00", [attempt("14:03:00", "acme", 486, "Busy Here", 90)], "failed")]
    acme, beta = look([], calls)["trunks"]
    assert (acme["calls"], acme["answered"], acme["pdd"], acme["pdd_95"], acme["attempts"], acme["failed"]) == (21, 20, 105, 190, 23, 2)
    assert [(one["verdict"], one["what"], one["count"]) for one in acme["outcomes"]] == [
        ("next_target", "503 Service Unavailable", 1),
        ("next_trunk", "503 Service Unavailable", 1),
        ("final", "200 OK", 20),
        ("final", "486 Busy Here", 1),
    ]
    assert (beta["calls"], beta["pdd"], beta["failed"], beta["outcomes"][0]["what"]) == (1, 700, 1, "no answer at all")


@pytest.mark.parametrize(("values", "share", "rank"), [([], 0.95, None), ([7], 0.95, 7), (list(range(1, 101)), 0.95, 95), ([3, 1, 2], 0.5, 2)])
def test_percentile_is_the_nearest_rank(values, share, rank):
    assert percentile(values, share) == rank


def test_words_and_lengths():
    assert [duration(ms) for ms in (0, 45_000, 60_000, 1_108_000, 7_500_000, 273_600_000)] == ["0 s", "45 s", "1 min", "18 min 28 s", "2 h 5 min", "3 d 4 h"]
    assert [together(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 1 more",
    ]
    assert [words("503"), words("599", "Odd"), words("599"), words("silent")] == ["503 Service Unavailable", "599 Odd", "599", "no answer at all"]


# --- what is known, and what not ---


def test_hosts_that_cannot_be_read_and_lines_that_make_no_sense_are_named():
    broken = {"name": "pbx2", "why": "Connection\n timed out"}
    torn = host(
        "pbx1",
        [event("14:00:00", "missed", attempts=14, **{"from": "x", "to": "y"}), event("14:00:00", "of tomorrow"), "torn"],
        [good("14:00:00"), "{", '"text"', good("14:00:00")],
    )
    torn["records"] |= {"malformed": 2, "left_out": 1234, "errors": ["/var/log/x: Permission denied"]}
    found = analyse(WINDOW, [torn, broken])
    assert found["notices"] == [
        "pbx2 could not be read: Connection timed out",
        "pbx1: 1 line of the monitor's log is malformed and not counted here.",
        "pbx1: 4 lines of the record of calls are malformed and not counted here.",
        "pbx1: 1,234 lines of the record of calls did not fit: the figures are too low. Ask for a shorter window, or raise report_limit.",
        "pbx1: A file could not be read: /var/log/x: Permission denied.",
        "pbx1: The monitor did not hear 14 attempts; the calls here are complete, failovers may be missing.",
    ]
    assert found["totals"]["calls"] == 1  # the same line twice is one call
    assert found["headline"] == "No outage: 1 call, none lost. 1 host could not be read."
    assert analyse(WINDOW, [broken])["headline"] == "Nothing is known. 1 host could not be read."


def test_direction_and_control_characters_do_not_reach_the_page():
    html = page(WINDOW, gathered())["html"]
    assert not {char for char in html if char in "\u202e\u202d\u2066\x00\x1b\u2028"}
    assert HOSTILE[:8] not in html and "&lt;script&gt;" in html


def test_what_a_monitor_remembers_goes_on_through_its_restart():
    events = [
        event("14:00:00", "health", trunk="acme", target=None, state="closed", why="503", level=1),
        event("14:05:00", "started"),
        event("14:06:00", "health", trunk="acme", target=None, state="trial", why="time", level=1),
        event("14:06:10", "health", trunk="acme", target=None, state="open", why="answered", level=1),
    ]
    spans = look(events, [])["hosts"][0]["spans"]
    assert [(span["kind"], span["end"] - span["start"]) for span in spans] == [("closed", 360_000), ("trial", 10_000)]


ENGINE = event("14:00:00", "engine_lost", why="connection refused")
DRAIN = event("14:00:00", "drained", trunk="acme", by="anna", why="maintenance")


@pytest.mark.parametrize("first", [ENGINE, DRAIN], ids=["engine", "drain"])
def test_what_a_monitor_forgets_ends_with_its_restart_unless_it_tells_it_again(first):
    def spans(*more):
        return [(span["start"] - began, span["end"] and span["end"] - began) for span in look([first, *more], [])["hosts"][0]["spans"]]

    began = report_input.moment(WINDOW["from"]) + 3600_000  # 14:00
    started = event("14:05:00", "started")
    assert spans() == [(0, None)]
    assert spans(started) == [(0, 300_000)]
    assert spans(started, {**first, "at": event("14:05:05", "started")["at"]}) == [(0, None)]
    assert spans(started, {**first, "at": event("14:10:00", "started")["at"]}) == [(0, 300_000), (600_000, None)]
    assert "still is" in said(look([first], []))[0] and "still is" not in said(look([first, started], []))[0]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["acme", "14:00", "final", "failed", WINDOW["from"], "2026-11-25T14:00:00.000Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "trunk", "next", "code", "why", "x"]), inner, max_size=4),
    max_leaves=8,
)
MOMENT = st.datetimes(min_value=at("13:00:00").replace(tzinfo=None), max_value=at("14:59:59").replace(tzinfo=None)).map(
    lambda moment: moment.isoformat(timespec="milliseconds") + "Z"
)
WORD = st.sampled_from(
    [
        "acme",
        "beta",
        "national",
        "503",
        "silent",
        "held",
        "closed",
        "open",
        "dead",
        "alive",
        "drained",
        "registered",
        "rejected",
        "next_target",
        "final",
        "full",
        HOSTILE,
    ]
)
FIELDS = ("route", "trunk", "outcome", "verdict", "call", "from", "to", "why", "registration", "state", "was", "target", "by")
EVENT = st.builds(
    lambda moment, kind, words, odd: {"at": moment, "event": kind, **words, **odd},
    MOMENT,
    st.sampled_from([*report_input.EVENTS, "other"]),
    st.fixed_dictionaries({field: WORD for field in FIELDS}),
    st.dictionaries(st.sampled_from([*FIELDS, "ms", "code", "failures", "at"]), JSON, max_size=2),
)
ATTEMPT = st.builds(
    lambda moment, trunk, code, reason, verdict, odd: {
        "at": moment,
        "trunk": trunk,
        "target": "t",
        "code": code,
        "reason": reason,
        "ms": 5,
        "next": verdict,
        **odd,
    },
    MOMENT,
    WORD,
    st.sampled_from([None, 100, 180, 200, 404, 503]) | st.integers(),
    WORD,
    st.sampled_from(report_input.VERDICTS),
    st.dictionaries(st.sampled_from(["ms", "code", "at"]), JSON, max_size=1),
)
RECORD = st.builds(
    lambda moment, attempts, result, passed, odd: {
        "at": moment,
        "call": "c",
        "route": "r",
        "result": result,
        "attempts": attempts,
        "passed_over": passed,
        **odd,
    },
    MOMENT,
    st.lists(ATTEMPT, max_size=4),
    st.sampled_from(report_input.RESULTS),
    st.lists(st.builds(lambda trunk, why: {"trunk": trunk, "target": None, "why": why}, WORD, WORD), max_size=3),
    st.dictionaries(st.sampled_from(["pdd_ms", "quality", "from", "to", "attempts", "passed_over"]), JSON, max_size=2),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(EVENT | JSON | st.text(max_size=20), max_size=25), st.lists(RECORD | JSON | st.text(max_size=20), max_size=25))
def test_no_line_is_fatal(events, records):
    def text(lines):
        return [line if isinstance(line, str) else json.dumps(line) for line in lines]

    found = page(WINDOW, [host("pbx", text(events), text(records)), host("other", None, text(records)[:5])])
    assert found["html"].rstrip().endswith("</html>")
    found["html"].encode("utf-8")
    assert "<script" not in found["html"]


@given(st.binary())
def test_no_bytes_are_fatal(data):
    for kind in (report_input.event, report_input.call):
        report_input.parse(data.splitlines(), kind)


def test_a_busy_day_is_analysed_in_seconds():
    calls = [good(at("13:00:00") + timedelta(milliseconds=700 * number), quality=measured(0, 1, 20)) for number in range(10_000)]
    assert page(WINDOW, [{"name": "pbx", "why": None, "events": log([]), "records": log(calls)}])["summary"][0] == "No outage: 10,000 calls, none lost."
