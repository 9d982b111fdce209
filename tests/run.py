# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/run.py [PART...]: all checks, or some; prints the minutes of each part and one closing count.

Scenarios run side by side, as most of their time is waiting for SIP timers; what is bound by the processor has lanes beside them, and what
looks at no clock the lowest priority, so that it takes what the others leave. Each part writes to a log of its own, whose end is shown if
it fails. A part that fails does not stop the others. Run it under lab/run.

tests/run.py --alone PART: one part, here and now; the exit status is 0, 1, or 77 when this machine cannot run it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from typing import NamedTuple
from xml.etree import ElementTree

import stalls

REPO = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("SIPTRUNK_CACHE", REPO / ".cache"))
RESULTS = CACHE / "results"
SCENARIOS, OTHERS = 5, 2  # at once; with seven the whole took as long
LONGEST_LINE = 160  # of Python
PATIENT = ("lint", "sanity", "types", "docs")  # they may be kept waiting at any moment
# first the longest, so that no lane goes on long after the others
FIRST = ("freeswitch", "sbc", "asterisk", "monitor", "sbc-ha", "asterisk-16", "freeswitch-deployment", "behind", "alerting")
SKIPPED = 77  # as automake's tests say it
LINES_SHOWN = 120
SLOWEST = 40
# A network stack of its own for each scenario: no lab of this machine has its addresses, bridges or iptables rules.
NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:ansible"]


def lines(path: Path) -> list[list[str]]:
    """The words of each line that is no comment; none of a file that lab/setup has not written."""
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")] if path.exists() else []


CORES = [words[0] for words in lines(REPO / "lab/cores")]
LAB_CORE = next((".".join(words[1].split(".")[:2]) for words in lines(CACHE / "venv/.versions")), "")  # all parts but core-* run on it
PYTHONS = dict(lines(CACHE / "pythons"))
HOST_PYTHONS = [f"3.{minor}" for minor in range(9, 15)]
# the sanity tests that look at our files with code of ansible-core's that changes from release to release
SANITY_BY_CORE = ("ansible-doc", "validate-modules", "runtime-metadata", "import")


def skip(what: str) -> None:
    """Count one thing more as skipped, of a part that otherwise runs."""
    with (RESULTS / "skipped").open("a", encoding="utf-8") as stream:
        stream.write(f"{what}\n")


def run(*argv: object, cwd: Path = REPO, env: dict[str, str] | None = None, without: tuple[str, ...] = ()) -> bool:
    environment = {key: value for key, value in {**os.environ, **(env or {})}.items() if key not in without}
    return subprocess.run([str(arg) for arg in argv], cwd=cwd, env=environment, check=False, stdin=subprocess.DEVNULL).returncode == 0


def lint() -> bool:
    """ansible-lint, production profile; and the one rule of ansible-test's that is broken most often, in a tenth of a second instead of minutes."""
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=REPO, capture_output=True, text=True, check=True).stdout.split()
    lines = [(name, *line) for name in files for line in enumerate((REPO / name).read_text(encoding="utf-8").splitlines(), start=1)]
    long = [f"{name}:{number}: longer than {LONGEST_LINE} characters" for name, number, line in lines if len(line) > LONGEST_LINE]
    print("\n".join(long), end="\n" if long else "")
    return run("ansible-lint", "--offline", without=("ANSIBLE_INVENTORY_UNPARSED_FAILED", "ANSIBLE_HOST_PATTERN_MISMATCH")) and not long


def ansible_test(*tests: str, environment: Path = CACHE / "venv", every_python: bool = False) -> bool:
    """ansible-test sanity of that environment's ansible-core, on a copy of what git tracks: it refuses a linked tree. Every Python, or its own."""
    tree = CACHE / "sanity" / environment.name / "ansible_collections" / "siptrunk" / "failover"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=REPO, capture_output=True, check=True).stdout
    subprocess.run(["rsync", "-a", "--from0", "--ignore-missing-args", "--files-from=-", f"{REPO}/", f"{tree}/"], input=files, check=True)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tree, check=True)
    home = CACHE / "sanity" / environment.name / "home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    pip = home / ".config" / "pip" / "pip.conf"  # ansible-test keeps HOME, and not PIP_RETRIES
    pip.parent.mkdir(parents=True, exist_ok=True)
    pip.write_text(f"[global]\nretries = {os.environ.get('PIP_RETRIES', '5')}\n", encoding="utf-8")
    for name in ("get_pip_24_2.py", "get_pip_25_2.py"):
        shutil.copy(REPO / "lab" / "get-pip-offline.py", cache / name)
    # its tests "compile" and "import" run on every Python of managed hosts that it finds on PATH; pyenv's shims there start only the one that is switched on
    pythons = [str(Path(python).parent) for python in PYTHONS.values()] if every_python else []
    others = [folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.endswith("/shims")]
    own = re.search(r"^version = (\d+\.\d+)", (environment / "pyvenv.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    only = [] if every_python or own is None else ["--python", own[1]]
    return run(
        *("ansible-test", "sanity", "--color", "no", *only, *(part for test in tests for part in ("--test", test))),
        cwd=tree,
        env={"HOME": str(home), "PATH": os.pathsep.join([str(environment / "bin"), *pythons, *others])},
        without=("ANSIBLE_HOME", "PYTHONDONTWRITEBYTECODE"),
    )


def sanity() -> bool:
    """ansible-test sanity; our code compiles and is imported on every Python of managed hosts that this machine has."""
    for version in HOST_PYTHONS:
        if version not in PYTHONS:
            skip(f"sanity: compile and import on Python {version}: this machine has none")
    return ansible_test(every_python=True)


def types() -> bool:
    """mypy, as pyproject.toml says."""
    collections = CACHE / "collections"
    return run(
        *("mypy", "--cache-dir", CACHE / "mypy", collections / "ansible_collections/siptrunk/failover/plugins"),
        *("roles/monitor/files/siptrunk_monitor", *sorted(REPO.glob("lab/*.py")), "tests/run.py"),
        env={"MYPYPATH": f"{collections}:roles/monitor/files:lab:tests"},
    )


def docs() -> bool:
    """antsibull-docs: the documentation of plugins, modules and roles."""
    return run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "--validate-collection-refs", "self", ".")


def unit() -> bool:
    """Unit tests."""
    return run(*PYTEST, f"--junitxml={RESULTS}/unit.xml", "tests/unit", env={"PYTHONPATH": str(CACHE / "collections")})


def golden() -> bool:
    """Golden tests: rendered files, compared exactly."""
    return run(*PYTEST, f"--junitxml={RESULTS}/golden.xml", "tests/golden", env={"PYTHONPATH": str(CACHE / "collections")})


def contract() -> bool:
    """The quickest cases of the contract on Asterisk, in a lab that is left standing."""
    environment = {"SIPTRUNK_LAB": "check", "SIPTRUNK_LAB_NET": "18", "PYTHONPATH": str(CACHE / "collections")}
    inventories = ("--inventory=inventories/lab", "--inventory=tests/contract/inventory")
    state = CACHE / "check-lab.json"
    known = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
    wanted = {
        "image": (CACHE / "image-sid.built").read_text(encoding="utf-8"),
        "hosts": output("podman", "ps", "--quiet", "--no-trunc", "--filter=name=^siptrunk-check-"),
        "lab": checksum("lab", "inventories/lab", "tests/contract/inventory"),
        "product": checksum("plugins", "roles", "playbooks", "site.yml"),
    }
    changed = {name for name, value in wanted.items() if known.get(name) != value}
    playbooks = [
        *(["lab/destroy.yml"] if changed & {"image", "hosts"} else []),
        *(["lab/create.yml", "lab/provision.yml"] if changed - {"product"} else []),
        *(["site.yml"] if changed else []),
    ]
    print(f"changed: {', '.join(sorted(changed)) or 'nothing'}", flush=True)
    state.unlink(missing_ok=True)
    if playbooks and not run("ansible-playbook", *inventories, "-e", "asterisk_allow_restart=true", *playbooks, env=environment):
        return False
    passed = run(*PYTEST, f"--junitxml={RESULTS}/contract.xml", "tests/contract/test_contract.py", "-m", "quick", env=environment)
    wanted["hosts"] = output("podman", "ps", "--quiet", "--no-trunc", "--filter=name=^siptrunk-check-")
    if not passed:
        del wanted["product"]  # whatever the tests left: site.yml runs again
    state.write_text(json.dumps(wanted), encoding="utf-8")
    return passed


def output(*argv: str) -> str:
    return subprocess.run(argv, cwd=REPO, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


def checksum(*paths: str) -> str:
    """Of all files below these paths that git tracks or would."""
    total = hashlib.sha256()
    for name in sorted(set(output("git", "ls-files", "-z", "-co", "--exclude-standard", *paths).split("\0"))):
        path = REPO / name
        if path.is_file():
            total.update(f"{name}\0{path.stat().st_mode}\0".encode() + path.read_bytes())
    return total.hexdigest()


def core(version: str) -> Callable[[], bool | str]:
    def part() -> bool | str:
        environment = CACHE / "venv" if version == LAB_CORE else CACHE / "cores" / version
        why = environment.with_name(f"{version}.missing")
        if why.exists():
            return why.read_text(encoding="utf-8").strip()
        # all three, whatever becomes of the others
        passed = [tests_with_ansible(environment, version), ansible_test(*SANITY_BY_CORE, environment=environment), configures_a_host(environment, version)]
        return all(passed)

    part.__doc__ = f"ansible-core {version}: the unit, golden and sanity tests that depend on it, and site.yml."
    return part


def tests_with_ansible(environment: Path, version: str) -> bool:
    """Unit and golden tests of files that name Ansible or import a plugin; all others cannot differ from core to core."""
    names = re.compile(r"\bansible[. -]|\brendering\b|\bplugins\.(action|filter|lookup|modules)\b")
    every = sorted(path for folder in ("unit", "golden") for path in (REPO / "tests" / folder).rglob("test_*.py"))
    files = [path for path in every if names.search(path.read_text(encoding="utf-8"))]
    return run(
        *(environment / "bin/python", *PYTEST[1:], f"--junitxml={RESULTS}/core-{version}.xml", *files),
        env={"PATH": f"{environment}/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(CACHE / "collections")},
    )


def configures_a_host(environment: Path, version: str) -> bool:
    """site.yml on a new host: it configures it, and Ansible calls nothing of ours deprecated. The newest core meets the oldest Python, 3.9 on bullseye."""
    suite = "bullseye" if version == CORES[-1] and not missing("bullseye") else "sid"
    lab = {"SIPTRUNK_LAB": f"core-{version}", "SIPTRUNK_LAB_NET": str(40 + int(version.split(".")[1]))}
    options = ["--inventory=inventories/lab", "--inventory=tests/core", "--limit=pbx", "-e", f"lab_suite={suite}"]
    try:
        if not run("ansible-playbook", *options, "lab/create.yml", env=lab):
            return False
        site, log = [str(environment / "bin/ansible-playbook"), *options, "site.yml"], subprocess.STDOUT
        done = subprocess.run(site, cwd=REPO, env={**os.environ, **lab}, text=True, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    finally:
        run("ansible-playbook", *options, "lab/destroy.yml", env=lab)
    print(done.stdout)
    deprecated = [line for line in done.stdout.splitlines() if "[DEPRECATION WARNING]" in line]
    for line in deprecated:
        print(f"ERROR: {line}")
    return done.returncode == 0 and re.search(r"^pbx .* changed=[1-9]", done.stdout, re.MULTILINE) is not None and not deprecated


def artifact() -> bool:
    """The built collection, installed and used from elsewhere."""
    return run(*PYTEST, f"--junitxml={RESULTS}/artifact.xml", "tests/artifact")


def report() -> bool | str:
    """The page of report.yml in a real Chromium."""
    if not shutil.which("chromium"):
        return "there is no Chromium: lab/setup tests could not install it (chromium.log in the cache)"
    return run(*PYTEST, f"--junitxml={RESULTS}/report.xml", "tests/report")


IMAGES = {"asterisk-16": "bullseye", "freeswitch": "freeswitch", "freeswitch-deployment": "freeswitch"}  # what scenarios need that not every machine can have


def missing(image: str) -> str:
    """Why lab/setup has not made the image, or nothing."""
    why = CACHE / f"image-{image}.missing"
    return why.read_text(encoding="utf-8").strip() if why.exists() else ""


def molecule(scenario: str) -> Callable[[], bool | str]:
    def part() -> bool | str:
        # for scenarios with every engine that this machine has
        beside = "lab" if missing("freeswitch") else "lab-freeswitch"
        return missing(IMAGES.get(scenario, "sid")) or run(*NETWORK, "molecule", "test", "-s", scenario, env={"SIPTRUNK_BESIDE": beside})

    part.__doc__ = f"Molecule scenario {scenario}."
    return part


# Each returns whether it passed, or why this machine cannot run it.
PARTS: dict[str, Callable[[], bool | str]] = {
    "lint": lint,
    "sanity": sanity,
    "types": types,
    "docs": docs,
    "unit": unit,
    "golden": golden,
    "artifact": artifact,
    "report": report,
    "contract": contract,
    **{f"core-{version}": core(version) for version in CORES},
    **{f"molecule-{path.parent.name}": molecule(path.parent.name) for path in sorted((REPO / "molecule").glob("*/molecule.yml"))},
}

# what the scenarios, and the parts on the lab's own ansible-core, show anyway
ONLY_BY_NAME = {"contract", f"core-{LAB_CORE}"}


def testcases() -> list[tuple[str, ElementTree.Element]]:
    """(part, element) of the result files of every pytest run; of a test that ran again, its last run."""
    cases = {}
    for path in sorted(RESULTS.glob("*.xml")):
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            cases[path.stem, case.get("classname"), case.get("name")] = case
    return [(part, case) for (part, *_name), case in cases.items()]


def outcomes() -> tuple[dict[str, int], list[str], list[str]]:
    """Tests by outcome, over the result files of every pytest run; each that failed, with the first line of its reason; why how many were skipped."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures, skips = [], Counter[str]()
    for part, case in testcases():
        failure = next((child for child in case if child.tag in ("failure", "error")), None)
        if failure is not None:
            reason = (failure.get("message") or "").strip().splitlines() or [failure.tag]
            failures.append(f"{part}: {case.get('classname')}::{case.get('name')}: {reason[0]}")
        skip = case.find("skipped")
        if skip is not None:
            skips[f"{part}: {skip.get('message')}"] += 1
        outcome = "failed" if failure is not None else "skipped" if skip is not None else "passed"
        counts[outcome] += 1
    return counts, failures, [f"{why} ({count} tests)" for why, count in skips.items()]


def ran_again() -> tuple[list[str], str]:
    """Tests that failed while the machine stalled, and ran again: each with the first line of that failure; and how many for how long, or nothing."""
    again, seconds = [], []
    for part, case in testcases():
        properties = {one.get("name"): one.get("value", "") for one in case.iter("property")}
        if "stalled" in properties:
            seconds.append(float(properties["stalled"]))
            again.append(f"{part}: {case.get('classname')}::{case.get('name')}: {properties['failed_first']}")
    return again, stalls.summary(seconds) if seconds else ""


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


class Outcome(NamedTuple):
    """What became of a part."""

    name: str
    word: str  # passed, skipped or FAILED
    minutes: float
    cpu: float  # seconds of the processor's: its own processes, and the lab's containers
    why: str  # it was skipped, or failed


def containers_cpu(name: str) -> float:
    """Seconds that the containers of a scenario's lab have used so far (cgroup v2, cpu.stat; hosts.py gives them one parent)."""
    stat = Path("/sys/fs/cgroup/siptrunk") / name.removeprefix("molecule-") / "cpu.stat"
    return int(stat.read_text(encoding="ascii").split()[1]) / 1e6 if stat.exists() else 0.0


def in_a_lane(name: str) -> Outcome:
    """Run one part beside others."""
    print(f"{name}: {(PARTS[name].__doc__ or '').strip()}", flush=True)
    log, began, before = RESULTS / f"{name}.log", time.monotonic(), containers_cpu(name)
    with log.open("w", encoding="utf-8") as stream:
        command = [sys.executable, __file__, "--alone", name]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        if name in PATIENT:
            step_back(process.pid)
        _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    minutes = (time.monotonic() - began) / 60
    cpu = used.ru_utime + used.ru_stime + max(0.0, containers_cpu(name) - before)
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    word = {0: "passed", SKIPPED: "skipped"}.get(process.returncode, "FAILED")
    end = "".join(f"\n  | {line}" for line in said[-LINES_SHOWN:]) if word == "FAILED" else ""
    print(f"{name}: {word} after {minutes:.1f} min{end}", flush=True)
    return Outcome(name, word, minutes, cpu, {"skipped": said[-1] if said else "", "FAILED": blame(said)}.get(word, ""))


def step_back(pid: int) -> None:
    """Give a process and its children the lowest priority: among their session's processes, and of the session among others (sched(7), autogroup)."""
    os.setpriority(os.PRIO_PROCESS, pid, 19)
    with contextlib.suppress(OSError):  # a kernel without autogroups
        Path(f"/proc/{pid}/autogroup").write_text("19", encoding="ascii")


def waits(name: str) -> bool:
    """Whether a part mostly waits for SIP timers; the others are bound by the processor."""
    return name.startswith(("molecule-", "contract"))


def slowest() -> list[tuple[float, str]]:
    """(seconds, part and test) of those that took the longest."""
    times = [(float(case.get("time") or 0), f"{part}: {case.get('classname', '').rpartition('.')[2]}::{case.get('name')}") for part, case in testcases()]
    return sorted(times, reverse=True)[:SLOWEST]


def main() -> int:
    if sys.argv[1:2] == ["--alone"]:
        return alone(sys.argv[2])
    wanted = sys.argv[1:] or [name for name in PARTS if name not in ONLY_BY_NAME]
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"tests/run.py: unknown part {', '.join(unknown)}; known are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    began = time.monotonic()
    wanted.sort(key=lambda name: (*FIRST, name.removeprefix("molecule-")).index(name.removeprefix("molecule-")))
    with ThreadPoolExecutor(SCENARIOS) as scenarios, ThreadPoolExecutor(OTHERS) as others:
        running = [(scenarios if waits(name) else others).submit(in_a_lane, name) for name in wanted]
    rows = [part.result() for part in running]
    counts, failures, skips = outcomes()
    alone_skipped = (RESULTS / "skipped").read_text(encoding="utf-8").splitlines() if (RESULTS / "skipped").exists() else []
    counts["skipped"] += len(alone_skipped)
    skips += alone_skipped + [f"{row.name}: {row.why}" for row in rows if row.word == "skipped"]
    known = {line.split(":")[0] for line in failures}  # by its tests
    failures += [f"{row.name}: {row.why}" for row in rows if row.word == "FAILED" and row.name not in known]
    for row in rows:
        counts[row.word.lower()] += 1
    print("\nThe slowest tests")
    print("\n".join(f"{seconds:7.1f} s  {name[:140]}" for seconds, name in slowest()))
    print()
    print("\n".join(f"{row.name:22} {row.word:7} {row.minutes:5.1f} min {row.cpu:6.0f} s of the processor" for row in rows))
    print(f"{'all, side by side':30} {(time.monotonic() - began) / 60:5.1f} min {sum(row.cpu for row in rows):6.0f} s")
    print("".join(f"\nFAILED {line[:300]}" for line in failures) + "".join(f"\nSKIPPED {line[:300]}" for line in skips))
    again, line = ran_again()
    print("".join(f"RAN AGAIN {one[:300]}\n" for one in again) + (f"{line}\n" if line else ""), end="")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
