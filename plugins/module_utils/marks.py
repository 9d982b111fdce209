# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The marks in a running phone system for which calls pass over a target or a trunk.

A mark is ``(kind, name)`` and has the epoch second until which it holds, so that one which nobody renews runs out. Its name is
``target_name`` for ``COOL`` and ``HELD``, the name of a trunk for ``CLOSED`` and ``TRIAL``:

``COOL``    a call found the target silent or unreachable; the hunt itself sets this one
``HELD``    the target was down, and is not trusted yet
``CLOSED``  calls through the trunk failed, whatever its probes say
``TRIAL``   one call at a time may ask the trunk

Asterisk has them in global variables, FreeSWITCH in mod_hash, Kamailio in a table of htable.
"""

from __future__ import annotations

import re
import time

from ansible_collections.siptrunk.failover.plugins.module_utils import ami, kamailio

COOL = "cool"
HELD = "held"
CLOSED = "closed"
TRIAL = "trial"
OF_TARGETS = (COOL, HELD)
OF_TRUNKS = (CLOSED, TRIAL)
KINDS = OF_TARGETS + OF_TRUNKS

DUMP = "hash_dump db siptrunk"
"""The command with which FreeSWITCH tells all marks, for ``dumped``."""

TABLE = "marks"
"""Kamailio's table."""

_EPOCH = "strepoch"
_SECONDS = re.compile(r"([0-9]{1,20})(?:\.[0-9]*)?")
_NAME = re.compile(r"[0-9A-Za-z.:_-]{1,64}")
# hash_dump also tells the realms whose names only contain what was asked for.
_DUMPED = re.compile(r"^D/siptrunk_(?P<kind>%s)_(?P<name>%s)/(?P<until>[0-9.]+)$" % ("|".join(KINDS), _NAME.pattern), re.MULTILINE)


def target_name(address, port, transport):
    """The name of a target in a mark: its address, for trunks that share it share its health."""
    return "%s_%d_%s" % (address, port, transport)


def names(trunks):
    """All marks that there may be, a list without doubles, of the plan's trunks (``trunk.parse_plan``)."""
    targets = [target_name(target["address"], target["port"], item["transport"]) for item in trunks for target in item["targets"]]
    found = [(kind, name) for kind in OF_TARGETS for name in targets] + [(kind, item["name"]) for kind in OF_TRUNKS for item in trunks]
    return list(dict.fromkeys(found))


def seconds(text):
    """Whole seconds as a dialplan writes them, an int, or None."""
    match = _SECONDS.fullmatch(text)
    return int(match.group(1)) if match else None


def put(client, until):
    """Set marks, {(kind, name): epoch second; 0 takes it away}, over an open ``ami.AmiClient``, ``esl.EslClient`` or ``kamailio.KamailioClient``.

    In Asterisk the manager user needs ``write = call``.
    Errors: ValueError for what is no mark, before any is set; those of the client.
    """
    for kind, name in until:
        if kind not in KINDS or not _NAME.fullmatch(name):
            raise ValueError("%s is no mark" % ascii((kind, name)))
    if isinstance(client, ami.AmiClient):
        for mark, second in until.items():
            client.action("Setvar", Variable=variable(mark), Value=int(second))
    elif isinstance(client, kamailio.KamailioClient):
        for mark, second in until.items():
            client.ask("htable.seti", TABLE, "%s:%s" % mark, int(second))
    else:
        client.apis(["hash insert/siptrunk_%s/%s/%d" % (*mark, second) for mark, second in until.items()])


def read(client, trunks):
    """The marks that stand, {(kind, name): epoch second}, by the engine's own clock, as in its dialplan; over an open session.

    ``trunks``: those of the plan to look at. In Asterisk the manager user needs ``write = reporting``. Errors: those of the client.
    """
    marks = names(trunks)
    if isinstance(client, kamailio.KamailioClient):
        until, now = tabled(client.ask("htable.dump", TABLE)), time.time()  # on the same host
        return {mark: until[mark] for mark in marks if (until.get(mark) or 0) > now}
    if isinstance(client, ami.AmiClient):
        epoch, *said = (answer.get("Value") for answer in client.actions("Getvar", "Variable", ["EPOCH", *map(getvar, marks)]))
        until = dict(zip(marks, map(seconds, said)))
    else:
        epoch, said = client.apis([_EPOCH, DUMP])
        until = dumped(said)
    now = seconds(epoch)
    if now is None:
        raise client.strange("EPOCH" if isinstance(client, ami.AmiClient) else _EPOCH, epoch)
    return {mark: until[mark] for mark in marks if (until.get(mark) or 0) > now}


def variable(mark):
    """The name of Asterisk's global variable."""
    return "SIPTRUNK_%s_%s" % (mark[0].upper(), mark[1])


def getvar(mark):
    """What Getvar asks for: the global variable, and no expression."""
    return "GLOBAL(%s)" % variable(mark)


def dumped(text):
    """{mark: epoch second} from FreeSWITCH's answer to ``DUMP``, past ones included."""
    found = {(match.group("kind"), match.group("name")): seconds(match.group("until")) for match in _DUMPED.finditer(text)}
    return {mark: until for mark, until in found.items() if until is not None}


def tabled(buckets):
    """{mark: epoch second} from Kamailio's answer to ``htable.dump``."""
    entries = [entry for bucket in buckets or [] for entry in bucket["slot"]]
    return {tuple(entry["name"].split(":", 1)): seconds(str(entry["value"])) for entry in entries if ":" in entry["name"]}
