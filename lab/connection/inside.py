# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's way into the lab's containers: their namespaces (harness.py, `entering`), in a hundredth of a second.

`podman exec` takes a third of a second of the processor's time, for each task on each host, and wakes the container's systemd.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import entering

DOCUMENTATION = """
name: inside
short_description: run tasks in a container of the lab
description: Enters the namespaces of a container that runs on the controller.
author: siptrunk.failover contributors
options:
  container:
    description: Name of the container.
    vars: [{name: inventory_hostname}, {name: ansible_host}]
"""


class Connection(ConnectionBase):
    """One command after the other; nothing stays open."""

    transport = "inside"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def _run(self, argv: list[str], **more: object) -> subprocess.CompletedProcess[bytes]:
        try:
            command = entering(self.get_option("container"))
        except ProcessLookupError as error:
            raise AnsibleConnectionFailure(str(error)) from error
        return subprocess.run([*command, *argv], stderr=subprocess.PIPE, check=False, **more)

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = self._run(["/bin/sh", "-c", cmd], input=in_data or b"", stdout=subprocess.PIPE)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        if not Path(in_path).exists():
            raise AnsibleFileNotFound(f"{in_path} does not exist")
        with open(in_path, "rb") as source:
            self._checked(self._run(["dd", f"of={out_path}", "bs=1M"], stdin=source, stdout=subprocess.DEVNULL), out_path)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        with open(out_path, "wb") as target:
            self._checked(self._run(["cat", in_path], stdin=subprocess.DEVNULL, stdout=target), in_path)

    @staticmethod
    def _checked(done: subprocess.CompletedProcess[bytes], path: str) -> None:
        if done.returncode:
            raise AnsibleConnectionFailure(f"{path}: {done.stderr.decode(errors='replace').strip()}")

    def close(self) -> None:
        self._connected = False
