"""Random statements over random databases, against the databases' masked edition and against their twin.

What the gate sends has to answer on edition `a` as the typed statement answers on `m`, whose hidden cells are masks and whose
hidden rows are gone; it has to answer on `b`, which differs only in what is hidden, as on `a`; it may differ from the typed
text only at its splices; and nothing that is hidden may stand in what comes out, in any encoding.

`DBGATE_FUZZ=5000` tries that many statements of each kind, on databases that nobody has tried before (`make fuzz`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from tests.conftest import LiveServer, fresh_database
from tests.property.cells import leaked, script
from tests.property.made import EDITIONS, Made, Table, make
from tests.property.queries import Writes

from dbgate.catalog import Catalog
from dbgate.database import connect
from dbgate.gate.decide import Context, judge
from dbgate.gate.names import quote
from dbgate.gate.syntax import parse_one, split
from dbgate.model import Allow, Decision, Deny, Identity, Rewrite, Target

FUZZ = int(os.environ.get("DBGATE_FUZZ", "0"))
FIRST = int(time.time()) % 1_000_000 * 100 if FUZZ else 0
MADE = [make(FIRST + number) for number in range(40 if FUZZ else 12)]
_SAID = (psycopg.pq.DiagnosticField.MESSAGE_PRIMARY, psycopg.pq.DiagnosticField.MESSAGE_DETAIL)
STAFF = Identity("local:test", "sam", groups=("staff",))


@dataclass(frozen=True)
class Answer:
    """What a statement brings out: names, rows in any order, SQLSTATE, and what a write left where it may be seen."""

    names: list[str]
    rows: list[str]
    state: str
    left: list[str]


@dataclass(frozen=True)
class Editions:
    """Connections to the three editions, and the catalog of `a`."""

    catalog: Catalog
    direct: dict[str, psycopg.Connection[Any]]

    def run(self, text: str, edition: str, made: Made, look: tuple[Table, ...] = ()) -> tuple[Answer, str]:
        """The answer to a statement, rolled back, and the message of its error."""
        connection = self.direct[edition]
        with connection.transaction(force_rollback=True):
            connection.execute(f"SET LOCAL search_path = {quote(made.schemas[0])}".encode())
            raw = connection.pgconn.exec_params(text.encode(), [])
            state = (raw.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
            rows = [
                repr([bytes(v) if (v := raw.get_value(r, c)) is not None else None for c in range(raw.nfields)])
                for r in range(raw.ntuples)
            ]
            names = [(raw.fname(c) or b"").decode() for c in range(raw.nfields)]
            left = [] if state else [repr(self._rest(connection, table)) for table in look]
            said = [raw.error_field(part) or b"" for part in _SAID]
        return Answer(names, sorted(rows), state, left), b" ".join(said).decode()

    def _rest(self, connection: psycopg.Connection[Any], table: Table) -> list[Any]:
        columns = ", ".join(f"{quote(c.name)}::text" for c in table.columns if not c.hidden)
        where = f" WHERE {table.where}" if table.where else ""
        return connection.execute(f"SELECT {columns} FROM {table.full}{where} ORDER BY id".encode()).fetchall()


@pytest.fixture(scope="module")
def editions(postgres_server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editions]:
    with ExitStack() as stack:
        databases = {edition: stack.enter_context(fresh_database(postgres_server)) for edition in EDITIONS}
        direct = {}
        for edition, database in databases.items():
            for made in MADE:
                database.execute(script(made, edition))
            direct[edition] = stack.enter_context(psycopg.connect(database.dsn, autocommit=True))
            direct[edition].execute(b"SET dbgate.key = 'of this test'")
        opened = connect(Target("made", "postgres", databases["a"].dsn), state_dir=tmp_path_factory.mktemp("state"))
        catalog = opened.catalog()
        opened.close()
        yield Editions(catalog, direct)


def decided(text: str, made: Made, editions: Editions) -> Decision:
    (source,) = split(text)
    now = datetime.now(UTC)
    return judge(
        source, Context(STAFF, made.policy, editions.catalog, "test", now, search_path=made.schemas[:1])
    ).decision


def differs_only_at_splices(typed: str, decision: Allow | Rewrite) -> bool:
    """Whether the sent text is the typed one but for its edits, and no edit takes a clause away."""
    at = there = 0
    for start, end, length in decision.edits:
        if typed[at:start] != decision.text[there : there + start - at]:
            return False
        if re.search(r"\b(WHERE|SELECT|JOIN|LIMIT|UNION|SET|ON)\b", typed[start:end]):
            return False
        there += start - at + length
        at = end
    return typed[at:] == decision.text[there:]


@st.composite
def statements(draw: Any, *, writing: bool) -> tuple[str, Made, Table | None]:
    """A statement, the database that it is for, and the table that it changes."""

    def pick(*options: Any) -> Any:
        return options[draw(st.integers(0, len(options) - 1))]

    made: Made = pick(*MADE)
    grammar = Writes(made, pick)
    return _built(grammar, made, writing=writing)


def _built(grammar: Writes, made: Made, *, writing: bool) -> tuple[str, Made, Table | None]:
    if writing:
        text, table = grammar.write()
        return text, made, table
    return grammar.statement(), made, None


AMBIGUOUS = "42702"
"""PostgreSQL refuses a bare name in RETURNING that a source of the write has too; masks stand there for the changed table's."""


def comparable(answer: Answer, table: Table) -> tuple[object, ...]:
    """An answer but for what RETURNING shows where it may hold what was written, which is masked as well."""
    hidden = any(column.hidden for column in table.columns)
    return answer.names, len(answer.rows) if hidden else answer.rows, answer.state, answer.left


BOUNDED: Callable[[Any], Any] = settings(
    max_examples=FUZZ or 150,
    deadline=None,
    derandomize=not FUZZ,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@given(statements(writing=False))
@BOUNDED
def test_a_query_answers_from_masks(editions: Editions, built: tuple[str, Made, Table | None]) -> None:
    text, made, _ = built
    note(f"{made.number}: {text}")
    decision = decided(text, made, editions)
    assert isinstance(decision, Allow | Rewrite), decision
    note(decision.text)
    parse_one(decision.text)
    assert differs_only_at_splices(text, decision)
    seen, message = editions.run(decision.text, "a", made)
    assert not leaked(*seen.rows, *seen.names, message)
    if not made.keyed:
        assert seen == editions.run(text, "m", made)[0]
        assert (seen, message) == editions.run(decision.text, "b", made)


@given(statements(writing=True))
@BOUNDED
def test_a_write_is_refused_or_reads_and_returns_masks(
    editions: Editions, built: tuple[str, Made, Table | None]
) -> None:
    text, made, table = built
    note(f"{made.number}: {text}")
    assert table is not None
    decision = decided(text, made, editions)
    if isinstance(decision, Deny):
        assert made.hides, decision
        return
    assert isinstance(decision, Allow | Rewrite)
    note(decision.text)
    parse_one(decision.text)
    assert differs_only_at_splices(text, decision)
    seen, message = editions.run(decision.text, "a", made, (table,))
    assert not leaked(*seen.rows, *seen.names, message if not seen.state.startswith("23") else "", *seen.left)
    if not made.keyed:
        assert seen == editions.run(decision.text, "b", made, (table,))[0]
        if not table.where or not text.startswith(("INSERT", "MERGE", "WITH")):
            plain, _ = editions.run(text, "m", made, (table,))
            assert plain.state == AMBIGUOUS or comparable(seen, table) == comparable(plain, table)
