# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment needs of the managed host, whatever the engine: commands, systemd, a place apart to try things."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused

# An empty network has no addresses: give it the host's own, on loopback, so that what binds here binds there.
_NETWORK = 'ip link set lo up; for a in $1; do ip addr add "$a" dev lo; done; shift; exec "$@"'


def run(argv, timeout=30):
    """(exit status, output) of a command; a time-out is status 124."""
    environment = dict(os.environ, LC_ALL="C", PATH=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return 124, "%s: no end within %d s" % (argv[0], timeout)
    except OSError as error:
        return 127, "%s: %s" % (argv[0], error.strerror)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def systemctl(verb, service, timeout):
    """Start, stop, restart or enable a service. Errors: Refused with the end of its journal."""
    status, text = run(["systemctl", verb, service], timeout)
    if status != 0:
        _status, journal = run(["journalctl", "--unit", service, "--lines", "10", "--no-pager", "--output", "cat"])
        raise Refused("systemctl %s %s failed: %s\n%s" % (verb, service, text.strip(), journal.strip()))


def is_enabled(service):
    """Whether the service starts with the host."""
    return run(["systemctl", "is-enabled", "--quiet", service])[0] == 0


def apart(user, group):
    """The command that runs another one as this user in an empty network; None: this host has no way.

    pdeathsig: what is tried never outlives a run that is killed.
    """
    as_user = ["setpriv", "--reuid", user, "--regid", group, "--init-groups", "--pdeathsig", "KILL"]
    _status, text = run(["ip", "-o", "addr", "show", "scope", "global"])
    addresses = " ".join(re.findall(r"inet6? ([^/\s]+)", text))
    network = ["sh", "-c", _NETWORK, "sh", addresses]
    for command in (["unshare", "-n", *network, *as_user], [*as_user, "unshare", "-rn", *network]):
        if run([*command, "true"])[0] == 0:
            return command
    return None


def scratch():
    """Where secrets that are only tried stay in memory."""
    return "/run" if os.access("/run", os.W_OK) else tempfile.gettempdir()
