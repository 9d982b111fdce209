# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the trunks of the plan stand in Asterisk, as ``trunk`` describes them.

Sources: of Asterisk 22 ``funcs/func_pjsip_aor.c``, ``funcs/func_pjsip_contact.c``, ``res/res_pjsip/pjsip_options.c``,
``main/db.c``; of this collection the dialplan that the role asterisk writes, which sets and reads the same marks.
"""

from __future__ import annotations

import re
from collections import Counter

from ansible_collections.siptrunk.failover.plugins.module_utils import marks, registration_asterisk, trunk

# ast_sip_contact_status_type; the others (Unknown, NonQualified, Removed, before 16 also Created) mean: not asked yet.
_STATUS = {"Reachable": trunk.ALIVE, "Unreachable": trunk.DEAD}
# location.c permanent_uri_handler: the AOR's name and the MD5 of the contact's URI
_CONTACT = re.compile(r"[a-z0-9.-]+@@[0-9a-f]{32}")
_CHANNEL = re.compile(r"PJSIP/(?P<trunk>[a-z][a-z0-9-]*)\.[0-9]+(?:\.withheld)?-[0-9a-f]+")
_MICROSECONDS = re.compile(r"[0-9]{1,15}")


def reader(client, trunks):
    """A function that looks anew at each call, as ``trunk.look`` returns it, with an ``ami.AmiClient`` that it connects when needed.

    ``trunks``: those of ``trunk.parse_plan`` to look at. The manager user needs ``write = reporting`` and no more: the actions that
    list contacts and endpoints would need ``system``, and then tell passwords; ``Getvar`` tells the same through functions.
    Errors: those of the client.
    """
    read_registrations = registration_asterisk.reader(client) if any(item["registrations"] for item in trunks) else list

    def read():
        found = read_registrations()
        if not client.connected:
            client.connect()
        tree = client.action_list("DBGetTree", wanted=("DBGetTreeResponse",), Family=trunk.DRAINED)[1]
        channels = client.action_list("CoreShowChannels", wanted=("CoreShowChannel",))[1]
        return trunk.look(trunks, {
            "marks": marks.read(client, trunks),
            "probes": _ask_targets(client, trunks),
            "drained": drains((entry.get("Key"), entry.get("Val")) for entry in tree),
            "channels": count_channels(channel.get("Channel") for channel in channels),
            "registrations": found,
        })

    return read


def _ask_targets(client, trunks):
    """{target id: (probe, rtt)}, from two rounds of Getvar."""
    ids = [target["id"] for item in trunks for target in item["targets"]]
    endpoints = ["PJSIP_ENDPOINT(%s,context)" % id_ for id_ in ids]
    aors = ["PJSIP_AOR(%s,contact)" % id_ for id_ in ids]
    said = _getvars(client, [*endpoints, *aors])
    present = {id_: _CONTACT.match(said[aor]) for id_, endpoint, aor in zip(ids, endpoints, aors) if said[endpoint] and said[aor]}
    contacts = {id_: match.group() for id_, match in present.items() if match}
    status = {id_: "PJSIP_CONTACT(%s,status)" % contact for id_, contact in contacts.items()}
    rtt = {id_: "PJSIP_CONTACT(%s,rtt)" % contact for id_, contact in contacts.items()}
    said = _getvars(client, [*status.values(), *rtt.values()])
    probes = {id_: (trunk.UNKNOWN, None) for id_ in present}
    probes.update({id_: (_STATUS.get(said[status[id_]], trunk.UNKNOWN), milliseconds(said[rtt[id_]])) for id_ in contacts})
    return probes


def _getvars(client, variables):
    return {variable: answer.get("Value") for variable, answer in zip(variables, client.actions("Getvar", "Variable", variables))}


def milliseconds(text):
    """The round trip that Asterisk tells in microseconds, a float; None for "N/A" and anything else."""
    return int(text) / 1000 if _MICROSECONDS.fullmatch(text) else None


def drains(entries):
    """{trunk name: {"by", "at", "why"}} from (key, value) of AstDB, the key with its family as DBGetTree tells it.

    DBGetTree compares with SQL's LIKE, to which "_" is any character and case does not matter: other families come along.
    """
    own = "/%s/" % trunk.DRAINED
    return {key[len(own):]: trunk.drain_mark(value) for key, value in entries if key.startswith(own)}


def count_channels(names):
    """{trunk name: legs up}, a Counter, from the names of channels such as ``PJSIP/acme-east.1-0000001a``."""
    return Counter(match.group("trunk") for match in map(_CHANNEL.fullmatch, names) if match)
