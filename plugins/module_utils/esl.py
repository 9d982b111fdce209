# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event socket of FreeSWITCH, inbound mode: an incremental parser, and a blocking client on top of it.

``Parser`` is pure: bytes in, ``Message`` objects out. ``EslClient`` is a ``session.Session``, and adds the login and the
commands. FreeSWITCH answers them in their order and nothing marks an answer, so each is awaited, or the session ends.

The password crosses the connection in clear: the event socket knows no other way. It stays out of every message, repr and
exception, and so does what FreeSWITCH answers to it.

Source: https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod_event_socket_1048924/ and
``mod_event_socket.c`` of FreeSWITCH 1.10.12.
"""

from __future__ import annotations

import json
import re

from ansible_collections.siptrunk.failover.plugins.module_utils import session
from ansible_collections.siptrunk.failover.plugins.module_utils.session import Deadline, decoded, encoded

# What a hostile or broken peer can make us hold. The longest honest answer is the status of some thousand gateways.
MAX_HEADERS = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
MAX_ANSWERS = 64 * 1024 * 1024
MAX_QUEUE = 16 * 1024 * 1024
_MESSAGE_OVERHEAD = 512

# FreeSWITCH takes more (10 MiB), but nobody has so much to say.
MAX_COMMAND = 64 * 1024

# Commands sent ahead of their answers: few enough that both fit into the sockets' buffers, for FreeSWITCH does not read on
# while it cannot write.
_BATCH = 50

_GREETING = b"Content-Type: "
_LENGTH = re.compile(r"[0-9]{1,12}")
_EVENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_:.-]*")
_EVENT_CLASS = re.compile(r"[A-Z][A-Z0-9_]*")
# What mod_event_socket makes of a command whose answer is empty, such as a look-up that finds nothing.
_NO_REPLY = "-ERR no reply\n"
_REFUSAL = re.compile(r"-(?:ERR|USAGE)\b:?\s*(?P<reason>.*)", re.DOTALL)
_MAX_REASON = 300
_MAX_SHOWN = 40


class EslError(session.SessionError):
    """Base of everything this module raises. The text is fit for an operator, and holds no secret."""


class EslFieldError(EslError, session.FieldError):
    """A command that must not be sent: empty, too long, or with a line break in it."""


class EslRefused(EslError, session.Refused):
    """Nobody accepts connections there: refused, no route, unknown host."""


class EslTimeout(EslError, session.Timeout):
    """The peer did not answer in time."""


class EslProtocolError(EslError, session.ProtocolError):
    """The peer is no event socket, sent more than we hold, or ended the session."""


class EslAuthError(EslError, session.AuthError):
    """FreeSWITCH refused the password, or any connection from here."""


class EslActionError(EslError, session.ActionError):
    """FreeSWITCH answered ``-ERR`` or ``-USAGE``. ``action`` is the command's first word, ``reason`` what FreeSWITCH said."""

    def __init__(self, action, reason):
        super().__init__("FreeSWITCH refused the command %s: %s" % (action, reason))
        self.action = action
        self.reason = reason


class Message:
    """One message: headers without regard to case (of a repeated one the last), and a body of bytes.

    ``size`` is what it costs to keep, in bytes, roughly.
    """

    __slots__ = ("_headers", "body", "size")

    def __init__(self, headers, body=b"", size=0):
        """``headers``: iterable of (name, value)."""
        self._headers = {name.lower(): value for name, value in headers}
        self.body = body
        self.size = size

    def get(self, name, default=""):
        """The value of the header, a str."""
        return self._headers.get(name.lower(), default)

    @property
    def kind(self):
        """The Content-Type, such as ``api/response``."""
        return self.get("Content-Type").strip().lower()

    @property
    def text(self):
        """The body, a str."""
        return decoded(self.body)

    def __repr__(self):
        return "<Message %s (%d bytes)>" % (ascii(self.kind), len(self.body))


class Parser:
    """Bytes in, messages out, however the stream was cut. Bytes that are not UTF-8 become U+FFFD.

    Errors: EslProtocolError when the peer is no event socket or exceeds a limit; the parser is useless afterwards.
    """

    def __init__(self, max_headers=MAX_HEADERS, max_body=MAX_BODY):
        self._max_headers = max_headers
        self._max_body = max_body
        self._rest = bytearray()
        self._greeted = False
        self._headers = None
        self._length = 0
        self._size = 0

    def feed(self, data):
        """Take ``data`` (bytes) and return the messages that it completes, a list."""
        seen = len(self._rest)
        self._rest += data
        messages = []
        while True:
            if self._headers is None and not self._head(seen):
                return messages
            if len(self._rest) < self._length:
                return messages
            body = bytes(self._rest[:self._length])
            del self._rest[:self._length]
            messages.append(Message(self._headers, body, self._size + self._length))
            self._headers, self._length, seen = None, 0, 0

    def _head(self, seen):
        """Take the headers of the next message, and tell whether they were complete. The first ``seen`` bytes hold no end."""
        blank = len(self._rest) - len(self._rest.lstrip(b"\n"))
        del self._rest[:blank]
        if not self._greeted:
            # Judged before its line end: other protocols may never send two line feeds, and would look silent.
            greeting = bytes(self._rest[:len(_GREETING)])
            if not _GREETING.startswith(greeting):
                raise EslProtocolError("not a FreeSWITCH event socket: it greets with %s" % ascii(decoded(bytes(self._rest[:_MAX_SHOWN]))))
            self._greeted = greeting == _GREETING
        end = self._rest.find(b"\n\n", max(seen - blank - 1, 0))
        if (end if end >= 0 else len(self._rest)) > self._max_headers:
            raise EslProtocolError("the peer sent headers longer than %d bytes" % self._max_headers)
        if end < 0:
            return False
        lines = decoded(bytes(self._rest[:end])).split("\n")
        del self._rest[:end + 2]
        self._headers = [(name.strip(), value.strip()) for name, dummy, value in (line.partition(":") for line in lines)]
        self._size = end + _MESSAGE_OVERHEAD
        for name, value in self._headers:
            if name.lower() == "content-length":
                self._length = self._body_length(value)
        return True

    def _body_length(self, value):
        if not _LENGTH.fullmatch(value):
            raise EslProtocolError("the peer announces a body of %s bytes, which is no number" % ascii(value[:_MAX_SHOWN]))
        if int(value) > self._max_body:
            raise EslProtocolError("the peer announces a body longer than %d bytes" % self._max_body)
        return int(value)


def encode_command(text):
    """The bytes of one command. Errors: EslFieldError, which never shows the command."""
    if any(mark in text for mark in "\r\n\0"):
        raise EslFieldError("a command for FreeSWITCH holds a line break or NUL: it could smuggle in another command")
    data = encoded(text)
    if len(data) > MAX_COMMAND:
        raise EslFieldError("a command for FreeSWITCH is longer than %d bytes" % MAX_COMMAND)
    return data + b"\n\n"


def _api(command):
    """(the first word of the command, its bytes)."""
    words = command.split(None, 1)
    if not words:
        raise EslFieldError("a command for FreeSWITCH is empty")
    return words[0], encode_command("api %s" % command.strip())


class EslClient(session.Session):
    """A session with the event socket: ``with EslClient(...) as client: client.api("status")``.

    host, port        where the event socket listens
    password          that of event_socket.conf.xml; it crosses the connection in clear
    connect_timeout   seconds for connecting and logging in
    answer_timeout    seconds for the answer to a command, or to one batch of many

    Any error but EslActionError and EslFieldError ends the session: after it, what still arrives cannot be trusted to
    belong to the next command. Not for use by several threads at once.
    """

    _error = EslError
    _refused = EslRefused
    _timeout = EslTimeout
    _protocol_error = EslProtocolError
    _port_name = "the FreeSWITCH event socket"
    _port_advice = "Check that FreeSWITCH runs, that it has loaded mod_event_socket, and listen-ip and listen-port in event_socket.conf.xml"

    def __init__(self, host, port, password, connect_timeout=5.0, answer_timeout=10.0):
        super().__init__(host, port, connect_timeout, answer_timeout)
        self._password = password

    def __repr__(self):
        return "<EslClient %s>" % self.peer

    def connect(self):
        """Connect and log in. Errors: EslRefused, EslTimeout, EslProtocolError, EslAuthError, EslFieldError."""
        self.close()
        try:
            login = encode_command("auth %s" % self._password)
        except EslFieldError:
            raise EslFieldError("the password for FreeSWITCH is too long, or holds a line break or NUL") from None
        deadline = Deadline(self._connect_timeout)
        try:
            self._socket = self._dial()
            self._login(login, deadline)
        except BaseException:
            self.close()
            raise

    def api(self, command, allow_error=False):
        """Run an API command, such as ``sofia status``; return what it says, a str as it is. What says nothing is "".

        Errors: EslActionError for an answer of ``-ERR`` or ``-USAGE``, which ``allow_error`` returns like any other;
        EslFieldError, EslTimeout, EslProtocolError. Some commands refuse in words of their own, such as ``Invalid Gateway!``.
        """
        return self.apis([command], allow_error)[0]

    def apis(self, commands, allow_error=False):
        """Run API commands, many at a time; return what they say, in their order.

        A thousand commands cost a few round trips, and not a thousand.
        Errors: as ``api``; EslActionError for the first one refused, after the others of its batch have run.
        """
        asked = [_api(command) for command in commands]
        with self._guarded():
            answers, size = [], 0
            for start in range(0, len(asked), _BATCH):
                batch = asked[start:start + _BATCH]
                deadline = Deadline(self._answer_timeout)
                self._send(b"".join(data for dummy, data in batch), deadline)
                refused = None
                for action, dummy in batch:
                    text = self._answer(action, deadline)
                    size += len(text)
                    if size > MAX_ANSWERS:
                        raise EslProtocolError("FreeSWITCH at %s answered with more than %d bytes" % (self.peer, MAX_ANSWERS))
                    refused = refused or (not allow_error and _refusal(action, text)) or None
                    answers.append(text)
                if refused:
                    raise refused
            return answers

    def events(self, *names):
        """Subscribe to events: classes such as ``CHANNEL_HANGUP_COMPLETE``, and subclasses of CUSTOM such as ``sofia::gateway_state``.

        FreeSWITCH passes over a class that it does not know, unless it knows none of them.
        Errors: EslActionError, EslFieldError, EslTimeout, EslProtocolError.
        """
        for name in names:
            if not _EVENT_NAME.fullmatch(name):
                raise EslFieldError("%s is not a name for an event of FreeSWITCH" % ascii(name))
        # After CUSTOM, FreeSWITCH takes every name for a subclass.
        classes = [name for name in names if _EVENT_CLASS.fullmatch(name) and name != "CUSTOM"]
        subclasses = [name for name in names if not _EVENT_CLASS.fullmatch(name)]
        custom = ["CUSTOM"] if subclasses or "CUSTOM" in names else []
        data = encode_command(" ".join(["event", "json", *classes, *custom, *subclasses]))
        with self._guarded():
            deadline = Deadline(self._answer_timeout)
            self._send(data, deadline)
            refused = _refusal("event", self._answer("event", deadline, "command/reply"))
            if refused:
                raise refused

    def next_event(self, timeout):
        """The oldest event, a dict of its headers (and ``_body``), or None when none came within ``timeout`` seconds.

        Events that arrived during a command were kept; ``dropped_events`` counts those that were too many.
        Errors: EslProtocolError when the session ended.
        """
        with self._guarded():
            message = self._kept_event()
            if message is not None:
                return self._event(message)
            deadline = Deadline(timeout)
            try:
                while True:
                    message = self._message(deadline, "an event")
                    if message.kind == "text/event-json":
                        return self._event(message)
            except EslTimeout:
                return None

    def strange(self, command, text):
        """The EslProtocolError for an answer that is not what the command is known to say."""
        return EslProtocolError("FreeSWITCH at %s answers %s with %s" % (self.peer, command, ascii(text[:_MAX_SHOWN])))

    def _fresh(self):
        return Parser(), MAX_QUEUE

    def _login(self, login, deadline):
        greeting = self._message(deadline, "its greeting")
        if greeting.kind == "text/rude-rejection":
            raise EslAuthError(
                "FreeSWITCH at %s refuses any connection from this host. Check apply-inbound-acl in event_socket.conf.xml" % self.peer)
        if greeting.kind != "auth/request":
            raise EslProtocolError("%s: not a FreeSWITCH event socket: it greets with %s" % (self.peer, ascii(greeting.kind[:_MAX_SHOWN])))
        self._send(login, deadline)
        reply = self._message(deadline, "the answer to the login")
        # What it says is not shown: a peer that is no FreeSWITCH might say the password.
        if reply.kind != "command/reply" or not reply.get("Reply-Text").startswith("+OK"):
            raise EslAuthError("FreeSWITCH at %s refused the login. Check password in event_socket.conf.xml" % self.peer)

    def _answer(self, action, deadline, kind="api/response"):
        """Wait for the answer to one command, a str."""
        while True:
            message = self._message(deadline, "the answer to %s" % action)
            if message.kind == "command/reply":
                text = message.get("Reply-Text")
                # FreeSWITCH answers like this instead of api/response to a command that it does not even try.
                if kind == "command/reply" or text.startswith("-"):
                    return text
                raise EslProtocolError("FreeSWITCH at %s did not answer %s with api/response" % (self.peer, action))
            if message.kind == kind:
                text = message.text
                return "" if text == _NO_REPLY else text
            if message.kind == "text/event-json":
                self._keep_event(message)

    def _message(self, deadline, awaited):
        message = self._next(deadline, awaited)
        if message.kind == "text/disconnect-notice":
            raise EslProtocolError("FreeSWITCH at %s ended the session and did not send %s" % (self.peer, awaited))
        return message

    def _event(self, message):
        try:
            event = json.loads(message.text, strict=False)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise EslProtocolError("FreeSWITCH at %s sent an event that is no JSON object" % self.peer)
        return event


def _refusal(action, text):
    """The EslActionError that an answer stands for, or None."""
    match = _REFUSAL.match(text)
    if not match:
        return None
    return EslActionError(action, " ".join(match.group("reason").split())[:_MAX_REASON] or "no reason given")
