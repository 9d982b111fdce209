#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restart_info
short_description: Read which deployed settings wait for a restart of the phone system
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Compares the deployed files with the running phone system, and returns the settings that are not in force until it restarts.
  - A phone system that does not run waits for nothing, as it starts with the deployed files.
options:
  engine:
    description: The phone system; V(sbc) is Kamailio as P(siptrunk.failover.sbc#role) configures it.
    type: str
    choices: [asterisk, freeswitch, sbc]
    default: asterisk
  directory:
    description: Its configuration directory, which holds the link C(siptrunk) to the live release.
    type: path
    required: true
  service:
    description: Name of its systemd service. The default is the engine's usual one.
    type: str
extends_documentation_fragment:
  - siptrunk.failover.read_only
"""

EXAMPLES = r"""
- name: Does anything wait for a restart?
  siptrunk.failover.restart_info:
    directory: /etc/asterisk
  register: result

- name: Say so
  ansible.builtin.debug:
    msg: "{{ result.restart_needed | join('; ') }}"
"""

RETURN = r"""
restart_needed:
  description: The settings that take effect only after a restart.
  returned: success
  type: list
  elements: str
  sample: [timer_b=6400 (now 32000)]
advice:
  description: The consequences of a restart, and how to make one.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_engine import Asterisk
from ansible_collections.siptrunk.failover.plugins.module_utils.freeswitch_engine import FreeSwitch
from ansible_collections.siptrunk.failover.plugins.module_utils.kamailio_engine import Kamailio
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused, Store, pending, said

# Only questions are asked, for which an engine needs no account, and no folder but its configuration's.
ENGINES: dict[str, t.Callable[..., t.Any]] = {
    "asterisk": lambda directory, service: Asterisk(directory, "siptrunk", "", "", service or "asterisk"),
    "freeswitch": lambda directory, service: FreeSwitch(directory, "", "", "", "", service or "freeswitch", 8021),
    "sbc": lambda directory, service: Kamailio(directory, "", "", service or "kamailio", 5),
}


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": list(ENGINES), "default": "asterisk"},
            "directory": {"type": "path", "required": True},
            "service": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    engine = ENGINES[params["engine"]](params["directory"], params["service"])
    store = Store(params["directory"], "siptrunk", None, {})
    try:
        waiting = pending(store, engine, store.read(store.live()))
    except (Refused, OSError) as error:
        module.fail_json(msg=said(error))
    module.exit_json(changed=False, restart_needed=waiting, advice=engine.restart_advice)


if __name__ == "__main__":
    main()
