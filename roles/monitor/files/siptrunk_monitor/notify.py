# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sd_notify(3): what a service of Type=notify tells systemd."""

from __future__ import annotations

import os
import socket


def notify(text):
    """Send ``READY=1``, ``WATCHDOG=1`` or the like. Nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(1)
            sock.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        pass
