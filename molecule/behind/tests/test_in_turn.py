# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SBCs are changed one after the other, out of service, and the calls of their PBXs go on; the records by which PBXs find them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from conftest import OUT_OF_SERVICE
from harness import enter, wait_until

REPO = Path(__file__).resolve().parents[3]
NANP = "12125550100"
SETTINGS = "/etc/kamailio/siptrunk"


@pytest.fixture(scope="module", autouse=True)
def one_is_enough(lab):
    if lab.engine.name != "Asterisk":
        pytest.skip("the PBX's engine makes no difference to this")


@pytest.fixture(scope="module")
def play():
    """play(name, limit, **variables): (exit status, output) of a playbook, of the SBCs alone, or of one of them."""

    def run(name, limit="siptrunk_sbc", **variables):
        inventories = ["-i", "inventories/lab/hosts.yml", "-i", "inventories/lab/asterisk.yml", "-i", "molecule/behind/inventory"]
        argv = ["ansible-playbook", *inventories, "--limit", limit, f"playbooks/{name}.yml", "-e", json.dumps(variables)]
        environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_HOST_PATTERN_MISMATCH": "warning", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def is_out(sbc):
    return enter(sbc.container, ["sh", "-c", f"test -e {OUT_OF_SERVICE} && echo out || true"]).strip() == "out"


def changed(said):
    return dict(re.findall(r"^(sbc\d) +: ok=\d+ +changed=(\d+)", said, re.MULTILINE))


def state(sbc):
    """What is deployed, and since when its Kamailio runs."""
    return enter(sbc.container, ["sh", "-c", f"readlink -f {SETTINGS}; systemctl show -P ExecMainStartTimestampMonotonic kamailio"])


@pytest.fixture
def as_before(play):
    """Run site.yml afterwards: only where the next test would fail without it, because a run takes long."""
    yield
    status, said = play("site", sbc_allow_restart=True)
    assert status == 0, said


def calls_go_on(lab, since):
    """Whether a carrier has answered one since then."""
    return any(leg["acked"] for carrier in lab.carriers.values() for leg in carrier.invites(since))


def records_of(lab, known, calls):
    """Of calls that have ended, the records that came since there were `known`."""
    wait_until(lambda: len(lab.engine.records()) == known + calls, 20, "a record of each call")
    return lab.engine.records()[known:]


def test_calls_go_on_while_one_after_the_other_is_restarted(lab, sbcs, play, as_before):
    """kamailio.cfg takes a restart, before which each has its calls ended; every call from before the first to after the last is answered."""
    known, began = len(lab.engine.records()), time.time()
    with lab.caller.calling(NANP, 3, 2) as load:
        wait_until(lambda: calls_go_on(lab, began), 30, "calls")
        status, said = play("site", sbc_allow_restart=True, sbc_workers=4, sbc_verify_number=NANP)
        done = time.time()
        assert status == 0, said
        assert set(changed(said)) == {"sbc1", "sbc2"}
        wait_until(lambda: calls_go_on(lab, done), 30, "calls after both")
    calls = load.result()
    assert set(calls.codes) == {200}, calls.codes
    assert not any(map(is_out, sbcs.values()))
    out = [record for record in records_of(lab, known, len(calls.results)) if any(attempt["code"] == 503 for attempt in record["attempts"])]
    assert out, "some were told to ask the other one"


@pytest.mark.parametrize(("why", "none_left"), [("stopped", 480), ("out of service", 503), ("not reached", 500)])  # the last one is as before
def test_one_that_serves_alone_stays_in_service(lab, sbcs, play, why, none_left):
    """Its PBXs have nobody else to ask: each call while it is changed is answered, and none is told to ask another one."""
    other = sbcs["sbc2"].container
    if why == "not reached":
        subprocess.run(["podman", "pause", other], check=True, capture_output=True)
    else:
        enter(other, ["sh", "-c", "systemctl stop kamailio" if why == "stopped" else f"touch {OUT_OF_SERVICE}"])
    try:
        known, began = len(lab.engine.records()), time.time()
        with lab.caller.calling(NANP, 2, 1) as load:
            wait_until(lambda: calls_go_on(lab, began), 30, "calls")
            status, said = play("site", "sbc1", sbc_none_left=none_left)
            assert status == 0 and changed(said)["sbc1"] != "0", said
        calls = load.result()
        assert set(calls.codes) == {200}, calls.codes
        mine = f"{lab.addresses['sbc1']}:5060"
        records = records_of(lab, known, len(calls.results))
        asked = [attempt for record in records for attempt in record["attempts"] if attempt["target"] == mine]
        assert asked and {attempt["code"] for attempt in asked} == {200}
        assert not is_out(sbcs["sbc1"])
    finally:
        if why == "not reached":
            subprocess.run(["podman", "unpause", other], check=True, capture_output=True)
        enter(other, ["sh", "-c", f"rm -f {OUT_OF_SERVICE}; systemctl start kamailio"])


def test_nothing_is_taken_out_where_nothing_changes(sbcs, play):
    before = [state(sbc) for sbc in sbcs.values()]
    status, said = play("site")
    assert status == 0 and changed(said) == {"sbc1": "0", "sbc2": "0"}, said
    assert [state(sbc) for sbc in sbcs.values()] == before


def test_where_a_call_does_not_ring_the_next_one_is_left_alone(lab, sbcs, play):
    before = state(sbcs["sbc2"])
    lab.tell(dict.fromkeys(("acme1", "acme2", "beta1"), {"invite": {"do": "code", "code": 503}}))
    status, said = play("site", sbc_none_left=480, sbc_verify_number=NANP)
    assert status != 0
    assert f"A call to {NANP} through {lab.addresses['sbc1']} does not ring: 480 Temporarily Unavailable" in said
    assert is_out(sbcs["sbc1"]) and not is_out(sbcs["sbc2"]) and state(sbcs["sbc2"]) == before
    lab.reset()
    assert lab.caller.load(NANP, 10, rate=10, hold=1).codes == {200: 10}, "the other one carries them"
    status, said = play("site", sbc_none_left=480, sbc_verify_number=NANP)
    assert status == 0, said
    assert not is_out(sbcs["sbc1"]), "verified by the next run"


def each_side_hangs_up(lab):
    """Two calls, the first one ended by the callee, the second one by the caller: their first INVITEs, as the carrier saw them."""
    began = time.time()
    lab.tell({"acme1": {"invite": {"do": "answer", "talk": 2}}})
    seen = lab.caller.call(NANP, callee_hangs_up=True)
    assert (seen.code, seen.ended_by) == (200, "callee") and 1 < seen.talk < 4
    lab.reset()
    assert lab.caller.call(NANP, hold=1).code == 200
    wait_until(lambda: all(call["bye"] for call in lab.carriers["acme1"].invites(began)), 10, "both BYEs")
    first, second = lab.carriers["acme1"].invites(began)
    assert first["acked"] and second["acked"] and (first["bye"], second["bye"]) == ("tx", "rx")
    return first, second


def test_carriers_see_no_address_of_the_pbx_where_that_is_asked_for(lab, sbcs, play):
    """Not in headers; and each side still ends its calls."""
    key = "only-for-the-lab"
    status, said = play("site", sbc_allow_restart=True, sbc_topology_key=key)
    assert status == 0 and key not in said, said
    began = time.time()
    each_side_hangs_up(lab)
    heard = [line for line in lab.carriers["acme1"].wire(began) if line["dir"] == "rx" and line["method"] != "OPTIONS"]
    assert [line["method"] for line in heard if line["first"].startswith("INVITE")] == ["INVITE", "INVITE"]
    assert any(line["first"].startswith("BYE") for line in heard)
    assert lab.addresses[lab.pbx] not in str([(line["first"], line["headers"]) for line in heard])


EXTERNAL = "198.18.28.213"  # nobody's: what carriers send there, NAT brings to the SBC


@pytest.fixture
def behind_nat(lab, sbcs):
    """sbc1 is what carriers see as EXTERNAL, which the PBX cannot reach."""
    internal, carriers = lab.addresses["sbc1"], ("acme1", "acme2", "beta1")
    process = subprocess.run(["podman", "inspect", "-f", "{{.State.Pid}}", sbcs["sbc1"].container], check=True, capture_output=True, text=True).stdout.strip()

    def table(*rule):
        subprocess.run(["nsenter", "--net", "--target", process, "iptables", "-w", "-t", "nat", *rule], check=True, capture_output=True)

    table("-A", "PREROUTING", "-d", EXTERNAL, "-j", "DNAT", "--to-destination", internal)
    for carrier in carriers:
        table("-A", "POSTROUTING", "-s", internal, "-d", lab.addresses[carrier], "-j", "SNAT", "--to-source", EXTERNAL)
        enter(lab.container(carrier), ["ip", "route", "replace", EXTERNAL, "via", internal])
    enter(sbcs["sbc2"].container, ["touch", OUT_OF_SERVICE])
    yield EXTERNAL
    table("-F")
    # what carriers have heard from there goes on for a while: NAT remembers it, and so do their routes


def test_behind_nat_each_side_speaks_to_the_address_that_it_reaches(lab, sbcs, play, behind_nat, as_before):
    """Whoever hangs up is heard by the other side, and the ACK arrives; carriers name one address, the PBX the other."""
    status, said = play("site", "sbc1", sbc_allow_restart=True, sbc_external_address=behind_nat)
    assert status == 0, said
    seen = each_side_hangs_up(lab)
    assert {call["headers"]["via"].split(";")[0].split()[1] for call in seen} == {behind_nat}


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        pytest.param({"sbc_sip_port": 99999}, "sbc_sip_port 99999: expected a port, 1 to 65535", id="by the role"),
        pytest.param({"sbc_memory": 1}, "could not allocate shared memory", id="by Kamailio"),
        pytest.param({"sbc_memory": 1, "sbc_media": "rtpengine"}, "could not allocate shared memory", id="by Kamailio, with a media relay"),
    ],
)
def test_what_is_refused_leaves_it_in_service(lab, sbcs, play, variables, why):
    before = [state(sbc) for sbc in sbcs.values()]
    if "sbc_media" in variables:  # it is here already, for something else
        enter(sbcs["sbc1"].container, ["apt-get", "install", "-qy", "--no-install-recommends", "rtpengine-daemon"])
    status, said = play("site", **variables)
    assert status != 0 and why in said, said
    assert [state(sbc) for sbc in sbcs.values()] == before and not any(map(is_out, sbcs.values()))
    assert enter(sbcs["sbc1"].container, ["sh", "-c", "cat /etc/systemd/system/rtpengine-daemon.service.d/siptrunk.conf || true"]) == ""
    assert lab.caller.call(NANP).code == 200


def test_their_records_lead_to_both(lab, play, tmp_path):
    """As a name server takes them, and a resolver that follows RFC 3263."""
    status, said = play("sbc_records", sbc_domain="sbc.acme.example", sbc_records_file=str(tmp_path / "records"))
    assert status == 0, said
    zone = "acme.example.zone"
    lab.serve_zones(f"cp {zone} {zone}.kept; cat {tmp_path}/records >> {zone}")
    try:
        enter(lab.container("ns"), ["nsd-checkzone", "acme.example", f"/lab/state/{zone}"])
        ask = ["python3", "-c", "import dns.resolver, sys; print(*sorted(str(r) for r in dns.resolver.resolve(sys.argv[1], 'SRV')), sep='\\n')"]
        assert enter(lab.engine.container, [*ask, "_sip._udp.sbc.acme.example"]).split("\n")[:2] == [
            "10 50 5060 sbc1.sbc.acme.example.", "10 50 5060 sbc2.sbc.acme.example.",
        ]  # fmt: skip
        assert enter(lab.engine.container, ["getent", "ahostsv4", "sbc2.sbc.acme.example"]).startswith(lab.addresses["sbc2"])
    finally:
        lab.serve_zones(f"mv {zone}.kept {zone}")
