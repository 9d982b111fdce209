#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: freeswitch_deploy
short_description: Put configuration files into force on a FreeSWITCH, or leave everything as it was
version_added: "0.1.0"
description:
  - Writes the files as a new release beside the live one, tries them in a throwaway FreeSWITCH that has no network, switches to them
    at once, reloads, exchanges the gateways that changed, and looks for every gateway in the running FreeSWITCH.
  - When anything fails, the files of before are put back and loaded, and the module fails with FreeSWITCH's own words.
  - A run that was killed is completed or taken back by the next one. A file that was changed by hand is mended.
  - Established calls go on. What takes effect only after a restart of the Sofia profile, which ends its calls, is reported, and
    waits for O(allow_restart).
  - Starts and enables the service. Secrets are shown in no output, difference or log.
author:
  - siptrunk.failover contributors (@siptrunk)
options:
  directory:
    description: FreeSWITCH's configuration directory.
    type: path
    required: true
  log_directory:
    description:
      - Its log directory. FreeSWITCH writes its expanded configuration there, with all passwords, readable by everybody; the
        directory is closed to others than O(user) and O(group).
    type: path
    required: true
  prefix:
    description: Where its C(bin/freeswitch) is.
    type: path
    required: true
  files:
    description:
      - C(settings.xml), C(profile.xml) and C(dialplan.xml) are included in FreeSWITCH's configuration, by one file in each of
        C(autoload_configs), C(sip_profiles) and C(dialplan).
    type: dict
  esl_port:
    description: The port of the event socket, as C(settings.xml) has it.
    type: int
    default: 8021
  user:
    description: User that FreeSWITCH runs as.
    type: str
    default: freeswitch
  group:
    description: Group that may read the files.
    type: str
    default: freeswitch
  service:
    description: Name of the systemd service.
    type: str
    default: freeswitch
  allow_restart:
    description: Restart the Sofia profile when something needs it, which ends all calls through trunks.
    type: bool
    default: false
extends_documentation_fragment:
  - siptrunk.failover.deployment
"""

EXAMPLES = r"""
- name: Bring trunks into force
  siptrunk.failover.freeswitch_deploy:
    directory: /etc/freeswitch
    log_directory: /var/log/freeswitch
    prefix: /usr
    files:
      profile.xml: "{{ lookup('ansible.builtin.template', 'profile.xml.j2') }}"
      dialplan.xml: "{{ lookup('ansible.builtin.template', 'dialplan.xml.j2') }}"
"""

RETURN = r"""
release:
  description: Number of the live release; before the run, in check mode.
  returned: success
  type: str
previous:
  description: Number of the release of before, which is kept.
  returned: success
  type: str
did:
  description: What was done, or would be, as sentences.
  returned: success
  type: list
  elements: str
tried:
  description: How the files were tried before, or why not; empty when nothing changed.
  returned: success
  type: str
restart_needed:
  description: What takes effect only after a restart of the profile.
  returned: success
  type: list
  elements: str
restarted:
  description: Whether the profile was restarted; in check mode, whether it would be.
  returned: success
  type: bool
registered_anew:
  description: Names of the registrations whose credentials or registrar changed, and that were therefore made anew at once.
  returned: success
  type: list
  elements: str
not_registered:
  description: Those of RV(registered_anew) that are not registered some seconds later, each with its state. There is a warning, too.
  returned: success
  type: list
  elements: str
unknown:
  description: Names of the files of which the host has others than O(digests) says; nothing was done.
  returned: when O(digests) was given, and files are to be sent
  type: list
  elements: str
rolled_back:
  description: Whether the files had been switched when it failed, and were put back.
  returned: failure
  type: bool
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils.deployment import ARGUMENTS, FILES_OR_DIGESTS, bring_into_force
from ansible_collections.siptrunk.failover.plugins.module_utils.freeswitch_engine import INCLUDES, FreeSwitch, include_line


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            directory=dict(type="path", required=True),
            log_directory=dict(type="path", required=True),
            prefix=dict(type="path", required=True),
            esl_port=dict(type="int", default=8021),
            user=dict(type="str", default="freeswitch"),
            group=dict(type="str", default="freeswitch"),
            service=dict(type="str", default="freeswitch"),
        ),
        supports_check_mode=True,
        **FILES_OR_DIGESTS,
    )
    params = module.params
    engine = FreeSwitch(*(params[key] for key in ("directory", "log_directory", "prefix", "user", "group", "service", "esl_port", "timeout")))
    bring_into_force(module, engine, {os.path.join(params["directory"], path): include_line(name) for name, path in INCLUDES.items()})


if __name__ == "__main__":
    main()
