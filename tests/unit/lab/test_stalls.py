# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests run again, in a pytest of its own. The stall is real for the process that measures: it is stopped for 0.8 seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import run
import stalls

pytest_plugins = ["pytester"]
CONFTEST = """
import os, signal, time
from pathlib import Path
import pytest

def stalls(config):
    meter = config.pluginmanager.get_plugin("stalls-reruns").meter
    meter.since(meter.read())  # it runs
    os.kill(meter.process.pid, signal.SIGSTOP)
    time.sleep(0.8)
    os.kill(meter.process.pid, signal.SIGCONT)
    meter.since(meter.read())  # it has noted that

@pytest.fixture
def stall(pytestconfig):
    return lambda: stalls(pytestconfig)

def note(what):
    with Path("notes").open("a") as file:
        print(what, file=file)
    return Path("notes").read_text().splitlines().count(what)

@pytest.fixture(scope="session")
def session():
    note("session up")
    yield
    note("session down")

@pytest.fixture(scope="module")
def module(session):
    note("module up")
    yield
    note("module down")

@pytest.fixture
def function(module):
    note("function up")
    yield
    note("function down")
"""


@pytest.fixture
def tests(pytester, monkeypatch):
    """tests(text): (how each ended, what was printed, the notes of the fixtures), of a file with these tests."""
    monkeypatch.setattr(run, "RESULTS", pytester.path)
    monkeypatch.setattr(stalls, "CALM", 0)
    pytester.makeconftest(CONFTEST)

    def tests(text):
        pytester.makepyfile("from conftest import note, stalls\n" + text)
        result = pytester.runpytest_inprocess("-p", "stalls", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", "--junitxml=part.xml")
        notes = pytester.path / "notes"
        return result.parseoutcomes(), str(result.stdout), notes.read_text().splitlines() if notes.exists() else []

    return tests


def test_a_fault_while_the_machine_stalls_still_fails(tests):
    outcomes, said, notes = tests("def test_it(function, stall):\n    note('ran')\n    stall()\n    assert False, 'a fault'\n")
    assert outcomes == {"failed": 1, "rerun": 1} and notes.count("ran") == 2
    assert "1 test ran again: the machine stalled for 0." in said
    counts, failures, _skips = run.outcomes()
    assert counts == {"passed": 0, "failed": 1, "skipped": 0}
    assert failures == ["part: test_a_fault_while_the_machine_stalls_still_fails::test_it: AssertionError: a fault"]
    (again,), line = run.ran_again()
    assert again.endswith("::test_it: AssertionError: a fault") and line.startswith("1 test ran again: the machine stalled for 0.")


def test_a_test_that_failed_in_a_stall_runs_once_more_and_is_counted(tests):
    """With its own fixtures anew, and those of its module and session as they were; what it records is that of its last run."""
    outcomes, said, notes = tests(
        "def test_before(function): pass\n"
        "def test_it(function, stall, record_property):\n"
        "    record_property('run', note('ran'))\n"
        "    if note('test') == 1:\n"
        "        stall()\n"
        "        assert False, 'unlucky'\n"
        "def test_after(function): pass\n"
    )
    assert outcomes == {"passed": 3, "rerun": 1}
    up_and_down = ["function up", "function down"]
    assert [note for note in notes if note not in ("ran", "test")] == ["session up", "module up", *up_and_down * 4, "module down", "session down"]
    assert "1 test ran again: the machine stalled for 0." in said
    assert run.outcomes() == ({"passed": 3, "failed": 0, "skipped": 0}, [], [])
    (again,), line = run.ran_again()
    assert again == "part: test_a_test_that_failed_in_a_stall_runs_once_more_and_is_counted::test_it: AssertionError: unlucky"
    assert line.startswith("1 test ran again: the machine stalled for 0.")
    (found,) = [{one.get("name"): one.get("value") for one in case.iter("property")} for _part, case in run.testcases() if case.get("name") == "test_it"]
    assert found["run"] == "2" and list(found) == ["stalled", "failed_first", "run"]


@pytest.mark.parametrize("broken", ["up", "down"])
def test_a_fixture_that_failed_in_a_stall_counts_as_its_test(tests, broken):
    fail = "    if note('fixture') == 1:\n        stall()\n        assert False, 'unlucky'\n"
    up, down = (fail, "") if broken == "up" else ("", fail)
    own = f"@pytest.fixture\ndef own(stall, module):\n    note('own')\n{up}    yield\n{down}\n"
    outcomes, _said, notes = tests(f"import pytest\n{own}def test_it(own): pass\ndef test_after(module): pass\n")
    assert outcomes["rerun"] == 1 and "failed" not in outcomes and "errors" not in outcomes
    assert notes.count("own") == 2 and notes.count("module up") == notes.count("module down") == 1


def test_the_fixture_of_a_module_that_failed_in_a_stall_is_set_up_again(tests):
    outcomes, _said, notes = tests(
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def own(session, pytestconfig):\n"
        "    if note('own') == 1:\n"
        "        stalls(pytestconfig)\n"
        "        assert False, 'unlucky'\n"
        "def test_it(own): pass\n"
        "def test_after(own): pass\n"
    )
    assert outcomes == {"passed": 2, "rerun": 1} and notes.count("own") == 2 and notes.count("session up") == notes.count("session down") == 1


def test_a_failure_without_a_stall_is_final(tests):
    outcomes, said, notes = tests("def test_it(function):\n    assert note('ran') == 2, 'a fault'\n")
    assert outcomes == {"failed": 1} and notes.count("ran") == 1 and "ran again" not in said
    assert run.ran_again() == ([], "")


def test_a_stall_before_the_failing_test_is_none_of_its_own(tests):
    outcomes, said, notes = tests("def test_before(stall): stall()\ndef test_it():\n    assert note('ran') == 2, 'a fault'\n")
    assert outcomes == {"passed": 1, "failed": 1} and notes.count("ran") == 1 and "ran again" not in said


def test_time_that_the_hypervisor_takes_is_a_stall(monkeypatch):
    """Of two CPUs: a little, which counts for nothing, then three tenths of a window of one of them, then no more."""
    monkeypatch.setattr(stalls, "WINDOW", 0.01)
    monkeypatch.setattr(stalls, "STOLEN", 10)  # of the window: 0.1 s
    readings = iter([[5.0, 7.0], [5.05, 7.05], [5.1, 7.35], [5.1, 7.35]])
    parents = iter([1, 1, 1, 0])
    monkeypatch.setattr(stalls.os, "getppid", lambda: next(parents))
    numbers = [0.0, 0.0]
    stalls.measure_stolen(numbers, 1, lambda: next(readings))
    assert numbers[0] == pytest.approx(0.3) and numbers[1] > 0


def test_stolen_time_is_read_of_each_cpu():
    assert len(stalls.stolen()) == len(os.sched_getaffinity(0)) and all(seconds >= 0 for seconds in stalls.stolen())


@pytest.mark.parametrize(
    ("seconds", "outcome"), [(1.0, {"passed": 1, "rerun": 1}), (0.4, {"failed": 1}), (0, {"failed": 1})], ids=["long", "too short", "not at all"]
)
def test_a_test_whose_lab_was_kept_waiting_runs_once_more(tests, monkeypatch, seconds, outcome):
    readings = iter([5.0, 5.0 + seconds, 9.0])
    monkeypatch.setattr(stalls, "waited", lambda _lab: next(readings))
    outcomes, _said, _notes = tests("def test_it():\n    assert note('ran') == 2, 'unlucky'\n")
    assert outcomes == outcome


def test_a_long_test_may_wait_for_longer(tests, monkeypatch):
    readings = iter([5.0, 5.6])
    monkeypatch.setattr(stalls, "waited", lambda _lab: next(readings))
    monkeypatch.setattr(stalls, "WAITED", 10)  # of the time that the test took, which is less than a second
    outcomes, _said, _notes = tests("import time\ndef test_it():\n    time.sleep(0.3)\n    assert False, 'a fault'\n")
    assert outcomes == {"failed": 1}


def test_what_a_lab_waited_is_read_of_its_control_group(monkeypatch, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/cpu.pressure").write_text(
        "some avg10=2.67 avg60=6.03 avg300=5.57 total=36183983\nfull avg10=2.62 avg60=5.76 avg300=5.34 total=34409716\n", encoding="ascii"
    )
    monkeypatch.setattr(stalls, "LABS", tmp_path)
    assert stalls.waited("one") == pytest.approx(34.409716) and stalls.waited("none") == 0 == stalls.waited("")


def test_what_measures_takes_next_to_nothing():
    meter = stalls.Meter()
    try:
        meter.since(meter.read())  # it runs
        ticks = os.sysconf("SC_CLK_TCK")

        def spent():
            return sum(map(int, Path(f"/proc/{meter.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13])) / ticks

        before, began = spent(), os.times().elapsed
        while os.times().elapsed < began + 3:
            meter.since(meter.read())
        assert spent() - before <= 0.05, "of 3 seconds"
    finally:
        meter.stop()
    with pytest.raises(RuntimeError, match="has ended"):
        meter.since(meter.read())
