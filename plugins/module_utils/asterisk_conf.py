# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading an operator's Asterisk configuration files, as Asterisk's own parser does (main/config.c).

A section is {"name": str, "file": str, "line": int, "template": bool, "options": {key: last value}}.
"""

from __future__ import annotations

import glob
import os
import re

_SECTION = re.compile(r"\[([^\]]+)\]\s*(?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"#(?:try)?include\s+[\"<]?([^\">]+)[\">]?")
_MAX_DEPTH = 10


def read_sections(directory, name, skip=""):
    """The sections of `name` in `directory` and of the files it includes, in order.

    Files below the folder `skip` are left out. A missing file has no sections.
    """
    sections = []
    for path, number, line in _lines(directory, name, skip, 0):
        section = _SECTION.match(line)
        if section:
            flags = [flag.strip() for flag in (section.group(2) or "").split(",") if flag.strip()]
            named = {known["name"]: known for known in sections}
            if "+" in flags and section.group(1) in named:
                sections.append(sections.pop(sections.index(named[section.group(1)])))
                continue
            options = {}
            for base in flags:
                options.update(named[base]["options"] if base in named else {})
            sections.append({"name": section.group(1), "file": path, "line": number, "template": "!" in flags, "options": options})
        elif "=" in line and sections:
            key, _sep, value = line.partition("=")
            sections[-1]["options"][key.strip().lower()] = value.lstrip(">").strip()
    return sections


def _lines(directory, name, skip, depth):
    """(file, number, line) of a file and of what it includes, without comments and empty lines."""
    path = os.path.join(directory, name)
    if depth > _MAX_DEPTH or (skip and os.path.abspath(path).startswith(os.path.abspath(skip) + os.sep)):
        return
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return
    # ;-- ... --; is a comment over several lines; one that is never closed runs to the end
    text = re.sub(r"(?<!\\);--(?!-).*?(?:--;|\Z)", lambda match: "\n" * match.group(0).count("\n"), text, flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), start=1):
        bare = re.split(r"(?<!\\);", line, maxsplit=1)[0].strip()
        include = _INCLUDE.match(bare)
        if include:
            for found in sorted(glob.glob(os.path.join(directory, include.group(1).strip()))):
                yield from _lines(directory, found, skip, depth + 1)
        elif bare:
            yield path, number, bare


def pjsip_clashes(sections, own_names, transports, timers):
    """What of the operator's pjsip.conf would clash with ours, as sentences.

    own_names: names of our sections, which may also end in a dot and a number. transports: {protocol: {"bind": address}} that we make.
    timers: {"timer_t1": ms, "timer_b": ms} that the plan needs.
    """
    for section in sections:
        if section["template"]:
            continue
        where = "%s line %d: [%s]" % (section["file"], section["line"], section["name"])
        kind = section["options"].get("type", "")
        if re.sub(r"\.[0-9]+$", "", section["name"]) in own_names:
            yield "%s has the name of a trunk; rename the trunk or the section." % where
        elif kind == "system":
            wrong = [key for key, value in sorted(timers.items()) if section["options"].get(key) != str(value)]
            if wrong:
                asked = ", ".join("%s=%d" % (key, timers[key]) for key in sorted(timers))
                yield "%s sets the timers of SIP; only one section may. Write %s there, or remove the section." % (where, asked)
        elif kind == "transport":
            protocol = section["options"].get("protocol", "udp")
            ours = transports.get(protocol)
            if ours and _port(section["options"].get("bind", "")) == _port(ours["bind"]):
                yield (
                    "%s listens on the same %s port as the trunks' own transport. "
                    "Set asterisk_transports.%s.name to '%s' to use it, or another bind." % (where, protocol, protocol, section["name"])
                )


def chan_sip_clashes(sections):
    """What of the operator's sip.conf says that chan_sip is in use, as a sentence."""
    for section in sections:
        if not section["template"] and (section["options"].get("type") in ("peer", "friend", "user") or "register" in section["options"]):
            yield (
                "%s line %d: [%s] belongs to chan_sip, which answers on SIP's port and has been gone since Asterisk 21. Convert it with "
                "contrib/scripts/sip_to_pjsip/sip_to_pjsip.py of Asterisk's sources, say noload = chan_sip.so in modules.conf, and rename sip.conf."
                % (section["file"], section["line"], section["name"])
            )
            return


def _port(bind):
    return int(bind.rpartition(":")[2]) if re.search(r":\d+$", bind) else 5060
