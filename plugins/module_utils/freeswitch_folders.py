# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the FreeSWITCH of a host has its folders, whether it runs or not.

They depend on how it was built and started. A build with --prefix=/usr/local/freeswitch reads etc/freeswitch below that, a build without
a prefix reads conf, a package reads /etc/freeswitch, and the unit may pass -conf. FreeSWITCH works it out in switch_core_set_globals()
of libfreeswitch, which fills in what the options (switch.c) have left open in SWITCH_GLOBAL_dirs, and has no other effect.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import typing as t

from ansible_collections.siptrunk.failover.plugins.module_utils.host import run

# The folders that the collection uses, by the names of the members of SWITCH_GLOBAL_dirs. Those of a package of a distribution or of the vendor.
PACKAGED = {"conf": "/etc/freeswitch", "log": "/var/log/freeswitch", "mod": "/usr/lib/freeswitch/mod", "certs": "/etc/freeswitch/tls"}
_OPTIONS = {"-%s" % name: name for name in ("base", *PACKAGED)}
# In a process of its own, so that a library that crashes takes nothing with it. The members are those of switch_types.h, in its order.
_QUESTION = """
import ctypes, json, sys
class Folders(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in (
        "base", "mod", "conf", "log", "run", "db", "script", "temp", "htdocs", "grammar", "storage", "cache", "recordings", "sounds", "lib", "certs")]
library = ctypes.CDLL(sys.argv[1])
folders = Folders.in_dll(library, "SWITCH_GLOBAL_dirs")
for name, path in json.loads(sys.argv[2]).items():
    setattr(folders, name, path.encode())
library.switch_core_set_globals()
print(json.dumps({name: getattr(folders, name).decode() for name in json.loads(sys.argv[3])}))
"""


class FoldersError(Exception):
    """FreeSWITCH does not say where its folders are; the message has the words of the loader or of FreeSWITCH."""


def installed(prefixes: t.Iterable[str]) -> str:
    """The first of these prefixes that has a FreeSWITCH; empty when none has."""
    return next((prefix for prefix in prefixes if os.path.isfile(_binary(prefix))), "")


def folders(prefix: str, service: str = "") -> dict[str, str]:
    """{name: path} with the names of PACKAGED, of the FreeSWITCH below this prefix, as its systemd unit starts it. Errors: FoldersError."""
    _status, linked = run(["ldd", _binary(prefix)])
    library = re.search(r"libfreeswitch\.so\S* => (/\S+)", linked)
    path = library.group(1) if library else os.path.join(prefix, "lib", "libfreeswitch.so.1")
    status, text = run([sys.executable, "-c", _QUESTION, path, json.dumps(_chosen(service)), json.dumps(sorted(PACKAGED))])
    try:
        found = json.loads(text.splitlines()[-1]) if status == 0 else None
    except (IndexError, ValueError):
        found = None
    if not found or not all(map(os.path.isabs, found.values())):
        words = [line.strip() for line in text.splitlines() if line.strip()][-1:] + [line.strip() for line in linked.splitlines() if "not found" in line]
        raise FoldersError("%s cannot be loaded: %s" % (path, "; ".join(words) or "it ended with status %d" % status))
    return {name: os.path.normpath(path) for name, path in found.items()}


def chosen_by(unit: str) -> dict[str, str]:
    """{name: path} of the folders that a systemd unit chooses; `unit`: its ExecStart, Environment and EnvironmentFiles, as systemctl shows them."""
    properties = [line.partition("=")[::2] for line in unit.splitlines()]
    environment: dict[str, str] = {}
    for name, value in properties:
        if name == "Environment":
            environment.update(_assignments(value))
    for name, value in properties:
        if name == "EnvironmentFiles":
            environment.update(_assignments(_read(value.partition(" (")[0])))
    words = [argv for name, value in properties if name == "ExecStart" for argv in re.findall(r"argv\[\]=(.*?) ; ", value)]
    words = re.sub(r"\$\{?(\w+)\}?", lambda match: environment.get(match.group(1), ""), " ".join(words)).split()
    words += environment.get("FREESWITCH_OPTS", "").split()  # which FreeSWITCH takes for further options
    return {_OPTIONS[word]: path for word, path in zip(words, words[1:]) if word in _OPTIONS}


def _chosen(service: str) -> dict[str, str]:
    if not service:
        return {}
    status, text = run(["systemctl", "show", service, "--property", "ExecStart,Environment,EnvironmentFiles"])
    return chosen_by(text) if status == 0 else {}


def _assignments(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # a quotation mark without its pair: systemd ignores such a line, and so do we all of them
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _binary(prefix: str) -> str:
    return os.path.join(prefix, "bin", "freeswitch")
