# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throwaway Asterisk with the files of a model, and what it has of them."""

from __future__ import annotations

from pathlib import Path

from containers import run_with

REPO = Path(__file__).resolve().parents[2]
REFUSED: tuple[str, ...] = ()  # fields that this engine takes in no form
LONGEST_PASSWORD = 1024
PROBE_INTERVAL = 3600  # an account that is probed has an endpoint of its own
AMI_PORT, SIP_PORT = 5099, 5990
VARIABLES = {"asterisk_transports": {"udp": {"bind": f"127.0.0.1:{SIP_PORT}"}}}
PACKAGE = "ansible_collections/siptrunk/failover/plugins/module_utils"
MODULES = (
    *("res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb", "res_pjproject", "res_pjsip", "res_pjsip_session"),
    *("res_pjsip_authenticator_digest", "res_pjsip_outbound_authenticator_digest", "res_pjsip_outbound_registration"),
    *("res_pjsip_endpoint_identifier_ip", "func_sorcery", "pbx_config"),
)


def read_back(container: str, files: dict[str, str], trunks: dict[str, dict]) -> dict:
    """Start an Asterisk with these files, and read."""
    etc = "/tmp/siptrunk-round-trip"
    directories = ("astrundir", "astdbdir", "astspooldir", "astlogdir", "astvarlibdir", "astkeydir", "astagidir")
    files = files | {
        "asterisk.conf": f"[directories]\nastetcdir = {etc}\n" + "".join(f"{name} = {etc}\n" for name in directories),
        "modules.conf": "[modules]\nautoload = no\n" + "".join(f"load = {name}.so\n" for name in MODULES),
        "manager.conf": f"[general]\nenabled = yes\nbindaddr = 127.0.0.1\nport = {AMI_PORT}\n[reader]\nsecret = reader\nread = all\nwrite = all\n",
        "logger.conf": "[logfiles]\nlog = warning,error\n",
        "names": "\n".join([*(f"{name}.1" for name in trunks), *(f"{name}.probe" for name, item in trunks.items() if "from_user" not in item)]),
        "reader.py": (Path(__file__).parent / "asterisk_reader.py").read_text(encoding="utf-8"),
        **{f"{PACKAGE}/{name}.py": (REPO / "plugins/module_utils" / f"{name}.py").read_text(encoding="utf-8") for name in ("ami", "session")},
    }
    script = f"""
        chown -R asterisk: . && modules=$(dirname "$(ls /usr/lib/*/asterisk/modules/res_pjsip.so)")
        echo "astmoddir = $modules" >> asterisk.conf
        setpriv --reuid asterisk --regid asterisk --clear-groups asterisk -C {etc}/asterisk.conf -f -n > out 2>&1 & pid=$!
        timeout 60 python3 reader.py {AMI_PORT} names; status=$?
        kill -KILL $pid; [ $status = 0 ] || cat out log >&2; exit $status"""
    return run_with(container, etc, files, script)


def comes_back_unchanged(container: str, files: dict[str, str], plan: dict, trunks: dict[str, dict]) -> None:
    """`trunks`: as the user wrote them, by name."""
    seen = read_back(container, files, trunks)
    sharing = {trunk["name"] for trunk in plan["trunks"] if trunk["inbound"]["contacts"]}
    assert seen["auths"] == {
        name: {"Username": item.get("auth_username") or item["username"], "Password": item["password"], "Realm": item.get("realm", "")}
        for name, item in trunks.items()
    }
    assert seen["registrations"] == {
        name: {"ClientUri": f"sip:{item['username']}@{item.get('domain', '127.0.0.1').removesuffix('.')}", "ContactUser": item["username"]}
        for name, item in trunks.items()
    }
    assert seen["endpoints"] == {
        f"{name}.1": {
            "from_user": item.get("from_user", ""),
            "context": f"siptrunk-in.{name}" if name in sharing else item.get("inbound_context", "siptrunk-inbound"),
        }
        for name, item in trunks.items()
    } | {
        f"{name}.probe": {"from_user": item["username"].replace("/", "%2F"), "context": "siptrunk-inbound"}
        for name, item in trunks.items()
        if "from_user" not in item
    }
    assert sorted(seen["contexts"]) == sorted(
        [
            *("siptrunk-outbound", "siptrunk-inbound", "siptrunk-hunt", "siptrunk-privacy", "siptrunk-leg", "siptrunk-draw", "siptrunk-outcome"),
            "siptrunk-note",
            *("siptrunk-pass-over", "siptrunk-record", "siptrunk-cause", "siptrunk-answered", "siptrunk-left", "siptrunk-verdicts.table-1"),
            *(f"siptrunk-in.{name}" for name in sharing),
            *(f"siptrunk-targets.{name}" for name in trunks),
            *(f"siptrunk-route.r-{name}{of}" for name in trunks for of in ("", f".{name}")),
        ]
    ), "nothing became a context of its own"
