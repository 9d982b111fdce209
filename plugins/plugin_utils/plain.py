# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data out of Ansible's variables.

Ansible notes in each value where it came from, and templates the values of a mapping when they are looked at. With a
thousand trunks that makes each copy ten times as slow, and each look at the same value as slow as the first.
"""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """A copy of nested mappings and lists in which all is of Python's own types, each value looked at once."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return next((kind(value) for kind in (str, bool, int, float) if isinstance(value, kind)), value)
