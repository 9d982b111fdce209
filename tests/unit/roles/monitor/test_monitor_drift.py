# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes outside: names and certificates."""

from __future__ import annotations

import threading

import pytest
from monitored import ACME1, ACME2, BETA, trunk
from siptrunk_monitor import drift

TLS1 = "198.18.1.21:5060"


class Reports(list):
    def drift(self, *told):
        self.append(("drift", *told[:-1]))

    def certificate(self, *told):
        self.append(("certificate", *told[:-1]))


def answer(*places, ttl=300, errors=(), ok=True):
    targets = [{"address": place.partition(":")[0], "port": int(place.partition(":")[2])} for place in places]
    return {"targets": targets, "ttl": ttl, "errors": list(errors), "ok": ok}


def lookout(trunks, resolve=None, ping=None):
    reports = Reports()
    one = drift.Lookout(reports, 3600, "", resolve=resolve or (lambda *dummy, **more: []), ping=ping or (lambda *dummy, **more: []))
    one.adopt(trunks)
    return one, reports


def test_what_is_asked():
    literal = trunk("lit", "198.18.1.40:5060")
    literal["targets"][0]["host"] = "198.18.1.40"
    assert drift.questions([trunk("acme", ACME1, ACME2, domain="sip.acme.example"), trunk("beta", BETA), literal]) == [
        ("acme", "udp", ("sip.acme.example",), [ACME1, ACME2], True),
        ("beta", "udp", ("gw1.beta.example:5060",), [BETA], False),
    ]


def test_another_order_of_the_same_places_is_drift_of_a_domain():
    swapped = {**answer(ACME1, ACME2), "ttl": 300}
    swapped["targets"] = [{**target, "priority": 20 - rank * 10, "weight": 0} for rank, target in enumerate(swapped["targets"])]
    one, reports = lookout([trunk("acme", ACME1, ACME2, domain="sip.acme.example")], lambda *dummy, **more: [swapped])
    one.ask(1000)
    assert reports == [("drift", "acme", "sip.acme.example", [ACME1, ACME2], [ACME2, ACME1])]


def test_the_answer_is_compared_and_asked_for_again_when_its_ttl_is_over():
    asked, answers = [], [[answer(ACME2, ACME1)], [answer(ACME2, ttl=60)]]

    def resolve(names, transport, address_families):
        asked.append((names, transport, address_families))
        return answers.pop(0)

    one, reports = lookout([trunk("acme", ACME1, ACME2, domain="sip.acme.example")], resolve)
    assert one.ask(1000) == 300 and one.ask(1200) == 100
    assert one.ask(1300) == 60
    assert asked == [(("sip.acme.example",), "udp", ("ipv4",))] * 2
    assert reports == [("drift", "acme", "sip.acme.example", [ACME1, ACME2], [ACME1, ACME2]), ("drift", "acme", "sip.acme.example", [ACME1, ACME2], [ACME2])]


@pytest.mark.parametrize("result", [answer(ok=False, errors=[{"kind": "timeout"}]), answer(ACME1, errors=[{"kind": "servfail"}])])
def test_half_an_answer_is_no_news(result):
    one, reports = lookout([trunk("acme", ACME1, ACME2, domain="sip.acme.example")], lambda *dummy, **more: [result])
    assert one.ask(0) == drift.AFTER_ERROR and reports == []


@pytest.mark.parametrize(("ttl", "seconds"), [(0, 30), (5, 30), (600, 600), (10**6, 3600), (None, 3600)])
def test_bounds_of_a_ttl(ttl, seconds):
    assert drift.due_after([answer(ACME1, ttl=ttl), answer(ACME2, ttl=None)]) == seconds


def test_a_resolver_that_fails_is_asked_again():
    def resolve(*dummy, **more):
        raise OSError("no resolv.conf")

    one, reports = lookout([trunk("acme", ACME1, domain="sip.acme.example")], resolve)
    assert one.ask(0) == drift.AFTER_ERROR and reports == []


def test_certificates():
    asked = []

    def ping(targets, **dummy):
        asked.extend(targets)
        return [{"certificate": {"not_after": "2026-12-01T00:00:00Z"}}, {"certificate": None}]

    secure = trunk("acme", ACME1, ACME2, domain="sip.acme.example", transport="tls")
    secure["targets"][0]["proves"] = ["gw1.acme.example", "sip.acme.example"]
    one, reports = lookout([secure, trunk("beta", BETA)], lambda *dummy, **more: [answer(ok=False)], ping)
    one.ask(0)
    assert [(target["host"], target["domain"], target["transport"]) for target in asked] == [
        ("198.18.1.21", "sip.acme.example", "tls"), ("198.18.1.22", "sip.acme.example", "tls")]
    assert [target["names"] for target in asked] == [["gw1.acme.example", "sip.acme.example"], []]
    assert reports == [("certificate", "acme", ACME1, 1796083200.0)]


@pytest.mark.parametrize(("certificate", "again"), [({"not_after": "2026-12-01T00:00:00Z"}, 3600), (None, 300)])
def test_certificates_are_looked_at_again_sooner_when_one_was_not_to_be_had(certificate, again):
    asked = []
    secure = trunk("acme", ACME1, transport="tls")
    one, dummy = lookout([secure], lambda *dummy, **more: [answer(ok=False)], lambda targets, **dummy: asked.append(1) or [{"certificate": certificate}])
    for moment in (0, again - 1, again):
        one.ask(moment)
    assert len(asked) == 2


def test_whatever_a_name_server_does_the_thread_goes_on(monkeypatch):
    monkeypatch.setattr(drift, "AFTER_ERROR", 0.01)
    asked, done = [], threading.Event()

    def resolve(*dummy, **more):
        asked.append(1)
        if len(asked) > 1:
            done.set()
        raise RuntimeError("nobody thought of this")

    one, dummy = lookout([trunk("acme", ACME1, domain="sip.acme.example")], resolve)
    one.start()
    assert done.wait(5)


def test_another_plan_is_asked_for_at_once():
    one, reports = lookout([trunk("acme", ACME1, domain="sip.acme.example")], lambda *dummy, **more: [answer(ACME1)])
    one.ask(0)
    one.adopt([trunk("acme", ACME2, domain="sip.acme.example")])
    one.ask(1)
    assert [told[3] for told in reports] == [[ACME1], [ACME2]]
