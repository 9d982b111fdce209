# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time window of a report: what an operator asks for, as two moments."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

DEFAULT = "24h"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST = timedelta(days=366)
_LAST = re.compile(r"\s*(\d{1,6})\s*([smhdw])\s*", re.ASCII | re.IGNORECASE)


class WindowError(ValueError):
    """The message names the variable that is wrong, and says what was expected."""


def _moment(name: str, value: Any) -> datetime:
    text = str(value).strip()
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WindowError(
            f"{name}: '{text}' is no moment; expected ISO 8601, such as 2026-11-25T06:00:00Z, 2026-11-25T07:00+01:00 or 2026-11-25 (without an offset: UTC)"
        ) from None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def window(now: datetime, asked_from: Any = None, asked_to: Any = None, asked_last: Any = None) -> dict[str, str]:
    """The window as {"from", "to"}, moments as the logs write them. What is None or empty was not asked for.

    ``asked_last`` (90s, 30m, 2h, 7d, 1w) is the time before ``asked_to``, or before now. Without it, and without a beginning: 24 hours.
    Errors: WindowError.
    """
    asked_from, asked_to, asked_last = (None if value is None or str(value).strip() == "" else value for value in (asked_from, asked_to, asked_last))
    if asked_from is not None and asked_last is not None:
        raise WindowError("report_from and report_last say the same thing twice; give one of them")
    ends = now.astimezone(UTC) if asked_to is None else _moment("report_to", asked_to)
    if asked_from is not None:
        begins = _moment("report_from", asked_from)
    else:
        last = _LAST.fullmatch(str(DEFAULT if asked_last is None else asked_last))
        if not last or int(last[1]) == 0:
            raise WindowError(f"report_last: '{asked_last}' is no length of time; expected a number and s, m, h, d or w, such as 30m or 2h")
        length = timedelta(seconds=int(last[1]) * UNITS[last[2].lower()])
        begins = ends - min(length, LONGEST + timedelta(seconds=1))
    if begins >= ends:
        end = "now" if asked_to is None else "report_to"
        raise WindowError(f"report_from ({_written(begins)}) is not before {end} ({_written(ends)}); give a beginning that is")
    if ends - begins > LONGEST:
        raise WindowError(f"from {_written(begins)} to {_written(ends)} is over a year; ask for less")
    return {"from": _written(begins), "to": _written(ends)}
