# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kamailio as the engine of a deployment (see release.py): a throwaway one tries the files, the live one runs them.

`kamailio -c` looks at kamailio.cfg alone, and takes a Lua file with an error in it. So a throwaway instance is started in an empty network, with the
same addresses, and asked what it loaded. The live one takes the plan, the targets to probe and the registrations from a reload, and
kamailio.cfg from a restart alone, which forgets the calls that are up: they go on, but have no record and count for no limit.

A floating address comes with keepalived.conf, which keepalived reads as part of the operator's own. It is started once Kamailio listens there, and
afterwards only reloaded: a restart would move the address.

A media relay comes with rtpengine.conf, which it reads at its start, when systemd hands it a copy. To start it anew ends the sound of the calls that
are up, so it waits for the restart of Kamailio, and is left alone where it runs these files already.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

from ansible_collections.siptrunk.failover.plugins.module_utils import kamailio
from ansible_collections.siptrunk.failover.plugins.module_utils.host import apart, is_enabled, run, scratch, systemctl
from ansible_collections.siptrunk.failover.plugins.module_utils.kamailio import KamailioActionError, KamailioClient, KamailioError
from ansible_collections.siptrunk.failover.plugins.module_utils.registration_sbc import registrations
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused

START_FILE = "/etc/default/kamailio"
VRRP_FILE = "/etc/keepalived/keepalived.conf"
_RUN = "/run/kamailio"
_TRY = "siptrunk-try-"
_PROGRAM = "/usr/sbin/kamailio"
_KEEPALIVED = "/usr/sbin/keepalived"
_RELAY = "rtpengine-daemon"
_RELAY_UNIT = "/etc/systemd/system/%s.service.d/siptrunk.conf" % _RELAY  # the role's: what runs is ours
_RELAY_RUNS = "/run/credentials/%s.service/rtpengine.conf" % _RELAY  # with what it was started
_WAITS = re.compile(r"kamailio\.cfg \S+ \(now (\S+)\)$")


def include_lines(directory, names):
    """{operator's file: the line that names ours} for files of these names."""
    folder = os.path.join(directory, "siptrunk")
    found = {START_FILE: "CFGFILE=%s" % os.path.join(folder, "kamailio.cfg")}
    if "keepalived.conf" in names:
        found[VRRP_FILE] = "include %s" % os.path.join(folder, "keepalived.conf")
    return found


class Kamailio:
    """One on this host, with its configuration in `directory`."""

    product = "Kamailio"
    restart_advice = "Calls that are up go on, but lose their record. Set sbc_allow_restart to restart it."

    def __init__(self, directory, user, group, service, timeout):
        self.directory, self.user, self.group, self.service, self.timeout = directory, user, group, service, timeout
        self.folder = os.path.join(directory, "siptrunk")

    def version(self):
        found = re.search(r"version: kamailio (\S+)", run([_PROGRAM, "-v"])[1])
        return found.group(1) if found else ""

    def unfit(self):
        return ""

    # --- what release.py asks ---

    def tidy(self):
        for left in glob.glob(os.path.join(scratch(), _TRY + "*")):
            shutil.rmtree(left, ignore_errors=True)
        for left in glob.glob(os.path.join(os.path.dirname(VRRP_FILE), "." + _TRY + "*")):
            os.unlink(left)

    def started(self):
        try:
            return time.time() - int(KamailioClient().ask("core.uptime")["uptime"]) - 1
        except (KamailioError, KeyError, TypeError):
            return None

    def busy(self):
        try:
            return int(KamailioClient().ask("dlg.stats_active")["all"]) > 0
        except (KamailioError, KeyError, TypeError, ValueError):
            return False

    def restart_needed(self, files):
        """A Kamailio that runs another configuration, or a media relay that does."""
        pid = self._pid()
        if pid is None or not files:
            return []
        return self._other_configuration(pid) + self._other_relay(files)

    def _other_configuration(self, pid):
        with contextlib.suppress(OSError), open("/proc/%s/cmdline" % pid, "rb") as stream:
            argv = stream.read().decode("utf-8", "replace").split("\0")
            runs = argv[argv.index("-f") + 1] if "-f" in argv[:-1] else "its own"
            if runs != os.path.join(self.folder, "kamailio.cfg"):
                return ["the configuration of the SBC (now %s)" % runs]
        return []

    def restart_only(self, before, files, waiting):
        """kamailio.cfg: the running one has what it started with, and does not tell it."""
        old, new = _digest(before.get("kamailio.cfg")), _digest(files.get("kamailio.cfg"))
        for running in filter(None, map(_WAITS.match, waiting)):
            old = running.group(1)
        return ["kamailio.cfg %s (now %s)" % (new, old)] if old and new and old != new else []

    def faults(self, files, client=None):
        """What the Kamailio that runs, or the one that `client` asks, lacks of the files."""
        live = client is None
        if live and self._pid() is None:
            return ["Start Kamailio."]
        client = client or KamailioClient()
        try:
            probed = {dest["ATTRS"]["DUID"] for dest in kamailio.destinations(client)}
            registered = {row["l_uuid"] for row in kamailio.registrations(client)}
        except (KamailioError, KeyError, TypeError) as error:
            return ["Kamailio does not tell what it runs: %s." % error]
        wanted = set(re.findall(r"^\d+ .*duid=([^;]+);", files.get("dispatcher.list", ""), re.MULTILINE))
        accounts = {line.split(":")[1] for line in files.get("uacreg", "").splitlines()[1:]}
        said = []
        for what, ours, theirs in (("target", wanted, probed), ("registration", accounts, registered)):
            said += ["Kamailio runs without %s %s." % (what, name) for name in sorted(ours - theirs)]
            said += ["Kamailio still has %s %s." % (what, name) for name in sorted(theirs - ours)]
        if live and not is_enabled(self.service):
            said.append("Enable %s." % self.service)
        if live and self._may_float(files):
            said += ["Start keepalived."] if not _runs("keepalived") else []
            said += ["Enable keepalived."] if not is_enabled("keepalived") else []
        return said + (self._faults_of_relay(files) if live else [])

    def rehearse(self, files, includes):
        version = self.version()
        if not version:
            return "not tried: there is no Kamailio on this host yet"
        elsewhere = apart(self.user, self.group)
        began = time.monotonic()
        place = tempfile.mkdtemp(prefix=_TRY, dir=scratch())
        try:
            cfg = self._lay_out(place, files)
            status, text = run([_PROGRAM, "-c", "-f", cfg, "-Y", os.path.join(place, "var")], self.timeout)
            if status != 0:
                raise Refused("kamailio -c refused the files.\n%s" % "\n".join(self._words(text, place)))
            self._try_keepalived(place, files)
            if elsewhere is None:
                return "not tried but by kamailio -c: this host allows no network namespace (unshare -n, unshare -rn)"
            faults, text = self._try(elsewhere, place, cfg, files)
            if faults:
                raise Refused("A throwaway Kamailio refused the files, and the live one did not see them.\n%s" % "\n".join(faults + self._words(text, place)))
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return "by a throwaway Kamailio %s in %.1f s" % (version, time.monotonic() - began)

    def activate(self, files, before, names, restart, known=()):
        if not is_enabled(self.service):
            systemctl("enable", self.service, self.timeout)
        if restart or self._pid() is None:
            self._start_relay(files)
            systemctl("restart" if files else "stop", self.service, self.timeout + 30)
        elif files and not self._other_configuration(self._pid()):
            self._renew(os.path.join(self.folder, "uacreg"))
            for command in ("app_lua.reload", "dispatcher.reload", "uac.reg_reload", *(["tls.reload"] if "tls.cfg" in names else [])):
                try:
                    KamailioClient().ask(command)
                except KamailioError as error:
                    if command == "tls.reload" and "not found" in str(error).lower():
                        continue  # it runs without TLS until its restart
                    raise Refused(str(error)) from error
        else:
            return
        self._float(files, before, names)
        deadline = time.monotonic() + self.timeout
        while files:
            self._relay(files)
            faults = [fault for fault in self.faults(files) if fault not in known]
            if not faults:
                break
            if time.monotonic() > deadline:
                raise Refused("\n".join(["The running Kamailio did not take the files.", *faults, *self._journal()]))
            time.sleep(0.2)

    def accounts(self, files):
        return {line.split(":")[1]: line.split(":", 2)[2] for line in files.get("uacreg", "").splitlines()[1:]}

    def register(self, names):
        """Done: uac.reg_reload forgets all registrations, and makes them anew within seconds."""

    def registrations(self):
        try:
            return {item["name"]: item["state"] for item in registrations(kamailio.registrations(KamailioClient()))}
        except (KamailioError, KeyError, TypeError):
            return {}

    def _renew(self, path):
        """Make a table of db_text later than any that was read before: it reads one again only when its time, in whole seconds, has grown."""
        releases = glob.glob(os.path.join(self.directory, "siptrunk.d", "*", os.path.basename(path)))
        moment = max([int(time.time()), *(int(os.stat(release).st_mtime) + 1 for release in releases)])
        os.utime(path, (moment, moment))

    # --- a floating address ---

    def _may_float(self, files):
        """Whether there is one, and Kamailio listens there: it does from its restart on."""
        address = kamailio.floating(files.get("keepalived.conf", ""))
        try:
            return address is not None and '"%s"' % address in json.dumps(KamailioClient().ask("corex.list_sockets"))
        except KamailioError:
            return False

    def _float(self, files, before, names):
        """Let keepalived read what has changed, which leaves the address where it is."""
        if "keepalived.conf" not in files:
            if "keepalived.conf" in before and _runs("keepalived"):  # what is taken back
                systemctl("reload" if os.path.exists(VRRP_FILE) else "stop", "keepalived", self.timeout)
            return
        deadline = time.monotonic() + self.timeout
        while not self._may_float(files) and self._pid() is not None and not self.started() and time.monotonic() < deadline:
            time.sleep(0.2)
        if not self._may_float(files):
            return
        if not is_enabled("keepalived"):
            systemctl("enable", "keepalived", self.timeout)
        if not _runs("keepalived"):
            systemctl("start", "keepalived", self.timeout)
        elif "keepalived.conf" in names:
            systemctl("reload", "keepalived", self.timeout)

    def _try_keepalived(self, place, files):
        """What keepalived itself says of the operator's file with ours in it; beside the operator's, as it may include others from there."""
        line = include_lines(self.directory, files).get(VRRP_FILE)
        if not line or not os.access(_KEEPALIVED, os.X_OK):
            return
        text = ""
        with contextlib.suppress(FileNotFoundError), open(VRRP_FILE, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
        ours = "include %s" % os.path.join(place, "siptrunk", "keepalived.conf")
        handle, path = tempfile.mkstemp(prefix="." + _TRY, dir=os.path.dirname(VRRP_FILE))
        try:
            with open(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(text.replace(line, ours) if line in text else text + "\n" + ours + "\n")
            status, said = run([_KEEPALIVED, "--config-test", "--use-file", path], self.timeout)
        finally:
            os.unlink(path)
        # whether scripts that root runs are looked at (enable_script_security) is for the operator to say; ours is not root's
        words = [line for line in said.replace(place, self.directory).splitlines() if line.strip() and "script_security not enabled" not in line]
        if status != 0 and words:
            raise Refused("keepalived refused the files.\n%s" % "\n".join(words[:8]))

    # --- a media relay ---

    def _other_relay(self, files):
        """Whether one runs that is to run something else."""
        if "rtpengine.conf" not in files or not _runs(_RELAY) or _relay_runs() == files["rtpengine.conf"]:
            return []
        return ["the media relay's rtpengine.conf"]

    def _faults_of_relay(self, files):
        if "rtpengine.conf" in files:
            return (["Start the media relay."] if not _runs(_RELAY) else []) + (["Enable the media relay."] if not is_enabled(_RELAY) else [])
        stirs = os.path.exists(_RELAY_UNIT) and run(["systemctl", "is-active", _RELAY])[1].strip() in ("active", "activating")
        return ["Stop the media relay."] if stirs and not self._relays() else []

    def _relays(self):
        """Whether the Kamailio that runs asks a relay: from its restart on, and until the next one."""
        try:
            KamailioClient().ask("rtpengine.show", "all")
        except KamailioActionError:
            return False
        except KamailioError:
            pass
        return True

    def _start_relay(self, files):
        """Before Kamailio, which asks for it at once."""
        if "rtpengine.conf" in files:
            run(["systemctl", "daemon-reload"])  # the role says what the service runs
            systemctl("restart" if self._other_relay(files) else "start", _RELAY, self.timeout)

    def _relay(self, files):
        if "rtpengine.conf" in files:
            if not _runs(_RELAY):
                self._start_relay(files)
            if not is_enabled(_RELAY):
                systemctl("enable", _RELAY, self.timeout)
        elif self._faults_of_relay(files):
            systemctl("disable", _RELAY, self.timeout)
            systemctl("stop", _RELAY, self.timeout)

    # --- within ---

    def _pid(self):
        """Of the main process; None: it does not run."""
        _status, text = run(["systemctl", "show", "--property", "MainPID", "--value", self.service])
        return text.strip() if text.strip().isdigit() and text.strip() != "0" else None

    def _lay_out(self, place, files):
        """Our files as they are to be, with the paths of the place; its configuration's name."""
        conf, var = os.path.join(place, "siptrunk"), os.path.join(place, "var")
        account = pwd.getpwnam(self.user)
        for folder in (place, conf, var):
            os.makedirs(folder, 0o700, exist_ok=True)
        for name, text in files.items():
            path = os.path.join(conf, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(text.replace(self.folder, conf).replace(_RUN, var) if name == "kamailio.cfg" else text)
        for folder, _folders, names in os.walk(place):
            for path in [folder, *(os.path.join(folder, name) for name in names)]:
                os.chown(path, account.pw_uid, account.pw_gid)
        return os.path.join(conf, "kamailio.cfg")

    def _try(self, elsewhere, place, cfg, files):
        """(faults, what it printed) of a Kamailio that runs these files apart."""
        path, printed = os.path.join(place, "var", "siptrunk.sock"), os.path.join(place, "out")
        with open(printed, "wb") as out:
            argv = [*elsewhere, _PROGRAM, "-DD", "-E", "-f", cfg, "-Y", os.path.join(place, "var"), "-P", os.path.join(place, "var", "pid")]
            # A sandbox, which runs beside this process.
            # pylint: disable-next=ansible-bad-function
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=place, start_new_session=True)
        try:
            deadline = time.monotonic() + self.timeout
            faults = ["The throwaway Kamailio did not start."]
            while time.monotonic() < deadline and process.poll() is None:
                faults = self.faults(files, KamailioClient(path)) if os.path.exists(path) else faults
                if not faults:
                    break
                time.sleep(0.1)
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(2)
            process.kill()
            process.wait()
        with open(printed, encoding="utf-8", errors="replace") as stream:
            text = stream.read(1000000)
        wrong = [line for line in text.splitlines() if re.search(r"(?:ERROR|CRITICAL): app_lua ", line)]
        return faults + (["It does not take the Lua."] if wrong and not faults else []), text

    def _words(self, text, place):
        """The last errors that it printed."""
        lines = [re.sub(r"^.*?(?=ERROR:|CRITICAL:|WARNING:)", "", line).replace(place, self.directory) for line in text.splitlines()]
        return [line for line in lines if line.startswith(("ERROR:", "CRITICAL:")) and "unreachable" not in line and "_send" not in line][:8]

    def _journal(self):
        return run(["journalctl", "--unit", self.service, "--lines", "10", "--no-pager", "--output", "cat"])[1].splitlines()


def _relay_runs():
    """The configuration with which the media relay was started; None: it does not run, or with somebody else's."""
    try:
        with open(_RELAY_RUNS, encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return None


def _runs(service):
    return run(["systemctl", "is-active", "--quiet", service])[0] == 0


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""
