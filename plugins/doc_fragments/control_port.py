# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of every module that asks a running phone system: module_utils/control_port.py."""

    DOCUMENTATION = r"""
options:
  engine:
    description:
      - The phone system to ask.
      - V(sbc) is Kamailio as P(siptrunk.failover.sbc#role) configures it. It is asked over a Unix socket that is open to root, and of the
        options below takes O(connect_timeout) alone.
    type: str
    choices: [asterisk, freeswitch, sbc]
    default: asterisk
  host:
    description:
      - Where its control port listens, seen from the managed host.
      - The event socket of FreeSWITCH takes the password in clear, so leave it on the loopback address.
    type: str
    default: 127.0.0.1
  port:
    description:
      - The control port, which is the manager interface (AMI) of Asterisk and the event socket of FreeSWITCH.
      - The default is V(5038) for O(engine=asterisk), and V(8021) for O(engine=freeswitch).
    type: int
  username:
    description:
      - The name of a section in C(manager.conf). Required for O(engine=asterisk).
      - The event socket of FreeSWITCH knows no users, so it is ignored there.
    type: str
  password:
    description:
      - The secret of that section; it does not cross the wire, a digest of it does. For FreeSWITCH the C(password) of
        C(event_socket.conf.xml).
      - Give this or O(password_file), but for O(engine=sbc).
    type: str
  password_file:
    description:
      - A file on the managed host that holds the password in its first line, so that it need not leave the host. The roles
        P(siptrunk.failover.asterisk#role) and P(siptrunk.failover.freeswitch#role) keep one, C(siptrunk/ami.secret) and
        C(siptrunk/esl.secret) in the configuration directory of the phone system.
    type: path
  connect_timeout:
    description:
      - Seconds for connecting and logging in, and again for each answer.
      - Asterisk takes a second to refuse a login, so with less than 2 a wrong password looks like a silent server.
    type: float
    default: 5
"""
