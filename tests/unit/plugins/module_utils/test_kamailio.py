# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kamailio's control socket: a real one, with answers as Kamailio 6.1.5 gives them."""

from __future__ import annotations

import json
import os
import socket
import threading

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import drain_sbc, kamailio, marks, registration_sbc, session, trunk, trunk_sbc


class Server:
    """Answers {method: result}; a result that is an Exception is an error, None no answer at all."""

    def __init__(self, path, answers):
        self.path, self.answers, self.asked = str(path), answers, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            data, peer = self.socket.recvfrom(65536)
            question = json.loads(data)
            self.asked.append((question["method"], *question["params"]))
            answer = self.answers.get(question["method"])
            if isinstance(answer, bytes):
                self.socket.sendto(answer, peer)
            elif isinstance(answer, Exception):
                self.socket.sendto(json.dumps({"error": {"code": 500, "message": str(answer)}}).encode(), peer)
            elif answer is not None:
                self.socket.sendto(json.dumps({"result": answer}).encode(), peer)


@pytest.fixture
def client(tmp_path):
    def serve(**answers):
        server = Server(tmp_path / "sock", {name.replace("_", ".", 1): answer for name, answer in answers.items()})
        made = kamailio.KamailioClient(server.path, timeout=0.5)
        made.server = server
        return made

    return serve


def test_it_asks_and_leaves_nothing_behind(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = client(core_uptime={"uptime": 7})
    assert made.ask("core.uptime", "a", 1) == {"uptime": 7} and made.server.asked == [("core.uptime", "a", 1)]
    assert os.listdir(tmp_path) == ["sock"]


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (None, session.Timeout, "did not answer core.uptime within 0.5 s"),
        (b"{", session.ProtocolError, "answers core.uptime with 'no JSON'"),
        (b"[]", session.ProtocolError, "answers core.uptime with []"),
        (ValueError("no such thing"), session.ActionError, "Kamailio refused core.uptime: no such thing"),
    ],
)
def test_what_goes_wrong_is_told_in_the_words_of_every_engine(client, answer, error, text):
    with pytest.raises(error) as raised:
        client(core_uptime=answer).ask("core.uptime")
    assert text in str(raised.value) and isinstance(raised.value, kamailio.KamailioError)


def test_nobody_there(tmp_path):
    with pytest.raises(session.Refused) as raised:
        kamailio.KamailioClient(str(tmp_path / "none")).ask("core.uptime")
    assert str(raised.value) == f"cannot connect to Kamailio's control socket {tmp_path}/none: No such file or directory"


def destination(name, flags="AP", latency=None):
    return {"DEST": {"URI": "sip:x", "FLAGS": flags, "ATTRS": {"DUID": name}, **({"LATENCY": {"EST": latency}} if latency is not None else {})}}


def listed(*destinations):
    return {"NRSETS": len(destinations), "RECORDS": [{"SET": {"ID": n, "TARGETS": [dest]}} for n, dest in enumerate(destinations, 1)]}


ROW = {
    "l_uuid": "acme", "l_username": "pbx", "l_domain": "sip.acme.example", "auth_password": "secret", "auth_ha1": "none",
    "auth_proxy": "sip:192.0.2.1:5060;transport=udp", "flags": 20, "diff_expires": 584,
}  # fmt: skip


def test_no_password_comes_with_the_registrations(client):
    found = kamailio.registrations(client(uac_reg_dump=[ROW]))
    assert "secret" not in json.dumps(found) and found[0]["l_uuid"] == "acme"


@pytest.mark.parametrize(
    ("flags", "left", "state", "expires_in"),
    [(20, 584, "registered", 584), (16, 0, "unregistered", None), (18, -3, "unregistered", None), (17, 0, "stopped", None)],
)
def test_registrations(client, flags, left, state, expires_in):
    (found,) = registration_sbc.reader(client(uac_reg_dump=[{**ROW, "flags": flags, "diff_expires": left}]))()
    assert found == {
        "name": "acme", "trunk": "acme", "server": "sip:192.0.2.1:5060;transport=udp", "user": "sip:pbx@sip.acme.example",
        "state": state, "expires_in": expires_in,
    }  # fmt: skip


def test_one_registration_and_none(client):
    assert len(kamailio.registrations(client(uac_reg_dump=ROW))) == 1


def test_destinations(client):
    assert kamailio.destinations(client(dispatcher_list=ValueError("No Destination Sets"))) == []


def test_a_list_that_is_none_is_strange(client):
    with pytest.raises(session.ProtocolError):
        kamailio.destinations(client(dispatcher_list={"SETS": 1}))


def plan(interval=30):
    target = {"id": "acme.1", "host": "gw", "address": "192.0.2.1", "port": 5060}
    return [{
        "name": "acme", "carrier": "c", "site": "s", "transport": "udp", "max_channels": 2, "probe": {"interval": interval},
        "targets": [target], "registrations": [{"name": "acme"}],
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("dest", "interval", "uptime", "probe"),
    [
        (destination("acme.1", "AP", 12), 30, 40, (trunk.ALIVE, 12.0)),
        (destination("acme.1", "AP", 0), 30, 40, (trunk.UNKNOWN, None)),
        (destination("acme.1", "AP", 0), 30, 41, (trunk.ALIVE, 0.0)),
        (destination("acme.1", "AP"), 30, 41, (trunk.ALIVE, 0.0)),
        (destination("acme.1", "IP", 12), 30, 41, (trunk.DEAD, None)),
        (destination("acme.1", "TP", 12), 30, 41, (trunk.DEAD, None)),
        (destination("other.1"), 0, 41, (trunk.UNKNOWN, None)),
    ],
)
def test_probes(dest, interval, uptime, probe):
    assert trunk_sbc.probes(plan(interval), [dest["DEST"]], uptime) == {"acme.1": probe}


def test_a_target_that_kamailio_lacks_is_missing():
    assert trunk_sbc.probes(plan(), [], 41) == {}


@pytest.mark.parametrize("said", [{}, [], {"uptime": None}])
def test_an_uptime_that_is_none_is_strange(client, said):
    with pytest.raises(session.ProtocolError):
        kamailio.uptime(client(core_uptime=said))


def told(client):
    """(the port, the word) that it was told."""
    method, table, name, value = client.server.asked[-1]
    assert (method, table, name) == ("htable.sets", "listener", "monitor")
    port, word = value.split()
    return int(port), word


def test_events_come_from_who_knows_the_word(client):
    made = client(htable_sets=0)
    events = kamailio.KamailioEvents(made)
    events.connect()
    port, word = told(made)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hunt:
        for said in ({"event": "x", "word": word}, {"event": "x", "word": "other"}, {"event": "x"}, ["x"]):
            hunt.sendto(json.dumps(said).encode(), ("127.0.0.1", port))
        for said in (b"", b"{", b"\xff", b"[" * 60000):
            hunt.sendto(said, ("127.0.0.1", port))
        assert [events.next_event(1) for dummy in range(8)] == [{"event": "x"}, *[None] * 7]
    assert events.next_event(0.01) is None
    events.renew()
    assert told(made) == (port, word)
    events.connect()
    assert told(made)[0] != port
    events.close()


def test_another_word_for_each_who_listens(client):
    made, words = client(htable_sets=0), set()
    for dummy in range(2):
        events = kamailio.KamailioEvents(made)
        events.connect()
        words.add(told(made)[1])
        events.close()
    assert len(words) == 2


@pytest.mark.parametrize("anew", [False, True])
def test_a_kamailio_that_was_stopped_or_started_anew_ends_it(client, anew):
    made = client(htable_sets=0)
    events = kamailio.KamailioEvents(made)
    events.connect()
    os.rename(made.path, f"{made.path}.before")
    if anew:
        Server(made.path, {})
    with pytest.raises(session.ProtocolError, match="was stopped, or started anew"):
        events.next_event(0.01)
    events.close()


def test_nobody_tells_where_nobody_is(tmp_path):
    events = kamailio.KamailioEvents(kamailio.KamailioClient(str(tmp_path / "none")))
    with pytest.raises(session.Refused):
        events.connect()
    events.close()


def test_marks_are_read_and_set(client, monkeypatch):
    entry = {"entry": 1, "size": 1, "slot": [{"name": "held:192.0.2.1_5060_udp", "value": 4102444800, "type": "int"}, {"name": "closed:acme", "value": 1}]}
    made = client(htable_dump=[entry], htable_seti=0)
    assert marks.read(made, plan()) == {("held", "192.0.2.1_5060_udp"): 4102444800}
    marks.put(made, {("trial", "acme"): 5.7})
    assert made.server.asked[-1] == ("htable.seti", "marks", "trial:acme", 5)


def test_drain_marks(client, tmp_path):
    folder = tmp_path / "drained"
    folder.mkdir()
    drains = drain_sbc.Marks(client(dlg_profile_get_size=3), str(folder))
    mark = {"by": "alice", "at": "2026-11-25T06:14:06Z", "why": "ticket \\ \"1\""}
    drains.write("acme", json.dumps(mark))
    assert os.listdir(folder) == ["acme"] and (folder / "acme").stat().st_mode & 0o777 == 0o644
    assert drains.read(["acme", "beta"]) == {"drained": {"acme": mark}, "channels": {"acme": 3, "beta": 3}}
    drains.write("acme", None)
    drains.write("acme", None)
    assert os.listdir(folder) == []
    (folder / "beta").write_text("by hand\n")
    assert drains.read(["beta"])["drained"] == {"beta": {"by": None, "at": None, "why": "by hand"}}


def test_a_folder_that_is_not_there_is_told(client, tmp_path):
    with pytest.raises(session.SessionError) as raised:
        drain_sbc.Marks(client(), str(tmp_path / "none")).write("acme", "{}")
    assert "the drain mark cannot be written" in str(raised.value)


@pytest.mark.parametrize(("address", "stands_by"), [("127.0.0.1", False), ("192.0.2.1", True)])
def test_an_sbc_stands_by_while_the_shared_address_is_elsewhere(tmp_path, address, stands_by):
    file = tmp_path / "keepalived.conf"
    file.write_text("vrrp_instance siptrunk {\n    virtual_ipaddress {\n        %s/24 dev eth0\n    }\n}\n" % address)
    assert kamailio.stands_by(str(file)) is stands_by


def test_an_sbc_alone_stands_by_for_nobody(tmp_path):
    assert not kamailio.stands_by(str(tmp_path / "keepalived.conf"))
    (tmp_path / "keepalived.conf").write_text("# nothing\n")
    assert not kamailio.stands_by(str(tmp_path / "keepalived.conf"))
