# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that only an SBC sees: in to one of several PBXs, a caller who is gone before anybody was asked, who the carrier takes the caller for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from cases import INTL, NANP, SECURE
from engines import Kamailio
from harness import SCENARIO, Carrier, Lab, beside, enter, invites, state_folder, wait_until
from interop import TRUSTED

REPO = Path(__file__).resolve().parents[3]
LAB = Lab(pbx=Kamailio.host)
ENGINE = Kamailio(LAB.container(Kamailio.host))
TRUNKS = yaml.safe_load((REPO / "tests/contract/inventory/group_vars/siptrunk_pbx.yml").read_text(encoding="utf-8"))["siptrunk_trunks"]
PBX_HOST, PBX_PORTS = "ns", (5081, 5082)
SHOWN = "12125550199"


def site(fails=False, **variables):
    """The output of site.yml with the scenario's model."""
    inventories = ("inventories/lab/hosts.yml", "inventories/lab-sbc", "tests/contract/inventory", "molecule/sbc/inventory")
    argv = ["ansible-playbook", *(part for path in inventories for part in ("-i", path)), "--limit", "sbc", "site.yml", "-e", json.dumps(variables)]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_HOST_PATTERN_MISMATCH": "warning", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pbxs():
    """Two PBXs, each a lab/carrier.py, to which calls come in; and the trunk beta shows one number to its carrier."""
    container = LAB.container(PBX_HOST)
    address = LAB.caller_at(PBX_HOST).address
    found, programs = {port: Carrier(state_folder(LAB.name, PBX_HOST) / str(port)) for port in PBX_PORTS}, []
    for port, pbx in found.items():
        pbx.state.mkdir(exist_ok=True)
        options = ["--address", address, "--port", str(port), "--state-dir", f"/lab/state/{port}"]
        programs.append(beside(container, ["python3", "/lab/program/carrier.py", *options]))
    try:
        site(
            sbc_inside=[LAB.caller.address, address],
            sbc_pbxs=[f"{address}:{port}" for port in PBX_PORTS],
            siptrunk_trunks=[{**trunk, "caller_id": SHOWN} if trunk["name"] == "beta" else trunk for trunk in TRUNKS],
        )
        yield found
    finally:
        for program in programs:
            program.terminate()
        site()


@pytest.fixture(autouse=True)
def healthy(pbxs):
    LAB.reset()
    for pbx in pbxs.values():
        pbx.reset()
    wait_until(lambda: ENGINE.active_calls() == 0, 40, "no call left over")
    ENGINE.forget()
    wait_until(lambda: all(ENGINE.reachable().values()), 60, "every target reachable")


def comes_in(pbxs, **behaviour):
    """A call from a carrier, while both PBXs do that: (what the carrier saw, the calls that the PBXs got)."""
    for pbx in pbxs.values():
        pbx.tell(invite=behaviour)
    began = time.time()
    seen = LAB.caller_at("acme1").call("2001", timeout=20)
    time.sleep(1)
    return seen, [call for pbx in pbxs.values() for call in pbx.invites(began)]


def test_a_pbx_that_says_503_is_passed_over(pbxs):
    seen, got = comes_in(pbxs, do="code", code=503)
    assert seen.code == 503 and len(got) == 2


def assert_told_to_wait(seen):
    """He has heard 100 at once, and has sent the INVITE no more since."""
    delay, code = seen.provisionals[0]
    assert code == 100 and delay < 1.5, seen.messages
    moments = [moment for moment, direction, first in seen.messages if direction == "tx" and first.startswith("INVITE ")]
    assert max(moments) <= seen.started + delay, seen.messages


def test_who_calls_out_is_told_to_wait(pbxs):
    """By the SBC itself: the carriers say nothing for 2 s."""
    for carrier in LAB.carriers.values():
        carrier.tell(invite={"do": "late_answer", "after": 2})
    seen = LAB.caller.call(NANP)
    assert seen.code == 200 and seen.pdd >= 2
    assert_told_to_wait(seen)


def test_a_carrier_that_calls_in_is_told_to_wait(pbxs):
    seen, _got = comes_in(pbxs, do="late_answer", after=2)
    assert seen.code == 200 and seen.pdd >= 2
    assert_told_to_wait(seen)


@pytest.mark.parametrize("code", [486, 503])
def test_a_pbx_that_rang_is_not_left_for_another(pbxs, code):
    seen, got = comes_in(pbxs, do="ring_then_code", code=code)
    assert seen.code == code and len(got) == 1


def test_a_pbx_that_rings_has_all_the_time(pbxs):
    """The 4 seconds are for the first word alone."""
    seen, got = comes_in(pbxs, do="answer", ring=6)
    assert seen.code == 200 and 6 <= seen.answered_pdd < 8 and len(got) == 1


def test_the_late_answer_of_a_pbx_that_was_given_up_is_released(pbxs):
    """Nobody speaks with it: it hears ACK and BYE."""
    seen, got = comes_in(pbxs, do="late_answer", after=4.6)
    assert seen.code not in (None, 200) and 8 <= seen.pdd < 10
    assert len(got) == 2
    wait_until(lambda: all(call["acked"] and call["bye"] == "rx" for pbx in pbxs.values() for call in pbx.invites(seen.started - 1)), 5, "ACK and BYE")


def test_the_late_answer_to_a_signed_call_is_released_by_its_own_number(pbxs):
    """It is the INVITE's second CSeq that ACK repeats (RFC 3261 section 13.2.2.4), or the carrier sends its 200 for 32 s.

    The next target asks for no password: what it hears counts on from there too, each request by its own INVITE.
    """
    LAB.tell({"acme1": {"invite_auth": True, "invite": {"do": "late_answer", "after": 8}}})
    began = time.time()
    seen = LAB.caller.call(NANP, hold=6)
    assert seen.code == 200 and ENGINE.records()[-1]["target"].startswith(LAB.addresses["acme2"])
    asked: dict[str, list] = {}
    for host, wire in LAB.wires(began).items():
        requests = [line for line in wire if line["dir"] == "rx" and line["method"] in ("INVITE", "ACK", "BYE") and not line["code"]]
        asked[host] = [(line["method"], line["cseq"]) for line in requests if not line["retrans"]]
    assert asked["acme1"] == [("INVITE", 1), ("ACK", 1), ("INVITE", 2), ("ACK", 2), ("BYE", 3)]
    assert asked["acme2"] == [("INVITE", 2), ("ACK", 2), ("BYE", 3)]


def test_a_call_that_is_signed_late_has_no_more_time_than_another(pbxs):
    """All times count from the first INVITE of the attempt: the carrier asks for the password after 6 s of 10, and again says 100 and no more."""
    challenge = {"Proxy-Authenticate": 'Digest realm="acme", nonce="1"'}
    LAB.tell({host: {"invite": {"do": "code", "code": 407, "after": 6, "headers": challenge}} for host in ("acme1", "acme2")})
    seen = LAB.caller.call(NANP)
    assert seen.code == 200
    first, *_more, last = ENGINE.records()[-1]["attempts"]
    assert (first["trunk"], first["code"], first["next"], last["trunk"]) == ("acme", 100, "next_trunk", "beta")
    assert 10_000 <= first["ms"] < 11_000


# A phone by hand: INVITE, CANCEL a second later, and what it hears in 4 seconds, an answer to the INVITE each with its method.
HASTY = """
import json, socket, sys, time
own, to, number = sys.argv[1], sys.argv[2], sys.argv[3]
branch = "z9hG4bKhasty%d" % time.time_ns()
def request(method):
    return "\\r\\n".join([
        "%s sip:%s@%s SIP/2.0" % (method, number, to), "Via: SIP/2.0/UDP %s:5998;branch=%s" % (own, branch), "Max-Forwards: 70",
        "From: <sip:1000@%s>;tag=hasty" % own, "To: <sip:%s@%s>" % (number, to), "Call-ID: %s" % branch, "CSeq: 1 %s" % method,
        "Contact: <sip:1000@%s:5998>" % own, "Content-Length: 0", "", ""]).encode()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.bind((own, 5998))
    link.connect((to, 5060))
    link.settimeout(0.2)
    link.send(request("INVITE"))
    began, heard, hung_up = time.time(), set(), False
    while time.time() < began + 7:
        if not hung_up and time.time() > began + 1:
            hung_up = True
            link.send(request("CANCEL"))
        try:
            text = link.recv(65535).decode()
        except socket.timeout:
            continue
        heard.add(text.split()[1] + " " + text.partition("CSeq: 1 ")[2].split()[0])
        if text.startswith("SIP/2.0 4"):
            link.send(request("ACK"))
print(json.dumps(sorted(heard)))
"""


def test_a_caller_who_hangs_up_before_anybody_was_asked_costs_no_target_its_good_name(pbxs):
    """The hunt stands still meanwhile, as the file that says whether acme is drained is one that keeps its reader waiting."""
    fifo = "/var/lib/siptrunk/drained/acme"
    enter(ENGINE.container, ["mkfifo", "-m", "644", fifo])
    began, known = time.time(), len(ENGINE.records())
    try:
        with ThreadPoolExecutor() as pool:
            phone = pool.submit(enter, LAB.container("caller"), ["python3", "-c", HASTY, LAB.caller.address, LAB.addresses["sbc"], NANP])
            time.sleep(4)
            enter(ENGINE.container, ["timeout", "5", "sh", "-c", f": > {fifo}"])
            heard = json.loads(phone.result())
    finally:
        enter(ENGINE.container, ["rm", fifo])
    assert {"200 CANCEL", "487 INVITE"} <= set(heard) <= {"100 INVITE", "200 CANCEL", "487 INVITE"}
    assert not any(invites(wire) for wire in LAB.wires(began).values()), "nobody was asked"
    (record,) = ENGINE.records()[known:]
    assert (record["result"], record["attempts"]) == ("cancelled", [])
    assert not ENGINE.cooling()


@pytest.mark.parametrize(("asked_for", "seconds"), [("7 (at lunch)", 7), ("86400", 300), ("Sat, 1 Jan 2028 00:00:00 GMT", 0), ("-5", 0)])
def test_a_carrier_that_asks_for_peace_has_it_for_five_minutes_at_most(pbxs, asked_for, seconds):
    """Retry-After (RFC 3261 section 20.33): seconds, perhaps with a comment."""
    LAB.tell({"beta1": {"invite": {"do": "code", "code": 503, "headers": {"Retry-After": asked_for}}}})
    before = int(time.time())
    assert LAB.caller.call(INTL).code == 200
    marks = [entry for bucket in ENGINE.ask("htable.dump", "marks") or [] for entry in bucket["slot"] if entry["name"].startswith("cool:")]
    assert len(marks) == (seconds > 0)
    for mark in marks:
        assert before + seconds <= int(mark["value"]) <= time.time() + seconds


IDENTITIES = ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")


@pytest.mark.parametrize(
    ("number", "host", "shown", "asserted"),
    [(INTL, "beta1", SHOWN, ""), (NANP, "acme1", "1000", ""), (TRUSTED, "beta1", "1000", "<sip:55501000@sbc>")],
)
def test_a_carrier_is_told_who_calls_as_its_trunk_says(pbxs, tmp_path, number, host, shown, asserted):
    """In From, and in the one header that a trunk names for a carrier that is trusted: what a PBX writes there goes no further."""
    more = "".join(f"{name}: <sip:55501000@pbx.example>\n" for name in IDENTITIES)
    scenario, at = tmp_path / "uac.xml", "Content-Type: application/sdp\n"
    scenario.write_text(SCENARIO.read_text(encoding="utf-8").replace(at, more + at, 1), encoding="utf-8")
    began = time.time()
    LAB.caller.sipp(number, 0.5, 20, 30, "1000", scenario=scenario)
    (call,) = LAB.carriers[host].invites(began)
    assert call["from_user"] == shown
    told = [call["headers"][name.lower().replace("-", "_")] for name in IDENTITIES]
    assert told == [asserted.replace("sbc", LAB.addresses["sbc"]), "", ""]


def test_calls_of_two_accounts_at_one_address_are_told_apart(pbxs):
    """By the contact that registered, from the carrier's own address alone."""
    for host, contact, trunk in (("acme1", "acme", "acme"), ("acme1", "second", "second"), ("acme2", "second", "second")):
        began = time.time()
        seen = LAB.caller_at(host).phone(contact, to="<sip:2001@acme.example>")
        assert seen["code"] == 200
        (call,) = [call for pbx in pbxs.values() for call in pbx.invites(began)]
        assert (call["user"], call["headers"]["x_trunk"]) == ("2001", trunk)
    assert LAB.caller_at("beta1").phone("second", to="<sip:2001@acme.example>")["code"] == 403, "beta takes no calls in"


def challenged_call(during, phone=None, **behaviour):
    """A call through acme1, whose BYE is challenged: (what the phone saw, the requests that the carrier saw, all of their text)."""
    LAB.tell({"acme1": {"challenged": ["BYE"], "whole": True, **behaviour}})
    began = time.time()
    over = f"/tmp/over-{began}"
    with ThreadPoolExecutor() as pool:
        ends = pool.submit(LAB.caller.phone, NANP, steps=[["answer"], ["until", over], ["bye"]], **(phone or {}))
        try:
            wait_until(lambda: any(200 in leg["responses"] for leg in LAB.carriers["acme1"].invites(began)), 10, "the call is up")
            time.sleep(1)
            during()
            time.sleep(2)  # Kamailio serves again
        finally:
            enter(LAB.caller.container, ["touch", over])
        seen = ends.result()
    requests = [line for line in LAB.carriers["acme1"].wire(began) if line["dir"] == "rx" and not line["code"]]
    requests = [line for line in requests if line["method"] not in ("OPTIONS", "REGISTER")]
    return seen, [(line["method"], line["cseq"]) for line in requests], "".join(line["text"] for line in requests)


def test_a_bye_is_signed_after_a_restart_too(pbxs):
    """Route says which trunk the call is of, and how many CSeqs were taken before it was answered."""
    withheld = {"from": '"Bob" <sip:55501000@pbx.example>', "headers": [["Privacy", "id"]]}
    seen, asked, text = challenged_call(lambda: enter(ENGINE.container, ["systemctl", "restart", "kamailio"]), invite_auth=True, phone=withheld)
    assert (seen["code"], seen["failed"]) == (200, None)
    assert "55501000" not in text and "Bob" not in text, "who is withheld stays so"
    assert asked == [("INVITE", 1), ("ACK", 1), ("INVITE", 2), ("ACK", 2), ("BYE", 3), ("BYE", 4)]


def test_the_caller_that_a_trunk_shows_is_the_same_after_a_restart(pbxs):
    """In From of the BYE as in From of the INVITE; the phone's own number is in neither."""
    shown = {"from_user": "line-7", "from_domain": "brand.example"}
    try:
        site(siptrunk_trunks=[{**trunk, **shown} if trunk["name"] == "acme" else trunk for trunk in TRUNKS])
        restart = ["systemctl", "restart", "kamailio"]
        seen, _asked, text = challenged_call(lambda: enter(ENGINE.container, restart), phone={"from": '"Bob" <sip:55501000@pbx.example>'})
        assert (seen["code"], seen["failed"]) == (200, None)
        assert set(re.findall(r"(?m)^From: +([^;\r]+)", text)) == {"<sip:line-7@brand.example>"}
        assert not re.search("55501000|Bob", text), text
    finally:
        site()


def test_credentials_are_for_the_carriers_own_addresses(pbxs):
    """What nobody can vouch for after a restart is not signed: the name of the trunk came back through the carrier."""
    model = [{**trunk, "domain": "gw2.acme.example:5060"} if trunk["name"] == "acme" else trunk for trunk in TRUNKS]  # acme1 is none of its own
    try:
        seen, asked, _text = challenged_call(lambda: (site(siptrunk_trunks=model), enter(ENGINE.container, ["systemctl", "restart", "kamailio"])))
        assert asked[-1] == ("BYE", 2) and seen["failed"] == "bye"
    finally:
        site()


def test_who_asks_for_an_extension_is_heard_where_nobody_else_takes_the_call(pbxs):
    """The caller may have it, or not: nobody but it can tell."""
    LAB.tell({host: {"invite": {"do": "code", "code": 421, "headers": {"Require": "100rel"}}} for host in LAB.carriers})
    seen = LAB.caller.phone(NANP)
    assert seen["code"] == 421
    (text,) = {message["text"] for message in seen["messages"] if message["text"].startswith("SIP/2.0 421")}
    assert "\r\nRequire: 100rel\r\n" in text and "siptrunk-lab carrier" not in text
    assert [attempt["next"] for attempt in ENGINE.records()[-1]["attempts"]] == ["next_trunk", "next_trunk"]
    assert not ENGINE.cooling()


def test_a_trunk_may_take_a_wildcard(pbxs):
    """It stands for one label: the domain, and the hosts beside it."""
    site(siptrunk_trunks=[{**trunk, "tls": {"wildcard": True}} if trunk["name"] == "acme-tls" else trunk for trunk in TRUNKS])
    try:
        LAB.tell({host: {"certificate": "wildcard"} for host in ("acme1", "acme2")})
        assert LAB.caller.call(SECURE).code == 200 and ENGINE.records()[-1]["trunk"] == "acme-tls"
        assert LAB.caller.call("98123").code == 200 and ENGINE.records()[-1]["trunk"] == "beta", "the trunk beside it does not"
    finally:
        site()


def many(count):
    """The model with so many targets that are probed."""
    more = count - len(ENGINE.reachable())
    servers = [{"host": LAB.addresses["beta1"], "port": port} for port in range(6000, 6000 + more)]
    return [*TRUNKS, {"name": "a-trunk-with-a-rather-long-name", "servers": servers, "probe": {"interval": 60}}]


def test_its_control_socket_tells_of_200_targets(pbxs):
    """More are refused: no answer would tell whether they are there."""
    assert "The model has 201 targets with a probe; expected 200 at most" in site(True, siptrunk_trunks=many(201))
    before = set(ENGINE.reachable())
    model = many(200)
    try:
        site(siptrunk_trunks=model)
        assert len(ENGINE.reachable()) == 200
    finally:
        site()
    assert set(ENGINE.reachable()) == before


def test_a_certificate_that_is_renewed_under_its_name_is_seen(pbxs):
    """Without the carrier's authority in that file no call goes over TLS, and with it they do; Kamailio runs on."""
    authority = "/etc/ssl/siptrunk-lab-ca.pem"
    own = "/etc/kamailio/siptrunk-own.pem"  # vouches for nobody
    runs = enter(ENGINE.container, ["systemctl", "show", "-P", "MainPID", "kamailio"])
    enter(ENGINE.container, ["sh", "-c", f"cp -p {authority} /tmp/authority.pem && cat {own} > {authority}"])
    try:
        assert "changed=0" not in site()
        seen = LAB.caller.call(SECURE)
        assert (seen.code, ENGINE.records()[-1]["trunk"]) == (200, "beta")
    finally:
        enter(ENGINE.container, ["sh", "-c", f"cat /tmp/authority.pem > {authority}"])
        again = site()
    assert "changed=0" not in again
    ENGINE.forget()
    assert LAB.caller.call(SECURE).code == 200 and ENGINE.records()[-1]["trunk"] == "acme-tls"
    assert enter(ENGINE.container, ["systemctl", "show", "-P", "MainPID", "kamailio"]) == runs


def test_behind_nat_a_pbx_that_is_called_hangs_up_by_the_address_that_it_reaches(pbxs):
    """It sends its BYE where the first Record-Route leads: nobody has the other address here."""
    external, inside = LAB.addresses["sbc"].rsplit(".", 1)[0] + ".213", [LAB.caller.address, LAB.caller_at(PBX_HOST).address]
    settings = {"sbc_allow_restart": True, "sbc_inside": inside, "sbc_pbxs": [f"{inside[1]}:{port}" for port in PBX_PORTS]}
    site(sbc_external_address=external, **settings)
    try:
        for pbx in pbxs.values():
            pbx.tell(invite={"do": "answer", "talk": 1})
        began = time.time()
        seen = LAB.caller_at("acme1").call("2001", callee_hangs_up=True, timeout=20)
        assert (seen.code, seen.ended_by) == (200, "callee")
        (got,) = [call for pbx in pbxs.values() for call in pbx.invites(began)]
        assert got["acked"] and external not in got["headers"]["via"]
    finally:
        site(**settings)
