# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.module_utils import log_lines

DAY = "2026-11-25T"
SINCE, UNTIL = DAY + "14:00:00.000Z", DAY + "15:00:00.000Z"
MIB = 1 << 20


def line(clock, **more):
    return json.dumps({"at": f"{DAY}{clock}.000Z", **more}, separators=(",", ":")) + "\n"


def write(path, text, clock="14:30:00", opener=open):
    with opener(path, "wb") as stream:
        stream.write(text.encode())
    moment = log_lines.epoch(f"{DAY}{clock}.000Z")
    os.utime(path, (moment, moment))


def read(path, limit=MIB):
    found = log_lines.read([str(path)], SINCE, UNTIL, limit)
    return found, [json.loads(one) for one in log_lines.unpack(found["data"])]


def test_the_lines_of_the_window_alone(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, line("13:59:59") + line("14:00:00", n=1) + line("14:59:59", n=2) + line("15:00:00"))
    found, lines = read(log)
    assert [one["n"] for one in lines] == [1, 2]
    assert {key: value for key, value in found.items() if key != "data"} == {
        "found": [str(log)],
        "files": [str(log)],
        "lines": 2,
        "malformed": 0,
        "left_out": 0,
        "errors": [],
    }


def test_a_call_is_written_when_it_ends_and_dated_when_it_began(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, line("15:10:00") + line("14:20:00", n=1), clock="15:30:00")
    assert [one["n"] for one in read(log)[1]] == [1]


def test_at_may_stand_anywhere_in_the_line(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, f'{{"n": 1, "at": "{DAY}14:20:00.000Z"}}\n{{"at": "{DAY}14:21:00.000Z", "n": 2}}\n')
    assert [one["n"] for one in read(log)[1]] == [1, 2]


def test_rotated_and_compressed_files(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, line("14:40:00", n="log"), "14:50:00")
    write(tmp_path / "log.jsonl.1", line("14:30:00", n=".1"), "14:35:00")
    write(tmp_path / "log.jsonl.2.gz", line("14:20:00", n=".2.gz"), "14:25:00", gzip.open)
    write(tmp_path / "log.jsonl-20261125.bz2", line("14:10:00", n="-date.bz2"), "14:15:00", bz2.open)
    write(tmp_path / "log.jsonl.3.xz", line("14:05:00", n=".3.xz"), "14:06:00", lzma.open)
    write(tmp_path / "log.jsonl.bak", line("14:05:00", n="a copy of somebody's"))
    write(tmp_path / "log.jsonlx.1", line("14:05:00", n="another log"))
    assert [one["n"] for one in read(log)[1]] == [".3.xz", "-date.bz2", ".2.gz", ".1", "log"]


def test_a_file_that_was_not_written_to_since_the_window_began_is_not_opened_up(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, "")
    write(tmp_path / "log.jsonl.1", "garbage\n" + line("14:20:00"), "13:59:59")
    found, lines = read(log)
    assert (found["files"], found["malformed"], lines) == ([str(log)], 0, [])


def test_a_file_with_two_names_is_read_once(tmp_path):
    write(tmp_path / "log.jsonl", line("14:20:00"))
    os.link(tmp_path / "log.jsonl", tmp_path / "log.jsonl.1")
    assert len(read(tmp_path / "log.jsonl")[1]) == 1


def test_what_is_malformed_is_counted_and_not_fatal(tmp_path):
    log = tmp_path / "log.jsonl"
    long = "x" * (log_lines.LONGEST_LINE + 10)
    write(log, "\n".join(["", "no json", "[]", "{}", '{"at":1}', '{"at":"yesterday"}', "[" * 5000, long, ""]) + line("14:20:00"))
    found, lines = read(log)
    assert (found["malformed"], len(lines)) == (7, 1)


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, line("14:20:00") + line("14:21:00")[:-3])
    found, lines = read(log)
    assert (found["malformed"], len(lines)) == (0, 1)


def test_the_limit_keeps_the_first_lines_and_counts_the_others(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, "".join(line(f"14:{minute:02}:00", n=minute) for minute in range(60)))
    size = len(line("14:00:00", n=10))
    found, lines = read(log, limit=10 * size)
    assert (found["lines"], found["left_out"], [one["n"] for one in lines]) == (10, 50, list(range(10)))


def test_files_that_cannot_be_read_are_named(tmp_path):
    log = tmp_path / "log.jsonl"
    write(log, line("14:20:00"))
    write(tmp_path / "log.jsonl.1.gz", "no gzip")
    write(tmp_path / "log.jsonl.2.zst", "who knows")
    with gzip.open(tmp_path / "log.jsonl.3.gz", "wb") as stream:
        stream.write(os.urandom(5000))
    torn = (tmp_path / "log.jsonl.3.gz").read_bytes()[:2000]
    (tmp_path / "log.jsonl.3.gz").write_bytes(torn)
    os.utime(tmp_path / "log.jsonl.3.gz", (2e9, 2e9))
    found, lines = read(log)
    assert len(lines) == 1
    assert sorted(error.partition(":")[0].rpartition("/")[2] for error in found["errors"]) == ["log.jsonl.1.gz", "log.jsonl.2.zst", "log.jsonl.3.gz"]


def test_a_host_without_the_log(tmp_path):
    found, lines = read(tmp_path / "none.jsonl")
    assert (found["found"], found["errors"], lines) == ([], [], [])


@pytest.mark.parametrize("moment", ["", "2026-11-25", "2026-11-25T14:00:00Z", "2026-13-25T14:00:00.000Z", "2026-11-25T14:00:00.000+00:00"])
def test_a_window_is_written_as_the_logs_write_it(moment):
    with pytest.raises(ValueError):
        log_lines.read([], moment, UNTIL, MIB)


@given(st.binary())
def test_a_moment_of_any_line_is_a_moment_or_none(data):
    found = log_lines.moment_of(data)
    assert found is None or log_lines.MOMENT.match(found)
