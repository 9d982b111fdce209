# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the trunks of the plan stand in FreeSWITCH, as ``trunk`` describes them.

A target has a gateway of its own name for its calls, and where it is probed another with ``.probe``.

Sources: of FreeSWITCH 1.10.12 ``sofia.c`` (``sofia_handle_sip_r_options``), ``mod_hash.c``, ``mod_db.c``; of this collection the
dialplan that the role freeswitch writes, which sets and reads the same marks.
"""

from __future__ import annotations

import re

from ansible_collections.siptrunk.failover.plugins.module_utils import marks, registration_freeswitch, sofia, trunk
from ansible_collections.siptrunk.failover.plugins.module_utils.session import encoded

_PROBE = "%s.probe"
_DRAINED = "db list/%s" % trunk.DRAINED
_WHY_DRAINED = "db select/%s/%%s" % trunk.DRAINED
_CHANNELS = "limit_usage hash siptrunk %s"
# When a probe began stands in FreeSWITCH's own time, which does not follow the host's clock when that is set (switch_time.c).
_EPOCH = "strepoch"

_COUNT = re.compile(r"[0-9]{1,9}")
_MILLISECONDS = re.compile(r"[0-9]{1,9}\.[0-9]+")
_SECONDS = re.compile(r"[0-9]{1,18}")

# A probe that is challenged never ends for FreeSWITCH (sofia.c, ``destroy_nh``): the target keeps the state it had, and is not probed any
# more. Silence ends one after 32 seconds at the most, so one that began longer ago was challenged, and a challenge is an answer.
_CHALLENGED_AFTER = 40

# mod_db cuts what it tells to its buffers: the keys of a realm to 4096 bytes with two for the end, a value to 256 with one.
_LONGEST_LIST = 4094
_LONGEST_VALUE = 255


def reader(client, trunks):
    """A function that looks anew at each call, as ``trunk.look`` returns it, with an ``esl.EslClient`` that it connects when needed.

    ``trunks``: those of ``trunk.parse_plan`` to look at.
    Errors: those of the client.
    """
    names = [item["name"] for item in trunks]
    has_registrations = any(item["registrations"] for item in trunks)

    def read():
        if not client.connected:
            client.connect()
        standing = marks.read(client, trunks)
        epoch, status, listed, *usage = client.apis([_EPOCH, sofia.STATUS, _DRAINED, *(_CHANNELS % name for name in names)])
        now = marks.seconds(epoch)
        if now is None:
            raise client.strange(_EPOCH, epoch)
        gateways = sofia.read_gateways(client, status)
        drained = drained_names(listed, names)
        return trunk.look(trunks, {
            "probes": probes(trunks, gateways, now),
            "marks": standing,
            "drained": drains(zip(drained, client.apis([_WHY_DRAINED % name for name in drained]))),
            "channels": {name: _count(client, _CHANNELS % name, text) for name, text in zip(names, usage)},
            "registrations": registration_freeswitch.registrations(gateways) if has_registrations else [],
        })

    return read


def probes(trunks, gateways, now):
    """{target id: (probe, rtt in ms or None)} of the targets that have their gateways, from ``sofia.gateways``.

    ``now``: the second of FreeSWITCH's own clock.
    """
    found = {}
    for item in trunks:
        is_probed = item["probe"]["interval"] != 0
        for target in item["targets"]:
            probe = gateways.get(_PROBE % target["id"])
            if target["id"] in gateways and (probe or not is_probed):
                found[target["id"]] = _probe(probe, now) if is_probed else (trunk.UNKNOWN, None)
    return found


def _probe(gateway, now):
    began = gateway.get("ping", "")
    if gateway.get("pinging") == "1" and _SECONDS.fullmatch(began) and now - int(began) > _CHALLENGED_AFTER:
        return trunk.ALIVE, None
    if gateway.get("status") == "DOWN":
        return trunk.DEAD, None
    # A gateway starts UP with a count of 0, and its first answer makes that 1.
    if gateway.get("status") != "UP" or not _COUNT.fullmatch(gateway.get("pingcount", "")) or int(gateway["pingcount"]) == 0:
        return trunk.UNKNOWN, None
    rtt = gateway.get("pingtime", "")
    return trunk.ALIVE, float(rtt) if _MILLISECONDS.fullmatch(rtt) else None


def drained_names(listed, names):
    """Those of the trunks' ``names`` that may be drained, in their order, from the answer of ``db list``."""
    if len(encoded(listed)) >= _LONGEST_LIST:
        return names
    keys = set(listed.split(","))
    return [name for name in names if name in keys]


def drains(entries):
    """{trunk name: {"by", "at", "why"}} from (name, value); one without a value is not drained."""
    return {name: drain_mark(value) for name, value in entries if value}


def drain_mark(text):
    """As ``trunk.drain_mark``; what mod_db cut off in the midst of the last text is left out."""
    mark = trunk.drain_mark(text)
    if mark["why"] == text and len(encoded(text)) >= _LONGEST_VALUE:
        whole = trunk.drain_mark(text + '"}')
        return mark if whole["why"] == text + '"}' else whole
    return mark


def _count(client, command, text):
    if not _COUNT.fullmatch(text):
        raise client.strange(command, text)
    return int(text)
