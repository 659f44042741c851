"""The grants that hold for a session for a while: tags in clear, and rules that need no further approval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from dbgate.errors import DbgateError
from dbgate.gate.approving import Standing
from dbgate.gate.protection import Unmasked
from dbgate.model import Grant, Json, RequestKind, SessionLimits
from dbgate.session.ports import Approvals, Clock, Display, Recorder
from dbgate.text import span

RECHECK_S = 30.0
"""So many seconds after the service was last asked, it is asked again before a statement is decided."""

RETRY_S = 5.0
"""So many seconds after it could not be asked, it is asked again."""


class Opening(msgspec.Struct, frozen=True):
    """A grant, when the service was last asked whether it holds (monotonic seconds), and whether it said so.

    `statements` and `rows` are what was done under a grant for the session.
    """

    grant: Grant
    checked_s: float
    holds: bool = True
    statements: int = 0
    rows: int = 0

    @property
    def left(self) -> SessionLimits:
        """What the limits of a grant for the session leave."""
        limits = self.grant.limits
        return SessionLimits(
            None if limits.statements is None else max(limits.statements - self.statements, 0),
            None if limits.rows is None else max(limits.rows - self.rows, 0),
        )


class Openings:
    """What is open in a session. Every decision asks anew, so nothing outlives its grant.

    Expiry is checked at each decision. Revocation is asked of the service every `RECHECK_S` seconds; while it cannot
    be asked, nothing is open.
    """

    def __init__(self, approvals: Callable[[], Approvals], recorder: Recorder, display: Display, clock: Clock) -> None:
        self._approvals = approvals
        self._recorder = recorder
        self._display = display
        self._clock = clock
        self._openings: tuple[Opening, ...] = ()

    def add(self, grant: Grant) -> None:
        """Open what a grant opens; one of the same request takes the place of an earlier one."""
        others = tuple(o for o in self._openings if o.grant.request != grant.request)
        self._openings = (*others, Opening(grant, self._clock.monotonic()))
        approvers = ", ".join(grant.approved_by)
        left = span((grant.expires_at - self._clock.now()).total_seconds())
        self._display.message("notice", f"{_named(grant)} {_open(grant)} for {left}, approved by {approvers}")

    def now(self) -> Unmasked:
        """The tags in clear at this moment. Raises `AuditUnavailable` when the end of a grant cannot be recorded."""
        pairs = {tag: o.grant.id for o in self._current() if o.holds for tag in o.grant.tags}
        return Unmasked(tuple(sorted(pairs)), tuple(sorted(pairs.items())))

    def standing(self) -> tuple[Standing, ...]:
        """The rules that this session passes at this moment. Raises `AuditUnavailable` like `now`."""
        current = self._current()
        return tuple(
            Standing(o.grant.id, o.grant.rules, o.left)
            for o in current
            if o.holds and o.grant.kind is RequestKind.SESSION
        )

    def spend(self, grants: Sequence[str], rows: int) -> None:
        """Count a statement, and the rows that it may touch, against the limits of the grants that it runs under."""
        self._openings = tuple(
            replace(o, statements=o.statements + 1, rows=o.rows + rows) if o.grant.id in grants else o
            for o in self._openings
        )

    def listing(self) -> tuple[tuple[str, datetime], ...]:
        """The tags that are open, each with the end of its grant."""
        unmasked = self.now()
        ends = {o.grant.id: o.grant.expires_at for o in self._openings}
        return tuple((tag, ends[grant]) for tag, grant in unmasked.grants)

    def _current(self) -> tuple[Opening, ...]:
        if self._openings:
            self._openings = tuple(kept for opening in self._openings if (kept := self._review(opening)) is not None)
        return self._openings

    def _review(self, opening: Opening) -> Opening | None:
        """The opening as it stands now; None when it has ended."""
        grant = opening.grant
        if self._clock.now() >= grant.expires_at:
            self._end(grant, "expired", "the approval has expired")
            return None
        if self._clock.monotonic() - opening.checked_s < (RECHECK_S if opening.holds else RETRY_S):
            return opening
        try:
            state = self._approvals().state(grant.request)
        except DbgateError as error:
            if opening.holds:
                said = f"{_named(grant)} {_closed(grant)} until the approvals service can be asked: {error.message}"
                self._display.message("notice", said, error.hint)
            return replace(opening, checked_s=self._clock.monotonic(), holds=False)
        # `redeemed`: this session, or another, took the last use. That takes nothing back.
        if state.status in {"approved", "redeemed"}:
            return replace(opening, checked_s=self._clock.monotonic(), holds=True)
        self._end(grant, state.status, f"the approval was {state.status}")
        return None

    def _end(self, grant: Grant, status: str, why: str) -> None:
        fields: dict[str, Json] = {
            "id": 0,
            "request": grant.request,
            "grant": grant.id,
            "tags": list(grant.tags),
            "detail": why,
        }
        if grant.kind is RequestKind.SESSION:
            fields["rules"] = list(grant.rules)
        self._recorder.record(f"approval.{status}", fields)
        self._display.message("notice", f"{_named(grant)} {_closed(grant)} again: {why}", "ask for a new approval")


def _named(grant: Grant) -> str:
    """What a grant opens: its tags, or the ids of its rules."""
    if grant.kind is not RequestKind.SESSION:
        return ", ".join(grant.tags)
    return f"what {', '.join(rule.split(' (', 1)[0] for rule in grant.rules)} asks approval for"


def _open(grant: Grant) -> str:
    if grant.kind is not RequestKind.SESSION:
        return "is in clear"
    limits = grant.limits
    bounds = [f"{limits.statements} statements"] if limits.statements is not None else []
    bounds += [f"{limits.rows} rows"] if limits.rows is not None else []
    return f"runs in this session, at most {' and '.join(bounds)}," if bounds else "runs in this session"


def _closed(grant: Grant) -> str:
    return "has to be approved" if grant.kind is RequestKind.SESSION else "is masked"
