# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: zipped
author:
  - siptrunk.failover contributors (@siptrunk)
version_added: "0.1.0"
short_description: A program of the collection as one file that Python runs
description:
  - Puts a package of the role's C(files), and the modules of the collection that it imports, into a zip file on the controller.
  - The same files make the same zip file, byte for byte, so that copying it is idempotent. Ansible removes it when the run ends.
options:
  _terms:
    description: The folder of a Python package in the role's C(files), with a C(__main__.py).
    required: true
    type: list
    elements: str
  module_utils:
    description: Names of modules in the collection's C(module_utils) that the package imports.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Install the monitor
  ansible.builtin.copy:
    src: "{{ lookup('siptrunk.failover.zipped', 'siptrunk_monitor', module_utils=['session', 'ami']) }}"
    dest: /usr/lib/siptrunk/monitor.pyz
    mode: "0644"
"""

RETURN = r"""
_raw:
  description: Paths of the zip files on the controller.
  type: list
  elements: path
"""

import tempfile
import zipfile
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

MODULE_UTILS = Path(__file__).resolve().parents[1] / "module_utils"
NAMESPACE = ("ansible_collections", "siptrunk", "failover", "plugins", "module_utils")
THE_SAME_ALWAYS = (1980, 1, 1, 0, 0, 0)


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        return [self._zipped(term, variables) for term in terms]

    def _zipped(self, term, variables):
        folder = self.find_file_in_search_path(variables, "files", term)
        if not folder or not Path(folder, "__main__.py").is_file():
            raise AnsibleLookupError(f"there is no package '{term}' with a __main__.py among the role's files")
        target = Path(tempfile.mkdtemp(dir=constants.DEFAULT_LOCAL_TMP), f"{term}.pyz")
        pack(target, Path(folder), [MODULE_UTILS / f"{name}.py" for name in self.get_option("module_utils")])
        return str(target)


def pack(target: Path, package: Path, modules: list[Path]) -> None:
    """Write the zip file: the package under its name, the modules where they are imported from, and what runs the package."""
    files = {f"{package.name}/{path.name}": path.read_bytes() for path in package.glob("*.py")}
    # zipimport finds no package without a file in it
    files |= {"/".join([*NAMESPACE[:depth], "__init__.py"]): b"" for depth in range(1, len(NAMESPACE) + 1)}
    files |= {"/".join([*NAMESPACE, path.name]): path.read_bytes() for path in modules}
    files["__main__.py"] = f"from {package.name}.__main__ import main\n\nmain()\n".encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, THE_SAME_ALWAYS), files[name])
