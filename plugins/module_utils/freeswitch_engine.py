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

import glob
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from xml.etree import ElementTree

from ansible_collections.siptrunk.failover.plugins.module_utils import sofia
from ansible_collections.siptrunk.failover.plugins.module_utils.esl import EslAuthError, EslClient, EslError
from ansible_collections.siptrunk.failover.plugins.module_utils.host import apart, is_enabled, run, scratch, systemctl
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
_PROFILE_START = "siptrunk_profile_start"  # a global variable: the second in which a deployment started the profile
_TRY = "siptrunk-try-"
_CHECK = """
local api, faults = freeswitch.API(), {}
for _, path in ipairs({%(scripts)s}) do
    local chunk, why = loadfile(path)
    if not chunk then faults[#faults + 1] = why end
end
local ends = os.time() + %(timeout)d
local gateways = ""
repeat
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
_OVERRIDES = {
    "modules.conf.xml": '<configuration name="modules.conf"><modules>\n%s</modules></configuration>\n'
    % "".join('<load module="%s"/>\n' % name for name in ("mod_commands", "mod_sofia", "mod_lua")),
    "sofia.conf.xml": '<configuration name="sofia.conf"><profiles>\n<X-PRE-PROCESS cmd="include" data="../sip_profiles/siptrunk.xml"/>\n</profiles></configuration>\n',
    "lua.conf.xml": '<configuration name="lua.conf"><settings><param name="startup-script" value="%s"/></settings></configuration>\n',
    "switch.conf.xml": '<configuration name="switch.conf"><settings><param name="loglevel" value="warning"/></settings></configuration>\n',
    "post_load_modules.conf.xml": '<configuration name="post_load_modules.conf"><modules/></configuration>\n',
    "acl.conf.xml": '<configuration name="acl.conf"><network-lists/></configuration>\n',
}


def include_line(name):
    """What the operator's file of INCLUDES holds; the preprocessor wants it alone on its line."""
    return '<X-PRE-PROCESS cmd="include" data="../siptrunk/%s"/>' % name


def gateways_in(text):
    """{name: mark} of the gateways that profile.xml describes."""
    if not text:
        return {}
    found = ElementTree.fromstring(text).iterfind("gateways/gateway")
    return {gateway.get("name"): gateway.find("variables/variable[@name='siptrunk_mark']").get("value") for gateway in found}


def settings_in(text):
    """{name: value} of the parameters of the profile itself, which it takes when it starts."""
    return {param.get("name"): param.get("value") for param in ElementTree.fromstring(text).iterfind("settings/param")} if text else {}


def event_socket_in(text):
    """(port, password) of an event_socket.conf; None for what it does not say."""
    found = {name: re.search(r'<param\s+name="%s"\s+value="([^"]*)"' % name, text or "") for name in ("listen-port", "password")}
    port, password = (match and ElementTree.fromstring('<a b="%s"/>' % match.group(1)).get("b") for match in found.values())
    return (int(port) if port and port.isdigit() else None), password


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

    def running(self):
        try:
            self._connect()
            return True
        except EslAuthError as error:
            raise Refused(
                "%s FreeSWITCH runs, but takes neither the password of our files nor that of %s/autoload_configs/event_socket.conf.xml."
                % (error, self.directory)
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
        return "There is no %s: FreeSWITCH's freeswitch.xml is expected to include the files of such folders, as the one of its packages does." % ", ".join(lacking)

    def tidy(self):
        for left in glob.glob(os.path.join(scratch(), _TRY + "*")):
            shutil.rmtree(left, ignore_errors=True)

    def faults(self, files, before=None):
        if not self.running():
            return ["Start FreeSWITCH."]
        said = ["FreeSWITCH runs without %s; load it in autoload_configs/modules.conf.xml." % name for name in self._lacking_modules()] if files else []
        wanted = gateways_in(files.get("profile.xml"))
        marks = self._marks()
        if wanted and marks is None:
            said.append("Start the Sofia profile %s." % sofia.PROFILE)
        elif marks is not None:
            said += ["FreeSWITCH runs without gateway %s." % name for name in sorted(set(wanted) - set(marks))]
            said += ["FreeSWITCH runs another version of gateway %s." % name for name in sorted(set(wanted) & set(marks)) if marks[name] != wanted[name]]
            said += ["FreeSWITCH still has gateway %s." % name for name in sorted(set(marks) - set(wanted))]
        login = event_socket_in(files.get("settings.xml"))
        if login[1] and self._reached != login:
            said.append("Give the event socket its port and password.")
        missing = self._lacking_elements(files)
        said += ["FreeSWITCH has not read %s as it is." % name for name in missing]
        if self.service and not is_enabled(self.service):
            said.append("Enable %s." % self.service)
        return said

    def restart_needed(self, files):
        return []

    def restart_only(self, before, files):
        """The profile takes its own parameters when it starts, and does not tell them all."""
        old, new = settings_in(before.get("profile.xml")), settings_in(files.get("profile.xml"))
        if not old or not new:
            return []
        return ["%s=%s of the Sofia profile %s" % (key, new.get(key, "(none)"), sofia.PROFILE) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]

    def started(self):
        """When the profile was started, in seconds of the epoch: by a deployment, or with FreeSWITCH."""
        if not self.running():
            return None
        noted = self.ask("global_getvar %s" % _PROFILE_START).strip()
        status = re.match(r"UP (\d+) years?, (\d+) days?, (\d+) hours?, (\d+) minutes?, (\d+) seconds?", self.ask("status"))
        if not status:
            return None
        years, days, hours, minutes, seconds = map(int, status.groups())
        core = time.time() - ((((years * 365 + days) * 24 + hours) * 60 + minutes) * 60 + seconds) - 1
        return max(core, float(noted) if noted.isdigit() else 0)

    def rehearse(self, files, includes):
        version = self.version()
        if not version:
            return "not tried: there is no FreeSWITCH on this host yet"
        elsewhere = apart(self.user, self.group)
        if elsewhere is None:
            return "not tried: this host allows no network namespace (unshare -n, unshare -rn); the live FreeSWITCH alone judged"
        began = time.monotonic()
        place = tempfile.mkdtemp(prefix=_TRY, dir=scratch())
        try:
            self._lay_out(place, files)
            process = self._start(place, elsewhere)
            answer = os.path.join(place, "answer")
            try:
                deadline = time.monotonic() + self.timeout + 10
                while process.poll() is None and not os.path.exists(answer) and time.monotonic() < deadline:
                    time.sleep(0.05)
            finally:
                process.kill()
                process.wait()
            faults = self._judge(place, files)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if faults:
            raise Refused("A throwaway FreeSWITCH refused the files, and the live one did not see them.\n%s" % "\n".join(faults))
        return "by a throwaway FreeSWITCH %s in %.1f s" % (version, time.monotonic() - began)

    def activate(self, files, before, names, restart, known=()):
        if files.get("settings.xml"):
            self._logins.append(event_socket_in(files["settings.xml"]))
        self._client = None
        if not self.running():
            systemctl("start", self.service, self.timeout + 60)
            self._await(self.running)
        if self.service and not is_enabled(self.service):
            systemctl("enable", self.service, self.timeout)
        self.ask("lua ~return")  # two calls that are the first to run any, at once, would crash it; at its start settings.xml sees to that
        said = self.ask("reloadxml").strip()
        if said != "+OK [Success]":
            raise Refused("FreeSWITCH did not take the files: reloadxml says %s" % said)
        login = event_socket_in(files.get("settings.xml"))
        if login[1] is None:
            login = event_socket_in(self._read("autoload_configs/event_socket.conf.xml"))
        if (login[0] or 8021, login[1] or _STOCK_PASSWORD) != self._reached:
            self.ask("reload mod_event_socket")
            self._client = None
            self._await(self._reaches((login[0] or 8021, login[1] or _STOCK_PASSWORD)))
        self._bring_profile(files, restart)
        deadline = time.monotonic() + self.timeout
        while True:
            faults = [fault for fault in self.faults(files, before) if fault not in known]
            if not faults or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        if faults:
            raise Refused("\n".join(["The running FreeSWITCH did not take the files.", *faults, *self._words()]))

    # --- within ---

    def _reaches(self, login):
        def reached():
            self._client = None
            try:
                return self.running() and self._reached == login
            except Refused:  # while the module goes, it refuses everybody
                return False

        return reached

    def _await(self, condition):
        deadline = time.monotonic() + self.timeout
        while not condition():
            if time.monotonic() > deadline:
                return
            time.sleep(0.2)

    def _bring_profile(self, files, restart):
        wanted, marks = gateways_in(files.get("profile.xml")), self._marks()
        if not wanted:
            if marks is not None:
                self.ask("sofia profile %s stop" % sofia.PROFILE)
            return
        if restart or marks is None:
            self.ask("sofia profile %s %s" % (sofia.PROFILE, "start" if marks is None else "restart"))
            self.ask("global_setvar %s=%d" % (_PROFILE_START, time.time()))
            return
        gone = sorted(name for name, mark in marks.items() if wanted.get(name) != mark)
        for name in gone:
            self.ask("sofia profile %s killgw %s" % (sofia.PROFILE, name))
        # A gateway that was killed goes a moment later, and until then its name is taken.
        self._await(lambda: not set(gone) & set(self._marks() or {}))
        if gone or set(wanted) - set(marks):
            self.ask("sofia profile %s rescan" % sofia.PROFILE)

    def _marks(self):
        """{name: mark} of the gateways that run; None: the profile does not."""
        if not sofia.is_running(self.ask(sofia.RUNNING)):
            return None
        try:
            names = sorted(sofia.gateways(self.ask(sofia.STATUS)))
        except ValueError:
            names = []
        try:
            marks = self._connect().apis(["sofia_gateway_data %s ivar siptrunk_mark" % name for name in names], allow_error=True)
        except EslError as error:
            raise Refused("%s" % error) from error
        return {name: mark.strip() for name, mark in zip(names, marks)}

    def _lacking_modules(self):
        return [name for name in MODULES if self.ask("module_exists %s" % name).strip() != "true"]

    def _lacking_elements(self, files):
        """Names of our files that the document which FreeSWITCH runs on does not have as they are."""
        return _missing(files, os.path.join(self.log_directory, "freeswitch.xml.fsxml"), self.directory)

    def _start(self, place, elsewhere):
        argv = [os.path.join(self.prefix, "bin", "freeswitch"), "-nonat", "-nonatmap", "-nf", "-nc", "-conf", os.path.join(place, "conf")]
        for option in ("log", "db", "run", "temp", "cache", "storage", "recordings", "scripts", "grammar", "certs", "sounds"):
            argv += ["-" + option, os.path.join(place, "var")]
        modules = [found for found in (os.path.join(self.prefix, "lib", "freeswitch", "mod"), os.path.join(self.prefix, "mod")) if os.path.isdir(found)]
        argv += ["-mod", modules[0]] if modules else []
        with open(os.path.join(place, "out"), "wb") as out:
            return subprocess.Popen([*elsewhere, *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=place, start_new_session=True)

    def _lay_out(self, place, files):
        """The operator's configuration as links, with our files as they are to be, and what it may load in our hands."""
        conf, var = os.path.join(place, "conf"), os.path.join(place, "var")
        own = os.path.join(conf, "siptrunk")
        for folder in (conf, own, var):
            os.mkdir(folder, 0o700)
        for folder, folders, names in os.walk(self.directory):
            inside = os.path.relpath(folder, self.directory)
            if inside == ".":
                folders[:] = [name for name in folders if name not in ("siptrunk", "siptrunk.d")]
            for name in folders:
                os.mkdir(os.path.join(conf, inside, name), 0o700)
            for name in names:
                os.symlink(os.path.join(folder, name), os.path.join(conf, inside, name))
        texts = {os.path.join("autoload_configs", name): text for name, text in _OVERRIDES.items()}
        texts[os.path.join("autoload_configs", "lua.conf.xml")] = _OVERRIDES["lua.conf.xml"] % os.path.join(place, "check.lua")
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
        account = pwd.getpwnam(self.user)
        for folder, folders, names in os.walk(place):
            for path in [folder, *(os.path.join(folder, name) for name in names)]:
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def _judge(self, place, files):
        """What is wrong, as sentences, from what a throwaway instance left behind."""
        conf = os.path.join(place, "conf")
        said = ["FreeSWITCH dropped lines of %s, or did not read it." % name for name in _missing(files, os.path.join(place, "var", "freeswitch.xml.fsxml"), conf)]
        try:
            with open(os.path.join(place, "answer"), encoding="utf-8", errors="replace") as stream:
                scripts, _blank, status = stream.read().partition("\n\n")
        except FileNotFoundError:
            return said + ["The throwaway FreeSWITCH did not start."] + self._words(os.path.join(place, "out"), place)
        said += [line.replace(conf, self.directory) for line in scripts.splitlines() if line]
        wanted = gateways_in(files.get("profile.xml"))
        found = set(re.findall(r"^    <name>(.+)</name>$", status, re.MULTILINE))
        if wanted and not sofia.is_running(status):
            said.append("The Sofia profile %s did not start." % sofia.PROFILE)
        said += ["It runs without gateway %s." % name for name in sorted(set(wanted) - found)]
        return said + (self._words(os.path.join(place, "out"), place) if said else [])

    def _words(self, path=None, place=""):
        """The last errors and warnings of a log that concern us."""
        path = path or os.path.join(self.log_directory, "freeswitch.log")
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in stream.readlines()[-400:]]
        except OSError:
            return []
        ours = [line for line in lines if re.search(r"\[(?:ERR|CRIT|ALERT|WARNING)\]|Cannot", line) and re.search("sofia|siptrunk|xml|lua|Cannot", line)]
        return [re.sub(r"^.*?\[(?=ERR|CRIT|ALERT|WARNING)", "[", line).replace(os.path.join(place, "conf"), self.directory) for line in ours[-5:]]


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
        elements = ElementTree.fromstring("<all>%s</all>" % files[name])
        wanted = [_shape(element, conf_dir) for element in elements if element.tag != "X-PRE-PROCESS"]  # it leaves nothing
        there = {_shape(element, conf_dir) for parent in document.iterfind(section) for element in parent}
        if not all(element in there for element in wanted):
            found.append(name)
    return sorted(found)
