# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates over plain data."""

from __future__ import annotations

import jinja2
import pytest

from ansible_collections.siptrunk.failover.plugins.plugin_utils.rendering import render, render_each

PLAN = {"trunks": [{"name": "acme", "carrier": "{{ 1 + 1 }}"}], "routes": [{"name": "nanp"}, {"name": "intl"}]}


@pytest.fixture
def template(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_template_sees_the_plan_its_trunks_by_name_and_the_variables(template):
    path = template("a.conf.j2", "{{ siptrunk_plan.routes[0].name }} {{ trunks.acme.name }} {{ mine }}\n")
    assert render(path, PLAN, {"mine": "x"}) == "nanp acme x\n"


def test_no_value_is_taken_for_a_template_or_for_html(template):
    path = template("a.conf.j2", "{{ trunks.acme.carrier }}{{ mine }}")
    assert render(path, PLAN, {"mine": "<&{% raw %}"}) == "{{ 1 + 1 }}<&{% raw %}"


def test_a_template_sees_the_collections_filters(template):
    assert render(template("a.conf.j2", "{{ 'a;b' | siptrunk.failover.asterisk_value }}"), PLAN, {}) == "a\\;b"


def test_what_is_not_defined_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        render(template("a.conf.j2", "{{ nothing }}"), PLAN, {})


def test_a_template_for_each_entry_of_a_list(template):
    path = template("route.lua.j2", "{{ item.name }} {{ mine }} {{ trunks.acme.name }}\n")
    assert render_each(path, PLAN, {"mine": "x"}, "routes") == {"route-nanp.lua": "nanp x acme\n", "route-intl.lua": "intl x acme\n"}
    assert render_each(path, {**PLAN, "routes": []}, {"mine": "x"}, "routes") == {}
