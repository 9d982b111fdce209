# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engines import ENGINES
from harness import Lab, wait_until
from watching import Monitor

HERE = os.environ["SIPTRUNK_ENGINES"].split()


def why_not(name):
    why = Path(os.environ["SIPTRUNK_CACHE"]) / f"image-{name}.missing"
    return why.read_text(encoding="utf-8").strip() if why.exists() else f"there is no {name} in this lab"


@pytest.fixture(scope="session", params=["asterisk", "freeswitch"])
def engine(request):
    if request.param not in HERE:
        pytest.skip(why_not(request.param))
    kind = ENGINES[request.param]
    return kind(Lab(pbx=kind.host).container(kind.host))


@pytest.fixture
def monitors():
    """Of all engines."""
    return [Monitor(Lab().container(ENGINES[name].host)) for name in HERE]


@pytest.fixture(scope="session")
def lab(engine):
    return Lab(pbx=engine.host)


@pytest.fixture
def monitor(lab, engine):
    """Of a PBX whose carriers all answer, and which knows it."""
    lab.reset()
    engine.drain()
    watching = Monitor(engine.container)
    watching.forget()

    def is_well():
        metrics = watching.metrics()
        return all(value == 1 for name, value in metrics.items() if name.startswith(("siptrunk_up", "siptrunk_registered", "siptrunk_engine_up")))

    def is_primary():
        return not any(value for name, value in watching.metrics().items() if name.startswith("siptrunk_active") and 'role="backup"' in name)

    wait_until(is_well, 90, "every trunk up")
    engine.forget()
    for number in ("12125550100", "0044123456", "30000"):
        assert lab.caller.call(number).code == 200
    wait_until(is_primary, 30, "every primary in use")
    return watching
