# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls, carriers and faults of a lab, from Python: for the contract tests, the demonstration and the bench.

Run this under lab/run. A command in a container enters its namespaces (`enter`), which takes a hundredth of a second where `podman exec`
takes a third, mostly of the processor's. Files are read from outside (`read_file`). What a caller saw is read from SIPp's own message
log, what a carrier saw from lab/carrier.py's.

Moments are seconds of the epoch: containers share the host's clock.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

CARRIERS = ("acme1", "acme2", "beta1")
SCENARIO = Path(__file__).parent / "sipp" / "uac.xml"
UNTIL_HUNG_UP_ON = 3600.0
NEW_NAME_SERVER = """
old=$(pgrep --parent 1 nsd)
kill $old
while [ -e /proc/$old ]; do sleep 0.02; done
until [ "$(ss -Hlun sport = :53)" ]; do sleep 0.02; done
"""
AT_MOST = 480.0  # seconds for calls that a test ends; a command in a container may take ten minutes
# The phone hangs up when it receives this (lab/sipp/uac.xml): no SIP method, so nobody else sends it.
HANG_UP = (
    "HANGUP sip:phone SIP/2.0\r\nVia: SIP/2.0/UDP {0};branch=z9hG4bK{1}\r\nFrom: <sip:test@{0}>;tag=1\r\nTo: <sip:phone@{0}>;tag=1\r\n"
    "Call-ID: {1}\r\nCSeq: 1 HANGUP\r\nContent-Length: 0\r\n\r\n"
)
SEND = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.stdin.buffer.read(), (sys.argv[1], int(sys.argv[2])))"

Run = Callable[..., str]  # (container, argv, input=None, check=True) -> standard output


class _Root:
    """The first process of a container, as long as it runs."""

    def __init__(self, container: str) -> None:
        said = subprocess.run(["podman", "inspect", "--format", "{{.State.Pid}}", container], capture_output=True, text=True, check=False).stdout.strip()
        if said in ("", "0"):
            raise ProcessLookupError(f"{container} does not run")
        self.pid, self._process = said, os.pidfd_open(int(said))

    def runs(self) -> bool:
        try:
            signal.pidfd_send_signal(self._process, 0)
        except ProcessLookupError:
            os.close(self._process)
            return False
        return True


_roots: dict[str, _Root] = {}
_entering = threading.Lock()
_ENVIRONMENT = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=xterm", "container=podman")


def root_of(container: str) -> str:
    """The process id of the container's first process; ProcessLookupError when it does not run."""
    with _entering:
        known = _roots.pop(container, None)
        _roots[container] = known if known and known.runs() else _Root(container)
        return _roots[container].pid


def entering(container: str) -> list[str]:
    """What a command starts with that runs in a container: root in its namespaces, with a clean environment. ProcessLookupError when it does not run.

    The command is no part of the container's own: it has all capabilities, and does not stop with the container (`Lab.freeze`).
    """
    return ["nsenter", f"--target={root_of(container)}", *("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"), *_ENVIRONMENT]


def enter(container: str, argv: Iterable[str], input: str | None = None, check: bool = True) -> str:
    """Run a command in a container; its standard output. `check`: RuntimeError when it fails."""
    try:
        command = [*entering(container), *argv]
    except ProcessLookupError as error:
        if check:
            raise RuntimeError(str(error)) from error
        return ""
    done = subprocess.run(command, input=input or "", capture_output=True, text=True, check=False, timeout=600, errors="replace")
    if check and done.returncode != 0:
        raise RuntimeError(f"{container}: {' '.join(argv)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def beside(container: str, argv: Iterable[str]) -> subprocess.Popen[bytes]:
    """Start a program in a container, beside what runs there. Its own process id is in no namespace of the container's, so ending it is simple."""
    nsenter, *options = entering(container)
    return subprocess.Popen([nsenter, "--no-fork", *options, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def open_file(container: str, path: str) -> BinaryIO:
    """A file of a container, without entering it; FileNotFoundError when there is none. `path` leads through no absolute link."""
    return open(f"/proc/{root_of(container)}/root{path}", "rb")


def read_file(container: str, path: str) -> bytes:
    """What `open_file` reads."""
    with open_file(container, path) as stream:
        return stream.read()


def state_folder(lab: str, host: str = "") -> Path:
    """Where a host of the lab that runs one program (hosts.py) keeps its files, as the controller sees it."""
    return Path(os.environ["SIPTRUNK_RUN"]) / "state" / lab / host


# --- carriers ----------------------------------------------------------------------------


@dataclass
class Carrier:
    """A host that runs lab/carrier.py with this state folder."""

    state: Path

    def tell(self, **control: object) -> None:
        """Say what to do from now on; what is not named is as usual (see lab/carrier.py). Returns when the carrier has read it."""
        new = self.state / "control.new"
        new.write_text(json.dumps(control), encoding="utf-8")
        new.replace(self.state / "control.json")
        self.runs()

    def runs(self) -> bool:
        """Whether it runs; it has read its control file then. One that is frozen reads it when it goes on, one that is dead when it starts."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(3)
            try:
                link.connect(str(self.state / "control.sock"))
                return link.recv(1) != b""
            except OSError:
                return False

    def reset(self) -> None:
        """As usual: it answers calls and probes, and accepts registrations."""
        self.tell()

    def _lines(self, name: str) -> list[str]:
        path = self.state / name
        return path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines() if path.exists() else []  # the last line may be unfinished

    def wire(self, since: float | None = None) -> list[dict]:
        """What it received and sent since that moment, oldest first."""
        found = []
        for line in reversed(self._lines("wire.jsonl")):
            moment = float(line[line.index(":") + 1 : line.index(",")])  # the first field of each line
            if moment < (since or 0):
                break
            found.append(json.loads(line))
        return found[::-1]

    def sound(self, call_id: str) -> dict:
        """What it heard of a call that it sent sound to and that has ended (lab/carrier.py, sound.jsonl); empty before that."""
        return next((line for line in map(json.loads, reversed(self._lines("sound.jsonl"))) if line["call_id"] == call_id), {})

    def heard(self, call_id: str) -> list[float]:
        """When a packet of sound came in, of a call that it answered with `rtp` and that has ended."""
        return self.sound(call_id).get("heard", [])

    def invites(self, since: float | None = None) -> list[dict]:
        """The calls it received since then; see `invites`."""
        return invites(self.wire(since))


def invites(wire: Iterable[dict]) -> list[dict]:
    """Calls of a carrier's log: the line of the first INVITE of each Call-ID, without re-INVITEs, and

    retransmissions  how often that INVITE came again
    responses        status codes sent to INVITEs, in order, without repetitions
    cancelled, acked whether CANCEL and ACK were received
    bye              "rx" when the PBX hung up, "tx" when the carrier did, None for neither
    """
    calls: dict[str, dict] = {}
    for line in wire:
        call = calls.get(line["call_id"])
        if line["first"].startswith("INVITE "):
            if call is None and ";tag=" not in line["headers"]["to"]:
                new = {"retransmissions": 0, "responses": [], "cancelled": False, "acked": False, "bye": None}
                calls[line["call_id"]] = {**line, **new}
            elif call and line["retrans"]:
                call["retransmissions"] += 1
        elif call is None:
            continue
        elif line["code"] and line["method"] == "INVITE" and not line["retrans"]:
            call["responses"].append(line["code"])
        elif line["first"].startswith("BYE "):
            call["bye"] = call["bye"] or line["dir"]
        elif line["first"].startswith(("ACK ", "CANCEL ")):
            call["acked" if line["method"] == "ACK" else "cancelled"] = True
    return list(calls.values())


# --- what a caller saw -------------------------------------------------------------------


class Message(NamedTuple):
    """One message of SIPp's log."""

    t: float
    dir: str  # rx or tx
    text: str

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def code(self) -> int | None:
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """The method of a request, and the one a response answers."""
        return self.first.split()[0] if self.code is None else self.header("CSeq").split()[-1]

    def header(self, name: str) -> str:
        found = re.search(rf"(?im)^{name}\s*:[ \t]*(.*?)[ \t]*$", self.text)
        return found.group(1) if found else ""


@dataclass
class CallResult:
    """What the caller saw of one call. Delays are seconds after the INVITE."""

    number: str
    started: float  # moment of the INVITE
    call_id: str = ""
    code: int | None = None  # final status of the INVITE; None when none came, in time
    reason: str = ""  # its phrase
    pdd: float | None = None  # post-dial delay: to the first ringing, progress or final answer
    ring_pdd: float | None = None  # to the first 180
    answered_pdd: float | None = None  # to the 200
    provisionals: list[tuple[float, int]] = field(default_factory=list)  # (delay, status), 100 among them
    ended_by: str | None = None  # caller, callee, cancel (by the caller) or failure; None when it timed out
    talk: float | None = None  # seconds from the 200 to the first BYE
    messages: list[tuple[float, str, str]] = field(default_factory=list)  # (moment, "rx" or "tx", first line)


@dataclass
class LoadResult:
    """Many calls at once."""

    codes: Counter  # final status, None for calls that timed out: how many
    pdd: list[float]  # post-dial delays of the answered calls, sorted
    results: list[CallResult] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """Calls that failed after they rang, as when the carrier dies in between: nobody else is asked for those (the contract's rule 5)."""
        return sum(1 for call in self.results if call.code != 200 and any(code > 100 for _delay, code in call.provisionals))

    def percentile(self, percent: float) -> float:
        """The post-dial delay that so many of the answered calls stayed within (nearest rank)."""
        return self.pdd[max(0, math.ceil(len(self.pdd) * percent / 100) - 1)] if self.pdd else math.nan


_RULE = re.compile(r"^-{40,}[ \t]*", re.MULTILINE)
_HEAD = re.compile(r"(\d{4}-\d\d-\d\d)[T\s](\d\d:\d\d:\d\d\.\d+)Z?[^\n]*\n\w+ message (sent|received)[^\n]*\n\n")


def parse_sipp_messages(text: str) -> list[Message]:
    """SIPp's message log (-trace_msg); SIPp 3.8 writes UTC, earlier ones local time, which is UTC in the lab."""
    messages = []
    for block in _RULE.split(text.replace("\r\n", "\n")):
        head = _HEAD.match(block)  # SIPp repeats a message it did not expect in a block without a time
        if head:
            moment = datetime.fromisoformat(f"{head[1]} {head[2]}").replace(tzinfo=UTC).timestamp()
            messages.append(Message(moment, "tx" if head[3] == "sent" else "rx", block[head.end() :].strip() + "\n"))
    return messages


def call_result(messages: list[Message], number: str = "") -> CallResult:
    """The first call of these messages, from its INVITE on; without one, `started` is 0."""
    messages = next(iter(by_call(messages)), [])
    if not messages:
        return CallResult(number, 0.0)
    invite = messages[0]
    answers = [m for m in messages if m.dir == "rx" and m.code and m.method == "INVITE"]
    final = next((m for m in answers if m.code >= 200), None)
    provisionals = [(m.t - invite.t, m.code) for m in answers if m.code < 200]
    bye = next((m for m in messages if m.first.startswith("BYE ")), None)
    result = CallResult(number, invite.t, invite.header("Call-ID"), provisionals=provisionals)
    result.messages = [(m.t, m.dir, m.first) for m in messages]
    result.ring_pdd = next((delay for delay, code in provisionals if code == 180), None)
    result.pdd = next((delay for delay, code in provisionals if code > 100), final.t - invite.t if final else None)
    if final:
        result.code, result.reason = final.code, final.first.split(" ", 2)[-1]
        result.answered_pdd = final.t - invite.t if final.code == 200 else None
        result.talk = bye.t - final.t if bye and final.code == 200 else None
    if any(m.dir == "tx" and m.first.startswith("CANCEL ") for m in messages):
        result.ended_by = "cancel"
    elif bye:
        result.ended_by = "caller" if bye.dir == "tx" else "callee"
    elif final and final.code >= 300:
        result.ended_by = "failure"
    return result


def timed_out(result: CallResult) -> CallResult:
    """The result of a caller who had no mind to cancel: a CANCEL means that it waited in vain."""
    if result.ended_by != "cancel":
        return result
    heard = min((delay for delay, code in result.provisionals if code > 100), default=None)
    return replace(result, code=None, reason="", pdd=heard, answered_pdd=None, ended_by=None, talk=None)


def by_call(messages: Iterable[Message]) -> list[list[Message]]:
    """The messages of each call that was placed, in the order of the INVITEs; stragglers of earlier runs are left out."""
    calls: dict[str, list[Message]] = {}
    for message in messages:
        call_id = message.header("Call-ID")
        if call_id in calls:
            calls[call_id].append(message)
        elif message.dir == "tx" and message.method == "INVITE":
            calls[call_id] = [message]
    return list(calls.values())


# --- the caller --------------------------------------------------------------------------


@dataclass
class Caller:
    """The phone: SIPp in its own container, with lab/sipp/uac.xml."""

    container: str
    address: str
    pbx: str
    run: Run = enter
    transport: str = "udp"  # or tcp
    port: int = 5060  # of its own
    pbx_port: int = 5060

    def call(
        self,
        number: str,
        hold: float = 0.5,
        cancel_after: float | None = None,
        timeout: float = 60,
        from_user: str = "1000",
        callee_hangs_up: bool = False,
        echo: bool = False,
    ) -> CallResult:
        """Place one call and see it through.

        hold             seconds to talk; a callee that hangs up before that ends the call
        callee_hangs_up  talk until the callee hangs up
        echo             send back the sound that comes in; without it the phone is mute
        cancel_after     seconds after the INVITE: CANCEL, unless the call was answered or failed before;
                         then two more seconds of listening. A call that heard nothing at all is dropped
                         without CANCEL (RFC 3261 section 9.1).
        timeout          seconds to wait for a final answer. After it the caller gives up in the same way,
                         and the result has no code.
        """
        gives_up = timeout if cancel_after is None else cancel_after
        talk = 0 if cancel_after is not None else UNTIL_HUNG_UP_ON if callee_hangs_up else hold
        limit = gives_up + (timeout if callee_hangs_up else talk) + 25
        result = call_result(self.sipp(number, talk, gives_up, limit, from_user, echo=echo), number)
        return result if cancel_after is not None else timed_out(result)

    def load(
        self, number: str | list[str], calls: int, rate: float, hold: float = 1.0, timeout: float = 60, from_user: str = "1000", name: str = ""
    ) -> LoadResult:
        """Place `calls` calls, `rate` per second, of several numbers in turn; `hold` and `timeout` are those of each call."""
        limit = calls / rate + timeout + hold + 25
        messages = self.sipp(number, hold, timeout, limit, from_user, calls, rate, name=name)
        results = [timed_out(call_result(call, re.sub(r"^INVITE sip:|@.*", "", call[0].first))) for call in by_call(messages)]
        pdd = sorted(r.pdd for r in results if r.code == 200 and r.pdd is not None)
        return LoadResult(Counter(r.code for r in results), pdd, results)

    @contextmanager
    def talking(self, number: str) -> Iterator[Future[CallResult]]:
        """A call that lasts as long as the block does: the phone hangs up at its end. What becomes of the call is known after it."""
        name = secrets.token_hex(6)
        with ThreadPoolExecutor() as pool:
            messages = pool.submit(self.sipp, number, AT_MOST, 60, AT_MOST, "1000", name=name)
            result: Future[CallResult] = Future()
            try:
                yield result
            finally:
                self.run(self.container, ["python3", "-c", SEND, self.address, str(self.port)], HANG_UP.format(self.address, f"{name}-1@{self.address}"))
                result.set_result(call_result(messages.result(), number))

    @contextmanager
    def calling(self, number: str, rate: float, hold: float = 1.0) -> Iterator[Future[LoadResult]]:
        """As `load`, with new calls as long as the block lasts. What became of all is known after it."""
        name = secrets.token_hex(6)
        with ThreadPoolExecutor() as pool:
            load = pool.submit(self.load, number, int(rate * AT_MOST), rate, hold, 60, "1000", name)
            result: Future[LoadResult] = Future()
            try:
                yield result
            finally:  # SIPp places no more calls then, and ends with the last one
                self.run(self.container, ["pkill", "-USR1", "-f", f"^sipp .*{name}"], check=False)
                result.set_result(load.result())

    def sipp(
        self,
        number: str | list[str],
        talk: float,
        gives_up: float,
        limit: float,
        from_user: str,
        calls: int = 1,
        rate: float = 1,
        echo: bool = False,
        scenario: Path = SCENARIO,
        name: str = "",
        ends: float = 8,
    ) -> list[Message]:
        """Run SIPp, for `limit` seconds at most; its message log. The scenario comes on standard input, so that one command does it all.

        ends  seconds to wait for the answer to a BYE or CANCEL
        """
        options = [
            f"{self.pbx}:{self.pbx_port}", "-sf", "uac.xml", "-inf", "numbers.csv", "-key", "from", from_user, "-t", f"{self.transport[0]}1",
            "-i", self.address, "-p", str(self.port), "-mi", self.address, "-cid_str", f"{name or secrets.token_hex(6)}-%u@%s",
            "-m", str(calls), "-l", str(calls), "-r", f"{rate:g}", "-d", str(int(talk * 1000)), "-recv_timeout", str(int(gives_up * 1000)),
            "-aa", "-rtcheck", "loose", "-nostdin", "-timeout", f"{math.ceil(limit)}s", "-trace_msg", "-message_file", "messages.log",
            *(["-rtp_echo", "-mp", "30000"] if echo else []),
        ]  # fmt: skip
        numbers = shlex.join([number] if isinstance(number, str) else number)
        script = (
            'd=$(mktemp -d) && cd "$d" && cat > uac.xml || exit 1; '
            f"printf '%s;\\n' SEQUENTIAL {numbers} | sed 1s/.$// > numbers.csv; "
            f"timeout -k 5 {math.ceil(limit) + 10} sipp {shlex.join(options)} > out 2>&1 < /dev/null; "
            '[ -s messages.log ] && cat messages.log || { cat out >&2; false; }; status=$?; rm -rf "$d"; exit $status'
        )
        text = scenario.read_text(encoding="utf-8").replace('timeout="8000"', f'timeout="{ends * 1000:.0f}"')
        return parse_sipp_messages(self.run(self.container, ["sh", "-c", script], text))

    def phone(self, number: str, **wanted: object) -> dict:
        """Place one call with lab/phone.py, which can do more than SIPp; what it reports."""
        told = {"pbx": f"{self.pbx}:{self.pbx_port}", "address": self.address, "number": number, **wanted}
        return json.loads(self.run(self.container, ["python3", "/lab/program/phone.py"], json.dumps(told)))

    def place_no_more(self) -> None:
        """The run of `sipp` that began last ends with the calls that it has placed by now."""
        self.run(self.container, ["pkill", "--newest", "--signal", "USR1", "--exact", "sipp"])


# --- the lab -----------------------------------------------------------------------------


@dataclass
class Lab:
    """All of a lab that stands: SIPTRUNK_LAB names it, SIPTRUNK_LAB_NET is the third part of its network."""

    name: str = field(default_factory=lambda: os.environ.get("SIPTRUNK_LAB", "lab"))
    net: str = field(default_factory=lambda: f"198.18.{os.environ.get('SIPTRUNK_LAB_NET', '10')}")

    pbx: str = "pbx"  # the host that the phone calls

    def container(self, host: str) -> str:
        return f"siptrunk-{self.name}-{host}"

    def __post_init__(self) -> None:
        numbers = {"acme1": 21, "acme2": 22, "beta1": 31, "pbx": 11, "fs": 12, "sbc": 13, "sbc1": 13, "floating": 14, "sbc2": 15}
        self.addresses = {host: f"{self.net}.{number}" for host, number in numbers.items()}
        self.carriers = {host: Carrier(state_folder(self.name, host)) for host in CARRIERS}
        self.caller = Caller(self.container("caller"), f"{self.net}.91", self.addresses[self.pbx])

    def host_of(self, target: str) -> str:
        """The host of "address:port"."""
        address = target.rpartition(":")[0]
        return next((host for host, known in self.addresses.items() if known == address), address)

    def caller_at(self, host: str, pbx_port: int = 5060) -> Caller:
        """A phone on another host of the lab, which calls that port."""
        address = enter(self.container(host), ["hostname", "-I"]).split()[0]
        return Caller(self.container(host), address, self.addresses[self.pbx], port=5070, pbx_port=pbx_port)

    def freeze(self, *hosts: str) -> None:
        """As a power cut, but for the network: the kernel still answers ping."""
        subprocess.run(["podman", "pause", *map(self.container, hosts)], check=True, capture_output=True)

    def thaw(self, *hosts: str) -> None:
        """Go on where `freeze` stopped; hosts that run are left alone."""
        subprocess.run(["podman", "unpause", *map(self.container, hosts)], check=False, capture_output=True)

    def kill(self, *hosts: str) -> None:
        """A power cut: the host and its address are gone."""
        subprocess.run(["podman", "kill", *map(self.container, hosts)], check=True, capture_output=True)

    def start(self, *hosts: str) -> None:
        """Power comes back, and with it the carriers."""
        subprocess.run(["podman", "start", *map(self.container, hosts)], check=True, capture_output=True)
        for host in hosts:
            wait_until(self.carriers[host].runs, 30, f"{host}'s carrier")

    def service(self, name: str, do: str, *hosts: str) -> str:
        """start, is-active or kill a service; one that was killed stays down. What systemctl says on the last host."""
        script = "systemctl kill --signal KILL $0; exec systemctl stop $0" if do == "kill" else f"exec systemctl {do} $0"
        return [enter(self.container(host), ["sh", "-c", script, name], check=False) for host in hosts][-1].strip()

    def kill_program(self, *hosts: str) -> None:
        """The one program of a host without systemd (lab/service) dies, and stays down; the host lives on."""
        for host in hosts:
            enter(self.container(host), ["sh", "-c", "touch /run/stopped; pkill -KILL --parent 1"], check=False)

    def start_program(self, *hosts: str) -> None:
        """It runs again."""
        for host in hosts:
            enter(self.container(host), ["rm", "-f", "/run/stopped"])
            wait_until(self.carriers[host].runs, 30, f"{host}'s carrier")

    def serve_zones(self, script: str) -> None:
        """The name server serves its zones as a script leaves them that runs in their folder."""
        subprocess.run(["sh", "-ec", script], cwd=state_folder(self.name, "ns"), check=True, capture_output=True)
        enter(self.container("ns"), ["sh", "-ec", NEW_NAME_SERVER])

    def tell(self, controls: dict[str, dict]) -> None:
        """Say to each carrier what to do; one that is not named is as usual."""
        for host, carrier in self.carriers.items():
            carrier.tell(**controls.get(host, {}))

    def wires(self, since: float) -> dict[str, list[dict]]:
        """What each carrier received and sent since that moment."""
        return {host: carrier.wire(since) for host, carrier in self.carriers.items()}

    def reset(self) -> None:
        """All carriers answer again."""
        self.tell({})


def wait_until(condition, timeout: float, what: str, interval: float = 0.25) -> float:
    """Seconds until `condition()` was true; TimeoutError names `what` otherwise."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise TimeoutError(f"{what}: not within {timeout:g} seconds")
        time.sleep(interval)
    return time.monotonic() - began
