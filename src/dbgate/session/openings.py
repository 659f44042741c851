"""The grants under which a session sees tags in clear: for how long, and whether they still hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from dbgate.errors import DbgateError
from dbgate.gate.protection import Unmasked
from dbgate.model import Grant, Json
from dbgate.session.ports import Approvals, Clock, Display, Recorder
from dbgate.text import span

RECHECK_S = 30.0
"""So many seconds after the service was last asked, it is asked again before a statement is decided."""

RETRY_S = 5.0
"""So many seconds after it could not be asked, it is asked again."""


class Opening(msgspec.Struct, frozen=True):
    """A grant, when the service was last asked whether it holds (monotonic seconds), and whether it said so."""

    grant: Grant
    checked_s: float
    holds: bool = True


class Openings:
    """What is open in a session. Every decision asks `now` anew, so nothing outlives its grant.

    Expiry is checked at each decision. Revocation is asked of the service every `RECHECK_S` seconds; while it cannot
    be asked, the tags are masked.
    """

    def __init__(self, approvals: Callable[[], Approvals], recorder: Recorder, display: Display, clock: Clock) -> None:
        self._approvals = approvals
        self._recorder = recorder
        self._display = display
        self._clock = clock
        self._openings: tuple[Opening, ...] = ()

    def add(self, grant: Grant) -> None:
        """Open the tags of a grant; one that opens the same takes the place of an earlier one."""
        others = tuple(o for o in self._openings if o.grant.request != grant.request)
        self._openings = (*others, Opening(grant, self._clock.monotonic()))
        approvers = ", ".join(grant.approved_by)
        left = span((grant.expires_at - self._clock.now()).total_seconds())
        self._display.message("notice", f"{', '.join(grant.tags)} is in clear for {left}, approved by {approvers}")

    def now(self) -> Unmasked:
        """What is open at this moment. Raises `AuditUnavailable` when the end of a grant cannot be recorded."""
        if not self._openings:
            return Unmasked()
        self._openings = tuple(kept for opening in self._openings if (kept := self._review(opening)) is not None)
        pairs = {tag: o.grant.id for o in self._openings if o.holds for tag in o.grant.tags}
        return Unmasked(tuple(sorted(pairs)), tuple(sorted(pairs.items())))

    def listing(self) -> tuple[tuple[str, datetime], ...]:
        """The tags that are open, each with the end of its grant."""
        unmasked = self.now()
        ends = {o.grant.id: o.grant.expires_at for o in self._openings}
        return tuple((tag, ends[grant]) for tag, grant in unmasked.grants)

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
                said = f"{', '.join(grant.tags)} is masked until the approvals service can be asked: {error.message}"
                self._display.message("notice", said, error.hint)
            return Opening(grant, self._clock.monotonic(), holds=False)
        # `redeemed`: this session, or another, took the last use. That takes nothing back.
        if state.status in {"approved", "redeemed"}:
            return Opening(grant, self._clock.monotonic())
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
        self._recorder.record(f"approval.{status}", fields)
        self._display.message("notice", f"{', '.join(grant.tags)} is masked again: {why}", "ask for a new approval")
