# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failover contract as a table. Nothing here knows an engine.

A case is one or more calls, each with what the carriers do, what the caller must see, which
attempts the call's record must show, and how many INVITEs each carrier must have received.

Bounds are written in the plan's own figures: ``silence``, ``progress`` and ``ring`` stand for the
effective bounds of an attempt, in seconds; MARGIN is what a shared, noisy machine may add.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MARGIN = 2.0

# Numbers, by the route they take (tests/contract/inventory).
NANP = "12125550100"  # acme (gw1, then gw2), then beta
INTL = "0044123456"  # beta, then acme
TIE_LINE = "71234"  # beta over TCP, then acme
EMERGENCY = "112"  # beta, then acme
ONE_TARGET = "11234"  # acme, of which one target may be asked, then beta
LIMITED = "21234"  # small (two calls at once), then acme
SECURE = "31234"  # acme over TLS, then beta
POOL = "41234"  # three targets of acme and beta: weights 60, 20 and 0
SHARED = "51234"  # acme and beta, weights 75 and 25
QUIET = "61234"  # beta, which is not probed, then acme
TOLERANT = "81234"  # beta, whose 404 and 480 are not final, then acme
HUNTING = "91234"  # beta, then acme, even after ringing
CROWDED = "94123"  # beta, which says 480, 486 or 603 when its own limit is reached, then acme, even after ringing
HURRIED = "95123"  # beta, which has two seconds to ring, then acme

BUSY, DECLINED, UNALLOCATED = 486, 603, 404


def code(status: int, **more: object) -> dict:
    """A carrier that says 100, then this status."""
    return {"invite": {"do": "code", "code": status, **more}}


ANSWER = {"invite": {"do": "answer", "ring": 0.2}}
SILENT = {"invite": {"do": "silent"}}
CLOSED = {"closed": True}
TRYING = {"invite": {"do": "trying"}}
RING = {"invite": {"do": "ring"}}
SLOW = {"invite": {"do": "trying_then_answer", "after": 8}}
DEAD = {"silent": True}

BOTH_ACME = ("acme1", "acme2")


@dataclass(frozen=True)
class Attempt:
    """One line of the record: trunk, carrier host, and the SIP code (None: no answer at all)."""

    trunk: str
    host: str
    code: int | None
    next: str


@dataclass(frozen=True)
class Call:
    """A call, what happens around it, and what must come of it."""

    number: str
    attempts: tuple[Attempt, ...]
    code: int | None = 200  # what the caller is told; None: the caller cancelled
    faults: dict[str, dict] = field(default_factory=dict)  # carrier host: control
    delay: tuple[str, ...] = ()  # the bounds that add up to the post-dial delay
    extra: float = 0.0  # seconds that the carrier itself takes
    cancel_after: float | None = None  # the caller gives up, seconds after the INVITE
    linger: float = 0.0  # seconds after the call before the carriers are looked at
    drained: tuple[str, ...] = ()  # trunks that an operator has taken out
    passed_over: tuple[tuple[str, str], ...] = ()  # trunk and why, for each target (of a drained or full trunk once)
    released: tuple[str, ...] = ()  # carrier hosts that rang or answered too late: CANCEL, or ACK and BYE
    heard: tuple[int, ...] | None = None  # provisional answers that the caller got, besides 100
    callee_hangs_up: bool = False
    marks: dict[tuple[str, str], float] = field(default_factory=dict)  # (kind, carrier host or trunk): seconds from now
    marked_down: tuple[str, ...] | None = None  # before the call: the carrier hosts, and no others, that the probes found dead
    invites: dict[str, int] = field(default_factory=dict)  # where they differ from one for each attempt


@dataclass(frozen=True)
class Case:
    """A line of the contract."""

    name: str
    calls: tuple[Call, ...]
    why: str = ""


def _failing(status: int, verdict: str) -> tuple[Attempt, ...]:
    return (Attempt("beta", "beta1", status, verdict), Attempt("acme", "acme1", 200, "final"))


def _final(status: int) -> tuple[Attempt, ...]:
    return (Attempt("beta", "beta1", status, "final"),)


def _through(trunk: str, host: str) -> tuple[Attempt, ...]:
    return (Attempt(trunk, host, 200, "final"),)


BETA_SILENT = (Attempt("beta", "beta1", None, "next_target"), Attempt("acme", "acme1", 200, "final"))
ACME_ANSWERS = (Attempt("acme", "acme1", 200, "final"),)

CASES = (
    Case("healthy", (Call(NANP, ACME_ANSWERS), Call(INTL, (Attempt("beta", "beta1", 200, "final"),)))),
    Case("healthy_over_tcp", (Call(TIE_LINE, (Attempt("beta-tcp", "beta1", 200, "final"),)),)),
    Case("credentials", (Call(NANP, ACME_ANSWERS, faults={host: {"invite_auth": True} for host in BOTH_ACME}),)),
    Case("503", (Call(INTL, _failing(503, "next_target"), faults={"beta1": code(503)}),)),
    Case("500", (Call(INTL, _failing(500, "next_target"), faults={"beta1": code(500)}),)),
    Case(
        "503_asks_the_next_target_first",
        (
            Call(
                NANP,
                (Attempt("acme", "acme1", 503, "next_target"), Attempt("acme", "acme2", 200, "final")),
                faults={"acme1": code(503)},
            ),
        ),
    ),
    Case(
        "503_on_every_target_asks_the_next_trunk",
        (
            Call(
                NANP,
                (
                    Attempt("acme", "acme1", 503, "next_target"),
                    Attempt("acme", "acme2", 503, "next_target"),
                    Attempt("beta", "beta1", 200, "final"),
                ),
                faults={host: code(503) for host in BOTH_ACME},
            ),
        ),
    ),
    Case(
        "503_everywhere_is_503",
        (
            Call(
                INTL,
                (
                    Attempt("beta", "beta1", 503, "next_target"),
                    Attempt("acme", "acme1", 503, "next_target"),
                    Attempt("acme", "acme2", 503, "next_target"),
                ),
                code=503,
                faults={host: code(503) for host in ("beta1", *BOTH_ACME)},
            ),
        ),
    ),
    Case(
        "403_is_the_account_not_the_target",
        (
            Call(
                NANP,
                (Attempt("acme", "acme1", 403, "next_trunk"), Attempt("beta", "beta1", 200, "final")),
                faults={host: code(403) for host in BOTH_ACME},
            ),
        ),
        why="the second target of the same carrier is not asked",
    ),
    Case(
        "silent",
        (
            Call(INTL, BETA_SILENT, faults={"beta1": SILENT}, delay=("silence",)),
            Call(INTL, ACME_ANSWERS, faults={"beta1": SILENT}, passed_over=(("beta", "cooling"),)),
        ),
        why="the first call pays the bound once; the second finds the target cooling down",
    ),
    Case(
        "closed_port",
        (
            Call(
                QUIET,
                (Attempt("quiet", "beta1", None, "next_target"), Attempt("acme", "acme1", 200, "final")),
                faults={"beta1": CLOSED},
                delay=("silence",),
                invites={"beta1": 0},
            ),
        ),
        why="of a trunk that is not probed: a probe might find out first",
    ),
    Case(
        "100_only",
        (
            Call(
                INTL,
                (Attempt("beta", "beta1", 100, "next_trunk"), Attempt("acme", "acme1", 200, "final")),
                faults={"beta1": TRYING},
                delay=("progress",),
            ),
        ),
    ),
    Case(
        "100_and_ringing_only_after_8_s",
        (Call(INTL, (Attempt("beta", "beta1", 200, "final"),), faults={"beta1": SLOW}, extra=8),),
        why="a slow route that said 100 is not cut by the bound for silence",
    ),
    Case("busy", (Call(INTL, _final(BUSY), code=BUSY, faults={"beta1": code(BUSY)}),)),
    Case("declined", (Call(INTL, _final(DECLINED), code=DECLINED, faults={"beta1": code(DECLINED)}),)),
    Case("unallocated", (Call(INTL, _final(UNALLOCATED), code=UNALLOCATED, faults={"beta1": code(UNALLOCATED)}),)),
    Case("rang_out", (Call(INTL, _final(180), code=480, faults={"beta1": RING}),)),
    Case(
        "answered_then_hung_up",
        (
            Call(
                INTL,
                (Attempt("beta", "beta1", 200, "final"),),
                faults={"beta1": {"invite": {"do": "answer", "ring": 0.2, "talk": 1}}},
                callee_hangs_up=True,
            ),
        ),
        why="the backup is not dialled after the call",
    ),
    Case("caller_cancels_while_it_rings", (Call(INTL, _final(487), code=None, faults={"beta1": RING}, cancel_after=3),)),
    Case("caller_cancels_after_100", (Call(INTL, _final(487), code=None, faults={"beta1": TRYING}, cancel_after=3),)),
    Case(
        "marked_down_and_recovery",
        (
            Call(INTL, ACME_ANSWERS, faults={"beta1": DEAD}, marked_down=("beta1",), passed_over=(("beta", "down"),)),
            Call(INTL, (Attempt("beta", "beta1", 200, "final"),), marked_down=()),
        ),
        why="the probe takes the primary out before a call has to find out, and gives it back",
    ),
    Case(
        "all_marked_down_are_still_asked",
        (
            Call(
                INTL,
                (Attempt("beta", "beta1", 200, "final"),),
                faults={host: {"options": "silent"} for host in ("beta1", *BOTH_ACME)},
                marked_down=("beta1", *BOTH_ACME),
                passed_over=(("beta", "down"), ("acme", "down"), ("acme", "down")),
            ),
        ),
        why="a mark never fails a call, and the order is kept",
    ),
    Case(
        "srv_first_target_silent",
        (
            Call(
                NANP,
                (Attempt("acme", "acme1", None, "next_target"), Attempt("acme", "acme2", 200, "final")),
                faults={"acme1": SILENT},
                delay=("silence",),
            ),
            Call(NANP, (Attempt("acme", "acme2", 200, "final"),), faults={"acme1": SILENT}, passed_over=(("acme", "cooling"),)),
        ),
        why="priority is kept, and the second target of the same domain is asked",
    ),
    Case(
        "redirect_is_never_followed",
        (
            Call(
                INTL,
                (Attempt("beta", "beta1", 302, "next_trunk"), Attempt("acme", "acme1", 200, "final")),
                faults={"beta1": code(302, headers={"Contact": "<sip:0044123456@198.18.99.99:5060>"})},
            ),
        ),
    ),
    Case(
        "wrong_credentials",
        (
            Call(
                NANP,
                (Attempt("acme", "acme1", 407, "next_trunk"), Attempt("beta", "beta1", 200, "final")),
                faults={host: {"invite_auth": True, "users": {"pbx-100": "another"}} for host in BOTH_ACME},
            ),
        ),
        why="the account is at fault: the second target of the carrier is not asked, and nobody insists (see wire)",
    ),
    Case(
        "ringing_then_503_rings_no_second_phone",
        (Call(INTL, _final(503), code=503, faults={"beta1": {"invite": {"do": "ring_then_code", "code": 503}}}, extra=0, heard=(180,)),),
    ),
    Case(
        "progress_then_503_rings_no_second_phone",
        (Call(INTL, _final(503), code=503, faults={"beta1": {"invite": {"do": "progress_then_code", "code": 503}}}, heard=(183,)),),
    ),
    Case(
        "progress_then_503_where_the_policy_says_so",
        (Call(HUNTING, _failing(503, "next_target"), faults={"beta1": {"invite": {"do": "progress_then_code", "code": 503, "after": 2}}}),),
    ),
    Case(
        "early_media_is_no_answer",
        (
            Call(
                INTL,
                (Attempt("beta", "beta1", 200, "final"),),
                faults={"beta1": {"invite": {"do": "progress_then_answer", "after": 3}}},
                heard=(183,),
            ),
            Call(INTL, _final(183), code=480, faults={"beta1": {"invite": {"do": "progress_then_answer", "after": 30}}}, heard=(183,)),
        ),
        why="the caller hears it, the call is answered by the 200 alone, and the bound for ringing holds",
    ),
    Case(
        "caller_cancels_while_the_primary_is_silent",
        (Call(INTL, _final(487), code=None, faults={"beta1": SILENT}, cancel_after=2, linger=8),),
        why="no new INVITE leaves for a caller who has gone",
    ),
    Case(
        "late_ringing_of_an_abandoned_attempt",
        (
            Call(
                HURRIED,
                (Attempt("fast", "beta1", None, "next_target"), Attempt("acme", "acme1", 200, "final")),
                faults={"beta1": {"invite": {"do": "late_ring", "after": 3.4}}},
                extra=2,
                linger=3,
                released=("beta1",),
            ),
        ),
    ),
    Case(
        "late_answer_of_an_abandoned_attempt",
        (
            Call(
                HURRIED,
                (Attempt("fast", "beta1", None, "next_target"), Attempt("acme", "acme1", 200, "final")),
                faults={"beta1": {"invite": {"do": "late_answer", "after": 3.4}}},
                extra=2,
                linger=3,
                released=("beta1",),
            ),
        ),
    ),
    Case(
        "late_answer_after_the_bound_for_silence",
        (
            Call(
                INTL,
                BETA_SILENT,
                faults={"beta1": {"invite": {"do": "late_answer", "after": 8}}},
                delay=("silence",),
                linger=6,
                released=("beta1",),
            ),
        ),
    ),
    Case(
        "503_that_ignores_its_ack",
        (Call(INTL, _failing(503, "next_target"), faults={"beta1": code(503, ignore_ack=True)}, linger=3),),
        why="an answer that comes again advances the hunt once",
    ),
    Case(
        "503_with_retry_after",
        (
            Call(INTL, _failing(503, "next_target"), faults={"beta1": code(503, headers={"Retry-After": "30"})}),
            Call(INTL, ACME_ANSWERS, passed_over=(("beta", "cooling"),)),
        ),
        why="a target that asks for peace gets it (RFC 3261 section 21.5.4)",
    ),
    Case(
        "drained",
        (
            Call(INTL, ACME_ANSWERS, drained=("beta",), passed_over=(("beta", "drained"),)),
            Call(INTL, _through("beta", "beta1")),
            Call(INTL, (), code=503, drained=("acme", "beta"), passed_over=(("beta", "drained"), ("acme", "drained"))),
        ),
        why="what an operator took out is not asked, not even last",
    ),
    Case(
        "drained_and_down_is_not_asked_after_all",
        (
            Call(
                INTL,
                ACME_ANSWERS,
                faults={host: {"options": "silent"} for host in ("beta1", *BOTH_ACME)},
                marked_down=("beta1", *BOTH_ACME),
                drained=("beta",),
                passed_over=(("beta", "drained"), ("acme", "down"), ("acme", "down")),
            ),
        ),
    ),
    Case(
        "held_target",
        (Call(INTL, ACME_ANSWERS, marks={("held", "beta1"): 30}, passed_over=(("beta", "held"),)),),
        why="what a monitor does not trust yet is passed over",
    ),
    Case(
        "held_target_of_two",
        (Call(NANP, _through("acme", "acme2"), marks={("held", "acme1"): 30}, passed_over=(("acme", "held"),)),),
    ),
    Case(
        "closed_trunk",
        (Call(NANP, _through("beta", "beta1"), marks={("closed", "acme"): 30}, passed_over=(("acme", "closed"), ("acme", "closed"))),),
        why="none of its targets is asked, though all are well",
    ),
    Case(
        "all_held_are_still_asked",
        (
            Call(
                INTL,
                _through("beta", "beta1"),
                marks={("held", host): 30 for host in ("beta1", *BOTH_ACME)},
                passed_over=(("beta", "held"), ("acme", "held"), ("acme", "held")),
            ),
        ),
        why="a mark never fails a call, and the order is kept",
    ),
    Case(
        "closed_and_the_other_fails",
        (
            Call(
                INTL,
                (
                    Attempt("acme", "acme1", 503, "next_target"),
                    Attempt("acme", "acme2", 503, "next_target"),
                    *_through("beta", "beta1"),
                ),
                faults={host: code(503) for host in BOTH_ACME},
                marks={("closed", "beta"): 30},
                passed_over=(("beta", "closed"),),
            ),
        ),
        why="what was passed over is asked after all when nothing else is left",
    ),
    Case(
        "several_marks",
        (
            Call(
                NANP,
                _through("beta", "beta1"),
                marks={("held", "acme1"): 30, ("closed", "acme"): 30, ("trial", "acme"): 30},
                passed_over=(("acme", "closed"), ("acme", "closed")),
            ),
            Call(NANP, _through("acme", "acme2"), marks={("closed", "acme"): -1}, passed_over=(("acme", "held"),)),
        ),
        why="the record names the first that holds: what is wrong with the trunk before what is wrong with a target",
    ),
    Case(
        "trial_of_one_call",
        (Call(INTL, _through("beta", "beta1"), marks={("trial", "beta"): 30}), Call(INTL, _failing(503, "next_target"), faults={"beta1": code(503)})),
        why="who comes alone may try, again and again",
    ),
    Case(
        "marks_that_ran_out",
        (Call(INTL, _through("beta", "beta1"), marks={(kind, "beta1" if kind == "held" else "beta"): -1 for kind in ("held", "closed", "trial")}),),
        why="a monitor that died hides nothing for long, and nobody has to tidy up",
    ),
    Case(
        "emergency_and_marks",
        (Call(EMERGENCY, _through("beta", "beta1"), marks={("held", "beta1"): 30, ("closed", "beta"): 30, ("trial", "beta"): 30}),),
    ),
    Case(
        "emergency",
        (
            Call(
                EMERGENCY,
                (Attempt("beta", "beta1", 503, "next_target"), Attempt("acme", "acme1", 200, "final")),
                faults={"beta1": {**code(503), "options": "silent"}, **{host: {"options": "silent"} for host in BOTH_ACME}},
                marked_down=("beta1", *BOTH_ACME),
                drained=("acme", "beta"),
            ),
        ),
        why="marks and drains count for nothing, every trunk is asked in order",
    ),
    Case(
        "a_carrier_that_ignores_options",
        (Call(QUIET, _through("quiet", "beta1"), faults={"beta1": {"options": "silent"}}, marked_down=("beta1",)),),
        why="who is not probed is not dead",
    ),
    Case(
        "tcp_refused",
        (
            Call(TIE_LINE, (Attempt("beta-tcp", "beta1", None, "next_target"), *ACME_ANSWERS), faults={"beta1": CLOSED}, invites={"beta1": 0}),
            Call(TIE_LINE, ACME_ANSWERS, faults={"beta1": CLOSED}, passed_over=(("beta-tcp", "cooling"),)),
        ),
    ),
    Case("tls", (Call(SECURE, _through("acme-tls", "acme1")),)),
    *(
        Case(
            f"tls_{certificate}_certificate",
            (
                Call(
                    SECURE,
                    tuple(Attempt("acme-tls", host, None, "next_target") for host in BOTH_ACME) + _through("beta", "beta1"),
                    faults={host: {"certificate": certificate} for host in BOTH_ACME},
                    invites=dict.fromkeys(BOTH_ACME, 0),
                ),
            ),
            why="no call goes to a carrier that cannot prove who it is",
        )
        for certificate in ("expired", "wrong", "stranger")
    ),
    Case(
        "tls_one_target_good",
        (
            Call(
                SECURE,
                (Attempt("acme-tls", "acme1", None, "next_target"), *_through("acme-tls", "acme2")),
                faults={"acme1": {"certificate": "expired"}},
                invites={"acme1": 0},
            ),
        ),
    ),
    Case(
        "max_targets",
        (Call(ONE_TARGET, (Attempt("acme", "acme1", 503, "next_target"), *_through("beta", "beta1")), faults={"acme1": code(503)}),),
    ),
    Case(
        "verdicts_of_one_trunk",
        (
            Call(TOLERANT, (Attempt("tolerant", "beta1", 404, "next_trunk"), *ACME_ANSWERS), faults={"beta1": code(404)}),
            Call(TOLERANT, (Attempt("tolerant", "beta1", 480, "next_trunk"), *ACME_ANSWERS), faults={"beta1": code(480)}),
            Call(TOLERANT, (Attempt("tolerant", "beta1", 486, "final"),), code=486, faults={"beta1": code(486)}),
        ),
    ),
    Case(
        "a_carrier_at_its_limit",
        (
            Call(CROWDED, (Attempt("crowded", "beta1", 603, "full"), *ACME_ANSWERS), faults={"beta1": code(603)}),
            Call(CROWDED, (Attempt("crowded", "beta1", 480, "full"), *ACME_ANSWERS), faults={"beta1": code(480)}),
            Call(CROWDED, _through("crowded", "beta1")),
            Call(
                CROWDED,
                (
                    Attempt("crowded", "beta1", 486, "full"),
                    Attempt("acme", "acme1", 503, "next_target"),
                    Attempt("acme", "acme2", 503, "next_target"),
                ),
                code=503,
                faults={"beta1": code(486), **{host: code(503) for host in BOTH_ACME}},
            ),
        ),
        why="the next trunk is tried, nothing is held against this one, and its answer says nothing of the number",
    ),
    Case(
        "a_person_who_declines_after_ringing_is_final",
        (
            Call(
                CROWDED,
                (Attempt("crowded", "beta1", 603, "final"),),
                code=603,
                faults={"beta1": {"invite": {"do": "ring_then_code", "code": 603}}},
                heard=(180,),
            ),
        ),
        why="whatever the trunk's verdict, and though the route hunts after ringing",
    ),
    Case(
        "the_last_meaningful_cause",
        (
            Call(
                TOLERANT,
                (
                    Attempt("tolerant", "beta1", 404, "next_trunk"),
                    Attempt("acme", "acme1", 503, "next_target"),
                    Attempt("acme", "acme2", 503, "next_target"),
                ),
                code=404,
                faults={"beta1": code(404), **{host: code(503) for host in BOTH_ACME}},
            ),
        ),
        why="the caller learns what was said of the number, not that a carrier was down",
    ),
)

# The twelve quickest, by the time from call to verdict on Asterisk: `make check` runs them.
QUICK = (
    "503_everywhere_is_503",
    "declined",
    "busy",
    "503_on_every_target_asks_the_next_trunk",
    "503_asks_the_next_target_first",
    "500",
    "403_is_the_account_not_the_target",
    "unallocated",
    "credentials",
    "503",
    "healthy_over_tcp",
    "redirect_is_never_followed",
)
