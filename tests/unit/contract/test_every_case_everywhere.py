# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every case of the contract has its verdict on every engine: a scenario runs it, or it is an exception with its reason."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import exceptions
import interop
import pytest
import yaml
from cases import CASES, QUICK
from engines import ENGINES

REPO = Path(__file__).resolve().parents[3]
CONTRACT = REPO / "tests" / "contract"
BOUNDS = {"silence", "progress", "ring"}


def scenarios() -> dict[str, list[str]]:
    """By engine: what the scenario of its name runs."""
    found = {}
    for path in (REPO / "molecule").glob("*/inventory/lab.yml"):
        variables = yaml.safe_load(path.read_text(encoding="utf-8"))["all"]["vars"]
        if "scenario_engine" in variables:
            found[variables["scenario_engine"]] = variables["scenario_tests"]
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_scenario_runs_every_case(engine: str):
    ran = scenarios().get(engine, [])
    assert not [argument for argument in ran if argument.startswith("-")], "no case may be left out"
    for path in ("tests/contract/test_contract.py", "tests/contract/test_interop.py", "tests/contract/test_hostile.py"):
        assert any(path == argument or path.startswith(f"{argument}/") for argument in ran), f"{path} does not run on {engine}"


def test_no_scenario_without_an_engine():
    assert set(scenarios()) == set(ENGINES)


def test_no_case_is_skipped():
    """A skipped case has no verdict; what an engine cannot keep is an exception, and is tried all the same."""
    for path in CONTRACT.glob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)}
        assert not names & {"skip", "skipif", "importorskip"}, path.name


def test_each_case_has_a_name_of_its_own():
    for table in (CASES, interop.CASES):
        assert [name for name, count in Counter(case.name for case in table).items() if count > 1] == []


@pytest.mark.parametrize(("engine", "case"), exceptions.INTEROP)
def test_each_exception_of_the_interop_table_has_an_engine_a_case_and_a_reason(engine: str, case: str):
    assert engine in ENGINES
    assert case in {known.name for known in interop.CASES}
    assert len(exceptions.INTEROP[engine, case].split()) > 3
    assert f"`{case}`" in (REPO / "docs" / "interop.md").read_text(encoding="utf-8"), "with a capture of the wire"


def test_the_quick_cases_are_twelve_of_these():
    assert len(set(QUICK) & {case.name for case in CASES}) == len(QUICK) == 12


@pytest.mark.parametrize(("engine", "case"), [*exceptions.EXCEPTIONS, *exceptions.DELAYS])
def test_each_exception_has_an_engine_a_case_and_a_reason(engine: str, case: str):
    assert engine in ENGINES
    assert case in {known.name for known in CASES} | exceptions.BEYOND_THE_TABLE
    if (engine, case) in exceptions.EXCEPTIONS:
        assert len(exceptions.EXCEPTIONS[engine, case].split()) > 3
        assert (engine, case) not in exceptions.DELAYS, "kept otherwise, or not at all"
    else:
        delay, reason = exceptions.DELAYS[engine, case]
        assert set(delay) <= BOUNDS and len(reason.split()) > 3
        assert delay != next(known.calls[0].delay for known in CASES if known.name == case), "that is the table's own bound"


def test_every_engine_says_what_strangers_hear():
    assert set(exceptions.STRANGER) == set(ENGINES)
