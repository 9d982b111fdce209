#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: trunk_state
short_description: Take trunks out of service, and put them back
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Takes trunks out of service, so that new calls pass them over, and puts them back. Calls in progress go on, nothing is reloaded, and a
    restart of the phone system changes nothing.
  - Keeps beside each trunk who took it out, when and why. M(siptrunk.failover.trunk_info) tells it, and each call's record says C(drained).
  - Emergency routes ask their trunks all the same. The carrier may go on sending calls in.
  - Asterisk is asked over its manager interface (AMI) to write to AstDB. The manager user needs C(write = reporting,system).
  - FreeSWITCH is asked over its event socket. It needs the modules mod_db and mod_commands, and its database directory on a disk.
  - On an SBC it is a file for each trunk in C(/var/lib/siptrunk/drained).
options:
  trunks:
    description: The names of the trunks. One that is not in the plan is an error, and nothing is changed.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(drained) takes the trunks out of service.
      - V(active) puts them back.
    type: str
    choices: [drained, active]
    required: true
  reason:
    description:
      - Why they are taken out. Required for O(state=drained), and of no use otherwise.
      - Any characters; about 180 bytes of UTF-8, less when O(by) is long.
      - A trunk that is drained for another reason gets this one and O(by), and keeps the time since when it is out.
    type: str
  by:
    description:
      - Who takes them out, up to 64 bytes.
      - The default is the account that the module runs for on the managed host.
    type: str
  force:
    description:
      - Whether to go on when a route would be left without any trunk in service on this host, so that its calls would fail.
      - Routes that had none before, and emergency routes, do not count.
    type: bool
    default: false
  wait:
    description: Whether to wait, with O(state=drained), until the trunks carry no call any more. There is no wait in check mode.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to wait for the calls to end. When they do not, the module fails, the trunks stay drained, and RV(trunks) says what is left.
    type: float
    default: 300
  interval:
    description: Seconds between two looks while waiting.
    type: float
    default: 1
  plan:
    description:
      - The plan on the managed host, as for M(siptrunk.failover.trunk_info).
    type: path
extends_documentation_fragment:
  - siptrunk.failover.control_port
attributes:
  check_mode:
    support: full
    description: Says what would be changed, and changes nothing.
  diff_mode:
    support: full
    description: Shows a line for each trunk that changes.
  idempotent:
    support: full
    description: A trunk that is drained for the same reason, or active, is left as it is.
seealso:
  - module: siptrunk.failover.trunk_info
notes:
  - Trunks are done one after the other. When one fails, RV(trunks[].changed) says which are done, and they stay so.
"""

EXAMPLES = r"""
- name: Take a trunk out while the carrier works on it
  siptrunk.failover.trunk_state:
    username: siptrunk
    password_file: /etc/asterisk/siptrunk/ami.secret
    trunks: [acme-east]
    state: drained
    reason: maintenance at the carrier, ticket 4711
    by: alice

- name: The same of FreeSWITCH, and wait up to ten minutes until its last call has ended
  siptrunk.failover.trunk_state:
    engine: freeswitch
    password_file: /etc/freeswitch/siptrunk/esl.secret
    trunks: [acme-east]
    state: drained
    reason: maintenance at the carrier, ticket 4711
    wait: true
    timeout: 600

- name: Put it back
  siptrunk.failover.trunk_state:
    username: siptrunk
    password_file: /etc/asterisk/siptrunk/ami.secret
    trunks: [acme-east]
    state: active
"""

RETURN = r"""
trunks:
  description: Each of the trunks, in the order given.
  returned: when the phone system was asked, also when it failed then
  type: list
  elements: dict
  contains:
    name:
      description: The name of the trunk.
      type: str
      sample: acme-east
    changed:
      description: Whether it was changed, or would be.
      type: bool
      sample: true
    before:
      description: Who had taken the trunk out of service, when and why, or null, as RV(siptrunk.failover.trunk_info#module:trunks[].drained).
      type: dict
      sample: null
    after:
      description: The same now. In check mode as it would be.
      type: dict
      sample: {"by": "alice", "at": "2026-11-23T04:00:00Z", "why": "maintenance at the carrier, ticket 4711"}
    channels:
      description: Legs up on the trunk, in both directions, at the last look.
      type: int
      sample: 3
idle:
  description: Whether none of the trunks carried a call at the last look.
  returned: when the phone system was asked, also when it failed then
  type: bool
  sample: false
summary:
  description: A line about each of the trunks, for a person to read.
  returned: when the phone system was asked, also when it failed then
  type: list
  elements: str
  sample:
    - 'acme-east: active -> drained since 2026-11-23T04:00:00Z by alice: "maintenance at the carrier, ticket 4711"; legs up: 3'
routes_without_trunk:
  description: Routes that have no trunk in service on this host after this, emergency routes left out.
  returned: when the phone system was asked, also when it failed then
  type: list
  elements: str
  sample: []
"""

import getpass
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.siptrunk.failover.plugins.module_utils import control_port
from ansible_collections.siptrunk.failover.plugins.module_utils import drain
from ansible_collections.siptrunk.failover.plugins.module_utils import drain_asterisk
from ansible_collections.siptrunk.failover.plugins.module_utils import drain_freeswitch
from ansible_collections.siptrunk.failover.plugins.module_utils import drain_sbc
from ansible_collections.siptrunk.failover.plugins.module_utils import session
from ansible_collections.siptrunk.failover.plugins.module_utils import trunk

MARKS = {"asterisk": drain_asterisk.Marks, "freeswitch": drain_freeswitch.Marks, "sbc": drain_sbc.Marks}
PLANS = {"asterisk": "/etc/asterisk/siptrunk/plan.json", "freeswitch": "/etc/freeswitch/siptrunk/plan.json", "sbc": "/etc/kamailio/siptrunk/plan.json"}


def account():
    """Who the module runs for on this host."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # no name for the number
        return "uid %d" % os.getuid()


def main():
    module = AnsibleModule(
        argument_spec={
            **control_port.ARGUMENTS,
            "trunks": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": list(drain.STATES), "required": True},
            "reason": {"type": "str"},
            "by": {"type": "str"},
            "force": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 300},
            "interval": {"type": "float", "default": 1},
            "plan": {"type": "path"},
        },
        mutually_exclusive=control_port.ONE_PASSWORD,
        required_if=[*control_port.NEEDED, ("state", drain.DRAINED, ["reason"])],
        supports_check_mode=True,
    )
    params = module.params
    engine = params["engine"]
    try:
        client = control_port.client(module)
        control_port.check_seconds(params, "timeout", 0)
        control_port.check_seconds(params, "interval", 0.01)
        if not params["trunks"]:
            raise ValueError("trunks: name at least one")
        if params["state"] == drain.DRAINED and not params["reason"].strip():
            raise ValueError("reason: must not be empty")
        plan = trunk.read_plan(params["plan"] or PLANS[engine], engine, trunk.parse_routed_plan)
        trunk.select(plan[0], params["trunks"])
        why = {"by": params["by"] or account(), "at": drain.now(), "why": params["reason"] or ""}
        change = drain.Change(MARKS[engine](client), plan, params["trunks"], params["state"], params["force"], why)
        try:
            change.prepare()
            if not module.check_mode:
                change.make()
                if params["wait"] and params["state"] == drain.DRAINED:
                    change.wait(params["timeout"], params["interval"])
        except drain.Failed as exc:
            module.fail_json(msg=str(exc), **change.result())
        finally:
            client.logoff()
    except session.SessionError as exc:
        module.fail_json(msg=control_port.explain(exc))
    except ValueError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**change.result())


if __name__ == "__main__":
    main()
