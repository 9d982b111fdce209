# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml

from ansible_collections.siptrunk.failover.plugins.doc_fragments.control_port import ModuleDocFragment
from ansible_collections.siptrunk.failover.plugins.module_utils import ami, control_port, esl
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils.ami_server import (
    GREETING, LOGIN, LOGIN_KEY, SECRET, SILENT, USER, ScriptedServer,
)
from ansible_collections.siptrunk.failover.tests.unit.plugins.module_utils import esl_server


class Module:
    """What ``client`` uses of an AnsibleModule."""

    def __init__(self, **params):
        self.params = {
            "engine": "asterisk", "host": "127.0.0.1", "port": None, "username": USER, "password": None, "password_file": None,
            "connect_timeout": 3.0, **params}
        self.no_log_values = set()


def test_documentation_fits_the_code():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    for name, argument in control_port.ARGUMENTS.items():
        assert {key: value for key, value in documented.pop(name).items() if key != "description"} == {
            key: value for key, value in argument.items() if key != "no_log"}
    assert documented == {}
    assert control_port.ARGUMENTS["password"]["no_log"] is True


@pytest.mark.parametrize("content", ["%s", "%s\n", "  %s  \r\nmore\n"])
def test_the_password_of_a_file_logs_in_and_is_hidden(tmp_path, content):
    path = tmp_path / "ami.secret"
    path.write_text(content % SECRET, encoding="utf-8")
    with ScriptedServer(LOGIN) as server:
        module = Module(port=server.port, password_file=str(path))
        with control_port.client(module):
            pass
    assert server.received[1]["Key"] == LOGIN_KEY
    assert module.no_log_values == {SECRET}


def test_the_password_of_a_file_for_freeswitch(tmp_path):
    path = tmp_path / "esl.secret"
    path.write_text("%s\n" % esl_server.PASSWORD, encoding="utf-8")
    with esl_server.ScriptedServer([*esl_server.LOGIN, esl_server.api("status", "UP")]) as server:
        module = Module(engine="freeswitch", port=server.port, username=None, password_file=str(path))
        with control_port.client(module) as client:
            assert client.api("status") == "UP"
    assert module.no_log_values == {esl_server.PASSWORD}


@pytest.mark.parametrize("engine, peer, kind", [
    ("asterisk", "127.0.0.1:5038", ami.AmiClient), ("freeswitch", "127.0.0.1:8021", esl.EslClient),
])
def test_each_engine_has_its_port(engine, peer, kind):
    assert control_port.client(Module(engine=engine, password=SECRET)).peer == peer
    client = control_port.client(Module(engine=engine, password=SECRET, host="::1", port=17))
    assert client.peer == "[::1]:17" and isinstance(client, kind)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecret\n"])
def test_a_file_without_a_password(tmp_path, content):
    path = tmp_path / "ami.secret"
    path.write_bytes(content)
    module = Module(password_file=str(path))
    with pytest.raises(ValueError, match="^password_file: must not be empty$"):
        control_port.client(module)
    assert module.no_log_values == set()


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (str(tmp_path / "absent"), str(tmp_path)):
        with pytest.raises(ValueError, match="^password_file: .*%s" % tmp_path.name):
            control_port.client(Module(password_file=path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="^password_file: .*codec"):
        control_port.client(Module(password_file=str(tmp_path / "binary")))


@pytest.mark.parametrize("params, text", [
    ({"username": ""}, "username: must not be empty"),
    ({"username": None}, "username: must not be empty"),
    ({"engine": "freeswitch", "password": ""}, "password: must not be empty"),
    ({"engine": "freeswitch", "port": 0}, "port: 0 is not a port"),
    ({"engine": "freeswitch", "connect_timeout": 0.0}, "connect_timeout: 0.0 is not a number"),
    ({"password": ""}, "password: must not be empty"),
    ({"port": 0}, "port: 0 is not a port"),
    ({"port": 65536}, "port: 65536 is not a port"),
    ({"connect_timeout": 0.0}, "connect_timeout: 0.0 is not a number of seconds of 0.01 or more"),
    ({"connect_timeout": float("nan")}, "connect_timeout: nan is not"),
    ({"connect_timeout": float("inf")}, "connect_timeout: inf is not"),
])
def test_wrong_options(params, text):
    with pytest.raises(ValueError, match=text):
        control_port.client(Module(**{"password": SECRET, **params}))


@pytest.mark.parametrize("session, greeting, text", [([], SILENT, "its greeting"), ([*LOGIN, ("Ping", SILENT)], GREETING, "the answer to Ping")])
def test_the_timeout_is_that_of_the_connection_and_of_each_answer(session, greeting, text):
    with ScriptedServer(session, greeting=greeting) as server:
        with pytest.raises(ami.AmiTimeout, match="did not send %s within 0.2 s" % text):
            with control_port.client(Module(port=server.port, password=SECRET, connect_timeout=0.2)) as client:
                client.action("Ping")


@pytest.mark.parametrize("exc, text", [
    (ami.AmiTimeout("no answer"), "no answer"),
    (ami.AmiActionError("Getvar", "Permission denied"),
     "Asterisk refused the manager action Getvar: Permission denied. The manager user needs write = reporting"),
    (ami.AmiActionError("PJSIPShowRegistrationsOutbound", "x"),
     "Asterisk refused the manager action PJSIPShowRegistrationsOutbound: x. The manager user needs write = reporting, and Asterisk the module"
     " res_pjsip_outbound_registration"),
    (esl.EslTimeout("no answer"), "no answer"),
    (esl.EslActionError("sofia", "the profile siptrunk does not run"), "FreeSWITCH refused the command sofia: the profile siptrunk does not run"),
    (esl.EslActionError("hash_dump", "hash_dump Command not found!"),
     "FreeSWITCH refused the command hash_dump: hash_dump Command not found! FreeSWITCH needs the module mod_hash"),
    (esl.EslActionError("version", "version Command not found!"), "FreeSWITCH refused the command version: version Command not found!"),
])
def test_explain(exc, text):
    assert control_port.explain(exc) == text


def test_the_timeout_of_freeswitch():
    with esl_server.ScriptedServer([*esl_server.LOGIN, ("api status", esl_server.SILENT)]) as server:
        with pytest.raises(esl.EslTimeout, match="did not send the answer to status within 0.2 s"):
            with control_port.client(Module(engine="freeswitch", port=server.port, password=esl_server.PASSWORD, connect_timeout=0.2)) as client:
                client.api("status")
