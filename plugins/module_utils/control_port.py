# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a module that asks a running phone system, and the client they lead to.

The documentation of the options is the fragment ``siptrunk.failover.control_port``.
"""

from __future__ import annotations

import math

from ansible_collections.siptrunk.failover.plugins.module_utils import ami

ARGUMENTS = {
    "engine": {"type": "str", "choices": ["asterisk"], "default": "asterisk"},
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 5038},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "connect_timeout": {"type": "float", "default": 5},
}
ONE_PASSWORD = [("password", "password_file")]

# What an action needs besides the core of Asterisk.
_ASTERISK_MODULES = {"PJSIPShowRegistrationsOutbound": "res_pjsip_outbound_registration"}


def asterisk_client(module):
    """An ``ami.AmiClient`` for the options of an AnsibleModule, not connected. A password from a file is hidden like the option.

    Errors: ValueError that names the option.
    """
    params = module.params
    password = params["password"]
    if params["password_file"]:
        password = read_password(params["password_file"])
    # A null, from a variable that is empty, passes for a required option.
    for option, value in (("username", params["username"]), ("password_file" if params["password_file"] else "password", password)):
        if not value:
            raise ValueError("%s: must not be empty" % option)
    module.no_log_values.add(password)
    if not 1 <= params["port"] <= 65535:
        raise ValueError("port: %d is not a port, which is 1 to 65535" % params["port"])
    check_seconds(params, "connect_timeout", 0.01)
    return ami.AmiClient(
        params["host"], params["port"], params["username"], password,
        connect_timeout=params["connect_timeout"], answer_timeout=params["connect_timeout"],
    )


def read_password(path):
    """The first line of a file. Errors: ValueError that names the option."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.readline().strip()
    except (OSError, ValueError) as exc:
        raise ValueError("password_file: %s" % exc) from None


def check_seconds(params, option, lowest):
    """Errors: ValueError that names the option when it is no finite number of at least ``lowest``."""
    if not (math.isfinite(params[option]) and params[option] >= lowest):
        raise ValueError("%s: %s is not a number of seconds of %s or more" % (option, params[option], lowest))


def explain(exc):
    """The text of an AmiError, with the remedy where it is known."""
    if not isinstance(exc, ami.AmiActionError):
        return str(exc)
    needed = _ASTERISK_MODULES.get(exc.action)
    return "%s. The manager user needs write = reporting%s" % (exc, ", and Asterisk the module %s" % needed if needed else "")
