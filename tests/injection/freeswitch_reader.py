# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs beside a throwaway FreeSWITCH: what it took from its files, and what it sends, as JSON. Only Python's own library.

It is the carrier, who challenges each REGISTER and INVITE and notes what comes, and the caller, who dials each number of
the file once. Arguments: the event socket's port and a file with its password, the carrier's port, its digest realm, the port
for callers, a file with the names of the gateways, one with the numbers, and the Lua file to run.
"""

import json
import re
import select
import socket
import sys
import threading
import time

PATIENCE = 20  # seconds without anything new
WINDOW = 20  # calls at once
HEADERS = {"f": "from", "t": "to", "m": "contact", "i": "call-id", "v": "via"}


def parse(data):
    """(first line, {header: first value}, top Via to Call-ID as they stand) of a SIP message."""
    lines = data.decode("utf-8", "surrogateescape").partition("\r\n\r\n")[0].split("\r\n")
    found = {}
    for line in lines[1:]:
        name, _sep, value = line.partition(":")
        name = name.strip().lower()
        found.setdefault(HEADERS.get(name, name), value.strip())
    echoed = [line for line in lines[1:] if re.match(r"(via|v|from|f|call-id|i|cseq)\s*:", line, re.IGNORECASE)]
    return lines[0], found, echoed


class Carrier(threading.Thread):
    """It answers with 401 or 407, and then with what ends it. `seen`: (method, gateway) to what the request said."""

    def __init__(self, port, realm):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(("127.0.0.1", port))
        self.realm, self.seen, self.strange, self.changed = realm, {}, [], time.monotonic()

    def run(self):
        while True:
            data, peer = self.socket.recvfrom(65535)
            if data.startswith((b"REGISTER ", b"INVITE ")):
                self.answer(data, peer)
            elif not data.startswith(b"ACK ") and data.strip():
                self.strange.append(data.decode("utf-8", "backslashreplace"))

    def answer(self, data, peer):
        first, headers, echoed = parse(data)
        method, credentials = first.split()[0], headers.get("authorization") or headers.get("proxy-authorization")
        if not credentials:
            status = "401 Unauthorized" if method == "REGISTER" else "407 Proxy Authentication Required"
            name = "WWW-Authenticate" if method == "REGISTER" else "Proxy-Authenticate"
            more = ['%s: Digest realm="%s", nonce="n", algorithm=MD5' % (name, self.realm)]
        else:
            gateway = re.search(r"sip:gw\+([^@]+)@", headers.get("contact", ""))
            self.seen[method + " " + (gateway.group(1) if gateway else first)] = {
                "uri": first.split(" ")[1],
                "credentials": credentials,
                **{key: headers.get(key) for key in ("from", "to")},
            }
            self.changed = time.monotonic()
            status, more = ("200 OK", ["Contact: %s;expires=3600" % headers.get("contact")]) if method == "REGISTER" else ("486 Busy Here", [])
        answer = ["SIP/2.0 " + status, *echoed, "To: %s;tag=carrier" % headers.get("to"), *more, "Content-Length: 0", "", ""]
        self.socket.sendto("\r\n".join(answer).encode("utf-8", "surrogateescape"), peer)

    def wait(self, names):
        while names - set(self.seen) and time.monotonic() < self.changed + PATIENCE:
            time.sleep(0.05)


def call(numbers, port):
    """Dial each number; {number: status}. The last answer that comes ends a call."""
    mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    mine.bind(("127.0.0.1", 0))
    here = "127.0.0.1:%d" % mine.getsockname()[1]
    body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0\r\n"
    waiting, pending, ended, last = list(numbers), {}, {}, time.monotonic()

    def send(method, number, to, body=""):
        mine.sendto(
            (
                "%s sip:%s@127.0.0.1:%d SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: <sip:1000@127.0.0.1>;tag=%s\r\nTo: %s\r\n"
                "Call-ID: %s\r\nCSeq: 1 %s\r\nContact: <sip:1000@%s>\r\n%sContent-Length: %d\r\n\r\n%s"
                % (method, number, port, here, number, number, to, number, method, here, "Content-Type: application/sdp\r\n" if body else "", len(body), body)
            ).encode(),
            ("127.0.0.1", port),
        )

    while (waiting or pending) and time.monotonic() < last + PATIENCE:
        while waiting and len(pending) < WINDOW:
            number = waiting.pop(0)
            pending[number] = time.monotonic()
            send("INVITE", number, "<sip:%s@127.0.0.1>" % number, body)
        if not select.select([mine], [], [], 0.5)[0]:
            continue
        first, headers, _echoed = parse(mine.recv(65535))
        number = headers.get("call-id")
        if first.startswith("SIP/2.0 ") and int(first.split()[1]) >= 200:
            send("ACK", number, headers["to"])
            if pending.pop(number, None):
                ended[number], last = int(first.split()[1]), time.monotonic()
    return ended


class EventSocket:
    """FreeSWITCH's event socket: a request, an answer."""

    def __init__(self, port, password):
        deadline = time.monotonic() + 30
        while True:
            try:
                self.stream = socket.create_connection(("127.0.0.1", port), timeout=60).makefile("rwb")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.read()
        said = self.ask("auth " + password)
        if "+OK" not in said:
            sys.exit("the event socket says: %s" % said)

    def read(self):
        headers = {}
        for line in iter(self.stream.readline, b""):
            if line == b"\n":
                break
            name, _sep, value = line.decode().partition(":")
            headers[name] = value.strip()
        return headers, self.stream.read(int(headers.get("Content-Length", 0))).decode("utf-8", "surrogateescape")

    def ask(self, line):
        self.stream.write(line.encode() + b"\n\n")
        self.stream.flush()
        headers, body = self.read()
        return headers.get("Reply-Text", body)


def main():
    esl_port, password_file, carrier_port, realm, caller_port, gateways_file, numbers_file, script = sys.argv[1:]
    names, numbers = (open(path, encoding="utf-8").read().split() for path in (gateways_file, numbers_file))
    carrier = Carrier(int(carrier_port), realm)
    carrier.start()
    engine = EventSocket(int(esl_port), open(password_file, encoding="utf-8").read())
    carrier.changed = time.monotonic()
    carrier.wait({"REGISTER " + name for name in names if name.endswith(".registration")})
    ended = call(numbers, int(caller_port))
    json.dump(
        {
            "sent": carrier.seen,
            "strange": carrier.strange,
            "ended": ended,
            "gateways": engine.ask("api sofia xmlstatus gateway"),
            "globals": engine.ask("api global_getvar"),
            "lua": engine.ask("api lua " + script),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
