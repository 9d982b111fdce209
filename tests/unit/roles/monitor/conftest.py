# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[4]
# where the service finds itself, and the scripted servers
sys.path[:0] = [str(REPO / "roles" / "monitor" / "files"), str(REPO / "tests" / "unit" / "plugins" / "module_utils")]

SETTINGS = {
    "hold_down": 60, "good_probes": 3, "hold_down_max": 900, "close_after": 3, "close_for": 30, "return_after": 30,
}


@pytest.fixture
def settings():
    return dict(SETTINGS)
