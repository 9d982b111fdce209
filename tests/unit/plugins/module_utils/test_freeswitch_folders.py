# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FreeSWITCH's folders, from how it was built and started. That libfreeswitch itself answers so is tried on a FreeSWITCH (molecule/freeswitch)."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils import freeswitch_folders
from ansible_collections.siptrunk.failover.plugins.module_utils.freeswitch_folders import FoldersError, chosen_by, folders, installed

UNIT = "ExecStart={ path=/usr/bin/freeswitch ; argv[]=/usr/bin/freeswitch %s ; ignore_errors=no ; start_time=[n/a] ; pid=0 ; status=0/0 }\n"
# What configure.ac makes of no prefix, of --prefix=/usr/local/freeswitch, and of a package's --prefix=/usr --sysconfdir=/etc --localstatedir=/var
LAYOUTS = {
    "classic": {"conf": "{0}/conf", "log": "{0}/log", "mod": "{0}/mod", "certs": "{0}/certs"},
    "prefix": {"conf": "{0}/etc/freeswitch", "log": "{0}/var/log/freeswitch", "mod": "{0}/lib/freeswitch/mod", "certs": "{0}/etc/freeswitch/tls"},
    "package": freeswitch_folders.PACKAGED,
}
# The part of libfreeswitch that answers, with the rule of switch_core.c: an option, or a folder of -base, or what it was built with
LIBRARY = """
#include <stdio.h>
#include <stdlib.h>
struct {
    char *base, *mod, *conf, *log, *run, *db, *script, *temp, *htdocs, *grammar, *storage, *cache, *recordings, *sounds, *lib, *certs;
} SWITCH_GLOBAL_dirs;
static void set(char **folder, const char *name, const char *built) {
    if (*folder) return;
    *folder = malloc(1024);
    if (SWITCH_GLOBAL_dirs.base) snprintf(*folder, 1024, "%%s/%%s", SWITCH_GLOBAL_dirs.base, name); else snprintf(*folder, 1024, "%%s", built);
}
void switch_core_set_globals(void) {
    set(&SWITCH_GLOBAL_dirs.mod, "mod", "%(mod)s");
    set(&SWITCH_GLOBAL_dirs.conf, "conf", "%(conf)s");
    set(&SWITCH_GLOBAL_dirs.log, "log", "%(log)s");
    set(&SWITCH_GLOBAL_dirs.certs, "cert", "%(certs)s");
}
"""
COMPILER = shutil.which("cc")


@pytest.fixture(params=sorted(LAYOUTS))
def layout(request, tmp_path):
    """(prefix, its folders) of each layout."""
    return str(tmp_path), {name: path.format(tmp_path) for name, path in LAYOUTS[request.param].items()}


@pytest.fixture
def host(monkeypatch):
    """host(answer, unit): a host whose FreeSWITCH answers so to the question, and is started by such a unit. Returns the commands that ran."""

    def set_up(answer, unit=""):
        ran = []

        def run(argv, timeout=30):
            ran.append(argv)
            return {"ldd": (0, "\tlibfreeswitch.so.1 => /here/libfreeswitch.so.1 (0x1)\n"), "systemctl": (0, unit)}.get(argv[0], answer)

        monkeypatch.setattr(freeswitch_folders, "run", run)
        return ran

    return set_up


def test_the_first_prefix_that_has_one(tmp_path):
    for name in ("b", "c"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/freeswitch").touch()
    assert installed([str(tmp_path / name) for name in "abc"]) == str(tmp_path / "b")
    assert installed([str(tmp_path / "a")]) == ""


def test_each_layout_is_what_freeswitch_answers(layout, host):
    prefix, wanted = layout
    ran = host((0, "a library says hello\n%s\n" % freeswitch_folders.json.dumps({**wanted, "conf": wanted["conf"] + "/"})))
    assert folders(prefix, "freeswitch") == wanted
    assert ran[0] == ["ldd", f"{prefix}/bin/freeswitch"] and ran[1][:3] == ["systemctl", "show", "freeswitch"]
    assert ran[2][0] == sys.executable and ran[2][3:5] == ["/here/libfreeswitch.so.1", "{}"]


@pytest.mark.skipif(COMPILER is None, reason="no C compiler here")
@pytest.mark.parametrize(
    ("unit", "chosen"),
    [
        ("-nonat -nf -nc", {}),
        ("-conf /srv/fs/conf/ -log /srv/fs/log -db /srv/fs/db", {"conf": "/srv/fs/conf", "log": "/srv/fs/log"}),
        ("-base /opt/voice", {"conf": "/opt/voice/conf", "log": "/opt/voice/log", "mod": "/opt/voice/mod", "certs": "/opt/voice/cert"}),
    ],
)
def test_a_library_is_asked(layout, unit, chosen, monkeypatch, tmp_path):
    prefix, built = layout
    (tmp_path / "library.c").write_text(LIBRARY % built, encoding="utf-8")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", tmp_path / "libfreeswitch.so.1", tmp_path / "library.c"], check=True)
    really = freeswitch_folders.run
    others = {"ldd": (0, f"\tlibfreeswitch.so.1 => {tmp_path}/libfreeswitch.so.1 (0x1)\n"), "systemctl": (0, UNIT % unit)}
    monkeypatch.setattr(freeswitch_folders, "run", lambda argv, timeout=30: others.get(argv[0]) or really(argv, timeout))
    assert folders(prefix, "freeswitch") == {**built, **chosen}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((1, "Traceback ...\nOSError: libpcre.so.3: cannot open shared object file\n"), "OSError: libpcre.so.3: cannot open shared object file"),
        ((-11, ""), "it ended with status -11"),
        ((0, '{"conf": "", "log": "x"}'), "conf"),
        ((0, "no JSON"), "no JSON"),
    ],
)
def test_a_library_that_cannot_be_loaded(host, answer, words):
    host(answer)
    with pytest.raises(FoldersError, match="/here/libfreeswitch.so.1 cannot be loaded: .*%s" % words):
        folders("/usr/local/freeswitch")


def test_without_a_unit_freeswitch_has_its_own_folders(host, monkeypatch):
    ran = host((0, freeswitch_folders.json.dumps(freeswitch_folders.PACKAGED)))
    assert folders("/usr") == freeswitch_folders.PACKAGED
    assert [argv[0] for argv in ran] == ["ldd", sys.executable]
    monkeypatch.setattr(freeswitch_folders, "run", lambda argv, timeout=30: (127, "systemctl: No such file or directory"))
    assert freeswitch_folders._chosen("freeswitch") == {}


def test_what_a_unit_chooses(tmp_path):
    (tmp_path / "defaults").write_text('# of the operator\nDAEMON_OPTS="-nonat -log /var/spool/log"\nCONF=/srv/conf\n', encoding="utf-8")
    (tmp_path / "broken").write_text("NAME='", encoding="utf-8")
    environment = f"Environment=USER=fs CONF=/overridden 'FREESWITCH_OPTS=-certs /srv/certs'\nEnvironmentFiles={tmp_path}/defaults (ignore_errors=yes)\n"
    assert chosen_by("") == chosen_by("ExecStart=\nEnvironment=\n") == chosen_by(UNIT % "-u fs -nc") == {}
    assert chosen_by(UNIT % "-u $USER -conf ${CONF} $DAEMON_OPTS -nf" + environment) == {"conf": "/srv/conf", "log": "/var/spool/log", "certs": "/srv/certs"}
    assert chosen_by(UNIT % "-mod /m $NOBODY -nf" + f"EnvironmentFiles={tmp_path}/broken (ignore_errors=no)\nEnvironmentFiles=/nowhere\n") == {"mod": "/m"}
