# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's certificates, judged by Python's ssl in a handshake in memory."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from datetime import timedelta

import certificates as program
import pytest

NAMES = ["sip.acme.example", "gw1.acme.example", "198.18.10.21"]
ALL = {f"{name}{end}" for name in ("ca", *program.PAIRS) for end in (".pem", ".key")}


@pytest.fixture
def folder(tmp_path):
    program.make(tmp_path / "pairs", NAMES)
    return tmp_path / "pairs"


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.suffix}


def handshake(folder, pair: str, host: str, client_pair: str = "") -> None:
    """Between a server that shows the pair and a client that trusts the CA; with `client_pair`, the server asks for that too."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=folder / "ca.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server.load_cert_chain(folder / f"{pair}.pem", folder / f"{pair}.key")
    if client_pair:
        client.load_cert_chain(folder / f"{client_pair}.pem", folder / f"{client_pair}.key")
        server.load_verify_locations(folder / "ca.pem")
        server.verify_mode = ssl.CERT_REQUIRED
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    for _flight in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert all(side.version() for side in sides)


@pytest.mark.parametrize("name", NAMES)
def test_good_is_good_for_every_name(folder, name):
    handshake(folder, "good", name)


def test_good_is_good_for_a_client(folder):
    handshake(folder, "good", NAMES[0], client_pair="good")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        handshake(folder, "good", NAMES[0], client_pair="stranger")


@pytest.mark.parametrize(
    ("pair", "reason"),
    [("expired", "certificate has expired"), ("wrong", "Hostname mismatch"), ("stranger", "unable to get local issuer certificate")],
)
def test_the_others_fail_for_one_reason_each(folder, pair, reason):
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        handshake(folder, pair, NAMES[0])


def test_wrong_is_right_elsewhere(folder):
    handshake(folder, "wrong", "other.example")


PARTS = [("domain", {NAMES[0]}), ("parent", set()), ("hosts", set(NAMES[1:])), ("wildcard", set(NAMES[:2])), ("above", set())]


@pytest.mark.parametrize(("pair", "right"), PARTS)
def test_some_are_for_a_part_of_the_names(folder, pair, right):
    for name in NAMES:
        if name in right:
            handshake(folder, pair, name)
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
                handshake(folder, pair, name)


def test_keys_are_secret(folder):
    assert set(contents(folder)) == ALL
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}


def test_a_second_run_changes_nothing_and_says_nothing(tmp_path):
    command = [sys.executable, program.__file__, str(tmp_path / "a" / "b"), *NAMES]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before = contents(tmp_path / "a" / "b")
    second = subprocess.run([*command[:3], *reversed(NAMES)], capture_output=True, text=True, check=True).stdout

    assert set(first.split()) == {"made", "ca", *program.PAIRS}
    assert second == "" and contents(tmp_path / "a" / "b") == before


@pytest.mark.parametrize("names", [[*NAMES, "gw2.acme.example"], NAMES[:2]], ids=["more", "fewer"])
def test_other_names_need_other_pairs_but_no_other_ca(folder, names):
    before = contents(folder)

    assert program.make(folder, names) == list(program.PAIRS)
    after = contents(folder)
    assert {name for name in ALL if before[name] == after[name]} == {"ca.pem", "ca.key"}
    handshake(folder, "good", names[-1])


def test_a_week_before_the_end_all_is_made_anew(folder, monkeypatch):
    monkeypatch.setattr(program, "LIFE", timedelta(days=7, minutes=-1))
    assert program.make(folder, NAMES) == []
    assert program.make(folder, NAMES[:1]) == list(program.PAIRS)
    assert program.make(folder, NAMES[:1]) == list(program.PAIRS), "it ends within a week"


def test_a_ca_must_outlive_its_certificates(folder, monkeypatch):
    monkeypatch.setattr(program, "LIFE", program.LIFE_OF_CA)
    assert program.make(folder, NAMES) == ["ca", *program.PAIRS]


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_is_missing_is_made_anew(folder, name):
    (folder / name).unlink()

    assert program.make(folder, NAMES) == (["ca", *program.PAIRS] if name.startswith("ca") else list(program.PAIRS))
    handshake(folder, "good", NAMES[0])
    assert program.make(folder, NAMES) == []


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "good.pem"])
def test_what_is_broken_is_made_anew(folder, name):
    (folder / name).write_text("nonsense")

    assert "good" in program.make(folder, NAMES)
    handshake(folder, "good", NAMES[0])


def test_a_run_cut_short_is_made_good_by_the_next(folder, monkeypatch):
    (folder / "wrong.pem").unlink()
    opened = os.open

    def full(path, flags, mode=0o777):
        if str(path).endswith("good.key"):
            raise OSError(28, "No space left on device")
        return opened(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(program.os, "open", full)
        with pytest.raises(OSError, match="No space left"):
            program.make(folder, NAMES)

    assert program.make(folder, NAMES) == list(program.PAIRS)
    handshake(folder, "good", NAMES[0])


@pytest.mark.parametrize("name", program.PAIRS)
def test_other_names_are_not_taken_for_done_before_they_are(folder, monkeypatch, name):
    write = program.write

    def killed(to, pair, *what):
        if pair == name:
            raise KeyboardInterrupt
        write(to, pair, *what)

    with monkeypatch.context() as patch:
        patch.setattr(program, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            program.make(folder, NAMES[:1])

    assert program.make(folder, NAMES[:1]) == list(program.PAIRS)
