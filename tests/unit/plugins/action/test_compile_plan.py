# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the SBCs of the inventory may hunt, from their own models."""

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.action.compile_plan import _hunts
from ansible_collections.siptrunk.failover.plugins.plugin_utils.model import ModelError

GROUPS = {"all": ["pbx", "sbc1", "sbc2"], "siptrunk_sbc": ["sbc1", "sbc2"], "empty": []}
TRUNKS = [{"name": "acme", "servers": [{"host": "198.18.1.10"}]}, {"name": "beta", "servers": [{"host": "198.18.2.10"}]}]
ROUTES = [{"name": "all", "match": ["_X."], "trunks": ["acme", "beta"]}]


def of_sbc(**more):
    return {"siptrunk_trunks": TRUNKS, "siptrunk_routes": ROUTES, **more}


def hunts(group, **hostvars):
    return _hunts([{"name": "sbcs", "sbcs": group}, {"name": "direct", "sbcs": None}], GROUPS, hostvars)


def test_the_slowest_sbc_counts():
    slow = of_sbc(siptrunk_policy={"no_progress_timeout": 20})
    assert hunts("siptrunk_sbc", sbc1=of_sbc(), sbc2=slow) == {"sbcs": 40.4}
    assert hunts("siptrunk_sbc", sbc1=of_sbc(), sbc2=of_sbc()) == {"sbcs": 20.4}
    assert hunts(None) == {}


@pytest.mark.parametrize("group", ["siptrunk_sbcs", "empty"])
def test_a_group_without_hosts_is_named(group):
    with pytest.raises(ModelError) as error:
        hunts(group)
    assert error.value.problems == [
        f"trunk 'sbcs': sbcs '{group}': expected a group of the inventory that has a host; known are all, empty, siptrunk_sbc"
    ]


def test_a_mistake_in_the_model_of_an_sbc_is_told():
    with pytest.raises(ModelError) as error:
        hunts("siptrunk_sbc", sbc1=of_sbc(), sbc2=of_sbc(siptrunk_routes=[{**ROUTES[0], "trunks": ["acne"]}]))
    assert error.value.problems == [
        "trunk 'sbcs': sbcs 'siptrunk_sbc': sbc2: siptrunk_routes[0] (all): unknown trunk 'acne': did you mean 'acme'?"
    ]
