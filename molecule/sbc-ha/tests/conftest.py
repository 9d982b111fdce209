# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from harness import wait_until
from pair import Pair


@pytest.fixture
def pair():
    """Both are well, and all carriers answer."""
    both = Pair()
    both.mend()
    both.lab.reset()
    try:
        wait_until(both.well, 60, "both SBCs")
    except TimeoutError:  # what one test leaves is not the next one's
        print(f"before this test, both SBCs are started anew: {both.ills()}")
        both.each(lambda host: both.shell(host, "systemctl stop kamailio"))
        both.mend()
        wait_until(both.well, 60, "both SBCs")
    both.each(lambda host: both.engines[host].forget())
    yield both
    both.mend()
