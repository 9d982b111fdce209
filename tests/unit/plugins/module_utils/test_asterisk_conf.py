# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's configuration files, read as Asterisk reads them, and what of them would clash."""

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_conf import (
    chan_sip_clashes,
    pjsip_clashes,
    read_sections,
    trunk_clashes,
)

TIMERS = {"timer_t1": 100, "timer_b": 6400}
UDP = {"udp": {"bind": "0.0.0.0:5060"}}


@pytest.fixture
def read(tmp_path):
    """Write files by name, then read pjsip.conf."""

    def write_and_read(skip="", **files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".conf")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return read_sections(str(tmp_path), "pjsip.conf", skip=str(tmp_path / skip) if skip else "")

    return write_and_read


def options(sections):
    return [(section["name"], section["options"]) for section in sections]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("a = 1\n", [], id="an option without a section"),
        pytest.param(
            "[one]\ntype=aor\n\n[two]\ntype = endpoint\n", [("one", {"type": "aor"}), ("two", {"type": "endpoint"})], id="sections"
        ),
        pytest.param("[one]\n  Type  =>  aor  \n", [("one", {"type": "aor"})], id="spaces, capitals and =>"),
        pytest.param("[one]\ncontact=sip:198.18.1.1?a=b\n", [("one", {"contact": "sip:198.18.1.1?a=b"})], id="= in a value"),
        pytest.param("[one]\ntype=aor\ntype=endpoint\n", [("one", {"type": "endpoint"})], id="the last value counts"),
        pytest.param("[one]\r\ntype=aor\r\n", [("one", {"type": "aor"})], id="CRLF"),
        pytest.param("[one] ; the first\ntype=aor ; what it is\n;bind=x\n", [("one", {"type": "aor"})], id="comments"),
        pytest.param(
            "[one]\ncontact=sip:198.18.1.1\\;lr ; c\n",
            [("one", {"contact": "sip:198.18.1.1\\;lr"})],
            id="an escaped semicolon is no comment",
        ),
        pytest.param(";--\n[one]\n--;\n[two]\na=1\n", [("two", {"a": "1"})], id="a comment over several lines"),
        pytest.param("[one]\na=;-- 2 --;1\n", [("one", {"a": "1"})], id="a comment inside a line"),
        pytest.param(";---\n[one]\na=1\n;--- --;\n", [("one", {"a": "1"})], id=";--- is a comment of one line"),
        pytest.param(
            "[base](!)\na=1\nb=1\n[one](base)\nb=2\n", [("base", {"a": "1", "b": "1"}), ("one", {"a": "1", "b": "2"})], id="template"
        ),
        pytest.param(
            "[x](!)\na=1\n[y](!,x)\nb=2\n[one](y)\n",
            [("x", {"a": "1"}), ("y", {"a": "1", "b": "2"}), ("one", {"a": "1", "b": "2"})],
            id="a template of a template",
        ),
        pytest.param(
            "[x]\na=1\n[y](!)\na=2\n[one]( x , y )\n", [("x", {"a": "1"}), ("y", {"a": "2"}), ("one", {"a": "2"})], id="two bases"
        ),
        pytest.param(
            "[x](!)\na=1\n[y](!)\na=2\n[one](y,x)\n",
            [("x", {"a": "1"}), ("y", {"a": "2"}), ("one", {"a": "1"})],
            id="two bases, the later one named wins",
        ),
        pytest.param(
            "[one]\na=1\n[one](+)\nb=2\n",
            [("one", {"a": "1", "b": "2"})],
            id="(+) adds to the section",
        ),
        pytest.param(
            "[one]\na=1\n;-- never closed\n[two]\nb=2\n",
            [("one", {"a": "1"})],
            id="a comment that never ends",
        ),
    ],
)
def test_sections(read, text, expected):
    assert options(read(pjsip=text)) == expected


def test_file_line_and_template(read, tmp_path):
    sections = read(pjsip="; one\n;--\n two\n--;\n[base](!)\n[one](base)\n#include more.conf\n", more="\n[two]\n")
    assert [(section["name"], section["file"], section["line"], section["template"]) for section in sections] == [
        ("base", str(tmp_path / "pjsip.conf"), 5, True),
        ("one", str(tmp_path / "pjsip.conf"), 6, False),
        ("two", str(tmp_path / "more.conf"), 2, False),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "#include more.conf",
        '#include "more.conf"',
        "#include <more.conf>",
        "#tryinclude more.conf",
        "#include mor*.conf",
        "  #include more.conf ; x",
    ],
)
def test_includes(read, line):
    assert [section["name"] for section in read(pjsip=f"[one]\n{line}\n[three]\n", more="[two]\n")] == ["one", "two", "three"]


def test_includes_in_a_folder_in_order_and_from_the_configuration_directory(read):
    sections = read(
        pjsip="#include pjsip.d/*.conf\n",
        pjsip_d="",
        **{"pjsip.d__b": "[b]\n#include pjsip.d/deep/c.conf\n", "pjsip.d__a": "[a]\n", "pjsip.d__deep__c": "[c]\n"},
    )
    assert [section["name"] for section in sections] == ["a", "b", "c"]


def test_an_absolute_include(read, tmp_path):
    assert [section["name"] for section in read(pjsip=f"#include {tmp_path}/more.conf\n", more="[two]\n")] == ["two"]


def test_a_missing_file_and_a_missing_include(read, tmp_path):
    assert read_sections(str(tmp_path), "pjsip.conf") == []
    assert options(read(pjsip="#include gone.conf\n[one]\n")) == [("one", {})]


def test_a_file_that_includes_itself_ends(read):
    assert {section["name"] for section in read(pjsip="[one]\n#include pjsip.conf\n")} == {"one"}


def test_our_own_folder_is_left_out(read):
    files = {
        "pjsip": "[one]\n#include siptrunk/pjsip.conf\n#include siptrunk-more/x.conf\n",
        "siptrunk__pjsip": "[acme]\n",
        "siptrunk-more__x": "[two]\n",
    }
    assert [section["name"] for section in read(skip="siptrunk", **files)] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        pytest.param("[one]\n#include more.conf\n", "type=transport\n", id="options of the section that includes"),
        pytest.param("[base](!)\ntype=transport\n#include more.conf\n", "[one](base)\n", id="a template from the file that includes"),
    ],
)
def test_an_included_file_goes_on_where_the_other_left_off(read, text, more):
    assert options(read(pjsip=text, more=more))[-1] == ("one", {"type": "transport"})


def test_bytes_that_are_no_text_do_no_harm(tmp_path):
    (tmp_path / "pjsip.conf").write_bytes(b"[one]\ncallerid=\xff\xfe\n[two]\n")
    assert [section["name"] for section in read_sections(str(tmp_path), "pjsip.conf")] == ["one", "two"]


# --- clashes -------------------------------------------------------------------------------


def clashes(read, text, transports=None, **files):
    sections = read(pjsip=text, **files)
    return list(pjsip_clashes(sections, {"acme", "acme.1"}, UDP if transports is None else transports, TIMERS))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[office]\ntype=endpoint\n", id="an endpoint of another name"),
        pytest.param("[acme](!)\n[x](!)\ntype=system\n[y](!)\ntype=transport\n", id="templates make nothing"),
        pytest.param("[sys]\ntype=system\ntimer_t1=100\ntimer_b=6400\n", id="the very timers"),
        pytest.param("[udp]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5070\n", id="another port"),
        pytest.param("[tcp]\ntype=transport\nprotocol=tcp\nbind=0.0.0.0:5060\n", id="a protocol that we do not use"),
        pytest.param("[global]\ntype=global\nuser_agent=x\n", id="global"),
    ],
)
def test_no_clash(read, text):
    assert clashes(read, text) == []


NAMED = "has the name of a trunk; rename the trunk or the section."
TIMED = "sets the timers of SIP; only one section may. Write timer_b=6400, timer_t1=100 there, or remove the section."


@pytest.mark.parametrize(
    ("text", "line", "name", "problem"),
    [
        pytest.param("[acme]\ntype=endpoint\n", 1, "acme", NAMED, id="a trunk's name"),
        pytest.param("\n[acme.1]\ntype=aor\n", 2, "acme.1", NAMED, id="a target's name"),
        pytest.param("[acme.probe]\ntype=endpoint\n", 1, "acme.probe", NAMED, id="the name of the endpoint of probes"),
        pytest.param("[acme.1.calls]\ntype=aor\n", 1, "acme.1.calls", NAMED, id="the name of an AOR that is not probed"),
        pytest.param("[sys]\ntype=system\n", 1, "sys", TIMED, id="system without timers"),
        pytest.param("[sys]\ntype=system\ntimer_t1=500\ntimer_b=6400\n", 1, "sys", TIMED, id="system with another timer"),
        pytest.param("[x](!)\ntype=system\n[sys](x)\n", 3, "sys", TIMED, id="system by template"),
    ],
)
def test_clash(read, tmp_path, text, line, name, problem):
    assert clashes(read, text) == [f"{tmp_path}/pjsip.conf line {line}: [{name}] {problem}"]


@pytest.mark.parametrize(
    ("bind", "ours"),
    [
        ("0.0.0.0:5060", "0.0.0.0:5060"),
        ("0.0.0.0", "0.0.0.0:5060"),
        ("[::]:5060", "0.0.0.0"),
        ("198.18.1.1:5070", "0.0.0.0:5070"),
        ("[2001:db8::1]", "0.0.0.0"),
    ],
)
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_transport_on_our_port(read, tmp_path, bind, ours, protocol):
    text = f"[mine]\ntype=transport\nprotocol={protocol}\nbind={bind}\n"
    assert clashes(read, text, {protocol: {"bind": ours}}) == [
        f"{tmp_path}/pjsip.conf line 1: [mine] listens on the same {protocol} port as the trunks' own transport. "
        f"Set asterisk_transports.{protocol}.name to 'mine' to use it, or another bind."
    ]


def test_a_transport_of_tcp_on_the_port_of_tls(read):
    (clash,) = clashes(read, "[mine]\ntype=transport\nprotocol=tcp\nbind=0.0.0.0:5061\n", {"tls": {"bind": "0.0.0.0:5061"}})
    assert clash.endswith("listens on the same port as the trunks' own transport of tls; give it, or asterisk_transports.tls, another bind.")


def test_a_transport_on_the_port_for_wildcards(read):
    text = "[mine]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5062\n"
    (clash,) = clashes(read, text, {"tls": {"bind": "0.0.0.0:5061"}, "tls_wildcard": {"bind": "0.0.0.0:5062"}})
    assert clash.endswith("Set asterisk_transports.tls_wildcard.name to 'mine' to use it (it needs allow_wildcard_certs=yes), or another bind.")


@pytest.mark.parametrize(
    ("bind", "ours"),
    [
        pytest.param("198.18.1.1:5061", "198.18.1.2:5061", id="another host"),
        pytest.param("[2001:db8::1]", "198.18.1.2:5061", id="a host of IPv6"),
        pytest.param("0.0.0.0:5060", "0.0.0.0:5061", id="another port"),
        pytest.param("0.0.0.0", "0.0.0.0:5060", id="the default port of TLS"),
    ],
)
def test_a_transport_beside_ours(read, bind, ours):
    assert clashes(read, f"[mine]\ntype=transport\nprotocol=tls\nbind={bind}\n", {"tls": {"bind": ours}}) == []


def test_the_default_port_of_tls(read):
    assert len(clashes(read, "[mine]\ntype=transport\nprotocol=tls\nbind=0.0.0.0\n", {"tls": {"bind": "0.0.0.0:5061"}})) == 1


@pytest.mark.parametrize(
    ("binds", "expected"),
    [
        pytest.param({"tls": "0.0.0.0:5061", "tls_wildcard": "0.0.0.0:5061"}, [("tls", "tls_wildcard", 5061)], id="every host"),
        pytest.param({"tls": "198.18.1.1:5061", "tls_wildcard": "198.18.1.1:5061"}, [("tls", "tls_wildcard", 5061)], id="one host"),
        pytest.param({"tls": "198.18.1.1:5061", "tls_wildcard": "198.18.1.2:5061"}, [], id="two hosts"),
        pytest.param({"tls": "198.18.1.1:5061", "tls_wildcard": "0.0.0.0:5061"}, [("tls", "tls_wildcard", 5061)], id="one of them every host"),
        pytest.param({"tls": "[::]:5061", "tls_wildcard": "198.18.1.1:5061"}, [("tls", "tls_wildcard", 5061)], id="every host of IPv6"),
        pytest.param(
            {"tcp": "0.0.0.0:5061", "tls": "198.18.1.1:5061", "tls_wildcard": "198.18.1.2:5061"},
            [("tcp", "tls", 5061), ("tcp", "tls_wildcard", 5061)],
            id="three of them",
        ),
        pytest.param({"udp": "0.0.0.0:5060", "tcp": "0.0.0.0:5060"}, [], id="UDP is no stream"),
    ],
)
def test_two_transports_of_ours_on_one_port(read, binds, expected):
    message = "asterisk_transports: %s and %s would listen on the same port, %d; give one of them another bind."
    assert clashes(read, "", {key: {"bind": bind, "name": ""} for key, bind in binds.items()}) == [message % clash for clash in expected]


def test_a_transport_that_is_named_is_none_of_ours(read):
    text = "[mine]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5061\n"
    assert clashes(read, text, {"tls": {"bind": "0.0.0.0:5061", "name": "mine"}, "tls_wildcard": {"bind": "0.0.0.0:5061", "name": "elsewhere"}}) == []


ONE_NAME = (
    "asterisk_transports: tls and tls_wildcard both have the name 'mine', and a transport accepts wildcard certificates for every trunk on it or "
    "for none; name another transport for one of them."
)
STRICT = (
    "[mine] has allow_wildcard_certs=yes, and asterisk_transports.tls.name is 'mine': trunks without tls.wildcard would accept wildcard certificates. "
    "Remove that line, or name another transport."
)
NO_WILDCARD = "[mine] lacks allow_wildcard_certs=yes, and asterisk_transports.tls_wildcard.name is 'mine'. Add that line, or name another transport."


@pytest.mark.parametrize("text", ["", "[mine]\ntype=transport\nprotocol=tls\n", "[mine]\ntype=transport\nprotocol=tls\nallow_wildcard_certs=yes\n"])
def test_one_name_for_strict_trunks_and_others(read, text):
    assert clashes(read, text, {key: {"bind": "0.0.0.0:5061", "name": "mine"} for key in ("tls", "tls_wildcard")}) == [ONE_NAME]


@pytest.mark.parametrize(
    ("key", "line", "expected"),
    [
        ("tls", "allow_wildcard_certs=yes", STRICT),
        ("tls", "allow_wildcard_certs = On", STRICT),
        ("tls", "allow_wildcard_certs=no", None),
        ("tls", "", None),
        ("tls_wildcard", "allow_wildcard_certs=yes", None),
        ("tls_wildcard", "allow_wildcard_certs=no", NO_WILDCARD),
        ("tls_wildcard", "", NO_WILDCARD),
    ],
)
def test_whether_a_named_transport_accepts_wildcards(read, tmp_path, key, line, expected):
    text = f"[mine]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5061\n{line}\n[other]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5070\n"
    found = clashes(read, text, {key: {"bind": "0.0.0.0:5061", "name": "mine"}})
    assert found == ([f"{tmp_path}/pjsip.conf line 1: {expected}"] if expected else [])


def test_udp_is_the_protocol_of_a_transport_that_names_none(read):
    assert len(clashes(read, "[mine]\ntype=transport\nbind=0.0.0.0:5060\n")) == 1


def test_timers_added_later(read):
    assert clashes(read, "[sys]\ntype=system\n[sys](+)\ntimer_t1=100\ntimer_b=6400\n") == []


def test_all_clashes_at_once_with_their_files(read, tmp_path):
    found = clashes(read, "#include a.conf\n[sys]\ntype=system\n", a="[acme]\n")
    assert [clash.split(":")[0] for clash in found] == [f"{tmp_path}/a.conf line 1", f"{tmp_path}/pjsip.conf line 2"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[general]\nbindport = 5060\n", None),
        ("[general]\nregister => 1000:secret@sip.example\n", "general"),
        ("[template](!)\ntype = peer\n", None),
        ("[template](!)\ntype = peer\n[acme](template)\nhost = sip.example\n", "acme"),
        ("[phone]\ntype=friend\n", "phone"),
        ("; [phone]\n; type=friend\n", None),
    ],
)
def test_chan_sip_in_use_is_found(tmp_path, text, named):
    (tmp_path / "sip.conf").write_text(text, encoding="utf-8")
    found = list(chan_sip_clashes(read_sections(str(tmp_path), "sip.conf")))
    assert [f"[{named}] belongs to chan_sip" in sentence and "secret" not in sentence for sentence in found] == ([True] if named else [])


RESERVED = {"endpoint": ["aors", "outbound_proxy"], "aor": ["contact"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[acme.1](+type=endpoint)\nmedia_encryption=sdes\n", [], id="an option that does no harm"),
        pytest.param("[acme.1](+)\nmedia_encryption=sdes\n", [], id="to whichever section has the name"),
        pytest.param("[acme.1.withheld](+type=endpoint)\nmedia_encryption=sdes\n", [], id="to the one for withheld callers"),
        pytest.param("[acme.probe](+type=endpoint)\naors=x\n", ["aors"], id="to the one for probes"),
        pytest.param("[acme.1](+type=endpoint)\naors=x\nOutbound_Proxy=y\n", ["aors", "outbound_proxy"], id="options that failover needs"),
        pytest.param("[acme.1](+type=endpoint)\ncontact=x\n", [], id="of another type's"),
        pytest.param("[acme.1](+)\ncontact=x\n", ["contact"], id="without a type any may be meant"),
        pytest.param("[acme.1](+type=endpoint)\nx=y\n[acme.1](+type=aor)\ncontact=x\n", ["contact"], id="to two sections of one name"),
        pytest.param("[acme.1](+type=endpoint)\naors += x\n", ["aors"], id="+= adds to a value"),
    ],
)
def test_additions_to_our_sections(read, text, expected):
    found = list(pjsip_clashes(read(pjsip=text), {"acme"}, UDP, TIMERS, RESERVED))
    changed = [line.partition(": [")[2].partition("changes ")[2] for line in found]
    assert changed == [f"{option}, on which failover depends; remove that line." for option in expected]


def test_a_section_of_the_operators_own_is_no_addition(read):
    (clash,) = pjsip_clashes(read(pjsip="[acme.1]\ntype=endpoint\n"), {"acme"}, UDP, TIMERS, RESERVED)
    assert clash.endswith("has the name of a trunk; rename the trunk or the section.")


# --- calls and accounts of a trunk ---------------------------------------------------------

TRUNKS = [
    {
        "name": "alpha",
        "domain": "sip.alpha.example",
        "account": {"username": "100"},
        "registrations": [{"name": "alpha"}],
        "targets": [{"host": "gw1.alpha.example", "address": "198.18.1.10"}],
        "inbound": {"from": ["198.18.1.10/32", "198.18.9.0/28"]},
    },
    {
        "name": "beta",
        "domain": None,
        "account": None,
        "registrations": [],
        "targets": [{"host": "198.18.2.10", "address": "198.18.2.10"}],
        "inbound": {"from": ["198.18.2.10"]},
    },
]
NAMES = {"old.alpha.example": ["2001:db8::1", "198.18.1.10"], "phone.example": ["198.18.3.1"]}


def taken(read, text, trunks=None, **files):
    return list(trunk_clashes(read(pjsip=text, **files), {"alpha", "beta"}, TRUNKS if trunks is None else trunks, lambda name: NAMES.get(name, [])))


@pytest.mark.parametrize(
    ("match", "source", "trunk", "network"),
    [
        pytest.param("match=198.18.1.10", "198.18.1.10", "alpha", "198.18.1.10/32", id="an address"),
        pytest.param("match=198.18.1.10:5060", "198.18.1.10:5060", "alpha", "198.18.1.10/32", id="an address and port"),
        pytest.param("match = 198.18.3.1, 198.18.2.10", "198.18.2.10", "beta", "198.18.2.10", id="the second of a list"),
        pytest.param("match=198.18.2.10\nmatch=198.18.3.1", "198.18.2.10", "beta", "198.18.2.10", id="the first of two lines"),
        pytest.param("match=198.18.2.0/24", "198.18.2.0/24", "beta", "198.18.2.10", id="a network"),
        pytest.param("match=198.18.2.0/255.255.255.0", "198.18.2.0/255.255.255.0", "beta", "198.18.2.10", id="a network by its mask"),
        pytest.param("match=198.18.9.3", "198.18.9.3", "alpha", "198.18.9.0/28", id="an address in a network of inbound_from"),
        pytest.param("match=sip.ALPHA.example", "sip.ALPHA.example (198.18.1.10)", "alpha", "198.18.1.10/32", id="the domain of a trunk"),
        pytest.param("match=gw1.alpha.example.", "gw1.alpha.example. (198.18.1.10)", "alpha", "198.18.1.10/32", id="the host of a target"),
        pytest.param("match=old.alpha.example", "old.alpha.example (198.18.1.10)", "alpha", "198.18.1.10/32", id="a name that leads to the address"),
        pytest.param("match=!198.18.2.10,198.18.2.0/24", "198.18.2.0/24", "beta", "198.18.2.10", id="excluded before it is included"),
        pytest.param("match=198.18.9.0/24,!198.18.9.3", "198.18.9.0/24", "alpha", "198.18.9.0/28", id="a part of the network is excluded"),
    ],
)
def test_calls_of_a_trunk_taken_by_another_endpoint(read, tmp_path, match, source, trunk, network):
    assert taken(read, f"[old]\ntype=identify\nendpoint=office\n{match}\n") == [
        f"{tmp_path}/pjsip.conf line 1: [old] identifies calls from {source}, which are the trunk '{trunk}', as the endpoint 'office'. "
        "Asterisk takes whichever section's name comes first: calls would count for no trunk and could leave through one, or no longer reach that endpoint. "
        f"Remove that match, or exclude the trunk after it: match = !{network}"
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[old]\ntype=identify\nmatch=198.18.1.11\n", id="another address"),
        pytest.param("[old]\ntype=identify\nmatch=198.18.3.0/24\n", id="another network"),
        pytest.param("[old]\ntype=identify\nmatch=phone.example\n", id="a name that leads elsewhere"),
        pytest.param("[old]\ntype=identify\nmatch=gone.example\n", id="a name that leads nowhere"),
        pytest.param("[old]\ntype=identify\nmatch=2001:db8::/32\n", id="IPv6"),
        pytest.param("[old]\ntype=identify\nmatch_header=X-From: 198.18.1.10\n", id="a header"),
        pytest.param("[old]\ntype=identify\nmatch=198.18.2.0/24,!198.18.2.10\n", id="the trunk is excluded"),
        pytest.param("[old](!)\ntype=identify\nmatch=198.18.1.10\n", id="a template"),
        pytest.param("[old]\ntype=acl\nmatch=198.18.1.10\n", id="another type"),
        pytest.param("[more]\ntype=identify\nendpoint=alpha.1\nmatch=198.18.1.10\n", id="for an endpoint of the trunk's"),
        pytest.param("[alpha]\ntype=identify\nmatch=198.18.1.10\n", id="a trunk's name, which is another clash"),
    ],
)
def test_calls_that_no_other_endpoint_takes(read, text):
    assert taken(read, text) == []


def test_a_match_from_a_template_in_an_included_file(read, tmp_path):
    (clash,) = taken(read, "#include base.conf\n\n[old](carrier)\nendpoint=office\n", base="[carrier](!)\ntype=identify\nmatch=198.18.1.10\n")
    assert clash.startswith(f"{tmp_path}/pjsip.conf line 3: [old] identifies calls from 198.18.1.10,")


def test_a_name_of_a_trunk_whose_address_another_trunk_has(read):
    twin = {**TRUNKS[1], "name": "twin", "domain": "twin.example", "inbound": {"from": []}}
    (clash,) = taken(read, "[old]\ntype=identify\nmatch=twin.example\n", [*TRUNKS, twin])
    assert "from twin.example (198.18.2.10), which are the trunk 'beta'," in clash


def test_a_section_that_takes_calls_of_two_trunks(read):
    (clash,) = taken(read, "[old]\ntype=identify\nendpoint=office\nmatch=198.18.0.0/16\n")
    assert "from 198.18.0.0/16, which are the trunk 'alpha' (and 2 more), as the endpoint 'office'." in clash


@pytest.mark.parametrize(
    ("options", "clash"),
    [
        ("server_uri=sip:sip.alpha.example\nclient_uri=sip:100@sip.alpha.example", True),
        ("server_uri=sip:198.18.1.10:5060\nclient_uri=sip:100@x.example", True),
        ("server_uri=sip:gw1.alpha.example\\;transport=tcp\nclient_uri=<sip:100@x.example>", True),
        ("server_uri=sip:x.example\nclient_uri=sip:100@x.example\noutbound_proxy=sip:198.18.1.10\\;lr", True),
        ("server_uri=sip:sip.alpha.example\nclient_uri=sip:200@sip.alpha.example", False),
        ("server_uri=sip:sip.other.example\nclient_uri=sip:100@sip.alpha.example", False),
        ("client_uri=sip:100@sip.alpha.example", False),
        ("server_uri=sip:sip.alpha.example", False),
    ],
)
def test_a_second_registration_of_an_account(read, tmp_path, options, clash):
    assert taken(read, f"[old]\ntype=registration\n{options}\n") == (
        [
            f"{tmp_path}/pjsip.conf line 1: [old] registers the account '100', which the trunk 'alpha' registers at the same server; a carrier sends calls "
            "to either, or keeps only one. Remove the section, or set register: false on the trunk."
        ]
        if clash
        else []
    )


def test_the_registration_of_an_account_that_the_trunk_does_not_register(read):
    text = "[old]\ntype=registration\nserver_uri=sip:sip.alpha.example\nclient_uri=sip:100@sip.alpha.example\n"
    assert taken(read, text, [{**TRUNKS[0], "registrations": []}]) == []
