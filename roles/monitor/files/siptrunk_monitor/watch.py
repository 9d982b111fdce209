# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the monitor knows of the plan's trunks, targets and routes, and what follows from what it hears.

Without I/O: ``write`` gets each event of the log, ``marks`` says what the engine should know, ``saved`` what outlives the process.
A lock lets the metrics be read from another thread.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from datetime import datetime, timezone

from ansible_collections.siptrunk.failover.plugins.module_utils import marks, registration
from siptrunk_monitor import drift, health, records, routes

VERDICTS = ("final", "full", "next_target", "next_trunk")
MARK_SECONDS = 30
# A trunk stays closed that long after its time, or until the mark of its trial is there: in between it would be open to all.
HANDOVER_SECONDS = 5
# After the engine came back it has not registered yet; until then that is no loss.
SETTLE_SECONDS = 15
MOST_CALLS = 10000
LONGEST_TEXT = 200


class Watched:
    """A trunk of the plan and what is known of it."""

    def __init__(self, plan, settings):
        self.plan = plan
        self.health = health.Trunk(settings)
        self.targets = {}
        self.rtt = {}
        self.missing = set()
        self.drained = None
        self.drained_at = 0.0
        self.channels = 0
        self.registrations = {}
        self.registered = None
        self.losses = 0
        self.last_outcome = None
        self.drifted = None
        self.expires = {}

    def is_down(self, key):
        return key in self.missing or self.targets[key].probe == health.DEAD

    @property
    def up(self):
        return self.health.is_open and any(not self.is_down(key) and not target.held for key, target in self.targets.items())

    @property
    def why(self):
        """Why a call does not go through this trunk, as far as it shows."""
        if self.drained is not None:
            return "drained"
        if not self.health.is_open:
            return "closed"
        if all(map(self.is_down, self.targets)):
            return "down"
        if not self.up:
            return "held"
        if 0 < self.plan["max_channels"] <= self.channels:
            return "full"
        return self.last_outcome or "unknown"


class Watch:
    """The plan under watch."""

    def __init__(self, settings, write, saved=None):
        """``settings``: those of ``health`` and ``routes``. ``write(event, now, **fields)``. ``saved``: of an earlier process."""
        self.lock = threading.RLock()
        self.trunks = {}
        self.routes = {}
        self.attempts = Counter()
        self.failovers = Counter()
        self.returns = Counter()
        self.engine_up = False
        self.missed = 0
        self.changed = False  # what the engine should know, or what must not be forgotten
        self.tally = records.Tally()
        self._settings = settings
        self._write = write
        self._saved = saved or {}
        self._failed = OrderedDict()
        self._settled_at = 0.0

    # --- the plan ---

    def adopt(self, trunks, plan_routes, now):
        """Watch this plan from now on; what is still in it keeps its memory."""
        with self.lock:
            old, self.trunks = self.trunks, {}
            if old:
                self._settled_at = now + SETTLE_SECONDS  # a registration that was deployed anew begins anew
            known = {(name, key): target for name, watched in old.items() for key, target in watched.targets.items()}
            for plan in trunks:
                self.trunks[plan["name"]] = self._adopted(plan, old.get(plan["name"]), now)
            for (name, key), target in known.items():
                if name not in self.trunks or self.trunks[name].targets.get(key) is not target:
                    self._gone(name, key, target, now)
            for name, watched in old.items():
                if name not in self.trunks and not watched.health.is_open:
                    self._write("health", now, trunk=name, target=None, state=health.OPEN, why="gone", level=0)
            before, self.routes = self.routes, {}
            for item in plan_routes:
                self.routes[item["name"]] = self._route(item, before.get(item["name"]), now)
            self._saved = {}

    def _adopted(self, plan, known, now):
        watched, known_plan = known or Watched(plan, self._settings), known and known.plan
        interval, same = plan["probe"]["interval"], known is not None and known.plan["probe"] == plan["probe"]
        targets = {}
        for target in plan["targets"]:
            key = "%s:%d" % (target["address"], target["port"])
            targets[key] = known.targets[key] if same and key in known.targets else self._target(plan["name"], key, interval, now)
        watched.plan, watched.targets = plan, targets
        watched.rtt = {key: value for key, value in watched.rtt.items() if key in targets}
        watched.expires = {key: value for key, value in watched.expires.items() if key in targets and plan["transport"] == "tls"}
        if known is not None and drift.asked_of(known_plan) != drift.asked_of(plan):
            watched.drifted = None
        watched.missing &= set(targets)
        names = {item["name"] for item in plan["registrations"]}
        watched.registrations = {name: state for name, state in watched.registrations.items() if name in names}
        if known is None:
            self._restore(watched.health, ("trunks", plan["name"]), now)
        return watched

    def _gone(self, name, key, target, now):
        """What the log says of a target must not last beyond it."""
        if target.held:
            self._write("health", now, trunk=name, target=key, state=health.OPEN, why="gone", level=0)
        if target.probe == health.DEAD:
            self._write("probe", now, trunk=name, target=key, state=health.OFF, was=target.probe)

    def _target(self, trunk, key, interval, now):
        target = health.Target(self._settings, interval)
        self._restore(target, ("targets", trunk, key), now)
        return target

    def _route(self, item, known, now):
        route = routes.Route(item["name"], item["groups"], self._settings["return_after"], item.get("emergency", False))
        if known is not None:
            saved = known.saved()
            route.restore(saved, now)
        else:
            self._restore(route, ("routes", item["name"]), now)
        return route

    def _restore(self, thing, path, now):
        try:
            saved = self._saved
            for key in path:
                saved = saved[key]
            thing.restore(saved, now)
        except (KeyError, TypeError, ValueError):
            pass  # new, or of another version: it begins anew

    def saved(self):
        """What outlives the process, plain data."""
        with self.lock:
            return {
                "targets": {name: {key: target.saved() for key, target in watched.targets.items()} for name, watched in self.trunks.items()},
                "trunks": {name: watched.health.saved() for name, watched in self.trunks.items()},
                "routes": {name: route.saved() for name, route in self.routes.items()},
            }

    # --- what is heard ---

    def attempt(self, event, now):
        """An attempt ended. ``event``: {route, trunk, target, code, outcome, ms, verdict, call}, each a str. False when it makes no sense."""
        with self.lock:
            watched = self.trunks.get(event["trunk"])
            outcome, verdict, call = event["outcome"][:LONGEST_TEXT], event["verdict"], event["call"][:LONGEST_TEXT]
            self.tally.hear(call)
            if watched is None or verdict not in VERDICTS or not outcome:
                return False
            self._write("attempt", now, route=event["route"], trunk=event["trunk"], target=event["target"], code=_number(event["code"]),
                        outcome=outcome, ms=_number(event["ms"]), verdict=verdict, call=call)
            self.attempts[event["trunk"], verdict, outcome if _is_plain(outcome) else "other"] += 1
            target = watched.targets.get(event["target"])
            probes_fine = target is not None and target.probe != health.DEAD and not target.held
            self._of_trunk(event["trunk"], watched.health.attempted(verdict, outcome, probes_fine, now), now)
            if verdict != health.FINAL:
                if verdict != health.FULL:
                    watched.last_outcome = outcome
                self._failed.setdefault(call, []).append((event["trunk"], outcome))
                if len(self._failed) > MOST_CALLS:
                    self._failed.popitem(last=False)
            elif outcome in routes.REACHED:
                self._carried(event["route"], event["trunk"], call, now)
            else:
                self._failed.pop(call, None)
            return True

    def answered(self, event, now):
        """The carrier answered. ``event``: {route, trunk, target, ms, call}, each a str. False when it makes no sense."""
        with self.lock:
            watched = self.trunks.get(event["trunk"])
            call = event["call"][:LONGEST_TEXT]
            if watched is None:
                return False
            self._write("answered", now, route=event["route"], trunk=event["trunk"], target=event["target"], ms=_number(event["ms"]), call=call)
            self._of_trunk(event["trunk"], watched.health.worked("answered", now), now)
            self._carried(event["route"], event["trunk"], call, now)
            return True

    def probe(self, target_id, state, now):
        """The engine says how a probe stands. False when it makes no sense."""
        with self.lock:
            name = target_id.partition(".")[0]
            watched = self.trunks.get(name)
            for target in watched.plan["targets"] if watched and state in health.PROBES else ():
                if target["id"] == target_id:
                    self._probed(name, watched, target, state, now)
                    return True
            return False

    def look(self, found, now):
        """The engine's state as ``trunk.look`` returns it."""
        with self.lock:
            missing = set(found["missing"])
            for seen in found["trunks"]:
                watched = self.trunks.get(seen["name"])
                if watched is not None:
                    self._seen(watched, seen, missing, now)

    def engine(self, is_up, now):
        with self.lock:
            self.engine_up = is_up
            if is_up:
                self._settled_at = now + SETTLE_SECONDS

    def drift(self, trunk, domain, deployed, answered, now):
        """The name of a trunk's targets leads to ``answered``, a list of "address:port"."""
        with self.lock:
            watched = self.trunks.get(trunk)
            if watched is None:
                return
            drifted = deployed != answered
            if drifted != watched.drifted:
                watched.drifted = drifted
                self._write("drift", now, trunk=trunk, domain=domain, deployed=deployed, answered=answered, drifted=drifted)

    def certificate(self, trunk, target, expires, now):
        """A target showed a certificate that is good until ``expires``, seconds of the epoch."""
        with self.lock:
            watched = self.trunks.get(trunk)
            if watched is not None and target in watched.targets and watched.expires.get(target) != expires:
                watched.expires[target] = expires
                at = datetime.fromtimestamp(expires, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                self._write("certificate", now, trunk=trunk, target=target, expires=at)

    def tick(self, now):
        """Time passes."""
        with self.lock:
            for name, watched in self.trunks.items():
                self._of_trunk(name, watched.health.tick(now), now)
                for key, target in watched.targets.items():
                    self._of_target(name, key, target.tick(now), now)
            for route in self.routes.values():
                self._of_route(route, route.tick(now), None, now)
            missed = self.tally.missed(now)
            if missed is not None:
                self.missed += missed[0]
                self.changed = True
                self._write("missed", now, **{"attempts": missed[0], "from": missed[1], "to": missed[2]})

    # --- what the engine should know ---

    def marks(self, now):
        """{mark: epoch second until which it holds}, as ``marks.put`` takes them."""
        until, found = int(now) + MARK_SECONDS, {}
        with self.lock:
            for name, watched in self.trunks.items():
                if watched.health.state == health.CLOSED:
                    found[marks.CLOSED, name] = min(until, int(watched.health.closed_until) + HANDOVER_SECONDS)
                elif watched.health.state == health.TRIAL:
                    found[marks.TRIAL, name] = until
                for target in watched.plan["targets"]:
                    if watched.targets["%s:%d" % (target["address"], target["port"])].held:
                        found[marks.HELD, marks.target_name(target["address"], target["port"], watched.plan["transport"])] = until
        return found

    # --- inside ---

    def _seen(self, watched, seen, missing, now):
        name = seen["name"]
        watched.missing = {"%s:%d" % (target["address"], target["port"]) for target in watched.plan["targets"] if target["id"] in missing}
        watched.channels = seen["channels"]
        for target in seen["targets"]:
            key = "%s:%d" % (target["address"], target["port"])
            if key in watched.targets:
                self._probed(name, watched, target, target["probe"], now)
                watched.rtt[key] = target["rtt_ms"]
        self._drained(name, watched, seen["drained"], now)
        self._registered(name, watched, seen, now)

    def _probed(self, name, watched, target, state, now):
        key = "%s:%d" % (target["address"], target["port"])
        known = watched.targets[key]
        was = known.probe
        transitions = known.probed(state, now)
        if state != was:
            self._write("probe", now, trunk=name, target=key, state=state, was=was)
        self._of_target(name, key, transitions, now)

    def _drained(self, name, watched, mark, now):
        if (mark is None) != (watched.drained is None):
            if mark is None:
                self._write("restored", now, trunk=name)
            else:
                self._write("drained", now, trunk=name, by=mark["by"], why=mark["why"])
                watched.drained_at = _moment(mark["at"]) or now
        watched.drained = mark

    def _registered(self, name, watched, seen, now):
        if seen["registered"] is None:
            watched.registered, watched.registrations = None, {}  # an SBC that stands by: once it is its turn it begins anew
            return
        states = {item["name"]: item["state"] for item in seen["registrations"]}
        for item in watched.plan["registrations"]:
            state, was = states.get(item["name"], registration.UNKNOWN), watched.registrations.get(item["name"])
            if state == was:
                continue
            if was == registration.REGISTERED and state in (registration.UNREGISTERED, registration.UNKNOWN) and now < self._settled_at:
                continue
            watched.registrations[item["name"]] = state
            watched.losses += was == registration.REGISTERED
            self._write("registration", now, trunk=name, registration=item["name"], state=state, was=was)
        watched.registered = all(state == registration.REGISTERED for state in watched.registrations.values())

    def _of_trunk(self, name, transitions, now):
        for state, why, level in transitions:
            if state == "burst":
                self._write("burst", now, trunk=name, failures=level, seconds=round(why, 1))
            else:
                self.changed = True
                self._write("health", now, trunk=name, target=None, state=state, why=why, level=level)

    def _of_target(self, name, key, transitions, now):
        for state, why, level in transitions:
            self.changed = True
            self._write("health", now, trunk=name, target=key, state=state, why=why, level=level)

    def _carried(self, route_name, trunk, call, now):
        route = self.routes.get(route_name)
        failed = self._failed.pop(call, [])
        if route is not None:
            self._of_route(route, route.carried(trunk, now), failed, now)

    def _of_route(self, route, transitions, failed, now):
        for kind, was, active, *seconds in transitions:
            self.changed = True
            if kind == "return":
                self.returns[route.name] += 1
                self._write("return", now, **{"route": route.name, "from": was, "to": active, "seconds": round(seconds[0], 1)})
                continue
            # Of several primaries it is the one that this call asked in vain, if it asked one.
            asked = [(name, outcome) for name, outcome in failed or () if name in route.primaries]
            was, why = asked[-1] if asked else (was, self.trunks[was].why)
            self.failovers[route.name, was, active] += 1
            self._write("failover", now, **{"route": route.name, "from": was, "to": active, "why": why})


def _number(text):
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _is_plain(outcome):
    """What becomes a label: a code or a name, as the engines' own tables have them, and nothing that a peer could make up at will."""
    return len(outcome) <= 20 and outcome.replace("_", "").isalnum() and outcome.isascii()


def _moment(text):
    try:
        moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
