# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's extensions.conf: which contexts lead to the trunks, and what Asterisk finds before."""

from __future__ import annotations

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_dialplan import look


@pytest.fixture
def read(tmp_path):
    def write_and_read(extensions=None, **files):
        for name, text in {**({} if extensions is None else {"extensions.conf": extensions}), **files}.items():
            path = tmp_path / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return look(str(tmp_path))

    return write_and_read


def contexts(found):
    return [(entry["context"], entry["line"]) for entry in found["contexts"]]


def before(found, context="phones"):
    return [(entry["context"], entry["pattern"], entry["line"]) for entry in found["before"][context]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[phones]\ninclude => siptrunk-outbound\n", [("phones", 2)], id="include"),
        pytest.param("[phones]\ninclude = siptrunk-outbound ; trunks\n", [("phones", 2)], id="include, without >"),
        pytest.param("[phones]\ninclude => siptrunk-outbound,9:00-17:00,mon-fri,*,*\n", [("phones", 2)], id="include at times"),
        pytest.param("[globals]\nOUT=siptrunk-outbound\n[phones]\ninclude => ${OUT}\n", [("phones", 4)], id="a variable"),
        pytest.param("[base](!)\ninclude => siptrunk-outbound\n[phones](base)\n", [("phones", 2)], id="a template"),
        pytest.param("[phones]\nexten => 1,1,Answer\n[phones](+)\ninclude => siptrunk-outbound\n", [("phones", 4)], id="an addition"),
        pytest.param("[a]\ninclude => b\n[b]\ninclude => siptrunk-outbound\n", [("a", 2), ("b", 4)], id="by another context"),
        pytest.param("[phones]\nexten => _9.,1,Goto(siptrunk-outbound,${EXTEN:1},1)\n", [("phones", 2)], id="Goto"),
        pytest.param("[phones]\nexten => _9.,1,NoOp\n same => n,Goto(siptrunk-outbound,${EXTEN:1},1)\n", [("phones", 2)], id="Goto by a later line"),
        pytest.param("[phones]\nexten => _9.,1,GotoIf($[${X} = 1]?a:siptrunk-outbound,${EXTEN:1},1)\n", [("phones", 2)], id="GotoIf"),
        pytest.param("[phones]\nexten => 5,1,Gosub(siptrunk-hunt,s,1(nanp))\n", [("phones", 2)], id="Gosub"),
        pytest.param("[phones]\nexten => 5,1,Dial(PJSIP/1&Local/1212@siptrunk-outbound/n,30)\n", [("phones", 2)], id="Dial of Local"),
        pytest.param("[phones]\nexten => 5,1,Goto(out,5,1)\n[out]\ninclude => siptrunk-outbound\n", [("phones", 2), ("out", 4)], id="Goto, then include"),
        pytest.param("[phones]\nexten => 5,1,Dial(PJSIP/5@siptrunk-outbound)\n", [], id="an endpoint of that name"),
        pytest.param("[phones]\nexten => 5,1,Set(X=siptrunk-outbound)\n", [], id="the name alone"),
        pytest.param("[phones](!)\ninclude => siptrunk-outbound\n", [], id="a template that nothing uses"),
        pytest.param("[phones]\n;include => siptrunk-outbound\n", [], id="a comment"),
        pytest.param("[a]\ninclude => b\n[b]\ninclude => a\n", [], id="contexts that include each other"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_contexts_that_lead_to_the_trunks(read, text, expected):
    assert contexts(read(text)) == expected


def test_file_and_line_in_an_included_file(read, tmp_path):
    (entry,) = read("#include more.conf\n", more_conf="\n[phones]\ninclude => siptrunk-outbound\n")["contexts"]
    assert entry == {"context": "phones", "file": f"{tmp_path}/more.conf", "line": 3}


def test_our_own_files_are_left_out(read):
    assert contexts(read("#include siptrunk/extensions.conf\n", siptrunk__extensions_conf="[siptrunk-x]\ninclude => siptrunk-outbound\n")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("exten => _1X.,1,Dial(x)\ninclude => siptrunk-outbound\n", [("phones", "_1X.", 2)], id="a context's own"),
        pytest.param("include => siptrunk-outbound\nexten => _1X.,1,Dial(x)\n", [("phones", "_1X.", 3)], id="its own, though written after"),
        pytest.param("include => a\ninclude => siptrunk-outbound\n[a]\nexten => 1,1,Dial(x)\n", [("a", "1", 5)], id="of a context included before"),
        pytest.param("include => siptrunk-outbound\ninclude => a\n[a]\nexten => 1,1,Dial(x)\n", [], id="of one included after"),
        pytest.param(
            "include => a\ninclude => b\n[a]\ninclude => siptrunk-outbound\n[b]\nexten => 1,1,Dial(x)\n", [], id="after one that leads on"
        ),
        pytest.param("exten => _9.,1,Goto(siptrunk-outbound,${EXTEN:1},1)\ninclude => siptrunk-outbound\n", [], id="one that leads to the trunks"),
        pytest.param("exten => 100,hint,PJSIP/100\ninclude => siptrunk-outbound\n", [], id="a hint"),
        pytest.param("exten => _1X./555,1,Dial(x)\ninclude => siptrunk-outbound\n", [], id="for one caller alone"),
        pytest.param("exten => _1X.,2,Dial(x)\ninclude => siptrunk-outbound\n", [], id="without a first step"),
        pytest.param("exten => 7,1(first),Dial(x)\nexten => 7,2,Hangup\ninclude => siptrunk-outbound\n", [("phones", "7", 2)], id="a label"),
        pytest.param("include => phones\nexten => 7,1,Dial(x)\ninclude => siptrunk-outbound\n", [("phones", "7", 3)], id="a context that includes itself"),
    ],
)
def test_extensions_that_asterisk_finds_before_ours(read, text, expected):
    assert before(read("[phones]\n" + text)) == expected


@pytest.mark.parametrize(("name", "found"), [("extensions_ael", True), ("extensions_lua", True), ("extensions_txt", False)])
def test_a_dialplan_of_another_kind(read, tmp_path, name, found):
    files = {name: "context phones { includes { siptrunk-outbound; } }\n"}
    assert read("[phones]\n", **files)["elsewhere"] == (f"{tmp_path}/{name.replace('_', '.')}" if found else "")


def test_the_context_of_most_phones(read, tmp_path):
    pjsip = "[t](!)\ntype=endpoint\ncontext=a\n[1](t)\n[2]\ntype=endpoint\ncontext=b\n[3]\ntype=endpoint\ncontext=b\n[4]\ntype=aor\ncontext=a\n"
    assert read("[a]\n[b]\n", pjsip_conf=pjsip)["phones"] == {"context": "b", "file": f"{tmp_path}/extensions.conf", "line": 2}
    assert read("[other]\n", pjsip_conf=pjsip)["phones"] is None
