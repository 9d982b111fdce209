# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.module_utils import drain, session, trunk
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.plans import captured_plan

AT = "2026-11-23T04:00:00Z"
WHY = {"by": "ops", "at": AT, "why": "maintenance"}
LATER = {"by": "bob", "at": "2026-11-24T00:00:00Z", "why": "maintenance"}


def route(name, *groups, emergency=False):
    return {"name": name, "emergency": emergency, "trunks": [[{"name": member} for member in group] for group in groups]}


PLAN = (captured_plan()["trunks"], [route("all", ["acme-east"], ["beta"]), route("small", ["delta", "gone"]), route("sos", ["beta"], emergency=True)])


def fail(error):
    raise error


class Engine:
    """An engine's side, in memory. ``refuses``: the trunk whose mark it does not take; ``deaf``: it takes marks and keeps none."""

    def __init__(self, drained=None, channels=(), refuses=None, deaf=False):
        self.drained = dict(drained or {})
        self.channels = list(channels)  # what is up at each look; the last stays
        self.refuses = refuses
        self.deaf = deaf
        self.written = []

    def read(self, names):
        up = self.channels.pop(0) if len(self.channels) > 1 else self.channels[0] if self.channels else {}
        if isinstance(up, session.SessionError):
            fail(up)
        return {"drained": {name: mark for name, mark in self.drained.items() if name in names}, "channels": {name: up.get(name, 0) for name in names}}

    def write(self, name, text):
        if name == self.refuses:
            raise session.ActionError("it said no")
        self.written.append(name)
        if self.deaf:
            return
        if text is None:
            del self.drained[name]
        else:
            self.drained[name] = trunk.drain_mark(text)


def change(engine, names, state=drain.DRAINED, force=False, why=None):
    return drain.Change(engine, PLAN, names, state, force, why or WHY)


def changed(engine, names, **given):
    """The result of a change that is made."""
    made = change(engine, names, **given)
    made.prepare()
    made.make()
    return made.result()


def test_a_trunk_is_drained_and_put_back():
    engine = Engine()
    done = changed(engine, ["beta"])
    assert engine.drained == {"beta": WHY}
    assert done["trunks"] == [{"name": "beta", "changed": True, "before": None, "after": WHY, "channels": 0}]
    assert done["diff"] == {"before": "beta: active\n", "after": 'beta: drained since %s by ops: "maintenance"\n' % AT}
    back = changed(engine, ["beta"], state=drain.ACTIVE)
    assert engine.drained == {} and back["changed"] is True
    assert (back["trunks"][0]["before"], back["trunks"][0]["after"]) == (WHY, None)


@pytest.mark.parametrize("state, standing", [(drain.DRAINED, {"beta": WHY}), (drain.ACTIVE, {}), (drain.ACTIVE, {"delta": WHY})])
def test_what_is_as_asked_is_left_alone(state, standing):
    engine = Engine(standing)
    done = changed(engine, ["beta"], state=state, why=LATER)
    assert (done["changed"], engine.written, engine.drained) == (False, [], standing)
    assert done["diff"] == {"before": "", "after": ""}


@pytest.mark.parametrize("at, kept", [(AT, AT), (None, LATER["at"]), ("long ago", LATER["at"])])
def test_another_reason_keeps_the_time(at, kept):
    engine = Engine({"beta": {**WHY, "at": at}})
    done = changed(engine, ["beta"], why={**LATER, "why": "still"})
    assert done["changed"] is True and engine.drained["beta"] == {"by": "bob", "at": kept, "why": "still"}


def test_a_trunk_named_twice_is_done_once():
    engine = Engine()
    assert [item["name"] for item in changed(engine, ["beta", "gone", "beta"])["trunks"]] == ["beta", "gone"]
    assert engine.written == ["beta", "gone"]


# What must not happen: a route without a trunk

@pytest.mark.parametrize("names, standing, stranded", [
    (["acme-east"], {}, []),
    (["acme-east", "beta"], {}, ["all"]),
    (["beta"], {"acme-east": WHY}, ["all"]),
    (["delta", "gone", "acme-east", "beta"], {}, ["all", "small"]),
    (["delta"], {"acme-east": WHY, "beta": WHY}, []),  # "all" had none before
    (["beta"], {"acme-east": WHY, "beta": {**WHY, "why": "x"}}, []),
])
def test_a_route_keeps_a_trunk_unless_forced(names, standing, stranded):
    engine = Engine(standing)
    asked = change(engine, names)
    if stranded:
        with pytest.raises(drain.Failed) as failed:
            asked.prepare()
        assert all("route %s" % name in str(failed.value) for name in stranded) and "Nothing was changed" in str(failed.value)
        assert (engine.written, asked.result()["changed"]) == ([], False)
    else:
        asked.prepare()
    assert changed(engine, names, force=True)["changed"] is True
    assert set(stranded) <= set(change_of_all(engine))


def change_of_all(engine):
    return drain.without_trunk(PLAN[1], engine.drained)


def test_an_emergency_route_does_not_count():
    assert drain.without_trunk([route("sos", ["beta"], emergency=True)], {"beta"}) == []


def test_putting_back_strands_nobody():
    engine = Engine({name: WHY for name in ("acme-east", "beta", "delta", "gone")})
    assert changed(engine, ["beta"], state=drain.ACTIVE)["routes_without_trunk"] == ["small"]


# Failures

def test_a_failed_half_tells_which_are_done():
    engine = Engine(refuses="gone")
    asked = change(engine, ["beta", "gone", "delta"], force=True)
    asked.prepare()
    with pytest.raises(drain.Failed, match="gone: it said no. Done before: beta. Not begun: delta"):
        asked.make()
    done = asked.result()
    assert [(item["name"], item["changed"], item["after"]) for item in done["trunks"]] == [("beta", True, WHY), ("gone", False, None), ("delta", False, None)]
    assert done["changed"] is True and "gone" not in done["diff"]["after"]


@pytest.mark.parametrize("state, standing", [(drain.DRAINED, {}), (drain.ACTIVE, {"beta": WHY})])
def test_what_the_engine_does_not_tell_back_is_no_success(state, standing):
    asked = change(Engine(standing, deaf=True), ["beta"], state=state)
    asked.prepare()
    with pytest.raises(drain.Failed, match="beta: the phone system took the change, and does not tell it back"):
        asked.make()


# Waiting

def test_it_waits_until_the_last_call_has_ended():
    engine = Engine(channels=[{}, {"beta": 2}, {"beta": 1, "delta": 9}, session.Refused("it restarts"), {"delta": 9}])
    asked = change(engine, ["beta"])
    asked.prepare()
    asked.make()
    asked.wait(5, 0.01)
    assert asked.result()["idle"] is True


@pytest.mark.parametrize("up, text", [({"beta": 2}, r"after 0 s: beta \(2\)"), (session.Refused("nobody there"), "after 0 s: nobody there")])
def test_it_waits_no_longer_than_told(up, text):
    asked = change(Engine(channels=[{}, {"beta": 2}, up]), ["beta"])
    asked.prepare()
    asked.make()
    with pytest.raises(drain.Failed, match=text):
        asked.wait(0, 0.01)
    assert (asked.result()["idle"], asked.result()["trunks"][0]["channels"]) == (False, 2)


def test_a_refused_login_is_not_tried_again():
    asked = change(Engine(channels=[{}, {}, session.AuthError("no")]), ["beta"])
    asked.prepare()
    asked.make()
    with pytest.raises(session.AuthError):
        asked.wait(5, 0.01)


# The mark

@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_reason_is_one_line_and_read_back_unchanged(why):
    why = drain.clean(why)
    try:
        text = drain.mark_text({**WHY, "why": why})
    except ValueError:
        assert len(json.dumps(why, ensure_ascii=False).encode()) > 150
        return
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029" for char in text)
    assert len(text.encode()) <= drain.MAX_MARK
    assert trunk.drain_mark(text) == {**WHY, "why": why}


@pytest.mark.parametrize("char, size", [("x", 1), ("\u00fc", 2), ("\u20ac", 3), ('"', 2), ("\\", 2), ("\n", 2), ("\x85", 6)])
def test_the_longest_reason(char, size):
    room = drain.MAX_MARK - len(drain.mark_text({**WHY, "why": ""}).encode())
    assert len(drain.mark_text({**WHY, "why": char * (room // size)}).encode()) > drain.MAX_MARK - size
    with pytest.raises(ValueError, match=r"reason: \d+ bytes too long; beside who and when there is room for %d " % room):
        drain.mark_text({**WHY, "why": char * (room // size + 1)})


def test_who_is_limited_too():
    drain.mark_text({**WHY, "by": "x" * drain.MAX_BY})
    with pytest.raises(ValueError, match="by: longer than 64 bytes"):
        drain.mark_text({**WHY, "by": "x" * (drain.MAX_BY + 1)})


def test_half_a_surrogate_pair_is_replaced():
    assert drain.clean("a\ud800b\udcffc") == "a\ufffdb\ufffdc"


def test_now():
    assert drain._AT.fullmatch(drain.now())
