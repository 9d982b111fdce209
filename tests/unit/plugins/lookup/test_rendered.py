# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup, with the options that Ansible hands it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleLookupError

from ansible_collections.siptrunk.failover.plugins.lookup import rendered
from ansible_collections.siptrunk.failover.plugins.plugin_utils.plan import KEYS

COMPILED = {**{key: [] for key in KEYS}, "routes": [{"name": "nanp"}, {"name": "intl"}], "changed": False}


@pytest.fixture
def look_up(tmp_path, monkeypatch):
    """A function from templates' texts and options to the lookup's result."""

    def run(texts, variables=None, **options):
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        lookup = rendered.LookupModule()
        given = {"each": None, "by_name": False, "values": {}, **options}
        monkeypatch.setattr(lookup, "set_options", lambda **_kwargs: None)
        monkeypatch.setattr(lookup, "get_option", given.__getitem__)
        monkeypatch.setattr(
            lookup, "find_file_in_search_path", lambda _variables, folder, name: str(tmp_path / name) if name in texts and folder == "templates" else None
        )
        return lookup.run(list(texts) if "terms" not in options else options["terms"], {"siptrunk_plan": COMPILED} if variables is None else variables)

    return run


def test_a_text_for_each_template(look_up):
    assert look_up({"a.j2": "{{ siptrunk_plan.routes | length }}\n", "b.j2": "{{ mine }}"}, values={"mine": "{{ x }}"}) == ["2\n", "{{ x }}"]


def test_each_is_a_dictionary_by_file_name(look_up):
    assert look_up({"route.lua.j2": "-- {{ item.name }}{{ mine }}\n"}, each="routes", values={"mine": "!"}) == [
        {"route-nanp.lua": "-- nanp!\n", "route-intl.lua": "-- intl!\n"}
    ]


def test_all_texts_by_file_name(look_up):
    texts = {"a.conf.j2": "{{ mine }}", "b.json.j2": "{}"}
    assert look_up(texts, by_name=True, values={"mine": "1"}) == [{"a.conf": "1", "b.json": "{}"}]
    assert look_up({"route.lua.j2": "{{ item.name }}", "other.lua.j2": ""}, each="routes", by_name=True) == [
        {"route-nanp.lua": "nanp", "route-intl.lua": "intl", "other-nanp.lua": "", "other-intl.lua": ""}
    ]


def test_the_plan_is_seen_without_what_ansible_adds(look_up):
    assert look_up({"a.j2": "{{ siptrunk_plan | sort | join(' ') }}"}) == [" ".join(sorted(KEYS))]


def test_what_is_missing_is_named(look_up):
    with pytest.raises(AnsibleLookupError, match="there is no siptrunk_plan; include the role siptrunk.failover.plan before"):
        look_up({"a.j2": ""}, variables={})
    with pytest.raises(AnsibleLookupError, match="there is no template 'other.j2'"):
        look_up({"a.j2": ""}, terms=["other.j2"])
    with pytest.raises(AnsibleLookupError, match=r"a.j2: 'nothing' is undefined"):
        look_up({"a.j2": "{{ nothing }}"})
    with pytest.raises(AnsibleLookupError, match=r"a.lua.j2: 'nothing' is undefined"):
        look_up({"a.lua.j2": "{{ nothing }}"}, each="routes")
