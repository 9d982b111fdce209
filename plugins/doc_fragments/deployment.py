# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What is true of every module that puts files into force: module_utils/deployment.py."""

    DOCUMENTATION = r"""
options:
  files:
    description:
      - The text of each file, by name. Files in the folder that are not named here are removed.
      - Many are sent only if the host has others. Give these, or O(digests).
    type: dict
  digests:
    description:
      - The SHA-256 of each file's text, by name, instead of O(files). If the live release has these files, it is looked at and mended as
        with O(files), otherwise RV(unknown) says which it lacks, and nothing is done.
    type: dict
  private:
    description: Names of files that root alone may read; O(group) reads the others.
    type: list
    elements: str
    default: []
  hidden:
    description: Names of files that O(group) reads and no output shows a line of. Those of O(private) are hidden anyway.
    type: list
    elements: str
    default: []
  allow_restart:
    description: Restart when something needs it, which ends calls.
    type: bool
    default: false
  timeout:
    description: Seconds for the engine to start, and for a change to show.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Also tries the files; changes nothing.
  diff_mode:
    support: full
    description: Shows differences with secrets hidden.
  idempotent:
    support: full
    description: Changes nothing when files and running engine are as asked.
"""
