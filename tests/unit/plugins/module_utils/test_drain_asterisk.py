# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, drain, drain_asterisk
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import DENIED, LOGIN, SECRET, USER, ScriptedServer, event_list

OK = "Response: Success\nActionID: {id}\nMessage: Updated database successfully\n\n"
NONE = "Response: Error\nActionID: {id}\nMessage: Database entry not found\n\n"
HOSTILE = [
    "a\r\nAction: Command\r\nCommand: core stop now", "\n\nAction: Originate", "x\0y", "${SHELL(id)}", "',); DROP TABLE astdb; --", "\u2028\x85\x7f",
    'quote " and \\ and \'', "Val: z\r\n\r\n",
]


def talk(steps, do):
    """(what ``do(marks)`` returns, the actions that the server received)."""
    with ScriptedServer([*LOGIN, *steps]) as server:
        with ami.AmiClient("127.0.0.1", server.port, USER, SECRET) as client:
            found = do(drain_asterisk.Marks(client))
    return found, server.received


def test_read():
    tree = event_list("DBGetTreeResponse", "Key: /siptrunk_drained/a\nVal: {\"by\":\"ops\",\"at\":null,\"why\":\"x\"}", "Key: /siptrunkXdrained/b\nVal: y")
    channels = event_list("CoreShowChannel", "Channel: PJSIP/a.1-0000001a", "Channel: PJSIP/a.2-0000001b", "Channel: PJSIP/1000-0000001c")
    found, received = talk([("DBGetTree", tree), ("CoreShowChannels", channels)], lambda marks: marks.read(["a", "b"]))
    assert found == {"drained": {"a": {"by": "ops", "at": None, "why": "x"}}, "channels": {"a": 2, "b": 0}}
    assert [fields["Family"] for fields in received if fields["Action"] == "DBGetTree"] == ["siptrunk_drained"]


@pytest.mark.parametrize("why", HOSTILE)
def test_nothing_breaks_out_of_an_action(why):
    text = drain.mark_text({"by": why[:20], "at": "2026-11-23T04:00:00Z", "why": why})
    dummy, received = talk([("DBPut", OK)], lambda marks: marks.write("a", text))
    assert [fields["Action"] for fields in received] == ["Challenge", "Login", "DBPut", "Logoff"]
    assert {key: received[2][key] for key in ("Family", "Key", "Val")} == {"Family": "siptrunk_drained", "Key": "a", "Val": text}
    assert set(received[2]) == {"Action", "ActionID", "Family", "Key", "Val"}


@pytest.mark.parametrize("answer", [OK, NONE])
def test_a_mark_that_is_gone_is_gone(answer):
    dummy, received = talk([("DBDel", answer)], lambda marks: marks.write("a", None))
    assert (received[2]["Family"], received[2]["Key"]) == ("siptrunk_drained", "a")


@pytest.mark.parametrize("action, text", [("DBPut", "x"), ("DBDel", None)])
def test_what_asterisk_refuses_is_an_error(action, text):
    with pytest.raises(ami.AmiActionError, match="Permission denied"):
        talk([(action, DENIED)], lambda marks: marks.write("a", text))
