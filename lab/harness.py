# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls, carriers and faults of a lab, from Python: for the contract tests, the demonstration and the bench.

Containers are reached with `podman exec`; run this under lab/run. What a caller saw is read from
SIPp's own message log, what a carrier saw from lab/carrier.py's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

STATE_DIR = "/var/lib/carrier"
CARRIERS = ("acme1", "acme2", "beta1")


def podman(container: str, argv: Iterable[str], stdin: str | None = None, check: bool = True) -> str:
    """Run a command in a container; its standard output."""
    done = subprocess.run(
        ["podman", "exec", "-i", container, *argv], input=stdin, capture_output=True, text=True, check=False, timeout=600, errors="replace"
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{container}: {' '.join(argv)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


# --- carriers ----------------------------------------------------------------------------


@dataclass
class Carrier:
    """A carrier host of the lab."""

    name: str
    container: str

    def tell(self, **control: object) -> None:
        """Say what to do from the next request on; what is not named is as usual (see lab/carrier.py)."""
        text = json.dumps(control)
        podman(self.container, ["sh", "-c", f"cat > {STATE_DIR}/.control && mv {STATE_DIR}/.control {STATE_DIR}/control.json"], text)

    def wire(self, since: float = 0.0) -> list[dict]:
        """What it received and sent since that moment (seconds of the epoch), oldest first."""
        lines = podman(self.container, ["cat", f"{STATE_DIR}/wire.jsonl"], check=False).splitlines()
        return [line for line in map(json.loads, lines) if line["t"] >= since]

    def invites(self, since: float) -> list[dict]:
        """The INVITEs it received since then, one for each call, without retransmissions and answers to challenges."""
        first: dict[str, dict] = {}
        for line in self.wire(since):
            if line["dir"] == "rx" and line["method"] == "INVITE" and line["first"].startswith("INVITE") and not line["retrans"]:
                first.setdefault(line["call_id"], line)
        return list(first.values())


# --- the caller --------------------------------------------------------------------------


@dataclass
class CallResult:
    """What the caller saw. Times are seconds after the INVITE."""

    number: str
    started: float  # seconds of the epoch
    code: int | None  # final status of the INVITE; None when none came
    pdd: float | None  # post-dial delay: until the first ringing, progress or final answer
    answered: float | None
    provisionals: list[tuple[float, int]]
    ended_by: str | None  # caller, callee, cancel or failure
    messages: list[tuple[float, str, str]]  # (seconds of the epoch, "rx" or "tx", the whole message)


_MESSAGE = re.compile(r"^-{10,} (\d{4}-\d\d-\d\d)[T\s](\d\d:\d\d:\d\d\.\d+)Z?.*\n(?:UDP|TCP) message (sent|received)[^\n]*\n\n", re.MULTILINE)


def parse_messages(text: str) -> list[tuple[float, str, str]]:
    """SIPp's message log (-trace_msg) as (seconds of the epoch, "rx" or "tx", message)."""
    marks = list(_MESSAGE.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    messages = []
    for mark, end in zip(marks, ends, strict=True):
        moment = datetime.strptime(f"{mark[1]} {mark[2]}", "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
        messages.append((moment, "tx" if mark[3] == "sent" else "rx", text[mark.end() : end].strip() + "\n"))
    return messages


def call_result(number: str, messages: list[tuple[float, str, str]]) -> CallResult:
    """One call, from the messages of its caller."""
    started = next((moment for moment, way, text in messages if way == "tx" and text.startswith("INVITE")), 0.0)
    provisionals: list[tuple[float, int]] = []
    code, final, answered, ended_by = None, None, None, None
    for moment, way, text in messages:
        if way == "rx" and text.startswith("SIP/2.0 ") and _method(text) == "INVITE":
            status = int(text.split()[1])
            if status < 200:
                provisionals.append((moment - started, status))
            elif code is None:
                code, final = status, moment - started
                answered = moment - started if status == 200 else None
                ended_by = None if status == 200 else "failure"
        elif way == "tx" and text.startswith("CANCEL"):
            ended_by = "cancel"
        elif text.startswith("BYE ") and ended_by is None:
            ended_by = "caller" if way == "tx" else "callee"
    if any(way == "tx" and text.startswith("CANCEL") for _moment, way, text in messages):
        ended_by = "cancel"
    heard = [moment for moment, status in provisionals if status > 100] + ([final] if final is not None else [])
    return CallResult(number, started, code, min(heard, default=None), answered, provisionals, ended_by, messages)


def _method(text: str) -> str:
    found = re.search(r"(?im)^CSeq:\s*\d+\s+(\w+)", text)
    return found.group(1) if found else ""


@dataclass
class LoadResult:
    """Many calls at once: how many ended with which status."""

    codes: Counter
    pdd: list[float]  # seconds, sorted, of the calls that were answered


@dataclass
class Caller:
    """The phone: SIPp in its own container."""

    container: str
    address: str
    pbx: str

    def call(
        self, number: str, hold: float = 0.5, cancel_after: float | None = None, callee_hangs_up: bool = False, timeout: float = 60
    ) -> CallResult:
        """Place one call and see it through. `cancel_after`: seconds after ringing, or after 100 when it does not ring."""
        scenario = cancelling(cancel_after) if cancel_after is not None else calling(hold, callee_hangs_up)
        return call_result(number, parse_messages(self._sipp(scenario, number, 1, 1, timeout)))

    def load(self, number: str, calls: int, rate: float, hold: float = 1.0, timeout: float = 120) -> LoadResult:
        """Place `calls` calls, `rate` per second."""
        by_call: dict[str, list] = {}
        for message in parse_messages(self._sipp(calling(hold, False), number, calls, rate, timeout)):
            found = re.search(r"(?im)^(?:Call-ID|i):\s*(\S+)", message[2])
            by_call.setdefault(found.group(1) if found else "", []).append(message)
        results = [call_result(number, messages) for messages in by_call.values()]
        return LoadResult(Counter(result.code for result in results), sorted(r.pdd for r in results if r.answered is not None and r.pdd is not None))

    def _sipp(self, scenario: str, number: str, calls: int, rate: float, timeout: float) -> str:
        """Run SIPp; its message log. The scenario comes on standard input, so that one exec does it all."""
        command = (
            'd=$(mktemp -d) && cd "$d" && cat > s.xml && '
            f"sipp {self.pbx}:5060 -i {self.address} -p 5060 -mi {self.address} -sf s.xml -s {number} -m {calls} -r {rate} -l {max(calls, 1)} "
            f"-nostdin -timeout {timeout:g}s -timeout_error -trace_msg -message_file m.log -recv_timeout {int(timeout * 1000)} > out 2>&1 </dev/null; "
            'cat m.log 2>/dev/null || cat out >&2; rm -rf "$d"'
        )
        return podman(self.container, ["sh", "-c", command], scenario, check=False)


_INVITE = """INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
From: <sip:1000@[local_ip]:[local_port]>;tag=[pid]c[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:1000@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 30000 RTP/AVP 8 0
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
"""
_REQUEST = """{method} {uri} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
From: <sip:1000@[local_ip]:[local_port]>;tag=[pid]c[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{tag}
Call-ID: [call_id]
CSeq: {number} {method}
Max-Forwards: 70
Content-Length: 0

"""
_OK = """SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

"""
_TARGET = "sip:[service]@[remote_ip]:[remote_port]"


def _send(message: str, **attributes: object) -> str:
    return f"<send{_attributes(attributes)}><![CDATA[\n{message}]]></send>"


def _receive(**attributes: object) -> str:
    return f"<recv{_attributes(attributes)}/>"


def _attributes(attributes: dict[str, object]) -> str:
    return "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())


def _request(method: str, branch: str, number: int, uri: str = _TARGET, tag: str = "[peer_tag_param]") -> str:
    return _REQUEST.format(method=method, uri=uri, branch=branch, number=number, tag=tag)


def _scenario(*steps: str) -> str:
    return "\n".join(['<?xml version="1.0" encoding="ISO-8859-1" ?>', '<scenario name="caller">', *steps, "</scenario>"])


def _any_failure(label: int) -> list[str]:
    return [_receive(response=code, optional="true", next=label) for code in range(300, 700)]


def calling(hold: float, callee_hangs_up: bool) -> str:
    """A SIPp scenario: call, and after an answer hang up after `hold` seconds, or wait for the other side's BYE."""
    failed, end = 1, 2
    if callee_hangs_up:
        talk = [_receive(request="BYE"), _send(_OK)]
    else:
        talk = [f'<pause milliseconds="{int(hold * 1000)}"/>', _send(_request("BYE", "[branch]", 2, "[next_url]"), retrans=500), _receive(response=200)]
    talk[-1] = talk[-1].replace("<send>", f'<send next="{end}">') if callee_hangs_up else talk[-1].replace("/>", f' next="{end}"/>')
    return _scenario(
        _send(_INVITE.format(branch="[branch]"), retrans=500),
        *(_receive(response=code, optional="true") for code in (100, 180, 181, 182, 183, 199)),
        *_any_failure(failed),
        _receive(response=200),
        _send(_request("ACK", "[branch]", 1, "[next_url]")),
        *talk,
        f'<label id="{failed}"/>',
        _send(_request("ACK", "[branch-1]", 1)),
        f'<label id="{end}"/>',
    )


def cancelling(after: float) -> str:
    """A SIPp scenario: give up `after` seconds after it rings, or after 100 when it does not."""
    ringing, cancel, milliseconds = 1, 2, int(after * 1000)
    branch = "z9hG4bK-cancel-[pid]-[call_number]"
    return _scenario(
        _send(_INVITE.format(branch=branch), retrans=500),
        _receive(response=100),
        _receive(response=180, timeout=milliseconds, ontimeout=cancel, next=ringing),
        f'<label id="{ringing}"/>',
        _receive(response=200, timeout=milliseconds, ontimeout=cancel),
        f'<label id="{cancel}"/>',
        _send(_request("CANCEL", branch, 1, tag=""), retrans=500),
        _receive(response=200),
        _receive(response=487),
        _send(_request("ACK", branch, 1)),
        '<pause milliseconds="2000"/>',
    )


# --- the lab -----------------------------------------------------------------------------


@dataclass
class Lab:
    """All of a lab that stands: SIPTRUNK_LAB names it, SIPTRUNK_LAB_NET is the third part of its network."""

    name: str = field(default_factory=lambda: os.environ.get("SIPTRUNK_LAB", "lab"))
    net: str = field(default_factory=lambda: f"198.18.{os.environ.get('SIPTRUNK_LAB_NET', '10')}")

    def container(self, host: str) -> str:
        return f"siptrunk-{self.name}-{host}"

    def __post_init__(self) -> None:
        self.addresses = {"acme1": f"{self.net}.21", "acme2": f"{self.net}.22", "beta1": f"{self.net}.31", "pbx": f"{self.net}.11"}
        self.carriers = {host: Carrier(host, self.container(host)) for host in CARRIERS}
        self.caller = Caller(self.container("caller"), f"{self.net}.91", self.addresses["pbx"])

    def host_of(self, target: str) -> str:
        """The host of "address:port"."""
        address = target.rpartition(":")[0]
        return next((host for host, known in self.addresses.items() if known == address), address)

    def reset(self) -> None:
        """All carriers answer again."""
        for carrier in self.carriers.values():
            carrier.tell()


def wait_until(condition, timeout: float, what: str, interval: float = 0.25) -> float:
    """Seconds until `condition()` was true; TimeoutError names `what` otherwise."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise TimeoutError(f"{what}: not within {timeout:g} seconds")
        time.sleep(interval)
    return time.monotonic() - began
