# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SIP phone that places one call over UDP and reports all that it sent and received (RFC 3261, RFC 3264, RFC 4733).

SIPp plays fixed scenarios; this phone also sends sound and digits, holds, refreshes, and writes its identity headers as it is asked to.
It reads a JSON object on standard input:

    pbx, address       "host:port" of the phone system; the phone's own address
    number             the number to call
    to                 the To header, where it is not the number
    from               the From header without its tag; default <sip:1000@ADDRESS>
    user               the user part of Contact; default phone
    headers            [[name, value], ...] of the INVITE
    telephone_event    true: RFC 4733 events are offered (payload 101); default true
    rtp                true: the phone sends sound as soon as it knows where to; default false
    prack              true: 100rel is supported, and 18x that require it are acknowledged (RFC 3262)
    users              {user name: password}: the phone plays the carrier of these accounts, and takes no BYE that none of them has signed
    steps              what it does, in order; default [["answer"], ["wait", 0.5], ["bye"]]

    ["early", seconds]   wait for early media (183), then that long
    ["answer"]           wait for the final answer; the steps end where it is no 2xx
    ["wait", seconds]
    ["until", path]      wait until this file is there, five minutes at the most
    ["digits", "12"]     RFC 4733 events of 120 ms, where the other side takes them
    ["hold"], ["resume"] re-INVITE with a=sendonly, a=sendrecv
    ["refresh"]          UPDATE that refreshes the session (RFC 4028)
    ["until_bye", s]     wait for the other side's BYE, so many seconds at the most
    ["cancel"]           CANCEL, then wait for the final answer
    ["bye"]

and prints {"messages": [{"t", "dir", "text"}], "code": final status or null, "ended_by": "caller", "callee" or null,
"sound": {"packets", "early" (before the 200), "last": moment of the last one, "types": {payload type: packets}, "digits"},
"failed": step that did not come to pass, or null}.
"""

from __future__ import annotations

import json
import re
import secrets
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from carrier import Message, digest_parameters, digest_response

T1, T2 = 0.5, 4.0  # RFC 3261 section 17.1.1.2
EVENTS = "0123456789*#"


@dataclass
class Heard:
    """The sound that came in."""

    packets: int = 0
    early: int = 0  # before the 200
    last: float = 0.0  # when the latest packet came
    types: dict[int, int] = field(default_factory=dict)  # by payload type
    digits: str = ""


class Phone:
    """One call."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.wanted = wanted
        host, _colon, port = wanted["pbx"].partition(":")
        self.pbx, self.address = (host, int(port or 5060)), wanted["address"]
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((self.address, 0))
        self.port = self.sip.getsockname()[1]
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((self.address, 0))
        self.call_id, self.tag, self.cseq = f"{secrets.token_hex(8)}@{self.address}", secrets.token_hex(6), 1
        self.user = wanted.get("user", "phone")
        self.messages: list[dict[str, Any]] = []
        self.responses: list[Message] = []
        self.remote_to, self.target = wanted.get("to") or f"<sip:{wanted['number']}@{self.pbx[0]}>", f"sip:{wanted['number']}@{wanted['pbx']}"
        self.routes: list[str] = []
        self.code: int | None = None
        self.ended_by: str | None = None
        self.acks: dict[int, str] = {}
        self.media: tuple[str, int] | None = None
        self.events: int | None = None  # payload type of the other side
        self.sequence, self.stamp, self.ssrc, self.next_packet = 0, 0, secrets.randbits(32), 0.0
        self.sound = Heard()
        self.racks: set[str] = set()  # PRACKs that were sent
        self._event = -1
        self.direction = "sendrecv"
        self.due: dict[int, tuple[float, float, str]] = {}  # by CSeq: when to send again, how long after that, what

    # --- messages ---

    def send(self, text: str) -> None:
        self.messages.append({"t": time.time(), "dir": "tx", "text": text})
        self.sip.sendto(text.encode(), self.pbx)

    def sdp(self, direction: str = "") -> str:
        event = self.wanted.get("telephone_event", True)
        lines = ["v=0", f"o=phone 1 {self.cseq} IN IP4 {self.address}", "s=-", f"c=IN IP4 {self.address}", "t=0 0"]
        lines += [f"m=audio {self.rtp.getsockname()[1]} RTP/AVP 8 0" + " 101" * event, "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000"]
        return "\r\n".join([*lines, *["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"] * event, f"a={direction or self.direction}", ""])

    def request(self, method: str, cseq: int, branch: str = "", headers: list[list[str]] | None = None, sdp: str = "") -> str:
        via = f"SIP/2.0/UDP {self.address}:{self.port};branch={branch or 'z9hG4bK' + secrets.token_hex(8)};rport"
        caller = self.wanted.get("from") or f"<sip:1000@{self.address}>"
        lines = [f"{method} {self.target} SIP/2.0", f"Via: {via}", "Max-Forwards: 70", *(f"Route: {route}" for route in self.routes)]
        lines += [f"From: {caller};tag={self.tag}", f"To: {self.remote_to}", f"Call-ID: {self.call_id}", f"CSeq: {cseq} {method}"]
        lines += [f"Contact: <sip:{self.user}@{self.address}:{self.port}>"] if method in ("INVITE", "UPDATE") else []
        lines += [f"{name}: {value}" for name, value in headers or ()]
        allowed, supported = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK", "timer, replaces" + ", 100rel" * bool(self.wanted.get("prack"))
        lines += [f"Allow: {allowed}", f"Supported: {supported}"] if method == "INVITE" else []
        lines += ["Content-Type: application/sdp"] if sdp else []
        return "\r\n".join([*lines, f"Content-Length: {len(sdp)}", "", sdp])

    def ask(self, method: str, headers: list[list[str]] | None = None, sdp: str = "") -> int:
        """Send a request of a new transaction, and again until it is answered; its CSeq."""
        text = self.request(method, self.cseq, headers=headers, sdp=sdp)
        self.send(text)
        self.due[self.cseq] = (time.time() + T1, 2 * T1, text)
        self.cseq += 1
        return self.cseq - 1

    def receive(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        if not text.strip():
            return
        self.messages.append({"t": time.time(), "dir": "rx", "text": text})
        message = Message(text)
        if message.get("call-id") != self.call_id:
            return
        code = message.code
        if code is None:
            self.asked(message)
            return
        self.due.pop(message.cseq, None)
        if message.body and code < 300:
            self.learn(message.body)
        if message.method == "INVITE" and code >= 200:
            self.acknowledge(message, code)
        elif message.get("rseq") and self.wanted.get("prack"):
            self.acknowledge_early(message)
        self.responses.append(message)

    def acknowledge(self, message: Message, code: int) -> None:
        """Of a 2xx by a request of its own, along the route that it came (RFC 3261 section 13.2.2.4); of others by one of the same branch."""
        if message.cseq not in self.acks:
            if code < 300:
                self.follow(message)
                self.acks[message.cseq] = self.request("ACK", message.cseq)
            else:
                kept, self.remote_to = self.remote_to, message.get("to")
                self.acks[message.cseq] = self.request("ACK", message.cseq, branch=message.find(r"branch=([^;,\s]+)", "via"))
                self.remote_to = kept
        self.send(self.acks[message.cseq])

    def follow(self, message: Message) -> None:
        """Where requests within the call go: to its Contact, along its Record-Route."""
        self.remote_to = message.get("to")
        self.target = message.find(r"<([^>]+)>", "contact") or message.get("contact").partition(";")[0]
        if message.cseq == 1:  # a re-INVITE refreshes the target alone (section 12.2.1.2)
            self.routes = [route for value in message.all("record-route") for route in re.split(r",\s*(?=<)", value)][::-1]

    def acknowledge_early(self, message: Message) -> None:
        """PRACK, once for each RSeq."""
        rack = f"{message.get('rseq')} {message.get('cseq')}"
        if rack not in self.racks:
            self.racks.add(rack)
            self.follow(message)
            self.ask("PRACK", [["RAck", rack]])

    def asked(self, message: Message) -> None:
        if message.method == "ACK":
            return
        if message.method == "BYE" and "users" in self.wanted and not self.signed(message):
            self.answer(message, "407 Proxy Authentication Required", [f'Proxy-Authenticate: Digest realm="carrier", nonce="{self.tag}"'])
            return
        sdp = ""
        if message.method in ("INVITE", "UPDATE") and message.body:
            if "m=audio" not in message.body:
                self.answer(message, "488 Not Acceptable Here")
                return
            offered = re.search(r"(?m)^a=(sendonly|recvonly|inactive)", message.body)
            sdp = self.sdp({"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}[offered[1]] if offered else "")
            self.learn(message.body)
        if message.method == "BYE":
            self.ended_by = self.ended_by or "callee"
        self.answer(message, "200 OK", sdp=sdp)

    def signed(self, message: Message) -> bool:
        given = digest_parameters(message.get("proxy-authorization"))
        password = self.wanted["users"].get(given.get("username"))
        return password is not None and given.get("nonce") == self.tag and given.get("response") == digest_response(given, message.method, password)

    def answer(self, message: Message, status: str, headers: Sequence[str] = (), sdp: str = "") -> None:
        lines = [f"SIP/2.0 {status}", *(f"Via: {via}" for via in message.all("via")), *(f"Record-Route: {route}" for route in message.all("record-route"))]
        lines += [f"{name.title()}: {message.get(name)}" for name in ("from", "to", "call-id", "cseq")]
        lines += [f"Contact: <sip:{self.user}@{self.address}:{self.port}>", *headers] + ["Content-Type: application/sdp"] * bool(sdp)
        self.send("\r\n".join([*lines, f"Content-Length: {len(sdp)}", "", sdp]))

    def learn(self, sdp: str) -> None:
        host, port = re.search(r"(?m)^c=IN IP4 (\S+)", sdp), re.search(r"(?m)^m=audio (\d+)", sdp)
        held = re.search(r"(?m)^a=(sendonly|inactive)", sdp)
        self.media = (host[1], int(port[1])) if host and port and int(port[1]) and not held else None
        event = re.search(r"(?mi)^a=rtpmap:(\d+) telephone-event/8000", sdp)
        self.events = int(event[1]) if event else None

    # --- sound ---

    def hear(self, data: bytes) -> None:
        if len(data) < 12 or 200 <= data[1] <= 204:
            return
        payload, stamp = data[1] & 0x7F, struct.unpack("!I", data[4:8])[0]
        self.sound.packets += 1
        self.sound.last = time.time()
        self.sound.early += self.code is None
        self.sound.types[payload] = self.sound.types.get(payload, 0) + 1
        if payload == 101 and len(data) >= 16 and stamp != self._event:
            self._event = stamp
            self.sound.digits += EVENTS[data[12]] if data[12] < 12 else "?"

    def speak(self, payload: int, body: bytes, stamp: int | None = None, marker: bool = False) -> None:
        if self.media:
            self.sequence = self.sequence + 1 & 0xFFFF
            head = struct.pack("!BBHII", 0x80, payload | marker << 7, self.sequence, (self.stamp if stamp is None else stamp) & 0xFFFFFFFF, self.ssrc)
            self.rtp.sendto(head + body, self.media)

    # --- time ---

    def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Serve the call until the condition holds; whether it did in that time."""
        ends = time.time() + seconds
        while not condition():
            now = time.time()
            if now >= ends:
                return False
            for cseq, (when, wait, text) in list(self.due.items()):
                if now >= when:
                    self.send(text)
                    self.due[cseq] = (now + wait, min(2 * wait, T2) if not text.startswith("INVITE") else 2 * wait, text)
            if self.wanted.get("rtp") and self.media and now >= self.next_packet:
                self.next_packet = max(self.next_packet + 0.02, now)
                self.stamp += 160
                self.speak(8, b"\xd5" * 160)
            ready, _w, _x = select.select([self.sip, self.rtp], [], [], 0.01)
            for sock in ready:
                data = sock.recv(65535)
                self.receive(data) if sock is self.sip else self.hear(data)
        return True

    def response(self, cseq: int, least: int, most: int = 699) -> Message | None:
        return next((answer for answer in self.responses if answer.cseq == cseq and least <= (answer.code or 0) <= most), None)

    def succeeds(self, cseq: int) -> bool:
        """Whether a final answer comes within 10 seconds, and is a 2xx."""
        self.until(lambda: self.response(cseq, 200), 10)
        return self.response(cseq, 200) is not None and self.response(cseq, 300) is None

    # --- steps ---

    def run(self) -> dict[str, Any]:
        invite = self.ask("INVITE", self.wanted.get("headers"), self.sdp())
        failed = None
        for step, *arguments in self.wanted.get("steps") or [["answer"], ["wait", 0.5], ["bye"]]:
            if not getattr(self, f"do_{step}")(invite, *arguments):
                failed = step
                break
        if failed and failed != "bye" and self.response(invite, 200, 299) and not self.ended_by:
            self.do_bye(invite)  # nothing is left behind
        self.until(lambda: False, 0.3)  # what comes late
        final = self.response(invite, 200)
        return {
            "messages": self.messages, "code": final.code if final else None, "ended_by": self.ended_by, "sound": asdict(self.sound), "failed": failed,
            "call_id": self.call_id,
        }  # fmt: skip

    def do_early(self, invite: int, seconds: float) -> bool:
        if not self.until(lambda: self.response(invite, 183, 183) or self.response(invite, 200), 20) or self.response(invite, 200):
            return False
        self.until(lambda: self.response(invite, 200), seconds)
        return True

    def do_answer(self, invite: int) -> bool:
        self.until(lambda: self.response(invite, 200), 40)
        final = self.response(invite, 200)
        self.code = final.code if final else None
        return self.code is not None and self.code < 300

    def do_until(self, _invite: int, path: str) -> bool:
        return self.until(lambda: Path(path).exists(), 300)

    def do_wait(self, _invite: int, seconds: float) -> bool:
        self.until(lambda: self.ended_by, seconds)
        return True

    def do_digits(self, _invite: int, digits: str) -> bool:
        if self.events is None:
            return False
        for digit in digits:
            begun = self.stamp = self.stamp + 1600
            for part in range(1, 9):
                body = struct.pack("!BBH", EVENTS.index(digit), (0x80 if part > 6 else 0) | 10, min(part, 6) * 160)
                self.speak(self.events, body, begun, marker=part == 1)
                kept, self.wanted["rtp"] = self.wanted.get("rtp"), False
                self.until(lambda: False, 0.02)
                self.wanted["rtp"] = kept
            self.until(lambda: False, 0.1)
        return True

    def do_hold(self, _invite: int) -> bool:
        return self.change("sendonly")

    def do_resume(self, _invite: int) -> bool:
        return self.change("sendrecv")

    def change(self, direction: str) -> bool:
        self.direction = direction
        return self.succeeds(self.ask("INVITE", sdp=self.sdp()))

    def do_refresh(self, _invite: int) -> bool:
        return self.succeeds(self.ask("UPDATE", [["Session-Expires", "90;refresher=uac"], ["Supported", "timer"]]))

    def do_until_bye(self, _invite: int, seconds: float) -> bool:
        return self.until(lambda: self.ended_by, seconds)

    def do_cancel(self, invite: int) -> bool:
        first = next(message["text"] for message in self.messages if message["dir"] == "tx")
        self.send(self.request("CANCEL", invite, branch=Message(first).find(r"branch=([^;,\s]+)", "via")))
        return self.do_answer(invite) or self.response(invite, 487) is not None

    def do_bye(self, _invite: int) -> bool:
        if self.ended_by:
            return False
        self.ended_by = "caller"
        return self.succeeds(self.ask("BYE"))


if __name__ == "__main__":
    print(json.dumps(Phone(json.load(sys.stdin)).run()))
