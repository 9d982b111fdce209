# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an engine keeps a case of the contract otherwise, or not at all; each with its reason. Anything else that fails is a failure."""

from __future__ import annotations

# {(engine, case name): reason}: the engine cannot keep it.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("asterisk", "503_with_retry_after"): "the dialplan cannot see a header of an answer that is not a 200",
    ("asterisk", "late_answer_after_the_bound_for_silence"): "timer B has ended the transaction: the 200 belongs to nothing any more (RFC 3261 "
    "section 17.1.1.2), and the carrier gives the call up for want of an ACK",
    ("asterisk", "wrong_credentials_with_fresh_nonces"): "pjsip answers up to 10 challenges that each bring a new nonce, within 0.2 s; no setting ends that",
    ("freeswitch", "503_with_retry_after"): "no header of an answer that is not a 200 reaches the dialplan",
}
# An SBC is no phone system: there is no dialplan, and no media passes through it.
EXCEPTIONS |= {
    ("sbc", "a_channel_that_dials_out_twice"): "no operator's dialplan stands before the hunt: a call dials out once",
    ("sbc", "a_caller_who_was_answered_before"): "nothing answers a call there but the carrier's side",
    ("sbc", "the_operators_hook"): "it has none: who wants more than the plan says does it on the PBX",
    ("sbc", "tls_wrong_certificate"): "Kamailio looks at a certificate's name only when the peer answers: the INVITE is gone, though the call goes elsewhere",
    ("sbc", "inbound_that_the_operator_lets_through"): "what comes in from a trunk goes to a PBX, and never out again",
}
# Asterisk before 22 has no bound of its own for 100: a trunk cannot have two seconds to ring, nor an attempt be abandoned that early.
EXCEPTIONS |= {("asterisk-16", name): reason for (engine, name), reason in EXCEPTIONS.items() if engine == "asterisk"}
EXCEPTIONS |= {
    ("asterisk-16", f"late_{what}_of_an_abandoned_attempt"): "no attempt is abandoned before the bound for silence" for what in ("ringing", "answer")
}

# {(engine, case name): (the bounds that add up to the post-dial delay of its first call, reason)}: kept, but sooner or later than elsewhere.
DELAYS: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("freeswitch", "closed_port"): ((), "it hears ICMP's port unreachable, and need not wait"),
    **{
        (engine, f"tls_{name}"): (("silence",) * targets, reason)
        for engine, reason in (
            ("freeswitch", "Sofia does not tell of a failed handshake: the bound for silence does, for each target"),
            ("sbc", "tm hands the request to another process, which does not tell it of a failed handshake: the bound for silence does, for each target"),
        )
        for name, targets in (("expired_certificate", 2), ("wrong_certificate", 2), ("stranger_certificate", 2), ("one_target_good", 1))
        if (engine, name) != ("sbc", "wrong_certificate")
    },
}

# What of a call's quality an engine tells, where it is not all. FreeSWITCH keeps neither its jitter by RFC 3550 nor what the carrier reports;
# Asterisk 16 divides the jitter that the carrier reports until nothing is left.
QUALITY = {
    "freeswitch": ["rx_packets", "rx_lost", "tx_packets"],
    "asterisk-16": ["rx_packets", "rx_lost", "rx_jitter_ms", "tx_packets", "tx_lost", "rtt_ms"],
    "sbc": [],  # media does not pass
}

# What somebody hears who calls from an address of nobody's.
STRANGER = {"asterisk": 401, "asterisk-16": 401, "freeswitch": 403, "sbc": 403}

# What a carrier hears that may call in, where it is otherwise: an SBC gives every number to a PBX, which decides.
LET_IN = {("sbc", "8"): 200, ("sbc", "12125550100"): 200}

# What a carrier hears that calls the contact of acme's second account, where it is otherwise.
BY_CONTACT = {"sbc": 200}

# {(engine, case name of interop.py): reason}: the engine's own stack cannot.
INTEROP: dict[tuple[str, str], str] = {
    ("asterisk", f"tls_certificate_for_the_domain_{which}"): "PJSIP checks a certificate against the host that it connects to (pjproject, sip_transport_tls.c, "
    "lis_create_transport: remote_name is tdata->dest_info.name), so hosts that SRV names must be listed and have certificates of their own"
    for which in ("alone", "where_hosts_are_listed")
}

_LIBSOFIA_MD5 = "libsofia signs with MD5 alone (sofia-sip, auth_digest.c, auth_digest_sessionkey)"
INTEROP |= {
    ("freeswitch", "digest_sha256"): _LIBSOFIA_MD5,
    ("freeswitch", "digest_md5_then_sha256"): f"{_LIBSOFIA_MD5}, and of several challenges of one realm it keeps the last (auth_client.c, auc_challenge)",
    ("freeswitch", "tls_certificate_for_the_domain_where_hosts_are_listed"): "libsofia checks a certificate against one name (sofia-sip, tport_tls.c, "
    "tls_post_connection_check: tp_canon): that of the host where the trunk lists it",
    ("freeswitch", "tls_wildcard_certificate_that_the_trunk_takes"): "libsofia takes no wildcard (sofia-sip, tport.c, tport_subject_search); "
    "the plan refuses tls.wildcard",
}
# An SBC passes SDP on as it is, and no media (docs/sbc.md, "Media: direct, or through it"): both sides are the phone and the carrier themselves.
INTEROP |= {
    ("sbc", "answer_with_unusable_media"): "the caller hears the 200 with the carrier's own SDP, and only who offered the media can tell that it is of no use: "
    "a PBX behind it ends that call (the case of the PBX's engine)",
    ("sbc", "no_telephone_event_in_the_answer"): "the phone reads in the carrier's own answer that events are not taken, and sends none: "
    "digits in the sound are "
    "its own matter, or its PBX's",
    ("sbc", "options_of_the_engine"): "Kamailio has no object of a trunk to which an option could be added: all of its configuration is one file and the hunt",
}
INTEROP |= {("asterisk-16", name): reason for (engine, name), reason in INTEROP.items() if engine == "asterisk"}
INTEROP |= {
    ("asterisk-16", "tls_wildcard_certificate_that_the_trunk_takes"): "Asterisk before 20 has no allow_wildcard_certs (asterisk/asterisk, commit a3b2daf127); "
    "the plan refuses tls.wildcard",
}
INTEROP |= {("asterisk-16", "digest_sha256"): "Asterisk before 22.2 answers challenges by MD5 alone (asterisk/asterisk, pull request 972)"}

# Cases that are tests of their own.
BEYOND_THE_TABLE = {
    "wrong_credentials_with_fresh_nonces",
    "a_channel_that_dials_out_twice",
    "a_caller_who_was_answered_before",
    "the_operators_hook",
    "inbound_that_the_operator_lets_through",
    "probes_name_the_account",
}
