# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Asterisk Manager Interface (AMI): an incremental parser, and a blocking client on top of it.

``Parser`` is pure: bytes in, ``Message`` objects out. ``AmiClient`` is a ``session.Session``, and adds the login and the
matching of answers to questions by ActionID.

Secrets stay out of every message, repr and exception: a ``Message`` never prints the values it holds, because the
answer to some actions (``PJSIPShowRegistrationsOutbound``, ``PJSIPShowAuths``) carries passwords in clear.

Source: https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Manager-Interface-AMI/ and ``main/manager.c`` of Asterisk 22.
"""

from __future__ import annotations

import hashlib
import re
from itertools import count

from ansible_collections.siptrunk.failover.plugins.module_utils import session
from ansible_collections.siptrunk.failover.plugins.module_utils.session import Deadline, decoded, encoded

BANNER = b"Asterisk Call Manager/"

# What a hostile or broken peer can make us hold. The longest honest messages are the output of CLI commands.
MAX_LINE = 64 * 1024
MAX_MESSAGE = 4 * 1024 * 1024
MAX_LIST = 64 * 1024 * 1024
MAX_QUEUE = 16 * 1024 * 1024
_LINE_OVERHEAD = 64

# manager.h AST_MAX_MANHEADERS; manager.c mansession_session.inbuf. Asterisk drops what is longer.
MAX_ACTION_LINES = 128
MAX_ACTION_LINE = 1022

# Questions sent ahead of their answers: few enough that both fit into the sockets' buffers. Asterisk does not read on
# while it cannot write, and by default drops who lets it wait for 100 ms (manager.conf writetimeout).
_BATCH = 50

_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_LOGOFF_PATIENCE = 1.0


class AmiError(session.SessionError):
    """Base of everything this module raises. The text is fit for an operator, and holds no secret."""


class AmiFieldError(AmiError, session.FieldError):
    """An action that must not be sent: a line break in a field, or more than Asterisk takes."""


class AmiRefused(AmiError, session.Refused):
    """Nobody accepts connections there: refused, no route, unknown host."""


class AmiTimeout(AmiError, session.Timeout):
    """The peer did not answer in time."""


class AmiProtocolError(AmiError, session.ProtocolError):
    """The peer does not speak AMI, sent more than we hold, or closed the connection midway."""


class AmiAuthError(AmiError, session.AuthError):
    """Asterisk refused the login."""


class AmiActionError(AmiError, session.ActionError):
    """Asterisk answered ``Response: Error``. ``action`` is what was asked, ``reason`` is Asterisk's own Message."""

    def __init__(self, action, reason):
        super().__init__("Asterisk refused the manager action %s: %s" % (action, reason))
        self.action = action
        self.reason = reason


class Message:
    """One AMI message: field names without regard to case, the values of a repeated name in order of arrival.

    ``size`` is what it costs to keep, in bytes, roughly.
    """

    __slots__ = ("_fields", "size")

    def __init__(self, fields, size=0):
        """``fields``: iterable of (name, value). A line without a colon has the name ``""``."""
        self._fields = {}
        self.size = size
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append(value)

    def get(self, name, default=""):
        """The first value of the field, a str."""
        return self._fields.get(name.lower(), (default,))[0]

    def all(self, name):
        """Every value of the field in order, a list of str: ``Output``, ``Variable`` and their like are repeated."""
        return list(self._fields.get(name.lower(), ()))

    def __contains__(self, name):
        return name.lower() in self._fields

    def __repr__(self):
        named = ["%s: %s" % (name, self.get(name)) for name in ("Event", "Response", "ActionID") if name in self]
        return "<Message %s (%d fields)>" % (", ".join(named), len(self._fields))


class Parser:
    """Bytes in, messages out, however the stream was cut.

    ``banner`` is None until the greeting has been read. Bytes that are not UTF-8 become U+FFFD.
    Errors: AmiProtocolError when the peer is no AMI server or exceeds a limit; the parser is useless afterwards.
    """

    def __init__(self, max_line=MAX_LINE, max_message=MAX_MESSAGE):
        self.banner = None
        self._max_line = max_line
        self._max_message = max_message
        self._rest = b""
        self._fields = []
        self._size = 0

    def feed(self, data):
        """Take ``data`` (bytes) and return the messages that it completes, a list."""
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        if self.banner is None:
            # Judged before its line end: other protocols may never send CRLF, and would look silent.
            greeting = lines[0] if lines else self._rest
            if not (greeting.startswith(BANNER) if lines else BANNER.startswith(greeting[:len(BANNER)])):
                raise AmiProtocolError("not an Asterisk manager interface: it greets with %s" % ascii(decoded(greeting[:40])))
            if lines:
                self.banner = decoded(lines.pop(0))
        if len(self._rest) > self._max_line:
            raise self._too_much("line", self._max_line)
        return [message for message in map(self._line, lines) if message is not None]

    def _line(self, line):
        if not line:
            message = Message(self._fields, self._size) if self._fields else None
            self._fields, self._size = [], 0
            return message
        if len(line) > self._max_line:
            raise self._too_much("line", self._max_line)
        self._size += len(line) + _LINE_OVERHEAD
        if self._size > self._max_message:
            raise self._too_much("message", self._max_message)
        name, colon, value = decoded(line).partition(":")
        # One blank separates name and value; a second is the value's own, such as the indent of an Output line.
        value = (value[1:] if value.startswith(" ") else value).rstrip("\r\n")
        self._fields.append((name.strip(), value) if colon else ("", name))
        return None

    @staticmethod
    def _too_much(what, limit):
        return AmiProtocolError("the peer sent a %s longer than %d bytes" % (what, limit))


def encode_action(name, action_id, fields):
    """The bytes of one action.

    ``fields``: {name: value}, a value being a str or int, or a list of them for a field sent several times.
    Errors: AmiFieldError, which names the field and never shows its value.
    """
    lines = ["%s: %s" % line for line in _action_lines(name, action_id, fields)]
    if len(lines) > MAX_ACTION_LINES:
        raise AmiFieldError("action %s has %d lines; Asterisk takes at most %d" % (ascii(name), len(lines), MAX_ACTION_LINES))
    return encoded("\r\n".join(lines) + "\r\n\r\n")


def _action_lines(name, action_id, fields):
    for field, values in {"Action": name, "ActionID": action_id, **fields}.items():
        if not _FIELD_NAME.fullmatch(field):
            raise AmiFieldError("%s is not a name for a field of a manager action" % ascii(field))
        for value in values if isinstance(values, (list, tuple)) else [values]:
            text = str(value)
            if any(mark in text for mark in "\r\n\0"):
                raise AmiFieldError("field %s of a manager action holds a line break or NUL: it could smuggle in another action" % field)
            if len(field) + 2 + len(encoded(text)) > MAX_ACTION_LINE:
                raise AmiFieldError("field %s of a manager action is too long: Asterisk takes lines of %d bytes" % (field, MAX_ACTION_LINE))
            yield field, text


class AmiClient(session.Session):
    """A manager session: ``with AmiClient(...) as client: client.action("Ping")``.

    host, port         where the manager interface listens
    username, secret   a user of manager.conf; the secret itself never crosses the wire (AuthType MD5)
    connect_timeout    seconds for connecting and logging in; Asterisk takes 1 s to refuse a login
    answer_timeout     seconds for the answer to an action
    events             the Events field of Login: "off", "on", or classes such as "system,reporting"

    Any error but AmiActionError and AmiFieldError ends the session: after it, what still arrives cannot be trusted to
    belong to the next question. Not for use by several threads at once.
    """

    _error = AmiError
    _refused = AmiRefused
    _timeout = AmiTimeout
    _protocol_error = AmiProtocolError
    _port_name = "the Asterisk manager interface"
    _port_advice = "Check that Asterisk runs, and enabled, bindaddr and port in manager.conf"

    def __init__(self, host, port, username, secret, connect_timeout=5.0, answer_timeout=10.0, events="off"):
        super().__init__(host, port, connect_timeout, answer_timeout)
        self._username = username
        self._secret = secret
        self._event_classes = events
        self._ids = count(1)

    def __repr__(self):
        return "<AmiClient %s as %s>" % (self.peer, self._username)

    @property
    def banner(self):
        """Asterisk's greeting, such as ``Asterisk Call Manager/11.0.0``, or None before it arrived."""
        return self._parser.banner

    def connect(self):
        """Connect, check the banner and log in.

        Errors: AmiRefused, AmiTimeout, AmiProtocolError, AmiAuthError, and AmiActionError while Asterisk shuts down.
        """
        self.close()
        deadline = Deadline(self._connect_timeout)
        try:
            self._socket = self._dial()
            while self._parser.banner is None:
                self._receive(deadline, "its greeting")
            self._login(deadline)
        except BaseException:
            self.close()
            raise

    def logoff(self):
        """Say goodbye and close; errors do not matter any more. Harmless when not connected."""
        try:
            if self.connected:
                self._ask("Logoff", {}, Deadline(_LOGOFF_PATIENCE))
        except AmiError:
            pass
        finally:
            self.close()

    def action(self, name, /, **fields):
        """Send an action and return its response, a Message.

        Errors: AmiActionError when Asterisk refuses it, AmiFieldError, AmiTimeout, AmiProtocolError.
        """
        with self._guarded():
            return self._ask(name, fields, Deadline(self._answer_timeout))[1]

    def actions(self, name, field, values):
        """Send one action for each of ``values`` of ``field``, many at a time; return the responses in their order.

        A thousand questions cost a few round trips, and not a thousand. The answers must be single responses.
        Errors: as ``action``; AmiActionError when Asterisk refuses any of them.
        """
        with self._guarded():
            answers, size = [], 0
            for start in range(0, len(values), _BATCH):
                deadline = Deadline(self._answer_timeout)
                asked = {self._next_id(): value for value in values[start:start + _BATCH]}
                self._send(b"".join(encode_action(name, action_id, {field: value}) for action_id, value in asked.items()), deadline)
                found = {}
                while len(found) < len(asked):
                    action_id, response = self._answer(name, asked, deadline)
                    size += response.size
                    if size > MAX_LIST:
                        raise AmiProtocolError("Asterisk at %s answered %s with more than %d bytes" % (self.peer, name, MAX_LIST))
                    found[action_id] = response
                answers += [found[action_id] for action_id in asked]
            return answers

    def action_list(self, name, /, *, wanted=None, **fields):
        """Send an action that answers with a list; return (response, events), a Message and a list of Messages.

        ``wanted``: names of the events to keep; the others of the list are forgotten as they arrive. None keeps them all.
        The event that completes the list is not among them.
        Errors: as ``action``; AmiActionError also when Asterisk cancels the list.
        """
        with self._guarded():
            deadline = Deadline(self._answer_timeout)
            action_id, response = self._ask(name, fields, deadline)
            if response.get("EventList").lower() != "start":
                raise AmiProtocolError("Asterisk at %s did not answer %s with a list" % (self.peer, name))
            events, size = [], 0
            while True:
                message = self._next(deadline, "the rest of the list for %s" % name)
                if message.get("ActionID") != action_id:
                    self._keep_event(message)
                    continue
                end = message.get("EventList").lower()
                if end == "complete":
                    return response, events
                if end:
                    raise AmiActionError(name, "the list was %s" % ascii(end))
                if wanted is None or message.get("Event") in wanted:
                    size += message.size
                    if size > MAX_LIST:
                        raise AmiProtocolError("Asterisk at %s answered %s with more than %d bytes" % (self.peer, name, MAX_LIST))
                    events.append(message)

    def next_event(self, timeout):
        """The oldest event that belongs to no action's list, or None when none came within ``timeout`` seconds.

        Events that arrived during an action were kept; ``dropped_events`` counts those that were too many.
        Errors: AmiProtocolError when the session ended.
        """
        event = self._kept_event()
        if event is not None:
            return event
        deadline = Deadline(timeout)
        with self._guarded():
            try:
                while True:
                    message = self._next(deadline, "an event")
                    if "Event" in message:
                        return message
            except AmiTimeout:
                return None

    def strange(self, asked, text):
        """The AmiProtocolError for an answer that is not what Asterisk is known to say."""
        return AmiProtocolError("Asterisk at %s answers %s with %s" % (self.peer, asked, ascii(text[:40])))

    def _fresh(self):
        return Parser(), MAX_QUEUE

    def _login(self, deadline):
        # No Username here: with it, Asterisk refuses the challenge of a user who is logged in already.
        challenge = self._ask("Challenge", {"AuthType": "MD5"}, deadline)[1].get("Challenge")
        if not challenge:
            raise AmiProtocolError("%s sent no challenge to log in with" % self.peer)
        # A digest that the protocol prescribes: without the flag, hosts in FIPS mode have no MD5.
        key = hashlib.md5(encoded(challenge + self._secret), usedforsecurity=False).hexdigest()
        try:
            self._ask("Login", {"AuthType": "MD5", "Username": self._username, "Key": key, "Events": self._event_classes}, deadline)
        except AmiActionError as exc:
            raise AmiAuthError(
                "Asterisk at %s refused the login of %s: %s. Check the user's section in manager.conf: name, secret, permit, deny, acl"
                % (self.peer, ascii(self._username), exc.reason)
            ) from None

    def _ask(self, name, fields, deadline):
        """Send, and wait for the response: (ActionID, Message)."""
        action_id = self._next_id()
        self._send(encode_action(name, action_id, fields), deadline)
        return self._answer(name, (action_id,), deadline)

    def _next_id(self):
        return "siptrunk-%d" % next(self._ids)

    def _answer(self, name, action_ids, deadline):
        """Wait for the response to one of the ``action_ids``: (ActionID, Message)."""
        while True:
            message = self._next(deadline, "the answer to %s" % name)
            # The event OriginateResponse has a field Response too.
            if "Event" not in message and message.get("ActionID") in action_ids:
                break
            self._keep_event(message)
        if message.get("Response").lower() == "error":
            raise AmiActionError(name, message.get("Message", "no reason given").strip())
        return message.get("ActionID"), message

    def _keep_event(self, message):
        if "Event" in message:
            super()._keep_event(message)
