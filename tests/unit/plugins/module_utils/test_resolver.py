# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolver against a scripted name server on loopback."""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import socket
import struct
import sys
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import hypothesis
import pytest
from hypothesis import strategies

from ansible_collections.siptrunk.failover.plugins.module_utils import resolver
from ansible_collections.siptrunk.failover.plugins.module_utils.resolver import ResolverMissing, nameservers_of, parse_domain, resolve

NXDOMAIN, NODATA, SERVFAIL, REFUSED, SILENT, GARBAGE = "NXDOMAIN", "NODATA", "SERVFAIL", "REFUSED", "SILENT", "GARBAGE"
SHORT = {"timeout": 0.2, "lifetime": 0.5}
PATIENT = {"timeout": 60, "lifetime": 60}  # for hundreds of questions: how fast this machine answers them is not what is tested


class ScriptedServer:
    """A name server on a loopback port, over UDP and TCP.

    script: {"TYPE name": reply}, a reply being one of the words above, a list of "owner ttl TYPE data" lines for the answer
    section, "TC" before such lines for an answer that fits TCP only, or a list of lists: the first asking gets the first, ...
    `delay`: seconds before each answer. `tcp_reply`: the octets sent over TCP, instead of the script's. A question that is
    not in the script is kept in `unexpected`.
    """

    def __init__(self, script, delay=0.0):
        self.script, self.delay, self.tcp_reply = dict(script), delay, None
        self.asked, self.unexpected = collections.Counter(), []
        self.lock, self.over = threading.Lock(), False
        self.waiting = self.most_waiting = 0  # questions that have come, and whose answers are delayed
        for dummy in range(20):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen(16)
        self.name = f"127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=loop, daemon=True) for loop in (self.serve_udp, self.serve_tcp)]
        for thread in self.threads:
            thread.start()

    def close(self):
        self.over = True  # what still waits in the socket is nobody's any more
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self.tcp.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()

    def serve_udp(self):
        while True:
            wire, client = self.udp.recvfrom(4096)
            if self.over:
                return
            reply = self.reply(wire, over_udp=True)
            if reply and self.delay:
                with self.lock:
                    self.waiting += 1
                    self.most_waiting = max(self.most_waiting, self.waiting)
                threading.Timer(self.delay, self.send_late, (reply, client)).start()
            elif reply:
                self.send(reply, client)

    def send_late(self, reply, client):
        with self.lock:
            self.waiting -= 1
        self.send(reply, client)

    def send(self, reply, client):
        with contextlib.suppress(OSError):  # closed meanwhile
            self.udp.sendto(reply, client)

    def serve_tcp(self):
        while True:
            try:
                connection, dummy = self.tcp.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                reply = self.reply(connection.recv(length, socket.MSG_WAITALL), over_udp=False)
                connection.sendall(struct.pack("!H", len(reply)) + reply if self.tcp_reply is None else self.tcp_reply)

    def reply(self, wire, over_udp):
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        question = f"{dns.rdatatype.to_text(query.question[0].rdtype)} {name}"
        with self.lock:
            times = self.asked[question]
            self.asked[question] += 1
            if question not in self.script:
                self.unexpected.append(question)
        answer = self.script.get(question, REFUSED)
        if isinstance(answer, list) and answer and isinstance(answer[0], list):
            answer = answer[min(times, len(answer) - 1)]
            answer = answer[0] if answer[:1] and answer[0] in (SILENT, SERVFAIL) else answer
        if answer == SILENT:
            return None
        if answer == GARBAGE:
            return wire[:2] + b"\x80\x00 not a message"
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if isinstance(answer, str):
            reply.set_rcode(dns.rcode.NOERROR if answer == NODATA else dns.rcode.from_text(answer))
            return reply.to_wire()
        if answer[:1] == ["TC"]:
            answer = answer[1:]
            if over_udp:
                reply.flags |= dns.flags.TC
                return reply.to_wire()
        if answer[:1] == [NXDOMAIN]:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            answer = answer[1:]
        for line in answer:
            owner, ttl, rdtype, data = line.split(None, 3)
            section = reply.authority if rdtype == "SOA" else reply.answer
            section.append(dns.rrset.from_text(owner + ".", int(ttl), "IN", rdtype, data))
        return reply.to_wire(max_size=65535)


class SmallForwarder(ScriptedServer):
    """It refuses what comes while `room` questions wait for their answers, as dnsmasq does."""

    def __init__(self, script, delay, room):
        self.room, self.refused, self.due = room, 0, collections.deque()
        super().__init__(script, delay)

    def reply(self, wire, over_udp):
        now = time.monotonic()
        while self.due and self.due[0] < now:
            self.due.popleft()
        if len(self.due) < self.room:
            self.due.append(now + self.delay)
            return super().reply(wire, over_udp)
        self.refused += 1
        reply = dns.message.make_response(dns.message.from_wire(wire))
        reply.set_rcode(dns.rcode.REFUSED)
        return reply.to_wire()


class HostileServer:
    """A name server on a loopback port, over UDP alone: each query gets `answer(query)`, octets for octets."""

    def __init__(self):
        self.answer = None
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self.udp.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            wire, client = self.udp.recvfrom(4096)
            if not wire:
                return
            self.udp.sendto(self.answer(wire), client)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.udp.getsockname())
        self.thread.join(5)
        self.udp.close()


@pytest.fixture
def hostile_server():
    server = HostileServer()
    yield server
    server.close()


@pytest.fixture
def serve():
    """serve(script, kind=ScriptedServer, ...): a running name server. At the end, every question was in a script, and all of a script was asked."""
    servers = []
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # else the server waits 5 ms for the interpreter at each question of a busy client

    def start(script, kind=ScriptedServer, **options):
        servers.append(kind(script, **options))
        return servers[-1]

    yield start
    sys.setswitchinterval(switch_interval)
    for server in servers:
        server.close()
    for server in servers:
        assert server.unexpected == []
        assert sorted(set(server.script) - set(server.asked)) == []


def closed_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(server, *domains, **options):
    return resolve(domains, nameservers=[server.name], **options)


def brief(result):
    return [(target["host"], target["address"], target["port"]) for target in result["targets"]]


def kinds(result):
    return [(error["kind"], error["name"]) for error in result["errors"]]


def by_srv(domain, *lines, prefix="_sip._udp", **more):
    """The script of a domain with SRV records "priority weight port target", all over UDP, without NAPTR."""
    srv = f"{prefix}.{domain}"
    return {f"NAPTR {domain}": NODATA, f"SRV {srv}": [f"{srv} 300 SRV {line}" for line in lines], **more}


def host(name, ipv4="198.18.1.10", ttl=300):
    return {f"A {name}": [f"{name} {ttl} A {ipv4}"], f"AAAA {name}": NODATA}


# How the servers are found: RFC 3263, section 4

def test_a_literal_is_itself_and_nothing_is_asked(serve):
    results = ask(serve({}), "198.18.1.10", "198.18.1.10:5070", "[2001:db8::1]:5062", "2001:DB8:0::1", "[2001:db8::1]", transport="tls")
    assert [brief(result) for result in results] == [
        [("198.18.1.10", "198.18.1.10", 5061)],
        [("198.18.1.10", "198.18.1.10", 5070)],
        [("2001:db8::1", "2001:db8::1", 5062)],
        [("2001:db8::1", "2001:db8::1", 5061)],
        [("2001:db8::1", "2001:db8::1", 5061)],
    ]
    assert results[0] == {
        "domain": "198.18.1.10", "transport": "tls", "source": "literal", "ttl": None, "errors": [], "ok": True,
        "targets": [{"host": "198.18.1.10", "address": "198.18.1.10", "port": 5061, "priority": 0, "weight": 0, "family": "ipv4"}],
    }


def test_a_port_means_addresses_only(serve):
    server = serve({
        "A gw.acme.example": ["gw.acme.example 60 A 198.18.1.10"],
        "AAAA gw.acme.example": ["gw.acme.example 50 AAAA 2001:db8::10"],
    })
    (result,) = ask(server, "GW.acme.example.:5070")
    assert result == {
        "domain": "GW.acme.example.:5070", "transport": "udp", "source": "address", "ttl": 50, "errors": [], "ok": True,
        "targets": [
            {"host": "gw.acme.example", "address": "198.18.1.10", "port": 5070, "priority": 0, "weight": 0, "family": "ipv4"},
            {"host": "gw.acme.example", "address": "2001:db8::10", "port": 5070, "priority": 0, "weight": 0, "family": "ipv6"},
        ],
    }


@pytest.mark.parametrize("transport, prefix", [("udp", "_sip._udp"), ("tcp", "_sip._tcp"), ("tls", "_sips._tcp")])
def test_srv_of_the_transport(serve, transport, prefix):
    server = serve(by_srv("acme.example", "10 20 5080 gw.acme.example.", prefix=prefix, **host("gw.acme.example", ttl=90)))
    (result,) = ask(server, "acme.example", transport=transport)
    assert result == {
        "domain": "acme.example", "transport": transport, "source": "srv", "ttl": 90, "errors": [], "ok": True,
        "targets": [{"host": "gw.acme.example", "address": "198.18.1.10", "port": 5080, "priority": 10, "weight": 20, "family": "ipv4"}],
    }


@pytest.mark.parametrize("transport, srv", [("udp", "u1.acme.example"), ("tcp", "t.acme.example"), ("tls", "s.acme.example")])
def test_naptr_of_the_transport_with_the_lowest_order_then_preference(serve, transport, srv):
    default = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}[transport]
    server = serve({
        "NAPTR acme.example": [
            'acme.example 40 NAPTR 20 1 "s" "SIP+D2U" "" u3.acme.example.',
            'acme.example 40 NAPTR 10 9 "s" "SIP+D2U" "" u2.acme.example.',
            'acme.example 40 NAPTR 10 5 "S" "sip+d2u" "" U1.acme.example.',
            'acme.example 40 NAPTR 1 1 "a" "SIP+D2U" "" wrong-flag.acme.example.',
            'acme.example 40 NAPTR 1 1 "s" "SIP+D2S" "" wrong-service.acme.example.',
            'acme.example 40 NAPTR 1 1 "s" "SIP+D2U" "" .',
            'acme.example 40 NAPTR 30 1 "s" "SIP+D2T" "" t.acme.example.',
            'acme.example 40 NAPTR 30 1 "s" "SIPS+D2T" "" s.acme.example.',
        ],
        f"SRV {default}.acme.example": [f"{default}.acme.example 10 SRV 0 0 5099 unused.acme.example."],
        f"SRV {srv}": [f"{srv} 300 SRV 1 2 5065 gw.acme.example."],
        **host("gw.acme.example"),
    })
    (result,) = ask(server, "acme.example", transport=transport)
    assert brief(result) == [("gw.acme.example", "198.18.1.10", 5065)]
    assert (result["source"], result["ttl"], result["errors"]) == ("naptr", 40, [])


@pytest.mark.parametrize("transport, prefix, port", [("udp", "_sip._udp", 5060), ("tcp", "_sip._tcp", 5060), ("tls", "_sips._tcp", 5061)])
@pytest.mark.parametrize("missing", [NXDOMAIN, NODATA])
def test_without_srv_records_the_addresses_and_the_default_port(serve, transport, prefix, port, missing):
    server = serve({"NAPTR acme.example": missing, f"SRV {prefix}.acme.example": missing, **host("acme.example")})
    (result,) = ask(server, "acme.example", transport=transport)
    assert (result["source"], brief(result), result["errors"]) == ("address", [("acme.example", "198.18.1.10", port)], [])


@pytest.mark.parametrize("failure, kind", [
    (SILENT, "timeout"), (REFUSED, "refused"), (SERVFAIL, "servfail"), ("NOTIMP", "other"), (GARBAGE, "other"),
])
def test_a_failed_naptr_is_reported_and_srv_goes_on(serve, failure, kind):
    server = serve({**by_srv("acme.example", "1 1 5060 gw.acme.example.", **host("gw.acme.example")), "NAPTR acme.example": failure})
    (result,) = ask(server, "acme.example", **SHORT)
    assert brief(result) == [("gw.acme.example", "198.18.1.10", 5060)]
    assert (result["source"], result["ok"], kinds(result)) == ("srv", True, [(kind, "acme.example")])


@pytest.mark.parametrize("failure, kind, message", [
    (SILENT, "timeout", "SRV _sip._udp.acme.example: no answer from {server} within 0.5 s"),
    (REFUSED, "refused", "SRV _sip._udp.acme.example: {server} answered REFUSED"),
    (SERVFAIL, "servfail", "SRV _sip._udp.acme.example: {server} answered SERVFAIL"),
])
def test_a_failed_srv_is_an_error_and_never_falls_back_to_addresses(serve, failure, kind, message):
    server = serve({"NAPTR acme.example": NODATA, "SRV _sip._udp.acme.example": failure})
    (result,) = ask(server, "acme.example", **SHORT)
    assert result == {
        "domain": "acme.example", "transport": "udp", "source": None, "targets": [], "ttl": None, "ok": False,
        "errors": [{"kind": kind, "name": "_sip._udp.acme.example", "message": message.format(server=server.name)}],
    }


def test_a_failed_srv_that_naptr_names_is_an_error_although_the_usual_srv_exists(serve):
    server = serve({
        "NAPTR acme.example": ['acme.example 40 NAPTR 1 1 "s" "SIP+D2U" "" far.acme.example.'],
        "SRV _sip._udp.acme.example": ["_sip._udp.acme.example 10 SRV 0 0 5099 unused.acme.example."],
        "SRV far.acme.example": SERVFAIL,
    })
    (result,) = ask(server, "acme.example")
    assert (result["ok"], kinds(result)) == (False, [("servfail", "far.acme.example")])


def test_a_naptr_that_leads_nowhere_is_reported_and_the_usual_srv_is_used(serve):
    server = serve({
        **by_srv("acme.example", "1 1 5060 gw.acme.example.", **host("gw.acme.example")),
        "NAPTR acme.example": ['acme.example 40 NAPTR 1 1 "s" "SIP+D2U" "" gone.acme.example.'],
        "SRV gone.acme.example": NXDOMAIN,
    })
    (result,) = ask(server, "acme.example")
    assert brief(result) == [("gw.acme.example", "198.18.1.10", 5060)]
    assert (result["source"], kinds(result)) == ("srv", [("nxdomain", "gone.acme.example")])
    assert result["errors"][0]["message"].endswith("though NAPTR acme.example points there")


def test_the_target_dot_means_that_there_is_no_service(serve):
    (result,) = ask(serve(by_srv("acme.example", "0 0 0 .")), "acme.example")
    assert (result["ok"], result["source"], kinds(result)) == (False, None, [("service_unavailable", "_sip._udp.acme.example")])


def test_a_dot_or_port_0_among_other_targets_costs_only_itself(serve):
    server = serve(by_srv("acme.example", "0 0 5060 .", "1 0 0 zero.acme.example.", "2 0 5060 gw.acme.example.", **host("gw.acme.example")))
    (result,) = ask(server, "acme.example")
    assert brief(result) == [("gw.acme.example", "198.18.1.10", 5060)]
    assert kinds(result) == [("target_unresolvable", "."), ("target_unresolvable", "zero.acme.example")]


# What does not exist

@pytest.mark.parametrize("ipv4, ipv6, kind", [
    (NXDOMAIN, NXDOMAIN, "nxdomain"), (NODATA, NODATA, "no_answer"), (NXDOMAIN, NODATA, "no_answer"), (NODATA, SERVFAIL, "servfail"),
    (REFUSED, SERVFAIL, "refused"),
])
def test_no_records_at_all(serve, ipv4, ipv6, kind):
    server = serve({"NAPTR gone.example": NXDOMAIN, "SRV _sip._udp.gone.example": NXDOMAIN,
                    "A gone.example": ipv4, "AAAA gone.example": ipv6})
    (result,) = ask(server, "gone.example")
    assert (result["ok"], result["source"], result["ttl"], kinds(result)) == (False, None, None, [(kind, "gone.example")])
    if kind == "nxdomain":
        assert f"A gone.example: {server.name} says that gone.example does not exist; AAAA" in result["errors"][0]["message"]


def test_unresolvable_targets_are_named_and_the_others_kept(serve):
    server = serve(by_srv(
        "acme.example", "3 0 5060 c.acme.example.", "1 0 5060 a.acme.example.", "1 0 5061 a.acme.example.", "2 0 5060 b.acme.example.",
        **{"A a.acme.example": NXDOMAIN, "AAAA a.acme.example": NXDOMAIN, "A c.acme.example": SERVFAIL, "AAAA c.acme.example": NODATA},
        **host("b.acme.example"),
    ))
    (result,) = ask(server, "acme.example")
    assert (result["ok"], brief(result)) == (True, [("b.acme.example", "198.18.1.10", 5060)])
    assert kinds(result) == [("target_unresolvable", "a.acme.example"), ("target_unresolvable", "c.acme.example")]
    assert f"{server.name} answered SERVFAIL" in result["errors"][1]["message"]


def test_one_failed_family_is_reported_and_the_other_kept(serve):
    server = serve({"A gw.acme.example": ["gw.acme.example 60 A 198.18.1.10"], "AAAA gw.acme.example": SERVFAIL})
    (result,) = ask(server, "gw.acme.example:5060")
    assert (brief(result), kinds(result)) == ([("gw.acme.example", "198.18.1.10", 5060)], [("servfail", "gw.acme.example")])


@pytest.mark.parametrize("family, rdtype, address", [("ipv4", "A", "198.18.1.10"), ("ipv6", "AAAA", "2001:db8::10")])
def test_only_the_families_asked_for(serve, family, rdtype, address):
    server = serve({f"{rdtype} gw.acme.example": [f"gw.acme.example 60 {rdtype} {address}"]})
    (result,) = ask(server, "gw.acme.example:5060", address_families=[family])
    assert [(target["address"], target["family"]) for target in result["targets"]] == [(address, family)]


@pytest.mark.parametrize("domain", [
    "", ".", "acme..example", ".acme.example", "a" * 64 + ".example", ".".join(["a" * 60] * 4) + ".example", "acme.example:",
    "acme.example:0",
    "acme.example:65536", "acme.example:sip", "acme.example:-1", "198.18.1.300", "198.18.1.10:99999", "[2001:db8::1", "[2001:db8::1]:x",
    "[acme.example]:5060", "2001:db8::1::2", "sip:acme.example", "acme example", "acme.example\n", "-acme.example", "bücher.example",
    "acme.example:５０６０", ".".join(["a" * 49] * 5),
])
def test_a_bad_name_is_told_before_anything_is_asked(serve, domain):
    (result,) = ask(serve({}), domain)
    assert (result["ok"], result["domain"], kinds(result)) == (False, domain, [("bad_name", domain)])
    assert repr(domain) in result["errors"][0]["message"]


def test_good_names():
    assert parse_domain("SIP.Acme.example.") == ("sip.acme.example", None)
    assert parse_domain("a_b.x--y.example:65535") == ("a_b.x--y.example", 65535)
    assert parse_domain("[2001:DB8::1]:5060") == ("2001:db8::1", 5060)
    assert parse_domain("a" * 63 + ".example") == ("a" * 63 + ".example", None)


# Order

def test_the_order_of_targets_is_fixed_and_without_duplicates(serve):
    lines = [
        "20 0 5060 z.acme.example.", "10 5 5060 b.acme.example.", "10 5 5060 a.acme.example.", "10 50 5060 c.acme.example.",
        "10 5 5070 a.acme.example.",
    ]
    script = {
        **host("z.acme.example"), **host("b.acme.example"), **host("c.acme.example"),
        "A a.acme.example": ["a.acme.example 60 A 198.18.1.100", "a.acme.example 60 A 198.18.1.20", "a.acme.example 60 A 198.18.1.20"],
        "AAAA a.acme.example": ["a.acme.example 60 AAAA 2001:db8::a", "a.acme.example 60 AAAA 2001:db8::9"],
    }
    expected = [
        ("c.acme.example", "198.18.1.10", 5060),
        ("a.acme.example", "198.18.1.20", 5060), ("a.acme.example", "198.18.1.20", 5070),
        ("a.acme.example", "198.18.1.100", 5060), ("a.acme.example", "198.18.1.100", 5070),
        ("a.acme.example", "2001:db8::9", 5060), ("a.acme.example", "2001:db8::9", 5070),
        ("a.acme.example", "2001:db8::a", 5060), ("a.acme.example", "2001:db8::a", 5070),
        ("b.acme.example", "198.18.1.10", 5060),
        ("z.acme.example", "198.18.1.10", 5060),
    ]
    for ordered in (lines, lines[::-1], lines[2:] + lines[:2]):
        (result,) = ask(serve(by_srv("acme.example", *ordered, **script)), "acme.example")
        assert brief(result) == expected


def test_duplicate_targets_are_removed():
    target = {"host": "a", "address": "198.18.1.1", "port": 5060, "priority": 0, "weight": 0, "family": "ipv4"}
    assert resolver.sort_targets([target, dict(target), {**target, "port": 5061}]) == [target, {**target, "port": 5061}]


def test_results_follow_the_order_of_the_domains_and_a_question_is_asked_once(serve):
    script = {"NAPTR slow.example": SILENT, "SRV _sip._udp.slow.example": SILENT, **host("quick.example")}
    server = serve(script)
    domains = ["slow.example", "quick.example:5060", "198.18.1.1", "quick.example:5061", "quick.example:5060"]
    results = ask(server, *domains, **SHORT)
    assert [result["domain"] for result in results] == domains
    assert [result["ok"] for result in results] == [False, True, True, True, True]
    assert server.asked["A quick.example"] == 1


# CNAME

def test_cname_records_are_followed_within_an_answer_and_beyond(serve):
    server = serve({
        **by_srv("acme.example", "1 1 5060 gw.acme.example."),
        "A gw.acme.example": ["gw.acme.example 300 CNAME gw.far.example.", "gw.far.example 200 CNAME gw1.far.example."],
        "AAAA gw.acme.example": [
            "gw.acme.example 300 CNAME gw1.far.example.", "far.example 60 SOA ns.far.example. root.far.example. 1 2 3 4 5",
        ],
        "A gw1.far.example": ["gw1.far.example 100 A 198.18.1.10"],
    })
    (result,) = ask(server, "acme.example")
    assert (brief(result), result["ttl"], result["errors"]) == ([("gw.acme.example", "198.18.1.10", 5060)], 100, [])


def test_an_srv_name_may_be_a_cname(serve):
    server = serve({
        "NAPTR acme.example": NODATA,
        "SRV _sip._udp.acme.example": [
            "_sip._udp.acme.example 30 CNAME sip.far.example.", "sip.far.example 300 SRV 1 1 5060 gw.far.example.",
        ],
        **host("gw.far.example"),
    })
    (result,) = ask(server, "acme.example")
    assert (result["source"], brief(result), result["ttl"]) == ("srv", [("gw.far.example", "198.18.1.10", 5060)], 30)


def test_a_cname_to_a_name_that_does_not_exist(serve):
    dangling = [NXDOMAIN, "gw.acme.example 300 CNAME gone.example."]
    (result,) = ask(serve({"A gw.acme.example": dangling, "AAAA gw.acme.example": dangling}), "gw.acme.example:5060")
    assert kinds(result) == [("nxdomain", "gw.acme.example")]
    assert "gone.example does not exist" in result["errors"][0]["message"]


@pytest.mark.parametrize("script", [
    {"A a.example": ["a.example 60 CNAME b.example.", "b.example 60 CNAME a.example."]},
    {"A a.example": ["a.example 60 CNAME b.example."], "A b.example": ["b.example 60 CNAME a.example."]},
    {"A a.example": ["a.example 60 CNAME a.example."]},
])
def test_a_cname_circle_ends(serve, script):
    (result,) = ask(serve(script), "a.example:5060", address_families=["ipv4"])
    assert kinds(result) == [("other", "a.example")]
    assert "circle" in result["errors"][0]["message"]


@pytest.mark.parametrize("in_one_answer", [True, False])
def test_a_cname_chain_is_followed_so_far(serve, in_one_answer):
    def chain(length):
        lines = [f"c{number}.example 60 CNAME c{number + 1}.example." for number in range(length)] + [f"c{length}.example 60 A 198.18.1.10"]
        return {"A c0.example": lines} if in_one_answer else {f"A c{number}.example": [line] for number, line in enumerate(lines)}

    longest = resolver.LONGEST_CHAIN - 1
    (result,) = ask(serve(chain(longest)), "c0.example:5060", address_families=["ipv4"])
    assert brief(result) == [("c0.example", "198.18.1.10", 5060)]
    script = chain(longest + 1)
    script.pop(f"A c{longest + 1}.example", None)
    (result,) = ask(serve(script), "c0.example:5060", address_families=["ipv4"])
    assert kinds(result) == [("other", "c0.example")]
    assert "CNAME records in a row" in result["errors"][0]["message"]


# Name servers

def test_a_truncated_answer_is_asked_for_again_over_tcp(serve):
    lines = [f"_sip._udp.acme.example 300 SRV {number} 0 5060 gw.acme.example." for number in range(100)]
    server = serve({
        "NAPTR acme.example": NODATA,
        "SRV _sip._udp.acme.example": ["TC", *lines],
        **host("gw.acme.example"),
    })
    (result,) = ask(server, "acme.example")
    assert [target["priority"] for target in result["targets"]] == list(range(100))
    assert server.asked["SRV _sip._udp.acme.example"] == 2


def test_a_zone_of_thousands_of_targets_costs_a_hundred(serve):
    lines = [f"_sip._udp.acme.example 300 SRV {number} 0 5060 gw{number}.acme.example." for number in range(1500)]
    script = {f"A gw{number}.acme.example": [f"gw{number}.acme.example 60 A 198.18.1.10"] for number in range(100)}
    server = serve({"NAPTR acme.example": NODATA, "SRV _sip._udp.acme.example": ["TC", *lines], **script})
    (result,) = ask(server, "acme.example", address_families=["ipv4"], **PATIENT)
    assert ([target["priority"] for target in result["targets"]], result["ok"]) == (list(range(100)), True)
    assert result["errors"] == [
        {"kind": "other", "name": "acme.example", "message": "acme.example has more than 100 targets; the first 100 are used"},
    ]


def test_a_host_of_hundreds_of_addresses_gives_a_hundred_targets(serve):
    lines = [f"gw.acme.example 60 A 198.18.{number // 200}.{number % 200}" for number in range(600)]
    server = serve({"A gw.acme.example": ["TC", *lines]})
    (result,) = ask(server, "gw.acme.example:5060", address_families=["ipv4"])
    assert (len(result["targets"]), kinds(result)) == (100, [("other", "gw.acme.example:5060")])


@pytest.mark.parametrize("fault", ["closed at once", "half a length", "a length that is not kept", "another question", "not a message"])
def test_a_faulty_answer_over_tcp_is_an_error_of_that_domain(serve, fault):
    server = serve({"A gw.acme.example": ["TC", "gw.acme.example 60 A 198.18.1.10"], "A quick.example": ["quick.example 60 A 198.18.1.10"]})
    other = dns.message.make_response(dns.message.make_query("other.example.", "A")).to_wire()
    server.tcp_reply = {
        "closed at once": b"", "half a length": b"\0", "a length that is not kept": struct.pack("!H", 500) + b"\0" * 20,
        "another question": struct.pack("!H", len(other)) + other, "not a message": struct.pack("!H", 3) + b"abc",
    }[fault]
    broken, quick = ask(server, "gw.acme.example:5060", "quick.example:5060", address_families=["ipv4"], **SHORT)
    assert (broken["ok"], broken["targets"], quick["ok"]) == (False, [], True)
    assert {name for kind, name in kinds(broken)} == {"gw.acme.example"}


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(tail=strategies.binary(max_size=600), flags=strategies.integers(0, 65535), counts=strategies.tuples(*[strategies.integers(0, 9)] * 4))
def test_no_datagram_costs_more_than_its_own_question(hostile_server, tail, flags, counts):
    hostile_server.answer = lambda wire: wire[:2] + struct.pack("!5H", flags, *counts) + tail
    begin = time.monotonic()
    result, literal = resolve(["gw.acme.example:5060", "198.18.1.1"], nameservers=[hostile_server.name], address_families=["ipv4"],
                              timeout=0.05, lifetime=0.1)
    assert time.monotonic() - begin < 5
    assert (result["ok"], result["targets"], literal["ok"]) == (False, [], True)
    assert result["errors"]


@pytest.mark.parametrize("tail", [
    b"\xc0\x0c\0\1\0\1",  # a name that is a pointer to itself
    b"\xc0\x0e\xc0\x0c\0\1\0\1",  # two that point at each other
    b"\1a" * 130 + b"\0\0\1\0\1",  # longer than 255 octets
    b"\x40a\0\0\1\0\1",  # a label type nobody uses
])
def test_names_that_lead_nowhere_end(hostile_server, tail):
    hostile_server.answer = lambda wire: wire[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + tail * 2
    (result,) = resolve(["gw.acme.example:5060"], nameservers=[hostile_server.name], address_families=["ipv4"], **SHORT)
    assert (result["ok"], kinds(result)) == (False, [("other", "gw.acme.example")])


def test_a_silent_name_server_is_asked_again(serve):
    server = serve({"A gw.acme.example": [[SILENT], ["gw.acme.example 60 A 198.18.1.10"]]})
    (result,) = ask(server, "gw.acme.example:5060", address_families=["ipv4"], timeout=0.2, lifetime=5)
    assert (result["ok"], result["errors"], server.asked["A gw.acme.example"]) == (True, [], 2)


@pytest.mark.parametrize("fault", [SILENT, REFUSED, SERVFAIL, GARBAGE])
def test_the_next_name_server_is_asked(serve, fault):
    first, second = serve({"A gw.acme.example": fault}), serve({"A gw.acme.example": ["gw.acme.example 60 A 198.18.1.10"]})
    (result,) = resolve(["gw.acme.example:5060"], nameservers=[first.name, second.name], address_families=["ipv4"], timeout=0.2)
    assert (result["ok"], result["errors"], first.asked["A gw.acme.example"]) == (True, [], 1)


def test_the_next_name_server_is_not_asked_when_the_first_says_no(serve):
    first, second = serve({"A gw.acme.example": NXDOMAIN}), serve({})
    (result,) = resolve(["gw.acme.example:5060"], nameservers=[first.name, second.name], address_families=["ipv4"])
    assert kinds(result) == [("nxdomain", "gw.acme.example")]


def test_every_name_server_is_asked_within_the_lifetime(serve):
    silent = [serve({"A gw.acme.example": SILENT}) for dummy in range(3)]
    last = serve({"A gw.acme.example": ["gw.acme.example 60 A 198.18.1.10"]})
    (result,) = resolve(["gw.acme.example:5060"], nameservers=[server.name for server in [*silent, last]], address_families=["ipv4"],
                        timeout=5, lifetime=1)
    assert result["ok"] is True


def test_the_message_names_every_name_server_and_a_fault_says_more_than_silence(serve):
    first, second = serve({"A gw.acme.example": SILENT}), serve({"A gw.acme.example": REFUSED})
    (result,) = resolve(["gw.acme.example:5060"], nameservers=[first.name, second.name], address_families=["ipv4"], **SHORT)
    message = f"A gw.acme.example: {second.name} answered REFUSED; no answer from {first.name} within 0.5 s"
    assert result["errors"] == [{"kind": "refused", "name": "gw.acme.example", "message": message}]


def test_a_closed_port_is_told_at_once():
    port, begin = closed_port(), time.monotonic()
    (result,) = resolve(["gw.acme.example:5060"], nameservers=[f"127.0.0.1:{port}"], address_families=["ipv4"])
    assert result["errors"] == [
        {"kind": "refused", "name": "gw.acme.example", "message": f"A gw.acme.example: nothing listens at 127.0.0.1:{port}"},
    ]
    assert time.monotonic() - begin < 1


def test_a_forged_answer_to_another_question_is_passed_over(serve):
    server = serve({"A gw.acme.example": [[SILENT], ["gw.acme.example 60 A 198.18.1.10"]]})
    genuine = server.reply

    def forge(wire, over_udp):
        if genuine(wire, over_udp) is not None:
            return genuine(wire, over_udp)
        other = dns.message.make_query("other.example.", "A")
        other.id = int.from_bytes(wire[:2], "big")
        forged = dns.message.make_response(other)
        forged.answer.append(dns.rrset.from_text("gw.acme.example.", 60, "IN", "A", "198.18.66.66"))
        return forged.to_wire()

    server.reply = forge
    (result,) = ask(server, "gw.acme.example:5060", address_families=["ipv4"], timeout=0.3)
    assert brief(result) == [("gw.acme.example", "198.18.1.10", 5060)]


def test_the_nameserver_lines_of_resolv_conf():
    assert nameservers_of("""
; a comment
#nameserver 198.18.0.1
search acme.example
nameserver	127.0.0.1 # the local one
nameserver bad
  nameserver ::1
nameserver
""") == ["127.0.0.1", "::1"]
    assert nameservers_of("") == []


def test_the_name_servers_of_the_host_by_default(tmp_path, monkeypatch):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.77\nsearch acme.example\n", encoding="utf-8")
    monkeypatch.setattr(resolver, "RESOLV_CONF", str(path))
    (result,) = resolve(["gw:5060"], address_families=["ipv4"], **SHORT)
    assert "127.0.0.77" in result["errors"][0]["message"]
    assert "A gw: " in result["errors"][0]["message"]


# Arguments

@pytest.mark.parametrize("options, message", [
    ({"transport": "sctp"}, "transport is 'sctp', expected one of udp, tcp, tls"),
    ({"address_families": []}, "address_families is [], expected some of ipv4, ipv6"),
    ({"address_families": ["ipv5"]}, "address_families is ['ipv5'], expected some of ipv4, ipv6"),
    ({"timeout": 0}, "timeout is 0, expected a number above 0"),
    ({"lifetime": float("inf")}, "lifetime is inf, expected a number above 0"),
    ({"timeout": float("nan")}, "timeout is nan, expected a number above 0"),
    ({"concurrency": 0}, "concurrency is 0, expected a number above 0"),
    ({"nameservers": ["ns.acme.example"]}, "name server 'ns.acme.example' is not an address, address:port or [IPv6 address]:port"),
    ({"nameservers": ["127.0.0.1:0"]}, "'127.0.0.1:0' has port '0', expected 1 to 65535"),
])
def test_bad_arguments(options, message):
    with pytest.raises(ValueError) as error:
        resolve([], **{"nameservers": ["127.0.0.1"], **options})
    assert str(error.value) == message


def test_no_domains():
    assert resolve([], nameservers=["127.0.0.1"]) == []


def test_without_dnspython_there_is_one_clear_error():
    spec = importlib.util.spec_from_file_location("resolver_without_dnspython", resolver.__file__)
    bare = importlib.util.module_from_spec(spec)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name == "dns" or name.startswith("dns.")}
    sys.modules["dns"] = None
    try:
        spec.loader.exec_module(bare)
    finally:
        del sys.modules["dns"]
        sys.modules.update(kept)
    with pytest.raises(bare.ResolverMissing, match=r"dnspython \(2.0 or later\) cannot be imported"):
        bare.resolve(["acme.example"])
    assert bare.nameservers_of("nameserver 198.18.0.53") == ["198.18.0.53"]
    assert issubclass(ResolverMissing, Exception)


# Many at once. The bounds are far from what is usual, less than two lifetimes, and from what it takes if silent look-ups keep their
# places, twenty and ten: client and server share one interpreter, on a machine that may be busy.

def many(number, answer):
    script = {}
    for index in range(number):
        script.update({f"NAPTR d{index}.example": answer, f"SRV _sip._udp.d{index}.example": answer})
    return script, [f"d{index}.example" for index in range(number)]


def test_500_silent_domains_take_little_longer_than_one(serve):
    script, domains = many(500, SILENT)
    begin = time.monotonic()
    results = ask(serve(script), *domains, timeout=1, lifetime=2.5)
    assert time.monotonic() - begin < 4 * 2.5
    assert [result["errors"][-1]["kind"] for result in results] == ["timeout"] * 500


def test_silent_domains_do_not_hold_up_the_others(serve):
    script, silent = many(100, SILENT)
    answered = [f"gw{index}.example:5060" for index in range(150)]
    for name in answered:
        script.update(host(name[:-5]))
    begin = time.monotonic()
    results = ask(serve(script), *silent, *answered, timeout=2.5, lifetime=2.5, concurrency=20)
    assert time.monotonic() - begin < 4 * 2.5
    assert [result["ok"] for result in results] == [False] * 100 + [True] * 150


def slow(number):
    script, domains = {}, [f"d{index}.example" for index in range(number)]
    for domain in domains:
        script.update(by_srv(domain, f"1 0 5060 a.{domain}.", f"2 0 5060 b.{domain}.", **(host(f"a.{domain}") | host(f"b.{domain}"))))
    return script, domains


def test_many_domains_of_a_slow_name_server(serve):
    script, domains = slow(100)
    server = serve(script, delay=0.5)
    results = ask(server, *domains, **PATIENT)
    assert server.most_waiting > 20, "not one after the other"
    assert [(result["ok"], len(result["targets"]), result["errors"]) for result in results] == [(True, 2, [])] * 100


def test_a_slow_answer_takes_no_place(serve):
    script, domains = slow(50)
    server = serve(script, delay=0.5)
    results = ask(server, *domains, concurrency=20, **PATIENT)
    assert server.most_waiting > 20, "more than there are places"
    assert [result["ok"] for result in results] == [True] * 50


def test_what_a_small_forwarder_refuses_is_asked_again_by_and_by(serve):
    script, domains = slow(60)
    server = serve(script, kind=SmallForwarder, delay=0.5, room=60)
    results = ask(server, *domains, concurrency=50, **PATIENT)
    assert server.refused > 0
    assert [(result["ok"], result["errors"]) for result in results] == [(True, [])] * 60


def test_who_refuses_again_is_believed(serve):
    script, domains = many(60, REFUSED)
    server = serve(script)
    results = ask(server, *domains, concurrency=50)
    assert [kinds(result) for result in results] == [[("refused", f"d{n}.example"), ("refused", f"_sip._udp.d{n}.example")] for n in range(60)]
    assert max(server.asked.values()) == 2
