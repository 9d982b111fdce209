# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IP addresses and networks, by netaddr. The one place that imports it."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

try:
    import netaddr
except ImportError:
    netaddr = None

MISSING = None if netaddr else "The controller has no netaddr, which checks addresses; install it: pip install netaddr"


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, without port or brackets."""
    return netaddr.valid_ipv4(text, netaddr.INET_PTON) or netaddr.valid_ipv6(text)


def is_network(text: str) -> bool:
    """Whether `text` is an address or a network in CIDR notation."""
    try:
        netaddr.IPNetwork(text)
    except (netaddr.AddrFormatError, ValueError):
        return False
    return True


def prefix(network: str) -> int:
    """The length of the prefix of a network, in bits."""
    return netaddr.IPNetwork(network).prefixlen


def is_loopback(text: str) -> bool:
    """Whether the address `text` answers on its own host alone."""
    return netaddr.IPAddress(text.partition("%")[0]).is_loopback()


def split_address(text: str) -> tuple[str, int | None] | None:
    """"198.18.1.10", "198.18.1.10:5070", "2001:db8::1" or "[2001:db8::1]:5060" as (address, port or None); None for a name."""
    if text.startswith("["):
        address, _bracket, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _colon, port = text.partition(":")
    else:
        address, port = text, ""
    return (address, int(port) if port else None) if is_address(address) else None


def host_of(text: str) -> str:
    """The host of "name", "name:port" or an address with or without a port; an IPv6 address in brackets, as a URI has it."""
    literal = split_address(text)
    if not literal:
        return text.partition(":")[0].rstrip(".")
    return f"[{literal[0]}]" if ":" in literal[0] else literal[0]


def family(address: str) -> str:
    """ipv4 or ipv6."""
    return f"ipv{netaddr.IPAddress(address).version}"


def sort_key(address: str) -> tuple[int, int]:
    """Addresses in numeric order, IPv4 first."""
    parsed = netaddr.IPAddress(address)
    return parsed.version, int(parsed)


class Claims:
    """Which addresses belong to whom: each to the first that claimed it."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, int, int, str]] = []  # (IP version, last, first, owner), disjoint and in order

    def claim(self, owner: str, networks: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
        """Take what is free of these networks. Returns (what the owner got, {earlier owner: what it has of them}), as networks."""
        got, missed = [], {}
        for network in netaddr.cidr_merge(networks):
            version, first, last = network.version, network.first, network.last
            index = bisect.bisect_left(self._taken, (version, first))
            while index < len(self._taken) and self._taken[index][0] == version and self._taken[index][2] <= last:
                _version, taken_last, taken_first, other = self._taken[index]
                missed.setdefault(other, []).append((version, max(first, taken_first), min(last, taken_last)))
                if first < taken_first:
                    got.append((version, first, taken_first - 1))
                first, index = taken_last + 1, index + 1
            if first <= last:
                got.append((version, first, last))
        for version, first, last in got:
            bisect.insort(self._taken, (version, last, first, owner))
        return _networks(got), {other: _networks(ranges) for other, ranges in missed.items()}


def _networks(ranges: Iterable[tuple[int, int, int]]) -> list[str]:
    """Ranges of addresses (IP version, first, last) as the fewest networks, in order."""
    limits = [(netaddr.IPAddress(first, version), netaddr.IPAddress(last, version)) for version, first, last in ranges]
    return [str(network) for network in netaddr.cidr_merge([netaddr.IPRange(*limit) for limit in limits])]
