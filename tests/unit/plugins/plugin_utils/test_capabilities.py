# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine keeps of what was asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.plugin_utils import capabilities


@pytest.mark.parametrize(
    ("limits", "asked", "effective", "latest"),
    [
        pytest.param(None, 4, 4, 4, id="a setting without limits"),
        pytest.param({}, 4.25, 4.25, 4.25, id="empty limits"),
        pytest.param({"floor": 6.4}, 4, 6.4, 6.4, id="floor"),
        pytest.param({"floor": 6.4}, 8, 8, 8, id="above the floor"),
        pytest.param({"step": 1}, 3.2, 4, 4, id="step: rounded up"),
        pytest.param({"step": 1}, 3, 3, 3, id="step: already whole"),
        pytest.param({"step": 0.1}, 0.3, 0.3, 0.3, id="step: not fooled by binary fractions"),
        pytest.param({"floor": 6.4, "step": 0.064}, 4, 6.4, 6.4, id="floor on a step"),
        pytest.param({"floor": 6.4, "step": 0.064}, 7, 7.04, 7.04, id="above the floor, to the next step"),
        pytest.param({"floor": 1, "step": 1, "slack": 1}, 10, 10, 11, id="slack: acts up to a second later"),
        pytest.param({"floor": 2.5, "step": 2, "slack": 0.5}, 1, 4, 4.5, id="floor, then step, then slack"),
    ],
)
def test_effective(limits, asked, effective, latest):
    settings_of_engine = {} if limits is None else {"ring_timeout": {**limits, "scope": "attempt"}}
    found = capabilities.effective({"settings": settings_of_engine}, "ring_timeout", asked)
    assert found == {"asked": asked, "effective": effective, "latest": latest}


POSITIVE = st.floats(0.01, 1000).map(lambda value: round(value, 3))


@given(asked=POSITIVE, floor=POSITIVE, step=POSITIVE, slack=POSITIVE)
@settings(max_examples=100, deadline=None)
def test_never_shorter_than_asked_nor_longer_than_needed(asked, floor, step, slack):
    kept = capabilities.effective({"settings": {"s": {"floor": floor, "step": step, "slack": slack}}}, "s", asked)
    least = max(asked, floor)
    assert least - 1e-5 * step <= kept["effective"] <= least + step
    assert kept["latest"] == pytest.approx(kept["effective"] + slack)


@pytest.mark.parametrize(
    ("feature", "what"),
    [
        ("register", "registration"),
        ("register_each", "registration at every target (register: each)"),
        ("max_channels", "a limit of channels (max_channels)"),
        ("weights", "trunks that share one priority by weight"),
        ("emergency", "emergency routes"),
        ("realm", "an account for one digest realm alone (realm)"),
    ],
)
def test_missing(feature, what):
    engine = {"engine": "examplepbx", "features": [name for name in capabilities.FEATURES if name != feature]}
    assert capabilities.missing(engine, feature) == f"examplepbx does not offer {what} yet; remove it"
    assert all(capabilities.missing(engine, other) is None for other in engine["features"])


def test_anything_lacks_nothing():
    assert not any(capabilities.missing(capabilities.ANYTHING, feature) for feature in capabilities.FEATURES)
    assert capabilities.effective(capabilities.ANYTHING, "no_response_timeout", 0.5)["latest"] == 0.5


LIMITED = {"engine": "examplepbx", "credentials": {"without": [":"], "bytes": 12}}


@pytest.mark.parametrize(
    ("login", "password", "said"),
    [
        ("user", "password", []),
        ("user", "p:ss", ["password: examplepbx cannot send ':' in it; choose another"]),
        ("u:r", "word", ["auth_username: examplepbx cannot send ':' in it; choose another"]),
        ("user", "passwords", ["password: with the login it is 13 bytes long, and examplepbx sends at most 12; choose a shorter one"]),
        ("user", "p\u00e4ssword", ["password: with the login it is 13 bytes long, and examplepbx sends at most 12; choose a shorter one"]),
    ],
)
def test_unsendable(login, password, said):
    assert capabilities.unsendable(LIMITED, login, password) == said
    assert capabilities.unsendable(capabilities.ANYTHING, login, password) == []
