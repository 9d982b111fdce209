# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engines import ENGINES, Kamailio
from harness import Lab, enter, wait_until

OUT_OF_SERVICE = "/var/lib/siptrunk/out-of-service"


@pytest.fixture(scope="session", params=["asterisk", "freeswitch"])
def lab(request):
    """As the phone of that PBX sees it."""
    if request.param not in os.environ["SIPTRUNK_ENGINES"].split():
        why = Path(os.environ["SIPTRUNK_CACHE"]) / f"image-{request.param}.missing"
        pytest.skip(why.read_text(encoding="utf-8").strip() if why.exists() else f"there is no {request.param} in this lab")
    found = Lab(pbx=ENGINES[request.param].host)
    found.engine = ENGINES[request.param](found.container(found.pbx))
    return found


@pytest.fixture(scope="session")
def sbcs(lab):
    """By their host."""
    return {host: Kamailio(lab.container(host)) for host in ("sbc1", "sbc2")}


@pytest.fixture(autouse=True)
def healthy(lab, sbcs):
    """Both SBCs are there, and all carriers answer."""
    lab.reset()
    for sbc in sbcs.values():
        enter(sbc.container, ["sh", "-c", f"rm -f {OUT_OF_SERVICE}; systemctl start kamailio"])
    for sbc in sbcs.values():
        wait_until(lambda sbc=sbc: all(sbc.reachable().values()), 60, "every carrier reachable")
        sbc.forget()
    wait_until(lambda: lab.engine.active_calls() == 0, 20, "no call left over")
    lab.engine.forget()
    wait_until(lambda: all(lab.engine.reachable().values()), 60, "both SBCs reachable")
