# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.siptrunk.failover.plugins.plugin_utils.plain import plain

TRUNKS = "[{name: acme, codecs: [alaw, '{{ codec }}'], verdicts: {480: final}, probe: {interval: 1.5}, register: true, realm: null}]"
READ = [{"name": "acme", "codecs": ["alaw", "ulaw"], "verdicts": {480: "final"}, "probe": {"interval": 1.5}, "register": True, "realm": None}]


def kinds(value):
    """All types in a nested value."""
    inner = [item for pair in value.items() for item in pair] if isinstance(value, dict) else value if isinstance(value, list) else []
    return {type(value)}.union(*map(kinds, inner))


def test_values_of_ansible_become_plain_ones(tmp_path):
    (tmp_path / "trunks.yml").write_text(TRUNKS, encoding="utf-8")
    loader = DataLoader()
    trunks = Templar(loader=loader, variables={"codec": "ulaw"}).template(loader.load_from_file(str(tmp_path / "trunks.yml"), trusted_as_template=True))
    assert not kinds(trunks) & {list, dict, str, int}, "Ansible hands out plain data: there is nothing to do any more"
    found = plain(trunks)
    assert found == READ
    assert kinds(found) == {list, dict, str, int, float, bool, type(None)}


def test_a_value_is_not_taken_for_a_template():
    text = plain([trust_as_template("{{ 1 + 1 }}")])
    assert text == ["{{ 1 + 1 }}"]
    assert Templar(loader=DataLoader()).template(text) == ["{{ 1 + 1 }}"]
