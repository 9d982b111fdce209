# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed host, whatever the engine: commands, systemd, an isolated place to try things; what is installed, and the host's addresses."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import subprocess
import tempfile
import typing as t

from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused

# An empty network has no addresses: give it the host's own, on loopback, so that what binds here binds there.
_NETWORK = 'ip link set lo up; for a in $1; do ip addr add "$a" dev lo; done; shift; exec "$@"'
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?\Z")
_PYTHON = """
import importlib, sys
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:
        missing.append(name)
print("%d.%d" % sys.version_info[:2], *missing)
"""


def run(argv: t.Sequence[str], timeout: float = 30) -> tuple[int, str]:
    """(exit status, output) of a command; a time-out is status 124."""
    environment = dict(os.environ, LC_ALL="C", PATH=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    try:
        # This runs without Ansible too.
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return 124, "%s: no end within %d s" % (argv[0], timeout)
    except OSError as error:
        return 127, "%s: %s" % (argv[0], error.strerror)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def systemctl(verb: str, service: str, timeout: float) -> None:
    """Start, stop, restart or enable a service. Errors: Refused with the end of its journal."""
    status, text = run(["systemctl", verb, service], timeout)
    if status != 0:
        _status, journal = run(["journalctl", "--unit", service, "--lines", "10", "--no-pager", "--output", "cat"])
        raise Refused("systemctl %s %s failed: %s\n%s" % (verb, service, text.strip(), journal.strip()))


def is_enabled(service: str) -> bool:
    """Whether the service starts with the host."""
    return run(["systemctl", "is-enabled", "--quiet", service])[0] == 0


def apart(user: str, group: str) -> list[str] | None:
    """The command that runs another one as this user in an empty network; None: this host has no way.

    pdeathsig: what is tried never outlives a run that is killed, and does not start where that came before (prctl(2), PR_SET_PDEATHSIG).
    """
    as_user = ["setpriv", "--reuid", user, "--regid", group, "--init-groups", "--pdeathsig", "KILL"]
    _status, text = run(["ip", "-o", "addr", "show", "scope", "global"])
    addresses = " ".join(re.findall(r"inet6? ([^/\s]+)", text))
    network = ["sh", "-c", _NETWORK, "sh", addresses]
    alive = ["sh", "-c", '[ "$PPID" = "$1" ] && shift && exec "$@"', "sh", str(os.getpid())]
    for command in (["unshare", "-n", *network, *as_user, *alive], [*as_user, "unshare", "-rn", *network, *alive]):
        if run([*command, "true"])[0] == 0:
            return command
    return None


def scratch() -> str:
    """Where secrets that are only tried stay in memory."""
    return "/run" if os.access("/run", os.W_OK) else tempfile.gettempdir()


def version_text(argv: t.Sequence[str], package: str = "") -> tuple[bool, str]:
    """(whether the program is there, its words about its version); without it, those of apt-cache about the package, where there is an apt-cache.

    Refused when it does not run.
    """
    status, text = run(argv)
    if status == 0:
        return True, text.strip()
    if status != 127:
        raise Refused("%s failed: %s" % (" ".join(argv), text.strip()))
    status, text = run(["apt-cache", "policy", package]) if package else (1, "")
    return False, text.strip() if status == 0 else ""


def missing_packages(names: t.Sequence[str]) -> list[str]:
    """Those that are not known to be installed: all, where there is no dpkg, and what is more than a name, such as name=version."""
    plain = [name for name in names if _PACKAGE.match(name)]
    _status, text = run(["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package} ${Package}:${Architecture}\n", *plain]) if plain else (1, "")
    installed = {name for line in text.splitlines() if line.startswith("installed ") for name in line.split()[1:]}
    return [name for name in names if name not in installed]


def addresses() -> tuple[str, list[str]]:
    """(the IPv4 address from which the host reaches others, the lines in which `ip` lists all)."""
    _status, route = run(["ip", "-o", "-4", "route", "get", "192.0.2.1"])
    source = re.findall(r"src ([0-9.]+)", route) or run(["hostname", "-I"])[1].split()  # its first one, where there is no way out
    status, listed = run(["ip", "-o", "-4", "addr", "show"])
    if status != 0:
        raise Refused(listed.strip())
    return source[0] if source else "", listed.splitlines()


def python(program: str, modules: t.Iterable[str]) -> tuple[list[int], list[str]]:
    """([major, minor] of a Python, the modules that it cannot import)."""
    status, text = run([program, "-c", _PYTHON, *modules])
    if status != 0:
        raise Refused("%s does not run: %s" % (program, text.strip()))
    found = text.splitlines()[-1].split()
    return [int(part) for part in found[0].split(".")], found[1:]


def user(name: str) -> dict[str, str] | None:
    """{"home", "shell"} of a user; None: there is none."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return None
    return {"home": account.pw_dir, "shell": account.pw_shell}


def sha256(path: str) -> str | None:
    """Of what is in a file; None: there is no such file."""
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
