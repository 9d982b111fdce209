# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with the control port of a phone system: what ``ami`` and ``esl`` have in common.

The socket, the deadline of every wait on the monotonic clock, the errors in the words of an operator, and the events that are
kept while an answer is awaited. Each protocol derives its own errors from these, so that who asks need not know the engine.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from contextlib import contextmanager


class SessionError(Exception):
    """Base of everything a session raises. The text is fit for an operator, and holds no secret."""


class FieldError(SessionError, ValueError):
    """A question that must not be sent: a line break in it, or more than the engine takes."""


class Refused(SessionError):
    """Nobody accepts connections there: refused, no route, unknown host."""


class Timeout(SessionError):
    """The peer did not answer in time."""


class ProtocolError(SessionError):
    """The peer does not speak the protocol, sent more than we hold, or closed the connection midway."""


class AuthError(SessionError):
    """The engine refused the login."""


class ActionError(SessionError):
    """The engine refused a question; the session goes on."""


class Deadline:
    """A span of ``seconds`` that began when this was made."""

    def __init__(self, seconds):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def arm(self, sock):
        """Let the next operation on the socket last until the deadline at most. Errors: socket.timeout when it is over."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise socket.timeout
        sock.settimeout(left)


class Session:
    """A connection, the parser of what comes in, and the events nobody has asked for yet.

    A protocol derives its client from this. It gives the errors of its own, the words below, ``_fresh`` and ``connect``, and
    asks with ``_send`` and ``_next`` inside of ``_guarded``. A message has a ``size``, what it costs to keep, in bytes.

    Any error but ActionError and FieldError ends the session: after it, what still arrives cannot be trusted to belong to the
    next question. Not for use by several threads at once.
    """

    _error = SessionError
    _refused = Refused
    _timeout = Timeout
    _protocol_error = ProtocolError
    _port_name = "the control port"
    _port_advice = ""

    def __init__(self, host, port, connect_timeout, answer_timeout):
        self.peer = ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)
        self.dropped_events = 0
        self._address = (host, port)
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._socket = None
        self._reset()

    def __enter__(self):
        self.connect()
        return self

    def __exit__(self, *exc_info):
        self.logoff()

    @property
    def connected(self):
        """False before ``connect``, and after an error has ended the session."""
        return self._socket is not None

    def fileno(self):
        """The socket, for select(): events may also be waiting inside, so ask ``next_event`` until it has none."""
        return self._socket.fileno() if self.connected else -1

    def connect(self):
        """Connect and log in. Errors: Refused, Timeout, ProtocolError, AuthError, and ActionError where the protocol says so."""
        raise NotImplementedError

    def logoff(self):
        """End the session; errors do not matter any more. Harmless when not connected."""
        self.close()

    def close(self):
        """Close without a word."""
        if self.connected:
            self._socket.close()
        self._socket = None
        self._reset()

    def _fresh(self):
        """(the parser of a new connection, bytes of events to keep at most)."""
        raise NotImplementedError

    def _reset(self):
        self._parser, self._max_events = self._fresh()
        self._inbox = deque()
        self._events = deque()
        self._events_size = 0

    @contextmanager
    def _guarded(self):
        try:
            yield
        except (ActionError, FieldError):
            raise
        except BaseException:
            self.close()
            raise

    def _dial(self):
        try:
            return socket.create_connection(self._address, timeout=self._connect_timeout)
        except socket.timeout:
            raise self._timeout(
                "%s accepted no connection within %g s: check host, port and firewall" % (self.peer, self._connect_timeout)
            ) from None
        except (OSError, UnicodeError) as exc:
            raise self._refused("cannot connect to %s at %s: %s. %s" % (self._port_name, self.peer, _cause(exc), self._port_advice)) from None

    def _keep_event(self, message):
        self._events.append(message)
        self._events_size += message.size
        while self._events_size > self._max_events:
            self._events_size -= self._events.popleft().size
            self.dropped_events += 1

    def _kept_event(self):
        """The oldest event that was kept, or None."""
        if not self._events:
            return None
        message = self._events.popleft()
        self._events_size -= message.size
        return message

    def _send(self, data, deadline):
        with self._wire(deadline, "read our question"):
            self._socket.sendall(data)

    def _next(self, deadline, awaited):
        while not self._inbox:
            self._receive(deadline, awaited)
        return self._inbox.popleft()

    def _receive(self, deadline, awaited):
        with self._wire(deadline, "send %s" % awaited):
            data = self._socket.recv(65536)
        if not data:
            raise self._protocol_error("%s closed the connection and did not send %s" % (self.peer, awaited))
        try:
            self._inbox.extend(self._parser.feed(data))
        except ProtocolError as exc:
            raise self._protocol_error("%s: %s" % (self.peer, exc)) from None

    @contextmanager
    def _wire(self, deadline, expected):
        """One operation on the socket, its errors in our words."""
        if not self.connected:
            raise self._error("not connected to %s" % self.peer)
        try:
            deadline.arm(self._socket)
            yield
        except socket.timeout:
            raise self._timeout("%s did not %s within %g s" % (self.peer, expected, deadline.seconds)) from None
        except OSError as exc:
            raise self._protocol_error("lost the connection to %s, which did not %s: %s" % (self.peer, expected, _cause(exc))) from None


def _cause(exc):
    return getattr(exc, "strerror", None) or exc


def decoded(data):
    """Text from what came in; bytes that are not UTF-8 become U+FFFD."""
    return data.decode("utf-8", "replace")


def encoded(text):
    """The bytes of a text. What came in as undecodable bytes (a secret from the command line) goes out as the same bytes."""
    return text.encode("utf-8", "surrogateescape")
