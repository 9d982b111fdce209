# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes outside: the addresses behind a trunk's name, and the certificates of its TLS targets. Asked in a thread of its own."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from ansible_collections.siptrunk.failover.plugins.module_utils import options, resolver

# Bounds of what a TTL may ask for, and when to ask again after an error.
SOONEST, LATEST, AFTER_ERROR = 30, 3600, 60
# The engines take calls to IPv4 targets alone.
FAMILIES = ("ipv4",)


def questions(trunks):
    """[(trunk, transport, (name, ...), deployed, by_rank)] of the trunks that have a name: their domain, or the hosts of their servers.

    ``deployed``: the "address:port" that these names led to; ``by_rank``: in the order of
    SRV records, of which another is drift too. The order of servers is the model's own.
    """
    found = []
    for trunk in trunks:
        domain = trunk.get("domain")
        named = [target for target in trunk["targets"] if domain or target["host"] not in (None, target["address"])]
        if named:
            names = (domain,) if domain else tuple(sorted({"%s:%d" % (target["host"], target["port"]) for target in named}))
            found.append((trunk["name"], trunk["transport"], names, places(named, bool(domain)), bool(domain)))
    return found


def asked_of(trunk):
    """The names of ``questions`` for one trunk, or None."""
    return next((question[2] for question in questions([trunk])), None)


def places(targets, by_rank):
    """Targets as "address:port", each once; those that are asked first stand first (RFC 2782), or, not ``by_rank``, sorted."""
    ranks = [(target.get("priority") or 0, -(target.get("weight") or 0)) if by_rank else () for target in targets]
    ranked = sorted((rank, "%s:%d" % (target["address"], target["port"])) for rank, target in zip(ranks, targets))
    return list(dict.fromkeys(place for dummy, place in ranked))


def due_after(results):
    """Seconds until the names are asked again, from what ``resolver.resolve`` returned for them."""
    if not all(result["ok"] and not result["errors"] for result in results):
        return AFTER_ERROR
    return min(max(min((result["ttl"] for result in results if result["ttl"] is not None), default=LATEST), SOONEST), LATEST)


class Lookout(threading.Thread):
    """Asks again and again, and reports: ``drift(trunk, domain, deployed, answered, now)``, ``certificate(trunk, target, expires, now)``."""

    def __init__(self, watch, certificate_interval, ca_file, resolve=resolver.resolve, ping=options.ping):
        super().__init__(daemon=True, name="drift")
        self._watch = watch
        self._certificate_interval = certificate_interval
        self._ca_file = ca_file
        self._resolve = resolve
        self._ping = ping
        self._trunks = []
        self._due = {}
        self._changed = threading.Event()

    def adopt(self, trunks):
        """Another plan: everything is asked anew."""
        self._trunks, self._due = trunks, {}
        self._changed.set()

    def run(self):
        while True:
            self._changed.clear()
            try:
                wait = self.ask(time.monotonic())
            except Exception:  # pylint: disable=broad-except
                wait = AFTER_ERROR  # a name server or a carrier must not end the thread, whatever it says
            self._changed.wait(wait)

    def ask(self, moment):
        """Ask what is due; return seconds until the next is."""
        trunks, due = self._trunks, self._due
        for question in questions(trunks):
            if due.get(question[0], moment) <= moment:
                due[question[0]] = moment + self._drift(*question)
        secured = [trunk for trunk in trunks if trunk["transport"] == "tls"]
        if secured and due.get("", moment) <= moment:
            due[""] = moment + self._certificates(secured)
        return min(max(min(due.values(), default=LATEST + moment) - moment, 1), LATEST)

    def _drift(self, trunk, transport, names, deployed, by_rank):
        try:
            results = self._resolve(names, transport=transport, address_families=FAMILIES)
        except (resolver.ResolverMissing, OSError, ValueError):
            return AFTER_ERROR
        # Half an answer is no news.
        if all(result["ok"] and not result["errors"] for result in results):
            answered = places([target for result in results for target in result["targets"]], by_rank)
            self._watch.drift(trunk, ", ".join(names), deployed, answered, time.time())
        return due_after(results)

    def _certificates(self, trunks):
        targets = [{"host": target["address"], "port": target["port"], "transport": "tls", "domain": _domain(trunk, target),
                    "names": target.get("proves", []), "wildcard": trunk.get("tls", {}).get("wildcard", False), "name": trunk["name"]}
                   for trunk in trunks for target in trunk["targets"]]
        try:
            results = self._ping(targets, timeout=5.0, ca_file=self._ca_file or None, concurrency=10)
        except (OSError, ValueError):
            return AFTER_ERROR
        for target, result in zip(targets, results):
            if result["certificate"]:
                expires = datetime.fromisoformat(result["certificate"]["not_after"].replace("Z", "+00:00")).timestamp()
                self._watch.certificate(target["name"], "%s:%d" % (target["host"], target["port"]), expires, time.time())
        return self._certificate_interval if all(result["certificate"] for result in results) else min(AFTER_ERROR * 5, self._certificate_interval)


def _domain(trunk, target):
    """The name that the certificate has to be for: RFC 5922, section 7.1, and as the engines check it, the target's own without a domain."""
    return resolver.parse_domain(trunk["domain"])[0] if trunk.get("domain") else target["host"] or target["address"]
