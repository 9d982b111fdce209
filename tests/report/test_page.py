# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.yml reads the logs of hosts, and a real browser shows its page."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import zlib
from pathlib import Path

import incident
import pytest
from browser import Browser

REPO = Path(__file__).resolve().parents[2]
AA, GRAPHIC = 4.5, 3.0  # WCAG 2.2: contrast of text (1.4.3), of what is not text (1.4.11)

# Every text and mark whose contrast with what is behind it is too low, and how low.
CONTRAST = """(() => {
  const parse = color => { const part = color.match(/[\\d.]+/g).map(Number); return part.length < 4 ? [...part, 1] : part; };
  const light = ([r, g, b]) => { const part = [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2]; };
  const behind = node => {
    for (; node; node = node.parentElement) { const color = parse(getComputedStyle(node).backgroundColor); if (color[3] > 0) return color; }
    return [255, 255, 255, 1];
  };
  const ratio = (a, b) => { const [high, low] = [light(a), light(b)].sort((x, y) => y - x); return (high + 0.05) / (low + 0.05); };
  const found = []; let looked = 0;
  for (const node of document.querySelectorAll("body *")) {
    const style = getComputedStyle(node);
    if (style.display === "none") continue;
    const graphic = ["rect", "path"].includes(node.localName), inside = node.localName === "text";
    const said = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()) && node.localName !== "title";
    if (!graphic && !said) continue;
    looked++;
    const front = parse(graphic || inside ? style.fill : style.color), rate = ratio(front, behind(node)), least = graphic ? %s : %s;
    if (rate < least || front[3] < 1) found.push([node.localName, node.getAttribute("class"), node.textContent.slice(0, 40), rate.toFixed(2)]);
  }
  return [looked, found];
})()""" % (GRAPHIC, AA)


@pytest.fixture(scope="module")
def said_and_page(tmp_path_factory):
    """What report.yml says, and the page it writes, of four hosts of which one does not answer."""
    folder = tmp_path_factory.mktemp("report")
    hosts = {}
    for host in incident.gathered():
        name = host["name"].partition("<")[0]
        if host["why"]:
            hosts[name] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ConnectTimeout=2"}
            continue
        for kind in ("events", "records"):
            if host[kind]["found"]:
                path = folder / f"{name}-{kind}.jsonl"
                path.write_bytes(zlib.decompress(base64.b64decode(host[kind]["data"])))
                os.utime(path, (2e9, 2e9))  # the afternoon may not have been yet
        hosts[name] = {
            "ansible_connection": "local",
            "report_events_file": f"{folder}/{name}-events.jsonl",
            "asterisk_cdr_file": f"{folder}/{name}-records.jsonl",
        }
    inventory = {"all": {"children": {"siptrunk_asterisk": {"hosts": hosts, "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}}}}}
    (folder / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    done = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "inventory.json",
            str(REPO / "playbooks" / "report.yml"),
            "-e",
            f"report_from={incident.WINDOW['from']}",
            "-e",
            f"report_to={incident.WINDOW['to']}",
            "-e",
            "report_file=report.html",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PWD": str(folder), "ANSIBLE_HOST_PATTERN_MISMATCH": "warning"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout, folder / "report.html"


@pytest.fixture(scope="module")
def said(said_and_page):
    return said_and_page[0]


@pytest.fixture(scope="module")
def path(said_and_page):
    return said_and_page[1]


@pytest.fixture(scope="module")
def browser(path, tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    browser.look()
    browser.open(path)
    yield browser
    browser.close()


def text(browser, selector):
    return browser.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(node => node.innerText)")


# --- what it says ---


def test_the_first_screen_says_what_happened(browser):
    browser.look(1280, 800)
    heading, low = browser.run("[document.querySelector('h1').innerText, document.querySelector('.outage').getBoundingClientRect().bottom]")
    assert re.fullmatch(r"1 outage: \d+ calls rerouted, 3 lost\. 1 host could not be read\.", heading)
    assert low < 800
    sentence = text(browser, ".outage p")[0]
    assert re.fullmatch(
        r"acme failed on pbx1 and pbx2 at 14:03:1\d UTC \(503 Service Unavailable\); calls went to beta at once \(0\.\d s at worst\); "
        r"back on acme at 14:21:40, "
        r"18 min \d+ s later; \d+ calls rerouted, 2 lost\.",
        sentence,
    )
    browser.look(360, 740)
    assert browser.run("document.querySelector('.outage').getBoundingClientRect().bottom") < 740


def test_the_terminal_says_the_same(browser, said):
    assert all(
        line in json.loads(re.search(r'"msg": (\[.*?\n    \])', said, re.DOTALL)[1])
        for line in [text(browser, "h1")[0], *(f"- {one}" for one in text(browser, ".incidents p"))]
    )


def test_what_is_not_known_is_said(browser):
    (notices,) = text(browser, ".notices")
    assert (
        "pbx4 could not be read: " in notices
        and "pbx3: There is no log of a monitor" in notices
        and "pbx3: 2 lines of the record of calls are malformed" in notices
    )


def test_the_timeline_has_its_marks(browser):
    counts = browser.run("""Object.fromEntries(["failover", "return", "burst"].map(kind =>
          [kind, document.querySelector("main section .timeline").parentElement.querySelectorAll(`svg.calls .${kind}`).length]))""")
    assert counts == {"failover": 2, "return": 2, "burst": 2}
    for kind, times in {"probe": 2, "held": 2, "closed": 2, "trial": 2, "registration": 2, "drained": 2}.items():
        found = browser.run(
            f"[...document.querySelector('.timeline').parentElement.querySelectorAll('.strip .{kind}')]"
            ".map(node => [node.getBoundingClientRect().width, node.textContent])"
        )
        assert len(found) == times and all(width > 0 and title for width, title in found), kind
    assert browser.run("[...document.querySelectorAll('.timeline .axis')].every(axis => axis.querySelectorAll('text').length >= 4)")


def test_a_mark_stands_where_its_moment_is(browser):
    browser.look()
    at = browser.run("""(() => { const box = document.querySelector("svg.calls").getBoundingClientRect();
      const mark = document.querySelector("svg.calls .return path").getBoundingClientRect();
      return ((mark.left + mark.right) / 2 - box.left) / box.width; })()""")
    assert at == pytest.approx((81 * 60 + 40) / 7200, abs=0.003)  # 14:21:40 of 13:00 to 15:00


def test_every_picture_has_a_text(browser):
    assert browser.run(
        "[...document.querySelectorAll('svg')].every(node => node.ariaHidden === 'true' ||"
        " node.getAttribute('aria-label') || node.parentElement.closest('svg[role=img]'))"
    )
    assert any(
        "acme on pbx1: probe dead 1 time, held 1 time" in label
        for label in browser.run("[...document.querySelectorAll('svg[role=img]')].map(node => node.getAttribute('aria-label'))")
    )
    assert "no longer drained" in "".join(text(browser, "table")[-1:])


def test_tables_tell_failovers_quality_and_lost_calls(browser):
    browser.look()
    tables = "\n".join(text(browser, "table"))
    for words in ("14:21:40", "during", "next target", "no answer at all, 6.4 s", "Round trip"):
        assert words in tables, words
    assert len(text(browser, "article table:last-of-type tbody tr")) == 3  # before: acme; during: beta; after: acme


# --- how it is made ---


def test_nothing_is_fetched_logged_or_run(browser, path):
    browser.look()
    browser.open(path)
    assert (browser.requests, browser.said, browser.errors) == ([path.as_uri()], [], [])
    html = path.read_text(encoding="utf-8")
    assert "<script" not in html and "javascript:" not in html and not re.search(r"\b(src|href|url)\s*[=(]", re.sub(r"&lt;.*?&gt;", "", html))
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_hostile_text_stays_text(browser):
    shown = incident.HOSTILE.replace("\u202e", "\N{REPLACEMENT CHARACTER}")
    assert shown in browser.run("document.body.textContent")
    assert browser.run("document.querySelectorAll('script, img, iframe, object, embed, link, form, a, [onerror], [onload]').length") == 0


@pytest.mark.parametrize("width", [320, 360, 414, 768, 800, 1024, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_has_to_be_scrolled_sideways(browser, width, scheme):
    browser.look(width, 740, scheme)
    wide = browser.run(
        "[...document.querySelectorAll('body *')].filter(node => node.getBoundingClientRect().right > innerWidth + 1"
        " && !node.closest(innerWidth > 768 ? 'svg' : 'svg, thead')).map(node => node.localName + ': ' + node.textContent.slice(0, 40))"
    )
    assert (browser.run("document.documentElement.scrollWidth"), wide) == (width, [])


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(browser, scheme, width):
    browser.look(width, 740, scheme)
    looked, low = browser.run(CONTRAST)
    assert looked > 200 and low == []
    dark = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")


def test_no_letter_is_smaller_than_eleven_pixels(browser):
    browser.look(360, 740)
    assert browser.run("Math.min(...[...document.querySelectorAll('body *')].map(node => parseFloat(getComputedStyle(node).fontSize)))") >= 11


def test_it_prints_on_white_also_for_who_likes_it_dark(browser, tmp_path):
    browser.look(800, 1000, "dark", "print")
    assert browser.run("[getComputedStyle(document.documentElement).getPropertyValue('--bg'), getComputedStyle(document.body).color]") == [
        "#fff",
        "rgb(27, 31, 36)",
    ]
    looked, low = browser.run(CONTRAST)
    assert looked > 200 and low == []
    browser.look(717, 1000, "dark", "print")  # A4 within a browser's margins
    assert browser.run("[getComputedStyle(document.querySelector('td')).display, document.documentElement.scrollWidth]") == ["table-cell", 717]
    browser.printed(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes()[:5] == b"%PDF-"
    browser.look()


# --- what is refused ---


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("report_last=2x", "report_last: '2x' is no length of time; expected a number and s, m, h, d or w"),
        ("report_from=noon", "report_from: 'noon' is no moment"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(tmp_path, given, answer):
    inventory = {"siptrunk_asterisk": {"hosts": {"pbx": {"ansible_connection": "local"}}}}
    (tmp_path / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventory.json", str(REPO / "playbooks" / "report.yml"), "-e", given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "ANSIBLE_HOST_PATTERN_MISMATCH": "warning"},
    )
    assert done.returncode != 0 and answer in done.stdout + done.stderr
    assert not (tmp_path / "trunk-report.html").exists()
