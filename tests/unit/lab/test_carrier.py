# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lab/carrier.py as a process of its own, told by control.json and driven over sockets on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time

import carrier as program
import certificates
import phone as phone_program
import pytest
from harness import Carrier, wait_until

COUNT = itertools.count(1)


class Phone:
    """A socket that sends requests and takes what comes back."""

    def __init__(self, transport: str, port: int, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None) -> None:
        self.transport, self.port, self.buffer = transport, port, b""
        if transport != "udp":
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=3)
            if transport == "tls":
                self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1", session=session)
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(("127.0.0.1", 0))
            self.socket.connect(("127.0.0.1", port))

    def send(self, method: str, call: str, number: int = 1, branch: str = "", tag: str = "", extra: tuple[str, ...] = ()) -> None:
        address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        lines = [
            f"{method} sip:12125550100@127.0.0.1:{self.port} SIP/2.0",
            f"Via: SIP/2.0/{self.transport.upper()} {address};branch=z9hG4bK{branch or call};rport",
            "f: <sip:1000@127.0.0.1>;tag=caller",
            "To: <sip:12125550100@127.0.0.1>" + (f";tag={tag}" if tag else ""),
            f"i: {call}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:1000@{address}>",
            *extra,
            "Content-Length: 0",
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def take(self, within: float = 2.0) -> program.Message | None:
        """The next message; None when nothing comes."""
        self.socket.settimeout(within)
        try:
            if self.transport == "udp":
                return program.Message(self.socket.recv(65535).decode())
            while not (found := re.search(rb"\r\nContent-Length: (\d+)\r\n\r\n", self.buffer)):
                data = self.socket.recv(65535)
                if not data:
                    return None
                self.buffer += data
            end = found.end() + int(found.group(1))
            message, self.buffer = self.buffer[:end], self.buffer[end:]
            return program.Message(message.decode())
        except (socket.timeout, ConnectionError):
            return None

    def codes(self, count: int, within: float = 2.0) -> list[int | None]:
        return [message.code for message in (self.take(within) for _attempt in range(count)) if message]

    def nothing(self, within: float = 0.3) -> bool:
        return within == 0 or self.take(within) is None


def was_reset(stream: socket.socket) -> bool:
    """Whether the carrier resets the connection, soon; seen below ssl, which makes an end of file of it."""
    with socket.socket(fileno=os.dup(stream.fileno())) as raw:
        raw.settimeout(1.0)
        try:
            while raw.recv(65535):
                pass
        except ConnectionResetError:
            return True
        except socket.timeout:
            pass
        return False


class Lab:
    def __init__(self, port: int, tls_port: int, folder) -> None:
        self.port, self.tls_port, self.folder, self.phones = port, tls_port, folder, []

    def trusting(self, check: bool = True) -> ssl.SSLContext:
        """What a peer trusts: the lab's CA, or anything."""
        context = ssl.create_default_context(cafile=self.folder / "pairs" / "ca.pem")
        if not check:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def tell(self, **control) -> None:
        Carrier(self.folder).tell(**control)

    def phone(self, transport: str = "udp", context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None) -> Phone:
        tls = transport == "tls"
        self.phones.append(Phone(transport, self.tls_port if tls else self.port, context or (self.trusting() if tls else None), session))
        return self.phones[-1]

    def wire(self, call: str) -> list[dict]:
        lines = (self.folder / "wire.jsonl").read_text(encoding="utf-8").splitlines()
        return [line for line in map(json.loads, lines) if line["call_id"] == call]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carrier")
    certificates.make(folder / "pairs", ["127.0.0.1", "carrier.example"])
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        port, tls_port = one.getsockname()[1], two.getsockname()[1]
    command = [sys.executable, program.__file__, "--address", "127.0.0.1", "--port", str(port), "--state-dir", str(folder)]
    command += ["--tls-port", str(tls_port), "--certificates", str(folder / "pairs")]
    process = subprocess.Popen(command, stderr=(folder / "stderr").open("w"))
    lab = Lab(port, tls_port, folder)
    wait_until(Carrier(folder).runs, 10, "the carrier", 0.02)
    yield lab
    alive = process.poll() is None
    process.terminate()
    process.wait(5)
    assert alive, "the carrier died"
    assert "Traceback" not in (folder / "stderr").read_text(encoding="utf-8")


@pytest.fixture
def lab(running):
    running.tell()
    yield running
    while running.phones:
        running.phones.pop().socket.close()


@pytest.fixture
def call():
    return f"call-{next(COUNT)}"


def acked(phone: Phone, call: str, final: program.Message) -> None:
    branch = call if final.code >= 300 else f"{call}-ack"
    phone.send("ACK", call, branch=branch, tag=final.to_tag)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_call_from_beginning_to_end(lab, call, transport):
    lab.tell(invite={"do": "answer", "ring": 0.1})
    phone = lab.phone(transport)
    phone.send("INVITE", call, extra=("Record-Route: <sip:one;lr>", "Record-Route: <sip:two;lr>"))
    began = time.monotonic()
    trying, ringing, answer = phone.take(), phone.take(), phone.take()

    assert [m.code for m in (trying, ringing, answer)] == [100, 180, 200]
    assert time.monotonic() - began >= 0.09
    assert not trying.to_tag and ringing.to_tag == answer.to_tag != ""
    assert answer.all("record-route") == ["<sip:one;lr>", "<sip:two;lr>"]
    assert "m=audio" in answer.body and not ringing.body
    assert answer.get("contact") == f"<sip:127.0.0.1:{phone.port}{'' if transport == 'udp' else f';transport={transport}'}>"
    port = phone.socket.getsockname()[1]
    assert f"rport={port}" in answer.get("via") and "received=127.0.0.1" in answer.get("via")
    acked(phone, call, answer)
    phone.send("INVITE", call, number=2, branch=f"{call}-again", tag=answer.to_tag)
    again = phone.take()
    assert again.code == 200 and "m=audio" in again.body
    phone.send("ACK", call, number=2, branch=f"{call}-again-ack", tag=answer.to_tag)
    phone.send("BYE", call, number=3, branch=f"{call}-bye", tag=answer.to_tag)
    assert phone.codes(1) == [200]
    assert phone.nothing(0.6), "the ACKs were understood"

    wire = lab.wire(call)
    assert [(line["dir"], line["method"], line["code"]) for line in wire] == [
        ("rx", "INVITE", None), ("tx", "INVITE", 100), ("tx", "INVITE", 180), ("tx", "INVITE", 200), ("rx", "ACK", None),
        ("rx", "INVITE", None), ("tx", "INVITE", 200), ("rx", "ACK", None), ("rx", "BYE", None), ("tx", "BYE", 200),
    ]  # fmt: skip
    first = wire[0]
    assert (first["user"], first["host"], first["from_user"]) == ("12125550100", f"127.0.0.1:{phone.port}", "1000")
    assert (first["transport"], first["peer"], first["cseq"], first["retrans"]) == (transport, f"127.0.0.1:{port}", 1, False)
    assert first["headers"]["contact"] == f"<sip:1000@127.0.0.1:{port}>"
    assert abs(first["t"] - time.time()) < 10


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        ({"do": "ring"}, [100, 180]),
        ({"do": "trying"}, [100]),
        ({"do": "trying_then_answer", "after": 0.1, "ring": 0.1}, [100, 180, 200]),
        ({"do": "code", "code": 503}, [100, 503]),
        ({"do": "no_trying_code", "code": 404}, [404]),
        ({"do": "ring_then_code", "code": 486, "after": 0.1}, [100, 180, 486]),
        ({"do": "progress_then_code", "code": 503, "after": 0.1}, [100, 183, 503]),
        ({"do": "progress_then_answer", "after": 0.1}, [100, 183, 200]),
        ({"do": "silent"}, []),
        ({"do": "late_answer", "after": 0.2}, [200]),
        ({"do": "late_ring", "after": 0.2}, [180]),
        ({"do": "nonsense"}, [500]),
    ],
    ids=lambda value: value["do"] if isinstance(value, dict) else "",
)
def test_behaviours(lab, call, told, codes):
    lab.tell(invite=told)
    phone = lab.phone()
    phone.send("INVITE", call)

    messages = [phone.take() for _code in codes]

    assert [m.code for m in messages] == codes
    if codes and codes[-1] >= 200:
        acked(phone, call, messages[-1])
    assert phone.nothing(0.12)
    assert all("m=audio" in m.body for m in messages if m.code in (183, 200))


def test_reason_and_headers(lab, call):
    lab.tell(invite={"do": "code", "code": 503, "reason": "Gone Fishing", "headers": {"Retry-After": "30"}})
    phone = lab.phone()
    phone.send("INVITE", call)
    _trying, final = phone.take(), phone.take()
    acked(phone, call, final)

    assert (final.first, final.get("retry-after")) == ("SIP/2.0 503 Gone Fishing", "30")


def test_a_redirection(lab, call):
    lab.tell(invite={"do": "code", "code": 302, "headers": {"Contact": "<sip:12125550199@elsewhere.example>"}})
    phone = lab.phone()
    phone.send("INVITE", call)
    trying, final = phone.take(), phone.take()
    acked(phone, call, final)

    assert (trying.code, final.first, final.all("contact")) == (100, "SIP/2.0 302 Moved Temporarily", ["<sip:12125550199@elsewhere.example>"])


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_ack_may_be_ignored(lab, call, transport):
    lab.tell(invite={"do": "code", "code": 503, "ignore_ack": True})
    phone = lab.phone(transport)
    phone.send("INVITE", call)
    _trying, final = phone.take(), phone.take()
    acked(phone, call, final)

    assert [(m.code, m.to_tag) for m in (phone.take(0.7), phone.take(1.2))] == [(503, final.to_tag)] * 2
    assert [line["retrans"] for line in lab.wire(call) if line["code"] == 503] == [False, True, True]


@pytest.mark.parametrize(("told", "seconds"), [({"ignore_ack": True}, [0.5, 1.5, 3.5, 7.5]), ({}, [])])
def test_an_ack_is_ignored_for_8_seconds(tmp_path, monkeypatch, told, seconds):
    carrier, now, sent = program.Carrier("127.0.0.1", 5060, str(tmp_path)), [0.0], []
    request = program.Message("INVITE sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9\r\nCall-ID: 1\r\n\r\n")
    call = program.Call(request, program.Peer("udp", ("127.0.0.1", 5060)))
    call.acked.set()

    async def within(event, wait):
        now[0] += wait
        return event.is_set()

    monkeypatch.setattr(program, "within", within)
    monkeypatch.setattr(carrier, "transmit", lambda _peer, _text, retrans=False: sent.append(now[0]) if retrans else None)
    asyncio.run(carrier.play(call, {"do": "no_trying_code", **told}))

    assert sent == seconds


@pytest.mark.parametrize(
    ("told", "transport", "again"), [("code", "udp", True), ("answer", "udp", True), ("answer", "tcp", True), ("code", "tcp", False)]
)
def test_final_answers_come_again_until_the_ack(lab, call, told, transport, again):
    lab.tell(invite={"do": told, "code": 503, "ring": 0})
    phone = lab.phone(transport)
    phone.send("INVITE", call)
    final = next(m for m in iter(phone.take, None) if m.code >= 200)

    repeated = phone.take(1.4)
    acked(phone, call, final)

    assert (repeated is not None) is again
    while phone.take(0.1):
        pass  # what was under way before the ACK
    assert phone.nothing(1.1 if (told, transport) == ("code", "udp") else 0), "the ACK was understood"
    assert (sum(line["retrans"] for line in lab.wire(call)) > 0) is again


def test_an_invite_that_comes_again_gets_the_last_answer_again(lab, call):
    lab.tell(invite={"do": "ring"})
    phone = lab.phone()
    phone.send("INVITE", call)
    assert phone.codes(2) == [100, 180]
    phone.send("INVITE", call)

    assert phone.codes(1) == [180] and phone.nothing(0.2)
    assert [line["retrans"] for line in lab.wire(call)] == [False, False, False, True, True]


def test_cancel(lab, call):
    lab.tell(invite={"do": "ring_then_code", "code": 503, "after": 0.4})
    phone = lab.phone()
    phone.send("INVITE", call)
    assert phone.codes(2) == [100, 180]
    phone.send("CANCEL", call)
    ok, final = phone.take(), phone.take()
    acked(phone, call, final)

    assert (ok.code, ok.method, final.code, final.method) == (200, "CANCEL", 487, "INVITE")
    assert phone.nothing(0.6), "the ACK was understood, and the 503 is off"
    phone.send("CANCEL", call, branch="unheard-of")
    assert phone.codes(1) == [481]


def test_a_late_answer_has_not_seen_the_cancel(lab, call):
    lab.tell(invite={"do": "late_answer", "after": 0.3})
    phone = lab.phone()
    phone.send("INVITE", call)
    phone.send("CANCEL", call)
    answer = phone.take()
    acked(phone, call, answer)
    phone.send("BYE", call, number=2, branch=f"{call}-bye", tag=answer.to_tag)
    ended = phone.take()

    assert (answer.code, answer.method, ended.code, ended.method) == (200, "INVITE", 200, "BYE")
    assert [(line["dir"], line["method"], line["code"]) for line in lab.wire(call)] == [
        ("rx", "INVITE", None), ("rx", "CANCEL", None), ("tx", "INVITE", 200), ("rx", "ACK", None), ("rx", "BYE", None), ("tx", "BYE", 200),
    ]  # fmt: skip


def test_late_ringing_has_not_seen_the_cancel(lab, call):
    lab.tell(invite={"do": "late_ring", "after": 0.3})
    phone = lab.phone()
    phone.send("INVITE", call)
    phone.send("CANCEL", call)
    ringing = phone.take()
    phone.send("CANCEL", call)
    ok, final = phone.take(), phone.take()
    acked(phone, call, final)

    assert [(m.code, m.method) for m in (ringing, ok, final)] == [(180, "INVITE"), (200, "CANCEL"), (487, "INVITE")]


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_the_carrier_hangs_up(lab, call, transport):
    lab.tell(invite={"do": "answer", "ring": 0, "talk": 0.2})
    phone = lab.phone(transport)
    phone.send("INVITE", call)
    answer = next(m for m in iter(phone.take, None) if m.code == 200)
    acked(phone, call, answer)
    bye = phone.take()

    assert bye.method == "BYE" and bye.to_tag == "caller" and answer.to_tag in bye.get("from")
    assert bye.first.split()[1] == f"sip:1000@127.0.0.1:{phone.socket.getsockname()[1]}"
    assert bye.get("via").startswith(f"SIP/2.0/{transport.upper()} 127.0.0.1:{phone.port};")
    reply = ["SIP/2.0 200 OK", *(f"{n}: {bye.get(n)}" for n in ("via", "from", "to", "call-id", "cseq")), "Content-Length: 0", "", ""]
    phone.socket.sendall("\r\n".join(reply).encode())
    assert phone.nothing(0.6), "an answered BYE does not come again"


def test_its_own_requests_go_where_the_first_record_route_leads(lab, call):
    lab.tell(invite={"do": "answer", "ring": 0, "talk": 0.2})
    phone, proxy = lab.phone(), lab.phone()
    phone.send("INVITE", call, extra=(f"Record-Route: <sip:127.0.0.1:{proxy.socket.getsockname()[1]};lr>", "Record-Route: <sip:127.0.0.2;lr>"))
    acked(phone, call, next(m for m in iter(phone.take, None) if m.code == 200))
    bye = proxy.take()
    assert bye.method == "BYE" and bye.all("route")[1] == "<sip:127.0.0.2;lr>"
    assert phone.nothing(0.6)


def test_options(lab, call):
    phone = lab.phone()
    for told, codes in ((200, [200]), (503, [503]), ("silent", [])):
        lab.tell(options=told)
        phone.send("OPTIONS", call)
        assert phone.codes(1, 1.0 if codes else 0.2) == codes


def test_registration(lab, call):
    phone = lab.phone()
    phone.send("REGISTER", call, extra=("Expires: 120",))
    answer = phone.take()
    assert answer.code == 200 and answer.all("contact") == [f"<sip:1000@127.0.0.1:{phone.socket.getsockname()[1]}>;expires=120"]
    for told, codes in ((403, [403]), ("silent", [])):
        lab.tell(register=told)
        phone.send("REGISTER", call)
        assert phone.codes(1, 1.0 if codes else 0.2) == codes


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def authorization(challenge: str, method: str, password: str, user: str = "trunk") -> str:
    """An Authorization value, put together here and not by the program under test (RFC 2617 section 3.5)."""
    nonce = re.search(r'nonce="([^"]+)"', challenge).group(1)
    realm = re.search(r'realm="([^"]+)"', challenge).group(1)
    secret, request = md5(user, realm, password), md5(method, "sip:carrier")
    qop = ["00000001", "0a4f", "auth"] if 'qop="auth"' in challenge else []
    more = f", qop={qop[2]}, nc={qop[0]}, cnonce=\"{qop[1]}\"" if qop else ""
    response = md5(secret, nonce, *qop, request)
    return f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="sip:carrier", response="{response}", algorithm=MD5{more}'


def test_digest_of_the_rfc():
    """RFC 2617 section 3.5."""
    given = program.digest_parameters(
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", '
        'qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )

    assert program.digest_response(given, "GET", "Circle Of Life") == given["response"]


def test_digest_by_sha256():
    """RFC 7616 section 3.9.1."""
    given = program.digest_parameters(
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
        'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"'
    )

    assert program.digest_response(given, "GET", "Circle of Life") == given["response"]


@pytest.mark.parametrize("qop", [True, False])
def test_registration_with_credentials(lab, call, qop):
    lab.tell(register="challenge", users={"trunk": "secret"}, qop=qop)
    phone = lab.phone()
    phone.send("REGISTER", call)
    challenge = phone.take()
    assert challenge.code == 401 and ("qop" in challenge.get("www-authenticate")) is qop
    asked = challenge.get("www-authenticate")
    elsewhere = re.sub(r'nonce="[^"]+"', 'nonce="of another server"', asked)
    bad = [("trunk", "wrong", asked, 401), ("nobody", "secret", asked, 401), ("trunk", "secret", elsewhere, 401)]
    tries = [("trunk", "secret", asked, 200), *bad]
    for number, (user, password, to, code) in enumerate(tries, start=2):
        credentials = authorization(to, "REGISTER", password, user)
        phone.send("REGISTER", call, number=number, branch=f"{call}-{number}", extra=(f"Authorization: {credentials}",))
        assert phone.codes(1) == [code]


def test_a_call_with_credentials(lab, call):
    lab.tell(invite={"do": "code", "code": 486}, invite_auth=True, users={"trunk": "secret"})
    phone = lab.phone()
    phone.send("INVITE", call)
    challenge = phone.take()
    acked(phone, call, challenge)
    credentials = authorization(challenge.get("proxy-authenticate"), "INVITE", "secret")
    phone.send("INVITE", call, number=2, branch=f"{call}-2", extra=(f"Proxy-Authorization: {credentials}",))
    _trying, final = phone.take(), phone.take()
    phone.send("ACK", call, number=2, branch=f"{call}-2", tag=final.to_tag)

    assert (challenge.code, final.code) == (407, 486)
    assert phone.nothing(0.6), "the ACK of the 407 was understood too"


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_silence(lab, call, transport):
    phone = lab.phone(transport)
    lab.tell(invite={"do": "ring"})
    phone.send("INVITE", call)
    assert phone.codes(2) == [100, 180]
    lab.tell(silent=True)
    for method in ("OPTIONS", "REGISTER", "INVITE", "CANCEL"):
        phone.send(method, call, branch=f"{call}-{method}")

    assert phone.nothing(0.3)
    assert [line["method"] for line in lab.wire(call) if line["dir"] == "rx"] == ["INVITE", "OPTIONS", "REGISTER", "INVITE", "CANCEL"]


def test_closed_sockets(lab, call):
    phone, streams = lab.phone(), [lab.phone("tcp"), lab.phone("tls")]
    for stream in streams:
        stream.send("OPTIONS", call)
        assert stream.codes(1) == [200]
    lab.tell(closed=True)

    for stream in streams:
        assert was_reset(stream.socket)
        with pytest.raises(ConnectionRefusedError):
            lab.phone(stream.transport)
    phone.send("OPTIONS", call)
    with pytest.raises(ConnectionRefusedError):
        phone.socket.recv(100)
    lab.tell()
    for transport in ("udp", "tcp", "tls"):
        again = lab.phone(transport)
        again.send("OPTIONS", call)
        assert again.codes(1) == [200]


def shown(phone: Phone) -> str:
    return ssl.DER_cert_to_PEM_cert(phone.socket.getpeercert(binary_form=True))


def test_another_certificate_asks_for_another_handshake(lab, call):
    pairs = lab.folder / "pairs"
    good, plain = lab.phone("tls"), lab.phone("tcp")
    assert shown(good) == (pairs / "good.pem").read_text()
    for name, reason in (("expired", "has expired"), ("wrong", "IP address mismatch"), ("stranger", "unable to get local issuer")):
        careless = lab.phone("tls", lab.trusting(check=False))
        lab.tell(certificate=name)
        assert was_reset(careless.socket)
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            lab.phone("tls")
        careless = lab.phone("tls", lab.trusting(check=False))
        careless.send("OPTIONS", call)
        assert careless.codes(1) == [200] and shown(careless) == (pairs / f"{name}.pem").read_text()
    lab.tell()
    assert was_reset(careless.socket)
    assert was_reset(good.socket)
    assert shown(lab.phone("tls")) == (pairs / "good.pem").read_text()
    plain.send("OPTIONS", call)
    assert plain.codes(1) == [200], "TCP does not care"


def test_a_session_of_another_certificate_is_not_resumed(lab):
    context = lab.trusting(check=False)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # it has its session at once
    first = lab.phone("tls", context)
    assert lab.phone("tls", context, first.socket.session).socket.session_reused
    lab.tell(certificate="expired")
    assert was_reset(first.socket)

    assert not lab.phone("tls", context, first.socket.session).socket.session_reused


def test_a_handshake_that_the_change_overtakes_is_worth_nothing(lab):
    slow = socket.create_connection(("127.0.0.1", lab.tls_port), timeout=3)
    time.sleep(0.2)
    lab.tell(certificate="wrong")

    with lab.trusting(check=False).wrap_socket(slow) as late:
        assert was_reset(late)


def test_a_certificate_that_is_not_there(lab, call):
    lab.tell(certificate="nonsense")
    with pytest.raises(ConnectionRefusedError):
        lab.phone("tls")
    phone = lab.phone()
    phone.send("OPTIONS", call)
    assert phone.codes(1) == [200]
    lab.tell()
    lab.phone("tls")


def test_a_sips_request_has_a_sips_contact(tmp_path):
    """RFC 3261 section 12.1.1."""
    carrier = program.Carrier("127.0.0.1", 5060, str(tmp_path), 5061, str(tmp_path))
    request = program.Message("INVITE sips:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9\r\nCSeq: 1 INVITE\r\n\r\n")
    answer = program.Message(carrier.respond(request, program.Peer("tls", ("127.0.0.1", 5061)), 200))

    assert answer.get("contact") == "<sips:127.0.0.1:5061;transport=tls>"


def test_tls_needs_certificates(tmp_path):
    command = [sys.executable, program.__file__, "--address", "127.0.0.1", "--state-dir", str(tmp_path), "--tls-port", "5061"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)

    assert done.returncode == 2 and "--tls-port and --certificates need each other" in done.stderr


def test_what_is_usual_holds_until_it_is_told_otherwise(lab, call):
    phone = lab.phone()
    usual = lab.folder / "usual.json"
    usual.write_text('{"options": 404}', encoding="utf-8")
    lab.tell()
    try:
        phone.send("OPTIONS", call)
        assert phone.codes(1) == [404]
        lab.tell(options=405)
        phone.send("OPTIONS", call)
        assert phone.codes(1) == [405]
    finally:
        usual.unlink()


def test_a_broken_control_file_changes_nothing(lab, call):
    phone = lab.phone()
    lab.tell(options=404)
    phone.send("OPTIONS", call)
    assert phone.codes(1) == [404]
    (lab.folder / "control.json").write_text("{", encoding="utf-8")
    assert Carrier(lab.folder).runs()  # it has tried to read the file
    phone.send("OPTIONS", call, branch=f"{call}-again")
    assert phone.codes(1) == [404]


# --- lab/phone.py ---------------------------------------------------------------------------


def place(lab, number="12125550100", **wanted):
    """A call of lab/phone.py, and what came in and went out at the carrier."""
    told = json.dumps({"pbx": f"127.0.0.1:{lab.port}", "address": "127.0.0.1", "number": number, **wanted})
    done = subprocess.run([sys.executable, phone_program.__file__], input=told, capture_output=True, text=True, check=True, timeout=60)
    result = json.loads(done.stdout)
    return result, lab.wire(result["call_id"])


def test_the_phone_places_a_call(lab):
    lab.tell(invite={"do": "answer", "ring": 0}, whole=True)
    result, wire = place(lab, **{"from": '"Bob" <sip:1000@phone.example>', "headers": [["Privacy", "id"]]})
    assert (result["code"], result["ended_by"], result["failed"]) == (200, "caller", None)
    assert [line["method"] for line in wire if line["dir"] == "rx"] == ["INVITE", "ACK", "BYE"]
    invite = wire[0]["text"]
    assert 'From: "Bob" <sip:1000@phone.example>;tag=' in invite and "Privacy: id" in invite


def test_the_phone_says_which_step_did_not_come_to_pass(lab):
    lab.tell(invite={"do": "answer", "ring": 0}, challenged=["BYE"], users={"trunk": "secret"})
    result, wire = place(lab)
    assert result["failed"] == "bye" and 407 in [line["code"] for line in wire]
    assert place(lab, steps=[["early", 1], ["answer"]])[0]["failed"] == "early"


def test_sound_and_digits_of_the_phone(lab, tmp_path):
    lab.tell(invite={"do": "progress_then_answer", "after": 1, "early_rtp": True, "telephone_event": True})
    result, _wire = place(lab, rtp=True, steps=[["early", 1], ["answer"], ["digits", "1#"], ["bye"]])
    assert result["failed"] is None and result["sound"]["early"] > 10
    sound = Carrier(lab.folder).sound(result["call_id"])
    assert sound["digits"] == "1#" and sound["early"] > 10 and set(sound["types"]) == {"8", "101"}


def test_the_phone_holds_and_resumes(lab):
    lab.tell(invite={"do": "answer", "ring": 0}, whole=True)
    result, wire = place(lab, steps=[["answer"], ["hold"], ["resume"], ["bye"]])
    assert result["failed"] is None
    directions = [re.search(r"a=(send\w+)", line["text"])[1] for line in wire if line["dir"] == "rx" and line["method"] == "INVITE"]
    assert directions == ["sendrecv", "sendonly", "sendrecv"]


def test_a_session_that_is_too_short_is_refused_with_the_least(lab):
    lab.tell(invite={"do": "min_se", "least": 900, "ring": 0}, whole=True)
    result, wire = place(lab, headers=[["Session-Expires", "600"]])
    assert result["code"] == 422 and "Min-SE: 900" in next(line["text"] for line in wire if line["code"] == 422)
    assert place(lab, headers=[["Session-Expires", "900"]])[0]["code"] == 200


def test_prack(lab):
    lab.tell(invite={"do": "prack", "ring": 0}, whole=True)
    assert place(lab)[0]["code"] == 421, "the phone does not support it"
    result, wire = place(lab, prack=True)
    assert result["failed"] is None and [line["code"] for line in wire if line["method"] == "PRACK"] == [None, 200]
    lab.tell(invite={"do": "answer", "reliable": True, "ring": 0})
    assert place(lab, headers=[["Supported", "100rel"]])[0]["code"] == 504, "no PRACK came"


def test_requests_of_the_carrier_within_the_call(lab):
    then = [{"after": 0.1, "method": "UPDATE"}, {"after": 0.1, "media": ["m=image 40100 udptl t38"]}, {"after": 0.1, "port": 40010, "direction": "sendonly"}]
    lab.tell(invite={"do": "progress_then_answer", "after": 0, "update": 0, "rtp": 0, "then": [*then, {"after": 0.3, "port": 40020}]}, whole=True)
    result, wire = place(lab, rtp=True, steps=[["answer"], ["wait", 1.5], ["bye"]])
    assert result["failed"] is None
    answers = [(line["method"], line["code"]) for line in wire if line["dir"] == "rx" and line["code"]]
    assert answers == [("UPDATE", 200), ("UPDATE", 200), ("INVITE", 488), ("INVITE", 200), ("INVITE", 200)]
    held = next(line["text"] for line in wire if line["dir"] == "rx" and line["code"] == 200 and line["method"] == "INVITE")
    assert "a=recvonly" in held
    ports = Carrier(lab.folder).sound(result["call_id"])["ports"]
    assert ports["40020"] > 10 and "40010" not in ports, "nothing is sent to one who holds"


def test_srtp_alone(lab):
    lab.tell(invite={"do": "srtp"})
    assert place(lab)[0]["code"] == 488


def test_compact_headers_and_another_port(lab, call):
    lab.tell(compact=True, another_port=True, whole=True)
    result, wire = place(lab)
    assert result["failed"] is None
    assert all(re.search(r"(?m)^v: ", line["text"]) for line in wire if line["dir"] == "tx")
    phone = lab.phone()
    phone.send("OPTIONS", call)
    assert phone.nothing(), "the socket is connected: it hears one port alone"


def test_a_phone_that_plays_the_carrier_wants_the_bye_signed(lab):
    lab.tell(invite={"do": "answer", "ring": 0, "talk": 0.2})
    result, wire = place(lab, users={"trunk": "secret"}, steps=[["answer"], ["until_bye", 1]])
    assert result["failed"] == "until_bye" and 407 in [line["code"] for line in wire]
