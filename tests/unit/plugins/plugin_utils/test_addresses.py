# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.siptrunk.failover.plugins.plugin_utils import addresses

V4 = st.builds(lambda last, bits: str(ipaddress.ip_network((f"198.18.0.{last}", bits), strict=False)), st.integers(0, 31), st.integers(26, 32))
V6 = st.builds(lambda last, bits: str(ipaddress.ip_network((f"2001:db8::{last:x}", bits), strict=False)), st.integers(0, 31), st.integers(122, 128))


def members(networks):
    return {address for network in networks for address in ipaddress.ip_network(network)}


@given(st.lists(st.lists(V4 | V6, max_size=4), max_size=6))
def test_claims_are_those_of_sets_of_addresses(asked):
    claims, taken = addresses.Claims(), {}
    for number, networks in enumerate(asked):
        owner = f"trunk-{number}"
        got, missed = claims.claim(owner, networks)
        free = members(networks) - taken.keys()
        assert members(got) == free
        assert {other: members(shared) for other, shared in missed.items()} == {
            other: {address for address in members(networks) - free if taken[address] == other} for other in missed
        }
        assert set(missed) == {taken[address] for address in members(networks) - free}
        parsed = [ipaddress.ip_network(network) for network in got]
        fewest = [network for version in (4, 6) for network in ipaddress.collapse_addresses(n for n in parsed if n.version == version)]
        assert parsed == fewest
        taken.update(dict.fromkeys(free, owner))
