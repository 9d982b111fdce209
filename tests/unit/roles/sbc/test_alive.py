# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an SBC is alive, asked of one that is scripted."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

PROGRAM = Path(__file__).parents[4] / "roles/sbc/files/alive.py"
spec = importlib.util.spec_from_file_location("alive", PROGRAM)
alive = importlib.util.module_from_spec(spec)
spec.loader.exec_module(alive)
WITHIN = alive.TRIES * alive.EACH
OWN = "127.0.0.77"


@pytest.fixture
def bound():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", 0))
        link.settimeout(2)
        yield link


def answering(link, *answers):
    """One answer for each request; None: none. {id} becomes the request's Call-ID."""

    def serve():
        for answer in answers:
            text, peer = link.recvfrom(65535)
            call_id = text.decode().partition("Call-ID: ")[2].partition("\r\n")[0]
            if answer is not None:
                link.sendto(answer.format(id=call_id).encode(), peer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("first", ["SIP/2.0 200 OK", "SIP/2.0 403 Forbidden", "SIP/2.0 500 Server Internal Error"])
def test_any_answer_is_one(bound, first):
    thread = answering(bound, first + "\r\nCall-ID: {id}\r\n\r\n")
    assert alive.look(*bound.getsockname()) == "alive"
    thread.join()


def test_it_asks_from_its_own_address(bound):
    """The floating one may be in no network of the host's: it would ask itself from there, and be a stranger."""
    heard = []

    def serve():
        data, peer = bound.recvfrom(65535)
        heard.append(peer[0])
        call_id = data.decode().split("Call-ID: ")[1].split("\r\n")[0]
        bound.sendto(f"SIP/2.0 200 OK\r\nCall-ID: {call_id}\r\n\r\n".encode(), peer)

    thread = threading.Thread(target=serve)
    thread.start()
    assert alive.look(*bound.getsockname(), OWN) == "alive"
    thread.join()
    assert heard == [OWN]


def test_one_that_takes_no_calls_is_not_well(bound):
    thread = answering(bound, "SIP/2.0 503 No Media\r\nCall-ID: {id}\r\n\r\n")
    assert alive.look(*bound.getsockname()) == "unwell"
    thread.join()


def test_one_datagram_may_be_lost(bound):
    thread = answering(bound, None, "SIP/2.0 200 OK\r\nCall-ID: {id}\r\n\r\n")
    assert alive.look(*bound.getsockname()) == "alive"
    thread.join()


@pytest.mark.parametrize("answer", [None, "SIP/2.0 200 OK\r\nCall-ID: another\r\n\r\n", "INVITE sip:a SIP/2.0\r\nCall-ID: {id}\r\n\r\n"])
def test_silence_and_what_is_no_answer_are_a_failure_in_time(bound, answer):
    thread = answering(bound, answer)
    began = time.monotonic()
    assert alive.look(*bound.getsockname()) == "silent"
    assert WITHIN <= time.monotonic() - began < WITHIN + 0.5
    thread.join()


def test_where_nobody_listens_it_fails_sooner(bound):
    where = bound.getsockname()
    bound.close()
    began = time.monotonic()
    assert alive.look(*where) == "refused"
    assert time.monotonic() - began < WITHIN


@pytest.fixture
def beside(bound):
    """Where the other processes of the same Kamailio listen: the own address, same port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind((OWN, bound.getsockname()[1]))
        link.settimeout(5)
        yield link


OK, MUTE = "SIP/2.0 200 OK\r\nCall-ID: {id}\r\n\r\n", "SIP/2.0 503 No Media\r\nCall-ID: {id}\r\n\r\n"


def test_one_that_answers_beside_alone_is_busy(bound, beside):
    thread = answering(beside, OK)
    began = time.monotonic()
    assert alive.look(*bound.getsockname(), OWN, beside=True) == "busy"
    assert alive.PATIENCE * alive.EACH <= time.monotonic() - began < 3, "keepalived waits no longer"
    thread.join()


def test_one_that_is_slow_and_answers_beside_is_alive(bound, beside):
    threads = [answering(beside, OK), answering(bound, *[None] * (alive.TRIES + 1), OK)]
    assert alive.look(*bound.getsockname(), OWN, beside=True) == "alive"
    for thread in threads:
        thread.join()


def test_one_that_waits_for_its_relay_says_so_beside(bound, beside):
    thread = answering(beside, MUTE)
    began = time.monotonic()
    assert alive.look(*bound.getsockname(), OWN, beside=True) == "unwell"
    assert time.monotonic() - began < WITHIN
    thread.join()


def test_one_that_says_nothing_anywhere_is_silent_in_time(bound, beside):
    began = time.monotonic()
    assert alive.look(*bound.getsockname(), OWN, beside=True) == "silent"
    assert WITHIN <= time.monotonic() - began < WITHIN + 0.5


def test_one_that_is_busy_keeps_the_address_for_a_while_and_is_not_killed(tmp_path, monkeypatch):
    found = ["busy"]
    monkeypatch.setattr(alive, "look", lambda *_args, **_more: found[0])
    monkeypatch.setattr(alive, "put_down", lambda _path: pytest.fail("killed"))
    monkeypatch.setattr("sys.argv", ["alive.py", "127.0.0.1", "127.0.0.1", "5060", str(tmp_path), str(tmp_path / "out")])
    marker = tmp_path / "siptrunk.busy"
    assert alive.main() == 0
    os.utime(marker, (time.time() - alive.BUSY - 1,) * 2)
    assert alive.main() == 1
    found[0] = "alive"
    assert alive.main() == 0 and not marker.exists()
    found[0] = "busy"
    assert alive.main() == 0


def test_an_address_is_here_or_not():
    assert alive.is_here("127.0.0.1")
    assert not alive.is_here("192.0.2.1")


def test_an_address_that_may_be_bound_is_not_here_for_that(monkeypatch):
    """As the host's setting ip_nonlocal_bind allows it to every socket."""

    class Free(socket.socket):
        def bind(self, address):
            self.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            super().bind(address)

    monkeypatch.setattr(alive, "socket", SimpleNamespace(**{**vars(alive.socket), "socket": Free}))
    assert not alive.is_here("192.0.2.1")


@pytest.mark.parametrize(("floating", "registers"), [("127.0.0.1", 1), ("192.0.2.1", 0)])
def test_who_has_the_address_registers(bound, tmp_path, monkeypatch, floating, registers):
    control = str(tmp_path / "siptrunk.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(control)
        thread = answering(bound, "SIP/2.0 200 OK\r\nCall-ID: {id}\r\n\r\n")
        monkeypatch.setattr("sys.argv", ["alive.py", floating, "127.0.0.1", str(bound.getsockname()[1]), str(tmp_path), str(tmp_path / "out")])
        assert alive.main() == 0
        said = [json.loads(told.recv(65535)) for _datagram in range(2)]
    assert [(line["method"], line["params"]) for line in said] == [("uac.reg_active", [registers]), ("htable.seti", ["fit", "for_the_address", 1])]
    thread.join()


def test_a_control_socket_that_is_gone_is_no_failure(bound, tmp_path, monkeypatch):
    thread = answering(bound, "SIP/2.0 200 OK\r\nCall-ID: {id}\r\n\r\n")
    monkeypatch.setattr("sys.argv", ["alive.py", "192.0.2.1", "127.0.0.1", str(bound.getsockname()[1]), str(tmp_path), str(tmp_path / "out")])
    assert alive.main() == 0
    thread.join()


def test_one_that_is_out_of_service_is_to_have_no_address(bound, tmp_path, monkeypatch):
    thread = answering(bound, "SIP/2.0 200 OK\r\nCall-ID: {id}\r\n\r\n")
    (tmp_path / "out").touch()
    monkeypatch.setattr("sys.argv", ["alive.py", "192.0.2.1", "127.0.0.1", str(bound.getsockname()[1]), str(tmp_path), str(tmp_path / "out")])
    told = []
    monkeypatch.setattr(alive, "tell", lambda _control, method, *_params: told.append(method))
    assert alive.main() == 1
    assert told == ["uac.reg_active"]  # and not that it is fit
    thread.join()


@pytest.mark.parametrize(("age", "killed"), [(21, True), (10, False)])
def test_one_that_is_silent_is_killed_unless_it_was_just_started(bound, tmp_path, monkeypatch, age, killed):
    pid_file = tmp_path / "kamailio.pid"
    with subprocess.Popen(["sleep", "60"]) as process:
        pid_file.write_text(f"{process.pid}\n")
        os.utime(pid_file, (time.time() - age, time.time() - age))
        monkeypatch.setattr("sys.argv", ["alive.py", "192.0.2.1", "127.0.0.1", str(bound.getsockname()[1]), str(tmp_path), str(tmp_path / "out")])
        assert alive.main() == 1
        if killed:
            process.wait(5)
        else:
            time.sleep(0.1)
            assert process.poll() is None
            process.kill()


def test_where_nobody_listens_nobody_is_killed(bound, tmp_path, monkeypatch):
    port = bound.getsockname()[1]
    bound.close()
    monkeypatch.setattr(alive, "put_down", lambda _path: pytest.fail("killed"))
    monkeypatch.setattr("sys.argv", ["alive.py", "192.0.2.1", "127.0.0.1", str(port), str(tmp_path), str(tmp_path / "out")])
    assert alive.main() == 1
