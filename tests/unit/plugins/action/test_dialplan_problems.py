# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which extensions of an operator's take calls of a route."""

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.action.asterisk_dialplan_info import problems

FILE = "/etc/asterisk/extensions.conf"
ROUTES = [
    {"name": "nanp", "match": [{"pattern": "_1NXXNXXXXXX"}]},
    {"name": "intl", "match": [{"pattern": "_00."}, {"pattern": "_011."}]},
    {"name": "emergency", "match": [{"pattern": "112"}]},
]


def looked(*patterns, context="phones", starts=("phones",)):
    before = [{"context": context, "pattern": pattern, "file": FILE, "line": line} for line, pattern in enumerate(patterns, start=2)]
    contexts = [{"context": start, "file": FILE, "line": 1} for start in starts]
    return {"file": FILE, "contexts": contexts, "before": dict.fromkeys(starts, before), "elsewhere": "", "phones": None}


@pytest.mark.parametrize(
    ("pattern", "calls"),
    [
        pytest.param("_1NXXNXXXXXX", "all calls of the route 'nanp'", id="the same"),
        pytest.param("_1-NXX-NXX-XXXX", "all calls of the route 'nanp'", id="the same with hyphens"),
        pytest.param("_1nxxnxxxxxx", "all calls of the route 'nanp'", id="in small letters"),
        pytest.param("_NXXXXXX", "", id="numbers of another length"),
        pytest.param("_1XXXXXXXXXX", "all calls of the route 'nanp'", id="wider"),
        pytest.param("_1NXXNXXXXXX!", "all calls of the route 'nanp'", id="the same, and longer"),
        pytest.param("_X.", "all calls of the route 'emergency', all calls of the route 'intl', all calls of the route 'nanp'", id="everything"),
        pytest.param("_0.", "all calls of the route 'intl'", id="all patterns of a route"),
        pytest.param("_01X.", "some calls of the route 'intl'", id="one of two patterns"),
        pytest.param("_[1-3]NXXNXXXXX2", "some calls of the route 'nanp'", id="less specific at its first digit, but not all"),
        pytest.param("112", "all calls of the route 'emergency'", id="a number"),
        pytest.param("_1212NXXXXXX", "", id="more specific"),
        pytest.param("12125550100", "", id="a number of many"),
        pytest.param("s", "", id="a name"),
        pytest.param("_[a-z].", "", id="letters"),
    ],
)
def test_calls_that_an_extension_takes(pattern, calls):
    assert problems(looked(pattern), ROUTES) == (
        [
            f"{FILE} line 2: '{pattern}' of [phones] takes {calls}, which so do not use the trunks: Asterisk looks at a context's own extensions first, "
            "then at what it includes, in order. Remove the extension, or let it do Goto(siptrunk-outbound,${EXTEN},1)."
        ]
        if calls
        else []
    )


def test_an_extension_of_an_included_context_is_reported_once():
    (problem,) = problems(looked("_X.", context="local", starts=("phones", "staff")), ROUTES[:1])
    assert "'_X.' of [local], which [phones], [staff] include, takes" in problem


def test_a_long_list_is_cut():
    found = problems(looked(*["_X."] * 13), ROUTES)
    assert len(found) == 11 and found[-1] == "and 3 more extensions that take calls of a route"


def test_problems_are_in_the_order_of_the_lines():
    assert [problem.partition(":")[0] for problem in problems(looked("_X.", "_0.", "_1X."), ROUTES)] == [f"{FILE} line {line}" for line in (2, 3, 4)]


def test_no_context_leads_to_the_trunks():
    nothing = {**looked(), "contexts": [], "before": {}}
    sentence = f"No context of {FILE} leads to siptrunk-outbound, so no call uses the trunks. Add this line to %s: include => siptrunk-outbound"
    assert problems(nothing, ROUTES) == [sentence % "the context of your phones"]
    assert problems({**nothing, "phones": {"context": "office", "file": FILE, "line": 7}}, ROUTES) == [sentence % f"[office] ({FILE} line 7)"]
    assert problems({**nothing, "elsewhere": "/etc/asterisk/extensions.ael"}, ROUTES) == []
    assert problems(nothing, []) == []
