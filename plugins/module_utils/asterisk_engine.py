# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk as the engine of a deployment (see release.py): a throwaway one tries the files, the live one runs them.

Asterisk says of every reload that it succeeded, and keeps the old version of an object that it refuses until the
next restart. So nothing is believed: objects are counted in the running engine, and its log of the reload is read.
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_conf import read_sections
from ansible_collections.siptrunk.failover.plugins.module_utils.host import apart, is_enabled, run, scratch, systemctl
from ansible_collections.siptrunk.failover.plugins.module_utils.registration import REGISTERED, UNKNOWN
from ansible_collections.siptrunk.failover.plugins.module_utils.registration_asterisk import parse_status
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused

RELOADS = {
    "pjsip.conf": "module reload res_pjsip.so res_pjsip_endpoint_identifier_ip.so res_pjsip_outbound_registration.so",
    "extensions.conf": "dialplan reload",
    "manager.conf": "manager reload",
}
# kind of object: the command that lists them, and how a line of it looks
_LISTS = {
    "endpoint": ("pjsip list endpoints", r"^ Endpoint: +([^ /]+)"),
    "aor": ("pjsip list aors", r"^ +Aor: +([^ /<]+)"),
    "auth": ("pjsip list auths", r"^ +Auth: +([^ /]+)"),
    "registration": ("pjsip list registrations", r"^ ([^ /]+)/sip"),
    "identify": ("pjsip list identifies", r"^ Identify: +([^ /<]+)/"),
    "transport": ("pjsip list transports", r"^Transport: +([^ <]+)"),
    "context": ("dialplan show", r"^\[ Context '([^']+)'"),
    "manager user": ("manager show users", r"^(\S+)$"),
}
# What reads pjsip.conf, extensions.conf and manager.conf, and nothing that writes, calls or asks a database.
_MODULES = (
    "res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb", "res_pjproject", "res_pjsip", "res_pjsip_session",
    "res_pjsip_outbound_registration", "res_pjsip_endpoint_identifier_ip", "pbx_config",
)  # fmt: skip
# Files of the operator's that the throwaway one must not see: they name modules, commands to run, databases, logs.
_UNSEEN = ("asterisk.conf", "modules.conf", "logger.conf", "cli.conf", "sorcery.conf", "extconfig.conf", "http.conf", "cdr.conf", "cel.conf")
_DIRECTORIES = "astvarlibdir astdbdir astkeydir astspooldir astlogdir astcachedir".split()
_TRY = "siptrunk-try-"


def declared(files):
    """{kind: names} of the objects that our files describe."""
    found = {kind: set() for kind in _LISTS}
    section = ""
    for head, kind in re.findall(r"^(?:\[([^\]\n]+)\]|type[^\S\n]*=[^\S\n]*(\S+))", files.get("pjsip.conf", ""), re.MULTILINE):
        section = head or section
        if kind in found:
            found[kind].add(section)
    for name, kind in (("extensions.conf", "context"), ("manager.conf", "manager user")):
        found[kind] = set(re.findall(r"^\[([^\]]+)\]", files.get(name, ""), re.MULTILINE)) - {"general", "globals"}
    return found


class Asterisk:
    """The Asterisk of a host.

    directory: its configuration. name: our folder in it. user, group: who it runs as. service: its systemd unit.
    expect: {kind: names} that must run, besides what the files describe. settings: {timer: value} of `pjsip show settings`.
    timeout: seconds for it to start, and for a reload to show.
    """

    product = "Asterisk"
    restart_advice = (
        "This takes effect only when Asterisk restarts, which ends all calls; until then the bounds or transports are not the plan's. "
        "Run again with asterisk_allow_restart=true, or restart it yourself."
    )

    def __init__(self, directory, name, user, group, service, expect=None, settings=None, timeout=30):
        self.directory, self.name, self.user, self.group, self.service = directory, name, user, group, service
        self.expect, self.settings, self.timeout = expect or {}, settings or {}, timeout
        self._due = {}  # registration: when it was due before it was made anew
        self._rehearsed = {}  # context: its dialplan, as the throwaway one understood it

    def version(self):
        """"22.10.1"; empty when there is no Asterisk."""
        status, text = run(["asterisk", "-V"])
        found = re.search(r"Asterisk (?:certified/)?(\S+?)[~+\s]", text + "\n")
        return found.group(1) if status == 0 and found else ""

    def ask(self, command, to=None):
        """(whether it answered, what) the live Asterisk, or the one behind the socket `to`."""
        where = ["-s", to] if to else ["-C", os.path.join(self.directory, "asterisk.conf")]
        status, text = run(["asterisk", *where, "-rx", command])
        return status == 0 and "Unable to connect to remote asterisk" not in text, text

    def running(self):
        return self.ask("core waitfullybooted")[0]

    def busy(self):
        return re.search(r"^0 active channels", self.ask("core show channels count")[1], re.MULTILINE) is None and self.running()

    def objects(self, to=None):
        """{kind: names}, and under "dialplan" {context: its lines that come from extensions.conf}."""
        found = {}
        for kind, (command, pattern) in _LISTS.items():
            _answered, text = self.ask(command, to)
            found[kind] = set(re.findall(pattern, text, re.MULTILINE))
            if kind == "context":
                parts = re.split(r"^\[ Context '([^']+)'.*$", text, flags=re.MULTILINE)
                found["dialplan"] = {
                    name: [line for line in body.splitlines() if "[extensions.conf:" in line] for name, body in zip(parts[1::2], parts[2::2])
                }
        return found

    # --- what release.deploy asks for ---

    def unfit(self):
        return ""

    def tidy(self):
        for left in glob.glob(os.path.join(scratch(), _TRY + "*")):
            shutil.rmtree(left, ignore_errors=True)
        for left in re.findall(r"^(/\S*/%s\S+)" % _TRY, self.ask("logger show channels")[1], re.MULTILINE):
            self.ask("logger remove channel %s" % left)

    def faults(self, files, before=None, to=None):
        if to is None and not self.running():
            return ["Start Asterisk."]
        found, ours = self.objects(to), declared(files)
        theirs = declared(before or {})
        wanted = {kind: ours[kind] | set(self.expect.get(kind, ()) if files else ()) for kind in ours}
        said = ["Asterisk runs without %s %s." % (kind, name) for kind in wanted for name in sorted(wanted[kind] - found[kind])]
        said += ["Asterisk still has %s %s." % (kind, name) for kind in wanted for name in sorted((theirs[kind] - wanted[kind]) & found[kind])]
        if to is None:
            said += [
                "Asterisk runs another version of context %s." % name
                for name, lines in sorted(self._rehearsed.items())
                if name in ours["context"] and found["dialplan"].get(name, lines) != lines
            ]
        else:
            self._rehearsed = {name: lines for name, lines in found["dialplan"].items() if name in ours["context"]}
        if to is None and self.service and not is_enabled(self.service):
            said.append("Enable %s." % self.service)
        return said

    def restart_needed(self, files):
        if not self.running():
            return []
        shown = dict(re.findall(r"^ *(\w+) *: *(\S+) *$", self.ask("pjsip show settings")[1], re.MULTILINE))
        settings = {**dict(re.findall(r"^(timer_t1|timer_b) = (\d+)$", files.get("pjsip.conf", ""), re.MULTILINE)), **self.settings}
        said = ["%s=%s (now %s)" % (key, value, shown[key]) for key, value in sorted(settings.items()) if shown.get(key, str(value)) != str(value)]
        binds = dict(re.findall(r"^Transport: +([^ <]+) .* (\S+)$", self.ask("pjsip show transports")[1], re.MULTILINE))
        transports = re.findall(r"^\[([^\]]+)\]\ntype = transport\n(?:.+\n)*?bind = (\S+)$", files.get("pjsip.conf", ""), re.MULTILINE)
        return said + ["%s on %s (now %s)" % (name, bind, binds[name]) for name, bind in transports if binds.get(name, bind) != bind]

    def restart_only(self, before, files, waiting):
        """Transports whose protocol or TLS changes; their addresses are seen in the running engine."""
        old, new = _transports(before), _transports(files)
        return sorted({*waiting, *("%s with its new settings" % name for name in old if name in new and old[name] != new[name])})

    def started(self):
        found = re.search(r"System uptime: *(\d+)", self.ask("core show uptime seconds")[1])
        return time.time() - int(found.group(1)) - 1 if found else None

    def rehearse(self, files, includes):
        version = self.version()
        if not version:
            return "not tried: there is no Asterisk on this host yet"
        elsewhere = apart(self.user, self.group)
        if elsewhere is None:
            return "not tried: this host allows no network namespace (unshare -n, unshare -rn); the live Asterisk alone judged"
        began = time.monotonic()
        place = tempfile.mkdtemp(prefix=_TRY, dir=scratch())
        try:
            socket_path = os.path.join(place, "var", "asterisk.ctl")
            self._lay_out(place, files, includes)
            with open(os.path.join(place, "out"), "w+b") as out:
                # A sandbox, which runs beside this process.
                # pylint: disable-next=ansible-bad-function
                process = subprocess.Popen(
                    [*elsewhere, "asterisk", "-C", os.path.join(place, "etc", "asterisk.conf"), "-f", "-n"],
                    stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=place, start_new_session=True,
                )  # fmt: skip
                try:
                    self._wait(process, socket_path)
                    faults = self.faults(files, to=socket_path) if process.poll() is None else ["The throwaway Asterisk did not start."]
                finally:
                    process.kill()
                    process.wait()
            words = self._words(os.path.join(place, "var", "log"), files, place)
            if faults and not words:
                words = self._words(os.path.join(place, "out"), None, place)[-5:]
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if faults or words:
            raise Refused("A throwaway Asterisk refused the files, and the live one did not see them. %s" % "\n".join(faults + words))
        return "by a throwaway Asterisk %s in %.1f s" % (version, time.monotonic() - began)

    def activate(self, files, before, names, restart, known=()):
        log = ""
        if restart or not self.running():
            self._systemctl("restart" if restart else "start")
        else:
            place = tempfile.mkdtemp(prefix=_TRY, dir=scratch())
            log = os.path.join(place, "log")
            os.chmod(place, 0o711)
            with open(log, "w", encoding="utf-8"):
                os.chown(log, pwd.getpwnam(self.user).pw_uid, -1)
            self.ask("logger add channel %s warning,error" % log)
        if self.service and not is_enabled(self.service):
            self._systemctl("enable")
        try:
            for name in names if log else ():
                if name in RELOADS:
                    self.ask(RELOADS[name])
            deadline = time.monotonic() + self.timeout
            while True:
                faults = [fault for fault in self.faults(files, before) if fault not in known]
                words = self._words(log, files, "") if log else []
                if not faults or words or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
        finally:
            if log:
                self.ask("logger remove channel %s" % log)
                shutil.rmtree(os.path.dirname(log), ignore_errors=True)
        if faults or words:
            raise Refused("\n".join(["The running Asterisk did not take the files."] + faults + words))

    def accounts(self, files):
        blocks = re.findall(r"^\[([^\]]+)\]\ntype = (auth|registration)\n((?:.+\n?)*)", files.get("pjsip.conf", ""), re.MULTILINE)
        auths = {name: text for name, kind, text in blocks if kind == "auth"}
        return {
            name: text + "".join(auths.get(auth, "") for auth in re.findall(r"^outbound_auth = (\S+)", text, re.MULTILINE))
            for name, kind, text in blocks
            if kind == "registration"
        }

    def register(self, names):
        """A reload leaves a registration as it is when only its auth changes (res_pjsip_outbound_registration.c, can_reuse_registration)."""
        self._due = {name: due for name, (_state, due) in self._registrations().items()}
        for name in names:
            self.ask("pjsip send register %s" % name)

    def registrations(self):
        """It says "Registered" of an earlier success until an answer comes. An answer puts off the time at which the next one is due, which
        Asterisk tells since version 20."""
        return {
            name: state if state != REGISTERED or name not in self._due or (due or 0) > (self._due[name] or 0) else UNKNOWN
            for name, (state, due) in self._registrations().items()
        }

    # --- within ---

    def _registrations(self):
        """{name: (state, seconds until it is due, None where that is not known)}."""
        rows = re.findall(r"^ ([^ /]+)/sip.*? (\w+ *(?:\(exp\. \d+s(?: ago)?\))?) *$", self.ask("pjsip list registrations")[1], re.MULTILINE)
        return {name: parse_status(status) for name, status in rows}

    def _systemctl(self, verb):
        systemctl(verb, self.service, self.timeout + 60)
        deadline = time.monotonic() + self.timeout
        while verb != "enable" and not self.running() and time.monotonic() < deadline:
            time.sleep(0.3)

    def _lay_out(self, place, files, includes):
        """The operator's configuration directory as links, with our files as they are to be, and folders of its own."""
        etc, var = os.path.join(place, "etc"), os.path.join(place, "var")
        own = os.path.join(etc, self.name)
        for folder, mode in ((etc, 0o750), (own, 0o750), (var, 0o700)):
            os.mkdir(folder, mode)
        replaced = {self.name, self.name + ".d", *_UNSEEN, *map(os.path.basename, includes)}
        for name in os.listdir(self.directory):
            if name not in replaced:
                os.symlink(os.path.join(self.directory, name), os.path.join(etc, name))
        options = [section["options"] for section in read_sections(self.directory, "asterisk.conf") if not section["template"]]
        kept = {key: value.lstrip(">").strip() for found in options for key, value in found.items() if key in ("astmoddir", "astdatadir", "execincludes")}
        texts = {
            "asterisk.conf": "\n".join(
                ["[directories]", "astetcdir = " + etc, "astrundir = " + var, *("%s = %s" % (key, var) for key in _DIRECTORIES)]
                + ["%s = %s" % (key, value) for key, value in kept.items() if key != "execincludes"]
                + ["[options]", "nocolor = yes", "entityid = 02:00:00:00:00:01", "execincludes = " + kept.get("execincludes", "no")]
            ),
            "modules.conf": "[modules]\nautoload = no\n" + "".join("load = %s.so\n" % name for name in _MODULES),
            "logger.conf": "[logfiles]\nlog = warning,error",
        }
        for path, entry in includes.items():
            texts[os.path.basename(path)] = entry["text"]
            if not entry["created"]:
                with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                    texts[os.path.basename(path)] = stream.read() + entry["text"]
        texts.update({os.path.join(self.name, name): text for name, text in files.items()})
        account = pwd.getpwnam(self.user)
        for name, text in texts.items():
            path = os.path.join(etc, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", errors="surrogateescape") as stream:
                os.chown(path, account.pw_uid, account.pw_gid)
                stream.write(text + "\n" if name not in files else text)
        for folder in (place, etc, own, var):
            os.chown(folder, account.pw_uid, account.pw_gid)

    def _wait(self, process, socket_path):
        """Until it has booted, and it is the process that was started."""
        deadline = time.monotonic() + self.timeout
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise Refused("A throwaway Asterisk did not start within %d s. The live one did not see the files." % self.timeout)
            if os.path.exists(socket_path) and self.ask("core waitfullybooted", socket_path)[0]:
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect(socket_path)
                    pid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                if pid != process.pid:
                    raise Refused("The throwaway Asterisk is not the process that was started (%d, not %d)." % (pid, process.pid))
                return
            time.sleep(0.05)

    def _words(self, log, files, place):
        """The errors and warnings of a log that name our files or objects; all of its lines when `files` is None."""
        try:
            with open(log, encoding="utf-8", errors="replace") as stream:
                lines = [line.strip() for line in stream if line.strip()]
        except FileNotFoundError:
            return []
        if files is not None:
            names = "|".join(re.escape(name) for kind in declared(files).values() for name in sorted(kind))
            ours = re.compile(r"(?:WARNING|ERROR)\S* (?:config|config_options|sorcery|res_sorcery_config|pbx|pbx_config|manager|res_pjsip/\w+)\.c: .*"
                              r"(?:/%s/|'(?:%s)')" % (re.escape(self.name), names))  # fmt: skip
            lines = [re.sub(r"^\[[^\]]*\] |\[\d+\](?:\[C-\w+\])?", "", line) for line in lines if ours.search(line)]
        return list(dict.fromkeys(line.replace(os.path.join(place, "etc"), self.directory) if place else line for line in lines))


def _transports(files):
    """{name: the lines of each transport that a reload leaves as they are} (res_pjsip/config_transport.c)."""
    blocks = re.findall(r"^\[([^\]]+)\]\ntype = transport\n((?:.+\n)*)", files.get("pjsip.conf", ""), re.MULTILINE)
    return {name: re.findall(r"^(?:protocol|method|verify_|ca_|cert_|priv_).*", text, re.MULTILINE) for name, text in blocks}
