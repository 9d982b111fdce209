# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


def pytest_collection_modifyitems(items):
    """Deployments come last: they end with the lab's own model in force, and the other tests look at the scenario's."""
    items.sort(key=lambda item: item.path.name == "test_deployment.py")
