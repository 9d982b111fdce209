# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kamailio's control socket: JSON-RPC in datagrams over a Unix socket (module jsonrpcs); and what the hunt tells who asked there to be told.

Who may open the socket may ask anything; there is no login, and a question is a conversation of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import tempfile

from ansible_collections.siptrunk.failover.plugins.module_utils import session

SOCKET = "/run/kamailio/siptrunk.sock"
_MOST = 1 << 20
_LISTENER = ("listener", "monitor")  # the table of htable, and its entry
_FLOATING = re.compile(r"^\s+virtual_ipaddress \{\s+([0-9.]+)/", re.MULTILINE)


class KamailioError(session.SessionError):
    """Base of everything the client raises."""


class KamailioRefused(KamailioError, session.Refused):
    """No Kamailio has the socket open, or not for us."""


class KamailioTimeout(KamailioError, session.Timeout):
    """It did not answer in time."""


class KamailioProtocolError(KamailioError, session.ProtocolError):
    """It answered something else."""


class KamailioActionError(KamailioError, session.ActionError):
    """It refused the question."""

    def __init__(self, method, reason):
        super().__init__("Kamailio refused %s: %s" % (method, reason))
        self.action, self.reason = method, reason


class KamailioClient:
    """Asks, each time anew; `connected`, `connect` and `logoff` are there for who also asks other engines."""

    connected = True

    def __init__(self, path=SOCKET, timeout=5):
        self.path, self._timeout = path, timeout

    def connect(self):
        """Nothing to do."""

    def logoff(self):
        """Nothing to do."""

    def ask(self, method, *params):
        """The result of a command. Errors: KamailioError."""
        question = json.dumps({"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1}).encode()
        try:
            answer = json.loads(self._exchange(question).decode("utf-8", "replace"))
        except socket.timeout:
            raise KamailioTimeout("Kamailio at %s did not answer %s within %g s" % (self.path, method, self._timeout)) from None
        except OSError as exc:
            raise KamailioRefused("cannot connect to Kamailio's control socket %s: %s" % (self.path, exc.strerror or exc)) from None
        except ValueError:
            raise self.strange(method, "no JSON") from None
        if not isinstance(answer, dict):
            raise self.strange(method, answer)
        if "error" in answer:
            raise KamailioActionError(method, (answer["error"] or {}).get("message"))
        return answer.get("result")

    def strange(self, method, answer):
        """The error for an answer that is not what the command is known to say."""
        return KamailioProtocolError("Kamailio at %s answers %s with %s" % (self.path, method, ascii(answer)[:80]))

    def _exchange(self, question):
        """The answer comes to a socket of our own, which Kamailio must be able to write to, and is not root."""
        folder = tempfile.mkdtemp(prefix="siptrunk-rpc-")
        own = os.path.join(folder, "s")
        try:
            os.chmod(folder, 0o711)  # noqa: S103
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.bind(own)
                os.chmod(own, 0o622)  # noqa: S103
                connection.settimeout(self._timeout)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MOST)
                connection.sendto(question, self.path)
                return connection.recv(_MOST)
        finally:
            for remove, name in ((os.unlink, own), (os.rmdir, folder)):
                with contextlib.suppress(OSError):
                    remove(name)


class KamailioEvents:
    """What hunt.lua tells of attempts, answers and targets: each a datagram to a port of ours on loopback.

    Nobody waits for the one who listens, be it gone or hung. Kamailio forgets it after a while, unless ``renew`` says again where it listens,
    and with which word a datagram is Kamailio's.
    """

    def __init__(self, client):
        self._client, self._socket, self._word, self._running = client, None, secrets.token_hex(8), None

    def connect(self):
        """Be told from now on. Errors: those of the client."""
        self.close()
        self._running = self._started()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MOST)
        self._socket.bind(("127.0.0.1", 0))
        self.renew()

    def renew(self):
        """Errors: those of the client."""
        self._client.ask("htable.sets", *_LISTENER, "%d %s" % (self._socket.getsockname()[1], self._word))

    def next_event(self, timeout):
        """An event, a dict, or None when none came within ``timeout`` seconds. Errors: KamailioProtocolError when Kamailio was started anew."""
        if self._started() != self._running:
            raise KamailioProtocolError("Kamailio at %s was stopped, or started anew" % self._client.path)
        self._socket.settimeout(timeout)
        try:
            event = json.loads(self._socket.recv(_MOST).decode("utf-8", "replace"))
        except (socket.timeout, ValueError, RecursionError):
            return None
        return event if isinstance(event, dict) and event.pop("word", None) == self._word else None

    def close(self):
        """No more of it."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _started(self):
        """What is another when Kamailio is: each makes its own socket."""
        try:
            status = os.stat(self._client.path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def destinations(client):
    """[what the dispatcher tells of a target that is probed], a dict each, with DUID, our name for it, among ATTRS."""
    try:
        listed = client.ask("dispatcher.list")
    except KamailioActionError as exc:
        if "no destination" in str(exc).lower():
            return []
        raise
    try:
        return [entry["DEST"] for record in listed["RECORDS"] for entry in record["SET"]["TARGETS"]]
    except (KeyError, TypeError):
        raise client.strange("dispatcher.list", listed) from None


def uptime(client):
    """Seconds since it started."""
    said = client.ask("core.uptime")
    try:
        return int(said["uptime"])
    except (KeyError, TypeError, ValueError):
        raise client.strange("core.uptime", said) from None


def is_alive(destination):
    """Whether calls go there, as far as the probes know: Active, not Inactive, Trying or Disabled."""
    return destination["FLAGS"].startswith("A")


def registrations(client):
    """The registrations as uac tells them, a dict each, without their passwords."""
    rows = client.ask("uac.reg_dump")
    rows = [rows] if isinstance(rows, dict) else rows or []
    return [{key: value for key, value in row.items() if key not in ("auth_password", "auth_ha1")} for row in rows if "l_uuid" in row]


def floating(text):
    """The address that two SBCs share, from our keepalived.conf; None: there is none."""
    found = _FLOATING.search(text)
    return found.group(1) if found else None


def stands_by(path="/etc/kamailio/siptrunk/keepalived.conf"):
    """Whether the address that this SBC shares is with the other, which then is the one that registers."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as stream:
        address = floating(stream.read())
        if address is None:
            return False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            try:  # anybody may bind it, where the host says so, but nobody speaks from it
                link.bind((address, 0))
                link.connect((address, 9))
            except OSError:
                return True
    return False
