# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part that is the same in each module that puts files into force on an engine (release.py).

The documentation of the options is the fragment ``siptrunk.failover.deployment``.
"""

from __future__ import annotations

import grp
import hashlib
import time

from ansible_collections.siptrunk.failover.plugins.module_utils.registration import REGISTERED, REJECTED, UNREGISTERED
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused, Store, deploy, said, secrets_in

ARGUMENTS = {
    "files": {"type": "dict", "no_log": True},
    "digests": {"type": "dict", "no_log": True},  # whoever sees one could try passwords
    "private": {"type": "list", "elements": "str", "default": []},
    "hidden": {"type": "list", "elements": "str", "default": []},
    "allow_restart": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
}

REGISTRATION = 20  # seconds for the carriers to answer changed credentials

FILES_OR_DIGESTS = {"mutually_exclusive": [("files", "digests")], "required_one_of": [("files", "digests")]}


def digest(text):
    """What stands for the text of a file."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def unknown(digests, files):
    """Names of the files that are not those of these digests."""
    found = {name: digest(text) for name, text in files.items()}
    return sorted(name for name in {*found, *digests} if found.get(name) != digests.get(name))


def bring_into_force(module, engine, includes, name="siptrunk"):
    """Deploy the files of an AnsibleModule's options, and end the module: with `unknown`, and nothing done, if all it has is digests of others.

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
    store = Store(params["directory"], name, gid, includes, params["private"], params["hidden"])
    try:
        before = store.read(store.live())
        files = params["files"]
        if files is None:
            if lacking := unknown(params["digests"], before):
                module.exit_json(changed=False, unknown=lacking)
            files = before
        for texts in (files, {name: text for name, text in before.items() if text != files.get(name)}):
            module.no_log_values.update(secrets_in(texts, store.hidden))
        result = deploy(store, engine, files, params["allow_restart"], module.check_mode, params["timeout"])
    except OSError as error:
        module.fail_json(msg="%s Nothing was changed." % said(error), rolled_back=False)
    except Refused as error:
        module.fail_json(msg=str(error), rolled_back=error.rolled_back)
    if result["tried"].startswith("not tried") and installed:
        module.warn("The files were %s." % result["tried"])
    if result["restart_needed"]:
        module.warn("RESTART NEEDED: %s. %s" % ("; ".join(result["restart_needed"]), engine.restart_advice))
    result["not_registered"] = refused(engine, result["registered_anew"])
    if result["not_registered"]:
        module.warn("REGISTRATION REFUSED: %s. The carrier does not take the changed credentials or does not answer: correct username, "
                    "auth_username, password, realm or domain of the trunk, and run again." % ", ".join(result["not_registered"]))
    module.exit_json(**result)


def refused(engine, names):
    """Those of the registrations `names`, made anew a moment ago, that did not come about, each with its state."""
    deadline = time.monotonic() + REGISTRATION
    while names:
        states = engine.registrations()
        if all(states.get(name) in (REGISTERED, REJECTED) for name in names) or time.monotonic() > deadline:
            return ["%s is %s" % (name, states[name]) for name in names if states.get(name) in (REJECTED, UNREGISTERED)]
        time.sleep(0.3)
    return []
