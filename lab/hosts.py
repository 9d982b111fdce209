# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hosts.py up|down: start or remove the containers of one lab, described as JSON on standard input (templates/lab.json.j2).

    {"name": name of the lab, "network": first three parts of its addresses, "internal": false where the controller must reach it,
     "hosts": [{"name", "container", "address", "image": suffix of its name, "usual": usual.json of a carrier,
                "program": one of PROGRAMS, or null for a host with systemd}]}

Prints the containers that were started, one a line. Phone systems run systemd, as a user's host does. Carriers, name servers and phones
run one program each (lab/service): systemd, its journal and D-Bus in each of them took a tenth of the processor's time in a test run.

The state folder of such a host (a carrier's control and log, a name server's zones) is a folder of the controller's, so the tests
read and write it without entering the container. It is /lab/state in the container.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certificates
import jinja2
from harness import enter, state_folder

LAB = Path(__file__).resolve().parent
CERTIFICATES = Path(os.environ.get("SIPTRUNK_CACHE", LAB.parent / ".cache")) / "lab-certificates"
CERTIFIED = ("sip.acme.example", "gw1.acme.example", "gw2.acme.example", "gw1.beta.example")
ZONES = ("nsd.conf", "acme.example.zone", "beta.example.zone")
PROGRAMS = {
    "carrier": "python3 /lab/program/carrier.py --address {address} --port 5060 --tls-port 5061 --certificates /lab/certificates --state-dir /lab/state",
    "name server": "nsd -d -c /lab/state/nsd.conf",
    "phone": "sleep infinity",
    "phone that answers": "sipp -sn uas -i {address} -p 5080 -nostdin",
}
SYSTEMD_WITHIN = 120


@contextmanager
def alone() -> Iterator[None]:
    """One process at a time changes the machine's networks: podman's own lock is each checkout's, the packet filter is the machine's."""
    with open("/run/lock/siptrunk-lab", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def podman(*argv: str, check: bool = True) -> str:
    done = subprocess.run(["podman", *argv], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        sys.exit(f"podman {' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def files(lab: dict[str, Any], host: dict[str, Any]) -> dict[str, str]:
    """The files in a host's state folder that its program reads when it starts."""
    if host["program"] == "carrier":
        return {"usual.json": json.dumps(host["usual"])}
    if host["program"] == "name server":
        values = {"lab_net": lab["network"], "lab_address": host["address"]}
        return {name: jinja2.Template((LAB / "templates" / f"{name}.j2").read_text(encoding="utf-8")).render(values) + "\n" for name in ZONES}
    return {}


def options(lab: dict[str, Any], host: dict[str, Any]) -> list[str]:
    """What `podman run` must know of a host."""
    common = ["--name", host["container"], "--hostname", host["name"], "--network", f"siptrunk-{lab['name']}:ip={host['address']}"]
    common += ["--cap-add", "NET_ADMIN,NET_RAW", "--dns", f"{lab['network']}.53"]
    common += ["--cgroup-parent", f"/siptrunk/{lab['name']}"]  # its cpu.stat is the lab's: tests/run.py
    image = f"localhost/siptrunk-{host['image']}:latest"
    if not host["program"]:
        return [*common, "--systemd", "always", image, "/sbin/init"]
    state = state_folder(lab["name"], host["name"])
    volumes = ["--volume", f"{state}:/lab/state", "--volume", f"{LAB}:/lab/program:ro", "--volume", f"{CERTIFICATES}:/lab/certificates:ro"]
    program = PROGRAMS[host["program"]].format(address=host["address"])
    return [*common, *volumes, image, "/lab/program/service", *program.split()]


def version(lab: dict[str, Any], host: dict[str, Any]) -> str:
    """Changes with all that a host was made of; a host with systemd is a phone system, which only its roles change."""
    if not host["program"]:
        return ""
    certificates = sorted(CERTIFICATES.glob("*.pem")) if host["program"] == "carrier" else []
    parts = [path.read_bytes() for path in (LAB / "carrier.py", LAB / "service", *certificates)]
    parts += [json.dumps(part).encode() for part in (options(lab, host), files(lab, host))]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def up(lab: dict[str, Any]) -> None:
    with alone():
        certificates.make(CERTIFICATES, CERTIFIED)
        started = start(lab)
    print("\n".join(host["container"] for host in started))
    with ThreadPoolExecutor() as pool:
        list(pool.map(wait_for_systemd, (host["container"] for host in started if not host["program"])))


def start(lab: dict[str, Any]) -> list[dict[str, Any]]:
    """Those hosts that did not run, or of which something has changed."""
    rows = podman("ps", "--all", "--format", '{{.Names}} {{.State}} {{index .Labels "version"}}').splitlines()
    # podman 4.3 writes "running", and "Paused"
    known = {name: (state.lower(), version) for name, state, version in (f"{row} ".split(" ")[:3] for row in rows)}
    started: list[dict[str, Any]] = []
    for host in lab["hosts"]:
        wanted = version(lab, host)
        state, of = known.get(host["container"], ("", ""))
        if state == "paused":
            podman("unpause", host["container"])
            state = "running"
        if state == "running" and of == wanted:
            continue
        if not started and f"siptrunk-{lab['name']}" not in podman("network", "ls", "--format", "{{.Name}}").split():
            internal = ["--internal"] if lab["internal"] else []
            podman("network", "create", "--disable-dns", *internal, "--subnet", f"{lab['network']}.0/24", f"siptrunk-{lab['name']}")
        started.append(host)
        if state and of == wanted:
            podman("start", host["container"])
            continue
        podman("rm", "--force", "--ignore", "--time", "0", host["container"])
        write_files(lab, host)
        podman("run", "--detach", "--label", f"version={wanted}", *options(lab, host))
    return started


def write_files(lab: dict[str, Any], host: dict[str, Any]) -> None:
    folder = state_folder(lab["name"], host["name"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files(lab, host).items():
        path = folder / name
        path.touch(mode=0o600 if name == "usual.json" else 0o644)  # of a carrier: it holds passwords
        path.write_text(content, encoding="utf-8")


def wait_for_systemd(container: str) -> None:
    """ "Failed to create ... watch" in the container's log: too few fs.inotify.max_user_instances, which lab/setup raises."""
    until = 'until systemctl is-system-running --wait | grep -E "running|degraded"; do sleep 0.2; done'
    enter(container, ["timeout", str(SYSTEMD_WITHIN), "sh", "-c", until])


def down(lab: dict[str, Any]) -> None:
    with alone():
        podman("rm", "--force", "--volumes", "--ignore", "--time", "0", *(host["container"] for host in lab["hosts"]))
        podman("network", "rm", "--force", f"siptrunk-{lab['name']}", check=False)
    shutil.rmtree(state_folder(lab["name"]), ignore_errors=True)


if __name__ == "__main__":
    {"up": up, "down": down}[sys.argv[1]](json.load(sys.stdin))
