# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test that failed while the machine stalled runs again, once: a pytest plugin (pytest.ini loads it), on top of pytest-rerunfailures.

A stall is time during which the machine ran nothing that was ready to run. A process measures it beside the tests: its threads sleep for 50 ms,
again and again, and note how much too late they wake up; another notes what the hypervisor took from the CPUs of a virtual machine (proc_stat(5),
steal). What keeps the lab's programs waiting while others have the processor counts too (cpu.pressure of its control group, "full"). A failure
without a stall is final, and so is a second failure: a fault of the product is there in both runs. Fixtures of the test are torn down and set up
anew, those of its module and session stay.

A test that ran again has the properties `stalled` (seconds) and `failed_first` (why) in the result file.
"""

from __future__ import annotations

import functools
import mmap
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

LABS = Path("/sys/fs/cgroup/siptrunk")  # hosts.py gives the containers of each lab a group of their own in there
TICK = 0.05
THREADS = 4  # any may sleep on a CPU that stalls alone
# Seconds. With 14 processes ready to run for each two CPUs a thread woke up 0.08 s too late at the most: DELAYED is more than a busy machine causes.
DELAYED = 0.1
STALLED = 0.5  # in sum, while a test ran: less than the bounds of tests allow for
WAITED = 0.05  # the part of a test for which its lab waits before that counts; with 17 processes ready to run on two CPUs labs waited for 0.02 to 0.1
CALM = 10  # seconds until a test runs again
WINDOW = 1.0  # seconds over which stolen time is counted
STOLEN = 0.1  # the part of a window that a CPU must lose before it counts: less is usual where machines share a processor, and slows nothing noticeably


def summary(stalls: Iterable[float]) -> str:
    """How many tests ran again, and why."""
    seconds = list(stalls)
    return f"{len(seconds)} test{'s' if len(seconds) > 1 else ''} ran again: the machine stalled for {sum(seconds):.1f} s"


class Meter:
    """The process that measures; each thread writes two numbers into shared memory: the seconds stalled so far, and when it last woke up.

    The last of them measures stolen time.
    """

    def __init__(self) -> None:
        file = os.memfd_create("stalls")
        os.ftruncate(file, 16 * (THREADS + 1))
        self._numbers = memoryview(mmap.mmap(file, 0)).cast("d")
        # A session of its own: the kernel shares the CPUs out by sessions, and the tests' own processes must not keep this one waiting.
        argv = [sys.executable, "-S", "-E", __file__, str(file)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[file], start_new_session=True)
        os.close(file)

    def read(self) -> list[float]:
        """The seconds stalled so far, by thread."""
        return list(self._numbers[::2])

    def since(self, before: list[float]) -> float:
        """The seconds since then, of the thread that has most; a stall that goes on is waited for."""
        now = time.monotonic()
        while min(self._numbers[1 : 2 * THREADS : 2].tolist()) < now:
            if self.process.poll() is not None:
                raise RuntimeError(f"the process that measures stalls has ended: {self.process.returncode}")
            time.sleep(TICK)
        return max(after - was for after, was in zip(self.read(), before, strict=True))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(numbers: memoryview[float], parent: int) -> None:
    """As long as the parent lives."""
    while os.getppid() == parent:
        due = time.monotonic() + TICK
        time.sleep(TICK)
        delay = (now := time.monotonic()) - due
        if delay >= DELAYED:
            numbers[0] += delay
        numbers[1] = now


def stolen() -> list[float]:
    """Seconds that the hypervisor has taken from each CPU so far, while something was ready to run on it; none where there is no hypervisor."""
    rows = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines() if re.match(r"cpu\d", line)]
    return [int(row[8]) / os.sysconf("SC_CLK_TCK") for row in rows]


def measure_stolen(numbers: memoryview[float], parent: int, seconds: Callable[[], list[float]] = stolen) -> None:
    """As long as the parent lives; of each window the CPU that lost most."""
    before = seconds()
    while os.getppid() == parent:
        time.sleep(WINDOW)
        after = seconds()
        lost = max((now - was for now, was in zip(after, before, strict=True)), default=0.0)
        if lost >= STOLEN * WINDOW:
            numbers[0] += lost
        numbers[1], before = time.monotonic(), after


def waited(lab: str) -> float:
    """Seconds for which all that was ready to run in a lab's containers waited for a CPU so far (Linux, Documentation/accounting/psi.rst)."""
    path = LABS / lab / "cpu.pressure"
    said = path.read_text(encoding="ascii") if lab and path.exists() else ""
    found = re.search(r"^full .*total=(\d+)$", said, re.MULTILINE)
    return int(found[1]) / 1e6 if found else 0.0


class Reruns:
    """Measures each test, and decides whether it runs again."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.before: list[float] = []
        self.lab = os.environ.get("SIPTRUNK_LAB", "")
        self.waited = self.began = 0.0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        import pytest

        for item in items:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=CALM, condition=functools.partial(self.condition, item)))

    def pytest_runtest_logstart(self) -> None:
        """Before the fixtures of each run."""
        self.before, self.waited, self.began = self.meter.read(), waited(self.lab), time.monotonic()

    def condition(self, item: Any, error: BaseException | None) -> bool:
        """Whether the machine stalled during this failure; None is none."""
        if error is None:
            return False
        took, waiting = time.monotonic() - self.began, waited(self.lab) - self.waited
        stalled = max(self.meter.since(self.before), waiting if waiting >= WAITED * took else 0)
        if stalled < STALLED:
            return False
        if item.execution_count == 1:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            item.user_properties[:] = [("stalled", f"{stalled:.2f}"), ("failed_first", reason)]
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "user_properties")]
        stalls = {report.nodeid: float(value) for report in reports for name, value in report.user_properties if name == "stalled"}
        if stalls:
            terminalreporter.write_line(summary(stalls.values()))

    def pytest_unconfigure(self) -> None:
        self.meter.stop()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Reruns(), "stalls-reruns")


def main() -> None:
    numbers, parent = memoryview(mmap.mmap(int(sys.argv[1]), 0)).cast("d"), os.getppid()
    for first in range(0, 2 * THREADS, 2):
        threading.Thread(target=measure, args=(numbers[first : first + 2], parent)).start()
    threading.Thread(target=measure_stolen, args=(numbers[2 * THREADS :], parent)).start()


if __name__ == "__main__":
    main()
