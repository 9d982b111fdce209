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

# Numbers, by the route they take (inventories/lab).
NANP = "12125550100"  # acme (gw1, then gw2), then beta
INTL = "0044123456"  # beta, then acme
TIE_LINE = "71234"  # beta over TCP, then acme

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
    callee_hangs_up: bool = False
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
            Call(INTL, ACME_ANSWERS, faults={"beta1": SILENT}),
        ),
        why="the first call pays the bound once; the second finds the target cooling down",
    ),
    Case("closed_port", (Call(INTL, BETA_SILENT, faults={"beta1": CLOSED}, delay=("silence",), invites={"beta1": 0}),)),
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
            Call(INTL, ACME_ANSWERS, faults={"beta1": DEAD}, marked_down=("beta1",)),
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
            Call(NANP, (Attempt("acme", "acme2", 200, "final"),), faults={"acme1": SILENT}),
        ),
        why="priority is kept, and the second target of the same domain is asked",
    ),
)
