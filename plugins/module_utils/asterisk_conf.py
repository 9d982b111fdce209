# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading an operator's Asterisk configuration files, as Asterisk's own parser does (main/config.c).

A section is {"name": str, "file": str, "line": int, "template": bool, "options": {key: last value}, "lines": [(key, value, file, line)] in
order, "addition": None, or the type of the section elsewhere to which it adds, such as "endpoint" of [acme.1](+type=endpoint); "" where
it names none}. What comes from a template counts as written in the section.
"""

from __future__ import annotations

import glob
import ipaddress
import itertools
import os
import re
import socket
from concurrent.futures import ThreadPoolExecutor

_SECTION = re.compile(r"\[([^\]]+)\]\s*(?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"#(?:try)?include\s+[\"<]?([^\">]+)[\">]?")
_MAX_DEPTH = 10
_OWN_SUFFIX = re.compile(r"(\.[0-9]+(\.withheld|\.calls)?|\.probe)$")
_ADDRESS = re.compile(r"(?:\[(.*)\]|([^:]*))(?::([0-9]+))?")
_ALL_HOSTS = {"0.0.0.0", "::"}
_STREAMS = {"tcp", "tls"}
_URI = re.compile(r"[^<]*?<?sips?:(?:([^@>]*)@)?(\[[^\]]*\]|[^:;?>\\\s]+)", re.IGNORECASE)


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
            options, lines = {}, []
            for base in flags:
                options.update(named[base]["options"] if base in named else {})
                lines.extend(named[base]["lines"] if base in named else [])
            sections.append(
                {"name": section.group(1), "file": path, "line": number, "template": "!" in flags, "options": options, "lines": lines, "addition": addition}
            )
        elif "=" in line and sections:
            key, _sep, value = line.partition("=")
            key, value = key.rstrip("+ \t").strip().lower(), value.lstrip(">").strip()
            sections[-1]["options"][key] = value
            sections[-1]["lines"].append((key, value, path, number))
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


def addresses_of(name):
    """The addresses of a host name, as this host finds them; none where it finds none."""
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(name, None)})
    except (OSError, UnicodeError):
        return []


def trunk_clashes(sections, own_names, trunks, lookup=addresses_of):
    """Which of the operator's sections take calls that are a trunk's, or register its account a second time, as sentences.

    trunks: as the plan has them. own_names: as for pjsip_clashes, which reports sections of those names. lookup(host name): its addresses.

    Where two sections of type=identify match an address, Asterisk 22 takes the one whose name sorts first, however specific the other is (measured).
    """
    claims = [(*_range(network), trunk["name"], network) for trunk in trunks for network in trunk["inbound"]["from"]]
    known = {}  # of a trunk's own names Asterisk looks up SRV as well
    for trunk in trunks:
        for target in trunk["targets"]:
            for name in (trunk["domain"], target["host"]):
                known.setdefault(_bare(name or ""), []).append(target["address"])
    theirs = [section for section in sections if not section["template"] and _OWN_SUFFIX.sub("", section["name"]) not in own_names]
    identifies = {
        id(section): _matches(section)
        for section in theirs
        if section["options"].get("type") == "identify" and _OWN_SUFFIX.sub("", section["options"].get("endpoint", "")) not in own_names
    }
    names = sorted({match for matches in identifies.values() for match, _included in matches if not _range(match)})
    with ThreadPoolExecutor(16) as pool:  # a name server that is silent costs its time once
        found = dict(zip(names, pool.map(lambda name: known.get(_bare(name)) or lookup(name), names)))
    for section in theirs:
        where = "%s line %d: [%s]" % (section["file"], section["line"], section["name"])
        if id(section) in identifies:
            hits = _taken(identifies[id(section)], claims, found)
            if hits:
                match, trunk, network = hits[0]
                yield (
                    "%s identifies calls from %s, which are the trunk '%s'%s, as the endpoint '%s'. Asterisk takes whichever section's name comes first: "
                    "calls would count for no trunk and could leave through one, or no longer reach that endpoint. "
                    "Remove that match, or exclude the trunk after it: match = !%s"
                    % (where, match, trunk, " (and %d more)" % (len(hits) - 1) if hits[1:] else "", section["options"].get("endpoint", ""), network)
                )
        elif section["options"].get("type") == "registration":
            for trunk in trunks:
                if trunk["registrations"] and _registers(section["options"], trunk):
                    yield (
                        "%s registers the account '%s', which the trunk '%s' registers at the same server; a carrier sends calls to either, "
                        "or keeps only one. Remove the section, or set register: false on the trunk."
                        % (where, trunk["account"]["username"], trunk["name"])
                    )


def _matches(section):
    """[(address, network or host name, whether it is included)] of a section of type=identify, in order."""
    texts = [text.strip() for key, value, _file, _line in section["lines"] if key == "match" for text in value.split(",")]
    return [(text.lstrip("!").strip(), not text.startswith("!")) for text in texts if text.strip("! ")]


def _taken(matches, claims, found):
    """[(match, name of a trunk, its address or network)] that a section of these matches takes; what is excluded after is not taken."""
    taken = {}
    for match, included in matches:
        for address in [match] if _range(match) else found.get(match, []):
            span = _range(address)
            for first, last, trunk, network in claims if span else ():
                if included and span[0] <= last and first <= span[1]:
                    taken[network] = (match if _range(match) else "%s (%s)" % (match, address), trunk, network)
                elif not included and span[0] <= first and last <= span[1]:
                    taken.pop(network, None)
    return list(taken.values())


def _bare(name):
    return name.rstrip(".").lower()


def _range(text):
    """(first, last) of an address or a network, as numbers, where none of IPv6 is one of IPv4; () for a host name."""
    try:
        network = ipaddress.ip_network(re.sub(r"^(\d+\.\d+\.\d+\.\d+):\d+$", r"\1", text.strip("[]")), strict=False)
    except ValueError:
        return ()
    offset = (1 << 128) if network.version == 6 else 0
    return int(network.network_address) + offset, int(network.broadcast_address) + offset


def _registers(options, trunk):
    """Whether a section of type=registration is for the account of a trunk, at a server of the trunk's."""
    client = _URI.match(options.get("client_uri", ""))
    hosts = {_bare(name) for target in trunk["targets"] for name in (target["host"], target["address"])} | {_bare(trunk["domain"] or "")}
    servers = [_URI.match(options.get(key, "")) for key in ("server_uri", "outbound_proxy")]
    return bool(
        client and client.group(1) == trunk["account"]["username"] and any(server and _bare(server.group(2)) in hosts for server in servers)
    )


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
        elif {_protocol(key), protocol} == _STREAMS and _overlap(address, made[key]):
            yield "listens on the same port as the trunks' own transport of %s; give it, or asterisk_transports.%s, another bind." % (_protocol(key), key)
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
