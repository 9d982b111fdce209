# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module from its arguments to its JSON, against a tiny name server on loopback."""

from __future__ import annotations

import json
import socket
import threading

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.siptrunk.failover.plugins.module_utils import resolver
from ansible_collections.siptrunk.failover.plugins.modules import srv_info

ZONE = {
    "NAPTR acme.example": None,
    "SRV _sip._udp.acme.example": ["10 5 5060 gw1.acme.example.", "20 5 5060 gone.acme.example."],
    "A gw1.acme.example": ["198.18.1.10"],
    "AAAA gw1.acme.example": None,
    "A gone.acme.example": None,
    "AAAA gone.acme.example": None,
    "A gw.beta.example": ["198.18.2.10"],
    "AAAA gw.beta.example": ["2001:db8::2"],
}


@pytest.fixture
def nameserver():
    """The address:port of a name server with ZONE (None: no such record). Any other question fails the test."""
    unexpected = []

    def serve(server):
        while True:
            wire, client = server.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            (asked,) = query.question
            question = f"{dns.rdatatype.to_text(asked.rdtype)} {asked.name.to_text(omit_final_dot=True)}"
            reply = dns.message.make_response(query)
            if question not in ZONE:
                unexpected.append(question)
                reply.set_rcode(dns.rcode.REFUSED)
            elif ZONE[question]:
                reply.answer.append(dns.rrset.from_text(asked.name, 300, "IN", asked.rdtype, *ZONE[question]))
            server.sendto(reply.to_wire(), client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        waker.sendto(b"", server.getsockname())
        thread.join(5)
    assert unexpected == []


@pytest.fixture
def run(capsys):
    """run(**arguments): the exit status and the JSON of the module."""
    def start(**arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit) as end:
            srv_info.main()
        return end.value.code, json.loads(capsys.readouterr().out)

    return start


def warnings_of(output):
    return [warning if isinstance(warning, str) else json.dumps(warning) for warning in output.get("warnings", [])]


def test_the_results_of_the_library_unchanged(run, nameserver):
    status, output = run(domains=["gw.beta.example:5070", "198.18.1.1"], nameservers=[nameserver])
    assert (status, output["changed"]) == (0, False)
    assert output["results"] == resolver.resolve(["gw.beta.example:5070", "198.18.1.1"], nameservers=[nameserver])
    assert [target["address"] for target in output["results"][0]["targets"]] == ["198.18.2.10", "2001:db8::2"]
    assert warnings_of(output) == []


def test_options_reach_the_library(run, nameserver):
    status, output = run(domains=["gw.beta.example:5070"], nameservers=[nameserver], transport="tls", address_families=["ipv6"],
                         timeout=1, lifetime=2, concurrency=1)
    assert status == 0
    assert [(result["transport"], len(result["targets"])) for result in output["results"]] == [("tls", 1)]


def test_questions_of_several_transports_are_answered_in_order(run, nameserver):
    questions = [{"transport": "tls", "domains": ["gw.beta.example:5070"]}, {"transport": "udp", "domains": ["acme.example", "198.18.1.1"]}]
    status, output = run(questions=questions, nameservers=[nameserver])
    assert status == 0
    assert [(result["domain"], result["transport"]) for result in output["results"]] == [
        ("gw.beta.example:5070", "tls"), ("acme.example", "udp"), ("198.18.1.1", "udp"),
    ]  # fmt: skip
    assert output["results"][1:] == run(domains=questions[1]["domains"], nameservers=[nameserver])[1]["results"]


def test_errors_are_in_the_result_and_a_warning_names_the_incomplete(run, nameserver):
    status, output = run(domains=["acme.example", "bad..example", "gw.beta.example:5070"], nameservers=[nameserver])
    assert status == 0
    assert [[error["kind"] for error in result["errors"]] for result in output["results"]] == [["target_unresolvable"], ["bad_name"], []]
    (warning,) = warnings_of(output)
    assert "Targets were found, but not without errors, for acme.example: see" in warning


def test_fail_on_error_names_the_domains_and_keeps_the_results(run, nameserver):
    status, output = run(domains=["acme.example", "bad..example", "gw.beta.example:5070"], nameservers=[nameserver], fail_on_error=True)
    assert (status, output["failed"]) == (1, True)
    assert output["msg"].startswith("Errors in the look-up of acme.example (SRV target gone.acme.example has no address: ")
    assert ", bad..example ('bad..example' is not a domain name" in output["msg"]
    assert "beta" not in output["msg"]
    assert [result["ok"] for result in output["results"]] == [True, False, True]


def test_fail_on_error_without_an_error(run, nameserver):
    status, output = run(domains=["gw.beta.example:5070"], nameservers=[nameserver], fail_on_error=True)
    assert (status, output["changed"], output["results"][0]["ok"]) == (0, False, True)


def test_check_mode_does_the_same(run, nameserver):
    arguments = {"domains": ["acme.example", "gw.beta.example:5070"], "nameservers": [nameserver]}
    plain, check = run(**arguments), run(**arguments, _ansible_check_mode=True)
    assert (check[0], check[1]["changed"], check[1]["results"]) == (0, False, plain[1]["results"])


@pytest.mark.parametrize("arguments, message", [
    ({"domains": [], "nameservers": ["ns.example"]}, "The look-ups could not be made: name server 'ns.example' is not an address"),
    ({"domains": ["acme.example"], "timeout": -1}, "The look-ups could not be made: timeout is -1.0, expected a number above 0"),
    ({"domains": ["acme.example"], "transport": "sctp"}, "value of transport must be one of: udp, tcp, tls, got: sctp"),
    ({}, "one of the following is required: domains, questions"),
    ({"domains": ["acme.example"], "questions": []}, "parameters are mutually exclusive: domains|questions"),
    ({"questions": [{"domains": ["acme.example"]}]}, "missing required arguments: transport found in questions"),
])
def test_bad_arguments_are_told_plainly(run, arguments, message):
    status, output = run(**arguments)
    assert (status, output["failed"]) == (1, True)
    assert message in output["msg"]
    assert "results" not in output


def test_without_dnspython(run, monkeypatch):
    monkeypatch.setattr(resolver, "IMPORT_ERROR", ImportError("No module named 'dns'"))
    status, output = run(domains=["acme.example"])
    assert (status, output["failed"]) == (1, True)
    assert "dnspython" in output["msg"]


def test_the_documentation_is_that_of_the_library():
    returned = yaml.safe_load(srv_info.RETURN)["results"]["contains"]
    (result,) = resolver.resolve(["198.18.1.1"], nameservers=["127.0.0.1"])
    (failed,) = resolver.resolve(["bad..example"], nameservers=["127.0.0.1"])
    assert list(returned) == list(result)
    assert list(returned["targets"]["contains"]) == list(result["targets"][0])
    assert list(returned["errors"]["contains"]) == list(failed["errors"][0])
