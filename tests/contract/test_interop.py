# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interop table, case by case, with real calls: what the phone and the carrier saw, and what the call's record says."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from exceptions import INTEROP
from harness import Carrier, Lab, beside, enter, invites, state_folder, wait_until
from interop import CALLER, CASES, FORMS, INTL, NAME, NANP, RENAMED, WITHHELD, Interop, Seen, told_to_carriers


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_interop(case: Interop, healthy, lab: Lab, engine, engine_name: str):
    listed = INTEROP.get((engine_name, case.name))
    case = replace(case, **case.proxied) if engine_name == "sbc" else case
    seen = None
    try:
        seen = receive(case, lab, engine, engine_name) if case.calls_in else place(case, lab, engine)
        check(case, seen)
    except AssertionError:
        if listed:
            if seen and (folder := os.environ.get("SIPTRUNK_WIRE")):  # for docs/interop.md
                Path(folder, f"{engine_name}-{case.name}.txt").write_text("\n".join(excerpt(seen)) + "\n", encoding="utf-8")
            pytest.xfail(listed)
        raise
    assert not listed, f"{case.name} works after all: remove it from the list of exceptions"


@pytest.mark.parametrize("seed", range(8))
def test_a_withheld_caller_is_never_shown(healthy, lab: Lab, engine, engine_name: str, seed: int):
    """Any caller, withheld in any form, through any trunk, over any course of the call: no part of who it is reaches a carrier."""
    draw = random.Random(seed)
    number, name = "".join(draw.choices("23456789", k=draw.randint(4, 9))), f"{draw.choice(['Zoe', 'Ali', 'Jürgen'])} Q{draw.randrange(10**6)}"
    form, told = draw.choice(sorted(FORMS)), draw.choice((INTL, WITHHELD, RENAMED, NANP))
    phone = json.loads(json.dumps(FORMS[form]).replace(CALLER, number).replace(NAME, name))
    course = draw.choice(([], [["hold"], ["resume"]], [["digits", "12"]]))
    media = {"do": "answer", "ring": 0.2, "telephone_event": True}
    steps = [["answer"], ["wait", 0.5], *course, ["bye"]]
    host, phone = "acme1" if told == NANP else "beta1", {**phone, "user": number, "steps": steps}
    case = Interop(f"seed {seed}: {form}, {told}", "RFC 3323", told, host, {"invite": media}, phone)
    seen = place(case, lab, engine)
    check(case, seen)
    shown = [text for text in told_to_carriers(seen) if number in text or name in text]
    assert not shown, f"{case.name}: {number} or {name} in\n{shown[0]}"


def tell(case: Interop, lab: Lab) -> None:
    """Say to each carrier what to do."""
    lab.tell({host: {"whole": True, **(case.carrier if host == case.host else case.elsewhere.get(host, {}))} for host in lab.carriers})


def place(case: Interop, lab: Lab, engine) -> Seen:
    """Place the call, and gather what both sides of the wire saw of it."""
    tell(case, lab)
    if case.before:
        known = len(engine.records())
        lab.caller.call(case.before)
        wait_until(lambda: len(engine.records()) > known, 15, f"{case.name}: the record of the call before")
        engine.forget()
    known, began = len(engine.records()), time.time()
    phone = lab.caller.phone(case.number, **case.phone)
    wait_until(lambda: len(engine.records()) > known, 15, f"{case.name}: the call's record")
    wires: dict[str, list[dict]] = {}

    def is_over() -> bool:
        wires.update(lab.wires(began))
        return all(leg["bye"] for wire in wires.values() for leg in invites(wire) if 200 in leg["responses"])

    with suppress(TimeoutError):  # the checks name what is missing
        wait_until(is_over, 5, "the end of the call at the carrier")
    answered = [(host, leg) for host, wire in wires.items() for leg in invites(wire) if 200 in leg["responses"]]
    sound: dict = {}
    if answered and set(case.carrier.get("invite", {})) & {"rtp", "early_rtp"}:
        host, leg = answered[0]
        wait_until(lambda: sound.update(lab.carriers[host].sound(leg["call_id"])) or sound, 10, "what the carrier heard")
    records = engine.records()[known:]
    assert len(records) == 1, f"{case.name}: one record for the call"
    return Seen(phone, wires, records[0], sound, engine.cooling())


def receive(case: Interop, lab: Lab, engine, engine_name: str) -> Seen:
    """As `place`, of a call that comes in; our side ends it."""
    accounts = json.loads((state_folder(lab.name, case.host) / "usual.json").read_text(encoding="utf-8"))["users"]
    tell(case, lab)
    carrier = lab.caller_at(case.host, engine.trunk_port)
    with a_phone_system_behind(lab) if engine_name == "sbc" else nullcontext(engine.hang_up) as hang_up, ThreadPoolExecutor() as pool:
        phone = pool.submit(carrier.phone, case.number, users=accounts, **case.phone)
        wait_until(engine.active_calls, 10, f"{case.name}: the call")
        time.sleep(1)
        hang_up()
        return Seen(phone.result(), {host: [] for host in lab.carriers}, {"attempts": []}, {}, engine.cooling())


@contextmanager
def a_phone_system_behind(lab: Lab) -> Iterator[Callable[[], None]]:
    """Behind an SBC, in the place of the phone that answers: one that hangs up, by itself."""
    state = state_folder(lab.name, "caller")
    (state / "usual.json").write_text('{"invite": {"do": "answer", "talk": 1}}', encoding="utf-8")
    lab.kill_program("caller")
    program = beside(
        lab.caller.container, ["python3", "/lab/program/carrier.py", "--address", lab.caller.address, "--port", "5080", "--state-dir", "/lab/state"]
    )
    try:
        wait_until(Carrier(state).runs, 10, "the phone system")
        yield lambda: None
    finally:
        program.terminate()
        program.wait()
        enter(lab.caller.container, ["rm", "-f", "/run/stopped"])


def check(case: Interop, seen: Seen) -> None:
    """Hold both sides of the wire and the record against the table."""
    code, failed = seen.phone["code"], seen.phone["failed"]
    assert code == case.code or case.code is None and code >= 400, f"{case.name}: response to the caller: {code}, expected {case.code}"
    assert failed is None or case.code != 200, f"{case.name}: the phone's step {failed!r} did not come to pass\n{messages(seen)}"
    got = tuple((attempt["trunk"], attempt["code"], attempt["next"]) for attempt in seen.record["attempts"])
    if case.attempts is not None:
        assert got == case.attempts, f"{case.name}: attempts of the record"
    else:
        assert [attempt[1:] for attempt in got] == [(200, "final")], f"{case.name}: one attempt, answered: {got}"
    for one in case.checks:
        assert one(seen), f"{case.name}: {one.__name__}\n{messages(seen)}"


def excerpt(seen: Seen) -> Iterator[str]:
    """What passed between us and the carriers: first lines, and what challenges and media say."""
    lines = [(line["t"], host, line) for host, wire in seen.wires.items() for line in wire if not re.match("OPTIONS|REGISTER", line["method"])]
    for moment, host, line in sorted(lines, key=lambda item: item[0]):
        told = re.findall(r"(?im)^((?:proxy|www)-authenticate:|(?:proxy-)?authorization:|m=|a=rtpmap:101)(.*?)\r?$", line.get("text", ""))
        yield f"{moment - seen.phone['messages'][0]['t']:5.2f} s {'to' if line['dir'] == 'rx' else 'from'} {host}: {line['first']}"
        yield from (f"        {name}{value}" for name, value in told)
    yield f"        the caller: {seen.phone['code']}; the record: {json.dumps([[a['trunk'], a['code'], a['reason']] for a in seen.record['attempts']])}"
    if seen.sound:
        yield f"        sound to the carrier, packets by payload type: {seen.sound['types']}"


def messages(seen: Seen) -> str:
    """The wire at the carriers and the record, to be read by whoever looks for the cause."""
    lines = [f"{host} {line['dir']} {line['text']}" for host, wire in seen.wires.items() for line in wire if "OPTIONS" not in line["text"][:200]]
    lines += [f"phone {m['dir']} {m['text']}" for m in seen.phone["messages"]] if not lines else []
    return "\n".join([*lines, json.dumps(seen.record), f"sound: {seen.sound}"])[-12000:]
