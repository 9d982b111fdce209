# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of events: rotation, and a disk that is full."""

from __future__ import annotations

import json
import os

from siptrunk_monitor import log


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line(tmp_path):
    path = tmp_path / "events.jsonl"
    log.Log(str(path), 1000, 2).write("failover", 1764051246.1234, **{"route": "nanp", "from": "acme", "to": "beta", "why": "503"})
    assert lines(path) == [{"at": "2025-11-25T06:14:06.123Z", "event": "failover", "route": "nanp", "from": "acme", "to": "beta", "why": "503"}]
    assert path.stat().st_mode & 0o777 == 0o640


def test_rotation_keeps_every_line_and_so_many_files(tmp_path):
    path = tmp_path / "events.jsonl"
    written = log.Log(str(path), 300, 3)
    for number in range(200):
        written.write("x", 0, number=number)
    names = sorted(os.listdir(tmp_path))
    assert names == ["events.jsonl", "events.jsonl.1", "events.jsonl.2", "events.jsonl.3"]
    numbers = [line["number"] for name in reversed(names[1:]) for line in lines(tmp_path / name)] + [line["number"] for line in lines(path)]
    assert numbers == list(range(numbers[0], 200)) and all((tmp_path / name).stat().st_size <= 300 for name in names)


def test_a_file_that_is_full_at_the_start_is_rotated(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text("x" * 299 + "\n")
    log.Log(str(path), 300, 1).write("a", 0)
    assert [line["event"] for line in lines(path)] == ["a"] and (tmp_path / "events.jsonl.1").stat().st_size == 300


def test_a_full_disk_is_counted_and_what_it_cut_off_spoils_no_other_line(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    written = log.Log(str(path), 10000, 2)
    written.write("a", 0)
    real, broken = os.write, []

    def full(descriptor, data):
        broken.append(data)
        if len(broken) == 1:
            return real(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log.os, "write", full)
    for dummy in range(3):
        written.write("b", 0)
    monkeypatch.setattr(log.os, "write", real)
    written.write("c", 0)
    assert written.errors == 3
    whole = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in (whole[0], whole[-1])] == ["a", "c"] and len(whole) == 3


def test_a_folder_that_is_not_there_is_counted_too_and_may_come(tmp_path):
    written = log.Log(str(tmp_path / "gone" / "events.jsonl"), 1000, 2)
    written.write("a", 0)
    assert written.errors == 1
    (tmp_path / "gone").mkdir()
    written.write("b", 0)
    assert written.errors == 1 and lines(tmp_path / "gone" / "events.jsonl")[0]["event"] == "b"


def test_the_tail(tmp_path):
    path = tmp_path / "events.jsonl"
    written = log.Log(str(path), 200, 2)
    for number in range(10):
        written.write("x", 0, number=number)
    assert json.loads(log.tail(str(path), 10000)[-2])["number"] == 9
    assert log.tail(str(tmp_path / "none"), 100) == []
