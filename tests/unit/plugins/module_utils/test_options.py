# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OPTIONS against small scripted peers on loopback, over UDP, TCP and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import select
import socket
import ssl
import threading
import time
import warnings
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

import certificates
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.module_utils import options
from ansible_collections.siptrunk.failover.plugins.module_utils.options import (
    Transaction, build_request, clean, parse_certificate, parse_response, ping, take_message,
)

DOMAIN = "sip.acme.example"


def respond(request, code=200, reason="OK", *, headers="Server: Acme SBC 4.2\r\n", length="0", body="", **changed):
    """A response to a request, both bytes; `changed` headers by name, with _ for -, and None to leave one out."""
    text = request.decode()
    lines = f"SIP/2.0 {code} {reason}\r\n"
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        value = changed.get(name.replace("-", "_"), re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE)[1])
        lines += f"{name}: {value}\r\n" if value is not None else ""
    return f"{lines}{headers}{f'Content-Length: {length}{chr(13)}{chr(10)}' if length is not None else ''}\r\n{body}".encode()


def header(request, name):
    return re.search(rf"^{name}: (.*)\r$", request.decode(), re.MULTILINE)[1]


class Peer:
    """A peer on a loopback port. answer(request, number) yields what goes out: bytes, or seconds to wait.

    `received`: (seconds since the start, bytes) of each datagram, or of all that a connection sent before it was answered.
    """

    def __init__(self, answer, transport="udp", address="127.0.0.1", context=None):
        self.answer, self.context, self.received, self.began = answer, context, [], time.monotonic()
        self.failures, self.ended, self.threads = [], threading.Event(), []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        self.sock.bind((address, 0))
        if transport != "udp":
            self.sock.listen(600)
        self.port = self.sock.getsockname()[1]
        self.target = {"host": address, "port": self.port, "transport": transport}
        self.start(self.serve_udp if transport == "udp" else self.serve_stream)

    def start(self, work, *arguments):
        self.threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self.threads[-1].start()

    def close(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(10)
        self.sock.close()

    def play(self, request, send):
        """Whether the end of the script was reached."""
        for step in self.answer(request, len(self.received) - 1):
            if isinstance(step, bytes):
                send(step)
            elif self.ended.wait(step):
                return False
        return True

    def wait(self):
        while not self.ended.is_set():
            if select.select([self.sock], [], [], 0.02)[0]:
                yield

    def serve_udp(self):
        for dummy in self.wait():
            request, client = self.sock.recvfrom(65536)
            self.received.append((time.monotonic() - self.began, request))
            self.start(self.play, request, lambda data, client=client: self.sock.sendto(data, client))

    def serve_stream(self):
        for dummy in self.wait():
            self.start(self.converse, self.sock.accept()[0])

    def converse(self, connection):
        with connection:
            connection.settimeout(10)
            with contextlib.suppress(OSError):
                if self.context:
                    try:
                        connection = self.context.wrap_socket(connection, server_side=True)
                    except ssl.SSLError as error:
                        self.failures.append(error.reason)
                        return
                request = b""
                while b"\r\n\r\n" not in request:
                    received = connection.recv(65536)
                    if not received:
                        break
                    request += received
                self.received.append((time.monotonic() - self.began, request))
                if request:
                    self.play(request, connection.sendall)
                connection.close()


@pytest.fixture
def peer():
    """peer(answer, transport="udp", ...): a running Peer."""
    peers = []

    def start(answer, *arguments, **more):
        peers.append(Peer(answer, *arguments, **more))
        return peers[-1]

    yield start
    for one in peers:
        one.close()


def once(**changes):
    """The script of a peer that answers everything alike."""
    return lambda request, number: [respond(request, **changes)]


def silent(request, number):
    return []


def ask(peer, **arguments):
    (result,) = ping([{**peer.target, **arguments.pop("target", {})}], **{"timeout": 5, **arguments})
    return result


def dead(result):
    """The kind of error of a result that is otherwise empty."""
    assert (result["alive"], result["code"], result["reason"], result["rtt_ms"], result["server"]) == (False, None, None, None, None)
    return result["error"]["kind"]


# The request

def test_the_request_is_the_documented_one():
    transaction = Transaction("z9hG4bKb", "c", "t")
    assert build_request(transaction, "sip:sip.acme.example", "udp", ("198.18.0.5", 5090), "siptrunk", "pbx.example") == (
        b"OPTIONS sip:sip.acme.example SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 198.18.0.5:5090;rport;branch=z9hG4bKb\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:siptrunk@pbx.example>;tag=t\r\n"
        b"To: <sip:sip.acme.example>\r\n"
        b"Call-ID: c\r\n"
        b"CSeq: 1 OPTIONS\r\n"
        b"Contact: <sip:siptrunk@198.18.0.5:5090>\r\n"
        b"Accept: application/sdp\r\n"
        b"User-Agent: siptrunk.failover\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_ipv6_stands_in_brackets_and_the_transport_in_uris():
    lines = build_request(Transaction.new(), "sip:[::1]", "tls", ("fe80::1%lo", 5090), "me").decode().splitlines()
    assert lines[1].startswith("Via: SIP/2.0/TLS [fe80::1]:5090;rport;branch=z9hG4bK")
    assert lines[3].startswith("From: <sip:me@[fe80::1]>;tag=")
    assert lines[7] == "Contact: <sip:me@[fe80::1]:5090;transport=tls>"


def test_every_transaction_is_another():
    assert len({part for dummy in range(100) for part in Transaction.new()}) == 300


@pytest.mark.parametrize("target, arguments, first, from_", [
    ({}, {}, "OPTIONS sip:127.0.0.1:{port} SIP/2.0", "<sip:siptrunk@127.0.0.1>"),
    ({"domain": DOMAIN}, {}, "OPTIONS sip:sip.acme.example SIP/2.0", "<sip:siptrunk@127.0.0.1>"),
    ({}, {"from_user": "a b\r\n>", "from_domain": "pbx.example"}, "OPTIONS sip:127.0.0.1:{port} SIP/2.0", "<sip:a%20b%0D%0A%3E@pbx.example>"),
    ({}, {"local_address": "127.0.0.7"}, "OPTIONS sip:127.0.0.1:{port} SIP/2.0", "<sip:siptrunk@127.0.0.7>"),
])
def test_what_the_arguments_do_to_the_request(peer, target, arguments, first, from_):
    server = peer(once())
    assert ask(server, target=target, **arguments)["alive"]
    request = server.received[0][1]
    assert request.decode().splitlines()[0] == first.format(port=server.port)
    assert header(request, "From").startswith(f"{from_};tag=")


# What is alive

def test_alive_over_udp(peer):
    server = peer(once())
    result = ask(server, target={"name": "acme-east"})
    assert 0 < result.pop("rtt_ms") < 2000
    assert result == {
        "name": "acme-east", "host": "127.0.0.1", "address": "127.0.0.1", "port": server.port, "transport": "udp", "alive": True, "code": 200,
        "reason": "OK", "server": "Acme SBC 4.2", "retransmissions": 0, "certificate": None, "error": None,
    }


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_ipv6(peer, transport):
    result = ask(peer(once(), transport, "::1"))
    assert (result["alive"], result["address"]) == (True, "::1")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("code, alive_on, alive", [
    (200, "any", True), (299, "2xx", True), (404, "any", True), (503, "any", True), (603, "any", True), (300, "2xx", False), (404, "2xx", False),
])
def test_which_answer_is_alive(peer, transport, code, alive_on, alive):
    result = ask(peer(once(code=code, reason="So"), transport), alive_on=alive_on)
    assert (result["alive"], result["code"], result["reason"], result["server"]) == (alive, code, "So", "Acme SBC 4.2")
    assert result["rtt_ms"] is not None
    assert alive or result["error"]["kind"] == "code"
    assert (result["error"] is None) == alive


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_provisional_answer_is_none(peer, transport):
    server = peer(lambda request, number: [respond(request, 100, "Trying"), 0.3, respond(request, 404, "Not Found")], transport)
    result = ask(server)
    assert result["code"] == 404 and result["rtt_ms"] > 290
    assert dead(ask(peer(lambda request, number: [respond(request, 100, "Trying"), 9], transport), timeout=0.4)) == "timeout"


def test_the_user_agent_where_there_is_no_server(peer):
    assert ask(peer(once(headers="User-Agent: box\r\n")))["server"] == "box"
    assert ask(peer(once(headers="")))["server"] is None


def test_a_name_is_looked_up(peer):
    server = peer(once())
    result = ask(server, target={"host": "localhost"}, local_address="127.0.0.1")
    assert (result["alive"], result["host"], result["address"]) == (True, "localhost", "127.0.0.1")


def test_the_results_stand_in_the_order_of_the_targets(peer):
    servers = [peer(lambda request, number, wait=wait: [wait, respond(request)]) for wait in (0.3, 0.0, 0.15)]
    results = ping([{**server.target, "name": str(index)} for index, server in enumerate(servers)])
    assert [(result["name"], result["port"], result["alive"]) for result in results] == [
        (str(index), server.port, True) for index, server in enumerate(servers)]


# Retransmission: RFC 3261, section 17.1.2.2

def test_silence_is_asked_again_at_doubled_intervals(peer):
    server = peer(silent)
    began = time.monotonic()
    result = ask(server, timeout=4)
    assert 3.9 < time.monotonic() - began < 8
    assert dead(result) == "timeout"
    assert result["error"]["message"] == f"no answer from 127.0.0.1:{server.port} within 4 s"
    moments = [moment - server.received[0][0] for moment, dummy in server.received]
    assert moments == [pytest.approx(moment, abs=0.4) for moment in (0, 0.5, 1.5, 3.5)]
    assert len({request for dummy, request in server.received}) == 1
    assert result["retransmissions"] == 3


def test_intervals_end_at_t2_and_a_provisional_answer_goes_there_at_once(peer, monkeypatch):
    monkeypatch.setattr(options, "T1", 0.4)
    monkeypatch.setattr(options, "T2", 1.6)
    servers = [peer(silent), peer(lambda request, number: [respond(request, 100, "Trying")])]
    results = ping([server.target for server in servers], timeout=5.8)
    moments = [[moment - server.received[0][0] for moment, dummy in server.received] for server in servers]
    assert moments == [[pytest.approx(moment, abs=0.35) for moment in expected] for expected in ((0, 0.4, 1.2, 2.8, 4.4), (0, 0.4, 2, 3.6, 5.2))]
    assert [result["retransmissions"] for result in results] == [4, 4]


def test_a_lost_request_costs_one_retransmission(peer):
    server = peer(lambda request, number: [respond(request)] if number else [])
    result = ask(server)
    assert (result["alive"], result["retransmissions"], len(server.received)) == (True, 1, 2)
    assert result["rtt_ms"] > 490


# Who is not there

@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_refused_at_once(transport):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        if transport == "udp":
            unused.close()
        began = time.monotonic()
        (result,) = ping([{"host": "127.0.0.1", "port": port, "transport": transport}], timeout=10)
    assert time.monotonic() - began < 5
    assert dead(result) == "refused"
    assert result["error"]["message"] == f"127.0.0.1:{port}: Connection refused"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_no_way_there(transport):
    (result,) = ping([{"host": "255.255.255.255", "transport": transport}], timeout=10)
    assert dead(result) == "unreachable"


def test_no_connection_within_the_time():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as waiting:
            for dummy in range(3):  # until the queue is full and SYN is dropped
                sock = waiting.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            (result,) = ping([{"host": "127.0.0.1", "port": full.getsockname()[1], "transport": "tcp"}], timeout=0.5)
    assert dead(result) == "timeout" and result["error"]["message"].startswith("no connection from 127.0.0.1:")


def test_an_address_of_the_other_family():
    (result,) = ping([{"host": "::1"}], local_address="127.0.0.1")
    assert dead(result) == "unreachable"


@pytest.mark.parametrize("target, message", [
    ({"host": "no.such.host.invalid"}, "no.such.host.invalid has no address: "),
    ({"host": "bad..example"}, "host: 'bad..example' is not a domain name"),
    ({"host": "a\r\nX: y"}, "host: 'a\\r\\nX: y' "),
    ({"host": "127.0.0.1:5060"}, "host: '127.0.0.1:5060' should be without a port"),
    ({"host": "127.0.0.1", "domain": "b>c"}, "domain: 'b>c' is not a domain name"),
    ({"host": "\0"}, "host: "),
])
def test_bad_names(target, message):
    (result,) = ping([target])
    assert dead(result) == "bad_name"
    assert result["error"]["message"].startswith(message)


def test_a_silent_name_server_holds_nobody_up_for_longer_than_the_time(peer, monkeypatch):
    real, ended = socket.getaddrinfo, threading.Event()
    asked = []

    def hang(name, *arguments, **more):
        if name != "silent.example":
            return real(name, *arguments, **more)
        asked.append(name)
        ended.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    results = ping([{"host": "silent.example"}, {"host": "silent.example", "port": 5070}, peer(once()).target], timeout=0.5)
    took = time.monotonic() - began
    ended.set()
    assert took < 3
    assert [result["error"] and result["error"]["kind"] for result in results] == ["timeout", "timeout", None]
    assert results[0]["error"]["message"] == "no address of silent.example within 0.5 s"
    assert asked == ["silent.example"]


# What is not the answer is ignored, and the answer behind it still counts

STRAYS = {
    "another branch": lambda request: respond(request, 500, "No", Via="SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bKother"),
    "another Call-ID": lambda request: respond(request, 500, "No", Call_ID="other"),
    "a longer Call-ID": lambda request: respond(request, 500, "No", Call_ID=header(request, "Call-ID") + "x"),
    "another method": lambda request: respond(request, 500, "No", CSeq="1 INVITE"),
    "another number": lambda request: respond(request, 500, "No", CSeq="2 OPTIONS"),
    "another tag": lambda request: respond(request, 500, "No", From="<sip:siptrunk@127.0.0.1>;tag=other"),
    "no Via": lambda request: respond(request, 500, "No", Via=None),
    "no CSeq": lambda request: respond(request, 500, "No", CSeq=None),
    "another version": lambda request: respond(request, 500, "No").replace(b"SIP/2.0 500", b"SIP/7.0 500"),
    "a code of 7xx": lambda request: respond(request, 700, "No"),
    "an enormous code": lambda request: respond(request, 4294967301, "No"),
    "the request": lambda request: request,
    "a request of its own": lambda request: request.replace(b"OPTIONS sip", b"INVITE sip"),
}
BROKEN = {  # of a datagram
    "cut in the headers": lambda request: respond(request, 500, "No")[:-20],
    "cut in the body": lambda request: respond(request, 500, "No", length="10", body="123456789"),
    "negative length": lambda request: respond(request, 500, "No", length="-999"),
    "absurd length": lambda request: respond(request, 500, "No", length="9" * 40),
    "two lengths": lambda request: respond(request, 500, "No", headers="l: 1\r\n", body="x"),
    "garbage": lambda request: bytes(range(256)) * 40,
    "NULs": lambda request: b"\0" * 60000,
    "nothing": lambda request: b"",
    "line ends": lambda request: b"\r\n\r\n",
}


@pytest.mark.parametrize("stray", [*STRAYS.values(), *BROKEN.values()], ids=[*STRAYS, *BROKEN])
def test_a_datagram_that_is_not_the_answer(peer, stray):
    result = ask(peer(lambda request, number: [stray(request), 0.02, respond(request)]))
    assert (result["alive"], result["code"], result["retransmissions"]) == (True, 200, 0)
    alone = ask(peer(lambda request, number: [stray(request)]), timeout=0.2)
    assert dead(alone) == "timeout"
    assert alone["error"]["message"].startswith("no answer (but 1 datagrams that answer nothing) from 127.0.0.1:")


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
def test_a_message_of_a_stream_that_is_not_the_answer(peer, stray):
    assert ask(peer(lambda request, number: [stray(request) + respond(request)], "tcp"))["code"] == 200
    assert dead(ask(peer(lambda request, number: [stray(request), 9], "tcp"), timeout=0.2)) == "timeout"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_an_answer_from_another_address_or_port_is_ignored(peer, address):
    def answer(request, number):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((address, 0))
            other.sendto(respond(request), ("127.0.0.1", int(re.search(r"127\.0\.0\.1:(\d+)", header(request, "Via"))[1])))
        yield 0.2
        yield respond(request, 404, "Not Found")

    assert ask(peer(answer))["code"] == 404


def test_a_flood_of_datagrams_ends(peer):
    def flood(request, number):
        for dummy in range(200):
            yield from [b"x"] * 20
            yield 0.001

    result = ask(peer(flood), timeout=20)
    assert dead(result) == "protocol"
    assert result["error"]["message"] == "more than 1000 datagrams that answer nothing"


# Streams: RFC 3261, section 18.3

def test_over_tcp_once_and_with_a_body(peer):
    server = peer(once(length="5", body="v=0\r\n"), "tcp")
    result = ask(server)
    assert (result["alive"], result["transport"], result["retransmissions"], len(server.received)) == (True, "tcp", 0, 1)
    lines = server.received[0][1].decode().splitlines()
    assert lines[0] == f"OPTIONS sip:127.0.0.1:{server.port};transport=tcp SIP/2.0"
    assert lines[1].startswith("Via: SIP/2.0/TCP 127.0.0.1:")


def test_a_byte_at_a_time(peer):
    def slowly(pause):
        def answer(request, number):
            for byte in respond(request, length="3", body="abc"):
                yield bytes([byte])
                yield pause
        return answer

    assert ask(peer(slowly(0.0005), "tcp"))["code"] == 200
    began = time.monotonic()
    assert dead(ask(peer(slowly(0.1), "tcp"), timeout=0.7)) == "timeout"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("answer, kind, message", [
    (lambda request: b"", "closed", "closed the connection without a complete answer"),
    (lambda request: respond(request)[:-5], "closed", "closed the connection without a complete answer"),
    (lambda request: respond(request, length="4", body="abc"), "closed", "closed the connection without a complete answer"),
    (lambda request: respond(request, length="-1"), "protocol", "sent a Content-Length of '-1'"),
    (lambda request: respond(request, length="0x10"), "protocol", "sent a Content-Length of '0x10'"),
    (lambda request: respond(request, length="9" * 40), "protocol", f"sent a Content-Length of '{'9' * 40}'"),
    (lambda request: respond(request, length="65530"), "protocol", "sent a message of more than 65536 bytes"),
    (lambda request: respond(request, headers="l: 1\r\n"), "protocol", "sent a Content-Length of '0 and 1'"),
    (lambda request: b"\0" * 65537, "protocol", "sent a message of more than 65536 bytes"),
    (lambda request: b"X: y\r\n" * 12000, "protocol", "sent a message of more than 65536 bytes"),
    (lambda request: b"\r\n" * 600000, "protocol", "sent 1048576 bytes that answer nothing"),
    (lambda request: respond(request, 100, "Trying") * 6000, "protocol", "sent 1048576 bytes that answer nothing"),
])
def test_a_stream_that_goes_wrong(peer, answer, kind, message):
    server = peer(lambda request, number: [answer(request)], "tcp")
    result = ask(server)
    assert dead(result) == kind
    assert result["error"]["message"] == f"127.0.0.1:{server.port} {message}"


def test_a_reset(peer):
    server = peer(silent, "tcp")
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert dead(ask(server)) == "closed"


@given(st.lists(st.binary(max_size=60), max_size=5), st.data())
def test_a_stream_is_cut_where_its_messages_end(bodies, data):
    messages = [b"SIP/2.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies]
    stream, taken, rest = b"".join(messages), [], b""
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        rest, stream = rest + stream[:size], stream[size:]
        while take_message(rest):
            message, rest = take_message(rest)
            taken.append(message)
    assert (taken, rest) == (messages, b"")


def test_without_a_length_a_message_ends_with_its_headers():
    assert take_message(b"\r\n\r\nA\r\n\r\nB") == (b"A\r\n\r\n", b"B")
    assert take_message(b"A\r\n") is None


# Responses: RFC 4475 and worse

VIA, FROM = "SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe", "<sip:user@example.com>;tag=839923423"
PLAIN = f"SIP/2.0 200 OK\r\nVia: {VIA}\r\nFrom: {FROM}\r\nCall-ID: c@d\r\nCSeq: 35 INVITE\r\nContent-Length: 0\r\n\r\n".encode()


def test_a_plain_response():
    assert parse_response(PLAIN) == (200, "OK", "z9hG4bK2398ndaoe", "c@d", 35, "INVITE", "839923423", None)


def test_folded_compact_and_oddly_spaced():
    # In the manner of wsinv, RFC 4475, section 3.1.1.1
    response = parse_response(
        b"\r\nsip/2.0 200 OK\r\nTO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
        b"f   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com;tag=wrong>\r\n  ;\r\n  tag = 98asjd8\r\n"
        b"i: wsinv.ndaksdj@192.0.2.1\r\ncseq: 0009\r\n  OPTIONS\r\nv  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw ,SIP/2.0/TCP a;branch=b\r\n"
        b"Via: SIP/2.0/TLS 192.0.2.3;branch=last\r\ns :\r\nNewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
        b"UnknownHeaderWithUnusualValue: ;;,,;;,;\r\nL   : 0003\r\nSERVER:\r\n\tfolded\r\n\tbox\r\nno colon\r\n\r\nabc")
    assert response == (200, "OK", "390skdjuw", "wsinv.ndaksdj@192.0.2.1", 9, "OPTIONS", "98asjd8", "folded box")


def test_a_from_without_brackets():
    assert parse_response(PLAIN.replace(FROM.encode(), b"sip:user@example.com;tag=1")).from_tag == "1"


@pytest.mark.parametrize("line, code, reason", [
    # RFC 4475, sections 3.1.1.12 and 3.1.1.13
    ("SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e \u0434\u0435\u0432\u044f\u043d\u043e\u0441\u0442\u043e "
     "\u0434\u0435\u0432\u044f\u0442\u044c - \u043f\u0440\u043e\u0441\u0442\u043e\u0435", 200,
     "= 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e \u0434\u0435\u0432\u044f\u043d\u043e\u0441\u0442\u043e "
     "\u0434\u0435\u0432\u044f\u0442\u044c - \u043f\u0440\u043e\u0441\u0442\u043e\u0435"),
    ("SIP/2.0 100 ", 100, ""),
    ("SIP/2.0 100", 100, ""),
    ("SIP/2.0 404 Not: Found; <really>, \"so\"", 404, "Not: Found; <really>, \"so\""),
    ("SIP/2.0 200 a\x00b\x1b[31mc\u202ed", 200, "a\ufffdb\ufffd[31mc\ufffdd"),
    ("SIP/2.0 200 " + "x" * 60000, 200, "x" * 199 + "\u2026"),
])
def test_unusual_status_lines(line, code, reason):
    response = parse_response(line.encode() + PLAIN[len("SIP/2.0 200 OK"):])
    assert (response.code, response.reason) == (code, reason)


@pytest.mark.parametrize("line", [
    "SIP/7.0 200 OK", "SIP/2.0 4294967301 better not break the receiver", "SIP/2.0 099 x", "SIP/2.0 -200 x", "SIP/2.0 20 OK", "SIP/2.0200 OK",
    "HTTP/1.1 200 OK", "SIP/2.0 2000", "", "200 OK", "SIP/2.0 \u0662\u0660\u0660 OK", "OPTIONS sip:user@example.com SIP/2.0",
])
def test_no_status_lines(line):
    assert parse_response(line.encode() + PLAIN[len("SIP/2.0 200 OK"):]) is None


@pytest.mark.parametrize("old, new", [
    ("CSeq: 35 INVITE", "CSeq: 9292394834772304023312 OPTIONS"),  # scalarlg, RFC 4475, section 3.1.2.5
    ("CSeq: 35 INVITE", "CSeq: -1 OPTIONS"),
    ("CSeq: 35 INVITE", "CSeq: 35INVITE"),
    ("CSeq: 35 INVITE", "CSeq: \u0663 INVITE"),
    ("Content-Length: 0", "Content-Length: 9999"),  # clerr, section 3.1.2.2
    ("Content-Length: 0", "Content-Length: -999"),  # ncl, section 3.1.2.3
    ("Content-Length: 0", "Content-Length: 0\r\nl: 1"),
    ("Content-Length: 0", "Content-Length: " + "0" * 5000),
    ("Content-Length: 0", "Content-Length: \u0660"),
    (FROM, "<sip:user@example.com>"),
    (FROM, "\"Mr. J. User <sip:j.user@example.com>"),  # quotbal, section 3.1.2.6
    (VIA, "SIP/2.0/UDP 192.0.2.105;branch"),
    (VIA, ""),
    ("Call-ID: c@d", "Call-ID:"),
    ("\r\n\r\n", "\r\n"),
])
def test_broken_responses(old, new):
    assert PLAIN.decode().count(old) == 1
    assert parse_response(PLAIN.replace(old.encode(), new.encode())) is None


@given(st.binary() | st.lists(st.sampled_from(
    [b"SIP/2.0 ", b"200", b" OK", b"\r\n", b" ", b"\t", b"Via", b":", b";", b"branch=", b"tag=", b"From: <", b">", b",", b'"', b"\\", b"CSeq: 1 OPTIONS", b"l:",
     b"9999999999", b"-1", b"\0", b"\xff", b"\xe2\x80\xae", b"Call-ID: x"])).map(b"".join))
def test_any_bytes_are_a_response_or_none(data):
    response = parse_response(data)
    assert response is None or 100 <= response.code <= 699
    with contextlib.suppress(ValueError):
        assert take_message(data) is None or sum(map(len, take_message(data))) <= len(data)


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 20), st.binary(max_size=20))
def test_any_change_of_a_response_is_a_response_or_none(at, cut, put):
    response = parse_response(PLAIN[:at] + put + PLAIN[at + cut:])
    assert response is None or isinstance(response.code, int)


@pytest.mark.parametrize("hostile", [
    b'f: "' + b'\\"' * 32000, b"v: " + b";" * 64000, b"a" * 65000, b":" * 65000, b"\r\n " * 21000,
    b"f: " + b">" * 64000, b"CSeq: " + b"1 " * 32000, b"x:\r\n" * 16000, b"l: " + b"9" * 60000, b"server: " + b"\0" * 60000,
])
def test_the_parser_takes_no_long_time(hostile):
    data = PLAIN.replace(b"Via", hostile + b"\r\nVia")
    began = time.monotonic()
    for dummy in range(3):
        parse_response(data)
    assert time.monotonic() - began < 3


@given(st.text(max_size=400))
def test_a_clean_text_is_short_and_printable(text):
    assert len(clean(text)) <= 200
    assert clean(text).isprintable()


# TLS

@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    certificates.make(folder, [DOMAIN, "127.0.0.1"])
    return folder


@pytest.fixture
def tls(peer, pairs):
    """tls(pair, answer=...): a running Peer that shows that certificate."""
    def start(pair, answer=once(), **more):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pairs / f"{pair}.pem", pairs / f"{pair}.key")
        for option, value in more.items():
            setattr(context, option, value)
        return peer(answer, "tls", context=context)

    return start


def shown(pairs, pair):
    """What is to be reported of a certificate, read by another library."""
    certificate = x509.load_pem_x509_certificate((pairs / f"{pair}.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        "subject": certificate.subject.rfc4514_string(), "issuer": certificate.issuer.rfc4514_string(),
        "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}", "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "expires_in_days": pytest.approx((certificate.not_valid_after_utc - datetime.now(timezone.utc)) / timedelta(days=1), abs=0.02),
        "names": [str(name.value) for name in names],
    }


@pytest.mark.parametrize("domain", [DOMAIN, None])
def test_a_good_certificate(tls, pairs, domain):
    server = tls("good")
    result = ask(server, target={"domain": domain}, ca_file=str(pairs / "ca.pem"))
    assert (result["alive"], result["code"], result["error"]) == (True, 200, None)
    assert result["certificate"] == {**shown(pairs, "good"), "verified": True}
    lines = server.received[0][1].decode().splitlines()
    assert lines[0] == f"OPTIONS sip:{domain or f'127.0.0.1:{server.port}'};transport=tls SIP/2.0"
    assert lines[1].startswith("Via: SIP/2.0/TLS 127.0.0.1:")


@pytest.mark.parametrize("pair, domain, words", [
    ("expired", DOMAIN, "certificate has expired"),
    ("wrong", DOMAIN, f"Hostname mismatch, certificate is not valid for '{DOMAIN}'."),
    ("wrong", None, "IP address mismatch, certificate is not valid for '127.0.0.1'."),
    ("good", "other.example", "Hostname mismatch, certificate is not valid for 'other.example'."),
    ("stranger", DOMAIN, "unable to get local issuer certificate"),
])
def test_a_bad_certificate_is_told_and_nothing_is_sent(tls, pairs, pair, domain, words):
    server = tls(pair)
    result = ask(server, target={"domain": domain}, ca_file=str(pairs / "ca.pem"))
    assert dead(result) == "tls_verification"
    assert result["error"]["message"] == f"the certificate of 127.0.0.1:{server.port}: {words}"
    assert result["certificate"] == {**shown(pairs, pair), "verified": False}
    server.close()
    # TLS 1.3: the server is done before the client says no, so it may have seen an alert or a connection without a word.
    assert [request for dummy, request in server.received if request] == []
    assert len(server.received) + len(server.failures) >= 1


@pytest.mark.parametrize("shown_name, wanted, wildcard, proved", [
    ("sip.acme.example", "sip.acme.example", False, True),
    ("acme.example", "sip.acme.example", True, False),
    ("*.acme.example", "sip.acme.example", False, False),  # RFC 5922 section 7.2
    ("*.acme.example", "sip.acme.example", True, True),
    ("*.acme.example", "acme.example", True, False),
    ("*.acme.example", "a.sip.acme.example", True, False),
    ("*.example", "acme.example", True, True),
    ("s*.acme.example", "sip.acme.example", True, False),
    ("*", "example", True, False),
    ("198.18.1.10", "198.18.1.10", False, True),
    ("2001:DB8:0:0:0:0:0:1", "2001:db8::1", False, True),
    ("198.18.1.11", "198.18.1.10", True, False),
    ("*.18.1.10", "198.18.1.10", True, False),
])
def test_what_a_name_proves(shown_name, wanted, wildcard, proved):
    assert bool(options.proves(shown_name.lower(), wanted, wildcard)) is proved


@pytest.mark.parametrize("names", [["gw9.acme.example", DOMAIN], [DOMAIN.upper()]])
def test_a_name_that_is_listed_proves_the_target_too(tls, pairs, names):
    server = tls("good")
    assert ask(server, target={"domain": "other.example", "names": names}, ca_file=str(pairs / "ca.pem"))["alive"]
    result = ask(server, target={"domain": "other.example", "names": ["gw9.acme.example"]}, ca_file=str(pairs / "ca.pem"))
    assert result["error"]["message"].endswith("certificate is not valid for 'other.example' or 'gw9.acme.example'.")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls(tls, pairs, version):
    server = tls("good", minimum_version=version, maximum_version=version)
    assert ask(server, ca_file=str(pairs / "ca.pem"))["alive"]
    assert dead(ask(server)) == "tls_verification"


def test_a_self_signed_certificate_is_not_known_by_default_and_is_if_it_is_the_ca(peer, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "own.pem").write_bytes(own_certificate(key).public_bytes(serialization.Encoding.PEM))
    (tmp_path / "own.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    server = peer(once(), "tls", context=context)
    unknown = ask(server)
    assert dead(unknown) == "tls_verification" and "self" in unknown["error"]["message"] and "signed certificate" in unknown["error"]["message"]
    assert ask(server, ca_file=str(tmp_path / "own.pem"))["alive"]


def test_without_verification(tls, pairs):
    result = ask(tls("expired"), verify=False)
    assert result["alive"]
    assert result["certificate"] == {**shown(pairs, "expired"), "verified": False}


def test_a_folder_of_ca_certificates(tls, pairs, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pairs / "ca.pem")
    server = tls("good")
    assert dead(ask(server, ca_path=str(tmp_path))) == "tls_verification"
    assert ask(server, ca_path=str(tmp_path), ca_file=str(pairs / "ca.pem"))["alive"]


def test_the_verdict_stands_when_there_is_no_time_to_read_the_certificate(pairs, peer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pairs / "expired.pem", pairs / "expired.key")
    server = peer(once(), "tls", context=context)
    shake = context.wrap_socket

    class Slow:
        """Silent from the second connection on."""
        times = 0

        def wrap_socket(self, *arguments, **more):
            self.times += 1
            if self.times > 1:
                server.ended.wait(5)
            return shake(*arguments, **more)

    server.context = Slow()
    result = ask(server, target={"domain": DOMAIN}, ca_file=str(pairs / "ca.pem"), timeout=0.7)
    assert (dead(result), result["certificate"]) == ("tls_verification", None)


@pytest.mark.parametrize("answer, kind", [
    (lambda request, number: [9], "timeout"),
    (lambda request, number: [], "closed"),
    (lambda request, number: [respond(request)[:-3]], "closed"),
    (lambda request, number: [b"\0" * 70000], "protocol"),
])
def test_bad_answers_within_tls(tls, answer, kind):
    result = ask(tls("good", answer), verify=False, timeout=0.6)
    assert dead(result) == kind
    assert result["certificate"] is not None


@pytest.mark.parametrize("answer, kind", [
    (b"SIP/2.0 400 Bad Request\r\n\r\n", "tls"), (b"\x15\x03\x03\x00\x02\x02\x28", "tls"), (b"\x16\x03\x03", "closed"), (b"", "closed"), (None, "timeout"),
])
def test_who_speaks_no_tls(peer, answer, kind):
    class Plain:
        @staticmethod
        def wrap_socket(connection, server_side):
            connection.recv(65536)
            if answer is None:
                time.sleep(0.8)
            connection.sendall(answer or b"")
            raise OSError

    assert dead(ask(peer(silent, "tls", context=Plain), timeout=0.5)) == kind


def test_who_asks_for_a_certificate_of_ours(tls):
    result = ask(tls("good", verify_mode=ssl.CERT_REQUIRED), verify=False)
    assert dead(result) in ("tls", "closed")


# Certificates

def own_certificate(key, begins=datetime(2020, 1, 1, tzinfo=timezone.utc), ends=datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc), names=()):
    subject = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "M\u00fcller"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.example"), x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1"),
    ])
    draft = x509.CertificateBuilder(subject, subject, key.public_key(), 2**150 + 1, begins, ends)
    draft = draft.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), *names]), critical=False)
    return draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())


KEY = ec.generate_private_key(ec.SECP256R1())
DER = own_certificate(KEY).public_bytes(serialization.Encoding.DER)


def test_what_a_certificate_says():
    names = [x509.DNSName("*.acme.example"), x509.UniformResourceIdentifier("sip:acme.example"), x509.IPAddress(ip_address("2001:db8::1")),
             x509.RFC822Name("a@b.example"), x509.DirectoryName(x509.Name([]))]
    der = own_certificate(KEY, ends=datetime(2050, 1, 1, tzinfo=timezone.utc), names=names).public_bytes(serialization.Encoding.DER)
    assert parse_certificate(der, datetime(2049, 12, 30, 6, tzinfo=timezone.utc)) == {
        "subject": "C=DE, O=M\u00fcller, CN=127.0.0.1", "issuer": "C=DE, O=M\u00fcller, CN=127.0.0.1",
        "not_before": "2020-01-01T00:00:00Z", "not_after": "2050-01-01T00:00:00Z", "expires_in_days": 1.75,
        "names": ["127.0.0.1", "*.acme.example", "sip:acme.example", "2001:db8::1", "a@b.example"],
    }


@pytest.mark.parametrize("begins, ends", [
    (datetime(1951, 2, 3, 4, 5, 6), datetime(2049, 12, 31, 23, 59, 59)), (datetime(2000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)),
])
def test_the_ends_of_its_times(begins, ends):
    moments = [moment.replace(tzinfo=timezone.utc) for moment in (begins, ends)]
    said = parse_certificate(own_certificate(KEY, *moments).public_bytes(serialization.Encoding.DER))
    assert (said["not_before"], said["not_after"]) == (f"{begins.isoformat()}Z", f"{ends.isoformat()}Z")
    assert said["expires_in_days"] > 0


def test_a_certificate_without_names_and_one_with_very_many():
    plain = x509.CertificateBuilder(x509.Name([]), x509.Name([]), KEY.public_key(), 1, datetime(2020, 1, 1), datetime(2030, 1, 1))
    said = parse_certificate(plain.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    assert (said["subject"], said["names"]) == ("", [])
    many = own_certificate(KEY, names=[x509.DNSName(f"{number}.example") for number in range(500)])
    assert len(parse_certificate(many.public_bytes(serialization.Encoding.DER))["names"]) == 100


@given(st.binary(max_size=100) | st.tuples(st.integers(0, len(DER) - 1), st.binary(min_size=1, max_size=4)).map(
    lambda change: DER[:change[0]] + change[1] + DER[change[0] + len(change[1]):]) | st.integers(0, len(DER)).map(lambda size: DER[:size]))
@settings(max_examples=500)
def test_any_bytes_are_a_certificate_or_a_value_error(der):
    with contextlib.suppress(ValueError):
        assert set(parse_certificate(der)) == {"subject", "issuer", "not_before", "not_after", "expires_in_days", "names"}


# Many, and arguments

def test_no_targets():
    assert ping([]) == []


def test_many_slow_and_silent_ones_take_the_time_of_one(peer):
    def script(request, number):
        return [0.4, respond(request)]

    slow, mute, stream = peer(script), peer(silent), peer(script, "tcp")
    began = time.monotonic()
    results = ping([slow.target, mute.target, stream.target] * 60, timeout=3, concurrency=1)
    assert time.monotonic() - began < 6
    assert [result["alive"] for result in results] == [True, False, True] * 60


@pytest.mark.parametrize("concurrency, least, most", [(2, 1.9, 9), (8, 0.5, 1.8)])
def test_concurrency_bounds_tls_and_the_time_runs_from_each_ones_turn(tls, concurrency, least, most):
    server = tls("good", lambda request, number: [0.5, respond(request)])
    began = time.monotonic()
    results = ping([server.target] * 8, timeout=1.5, verify=False, concurrency=concurrency)
    assert least < time.monotonic() - began < most
    assert [result["alive"] for result in results] == [True] * 8


def test_a_peer_that_sends_fast_leaves_the_loop_to_others():
    async def receive():
        ours.setblocking(False)
        theirs.sendall(b"x" * 1000)
        asyncio.get_running_loop().call_soon(turns.append, "another's")
        assert await options.Stream(ours).receive() == b"x" * 1000
        assert turns == ["another's"]

    turns = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asyncio.run(receive())


def test_every_socket_is_closed(peer, tls, pairs):
    scripts = (once(), lambda request, number: [9], lambda request, number: [b"\0" * 60000])
    servers = [peer(script, transport) for script in scripts for transport in ("udp", "tcp")] + [tls("good", script) for script in scripts]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        ping([server.target for server in servers], timeout=1, verify=False)
        ping([tls("expired").target, {"host": "127.0.0.1", "port": 9, "transport": "tcp"}], timeout=1)
    assert [str(warning.message) for warning in warned] == []


def test_more_targets_than_files_may_be_open(peer):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = peer(once())
    # Raised as far as allowed; where it is not, one after the other.
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        results = ping([server.target] * 150, timeout=5)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (150 + options.SPARE_FILES, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {result["alive"] for result in results} == {True}


def test_where_the_limit_of_open_files_cannot_be_raised(peer, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (options.SPARE_FILES + 2,) * 2)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: None)  # else the tests that follow have as few
    server = peer(lambda request, number: [0.1, respond(request)])
    began = time.monotonic()
    assert {result["alive"] for result in ping([server.target] * 6, timeout=5)} == {True}
    assert time.monotonic() - began > 0.29


def test_files_run_out(peer, monkeypatch):
    def none_left(*arguments):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(options.Probe, "_socket", none_left)
    (result,) = ping([{"host": "127.0.0.1"}])
    assert dead(result) == "local" and result["error"]["message"] == "127.0.0.1:5060: Too many open files"


@pytest.mark.parametrize("target, arguments, message", [
    ({}, {"timeout": 0}, "timeout is 0, expected a number above 0"),
    ({}, {"timeout": float("nan")}, "timeout is nan"),
    ({}, {"concurrency": 0}, "concurrency is 0"),
    ({}, {"alive_on": "3xx"}, "alive_on is '3xx'"),
    ({}, {"from_user": ""}, "from_user must not be empty"),
    ({}, {"from_domain": "a b"}, "from_domain: 'a b' is not a domain name"),
    ({}, {"local_address": "192.0.2.77"}, "local_address 192.0.2.77: "),
    ({}, {"local_address": "localhost"}, "local_address localhost: "),
    ({"port": 0}, {}, "targets[0].port is 0"),
    ({"port": 65536}, {}, "targets[0].port is 65536"),
    ({"transport": "ws"}, {}, "targets[0].transport is 'ws'"),
    ({"transport": "tls"}, {"ca_file": "/nonexistent/ca.pem"}, "no CA certificates in /nonexistent/ca.pem: "),
    ({"transport": "tls"}, {"ca_path": "/nonexistent"}, "no CA certificates in /nonexistent: "),
])
def test_bad_arguments(target, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ping([{"host": "127.0.0.1", **target}], **arguments)
