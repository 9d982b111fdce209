# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of every module that asks a running phone system: module_utils/control_port.py."""

    DOCUMENTATION = r"""
options:
  engine:
    description: The phone system to ask.
    type: str
    choices: [asterisk]
    default: asterisk
  host:
    description: Where its control port listens, seen from the managed host.
    type: str
    default: 127.0.0.1
  port:
    description: The control port.
    type: int
    default: 5038
  username:
    description: The name of a section in C(manager.conf).
    type: str
    required: true
  password:
    description:
      - The secret of that section. It does not cross the wire, a digest of it does.
      - Give this or O(password_file).
    type: str
  password_file:
    description:
      - A file on the managed host that holds the secret, so that it need not leave the host. The role
        P(siptrunk.failover.asterisk#role) keeps one.
    type: path
  connect_timeout:
    description:
      - Seconds for connecting and logging in, and again for each answer.
      - Asterisk takes a second to refuse a login, so with less than 2 a wrong password looks like a silent server.
    type: float
    default: 5
"""
