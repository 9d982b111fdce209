# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from incident import WINDOW, afternoon, log

from ansible_collections.siptrunk.failover.plugins.filter import report_page, report_window


def test_a_window_or_what_is_wrong_with_it():
    assert list(report_window.report_window({"from": "", "to": "2026-11-25", "last": "2h"})) == ["from", "to"]
    assert report_window.report_window({"last": "2x"})["problem"].startswith("report_last: '2x'")


def test_results_by_host():
    results = {"pbx1": {**afternoon("pbx1", 1), "changed": False}, "pbx2": {"unreachable": True, "msg": "no route to host"}, "pbx3": None}
    summary = report_page.report_page(results, WINDOW)["summary"]
    assert summary[0].endswith("2 hosts could not be read.")
    assert summary[-2:] == ["pbx2 could not be read: no route to host", "pbx3 could not be read: it was not asked"]


def test_results_of_something_else():
    with pytest.raises(AnsibleFilterError, match="no results of log_window"):
        report_page.report_page({"pbx": {"events": log([]), "records": {}}}, WINDOW)
