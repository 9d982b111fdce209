# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module from its arguments to its JSON, against a tiny carrier on loopback."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading

import certificates
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.module_utils import options
from ansible_collections.siptrunk.failover.plugins.modules import options_ping


def respond(request):
    """404 to whoever asks for missing.example, else 200; the request's own headers otherwise."""
    headers = [line for line in request.split(b"\r\n") if line.startswith((b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:"))]
    status = b"404 Not Found" if b"missing.example" in request else b"200 OK"
    return b"\r\n".join([b"SIP/2.0 " + status, *headers, b"Server: box", b"Content-Length: 0", b"", b""])


@pytest.fixture
def carrier():
    """(port, requests) of a carrier on 127.0.0.1 over UDP."""
    requests = []

    def serve(server):
        while True:
            request, client = server.recvfrom(65536)
            if not request:
                return
            requests.append(request.decode())
            server.sendto(respond(request), client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1], requests
        waker.sendto(b"", server.getsockname())
        thread.join(5)


@pytest.fixture
def secure_carrier(tmp_path):
    """(port, folder with ca.pem) of a carrier on 127.0.0.1 over TLS, whose certificate is for sip.acme.example."""
    certificates.make(tmp_path, ["sip.acme.example"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "good.pem", tmp_path / "good.key")

    def serve():
        while True:
            try:
                with context.wrap_socket(server.accept()[0], server_side=True) as connection:
                    connection.settimeout(5)
                    connection.sendall(respond(connection.recv(65536)))
            except ssl.SSLError:
                continue
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], tmp_path
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def nobody():
    """A port of 127.0.0.1 that nothing listens at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return port


@pytest.fixture
def run(capsys):
    """run(**arguments): the exit status and the JSON of the module."""
    def start(**arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit) as end:
            options_ping.main()
        return end.value.code, json.loads(capsys.readouterr().out)

    return start


def target(port, **more):
    return {"host": "127.0.0.1", "port": port, **more}


def test_alive(run, carrier):
    port, requests = carrier
    status, output = run(targets=[target(port, name="acme-east"), target(port)])
    assert (status, output["changed"], output["all_alive"]) == (0, False, True)
    assert [(result["name"], result["code"], result["server"]) for result in output["results"]] == [("acme-east", 200, "box"), ("127.0.0.1", 200, "box")]
    assert len(requests) == 2


def test_dead_ones_are_no_failure_unless_asked_for(run, carrier, nobody):
    port, dummy = carrier
    targets = [target(port), target(nobody, name="beta")]
    status, output = run(targets=targets)
    assert (status, output["all_alive"], [result["alive"] for result in output["results"]]) == (0, False, [True, False])
    status, output = run(targets=targets, fail_on_dead=True)
    assert (status, output["failed"], output["all_alive"]) == (1, True, False)
    assert output["msg"] == f"Not alive: beta (127.0.0.1:{nobody}: Connection refused)"
    assert [result["alive"] for result in output["results"]] == [True, False]
    status, output = run(targets=targets[:1], fail_on_dead=True)
    assert (status, output["all_alive"]) == (0, True)


def test_no_targets_are_not_all_alive(run):
    status, output = run(targets=[], fail_on_dead=True)
    assert (status, output["results"], output["all_alive"]) == (0, [], False)


def test_options_reach_the_library(run, carrier):
    port, requests = carrier
    status, output = run(targets=[target(port, domain="missing.example")], alive_on="2xx", from_user="me", from_domain="pbx.example",
                         local_address="127.0.0.9", timeout=2)
    assert (status, output["all_alive"]) == (0, False)
    assert output["results"][0]["error"]["kind"] == "code"
    assert "OPTIONS sip:missing.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9:" in requests[0]
    assert re.search(r"\r\nFrom: <sip:me@pbx.example>;tag=", requests[0])


def test_every_option_is_one_of_the_library(run, monkeypatch):
    seen = {}
    monkeypatch.setattr(options, "ping", lambda **arguments: seen.update(arguments) or [])
    given = {"timeout": 1.5, "alive_on": "2xx", "from_user": "a", "from_domain": "b", "local_address": "c", "ca_file": "/d", "ca_path": "/e",
             "verify": False, "concurrency": 7}
    assert run(targets=[], **given)[0] == 0
    assert seen == {"targets": [], **given}


def test_tls(run, secure_carrier):
    port, folder = secure_carrier
    secure = target(port, transport="tls", domain="sip.acme.example")
    (good,) = run(targets=[secure], ca_file=str(folder / "ca.pem"))[1]["results"]
    assert (good["alive"], good["certificate"]["verified"], good["certificate"]["names"]) == (True, True, ["sip.acme.example"])
    (unknown,) = run(targets=[secure])[1]["results"]
    assert (unknown["alive"], unknown["error"]["kind"], unknown["certificate"]["names"]) == (False, "tls_verification", ["sip.acme.example"])
    (trusted,) = run(targets=[secure], verify=False)[1]["results"]
    assert (trusted["alive"], trusted["certificate"]["verified"]) == (True, False)


def test_check_mode_does_the_same(run, carrier):
    port, requests = carrier
    status, output = run(targets=[target(port)], _ansible_check_mode=True)
    assert (status, output["changed"], output["all_alive"], len(requests)) == (0, False, True, 1)


@pytest.mark.parametrize("arguments, message", [
    ({"targets": [{"host": "127.0.0.1", "port": 70000}]}, "The targets could not be asked: targets[0].port is 70000"),
    ({"targets": [], "timeout": -1}, "The targets could not be asked: timeout is -1.0"),
    ({"targets": [], "local_address": "nowhere"}, "The targets could not be asked: local_address nowhere: "),
    ({"targets": [{"port": 5060}]}, "missing required arguments: host found in targets"),
    ({"targets": [{"host": "a", "transport": "ws"}]}, "value of transport must be one of: udp, tcp, tls, got: ws"),
    ({"targets": [{"host": "a", "weight": 1}]}, "weight"),
    ({}, "missing required arguments: targets"),
])
def test_bad_arguments_are_told_plainly(run, arguments, message):
    status, output = run(**arguments)
    assert (status, output["failed"]) == (1, True)
    assert message in output["msg"]
    assert "results" not in output


def test_the_documentation_is_that_of_the_library(run, secure_carrier):
    port, folder = secure_carrier
    (result,) = run(targets=[target(port, transport="tls")], ca_file=str(folder / "ca.pem"))[1]["results"]
    returned = yaml.safe_load(options_ping.RETURN)["results"]["contains"]
    assert sorted(returned) == sorted(result)
    assert sorted(returned["certificate"]["contains"]) == sorted(result["certificate"])
    assert sorted(returned["error"]["contains"]) == sorted(result["error"])
    kinds = " ".join(returned["error"]["contains"]["kind"]["description"])
    assert set(re.findall(r"V\((\w+)\)", kinds)) >= {*options.ERROR_KINDS.values(), result["error"]["kind"]}
