# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab looks into each engine: the only place outside the roles that knows one."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from typing import ClassVar

from harness import enter, open_file, read_file


# Logs in on loopback, and prints what is told of attempts and answers, each a line [moment, fields]. Arguments: port, seconds, file with the password.
# Both engines write "Name: value" lines, and an empty one after each event.
LISTEN = r"""
import json, socket, sys, time, urllib.parse
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
link.sendall((sys.stdin.read() % open(sys.argv[3]).read().strip()).encode())
link.settimeout(0.1)
ends, text = time.time() + float(sys.argv[2]), ""
while time.time() < ends:
    try:
        text += link.recv(65536).decode().replace("\r", "")
    except socket.timeout:
        continue
    *blocks, text = text.split("\n\n")
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        fields = {key: urllib.parse.unquote(value) for key, value in fields.items()}
        name = fields.get("UserEvent") or fields.get("Event-Subclass") or ""
        if name.lower().startswith("siptrunk"):
            print(json.dumps([time.time(), {**fields, "name": name.lower().replace("siptrunk", "").strip(":")}]))
"""


_records: dict[str, tuple[tuple[int, int], int, list[dict]]] = {}  # by container: the file (device, inode), how much of it was read, its records


def records(container: str, path: str) -> list[dict]:
    """The records of a file to which an engine appends one a line; what was read before is not read again."""
    try:
        stream = open_file(container, path)
    except FileNotFoundError:
        return []
    with stream:
        at = os.fstat(stream.fileno())
        file, read, known = _records.get(container, (None, 0, []))
        if file != (at.st_dev, at.st_ino) or read > at.st_size:
            read, known = 0, []
        stream.seek(read)
        whole, newline, _begun = stream.read().rpartition(b"\n")
    known = [*known, *map(json.loads, whole.splitlines())]
    _records[container] = ((at.st_dev, at.st_ino), read + len(whole) + len(newline), known)
    return known


@dataclass
class Asterisk:
    """An Asterisk that the role configured."""

    container: str
    name: ClassVar[str] = "Asterisk"
    host: ClassVar[str] = "pbx"  # of the lab
    trunk_port: ClassVar[int] = 5060  # where carriers call
    config: ClassVar[str] = "/etc/asterisk/siptrunk"
    records_file: ClassVar[str] = "/var/log/asterisk/siptrunk-cdr.jsonl"
    process: ClassVar[str] = "asterisk"

    def command(self, text: str) -> str:
        """What the command line interface answers."""
        return enter(self.container, ["asterisk", "-rx", text])

    def plan(self) -> dict:
        """The plan that was deployed."""
        return json.loads(read_file(self.container, f"{self.config}/plan.json"))

    def records(self) -> list[dict]:
        """One record for each call so far."""
        return records(self.container, self.records_file)

    def forget(self) -> None:
        """Forget all marks of targets and trunks, and that the operator's hook failed."""
        names = r"asterisk -rx 'dialplan show globals' | sed -n 's/^ *\(SIPTRUNK_[^=]*\)=.*/\1/p'"
        script = names + ' | while read -r name; do asterisk -rx "dialplan set global $name 0"; done'
        enter(self.container, ["sh", "-c", script])

    def listen(self, seconds: float) -> list[tuple[float, dict[str, str]]]:
        """What the monitor's user hears of attempts and answers in that time: (moment, fields), `name` among them."""
        hello = "Action: Login\r\nUsername: siptrunk-monitor\r\nSecret: %s\r\n\r\n"
        return self.overhear(5038, seconds, "/etc/asterisk/siptrunk-monitor.secret", hello)

    def listened_to(self) -> bool:
        """Whether somebody listens now."""
        return enter(self.container, ["ss", "-Htn", "state", "established", "sport", "=", ":5038"]) != ""

    def overhear(self, port: int, seconds: float, secret: str, hello: str) -> list[tuple[float, dict[str, str]]]:
        """Run LISTEN there."""
        said = enter(self.container, ["python3", "-c", LISTEN, str(port), str(seconds), secret], hello)
        return [tuple(line) for line in map(json.loads, said.splitlines())]

    def cooling(self) -> bool:
        """Whether a target that was silent is still passed over."""
        return any(int(until) > time.time() for until in re.findall(r"SIPTRUNK_COOL_\S+=(\d+)", self.command("dialplan show globals")))

    def mark(self, kind: str, name: str, seconds: float) -> None:
        """Set a mark of the monitor (held, closed, trial), for so many seconds from now."""
        self.command(f"dialplan set global SIPTRUNK_{kind.upper()}_{name} {time.time() + seconds:.0f}")

    def reachable(self) -> dict[str, bool]:
        """By target id: what the probes say. Targets that are not probed count as reachable."""
        rows = re.findall(r"Contact: +(\S+?)/\S+ +\S+ +(\w+)", self.command("pjsip list contacts"))
        return {target: status != "Unavail" for target, status in rows}

    def register(self, trunk: str) -> None:
        """Register the trunk now, not when it is time."""
        self.command(f"pjsip send register {trunk}")

    def drain(self, *trunks: str) -> None:
        """Take these trunks out, and no others."""
        self.command("database deltree siptrunk_drained")
        for trunk in trunks:
            self.command(f"database put siptrunk_drained {trunk} test")

    def drained(self) -> bool:
        """Whether any trunk is out."""
        return "/siptrunk_drained/" in self.command("database show siptrunk_drained")

    def active_calls(self) -> int:
        """Channels that are up now."""
        return int(self.command("core show channels count").split()[0])

    def hang_up(self) -> None:
        """End all calls."""
        self.command("channel request hangup all")


@dataclass
class FreeSwitch:
    """A FreeSWITCH that the role configured."""

    container: str
    name: ClassVar[str] = "FreeSWITCH"
    host: ClassVar[str] = "fs"
    trunk_port: ClassVar[int] = 5090
    # as FreeSWITCH itself said when lab/setup made its image
    prefix: ClassVar[str] = os.environ.get("FREESWITCH_PREFIX", "/usr/local/freeswitch")
    etc: ClassVar[str] = os.environ.get("FREESWITCH_CONF", f"{prefix}/etc/freeswitch")
    log: ClassVar[str] = os.environ.get("FREESWITCH_LOG", f"{prefix}/var/log/freeswitch")
    modules: ClassVar[str] = os.environ.get("FREESWITCH_MOD", f"{prefix}/lib/freeswitch/mod")
    config: ClassVar[str] = f"{etc}/siptrunk"
    records_file: ClassVar[str] = f"{log}/siptrunk-cdr.jsonl"
    process: ClassVar[str] = "freeswitch"

    plan = Asterisk.plan
    records = Asterisk.records
    overhear = Asterisk.overhear

    def listen(self, seconds: float) -> list[tuple[float, dict[str, str]]]:
        """As for Asterisk."""
        hello = "auth %s\n\nevent plain CUSTOM siptrunk::attempt siptrunk::answered\n\n"
        return self.overhear(8021, seconds, f"{self.config}/esl.secret", hello)

    def listened_to(self) -> bool:
        """As for Asterisk."""
        return enter(self.container, ["ss", "-Htn", "state", "established", "sport", "=", ":8021"]) != ""

    def script(self, text: str, *arguments: str) -> str:
        """What a shell script says in which `fs COMMAND` asks FreeSWITCH."""
        fs = f'fs() {{ {self.prefix}/bin/fs_cli -p "$(cat {self.config}/esl.secret)" -x "$1"; }}; '
        return enter(self.container, ["sh", "-c", fs + text, "sh", *arguments])

    def command(self, text: str) -> str:
        """What an API command answers."""
        return self.script('fs "$1"', text)

    def forget(self) -> None:
        """As for Asterisk."""
        keys = r"fs 'hash_dump db' | sed -nE 's#^D/(siptrunk_cool|siptrunk_held|siptrunk_closed|siptrunk_trial|siptrunk_hook)_([^/]*)/.*#\1/\2#p'"
        self.script(keys + ' | while read -r key; do fs "hash delete/$key"; done')

    def cooling(self) -> bool:
        """As for Asterisk."""
        return any(int(until) > time.time() for until in re.findall(r"^D/siptrunk_cool_[^/]+/(\d+)", self.command("hash_dump db"), re.MULTILINE))

    def mark(self, kind: str, name: str, seconds: float) -> None:
        """As for Asterisk."""
        self.command(f"hash insert/siptrunk_{kind}/{name}/{time.time() + seconds:.0f}")

    def reachable(self) -> dict[str, bool]:
        """As for Asterisk."""
        rows = re.findall(r"<name>(\S+)\.probe</name>.*?<status>(\w+)</status>", self.command("sofia xmlstatus gateway"), re.DOTALL)
        return {target: status == "UP" for target, status in rows}

    def register(self, trunk: str) -> None:
        """As for Asterisk."""
        self.command(f"sofia profile siptrunk register {trunk}.registration")

    def drain(self, *trunks: str) -> None:
        """As for Asterisk."""
        old = 'for name in $(fs db\\ list/siptrunk_drained | tr , " "); do fs "db delete/siptrunk_drained/$name"; done; '
        self.script(old + 'for name; do fs "db insert/siptrunk_drained/$name/test"; done', *trunks)

    def drained(self) -> bool:
        """As for Asterisk."""
        return self.command("db count/siptrunk_drained").strip() not in ("", "0")

    def active_calls(self) -> int:
        """As for Asterisk."""
        return int(self.command("show channels count").split()[0])

    def hang_up(self) -> None:
        """As for Asterisk."""
        self.command("hupall NORMAL_CLEARING")


@dataclass
class Kamailio:
    """A Kamailio that the role sbc configured."""

    container: str
    name: ClassVar[str] = "Kamailio"
    host: ClassVar[str] = "sbc"
    trunk_port: ClassVar[int] = 5060
    config: ClassVar[str] = "/etc/kamailio/siptrunk"
    records_file: ClassVar[str] = "/var/log/kamailio/siptrunk-cdr.jsonl"
    process: ClassVar[str] = "kamailio"

    plan = Asterisk.plan
    records = Asterisk.records

    def listen(self, seconds: float) -> list[tuple[float, dict[str, str]]]:
        """As for Asterisk; the monitor, if there is one, hears nothing meanwhile."""
        return [tuple(line) for line in map(json.loads, self.script(_LISTEN, str(seconds)).splitlines())]

    def listened_to(self) -> bool:
        """As for Asterisk."""
        return enter(self.container, ["ss", "-Hlnu", "sport", "!=", f":{self.trunk_port}", "and", "src", "127.0.0.1"]) != ""

    def script(self, text: str, *arguments: str) -> str:
        """What a Python script says in which ask(METHOD, PARAMETER...) asks Kamailio."""
        return enter(self.container, ["python3", "-c", _ASK + text, *arguments])

    def ask(self, method: str, *params: object) -> object:
        """The result of a command, None when it fails."""
        return json.loads(self.script(f"print(json.dumps(ask({method!r}, *{list(params)!r})))"))

    def forget(self) -> None:
        """As for Asterisk."""
        self.script("ask('htable.flush', 'marks')")

    def cooling(self) -> bool:
        """As for Asterisk."""
        entries = [entry for bucket in self.ask("htable.dump", "marks") or [] for entry in bucket["slot"]]
        return any(entry["name"].startswith("cool:") and int(entry["value"]) > time.time() for entry in entries)

    def mark(self, kind: str, name: str, seconds: float) -> None:
        """As for Asterisk."""
        self.script(f"ask('htable.seti', 'marks', {f'{kind}:{name}'!r}, {round(time.time() + seconds)})")

    def reachable(self) -> dict[str, bool]:
        """As for Asterisk."""
        sets = [record["SET"] for record in (self.ask("dispatcher.list") or {}).get("RECORDS", [])]
        dests = [entry["DEST"] for found in sets for entry in found["TARGETS"]]
        return {dest["ATTRS"]["DUID"]: not dest["FLAGS"].startswith(("I", "T")) for dest in dests}

    def register(self, trunk: str) -> None:
        """As for Asterisk."""
        self.ask("uac.reg_refresh", trunk)

    def drain(self, *trunks: str) -> None:
        """As for Asterisk."""
        enter(self.container, ["sh", "-c", "cd /var/lib/siptrunk/drained && rm -f -- * && for name; do echo test > $name; done", "sh", *trunks])

    def drained(self) -> bool:
        """As for Asterisk."""
        return enter(self.container, ["ls", "/var/lib/siptrunk/drained"]).strip() != ""

    def active_calls(self) -> int:
        """As for Asterisk."""
        return 2 * int((self.ask("dlg.stats_active") or {}).get("all", 0))  # both legs, as a PBX has them

    def hang_up(self) -> None:
        """Forget all calls: an SBC that starts anew knows none."""
        enter(self.container, ["systemctl", "restart", self.process])


_ASK = '''import json, os, socket, tempfile
def ask(method, *params):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        os.chmod(folder, 0o755)
        connection.bind(folder + "/s")
        os.chmod(folder + "/s", 0o666)
        connection.settimeout(5)
        connection.sendto(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode(), "/run/kamailio/siptrunk.sock")
        return json.loads(connection.recv(1 << 20)).get("result")
'''

_LISTEN = '''
import sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
    ear.bind(("127.0.0.1", 0))
    ear.settimeout(0.1)
    ask("htable.sets", "listener", "monitor", "%d abc" % ear.getsockname()[1])
    ends = time.time() + float(sys.argv[1])
    while time.time() < ends:
        try:
            event = json.loads(ear.recv(65536))
        except socket.timeout:
            continue
        name = event.pop("event").lower().replace("siptrunk", "")
        if name in ("attempt", "answered"):
            print(json.dumps([time.time(), {**{key: str(value) for key, value in event.items()}, "name": name}]))
'''

ENGINES = {"asterisk": Asterisk, "asterisk-16": Asterisk, "freeswitch": FreeSwitch, "sbc": Kamailio}
