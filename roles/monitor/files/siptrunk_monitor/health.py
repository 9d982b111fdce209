# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health with memory, which the engines lack: of a target by its probes, of a trunk by its calls.

Pure: every method is told what happened and the time (seconds of the epoch), and returns the transitions that it caused, each
(state, why, level). The clock may be set: nothing is held or closed longer for that than it would have been from then on.
"""

from __future__ import annotations

from collections import deque

from ansible_collections.siptrunk.failover.plugins.module_utils.trunk import ALIVE, DEAD, OFF, PROBES, UNKNOWN

OPEN, HELD, CLOSED, TRIAL = "open", "held", "closed", "trial"

FINAL = "final"
FULL = "full"  # the carrier's limit of calls is reached, which says nothing of its health
ANSWERED = "200"
CANCELLED = "487"

BURST_FAILURES = 3
BURST_SECONDS = 60


class Flaps:
    """How long something stays out: ``base`` seconds, twice as long each time it fails again, ``longest`` at most.

    Each ``longest`` seconds without a failure take one time off.
    """

    def __init__(self, base, longest):
        self._base = base
        self._longest = max(base, longest, 1)
        self._most = 1
        while base > 0 and base * 2 ** (self._most - 1) < self._longest:
            self._most += 1
        self.strikes = 0
        self.rests_since = None

    def strike(self, now):
        self.strikes = min(self.level(now) + 1, self._most)
        self.rests_since = None

    def rest(self, now):
        self.strikes = self.level(now)
        self.rests_since = now

    def level(self, now):
        """How often it failed of late."""
        if self.rests_since is None:
            return self.strikes
        return max(0, self.strikes - int(max(0, now - self.rests_since) / self._longest))

    @property
    def seconds(self):
        return min(self._base * 2 ** max(0, self.strikes - 1), self._longest)

    def saved(self):
        return {"strikes": self.strikes, "rests_since": self.rests_since}

    def restore(self, saved, now):
        self.strikes = min(max(0, int(saved["strikes"])), self._most)
        since = saved["rests_since"]
        self.rests_since = None if since is None else min(float(since), now)


class Target:
    """One that was down is held until it stayed up for a while."""

    def __init__(self, settings, interval):
        """``settings``: hold_down, hold_down_max (seconds), good_probes. ``interval``: seconds from probe to probe, 0 for none."""
        self.probe = None
        self.held = False
        self.up_since = None
        self._not_dead_since = None
        self._flaps = Flaps(settings["hold_down"], settings["hold_down_max"])
        self._least = settings["good_probes"] * interval
        self._longest = max(settings["hold_down_max"], self._flaps.seconds, self._least)

    @property
    def hold(self):
        """Seconds that it has to stay up."""
        return max(self._flaps.seconds, self._least)

    def level(self, now):
        return self._flaps.level(now)

    def probed(self, state, now):
        """The engine's probe says ``state``, one of ``PROBES``."""
        was, self.probe = self.probe, state
        if state == was:
            return []
        if state == OFF:
            return self._release("not probed", now)
        if state == DEAD:
            return self._down(now)
        if self._not_dead_since is None:
            self._not_dead_since = now
        if state == UNKNOWN:
            self.up_since = None
        elif self.up_since is None:
            self.up_since = now
        return []

    def tick(self, now):
        if not self.held or self.probe == DEAD or self.probe is None:
            return []
        self._not_dead_since = min(now if self._not_dead_since is None else self._not_dead_since, now)
        if self.up_since is not None:
            self.up_since = min(self.up_since, now)
            if now - self.up_since >= self.hold:
                return self._release("up", now)
        # Its state is not known, or changes all the time, and yet it was never seen dead again.
        return self._release("not down", now) if now - self._not_dead_since >= self._longest else []

    def _down(self, now):
        is_news = not self.held or self.up_since is not None
        self.held, self.up_since, self._not_dead_since = True, None, None
        if not is_news:
            return []
        self._flaps.strike(now)
        return [(HELD, "down", self._flaps.strikes)]

    def _release(self, why, now):
        if not self.held:
            return []
        self.held = False
        self._flaps.rest(now)
        return [(OPEN, why, self._flaps.strikes)]

    def saved(self):
        return {"held": self.held, "up_since": self.up_since, "not_dead_since": self._not_dead_since, **self._flaps.saved()}

    def restore(self, saved, now):
        """Take up from ``saved()`` of an earlier process. Errors: KeyError, TypeError, ValueError."""
        self._flaps.restore(saved, now)
        self.held = bool(saved["held"]) and self._flaps.strikes > 0
        self.up_since = None if saved["up_since"] is None else min(float(saved["up_since"]), now)
        self._not_dead_since = None if saved["not_dead_since"] is None else min(float(saved["not_dead_since"]), now)


class Trunk:
    """One whose calls fail while its probes look fine is closed, later on trial, and open again after a call that went well."""

    def __init__(self, settings):
        """``settings``: close_after (failures), close_for, hold_down_max (seconds)."""
        self.state = OPEN
        self.closed_until = None
        self.trial_until = None
        self.failures = 0  # in a row
        self.burst_until = None
        self._close_after = settings["close_after"]
        self._counted = 0  # of those, the ones that count towards closing
        self._times = deque(maxlen=BURST_FAILURES)
        self._flaps = Flaps(settings["close_for"], settings["hold_down_max"])
        self._longest_trial = settings["hold_down_max"]

    @property
    def is_open(self):
        return self.state == OPEN

    def level(self, now):
        return self._flaps.level(now)

    def in_burst(self, now):
        return self.burst_until is not None and now < self.burst_until

    def attempted(self, verdict, outcome, probes_fine, now):
        """An attempt ended. ``probes_fine``: the target is neither probed dead nor held, so that its failure is news.

        A cancelled call says nothing. An answered one was told of by ``worked`` when it was answered; this is its end.
        """
        if verdict == FULL:
            return []
        if verdict == FINAL:
            return [] if outcome in (CANCELLED, ANSWERED) else self.worked(outcome, now)
        self.failures += 1
        self._times.append(now)
        transitions = self._burst(now)
        if probes_fine and self.state == TRIAL:
            return transitions + self._close(outcome, now)
        if probes_fine and self.state == OPEN:
            self._counted += 1
            if 0 < self._close_after <= self._counted:
                return transitions + self._close(outcome, now)
        return transitions

    def worked(self, why, now):
        """A call was answered, or came to its end through this trunk."""
        self.failures = self._counted = 0
        self._times.clear()
        return [] if self.state == OPEN else self._open(why, now)

    def tick(self, now):
        if self.burst_until is not None:
            self.burst_until = None if now >= self.burst_until else min(self.burst_until, now + BURST_SECONDS)
        if self.state == TRIAL:
            # Nobody calls there. It would be out of service, and someone told so, until somebody does.
            self.trial_until = min(self.trial_until, now + self._longest_trial)
            return self._open("not failing", now) if now >= self.trial_until else []
        if self.state != CLOSED:
            return []
        self.closed_until = min(self.closed_until, now + self._flaps.seconds)
        if now < self.closed_until:
            return []
        self.state, self.closed_until, self.trial_until = TRIAL, None, now + self._longest_trial
        return [(TRIAL, "time", self._flaps.strikes)]

    def _open(self, why, now):
        self.state, self.closed_until, self.trial_until = OPEN, None, None
        self._flaps.rest(now)
        return [(OPEN, why, self._flaps.strikes)]

    def _burst(self, now):
        if len(self._times) < BURST_FAILURES or not 0 <= now - self._times[0] <= BURST_SECONDS:
            return []
        is_news = not self.in_burst(now)
        self.burst_until = now + BURST_SECONDS
        return [("burst", now - self._times[0], self.failures)] if is_news else []

    def _close(self, outcome, now):
        self._counted = 0
        self._flaps.strike(now)
        self.state, self.closed_until, self.trial_until = CLOSED, now + self._flaps.seconds, None
        return [(CLOSED, outcome, self._flaps.strikes)]

    def saved(self):
        return {"state": self.state, "closed_until": self.closed_until, "trial_until": self.trial_until, **self._flaps.saved()}

    def restore(self, saved, now):
        """Take up from ``saved()`` of an earlier process. Errors: KeyError, TypeError, ValueError."""
        self._flaps.restore(saved, now)
        state, until, trial_until = saved["state"], saved["closed_until"], saved["trial_until"]
        if state not in (OPEN, CLOSED, TRIAL):
            raise ValueError("state")
        self.closed_until = min(float(until), now + self._flaps.seconds) if state == CLOSED else None
        self.trial_until = min(float(trial_until), now + self._longest_trial) if state == TRIAL else None
        self.state = state


__all__ = ["ALIVE", "ANSWERED", "CANCELLED", "CLOSED", "DEAD", "FINAL", "HELD", "OFF", "OPEN", "PROBES", "TRIAL", "UNKNOWN", "Flaps", "Target", "Trunk"]
