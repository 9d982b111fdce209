# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part that is the same in each module that puts files into force on an engine (release.py).

The documentation of the options is the fragment ``siptrunk.failover.deployment``.
"""

from __future__ import annotations

import grp

from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused, Store, deploy, said, secrets_in

ARGUMENTS = {
    "files": {"type": "dict", "required": True, "no_log": True},
    "private": {"type": "list", "elements": "str", "default": []},
    "allow_restart": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
}


def bring_into_force(module, engine, includes, name="siptrunk"):
    """Deploy the files of an AnsibleModule's options, and end the module.

    engine: as release.py wants it, with `product`, its name for messages, `restart_advice`, and `unfit()`, a sentence when nothing may be changed.
    includes: {path of an operator's file: the line that includes ours}. name: of the folder with our files.
    """
    params = module.params
    try:
        gid = grp.getgrnam(params["group"]).gr_gid
    except KeyError:
        gid = None
    installed = engine.version() != ""
    unfit = engine.unfit() if installed else "There is no %s on this host." % engine.product
    if gid is None and not unfit:
        unfit = "There is no group '%s' on this host." % params["group"]
    if unfit and (installed or not module.check_mode):
        module.fail_json(msg="%s Nothing was changed." % unfit, rolled_back=False)
    store = Store(params["directory"], name, gid, includes, params["private"])
    module.no_log_values.update(secrets_in(params["files"], params["private"]))
    try:
        before = {name: text for name, text in store.read(store.live()).items() if text != params["files"].get(name)}
        module.no_log_values.update(secrets_in(before, params["private"]))
        result = deploy(store, engine, params["files"], params["allow_restart"], module.check_mode, params["timeout"])
    except OSError as error:
        module.fail_json(msg="%s Nothing was changed." % said(error), rolled_back=False)
    except Refused as error:
        module.fail_json(msg=str(error), rolled_back=error.rolled_back)
    if result["tried"].startswith("not tried") and installed:
        module.warn("The files were %s." % result["tried"])
    if result["restart_needed"]:
        module.warn("RESTART NEEDED: %s. %s" % ("; ".join(result["restart_needed"]), engine.restart_advice))
    module.exit_json(**result)
