# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings


@pytest.fixture(autouse=True)
def on_a_managed_host(monkeypatch):
    """Modules put their warnings in the result there; with a controller's plugin loaded, as by other tests, they would be displayed."""
    monkeypatch.setattr(_internal, "is_controller", False)


@pytest.fixture(autouse=True)
def in_a_process_of_its_own(monkeypatch):
    """A module's result has all warnings that its process has given, and here they share one."""
    monkeypatch.setattr(warnings, "_global_warnings", {})
    monkeypatch.setattr(warnings, "_global_deprecations", {})


@pytest.fixture
def printed(capsys):
    """printed(): the output of a module as a play has it.

    From ansible-core 2.22 on a module puts its secrets beside its result, and the controller masks them.
    """
    secrets = set()  # a process returns each once

    def read():
        output = capsys.readouterr()
        found = re.search(r', "_ansible_new_secrets": (\[[^]]*\])', output.out)
        text = output.out.replace(found[0], "") if found else output.out
        secrets.update(json.loads(found[1]) if found else [])
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(json.dumps(secret)[1:-1], "********")
        return output._replace(out=text)

    return read
