#!/usr/bin/python
# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: asterisk_deploy
short_description: Put configuration files into force on an Asterisk, or leave everything as it was
version_added: "0.1.0"
description:
  - Writes the files as a new release beside the live one, tries them in a throwaway Asterisk that has no network,
    switches to them at once, reloads, and looks for every object in the running Asterisk.
  - When anything fails, the files of before are put back and loaded, and the module fails with Asterisk's own words.
  - A run that was killed is completed or taken back by the next one. A file that was changed by hand is mended.
  - Established calls go on. What takes effect only after a restart is reported, and waits for O(allow_restart).
  - Starts and enables the service. Secrets are shown in no output, difference or log.
author:
  - siptrunk.failover contributors (@siptrunk)
options:
  directory:
    description: Asterisk's configuration directory.
    type: path
    default: /etc/asterisk
  name:
    description: The folder in it that holds O(files); a link to the live release.
    type: str
    default: siptrunk
  includes:
    description: The operator's files that include the one of the same name; one line is added to each, and nothing else changed.
    type: list
    elements: str
    default: []
  user:
    description: User that Asterisk runs as.
    type: str
    default: asterisk
  group:
    description: Group that may read the files.
    type: str
    default: asterisk
  expect:
    description:
      - Names of objects that must run, by kind, besides those that the files describe. Kinds are V(endpoint), V(aor), V(auth),
        V(registration), V(identify), V(transport), V(context) and V(manager user).
    type: dict
    default: {}
  settings:
    description: What C(pjsip show settings) must say, by name. What differs needs a restart.
    type: dict
    default: {}
  service:
    description: Name of the systemd service.
    type: str
    default: asterisk
  allow_restart:
    description:
      - Restart Asterisk when something needs it, which ends all calls.
      - An Asterisk without calls is restarted all the same on its first deployment, if the folder C(siptrunk.d/fresh) says that it was just installed.
    type: bool
    default: false
extends_documentation_fragment:
  - siptrunk.failover.deployment
"""

EXAMPLES = r"""
- name: Bring trunks into force
  siptrunk.failover.asterisk_deploy:
    files:
      pjsip.conf: "{{ lookup('ansible.builtin.template', 'pjsip.conf.j2') }}"
      extensions.conf: "{{ lookup('ansible.builtin.template', 'extensions.conf.j2') }}"
    includes: [pjsip.conf, extensions.conf]
    expect:
      endpoint: [acme.1, acme.2]
    settings:
      timer_b: 6400
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
  description: Whether Asterisk was restarted; in check mode, whether it would be.
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

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_engine import Asterisk
from ansible_collections.siptrunk.failover.plugins.module_utils.deployment import ARGUMENTS, FILES_OR_DIGESTS, bring_into_force


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            directory=dict(type="path", default="/etc/asterisk"),
            name=dict(type="str", default="siptrunk"),
            includes=dict(type="list", elements="str", default=[]),
            user=dict(type="str", default="asterisk"),
            group=dict(type="str", default="asterisk"),
            expect=dict(type="dict", default={}),
            settings=dict(type="dict", default={}),
            service=dict(type="str", default="asterisk"),
        ),
        supports_check_mode=True,
        **FILES_OR_DIGESTS,
    )
    params = module.params
    engine = Asterisk(*(params[key] for key in ("directory", "name", "user", "group", "service", "expect", "settings", "timeout")))
    includes = {os.path.join(params["directory"], name): "#include %s/%s" % (params["name"], name) for name in params["includes"]}
    bring_into_force(module, engine, includes, params["name"])


if __name__ == "__main__":
    main()
