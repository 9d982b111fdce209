#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sbc_deploy
short_description: Put configuration files into force on a Kamailio, or leave everything as it was
version_added: "0.1.0"
description:
  - Writes the files as a new release beside the live one, tries them with C(kamailio -c) and in a throwaway Kamailio that has no network, switches
    to them at once, reloads, and looks for every probed target and every registration in the running Kamailio.
  - When anything fails, the files of before are put back and loaded, and the module fails with Kamailio's own words.
  - A run that was killed is completed or taken back by the next one. A file that was changed by hand is mended.
  - Established calls go on. What takes effect only after a restart, which forgets their records, is reported, and waits for O(allow_restart).
  - Starts and enables the service. Secrets are shown in no output, difference or log.
author:
  - siptrunk.failover contributors (@siptrunk)
options:
  directory:
    description: Kamailio's configuration directory.
    type: path
    default: /etc/kamailio
  files:
    description:
      - C(kamailio.cfg) becomes the configuration that the service starts with, by a line in C(/etc/default/kamailio). The distribution's
        own C(kamailio.cfg) is left alone.
      - C(keepalived.conf) is included by C(/etc/keepalived/keepalived.conf), which is made if there is none. keepalived looks at both before; it is
        started once Kamailio listens at the floating address, and only reloaded afterwards.
    type: dict
  user:
    description: User that Kamailio runs as.
    type: str
    default: kamailio
  group:
    description: Group that may read the files.
    type: str
    default: kamailio
  service:
    description: Name of the systemd service.
    type: str
    default: kamailio
  allow_restart:
    description: Restart Kamailio when something needs it. Calls that are up go on, but lose their record.
    type: bool
    default: false
extends_documentation_fragment:
  - siptrunk.failover.deployment
"""

EXAMPLES = r"""
- name: Bring an SBC into force
  siptrunk.failover.sbc_deploy:
    files:
      kamailio.cfg: "{{ lookup('ansible.builtin.template', 'kamailio.cfg.j2') }}"
      hunt.lua: "{{ lookup('ansible.builtin.file', 'hunt.lua') }}"
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
  description: What takes effect only after a restart.
  returned: success
  type: list
  elements: str
restarted:
  description: Whether Kamailio was restarted; in check mode, whether it would be.
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.siptrunk.failover.plugins.module_utils.deployment import ARGUMENTS, FILES_OR_DIGESTS, bring_into_force
from ansible_collections.siptrunk.failover.plugins.module_utils.kamailio_engine import Kamailio, include_lines


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            directory=dict(type="path", default="/etc/kamailio"),
            user=dict(type="str", default="kamailio"),
            group=dict(type="str", default="kamailio"),
            service=dict(type="str", default="kamailio"),
        ),
        supports_check_mode=True,
        **FILES_OR_DIGESTS,
    )
    params = module.params
    engine = Kamailio(*(params[key] for key in ("directory", "user", "group", "service", "timeout")))
    bring_into_force(module, engine, include_lines(params["directory"], params["files"] or params["digests"]))


if __name__ == "__main__":
    main()
