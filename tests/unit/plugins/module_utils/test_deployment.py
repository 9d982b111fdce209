# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import os

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import deployment
from ansible_collections.siptrunk.failover.plugins.module_utils.deployment import bring_into_force, digest

FILES = {"a.conf": "password = one\n", "key": "two\n", "plan.json": "{}"}


class Ended(Exception):
    """The module is at its end."""


class Module:
    check_mode = False

    def __init__(self, directory, **params):
        group = grp.getgrgid(os.getegid()).gr_name
        options = {"files": None, "digests": None, "private": ["key"], "hidden": [], "allow_restart": False, "timeout": 1}
        self.params = {**options, "directory": str(directory), "group": group, **params}
        self.no_log_values, self.result = set(), None

    def warn(self, text):
        raise AssertionError(text)

    def exit_json(self, **result):
        self.result = result
        raise Ended

    fail_json = exit_json


class Engine:
    """It takes all files, and runs what it took."""

    product, restart_advice = "Engine", ""

    def __init__(self):
        self.took = []

    def version(self):
        return "1"

    def unfit(self):
        return ""

    def activate(self, files, before, names, restart, known=()):
        self.took.append(files)

    def rehearse(self, files, includes):
        return "by nobody"

    def __getattr__(self, name):
        return {"started": lambda: 1.0, "busy": lambda: False, "tidy": lambda: None}.get(name, lambda *_args: [])


@pytest.fixture
def run(tmp_path):
    engine = Engine()

    def run(**params):
        module = Module(tmp_path, **params)
        engine.took.clear()
        with pytest.raises(Ended):
            bring_into_force(module, engine, {})
        return module, list(engine.took)

    return run


def digests(**changed):
    return {name: digest(text) for name, text in {**FILES, **changed}.items()}


def test_a_host_without_files_asks_for_all(run):
    module, took = run(digests=digests())
    assert (module.result, took) == ({"changed": False, "unknown": ["a.conf", "key", "plan.json"]}, [])


def test_a_host_that_has_the_files_is_looked_at_as_if_they_were_sent(run):
    sent, took = run(files=FILES)
    assert (sent.result["changed"], took) == (True, [FILES])
    (again, took), (asked, took_asked) = run(files=FILES), run(digests=digests())
    assert again.result == asked.result
    assert not asked.result["changed"]
    assert took == took_asked == []
    assert asked.no_log_values == again.no_log_values == {"one", "two"}


@pytest.mark.parametrize(("asked", "lacking"), [
    (digests(key="three"), ["key"]),
    (digests(more=""), ["more"]),
    ({"a.conf": digest(FILES["a.conf"])}, ["key", "plan.json"]),
])  # fmt: skip
def test_it_says_which_it_lacks_and_does_nothing(run, asked, lacking):
    run(files=FILES)
    module, took = run(digests=asked)
    assert (module.result, took) == ({"changed": False, "unknown": lacking}, [])


def test_what_else_is_wrong_is_mended(run, tmp_path):
    run(files=FILES)
    os.chmod(tmp_path / "siptrunk" / "a.conf", 0o644)
    module, took = run(digests=digests())
    assert (module.result["did"], took) == (["Write a.conf."], [FILES])


def test_no_digest_is_shown():
    assert deployment.ARGUMENTS["digests"]["no_log"] is True


class Registering:
    """It says of each look what the next of `looks` says; the last one stays."""

    def __init__(self, *looks):
        self.looks = list(looks)

    def registrations(self):
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


@pytest.mark.parametrize(
    ("looks", "refused"),
    [
        ([{"a": "unregistered"}, {"a": "registered"}], []),
        ([{"a": "unknown"}, {"a": "rejected"}], ["a is rejected"]),
        ([{"a": "unregistered"}], ["a is unregistered"]),
        ([{"a": "unknown"}], []),  # Asterisk before 20 does not tell whether it is an earlier success
        ([{"a": "stopped"}], []),  # by the operator, or on the SBC that does not have the floating address
        ([{}], []),
    ],
)
def test_the_result_of_changed_credentials(looks, refused, monkeypatch):
    monkeypatch.setattr(deployment, "REGISTRATION", 0.5)
    assert deployment.refused(Registering(*looks), ["a"]) == refused
    assert deployment.refused(Registering(*looks), []) == []
