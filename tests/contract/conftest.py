# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import warnings

import pytest
from engines import ENGINES
from harness import Lab, wait_until


@pytest.fixture(scope="session")
def engine_name():
    return os.environ.get("SIPTRUNK_ENGINE", "asterisk")


@pytest.fixture(scope="session")
def lab(engine_name):
    return Lab(pbx=ENGINES[engine_name].host)


@pytest.fixture(scope="session")
def engine(lab, engine_name):
    return ENGINES[engine_name](lab.container(lab.pbx))


@pytest.fixture(scope="session")
def plan(engine):
    return engine.plan()


def nobody_calls(engine):
    """What one test left of calls is not the next one's: it is hung up, with a warning. Whether calls are left is asserted by tests that are about it."""
    try:
        wait_until(lambda: engine.active_calls() == 0, 20, "no call left over")
    except TimeoutError:
        warnings.warn(f"calls left over: {engine.active_calls()} channels; they are hung up", stacklevel=2)
        engine.hang_up()
        wait_until(lambda: engine.active_calls() == 0, 20, "no call left over, although all were hung up")


@pytest.fixture
def healthy(lab, engine):
    """All carriers answer, and the engine knows it."""
    lab.reset()
    engine.drain()
    nobody_calls(engine)
    engine.forget()
    wait_until(lambda: all(engine.reachable().values()), 60, "every target reachable")
