"""What an answer of the gated session is worth beside PostgreSQL's own: the verdict on one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tools.regress.outcomes import Verdict
from tools.regress.seen import HIDDEN, Seen, difference, same_types
from tools.regress.sessions import Direct, Gated
from tools.regress.trees import cursor_of, is_ordered, reads_system_column, writes
from tools.regress.twin import NotChecked, Twin, behind

from dbgate.catalog import CatalogRelation
from dbgate.gate.allow.system import is_system, system_verdict
from dbgate.gate.names import kind_of, literal, qualified
from dbgate.gate.protection import Protection, Unmasked, protection_for
from dbgate.model import Decision, Deny, Rewrite, Tree

Told = tuple[Verdict, str]
"""A verdict, and why."""


class Checks:
    """Judges answers, asking the direct session and the twin where that is needed."""

    def __init__(self, direct: Direct, gated: Gated, twin: Twin) -> None:
        self._direct, self._gated, self._twin = direct, gated, twin

    def verdict(self, tree: Tree, text: str, direct: Seen, gated: Seen) -> Told:
        """The verdict on a statement that ran on both, but not yet on the twin, as `text`."""
        decision = self._gated.last_judgement.decision if self._gated.last_judgement else None
        denied = self._gated.shown.denied
        if denied:
            return Verdict.REFUSED, decision.reason if isinstance(decision, Deny) else denied
        found = difference(direct, gated, ordered=is_ordered(tree))
        if not found:
            return Verdict.IDENTICAL, ""
        verdict, found = self._rewritten(tree, text, direct, gated, decision, found)
        if verdict is not Verdict.DIFFERENT:
            return verdict, found
        if self._gated.rewrote_cursor(cursor_of(tree)):
            return Verdict.UNCHECKED, f"{found}; the cursor is on masked rows"
        if self._gated.rewrote_prepared(text):
            return Verdict.UNCHECKED, f"{found}; a function runs a prepared statement with masks"
        for view in self._views():
            if broken := self._contradiction(view):
                return Verdict.BROKEN, f"{found}; {broken}"
        return Verdict.DIFFERENT, found

    def _rewritten(
        self, tree: Tree, text: str, direct: Seen, gated: Seen, decision: Decision | None, found: str
    ) -> Told:
        """The verdict on another answer, by what the gate did to the statement."""
        kind = kind_of(tree)[0]
        rewritten = isinstance(decision, Rewrite)
        if rewritten and kind == "ExplainStmt" and direct.names == gated.names and not gated.failed:
            return Verdict.PLAN, ""
        if rewritten and direct.sqlstate == "42501" and not gated.failed:
            return Verdict.UNCHECKED, f"{found}; a mask needs no right to its column"
        guarded = self._reads_guarded()
        if _same_but(direct, gated, lambda _, cell: cell == HIDDEN or (guarded and cell is None)):
            return Verdict.COLUMNS, ""
        if not guarded and not isinstance(decision, Rewrite):
            return Verdict.DIFFERENT, found
        if kind in {"SelectStmt", "ExecuteStmt", "CopyStmt"} and not guarded:
            try:
                if writes(tree):
                    raise NotChecked("it returns what it writes")
                if reads_system_column(tree):
                    raise NotChecked("the place of a row is another in each database")
                return self._beside_twin(tree, text, gated)
            except NotChecked as why:
                found = f"{found}; no twin: {why}"
        if (
            isinstance(decision, Rewrite)
            and decision.output
            and _same_but(direct, gated, lambda column, _: column in decision.output)
        ):
            return Verdict.COLUMNS, ""
        if not gated.failed and direct.names == gated.names and same_types(direct.types, gated.types):
            return Verdict.UNCHECKED, found
        return Verdict.DIFFERENT, found

    def _beside_twin(self, tree: Tree, text: str, gated: Seen) -> Told:
        """Whether an answer with masks is the one that masks should give. Raises `NotChecked`."""
        wanted = self._masked_twin(text)
        wanted.transaction = gated.transaction
        found = difference(wanted, gated)
        if not found:
            return Verdict.MASKED, ""
        for turned in (False, True):
            again = self._masked_twin(text, turned=turned)
            again.transaction = gated.transaction
            if difference(wanted, again, ordered=is_ordered(tree)):
                return Verdict.UNSTABLE, found
        return Verdict.DIFFERENT, f"with masks: {found}"

    def _masked_twin(self, text: str, *, turned: bool = False) -> Seen:
        protection = self._protection()
        return self._twin.masked(text, behind(self._touched(), protection), protection, turned=turned)

    def _touched(self) -> list[int]:
        judgement = self._gated.last_judgement
        if judgement is None:
            raise NotChecked("no judgement")
        return [touch.relation.oid for touch in judgement.statement.touches if touch.relation]

    def _protection(self) -> Protection:
        gated = self._gated
        return protection_for(gated.catalog, gated.policy, gated.identity, Unmasked())

    def _reads_guarded(self) -> bool:
        """Whether the latest statement reads a system relation of which dbgate hides columns."""
        judgement = self._gated.last_judgement
        names = (
            [(t.relation.schema, t.relation.name) for t in judgement.statement.touches if t.relation]
            if judgement
            else []
        )
        return any(is_system(*name) and system_verdict(*name).special == "masked" for name in names)

    def _views(self) -> Iterator[CatalogRelation]:
        """The views that the latest statement reads."""
        if self._gated.last_judgement is not None:
            relations = self._protection().schema.by_oid
            for oid in self._touched():
                if oid in relations and relations[oid].kind == "v":
                    yield relations[oid]

    def _contradiction(self, view: CatalogRelation) -> str:
        """How PostgreSQL itself contradicts the definition that it prints of a view; empty when it does not.

        So after a script has written to the catalog by hand: nobody can know what such a view means. The twin is asked:
        the direct session may be in a transaction that the statement has just ended by its error.
        """
        name = qualified(view.schema, view.name)
        printed = self._twin.probe(f"SELECT pg_catalog.pg_get_viewdef({literal(name)}::regclass)")
        if not printed.rows:
            return ""
        own = self._twin.probe(f"SELECT * FROM {name}")
        again = self._twin.probe(f"SELECT * FROM ({(printed.rows[0][0] or '').rstrip(';')}) AS v")
        wrong = next((s for s in (own, again) if s.sqlstate.startswith("42") and s.sqlstate != "42501"), None)
        return f"PostgreSQL's own printed definition of {view.name} is not the view: {wrong.message}" if wrong else ""


def _same_but(direct: Seen, gated: Seen, hidden: Callable[[int, str | None], bool]) -> bool:
    """Whether the answers differ in nothing but cells, rows in order, that are hidden: by their column and content."""
    if direct.failed or gated.failed or direct.names != gated.names or not same_types(direct.types, gated.types):
        return False
    if len(direct.rows) != len(gated.rows) or direct.transaction != gated.transaction or direct.rows == gated.rows:
        return False
    if direct.status != gated.status:
        return False
    return all(
        a == b or hidden(i, b)
        for one, other in zip(direct.rows, gated.rows, strict=True)
        for i, (a, b) in enumerate(zip(one, other, strict=True))
    )
