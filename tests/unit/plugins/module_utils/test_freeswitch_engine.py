# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FreeSWITCH's files and answers are taken to say. The rest is tried on a FreeSWITCH (molecule/freeswitch)."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import freeswitch_engine
from ansible_collections.siptrunk.failover.plugins.module_utils.freeswitch_engine import (
    FreeSwitch, _errors, _missing, _other_settings, _printed, _shapes, _words, event_socket_in, gateways_in, settings_in,
)  # fmt: skip
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.esl_server import gateways

PROFILE = """<!-- ours -->
<profile name="siptrunk">
  <gateways>
    <gateway name="a.1">
      <variables>
        <variable name="siptrunk_mark" value="cafe" direction="inbound"/>
      </variables>
      <param name="ping" value="%(ping)s"/>
    </gateway>
    <gateway name="by-hand"/>
  </gateways>
  <settings>
    <param name="sip-port" value="%(port)s"/>
    <param name="context" value="siptrunk-inbound"/>
  </settings>
</profile>
"""
DIALPLAN = '<context name="x"><action data="$${conf_dir}/siptrunk/hunt.lua"/></context>\n'
SETTINGS = """<X-PRE-PROCESS cmd="set" data="a=b"/>
<configuration name="event_socket.conf"><settings>
<param name="listen-port" value="8022"/><param name="password" value="a&#34;&#38;b"/></settings></configuration>
"""
EXPANDED = """<document type="freeswitch/xml">
<section name="configuration">%(settings)s<configuration name="sofia.conf"><profiles>%(profile)s</profiles></configuration></section>
<section name="dialplan">%(dialplan)s</section></document>
"""


def profile(ping=5, port=5090):
    return PROFILE % {"ping": ping, "port": port}


class Answering(FreeSwitch):
    """A FreeSWITCH of which only the answers are known: {command: answer}, or a list of them, one after the other."""

    def __init__(self, **answers):
        super().__init__("/etc/fs", "/log", "/usr", "fs", "fs", "fs", 8021, timeout=1)
        self.answers, self.asked = {key.replace("_", " "): value for key, value in answers.items()}, []

    def running(self):
        return True

    def ask(self, command):
        self.asked.append(command)
        found = next((answer for key, answer in self.answers.items() if command.replace("_", " ").startswith(key)), "")
        return found.pop(0) if isinstance(found, list) else found


def test_what_the_files_describe():
    assert gateways_in(profile()) == {"a.1": "cafe", "by-hand": ""}
    assert settings_in(profile()) == {"sip-port": "5090", "context": "siptrunk-inbound"}
    assert event_socket_in(SETTINGS) == (8022, 'a"&b')
    assert event_socket_in('<param name="listen-port" value="$${port}"/>') == (None, None)


@pytest.mark.parametrize("text", [None, "", "<profile", "<profile></settings>"])
def test_a_file_that_was_broken_by_hand_describes_nothing(text):
    assert (gateways_in(text), settings_in(text), event_socket_in(text)) == ({}, {}, (None, None))


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        (("", ""), []),
        (('<param name="ping" value="5"/>', ""), ["profile.xml"]),
        (('value="5090"', 'value="5091"'), ["profile.xml"]),
        (("/etc/fs/siptrunk", "/elsewhere/siptrunk"), ["dialplan.xml"]),
        (("&#38;b", ""), ["settings.xml"]),
        (('name="sofia.conf"', 'name="other.conf"'), ["profile.xml"]),
        (("</document>", ""), ["dialplan.xml", "profile.xml", "settings.xml"]),
    ],
)
def test_what_the_preprocessor_dropped_is_missed(tmp_path, damage, missing):
    files = {"profile.xml": profile(), "dialplan.xml": DIALPLAN, "settings.xml": SETTINGS, "hunt.lua": "--"}
    text = EXPANDED % {
        "profile": profile(), "dialplan": DIALPLAN.replace("$${conf_dir}", "/etc/fs"), "settings": "".join(SETTINGS.splitlines(True)[1:]),
    }  # fmt: skip
    expanded = tmp_path / "freeswitch.xml.fsxml"
    expanded.write_text(text.replace(*damage) if damage[0] else text, encoding="utf-8")
    assert _missing(files, str(expanded), "/etc/fs") == missing


def test_no_expanded_document_at_all():
    assert _missing({"profile.xml": profile()}, "/nowhere", "/etc/fs") == ["profile.xml"]


def test_a_gateway_is_told_from_one_with_the_same_mark():
    assert _shapes({"profile.xml": profile()}) == _shapes({"profile.xml": profile(port=1)}) != _shapes({"profile.xml": profile(ping=6)})
    assert _shapes({}) == {}


def test_what_waits_for_a_restart_of_the_profile():
    engine = Answering()
    files = [{"profile.xml": profile(port=port)} for port in (5090, 5091, 5092)]
    first = engine.restart_only(files[0], files[1], [])
    assert first == ["sip-port=5091 of the Sofia profile siptrunk (now 5090)"]
    second = engine.restart_only(files[1], files[2], first)
    assert second == ["sip-port=5092 of the Sofia profile siptrunk (now 5090)"]
    assert engine.restart_only(files[2], files[2], second) == second
    assert engine.restart_only(files[2], files[0], second) == []
    assert engine.restart_only({}, files[1], []) == [], "there was no profile: it starts with these"
    none = {"profile.xml": profile().replace('<param name="sip-port" value="5090"/>', "")}
    waiting = engine.restart_only(files[0], none, [])
    assert waiting == ["sip-port=(none) of the Sofia profile siptrunk (now 5090)"]
    assert engine.restart_only(none, files[0], waiting) == []
    assert engine.restart_only(files[0], {"profile.xml": profile().replace("siptrunk-inbound", "other")}, []) == [], "a rescan brings it"


def test_what_a_rescan_did_not_bring():
    files = {"profile.xml": profile()}
    assert _other_settings(files, "<context>siptrunk-inbound</context>") == []
    assert _other_settings(files, "<context>other</context>\n<inbound-codecs>PCMA</inbound-codecs>") == ["context"]


def test_the_profile_started_with_its_oldest_gateway():
    status = gateways(a__1={"uptime-usec": "5000000"}, b__1={"uptime-usec": "9000000"}, c__1={"profile": "phones", "uptime-usec": "99000000"})
    now = time.time()
    assert Answering(sofia=status).started() == pytest.approx(now - 9, abs=1)
    exchanged = "%d %d" % (now - 8, now - 70)
    assert Answering(sofia=status, global_getvar=exchanged).started() == int(now - 70), "all of them were exchanged since"
    exchanged = "%d %d" % (now - 20, now - 70)
    assert Answering(sofia=status, global_getvar=exchanged).started() == pytest.approx(now - 9, abs=1), "and then the profile was restarted"
    assert Answering(sofia="Invalid Profile!").started() is None


def test_freeswitch_wants_ten_seconds_between_two_restarts(monkeypatch):
    slept = []
    monkeypatch.setattr(freeswitch_engine.time, "sleep", slept.append)
    engine = Answering(sofia=["Profile siptrunk must be up for at least 10 seconds to stop/restart.\nPlease wait 7 seconds\n", "restarting: siptrunk"])
    engine._tell_profile("restart")
    assert slept == [8] and engine.asked == ["sofia profile siptrunk restart"] * 2


def test_words_are_errors_that_concern_us():
    log = "\n".join([
        "2026-11-25 02:38:43.143009 0.00% [NOTICE] sofia.c:6350 Started Profile internal",
        "2026-11-25 02:38:43.163308 0.00% [WARNING] sofia.c:2290 MSG Thread 0 Started",
        "\x1b[31m2026-11-25 02:38:43.183113 0.00% [ERR] sofia.c:3302 Error Creating SIP UA for profile: siptrunk\x1b[0m",
        "2026-11-25 02:38:44.183113 0.00% [ERR] mod_other.c:1 something else",
        "2026-11-25 02:38:45.183113 0.00% [WARNING] sofia_reg.c:2661 a.registration Failed Registration with status Timeout [408]. failure #1",
    ])  # fmt: skip
    assert _words(log) == ["[ERR] sofia.c:3302 Error Creating SIP UA for profile: siptrunk"]


def test_files_that_are_no_xml_are_named_as_the_operator_knows_them(tmp_path):
    for name, text in (("ok.xml", '<?xml version="1.0"?>\n<a/>'), ("two.xml", "<a/><b/>"), ("bad.xml", "<a>\n</b>"), ("bad.lua", "<a>"), ("empty.xml", "")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert Answering()._no_xml(str(tmp_path)) == ["/etc/fs/bad.xml is not well-formed: mismatched tag: line 2, column 2."]


CONSOLE = """2026-11-30 19:58:41.625016 99.00% [CONSOLE] switch_core.c:2630 Bringing up environment.
\x1b[35m2026-11-30 19:58:42.625016 73.33% [CRIT] switch_loadable_module.c:1754 Error Loading module MODULES/mod_logfile.so
**MODULES/mod_logfile.so: cannot open shared object file: No such file or directory**
\x1b[0m
 | _____              ______        _____ _____ ____ _   _ |
freeswitch@pbx>
"""


def test_last_words_are_the_errors_of_the_console_and_what_was_printed_beside():
    assert _errors(CONSOLE.replace("MODULES", "/m")) == [
        "[CRIT] switch_loadable_module.c:1754 Error Loading module /m/mod_logfile.so"
        " /m/mod_logfile.so: cannot open shared object file: No such file or directory"
    ]
    assert _printed("WARN: unable to use SCHED_FIFO\n\nCannot Initialize [no XML]\n") == ["Cannot Initialize [no XML]"]


@pytest.mark.parametrize(
    ("directory", "modules"),
    [
        ("/usr/local/freeswitch/conf", "/usr/local/freeswitch/mod"),
        ("/usr/local/freeswitch/etc/freeswitch", "/usr/local/freeswitch/lib/freeswitch/mod"),
        ("/etc/freeswitch", "/usr/lib/freeswitch/mod"),
    ],
)
def test_one_that_does_not_start_has_the_last_word(tmp_path, directory, modules):
    """In each layout the throwaway instance has the modules of the live one, and its errors are in the message, with the names of the live files."""
    engine = FreeSwitch(directory, "/log", "/usr/local/freeswitch", "fs", "fs", "fs", 8021, timeout=1)
    for folder in ("conf", "var"):
        (tmp_path / folder).mkdir()
    program = "printf '%s' \"$1\"; printf 'Cannot open %s/conf/freeswitch.xml' \"$2\" >&2; shift 2; printf ' %s' \"$@\" > args"
    elsewhere = ["sh", "-c", program, "sh", CONSOLE.replace("MODULES", modules), str(tmp_path)]
    assert engine._start(str(tmp_path), elsewhere, modules).wait() == 0
    assert f" -mod {modules} " in (tmp_path / "args").read_text(encoding="utf-8")
    assert engine._judge(str(tmp_path), {}) == [
        "The throwaway FreeSWITCH did not start.",
        f"[CRIT] switch_loadable_module.c:1754 Error Loading module {modules}/mod_logfile.so"
        f" {modules}/mod_logfile.so: cannot open shared object file: No such file or directory",
        f"Cannot open {directory}/freeswitch.xml",
    ]


def test_a_reload_that_comes_before_its_answer_is_under_way(monkeypatch):
    """A busy host: the event socket's module ends the session before it has answered."""
    sockets, closed = iter([1, 1, 2, 2]), []

    class Ended(Answering):
        def ask(self, command):
            assert "reload mod_event_socket" in command
            raise Refused("FreeSWITCH at 127.0.0.1:8021 ended the session")

    monkeypatch.setattr(freeswitch_engine, "_listening", lambda port: next(sockets))
    monkeypatch.setattr(freeswitch_engine, "_RELOADED", 0)
    engine = Ended()
    engine._reached, engine._client = (8021, "ClueCon"), SimpleNamespace(close=lambda: closed.append(True))
    engine._reload_event_socket()
    assert closed and next(sockets) == 2, "it waited until the module was loaded anew"
