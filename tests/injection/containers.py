# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files into a container, a script beside them, JSON out."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile


def run_with(container: str, folder: str, files: dict[str, str], script: str) -> dict:
    """What the script prints, run in a folder of its own that holds the files. One exec; the script ends what it started."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    whole = f"rm -rf {folder} && mkdir {folder} && cd {folder} && tar x || exit 1\n(\n{script}\n)\nstatus=$?; rm -rf {folder}; exit $status"
    done = subprocess.run(["podman", "exec", "-i", container, "sh", "-c", whole], input=archive.getvalue(), capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    return json.loads(done.stdout)
