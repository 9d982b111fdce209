# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is alive: SIP OPTIONS (RFC 3261, section 11) to many targets at once, over UDP, TCP and TLS.

Plain data in and out: see ping(). Whatever a peer sends, or does not send, is in its result and never raised.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import re
import resource
import secrets
import socket
import ssl
import threading
import typing as t
import urllib.parse
from datetime import datetime, timedelta, timezone

from ansible_collections.siptrunk.failover.plugins.module_utils.resolver import DEFAULT_PORT, parse_domain

T1, T2 = 0.5, 4.0  # seconds; RFC 3261, section 17.1.2.2
LONGEST_MESSAGE = 65536  # bytes
LONGEST_STREAM = 16 * LONGEST_MESSAGE  # bytes of one connection that are read in the search of an answer
MOST_STRAYS = 1000  # datagrams from one target that answer nothing
LONGEST_TEXT = 200  # characters of a peer's text in a result
MOST_NAMES = 100  # of a certificate in a result
SPARE_FILES = 64  # left to the interpreter, to name look-ups and to whoever calls
BURST = 10  # targets begun between two looks at the answers: with more, the first answers seem slower than they were
CSEQ = 1
STATUS_LINE = re.compile(rb"SIP/2\.0 +([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE | re.DOTALL)
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "l": "content-length"}
USER_SAFE = "-_.!~*'()&=+$,;?/"  # RFC 3261, section 25.1: what a user may have unescaped besides letters and digits
ATTRIBUTES = {"550403": "CN", "550406": "C", "550407": "L", "550408": "ST", "55040a": "O", "55040b": "OU"}  # OIDs as in DER, in hex
SUBJECT_ALT_NAME = "551d11"
INTEGER, UTC_TIME, EXTENSIONS = 0x02, 0x17, 0xA3  # tags of DER, and of GeneralName (RFC 5280, section 4.2.1.6):
EMAIL, DNS_NAME, URI, ADDRESS = 0x81, 0x82, 0x86, 0x87
ENCODINGS = {0x14: "latin-1", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}  # of T61, Universal and BMP strings; all others are UTF-8 or ASCII
ERROR_KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "closed", errno.EPIPE: "closed", errno.ECONNABORTED: "closed",
    errno.ETIMEDOUT: "timeout",
    errno.EMFILE: "local", errno.ENFILE: "local", errno.ENOBUFS: "local", errno.ENOMEM: "local",
}


class Failure(Exception):
    """Why a target is not alive, as `kind` and `message` of its error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Response(t.NamedTuple):
    """What counts of a response: `code`, `reason` and `server` for the user, the rest tells whose answer it is."""

    code: int
    reason: str
    branch: str
    call_id: str
    cseq: int
    method: str
    from_tag: str
    server: str | None


class Transaction(t.NamedTuple):
    """What tells a request, and its answers, from all others."""

    branch: str
    call_id: str
    tag: str

    @classmethod
    def new(cls) -> Transaction:
        return cls(f"z9hG4bK{secrets.token_hex(12)}", secrets.token_hex(16), secrets.token_hex(8))

    def answer(self, data: bytes) -> Response | None:
        """The response to this request that the data is, or None (RFC 3261, sections 17.1.3 and 8.1.3.3)."""
        if self.call_id.encode() not in data:  # spares the parser a flood
            return None
        response = parse_response(data)
        if response is None:
            return None
        its = (response.branch, response.call_id, response.from_tag, response.cseq, response.method)
        return response if its == (self.branch, self.call_id, self.tag, CSEQ, "OPTIONS") else None


def ping(targets: t.Sequence[dict], timeout: float = 3.0, alive_on: str = "any", from_user: str = "siptrunk", from_domain: str | None = None,
         local_address: str | None = None, ca_file: str | None = None, ca_path: str | None = None, verify: bool = True,
         concurrency: int = 100) -> list[dict]:
    """Send OPTIONS to every target, all together, and say of each whether it is alive.

    A target is {host: name or address, port: 5060 or 5061, transport: udp|tcp|tls, domain: for the URI and TLS, names: others that the
    certificate may have, wildcard: whether *.NAME proves what is directly below NAME, name: label}, all but the host optional; of a
    name the first address is asked. `timeout` (seconds) bounds each target from the look-up
    of its name to its final answer. `alive_on` "any" accepts every final answer, "2xx" only those. `concurrency` bounds name
    look-ups and TLS connections; over UDP and TCP all are asked at once, as far as the limit of open files allows, which is
    raised for this process if need be.

    Returns, in the order of `targets`, one dict each: {name, host, address: str|None, port, transport, alive: bool, code:
    int|None, reason: str|None, rtt_ms: float|None, server: str|None, retransmissions: int, certificate: None|{subject, issuer,
    not_before, not_after: ISO 8601, expires_in_days: float, names: list, verified: bool}, error: None|{kind, message}}.
    Who is not alive has an error, of the kind timeout, refused, unreachable, closed, protocol, bad_name, tls, tls_verification,
    code (an answer that `alive_on` does not accept) or local (this host could not ask).
    Raises ValueError that names the argument.
    Not for use inside a running event loop.
    """
    for option, value in (("timeout", timeout), ("concurrency", concurrency)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{option} is {value!r}, expected a number above 0")
    if alive_on not in ("any", "2xx"):
        raise ValueError(f"alive_on is {alive_on!r}, expected any or 2xx")
    targets = [_complete(index, target) for index, target in enumerate(targets)]
    local = _local(local_address) if local_address else None
    caller = (urllib.parse.quote(from_user or "", safe=USER_SAFE), _host("from_domain", from_domain) if from_domain else None)
    if not caller[0]:
        raise ValueError("from_user must not be empty")
    secure = any(target["transport"] == "tls" for target in targets)
    contexts = (_context(verify, ca_file, ca_path), _context(False)) if secure else (None, None)

    async def run() -> list[dict]:
        prober = Prober(timeout, alive_on, caller, local, contexts, verify, concurrency, _open_files(len(targets)))
        probes = []
        for target in targets:
            probes.append(asyncio.ensure_future(prober.probe(target)))
            if len(probes) % BURST == 0:
                await asyncio.sleep(0)
        return list(await asyncio.gather(*probes))

    return asyncio.run(run())


def build_request(transaction: Transaction, uri: str, transport: str, local: tuple[str, int], from_user: str, from_domain: str | None = None) -> bytes:
    """The OPTIONS request to a URI, from a local (address, port); the From domain is that address unless given."""
    here = _hostport(*local)
    parameter = "" if transport == "udp" else f";transport={transport}"
    lines = [
        f"OPTIONS {uri} SIP/2.0",
        f"Via: SIP/2.0/{transport.upper()} {here};rport;branch={transaction.branch}",
        "Max-Forwards: 70",
        f"From: <sip:{from_user}@{_in_uri(from_domain or local[0])}>;tag={transaction.tag}",
        f"To: <{uri}>",
        f"Call-ID: {transaction.call_id}",
        f"CSeq: {CSEQ} OPTIONS",
        f"Contact: <sip:{from_user}@{here}{parameter}>",
        "Accept: application/sdp",
        "User-Agent: siptrunk.failover",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def parse_response(data: bytes) -> Response | None:
    """The response that a datagram, or a message framed by take_message(), is; None if it is none, or cut short (RFC 3261, section 18.3)."""
    head, blank_line, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not blank_line:
        return None
    start, headers = _split(head)
    status = STATUS_LINE.fullmatch(start)
    try:
        length = _content_length(headers)
    except ValueError:
        return None
    if not status or length is not None and length > len(body):
        return None
    cseq = re.fullmatch(r"([0-9]{1,10})[ \t]+(\S+)", headers.get("cseq", [""])[0])
    branch = _parameter(headers.get("via", [""])[0].partition(",")[0], "branch")
    # The tag stands behind the URI, which may have parameters of its own only between < and >.
    from_tag = _parameter(headers.get("from", [""])[0].rpartition(">")[2], "tag")
    call_id = headers.get("call-id", [""])[0]
    if not (cseq and branch and from_tag and call_id):
        return None
    server = [*headers.get("server", []), *headers.get("user-agent", []), ""][0]
    return Response(int(status[1]), clean((status[2] or b"").decode("utf-8", "replace").strip()), branch, call_id, int(cseq[1]), cseq[2],
                    from_tag, clean(server) or None)


def take_message(data: bytes) -> tuple[bytes, bytes] | None:
    """The first message of a stream and what is behind it, or None while it is not complete (RFC 3261, section 18.3).

    Raises ValueError if there is no telling where it ends, or it is too long.
    """
    data = data.lstrip(b"\r\n")  # keep-alives; RFC 5626, section 3.5.1
    head, blank_line, rest = data.partition(b"\r\n\r\n")
    length = 0
    if blank_line:
        # Without the header, which is mandatory here, its answer is still an answer.
        length = _content_length(_split(head)[1]) or 0
    end = len(head) + len(blank_line) + length
    if end > LONGEST_MESSAGE:
        raise ValueError(f"a message of more than {LONGEST_MESSAGE} bytes")
    return (data[:end], data[end:]) if blank_line and len(data) >= end else None


def parse_certificate(der: bytes, now: datetime | None = None) -> dict:
    """What counts of an X.509 certificate (RFC 5280, section 4.1): the result's `certificate`, but for `verified`.

    The standard library tells it only of a certificate that it verified. Raises ValueError if it is none.
    """
    try:
        (certificate,) = _elements(der)
        fields = _elements(_elements(certificate[1])[0][1])
        if fields[0][0] != INTEGER:  # the version, which may be left out
            del fields[0]
        issuer, validity, subject = (fields[index][1] for index in (2, 3, 4))
        begins, ends = (_time(*moment) for moment in _elements(validity))
        names = [name for tag, value in fields if tag == EXTENSIONS for name in _alternative_names(value)]
        left = (ends - (now or datetime.now(timezone.utc))) / timedelta(days=1)
        return {
            "subject": _distinguished_name(subject), "issuer": _distinguished_name(issuer), "not_before": _iso(begins), "not_after": _iso(ends),
            "expires_in_days": round(left, 2), "names": names[:MOST_NAMES],
        }
    except (IndexError, OverflowError) as error:
        raise ValueError(f"not an X.509 certificate: {error}") from None


def clean(text: str) -> str:
    """A peer's text, made harmless to show: no control characters, no more than LONGEST_TEXT."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:LONGEST_TEXT + 1])
    return shown if len(shown) <= LONGEST_TEXT else shown[:LONGEST_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"


class Prober:
    """The probes of one call of ping()."""

    def __init__(self, timeout: float, alive_on: str, caller: tuple, local: tuple | None, contexts: tuple, verify: bool,
                 concurrency: int, open_files: int) -> None:
        self.timeout, self.alive_on, self.caller, self.local = timeout, alive_on, caller, local
        self.contexts, self.verify = contexts, verify
        self.slots, self.files = asyncio.Semaphore(concurrency), asyncio.Semaphore(open_files)
        self.addresses: dict[str, asyncio.Future] = {}

    async def probe(self, target: dict) -> dict:
        """One entry of ping()'s result."""
        result = {
            "name": target["name"], "host": target["host"], "address": None, "port": target["port"], "transport": target["transport"],
            "alive": False, "code": None, "reason": None, "rtt_ms": None, "server": None, "retransmissions": 0, "certificate": None, "error": None,
        }
        try:
            try:
                host = _host("host", target["host"])
                server_name = _host("domain", target["domain"]) if target["domain"] else host
            except ValueError as error:
                raise Failure("bad_name", str(error)) from None
            peer, spent = await self._find(host)
            result["address"] = peer[0]
            probe = Probe(self, target, server_name, (peer[0], target["port"], *peer[2:]), result)
            if target["transport"] == "tls":  # 500 handshakes at once take seconds of computing, and who waits for that is not dead
                async with self.slots, self.files:
                    await probe.run(self.timeout - spent)
            else:
                async with self.files:
                    await probe.run(self.timeout - spent)
        except Failure as failure:
            result["error"] = {"kind": failure.kind, "message": failure.message}
        return result

    async def _find(self, name: str) -> tuple[tuple, float]:
        """The socket address of a host, port 0, and the seconds that took."""
        family = self.local[0] if self.local else socket.AF_UNSPEC
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if name not in self.addresses:
                self.addresses[name] = asyncio.ensure_future(self._look_up(name, family))
            found, spent = await self.addresses[name]
        else:
            found, spent = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0], 0.0
        if isinstance(found, Failure):
            raise found
        if family not in (socket.AF_UNSPEC, found[0]):
            raise Failure("unreachable", f"{found[4][0]} cannot be reached from {self.local[1]}, an address of the other family")
        return found[4], spent

    async def _look_up(self, name: str, family: int) -> tuple[t.Any, float]:
        """The first of getaddrinfo()'s results or a Failure, and the seconds that took."""
        loop = asyncio.get_running_loop()
        outcome = loop.create_future()

        def report(found: t.Any) -> None:
            if not outcome.done():
                outcome.set_result(found)

        def look_up() -> None:
            try:
                found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)[0]
            except (OSError, UnicodeError) as error:
                found = Failure("bad_name", f"{name} has no address: {getattr(error, 'strerror', None) or error}")
            try:
                loop.call_soon_threadsafe(report, found)
            except RuntimeError:  # the loop has ended, as the time was over
                pass

        async with self.slots:
            begun = loop.time()
            # Not the loop's own threads: those are waited for at the end, for as long as a silent name server takes.
            threading.Thread(target=look_up, daemon=True).start()
            try:
                found = await asyncio.wait_for(outcome, self.timeout)
            except asyncio.TimeoutError:
                found = Failure("timeout", f"no address of {name} within {self.timeout:g} s")
            return found, loop.time() - begun


class Probe:
    """One request to one address, and what comes back: it completes a result."""

    def __init__(self, prober: Prober, target: dict, server_name: str, peer: tuple, result: dict) -> None:
        self.prober, self.peer, self.result, self.transport = prober, peer, result, target["transport"]
        self.server_name, self.there = server_name.partition("%")[0], _hostport(*peer[:2])
        port = "" if target["domain"] or target["port"] == DEFAULT_PORT[self.transport] else f":{target['port']}"
        self.uri = f"sip:{_in_uri(self.server_name)}{port}" + ("" if self.transport == "udp" else f";transport={self.transport}")
        self.transaction = Transaction.new()
        self.names, self.wildcard = target["names"], target["wildcard"]
        self.waits_for = "connection"
        self.verdict: Failure | None = None  # that stands even if the time is over

    async def run(self, seconds: float) -> None:
        """Errors: Failure."""
        ask = {"udp": self._over_udp, "tcp": self._over_tcp, "tls": self._over_tls}[self.transport]
        try:
            response, rtt = await asyncio.wait_for(ask(), seconds)
        except asyncio.TimeoutError:
            raise self.verdict or Failure("timeout", f"no {self.waits_for} from {self.there} within {self.prober.timeout:g} s") from None
        except ssl.SSLError as error:
            raise Failure("tls", f"TLS with {self.there}: {clean(error.reason or str(error))}") from None
        except OSError as error:
            raise Failure(ERROR_KINDS.get(error.errno, "unreachable"), f"{self.there}: {os.strerror(error.errno) if error.errno else error}") from None
        alive = response.code < 300 or self.prober.alive_on == "any"
        self.result.update(alive=alive, code=response.code, reason=response.reason, rtt_ms=round(rtt * 1000, 2), server=response.server)
        if not alive:
            raise Failure("code", f"{self.there} answered {response.code} {response.reason}, and only 2xx counts as alive")

    def _socket(self, kind: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if len(self.peer) == 4 else socket.AF_INET, kind)
        try:
            sock.setblocking(False)
            if self.prober.local:
                sock.bind((self.prober.local[1], 0))
        except OSError:
            sock.close()
            raise
        return sock

    def _request(self, sock: socket.socket) -> bytes:
        self.waits_for = "answer"
        return build_request(self.transaction, self.uri, self.transport, sock.getsockname()[:2], *self.prober.caller)

    async def _over_udp(self) -> tuple[Response, float]:
        """A non-INVITE client transaction (RFC 3261, section 17.1.2.2); the caller's patience is its timer F."""
        loop = asyncio.get_running_loop()
        # Connected, so that the kernel passes on what this very peer sends and nothing else, and its ICMP errors.
        # A socket each, so that a peer that floods this host costs only itself.
        sock = self._socket(socket.SOCK_DGRAM)
        try:
            sock.connect(self.peer)
            transport, answers = await loop.create_datagram_endpoint(lambda: Answers(self.transaction), sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            request, interval, begun = self._request(sock), T1, loop.time()
            transport.sendto(request)
            while not (await asyncio.wait({answers.final}, timeout=interval))[0]:
                transport.sendto(request)
                self.result["retransmissions"] += 1
                interval = T2 if answers.provisional else min(2 * interval, T2)
            response, moment = answers.final.result()
            return response, moment - begun
        finally:
            if answers.strays:
                self.waits_for = f"answer (but {answers.strays} datagrams that answer nothing)"
            transport.abort()

    async def _over_tcp(self) -> tuple[Response, float]:
        stream = await self._connect()
        try:
            return await self._ask(stream)
        finally:
            stream.close()

    async def _over_tls(self) -> tuple[Response, float]:
        verifying, trusting = self.prober.contexts
        stream = await self._connect()
        try:
            await self._shake_hands(stream, verifying)
            if self.prober.verify:
                self._check_name(stream)
            self._keep_certificate(stream, self.prober.verify)
            return await self._ask(stream)
        except ssl.SSLCertVerificationError as error:
            self.verdict = Failure("tls_verification", f"the certificate of {self.there}: {clean(error.verify_message)}")
        except Failure as failure:
            if failure.kind != "tls_verification":
                raise
            self.verdict = failure
        finally:
            stream.close()
        # A failed handshake shows no certificate. So once more without verification, to read it and for nothing else.
        try:
            stream = await self._connect()
            try:
                await self._shake_hands(stream, trusting)
                self._keep_certificate(stream, False)
            finally:
                stream.close()
        except (OSError, Failure):
            pass
        raise self.verdict

    async def _connect(self) -> Stream:
        self.waits_for = "connection"
        stream = Stream(self._socket(socket.SOCK_STREAM))
        try:
            await asyncio.get_running_loop().sock_connect(stream.sock, self.peer)
        except BaseException:
            stream.close()
            raise
        return stream

    async def _shake_hands(self, stream: Stream, context: ssl.SSLContext) -> None:
        self.waits_for = "TLS handshake"
        try:
            await stream.shake_hands(context, self.server_name)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise Failure("closed", f"{self.there} closed the connection during the TLS handshake") from None

    def _check_name(self, stream: Stream) -> None:
        """OpenSSL's own check accepts wildcards, which RFC 5922 section 7.2 does not. Errors: Failure."""
        wanted = [name.lower().rstrip(".") for name in (self.server_name, *self.names)]
        if not any(proves(shown, name, self.wildcard) for shown in stream.alternative_names() for name in wanted):
            kind = "IP address" if _is_address(wanted[0]) else "Hostname"
            shown = " or ".join(f"'{name}'" for name in wanted)
            raise Failure("tls_verification", f"the certificate of {self.there}: {kind} mismatch, certificate is not valid for {shown}.")

    def _keep_certificate(self, stream: Stream, verified: bool) -> None:
        try:
            self.result["certificate"] = {**parse_certificate(stream.certificate()), "verified": verified}
        except ValueError:  # OpenSSL made sense of it and we did not: no reason to call the target dead
            pass

    async def _ask(self, stream: Stream) -> tuple[Response, float]:
        loop, data, size = asyncio.get_running_loop(), b"", 0
        request, begun = self._request(stream.sock), loop.time()
        await stream.send(request)
        while size <= LONGEST_STREAM:
            received = await stream.receive()
            if not received:
                raise Failure("closed", f"{self.there} closed the connection without a complete answer")
            moment, data, size = loop.time(), data + received, size + len(received)
            try:
                taken = take_message(data)
                while taken:
                    message, data = taken
                    response = self.transaction.answer(message)
                    if response and response.code >= 200:
                        return response, moment - begun
                    taken = take_message(data)
            except ValueError as error:
                raise Failure("protocol", f"{self.there} sent {error}") from None
        raise Failure("protocol", f"{self.there} sent {LONGEST_STREAM} bytes that answer nothing")


class Answers(asyncio.DatagramProtocol):
    """Waits on a connected socket for the `final` answer of a transaction: (Response, loop time), or an OSError or Failure."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction, self.provisional, self.strays = transaction, False, 0
        self.loop = asyncio.get_running_loop()
        self.final: asyncio.Future = self.loop.create_future()

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        if self.final.done():
            return
        response = self.transaction.answer(data)
        if response is None:
            self.strays += 1
            if self.strays > MOST_STRAYS:
                self.final.set_exception(Failure("protocol", f"more than {MOST_STRAYS} datagrams that answer nothing"))
        elif response.code < 200:
            self.provisional = True
        else:
            self.final.set_result((response, self.loop.time()))

    def error_received(self, exc: Exception) -> None:
        if not self.final.done():
            self.final.set_exception(exc)


class Stream:
    """A TCP connection, with TLS over it once hands were shaken. Errors: OSError, ssl.SSLError among them, and Failure.

    TLS over buffers rather than asyncio's own, which cannot be closed without waiting for the peer.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.size = sock, 0
        self.tls: ssl.SSLObject | None = None
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    async def shake_hands(self, context: ssl.SSLContext, server_name: str) -> None:
        tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)
        await self._step(tls.do_handshake)
        self.tls = tls

    def alternative_names(self) -> list[str]:
        """The DNS names and addresses of a verified certificate, in lower case."""
        shown: t.Any = self.tls.getpeercert() or {}
        return [value.lower() for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]

    def certificate(self) -> bytes:
        return self.tls.getpeercert(binary_form=True) or b""

    async def send(self, data: bytes) -> None:
        if self.tls:
            self.tls.write(data)
            data = self.outgoing.read()
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self) -> bytes:
        """Some bytes; none at the end."""
        if not self.tls:
            return await self._receive()
        try:
            return await self._step(lambda: self.tls.read(LONGEST_MESSAGE))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def close(self) -> None:
        """Close at once, in TLS with a word of farewell that nothing is waited for."""
        if self.tls:
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass
        try:
            self.sock.send(self.outgoing.read())
        except OSError:
            pass
        self.sock.close()

    async def _receive(self) -> bytes:
        await asyncio.sleep(0)  # a peer that sends faster than is read must not keep the loop, and its clocks, from all others
        return await asyncio.get_running_loop().sock_recv(self.sock, LONGEST_MESSAGE)

    async def _step(self, step: t.Callable) -> t.Any:
        """What a step of TLS returns, given all that it wants to send and to read."""
        loop = asyncio.get_running_loop()
        while self.size <= LONGEST_STREAM:
            try:
                outcome, done = step(), True
            except ssl.SSLWantReadError:
                outcome, done = None, False
            await loop.sock_sendall(self.sock, self.outgoing.read())
            if done:
                return outcome
            received = await self._receive()
            self.size += len(received)
            if received:
                self.incoming.write(received)
            else:
                self.incoming.write_eof()
        raise Failure("protocol", f"more than {LONGEST_STREAM} bytes that answer nothing")


def _complete(index: int, target: dict) -> dict:
    """A target with all its keys. Errors: ValueError that names the wrong one."""
    transport = target.get("transport") or "udp"
    if transport not in DEFAULT_PORT:
        raise ValueError(f"targets[{index}].transport is {transport!r}, expected one of {', '.join(DEFAULT_PORT)}")
    port = DEFAULT_PORT[transport] if target.get("port") is None else target["port"]
    if not 1 <= port <= 65535:
        raise ValueError(f"targets[{index}].port is {port}, expected 1 to 65535")
    return {
        "name": target.get("name") or target["host"], "host": target["host"], "port": port, "transport": transport, "domain": target.get("domain"),
        "names": target.get("names") or [], "wildcard": bool(target.get("wildcard")),
    }


def proves(shown: str, wanted: str, wildcard: bool = False) -> bool:
    """Whether a certificate for `shown` proves the name or address `wanted`, both in lower case (RFC 5922 section 7.2).

    `wildcard`: "*.acme.example" proves "gw1.acme.example", and neither "acme.example" nor "a.gw1.acme.example" (RFC 6125 section 6.4.3).
    """
    if _is_address(wanted):
        return _is_address(shown) and ipaddress.ip_address(shown) == ipaddress.ip_address(wanted)
    return shown == wanted or wildcard and shown.startswith("*.") and "." in wanted and shown[2:] == wanted.partition(".")[2]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(option: str, text: str) -> str:
    """A host name or address as resolver.parse_domain() takes it, but without a port. Errors: ValueError that names the option."""
    try:
        host, port = parse_domain(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None
    if port:
        raise ValueError(f"{option}: {text!r} should be without a port")
    return host


def _local(address: str) -> tuple[int, str]:
    """The family and text of one of this host's own addresses. Errors: ValueError."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except (OSError, ValueError) as error:
        raise ValueError(f"local_address {address}: {error}") from None
    return family, address


def _context(verify: bool, ca_file: str | None = None, ca_path: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # Probe._check_name
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    elif not ca_file and not ca_path:
        context.load_default_certs()
    else:
        try:
            if ca_path:
                os.listdir(ca_path)  # OpenSSL takes one that does not exist
            context.load_verify_locations(ca_file, ca_path)
        except OSError as error:
            raise ValueError(f"no CA certificates in {' and '.join(filter(None, (ca_file, ca_path)))}: {error}") from None
    return context


def _open_files(wanted: int) -> int:
    """How many files may be open for probes: as many as wanted, where this process may raise its limit that far."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError):
            pass
    return max(1, wanted if soft == resource.RLIM_INFINITY else min(wanted, soft - SPARE_FILES))


def _hostport(address: str, port: int) -> str:
    return f"{_in_uri(address)}:{port}"


def _in_uri(host: str) -> str:
    """An IPv6 address in brackets and without its zone, which means nothing to others; anything else as it is."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


def _split(head: bytes) -> tuple[bytes, dict[str, list[str]]]:
    """The start line and the headers, unfolded, by their long names in lower case."""
    start, *lines = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, dummy, value = line.decode("utf-8", "replace").partition(":")
        name = name.strip().lower()
        headers.setdefault(COMPACT.get(name, name), []).append(value.strip())
    return start, headers


def _content_length(headers: dict[str, list[str]]) -> int | None:
    """The Content-Length, None if there is none. Raises ValueError if it makes no sense."""
    values = set(headers.get("content-length", []))
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch("[0-9]{1,9}", min(values)):
        raise ValueError(f"a Content-Length of {clean(' and '.join(sorted(values)))!r}")
    return int(values.pop())


def _parameter(value: str, name: str) -> str:
    """A parameter of a header's value, empty if it is not there."""
    for part in value.split(";")[1:]:
        key, dummy, text = part.partition("=")
        if key.strip().lower() == name:
            return text.strip()
    return ""


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) of each DER element. Raises ValueError or IndexError where they are cut short."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            digits = length & 0x7F
            length, at = int.from_bytes(der[at:at + digits], "big"), at + digits
        if at + length > len(der):
            raise ValueError("an element is cut short")
        found.append((tag, der[at:at + length]))
        at += length
    return found


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text  # RFC 5280, section 4.1.2.5.1
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _iso(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def _distinguished_name(der: bytes) -> str:
    """The attributes that have a usual short name, in the order of the certificate."""
    found = []
    for dummy, attributes in _elements(der):
        for dummy, attribute in _elements(attributes):
            (dummy, oid), (tag, value) = _elements(attribute)
            if oid.hex() in ATTRIBUTES:
                found.append(f"{ATTRIBUTES[oid.hex()]}={value.decode(ENCODINGS.get(tag, 'utf-8'), 'replace')}")
    return clean(", ".join(found))


def _alternative_names(der: bytes) -> list[str]:
    """The names and addresses of the subjectAltName among the extensions."""
    found = []
    for dummy, extension in _elements(_elements(der)[0][1]):
        parts = _elements(extension)
        if parts[0][1].hex() == SUBJECT_ALT_NAME:
            for tag, value in _elements(_elements(parts[-1][1])[0][1]):
                if tag in (EMAIL, DNS_NAME, URI):
                    found.append(clean(value.decode("utf-8", "replace")))
                elif tag == ADDRESS and len(value) in (4, 16):
                    found.append(str(ipaddress.ip_address(value)))
    return found
