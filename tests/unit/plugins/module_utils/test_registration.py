# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import registration


def item(name, state="registered"):
    return {"name": name, "trunk": name.partition(".")[0], "server": "", "user": "", "state": state, "expires_in": None}


def test_a_password_in_the_uri_is_dropped_and_nothing_else():
    def user(uri):
        return registration.registration("a.1", "sip:h", uri, "registered", None)["user"]

    assert user("sip:alice:s3cret@h.example:5060") == "sip:alice@h.example:5060"
    assert user("SIPS:alice:s3cret@[2001:db8::1]") == "SIPS:alice@[2001:db8::1]"
    for plain in ("sip:alice@h.example:5060", "sip:[2001:db8::1]:5060", "sip:h:5060", "sip:+12125551234@h;transport=tls", ""):
        assert user(plain) == plain


@pytest.mark.parametrize("names, trunks, expected", [
    ([], [], ["a.1", "a.2", "b"]),
    (["a.2"], [], ["a.2"]),
    ([], ["a"], ["a.1", "a.2"]),
    (["a.1", "b"], ["a"], ["a.1"]),
])
def test_select(names, trunks, expected):
    found = [item("a.1"), item("a.2"), item("b")]
    assert [one["name"] for one in registration.select(found, names, trunks)] == expected


@pytest.mark.parametrize("found, names, trunks, text", [
    ([item("a.1"), item("b")], ["b", "c", "d"], [], r"no outbound registration named: c, d\. Those that exist: a\.1, b$"),
    ([item("a.1"), item("b")], [], ["a.1"], r"no outbound registration of trunk: a\.1\. Those that exist: a, b$"),
    ([item("a.1"), item("b")], ["b"], ["a"], r"none of the registrations b belongs to the trunks a$"),
    ([], ["a"], [], r"Those that exist: none$"),
])
def test_select_says_what_does_not_exist(found, names, trunks, text):
    with pytest.raises(ValueError, match=text):
        registration.select(found, names, trunks)


def test_select_and_describe_nothing():
    assert registration.select([]) == []
    assert registration.describe([]) == ""


def test_describe():
    assert registration.describe([item("a", "rejected"), item("b"), item("c", "rejected")]) == "registered: b; rejected: a, c"
