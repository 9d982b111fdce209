# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What is true of every module that only looks."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in check mode, and does the same there, as it changes nothing.
  diff_mode:
    support: none
    description: Would show what is changed, but nothing ever is.
  idempotent:
    support: full
    description: A second run reports no change either, and the same results while what it looks at is the same.
"""
