# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets what through the SBC without a call: datagrams by hand, from each side."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from engines import Kamailio
from harness import SEND, Lab, enter, wait_until

LAB = Lab(pbx=Kamailio.host)
SBC = f"{LAB.addresses['sbc']}:5060"
EAR = 5999
ADDRESSES = {**LAB.addresses, **{host: LAB.caller_at(host).address for host in ("ns", "caller")}}

# Sends a datagram to the SBC from an address, so and so often, and prints the first lines of what it hears within a second of the last, or until "over".
# Waits for answers where more datagrams than the last argument says are without one.
SPEAK = """
import json, socket, sys
own, port, to, text, times, open = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(":"), sys.argv[4], int(sys.argv[5]), int(sys.argv[6])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.bind((own, port))
    link.settimeout(1)
    heard = []
    for number in range(times):
        while number - len(heard) >= open:
            heard.append(link.recv(65535).decode().split("\\r\\n")[0])
        link.sendto(text.replace("NUMBER", str(number)).encode(), (to[0], int(to[1])))
    try:
        while len(heard) < 10000:
            line = link.recv(65535).decode().split("\\r\\n")[0]
            if line == "over":
                break
            heard.append(line)
    except socket.timeout:
        pass
print(json.dumps(heard))
"""


def speak(host, text, times=1, own=None, unanswered=10000):
    return json.loads(enter(LAB.container(host), ["python3", "-c", SPEAK, own or ADDRESSES[host], str(EAR), SBC, text, str(times), str(unanswered)]))


def hears(host, function):
    """What comes to a port of the host meanwhile, from the SBC."""
    container, listen = LAB.container(host), SPEAK.replace("settimeout(1)", "settimeout(60)")
    with ThreadPoolExecutor() as pool:
        ear = pool.submit(enter, container, ["python3", "-c", listen, ADDRESSES[host], str(EAR + 1), SBC, "", "0", "1"])
        wait_until(lambda: enter(container, ["ss", "-Hlnu", "sport", "=", f":{EAR + 1}"]), 20, "the ear")
        answer = function()
        enter(container, ["python3", "-c", SEND, ADDRESSES[host], str(EAR + 1)], "over")
        return answer, json.loads(ear.result())


def request(method, host, to, routed=True):
    """One within a call that there is not."""
    own = f"{ADDRESSES[host]}:{EAR}"
    return "\r\n".join([
        f"{method} sip:x@{to} SIP/2.0",
        f"Via: SIP/2.0/UDP {own};branch=z9hG4bK{method}NUMBER{time.time()}",
        *([f"Route: <sip:{SBC};lr>"] if routed else []),
        "Max-Forwards: 70",
        f"From: <sip:a@{own}>;tag=one",
        f"To: <sip:b@{SBC}>{';tag=two' if routed else ''}",
        f"Call-ID: NUMBER{time.time()}@access",
        f"CSeq: 1 {method}",
        f"Contact: <sip:a@{own}>",
        "Content-Length: 0",
        "",
        "",
    ])


def there(host):
    return f"{ADDRESSES[host]}:{EAR + 1}"


def test_the_phone_reaches_a_carrier_by_a_route():
    """In a call that nobody knows, as after a restart; and what the tests below do not hear could be heard."""
    _answer, heard = hears("beta1", lambda: speak("caller", request("ACK", "caller", there("beta1"))))
    assert [line.split()[0] for line in heard] == ["ACK"]


@pytest.mark.parametrize(("method", "code"), [("BYE", "403"), ("ACK", None), ("INFO", "403"), ("MESSAGE", "481"), ("INVITE", "481"), ("KDMQ", None)])
def test_nobody_gets_out_again_by_a_route(method, code):
    answer, heard = hears("beta1", lambda: speak("acme1", request(method, "acme1", there("beta1"))))
    assert not heard
    assert [line.split()[1] for line in answer] == ([code] if code else [])


@pytest.mark.parametrize(("method", "code"), [("BYE", "403"), ("ACK", None), ("INVITE", "403")])
def test_a_stranger_gets_nowhere_by_a_route(method, code):
    answer, heard = hears("caller", lambda: speak("ns", request(method, "ns", there("caller"))))
    assert not heard
    assert [line.split()[1] for line in answer] == ([code] if code else [])


@pytest.mark.parametrize("host", ["acme1", "ns"])
@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_an_answer_to_nothing_comes_from_a_carrier_alone(host, method):
    vias = [f"Via: SIP/2.0/UDP {address};branch=z9hG4bK{time.time()}" for address in (SBC, there("caller"))]
    rest = ["From: <sip:a@b>;tag=one", "To: <sip:b@a>;tag=two", "Call-ID: none@access", f"CSeq: 1 {method}", "Content-Length: 0", "", ""]
    _answer, heard = hears("caller", lambda: speak(host, "\r\n".join(["SIP/2.0 200 OK", *vias, *rest])))
    assert heard == (["SIP/2.0 200 OK"] if host == "acme1" else [])


def test_a_flood_hears_nothing_and_a_carrier_is_none():
    own = LAB.addresses["sbc"].rsplit(".", 1)[0] + ".200"
    enter(LAB.container("ns"), ["ip", "addr", "add", f"{own}/24", "dev", "eth0"])
    try:
        flood = request("OPTIONS", "ns", SBC, routed=False)
        assert 0 < len(speak("ns", flood, 1500, own)) < 1000
    finally:
        enter(LAB.container("ns"), ["ip", "addr", "del", f"{own}/24", "dev", "eth0"])
    assert len(speak("acme1", request("OPTIONS", "acme1", SBC, routed=False), 2000, unanswered=20)) == 2000
