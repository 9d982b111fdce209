# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the model is what the running engine has, or the compiler refuses it.

Hypothesis makes strings that could break out of a configuration file; those that the compiler lets pass are rendered,
hundreds of trunks at once, and read back from a throwaway engine in the PBX's container: into_asterisk.py, into_freeswitch.py.
"""

from __future__ import annotations

import os
import re
from collections import Counter

import into_asterisk
import into_freeswitch
import pytest
from engines import ENGINES
from harness import Lab
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st
from rendering import ROLES, TEMPLATES, collection_plugins, compiler, renderer

from ansible_collections.siptrunk.failover.plugins.plugin_utils import model

ENGINE = os.environ.get("SIPTRUNK_ENGINE", "asterisk")
INTO = {"asterisk": into_asterisk, "freeswitch": into_freeswitch}[ENGINE]
EXAMPLES, BATCH = 4000, 400
CARRIER_PORT = 5991
NASTY = (
    *(";", ";--", "--;", "\\", "\\;", '"', "'", "${SHELL(id)}", "${EXTEN}", "$[1+1]", ",", "&", "=", "=>", "[x]", "[", "]", "(", ")", "(!)", "<", ">"),
    *("#include", "#exec", "|", "%3B", "^", "~", "*", "!", "@", ":", "/", "{{ 1 + 1 }}", "{% raw %}", "\t", "\n", "\r", "\0", "\u2028"),
    *(" ", "é", "日本", "😀", "\u202e", "\u00a0", "%", "%s", "$"),
    *("$${conf_dir}", "$${", "${conf_dir}", "${system(id)}", '<X-PRE-PROCESS cmd="set" data="injected=1"/>', "X-PRE-PROCESS", "x-pre-process"),
    *('<!--#set "injected=1"-->', "<!--#", "<!--", "-->", "<include>", "<?", "]]>", "&amp;", "&#36;", "&#x24;", "&lt", "/>", "]]", "--[[", "\\065"),
)
TEXT = st.lists(st.sampled_from(NASTY) | st.text("abcXYZ019+-_.", min_size=1, max_size=6), min_size=1, max_size=8).map("".join)
LONG = st.builds(lambda text, times: (text * times)[:1024], TEXT, st.integers(2, 1024))
HOST = st.lists(st.text("ab1-", min_size=1, max_size=63), min_size=1, max_size=5).map(".".join)
STRING = st.one_of(TEXT, TEXT, TEXT, LONG, HOST)
# What the compiler may let pass; of those that are not here, most pass
LIKELY = {
    "username": st.text("abXY09+._~!*'()&=$/-", min_size=1, max_size=65),
    "auth_username": st.text("abXY09+._~!*'()&=$/@%-", min_size=1, max_size=129),
    "from_user": st.text("abXY09+._~!*'()&=$-", min_size=1, max_size=65),
    "from_domain": HOST,
    "domain": HOST,
    "inbound_context": st.text("abXY09_-", min_size=1, max_size=65),
    "caller_id": st.text("0123456789*#+", min_size=1, max_size=33),
    "prepend": st.text("0123456789*#+", min_size=1, max_size=33),
}
FIELDS = ("password", "realm", "carrier", "site", *LIKELY)
LONGEST = example(("password", "é" * (INTO.LONGEST_PASSWORD // 2)))
FIELD_AND_TEXT = st.sampled_from(("password", *FIELDS)).flatmap(lambda field: st.tuples(st.just(field), STRING.map(str) | LIKELY.get(field, TEXT)))


def trunk(name: str, field: str, text: str) -> dict:
    """A trunk of which one string is `text`."""
    servers = [{"host": "127.0.0.1", "port": CARRIER_PORT}]
    found = {"name": name, "servers": servers, "username": "user", "password": "word", "register": True, "probe": {"interval": INTO.PROBE_INTERVAL}}
    if field == "domain":
        del found["servers"]
    return {**found, **({"digits": {"prepend": text}} if field == "prepend" else {field: text})}


def case_of(trunks: list[dict]) -> dict:
    """A model with a route for each of these trunks, as rendering.renderer takes it."""
    return {
        "trunks": trunks,
        "routes": [{"name": f"r-{item['name']}", "match": [f"_9{item['name'][1:]:0>5}X."], "trunks": [item["name"]]} for item in trunks],
        "answers": {f"udp {item['domain']}": [f"10 50 {CARRIER_PORT} gateway 127.0.0.1"] for item in trunks if "domain" in item},
        "variables": {ENGINE: INTO.VARIABLES},
    }


@pytest.fixture(scope="module")
def batches():
    """Trunks that the compiler accepts, in batches; strings of each field were accepted, and others refused."""
    tried = []
    compile_for_engine = compiler(ENGINE)

    def accepted(found: dict) -> bool:
        try:
            compile_for_engine(case_of([found]))
        except model.ModelError:
            return False
        return True

    # the same strings in each run: what fails today failed yesterday; another number of examples looks elsewhere
    @settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
    @given(FIELD_AND_TEXT)
    @LONGEST
    def draw(drawn):
        field, text = drawn
        assume(field != "domain" or not re.match(r"[0-9.]+(:|$)", text))  # an address, which would be spoken to
        item = trunk(f"t{len(tried)}", field, text)
        tried.append((field, item, accepted(item)))

    with collection_plugins():
        draw()
        counts = Counter((field, good) for field, _item, good in tried)
        wanted = {(field, good) for field in FIELDS for good in (True, False)} - {(field, True) for field in INTO.REFUSED}
        assert len(tried) >= EXAMPLES / 2 and wanted == set(counts), counts
        kept = [item for _field, item, good in tried if good]
        yield [kept[first : first + BATCH] for first in range(0, len(kept), BATCH)]


def test_strings_come_back_unchanged(batches):
    container = Lab().container(ENGINES[ENGINE].host)
    for batch in batches:
        case = case_of(batch)
        render = renderer(ENGINE, case)
        files = {name: text for template in TEMPLATES if template.parents[1].name == ENGINE for name, text in render(template).items()}
        files |= {path.name: path.read_text(encoding="utf-8") for path in ROLES.glob(f"{ENGINE}/files/*")}
        INTO.comes_back_unchanged(container, files, compiler(ENGINE)(case), {item["name"]: item for item in batch})
