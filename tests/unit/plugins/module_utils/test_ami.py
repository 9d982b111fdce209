# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import time

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import ami
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    CARRIER_PASSWORD, CHALLENGE, CLOSE, DENIED, GREETING, LOGIN, LOGIN_KEY, PONG, SECRET, SILENT, USER,
    ScriptedServer, captured_cli, captured_list, registration_list, then_close,
)

LIST = "PJSIPShowRegistrationsOutbound"


def client(server, **options):
    return ami.AmiClient("127.0.0.1", server.port, USER, SECRET, **{"connect_timeout": 3.0, "answer_timeout": 3.0, **options})


def parse(data, **limits):
    return ami.Parser(**limits).feed(GREETING + data)


# The parser

def test_parser_reads_fields_without_regard_to_case_and_keeps_repeated_ones():
    message, = parse(b"Event: VarSet\r\nVariable: a=1\r\nvariable: b=2\r\nEmpty: \r\nNoBlank:x\r\nno colon\r\n\r\n")
    assert message.get("event") == "VarSet"
    assert message.all("Variable") == ["a=1", "b=2"]
    assert message.get("Variable") == "a=1"
    assert (message.get("Empty"), message.get("NoBlank"), message.get("")) == ("", "x", "no colon")
    assert "Empty" in message and "Absent" not in message
    assert (message.get("Absent"), message.get("Absent", "-"), message.all("Absent")) == ("", "-", [])


def test_parser_keeps_the_value_as_it_was():
    message, = parse(b"Output:   indented: yes\r\n\r\n")
    assert message.get("Output") == "  indented: yes"


def test_parser_takes_a_line_feed_inside_a_value_for_no_end():
    # Asterisk's own text for an unknown registration ends in "\n" before the CRLF.
    first, second = parse(b"Response: Error\r\nMessage: Unable to retrieve registration entry\n\r\n\r\n\r\nEvent: X\r\n\r\n")
    assert first.get("Message") == "Unable to retrieve registration entry"
    assert second.get("Event") == "X"


def test_parser_tolerates_bytes_that_are_not_utf8():
    message, = parse("Event: X\r\nCallerIDName: J\u00fcrgen \r\n".encode("utf-8") + b"Old: J\xfcrgen\r\n\r\n")
    assert message.get("CallerIDName").strip() == "J\u00fcrgen"
    assert message.get("Old") == "J\ufffdrgen"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_parser_gives_the_same_however_the_stream_is_cut(size):
    data = GREETING + captured_list().replace("\n", "\r\n").encode()
    parser, messages = ami.Parser(), []
    for start in range(0, len(data), size):
        messages += parser.feed(data[start:start + size])
    assert parser.banner == "Asterisk Call Manager/11.0.0"
    assert [message.get("Event") for message in messages] == (
        [""] + ["OutboundRegistrationDetail", "AuthDetail"] * 4 + ["OutboundRegistrationDetailComplete"])
    assert messages[-1].get("EventList") == "Complete"


@pytest.mark.parametrize("greeting", [
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"Content-Type: auth/request\n\n",
    b"Asterisk Call Man\r\n",
    b"\r\n",
    b"\x00\xff\xfe",
])
def test_parser_refuses_what_is_not_a_manager(greeting):
    with pytest.raises(ami.AmiProtocolError, match="not an Asterisk manager interface"):
        ami.Parser().feed(greeting)


def test_parser_waits_for_the_rest_of_a_greeting():
    parser = ami.Parser()
    assert parser.feed(b"Asterisk Ca") == [] and parser.banner is None
    assert parser.feed(b"ll Manager/5.0\r") == [] and parser.banner is None
    assert parser.feed(b"\n") == [] and parser.banner == "Asterisk Call Manager/5.0"


@pytest.mark.parametrize("data", [b"X: " + b"y" * 101, b"X: " + b"y" * 101 + b"\r\n\r\n"])
def test_parser_refuses_a_line_beyond_the_limit(data):
    with pytest.raises(ami.AmiProtocolError, match="line longer than 100 bytes"):
        parse(data, max_line=100)


@pytest.mark.parametrize("line", [b"X: y\r\n", b":\r\n", b"x" * 90 + b"\r\n"])
def test_parser_refuses_a_message_beyond_the_limit(line):
    parser = ami.Parser(max_message=10000)
    parser.feed(GREETING)
    with pytest.raises(ami.AmiProtocolError, match="message longer than 10000 bytes"):
        for dummy in range(1000):
            parser.feed(line)


def test_parser_counts_each_message_by_itself():
    parser = ami.Parser(max_message=200)
    parser.feed(GREETING)
    assert sum(len(parser.feed(b"Event: X\r\n\r\n")) for dummy in range(100)) == 100


def test_message_repr_shows_no_values():
    message, = parse(b"Event: AuthDetail\r\nActionID: 1\r\nUsername: u\r\nPassword: " + CARRIER_PASSWORD.encode() + b"\r\n\r\n")
    assert repr([message]) == "[<Message Event: AuthDetail, ActionID: 1 (4 fields)>]"


# What is sent

def test_encode_action():
    assert ami.encode_action("UpdateConfig", "7", {"Cat-000000": "x", "Variable": ["a=1", "b=2"], "Count": 3, "Name": "J\u00fcrgen"}) == (
        "Action: UpdateConfig\r\nActionID: 7\r\nCat-000000: x\r\nVariable: a=1\r\nVariable: b=2\r\nCount: 3\r\nName: J\u00fcrgen\r\n\r\n"
    ).encode("utf-8")


@pytest.mark.parametrize("mark", ["\r\n", "\r", "\n", "\0"])
def test_encode_refuses_to_smuggle_and_does_not_show_the_value(mark):
    for fields in ({"Secret": "top%ssecret" % mark}, {"Variable": ["a=1", "top%ssecret" % mark]}):
        with pytest.raises(ami.AmiFieldError, match="line break or NUL") as caught:
            ami.encode_action("Login", "1", fields)
        assert "secret" not in str(caught.value) and list(fields)[0] in str(caught.value)
    with pytest.raises(ami.AmiFieldError):
        ami.encode_action("Ping%sAction: Originate" % mark, "1", {})
    with pytest.raises(ami.AmiFieldError, match="is not a name"):
        ami.encode_action("Ping", "1", {"X%sAction" % mark: "Originate"})


def test_encode_refuses_what_asterisk_would_drop():
    assert len(ami.encode_action("Ping", "1", {"X": "y" * 1019}).split(b"\r\n")[2]) == ami.MAX_ACTION_LINE
    with pytest.raises(ami.AmiFieldError, match="field X .* too long"):
        ami.encode_action("Ping", "1", {"X": "y" * 1020})
    with pytest.raises(ami.AmiFieldError, match="129 lines"):
        ami.encode_action("Ping", "1", {"Variable": ["x"] * 127})


# The session

def test_login_keeps_the_secret_off_the_wire_and_out_of_sight():
    with ScriptedServer(LOGIN + [("Ping", PONG)]) as server:
        with client(server, events="system,reporting") as session:
            assert session.action("Ping").get("Ping") == "Pong"
            assert session.banner == "Asterisk Call Manager/11.0.0"
            assert SECRET not in repr(session) and "127.0.0.1:%d" % server.port in repr(session)
            assert session.connected and session.fileno() >= 0
        assert not session.connected and session.fileno() == -1
    challenge, login, ping, logoff = server.received
    assert (challenge["AuthType"], "Username" in challenge) == ("MD5", False)
    assert (login["AuthType"], login["Username"], login["Key"], login["Events"]) == ("MD5", USER, LOGIN_KEY, "system,reporting")
    assert (ping["Action"], logoff["Action"]) == ("Ping", "Logoff")
    assert SECRET.encode() not in server.wire
    assert len({action["ActionID"] for action in server.received}) == 4


def test_refused_login():
    refusal = "Response: Error\nActionID: {id}\nMessage: Authentication failed\n\n"
    with ScriptedServer([CHALLENGE, ("Login", then_close(refusal))]) as server:
        with pytest.raises(ami.AmiAuthError) as caught:
            client(server).connect()
    assert "127.0.0.1:%d refused the login of 'siptrunk': Authentication failed" % server.port in str(caught.value)
    assert SECRET not in str(caught.value) and LOGIN_KEY not in str(caught.value)


def test_a_server_that_shuts_down_is_not_taken_for_a_wrong_password():
    with ScriptedServer([("Challenge", "Response: Error\nActionID: {id}\nMessage: Asterisk is shutting down\n\n")]) as server:
        session = client(server)
        with pytest.raises(ami.AmiActionError, match="Asterisk is shutting down"):
            session.connect()
        assert not session.connected


def test_login_without_a_challenge():
    with ScriptedServer([("Challenge", "Response: Success\nActionID: {id}\n\n")]) as server:
        with pytest.raises(ami.AmiProtocolError, match="no challenge"):
            client(server).connect()


def test_refused_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ami.AmiRefused, match=r"127\.0\.0\.1:%d: Connection refused.*manager\.conf" % port):
            ami.AmiClient("127.0.0.1", port, USER, SECRET).connect()


def test_unknown_host_and_ipv6_peer():
    with pytest.raises(ami.AmiRefused, match="nowhere.invalid:5038"):
        ami.AmiClient("nowhere.invalid", 5038, USER, SECRET).connect()
    assert ami.AmiClient("::1", 5038, USER, SECRET).peer == "[::1]:5038"


def test_wrong_greeting_names_the_peer():
    with ScriptedServer([], greeting=b"220 mail.example ESMTP\r\n") as server:
        with pytest.raises(ami.AmiProtocolError, match=r"127\.0\.0\.1:%d: not an Asterisk.*220 mail" % server.port):
            client(server).connect()


def test_no_greeting():
    with ScriptedServer([], greeting=SILENT) as server:
        started = time.monotonic()
        with pytest.raises(ami.AmiTimeout, match="did not send its greeting within 0.1 s"):
            client(server, connect_timeout=0.1).connect()
        assert time.monotonic() - started < 2


def test_closed_before_the_greeting():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        session = ami.AmiClient("127.0.0.1", listener.getsockname()[1], USER, SECRET)
        session._dial = lambda dial=session._dial: (dial(), listener.accept()[0].close())[0]
        with pytest.raises(ami.AmiProtocolError, match="closed the connection and did not send its greeting|lost the connection"):
            session.connect()


@pytest.mark.parametrize("cut", [None, 1, 5])
def test_action_finds_its_answer_among_events_and_stale_answers(cut):
    noise = (
        "Event: Newchannel\nChannel: a\n\n"
        "Response: Success\nActionID: somebody-else\nPing: wrong\n\n"
        "Response: Success\nPing: anonymous\n\n"
        "Event: OriginateResponse\nActionID: {id}\nResponse: Failure\n\n"
    )
    with ScriptedServer(LOGIN + [("Ping", noise + PONG)], cut=cut) as server:
        with client(server) as session:
            assert session.action("Ping").get("Ping") == "Pong"
            assert [session.next_event(0.05).get("Event") for dummy in range(2)] == ["Newchannel", "OriginateResponse"]
            assert session.next_event(0.05) is None
            assert session.connected


def test_action_error_carries_asterisks_own_words_and_keeps_the_session():
    refusal = b"Response: Error\r\nActionID: siptrunk-3\r\nMessage: Unable to retrieve registration entry\n\r\n\r\n"
    with ScriptedServer(LOGIN + [("PJSIPRegister", refusal), ("Ping", PONG)]) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiActionError) as caught:
                session.action("PJSIPRegister", Registration="nope")
            assert (caught.value.action, caught.value.reason) == ("PJSIPRegister", "Unable to retrieve registration entry")
            assert session.action("Ping").get("Ping") == "Pong"
    assert server.received[2]["Registration"] == "nope"


def test_injection_never_reaches_the_wire():
    with ScriptedServer(LOGIN + [("Ping", PONG)]) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiFieldError):
                session.action("Ping", Note="x\r\n\r\nAction: Originate\r\nChannel: Local/900@out")
            assert session.action("Ping").get("Ping") == "Pong"
    assert b"Originate" not in server.wire


def test_command_output_keeps_every_line():
    with ScriptedServer(LOGIN + [("Command", captured_cli())]) as server:
        with client(server) as session:
            output = session.action("Command", Command="pjsip show registrations").all("Output")
    assert output[2].startswith("=====") and output[-2:] == ["Objects found: 4", ""]


@pytest.mark.parametrize("cut", [None, 1, 333])
def test_action_list(cut):
    with ScriptedServer(LOGIN + [(LIST, captured_list())], cut=cut) as server:
        with client(server) as session:
            response, events = session.action_list(LIST)
    assert response.get("Message") == "Following are Events for each Outbound registration"
    assert [event.get("Event") for event in events] == ["OutboundRegistrationDetail", "AuthDetail"] * 4
    assert events[1].get("Password") == CARRIER_PASSWORD


def test_action_list_forgets_what_is_not_wanted_and_leaves_others_events_alone():
    foreign = "Event: OutboundRegistrationDetail\nActionID: other\nObjectName: foreign\n\nEvent: Registry\nStatus: Registered\n\n"
    reply = registration_list(a="Registered", b="Rejected").replace("Event: Auth", foreign + "Event: Auth", 1)
    with ScriptedServer(LOGIN + [(LIST, reply)]) as server:
        with client(server) as session:
            events = session.action_list(LIST, wanted=("OutboundRegistrationDetail",))[1]
            assert [event.get("ObjectName") for event in events] == ["a", "b"]
            assert [session.next_event(0.05).get("Event") for dummy in range(2)] == ["OutboundRegistrationDetail", "Registry"]
            assert session.next_event(0.05) is None


@pytest.mark.parametrize("reply, error, text", [
    (DENIED, ami.AmiActionError, "Permission denied"),
    (PONG, ami.AmiProtocolError, "did not answer .* with a list"),
    ("Response: Success\nActionID: {id}\nEventList: start\n\nEvent: End\nActionID: {id}\nEventList: cancelled\n\n",
     ami.AmiActionError, "the list was 'cancelled'"),
])
def test_action_list_that_is_none(reply, error, text):
    with ScriptedServer(LOGIN + [(LIST, reply)]) as server:
        with client(server) as session:
            with pytest.raises(error, match=text):
                session.action_list(LIST)


def test_list_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(ami, "MAX_LIST", 1000)
    with ScriptedServer(LOGIN + [(LIST, captured_list())]) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiProtocolError, match="more than 1000 bytes"):
                session.action_list(LIST)
            assert not session.connected


def test_silence_during_a_list_ends_the_session():
    begun = registration_list(a="Registered").partition("Event: Auth")[0]
    with ScriptedServer(LOGIN + [(LIST, begun)]) as server:
        with client(server, answer_timeout=0.2) as session:
            with pytest.raises(ami.AmiTimeout, match="the rest of the list for %s within 0.2 s" % LIST):
                session.action_list(LIST)
            with pytest.raises(ami.AmiError, match="not connected"):
                session.action("Ping")


def sent_together(session, monkeypatch):
    """The list to which each send of the session adds its number of actions."""
    counts = []

    def send(data, deadline, true_send=session._send):
        counts.append(data.count(b"Action: "))
        true_send(data, deadline)

    monkeypatch.setattr(session, "_send", send)
    return counts


def test_actions_are_asked_ahead_and_answered_in_the_order_of_the_questions(monkeypatch):
    monkeypatch.setattr(ami, "_BATCH", 3)
    answer = "Response: Success\nActionID: siptrunk-%d\nValue: %s\n\n"
    late = answer % (5, "c") + "Event: Newchannel\nChannel: x\n\n" + answer % (99, "foreign") + answer % (3, "a") + answer % (4, "b")
    steps = [("Getvar A", SILENT), ("Getvar B", SILENT), ("Getvar C", late), ("Getvar D", answer % (6, "d"))]
    with ScriptedServer(LOGIN + steps) as server:
        with client(server) as session:
            counts = sent_together(session, monkeypatch)
            answers = session.actions("Getvar", "Variable", ["A", "B", "C", "D"])
            assert [message.get("Value") for message in answers] == ["a", "b", "c", "d"]
            assert counts == [3, 1]
            assert session.next_event(0.05).get("Event") == "Newchannel"
            assert session.actions("Getvar", "Variable", []) == []


def test_a_refusal_among_many_keeps_the_session():
    steps = [("Getvar A", "Response: Success\nActionID: {id}\n\n"), ("Getvar B", DENIED), ("Getvar C", PONG), ("Ping", PONG)]
    with ScriptedServer(LOGIN + steps) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiActionError, match="refused the manager action Getvar: Permission denied"):
                session.actions("Getvar", "Variable", ["A", "B", "C"])
            assert session.action("Ping").get("Ping") == "Pong"


def test_one_of_many_that_must_not_be_sent_stops_its_batch():
    with ScriptedServer(LOGIN + [("Ping", PONG)]) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiFieldError):
                session.actions("Getvar", "Variable", ["A", "x\r\n\r\nAction: Originate"])
            assert session.action("Ping").get("Ping") == "Pong"
    assert b"Originate" not in server.wire


def test_answers_to_many_beyond_the_limit_together(monkeypatch):
    monkeypatch.setattr(ami, "MAX_LIST", 1000)
    answer = "Response: Success\nActionID: {id}\nValue: %s\n\n" % ("x" * 300)
    with ScriptedServer(LOGIN + [("Getvar A", answer), ("Getvar B", answer), ("Getvar C", answer)]) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiProtocolError, match="answered Getvar with more than 1000 bytes"):
                session.actions("Getvar", "Variable", ["A", "B", "C"])
            assert not session.connected


def test_one_answer_of_many_that_does_not_come():
    answer = "Response: Success\nActionID: {id}\n\n"
    with ScriptedServer(LOGIN + [("Getvar A", answer + answer), ("Getvar B", SILENT)]) as server:
        with client(server, answer_timeout=0.2) as session:
            with pytest.raises(ami.AmiTimeout, match="the answer to Getvar within 0.2 s"):
                session.actions("Getvar", "Variable", ["A", "B"])
            assert not session.connected


class Chatterbox:
    """A socket that always has one more event to tell."""

    def __init__(self):
        self.patience = 200000

    def recv(self, dummy):
        self.patience -= 1
        assert self.patience, "the deadline was forgotten"
        return b"Event: Newexten\r\nContext: x\r\n\r\n"

    def settimeout(self, seconds):
        assert seconds > 0

    def sendall(self, dummy):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("ask", [
    lambda session: session.action("Ping"),
    lambda session: session.action_list(LIST),
    lambda session: session.actions("Getvar", "Variable", ["A", "B"]),
])
def test_a_stream_of_other_things_does_not_put_off_the_deadline(ask):
    session = ami.AmiClient("127.0.0.1", 5038, USER, SECRET, answer_timeout=0.05)
    session._parser.feed(GREETING)
    session._socket = Chatterbox()
    with pytest.raises(ami.AmiTimeout, match="127.0.0.1:5038 did not send the answer to .* within 0.05 s"):
        ask(session)
    assert not session.connected


@pytest.mark.parametrize("reply", [CLOSE, then_close("Response: Succ"), then_close(registration_list(a="Registered")[:150])])
def test_closed_midway(reply):
    with ScriptedServer(LOGIN + [(LIST, reply)]) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiProtocolError, match="closed the connection|lost the connection"):
                session.action_list(LIST)
            assert not session.connected


def test_huge_line_ends_the_session():
    with ScriptedServer(LOGIN + [("Ping", b"Response: " + b"x" * (ami.MAX_LINE * 3))]) as server:
        with client(server) as session:
            with pytest.raises(ami.AmiProtocolError, match="line longer than %d bytes" % ami.MAX_LINE):
                session.action("Ping")
            assert not session.connected


def test_events_that_are_too_many_are_dropped_oldest_first_and_counted(monkeypatch):
    monkeypatch.setattr(ami, "MAX_QUEUE", 500)
    events = "".join("Event: E%d\n\n" % number for number in range(20))
    with ScriptedServer(LOGIN + [("Ping", events + PONG)]) as server:
        with client(server) as session:
            session.action("Ping")
            kept = [session.next_event(0.05).get("Event") for dummy in range(20 - session.dropped_events)]
            assert session.dropped_events > 0 and kept[-1] == "E19" and len(kept) > 1
            assert session.next_event(0.05) is None


def test_events_come_without_asking_until_the_session_ends():
    reply = "Response: Success\nActionID: {id}\n\nEvent: ContactStatus\nContactStatus: Unreachable\n\n"
    with ScriptedServer(LOGIN + [("Events", then_close(reply))]) as server:
        with client(server) as session:
            session.action("Events", EventMask="on")
            assert session.next_event(1.0).get("ContactStatus") == "Unreachable"
            with pytest.raises(ami.AmiProtocolError, match="closed the connection"):
                session.next_event(1.0)


def test_connect_again_after_the_session_was_lost():
    with ScriptedServer(LOGIN + [("Ping", CLOSE)], LOGIN + [("Ping", PONG)]) as server:
        session = client(server)
        session.connect()
        with pytest.raises(ami.AmiProtocolError):
            session.action("Ping")
        session.connect()
        assert session.action("Ping").get("Ping") == "Pong"
        session.logoff()
        session.logoff()


def test_logoff_does_not_mind_a_server_that_is_gone():
    with ScriptedServer(LOGIN + [("Ping", then_close(PONG))]) as server:
        with client(server) as session:
            session.action("Ping")


def test_the_scripted_server_fails_on_an_unexpected_action():
    with pytest.raises(AssertionError, match="unexpected action CoreStatus"):
        with ScriptedServer(LOGIN) as server:
            with client(server) as session:
                with pytest.raises(ami.AmiError):
                    session.action("CoreStatus")
    with pytest.raises(AssertionError, match=r"never asked: \['Ping'\]"):
        with ScriptedServer(LOGIN + [("Ping", PONG)]) as server:
            with client(server):
                pass
