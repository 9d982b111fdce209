# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading an operator's Asterisk configuration files, as Asterisk's own parser does (main/config.c).

A section is {"name": str, "file": str, "line": int, "template": bool, "options": {key: last value}, "addition": None, or the type of
the section elsewhere to which it adds, such as "endpoint" of [acme.1](+type=endpoint); "" where it names none}.
"""

from __future__ import annotations

import glob
import itertools
import os
import re

_SECTION = re.compile(r"\[([^\]]+)\]\s*(?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"#(?:try)?include\s+[\"<]?([^\">]+)[\">]?")
_MAX_DEPTH = 10
_OWN_SUFFIX = re.compile(r"(\.[0-9]+(\.withheld|\.calls)?|\.probe)$")
_ADDRESS = re.compile(r"(?:\[(.*)\]|([^:]*))(?::([0-9]+))?")
_ALL_HOSTS = {"0.0.0.0", "::"}


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
            adds_to = next((flag for flag in flags if flag.startswith("+")), None)
            addition = None if adds_to is None else adds_to.partition("type=")[2].strip()
            if adds_to and section.group(1) in named and named[section.group(1)]["addition"] in (None, addition):
                sections.append(sections.pop(sections.index(named[section.group(1)])))
                continue
            options = {}
            for base in flags:
                options.update(named[base]["options"] if base in named else {})
            sections.append(
                {"name": section.group(1), "file": path, "line": number, "template": "!" in flags, "options": options, "addition": addition}
            )
        elif "=" in line and sections:
            key, _sep, value = line.partition("=")
            sections[-1]["options"][key.rstrip("+ \t").strip().lower()] = value.lstrip(">").strip()
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


def pjsip_clashes(sections, own_names, transports, timers, reserved=None):
    """What of the operator's pjsip.conf would clash with ours, as sentences.

    own_names: names of our sections, which may also end in a dot and a number, or in ".probe". The operator may add options to ours, but for
    those that are `reserved`: {type of a section: [option on which failover depends]}. transports: {protocol: {"bind": address, "name": that of
    a transport of the operator's, to be used instead of one of ours}} of the trunks; also "tls_wildcard", whose protocol is tls.
    timers: {"timer_t1": ms, "timer_b": ms} that the plan needs.
    """
    named = {key: transport["name"] for key, transport in transports.items() if transport.get("name")}
    made = {key: _address(transport["bind"], _protocol(key)) for key, transport in sorted(transports.items()) if key not in named}
    for one, other in itertools.combinations([key for key in made if key != "udp"], 2):
        if _overlap(made[one], made[other]):
            yield "asterisk_transports: %s and %s would listen on the same port, %d; give one of them another bind." % (one, other, made[one][1])
    if "tls" in named and named["tls"] == named.get("tls_wildcard"):
        yield (
            "asterisk_transports: tls and tls_wildcard both have the name '%s', and a transport accepts wildcard certificates for every trunk on it or "
            "for none; name another transport for one of them." % named["tls"]
        )
    for section in sections:
        if section["template"]:
            continue
        where = "%s line %d: [%s]" % (section["file"], section["line"], section["name"])
        kind = section["options"].get("type", "")
        ours = _OWN_SUFFIX.sub("", section["name"]) in own_names
        if ours and section["addition"] is not None:
            kept = {option for name, options in (reserved or {}).items() if section["addition"] in ("", name) for option in options}
            for option in sorted(kept & set(section["options"])):
                yield "%s changes %s, on which failover depends; remove that line." % (where, option)
        elif ours:
            yield "%s has the name of a trunk; rename the trunk or the section." % where
        elif kind == "system":
            wrong = [key for key, value in sorted(timers.items()) if section["options"].get(key) != str(value)]
            if wrong:
                asked = ", ".join("%s=%d" % (key, timers[key]) for key in sorted(timers))
                yield "%s sets the timers of SIP; only one section may. Write %s there, or remove the section." % (where, asked)
        elif kind == "transport":
            for clash in _transport_clashes(section["name"], section["options"], made, named):
                yield where + " " + clash


def _transport_clashes(name, options, made, named):
    """What of a transport of the operator's clashes, with made: {protocol: (host, port)} of ours, and named: {protocol: name of the one to use}."""
    protocol = options.get("protocol", "udp")
    address = _address(options.get("bind", ""), protocol)
    for key in made:
        if _protocol(key) == protocol and _overlap(address, made[key]):
            needs = " (it needs allow_wildcard_certs=yes)" if key == "tls_wildcard" else ""
            yield (
                "listens on the same %s port as the trunks' own transport. "
                "Set asterisk_transports.%s.name to '%s' to use it%s, or another bind." % (protocol, key, name, needs)
            )
    users = [key for key in ("tls", "tls_wildcard") if named.get(key) == name]
    accepts = is_true(options.get("allow_wildcard_certs", ""))
    if users == ["tls"] and accepts:
        yield (
            "has allow_wildcard_certs=yes, and asterisk_transports.tls.name is '%s': trunks without tls.wildcard would accept wildcard certificates. "
            "Remove that line, or name another transport." % name
        )
    elif users == ["tls_wildcard"] and not accepts:
        yield "lacks allow_wildcard_certs=yes, and asterisk_transports.tls_wildcard.name is '%s'. Add that line, or name another transport." % name


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


def is_true(value):
    """Whether Asterisk reads a value as yes (main/utils.c, ast_true)."""
    return value.lower() in ("yes", "true", "y", "t", "1", "on")


def _protocol(key):
    return key.partition("_")[0]


def _address(bind, protocol):
    """(host, port) of a transport's bind."""
    match = _ADDRESS.fullmatch(bind)
    host, port = (match.group(1) or match.group(2) or "", match.group(3)) if match else (bind, None)
    return host, int(port or (5061 if protocol == "tls" else 5060))


def _overlap(one, other):
    """Whether two sockets of a protocol cannot be bound to both addresses."""
    return one[1] == other[1] and (one[0] == other[0] or not _ALL_HOSTS.isdisjoint((one[0], other[0])))
