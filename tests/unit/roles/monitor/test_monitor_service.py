# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: an engine that comes, goes and comes back, a state that outlives the process, and what a full disk does not stop."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
import urllib.request

import pytest

pytest.importorskip("prometheus_client")  # lab/requirements.txt
from conftest import REPO
from monitored import ACME1, ROUTES, TRUNKS, answer, attempt, found, watched
from prometheus_client.parser import text_string_to_metric_families
from siptrunk_monitor import metrics, plan, records, service, state, watch

from ansible_collections.siptrunk.failover.plugins.module_utils import session

README = REPO / "roles/monitor/README.md"


class Engine:
    """A scripted engine: each session is a list of what happens; an exception ends it."""

    sessions: list = []
    marked: list = []
    word = "word"

    def __init__(self, settings, secret, trunks):
        self.script = list(type(self).sessions.pop(0)) if type(self).sessions else [session.Refused("nobody there")]
        assert secret == self.word

    def adopt(self, trunks):
        self.marked.append(("plan", [item["name"] for item in trunks]))

    def connect(self):
        if isinstance(self.script[0], (session.Refused, session.AuthError)):
            raise self.script[0]

    def close(self):
        pass

    def look(self):
        return found()

    def mark(self, until):
        self.marked.append(until)

    def next(self, timeout):
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step()
        elif step is not None:
            return step
        time.sleep(0.01)
        return None


@pytest.fixture
def run(tmp_path, monkeypatch, settings):
    """A function that runs the service with such sessions until the last of them is over; returns the log's lines."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "plan.json").write_text(json.dumps({"trunks": TRUNKS, "routes": [
        {"name": route["name"], "trunks": [[{"name": name, "weight": 50} for name in group] for group in route["groups"]]} for route in ROUTES]}))
    (tmp_path / "secret").write_text("word\n")
    given = {
        **settings, "engine": "asterisk", "secret": str(tmp_path / "secret"), "plan": str(tmp_path / "plan.json"), "records": str(tmp_path / "cdr.jsonl"),
        "log": str(tmp_path / "events.jsonl"), "log_max_bytes": 100000, "log_files": 2, "state": str(tmp_path / "state.json"),
        "listen_address": "127.0.0.1", "listen_port": 0, "interval": 0.05, "certificate_interval": 3600, "tls_ca_file": "",
    }
    monkeypatch.setattr(service, "ENGINES", {"asterisk": Engine})
    monkeypatch.setattr(service, "BACKOFF", 0.01)
    monkeypatch.setattr(service, "TICK", 0.05)
    monkeypatch.setattr(records, "GRACE", 0.2)
    monkeypatch.setattr(service.signal, "signal", lambda *dummy: None)
    monkeypatch.setattr(service.drift.Lookout, "start", lambda self: None)
    Engine.marked = []

    def go(*sessions, **changed):
        running = service.Service({**given, "listen_port": port, **changed})
        Engine.sessions = [*sessions[:-1], [*sessions[-1], running._stop]]

        def begin():
            with contextlib.suppress(SystemExit):
                running.run()

        thread = threading.Thread(target=begin, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        return [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()] if (tmp_path / "events.jsonl").exists() else []

    go.port = port
    return go


def kinds(lines):
    return [line["event"] for line in lines if line["event"] != "probe"]


def test_an_engine_that_goes_and_comes_back(run):
    lines = run([session.ProtocolError("it closed")], [session.Refused("nobody there")], [("attempt", attempt("acme", ACME1, "503", "next_target"))])
    assert kinds(lines) == ["started", "registration", "engine_lost", "engine_back", "attempt"]
    assert next(line for line in lines if line["event"] == "engine_lost")["why"] == "it closed"


def test_a_secret_that_is_refused_ends_the_process_that_systemd_may_bring_another(run, monkeypatch):
    monkeypatch.setattr(service, "LONGEST_BACKOFF", 0.01)
    lines = run([session.AuthError("wrong secret")], [("attempt", attempt("acme", ACME1, "503", "next_target"))])
    assert kinds(lines) == ["started", "engine_lost"]


def test_an_engine_may_ask_for_no_secret(run, monkeypatch):
    monkeypatch.setattr(Engine, "word", "")
    lines = run([("attempt", attempt("acme", ACME1, "503", "next_target"))], secret="")
    assert kinds(lines) == ["started", "registration", "attempt"]


def test_a_probe_that_finds_a_target_dead_marks_it_at_once(run):
    run([("probe", "acme.1", "dead"), None, None])
    assert {("held", "198.18.1.21_5060_udp")} in [set(until) for until in Engine.marked]


def test_a_mark_that_is_over_is_taken_away_at_once(run):
    failed = [("attempt", attempt("acme", ACME1, "503", "next_target", str(number))) for number in range(3)]
    run([*failed, None, ("answered", answer("acme", ACME1)), None])
    assert Engine.marked[-2].keys() == Engine.marked[-1].keys() == {("closed", "acme")} and Engine.marked[-1]["closed", "acme"] == 0


def test_a_trial_begins_before_the_closing_ends(run):
    failed = [("attempt", attempt("acme", ACME1, "503", "next_target", str(number))) for number in range(3)]
    run([*failed, *[None] * 30], close_for=0.1, hold_down_max=0.1)
    handed_over = next(until for until in Engine.marked if ("trial", "acme") in until)
    assert list(handed_over) == [("trial", "acme"), ("closed", "acme")] and handed_over["closed", "acme"] == 0


def test_marks_are_set_again_in_a_new_session_and_after_a_restart(run):
    run([("probe", "acme.1", "dead"), None, Engine.marked.clear, session.ProtocolError("gone")], [None])
    assert Engine.marked[0].keys() == {("held", "198.18.1.21_5060_udp")}
    Engine.marked = []
    run([None])
    assert Engine.marked[0].keys() == {("held", "198.18.1.21_5060_udp")}


def test_marks_are_renewed_before_they_run_out(run, monkeypatch):
    assert 2 * service.RENEW < watch.MARK_SECONDS
    monkeypatch.setattr(service, "RENEW", 0.05)
    run([("probe", "acme.1", "dead"), *[None] * 50])
    assert len([until for until in Engine.marked if ("held", "198.18.1.21_5060_udp") in until]) > 2


def test_systemd_hears_of_the_start_and_that_it_is_not_hung(run, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        run([None] * 50)
        systemd.setblocking(False)
        assert [systemd.recv(100) for dummy in range(4)] == [b"READY=1"] + [b"WATCHDOG=1"] * 3


def test_an_event_that_says_too_little_makes_it_look(run, monkeypatch):
    looks = []
    monkeypatch.setattr(Engine, "look", lambda self: looks.append(1) or found())
    run([None] * 50, interval=3600)
    assert len(looks) == 1
    run([("look",), ("look",), *[None] * 50], interval=3600)
    assert len(looks) == 3


def test_the_metrics_are_there(run):
    texts = []
    url = "http://127.0.0.1:%d/metrics" % run.port
    run([("attempt", attempt("acme", ACME1, "silent", "next_target")), lambda: texts.append(urllib.request.urlopen(url, timeout=5).read().decode())])
    for line in (
        'siptrunk_attempts_total{code="silent",trunk="acme",verdict="next_target"} 1.0', 'siptrunk_attempts_total{code="200",trunk="beta",verdict="final"} 0.0',
        'siptrunk_engine_up{engine="asterisk"} 1.0', 'siptrunk_channels_limit{trunk="beta"} 2.0', 'siptrunk_registered{trunk="acme"} 1.0',
        'siptrunk_failovers_total{from="acme",route="nanp",to="beta"} 0.0', 'siptrunk_active{role="backup",route="nanp",trunk="beta"} 0.0',
        'siptrunk_monitor_info{engine="asterisk",version="0.1.0"} 1.0', "siptrunk_monitor_log_errors_total 0.0",
    ):
        assert line in texts[0].splitlines()
    assert 'siptrunk_registered{trunk="beta"}' not in texts[0] and 'siptrunk_channels_limit{trunk="acme"}' not in texts[0]


def test_the_readme_lists_the_metrics_with_their_labels(run):
    texts = []
    run([lambda: texts.append(urllib.request.urlopen("http://127.0.0.1:%d/metrics" % run.port, timeout=5).read().decode())])
    told = {}
    for family in text_string_to_metric_families(texts[0]):
        for sample in family.samples:
            told.setdefault(sample.name, set()).update(sample.labels)
    told["siptrunk_certificate_expiry_timestamp_seconds"] = {"trunk", "target"}  # there is no trunk over TLS here
    section = README.read_text(encoding="utf-8").partition("**What it measures.**")[2]
    listed = {"siptrunk_" + name: set(re.findall("`(.*?)`", labels)) for names, labels in re.findall(r"^\| (`.*?) \| (.*?) ?\| ", section, re.MULTILINE)
              for name in re.findall("`(.*?)`", names)}
    assert listed == told


def test_what_is_not_known_yet_and_a_drained_emergency_route(settings):
    under_watch, log = watched(settings)

    def sample(name, **labels):
        collector = metrics.Collector(under_watch, log, "asterisk", time.time)
        log.errors = 0
        return [one.value for family in collector.collect() for one in family.samples if one.name == name and labels.items() <= one.labels.items()]

    assert sample("siptrunk_registered") == [] and sample("siptrunk_registration_losses_total") == [0]
    mark = {"by": "ann", "why": "x", "at": "2026-11-25T12:00:00Z"}
    under_watch.look(found(drained={"acme": mark, "beta": mark}), 1)
    assert sample("siptrunk_registered") == [1] and sample("siptrunk_route_up") == [0]
    under_watch.adopt(TRUNKS, [{**ROUTES[0], "emergency": True}], 2)
    assert sample("siptrunk_route_up") == [1], "emergency calls ask drained trunks"


def test_readers_that_hang_hold_up_nothing_and_are_cut_off(run, monkeypatch):
    monkeypatch.setattr(metrics, "PATIENCE", 0.5)
    hanging, texts = [], []

    def hang():
        for begun in [b"", b"GET /metr"] * 20:
            hanging.append(socket.create_connection(("127.0.0.1", run.port), timeout=5))
            hanging[-1].sendall(begun)

    def read():
        texts.append(urllib.request.urlopen("http://127.0.0.1:%d/metrics" % run.port, timeout=5).read())

    lines = run([hang, ("attempt", attempt("acme", ACME1, "503", "next_target")), read, *[None] * 150, lambda: texts.extend(one.recv(1) for one in hanging)])
    assert "attempt" in kinds(lines) and b"siptrunk_up" in texts[0] and texts[1:] == [b""] * 40
    for one in hanging:
        one.close()


def test_what_happened_while_nobody_listened_is_counted(run, tmp_path):
    record = json.dumps({"call": "c1", "attempts": [{"at": "t1"}, {"at": "t2"}]}) + "\n"
    run([("attempt", attempt("acme", ACME1, "503", "next_target", "c1"))])
    (tmp_path / "cdr.jsonl").write_text(record)
    saved = json.loads((tmp_path / "state.json").read_text())
    assert saved["records"] == [0, 0] and saved["tally"]["heard"] == {"c1": 1}
    lines = run([None] * 60)
    assert [(line["attempts"], line["from"], line["to"]) for line in lines if line["event"] == "missed"] == [(1, "t1", "t2")]


def test_call_records_that_cannot_be_read_are_complained_of_once(run, tmp_path, capsys):
    (tmp_path / "cdr.jsonl").mkdir()
    run([None] * 30)
    assert capsys.readouterr().err.count("the call records cannot be read: [Errno 21]") == 1


def test_what_the_log_knows_of_a_process_that_was_killed_is_not_missed(run, tmp_path):
    run([None])
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"at":"2999-01-01T00:00:00.000Z","event":"attempt","call":"c1"}\n')
    (tmp_path / "cdr.jsonl").write_text(json.dumps({"call": "c1", "attempts": [{"at": "t1"}]}) + "\n")
    lines = run([None] * 60)
    assert "missed" not in kinds(lines)


def test_another_plan_is_noticed_and_a_broken_one_is_not_followed(run, tmp_path, capsys):
    path = tmp_path / "plan.json"

    def change():
        path.write_text(json.dumps({"trunks": TRUNKS[1:], "routes": [{"name": "new", "trunks": [[{"name": "beta"}]]}]}))

    run([change, *[None] * 20, lambda: path.write_text("{"), *[None] * 50])
    assert [told for told in Engine.marked if isinstance(told, tuple)] == [("plan", ["beta"])]
    assert capsys.readouterr().err.count("the plan of before stays in force") == 1


def test_a_disk_that_is_full_stops_nothing(run, monkeypatch):
    def full(*dummy):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service.log.os, "write", full)
    monkeypatch.setattr(service.state, "save", full)
    run([("probe", "acme.1", "dead"), None])
    assert {("held", "198.18.1.21_5060_udp")} in [set(until) for until in Engine.marked]


def test_what_the_engine_refuses_ends_no_session(run, monkeypatch):
    def refuse(*dummy):
        raise session.ActionError("no such module")

    monkeypatch.setattr(Engine, "look", refuse)
    monkeypatch.setattr(Engine, "mark", refuse)
    lines = run([("attempt", attempt("acme", ACME1, "503", "next_target"))])
    assert kinds(lines) == ["started", "attempt"]


@pytest.mark.parametrize("routes", [None, 3, [3], [{"name": "x"}], [{"name": "x", "trunks": []}], [{"name": "x", "trunks": [[]]}],
                                    [{"name": "x", "trunks": [[{"name": "omega"}]]}], [{"name": "x", "trunks": [[{}]]}]])
def test_a_plan_without_sound_routes_is_refused(tmp_path, routes):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"trunks": TRUNKS, "routes": routes}))
    with pytest.raises(ValueError, match="routes"):
        plan.read(str(path))


def test_the_state_is_whole_or_none(tmp_path, monkeypatch):
    path = str(tmp_path / "state.json")
    assert state.load(path) == {}
    state.save(path, {"a": 1})
    assert state.load(path) == {"a": 1}

    def full(*dummy):
        raise OSError(28, "full")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="full"):
        disk.setattr(state.os, "fdopen", full)
        state.save(path, {"a": 2})
    assert state.load(path) == {"a": 1}
    for spoiled in ("", "[", "[]", "null"):
        (tmp_path / "state.json").write_text(spoiled)
        assert state.load(path) == {}
