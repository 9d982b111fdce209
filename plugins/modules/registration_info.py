#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: registration_info
short_description: Read, or wait for, the outbound registrations of a phone system
version_added: "0.1.0"
author:
  - siptrunk.failover contributors (@siptrunk)
description:
  - Asks the running phone system which trunks are registered at their carriers.
  - With O(state) it waits until they are in that state, for example after a reload.
  - Asterisk is asked over its manager interface (AMI). The manager user needs C(write = reporting) and nothing else;
    with C(write = reporting,command) the module can also tell RV(registrations[].expires_in).
  - The passwords of the trunks, which Asterisk puts into its answer in clear, are dropped unread.
  - FreeSWITCH is asked over its event socket for the gateways of the Sofia profile C(siptrunk) whose names end in C(.registration).
    It is an error when that profile does not run.
options:
  names:
    description:
      - Only the registrations with these names. One that does not exist is an error.
    type: list
    elements: str
    default: []
  trunks:
    description:
      - Only the registrations of these trunks. One without any registration is an error.
      - Given together with O(names), a registration has to match both.
    type: list
    elements: str
    default: []
  state:
    description:
      - Wait until every selected registration is in this state. There is no wait when no registration exists.
      - While it waits, a phone system that is down, starting or stopping is tried again; a refused login is not.
      - Asterisk since 13.5 reports a stopped registration as V(unregistered), FreeSWITCH as V(stopped).
    type: str
    choices: [registered, unregistered, rejected, stopped, unknown]
  timeout:
    description:
      - Seconds to wait for O(state). An answer that is still outstanding then is waited for.
      - Asterisk sends its first REGISTER at a random time up to 10 seconds after a start or reload (C(max_random_initial_delay)),
        FreeSWITCH within 2 seconds.
    type: float
    default: 30
  interval:
    description: Seconds between two looks while waiting for O(state).
    type: float
    default: 1
extends_documentation_fragment:
  - siptrunk.failover.control_port
  - siptrunk.failover.read_only
"""

EXAMPLES = r"""
- name: Which trunks are registered?
  siptrunk.failover.registration_info:
    username: siptrunk
    password_file: /etc/asterisk/siptrunk/ami.secret
  register: result

- name: Say so when one is not
  ansible.builtin.debug:
    msg: "{{ item.name }} at {{ item.server }} is {{ item.state }}"
  loop: "{{ result.registrations | rejectattr('state', 'equalto', 'registered') }}"
  loop_control:
    label: "{{ item.name }}"

- name: The same of FreeSWITCH
  siptrunk.failover.registration_info:
    engine: freeswitch
    password_file: /etc/freeswitch/siptrunk/esl.secret
  register: result

- name: After a restart, wait until the trunks of one carrier are registered
  siptrunk.failover.registration_info:
    username: siptrunk
    password: "{{ ami_secret }}"
    trunks: [acme-east, acme-west]
    state: registered
    timeout: 60
"""

RETURN = r"""
registrations:
  description:
    - The selected registrations, sorted by name. When the wait ran out, as they were at the last look.
  returned: success, and when the wait for O(state) ran out
  type: list
  elements: dict
  contains:
    name:
      description: The name of the registration in the phone system. In FreeSWITCH the name of its gateway without C(.registration).
      type: str
      sample: acme-east
    trunk:
      description: The trunk it belongs to, which is the name up to the first dot.
      type: str
      sample: acme-east
    server:
      description: The URI it registers at.
      type: str
      sample: sip:sip.acme.example
    user:
      description: The URI it registers.
      type: str
      sample: sip:alice@sip.acme.example
    state:
      description:
        - V(registered) also when the carrier has gone silent since; that shows at the next refresh.
        - V(rejected) when the last attempt failed, silence included, whether or not there will be another.
        - V(unregistered) before the first attempt, and after being stopped by the operator. In FreeSWITCH also during a new attempt
          after a failed one.
        - V(stopped) when the operator stopped it (see O(state) for Asterisk).
        - V(unknown) when the phone system has no state for it, or one that this module does not know.
      type: str
      choices: [registered, unregistered, rejected, stopped, unknown]
      sample: registered
    expires_in:
      description:
        - Seconds until the next refresh or attempt. Null when none is planned, when one is under way, and when the phone system does
          not tell (Asterisk before 20, or a manager user without C(write = command)).
        - After an operator stopped the registration, Asterisk goes on counting to the refresh that is off.
        - FreeSWITCH tells it while the registration waits after a failed attempt, and at no other time.
      type: int
      sample: 47
all_registered:
  description: Whether every selected registration is V(registered). False when there is none.
  returned: success, and when the wait for O(state) ran out
  type: bool
  sample: true
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.siptrunk.failover.plugins.module_utils import control_port
from ansible_collections.siptrunk.failover.plugins.module_utils import registration
from ansible_collections.siptrunk.failover.plugins.module_utils import registration_asterisk
from ansible_collections.siptrunk.failover.plugins.module_utils import registration_freeswitch
from ansible_collections.siptrunk.failover.plugins.module_utils import registration_sbc
from ansible_collections.siptrunk.failover.plugins.module_utils import session

READERS = {"asterisk": registration_asterisk.reader, "freeswitch": registration_freeswitch.reader, "sbc": registration_sbc.reader}


def wait_for(look, state, timeout, interval):
    """Look until every registration is in ``state``, or ``timeout`` seconds are over, at least once.

    Returns (registrations of the last look that worked, None when they are in that state or else what to tell the user).
    Errors: AuthError, FieldError, and ValueError of ``look``.
    """
    deadline = time.monotonic() + timeout
    found, trouble = [], None
    while True:
        try:
            found, trouble = look(), None
        except (session.AuthError, session.FieldError):
            # Trying again would get this host banned, and the credentials no better.
            raise
        except session.SessionError as exc:
            # Measured while Asterisk starts: refused connections, then "Invalid/unknown command", then "Permission denied".
            # While FreeSWITCH starts: refused connections. Then its profile may not run yet, or never where its port is taken.
            trouble = control_port.explain(exc)
        if trouble is None and all(item["state"] == state for item in found):
            return found, None
        left = deadline - time.monotonic()
        if left <= 0:
            seen = trouble or registration.describe(found)
            return found, "not every registration reached the state %s within %g s: %s" % (state, timeout, seen)
        time.sleep(min(interval, left))


def main():
    module = AnsibleModule(
        argument_spec={
            **control_port.ARGUMENTS,
            "names": {"type": "list", "elements": "str", "default": []},
            "trunks": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": list(registration.STATES)},
            "timeout": {"type": "float", "default": 30},
            "interval": {"type": "float", "default": 1},
        },
        mutually_exclusive=control_port.ONE_PASSWORD,
        required_if=control_port.NEEDED,
        supports_check_mode=True,
    )
    params = module.params

    def answer(found):
        return {
            "changed": False,
            "registrations": found,
            "all_registered": bool(found) and all(item["state"] == registration.REGISTERED for item in found),
        }

    try:
        client = control_port.client(module)
        control_port.check_seconds(params, "timeout", 0)
        control_port.check_seconds(params, "interval", 0.01)
        read = READERS[params["engine"]](client)

        def look():
            return registration.select(read(), params["names"], params["trunks"])

        try:
            found, trouble = (look(), None) if params["state"] is None else wait_for(
                look, params["state"], params["timeout"], params["interval"])
        finally:
            client.logoff()
    except session.SessionError as exc:
        module.fail_json(msg=control_port.explain(exc))
    except ValueError as exc:
        module.fail_json(msg=str(exc))
    if trouble is not None:
        module.fail_json(msg=trouble, **answer(found))
    module.exit_json(**answer(found))


if __name__ == "__main__":
    main()
