# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends files to Kamailio if it has others; the module of the same name holds the documentation."""

from __future__ import annotations

from ansible_collections.siptrunk.failover.plugins.plugin_utils.sending import Deployment


class ActionModule(Deployment):
    """Ansible's entry point."""
