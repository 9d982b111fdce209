# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SIP carrier that does as it is told, over UDP and TCP on one port (RFC 3261).

What it is told stands in <state-dir>/control.json, over what is usual for it in usual.json; both
are read anew for each request:

    invite    {"do": BEHAVIOUR, ...}; default {"do": "answer", "ring": 0.2}
    options   status code, or "silent"; default 200
    register  "accept", "challenge" (digest against `users`), status code, or "silent"
    users     {user name: password}
    invite_auth  true: INVITE is challenged with 407 too
    silent    true: nothing is answered at all
    closed    true: the sockets are closed until it is false again

Behaviours of an INVITE, all times in seconds:

    answer              ring, talk    100, 180, after `ring` 200; BYE after `talk`, if given
    ring                              100, 180, and no more
    trying                            100, and no more
    trying_then_answer  after         100, after that 180 and 200
    code                code, after, reason, headers      100, then the code
    ring_then_code      code, after   100, 180, then the code
    progress_then_code  code, after   100, 183 with SDP, then the code
    silent                            nothing
    late_answer         after         nothing, then 200
    late_ring           after         nothing, then 180

Every message is a line of <state-dir>/wire.jsonl: {t, dir, transport, peer, first, method, code,
call_id, user, host, from_user, retrans}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from http import HTTPStatus

DEFAULTS = {"invite": {"do": "answer", "ring": 0.2}, "options": 200, "register": "accept", "users": {}}
REASONS = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 408: "Request Timeout", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 500: "Server Internal Error", 503: "Service Unavailable", 504: "Server Time-out",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere",
}  # fmt: skip
T1, T2, GIVE_UP = 0.5, 4.0, 32.0  # RFC 3261 section 17.1.1.2
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"


def reason_of(code: int) -> str:
    """The usual reason phrase of a SIP status."""
    if code in REASONS:
        return REASONS[code]
    return HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else "Something Else"


class Request:
    """A parsed request; header names are matched without regard to case, compact forms included."""

    COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}

    def __init__(self, text: str) -> None:
        head, _sep, self.body = text.partition("\r\n\r\n")
        self.first, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        self.headers: list[tuple[str, str]] = []
        for line in lines:
            name, _sep, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((self.COMPACT.get(name, name), value.strip()))
        self.method, self.uri = (self.first.split() + ["", ""])[:2]
        found = re.match(r"sips?:(?:([^@;>]*)@)?([^;>?]*)", self.uri)
        self.user, self.host = (found.group(1) or "", found.group(2)) if found else ("", "")

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def branch(self) -> str:
        found = re.search(r"branch=([^;,\s]+)", self.get("via"))
        return found.group(1) if found else self.get("call-id")


class Peer:
    """Where a request came from, and how to answer there."""

    def __init__(self, transport: str, address: tuple, send) -> None:
        self.transport, self.address, self.send = transport, address, send


class Call:
    """One INVITE from its arrival to its end."""

    def __init__(self, request: Request, peer: Peer) -> None:
        self.request, self.peer = request, peer
        self.tag = secrets.token_hex(4)
        self.last = ""  # last response, for retransmitted INVITEs
        self.final = self.acked = self.over = False
        self.task: asyncio.Task | None = None


class Carrier:
    """The user agent server."""

    def __init__(self, address: str, port: int, state_dir: str) -> None:
        self.address, self.port, self.state_dir = address, port, state_dir
        self.calls: dict[str, Call] = {}  # by branch of the INVITE
        self.wire = open(os.path.join(state_dir, "wire.jsonl"), "a", buffering=1, encoding="utf-8")
        self.tasks: set[asyncio.Task] = set()

    # --- what it is told, what it tells ---------------------------------------------------

    def control(self) -> dict:
        told = dict(DEFAULTS)
        for name in ("usual.json", "control.json"):
            with contextlib.suppress(OSError, ValueError), open(os.path.join(self.state_dir, name), encoding="utf-8") as stream:
                told.update(json.load(stream))
        return told

    def log(self, direction: str, peer: Peer, text: str, retrans: bool = False) -> None:
        message = Request(text)
        code = int(message.first.split()[1]) if message.first.startswith("SIP/") else None
        found = re.search(r"sips?:([^@;>]*)@", message.get("from"))
        line = {
            "t": time.time(), "dir": direction, "transport": peer.transport, "peer": f"{peer.address[0]}:{peer.address[1]}",
            "first": message.first, "method": message.get("cseq").split()[-1] if message.get("cseq") else "", "code": code,
            "call_id": message.get("call-id"), "user": message.user, "host": message.host,
            "from_user": found.group(1) if found else "", "retrans": retrans,
        }  # fmt: skip
        self.wire.write(json.dumps(line) + "\n")

    def respond(self, request: Request, peer: Peer, code: int, tag: str = "", sdp: bool = False, reason: str = "", headers=None) -> str:
        to = request.get("to")
        if code > 100 and "tag=" not in to:
            to += f";tag={tag or secrets.token_hex(4)}"
        via, *more = request.all("via")
        if re.search(r";rport(?=[;,]|$)", via):
            via = re.sub(r";rport(?=[;,]|$)", f";rport={peer.address[1]};received={peer.address[0]}", via, count=1)
        transport = "" if peer.transport == "udp" else f";transport={peer.transport}"
        lines = [f"SIP/2.0 {code} {reason or reason_of(code)}", f"Via: {via}", *(f"Via: {value}" for value in more)]
        lines += [f"Record-Route: {value}" for value in request.all("record-route")]
        lines += [f"From: {request.get('from')}", f"To: {to}", f"Call-ID: {request.get('call-id')}", f"CSeq: {request.get('cseq')}"]
        lines += [f"Contact: <sip:{self.address}:{self.port}{transport}>"] if code > 100 else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        body = self.sdp() if sdp else ""
        lines += ["Content-Type: application/sdp"] if sdp else []
        text = "\r\n".join([*lines, f"Allow: {ALLOW}", f"Content-Length: {len(body)}", "", body])
        self.log("tx", peer, text)
        peer.send(text.encode())
        return text

    def sdp(self) -> str:
        lines = ["v=0", f"o=carrier 1 1 IN IP4 {self.address}", "s=-", f"c=IN IP4 {self.address}", "t=0 0", "m=audio 40000 RTP/AVP 8 0"]
        return "\r\n".join([*lines, "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000", ""])

    # --- requests -------------------------------------------------------------------------

    def receive(self, data: bytes, peer: Peer) -> None:
        text = data.decode("utf-8", "replace")
        if len(text.strip()) < 20:
            return  # a keep-alive
        request = Request(text)
        known = self.calls.get(request.branch) if request.method == "INVITE" else None
        self.log("rx", peer, text, retrans=known is not None)
        control = self.control()
        if control.get("silent") or request.first.startswith("SIP/"):
            return
        if known:
            if known.last:
                peer.send(known.last.encode())
        elif request.method == "INVITE":
            self.invite(request, peer, control)
        elif request.method == "ACK":
            for call in self.same_call(request):
                call.acked = True
        elif request.method == "CANCEL":
            self.cancel(request, peer)
        elif request.method == "BYE":
            for call in self.same_call(request):
                call.over = True
            self.respond(request, peer, 200)
        elif request.method == "OPTIONS":
            if control["options"] != "silent":
                self.respond(request, peer, int(control["options"]))
        elif request.method == "REGISTER":
            self.register(request, peer, control)
        else:
            self.respond(request, peer, 405)

    def same_call(self, request: Request) -> list[Call]:
        return [call for call in self.calls.values() if call.request.get("call-id") == request.get("call-id")]

    def invite(self, request: Request, peer: Peer, control: dict) -> None:
        if "tag=" in request.get("to"):  # within a dialog
            self.respond(request, peer, 200, sdp=True)
            return
        if control.get("invite_auth") and not self.authorized(request, "proxy-authorization", control["users"]):
            self.challenge(request, peer, 407, "Proxy-Authenticate")
            return
        call = self.calls[request.branch] = Call(request, peer)
        call.task = self.start(self.play(call, control["invite"]))

    def cancel(self, request: Request, peer: Peer) -> None:
        call = self.calls.get(request.branch)
        self.respond(request, peer, 200 if call else 481)
        if call and not call.final:
            call.task.cancel()
            self.start(self.finish(call, 487))

    async def play(self, call: Call, told: dict) -> None:
        what, after = told["do"], float(told.get("after", 0))
        if what in ("silent", "late_answer", "late_ring"):
            if what == "silent":
                return
            await asyncio.sleep(after)
            if what == "late_ring":
                self.provisional(call, 180)
            else:
                await self.answer(call, told)
            return
        self.provisional(call, 100)
        if what == "trying":
            return
        if what == "trying_then_answer":
            await asyncio.sleep(after)
        if what == "progress_then_code":
            self.provisional(call, 183, sdp=True)
        elif what != "code":
            self.provisional(call, 180)
        if what in ("code", "ring_then_code", "progress_then_code"):
            await asyncio.sleep(after)
            await self.finish(call, int(told["code"]), told.get("reason", ""), told.get("headers"))
        elif what in ("answer", "trying_then_answer"):
            await asyncio.sleep(float(told.get("ring", 0.2)))
            await self.answer(call, told)

    def provisional(self, call: Call, code: int, sdp: bool = False) -> None:
        call.last = self.respond(call.request, call.peer, code, call.tag, sdp=sdp)

    async def finish(self, call: Call, code: int, reason: str = "", headers: dict | None = None) -> None:
        """A final answer that is not 2xx, again until its ACK (RFC 3261 section 17.2.1)."""
        call.final = True
        call.last = self.respond(call.request, call.peer, code, call.tag, reason=reason, headers=headers)
        await self.until_acked(call)

    async def answer(self, call: Call, told: dict) -> None:
        call.final = True
        call.last = self.respond(call.request, call.peer, 200, call.tag, sdp=True)
        await self.until_acked(call)
        if told.get("talk") is not None:
            await asyncio.sleep(float(told["talk"]))
            if not call.over:
                self.bye(call)

    async def until_acked(self, call: Call) -> None:
        wait, waited = T1, 0.0
        while not call.acked and waited < GIVE_UP:
            await asyncio.sleep(wait)
            waited += wait
            if not call.acked and call.peer.transport == "udp":
                call.peer.send(call.last.encode())
            wait = min(2 * wait, T2)

    def bye(self, call: Call) -> None:
        request = call.request
        contact = re.search(r"<([^>]+)>", request.get("contact"))
        target = contact.group(1) if contact else request.get("contact")
        via = f"SIP/2.0/{call.peer.transport.upper()} {self.address}:{self.port};branch=z9hG4bK{secrets.token_hex(8)};rport"
        lines = [f"BYE {target} SIP/2.0", f"Via: {via}", "Max-Forwards: 70", *(f"Route: {value}" for value in request.all("record-route"))]
        lines += [f"From: {request.get('to')};tag={call.tag}", f"To: {request.get('from')}", f"Call-ID: {request.get('call-id')}"]
        text = "\r\n".join([*lines, "CSeq: 1 BYE", "Content-Length: 0", "", ""])
        self.log("tx", call.peer, text)
        call.peer.send(text.encode())

    # --- registration ---------------------------------------------------------------------

    def register(self, request: Request, peer: Peer, control: dict) -> None:
        told = control["register"]
        if told == "silent":
            return
        if isinstance(told, int):
            self.respond(request, peer, told)
        elif told == "challenge" and not self.authorized(request, "authorization", control["users"]):
            self.challenge(request, peer, 401, "WWW-Authenticate")
        else:
            expires = request.get("expires") or "60"
            self.respond(request, peer, 200, headers={"Expires": expires, "Contact": f"{request.get('contact')};expires={expires}"})

    def challenge(self, request: Request, peer: Peer, code: int, header: str) -> None:
        digest = f'Digest realm="carrier", nonce="{secrets.token_hex(8)}", algorithm=MD5, qop="auth"'
        self.respond(request, peer, code, headers={header: digest})

    @staticmethod
    def authorized(request: Request, header: str, users: dict) -> bool:
        """Whether the digest in `header` is right (RFC 2617 section 3.2.2)."""
        given = {}
        for key, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))', request.get(header)):
            given[key] = re.sub(r"\\(.)", r"\1", quoted) or plain
        password = users.get(given.get("username", ""))
        if password is None:
            return False

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()  # noqa: S324, what the RFC says

        first = md5(f"{given['username']}:{given.get('realm', '')}:{password}")
        second = md5(f"{request.method}:{given.get('uri', '')}")
        middle = f":{given.get('nc')}:{given.get('cnonce')}:{given['qop']}" if given.get("qop") else ""
        return given.get("response") == md5(f"{first}:{given.get('nonce', '')}{middle}:{second}")

    # --- sockets --------------------------------------------------------------------------

    def start(self, coroutine) -> asyncio.Task:
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def serve(self) -> None:
        """Open the sockets, or close them when told so."""
        sockets: tuple | None = None
        while True:
            closed = bool(self.control().get("closed"))
            if closed and sockets:
                sockets[0].close()
                sockets[1].close()
                sockets = None
            elif not closed and not sockets:
                loop = asyncio.get_running_loop()
                udp, _protocol = await loop.create_datagram_endpoint(lambda: Udp(self), local_addr=(self.address, self.port))
                sockets = udp, await asyncio.start_server(self.tcp, self.address, self.port, reuse_address=True)
            await asyncio.sleep(0.05)

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer("tcp", writer.get_extra_info("peername"), writer.write)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                body = await reader.readexactly(int(found.group(1))) if found else b""
                self.receive(head.lstrip(b"\r\n") + body, peer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            writer.close()


class Udp(asyncio.DatagramProtocol):
    """Hands datagrams to the carrier."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        def send(message: bytes) -> None:
            if not self.transport.is_closing():
                self.transport.sendto(message, addr)

        self.carrier.receive(data, Peer("udp", addr, send))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=5060)
    parser.add_argument("--state-dir", required=True)
    options = parser.parse_args()
    asyncio.run(Carrier(options.address, options.port, options.state_dir).serve())


if __name__ == "__main__":
    main()
