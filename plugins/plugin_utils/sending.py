# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the files of a deployment to a host that has others.

The files of a thousand trunks are megabytes, and Ansible takes longer to hand them to a module than the module takes to
find that all is as it should be. So the host is asked first, by digests.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.siptrunk.failover.plugins.module_utils.deployment import digest

AT_ONCE = 100_000
"""Characters that are sent without asking, as asking takes a run of the module."""


class Deployment(ActionBase):
    """In front of a module that puts files into force (module_utils/deployment.py)."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module."""
        super().run(tmp, task_vars)
        files = self._task.args.get("files")
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        if not wrap_async and isinstance(files, dict) and all(isinstance(text, str) for text in files.values()) and sum(map(len, files.values())) > AT_ONCE:
            others = {name: value for name, value in self._task.args.items() if name != "files"}
            digests = {name: digest(text) for name, text in files.items()}
            result = self._execute_module(module_args={**others, "digests": digests}, task_vars=task_vars)
            if "unknown" not in result:
                return result
        return self._execute_module(task_vars=task_vars, wrap_async=wrap_async)
