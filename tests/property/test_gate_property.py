"""Statements built from a grammar, over tables of which random columns are labelled.

The reference is PostgreSQL itself: the statement as typed, run on copies of the tables in which the labelled columns hold
their masks. What the gate sends has to give the same names and rows, may differ from the typed text only by what stands for
the tables, and never brings out a value of a labelled column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import LiveDatabase

from dbgate.catalog import Catalog
from dbgate.database import connect
from dbgate.gate.decide import Context, judge
from dbgate.gate.lexer import tokens
from dbgate.gate.policy.model import Classify, MaskMethod, Policy, Rule, When
from dbgate.gate.syntax import parse_one, split
from dbgate.model import Access, Allow, Deny, Identity, Rewrite, RuleRef, Target

TABLES = {
    "person": {"id": "int", "name": "text", "code": "text", "pay": "int", "team": "int"},
    "team": {"id": "int", "name": "text", "town": "text", "budget": "int"},
    "note": {"id": "int", "person": "int", "body": "text", "score": "int"},
}
"""`id` is the primary key and never labelled."""

LABELLED: list[frozenset[tuple[str, str]]] = [
    frozenset(),
    frozenset({("person", "code")}),
    frozenset({("person", "pay"), ("team", "name")}),
    frozenset({("note", "body"), ("person", "name"), ("team", "budget")}),
    frozenset({("person", "code"), ("person", "team"), ("note", "score"), ("note", "body")}),
    frozenset((table, column) for table, columns in TABLES.items() for column in columns if column != "id"),
]
"""Which columns are hidden; each has its own schema of masked copies."""


def setup_script() -> str:
    """The tables in `real`, where every cell names its column, and their masked copies in `m0`, `m1`, …"""
    parts = ["CREATE SCHEMA real;"]
    for number, (table, columns) in enumerate(TABLES.items()):
        typed = ", ".join(f"{c} {t}" + (" PRIMARY KEY" if c == "id" else "") for c, t in columns.items())
        cells = []
        for place, (column, kind) in enumerate(columns.items()):
            value = (
                f"'{table}_{column}_' || g % 4" if kind == "text" else f"{(number + 1) * 10000 + place * 1000} + g % 5"
            )
            cells.append("g" if column == "id" else f"CASE WHEN g % 7 <> {place} THEN {value} END")
        parts.append(f"CREATE TABLE real.{table} ({typed});")
        parts.append(f"INSERT INTO real.{table} SELECT {', '.join(cells)} FROM generate_series(1, 9) g;")
    for number, hidden in enumerate(LABELLED):
        parts.append(f"CREATE SCHEMA m{number};")
        for table, columns in TABLES.items():
            cells = [
                c if (table, c) not in hidden else f"'***'::text AS {c}" if t == "text" else f"NULL::int AS {c}"
                for c, t in columns.items()
            ]
            parts.append(f"CREATE TABLE m{number}.{table} AS SELECT {', '.join(cells)} FROM real.{table} ORDER BY id;")
            parts.append(f"ALTER TABLE m{number}.{table} ADD PRIMARY KEY (id);")
    return "\n".join(parts)


@dataclass
class Scope:
    """The columns that can be named (alias, name, type), and the aliases of whole tables."""

    columns: list[tuple[str, str, str]] = field(default_factory=list)
    aliases: list[tuple[str, str]] = field(default_factory=list)


class Grammar:
    """Writes one statement; `draw` chooses."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.made = 0
        self.ctes: list[tuple[str, list[tuple[str, str]]]] = []

    def pick(self, *options: Any) -> Any:
        return options[self.draw(st.integers(0, len(options) - 1))]

    def name(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}{self.made}"

    def source(self, scope: Scope, depth: int) -> str:
        kind = self.pick("table", "table", "table", "only", "query", "values", "cte", "lateral")
        if kind == "cte" and self.ctes:
            name, outputs = self.pick(*self.ctes)
            return self._aliased(name, outputs, scope)
        if kind in {"query", "lateral"} and depth > 0:
            outer = scope if kind == "lateral" else Scope()
            text, outputs = self.query(depth - 1, outer)
            alias = self.name("q")
            scope.columns += [(alias, n, t) for n, t in outputs]
            return f"{'LATERAL ' if kind == 'lateral' else ''}({text}) AS {alias}"
        if kind == "values":
            alias = self.name("v")
            scope.columns += [(alias, "n", "int"), (alias, "w", "text")]
            return f"(VALUES (1, 'a'), (2, '***'), (3, NULL)) AS {alias} (n, w)"
        table = self.pick(*TABLES)
        columns = list(TABLES[table].items())
        if kind == "only":
            return "ONLY " + self._aliased(table, columns, scope)
        return self._aliased(table, columns, scope)

    def _aliased(self, name: str, columns: list[tuple[str, str]], scope: Scope) -> str:
        alias = self.name("t")
        if self.pick(True, False, False, False):
            renamed = [(f"c{i}", t) for i, (_, t) in enumerate(columns)]
            scope.columns += [(alias, n, t) for n, t in renamed]
            return f"{name} AS {alias} ({', '.join(n for n, _ in renamed)})"
        scope.columns += [(alias, n, t) for n, t in columns]
        scope.aliases.append((alias, name))
        return f"{name} {alias}"

    def from_clause(self, scope: Scope, depth: int) -> str:
        inner = Scope()
        text = self.source(inner, depth)
        for _ in range(self.draw(st.integers(0, 2))):
            join = self.pick(",", "JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN")
            before = len(inner.columns)
            right = self.source(inner, depth)
            lateral = right.startswith("LATERAL")
            if join in {",", "CROSS JOIN"} or before == len(inner.columns):
                text += f"{join if join == ',' else ' ' + join} {right}"
                continue
            join = "LEFT JOIN" if lateral and join == "FULL JOIN" else join
            left = [c for c in inner.columns[:before] if c[2] == "int"]
            own = [c for c in inner.columns[before:] if c[2] == "int"]
            if not left or not own or "," in text:
                text += f" CROSS JOIN {right}" if "," not in text else f", {right}"
                continue
            a, b = self.pick(*left), self.pick(*own)
            text += f" {join} {right} ON {a[0]}.{a[1]} = {b[0]}.{b[1]}"
        scope.columns += inner.columns
        scope.aliases += inner.aliases
        return text

    def column(self, scope: Scope, kind: str) -> str:
        found = [c for c in scope.columns if c[2] == kind]
        if not found:
            return "'x'" if kind == "text" else "7"
        alias, name, _ = self.pick(*found)
        if sum(c[1] == name for c in scope.columns) == 1 and self.pick(True, False):
            return str(name)
        return f"{alias}.{name}"

    def text(self, scope: Scope, depth: int) -> str:
        column = self.column(scope, "text")
        if depth <= 0:
            return column
        other = self.text(scope, depth - 1)
        return str(
            self.pick(
                column,
                column,
                f"upper({other})",
                f"coalesce({column}, {other})",
                f"({column} || {other})",
                f"substr({other}, 2, 6)",
                f"CASE WHEN {self.condition(scope, depth - 1)} THEN {column} ELSE {other} END",
                f"{self.column(scope, 'int')}::text",
                f"md5({other})",
                f"(SELECT max({self.column(scope, 'text')}))",
                f"nullif({column}, '***')",
                f"(ARRAY[{column}, {other}])[1]",
                f"to_jsonb({column})::text",
            )
        )

    def number(self, scope: Scope, depth: int) -> str:
        column = self.column(scope, "int")
        if depth <= 0:
            return column
        return str(
            self.pick(
                column,
                f"({column} + 1)",
                f"length({self.text(scope, depth - 1)})",
                f"coalesce({column}, 0)",
                f"greatest({column}, {self.number(scope, depth - 1)})",
                self._scalar(scope, depth),
            )
        )

    def _scalar(self, scope: Scope, depth: int) -> str:
        inner = Scope()
        source = self.from_clause(inner, 0)
        both = Scope(inner.columns + scope.columns)
        return f"(SELECT count(*)::int FROM {source} WHERE {self.condition(both, depth - 1)})"

    def condition(self, scope: Scope, depth: int) -> str:
        text, number = self.text(scope, depth - 1), self.number(scope, depth - 1)
        options = [
            f"{text} LIKE '%e%'",
            f"{text} = {self.text(scope, depth - 1)}",
            f"{number} > 10000",
            f"{number} IS NOT NULL",
            f"{text} IS DISTINCT FROM '***'",
            f"{number} IN (1, 2, 3, 12001)",
        ]
        if depth > 0:
            inner = Scope()
            source = self.from_clause(inner, 0)
            both = Scope(inner.columns + scope.columns)
            options += [
                f"EXISTS (SELECT 1 FROM {source} WHERE {self.condition(both, depth - 1)})",
                f"{text} IN (SELECT {self.column(inner, 'text')} FROM {source})",
                f"NOT ({self.condition(scope, depth - 1)})",
                f"({self.condition(scope, depth - 1)} OR {self.condition(scope, depth - 1)})",
            ]
        return str(self.pick(*options))

    def query(self, depth: int, outer: Scope) -> tuple[str, list[tuple[str, str]]]:
        """A query and its output columns: always an int and a text."""
        kind = self.pick("plain", "plain", "plain", "group", "distinct", "union")
        own = Scope()
        source = self.from_clause(own, depth)
        scope = Scope(own.columns + outer.columns, own.aliases)
        where = f" WHERE {self.condition(scope, depth)}" if self.pick(True, False) else ""
        names = [(self.name("k"), "int"), (self.name("s"), "text")]
        if kind == "group":
            key = self.text(own, 1)
            total = self.pick("count(*)::int", f"max({self.number(own, 0)})", f"min({self.column(own, 'int')})")
            return f"SELECT {total} AS {names[0][0]}, {key} AS {names[1][0]} FROM {source}{where} GROUP BY {key}", names
        head = f"{self.number(scope, depth)} AS {names[0][0]}, {self.text(scope, depth)} AS {names[1][0]}"
        if kind == "distinct":
            return f"SELECT DISTINCT {head} FROM {source}{where}", names
        if kind == "union":
            other = Scope()
            second = self.from_clause(other, 0)
            way = self.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT")
            tail = f"SELECT {self.column(other, 'int')}, {self.column(other, 'text')} FROM {second}"
            return f"SELECT {head} FROM {source}{where} {way} {tail}", names
        return f"SELECT {head} FROM {source}{where}", names

    def statement(self) -> str:
        """A whole query: WITH, a star or whole rows, windows, ORDER BY and LIMIT."""
        prefix = ""
        if self.pick(True, False, False):
            name = self.pick("person", "c1", "c2")
            text, outputs = self.query(1, Scope())
            prefix = f"WITH {name} AS ({text}) "
            self.ctes.append((name, outputs))
            if name in TABLES:  # it hides the table
                return f"{prefix}SELECT x.*, x FROM {name} x"
        kind = self.pick("query", "query", "star", "whole", "window", "key")
        scope = Scope()
        if kind == "query":
            text, _ = self.query(2, Scope())
            return f"{prefix}{text} ORDER BY 1, 2 LIMIT 7" if self.pick(True, False) else prefix + text
        source = self.from_clause(scope, 1)
        where = f" WHERE {self.condition(scope, 1)}" if self.pick(True, False) else ""
        if kind == "star":
            return f"{prefix}SELECT * FROM {source}{where}"
        if kind == "whole" and scope.aliases:
            alias, _ = self.pick(*scope.aliases)
            shown = self.pick(f"{alias}", f"to_jsonb({alias})", f"{alias}::text", f"({alias}).*", f"{alias}.*")
            return f"{prefix}SELECT {shown} FROM {source}{where}"
        if kind == "key":
            return "SELECT p.*, count(*) FROM person p JOIN note n ON n.person = p.id GROUP BY p.id"
        window = f"rank() OVER (PARTITION BY {self.text(scope, 0)} ORDER BY {self.number(scope, 0)})"
        return f"{prefix}SELECT {self.number(scope, 1)}, {window} FROM {source}{where}"

    def write(self) -> str:
        """An UPDATE or DELETE with RETURNING."""
        table = self.pick(*TABLES)
        scope = Scope([(table, n, t) for n, t in TABLES[table].items()])
        returned = self.pick(
            "*", f"{table}.*", self.text(scope, 2), f"{self.number(scope, 1)}, {self.text(scope, 1)} AS x"
        )
        where = f"{table}.id < 5 AND {self.condition(scope, 1)}" if self.pick(True, False) else "id = 3"
        if self.pick(True, False):
            return f"DELETE FROM {table} WHERE {where} RETURNING {returned}"
        column, kind = self.pick(*[i for i in TABLES[table].items() if i[0] != "id"])
        value = self.text(scope, 1) if kind == "text" else self.number(scope, 1)
        return f"UPDATE {table} SET {column} = {value} WHERE {where} RETURNING {returned}"


@st.composite
def statements(draw: Any, *, writing: bool) -> tuple[str, int]:
    """A statement, and the number of the set of labelled columns."""
    grammar = Grammar(draw)
    text = grammar.write() if writing else grammar.statement()
    return text, draw(st.integers(0, len(LABELLED) - 1))


def policy(number: int) -> Policy:
    """The policy that hides the columns of a set, redacted."""
    place = RuleRef("made", "made.yaml", 1)
    globs = tuple(f"real.{table}.{column}" for table, column in sorted(LABELLED[number]))
    return Policy(
        digest=f"made {number}",
        files=("made.yaml",),
        classify=(Classify(globs, "pii.made", place),) if globs else (),
        mask=(("pii.made", MaskMethod("redact")),),
        rules=(Rule(place, When(access=(Access.READ, Access.WRITE)), "allow"),),
    )


POLICIES = [policy(number) for number in range(len(LABELLED))]


@dataclass(frozen=True)
class World:
    """The catalog, and a connection that runs statements as they are."""

    catalog: Catalog
    direct: psycopg.Connection[Any]

    def run(self, text: str, schema: str) -> tuple[list[str], list[str], str]:
        """Names, sorted rows and SQLSTATE of a statement, rolled back."""
        with self.direct.transaction(force_rollback=True):
            self.direct.execute(f"SET LOCAL search_path = {schema}".encode())
            raw = self.direct.pgconn.exec_params(text.encode(), [])
            state = raw.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            rows = [
                repr([bytes(v) if (v := raw.get_value(r, c)) is not None else None for c in range(raw.nfields)])
                for r in range(raw.ntuples)
            ]
            names = [(raw.fname(c) or b"").decode() for c in range(raw.nfields)]
        return names, sorted(rows), (state or b"").decode()


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    module_database.execute(setup_script())
    target = Target("property", "postgres", module_database.dsn)
    opened = connect(target, state_dir=tmp_path_factory.mktemp("state"))
    catalog = opened.catalog()
    opened.close()
    with psycopg.connect(module_database.dsn, autocommit=True) as direct:
        yield World(catalog, direct)


def decided(text: str, number: int, world: World) -> Allow | Rewrite | Deny:
    (source,) = split(text)
    identity = Identity("local:test", "sam", groups=("staff",))
    context = Context(identity, POLICIES[number], world.catalog, "test", datetime.now(UTC), search_path=("real",))
    decision = judge(source, context).decision
    assert isinstance(decision, Allow | Rewrite | Deny)
    return decision


def differs_only_at_tables(typed: str, sent: str) -> bool:
    """Whether the words of the typed text, but for tables, the names they give columns and GROUP BY's additions, stand in
    the sent one in order."""
    typed = re.sub(r"(\bt\d+) \(c\d+(?:, c\d+)*\)", r"\1", typed)
    left = [t.text for t in tokens(typed) if t.text not in TABLES and t.text not in {"ONLY", "*", "."}]
    right = iter(t.text for t in tokens(sent))
    return all(word in right for word in left)


def hidden_words(number: int) -> list[str]:
    """What the cells of hidden columns begin with, as they would come out."""
    words = []
    for order, (table, columns) in enumerate(TABLES.items()):
        for place, (column, kind) in enumerate(columns.items()):
            if (table, column) in LABELLED[number]:
                words.append(f"{table}_{column}_" if kind == "text" else f"'{(order + 1) * 10 + place}00")
    return words


BOUNDED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@given(statements(writing=False))
@BOUNDED
def test_a_query_computes_on_masks_and_nothing_else_changes(world: World, built: tuple[str, int]) -> None:
    text, number = built
    decision = decided(text, number, world)
    assert isinstance(decision, Allow | Rewrite), (text, decision)
    parse_one(decision.text)
    assert differs_only_at_tables(text, decision.text), (text, decision.text)
    seen = world.run(decision.text, "real")
    assert seen == world.run(text, f"m{number}"), (text, decision.text)
    if seen[2] == "":
        assert not [w for w in hidden_words(number) if any(w in row for row in seen[1])]


@given(statements(writing=True))
@BOUNDED
def test_a_write_is_refused_or_returns_masks(world: World, built: tuple[str, int]) -> None:
    text, number = built
    decision = decided(text, number, world)
    if isinstance(decision, Deny):
        assert LABELLED[number], (text, decision)
        return
    seen = world.run(decision.text, "real")
    if not LABELLED[number]:
        assert seen == world.run(text, "m0")
    assert not [w for w in hidden_words(number) if any(w in row for row in seen[1])], (text, decision.text, seen)
