# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FreeSWITCH as the engine of a deployment (see release.py): a throwaway one tries the files, the live one runs them.

FreeSWITCH reads its whole configuration into one XML document, and a gateway or a profile from it only when told to: a
changed gateway keeps its old self until `killgw`, after which `rescan` reads it anew; a changed profile until its restart,
which ends all its calls. Its preprocessor drops lines without a word. So nothing is believed: the throwaway instance must
have every element of our files in its expanded document and run every gateway, and in the live one every gateway must bear
the mark of the one described.
"""

from __future__ import annotations

import contextlib
import glob
import html
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from xml.etree import ElementTree

from ansible_collections.siptrunk.failover.plugins.module_utils import freeswitch_folders, sofia
from ansible_collections.siptrunk.failover.plugins.module_utils.esl import EslAuthError, EslClient, EslError
from ansible_collections.siptrunk.failover.plugins.module_utils.host import apart, is_enabled, run, scratch, systemctl
from ansible_collections.siptrunk.failover.plugins.module_utils.registration_freeswitch import SUFFIX, registrations
from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused

# our file: the operator's folder of the same kind, and the file in it that includes ours
INCLUDES = {
    "settings.xml": "autoload_configs/00_siptrunk.xml",  # before the operator's own: FreeSWITCH takes the first
    "profile.xml": "sip_profiles/siptrunk.xml",
    "dialplan.xml": "dialplan/00_siptrunk.xml",
}
MODULES = ("mod_commands", "mod_db", "mod_dialplan_xml", "mod_dptools", "mod_event_socket", "mod_hash", "mod_lua", "mod_sofia")
# where the elements of each file stand in the expanded document
_SECTIONS = {
    "settings.xml": "section[@name='configuration']",
    "profile.xml": "section[@name='configuration']/configuration[@name='sofia.conf']/profiles",
    "dialplan.xml": "section[@name='dialplan']",
}
_STOCK_PASSWORD = "ClueCon"  # noqa: S105 (known to everybody, which is why it is replaced)
# What the profile takes from a rescan, and how its status names it. The rest it takes when it starts.
_AT_ONCE = {"context": "context", "inbound-codec-prefs": "inbound-codecs", "outbound-codec-prefs": "outbound-codecs"}
_NONE = "(none)"
_WAITS = re.compile(r"(\S+?)=.* of the Sofia profile %s \(now (.*)\)$" % sofia.PROFILE, re.DOTALL)
# A global variable: when all gateways were exchanged without a restart of the profile, and when it had started
_EXCHANGED = "siptrunk_exchanged"
_CERTIFICATES = ("dtls-srtp.pem", "wss.pem")  # which FreeSWITCH makes, with keys that take seconds
_ENDING = 2  # seconds
_SHUTDOWN = 5  # seconds for a throwaway instance to write what it has said
_RELOAD_IN = 4  # seconds: FreeSWITCH counts in whole ones, so at least 3
_RELOADED = 2  # seconds until a module whose socket has gone is there again
_TRY = "siptrunk-try-"
_CHECK = """
local api, faults = freeswitch.API(), {}
for _, path in ipairs({%(scripts)s}) do
    local chunk, why = loadfile(path)
    if not chunk then faults[#faults + 1] = why end
end
local ends, settled = os.time() + %(timeout)d, false
local gateways = ""
repeat
    if not settled and api:execute("sofia", "xmlstatus profile siptrunk"):find("<profile>", 1, true) then
        settled, ends = true, math.min(ends, os.time() + 2) -- its gateways come with it
    end
    gateways = api:execute("sofia", "xmlstatus gateway")
    local missing = 0
    for _, name in ipairs({%(gateways)s}) do
        if not gateways:find("<name>" .. name .. "</name>", 1, true) then missing = missing + 1 end
    end
    if missing > 0 then freeswitch.msleep(50) end
until missing == 0 or os.time() > ends
local file = io.open("%(place)s/answer.new", "w")
file:write(table.concat(faults, "\\n"), "\\n\\n", api:execute("sofia", "xmlstatus profile siptrunk"), "\\n\\n", gateways)
file:close()
os.rename("%(place)s/answer.new", "%(place)s/answer")
"""
# The first configuration of a name counts: before the operator's, which must be read without a fault all the same. It logs
# what it has to say, and loads nothing that calls, asks a database or listens.
_FIRST = """<configuration name="modules.conf"><modules><load module="mod_logfile"/><load module="mod_commands"/>
<load module="mod_sofia"/><load module="mod_lua"/></modules></configuration>
<configuration name="sofia.conf"><profiles>
<X-PRE-PROCESS cmd="include" data="../sip_profiles/siptrunk.xml"/>
</profiles></configuration>
<configuration name="lua.conf"><settings><param name="startup-script" value="%(place)s/check.lua"/></settings></configuration>
<configuration name="switch.conf"><settings><param name="loglevel" value="warning"/></settings></configuration>
<configuration name="logfile.conf"><settings/><profiles><profile name="try">
<settings><param name="logfile" value="%(place)s/words"/></settings>
<mappings><map name="all" value="warning,err,crit,alert"/></mappings></profile></profiles></configuration>
<configuration name="pre_load_modules.conf"><modules/></configuration>
<configuration name="post_load_modules.conf"><modules/></configuration>
<configuration name="acl.conf"><network-lists/></configuration>
"""


def include_line(name):
    """What the operator's file of INCLUDES holds; the preprocessor wants it alone on its line."""
    return '<X-PRE-PROCESS cmd="include" data="../siptrunk/%s"/>' % name


def _elements(text):
    """The elements of a text that is included somewhere; none when it is no XML."""
    try:
        return list(ElementTree.fromstring("<all>%s</all>" % (text or "")))
    except ElementTree.ParseError:
        return []


def gateways_in(text):
    """{name: mark} of the gateways that profile.xml describes."""
    found = {}
    for profile in _elements(text):
        for gateway in profile.iterfind("gateways/gateway"):
            mark = gateway.find("variables/variable[@name='siptrunk_mark']")
            found[gateway.get("name")] = mark.get("value") if mark is not None else ""
    return found


def settings_in(text):
    """{name: value} of the parameters of the profile itself."""
    return {param.get("name"): param.get("value") for profile in _elements(text) for param in profile.iterfind("settings/param")}


def event_socket_in(text):
    """(port, password) of an event_socket.conf; None for what it does not say."""
    found = {name: re.search(r'<param\s+name="%s"\s+value="([^"]*)"' % name, text or "") for name in ("listen-port", "password")}
    port, password = (match and html.unescape(match.group(1)) for match in found.values())
    return (int(port) if port and port.isdigit() else None), password


def _listening(port):
    """Which sockets listen on a TCP port of this host: their numbers in the kernel's tables (proc(5)). Nobody notices that it was asked."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as stream:
                sockets = [line.split() for line in stream][1:]
        except OSError:
            continue
        found.update(fields[9] for fields in sockets if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port)
    return found


def _shape(element, conf_dir):
    """What an element says, for comparison; globals of the preprocessor that we use are replaced."""
    attributes = tuple(sorted((key, value.replace("$${conf_dir}", conf_dir)) for key, value in element.attrib.items()))
    return element.tag, attributes, tuple(_shape(child, conf_dir) for child in element)


class FreeSwitch:
    """The FreeSWITCH of a host.

    directory: its configuration. log_directory: its logs. prefix: where its bin/ is. user, group: who it runs as. service: its
    systemd unit. port: of its event socket, as our files have it. timeout: seconds for it to start, and for a change to show.
    """

    product = "FreeSWITCH"
    restart_advice = (
        "This takes effect only when the profile restarts, which ends all calls through trunks; until then the bounds or addresses are not "
        "the plan's. Run again with freeswitch_allow_restart=true, or restart it yourself."
    )

    def __init__(self, directory, log_directory, prefix, user, group, service, port, timeout=30):
        self.directory, self.log_directory, self.prefix = directory, log_directory, prefix
        self.user, self.group, self.service, self.port, self.timeout = user, group, service, port, timeout
        self._client = None
        self._logins = []  # (port, password) that the files of this run bring
        self._reached = None  # the one that let us in
        self._log_from = 0  # where the log stood when this run began to change things

    def version(self):
        """"1.10.12"; empty when there is no FreeSWITCH."""
        status, text = run([os.path.join(self.prefix, "bin", "freeswitch"), "-version"])
        found = re.search(r"FreeSWITCH version: (\d+\.\d+\.\d+)", text)
        return found.group(1) if status == 0 and found else ""

    # --- the event socket ---

    def _login_candidates(self):
        """How the running one may be reached: as the files of this run or of any release say, or as the operator's or the stock ones do."""
        releases = sorted(glob.glob(os.path.join(self.directory, "siptrunk.d", "*", "settings.xml")), key=os.path.getmtime, reverse=True)
        texts = [self._read(path) for path in ("siptrunk/settings.xml", *releases, "autoload_configs/event_socket.conf.xml")]
        found = [*self._logins, *map(event_socket_in, filter(None, texts))]
        return list(dict.fromkeys((port or 8021, password or _STOCK_PASSWORD) for port, password in [*found, (None, None)]))

    def _read(self, name):
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            return ""

    def _connect(self):
        """A session with the running FreeSWITCH. Errors: EslError of the last way tried."""
        if self._client is not None and self._client.connected:
            return self._client
        error = None
        for port, password in self._login_candidates():
            client = EslClient("127.0.0.1", port, password, connect_timeout=5, answer_timeout=self.timeout)
            try:
                client.connect()
            except EslError as refusal:
                # who answered and refused says more than who did not answer
                error = refusal if error is None or not isinstance(error, EslAuthError) else error
                continue
            self._client, self._reached = client, (port, password)
            return client
        raise error

    def ask(self, command):
        """What the running FreeSWITCH answers, refusals included. Errors: Refused when it cannot be asked."""
        try:
            return self._connect().api(command, allow_error=True)
        except EslError as error:
            raise Refused("%s" % error) from error

    def _ask_all(self, commands):
        try:
            return self._connect().apis(commands, allow_error=True)
        except EslError as error:
            raise Refused("%s" % error) from error

    def running(self):
        try:
            self._connect()
            return True
        except EslAuthError as error:
            raise Refused(
                "%s. FreeSWITCH runs, but takes neither the password of our files nor that of %s/autoload_configs/event_socket.conf.xml. "
                "Say the one that it takes in freeswitch_esl_password, or restart FreeSWITCH." % (error, self.directory)
            ) from error
        except EslError:
            return False

    def busy(self):
        return self.running() and not self.ask("show channels count").strip().startswith("0 ")

    # --- what release.deploy asks for ---

    def unfit(self):
        folders = sorted({os.path.dirname(os.path.join(self.directory, path)) for path in INCLUDES.values()})
        lacking = [folder for folder in folders if not os.path.isdir(folder)]
        if not lacking:
            return ""
        advice = "FreeSWITCH's freeswitch.xml is expected to include the files of such folders, as the one of its packages does."
        return "There is no %s: %s" % (", ".join(lacking), advice)

    def tidy(self):
        for left in glob.glob(os.path.join(scratch(), _TRY + "*")):
            shutil.rmtree(left, ignore_errors=True)

    def faults(self, files, before=None):
        self._know(files)
        if not self.running():
            return ["Start FreeSWITCH."]
        said = [_lacks(name) for name in self._lacking_modules()] if files else []
        wanted = gateways_in(files.get("profile.xml"))
        profile = self.ask(sofia.RUNNING)
        marks = self._marks(profile)
        if wanted and marks is None:
            said.append("Start the Sofia profile %s." % sofia.PROFILE)
        elif marks is not None:
            said += ["FreeSWITCH runs without gateway %s." % name for name in sorted(set(wanted) - set(marks))]
            said += ["FreeSWITCH runs another version of gateway %s." % name for name in sorted(set(wanted) & set(marks)) if marks[name] != wanted[name]]
            said += ["FreeSWITCH still has gateway %s." % name for name in sorted(set(marks) - set(wanted))]
            said += ["The Sofia profile %s runs with another %s." % (sofia.PROFILE, key) for key in _other_settings(files, profile)]
        login = event_socket_in(files.get("settings.xml"))
        if login[1] and self._reached != login:
            said.append("Give the event socket its port and password.")
        said += ["FreeSWITCH has not read %s as it is." % name for name in self._lacking_elements(files)]
        if self.service and not is_enabled(self.service):
            said.append("Enable %s." % self.service)
        return said

    def restart_needed(self, files):
        return []

    def restart_only(self, before, files, waiting):
        """The profile takes most of its own parameters when it starts, and does not tell them all: what it runs with is what was before."""
        old, new = settings_in(before.get("profile.xml")), settings_in(files.get("profile.xml"))
        if not old or not new:
            return list(waiting)
        old.update(match.groups() for match in map(_WAITS.match, waiting) if match)
        values = [(key, new.get(key, _NONE), old.get(key, _NONE)) for key in sorted({*old, *new} - set(_AT_ONCE))]
        return ["%s=%s of the Sofia profile %s (now %s)" % (key, value, sofia.PROFILE, now) for key, value, now in values if value != now]

    def started(self):
        """When the profile was started, in seconds of the epoch: with its oldest gateway, unless all were exchanged since."""
        if not self.running():
            return None
        oldest = self._oldest_gateway()
        exchanged = re.match(r"(\d+) (\d+)$", self.ask("global_getvar %s" % _EXCHANGED).strip())
        if oldest is not None and exchanged and oldest <= int(exchanged.group(1)):
            return int(exchanged.group(2))
        return oldest

    def rehearse(self, files, includes):
        self._know(files)
        version = self.version()
        if not version:
            return "not tried: there is no FreeSWITCH on this host yet"
        lacking = self._lacking_modules() if self.running() else []
        if lacking:
            raise Refused("\n".join(map(_lacks, lacking)))
        try:
            folders = freeswitch_folders.folders(self.prefix, self.service)
        except freeswitch_folders.FoldersError as error:
            raise Refused("The throwaway FreeSWITCH did not start.\n%s" % error) from error
        elsewhere = apart(self.user, self.group)
        if elsewhere is None:
            return "not tried: this host allows no network namespace (unshare -n, unshare -rn); the live FreeSWITCH alone judged"
        began = time.monotonic()
        place = tempfile.mkdtemp(prefix=_TRY, dir=scratch())
        try:
            self._lay_out(place, files, folders["certs"])
            process = self._start(place, elsewhere, folders["mod"])
            answer, words = os.path.join(place, "answer"), os.path.join(place, "words")
            try:
                deadline = time.monotonic() + self.timeout + 10
                while process.poll() is None and not os.path.exists(answer) and not _no_socket(words) and time.monotonic() < deadline:
                    time.sleep(0.05)
                if not os.path.exists(answer):
                    process.terminate()  # its last words are in a buffer until it ends
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_SHUTDOWN)
            finally:
                process.kill()
                process.communicate()
            faults = self._judge(place, files)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if faults:
            raise Refused("A throwaway FreeSWITCH refused the files, and the live one did not see them.\n%s" % "\n".join(faults))
        return "by a throwaway FreeSWITCH %s in %.1f s" % (version, time.monotonic() - began)

    def activate(self, files, before, names, restart, known=()):
        self._know(files)
        self._client = None
        self._log_from = self._log_size()
        if not self.running():
            systemctl("start", self.service, self.timeout + 60)
            if not self._await(self.running):
                raise Refused(
                    "FreeSWITCH was started, and does not answer at its event socket (%s). It needs mod_event_socket in autoload_configs/modules.conf.xml.\n%s"
                    % (", ".join("127.0.0.1:%d" % port for port in sorted({port for port, _password in self._login_candidates()})), "\n".join(self._words()))
                )
        if self.service and not is_enabled(self.service):
            systemctl("enable", self.service, self.timeout)
        lacking = [fault for fault in map(_lacks, self._lacking_modules()) if fault not in known] if files else []
        if lacking:
            raise Refused("\n".join(lacking))
        self.ask("lua ~return")  # two calls that are the first to run any, at once, would crash it; at its start settings.xml sees to that
        said = self.ask("reloadxml").strip()
        if said != "+OK [Success]":
            raise Refused("\n".join(["FreeSWITCH did not take the files: reloadxml says %s" % said, *self._no_xml(self.directory)]))
        login = event_socket_in(files.get("settings.xml"))
        if login[1] is None:
            login = event_socket_in(self._read("autoload_configs/event_socket.conf.xml"))
        login = (login[0] or 8021, login[1] or _STOCK_PASSWORD)
        if login != self._reached:
            self._reload_event_socket()
            self._await(self._reaches(login))
        self._bring_profile(files, before, names, restart)
        deadline = time.monotonic() + self.timeout
        while True:
            faults = [fault for fault in self.faults(files, before) if fault not in known]
            if not faults or time.monotonic() > deadline or _gave_up(self._log()):
                break
            time.sleep(0.2)
        if faults:
            raise Refused("\n".join(["The running FreeSWITCH did not take the files.", *faults, *self._words()]))

    def accounts(self, files):
        return {name[: -len(SUFFIX)]: shape for name, shape in _shapes(files).items() if name.endswith(SUFFIX)}

    def register(self, names):
        """Done: a gateway whose parameters change is exchanged, and the new one registers."""

    def registrations(self):
        try:
            return {item["name"]: item["state"] for item in registrations(sofia.gateways(self.ask(sofia.STATUS)))}
        except ValueError:
            return {}

    # --- within ---

    def _know(self, files):
        """The running one may have these files' password already."""
        login = event_socket_in(files.get("settings.xml"))
        if login[1] and login not in self._logins:
            self._logins.append(login)

    def _reload_event_socket(self):
        """While nobody is connected, and nobody connects: the module may go while the thread of a connection still runs in it, which
        crashes FreeSWITCH (mod_event_socket.c, listener_run: it counts itself out before its end). On a busy host a second or two go by before
        this session has ended; if the reload comes first, it ends the session without an answer, and is under way all the same."""
        port = self._reached[0]
        before = _listening(port)
        with contextlib.suppress(Refused):
            self.ask("sched_api +%d none reload mod_event_socket" % _RELOAD_IN)
        self._client.close()
        self._client = None
        self._await(lambda: _listening(port) != before)
        time.sleep(_RELOADED)

    def _reaches(self, login):
        def reached():
            self._client = None
            try:
                return self.running() and self._reached == login
            except Refused:  # while the module goes, it refuses everybody
                return False

        return reached

    def _await(self, condition):
        """Whether it came true in time."""
        deadline = time.monotonic() + self.timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _bring_profile(self, files, before, names, restart):
        wanted, marks = gateways_in(files.get("profile.xml")), self._marks()
        if not wanted:
            if marks is not None:
                self._tell_profile("stop")
            return
        if marks is None:
            # One that has just ended takes its name off the list a moment later, and with it that of a new one, which then holds the port for ever.
            time.sleep(_ENDING)
            self._tell_profile("start")
            return
        if restart:
            began = self._oldest_gateway() or 0
            self._tell_profile("restart")
            # what ran before goes a moment later
            self._await(lambda: (self._oldest_gateway() or 0) > began + 1 or _gave_up(self._log()))
            return
        # a file that was changed by hand may have been loaded, marks and all
        old, new = _shapes(before), _shapes(files)
        gone = sorted(name for name, mark in marks.items() if wanted.get(name) != mark or name in old and old[name] != new[name])
        started = self.started()
        for name in gone:
            self.ask("sofia profile %s killgw %s" % (sofia.PROFILE, name))
        # A gateway that was killed goes a moment later, and until then its name is taken.
        self._await(lambda: not set(gone) & set(self._marks() or {}))
        if gone or set(wanted) - set(marks) or "profile.xml" in names or _other_settings(files, self.ask(sofia.RUNNING)):
            self.ask("sofia profile %s rescan" % sofia.PROFILE)
        if started is not None and set(gone) == set(marks):
            self._await(lambda: self._oldest_gateway() is not None)
            self.ask("global_setvar %s=%d %d" % (_EXCHANGED, time.time() + 1, started))

    def _tell_profile(self, verb):
        """Start, stop or restart it. FreeSWITCH wants ten seconds between two of these, and says how many are left."""
        for _attempt in range(3):
            said = self.ask("sofia profile %s %s" % (sofia.PROFILE, verb))
            wait = re.search(r"Please wait (\d+) second", said)
            if not wait:
                break
            time.sleep(int(wait.group(1)) + 1)

    def _oldest_gateway(self):
        """When the oldest of the profile's gateways was started, in seconds of the epoch; None without one."""
        try:
            ages = [int(gateway["uptime-usec"]) / 1e6 for gateway in sofia.gateways(self.ask(sofia.STATUS)).values() if "uptime-usec" in gateway]
        except ValueError:
            return None
        return time.time() - max(ages) if ages else None

    def _marks(self, profile=None):
        """{name: mark} of the gateways that run; None: the profile does not."""
        if not sofia.is_running(self.ask(sofia.RUNNING) if profile is None else profile):
            return None
        try:
            names = sorted(sofia.gateways(self.ask(sofia.STATUS)))
        except ValueError:
            names = []
        marks = self._ask_all(["sofia_gateway_data %s ivar siptrunk_mark" % name for name in names])
        return {name: mark.strip() for name, mark in zip(names, marks)}

    def _lacking_modules(self):
        return [name for name, there in zip(MODULES, self._ask_all(["module_exists %s" % name for name in MODULES])) if there.strip() != "true"]

    def _lacking_elements(self, files):
        """Names of our files that the document which FreeSWITCH runs on does not have as they are."""
        return _missing(files, os.path.join(self.log_directory, "freeswitch.xml.fsxml"), self.directory)

    def _start(self, place, elsewhere, modules):
        argv = [os.path.join(self.prefix, "bin", "freeswitch"), "-nonat", "-nonatmap", "-nosql", "-nocal", "-nf"]
        argv += ["-c"]  # until mod_logfile is loaded, it logs to its console alone
        argv += ["-conf", os.path.join(place, "conf"), "-mod", modules]
        for option in ("log", "db", "run", "temp", "cache", "storage", "recordings", "scripts", "grammar", "certs", "sounds"):
            argv += ["-" + option, os.path.join(place, "var")]
        # stdout is for writing alone, and stdin silent: its console takes commands from both
        with open(os.path.join(place, "console"), "wb") as console, open(os.path.join(place, "err"), "wb") as err:
            # A sandbox, which runs beside this process.
            # pylint: disable-next=ansible-bad-function
            return subprocess.Popen([*elsewhere, *argv], stdin=subprocess.PIPE, stdout=console, stderr=err, cwd=place, start_new_session=True)

    def _lay_out(self, place, files, certificates):
        """The operator's configuration as links, with our files as they are to be, and what it may load in our hands."""
        conf, var = os.path.join(place, "conf"), os.path.join(place, "var")
        own = os.path.join(conf, "siptrunk")
        for folder in (conf, own, var):
            os.mkdir(folder, 0o700)
        for folder, folders, names in os.walk(self.directory):
            inside = os.path.relpath(folder, self.directory)
            if inside == ".":
                folders[:], names[:] = ([name for name in found if name not in ("siptrunk", "siptrunk.d")] for found in (folders, names))
            for name in [*folders, *names]:
                path, copy = os.path.join(folder, name), os.path.join(conf, inside, name)
                if name in names or os.path.islink(path):
                    os.symlink(path, copy)
                else:
                    os.mkdir(copy, 0o700)
        texts = {os.path.join("autoload_configs", "000_siptrunk_try.xml"): _FIRST % {"place": place}}
        texts.update({path: include_line(name) + "\n" for name, path in INCLUDES.items()})
        texts.update({os.path.join("siptrunk", name): text for name, text in files.items()})
        texts[os.path.join("..", "check.lua")] = _CHECK % {
            "scripts": ", ".join('"%s"' % os.path.join(own, name) for name in sorted(files) if name.endswith(".lua")),
            "gateways": ", ".join('"%s"' % name for name in sorted(gateways_in(files.get("profile.xml")))),
            "timeout": self.timeout,
            "place": place,
        }
        for name, text in texts.items():
            path = os.path.join(conf, name)
            if os.path.lexists(path):
                os.unlink(path)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(text)
        for name in _CERTIFICATES:
            if os.path.isfile(os.path.join(certificates, name)):
                os.symlink(os.path.join(certificates, name), os.path.join(var, name))
        account = pwd.getpwnam(self.user)
        for folder, folders, names in os.walk(place):
            for path in [folder, *(os.path.join(folder, name) for name in names)]:
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def _judge(self, place, files):
        """What is wrong, as sentences, from what a throwaway instance left behind."""
        conf, expanded = os.path.join(place, "conf"), os.path.join(place, "var", "freeswitch.xml.fsxml")
        said = self._no_xml(conf)
        said += ["FreeSWITCH dropped lines of %s, or did not read it." % name for name in ([] if said else _missing(files, expanded, conf))]
        try:
            with open(os.path.join(place, "answer"), encoding="utf-8", errors="replace") as stream:
                scripts, _blank, status = stream.read().partition("\n\n")
        except FileNotFoundError:
            scripts, status = "", None
        if status is None and not os.path.exists(os.path.join(place, "words")):
            last = _errors(_read_from(os.path.join(place, "console")))[-5:] + _printed(_read_from(os.path.join(place, "err")))[-3:]
            return said + ["The throwaway FreeSWITCH did not start.", *(line.replace(conf, self.directory) for line in last)]
        said += [line.replace(conf, self.directory) for line in scripts.splitlines() if line]
        wanted = gateways_in(files.get("profile.xml"))
        if wanted and not sofia.is_running(status or ""):
            said.append("The Sofia profile %s did not start." % sofia.PROFILE)
        elif wanted:
            found = set(re.findall(r"^    <name>(.+)</name>$", status, re.MULTILINE))
            said += ["It runs without gateway %s." % name for name in sorted(set(wanted) - found)]
        return said + ([line.replace(conf, self.directory) for line in _words(_read_from(os.path.join(place, "words")))] if said else [])

    def _no_xml(self, conf):
        """The files of a configuration that are no XML, as sentences: FreeSWITCH names but a line of the expanded document."""
        said = []
        for folder, _folders, names in os.walk(conf):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not name.endswith(".xml") or name == "000_siptrunk_try.xml":
                    continue
                try:
                    with open(path, encoding="utf-8", errors="replace") as stream:
                        ElementTree.fromstring("<all>%s</all>" % re.sub(r"^\s*<\?xml.*?\?>", "", stream.read()))
                except ElementTree.ParseError as error:
                    said.append("%s is not well-formed: %s." % (path.replace(conf, self.directory), error))
                except OSError:
                    continue
        return said

    def _log_size(self):
        try:
            return os.path.getsize(os.path.join(self.log_directory, "freeswitch.log"))
        except OSError:
            return 0

    def _log(self):
        """What the live one has logged since this run began to change things."""
        return _read_from(os.path.join(self.log_directory, "freeswitch.log"), self._log_from)

    def _words(self):
        return _words(self._log())


def _lacks(module):
    return "FreeSWITCH runs without %s; load it in autoload_configs/modules.conf.xml, and now with fs_cli -x 'load %s'." % (module, module)


def _other_settings(files, profile):
    """Names of the parameters that a rescan brings, and the running profile has otherwise; `profile`: what it says of itself."""
    wanted = settings_in(files.get("profile.xml"))
    found = {key: re.search(r"<%s>(.*)</%s>" % (tag, tag), profile) for key, tag in _AT_ONCE.items()}
    return [key for key, match in sorted(found.items()) if key in wanted and match and html.unescape(match.group(1)) != wanted[key]]


def _read_from(path, offset=0):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            stream.seek(offset if os.path.getsize(path) >= offset else 0)
            return stream.read(1000000)
    except OSError:
        return ""


def _no_socket(path):
    """Whether a profile found its address or port taken, or not this host's."""
    return "Error Creating SIP UA" in _read_from(path)


def _gave_up(text):
    """Whether the profile will not start any more."""
    return "The likely causes for this are" in text


def _lines(text):
    """The lines of a log, without colours; why a module cannot be loaded stands on a line of its own, between asterisks."""
    text = re.sub(r"\n\*\*(.*?)\*\*", r" \1", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
    return [line.strip() for line in text.splitlines()]


def _words(text):
    """The last errors and warnings of a log that concern us."""
    lines = _lines(text)
    ours = [line for line in lines if re.search(r"\[(?:ERR|CRIT|ALERT|WARNING)\]", line) and re.search("sofia|siptrunk|xml|lua|event_socket", line)]
    ours = [line for line in ours if not re.search("MSG Thread|Ping |Already Loaded|Failed Registration", line)]
    return [re.sub(r"^.*?\[(?=ERR|CRIT|ALERT|WARNING)", "[", line) for line in ours[-5:]]


def _errors(text):
    """The errors of a log, whatever they concern."""
    return [re.sub(r"^.*?\[(?=ERR|CRIT|ALERT)", "[", line) for line in _lines(text) if re.search(r"\[(?:ERR|CRIT|ALERT)\]", line)]


def _printed(text):
    """The lines that FreeSWITCH printed beside its log."""
    return [line for line in _lines(text) if line and not re.search("SCHED_FIFO|nice level", line)]


def _shapes(files):
    """{name: what it says} of the gateways."""
    found = [gateway for profile in _elements(files.get("profile.xml")) for gateway in profile.iterfind("gateways/gateway")]
    return {gateway.get("name"): _shape(gateway, "") for gateway in found}


def _missing(files, expanded, conf_dir):
    """Names of our files whose elements do not all stand in an expanded document, each as it is."""
    try:
        document = ElementTree.parse(expanded).getroot()
    except (OSError, ElementTree.ParseError):
        return sorted(name for name in _SECTIONS if files.get(name))
    found = []
    for name, section in _SECTIONS.items():
        if not files.get(name):
            continue
        wanted = [_shape(element, conf_dir) for element in _elements(files[name]) if element.tag != "X-PRE-PROCESS"]  # it leaves nothing
        there = {_shape(element, conf_dir) for parent in document.iterfind(section) for element in parent}
        if not wanted or not all(element in there for element in wanted):
            found.append(name)
    return sorted(found)
