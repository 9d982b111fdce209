# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted Asterisk manager on loopback, for tests that drive the real client.

A session is a list of (action, reply) in the order in which they must come:

``reply`` str        sent with its line feeds as CRLF, and ``{id}`` as the ActionID of the question
``reply`` bytes      sent as it is
``reply`` SILENT     nothing is sent
``reply`` CLOSE      the connection is closed; ``then_close(reply)`` sends first

A Getvar is an action by the name of its variable, such as ``Getvar EPOCH``.
Any other action fails the test, and so do steps and sessions that were never asked for. A Logoff is always in order.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading

from ansible_collections.siptrunk.failover.plugins.module_utils import marks
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import captured_plan

FIXTURES = os.path.join(os.path.dirname(__file__), "fixtures")
PATIENCE = 5.0

USER = "siptrunk"
SECRET = "manager-secret"
CARRIER_PASSWORD = "CARRIER-PASSWORD-IN-CLEAR"

SILENT = None
CLOSE = b"<close>"

CHALLENGE = ("Challenge", "Response: Success\nActionID: {id}\nChallenge: 1234567\n\n")
LOGIN = [CHALLENGE, ("Login", "Response: Success\nActionID: {id}\nMessage: Authentication accepted\n\n")]
PONG = "Response: Success\nActionID: {id}\nPing: Pong\nTimestamp: 1795400000.123456\n\n"
DENIED = "Response: Error\nActionID: {id}\nMessage: Permission denied\n\n"
LOGIN_KEY = hashlib.md5(("1234567" + SECRET).encode()).hexdigest()
GREETING = b"Asterisk Call Manager/11.0.0\r\n"


def then_close(reply):
    return (reply, CLOSE)


def fixture(name):
    """The text of a capture from a real Asterisk 22.10.1, the carriers' passwords replaced by CARRIER_PASSWORD."""
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as handle:
        return handle.read()


def captured_list():
    """The captured answer to PJSIPShowRegistrationsOutbound as a reply."""
    return fixture("pjsip_show_registrations_outbound.txt").replace("ActionID: a-2", "ActionID: {id}")


def captured_cli():
    """The captured output of ``pjsip show registrations`` as the reply to a Command action."""
    lines = "".join("Output: %s\n" % line for line in fixture("pjsip_show_registrations_cli.txt").splitlines())
    return "Response: Success\nActionID: {id}\nMessage: Command output follows\n%s\n" % lines


def registration_list(**states):
    """A made-up answer to PJSIPShowRegistrationsOutbound: {name: Status}, each with the AuthDetail that comes along."""
    detail = "Event: OutboundRegistrationDetail\nActionID: {id}\nObjectName: %s\nServerUri: sip:h\nStatus: %s\nNextReg: 0\n\n"
    auth = "Event: AuthDetail\nActionID: {id}\nObjectName: a\nPassword: %s\n\n" % CARRIER_PASSWORD
    return "".join(
        ["Response: Success\nActionID: {id}\nEventList: start\n\n"]
        + [detail % state + auth for state in states.items()]
        + ["Event: OutboundRegistrationDetailComplete\nActionID: {id}\nEventList: Complete\nListItems: %d\n\n" % len(states)]
    )


def event_list(event, *items):
    """An answer with a list of events; each item is the text of its fields."""
    return "".join(
        ["Response: Success\nActionID: {id}\nEventList: start\n\n"]
        + ["Event: %s\nActionID: {id}\n%s\n\n" % (event, item) for item in items]
        + ["Event: %sComplete\nActionID: {id}\nEventList: Complete\nListItems: %d\n\n" % (event, len(items))]
    )


def getvar(variable, value=""):
    """A step: the question for a variable or function, and its answer."""
    return ("Getvar %s" % variable, "Response: Success\nActionID: {id}\nVariable: %s\nValue: %s\n\n" % (variable, value))


def captured_trunks():
    """A session of an Asterisk that has four of the five targets of ``captured_plan``, as its steps; see ``test_trunk.py``."""
    found = [text + "\n\n" for text in fixture("getvar_trunks.txt").replace("ActionID: a-2", "ActionID: {id}").split("\n\n") if text.strip()]
    # The capture has the marks of targets that cool down; the others came later.
    others = [getvar(marks.getvar(mark))[1] for mark in marks.names(captured_plan()["trunks"]) if mark[0] != marks.COOL]
    answers = found[:4] + others + found[4:]
    return LOGIN + [
        ("ListCommands", "Response: Success\nActionID: {id}\n\n"),
        ("PJSIPShowRegistrationsOutbound", registration_list(**{"acme-east": "Registered", "delta": "Rejected", "epsilon": "Registered"})),
        ("DBGetTree", fixture("db_get_tree_drained.txt").replace("ActionID: a-2", "ActionID: {id}")),
        ("CoreShowChannels", fixture("core_show_channels.txt").replace("ActionID: a-2", "ActionID: {id}")),
    ] + [("Getvar %s" % answer.partition("Variable: ")[2].partition("\n")[0], answer) for answer in answers]


class ScriptedServer:
    """``with ScriptedServer(session, ...) as server``: the n-th connection plays the n-th session on ``server.port``.

    ``received`` holds every action as a dict of its fields, ``wire`` every byte that came in.
    ``cut``: send in pieces of so many bytes. ``greeting``: bytes, or SILENT.
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
        if self._greeting is not SILENT:
            self._send(connection, self._greeting)
        steps = iter(session)
        for fields in self._actions(connection):
            self.received.append(fields)
            if fields["Action"] == "Logoff":
                self._send(connection, ("Response: Goodbye\r\nActionID: %s\r\n\r\n" % fields["ActionID"]).encode())
                break
            action, reply = next(steps, ("nothing more", SILENT))
            asked = "Getvar %s" % fields["Variable"] if fields["Action"] == "Getvar" else fields["Action"]
            assert asked == action, "unexpected action %s; expected %s" % (asked, action)
            if not self._reply(connection, reply, fields["ActionID"]):
                break
        left = [action for action, dummy in steps]
        assert not left, "never asked: %s" % left

    def _reply(self, connection, reply, action_id):
        for part in reply if isinstance(reply, tuple) else (reply,):
            if part is CLOSE:
                return False
            if isinstance(part, str):
                part = part.replace("{id}", action_id).replace("\n", "\r\n").encode()
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

    def _actions(self, connection):
        rest = b""
        while True:
            try:
                data = connection.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            self.wire += data
            *blocks, rest = (rest + data).split(b"\r\n\r\n")
            for block in blocks:
                yield dict(line.split(": ", 1) for line in block.decode().split("\r\n"))
