# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateways of the Sofia profile ``siptrunk``, from ``sofia xmlstatus gateway``.

The text looks like XML and is none: FreeSWITCH escapes some of its values and not others.

Source: ``mod_sofia.c`` (``xml_gateway_status``) of FreeSWITCH 1.10.12.
"""

from __future__ import annotations

import re

PROFILE = "siptrunk"

# All gateways in one answer, each as "sofia xmlstatus gateway NAME" tells it.
STATUS = "sofia xmlstatus gateway"
# Answers "Invalid Profile!" unless the profile runs.
RUNNING = "sofia xmlstatus profile %s" % PROFILE

_BEGIN = "<gateways>"
_GATEWAY = re.compile(r"^  <gateway>\n(.*?)^  </gateway>$", re.MULTILINE | re.DOTALL)
# By whole lines: a value that was not escaped may hold what looks like an element.
_ELEMENT = re.compile(r"^    <(name|profile|from|proxy|ping|pingcount|pingtime|pinging|state|status|retry|uptime-usec)>(.*)</\1>$", re.MULTILINE)


def is_running(text):
    """Whether the profile runs, from the answer to ``RUNNING``."""
    return "<profile>" in text


def gateways(text):
    """{name: {element: value}} of the profile's gateways, from the answer to ``STATUS``.

    Values are as FreeSWITCH wrote them. Errors: ValueError when it is no such answer.
    """
    if _BEGIN not in text[:200]:
        raise ValueError("no list of gateways")
    found = {}
    for match in _GATEWAY.finditer(text):
        gateway = dict(_ELEMENT.findall(match.group(1)))
        # The newest comes first; one that was removed may linger below it until it has unregistered.
        if gateway.get("profile") == PROFILE and "name" in gateway:
            found.setdefault(gateway["name"], gateway)
    return found


def read_gateways(client, text):
    """As ``gateways``. Errors: EslProtocolError, in the words of an ``esl.EslClient``."""
    try:
        return gateways(text)
    except ValueError:
        raise client.strange(STATUS, text) from None
