# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which trunk carries a route: failover to a backup, and return to the primary. Pure, as ``health``."""

from __future__ import annotations

# Final outcomes that mean that the called party was reached, besides an answer: it rang, was busy, or declined.
REACHED = ("rang_out", "486", "600", "603")


class Route:
    """A route's trunks by priority. Primary: every trunk of the first group; all others are backups.

    ``active`` is the trunk that carried the last call; while a backup is in use it stays the backup until the return.
    """

    def __init__(self, name, groups, return_after, emergency=False):
        """``groups``: lists of trunk names. ``return_after``: seconds without a call through a backup until a return.

        ``emergency``: its calls ask drained trunks too.
        """
        self.name = name
        self.emergency = emergency
        self.primaries = tuple(groups[0])
        self.backups = tuple(trunk for group in groups[1:] for trunk in group if trunk not in groups[0])
        self.active = self.primaries[0]
        self.failed_over_at = 0.0  # 0: never
        self.returned_at = 0.0
        self._return_after = return_after
        self._last_backup = 0.0  # when a backup carried the latest call
        self._back_on = None  # the primary that carried a call since

    @property
    def on_backup(self):
        return self.active not in self.primaries

    def role(self, trunk):
        return "primary" if trunk in self.primaries else "backup"

    def carried(self, trunk, now):
        """A call was carried. Returns [("failover", from, to)] or [("return", from, to, seconds)] or []."""
        if trunk in self.primaries:
            if not self.on_backup:
                self.active = trunk
                return []
            self._back_on = trunk
            return self.tick(now)
        if trunk not in self.backups:
            return []
        self._last_backup, self._back_on = now, None
        was, self.active = self.active, trunk
        if was not in self.primaries:
            return []
        self.failed_over_at = now
        return [("failover", was, trunk)]

    def tick(self, now):
        self._last_backup = min(self._last_backup, now)
        if self._back_on is None or now - self._last_backup < self._return_after:
            return []
        was, self.active, self._back_on = self.active, self._back_on, None
        self.returned_at = now
        return [("return", was, self.active, max(0.0, now - self.failed_over_at))]

    def saved(self):
        return {"active": self.active, "failed_over_at": self.failed_over_at, "returned_at": self.returned_at, "last_backup": self._last_backup}

    def restore(self, saved, now):
        """Take up from ``saved()`` of an earlier process. Errors: KeyError, TypeError, ValueError."""
        times = {key: min(float(saved[key]), now) for key in ("failed_over_at", "returned_at", "last_backup")}
        if saved["active"] in self.primaries + self.backups:
            self.active = saved["active"]
        self.failed_over_at, self.returned_at, self._last_backup = times["failed_over_at"], times["returned_at"], times["last_backup"]
