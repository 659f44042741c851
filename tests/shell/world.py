"""A small database and a session on it, in memory, for the tests of the shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dbgate.catalog import Catalog, CatalogColumn, CatalogFunction, CatalogRelation, CatalogType, ForeignKey
from dbgate.doors.formats import Batch
from dbgate.doors.shell import ShellDisplay
from dbgate.errors import DbgateError, Interrupted
from dbgate.gate.syntax import split
from dbgate.model import Allow, Column, Decision, Outcome, TransactionStatus
from dbgate.session.effects import Finished


def column(number: int, name: str, type_name: str = "text", **more: object) -> CatalogColumn:
    return CatalogColumn(number, name, type_name, 25, 25, type_name, "S", **more)  # type: ignore[arg-type]


EMPLOYEES = CatalogRelation(
    100,
    "payroll",
    "employees",
    "r",
    (
        column(1, "id", "integer", not_null=True),
        column(2, "full_name", comment="as on the contract"),
        column(3, "ssn"),
        column(4, "Region"),
        column(5, "initials", generated="s", default='"left"(full_name, 1)'),
    ),
    primary_key=(1,),
    row_estimate=200_000,
    comment="everybody",
    has_triggers=True,
)
PAY = CatalogRelation(
    101, "payroll", "pay", "p", (column(1, "id", "integer"), column(2, "employee_id", "integer"), column(3, "iban"))
)
PAY_2024 = CatalogRelation(102, "payroll", "pay_2024", "r", PAY.columns, parents=(101,))
VIEW = CatalogRelation(
    103, "public", "staff", "v", (column(1, "full_name"),), definition=" SELECT full_name\n   FROM payroll.employees;"
)
SEQUENCE = CatalogRelation(104, "payroll", "employees_id_seq", "S", ())
EVIL = CatalogRelation(105, "public", "evil\x1b[31m", "r", (column(1, "bad\u202ename"),), comment="\x1b]0;x\x07")

CATALOG = Catalog(
    database="payroll",
    role="payroll_app",
    server_version=180000,
    search_path=("public", "payroll"),
    fingerprint="one",
    schemas=("payroll", "public", "audit"),
    relations=(
        EMPLOYEES,
        PAY,
        PAY_2024,
        VIEW,
        SEQUENCE,
        EVIL,
        CatalogRelation(106, "audit", "log", "r", (column(1, "at"),)),
    ),
    foreign_keys=(ForeignKey("pay_employee_id_fkey", 101, (2,), 100, (1,), "c", "a"),),
    functions=(
        CatalogFunction(200, "public", "fiscal_year", "date", returns="integer"),
        CatalogFunction(201, "payroll", "raise_all", "numeric", kind="p", language="plpgsql", security_definer=True),
        CatalogFunction(202, "public", "citext_eq", "citext, citext", extension="citext"),
    ),
    types=(CatalogType(300, "public", "colour", "e"), CatalogType(301, "payroll", "Money", "d")),
    extensions=("citext", "plpgsql"),
    system={"pg_catalog.pg_class": ("oid", "relname"), "information_schema.tables": ("table_name",)},
)


class MemoryRows:
    """A result in memory."""

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Batch,
        status: str = "",
        *,
        batch: int = 100,
        error: DbgateError | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self._rows = rows
        self._batch = batch
        self._error = error
        self.status = status or f"SELECT {len(rows)}"
        self.affected = len(rows)
        self.is_closed = False

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self._rows), self._batch):
            if self.is_closed:
                return
            yield list(self._rows[start : start + self._batch])
        if self._error:
            raise self._error

    def close(self) -> None:
        self.is_closed = True


@dataclass
class MemoryDriver:
    """A session in memory. `answers` says what a statement (by its text) gives: rows, or what to do."""

    display: ShellDisplay
    answers: dict[str, MemoryRows | Callable[[MemoryDriver], Finished | None]] = field(default_factory=dict)
    masked: tuple[int, ...] = ()
    closed: str = ""
    session: str = "01TESTSESSION"
    transaction: TransactionStatus = TransactionStatus.IDLE
    search_path: tuple[str, ...] = CATALOG.search_path
    last_decision: Decision | None = None
    executed: list[str] = field(default_factory=list)
    recorded: list[tuple[str, bool]] = field(default_factory=list)
    cancelled: int = 0
    is_late: Callable[[], str] = str
    the_catalog: Catalog = CATALOG
    wishes: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    on_unmask: Callable[[MemoryDriver], Finished] = lambda driver: Finished(0, 0, "approve")

    @property
    def catalog(self) -> Catalog:
        return self.the_catalog

    def execute(self, script: str, values: Mapping[str, str | None] | None = None) -> Iterator[Finished]:
        if script.strip(" ;\n") in self.answers:
            texts = [script.strip(" ;\n")]
        else:
            try:
                texts = [source.text for source in split(script, values)]
            except DbgateError as error:
                self.display.message("error", error.message, error.hint)
                yield Finished(1, 1, "error")
                return
        for text in texts:
            self.executed.append(text)
            yield self._one(text)

    def _one(self, text: str) -> Finished:
        answer = self.answers.get(text, MemoryRows((), [], text.split()[0].upper()))
        number = len(self.executed)
        self.last_decision = Allow(text)
        try:
            if not isinstance(answer, MemoryRows):
                return answer(self) or Finished(number, 0, "allow")
            outcome: Outcome = self.display.result(answer, statement_id=number, masked=self.masked)
        except DbgateError as error:
            self.display.message("error", error.message, error.hint)
            return Finished(number, error.exit_code, "error")
        finally:
            self.recorded.append(self.display.output())
        word = text.split()[0].lower()
        states = {"begin": TransactionStatus.OPEN, "commit": TransactionStatus.IDLE, "rollback": TransactionStatus.IDLE}
        self.transaction = states.get(word, self.transaction)
        return Finished(number, 0, "allow", {"status": outcome.status, "rows": outcome.rows})

    def unmask(self, tags: Sequence[str], reason: str = "") -> Iterator[Finished]:
        self.wishes.append((tuple(tags), reason))
        yield self.on_unmask(self)

    def overdue(self) -> str:
        return self.is_late()

    def cancel(self) -> None:
        self.cancelled += 1
        raise Interrupted("cancelled")
