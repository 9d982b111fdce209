# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a module that asks a running phone system, and the client they lead to.

The documentation of the options is the fragment ``siptrunk.failover.control_port``.
"""

from __future__ import annotations

import math

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, esl, kamailio

PORTS = {"asterisk": 5038, "freeswitch": 8021}
ARGUMENTS = {
    "engine": {"type": "str", "choices": [*PORTS, "sbc"], "default": "asterisk"},
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "connect_timeout": {"type": "float", "default": 5},
}
NEEDED = [("engine", "asterisk", ["username"]), *(("engine", engine, ["password", "password_file"], True) for engine in PORTS)]
ONE_PASSWORD = [("password", "password_file")]

# What an action needs besides the core of Asterisk.
_ASTERISK_MODULES = {"PJSIPShowRegistrationsOutbound": "res_pjsip_outbound_registration"}
# What an action of a user with reporting alone is refused.
_NEED_SYSTEM = ("DBPut", "DBDel")
# What has the commands that are not in the core of FreeSWITCH.
_FREESWITCH_MODULES = {"sofia": "mod_sofia", "hash_dump": "mod_hash", "db": "mod_db", "limit_usage": "mod_commands", "strepoch": "mod_commands"}
_NO_COMMAND = "Command not found!"


def client(module):
    """A ``session.Session`` for the options of an AnsibleModule, not connected. A password from a file is hidden like the option.

    Errors: ValueError that names the option.
    """
    params = module.params
    check_seconds(params, "connect_timeout", 0.01)
    if params["engine"] == "sbc":
        return kamailio.KamailioClient(timeout=params["connect_timeout"])
    password = params["password"]
    if params["password_file"]:
        password = read_password(params["password_file"])
    needed = [("password_file" if params["password_file"] else "password", password)]
    if params["engine"] == "asterisk":
        needed.insert(0, ("username", params["username"]))
    # A null, from a variable that is empty, passes for a required option.
    for option, value in needed:
        if not value:
            raise ValueError("%s: must not be empty" % option)
    module.no_log_values.add(password)
    port = PORTS[params["engine"]] if params["port"] is None else params["port"]
    if not 1 <= port <= 65535:
        raise ValueError("port: %d is not a port, which is 1 to 65535" % port)
    timeouts = {"connect_timeout": params["connect_timeout"], "answer_timeout": params["connect_timeout"]}
    if params["engine"] == "freeswitch":
        return esl.EslClient(params["host"], port, password, **timeouts)
    return ami.AmiClient(params["host"], port, params["username"], password, **timeouts)


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
    """The text of a ``session.SessionError``, with the remedy where it is known."""
    if isinstance(exc, ami.AmiActionError):
        needed = _ASTERISK_MODULES.get(exc.action)
        classes = "reporting,system" if exc.action in _NEED_SYSTEM else "reporting"
        return "%s. The manager user needs write = %s%s" % (exc, classes, ", and Asterisk the module %s" % needed if needed else "")
    if isinstance(exc, esl.EslActionError) and exc.reason.endswith(_NO_COMMAND) and exc.action in _FREESWITCH_MODULES:
        return "%s FreeSWITCH needs the module %s" % (exc, _FREESWITCH_MODULES[exc.action])
    return str(exc)
