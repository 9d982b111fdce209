# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import drain, drain_freeswitch, esl
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.esl_server import LOGIN, PASSWORD, ScriptedServer, api
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.test_drain_asterisk import HOSTILE


def talk(steps, do):
    """(what ``do(marks)`` returns, the commands that the server received)."""
    with ScriptedServer([*LOGIN, *steps]) as server:
        with esl.EslClient("127.0.0.1", server.port, PASSWORD) as client:
            found = do(drain_freeswitch.Marks(client))
    return found, server.received


def separated(text):
    """The parts of a command as switch_separate_string makes them: at most four, apostrophes quote, a backslash escapes."""
    parts, part, quoted, index = [], "", False, 0
    while index < len(text):
        char = text[index]
        if char == "\\" and text[index + 1:index + 2] in ("'", '"', "/", "\\", "n", "r", "t", "s"):
            index += 1
            part += {"n": "\n", "r": "\r", "t": "\t", "s": " "}.get(text[index], text[index])
        elif char == "'" and (quoted or "'" in text[index + 1:]):
            quoted = not quoted
        elif char == "/" and not quoted and len(parts) < 3:
            parts.append(part)
            part = ""
        else:
            part += char
        index += 1
    return [*parts, part]


def test_read():
    steps = [
        api("db list/siptrunk_drained", "z,b"), api("limit_usage hash siptrunk a", "2"), api("limit_usage hash siptrunk b", "0"),
        api("db select/siptrunk_drained/b", '{"by":"ops","at":null,"why":"x"}'),
    ]
    found, dummy = talk(steps, lambda marks: marks.read(["a", "b"]))
    assert found == {"drained": {"b": {"by": "ops", "at": None, "why": "x"}}, "channels": {"a": 2, "b": 0}}


@pytest.mark.parametrize("why", [*HOSTILE, "/a/b", "it's", "'", "\\", "\\'", "''/x", " ends with blanks  ", "\\n\\s"])
def test_nothing_breaks_out_of_a_command(why):
    text = drain.mark_text({"by": why[:20], "at": "2026-11-23T04:00:00Z", "why": why})
    command = "db insert/siptrunk_drained/a/%s" % drain_freeswitch.escaped(text)
    dummy, received = talk([api(command, "+OK")], lambda marks: marks.write("a", text))
    assert len(received) == 2 and "\n" not in command
    assert separated(command[3:]) == ["insert", "siptrunk_drained", "a", text]


def test_delete():
    assert talk([api("db delete/siptrunk_drained/a", "+OK\n")], lambda marks: marks.write("a", None))[1][1] == "api db delete/siptrunk_drained/a"


@pytest.mark.parametrize("said", ["", "-ERR db Command not found!\n", "USAGE: [insert|delete|select|exists|count|list]/<realm>"])
def test_what_freeswitch_refuses_is_an_error(said):
    with pytest.raises(esl.EslActionError, match="refused the command db"):
        talk([api("db delete/siptrunk_drained/a", said)], lambda marks: marks.write("a", None))


@pytest.mark.parametrize("said", ["USAGE: limit_usage", "-1", ""])
def test_what_is_no_count(said):
    with pytest.raises(esl.EslProtocolError, match="answers limit_usage hash siptrunk a with"):
        talk([api("db list/siptrunk_drained"), api("limit_usage hash siptrunk a", said)], lambda marks: marks.read(["a"]))
