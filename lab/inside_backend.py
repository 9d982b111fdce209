# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""testinfra's way into the lab's containers (harness.py, `entering`)."""

from __future__ import annotations

import shlex
from typing import Any

from harness import entering
from testinfra.backend import BACKENDS, base


class InsideBackend(base.BaseBackend):
    """Runs commands in the namespaces of a container."""

    NAME = "inside"

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        self.name = name
        super().__init__(name, *args, **kwargs)

    def run(self, command: str, *args: str, **_more: Any) -> base.CommandResult:
        text = self.get_command(command, *args)
        done = self.run_local(f"{shlex.join(entering(self.name))} /bin/sh -c %s", text)
        done.command = self.encode(text)
        return done


BACKENDS["inside"] = f"{__name__}.InsideBackend"


def inside(container: str) -> str:
    """A container, as a test module's `testinfra_hosts` names it."""
    return f"inside://{container}"
