# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the contents of files to a host that has others; the module of the same name holds the documentation."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain


class ActionModule(ActionBase):
    """Ansible's entry point."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module, which first has digests alone."""
        super().run(tmp, task_vars)
        args = self._task.args = plain(self._task.args)
        try:
            contents = [_content(entry) for entry in args.get("files") or []]
        except (AttributeError, TypeError):
            result: dict[str, Any] = self._execute_module(task_vars=task_vars)  # no list of mappings, which the module says
            return result
        except OSError as error:
            return {"failed": True, "msg": f"{error.filename}: {error.strerror}. Nothing was changed."}

        def send(key: str, form: Any) -> dict[str, Any]:
            files = [entry if data is None else {**_without(entry), key: form(data)} for entry, data in zip(args.get("files") or [], contents, strict=True)]
            sent: dict[str, Any] = self._execute_module(module_args={**args, "files": files}, task_vars=task_vars)
            return sent

        result = send("digest", lambda data: hashlib.sha256(data).hexdigest())
        return send("data", lambda data: base64.b64encode(data).decode()) if "unknown" in result else result


def _content(entry: dict[str, Any]) -> bytes | None:
    """The content of a file, unless the entry has none, or one too many, or one that is no text."""
    content, src = entry.get("content"), entry.get("src")
    if isinstance(content, str) and src is None:
        return content.encode()
    return Path(src).read_bytes() if isinstance(src, str) and content is None else None


def _without(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("content", "src")}
