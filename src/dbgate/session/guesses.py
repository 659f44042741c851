"""Guesses at hidden values: a write whose constraint tells, by an error, whether somebody else has the value already.

One bit for each; nothing but leaving constraints out could hide it. Each is flagged on record, and a session has few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from dbgate.model import Allow, Deny, NeedsApproval, Outcome, Rewrite
from dbgate.session.effects import Exceeded, Failed

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement

MAX_GUESSES = 20
"""So many writes of one session may fail on constraints over hidden columns."""
_CONSTRAINTS = frozenset({"23505", "23503", "23P01"})
"""SQLSTATEs of unique, foreign-key and exclusion constraints (PostgreSQL manual, appendix A)."""
_NOTHING = "INSERT 0 0"


def tells(judgement: Judgement, outcome: Outcome) -> bool:
    """Whether the outcome of a write tells about values of columns that its identity sees only masked."""
    return bool(judgement.guesses) and (outcome.sqlstate in _CONSTRAINTS or outcome.status == _NOTHING)


class Guesses:
    """The guesses of one session."""

    def __init__(self) -> None:
        self.made = 0

    def note(self, judgement: Judgement | None, ended: Outcome | Failed | Exceeded) -> None:
        """Count what a statement told."""
        outcome = ended.outcome if isinstance(ended, Failed) else ended
        if judgement is not None and isinstance(outcome, Outcome) and tells(judgement, outcome):
            self.made += 1

    def bounded(self, judgement: Judgement) -> Judgement:
        """The judgement; a denial where it would be one guess too many."""
        may_run = isinstance(judgement.decision, Allow | Rewrite | NeedsApproval)
        if self.made < MAX_GUESSES or not judgement.guesses or not may_run:
            return judgement
        reason = f"{self.made} writes of this session failed on constraints over {', '.join(judgement.guesses)}"
        return replace(judgement, decision=Deny(reason, hint="what they tell is on record; ask for unmasked access"))
