# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interop table: what carriers and phones do that is no failure, and what must come of it. Nothing here knows an engine.

Beside the failover contract (cases.py), which is about carriers that fail. A case is one call with lab/phone.py, and checks on both
sides of the wire. Where an engine cannot, exceptions.py says so, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cases import BOTH_ACME, INTL, NANP, SECURE
from harness import invites

WITHHELD = "96123"  # the trunk "branded": from_user and caller_id; then acme
RENAMED = "93123"  # the trunk "renamed": caller_id alone; then acme
TRUSTED = "97123"  # the trunk "trusted": identity.asserted is pai; then acme
HOSTS = "98123"  # the trunk "acme-hosts": over TLS to the hosts of acme by their own names; then beta
WILD = "99123"  # the trunk "acme-wild": over TLS, with tls.wildcard where the engine can; then beta
WITHIN = "92123"  # the trunk "within": over TLS to a host within its domain, which is not listed; then acme

CALLER = "1000"  # the phone's own number, and what it calls itself
NAME = "Bob Example"
ENDS = "7"  # a carrier's own call: our side answers, and hangs up
TRANSIT = "9"  # a carrier's own call: a PBX lets it leave through acme, and hangs up
T38 = [
    "m=image 40100 udptl t38", "a=T38FaxVersion:0", "a=T38MaxBitRate:14400", "a=T38FaxRateManagement:transferredTCF", "a=T38FaxUdpEC:t38UDPRedundancy",
]  # fmt: skip
G729 = ["m=audio 40000 RTP/AVP 18", "a=rtpmap:18 G729/8000", "a=fmtp:18 annexb=no"]


@dataclass
class Seen:
    """What came of a call, from both sides of the wire."""

    phone: dict  # what lab/phone.py reports
    wires: dict[str, list[dict]]  # by carrier host, with the whole text of each message
    record: dict
    sound: dict  # what the carrier that answered heard
    cooling: bool  # whether a target is skipped for now

    def sent(self, method: str = "", host: str = "") -> Iterator[dict]:
        """Requests that carriers received, without retransmissions and probes."""
        for name, wire in self.wires.items():
            for line in wire if host in ("", name) else []:
                wanted = not line["code"] and not line["first"].startswith(("OPTIONS", "REGISTER")) and not line["retrans"]
                if line["dir"] == "rx" and wanted and line["first"].startswith(method):
                    yield line

    def answers(self, method: str, host: str) -> list[int]:
        """Status codes that the carrier sent to such requests, without repetitions by retransmission."""
        return [line["code"] for line in self.wires[host] if line["dir"] == "tx" and line["code"] and line["method"] == method and not line["retrans"]]


Check = Callable[[Seen], object]  # truthy when it holds; its name says what is checked


@dataclass(frozen=True)
class Interop:
    """A line of the table."""

    name: str
    source: str  # where it stands that this is right
    number: str = INTL
    host: str = "beta1"  # the carrier that does it
    carrier: dict = field(default_factory=dict)  # its control (lab/carrier.py)
    phone: dict = field(default_factory=dict)  # see lab/phone.py
    code: int | None = 200  # what the caller hears; None: a failure, whichever
    attempts: tuple[tuple[str, int | None, str], ...] | None = None  # trunk, code and verdict of the record; None: one, answered
    checks: tuple[Check, ...] = ()
    elsewhere: dict[str, dict] = field(default_factory=dict)  # the control of other carriers, by host
    before: str = ""  # a number that is called first, when only its trunk may take the certificate
    calls_in: bool = False  # the carrier calls us: lab/phone.py plays it, and our side hangs up
    proxied: dict = field(default_factory=dict)  # fields that are otherwise on an SBC, which passes a phone's request on where a PBX makes one of its own


def header(line: dict, name: str) -> str:
    """A header of a message, all of its values; the empty string without one."""
    return ", ".join(re.findall(rf"(?im)^{name}\s*:\s*(.*?)\r?$", line["text"]))


# --- checks ------------------------------------------------------------------------------


def bye_is_accepted(seen: Seen) -> object:
    """The carrier's call has ended: its BYE got a 200."""
    host = next(host for host, wire in seen.wires.items() if any(line["code"] == 200 and line["method"] == "INVITE" for line in wire))
    return 200 in seen.answers("BYE", host)


def nobody_else_is_called(seen: Seen) -> object:
    return len({line["call_id"] for line in seen.sent("INVITE")}) == 1


def refusals_are_acknowledged(seen: Seen) -> object:
    """No final answer to an INVITE had to be sent again: its ACK has the branch and the CSeq of that INVITE (RFC 3261 section 17.1.1.3)."""
    sent = [line for wire in seen.wires.values() for line in wire if line["dir"] == "tx" and line["method"] == "INVITE" and line["code"] >= 300]
    return sent and not any(line["retrans"] for line in sent)


def nobody_is_left_off_the_hook(seen: Seen) -> object:
    """Whoever answered was acknowledged, and the call was ended; at once where it is not the one that the caller hears."""
    for host, wire in seen.wires.items():
        for leg in invites(wire):
            if 200 not in leg["responses"]:
                continue
            lines = [line for line in wire if line["call_id"] == leg["call_id"]]
            answered = next(line["t"] for line in lines if line["dir"] == "tx" and line["code"] == 200 and line["method"] == "INVITE")
            ended = next((line["t"] for line in lines if line["method"] == "BYE"), None)
            if not leg["acked"] or ended is None or (host in BOTH_ACME and ended - answered > 0.5):
                return False
    return True


def answered_within_a_second(seen: Seen) -> object:
    began = seen.phone["messages"][0]["t"]
    return any(0 < message["t"] - began < 1 for message in seen.phone["messages"] if message["text"].startswith("SIP/2.0 200"))


def _phone_heard(seen: Seen, code: int, text: str) -> bool:
    return any(m["dir"] == "rx" and m["text"].startswith(f"SIP/2.0 {code} ") and re.search(text, m["text"]) for m in seen.phone["messages"])


def phone_hears_min_se(seen: Seen) -> object:
    return _phone_heard(seen, 422, r"(?im)^Min-SE: 900\r?$")


def phone_hears_what_is_required(seen: Seen) -> object:
    return _phone_heard(seen, 421, r"(?im)^Require: timer\r?$")


def no_target_cools_down(seen: Seen) -> object:
    return not seen.cooling


def prack_is_accepted(seen: Seen) -> object:
    """An INVITE that supports 100rel was followed by a PRACK with the right RAck (RFC 3262)."""
    for line in seen.sent("INVITE"):
        host = next(host for host, wire in seen.wires.items() if line in wire)
        if "100rel" in header(line, "Supported") and seen.answers("PRACK", host) != [200]:
            return False
    return True


def answer_has_sdp(seen: Seen) -> object:
    return _phone_heard(seen, 200, r"(?ims)^CSeq: 1 INVITE\r?$.*^m=audio ")


def prack_is_sent(seen: Seen) -> object:
    return prack_is_accepted(seen) and any(True for _line in seen.sent("PRACK"))


def _of_carrier(seen: Seen) -> list[tuple[dict, dict | None]]:
    """The carrier's own re-INVITEs and UPDATEs, each with the final answer that it got."""
    found = []
    for wire in seen.wires.values():
        for line in wire:
            if line["dir"] == "tx" and line["first"].startswith(("INVITE", "UPDATE")) and not line["retrans"]:
                final = (m for m in wire if m["dir"] == "rx" and m["code"] and m["code"] >= 200 and (m["method"], m["cseq"]) == (line["method"], line["cseq"]))
                found.append((line, next((m for m in final if m["call_id"] == line["call_id"]), None)))
    return found


def carriers_requests_are_accepted(seen: Seen) -> object:
    asked = _of_carrier(seen)
    return asked and all(final and final["code"] == 200 for _line, final in asked)


def t38_is_refused_and_sound_goes_on(seen: Seen) -> object:
    ((_line, final),) = _of_carrier(seen)
    if not final or final["code"] not in (415, 488):
        return False
    return seen.sound["heard"][-1] > final["t"] + 0.5 and seen.phone["sound"]["last"] > final["t"] + 0.5


def sound_goes_to_the_new_port(seen: Seen) -> object:
    return seen.sound["ports"].get("40020", 0) > 20 and len(_of_carrier(seen)) == 2


def session_is_refreshed(seen: Seen) -> object:
    """Within the call, for an interval that is no longer than the carrier's, and accepted."""
    lines = [line for method in ("INVITE", "UPDATE") for line in seen.sent(method) if ";tag=" in line["headers"]["to"]]
    intervals = [int((header(line, "Session-Expires") or header(line, "x") or "0").partition(";")[0]) for line in lines]
    return lines and all(0 < interval <= 90 for interval in intervals)


def no_payload_101(seen: Seen) -> object:
    return seen.sound and "101" not in seen.sound["types"]


def carrier_hears_digits(seen: Seen) -> object:
    return seen.sound.get("digits") == "12"


def early_sound_passes_both_ways(seen: Seen) -> object:
    return seen.sound.get("early", 0) > 20 and seen.phone["sound"]["early"] > 20


def withheld(seen: Seen) -> object:
    """From is anonymous, Privacy asks for it, and neither number nor name of the caller stands anywhere (RFC 3323)."""
    invites = list(seen.sent("INVITE"))
    anonymous = all(re.match(r'("?Anonymous"?\s*)?<sip:anonymous@anonymous\.invalid>', header(line, "From"), re.IGNORECASE) for line in invites)
    return invites and anonymous and all("id" in header(line, "Privacy") for line in invites) and nothing_of_the_caller(seen)


def nothing_of_the_caller(seen: Seen) -> object:
    return not [text for text in told_to_carriers(seen) if re.search(rf"\b{CALLER}\b|{NAME}|phone@", text)]


def told_to_carriers(seen: Seen) -> Iterator[str]:
    """Every message to a carrier, without what has nothing to do with who calls, such as lengths and the PBX's own addresses."""
    other = "Content-Length|Max-Forwards|CSeq|Via|User-Agent|Session-Expires|Min-SE"
    for line in seen.sent():
        yield re.sub(rf"(?im)^({other})\s*:.*$", "", line["text"])


def asserted(seen: Seen) -> object:
    """P-Asserted-Identity has the caller's number, for a carrier that is trusted with it (RFC 3325)."""
    return all(CALLER in header(line, "P-Asserted-Identity") for line in seen.sent("INVITE"))


def nothing_asserted(seen: Seen) -> object:
    return not any(header(line, name) for line in seen.sent("INVITE") for name in ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"))


def phone_uri(seen: Seen) -> object:
    return all(";user=phone" in line["first"] for line in seen.sent("INVITE"))


def shown_as_the_trunk_says(seen: Seen) -> object:
    """The trunk's number stands in From, and neither the caller's own nor a name that it was not told to show."""
    return all("4930123" in header(line, "From") for line in seen.sent("INVITE")) and nothing_of_the_caller(seen)


# --- the table ---------------------------------------------------------------------------

_ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
_IDENTITY = f'"{NAME}" <sip:{CALLER}@pbx.example>'
FORMS = {  # how a phone, or a PBX before an SBC, withholds its number
    "privacy_id_with_pai": {"from": _ANONYMOUS, "headers": [["Privacy", "id"], ["P-Asserted-Identity", _IDENTITY]]},
    "privacy_id_with_ppi": {"from": _ANONYMOUS, "headers": [["Privacy", "id"], ["P-Preferred-Identity", _IDENTITY]]},
    "privacy_id_alone": {"from": f'"{NAME}" <sip:{CALLER}@pbx.example>', "headers": [["Privacy", "id"]]},
    "rpid_privacy_full": {"from": _ANONYMOUS, "headers": [["Remote-Party-ID", f"{_IDENTITY};party=calling;privacy=full;screen=yes"]]},
    "from_anonymous": {"from": _ANONYMOUS},
}
_REFRESH = {"Session-Expires": "90;refresher=uac", "Supported": "timer"}
_BOTH = {"rtp": True, "steps": [["early", 2], ["answer"], ["wait", 1], ["bye"]]}

CASES = (
    Interop("plain_call", "RFC 3261", checks=(bye_is_accepted, nobody_else_is_called)),
    Interop(
        "bye_is_challenged",
        "RFC 3261 section 22.1: any request may be challenged",
        NANP,
        "acme1",
        {"challenged": ["BYE"]},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    Interop(
        "invite_and_bye_are_challenged",
        "RFC 3261 section 22.1",
        NANP,
        "acme1",
        {"invite_auth": True, "challenged": ["BYE"]},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    Interop(
        "hold_and_resume",
        "RFC 3264 section 8.4",
        NANP,
        "acme1",
        phone={"steps": [["answer"], ["wait", 0.5], ["hold"], ["wait", 0.5], ["resume"], ["wait", 0.5], ["bye"]]},
        checks=(bye_is_accepted,),
    ),
    Interop(
        "reinvite_is_challenged",
        "RFC 3261 section 22.1",
        NANP,
        "acme1",
        {"invite_auth": True, "challenged": ["INVITE", "BYE"]},
        {"steps": [["answer"], ["wait", 0.5], ["hold"], ["wait", 0.5], ["resume"], ["wait", 0.5], ["bye"]]},
        checks=(bye_is_accepted, refusals_are_acknowledged),
    ),
    Interop(
        "two_realms",
        "RFC 3261 section 22.3: credentials of both realms in one request",
        NANP,
        "acme1",
        {"invite_auth": True, "challenges": [{"code": 407, "realm": "edge"}, {"code": 401, "realm": "core"}]},
        checks=(bye_is_accepted, nobody_else_is_called, refusals_are_acknowledged),
    ),
    *(
        Interop(
            "digest_" + "_then_".join(names).lower().replace("-", ""),
            "RFC 8760 section 2.4",
            NANP,
            "acme1",
            {"invite_auth": True, "challenges": [{"code": 407, "algorithms": names}]},
            checks=(bye_is_accepted, nobody_else_is_called),
        )
        for names in (["SHA-256"], ["SHA-256", "MD5"], ["MD5", "SHA-256"])
    ),
    Interop(
        "challenge_without_an_account",
        "engines.md: the verdict is that of the raw code",
        carrier={"invite_auth": True},
        attempts=(("beta", 407, "next_trunk"), ("acme", 200, "final")),
        checks=(no_target_cools_down,),
    ),
    Interop(
        "bye_of_a_call_in_is_challenged",
        "RFC 3261 section 22.1",
        ENDS,
        "acme1",
        phone={"steps": [["answer"], ["until_bye", 8]]},
        attempts=(),
        calls_in=True,
    ),
    Interop(
        "ringing_with_prack",
        "RFC 3262: 18x that require 100rel are acknowledged where the INVITE supports it",
        carrier={"invite": {"do": "answer", "reliable": True}},
        phone={"prack": True},
        checks=(bye_is_accepted, nobody_else_is_called, prack_is_accepted),
        proxied={"checks": (bye_is_accepted, nobody_else_is_called, prack_is_sent)},
    ),
    Interop(
        "prack_of_a_signed_call",
        "RFC 3262 section 7.2: RAck has the CSeq of the INVITE that was answered",
        NANP,
        "acme1",
        {"invite_auth": True, "invite": {"do": "answer", "reliable": True}},
        {"prack": True},
        checks=(bye_is_accepted, nobody_else_is_called, prack_is_accepted),
        proxied={"checks": (bye_is_accepted, nobody_else_is_called, prack_is_sent)},
    ),
    Interop(
        "call_in_that_supports_prack",
        "many carriers take no 200 without SDP, though after a reliable 183 it has none by RFC 6337 section 2.2",
        TRANSIT,
        "acme1",
        {"invite": {"do": "progress_then_answer", "after": 0.3}},
        {"prack": True, "steps": [["early", 0], ["answer"], ["until_bye", 8]]},
        attempts=(),
        calls_in=True,
        checks=(answer_has_sdp,),
        elsewhere={"acme2": {"invite": {"do": "progress_then_answer", "after": 0.3}}},
        proxied={"phone": {"prack": True, "steps": [["answer"], ["until_bye", 8]]}},  # the phone system behind it answers at once
    ),
    Interop(
        "carrier_that_takes_no_call_without_prack",
        "RFC 3262 section 4: 421 where it is not supported; to a PBX that is an answer like others",
        carrier={"invite": {"do": "prack"}},
        checks=(bye_is_accepted, prack_is_sent, no_target_cools_down),
        proxied={"attempts": (("beta", 421, "next_trunk"), ("acme", 200, "final")), "checks": (no_target_cools_down,)},
    ),
    *(
        Interop(
            f"{code}_asks_for_another_request",
            "RFC 8224 section 6.2.2, RFC 3892 section 5, RFC 3329 section 2.3: nothing that is known of the trunk",
            carrier={"invite": {"do": "code", "code": code, **more}},
            attempts=(("beta", code, "next_trunk"), ("acme", 200, "final")),
            checks=(no_target_cools_down,),
        )
        for code, more in ((428, {}), (429, {}), (494, {"headers": {"Security-Server": "tls;q=0.1"}}))
    ),
    Interop(
        "carrier_that_takes_srtp_alone",
        "RFC 3264 section 6: no media that both sides have is 488",
        carrier={"invite": {"do": "srtp"}},
        attempts=(("beta", 488, "next_trunk"), ("acme", 200, "final")),
        checks=(no_target_cools_down,),
    ),
    Interop(
        "session_refreshed_by_the_carrier",
        "RFC 4028 section 10: by UPDATE or by re-INVITE",
        carrier={
            "invite": {
                "do": "answer",
                "headers": {"Session-Expires": "90;refresher=uas"},
                "then": [{"after": 0.4, "method": method, "headers": _REFRESH} for method in ("UPDATE", "INVITE")],
            }
        },
        phone={"steps": [["answer"], ["wait", 1.5], ["bye"]]},
        checks=(carriers_requests_are_accepted, bye_is_accepted),
    ),
    Interop(
        "session_refreshed_by_us",
        "RFC 4028 section 10: by half of the interval, which has no value below 90",
        carrier={"invite": {"do": "answer", "headers": {"Session-Expires": "90;refresher=uac", "Require": "timer"}}},
        phone={"steps": [["answer"], ["wait", 52], ["bye"]]},  # libsofia draws a moment from 40 to 50 s (nua_session.c, session_timer_set)
        checks=(session_is_refreshed, bye_is_accepted),
        proxied={"phone": {"steps": [["answer"], ["refresh"], ["bye"]]}},  # it passes what the phone sends
    ),
    Interop(
        "carrier_asks_for_t38",
        "RFC 3264 section 6: what cannot be taken is refused, and the session stays as it was (RFC 3261 section 14.1)",
        carrier={"invite": {"do": "answer", "rtp": 0, "then": [{"after": 0.7, "media": T38}]}},
        phone={"rtp": True, "steps": [["answer"], ["wait", 2], ["bye"]]},
        checks=(t38_is_refused_and_sound_goes_on, bye_is_accepted),
    ),
    Interop(
        "carrier_holds_and_resumes_at_another_port",
        "RFC 3264 sections 8.3.1 and 8.4",
        carrier={"invite": {"do": "answer", "rtp": 0, "then": [{"after": 0.7, "port": 40010, "direction": "sendonly"}, {"after": 0.7, "port": 40020}]}},
        phone={"rtp": True, "steps": [["answer"], ["wait", 2.8], ["bye"]]},
        checks=(carriers_requests_are_accepted, sound_goes_to_the_new_port, bye_is_accepted),
    ),
    Interop("compact_headers", "RFC 3261 section 7.3.3", carrier={"compact": True}, checks=(bye_is_accepted, nobody_else_is_called)),
    Interop(
        "answers_from_another_port",
        "RFC 3261 section 18.2.2 says where an answer goes, and not from which port",
        carrier={"another_port": True},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    Interop(
        "update_before_the_answer",
        "RFC 3311 section 5.1",
        carrier={"invite": {"do": "progress_then_answer", "after": 0.3, "reliable": True, "update": 0.3}},
        phone={"prack": True},
        checks=(carriers_requests_are_accepted, prack_is_accepted, bye_is_accepted),
    ),
    Interop(
        "session_interval_too_small",
        "RFC 4028 section 7.4: whoever sent the interval sends a longer one; a PBX has one of its own, an SBC passes the answer on to the phone",
        carrier={"invite": {"do": "min_se", "least": 900}},
        phone={"headers": [["Session-Expires", "600"]]},
        checks=(no_target_cools_down, nobody_else_is_called),
        proxied={
            "code": 422,
            "attempts": (("beta", 422, "final"),),
            "checks": (phone_hears_min_se, nobody_else_is_called, no_target_cools_down),
        },
    ),
    Interop(
        "extension_required_that_the_caller_has",
        "RFC 3261 section 21.4.16: whoever has the extension sends the request again with it; to a PBX it is an answer like others",
        carrier={"invite": {"do": "code", "code": 421, "headers": {"Require": "timer"}}},
        attempts=(("beta", 421, "next_trunk"), ("acme", 200, "final")),
        checks=(no_target_cools_down,),
        proxied={"code": 421, "attempts": (("beta", 421, "final"),), "checks": (phone_hears_what_is_required, nobody_else_is_called, no_target_cools_down)},
    ),
    Interop(
        "extension_required_that_the_caller_has_not",
        "RFC 3261 section 21.4.16",
        carrier={"invite": {"do": "code", "code": 421, "headers": {"Require": "100rel, x-unheard-of"}}},
        attempts=(("beta", 421, "next_trunk"), ("acme", 200, "final")),
        checks=(no_target_cools_down,),
    ),
    Interop(
        "tls_certificate_for_the_domain_alone",
        "RFC 5922 section 7: the carrier proves the name that was configured, whatever DNS returned",
        WITHIN,
        carrier={"certificate": "parent"},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    Interop(
        "tls_certificate_for_the_domain_where_hosts_are_listed",
        "RFC 5922 section 7, tls.names: either name will do",
        SECURE,
        "acme1",
        {"certificate": "domain"},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    Interop(
        "tls_certificate_for_the_hosts_alone",
        "tls.names: the trunk lists them",
        SECURE,
        "acme1",
        {"certificate": "hosts"},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    Interop(
        "tls_certificate_that_another_trunk_takes",
        "RFC 5922: the name is the trunk's, though another one takes that certificate at the same address",
        HOSTS,
        "acme1",
        {"certificate": "domain"},
        elsewhere={"acme2": {"certificate": "domain"}},
        attempts=(("acme-hosts", None, "next_target"), ("acme-hosts", None, "next_target"), ("beta", 200, "final")),
        checks=(nobody_is_left_off_the_hook,),
        proxied={"checks": (nobody_is_left_off_the_hook, answered_within_a_second)},
    ),
    Interop(
        "tls_wildcard_certificate",
        "RFC 5922 section 7.2: no wildcard, but where the trunk says so; another trunk's connection to that host changes nothing",
        SECURE,
        "acme1",
        {"certificate": "wildcard"},
        before=WILD,
        elsewhere={"acme2": {"certificate": "wildcard"}},
        attempts=(("acme-tls", None, "next_target"), ("acme-tls", None, "next_target"), ("beta", 200, "final")),
        checks=(nobody_is_left_off_the_hook,),
        proxied={"checks": (nobody_is_left_off_the_hook, answered_within_a_second)},
    ),
    Interop(
        "tls_wildcard_certificate_that_the_trunk_takes",
        "tls.wildcard",
        WILD,
        "acme1",
        {"certificate": "wildcard"},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    Interop(
        "tls_wildcard_certificate_two_labels_above",
        "RFC 6125 section 6.4.3: a wildcard stands for one label",
        WILD,
        "acme1",
        {"certificate": "above"},
        elsewhere={"acme2": {"certificate": "above"}},
        attempts=(("acme-wild", None, "next_target"), ("acme-wild", None, "next_target"), ("beta", 200, "final")),
        checks=(nobody_is_left_off_the_hook,),
        proxied={"checks": (nobody_is_left_off_the_hook, answered_within_a_second)},
    ),
    Interop(
        "answer_with_unusable_media",
        "RFC 3261 section 13.2.2.4: a 2xx is acknowledged, then ended by BYE; a person has picked up",
        carrier={"invite": {"do": "answer", "ring": 0.2, "media": G729}},
        code=None,
        attempts=(("beta", 200, "final"),),
        checks=(nobody_else_is_called, no_target_cools_down, bye_is_accepted),
    ),
    Interop(
        "private_address_in_contact",
        "what a carrier behind a wrong NAT setting sends",
        carrier={"invite": {"do": "answer", "ring": 0.2, "contact": "sip:carrier@10.99.99.99:5060"}},
        checks=(bye_is_accepted,),
    ),
    Interop(
        "many_record_routes",
        "RFC 3261 section 16.6: each proxy on the way may add one",
        carrier={"invite": {"do": "answer", "ring": 0.2, "record_routes": 41}},
        checks=(bye_is_accepted,),
    ),
    Interop(
        "no_telephone_event_in_the_answer",
        "RFC 3264 section 6.1: what an answer leaves out is not sent",
        carrier={"invite": {"do": "answer", "ring": 0.2, "rtp": 0}},
        phone={"rtp": True, "steps": [["answer"], ["wait", 0.5], ["digits", "12"], ["wait", 0.5], ["bye"]]},
        checks=(no_payload_101,),
    ),
    Interop(
        "digits",
        "RFC 4733",
        carrier={"invite": {"do": "answer", "ring": 0.2, "rtp": 0, "telephone_event": True}},
        phone={"rtp": True, "steps": [["answer"], ["wait", 0.5], ["digits", "12"], ["wait", 0.5], ["bye"]]},
        checks=(carrier_hears_digits,),
    ),
    Interop(
        "early_media_both_ways",
        "RFC 3960 section 3: menus before the answer need both",
        carrier={"invite": {"do": "progress_then_answer", "after": 3, "early_rtp": True}},
        phone=_BOTH,
        checks=(early_sound_passes_both_ways,),
    ),
    Interop(
        "183_of_two_phones_then_a_third_answers",
        "RFC 3261 section 13.2.2.4",
        carrier={"invite": {"do": "forked", "after": 1}},
        checks=(bye_is_accepted, nobody_else_is_called),
    ),
    *(
        Interop(f"withheld_{name}", "RFC 3323 section 4.1, RFC 3325 section 9.1", phone=form, checks=(withheld, nothing_asserted))
        for name, form in FORMS.items()
    ),
    *(
        Interop(
            f"withheld_{name}_through_a_trunk_with_a_number", "RFC 3323 section 4.1", WITHHELD, phone=form, checks=(withheld, nothing_asserted)
        )
        for name, form in FORMS.items()
    ),
    Interop(
        "withheld_through_a_trusted_trunk",
        "RFC 3325 section 9.1",
        TRUSTED,
        phone=FORMS["privacy_id_with_pai"],
        checks=(asserted,),
    ),
    *(
        Interop(
            f"shown_through_a_trunk_with_{what}",
            "the trunk's settings: nothing leaves that they do not mean to show",
            number,
            phone={"from": f'"{NAME}" <sip:{CALLER}@pbx.example>'},
            checks=(shown_as_the_trunk_says, nothing_asserted),
        )
        for what, number in (("a_number", WITHHELD), ("a_caller_id", RENAMED))
    ),
    Interop(
        "options_of_the_engine",
        "engine_options of the trunk; RFC 3261 section 19.1.1",
        TRUSTED,
        checks=(phone_uri, asserted),
    ),
)
