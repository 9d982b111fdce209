# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs beside a throwaway Asterisk: what it took from its files, as JSON.

Needs ami.py and session.py, in the folders of their package, next to it.

Arguments: the manager's port, and a file with the names of the endpoints to ask for.
"""

import json
import subprocess
import sys
import time

from ansible_collections.siptrunk.failover.plugins.module_utils import ami


def main():
    port, names = int(sys.argv[1]), open(sys.argv[2], encoding="utf-8").read().split()
    client = ami.AmiClient("127.0.0.1", port, "reader", "reader", answer_timeout=30)
    deadline = time.monotonic() + 20
    while True:
        try:
            client.connect()
            client.action("Command", Command="core waitfullybooted")
            break
        except ami.AmiError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    auths = client.action_list("PJSIPShowAuths", wanted=("AuthList",))[1]
    registrations = client.action_list("PJSIPShowRegistrationsOutbound", wanted=("OutboundRegistrationDetail",))[1]
    asked = [("from_user", name) for name in names] + [("context", name) for name in names]
    answers = client.actions("Getvar", "Variable", ["AST_SORCERY(res_pjsip,endpoint,%s,%s)" % (name, field) for field, name in asked])
    endpoints = {}
    for (field, name), answer in zip(asked, answers):
        endpoints.setdefault(name, {})[field] = answer.get("Value")
    contexts = client.action("Command", Command="dialplan show").all("Output")
    json.dump(
        {
            "auths": {a.get("ObjectName"): {k: a.get(k) for k in ("Username", "Password", "Realm")} for a in auths},
            "registrations": {r.get("ObjectName"): {k: r.get(k) for k in ("ClientUri", "ContactUser")} for r in registrations},
            "endpoints": endpoints,
            "contexts": [line.split("'")[1] for line in contexts if line.startswith("[ Context '")],
            "processes": subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
