# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`pytest tests/golden --update-golden` writes the expected files anew; git diff then shows what changed."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the expected files anew")


@pytest.fixture
def update_golden(request):
    return request.config.getoption("--update-golden", default=False) or os.environ.get("UPDATE_GOLDEN") == "1"
