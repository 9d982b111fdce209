# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted event socket of FreeSWITCH on loopback, for tests that drive the real client.

A session is a list of (command, reply) in the order in which they must come, the login included:

``reply`` bytes      sent as it is; ``answer``, ``reply``, ``event`` make them, and may be added up
``reply`` SILENT     nothing is sent
``reply`` CLOSE      the connection is closed; ``then_close(reply)`` sends first

Any other command fails the test, and so do steps and sessions that were never asked for.
"""

from __future__ import annotations

import json
import os
import socket
import threading

FIXTURES = os.path.join(os.path.dirname(__file__), "fixtures")
PATIENCE = 5.0

PASSWORD = "event-secret"

SILENT = None
CLOSE = b"<close>"

GREETING = b"Content-Type: auth/request\n\n"
REJECTION = b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"
GOODBYE = (b"Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
           b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n")


def reply(text):
    """What FreeSWITCH answers to a command of the socket itself, such as a login."""
    return b"Content-Type: command/reply\nReply-Text: %s\n\n" % text.encode()


def answer(text):
    """What FreeSWITCH answers to an API command."""
    body = (text or "-ERR no reply\n").encode()
    return b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)


def event(**headers):
    body = json.dumps(headers).encode()
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)


def api(command, text=""):
    """A step: an API command and what it says."""
    return ("api %s" % command, answer(text))


def then_close(data):
    return (data, CLOSE)


LOGIN = [("auth %s" % PASSWORD, reply("+OK accepted"))]
REFUSED = [("auth %s" % PASSWORD, then_close(reply("-ERR invalid") + GOODBYE))]
NO_COMMAND = "-ERR %s Command not found!\n"

RUNNING = api("sofia xmlstatus profile siptrunk", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<profile>\n</profile>\n")
NOT_RUNNING = api("sofia xmlstatus profile siptrunk", "Invalid Profile!\n")
STATUS = "sofia xmlstatus gateway"
EPOCH = 1795572543


def fixture(name):
    """The text of a capture from a real FreeSWITCH 1.10.12."""
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as handle:
        return handle.read()


def gateways(**elements):
    """A made-up answer to STATUS: {name of a gateway, with "__" for ".": {element: value}}."""
    texts = []
    for name, differs in elements.items():
        values = {"name": name.replace("__", ".").replace("_", "-"), "profile": "siptrunk", "from": "&lt;sip:u@h&gt;", "proxy": "sip:h",
                  "pingcount": "0", "pingtime": "0.00", "state": "NOREG", "status": "UP", **differs}
        lines = "".join("    <%s>%s</%s>\n" % (key, value, key) for key, value in values.items() if value is not None)
        texts.append("  <gateway>\n%s  </gateway>\n" % lines)
    return "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<gateways>\n%s</gateways>\n" % "".join(texts)


def look(names, status="", epoch=EPOCH, marks="", drained="", channels=None):
    """The steps of the first round of ``trunk_freeswitch.reader``."""
    return [
        api("strepoch", str(epoch)), api("hash_dump db siptrunk", marks),
        api("strepoch", str(epoch)), api(STATUS, status or gateways()), api("db list/siptrunk_drained", drained),
        *(api("limit_usage hash siptrunk %s" % name, str((channels or {}).get(name, 0))) for name in names),
    ]


def captured_trunks():
    """A session of a FreeSWITCH that has four of the five targets of ``plans.captured_plan``, as its steps."""
    marks = "D/xsiptrunk_cool_y/1999999999\nD/siptrunk_cool_127.0.0.42_5071_udp/1999999999\nD/siptrunk_cool_127.0.0.42_5070_udp/1700000000\n"
    return [
        *LOGIN,
        *look(("acme-east", "beta", "delta", "gone"), fixture("sofia_xmlstatus_gateway.txt"), marks=marks, drained="acme-east,beta",
              channels={"acme-east": 2, "beta": 1}),
        api("db select/siptrunk_drained/acme-east", '{"by": "ops", "at": "2026-11-23T04:00:00Z", "why": "maintenance"}'),
        api("db select/siptrunk_drained/beta", "carrier asked"),
    ]


class ScriptedServer:
    """``with ScriptedServer(session, ...) as server``: the n-th connection plays the n-th session on ``server.port``.

    ``received`` holds every command, ``wire`` every byte that came in.
    ``cut``: send in pieces of so many bytes. ``greeting``: bytes, SILENT, or ``then_close`` of bytes.
    """

    def __init__(self, *sessions, greeting=GREETING, cut=None):
        self.received = []
        self.wire = b""
        self._sessions = [list(session) for session in sessions]
        self._greeting = greeting
        self._cut = cut
        self._failure = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, exc_type, exc, traceback):
        self._thread.join(2 * PATIENCE)
        self._listener.close()
        if exc is None:
            assert not self._thread.is_alive(), "the scripted server did not come to its end"
            assert self._failure is None, self._failure

    def _serve(self):
        try:
            for session in self._sessions:
                connection = self._listener.accept()[0]
                with connection:
                    connection.settimeout(PATIENCE)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._play(connection, session)
        except AssertionError as failure:
            self._failure = failure
        except OSError as failure:
            self._failure = "the client did not come, or stayed without a word: %r" % failure

    def _play(self, connection, session):
        if not self._reply(connection, self._greeting):
            return
        steps = iter(session)
        for asked in self._commands(connection):
            self.received.append(asked)
            command, data = next(steps, ("nothing more", SILENT))
            assert asked == command, "unexpected command %s; expected %s" % (asked, command)
            if not self._reply(connection, data):
                break
        left = [command for command, dummy in steps]
        assert not left, "never asked: %s" % left

    def _reply(self, connection, data):
        for part in data if isinstance(data, tuple) else (data,):
            if part is CLOSE:
                return False
            if part is not SILENT:
                self._send(connection, part)
        return True

    def _send(self, connection, data):
        step = self._cut or len(data)
        try:
            for start in range(0, len(data), step):
                connection.sendall(data[start:start + step])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had seen enough

    def _commands(self, connection):
        rest = b""
        while True:
            try:
                data = connection.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            self.wire += data
            *commands, rest = (rest + data).split(b"\n\n")
            for command in commands:
                yield command.decode("utf-8", "surrogateescape")
