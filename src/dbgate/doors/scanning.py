"""The door of `dbgate policy scan`: samples a database through a session and has the samples weighed.

Every statement is judged, recorded and run like a person's: a scan sees what its person may see, and nothing else.
What it reads stays in memory until it is weighed, and only findings come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from dbgate.catalog import CatalogColumn, CatalogRelation
from dbgate.doors.sampling import SampleDisplay
from dbgate.errors import EXIT_INTERRUPTED, EXIT_OK, DbgateError
from dbgate.gate.protection import Protection, Unmasked, protection_for
from dbgate.scan import sampling
from dbgate.scan.coverage import Proposal, labels_with, proposal_for, tags_of, without_followers
from dbgate.scan.report import Report, Unsampled
from dbgate.scan.subject import Finding, Sample
from dbgate.scan.weighing import weigh
from dbgate.session.driver import SessionDriver

STATEMENT_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 1.0


class Wanted(msgspec.Struct, frozen=True):
    """What to scan: globs over schemas and tables, how many rows of each, from which confidence on findings count."""

    schema: str = "*"
    table: str = "*"
    rows: int = 200
    foreign: bool = False
    least: float = 0.5


class Scanner:
    """One scan over an open session. `progress` is told the relation that is looked at, and how many of how many."""

    def __init__(
        self,
        driver: SessionDriver,
        display: SampleDisplay,
        wanted: Wanted,
        progress: Callable[[str, int, int], None] = lambda name, number, count: None,
    ) -> None:
        self._driver = driver
        self._display = display
        self._wanted = wanted
        self._progress = progress
        self._columns = self._sampled = self._tables = 0
        self._unsampled: list[Unsampled] = []
        self.exit_code = EXIT_OK
        """Why the scan ended early: interrupted, or what ended the session."""

    def scan(self) -> Report:
        """Look at everything that is wanted. What ends the session ends the scan; what was found till then is told."""
        self._prepare()
        protection = protection_for(self._driver.catalog, self._driver.policy, self._driver.identity, Unmasked())
        schema = protection.schema
        relations = [
            relation
            for relation in schema.catalog.relations
            if sampling.is_wanted(relation, self._wanted.schema, self._wanted.table)
        ]
        stored = [relation for relation in relations if relation.kind in "rpf"]
        views = [relation for relation in relations if relation.kind in "vm"]
        proposals: list[Proposal] = []
        for number, relation in enumerate(stored, 1):
            self._progress(f"{relation.schema}.{relation.name}", number, len(relations))
            found = self._relation(relation, sampling.own_columns(relation, schema), protection)
            proposals += [proposal_for(finding, protection.tags, schema) for finding in found]
        proposals = without_followers(proposals, schema)
        labels = labels_with(self._driver.policy, schema, proposals) if views else protection.tags
        for number, relation in enumerate(views, len(stored) + 1):
            self._progress(f"{relation.schema}.{relation.name}", number, len(relations))
            columns = [
                c for c in relation.columns if not tags_of(labels, schema, sampling.subject_of(relation, c).column)
            ]
            found = self._relation(relation, columns, protection)
            proposals += [proposal_for(finding, protection.tags, schema) for finding in found]
        return self._report([_masked(p, protection) for p in proposals])

    def _report(self, proposals: Iterable[Proposal]) -> Report:
        ranked = sorted(proposals, key=lambda p: (-p.finding.confidence, p.finding.column))
        return Report(
            self._driver.target.name,
            self._tables,
            self._columns,
            self._sampled,
            tuple(ranked),
            tuple(self._unsampled),
            interrupted=self.exit_code != EXIT_OK,
        )

    def _prepare(self) -> None:
        """Make the session read-only and impatient; timeouts are only ever lowered. Raises `DbgateError`."""
        limits = self._driver.policy.limits
        settings = ["SET default_transaction_read_only = on"]
        for name, seconds, limit in (
            ("statement_timeout", STATEMENT_TIMEOUT_S, limits.statement_timeout_s),
            ("lock_timeout", LOCK_TIMEOUT_S, limits.lock_timeout_s),
        ):
            if limit is None or limit > seconds:
                settings.append(f"SET {name} = '{seconds:g}s'")
        for text in settings:
            if self._run(text) is None:
                said = [(text, hint) for level, text, hint in self._display.take_messages() if level != "notice"]
                why, hint = said[-1] if said else ("interrupted", "")
                raise DbgateError(f"the scan cannot begin: {why}", hint=hint)

    def _run(self, text: str) -> list[tuple[str | None, ...]] | None:
        """Run a statement through the session and return its rows; None when it did not run to its end."""
        if self.exit_code != EXIT_OK:
            return None
        for finished in self._driver.execute(text):
            if self._driver.closed or finished.exit_code == EXIT_INTERRUPTED:
                self.exit_code = finished.exit_code or EXIT_INTERRUPTED
            if finished.exit_code != EXIT_OK:
                return None
        return self._display.take()[0]

    def _relation(
        self, relation: CatalogRelation, columns: Sequence[CatalogColumn], protection: Protection
    ) -> list[Finding]:
        if self.exit_code != EXIT_OK or not columns:
            return []
        self._tables += 1
        self._columns += len(columns)
        hidden = protection.hidden_columns(relation)
        visible = [column for column in columns if column.name not in hidden]
        samples = self._samples(relation, visible, protection)
        found: list[Finding] = []
        for column in columns:
            findings = self._weigh(relation, column, samples.get(column.name, Sample()))
            found += [finding for finding in findings if finding.confidence >= self._wanted.least]
        return found

    def _weigh(self, relation: CatalogRelation, column: CatalogColumn, sample: Sample) -> list[Finding]:
        """Weigh a column. Whatever goes wrong may quote a value, so that only its kind is told."""
        subject = sampling.subject_of(relation, column)
        try:
            return weigh(subject, sample)
        except Exception as error:  # noqa: BLE001
            self._unsampled.append(
                Unsampled(str(subject.column), f"its values could not be weighed ({type(error).__name__})")
            )
        return weigh(subject, Sample())

    def _samples(
        self, relation: CatalogRelation, columns: Sequence[CatalogColumn], protection: Protection
    ) -> dict[str, Sample]:
        """The samples of columns, by name; what cannot be sampled is told once."""
        why = "" if relation.readable else "the role may not read it"
        if relation.kind == "f" and not self._wanted.foreign:
            why = "a foreign table; --foreign samples it"
        if why:
            self._unsampled.append(Unsampled(f"{relation.schema}.{relation.name}", why))
            return {}
        estimate = sampling.estimated_rows(relation, protection.schema)
        values: dict[str, list[str]] = {}
        for query in sampling.sample_queries(relation, columns, rows=self._wanted.rows, estimate=estimate):
            one = f".{query.columns[0].name}" if len(query.columns) == 1 and len(columns) > 1 else ""
            name = f"{relation.schema}.{relation.name}{one}"
            rows = self._asked(name, query.text)
            if rows is None:
                continue
            if not rows and "TABLESAMPLE" in query.text:
                whole = query.text.partition(" TABLESAMPLE")[0]
                rows = self._asked(name, f"{whole} LIMIT {self._wanted.rows}") or []
            for column, cells in zip(query.columns, zip(*rows, strict=True), strict=False):
                values[column.name] = [cell for cell in cells if cell is not None]
            if len(rows) >= self._wanted.rows:
                self._fill(relation, query.columns, values)
        self._sampled += sum(bool(found) for found in values.values())
        return {name: Sample(found) for name, found in values.items()}

    def _fill(self, relation: CatalogRelation, columns: Sequence[CatalogColumn], values: dict[str, list[str]]) -> None:
        """Ask for values of columns that are mostly NULL."""
        for column in columns:
            if len(values.get(column.name, ())) < sampling.SPARSE and self.exit_code == EXIT_OK:
                rows = self._run(sampling.sparse_query(relation, column, rows=self._wanted.rows).text)
                if rows is None:
                    break  # looking for values takes too long here
                if rows:
                    values[column.name] = [row[0] for row in rows if row[0] is not None]
        self._display.take_messages()

    def _asked(self, name: str, text: str) -> list[tuple[str | None, ...]] | None:
        rows = self._run(text)
        messages = self._display.take_messages()
        if rows is None:
            said = [text for level, text, _ in messages if level != "notice"]
            reason = said[-1].splitlines()[0] if said else "interrupted"
            self._unsampled.append(Unsampled(name, reason))
        return rows


def _masked(proposal: Proposal, protection: Protection) -> Proposal:
    """The proposal with the mask that its tag has in the policy."""
    tag = proposal.carries[0] if proposal.carries else proposal.finding.tag
    return msgspec.structs.replace(proposal, mask=protection.method(tag).method)
