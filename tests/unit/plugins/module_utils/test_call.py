# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call, against a peer that says what the test wants."""

from __future__ import annotations

import socket
import threading

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import call

ROUTES = "Record-Route: <sip:198.18.1.1;lr>\r\nrecord-route: <sip:198.18.1.2;lr>, <sip:198.18.1.3;lr>\r\n"


class Peer:
    """Answers the requests of one call, by their method: [status line], or [] for nothing."""

    def __init__(self, **answers):
        self.answers, self.heard = answers, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(10)
        self.invite = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                data, caller = self.sock.recvfrom(65536)
            except OSError:
                return
            text = data.decode()
            method = text.split(" ", 1)[0]
            self.heard.append(text)
            self.invite = text if method == "INVITE" else self.invite
            for status in self.answers.get(method, []):
                self.sock.sendto(answer_to(self.invite if status.startswith("INVITE ") else text, status.replace("INVITE ", "")), caller)

    def methods(self):
        return [text.split(" ", 1)[0] for text in self.heard]


def header(text, name):
    return next(line.split(": ", 1)[1] for line in text.split("\r\n") if line.startswith(f"{name}: "))


def answer_to(request, status):
    kept = "".join(f"{name}: {header(request, name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
    tag = ";tag=them" if "tag=" not in header(request, "To") else ""
    return f"SIP/2.0 {status}\r\n{kept}{ROUTES}To: {header(request, 'To')}{tag}\r\nm: <sip:there@198.18.1.9:5070>;x\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.fixture
def peer():
    made = []

    def make(**answers):
        made.append(Peer(**answers))
        return made[-1]

    yield make
    for one in made:
        one.sock.close()


def place(peer, timeout=3, number="123#"):
    return call.place(number, *peer.sock.getsockname(), timeout=timeout)


def test_it_rings_and_is_cancelled(peer):
    them = peer(INVITE=["100 Trying", "180 Ringing"], CANCEL=["200 OK", "INVITE 487 Request Terminated"])
    result = place(them)
    assert {key: result[key] for key in ("rings", "answered", "code", "reason", "error")} == {
        "rings": True, "answered": False, "code": 180, "reason": "Ringing", "error": None,
    }  # fmt: skip
    assert 0 < result["ms"] < 2000
    for _wait in range(100):
        if len(them.heard) == 3:
            break
        threading.Event().wait(0.02)
    assert them.methods() == ["INVITE", "CANCEL", "ACK"]
    invite, cancel, ack = them.heard
    assert invite.startswith("INVITE sip:123%23@127.0.0.1:") and "m=audio " in invite
    assert header(cancel, "Via") == header(invite, "Via") == header(ack, "Via")
    assert header(cancel, "CSeq") == "1 CANCEL" and header(ack, "CSeq") == "1 ACK" and header(ack, "To").endswith(";tag=them")


def test_it_is_answered_and_hung_up(peer):
    them = peer(INVITE=["200 OK"], BYE=["200 OK"])
    result = place(them)
    assert result["answered"] and result["rings"] and result["code"] == 200
    assert them.methods() == ["INVITE", "ACK", "BYE"]
    for request in them.heard[1:]:
        assert request.split(" ")[1] == "sip:there@198.18.1.9:5070"
        assert [line for line in request.split("\r\n") if line.startswith("Route: ")] == [
            "Route: <sip:198.18.1.3;lr>", "Route: <sip:198.18.1.2;lr>", "Route: <sip:198.18.1.1;lr>",
        ]  # fmt: skip
    assert header(them.heard[2], "CSeq") == "2 BYE"


def test_it_is_answered_while_it_is_cancelled(peer):
    them = peer(INVITE=["180 Ringing"], CANCEL=["INVITE 200 OK"], BYE=["200 OK"])
    assert place(them)["rings"]
    assert them.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]


def test_it_is_refused(peer):
    them = peer(INVITE=["503 Service Unavailable"])
    result = place(them)
    assert (result["rings"], result["code"], result["error"]) == (False, 503, "503 Service Unavailable")
    threading.Event().wait(0.1)
    assert them.methods() == ["INVITE", "ACK"]


def test_nobody_answers(peer):
    them = peer()
    result = place(them, timeout=0.8)
    assert (result["code"], result["error"]) == (None, "no answer within 0.8 s")
    assert them.methods() == ["INVITE", "INVITE"], "it is sent again after 0.5 s, and nothing is cancelled that nobody heard"


def test_it_does_not_ring(peer):
    them = peer(INVITE=["100 Trying"], CANCEL=["200 OK", "INVITE 487 Request Terminated"])
    assert place(them, timeout=0.7)["error"] == "no ringing within 0.7 s"
    threading.Event().wait(0.1)
    assert them.methods() == ["INVITE", "CANCEL", "ACK"]


def test_what_is_not_ours_counts_for_nothing(peer):
    text = answer_to("Via: v\r\nFrom: f\r\nTo: t\r\nCall-ID: other\r\nCSeq: 1 INVITE", "180 Ringing")
    assert call.parse(text, "mine") is None
    assert call.parse(text.replace(b"other", b"mine"), "mine").code == 180
    assert call.parse(b"\x00\xff", "mine") is None and call.parse(b"", "mine") is None


def test_nobody_is_there():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert call.place("1", "127.0.0.1", port, timeout=2)["error"] == f"127.0.0.1:{port}: Connection refused"


@pytest.mark.parametrize(("number", "caller", "timeout"), [("sip:x", "me", 1), ("", "me", 1), ("1", "me", 0), ("1", "", 1), ("1", "me>\r\nX: y", 1)])
def test_bad_arguments(number, caller, timeout):
    with pytest.raises(ValueError, match="^(number|from_user|timeout) is "):
        call.place(number, "127.0.0.1", from_user=caller, timeout=timeout)
