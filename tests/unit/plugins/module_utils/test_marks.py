# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, esl, marks
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils import ami_server, esl_server
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import one_trunk

TARGET = "127.0.0.1_5070_udp"
NOW = 1795572543
DONE = "Response: Success\nActionID: {id}\nMessage: Variable Set\n\n"


def in_asterisk(steps, use):
    with ami_server.ScriptedServer([*ami_server.LOGIN, *steps]) as server:
        with ami.AmiClient("127.0.0.1", server.port, ami_server.USER, ami_server.SECRET) as client:
            return use(client), server


def in_freeswitch(steps, use):
    with esl_server.ScriptedServer([*esl_server.LOGIN, *steps]) as server:
        with esl.EslClient("127.0.0.1", server.port, esl_server.PASSWORD) as client:
            return use(client)


def test_names_of_a_plan_without_doubles():
    targets = [{"address": "127.0.0.1", "port": 5070}, {"address": "127.0.0.1", "port": 5071}]
    trunks = one_trunk(targets=targets) + one_trunk(name="b", targets=targets[:1])
    assert marks.names(trunks) == [
        ("cool", TARGET), ("cool", "127.0.0.1_5071_udp"), ("held", TARGET), ("held", "127.0.0.1_5071_udp"),
        ("closed", "a"), ("closed", "b"), ("trial", "a"), ("trial", "b")]


def test_put_into_asterisk():
    until = {("held", TARGET): NOW + 30, ("closed", "acme-east"): 0.0}
    _none, server = in_asterisk([("Setvar", DONE)] * 2, lambda client: marks.put(client, until))
    assert [(fields["Variable"], fields["Value"]) for fields in server.received if fields["Action"] == "Setvar"] == [
        ("SIPTRUNK_HELD_%s" % TARGET, str(NOW + 30)), ("SIPTRUNK_CLOSED_acme-east", "0")]
    assert not [fields for fields in server.received if "Channel" in fields], "a global variable"


def test_put_into_freeswitch():
    steps = [esl_server.api("hash insert/siptrunk_held/%s/%d" % (TARGET, NOW + 30), "+OK\n"), esl_server.api("hash insert/siptrunk_trial/a/0", "+OK\n")]
    in_freeswitch(steps, lambda client: marks.put(client, {("held", TARGET): NOW + 30.9, ("trial", "a"): 0}))


@pytest.mark.parametrize("mark", [("hook", "rest"), ("held", ""), ("held", "a/b"), ("held", "a b"), ("closed", "a)"), ("closed", "a\n"), ("closed", "x" * 65)])
def test_what_is_no_mark_is_not_set_nor_what_came_before_it(mark):
    with pytest.raises(ValueError, match="is no mark"):
        in_asterisk([], lambda client: marks.put(client, {("held", TARGET): 1, mark: 1}))


@pytest.mark.parametrize("said, expected", [
    (str(NOW + 1), NOW + 1), (str(NOW), None), ("%d.5" % (NOW + 2), NOW + 2), ("", None), ("soon", None), ("-1", None), ("\u0661", None),
])
def test_read_from_both_by_their_own_clocks(said, expected):
    standing = {} if expected is None else {("trial", "a"): expected}
    steps = [ami_server.getvar("EPOCH", NOW), *(ami_server.getvar(marks.getvar(mark), said if mark[0] == "trial" else "") for mark in marks.names(one_trunk()))]
    assert in_asterisk(steps, lambda client: marks.read(client, one_trunk()))[0] == standing
    dump = "D/siptrunk_trial_a/%s\nD/siptrunk_trial_b/%d\nD/xsiptrunk_closed_a/%d\nD/siptrunk_leg_a/200 5060 180 0\n" % (said, NOW + 9, NOW + 9)
    steps = [esl_server.api("strepoch", str(NOW)), esl_server.api("hash_dump db siptrunk", dump)]
    assert in_freeswitch(steps, lambda client: marks.read(client, one_trunk())) == standing


def test_dumped():
    assert marks.dumped("D/siptrunk_cool_2001:db8::1_5061_tls/17\nD/siptrunk_held_%s/18\nD/siptrunk_closed_acme-east/19\n" % TARGET) == {
        ("cool", "2001:db8::1_5061_tls"): 17, ("held", TARGET): 18, ("closed", "acme-east"): 19}


def test_no_clock():
    with pytest.raises(esl.EslProtocolError, match="answers strepoch with 'noon'"):
        in_freeswitch([esl_server.api("strepoch", "noon"), esl_server.api("hash_dump db siptrunk")], lambda client: marks.read(client, one_trunk()))


@pytest.mark.parametrize("text, expected", [
    ("17", 17), ("1795410530", 1795410530), ("1795410530.000000", 1795410530), ("9" * 20, int("9" * 20)),
    ("", None), ("9" * 21, None), ("-1", None), ("soon", None), ("17 ", None), ("1e9", None), ("17\n", None),
    ("\u0661\u0667", None), ("0x11", None), ("nan", None), (".5", None),
])
def test_seconds(text, expected):
    assert marks.seconds(text) == expected
