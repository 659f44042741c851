"""What a session has to remember between statements: catalog, search path, prepared names and cursors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dbgate.catalog import Catalog
from dbgate.gate.approving import Held
from dbgate.model import Access, Allow, NeedsApproval, Rewrite, TransactionStatus
from dbgate.session.ports import Clock, Database

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.tracking import Changes, SessionObjects

CATALOG_AGE_S = 30.0
"""After this many seconds the catalog is compared with the database again before a statement is judged."""

_EFFECTIVE_PATH = "SELECT unnest(pg_catalog.current_schemas(false))::pg_catalog.text"
_DEAF = frozenset({TransactionStatus.FAILED, TransactionStatus.UNKNOWN})
"""Where the server answers no question."""


class SessionState:
    """Follows what statements change in the session, as far as the gate has to know it.

    Nothing is asked of the server before the next statement needs the answer. Every method may raise the errors of
    `Database`.
    """

    def __init__(self, database: Database, clock: Clock, objects: SessionObjects) -> None:
        self._database = database
        self._clock = clock
        self._checked = clock.monotonic()
        self._catalog_stale = False
        self._catalog_changed_here = False
        self._path: tuple[str, ...] | None = None
        self._path_stale = False
        self._path_changed_here = False
        self.compared = False
        """Whether the catalog was compared when it was last asked for."""
        self.objects = objects
        self.held: tuple[Held, ...] = ()
        """What the open transaction has changed so far, statement by statement."""

    @property
    def search_path(self) -> tuple[str, ...]:
        """The effective search path: of the schemas that were set, those that exist and that the role may use, as of
        the catalog that was last compared. Ask for that first."""
        if self._path_stale and self._database.transaction not in _DEAF:
            rows = self._database.run(_EFFECTIVE_PATH)
            self._path = tuple(row[0] or "" for batch in rows.batches() for row in batch)
            self._path_stale = False
        return self._database.catalog().search_path if self._path is None else self._path

    def catalog(self) -> Catalog:
        """The catalog, compared with the database when it is old or known to have changed."""
        self.compared = self._catalog_stale or self._clock.monotonic() - self._checked > CATALOG_AGE_S
        if self.compared:
            self.refresh()
        return self._database.catalog()

    def refresh(self) -> bool:
        """Read the catalog again if it changed; return whether it had. In a failed transaction that has to wait."""
        if self._database.transaction in _DEAF:
            self._catalog_stale = True
            return False
        before = self._database.catalog().fingerprint
        after = self._database.catalog(refresh=True).fingerprint
        self._catalog_stale = False
        self._checked = self._clock.monotonic()
        self._path_stale = self._path_stale or before != after
        return before != after

    def keep(self, judgement: Judgement, changed: Mapping[str, int]) -> None:
        """Remember what the open transaction did: a statement that succeeded, and the rows that it `changed`, by table."""
        if judgement.changes.end_transaction or self._database.transaction is TransactionStatus.IDLE:
            self.held = ()
            return
        decision, statement = judgement.decision, judgement.statement
        run = decision.run if isinstance(decision, NeedsApproval) else decision
        rules = run.held if isinstance(run, Allow | Rewrite) else ()
        if rules or statement.access.strength >= Access.WRITE.strength:
            self.held = (*self.held, Held(statement.text, statement.parameters, rules, changed))

    def adopt(self, changes: Changes) -> None:
        """Follow a statement that succeeded."""
        self.objects = changes.apply(self.objects)
        if changes.catalog and changes.search_path:
            self._taken_back(ended=changes.end_transaction)
        elif changes.catalog:
            self._catalog_stale = self._catalog_changed_here = True
            self._path_stale = self._path_changed_here = True
        elif changes.search_path:
            self._path_stale = self._path_changed_here = True

    def failed(self, changes: Changes) -> None:
        """Follow a statement that failed: a COMMIT that does ends the transaction like a ROLLBACK.

        What a procedure has committed stays, and some definitions leave something behind.
        """
        if changes.end_transaction:
            self.held = ()
            self._taken_back(ended=True)
        elif changes.catalog and not changes.search_path:
            self._catalog_stale = self._path_stale = True

    def take_back(self) -> None:
        """Roll the open transaction back, and forget what it did."""
        if self._database.transaction is not TransactionStatus.IDLE:
            self._database.execute_unrecorded("ROLLBACK")
        self.held = ()
        self._taken_back(ended=True)

    def _taken_back(self, *, ended: bool) -> None:
        """A transaction ended or went back to a savepoint: what was changed in it may be undone."""
        self._path_stale = self._path_stale or self._path_changed_here
        self._catalog_stale = self._catalog_stale or self._catalog_changed_here
        if ended:
            self._path_changed_here = self._catalog_changed_here = False
