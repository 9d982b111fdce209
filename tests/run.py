# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/run.py [PART...]: all checks, or some; prints the minutes of each part and one closing count.

Three parts run at once, as most of a scenario's time is waiting for SIP timers; each writes to a log of its own, whose
end is shown if it fails. A part that fails does not stop the others. Run it under lab/run.

tests/run.py --alone PART: one part, here and now; the exit status is 0, 1, or 77 when this machine cannot run it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

REPO = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("SIPTRUNK_CACHE", REPO / ".cache"))
RESULTS = CACHE / "results"
LANES = 3
# first the longest, so that no lane goes on long after the others
FIRST = tuple(f"molecule-{scenario}" for scenario in ("freeswitch", "sbc", "asterisk", "behind", "monitor", "sbc-ha", "alerting", "asterisk-16"))
SKIPPED = 77  # as automake's tests say it
LINES_SHOWN = 120
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


def report() -> bool | str:
    """The page of report.yml in a real Chromium."""
    if not shutil.which("chromium"):
        return "there is no Chromium: lab/setup tests could not install it (chromium.log in the cache)"
    return run(*PYTEST, f"--junitxml={RESULTS}/report.xml", "tests/report")


IMAGES = {"asterisk-16": "bullseye", "freeswitch": "freeswitch"}  # what scenarios need that not every machine can have


def missing(image: str) -> str:
    """Why lab/setup has not made the image, or nothing."""
    why = CACHE / f"image-{image}.missing"
    return why.read_text(encoding="utf-8").strip() if why.exists() else ""


def molecule(scenario: str) -> Callable[[], bool | str]:
    def part() -> bool | str:
        # for scenarios with every engine that this machine has
        beside = "lab" if missing("freeswitch") else "lab-freeswitch"
        return missing(IMAGES.get(scenario, "sid")) or run("molecule", "test", "-s", scenario, env={"SIPTRUNK_BESIDE": beside})

    part.__doc__ = f"Molecule scenario {scenario}."
    return part


# Each returns whether it passed, or why this machine cannot run it.
PARTS: dict[str, Callable[[], bool | str]] = {
    "lint": lint,
    "sanity": sanity,
    "unit": unit,
    "artifact": artifact,
    "report": report,
    **{f"molecule-{path.parent.name}": molecule(path.parent.name) for path in sorted((REPO / "molecule").glob("*/molecule.yml"))},
}


def outcomes() -> tuple[dict[str, int], list[str], list[str]]:
    """Tests by outcome, over the result files of every pytest run; each that failed, with the first line of its reason; why how many were skipped."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures, skips = [], Counter[str]()
    for path in sorted(RESULTS.glob("*.xml")):
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            failure = next((child for child in case if child.tag in ("failure", "error")), None)
            if failure is not None:
                reason = (failure.get("message") or "").strip().splitlines() or [failure.tag]
                failures.append(f"{path.stem}: {case.get('classname')}::{case.get('name')}: {reason[0]}")
            skip = case.find("skipped")
            if skip is not None:
                skips[f"{path.stem}: {skip.get('message')}"] += 1
            outcome = "failed" if failure is not None else "skipped" if skip is not None else "passed"
            counts[outcome] += 1
    return counts, failures, [f"{why} ({count} tests)" for why, count in skips.items()]


def alone(name: str) -> int:
    """Run one part in this process."""
    outcome = PARTS[name]()
    if isinstance(outcome, str):
        print(outcome)
        return SKIPPED
    return 0 if outcome else 1


def blame(said: list[str]) -> str:
    """The first line of a log that tells of a failure, without colours and frames."""
    lines = [re.sub(r"\x1b\[[0-9;]*m|[│|]", "", line).strip() for line in said]
    return next((line for line in lines if re.search(r"\bERROR\b|^fatal:|^E  ", line)), lines[-1] if lines else "it said nothing")


def in_a_lane(name: str) -> tuple[str, str, float, str]:
    """Run one part beside another: its name, what became of it, its minutes, and why it was skipped or failed."""
    print(f"{name}: {(PARTS[name].__doc__ or '').strip()}", flush=True)
    log, began = RESULTS / f"{name}.log", time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run([sys.executable, __file__, "--alone", name], check=False, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
    minutes = (time.monotonic() - began) / 60
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    word = {0: "passed", SKIPPED: "skipped"}.get(done.returncode, "FAILED")
    end = "".join(f"\n  | {line}" for line in said[-LINES_SHOWN:]) if word == "FAILED" else ""
    print(f"{name}: {word} after {minutes:.1f} min{end}", flush=True)
    return name, word, minutes, {"skipped": said[-1] if said else "", "FAILED": blame(said)}.get(word, "")


def main() -> int:
    if sys.argv[1:2] == ["--alone"]:
        return alone(sys.argv[2])
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"tests/run.py: unknown part {', '.join(unknown)}; known are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    began = time.monotonic()
    with ThreadPoolExecutor(LANES) as pool:
        rows = list(pool.map(in_a_lane, sorted(wanted, key=lambda name: (*FIRST, name).index(name))))
    counts, failures, skips = outcomes()
    skips += [f"{name}: {why}" for name, word, _minutes, why in rows if word == "skipped"]
    told = {line.split(":")[0] for line in failures}  # by its tests
    failures += [f"{name}: {why}" for name, word, _minutes, why in rows if word == "FAILED" and name not in told]
    for _name, word, _minutes, _why in rows:
        counts[word.lower()] += 1
    print()
    print("\n".join(f"{name:22} {word:7} {minutes:5.1f} min" for name, word, minutes, _why in rows))
    print(f"{'all, three at a time':30} {(time.monotonic() - began) / 60:5.1f} min")
    print("".join(f"\nFAILED {line[:300]}" for line in failures) + "".join(f"\nSKIPPED {line[:300]}" for line in skips))
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
