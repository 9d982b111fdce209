# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What report.yml and verify.yml say of a failover that happened, compared with the engine's records, the monitor's log and what the caller heard."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness import wait_until

REPO = Path(__file__).resolve().parents[3]
INVENTORIES = {
    "asterisk": ("inventories/lab",),
    "freeswitch": ("inventories/lab/hosts.yml", "inventories/lab-freeswitch"),
    "kamailio": ("inventories/lab/hosts.yml", "inventories/lab-sbc"),
}
INTL = "0044123456"  # beta, which has one target, then acme
FAILING = {"invite": {"do": "code", "code": 503}}


@pytest.fixture
def play(lab, engine):
    """play(name, **variables): (exit status, output) of a playbook, of this PBX alone."""

    def run(name, **variables):
        inventories = [part for path in INVENTORIES[engine.process] for part in ("-i", path)]
        argv = ["ansible-playbook", *inventories, "--limit", lab.pbx, f"playbooks/{name}.yml", "-e", json.dumps(variables)]
        environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_HOST_PATTERN_MISMATCH": "warning", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        done = subprocess.run(argv, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def read(path):
    """The page as a reader has it: its headline, what it says of outages, and the cells of all rows of its tables."""
    page = path.read_text(encoding="utf-8")

    def texts(pattern, part=page):
        found = re.findall(pattern, part, re.DOTALL)
        return [" ".join(html.unescape(re.sub(r"<[^>]*>", " ", one)).split()) for one in found]

    rows = [texts(r"<td.*?</td>", row) for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL)]
    return texts(r"<h1>.*?</h1>")[0], texts(r'<li class="outage[^<]*<span.*?</span>\s*<p>(.*?)</p>'), rows


def clock(line):
    return line["at"][11:19]


def test_a_failover_is_told_as_it_was(lab, engine, monitor, play, tmp_path):
    began, since, known = datetime.now(UTC), monitor.mark(), len(engine.records())
    heard = [lab.caller.call(INTL).code]
    lab.tell({"beta1": FAILING})
    heard += [lab.caller.call(INTL).code for dummy in range(4)]
    monitor.wait_for(since, 30, "health", trunk="beta", target=None, state="trial")  # and so it stays while nobody calls
    time.sleep(2)

    status, said = play("verify", verify_json=str(tmp_path / "verify.json"))
    found = json.loads((tmp_path / "verify.json").read_text(encoding="utf-8"))
    assert status != 0 and not found["healthy"], said
    assert [one["trunk"] for one in found["problems"] if one["what"].startswith("on trial, one call at a time")] == ["beta"], said
    assert {"host": lab.pbx, "trunk": "acme", "target": None, "what": "a backup in use: carries intl"} in found["warnings"], said

    lab.tell({"beta1": FAILING, "acme1": FAILING, "acme2": FAILING})
    heard.append(lab.caller.call(INTL).code)
    lab.reset()

    def is_back():
        heard.append(lab.caller.call(INTL).code)
        return monitor.events(since, "return", route="intl")

    wait_until(is_back, 60, "the return to beta", interval=1)
    assert set(heard) == {200, 503} and heard.count(503) == 1, heard
    wait_until(lambda: len(engine.records()) == known + len(heard), 10, "every record")
    status, said = play("report", report_from=began.isoformat(), report_file=str(tmp_path / "page.html"))
    assert status == 0, said
    headline, outages, rows = read(tmp_path / "page.html")

    records = engine.records()[known:]
    rerouted = sum(record["result"] == "answered" and record["trunk"] == "acme" for record in records)
    (failover,), (returned,) = (monitor.events(since, event, route="intl") for event in ("failover", "return"))
    first = next(attempt for record in records for attempt in record["attempts"] if attempt["next"] != "final")
    assert headline == f"1 outage: {rerouted} calls rerouted, 1 lost."
    (sentence,) = outages
    assert sentence.startswith(f"beta failed on {lab.pbx} at {clock(first)} UTC (503 Service Unavailable); calls went to acme at once"), sentence
    assert f"; back on beta at {clock(returned)}, " in sentence and sentence.endswith(f"; {rerouted} calls rerouted, 1 lost."), sentence
    assert headline in said and sentence in said, "the terminal says the same"
    assert [clock(failover), lab.pbx, "intl", "beta", "acme", "503 Service Unavailable", clock(returned)] in [row[:7] for row in rows]
    (lost,) = (record for record in records if record["result"] == "failed")
    (told,) = (row[5] for row in rows if row[:5] == [clock(lost), lab.pbx, "1000", INTL, "intl"])
    assert told.count("503 Service Unavailable") == len(lost["attempts"])
    quality = {(row[0], row[1]): row[2:4] for row in rows if row and row[0] in ("before", "during", "after")}
    assert list(quality) == [("before", "beta"), ("during", "acme"), ("after", "beta")]
    assert all(re.fullmatch(r"\d+ ms", delay) for _calls, delay in quality.values()), quality
