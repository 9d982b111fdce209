# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The call records as they are written, and who heard of the attempts in them."""

from __future__ import annotations

import json

from siptrunk_monitor import records


def record(call, *times):
    return json.dumps({"call": call, "attempts": [{"at": time, "trunk": "a"} for time in times]}).encode()


def test_what_stood_there_at_the_first_start_is_old(tmp_path):
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"old\n")
    follower = records.Follower(str(path))
    assert follower.lines() == []
    with path.open("ab") as stream:
        stream.write(b"new\nhal")
        stream.flush()
        assert follower.lines() == [b"new"]
        stream.write(b"f\n")
        stream.flush()
        assert follower.lines() == [b"half"] and follower.lines() == []


def test_a_file_that_comes_later_is_new_as_a_whole(tmp_path):
    path = tmp_path / "cdr.jsonl"
    follower = records.Follower(str(path))
    assert follower.lines() == []
    path.write_bytes(b"first\n")
    assert follower.lines() == [b"first"]


def test_it_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"one\n")
    first = records.Follower(str(path), [0, 0])
    assert first.lines() == [b"one"]
    path.write_bytes(b"one\ntwo\n")
    assert records.Follower(str(path), first.position).lines() == [b"two"]


def test_a_rotation_loses_no_line(tmp_path):
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"one\n")
    follower = records.Follower(str(path), [0, 0])
    assert follower.lines() == [b"one"]
    path.rename(tmp_path / "cdr.jsonl.1")
    with (tmp_path / "cdr.jsonl.1").open("ab") as stream:
        stream.write(b"two\n")
    path.write_bytes(b"three\n")
    assert [follower.lines() for dummy in range(3)] == [[b"two"], [], [b"three"]]


def test_a_file_that_was_emptied_begins_anew(tmp_path):
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"one, longer\n")
    follower = records.Follower(str(path), [0, 0])
    follower.lines()
    path.write_bytes(b"two\n")
    assert [follower.lines() for dummy in range(2)] == [[], [b"two"]]


def test_a_file_that_took_its_place_meanwhile_is_new_as_a_whole(tmp_path):
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"one\ntwo\n")
    assert records.Follower(str(path), [path.stat().st_ino + 1, 4]).lines() == [b"one", b"two"]


def test_a_line_without_an_end_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LONGEST_LINE", 10)
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"x" * 20)
    follower = records.Follower(str(path), [0, 0])
    assert follower.lines() == [] and follower.position[1] == 20
    with path.open("ab") as stream:
        stream.write(b"\nnew\n")
    assert follower.lines() == [b"", b"new"]


def test_a_clock_that_was_set_back_makes_nobody_wait():
    tally = records.Tally()
    tally.record(record("c1", "t1"), 1000)
    assert tally.missed(10) == (1, "t1", "t1")


def test_attempts_that_were_heard_are_not_missed_and_others_are():
    tally = records.Tally()
    tally.hear("c1")
    tally.record(record("c1", "t1"), 0)
    tally.record(record("c2", "t2", "t3"), 0)
    assert tally.missed(9) is None  # an event may come after the record
    assert tally.missed(11) == (2, "t2", "t3") and len(tally) == 0


def test_two_records_of_one_call_after_a_transfer():
    tally = records.Tally()
    for dummy in range(3):
        tally.hear("c")
    tally.record(record("c", "t1"), 0)
    tally.record(record("c", "t2", "t3"), 0)
    assert tally.missed(11) is None and len(tally) == 0


def test_what_is_no_record_is_passed_over():
    tally = records.Tally()
    for line in (b"", b"{", b"[]", b"null", b'{"call": 1, "attempts": [{"at": "x"}]}', b'{"call": "c", "attempts": 7}', b"\xff\xfe", b"[" * 100000):
        tally.record(line, 0)
    assert tally.missed(100) is None


def test_the_memory_of_calls_is_bounded():
    tally = records.Tally()
    for number in range(records.MOST_CALLS + 100):
        tally.hear(str(number))
    assert len(tally) == records.MOST_CALLS


def test_the_memory_outlives_the_process():
    tally, other = records.Tally(), records.Tally()
    tally.hear("c1")
    tally.record(record("c2", "t"), 0)
    other.restore(json.loads(json.dumps(tally.saved())))
    other.record(record("c1", "t"), 0)
    assert other.missed(11) == (1, "t", "t")
    for spoiled in (None, [], {"heard": 3, "pending": []}, {"heard": {"a": "x"}, "pending": []}):
        records.Tally().restore(spoiled)
