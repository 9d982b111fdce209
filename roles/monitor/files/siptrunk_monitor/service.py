# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service: one loop that follows the engine, and does in between what time asks for."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from ansible_collections.siptrunk.failover.plugins.module_utils import session
from prometheus_client import CollectorRegistry
from siptrunk_monitor import VERSION, drift, log, metrics, plan, records, state
from siptrunk_monitor.engine_asterisk import Asterisk
from siptrunk_monitor.engine_freeswitch import FreeSwitch
from siptrunk_monitor.engine_sbc import Sbc
from siptrunk_monitor.notify import notify
from siptrunk_monitor.watch import Watch

ENGINES = {"asterisk": Asterisk, "freeswitch": FreeSwitch, "sbc": Sbc}

TICK = 1.0
RENEW = 10.0
SAVE = 10.0
# An event that says too little makes the monitor look, a moment later, as such events come in swarms.
LOOK_SOON = 0.3
BACKOFF, LONGEST_BACKOFF = 0.5, 10.0
TAIL = 4 << 20
ENDED = 0  # a mark with this moment in the past holds no more


def complain(text):
    """Into the journal."""
    print(text, file=sys.stderr, flush=True)


class Service:
    """``settings``: as the role writes them into monitor.json."""

    def __init__(self, settings):
        self._settings = settings
        self._log = log.Log(settings["log"], settings["log_max_bytes"], settings["log_files"])
        saved = state.load(settings["state"])
        self._watch = Watch(settings, self._log.write, saved.get("watch"))
        self._records = records.Follower(settings["records"], _position(saved.get("records")))
        self._watch.tally.restore(saved.get("tally"))
        self._heard_since(saved)
        self._lookout = drift.Lookout(self._watch, settings["certificate_interval"], settings["tls_ca_file"])
        self._trunks = []
        self._plan = None
        self._engine = None
        self._sent = {}
        self._due = dict.fromkeys(("tick", "look", "renew", "save"), 0.0)
        self._stopping = False
        self._lost_at = None
        self._refusal = None

    # --- beginning and end ---

    def run(self):
        """Until SIGTERM. Errors: ValueError and OSError for what must be right from the start: the plan, the port of the metrics."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        self._adopt()
        registry = CollectorRegistry()
        registry.register(metrics.Collector(self._watch, self._log, self._settings["engine"], time.time))
        server = metrics.Server(self._settings["listen_address"], self._settings["listen_port"], registry)
        server.start()
        self._lookout.start()
        self._log.write("started", time.time(), engine=self._settings["engine"], version=VERSION)
        notify("READY=1")
        backoff = BACKOFF
        while not self._stopping:
            began = time.monotonic()
            try:
                self._connect()
                self._follow()
            except (session.SessionError, OSError) as exc:
                self._lost(exc)
                if isinstance(exc, session.AuthError):
                    # The secret is a copy that systemd made at the start: with another one we come back.
                    self._rest(LONGEST_BACKOFF)
                    sys.exit(1)
            backoff = BACKOFF if time.monotonic() - began > LONGEST_BACKOFF else min(backoff * 2, LONGEST_BACKOFF)
            self._rest(backoff)
        notify("STOPPING=1")
        self._save()
        server.stop()

    def _stop(self, *dummy):
        self._stopping = True

    def _heard_since(self, saved):
        """What the process before heard after it saved its state for the last time stands in its log."""
        at = saved.get("at")
        for line in log.tail(self._settings["log"], TAIL) if isinstance(at, str) else ():
            if b'"event":"attempt"' in line:
                try:
                    event = json.loads(line)
                    if event["at"] > at:
                        self._watch.tally.hear(str(event["call"]))
                except (ValueError, KeyError, TypeError):
                    continue

    # --- the engine ---

    def _connect(self):
        self._engine = ENGINES[self._settings["engine"]](self._settings, self._secret(), self._trunks)
        self._engine.connect()
        now = time.time()
        if self._lost_at is not None:
            self._log.write("engine_back", now, seconds=round(time.monotonic() - self._lost_at, 1))
            complain("the engine is back")
        self._lost_at = None
        self._watch.engine(True, now)
        self._due.update(look=0.0, renew=0.0)
        self._work()

    def _secret(self):
        """Empty where the engine asks for none."""
        if not self._settings["secret"]:
            return ""
        with open(self._settings["secret"], encoding="utf-8") as stream:
            return stream.readline().strip()

    def _lost(self, exc):
        if self._engine is not None:
            self._engine.close()
        self._engine = None
        self._watch.engine(False, time.time())
        if self._lost_at is None and not self._stopping:
            self._lost_at = time.monotonic()
            self._log.write("engine_lost", time.time(), why=str(exc))
            complain("the engine is lost: %s" % exc)

    def _follow(self):
        while not self._stopping:
            wait = min(self._due.values()) - time.monotonic()
            happened = self._engine.next(min(max(wait, 0.01), TICK))
            if happened is not None:
                self._hear(*happened)
            self._work()

    def _hear(self, kind, *told):
        now = time.time()
        if kind == "attempt":
            self._watch.attempt(told[0], now)
        elif kind == "answered":
            self._watch.answered(told[0], now)
        elif kind == "probe":
            self._watch.probe(told[0], told[1], now)
        else:
            self._due["look"] = min(self._due["look"], time.monotonic() + LOOK_SOON)

    def _rest(self, seconds):
        end = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < end:
            self._work()
            time.sleep(0.1)

    # --- what time asks for ---

    def _work(self):
        moment = time.monotonic()
        if self._engine is not None and moment >= self._due["look"]:
            self._look()
            self._due["look"] = time.monotonic() + self._settings["interval"]
        if moment >= self._due["tick"]:
            self._tick()
            self._due["tick"] = time.monotonic() + TICK
        if self._engine is not None and (self._watch.changed or moment >= self._due["renew"]):
            self._mark()
        if self._watch.changed or moment >= self._due["save"]:
            self._watch.changed = False
            self._save()
            self._due["save"] = time.monotonic() + SAVE

    def _tick(self):
        if plan.identity(self._settings["plan"]) != self._plan:
            try:
                self._adopt()
                self._reconnect()
            except (OSError, ValueError) as exc:
                complain("the plan of before stays in force: %s" % exc)
        now, trouble = time.time(), self._records.trouble
        for line in self._records.lines():
            self._watch.tally.record(line, now)
        if self._records.trouble not in (None, trouble):
            complain("what is missed is not noticed, as the call records cannot be read: %s" % self._records.trouble)
        self._watch.tick(now)
        notify("WATCHDOG=1")

    def _adopt(self):
        self._plan = plan.identity(self._settings["plan"])
        trunks, routes = plan.read(self._settings["plan"])
        self._trunks = trunks
        self._watch.adopt(trunks, routes, time.time())
        self._lookout.adopt(trunks)

    def _reconnect(self):
        """The session's questions follow the plan."""
        if self._engine is not None:
            self._engine.adopt(self._trunks)
            self._due["look"] = 0.0

    def _look(self):
        try:
            found = self._engine.look()
        except session.ActionError as exc:
            # While the engine starts, or lacks a module: the events go on.
            self._refused(exc)
        else:
            self._refusal = None
            self._watch.look(found, time.time())

    def _mark(self):
        wanted = self._watch.marks(time.time())
        ended = {mark: ENDED for mark in self._sent if mark not in wanted}
        self._due["renew"] = time.monotonic() + RENEW
        try:
            self._engine.mark({**wanted, **ended})  # a trial begins before the closing ends: never neither
        except session.ActionError as exc:
            self._refused(exc)
        else:
            self._sent = wanted

    def _refused(self, exc):
        if str(exc) != self._refusal:
            self._refusal = str(exc)
            complain(self._refusal)

    def _save(self):
        now = time.time()
        try:
            state.save(self._settings["state"], {
                "at": log.stamp(now), "watch": self._watch.saved(), "records": self._records.position, "tally": self._watch.tally.saved(),
            })
        except OSError:
            self._log.errors += 1


def _position(saved):
    well = isinstance(saved, list) and len(saved) == 2 and all(isinstance(number, int) and number >= 0 for number in saved)
    return saved if well else None


def main():
    """``python3 -m siptrunk_monitor FILE``: the settings, as JSON."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        settings = json.load(stream)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials:
        settings["secret"] = os.path.join(credentials, "secret")
    try:
        Service(settings).run()
    except (OSError, ValueError) as exc:
        complain(str(exc))
        sys.exit(1)
