# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics, made from the state at the moment they are asked for. The names are a contract with the alert rules."""

from __future__ import annotations

import socket
import sys
import threading
from http.server import ThreadingHTTPServer

from prometheus_client import MetricsHandler
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from siptrunk_monitor import VERSION

# Counters of these exist before the first attempt: an increment from nothing is none to Prometheus.
USUAL = (
    ("final", "200"), ("final", "486"), ("final", "487"), ("final", "rang_out"), ("next_target", "503"), ("next_target", "silent"),
    ("next_target", "unreachable"), ("next_trunk", "no_progress"), ("next_trunk", "403"),
)

# Seconds in which a reader asks, and takes what it gets: one that hangs must not keep a thread for ever.
PATIENCE = 10


class Server(ThreadingHTTPServer):
    """The metrics by HTTP, each reader in a thread of its own."""

    def __init__(self, address, port, registry):
        """Errors: OSError when the port is not to be had."""
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), type("Handler", (MetricsHandler,), {"registry": registry, "timeout": PATIENCE}))

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True, name="metrics").start()

    def stop(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A reader that goes away is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Collector:
    """For a ``prometheus_client`` registry."""

    def __init__(self, watch, log, engine, clock):
        self._watch = watch
        self._log = log
        self._engine = engine
        self._clock = clock

    def describe(self):
        return []

    def collect(self):
        with self._watch.lock:
            now = self._clock()
            yield from self._of_targets()
            yield from self._of_trunks(now)
            yield from self._of_routes()
            yield from self._of_monitor()

    def _of_targets(self):
        up = GaugeMetricFamily("siptrunk_target_up", "1: the target is there and not probed dead.", labels=["trunk", "target"])
        held = GaugeMetricFamily("siptrunk_target_held", "1: the target was down and has not been up for long enough.", labels=["trunk", "target"])
        rtt = GaugeMetricFamily("siptrunk_probe_rtt_seconds", "Round trip of the last probe.", labels=["trunk", "target"])
        expiry = GaugeMetricFamily(
            "siptrunk_certificate_expiry_timestamp_seconds", "When the certificate of a TLS target ends.", labels=["trunk", "target"])
        for name, watched in self._watch.trunks.items():
            for key, target in watched.targets.items():
                up.add_metric([name, key], not watched.is_down(key))
                held.add_metric([name, key], target.held)
                if watched.rtt.get(key) is not None:
                    rtt.add_metric([name, key], watched.rtt[key] / 1000)
                if key in watched.expires:
                    expiry.add_metric([name, key], watched.expires[key])
        return up, held, rtt, expiry

    def _of_trunks(self, now):
        trunks = self._watch.trunks

        def gauge(name, text, value, which=lambda watched: True):
            family = GaugeMetricFamily(name, text, labels=["trunk"])
            for trunk, watched in trunks.items():
                if which(watched):
                    family.add_metric([trunk], value(watched))
            return family

        def registers(watched):
            return len(watched.plan["registrations"]) > 0

        yield gauge("siptrunk_up", "1: a target is neither down nor held, and the trunk is not closed.", lambda watched: watched.up)
        yield gauge("siptrunk_closed", "1: closed because its calls fail, or on trial.", lambda watched: not watched.health.is_open)
        yield gauge("siptrunk_registered", "1: every registration of the trunk stands.",
                    lambda watched: watched.registered, lambda watched: watched.registered is not None)
        yield gauge("siptrunk_consecutive_failures", "Attempts that failed in a row.", lambda watched: watched.health.failures)
        yield gauge("siptrunk_failure_burst", "1: three or more attempts in a row failed within a minute, less than a minute ago.",
                    lambda watched: watched.health.in_burst(now))
        yield gauge("siptrunk_channels", "Calls up.", lambda watched: watched.channels)
        yield gauge("siptrunk_channels_limit", "Calls that the trunk may carry.",
                    lambda watched: watched.plan["max_channels"], lambda watched: watched.plan["max_channels"] > 0)
        yield gauge("siptrunk_drained", "1: taken out by hand.", lambda watched: watched.drained is not None)
        yield gauge("siptrunk_drained_timestamp_seconds", "Since when; 0 if it is not.",
                    lambda watched: watched.drained_at if watched.drained is not None else 0)
        yield gauge("siptrunk_srv_drift", "1: the trunk's name leads to other addresses than were deployed.", lambda watched: bool(watched.drifted))
        losses = CounterMetricFamily("siptrunk_registration_losses", "How often a registration was lost.", labels=["trunk"])
        info = GaugeMetricFamily("siptrunk_trunk_info", "Always 1: who owns the trunk, and where it ends.", labels=["trunk", "carrier", "site"])
        attempts = CounterMetricFamily("siptrunk_attempts", "Attempts by verdict, and by SIP code or outcome.", labels=["trunk", "verdict", "code"])
        counted = dict.fromkeys(((trunk, verdict, code) for trunk in trunks for verdict, code in USUAL), 0)
        counted.update((key, count) for key, count in self._watch.attempts.items() if key[0] in trunks)
        for trunk, watched in trunks.items():
            if registers(watched):
                losses.add_metric([trunk], watched.losses)
            info.add_metric([trunk, watched.plan["carrier"] or "", watched.plan["site"] or ""], 1)
        for key, count in counted.items():
            attempts.add_metric(list(key), count)
        yield from (losses, info, attempts)

    def _of_routes(self):
        trunks, routes = self._watch.trunks, self._watch.routes
        up = GaugeMetricFamily("siptrunk_route_up", "1: a trunk of the route is up and not drained; drained ones carry emergency calls.", labels=["route"])
        active = GaugeMetricFamily("siptrunk_active", "1: the trunk carried the route's last call.", labels=["route", "trunk", "role"])
        failed_over = GaugeMetricFamily("siptrunk_last_failover_timestamp_seconds", "When a backup took over; 0: never.", labels=["route"])
        returned = GaugeMetricFamily("siptrunk_last_return_timestamp_seconds", "When the primary took over again; 0: never.", labels=["route"])
        failovers = CounterMetricFamily("siptrunk_failovers", "How often a backup took over from a primary.", labels=["route", "from", "to"])
        returns = CounterMetricFamily("siptrunk_returns", "How often the primary took over again.", labels=["route"])
        for name, route in routes.items():
            members = route.primaries + route.backups
            up.add_metric([name], any(trunks[trunk].up and (route.emergency or trunks[trunk].drained is None) for trunk in members))
            for trunk in members:
                active.add_metric([name, trunk, route.role(trunk)], trunk == route.active)
            failed_over.add_metric([name], route.failed_over_at)
            returned.add_metric([name], route.returned_at)
            for primary in route.primaries:
                for backup in route.backups:
                    failovers.add_metric([name, primary, backup], self._watch.failovers[name, primary, backup])
            returns.add_metric([name], self._watch.returns[name])
        return up, active, failed_over, returned, failovers, returns

    def _of_monitor(self):
        engine = GaugeMetricFamily("siptrunk_engine_up", "1: the phone system answers the monitor.", labels=["engine"])
        engine.add_metric([self._engine], self._watch.engine_up)
        info = GaugeMetricFamily("siptrunk_monitor_info", "Always 1: what is monitored by what.", labels=["engine", "version"])
        info.add_metric([self._engine, VERSION], 1)
        missed = CounterMetricFamily("siptrunk_monitor_missed_attempts", "Attempts in the call records that the monitor did not hear of.")
        missed.add_metric([], self._watch.missed)
        errors = CounterMetricFamily("siptrunk_monitor_log_errors", "Lines that could not be written into the log of events.")
        errors.add_metric([], self._log.errors)
        return engine, info, missed, errors
