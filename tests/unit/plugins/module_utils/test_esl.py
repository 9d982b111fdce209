# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import time

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import esl, session
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.esl_server import (
    CLOSE, GOODBYE, GREETING, LOGIN, NO_COMMAND, PASSWORD, REFUSED, REJECTION, SILENT,
    ScriptedServer, answer, api, event, fixture, reply, then_close,
)

STREAM = fixture("event_socket_stream.txt").encode()


def client(server, **options):
    return esl.EslClient("127.0.0.1", server.port, PASSWORD, **{"connect_timeout": 3.0, "answer_timeout": 3.0, **options})


def parse(data, **limits):
    return esl.Parser(**limits).feed(GREETING + data)[1:]


# The parser

def test_parser_reads_headers_without_regard_to_case_and_the_body_as_it_is():
    first, second = parse(b"Content-Type: Api/Response\nCONTENT-length: 8\nX:  y: z \nno colon\n\na\n\nb: \n\nContent-Type: x\n\n")
    assert (first.kind, first.get("x"), first.get("No Colon", "-"), first.get("absent", "-"), first.get("absent")) == ("api/response", "y: z", "", "-", "")
    assert (first.body, first.text) == (b"a\n\nb: \n\n", "a\n\nb: \n\n")
    assert (second.kind, second.body) == ("x", b"")


def test_parser_of_a_real_stream():
    messages = esl.Parser().feed(STREAM)
    kinds = [message.kind for message in messages]
    assert kinds[:3] == ["auth/request", "command/reply", "command/reply"] and kinds[-2:] == ["command/reply", "text/disconnect-notice"]
    assert messages[1].get("Reply-Text") == "+OK accepted"
    assert [message.text for message in messages if message.kind == "api/response"][-11:] == [
        "1795572543", "D/xsiptrunk_cool_y/1999999999\nD/siptrunk_cool_127.0.0.42_5071_udp/1999999999\nD/siptrunk_cool_127.0.0.42_5070_udp/1700000000\n",
        "acme-east,beta", "2", "1", "0", "0", '{"by": "ops", "at": "2026-11-23T04:00:00Z", "why": "maintenance"}', "carrier asked",
        "-ERR no reply\n", "-ERR nonsense Command not found!\n"]
    events = [json.loads(message.text) for message in messages if message.kind == "text/event-json"]
    assert [found.get("State", found["Event-Name"]) for found in events] == ["TRYING", "DOWN", "HEARTBEAT", "FAILED", "FAIL_WAIT"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_parser_gives_the_same_however_the_stream_is_cut(size):
    parser, messages = esl.Parser(), []
    for start in range(0, len(STREAM), size):
        messages += parser.feed(STREAM[start:start + size])
    whole = esl.Parser().feed(STREAM)
    assert [(message.kind, message.body, message.size) for message in messages] == [(message.kind, message.body, message.size) for message in whole]
    assert len(messages) == 30


def test_parser_gives_a_message_as_soon_as_it_is_whole():
    parser = esl.Parser()
    assert [message.kind for message in parser.feed(GREETING + b"\n\nContent-Length: 3\nContent-Type: a\n\nab")] == ["auth/request"]
    message, = parser.feed(b"c")
    assert message.body == b"abc"
    assert [found.body for found in parser.feed(b"\n" + answer("x") + b"\n\n\n" + answer("y"))] == [b"x", b"y"]


def test_parser_tolerates_bytes_that_are_not_utf8():
    message, = parse(b"Content-Type: x\nName: J\xfcrgen\nContent-Length: 2\n\n\xfc\xfc")
    assert (message.get("Name"), message.text) == ("J\ufffdrgen", "\ufffd\ufffd")


@pytest.mark.parametrize("greeting", [
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"Asterisk Call Manager/11.0.0\r\n",
    b"content-type: auth/request\n\n",
    b"C\n\n",
    b"\x00\xff\xfe",
])
def test_parser_refuses_what_is_not_an_event_socket(greeting):
    with pytest.raises(esl.EslProtocolError, match="not a FreeSWITCH event socket"):
        esl.Parser().feed(greeting)


def test_parser_waits_for_the_rest_of_a_greeting():
    parser = esl.Parser()
    assert parser.feed(b"Content-") == parser.feed(b"Type: auth/re") == parser.feed(b"quest\n") == []
    assert [message.kind for message in parser.feed(b"\n")] == ["auth/request"]


@pytest.mark.parametrize("data", [b"X: " + b"y" * 101, b"X: " + b"y" * 101 + b"\n\n", b"X: y\n" * 25])
def test_parser_refuses_headers_beyond_the_limit(data):
    with pytest.raises(esl.EslProtocolError, match="headers longer than 100 bytes"):
        parse(data, max_headers=100)


def test_parser_refuses_headers_beyond_the_limit_however_they_come():
    parser = esl.Parser(max_headers=100)
    parser.feed(GREETING)
    with pytest.raises(esl.EslProtocolError, match="headers longer"):
        for dummy in range(200):
            parser.feed(b"x")


@pytest.mark.parametrize("length, text", [
    ("101", "longer than 100 bytes"), ("9" * 12, "longer than 100 bytes"), ("9" * 4000, "no number"), ("-1", "no number"), ("1e3", "no number"),
    ("", "no number"), ("0x10", "no number"), ("\u0661", "no number"),
])
def test_parser_refuses_a_body_beyond_the_limit_before_it_comes(length, text):
    with pytest.raises(esl.EslProtocolError, match=text):
        parse(("Content-Type: x\nContent-Length: %s\n\n" % length).encode(), max_body=100)


def test_parser_counts_each_message_by_itself():
    parser = esl.Parser(max_headers=50, max_body=10)
    parser.feed(GREETING)
    assert sum(len(parser.feed(b"Content-Length: 9\n\n123456789")) for dummy in range(100)) == 100


def test_line_feeds_between_messages_cost_nothing():
    parser = esl.Parser(max_headers=50)
    parser.feed(GREETING)
    for dummy in range(100):
        assert parser.feed(b"\n" * 1000) == []
    assert len(parser.feed(answer("x"))) == 1


def test_message_repr_shows_no_values():
    message, = parse(b"Content-Type: api/response\nSecret: hidden\nContent-Length: 6\n\nhidden")
    assert repr([message]) == "[<Message 'api/response' (6 bytes)>]"


# What is sent

@pytest.mark.parametrize("mark", ["\r\n", "\r", "\n", "\0", "\n\n"])
def test_encode_refuses_to_smuggle_and_does_not_show_the_command(mark):
    with pytest.raises(esl.EslFieldError, match="line break or NUL") as caught:
        esl.encode_command("api global_setvar x=top%ssecret" % mark)
    assert "secret" not in str(caught.value)


def test_encode_command():
    assert esl.encode_command("api db insert/x/y/J\u00fcrgen") == "api db insert/x/y/J\u00fcrgen\n\n".encode()
    assert esl.encode_command("auth \udcfc") == b"auth \xfc\n\n"
    assert len(esl.encode_command("x" * esl.MAX_COMMAND)) == esl.MAX_COMMAND + 2
    with pytest.raises(esl.EslFieldError, match="longer than"):
        esl.encode_command("x" * esl.MAX_COMMAND + "y")


# The session

def test_login_keeps_the_password_out_of_sight():
    with ScriptedServer(LOGIN + [api("status", "UP 0 years\n")]) as server:
        with client(server) as session_:
            assert session_.api("status") == "UP 0 years\n"
            assert repr(session_) == "<EslClient 127.0.0.1:%d>" % server.port
            assert session_.peer == "127.0.0.1:%d" % server.port
            assert session_.connected and session_.fileno() >= 0
        assert not session_.connected and session_.fileno() == -1
    assert server.received == ["auth %s" % PASSWORD, "api status"]


def test_refused_login():
    with ScriptedServer(REFUSED) as server:
        session_ = client(server)
        with pytest.raises(esl.EslAuthError) as caught:
            session_.connect()
        assert not session_.connected
    assert str(caught.value) == "FreeSWITCH at 127.0.0.1:%d refused the login. Check password in event_socket.conf.xml" % server.port


@pytest.mark.parametrize("echo", [reply("-ERR no such password: %s" % PASSWORD), reply(PASSWORD), answer(PASSWORD), event(Password=PASSWORD)])
def test_a_peer_that_says_the_password_is_not_repeated(echo):
    with ScriptedServer([("auth %s" % PASSWORD, echo)]) as server:
        with pytest.raises(esl.EslAuthError) as caught:
            client(server).connect()
    assert PASSWORD not in str(caught.value) + repr(caught.value)


def test_a_host_that_is_not_welcome():
    with ScriptedServer([], greeting=then_close(REJECTION)) as server:
        with pytest.raises(esl.EslAuthError, match=r"127\.0\.0\.1:%d refuses any connection from this host.*apply-inbound-acl" % server.port):
            client(server).connect()


@pytest.mark.parametrize("password", ["x\n\napi shutdown", "x\ry", "x\0", "x" * 70000])
def test_a_password_that_cannot_be_one_is_not_sent(password):
    with pytest.raises(esl.EslFieldError, match="the password for FreeSWITCH is too long, or") as caught:
        esl.EslClient("192.0.2.1", 8021, password).connect()
    assert "shutdown" not in str(caught.value)


def test_refused_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(esl.EslRefused, match=r"event socket at 127\.0\.0\.1:%d: Connection refused.*event_socket\.conf" % port):
            esl.EslClient("127.0.0.1", port, PASSWORD).connect()


def test_unknown_host_and_ipv6_peer():
    with pytest.raises(esl.EslRefused, match="nowhere.invalid:8021"):
        esl.EslClient("nowhere.invalid", 8021, PASSWORD).connect()
    assert esl.EslClient("::1", 8021, PASSWORD).peer == "[::1]:8021"


@pytest.mark.parametrize("greeting, text", [
    (b"220 mail.example ESMTP\r\n", "220 mail"), (b"Content-Type: text/html\n\n", "text/html"), (b"Content-Type: \n\n", "greets with ''"),
])
def test_wrong_greeting_names_the_peer_and_gets_no_password(greeting, text):
    with ScriptedServer([], greeting=greeting) as server:
        with pytest.raises(esl.EslProtocolError, match=r"127\.0\.0\.1:%d: not a FreeSWITCH.*%s" % (server.port, text)):
            client(server).connect()
    assert server.wire == b""


def test_no_greeting():
    with ScriptedServer([], greeting=SILENT) as server:
        started = time.monotonic()
        with pytest.raises(esl.EslTimeout, match="did not send its greeting within 0.1 s"):
            client(server, connect_timeout=0.1).connect()
        assert time.monotonic() - started < 2


def test_no_answer_to_the_login():
    with ScriptedServer([("auth %s" % PASSWORD, SILENT)]) as server:
        with pytest.raises(esl.EslTimeout, match="did not send the answer to the login within 0.1 s") as caught:
            client(server, connect_timeout=0.1).connect()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("greeting", [then_close(SILENT), then_close(GREETING[:10]), then_close(GOODBYE)])
def test_closed_before_the_greeting(greeting):
    with ScriptedServer([], greeting=greeting) as server:
        with pytest.raises(esl.EslProtocolError, match="did not send its greeting"):
            client(server).connect()


@pytest.mark.parametrize("cut", [None, 1, 5])
def test_an_answer_among_events_and_other_things(cut):
    noise = event(**{"Event-Name": "A"}) + b"Content-Type: log/data\nContent-Length: 5\n\nhello" + event(**{"Event-Name": "B", "_body": "J\u00fcrgen\n"})
    with ScriptedServer(LOGIN + [("api status", noise + answer("UP"))], cut=cut) as server:
        with client(server) as session_:
            assert session_.api("status") == "UP"
            assert [session_.next_event(0.05) for dummy in range(3)] == [
                {"Event-Name": "A"}, {"Event-Name": "B", "_body": "J\u00fcrgen\n"}, None]
            assert session_.connected


@pytest.mark.parametrize("text, action, reason", [
    (NO_COMMAND % "sofia", "sofia", "sofia Command not found!"),
    ("-ERR Usage: hash [insert|delete|select]/<realm>/<key>/<value>\n", "sofia", "Usage: hash [insert|delete|select]/<realm>/<key>/<value>"),
    ("-USAGE: <uuid>\n", "sofia", "<uuid>"),
    ("-USAGE\n", "sofia", "no reason given"),
    ("-ERR", "sofia", "no reason given"),
    ("-ERR two\nlines  of it\n", "sofia", "two lines of it"),
    ("-ERR " + "x" * 5000, "sofia", "x" * 300),
])
def test_a_refusal_carries_freeswitchs_own_words_and_keeps_the_session(text, action, reason):
    with ScriptedServer(LOGIN + [api("sofia status secret", text), api("sofia status secret", text), api("status", "UP")]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslActionError) as caught:
                session_.api("sofia status secret")
            assert (caught.value.action, caught.value.reason) == (action, reason)
            assert str(caught.value) == "FreeSWITCH refused the command %s: %s" % (action, reason)
            assert session_.api("sofia status secret", allow_error=True) == text
            assert session_.api("status") == "UP"


@pytest.mark.parametrize("text", ["+OK\n", "Invalid Gateway!\n", "-1", "-ERROR is a word", "- ERR", "x -ERR y", " -ERR"])
def test_what_is_no_refusal_is_the_answer(text):
    with ScriptedServer(LOGIN + [api("x", text)]) as server:
        with client(server) as session_:
            assert session_.api("x") == text


def test_an_empty_answer_is_no_refusal():
    with ScriptedServer(LOGIN + [api("hash select/a/b"), api("hash select/a/b")]) as server:
        with client(server) as session_:
            assert session_.api("hash select/a/b") == session_.api("hash select/a/b", allow_error=True) == ""


def test_a_command_that_is_not_even_tried():
    with ScriptedServer(LOGIN + [("api shutdown", reply("-ERR permission denied")), ("api x", reply("+OK"))]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslActionError, match="refused the command shutdown: permission denied"):
                session_.api("shutdown")
            with pytest.raises(esl.EslProtocolError, match="did not answer x with api/response"):
                session_.api("x")
            assert not session_.connected


@pytest.mark.parametrize("command, text", [
    ("", "empty"), ("  ", "empty"), ("status\n\napi shutdown", "line break"), ("x" * 70000, "longer than"),
])
def test_injection_never_reaches_the_wire(command, text):
    with ScriptedServer(LOGIN + [api("status", "UP")]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslFieldError, match=text):
                session_.api(command)
            with pytest.raises(esl.EslFieldError, match=text):
                session_.apis(["status", command])
            assert session_.api(" status ") == "UP"
    assert server.received == ["auth %s" % PASSWORD, "api status"]


def test_many_are_asked_ahead_and_answered_in_their_order(monkeypatch):
    monkeypatch.setattr(esl, "_BATCH", 3)
    steps = [("api a", SILENT), ("api b", SILENT), ("api c", answer("A") + event(Name="x") + answer("") + answer("C")), api("d", "D")]
    with ScriptedServer(LOGIN + steps) as server:
        with client(server) as session_:
            counts = []

            def send(data, deadline, true_send=session_._send):
                counts.append(data.count(b"api "))
                true_send(data, deadline)

            monkeypatch.setattr(session_, "_send", send)
            assert session_.apis(["a", "b", "c", "d"]) == ["A", "", "C", "D"]
            assert counts == [3, 1]
            assert session_.next_event(0.05) == {"Name": "x"}
            assert session_.apis([]) == []


def test_a_refusal_among_many_keeps_the_session_and_the_order():
    many = [api("a", "A"), api("b", NO_COMMAND % "b"), api("c", NO_COMMAND % "c"), api("d", "D")]
    with ScriptedServer(LOGIN + many + many + [api("status", "UP")]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslActionError, match="refused the command b: b Command not found!"):
                session_.apis(["a", "b", "c", "d"])
            assert session_.apis(["a", "b", "c", "d"], allow_error=True) == ["A", NO_COMMAND % "b", NO_COMMAND % "c", "D"]
            assert session_.api("status") == "UP"


def test_answers_to_many_beyond_the_limit_together(monkeypatch):
    monkeypatch.setattr(esl, "MAX_ANSWERS", 1000)
    with ScriptedServer(LOGIN + [api(name, "x" * 400) for name in "abc"]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslProtocolError, match="answered with more than 1000 bytes"):
                session_.apis(["a", "b", "c"])
            assert not session_.connected


def test_one_answer_of_many_that_does_not_come():
    with ScriptedServer(LOGIN + [api("a", "A"), ("api b", SILENT)]) as server:
        with client(server, answer_timeout=0.2) as session_:
            with pytest.raises(esl.EslTimeout, match="did not send the answer to b within 0.2 s"):
                session_.apis(["a", "b"])
            with pytest.raises(esl.EslError, match="not connected"):
                session_.api("a")


class Chatterbox:
    """A socket that always has one more event to tell."""

    def __init__(self):
        self.patience = 200000

    def recv(self, dummy):
        self.patience -= 1
        assert self.patience, "the deadline was forgotten"
        return event(Name="x")

    def settimeout(self, seconds):
        assert seconds > 0

    def sendall(self, dummy):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("ask", [
    lambda session_: session_.api("status"),
    lambda session_: session_.apis(["status", "version"]),
    lambda session_: session_.events("HEARTBEAT"),
])
def test_a_stream_of_other_things_does_not_put_off_the_deadline(ask):
    session_ = esl.EslClient("127.0.0.1", 8021, PASSWORD, answer_timeout=0.05)
    session_._parser.feed(GREETING)
    session_._socket = Chatterbox()
    with pytest.raises(esl.EslTimeout, match="127.0.0.1:8021 did not send the answer to .* within 0.05 s"):
        ask(session_)
    assert not session_.connected


@pytest.mark.parametrize("data, text", [
    (CLOSE, "closed the connection|lost the connection"),
    (then_close(answer("UP")[:-1]), "closed the connection|lost the connection"),
    (GOODBYE, "ended the session and did not send the answer to status"),
])
def test_ended_midway(data, text):
    with ScriptedServer(LOGIN + [("api status", data)]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslProtocolError, match=text):
                session_.api("status")
            assert not session_.connected


def test_an_answer_before_the_goodbye_counts():
    with ScriptedServer(LOGIN + [("api status", then_close(answer("UP") + GOODBYE))]) as server:
        with client(server) as session_:
            assert session_.api("status") == "UP"
            with pytest.raises(esl.EslProtocolError, match="ended the session and did not send an event"):
                session_.next_event(1.0)


def test_a_huge_announcement_ends_the_session():
    with ScriptedServer(LOGIN + [("api x", b"Content-Type: api/response\nContent-Length: 99999999999\n\n")]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslProtocolError, match=r"127\.0\.0\.1:%d: the peer announces a body longer than" % server.port):
                session_.api("x")
            assert not session_.connected


# Events

@pytest.mark.parametrize("names, command", [
    (["HEARTBEAT"], "event json HEARTBEAT"),
    (["sofia::gateway_state", "CHANNEL_HANGUP_COMPLETE", "sofia::register"],
     "event json CHANNEL_HANGUP_COMPLETE CUSTOM sofia::gateway_state sofia::register"),
    (["CUSTOM", "HEARTBEAT"], "event json HEARTBEAT CUSTOM"),
    (["CUSTOM", "sofia::gateway_state"], "event json CUSTOM sofia::gateway_state"),
])
def test_subclasses_are_named_last(names, command):
    with ScriptedServer(LOGIN + [(command, reply("+OK event listener enabled json"))]) as server:
        with client(server) as session_:
            session_.events(*names)


def test_events_that_are_refused():
    with ScriptedServer(LOGIN + [("event json NONSENSE", reply("-ERR no keywords supplied")), api("status", "UP")]) as server:
        with client(server) as session_:
            with pytest.raises(esl.EslActionError, match="refused the command event: no keywords supplied"):
                session_.events("NONSENSE")
            for name in ("A B", "A\n\napi shutdown", "", "A,B"):
                with pytest.raises(esl.EslFieldError, match="is not a name for an event"):
                    session_.events("HEARTBEAT", name)
            assert session_.api("status") == "UP"


def test_events_come_without_asking_until_the_session_ends():
    data = reply("+OK event listener enabled json") + event(Gateway="acme.1.probe", State="NOREG") + GOODBYE
    with ScriptedServer(LOGIN + [("event json CUSTOM sofia::gateway_state", then_close(data))]) as server:
        with client(server) as session_:
            session_.events("sofia::gateway_state")
            assert session_.next_event(1.0) == {"Gateway": "acme.1.probe", "State": "NOREG"}
            with pytest.raises(esl.EslProtocolError, match="ended the session"):
                session_.next_event(1.0)
            assert not session_.connected


def test_events_that_are_too_many_are_dropped_oldest_first_and_counted(monkeypatch):
    monkeypatch.setattr(esl, "MAX_QUEUE", 5000)
    data = b"".join(event(Name="E%d" % number) for number in range(20)) + answer("UP")
    with ScriptedServer(LOGIN + [("api status", data)]) as server:
        with client(server) as session_:
            session_.api("status")
            kept = [session_.next_event(0.05)["Name"] for dummy in range(20 - session_.dropped_events)]
            assert session_.dropped_events > 0 and kept[-1] == "E19" and len(kept) > 1
            assert session_.next_event(0.05) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100000, b'{"a": 1} x', b"\xff"])
@pytest.mark.parametrize("kept", [True, False])
def test_an_event_that_is_none_ends_the_session(body, kept):
    broken = b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)
    with ScriptedServer(LOGIN + [("api status", broken + answer("UP") if kept else answer("UP") + broken)]) as server:
        with client(server) as session_:
            assert session_.api("status") == "UP"
            with pytest.raises(esl.EslProtocolError, match="sent an event that is no JSON object"):
                session_.next_event(1.0)
            assert not session_.connected


def test_an_event_with_what_callers_may_send():
    raw = b'{"Caller-Caller-ID-Name":"J\xfcrgen\x01\t"}'
    with ScriptedServer(LOGIN + [("api x", answer("") + b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(raw), raw))]) as server:
        with client(server) as session_:
            session_.api("x")
            assert session_.next_event(1.0) == {"Caller-Caller-ID-Name": "J\ufffdrgen\x01\t"}


def test_connect_again_after_the_session_was_lost():
    with ScriptedServer(LOGIN + [("api status", CLOSE)], LOGIN + [api("status", "UP")]) as server:
        session_ = client(server)
        session_.connect()
        with pytest.raises(esl.EslProtocolError):
            session_.api("status")
        session_.connect()
        assert session_.api("status") == "UP"
        session_.close()
        session_.logoff()


def test_who_need_not_know_the_engine_catches_the_errors_of_a_session():
    pairs = [(esl.EslError, session.SessionError), (esl.EslRefused, session.Refused), (esl.EslTimeout, session.Timeout),
             (esl.EslProtocolError, session.ProtocolError), (esl.EslAuthError, session.AuthError), (esl.EslFieldError, session.FieldError),
             (esl.EslActionError, session.ActionError)]
    assert all(issubclass(own, common) and issubclass(own, esl.EslError) for own, common in pairs)
    assert issubclass(esl.EslFieldError, ValueError)


def test_the_scripted_server_fails_on_an_unexpected_command():
    with pytest.raises(AssertionError, match="unexpected command api version"):
        with ScriptedServer(LOGIN) as server:
            with client(server) as session_:
                with pytest.raises(esl.EslError):
                    session_.api("version")
    with pytest.raises(AssertionError, match=r"never asked: \['api status'\]"):
        with ScriptedServer(LOGIN + [api("status", "UP")]) as server:
            with client(server):
                pass
