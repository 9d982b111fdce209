# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.module_utils import log_lines
from ansible_collections.siptrunk.failover.plugins.plugin_utils.report_window import WindowError, window

NOW = datetime(2026, 11, 25, 15, 0, 0, 500_000, UTC)


@pytest.mark.parametrize(
    ("asked", "begins", "ends"),
    [
        ((), "2026-11-24T15:00:00.500Z", "2026-11-25T15:00:00.500Z"),
        (("", "", " "), "2026-11-24T15:00:00.500Z", "2026-11-25T15:00:00.500Z"),
        ((None, None, "2h"), "2026-11-25T13:00:00.500Z", "2026-11-25T15:00:00.500Z"),
        ((None, None, " 90 S "), "2026-11-25T14:58:30.500Z", "2026-11-25T15:00:00.500Z"),
        ((None, "2026-11-20", "1w"), "2026-11-13T00:00:00.000Z", "2026-11-20T00:00:00.000Z"),
        (("2026-11-25T06:00:00Z",), "2026-11-25T06:00:00.000Z", "2026-11-25T15:00:00.500Z"),
        (("2026-11-25T07:00+01:00", "2026-11-25 07:00"), "2026-11-25T06:00:00.000Z", "2026-11-25T07:00:00.000Z"),
        ((datetime(2026, 11, 25, 6, tzinfo=UTC),), "2026-11-25T06:00:00.000Z", "2026-11-25T15:00:00.500Z"),
    ],
)
def test_what_is_asked_for(asked, begins, ends):
    assert window(NOW, *asked) == {"from": begins, "to": ends}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("yesterday",), "report_from: 'yesterday' is no moment; expected ISO 8601"),
        ((None, "25.11.2026"), "report_to: '25.11.2026' is no moment"),
        ((None, None, "2x"), "report_last: '2x' is no length of time"),
        ((None, None, "0h"), "report_last: '0h' is no length of time"),
        ((None, None, "-2h"), "report_last: '-2h' is no length of time"),
        (("2026-11-25", None, "2h"), "report_from and report_last say the same thing twice"),
        (("2026-11-25T14:00Z", "2026-11-25T13:00Z"), "is not before report_to"),
        (("2026-11-26",), "is not before now"),
        (("2020-01-01",), "is over a year"),
        ((None, None, "999999w"), "is over a year"),
        (("0001-01-01T00:00+23:59",), "report_from: '0001-01-01T00:00+23:59' is no moment"),
    ],
)
def test_what_makes_no_sense(asked, said):
    with pytest.raises(WindowError) as error:
        window(NOW, *asked)
    assert said in str(error.value)


@given(st.text(), st.text(), st.text())
def test_any_text_is_a_window_or_refused(begin, end, last):
    try:
        found = window(NOW, begin, end, last)
    except WindowError:
        return
    assert log_lines.epoch(found["from"]) < log_lines.epoch(found["to"])
