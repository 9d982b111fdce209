# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the trunks of the plan stand in an SBC, as ``trunk`` describes them.

Sources: of Kamailio 6.1 ``dispatch.c`` (flags and latency of a destination), ``dlg_profile.c``; of this collection hunt.lua of the role
sbc, which sets and reads the same marks.
"""

from __future__ import annotations

from ansible_collections.siptrunk.failover.plugins.module_utils import drain_sbc, kamailio, marks, registration_sbc, trunk


_ANSWERED = 10  # seconds after which a probe was answered, or its target is Inactive


def reader(client, trunks):
    """A function that looks anew at each call, as ``trunk.look`` returns it, with a ``kamailio.KamailioClient``.

    ``trunks``: those of ``trunk.parse_plan`` to look at. Errors: those of the client.
    """
    names = [item["name"] for item in trunks]

    def read():
        seen = trunk.look(trunks, {
            "probes": probes(trunks, kamailio.destinations(client), kamailio.uptime(client)),
            "marks": marks.read(client, trunks),
            "drained": drain_sbc.drained(names),
            "channels": drain_sbc.channels(client, names),
            "registrations": registration_sbc.registrations(kamailio.registrations(client)),
        })
        if kamailio.stands_by():
            seen["trunks"] = [{**found, "registered": None, "registrations": []} for found in seen["trunks"]]
        return seen

    return read


def probes(trunks, destinations, uptime):
    """{target id: (probe, rtt in ms or None)}. A target that is not probed needs nothing in Kamailio but the hunt's plan.

    A target starts Active, before anybody was asked; a round trip of less than a millisecond is told as 0, like none. So it is ``uptime``
    that tells one from the other, the seconds since Kamailio started.
    """
    told = {dest["ATTRS"]["DUID"]: dest for dest in destinations}
    found = {}
    for item in trunks:
        interval = item["probe"]["interval"]
        for target in item["targets"]:
            if interval == 0:
                found[target["id"]] = trunk.UNKNOWN, None
            elif target["id"] in told:
                found[target["id"]] = _probe(told[target["id"]], uptime > interval + _ANSWERED)
    return found


def _probe(dest, asked):
    if not kamailio.is_alive(dest):
        return trunk.DEAD, None
    rtt = (dest.get("LATENCY") or {}).get("EST") or 0
    return (trunk.ALIVE, float(rtt)) if rtt or asked else (trunk.UNKNOWN, None)
