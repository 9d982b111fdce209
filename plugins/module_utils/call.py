# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a call gets through: one INVITE over UDP (RFC 3261, sections 13 and 17.1.1), which is hung up as soon as it rings.

Plain data in and out: see place(). What a peer sends, or does not send, is in the result and never raised.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
import typing as t

T1, T2 = 0.5, 4.0  # seconds; RFC 3261, section 17.1.1.2
HANG_UP = 4.0  # seconds for the other side to say that it has heard that we hang up
SDP = "v=0\r\no=- 0 0 IN IP4 {here}\r\ns=-\r\nc=IN IP4 {here}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0\r\na=sendrecv\r\n"


def place(number: str, address: str, port: int = 5060, local_address: str | None = None, from_user: str = "siptrunk", timeout: float = 30.0) -> dict:
    """Call `number` at a SIP server (IPv4 address and port, UDP), and hang up when it rings, or is answered.

    Returns {rings: bool, answered: bool, code: int|None, reason: str|None, ms: float|None, error: str|None}: the status that
    decided it (18x, or a final one), after how many milliseconds, and what was wrong if it rang with nobody. `timeout` is in
    seconds. Raises ValueError that names the argument.
    """
    if not re.fullmatch(r"[0-9*#+]{1,32}", number):
        raise ValueError(f"number is {number!r}, expected 1 to 32 of 0-9, *, # and +")
    if not re.fullmatch(r"[0-9A-Za-z*#+._-]{1,64}", from_user):
        raise ValueError(f"from_user is {from_user!r}, expected 1 to 64 of 0-9, A-Z, a-z, *, #, +, ., _ and -")
    if timeout <= 0:
        raise ValueError(f"timeout is {timeout!r}, expected a number above 0")
    result = {"rings": False, "answered": False, "code": None, "reason": None, "ms": None, "error": None}
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
            sip.bind((local_address or "0.0.0.0", 0))
            sip.connect((address, port))  # the kernel passes on what this very peer sends, and its ICMP errors
            rtp.bind((sip.getsockname()[0], 0))
            _Call(sip, rtp.getsockname()[1], number, f"{address}:{port}", from_user, result).run(timeout)
    except OSError as error:
        result["error"] = f"{address}:{port}: {os.strerror(error.errno) if error.errno else error}"
    return result


class Answer(t.NamedTuple):
    """What counts of a response."""

    code: int
    reason: str
    method: str
    to: str
    contact: str
    routes: list[str]


def parse(data: bytes, call_id: str) -> Answer | None:
    """The response of this call that a datagram is, or None."""
    head = data.decode("utf-8", "replace").replace("\r\n", "\n").partition("\n\n")[0]
    head = re.sub(r"\n[ \t]+", " ", head)
    start, *lines = head.split("\n")
    status = re.fullmatch(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", start)
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _colon, value = line.partition(":")
        fields.setdefault({"t": "to", "i": "call-id", "m": "contact"}.get(name.strip().lower(), name.strip().lower()), []).append(value.strip())
    cseq = re.fullmatch(r"1[ \t]+(\S+)|2[ \t]+(BYE)", fields.get("cseq", [""])[0])
    if not status or not cseq or fields.get("call-id") != [call_id]:
        return None
    contact = re.search(r"<([^>]+)>|^([^;]+)", fields.get("contact", [""])[0])
    routes = [route.strip() for value in fields.get("record-route", []) for route in re.split(r",(?=\s*<)", value)]
    return Answer(int(status[1]), status[2] or "", cseq[1] or cseq[2], fields.get("to", [""])[0], contact and (contact[1] or contact[2]) or "", routes)


class _Call:
    def __init__(self, sip: socket.socket, rtp_port: int, number: str, there: str, from_user: str, result: dict) -> None:
        self.sip, self.result = sip, result
        here, port = sip.getsockname()
        self.here, self.uri = f"{here}:{port}", "sip:%s@%s" % (number.replace("#", "%23"), there)
        self.call_id, self.branch = secrets.token_hex(16), f"z9hG4bK{secrets.token_hex(12)}"
        user = from_user.replace("#", "%23")
        self.sender = f"<sip:{user}@{here}>;tag={secrets.token_hex(8)}"
        self.contact = f"<sip:{user}@{self.here}>"
        self.offer = SDP.format(here=here, port=rtp_port)

    def run(self, timeout: float) -> None:
        """Completes the result. Errors: OSError."""
        invite = self._request("INVITE", self.uri, self.branch, f"<{self.uri}>", body=self.offer)
        began = time.monotonic()
        heard, decided = False, None
        for answer in self._answers(invite, "INVITE", timeout):
            heard = True
            if answer.code > 100:
                decided = answer
                break
        self.result["ms"] = round((time.monotonic() - began) * 1000, 1) if decided else None
        if decided is None:
            self.result["error"] = f"no {'ringing' if heard else 'answer'} within {timeout:g} s"
        else:
            self.result.update(code=decided.code, reason=decided.reason, rings=decided.code < 300, answered=200 <= decided.code < 300)
            if decided.code >= 300:
                self.result["error"] = f"{decided.code} {decided.reason}".strip()
        self._end(decided, heard)

    def _end(self, last: Answer | None, heard: bool) -> None:
        """Hang up: CANCEL what has no final answer, and BYE to what was answered, be it meanwhile (RFC 3261, section 9.1)."""
        if last is None and not heard:
            return
        if last is None or last.code < 200:
            cancel = self._request("CANCEL", self.uri, self.branch, f"<{self.uri}>")
            last = next((answer for answer in self._answers(cancel, "INVITE", HANG_UP) if answer.code >= 200), None)
        if last is None:
            return
        if last.code >= 300:
            self.sip.send(self._request("ACK", self.uri, self.branch, last.to))
            return
        target, routes = last.contact or self.uri, last.routes[::-1]
        self.sip.send(self._request("ACK", target, self._new_branch(), last.to, routes))
        bye = self._request("BYE", target, self._new_branch(), last.to, routes, cseq=2)
        next((answer for answer in self._answers(bye, "BYE", HANG_UP) if answer.code >= 200), None)

    def _answers(self, request: bytes, method: str, seconds: float) -> t.Iterator[Answer]:
        """Send a request until something comes back; the answers to that method, until the time is over."""
        ends, interval = time.monotonic() + seconds, T1
        self.sip.send(request)
        again, heard = time.monotonic() + interval, False
        while time.monotonic() < ends:
            self.sip.settimeout(max(0.001, min(ends, ends if heard else again) - time.monotonic()))
            try:
                data = self.sip.recv(65536)
            except socket.timeout:
                if not heard and time.monotonic() < ends:
                    self.sip.send(request)
                    interval = min(2 * interval, T2)
                    again = time.monotonic() + interval
                continue
            answer = parse(data, self.call_id)
            if answer:
                heard = True
                if answer.method == method:
                    yield answer

    @staticmethod
    def _new_branch() -> str:
        return f"z9hG4bK{secrets.token_hex(12)}"

    def _request(self, method: str, uri: str, branch: str, to: str, routes: t.Sequence[str] = (), cseq: int = 1, body: str = "") -> bytes:
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.here};rport;branch={branch}",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in routes),
            f"From: {self.sender}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: {self.contact}",
            "User-Agent: siptrunk.failover",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join([*lines, "", ""]) + body).encode()
