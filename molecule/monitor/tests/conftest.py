# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engines import ENGINES
from harness import Lab
from watching import begin

HERE = os.environ["SIPTRUNK_ENGINES"].split()


def why_not(name):
    why = Path(os.environ["SIPTRUNK_CACHE"]) / f"image-{name}.missing"
    return why.read_text(encoding="utf-8").strip() if why.exists() else f"there is no {name} in this lab"


def system(name):
    kind = ENGINES[name]
    lab = Lab(pbx=kind.host)
    return lab, kind(lab.container(kind.host))


@pytest.fixture(scope="session")
def systems():
    """(lab, engine) of each engine."""
    return [system(name) for name in HERE]


@pytest.fixture(scope="session", params=["asterisk", "freeswitch", "sbc"])
def one_system(request):
    if request.param not in HERE:
        pytest.skip(why_not(request.param))
    return system(request.param)


@pytest.fixture(scope="session")
def lab(one_system):
    return one_system[0]


@pytest.fixture(scope="session")
def engine(one_system):
    return one_system[1]


@pytest.fixture
def monitor(lab, engine):
    return begin(lab, engine)
