#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: trunk_info
short_description: Tell how the trunks of the plan stand in the running phone system
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Tells for each trunk whether calls would use it, and why not, from what the phone system decides by itself - the answers to
    its probes, the targets that cool down after a failure, the trunks that are drained or full - and from the marks of the monitor.
  - Also tells whether the trunk is registered, and which targets of the plan the phone system does not have.
  - Asterisk is asked over its manager interface (AMI). The manager user needs C(write = reporting) and nothing else.
  - FreeSWITCH is asked over its event socket. It needs the modules mod_sofia, mod_hash, mod_db and mod_commands.
  - A thousand targets take about half a second.
options:
  plan:
    description:
      - The plan on the managed host, where the role of the phone system has put it. It says which trunks and targets there are.
      - The default is V(/etc/asterisk/siptrunk/plan.json) for O(engine=asterisk), and V(/etc/freeswitch/siptrunk/plan.json) for
        O(engine=freeswitch). A FreeSWITCH that was built here has its configuration elsewhere, such as in
        V(/usr/local/freeswitch/etc/freeswitch/siptrunk/plan.json), which then has to be given; M(siptrunk.failover.freeswitch_info) finds it.
      - For O(engine=sbc) it is V(/etc/kamailio/siptrunk/plan.json).
    type: path
  trunks:
    description:
      - Only the trunks with these names. One that is not in the plan is an error.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - siptrunk.failover.control_port
  - siptrunk.failover.read_only
seealso:
  - module: siptrunk.failover.registration_info
"""

EXAMPLES = r"""
- name: How do the trunks stand?
  siptrunk.failover.trunk_info:
    username: siptrunk
    password_file: /etc/asterisk/siptrunk/ami.secret
  register: result

- name: The same of FreeSWITCH
  siptrunk.failover.trunk_info:
    engine: freeswitch
    password_file: /usr/local/freeswitch/etc/freeswitch/siptrunk/esl.secret
    plan: /usr/local/freeswitch/etc/freeswitch/siptrunk/plan.json
  register: result

- name: Say which targets are passed over, and why
  ansible.builtin.debug:
    msg: "{{ item.id }} ({{ item.address }}:{{ item.port }}): probe {{ item.probe }}, cooling until {{ item.cooling_until }}"
  loop: "{{ result.trunks | map(attribute='targets') | flatten }}"
  loop_control:
    label: "{{ item.id }}"
  when: item.probe == 'dead' or item.cooling_until is not none

- name: Stop when one carrier has no way left, or the phone system lacks part of the plan
  siptrunk.failover.trunk_info:
    username: siptrunk
    password_file: /etc/asterisk/siptrunk/ami.secret
    trunks: [acme-east, acme-west]
  register: acme
  failed_when: not acme.all_up or acme.missing | length > 0
"""

RETURN = r"""
trunks:
  description: The selected trunks, sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the trunk.
      type: str
      sample: acme-east
    carrier:
      description: Who owns it, as the model says, or null.
      type: str
      sample: acme
    site:
      description: Where it ends, as the model says, or null.
      type: str
      sample: nyc1
    transport:
      description: Its SIP transport.
      type: str
      choices: [udp, tcp, tls]
      sample: udp
    up:
      description:
        - Whether the phone system has at least one of its targets and does not pass it over. A target is passed over while its probe
          is V(dead), while it cools down, and while it is held. A trunk that is closed or on trial is not up.
        - Says nothing of RV(trunks[].drained), RV(trunks[].full) and RV(trunks[].registered). A trunk that is not up is still asked
          when no other is left.
      type: bool
      sample: true
    closed_until:
      description: Until when the trunk is passed over because calls through it failed, ISO 8601 in UTC. Null when it is not.
      type: str
      sample: "2026-11-23T04:12:30Z"
    trial_until:
      description: Until when one call at a time may ask the trunk, and the others pass it over. Null when all may.
      type: str
      sample: null
    drained:
      description: Who took the trunk out of service, or null when nobody did.
      type: dict
      sample: {"by": "ops", "at": "2026-11-23T04:00:00Z", "why": "maintenance at the carrier"}
      contains:
        by:
          description: Who did it, or null.
          type: str
        at:
          description: When, or null.
          type: str
        why:
          description: Why, or null. A mark that is no JSON is the reason as a whole. FreeSWITCH tells the first 255 bytes of a mark.
          type: str
    channels:
      description: Legs up on the trunk now, in both directions, ringing ones included.
      type: int
      sample: 3
    channels_limit:
      description: The C(max_channels) of the plan; 0 is no limit.
      type: int
      sample: 30
    full:
      description: Whether the limit is reached.
      type: bool
      sample: false
    registered:
      description: Whether all registrations of the trunk are V(registered). Null when the plan has it register nowhere.
      type: bool
      sample: true
    registrations:
      description:
        - Its registrations, each as RV(siptrunk.failover.registration_info#module:registrations) has it.
        - Not asked for, and so empty, when none of the selected trunks registers.
      type: list
      elements: dict
      sample:
        - name: acme-east
          trunk: acme-east
          server: sip:sip.acme.example
          user: sip:alice@sip.acme.example
          state: registered
          expires_in: null
    targets:
      description: Its targets, in the plan's order.
      type: list
      elements: dict
      contains:
        id:
          description: The name of the target in the phone system.
          type: str
          sample: acme-east.1
        host:
          description: Its name, or its address.
          type: str
          sample: gw1.acme.example
        address:
          description: Where calls and probes go.
          type: str
          sample: 203.0.113.10
        port:
          description: The port there.
          type: int
          sample: 5060
        probe:
          description:
            - What the last OPTIONS told. V(off) when the plan has the trunk not probed.
            - V(unknown) before the first answer or timeout, and for a target that the phone system does not have.
          type: str
          choices: [alive, dead, unknown, "off"]
          sample: alive
        rtt_ms:
          description: Milliseconds from that OPTIONS to its answer. Null unless it was answered.
          type: float
          sample: 12.731
        cooling_until:
          description: Until when the target is passed over because a call got no answer from it, ISO 8601 in UTC. Null when it is not.
          type: str
          sample: "2026-11-23T04:12:30Z"
        held_until:
          description: Until when the target is passed over because it was dead and has not been alive for long. Null when it is not.
          type: str
          sample: null
all_up:
  description: Whether every selected trunk is up. False when there is none.
  returned: success
  type: bool
  sample: true
missing:
  description:
    - Targets of the selected trunks that the phone system does not have (in Asterisk the endpoint, or its AOR; in FreeSWITCH the
      gateway for its calls, or the one for its probes). Its log says why.
    - All of them, when PJSIP itself or the functions PJSIP_ENDPOINT, PJSIP_AOR and PJSIP_CONTACT are not loaded in Asterisk, and
      when the profile C(siptrunk) does not run in FreeSWITCH.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.siptrunk.failover.plugins.module_utils import control_port
from ansible_collections.siptrunk.failover.plugins.module_utils import session
from ansible_collections.siptrunk.failover.plugins.module_utils import trunk
from ansible_collections.siptrunk.failover.plugins.module_utils import trunk_asterisk
from ansible_collections.siptrunk.failover.plugins.module_utils import trunk_freeswitch
from ansible_collections.siptrunk.failover.plugins.module_utils import trunk_sbc

READERS = {"asterisk": trunk_asterisk.reader, "freeswitch": trunk_freeswitch.reader, "sbc": trunk_sbc.reader}
PLANS = {"asterisk": "/etc/asterisk/siptrunk/plan.json", "freeswitch": "/etc/freeswitch/siptrunk/plan.json", "sbc": "/etc/kamailio/siptrunk/plan.json"}


def main():
    module = AnsibleModule(
        argument_spec={
            **control_port.ARGUMENTS,
            "plan": {"type": "path"},
            "trunks": {"type": "list", "elements": "str", "default": []},
        },
        mutually_exclusive=control_port.ONE_PASSWORD,
        required_if=control_port.NEEDED,
        supports_check_mode=True,
    )
    engine = module.params["engine"]
    try:
        client = control_port.client(module)
        plan = trunk.read_plan(module.params["plan"] or PLANS[engine], engine)
        selected = trunk.select(plan, module.params["trunks"])
        try:
            found = READERS[engine](client, selected)()
        finally:
            client.logoff()
    except session.SessionError as exc:
        module.fail_json(msg=control_port.explain(exc))
    except ValueError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, all_up=bool(found["trunks"]) and all(item["up"] for item in found["trunks"]), **found)


if __name__ == "__main__":
    main()
