# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that wait for a restart: seen in the running engine, or remembered (molecule/*/tests/test_deployment.py asks the engines themselves)."""

from __future__ import annotations

import json
import os

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_engine import Asterisk
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Store, pending

SHOWS = {
    "core waitfullybooted": "",
    "core show uptime seconds": "System uptime: 60\n",
    "pjsip show settings": " timer_t1 : 500\n timer_b : 32000\n",
    "pjsip show transports": "Transport: siptrunk-udp  udp  0  0  0.0.0.0:5060\n",
}
PJSIP = "[siptrunk-system]\ntype = system\ntimer_t1 = 100\ntimer_b = 6400\n\n[siptrunk-udp]\ntype = transport\nprotocol = udp\nbind = 0.0.0.0:5070\n"


def test_by_the_files_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(Asterisk, "ask", lambda _self, command, to=None: (True, SHOWS[command]))
    release = tmp_path / "siptrunk.d" / "1"
    release.mkdir(parents=True)
    (release / "pjsip.conf").write_text(PJSIP, encoding="utf-8")
    (tmp_path / "siptrunk").symlink_to("siptrunk.d/1")
    (tmp_path / "siptrunk.d" / "waiting.json").write_text(json.dumps({"siptrunk-tls with its new settings": 1e12, "an older one": 1}), encoding="utf-8")
    store = Store(os.fspath(tmp_path), "siptrunk", None, {})
    assert pending(store, Asterisk(os.fspath(tmp_path), "siptrunk", "", "", "asterisk"), store.read(store.live())) == [
        "timer_b=6400 (now 32000)", "timer_t1=100 (now 500)", "siptrunk-udp on 0.0.0.0:5070 (now 0.0.0.0:5060)", "siptrunk-tls with its new settings",
    ]  # fmt: skip
