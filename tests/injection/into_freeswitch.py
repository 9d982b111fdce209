# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throwaway FreeSWITCH with the files of a model: what it has of them, and what it sends when it registers and calls."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from carrier import digest_parameters, digest_response
from containers import run_with
from engines import FreeSwitch

REFUSED = ("realm",)  # fields that this engine takes in no form
LONGEST_PASSWORD = 176  # bytes, beside the login "user"
PROBE_INTERVAL = 0
PLACE = "/tmp/siptrunk-round-trip"
SIP_PORT, CALLER_PORT, ESL_PORT = 5990, 5992, 5993
REALM = "a realm of 64 characters: " + "x" * 38
ESL_PASSWORD = "$${conf_dir} ${conf_dir} <!--#set \"injected=1\"--> X-PRE-PROCESS & &amp; ' \" % \\ é"
PROOF = "injected"  # a global variable that those directives of the preprocessor set, which some strings hold
VARIABLES = {
    "__freeswitch_address": "127.0.0.1",
    "__freeswitch_esl_password": ESL_PASSWORD,
    "freeswitch_sip_port": SIP_PORT,
    "freeswitch_esl_port": ESL_PORT,
    "freeswitch_cdr_file": f"{PLACE}/records",
}
FOLDERS = ("log", "db", "run", "temp", "cache", "storage", "recordings", "scripts", "grammar", "certs", "sounds")
MODULES = ("commands", "db", "dialplan_xml", "dptools", "event_socket", "hash", "lua", "sofia")
# The files of the role under the folder where the role puts them, each included by a line of its own
DOCUMENT = f"""<document type="freeswitch/xml">
  <section name="configuration">
    <configuration name="modules.conf"><modules>{"".join(f'<load module="mod_{name}"/>' for name in MODULES)}</modules></configuration>
    <configuration name="switch.conf"><settings>
      <param name="max-sessions" value="10000"/><param name="sessions-per-second" value="10000"/><param name="loglevel" value="warning"/>
    </settings></configuration>
    <configuration name="hash.conf"><remotes/></configuration>
    <configuration name="post_load_modules.conf"><modules/></configuration>
    <configuration name="acl.conf"><network-lists/></configuration>
    <configuration name="lua.conf"><settings/></configuration>
    <X-PRE-PROCESS cmd="include" data="siptrunk/settings.xml"/>
    <configuration name="sofia.conf"><profiles>
      <X-PRE-PROCESS cmd="include" data="siptrunk/profile.xml"/>
      <profile name="callers"><settings>
        <param name="sip-ip" value="127.0.0.1"/><param name="rtp-ip" value="127.0.0.1"/><param name="sip-port" value="{CALLER_PORT}"/>
        <param name="dialplan" value="XML"/><param name="context" value="siptrunk-outbound"/><param name="auth-calls" value="false"/>
        <param name="inbound-codec-prefs" value="PCMA"/>
      </settings></profile>
    </profiles></configuration>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="siptrunk/dialplan.xml"/>
  </section>
</document>
"""
# Lua's own reading of the Lua files: NAME=VALUE, the bytes of each value by number
DUMP = """
local folder = "%s/conf/siptrunk/"
local function put(name, value) stream:write(name .. "=" .. value:gsub(".", function(c) return ("%%02x"):format(c:byte()) end) .. "\\n") end
for _, trunk in ipairs(dofile(folder .. "trunks.lua")) do put("context " .. trunk.name, trunk.context) end
for _, name in ipairs({%s}) do
    local route = dofile(folder .. "route-r-" .. name .. ".lua")
    local trunk = route.plan[name]
    put("caller_id " .. name, trunk.caller_id)
    put("prepend " .. name, trunk.digits.prepend)
end
"""
_GATEWAY = re.compile(r"^  <gateway>\n(.*?)^  </gateway>$", re.MULTILINE | re.DOTALL)
_ELEMENT = re.compile(r"^    <(name|realm|username|to|proxy|context)>(.*)</\1>$", re.MULTILINE)  # those that it writes as they are


def read_back(container: str, files: dict[str, str], trunks: dict[str, dict], carrier_port: int) -> dict:
    """Start a FreeSWITCH with these files, register and call, and read."""
    gateways = [f"{name}.{of}" for name in trunks for of in ("1", "registration")]
    files = {
        **{f"conf/siptrunk/{name}": text for name, text in files.items()},
        "conf/freeswitch.xml": DOCUMENT,
        "var/.keep": "",
        "esl": ESL_PASSWORD,
        "gateways": "\n".join(gateways),
        "numbers": "\n".join(number_of(name) for name in trunks),
        "dump.lua": DUMP % (PLACE, ", ".join(f'"{name}"' for name in trunks)),
        "reader.py": (Path(__file__).parent / "freeswitch_reader.py").read_text(encoding="utf-8"),
    }
    folders = " ".join(f"-{name} {PLACE}/var" for name in FOLDERS)
    script = f"""
        chown -R freeswitch: .
        setpriv --reuid freeswitch --regid freeswitch --clear-groups {FreeSwitch.prefix}/bin/freeswitch \\
            -nonat -nonatmap -nf -nc -conf {PLACE}/conf -mod {FreeSwitch.modules} {folders} > out 2>&1 & pid=$!
        timeout 200 python3 reader.py {ESL_PORT} esl {carrier_port} '{REALM}' {CALLER_PORT} gateways numbers {PLACE}/dump.lua; status=$?
        kill -KILL $pid; [ $status = 0 ] || cat out >&2; exit $status"""
    return run_with(container, PLACE, files, script)


def number_of(name: str) -> str:
    """A number that the route of this trunk matches."""
    return f"9{name[1:]:0>5}77"


def comes_back_unchanged(container: str, files: dict[str, str], plan: dict, trunks: dict[str, dict]) -> None:
    """`trunks`: as the user wrote them, by name."""
    port = plan["trunks"][0]["targets"][0]["port"]
    seen = read_back(container, files, trunks, port)

    gateways = {found["name"]: found for text in _GATEWAY.findall(seen["gateways"]) for found in [dict(_ELEMENT.findall(text))]}
    assert gateways == {
        f"{name}.{of}": {
            "name": f"{name}.{of}",
            "realm": item.get("domain", f"127.0.0.1:{port}").removesuffix("."),
            "username": item["username"],
            "to": f"sip:{item['username']}@{where(item, port)}",
            "proxy": f"sip:{where(item, port)}",
            "context": "siptrunk-inbound",
        }
        for name, item in trunks.items()
        for of in ("1", "registration")
    }
    assert {name: seen["ended"].get(number_of(name)) for name in trunks} == dict.fromkeys(trunks, 486)
    assert seen["strange"] == []
    assert set(seen["sent"]) == {f"{method} {name}.{of}" for name in trunks for method, of in (("REGISTER", "registration"), ("INVITE", "1"))}
    requests = [(item, method, f"{method} {name}.{of}") for name, item in trunks.items() for method, of in (("REGISTER", "registration"), ("INVITE", "1"))]
    sent = {key: as_sent(seen["sent"][key], method, item) for item, method, key in requests}
    assert sent == {key: expected(item, method, number_of(item["name"]), port) for item, method, key in requests}

    lua = {key: bytes.fromhex(value).decode() for key, value in (line.split("=") for line in seen["lua"].splitlines())}
    assert lua == {
        f"{what} {name}": value
        for name, item in trunks.items()
        for what, value in {
            "context": item.get("inbound_context", ""),
            "caller_id": item.get("caller_id", ""),
            "prepend": item.get("digits", {}).get("prepend", ""),
        }.items()
    }
    assert PROOF not in seen["globals"]


def where(item: dict, port: int) -> str:
    return item.get("domain", f"127.0.0.1:{port}").removesuffix(".")


def as_sent(sent: dict, method: str, item: dict) -> dict[str, Any]:
    """What a request said of what the model says, and whether its credentials are right."""
    given = digest_parameters(sent["credentials"])
    user, host = re.search(r"<sip:([^@>]*)@([^;>]*)", sent["from"]).groups()
    return {
        "uri": re.sub(r";.*", "", sent["uri"]),
        "login": given["username"],
        "realm": given["realm"],
        "right": given["response"] == digest_response(given, method, item["password"]),
        "from_user": user,
        "from_host": host if {"domain", "from_domain"} & set(item) else None,
    }


def expected(item: dict, method: str, number: str, port: int) -> dict[str, Any]:
    host = where(item, port)
    callee = (item.get("digits", {}).get("prepend", "") + number).replace("#", "%23")
    return {
        "uri": f"sip:{host}" if method == "REGISTER" else f"sip:{callee}@{host}",
        "login": item.get("auth_username") or item["username"],
        "realm": REALM,
        "right": True,
        "from_user": item.get("from_user") or (item["username"] if method == "REGISTER" else (item.get("caller_id") or "1000").replace("#", "%23")),
        "from_host": item.get("from_domain") or (re.sub(r":\d+$", "", host) if "domain" in item else None),
    }
