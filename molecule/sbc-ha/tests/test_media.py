# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound through the relay. The carrier sends it, the phone sends it back: what the carrier hears has passed both ways."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from cases import NANP
from harness import Caller, by_call, call_result, wait_until
from pair import LOAD

REINVITE = Path(__file__).parent / "reinvite.xml"
# What rtpengine knows of, asked by its control protocol (bencode over UDP).
LIST = """
import re, socket, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.settimeout(3)
    link.connect(("127.0.0.1", 2223))
    link.send(b"%d d7:command4:liste" % time.time_ns())
    print(len(re.findall(r"\\d+:[0-9a-f]{12}-\\d+@", link.recv(1 << 18).decode())))
"""
SOUND = {"do": "answer", "ring": 0.2, "rtp": 0}


@pytest.fixture
def pair(pair):
    """No relay knows of calls that went on elsewhere."""
    left = [host for host, count in pair.each(lambda host: sessions(pair, host)).items() if count]
    for host in left:
        pair.shell(host, "systemctl restart rtpengine-daemon")
    if left:
        time.sleep(4)  # the address may move for that
        wait_until(pair.well, 60, "both SBCs")
    return pair


def sessions(pair, host):
    """How many calls the relay has."""
    return int(pair.engines[host].script(LIST))


def none_left(pair):
    wait_until(lambda: not any(pair.each(lambda host: sessions(pair, host)).values()), 5, "no session left")


def addresses(messages):
    """Those in SDP that came in."""
    return {found for message in messages if message.dir == "rx" for found in re.findall(r"(?m)^[co]=.*IP4 (\S+)", message.text)}


def place(pair, **options):
    """A call that talks for two seconds: (what the phone saw, its record)."""
    messages = pair.lab.caller.sipp(NANP, 2, 20, 40, "1000", echo=True, **options)
    seen = call_result(messages)
    assert seen.code == 200
    assert addresses(messages) == {pair.floating}, "the carrier's does not show"
    wait_until(lambda: seen.call_id in pair.records(), 5, "the record")
    return seen, pair.records()[seen.call_id][0][1]


@pytest.mark.parametrize("controls", [{"acme1": {"invite": SOUND}}, {"acme1": {"invite": {"do": "code", "code": 503}}, "acme2": {"invite": SOUND}}])
def test_sound_passes_both_ways(pair, controls):
    """Through the first that is asked, and through the second."""
    pair.lab.tell(controls)
    seen, record = place(pair)
    assert [attempt["code"] for attempt in record["attempts"]] == [503, 200][-len(controls) :]
    heard = pair.lab.carriers[list(controls)[-1]].heard(seen.call_id)
    assert abs(len(heard) - seen.talk * 50) <= 25, (len(heard), seen.talk)
    # what passes between the count and the end of the session is not in it
    assert all(abs(record["quality"][way] - len(heard)) <= 15 for way in ("rx_packets", "tx_packets")), (len(heard), record["quality"])
    none_left(pair)


def test_nothing_is_left_of_calls_that_failed_or_were_given_up(pair):
    active, _standby = pair.roles()
    for what, number, gives_up, calls in (({"do": "answer"}, NANP, 20, 20), ({"do": "code", "code": 503}, NANP, 20, 15), ({"do": "ring"}, NANP, 1, 15)):
        pair.lab.tell(dict.fromkeys(("acme1", "acme2", "beta1"), {"invite": what}))
        pair.engines[active].forget()
        assert len(pair.load(number, calls, 30, 0.5, gives_up)) == calls
    none_left(pair)
    assert pair.engines[active].records()[-1]["result"] == "cancelled"


def test_a_call_from_a_carrier_leaves_nothing(pair):
    """The lab's phone system answers it, mute (lab/provision.yml)."""
    carrier = pair.lab.caller_at("acme1")
    messages = carrier.sipp("7", 1, 10, 30, "1000")
    assert call_result(messages).code == 200
    assert addresses(messages) == {pair.floating}
    none_left(pair)


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_where_the_relay_fails_the_other_takes_over(pair, signal):
    """And whoever asks the one without is told 503, not given a call in which nobody hears anything."""
    active, standby = pair.roles()
    began = time.monotonic()
    pair.shell(active, f"systemctl kill --signal {signal} rtpengine-daemon; [ {signal} = STOP ] || systemctl stop rtpengine-daemon")
    own = Caller(pair.lab.caller.container, pair.lab.caller.address, pair.lab.addresses[active])
    assert (answer := own.call(NANP, timeout=10)).code == 503, answer
    wait_until(lambda: pair.holders() == [standby], 10, "the takeover", 0.1)
    print(f"takeover after {signal} of the relay: the address moved within {time.monotonic() - began:.1f} s")
    pair.lab.tell({"acme1": {"invite": SOUND}})
    assert len(pair.lab.carriers["acme1"].heard(place(pair)[0].call_id)) >= 80


def places(pair, host):
    """What the calls of an SBC hold: dialogs, and channel slots of the trunk."""
    engine = pair.engines[host]
    return engine.active_calls(), engine.ask("dlg.profile_get_size", "trunk", "acme")


def test_calls_across_the_failure_of_the_relay_have_one_record(pair):
    """Calls that wait for the relay as the address leaves get 503 there, which nobody hears any more: they are calls of the other SBC."""
    active, standby = pair.roles()
    calls, rate = round(240 * LOAD), 30 * LOAD
    processes = pair.each(lambda host: pair.shell(host, "cat /run/kamailio/kamailio.pid"))
    with ThreadPoolExecutor() as pool:
        load = pool.submit(pair.load, NANP, calls, rate, 1)
        watching = pool.submit(pair.watch, calls / rate + 5)
        time.sleep(3)
        failed = pair.do(active, "systemctl kill --signal STOP rtpengine-daemon")
        seen, watched = load.result(), watching.result()
    assert pair.holders() == [standby]
    left = next(moment for moment, here, *_more in watched[active] if moment > failed and not here)
    assert min(call.call.started for call in seen) < failed < left < max(call.call.started for call in seen), "calls came all the time"
    assert pair.each(lambda host: pair.shell(host, "cat /run/kamailio/kamailio.pid")) == processes, "it has much to do, and is not dead for that"

    others = [call.call.messages for call in seen if call.call.code not in (200, 503)]
    assert len(seen) == calls and not others, others
    records = pair.records()
    kept = {call.call.call_id: records.get(call.call.call_id, []) for call in seen}
    wrong = [(kept[call.call.call_id], call.call.messages) for call in seen if call.call.code == 200 and len(kept[call.call.call_id]) != 1]
    assert not wrong, wrong
    # a call that was refused in the very moment that the address left may have none
    refused = [call.call for call in seen if call.call.code == 503]
    late = [abs(call.started + call.pdd - left) for call in refused if not kept[call.call_id]]
    assert all(len(kept[call.call_id]) <= 1 for call in refused) and all(seconds < 1 for seconds in late), (late, refused)
    print(f"takeover after STOP of the relay: {calls} calls at {rate:g} per second, {len(refused)} refused, {len(late)} of them without a record")
    wait_until(lambda: all(pair.each(lambda host: places(pair, host) == (0, 0)).values()), 15, "no call and no channel slot left")


@pytest.fixture
def twice(tmp_path):
    """A phone as in REINVITE that sends its re-INVITE twice at once, and waits for none of the carrier's."""
    text = REINVITE.read_text(encoding="utf-8").replace('<send retrans="500" start_txn="again">', '<send start_txn="again">')
    before, again, after = re.split(r'(?s)(  <send start_txn="again">.*?</send>\n)', text)
    again = again.replace("[branch]", "z9hG4bK-[pid]-[call_number]-again")
    after = re.sub(r'(?s)  <recv request="INVITE"/>.*<recv request="ACK"/>\n', "", after)
    path = tmp_path / "twice.xml"
    path.write_text(before + again + again.replace(' start_txn="again"', "") + after, encoding="utf-8")
    return path


def test_a_reinvite_that_comes_twice_at_once_has_one_answer_from_the_relay(pair, twice):
    """As both wait in the socket of a busy Kamailio, and two processes read them: a 200 with the carrier's own SDP leaves the call without sound."""
    agreed = []
    for _round in range(6):  # SIPp sends no second one where the first one has been answered before
        calls = by_call(pair.lab.caller.sipp(NANP, 1, 20, 60, "1000", 60, 20, scenario=twice))
        assert len(calls) == 60
        for messages in calls:
            again = [message for message in messages if message.header("CSeq") == "2 INVITE"]
            answer = next((message for message in again if message.code == 200), None)
            if answer and sum(message.dir == "tx" for message in again) == 2 and not any(m.method == "BYE" and m.t < answer.t for m in messages):
                agreed.append(addresses([answer]))
        if len(agreed) >= 30:
            break
    assert len(agreed) >= 30
    assert agreed == [{pair.floating}] * len(agreed)


def test_a_reinvite_brings_the_sound_back_after_a_takeover(pair):
    """The phone sends one 8 s after the answer, the carrier one after 11 s."""
    active, standby = pair.roles()
    pair.lab.tell({"acme1": {"invite": {**SOUND, "reinvite": 11}}})
    killed = []
    thread = threading.Timer(4, lambda: killed.append(pair.kill(active)))
    thread.start()
    messages = pair.lab.caller.sipp(NANP, 8, 20, 60, "1000", echo=True, scenario=REINVITE)
    thread.join()
    assert pair.holders() == [standby]
    again = next(message.t for message in by_call(messages)[0] if message.dir == "tx" and message.header("CSeq") == "2 INVITE")
    heard = pair.lab.carriers["acme1"].heard(messages[0].header("Call-ID"))
    silence, back = max(pairwise(heard), key=lambda pair: pair[1] - pair[0])
    before, after = [t for t in heard if t <= silence], [t for t in heard if t >= back]
    print(
        f"takeover of a call with sound: {len(before)} packets until {silence - killed[0]:+.2f} s of the kill, none for {back - silence:.2f} s, and again "
        f"{(back - again) * 1000:.0f} ms after a re-INVITE: {len(after)} packets until the end"
    )
    assert silence < killed[0] + 3 and 0 < back - again < 0.5
    assert len(after) > 100 and addresses(messages) == {pair.floating}
    assert (sessions(pair, standby), sessions(pair, active)) == (0, 1), "the one that failed heard of no end: 600 s without a packet are one"
