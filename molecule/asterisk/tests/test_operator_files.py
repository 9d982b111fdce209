# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's own trunk and dialplan beside the collection's: what Asterisk does with calls, and what a run says of it."""

from __future__ import annotations

import contextlib
import re

import pytest
from deployments import Host, model
from harness import wait_until


class OnAsterisk(Host):
    """The lab's Asterisk."""

    host, config = "pbx", "/etc/asterisk"
    inventory = ("inventories/lab",)
    included = ("pjsip.conf", "extensions.conf", "manager.conf")

    def check(self):
        """(whether it succeeded, output, warnings about extensions.conf) of a run in check mode."""
        succeeded, said = self.play(model(), "--check")
        return succeeded, said, re.findall(r"\[WARNING\]: (.*extensions\.conf.*)", said)


@pytest.fixture(scope="module")
def host():
    return OnAsterisk()


@contextlib.contextmanager
def written(host, script, reload):
    """The operator's files changed by a script, in the configuration directory, and loaded; then as they were."""
    host.shell(f"rm -rf /tmp/kept && mkdir /tmp/kept && cd {host.config} && cp -a pjsip.conf extensions.conf /tmp/kept && {script} && asterisk -rx '{reload}'")
    try:
        yield
    finally:
        host.shell(f"cp -a /tmp/kept/* {host.config} && rm -rf /tmp/kept {host.config}/carriers.conf && asterisk -rx '{reload}'")


CARRIERS = "[carrier](!)\ntype=identify\n[old](!)\ntype=endpoint\ncontext=nowhere\n[acme_old](old)\n"
RELOAD = "module reload res_pjsip.so"


def carriers(match):
    """An old trunk of the operator's, in an included file and by a template, for calls that are beta's. An exclusion must have a mask."""
    text = CARRIERS + f"[acme_old](carrier)\nendpoint=acme_old\nmatch={match}\n"
    return f"cat > carriers.conf <<'EOF'\n{text}EOF\necho '#include carriers.conf' >> pjsip.conf"


@pytest.mark.parametrize("match", ["{net}.31", "!{net}.31/32,{net}.0/24,!{net}.91/32", "gw1.beta.example"])
def test_an_endpoint_of_the_operators_that_takes_calls_of_a_trunk_is_refused(host, match):
    match = match.format(net=host.lab.net)
    with written(host, carriers(match), RELOAD):
        wait_until(lambda: host.lab.caller_at("beta1", 5060).call("7", timeout=10).code == 404, 20, "a call from beta that comes in as acme_old")
        before = host.files()
        for options in (["--check"], []):
            succeeded, said = host.play(model(), *options)
            assert not succeeded
            assert f"/etc/asterisk/carriers.conf line 7: [acme_old] identifies calls from {re.split(',(?!!)', match)[-1].split(',')[0]}" in said
            assert re.search(r"match = !\S+(\\n|\n *)Nothing was changed on pbx\.", said)
        assert host.files() == before


def test_a_match_that_excludes_the_trunks_is_no_clash(host):
    excluded = ",".join(f"!{host.lab.net}.{number}/32" for number in (21, 22, 31, 91))
    with written(host, carriers(f"{host.lab.net}.0/24,{excluded}"), RELOAD):
        wait_until(lambda: host.lab.caller_at("beta1", 5060).call("7", timeout=10).code == 403, 20, "a call from beta that comes in as beta.1")
        succeeded, said, _warnings = host.check()
        assert succeeded, said


def test_a_second_registration_and_other_clashes_are_in_order(host):
    account = "server_uri=sip:sip.acme.example\nclient_uri=sip:pbx-100@sip.acme.example\n"
    sections = f"[twice]\ntype=registration\n{account}[acme]\ntype=aor\n[mine]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5060\n"
    with written(host, f"cat > carriers.conf <<'EOF'\n{sections}EOF\necho '#include carriers.conf' >> pjsip.conf", "core show version"):
        succeeded, said = host.play(model(), "--check")
        assert not succeeded
        clashes = re.findall(r"carriers\.conf line (\d+): \[(\w+)\]", said)  # Ansible prints a failure twice
        assert list(dict.fromkeys(clashes)) == [("5", "acme"), ("7", "mine"), ("1", "twice")]
        assert "registers the account 'pbx-100', which the trunk 'acme' registers at the same server" in said
        assert said.index("Nothing was changed on pbx.") > said.index("[twice]")


def test_a_dialplan_that_leads_to_the_trunks_is_nothing_to_warn_of(host):
    succeeded, said, warnings = host.check()
    assert succeeded, said
    assert warnings == []


OWN = "sed -i 's/^include => siptrunk-outbound$/&\\nexten => _1NXXNXXXXXX,1,Hangup(17)/' extensions.conf"
EARLIER = "sed -i 's/^include => siptrunk-outbound$/include => local\\n&\\n[local]\\nexten => _1XXXXXXXXXX,1,Hangup(17)\\n[phones](+)/' extensions.conf"
LATER = "sed -i 's/^include => siptrunk-outbound$/&\\ninclude => local\\n[local]\\nexten => _1NXXNXXXXXX,1,Hangup(17)\\n[phones](+)/' extensions.conf"


@pytest.mark.parametrize(
    ("script", "code", "warning"),
    [
        pytest.param(OWN, 486, "line 8: '_1NXXNXXXXXX' of [phones] takes all calls of the route 'nanp'", id="its own"),
        pytest.param(EARLIER, 486, "line 10: '_1XXXXXXXXXX' of [local], which [phones] includes, takes all calls of the route 'nanp'", id="included before"),
        pytest.param(LATER, 200, "", id="included after"),
    ],
)
def test_an_extension_that_takes_calls_of_a_route(host, script, code, warning):
    """By what Asterisk does with a call, and by what the run says."""
    with written(host, script, "dialplan reload"):
        assert host.lab.caller.call("12125550100", timeout=20).code == code
        succeeded, said, warnings = host.check()
        assert succeeded, said
        assert [warning in text for text in warnings] == ([True] if warning else []), warnings


@pytest.mark.parametrize("running", [True, False])
def test_a_dialplan_that_does_not_lead_to_the_trunks(host, running):
    with written(host, "sed -i '/siptrunk-outbound/d; s/siptrunk-hunt/s/; s/phones,12125/x,12125/' extensions.conf", "dialplan reload"):
        host.shell("true" if running else "systemctl stop asterisk")
        try:
            succeeded, said, warnings = host.check()
        finally:
            host.shell("systemctl start asterisk && asterisk -rx 'core waitfullybooted'")
        assert succeeded, said
        assert len(warnings) == 1
        assert "so no call uses the trunks. Add this line to [phones] (/etc/asterisk/extensions.conf line 6): include => siptrunk-outbound" in warnings[0]
