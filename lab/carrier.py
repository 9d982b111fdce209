# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SIP carrier that does as it is told, over UDP and TCP on one port, and over TLS on another if it is given one (RFC 3261).

What it is told stands in <state-dir>/control.json, over what is usual for it in usual.json. Both are read at the start, and at each
connection to the socket <state-dir>/control.sock, which gets one byte when all of it is in force:

    invite       {"do": BEHAVIOUR, ...}; default {"do": "answer", "ring": 0.2}
    options      status code, or "silent"; default 200
    register     "accept", "challenge" (digest against `users`), status code, or "silent"; default "accept"
    invite_auth  true: INVITE is challenged with 407 too
    challenges   [{"code": 401 or 407, "realm", "algorithms"}], one after the other, each to be met; default [{"code": 407, "realm": "carrier",
                 "algorithms": ["MD5"]}] ("MD5", "SHA-256", "SHA-512-256"; a header for each, in this order)
    challenged   ["BYE", ...]: these requests within a call are challenged too ("INVITE" there is a re-INVITE)
    users        {user name: password}
    whole        true: each line of the wire log has the whole message as `text`
    qop          false: challenges do without qop (RFC 2069 style); default true
    fresh_nonce  true: each challenge has a nonce of its own, so that no answer to one is ever right
    silent       true: nothing is answered at all, nothing is sent; TCP and TLS connections are still accepted
    compact      true: the names of headers have their compact forms (RFC 3261 section 7.3.3)
    another_port true: responses over UDP leave from another port than the one that requests come to
    closed       true: the sockets are closed until it is false again (ICMP unreachable, TCP reset)
    certificate  name of the pair in <certificates> that TLS shows: NAME.pem (with its chain) and NAME.key; default
                 "good". With another name all TLS connections are reset: the peer must shake hands again. A pair
                 that cannot be read: TLS connections are refused until another is named.

Behaviours of an INVITE, all times in seconds:

    answer                ring (0.2)                        100, 180, after `ring` 200
    ring                                                    100, 180, and no more
    trying                                                  100, and no more
    trying_then_answer    after, ring                       100, after that 180, after `ring` 200
    code                  code, after (0), reason, headers  100, then the code
    no_trying_code        code, after (0), reason, headers  the code
    ring_then_code        code, after, reason, headers      100, 180, then the code
    progress_then_code    code, after, reason, headers      100, 183 with SDP, then the code
    progress_then_answer  after                             100, 183 with SDP, after that 200
    silent                                                  nothing
    late_answer           after                             nothing, then 200
    late_ring             after                             nothing, then 180
    min_se                least, ring                       422 with Min-SE for a Session-Expires below `least`, otherwise as answer
    prack                 ring                              421 for an INVITE that does not support 100rel, otherwise as answer, with `reliable`
    srtp                  ring                              488 for an offer without RTP/SAVP, otherwise as answer
    forked                after, headers                    100, 183 of two phones with SDP each, after that 200 of a third

A 183 or 200 has this SDP: codecs 8 and 0; `media`, lines of an m=audio section, replaces it, `telephone_event: true` adds payload 101 to it.
`contact` replaces the URI of Contact, `record_routes` is a number of proxies that the answers came through, `headers` are those of a final
answer, 200 too. `early_rtp: true` sends sound from a 183 on. `reliable: true` sends 18x by RFC 3262 where the INVITE supports 100rel: again
until the right PRACK, and 504 without one. With `update` the carrier sends UPDATE that long after the last 18x, before the final answer.

`after` is 1 and `code` is 503 where nothing else is said; "number" takes the last three digits of the number for the code.
After a 200 with `rtp` the carrier sends sound (RTP, with RTCP) until the call ends, but for one packet in so many (0: all of
them), every other one 5 ms late; it reports 7 packets lost, a jitter of 2 ms, and a round trip 50 ms longer than it is. One such
call at a time; a line of <state-dir>/sound.jsonl tells what it heard: {call_id, heard: moments of the packets that came in, types:
{payload type: packets}, ports: {port of the carrier: packets}, digits: those of RFC 4733, early: packets before the 200}. After
a 200 with `reinvite` the carrier sends a re-INVITE that much later; with `then` it sends several requests, one after the other:
[{"after", "method" (INVITE or UPDATE), "headers", and of its SDP "media", "port", "direction"}]. With `talk` it hangs up that much
after that; a re-INVITE that comes in has its 200 after `agree` (0). `headers` are added to the code:
{"Retry-After": "30"}, or {"Contact": "<sip:...>"} with 302 to redirect. `ignore_ack: true` sends a code other than 2xx again
for 8 seconds, over every transport, though its ACK came. A CANCEL is not answered while nothing has been sent: a carrier that is
late has not seen the INVITE either, and its late 180 or 200 stands.

Every message is a line of <state-dir>/wire.jsonl: {t, dir, transport (udp, tcp, tls), peer, first, method, code, call_id,
cseq, user, host, from_user, retrans, headers: {from, to, contact, user_agent, route, x_trunk, via,
p_asserted_identity, p_preferred_identity, remote_party_id}}. t is in seconds of the epoch; user and host are those of a request's URI.
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
import socket
import ssl
import struct
import sys
import time
import traceback
from http import HTTPStatus
from typing import Any, NamedTuple

DEFAULTS: dict[str, Any] = {"invite": {"do": "answer"}, "options": 200, "register": "accept", "users": {}, "certificate": "good"}
REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 183: "Session Progress", 302: "Moved Temporarily",
    408: "Request Timeout", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
    483: "Too Many Hops", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    500: "Server Internal Error", 503: "Service Unavailable", 504: "Server Time-out", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip
T1, T2, GIVE_UP = 0.5, 4.0, 32.0  # RFC 3261 section 17.1.1.2: T1, T2 and 64 x T1
DEAF = 8.0  # how long `ignore_ack` sends again
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"
IDENTITIES = ("p-asserted-identity", "p-preferred-identity", "remote-party-id")
LOGGED = ("from", "to", "contact", "user-agent", "route", "x-trunk", "via", *IDENTITIES)
COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "x": "session-expires", "k": "supported",
    "c": "content-type",
}  # fmt: skip


def reason_of(code: int) -> str:
    """The usual reason phrase of a SIP status."""
    return REASONS.get(code) or (HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else "Something Else")


def compacted(text: str) -> str:
    """A message with the short names of its headers."""
    head, end, body = text.partition("\r\n\r\n")
    for short, name in COMPACT.items():
        head = re.sub(rf"(?im)^{name}:", f"{short}:", head)
    return head + end + body


def script(told: dict, request: Message) -> list[tuple[float, int]]:
    """What an INVITE gets, as [(seconds to wait, status)], from `invite` of control.json."""
    what = told["do"]
    if what == "min_se":
        what = "answer" if int(request.find(r"^(\d+)", "session-expires") or 10**6) >= int(told["least"]) else "too_short"
    elif what == "prack":
        what = "answer" if request.supports("100rel") else "extension_required"
    elif what == "srtp":
        what = "answer" if "RTP/SAVP" in request.body else "not_acceptable"
    code, ring = int(told.get("code", 503)), float(told.get("ring", 0.2))
    after = float(told.get("after", 0 if what in ("code", "no_trying_code") else 1))
    return {
        "answer": [(0, 100), (0, 180), (ring, 200)],
        "too_short": [(0, 100), (0, 422)],
        "extension_required": [(0, 100), (0, 421)],
        "not_acceptable": [(0, 100), (0, 488)],
        "forked": [(0, 100), (0, 183), (0, 183), (after, 200)],
        "ring": [(0, 100), (0, 180)],
        "trying": [(0, 100)],
        "trying_then_answer": [(0, 100), (after, 180), (ring, 200)],
        "code": [(0, 100), (after, code)],
        "no_trying_code": [(after, code)],
        "ring_then_code": [(0, 100), (0, 180), (after, code)],
        "progress_then_code": [(0, 100), (0, 183), (after, code)],
        "progress_then_answer": [(0, 100), (0, 183), (after, 200)],
        "silent": [],
        "late_answer": [(after, 200)],
        "late_ring": [(after, 180)],
    }[what]


def digest_parameters(header: str) -> dict[str, str]:
    """The parameters of a Digest header, unquoted (RFC 2617 section 3.2.2)."""
    found = re.findall(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))', header)
    return {key.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for key, quoted, plain in found}


DIGESTS = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}  # RFC 8760


def digest_response(given: dict[str, str], method: str, password: str) -> str:
    """The right response to a challenge, with qop=auth and without (RFC 2617 section 3.2.2.1, RFC 8760)."""

    def hashed(*parts: str) -> str:
        return hashlib.new(DIGESTS[given.get("algorithm", "MD5").upper()], ":".join(parts).encode()).hexdigest()

    secret = hashed(given["username"], given.get("realm", ""), password)
    request = hashed(method, given.get("uri", ""))
    if given.get("qop"):
        return hashed(secret, given.get("nonce", ""), given.get("nc", ""), given.get("cnonce", ""), given["qop"], request)
    return hashed(secret, given.get("nonce", ""), request)


class Message:
    """A parsed request or response; header names in lower case, compact forms spelled out."""

    def __init__(self, text: str) -> None:
        self.text = text
        head, _sep, self.body = text.partition("\r\n\r\n")
        self.first, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        self.headers: list[tuple[str, str]] = []
        for line in lines:
            name, _sep, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((COMPACT.get(name, name), value.strip()))
        start = [*self.first.split(), "", ""]
        self.code = int(start[1]) if start[0].startswith("SIP/") and start[1].isdigit() else None
        number, method = ([*self.get("cseq").split(), "", ""])[:2]
        self.cseq = int(number) if number.isdigit() else 0
        self.method = method if self.code else start[0]  # of a response: the method it answers
        found = None if self.code else re.match(r"sips?:(?:([^@;>]*)@)?([^;>?]*)", start[1])
        self.user, self.host = (found.group(1) or "", found.group(2)) if found else ("", "")

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def find(self, pattern: str, name: str) -> str:
        found = re.search(pattern, self.get(name))
        return found.group(1) if found else ""

    def supports(self, extension: str) -> bool:
        return extension in re.split(r"[,\s]+", ",".join([*self.all("supported"), *self.all("require")]))

    @property
    def branch(self) -> str:
        """What tells a transaction from all others (RFC 3261 section 17.2.3)."""
        return self.get("call-id") + " " + self.find(r"branch=([^;,\s]+)", "via")

    @property
    def to_tag(self) -> str:
        return self.find(r";\s*tag=([^;>\s]+)", "to")


class Peer(NamedTuple):
    """Where a message came from, which is where the answer goes (RFC 3581)."""

    transport: str
    address: tuple
    writer: asyncio.StreamWriter | None = None


class Call:
    """One INVITE transaction, and the dialog that may come of it."""

    def __init__(self, request: Message, peer: Peer) -> None:
        self.request, self.peer = request, peer
        self.tag = request.to_tag or secrets.token_hex(6)
        self.last = ""  # the latest response, for retransmitted INVITEs
        self.final = False
        self.acked, self.ended, self.answered, self.pracked = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.rack = ""  # the RAck that is awaited (RFC 3262 section 7.2)
        self.sound_port = 40000
        self.cseq = 0  # of our own requests within the dialog
        self.body = request.body  # the latest SDP of the other side
        self.told: dict[str, Any] = {}  # `invite` of control.json, as the call began
        self.sounding = False
        self.task: asyncio.Task | None = None


async def within(event: asyncio.Event, seconds: float | None) -> bool:
    """Whether the event came within that time."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


class Carrier:
    """The user agent server."""

    def __init__(self, address: str, port: int, state_dir: str, tls_port: int = 0, certificates: str = "") -> None:
        self.address, self.port, self.state_dir = address, port, state_dir
        self.tls_port, self.certificates = tls_port, certificates
        self.wire = open(os.path.join(state_dir, "wire.jsonl"), "a", buffering=1, encoding="utf-8")  # noqa: SIM115
        self.nonce = secrets.token_hex(16)
        self.control = dict(DEFAULTS)
        self.calls: dict[str, Call] = {}  # by Message.branch of the INVITE
        self.dialogs: dict[str, list[Call]] = {}  # by our tag: the INVITE, and re-INVITEs after it
        self.tasks: set[asyncio.Task] = set()
        self.udp: asyncio.DatagramTransport | None = None
        self.another: asyncio.DatagramTransport | None = None  # `another_port`
        self.server: asyncio.AbstractServer | None = None
        self.tls_server: asyncio.AbstractServer | None = None
        self.certificate = ""  # the name of the one that TLS shows; none while TLS is closed
        self.context: ssl.SSLContext | None = None
        self.writers: set[asyncio.StreamWriter] = set()
        self.obeying = asyncio.Lock()  # one change after the other

    # --- what it is told, what it tells ---------------------------------------------------

    def read_control(self) -> None:
        """Both files; while one of them cannot be read, all is as it was."""
        control = dict(DEFAULTS)
        for name in ("usual.json", "control.json"):
            try:
                with open(os.path.join(self.state_dir, name), encoding="utf-8") as stream:
                    control.update(json.load(stream))
            except FileNotFoundError:
                pass
            except (OSError, ValueError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                return
        self.control = control

    def log(self, direction: str, peer: Peer, message: Message, retrans: bool) -> None:
        line = {
            "t": time.time(), "dir": direction, "transport": peer.transport, "peer": f"{peer.address[0]}:{peer.address[1]}",
            "first": message.first, "method": message.method, "code": message.code, "call_id": message.get("call-id"),
            "cseq": message.cseq, "user": message.user, "host": message.host,
            "from_user": message.find(r"sips?:([^@;>]*)@", "from"), "retrans": retrans,
            "headers": {name.replace("-", "_"): ", ".join(message.all(name)) for name in LOGGED},
        }  # fmt: skip
        if self.control.get("whole"):
            line["text"] = message.text
        self.wire.write(json.dumps(line) + "\n")

    def transmit(self, peer: Peer, text: str, retrans: bool = False) -> None:
        if self.udp is None or self.control.get("silent") or (peer.writer and peer.writer.is_closing()):
            return
        text = compacted(text) if self.control.get("compact") else text
        message = Message(text)
        self.log("tx", peer, message, retrans)
        if peer.writer:
            peer.writer.write(text.encode())
        else:
            (self.another if message.code and self.control.get("another_port") else self.udp).sendto(text.encode(), peer.address)

    def respond(self, request: Message, peer: Peer, code: int, tag: str = "", reason: str = "", headers: dict | None = None) -> str:
        """Send a response, with SDP where an INVITE is answered by 183 or 200; its text."""
        told = self.told_of(request)
        sdp = self.sdp(told) if request.method == "INVITE" and code in (183, 200) else ""
        top, comma, below = request.get("via").partition(",")
        top = re.sub(r";\s*rport(?=[;,]|$)", f";rport={peer.address[1]}", top) + f";received={peer.address[0]}"
        to = request.get("to") + ("" if code == 100 or request.to_tag else f";tag={tag or secrets.token_hex(6)}")
        vias = [top + comma + below, *request.all("via")[1:]]
        lines = [f"SIP/2.0 {code} {reason or reason_of(code)}", *(f"Via: {via}" for via in vias)]
        if 100 < code < 300:
            lines += [f"Record-Route: <sip:{self.here(peer)};lr;proxy={number}-of-many-in-the-path>" for number in range(int(told.get("record_routes", 0)))]
            lines += [f"Record-Route: {value}" for value in request.all("record-route")]
        lines += [f"From: {request.get('from')}", f"To: {to}", f"Call-ID: {request.get('call-id')}", f"CSeq: {request.get('cseq')}"]
        if request.method == "INVITE" and 100 < code < 300:
            transport = "" if peer.transport == "udp" else f";transport={peer.transport}"
            scheme = "sips" if request.first.lower().startswith("invite sips:") else "sip"  # section 12.1.1
            lines.append(f"Contact: <{told.get('contact') or f'{scheme}:{self.here(peer)}{transport}'}>")
        lines += [f"{name}: {value}" for name, value in headers or ()] if isinstance(headers, list) else [f"{n}: {v}" for n, v in (headers or {}).items()]
        lines += ["Content-Type: application/sdp"] if sdp else []
        text = "\r\n".join([*lines, f"Allow: {ALLOW}", "Server: siptrunk-lab carrier", f"Content-Length: {len(sdp)}", "", sdp])
        self.transmit(peer, text)
        return text

    def here(self, peer: Peer) -> str:
        """Our own host and port, for that peer's transport."""
        return f"{self.address}:{self.tls_port if peer.transport == 'tls' else self.port}"

    def told_of(self, request: Message) -> dict[str, Any]:
        """`invite` of control.json, as it was when the request's call began."""
        known = self.calls.get(request.branch)
        return known.told if known else {}

    def sdp(self, told: dict[str, Any], version: int = 1) -> str:
        lines = ["v=0", f"o=carrier 1 {version} IN IP4 {self.address}", "s=-", f"c=IN IP4 {self.address}", "t=0 0"]
        if told.get("media"):
            return "\r\n".join([*lines, *told["media"], ""])
        event = bool(told.get("telephone_event"))
        lines += [f"m=audio {told.get('port', 40000)} RTP/AVP 8 0" + " 101" * event, "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000"]
        lines += [f"a={told['direction']}"] if "direction" in told else []
        return "\r\n".join([*lines, *["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"] * event, ""])

    # --- messages in ----------------------------------------------------------------------

    def receive(self, data: bytes, peer: Peer) -> None:
        """One message; whatever is wrong with it goes to the journal, and the carrier lives on."""
        if not data.strip():
            return  # a keep-alive (RFC 5626 section 3.5.1)
        try:
            self.handle(Message(data.decode("utf-8", "replace")), peer)
        except Exception:
            traceback.print_exc()

    def handle(self, message: Message, peer: Peer) -> None:
        call = self.calls.get(message.branch)
        again = message.method == "INVITE" and not message.code and call is not None
        self.log("rx", peer, message, again)
        control = self.control
        if control.get("silent"):
            return
        if message.code:
            for call in self.dialogs.get(message.find(r";\s*tag=([^;>\s]+)", "from"), []) if message.code >= 200 else []:
                call.answered.set()
                call.body = message.body or call.body
                if message.method == "INVITE" and message.cseq == call.cseq:
                    branch = message.find(r"branch=([^;,\s]+)", "via") if message.code >= 300 else ""  # section 17.1.1.3
                    self.transmit(self.next_hop(call), self.within_dialog(call, "ACK", branch=branch))
        elif again:
            if call.last:
                self.transmit(peer, call.last, retrans=True)
        elif message.method == "INVITE":
            self.invite(message, peer, control)
        elif message.method == "ACK":
            for call in self.dialogs.get(message.to_tag, []):
                if call.request.cseq == message.cseq:
                    call.acked.set()
        elif message.method == "CANCEL":
            self.cancel(message, peer, call)
        elif message.method in control.get("challenged", ()) and (missing := self.unmet(message, control)):
            self.respond(message, peer, missing["code"], headers=self.challenge(missing, control))
        elif message.method == "BYE":
            known = self.dialogs.get(message.to_tag, [])
            for call in known:
                call.acked.set()
                call.ended.set()
            self.respond(message, peer, 200 if known else 481)
        elif message.method == "OPTIONS":
            if control["options"] != "silent":
                self.respond(message, peer, int(control["options"]))
        elif message.method == "REGISTER":
            self.register(message, peer, control)
        elif message.method in ("UPDATE", "INFO", "PRACK") and message.to_tag in self.dialogs:
            awaited = [call for call in self.dialogs[message.to_tag] if call.rack] if message.method == "PRACK" else []
            right = [call for call in awaited if call.rack == " ".join(message.get("rack").split())]
            for call in right:
                call.pracked.set()
            self.respond(message, peer, 481 if awaited and not right else 200)
        else:
            self.respond(message, peer, 405)

    def invite(self, request: Message, peer: Peer, control: dict) -> None:
        if request.to_tag and request.to_tag not in self.dialogs:
            self.respond(request, peer, 481)
            return
        call = self.calls[request.branch] = Call(request, peer)
        for known in self.dialogs.setdefault(call.tag, []):
            known.body = request.body or known.body
        self.dialogs[call.tag].append(call)
        told = call.told = control["invite"]
        asked = control.get("challenged", ()) if request.to_tag else ["INVITE"] * bool(control.get("invite_auth"))
        if "INVITE" in asked and (missing := self.unmet(request, control)):
            work = self.finish(call, missing["code"], headers=self.challenge(missing, control))
        elif request.to_tag:
            work = self.agree(call, float(told.get("agree", 0)))
        else:
            work = self.play(call, told)
        self.start(call, work)

    def cancel(self, request: Message, peer: Peer, call: Call | None) -> None:
        if call is None:
            self.respond(request, peer, 481)
        elif call.last:
            self.respond(request, peer, 200, call.tag)
            if not call.final:
                call.task.cancel()
                self.start(call, self.finish(call, 487))

    # --- calls ----------------------------------------------------------------------------

    def start(self, call: Call, work) -> None:
        call.task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(call.task)
        call.task.add_done_callback(self.done)
        call.task.add_done_callback(lambda _task: self.forget_later(call))

    def done(self, task: asyncio.Task) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            traceback.print_exception(None, task.exception(), task.exception().__traceback__)

    def forget_later(self, call: Call) -> None:
        """Retransmissions are known for as long as they may come; a call that has no final answer is kept."""

        def forget() -> None:
            self.calls.pop(call.request.branch, None)
            others = [other for other in self.dialogs.pop(call.tag, []) if other is not call]
            if others:
                self.dialogs[call.tag] = others

        if call.final:
            asyncio.get_running_loop().call_later(GIVE_UP, forget)

    async def play(self, call: Call, told: dict) -> None:
        if told.get("code") == "number":
            told = {**told, "code": call.request.user[-3:]}
        try:
            steps = script(told, call.request)
        except (KeyError, TypeError, ValueError) as error:
            await self.finish(call, 500, reason=f"control.json: invite: {error!r}")
            return
        for number, (delay, code) in enumerate(steps):
            await asyncio.sleep(delay)
            if code < 200:
                phone = f"-{number}" if told["do"] == "forked" and code > 100 else ""  # another phone's tag, as a proxy hands it on
                reliable = code > 100 and (told.get("reliable") or told["do"] == "prack") and call.request.supports("100rel")
                headers = {"Require": "100rel", "RSeq": str(number)} if reliable else None
                call.rack = f"{number} {call.request.get('cseq')}" if reliable else ""
                call.last = self.respond(call.request, call.peer, code, call.tag + phone, headers=headers)
                if code == 183 and told.get("early_rtp"):
                    self.start_sound(call, 0)
                if reliable:
                    await self.resend(call.peer, call.last, call.pracked, always=True, give_up=DEAF)
                    if not call.pracked.is_set():
                        await self.finish(call, 504)
                        return
            else:
                if "update" in told and code == 200:
                    await asyncio.sleep(float(told["update"]))
                    await self.ask(call, "UPDATE")
                own = {("min_se", 422): {"Min-SE": str(told.get("least"))}, ("prack", 421): {"Require": "100rel"}}
                headers = own.get((told["do"], code), told.get("headers"))
                await self.finish(call, code, told.get("reason", ""), headers, bool(told.get("ignore_ack")))
        if call.final and steps[-1][1] == 200:
            if told.get("rtp") is not None:
                self.start_sound(call, int(told["rtp"]))
            for change in [{"after": told["reinvite"]}] if "reinvite" in told else told.get("then", ()):
                if await within(call.ended, float(change["after"])):
                    break
                call.sound_port = change.get("port", call.sound_port)
                await self.ask(call, change.get("method", "INVITE"), change)
            talk = told.get("talk") if call.acked.is_set() else 0  # section 13.3.1.4: no ACK, so no call
            if not await within(call.ended, None if talk is None else float(talk)):
                await self.ask(call, "BYE")

    async def agree(self, call: Call, after: float) -> None:
        await asyncio.sleep(after)
        await self.finish(call, 200)

    def start_sound(self, call: Call, lose: int) -> None:
        if call.sounding:
            return
        call.sounding = True
        task = asyncio.get_running_loop().create_task(self.sound(call, lose))
        self.tasks.add(task)
        task.add_done_callback(self.done)

    async def sound(self, call: Call, lose: int) -> None:
        """RTP of 20 ms, and a report each second on what came in (RFC 3550 sections 5.1 and 6.4.1), until the call ends."""
        loop, own = asyncio.get_running_loop(), secrets.randbits(32)
        heard = Sound(call)
        ports = [40000, 40001, *(change["port"] for change in call.told.get("then", ()) if "port" in change)]
        opened = [await loop.create_datagram_endpoint(lambda port=port: Ear(heard, port), local_addr=(self.address, port)) for port in ports]
        rtp = {port: transport for port, (transport, _protocol) in zip(ports, opened)}
        rtcp = rtp[40001]
        began, sent = loop.time(), 0
        try:
            for number in range(1, 60 * 50):
                if await within(call.ended, max(0, began + number * 0.02 + number % 2 * 0.005 - loop.time())):
                    return
                peer = re.search(r"(?m)^c=IN IP4 (\S+)", call.body)[1], int(re.search(r"(?m)^m=audio (\d+)", call.body)[1])
                if not lose or number % lose:
                    sent += 1
                    rtp[call.sound_port].sendto(struct.pack("!BBHII", 0x80, 8, number & 0xFFFF, number * 160, own) + b"\xd5" * 160, peer)
                if number % 50 == 0:
                    ntp = int((time.time() + 2208988800) * 2**32)
                    block = heard.report()
                    report = struct.pack("!BBHIQIII", 0x80 + bool(block), 200, 6 + len(block) // 4, own, ntp, number * 160, sent, sent * 160)
                    rtcp.sendto(report + block + struct.pack("!BBHIBB", 0x81, 202, 2, own, 1, 0) + b"\0\0", (peer[0], peer[1] + 1))
        finally:
            for transport in rtp.values():
                transport.close()
            with open(os.path.join(self.state_dir, "sound.jsonl"), "a", encoding="utf-8") as stream:
                told = {name: getattr(heard, name) for name in ("types", "ports", "digits", "early")}
                line = {"call_id": call.request.get("call-id"), "heard": heard.moments, **told}
                stream.write(json.dumps(line) + "\n")

    async def finish(self, call: Call, code: int, reason: str = "", headers: dict | None = None, ignore_ack: bool = False) -> None:
        """A final answer, again until its ACK: non-2xx by RFC 3261 section 17.2.1, 2xx by 13.3.1.4, which holds for TCP too."""
        call.final = True
        call.last = self.respond(call.request, call.peer, code, call.tag, reason, headers)
        if ignore_ack and code >= 300:
            await self.resend(call.peer, call.last, asyncio.Event(), always=True, give_up=DEAF)
        else:
            await self.resend(call.peer, call.last, call.acked, always=code < 300)

    async def resend(self, peer: Peer, text: str, done: asyncio.Event, always: bool = False, give_up: float = GIVE_UP) -> None:
        wait, waited = T1, 0.0
        while not await within(done, wait) and waited + wait < give_up:
            if always or peer.transport == "udp":
                self.transmit(peer, text, retrans=True)
            waited, wait = waited + wait, min(2 * wait, T2)

    def within_dialog(self, call: Call, method: str, change: dict[str, Any] | None = None, branch: str = "") -> str:
        """A request of ours within the call; an INVITE with the same SDP as before, but for what `then` says of it."""
        request = call.request
        target = request.find(r"<([^>]+)>", "contact") or request.get("contact").partition(";")[0]
        call.cseq += method != "ACK"
        change = change or {}
        sdp = self.sdp({**call.told, **change}, call.cseq + 1) if method == "INVITE" or change.keys() & {"media", "port", "direction"} else ""
        via = f"SIP/2.0/{call.peer.transport.upper()} {self.here(call.peer)};branch={branch or 'z9hG4bK' + secrets.token_hex(8)};rport"
        lines = [f"{method} {target} SIP/2.0", f"Via: {via}", "Max-Forwards: 70", *(f"Route: {value}" for value in request.all("record-route"))]
        lines += [f"From: {request.get('to')};tag={call.tag}", f"To: {request.get('from')}", f"Call-ID: {request.get('call-id')}"]
        lines += [f"Contact: <sip:{self.here(call.peer)}>"] if method in ("INVITE", "UPDATE") else []
        lines += [f"{name}: {value}" for name, value in change.get("headers", {}).items()] + ["Content-Type: application/sdp"] * bool(sdp)
        return "\r\n".join([*lines, f"CSeq: {call.cseq} {method}", f"Content-Length: {len(sdp)}", "", sdp])

    def next_hop(self, call: Call) -> Peer:
        """Where our requests within the call go: over UDP, to the address in the first Record-Route (RFC 3261 section 12.2.1.1)."""
        host, port = re.match(r"(?:<sip:([0-9.]+)(?::(\d+))?[;>])?", call.request.get("record-route")).groups()
        return Peer("udp", (host, int(port or 5060))) if host and call.peer.transport == "udp" else call.peer

    async def ask(self, call: Call, method: str, change: dict[str, Any] | None = None) -> None:
        text = self.within_dialog(call, method, change)
        call.answered.clear()
        self.transmit(self.next_hop(call), text)
        await self.resend(self.next_hop(call), text, call.answered)

    # --- registration ---------------------------------------------------------------------

    def register(self, request: Message, peer: Peer, control: dict) -> None:
        told = control["register"]
        if told == "silent":
            return
        missing = self.unmet(request, {"challenges": [{"code": 401}], **control}) if told == "challenge" else None
        if missing:
            self.respond(request, peer, missing["code"], headers=self.challenge(missing, control))
        elif told in ("challenge", "accept"):
            expires = request.find(r";\s*expires=(\d+)", "contact") or request.get("expires") or "3600"
            contact = re.sub(r";\s*expires=\d+", "", request.get("contact"))
            bound = {"Contact": f"{contact};expires={expires}"} if contact and contact != "*" and expires != "0" else {}
            self.respond(request, peer, 200, headers={**bound, "Expires": expires})
        else:
            self.respond(request, peer, int(told))

    def challenge(self, wanted: dict, control: dict) -> list[tuple[str, str]]:
        """The headers of a challenge, one for each algorithm (RFC 8760 section 2.4)."""
        header = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[wanted["code"]]
        qop = ', qop="auth"' if control.get("qop", True) else ""
        nonce = secrets.token_hex(16) if control.get("fresh_nonce") else self.nonce
        realm = wanted.get("realm", "carrier")
        return [(header, f'Digest realm="{realm}", nonce="{nonce}", algorithm={name}{qop}') for name in wanted.get("algorithms", ["MD5"])]

    def unmet(self, request: Message, control: dict) -> dict | None:
        """The first of `challenges` that the request does not meet."""
        for wanted in control.get("challenges") or [{"code": 407}]:
            header = {401: "authorization", 407: "proxy-authorization"}[wanted["code"]]
            if not any(self.authorized(digest_parameters(value), request.method, wanted, control) for value in request.all(header)):
                return wanted
        return None

    def authorized(self, given: dict[str, str], method: str, wanted: dict, control: dict) -> bool:
        password = control["users"].get(given.get("username"))
        if password is None or given.get("nonce") != self.nonce or given.get("realm") != wanted.get("realm", "carrier"):
            return False
        return given.get("algorithm", "MD5") in wanted.get("algorithms", ["MD5"]) and given.get("response") == digest_response(given, method, password)

    # --- sockets --------------------------------------------------------------------------

    async def serve(self) -> None:
        """Open the sockets, and serve until this process ends."""
        await self.obey()
        path = os.path.join(self.state_dir, "control.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # of an earlier process
        async with await asyncio.start_unix_server(self.controlled, path):
            await asyncio.get_running_loop().create_future()

    async def controlled(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection to the control socket."""
        try:
            async with self.obeying:
                await self.obey()
            writer.write(b".")
            await writer.drain()
        except OSError as error:  # the tester has gone, or a port is taken
            print(f"control: {error}", file=sys.stderr)
        finally:
            writer.close()

    async def obey(self) -> None:
        """Read the control files; close the sockets, open them, or show another certificate, as they say."""
        self.read_control()
        closed = bool(self.control.get("closed"))
        if closed and self.udp:
            self.close()
        elif not closed and not self.udp:
            await self.open()
        if self.tls_port and not closed and self.control["certificate"] != self.certificate:
            await self.show(self.control["certificate"])

    async def open(self) -> None:
        server = await asyncio.start_server(self.connection, self.address, self.port, reuse_address=True)
        loop = asyncio.get_running_loop()
        udp, _protocol = await loop.create_datagram_endpoint(lambda: Datagrams(self), local_addr=(self.address, self.port))
        # a burst waits in the socket instead of being lost, as far as net.core.rmem_max allows
        udp.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.another, _protocol = await loop.create_datagram_endpoint(lambda: Datagrams(self), local_addr=(self.address, 0))
        self.server, self.udp = server, udp

    def close(self) -> None:
        for datagrams in (self.udp, self.another):
            datagrams.close()
        for server in filter(None, (self.server, self.tls_server)):
            server.close()
        self.reset(self.writers)
        self.udp = self.another = self.server = self.tls_server = self.context = None
        self.certificate = ""

    async def show(self, certificate: str) -> None:
        """Listen for TLS with that certificate, and no longer with another.

        A context of its own for each, not one that changes: a session of the old certificate cannot be resumed.
        """
        context: ssl.SSLContext | None = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = os.path.join(self.certificates, str(certificate))
        try:
            context.load_cert_chain(f"{pair}.pem", f"{pair}.key")
        except OSError as error:
            print(f"certificate {certificate}: {error}", file=sys.stderr)
            context = None
        if self.tls_server:
            self.tls_server.close()
        self.tls_server, self.context, self.certificate = None, context, certificate
        if context:
            self.tls_server = await asyncio.start_server(self.connection, self.address, self.tls_port, ssl=context, reuse_address=True)
        # only now, so that a peer that comes back at once is not refused
        self.reset({writer for writer in self.writers if writer.get_extra_info("sslcontext") not in (None, context)})

    def reset(self, writers: set[asyncio.StreamWriter]) -> None:
        """Zero linger: the peer gets a reset at once, as from a host that has crashed."""
        for writer in list(writers):
            with contextlib.suppress(OSError):  # the peer was faster
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = writer.get_extra_info("sslcontext")
        if context is not None and context is not self.context:  # the certificate changed during the handshake
            self.reset({writer})
            return
        peer = Peer("tls" if context else "tcp", writer.get_extra_info("peername"), writer)
        self.writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                found = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                body = await reader.readexactly(int(found.group(1))) if found else b""
                self.receive(head + body, peer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):  # TLS alerts are OSErrors
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


class Sound:
    """What a report tells of a stream that comes in; made up, but for whose it is, how far it came and when it was reported on."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.types: dict[int, int] = {}
        self.ports: dict[int, int] = {}
        self.digits, self.early = "", 0
        self._event = -1  # timestamp of the digit that came last (RFC 4733 section 2.3.1)
        self.ssrc = self.highest = 0
        self.last_report, self.when = 0, 0.0
        self.moments: list[float] = []

    def hear(self, data: bytes, port: int) -> None:
        if 200 <= data[1] <= 204:
            if data[1] == 200 and len(data) >= 20:
                self.last_report, self.when = struct.unpack("!I", data[10:14])[0], time.time()
            return
        self.moments.append(round(time.time(), 3))
        number, stamp, self.ssrc = struct.unpack("!HII", data[2:12])
        self.highest = max(self.highest, number)
        payload = data[1] & 0x7F
        self.types[payload] = self.types.get(payload, 0) + 1
        self.ports[port] = self.ports.get(port, 0) + 1
        self.early += not self.call.final
        if payload == 101 and len(data) >= 16 and stamp != self._event:
            self._event = stamp
            self.digits += "0123456789*#"[data[12]] if data[12] < 12 else "?"

    def report(self) -> bytes:
        """The block of a report; nothing, where nothing came in."""
        if not self.ssrc:
            return b""
        delay = max(0, int((time.time() - self.when - 0.05) * 65536)) if self.when else 0
        return struct.pack("!IIIIII", self.ssrc, 7, self.highest, 16, self.last_report, delay)


class Ear(asyncio.DatagramProtocol):
    """Hands what comes in at a port for sound to those who listen."""

    def __init__(self, sound: Sound, port: int) -> None:
        self.sound, self.port = sound, port

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self.sound.hear(data, self.port)


class Datagrams(asyncio.DatagramProtocol):
    """Hands what comes in over UDP to the carrier."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self.carrier.receive(data, Peer("udp", addr))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--address", required=True, help="address to listen on, which is also the one in Contact and SDP")
    parser.add_argument("--port", type=int, default=5060)
    parser.add_argument("--state-dir", required=True, help="folder of control.json and wire.jsonl")
    parser.add_argument("--tls-port", type=int, default=0, help="port for TLS, which needs --certificates; default none")
    parser.add_argument("--certificates", default="", help="folder of NAME.pem and NAME.key")
    options = parser.parse_args()
    if bool(options.tls_port) != bool(options.certificates):
        parser.error("--tls-port and --certificates need each other")
    os.makedirs(options.state_dir, exist_ok=True)
    try:
        asyncio.run(Carrier(options.address, options.port, options.state_dir, options.tls_port, options.certificates).serve())
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
