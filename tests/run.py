# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/run.py [PART...]: all checks, or some; prints the minutes of each part and one closing count.

A part that fails does not stop the others. Run it under lab/run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

REPO = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("SIPTRUNK_CACHE", REPO / ".cache"))
RESULTS = CACHE / "results"
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:ansible"]


def run(*argv: object, cwd: Path = REPO, env: dict[str, str] | None = None, without: tuple[str, ...] = ()) -> bool:
    environment = {key: value for key, value in {**os.environ, **(env or {})}.items() if key not in without}
    return subprocess.run([str(arg) for arg in argv], cwd=cwd, env=environment, check=False, stdin=subprocess.DEVNULL).returncode == 0


def lint() -> bool:
    """ansible-lint, production profile."""
    return run("ansible-lint", "--offline", without=("ANSIBLE_INVENTORY_UNPARSED_FAILED", "ANSIBLE_HOST_PATTERN_MISMATCH"))


def sanity() -> bool:
    """ansible-test sanity, on a copy of what git tracks: it refuses a linked tree."""
    tree = CACHE / "sanity" / "ansible_collections" / "siptrunk" / "failover"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=REPO, capture_output=True, check=True).stdout
    subprocess.run(["rsync", "-a", "--from0", "--files-from=-", f"{REPO}/", f"{tree}/"], input=files, check=True)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tree, check=True)
    home = CACHE / "sanity" / "home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("get_pip_24_2.py", "get_pip_25_2.py"):
        shutil.copy(REPO / "lab" / "get-pip-offline.py", cache / name)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return run(
        *("ansible-test", "sanity", "--venv", "--python", python, "--color", "no"),
        cwd=tree,
        env={"HOME": str(home)},
        without=("ANSIBLE_HOME", "PYTHONDONTWRITEBYTECODE"),
    )


def unit() -> bool:
    """Unit and golden tests."""
    return run(*PYTEST, f"--junitxml={RESULTS}/unit.xml", "tests/unit", "tests/golden", env={"PYTHONPATH": str(CACHE / "collections")})


def artifact() -> bool:
    """The built collection, installed and used from elsewhere."""
    return run(*PYTEST, f"--junitxml={RESULTS}/artifact.xml", "tests/artifact")


def molecule(scenario: str) -> Callable[[], bool]:
    def part() -> bool:
        return run("molecule", "test", "-s", scenario)

    part.__doc__ = f"Molecule scenario {scenario}."
    return part


PARTS: dict[str, Callable[[], bool]] = {
    "lint": lint,
    "sanity": sanity,
    "unit": unit,
    "artifact": artifact,
    **{f"molecule-{path.parent.name}": molecule(path.parent.name) for path in sorted((REPO / "molecule").glob("*/molecule.yml"))},
}


def count() -> dict[str, int]:
    """Tests by outcome, over the result files of every pytest run."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for path in RESULTS.glob("*.xml"):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            counts["failed"] += failed
            counts["skipped"] += skipped
            counts["passed"] += int(suite.get("tests", 0)) - failed - skipped
    return counts


def main() -> int:
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"tests/run.py: unknown part {', '.join(unknown)}; known are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    rows = []
    for name in wanted:
        print(f"\n=== {name}: {(PARTS[name].__doc__ or '').strip()}", flush=True)
        began = time.monotonic()
        passed = PARTS[name]()
        rows.append((name, passed, (time.monotonic() - began) / 60))
    counts = count()
    counts["passed"] += sum(passed for _name, passed, _minutes in rows)
    counts["failed"] += sum(not passed for _name, passed, _minutes in rows)
    print(flush=True)
    print("\n".join(f"{name:22} {'passed' if passed else 'FAILED':7} {minutes:5.1f} min" for name, passed, minutes in rows))
    print(f"{'total':30} {sum(minutes for _name, _passed, minutes in rows):5.1f} min")
    print(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
