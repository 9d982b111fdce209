# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on the health of hosts, and its table."""

from __future__ import annotations

import base64
import json
import time

import pytest

from ansible_collections.siptrunk.failover.plugins.plugin_utils import health

AT = "2026-11-25T06:14:06Z"
REFUSED = {"msg": "cannot connect to the manager interface\nat 127.0.0.1", "failed": False}
UNREACHABLE = {"unreachable": True, "msg": "ssh: no route"}


def target(trunk, number, **differs):
    return {"id": f"{trunk}.{number}", "host": f"gw{number}.{trunk}.example", "address": f"198.18.1.{number}", "port": 5060, "probe": "alive", "rtt_ms": 1.25,
            "cooling_until": None, **differs}  # fmt: skip


def trunk(name="acme", targets=1, **differs):
    """As trunk_info tells it."""
    return {"name": name, "up": True, "drained": None, "channels": 3, "channels_limit": 0, "full": False, "registered": None, "registrations": [],
            "targets": [target(name, number) for number in range(1, targets + 1)], **differs}  # fmt: skip


def plan_of(trunks, routes=None, **differs):
    """The plan from which those trunks came."""
    keys = ("id", "host", "address", "port")
    return {
        "trunks": [
            {"name": item["name"], "transport": "udp", "domain": f"sip.{item['name']}.example", **differs,
             "targets": [{**{key: one[key] for key in keys}, "family": "ipv4", "priority": 10 * number, "weight": 50}
                         for number, one in enumerate(item["targets"], start=1)]}
            for item in trunks
        ],
        "routes": routes if routes is not None else [route("all", *(item["name"] for item in trunks))],
    }  # fmt: skip


def route(name, *trunks, emergency=False):
    return {"name": name, "emergency": emergency, "trunks": [[{"name": member}] for member in trunks]}


def answers_of(plan, change=lambda targets: targets, errors=()):
    """What srv_info says of a plan, changed."""
    results = [
        {"domain": name, "transport": "udp", "targets": change([dict(one) for one in item["targets"]]),
         "errors": [{"kind": kind, "message": f"{kind}!"} for kind in errors]}
        for item in plan["trunks"] for name in health._names(item)
    ]  # fmt: skip
    return {"results": [{"results": results}]}


def seen(*trunks, missing=(), plan=None, answers=None, metrics=None, pending=None):
    """A host on which all is well, or not."""
    plan = plan or plan_of(trunks)
    return {
        "reached": {"ping": "pong"},
        "trunks": {"trunks": list(trunks), "missing": list(missing)},
        "plan": {"content": base64.b64encode(json.dumps(plan).encode()).decode()},
        "answers": answers or answers_of(plan),
        "metrics": metrics or {"skipped": True},
        "pending": pending or {"restart_needed": [], "advice": ""},
    }


def judge(**hosts):
    """The report on hosts, {name: what `seen` returns}."""
    keys = ("reached", "trunks", "plan", "answers", "metrics", "pending")
    return health.judge({"hosts": list(hosts), **{key: [host.get(key, {}) for host in hosts.values()] for key in keys}}, AT)


lines = health.listed


def test_all_is_well():
    report = judge(pbx1=seen(trunk(targets=2), trunk("beta", registered=True)), pbx2=seen(trunk()))
    assert (report["healthy"], report["problems"], report["warnings"], report["at"]) == (True, [], [], AT)
    assert report["summary"] == {"hosts": 2, "hosts_without_answer": 0, "trunks": 3, "targets": 4, "bad_targets": 0, "problems": 0, "warnings": 0}
    assert [(row["host"], row["id"], row["state"], row["drift"], row["registration"]) for row in report["rows"]] == [
        ("pbx1", "acme.1", "ok", False, None), ("pbx1", "acme.2", "ok", False, None), ("pbx1", "beta.1", "ok", False, "registered"),
        ("pbx2", "acme.1", "ok", False, None)]  # fmt: skip
    json.dumps(report)


def test_nobody_is_not_healthy():
    assert judge()["healthy"] is False


# What is wrong

DEAD = trunk(up=False, targets=0) | {"targets": [target("acme", 1, probe="dead", rtt_ms=None)]}
COOLING = trunk() | {"targets": [target("acme", 1, cooling_until="2026-11-25T06:15:00Z")]}
HELD = trunk() | {"targets": [target("acme", 1, held_until="2026-11-25T06:15:00Z")]}
LOST = trunk(registered=False, registrations=[{"name": "acme", "state": "rejected"}])
CLOSED = trunk(closed_until="2026-11-25T06:15:00Z")
TRIAL = trunk(trial_until="2026-11-25T06:15:00Z")
WRONG = [
    (DEAD, "pbx acme 198.18.1.1:5060: no answer to its probes"),
    (COOLING, "pbx acme 198.18.1.1:5060: passed over until 2026-11-25T06:15:00Z: a call got no answer"),
    (HELD, "pbx acme 198.18.1.1:5060: held back until 2026-11-25T06:15:00Z at least: it was down a moment ago"),
    (LOST, "pbx acme: not registered: acme is rejected"),
    (trunk(registered=False), "pbx acme: not registered: the phone system does not have its registration"),
    (CLOSED, "pbx acme: closed after failed calls (until 2026-11-25T06:15:00Z)"),
    (TRIAL, "pbx acme: on trial, one call at a time (until 2026-11-25T06:15:00Z)"),
]


def test_a_dead_target_is_not_called_held_besides():
    held = {"targets": [{**DEAD["targets"][0], "held_until": "2026-11-25T06:15:00Z"}]}
    report = judge(pbx=seen(DEAD | held, trunk("beta")))
    assert lines(report["problems"]) == [WRONG[0][1]] and report["rows"][0]["marks"] == ["held"]


@pytest.mark.parametrize(("wrong", "line"), WRONG)
def test_a_problem(wrong, line):
    report = judge(pbx=seen(wrong, trunk("beta")))
    assert (report["healthy"], lines(report["problems"]), report["wrong"], report["warnings"]) == (False, [line], [line], [])
    assert [row["state"] for row in report["rows"]] == ["BAD", "ok"]


@pytest.mark.parametrize(("wrong", "line"), WRONG)
def test_what_is_wrong_with_a_drained_trunk_is_a_warning(wrong, line):
    mark = {"by": "alice", "at": AT, "why": "maintenance\x1b[2J\n" + "x" * 400}
    report = judge(pbx=seen({**wrong, "drained": mark}, trunk("beta")))
    assert (report["healthy"], report["problems"]) == (True, [])
    assert line in lines(report["warnings"]) and len(report["warnings"]) == 2
    drained = report["warnings"][0]["what"]
    assert drained.startswith(f"drained since {AT} by alice: maintenance?[2J xxx") and len(drained) == 300
    assert [row["state"] for row in report["rows"]] == ["warning", "ok"]


def test_a_target_that_the_phone_system_lacks():
    report = judge(pbx=seen(trunk() | {"targets": [target("acme", 1, probe="unknown")]}, trunk("beta"), missing=["acme.1"]))
    assert lines(report["problems"]) == ["pbx acme 198.18.1.1:5060: the phone system does not have it; see its log, or deploy again"]
    assert report["rows"][0]["probe"] == "missing" and report["warnings"] == []


def test_a_pending_restart():
    waits = {"restart_needed": ["timer_b=6400 (now 32000)", "siptrunk-tls on 0.0.0.0:5061 (now 0.0.0.0:5062)"], "advice": "It ends all calls."}
    report = judge(pbx=seen(trunk(), pending=waits))
    assert (report["healthy"], lines(report["problems"])) == (
        False, ["pbx: RESTART NEEDED, and until then not in force: timer_b=6400 (now 32000); siptrunk-tls on 0.0.0.0:5061 (now 0.0.0.0:5062). "
                "It ends all calls."]
    )  # fmt: skip


def test_a_restart_that_nobody_knows_of_is_a_warning():
    report = judge(pbx=seen(trunk(), pending={"msg": "no event socket", "failed": False}))
    assert (report["healthy"], lines(report["warnings"])) == (True, ["pbx: whether a restart is pending is not known: no event socket"])


@pytest.mark.parametrize(("odd", "line"), [
    (trunk() | {"targets": [target("acme", 1, probe="unknown")]}, "pbx acme 198.18.1.1:5060: not probed yet"),
    (trunk(full=True, channels=30, channels_limit=30), "pbx acme: full: 30 of 30 channels"),
    (trunk(drained={"by": None, "at": None, "why": None}), "pbx acme: drained since ? by ?: no reason given"),
])  # fmt: skip
def test_a_warning(odd, line):
    report = judge(pbx=seen(odd, trunk("beta")))
    assert (report["healthy"], lines(report["warnings"])) == (True, [line])


@pytest.mark.parametrize("out", [{"up": False}, {"drained": {"by": "alice", "at": AT, "why": "x"}}, {"closed_until": AT}])
def test_a_route_that_no_call_gets_through(out):
    trunks = [trunk(**out), trunk("beta", **out), trunk("gamma")]
    routes = [route("national", "acme", "beta"), route("sos", "acme", emergency=True), route("far", "acme", "gamma")]
    report = judge(pbx=seen(*trunks, plan=plan_of(trunks, routes)))
    assert [line for line in lines(report["problems"]) if "route" in line] == ["pbx: route national has no trunk that is up and in service"]


# Hosts that say nothing

@pytest.mark.parametrize(("host", "kind", "line"), [
    ({"reached": UNREACHABLE}, "unreachable", "pbx: unreachable: ssh: no route"),
    ({}, "unreachable", "pbx: unreachable: no answer"),
    ({**seen(trunk()), "trunks": REFUSED}, "no answer", "pbx: its phone system does not answer: cannot connect to the manager interface at 127.0.0.1"),
    ({**seen(trunk()), "plan": {"msg": "file not found"}}, "no plan", "pbx: its plan cannot be read: file not found"),
    ({**seen(trunk()), "trunks": None}, "no answer", "pbx: its phone system does not answer: no answer"),
])  # fmt: skip
def test_a_host_that_says_nothing(host, kind, line):
    report = judge(pbx=host, other=seen(trunk()))
    assert (report["healthy"], lines(report["problems"]), report["hosts"][0]["kind"]) == (False, [line], kind)
    assert report["summary"]["hosts_without_answer"] == 1 and len(report["rows"]) == 1
    assert f"BAD  pbx    ({kind})" in health.table(report)


# The DNS

def drifted(plan, answers):
    (item,) = plan["trunks"]
    found = {(answer["domain"], answer["transport"]): answer for answer in answers["results"][0]["results"]}
    return health.drift(item, found)


DOMAIN = plan_of([trunk(targets=2)])
SERVERS = plan_of([trunk(targets=2)], domain=None)
LITERAL = plan_of([trunk() | {"targets": [target("acme", 1, host="198.18.1.1")]}], domain=None)


def moved(targets):
    targets[0]["address"] = "198.18.1.9"
    return targets


def reweighed(targets):
    targets[0]["weight"] = 1
    return targets


def doubled(targets):
    return [*targets, {**targets[0], "priority": 99}]


def with_ipv6(targets):
    return [*targets, {**targets[0], "address": "2001:db8::1", "family": "ipv6"}]


@pytest.mark.parametrize(("change", "expected"), [
    (lambda targets: targets, (False, "")),
    (lambda targets: targets[::-1], (False, "")),
    (doubled, (False, "")),
    (with_ipv6, (False, "")),
    (moved, (True, "sip.acme.example lost 198.18.1.1:5060, has 198.18.1.9:5060")),
    (lambda targets: targets[:1], (True, "sip.acme.example lost 198.18.1.2:5060")),
    (lambda targets: [], (True, "sip.acme.example lost 198.18.1.1:5060, lost 198.18.1.2:5060")),
    (reweighed, (True, "sip.acme.example: other priorities or weights")),
])  # fmt: skip
def test_drift_of_a_domain(change, expected):
    assert drifted(DOMAIN, answers_of(DOMAIN, change)) == expected


def test_drift_of_servers_by_name():
    assert health.questions(SERVERS) == [{"transport": "udp", "domains": ["gw1.acme.example:5060", "gw2.acme.example:5060"]}]

    def own(change=lambda one: one):
        return {"results": [{"results": [
            {"domain": f"gw{number}.acme.example:5060", "transport": "udp", "errors": [],
             "targets": [change({"address": f"198.18.1.{number}", "port": 5060, "priority": 0, "weight": 0, "family": "ipv4"})]}
            for number in (1, 2)]}]}  # fmt: skip

    assert drifted(SERVERS, own()) == (False, "")
    assert drifted(SERVERS, own(lambda one: {**one, "address": one["address"].replace(".2", ".9")})) == (
        True, "gw2.acme.example:5060 lost 198.18.1.2:5060, has 198.18.1.9:5060")  # fmt: skip


def test_addresses_do_not_drift():
    assert health.questions(LITERAL) == [] and drifted(LITERAL, {"results": [{"results": []}]}) == (None, "")
    literal = plan_of([trunk()], domain="198.18.1.1:5070")
    assert health.questions(literal) == []
    report = judge(pbx=seen(trunk(), plan=literal, answers={"results": []}))
    assert (report["healthy"], report["rows"][0]["drift"], report["warnings"]) == (True, None, [])


@pytest.mark.parametrize("kind", ["nxdomain", "no_answer", "service_unavailable", "target_unresolvable"])
def test_a_name_that_is_gone_has_drifted(kind):
    assert drifted(DOMAIN, answers_of(DOMAIN, lambda targets: targets[:1], errors=[kind]))[0] is True


@pytest.mark.parametrize("kind", ["timeout", "refused", "servfail"])
def test_a_name_server_that_says_nothing_is_a_warning(kind):
    report = judge(pbx=seen(trunk(), answers=answers_of(DOMAIN, lambda targets: [], errors=[kind])))
    assert (report["healthy"], lines(report["warnings"]), report["rows"][0]["drift"]) == (True, [f"pbx acme: drift is not known: {kind}!"], None)


def test_a_host_without_dnspython_is_a_warning_once():
    answers = {"results": [{"msg": "Failed to import dnspython"}]}
    report = judge(pbx=seen(trunk(), trunk("beta"), answers=answers))
    assert (report["healthy"], lines(report["warnings"])) == (True, ["pbx: drift is not known: Failed to import dnspython"])


def test_drift_is_a_problem():
    report = judge(pbx=seen(trunk(targets=2), answers=answers_of(DOMAIN, moved)))
    assert lines(report["problems"]) == [
        "pbx acme: the DNS says otherwise than what is deployed: sip.acme.example lost 198.18.1.1:5060, has 198.18.1.9:5060; deploy again"]
    assert [row["drift"] for row in report["rows"]] == [True, True]


# The monitor

METRICS = """# HELP siptrunk_active The trunk that carried the last call
# TYPE siptrunk_active gauge
siptrunk_active{role="primary",route="all",trunk="acme"} 0.0
siptrunk_active{role="backup",route="all",trunk="beta"} 1.0
siptrunk_active{role="primary",route="far",trunk="beta"} 1
siptrunk_active{broken} 1.0
siptrunk_up{trunk="acme"} 1.0
"""


def test_the_monitor_tells_the_active_trunk():
    report = judge(pbx=seen(trunk(), trunk("beta"), metrics={"status": 200, "content": METRICS}))
    assert [row["active"] for row in report["rows"]] == [[], [{"route": "all", "role": "backup"}, {"route": "far", "role": "primary"}]]
    assert (report["healthy"], report["hosts"][0]["monitor"]) == (True, True)
    assert "primary+backup (2 routes)" in "\n".join(health.table(report))


@pytest.mark.parametrize(("primary", "next_call", "warnings"), [
    (trunk(), "pbx: the next call of all goes to acme (the last one went to beta)", []),
    (DEAD, "pbx: the next call of all goes to beta, a backup", ["pbx beta: a backup in use: carries all"]),
    (trunk(full=True, channels_limit=3), "pbx: the next call of all goes to beta, a backup",
     ["pbx acme: full: 3 of 3 channels", "pbx beta: a backup in use: carries all"]),
])  # fmt: skip
def test_a_backup_is_in_use_until_the_next_call_would_go_to_the_primary(primary, next_call, warnings):
    report = judge(pbx=seen(primary, trunk("beta"), metrics={"status": 200, "content": METRICS}))
    assert (next_call in health.table(report), lines(report["warnings"])) == (True, warnings), health.table(report)


def test_where_the_next_calls_go():
    mark = {"by": "alice", "at": AT, "why": "maintenance"}
    trunks = [trunk(drained=mark), trunk("beta"), trunk("gamma")]
    both = {"name": "both", "emergency": False, "trunks": [[{"name": "beta"}, {"name": "gamma"}]]}
    many = [route(f"r{number}", "gamma") for number in range(8)]
    report = judge(pbx=seen(*trunks, plan=plan_of(trunks, [route("all", "acme", "beta"), route("112", "acme", emergency=True), both, *many])))
    assert health._next_calls(report["routes"]) == [
        "pbx: the next call of all goes to beta, a backup",
        "pbx: the next call of 112 goes to acme",
        "pbx: the next call of both goes to beta or gamma",
        "pbx: the next call of r0, r1, r2, r3, r4, 3 others goes to gamma",
    ]


def test_no_monitor_is_no_fault():
    report = judge(pbx=seen(trunk(), metrics={"skipped": True}))
    assert (report["healthy"], report["rows"][0]["active"], report["hosts"][0]["monitor"], report["warnings"]) == (True, None, False, [])


@pytest.mark.parametrize("metrics", [{"status": -1, "msg": "no answer"}, {"status": 404, "content": METRICS}, {}, None])
def test_a_monitor_that_does_not_answer_is_a_warning_of_its_host(metrics):
    report = judge(pbx={**seen(trunk()), "metrics": metrics})
    assert (report["healthy"], report["rows"][0]["active"], report["hosts"][0]["monitor"]) == (True, None, False)
    assert "warning: pbx: its monitor does not answer: no answer" in health.table(report)
    assert health.table(report)[-1] == "1 host, 1 trunk, 1 target: healthy, 1 warning"


# The table

def test_the_table():
    drained = {"by": "alice", "at": AT, "why": "maintenance"}
    metrics = {"status": 200, "content": 'siptrunk_active{route="all",trunk="acme",role="primary"} 1.0\n'}
    dead = trunk("beta", up=False, channels=0, channels_limit=30, registered=True) | {"targets": [
        target("beta", 1, probe="dead", rtt_ms=None, address="198.18.100.200", held_until="x")]}  # fmt: skip
    report = judge(pbx1=seen(trunk(targets=2), dead, trunk("gamma", drained=drained), metrics=metrics), pbx2={"reached": UNREACHABLE})
    assert health.table(report) == [
        "         host  trunk          target               registration  probe     rtt  active         calls  drained  marks  drift",
        "-------  ----  -------------  -------------------  ------------  -----  ------  -------------  -----  -------  -----  -----",
        "         pbx1  acme           198.18.1.1:5060      -             alive  1.2 ms  primary (all)      3  -        -      no",
        "         pbx1  acme           198.18.1.2:5060      -             alive  1.2 ms  primary (all)      3  -        -      no",
        "BAD      pbx1  beta           198.18.100.200:5060  registered    dead        -  -               0/30  -        held   no",
        "warning  pbx1  gamma          198.18.1.1:5060      -             alive  1.2 ms  -                  3  yes      -      no",
        "BAD      pbx2  (unreachable)",
        "",
        "pbx1: the next call of all goes to acme",
        f"warning: pbx1 gamma: drained since {AT} by alice: maintenance",
        "2 hosts, 3 trunks, 4 targets: 2 problems, 1 warning",
    ]


def test_a_thousand_trunks():
    began = time.monotonic()
    trunks = [trunk(f"t{number}") for number in range(1000)]
    trunks[500]["targets"][0]["probe"] = "dead"
    report = judge(pbx1=seen(*trunks), pbx2=seen(*trunks))
    shown = health.table(report)
    assert len(shown) < 12 and sum("BAD" in line for line in shown) == 2
    assert "... and 1998 healthy targets; -e verify_rows=all shows all" in shown
    assert shown[-1] == "2 hosts, 2000 trunks, 2000 targets: 2 problems"
    assert len(health.table(report, "all")) == 2006
    assert time.monotonic() - began < 5


def test_what_is_said_many_times_is_told_once():
    trunks = [trunk(f"t{number}", up=number == 7) | {"targets": [target("x", 1, probe="dead")]} for number in range(1000)]
    report = judge(pbx=seen(*trunks))
    assert report["wrong"] == ["pbx: no answer to its probes: 1000 times, t0 198.18.1.1:5060, t1 198.18.1.1:5060, t2 198.18.1.1:5060, "
                               "t3 198.18.1.1:5060, t4 198.18.1.1:5060 and others"]  # fmt: skip
    assert len(report["problems"]) == 1000
    shown = health.table(report)
    assert len(shown) == 66 and "... and 940 targets more that are not well; -e verify_rows=unhealthy shows them" in shown
    assert len(health.table(report, "unhealthy")) == 1005


def test_of_very_many_the_worst_are_shown():
    trunks = [trunk(f"t{number}") | {"targets": [target("x", 1, probe="dead" if number == 99 else "unknown")]} for number in range(100)]
    shown = health.table(judge(pbx=seen(*trunks)))
    assert sum(line.startswith("BAD") for line in shown) == 1 and sum(line.startswith("warning  pbx") for line in shown) == 59


def test_very_many_lines_are_cut():
    entries = [{"host": "pbx", "trunk": "acme", "target": None, "what": f"fault {number}"} for number in range(60)]
    assert len(health.listed(entries)) == 51 and health.listed(entries)[-1] == "... and 10 more"


def test_the_rows_that_are_asked_for():
    report = judge(pbx=seen(trunk(), DEAD | {"name": "beta"}), other={})
    assert [len(health.table(report, rows)) for rows in ("auto", "all", "unhealthy")] == [8, 8, 8]
    assert "... and 1 healthy target;" in "\n".join(health.table(report, "unhealthy"))
    with pytest.raises(ValueError, match="rows: 'some' is not auto, all or unhealthy"):
        health.table(report, "some")
