"""A grammar of queries and writes over a random database. `pick` chooses one of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.property.cells import parts_of
from tests.property.made import Made, Table

from dbgate.gate.names import quote

Pick = Callable[..., Any]


@dataclass
class Scope:
    """The columns that can be named (reference, name, kind), and the aliases of whole rows."""

    columns: list[tuple[str, str, str]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    def of(self, *kinds: str) -> list[str]:
        """References to columns of these kinds."""
        return [ref for ref, _, kind in self.columns if kind in kinds]

    def __add__(self, other: Scope) -> Scope:
        return Scope(self.columns + other.columns, self.rows + other.rows)


class Late:
    """A piece of text that is made each time it is used, and only then."""

    def __init__(self, make: Callable[[], str]) -> None:
        self.make = make

    def __str__(self) -> str:
        return self.make()


def _written(option: Any) -> str:
    return option() if callable(option) else str(option)


class Sources:
    """FROM clauses."""

    def __init__(self, made: Made, pick: Pick) -> None:
        self.made = made
        self.pick = pick
        self.count = 0
        self.ctes: list[tuple[str, list[tuple[str, str]]]] = []

    def name(self, prefix: str) -> str:
        """A new name."""
        self.count += 1
        return f"{prefix}{self.count}"

    def relation(self) -> Table:
        """A table, a part of one, or a view."""
        table: Table = self.pick(*self.made.tables, *self.made.tables, *self.made.views)
        return self.pick(table, table, table, *parts_of(table))  # type: ignore[no-any-return]

    def written(self, table: Table) -> str:
        """A relation's name, qualified where the search path would not find it."""
        if table.schema == self.made.schemas[0] and self.pick(True, False):
            return quote(table.name)
        return table.full

    def source(self, scope: Scope, depth: int) -> str:
        """One item of FROM; its columns are added to the scope."""
        kind = self.pick("table", "table", "table", "table", "query", "values", "cte", "lateral", "function", "json")
        alias = self.name("s")
        if kind == "cte" and self.ctes:
            name, outputs = self.pick(*self.ctes)
            scope.columns += [(f"{alias}.{n}", n, k) for n, k in outputs]
            scope.rows.append(alias)
            return f"{name} AS {alias}"
        if kind in {"query", "lateral"} and depth > 0:
            text, outputs = self.query(depth - 1, scope if kind == "lateral" else Scope())
            scope.columns += [(f"{alias}.{n}", n, k) for n, k in outputs]
            scope.rows.append(alias)
            return f"{'LATERAL ' if kind == 'lateral' else ''}({text}) AS {alias}"
        if kind == "values":
            scope.columns += [(f"{alias}.n", "n", "int"), (f"{alias}.w", "w", "text")]
            return f"(VALUES (1, 'a'), (2, '***'), (3, NULL)) AS {alias} (n, w)"
        if kind in {"function", "json"} and scope.columns:
            return self._function(scope, alias)
        return self._table(self.relation(), alias, scope)

    def _table(self, table: Table, alias: str, scope: Scope) -> str:
        only = self.pick("", "", "", "ONLY ") if table.shape in {"plain", "part", "inherited"} else ""
        sample = self.pick(*[""] * 9, " TABLESAMPLE SYSTEM (100)") if table.shape not in {"view"} else ""
        columns = [(quote(c.name), c.kind) for c in table.columns]
        renamed = ""
        if self.pick(True, False, False, False):
            columns = [(f"c{i}", kind) for i, (_, kind) in enumerate(columns)]
            renamed = f" ({', '.join(n for n, _ in columns)})"
        else:  # a table's row keeps the table's names under other aliases, a sub-select's does not
            scope.rows.append(alias)
        scope.columns += [(f"{alias}.{n}", n, k) for n, k in columns]
        return f"{only}{self.written(table)} AS {alias}{renamed}{sample}"

    def _function(self, scope: Scope, alias: str) -> str:
        arrays, documents, texts = scope.of("text[]"), scope.of("jsonb"), scope.of("text")
        options = [(f"generate_series(1, 2) AS {alias}(n)", [(f"{alias}.n", "n", "int")])]
        word = [(f"{alias}.w", "w", "text")]
        if arrays:
            options.append((f"unnest({self.pick(*arrays)}) WITH ORDINALITY AS {alias}(w, o)", word))
        if documents:
            document = self.pick(*documents)
            options.append((f"jsonb_each_text({document}) AS {alias}(k, w)", word))
            options.append((f"JSON_TABLE({document}, '$' COLUMNS (w text PATH '$.k')) AS {alias}", word))
        if texts:
            text = self.pick(*texts)
            options.append((f"regexp_split_to_table({text}, '@') AS {alias}(w)", word))
            options.append((f"ROWS FROM (string_to_table({text}, 'a'), generate_series(1, 2)) AS {alias}(w, o)", word))
        if scope.rows:
            row = self.pick(*scope.rows)
            options.append((f"jsonb_each_text(to_jsonb({row})) AS {alias}(k, w)", word))
        text, columns = self.pick(*options)
        scope.columns += columns
        return f"LATERAL {text}"

    def from_clause(self, outer: Scope, depth: int) -> tuple[str, Scope]:
        """A list of items and joins, and what can be named; `outer` is seen by lateral items."""
        inner = Scope()
        text = self.source(inner, depth)
        if text.startswith("LATERAL"):
            inner = Scope(list(inner.columns), list(inner.rows))
        for _ in range(self.pick(0, 0, 1, 1, 2)):
            before = Scope(list(inner.columns), list(inner.rows))
            right = self.source(inner, depth)
            own = Scope(inner.columns[len(before.columns) :])
            join = self.pick("JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN", "USING", "RIGHT JOIN")
            if right.startswith("LATERAL"):
                text = f"{text} CROSS JOIN {right}" if join != "LEFT JOIN" else f"{text} LEFT JOIN {right} ON true"
                continue
            left, mine = before.of("int"), own.of("int")
            if join == "CROSS JOIN" or not left or not mine:
                text = f"{text} CROSS JOIN {right}"
                continue
            kind = "JOIN" if join == "USING" else join
            text = f"{text} {kind} {right} ON {self.pick(*left)} = {self.pick(*mine)}"
        return text, inner

    def query(self, depth: int, outer: Scope) -> tuple[str, list[tuple[str, str]]]:
        """Replaced by `Queries`."""
        raise NotImplementedError


class Expressions(Sources):
    """Expressions over the columns of a scope."""

    def column(self, scope: Scope, kind: str) -> str:
        """A column of a kind, or a constant."""
        found = scope.of(kind)
        if not found:
            return "'x'" if kind == "text" else "7"
        ref = self.pick(*found)
        name = ref.split(".", 1)[1]
        alone = sum(n == name for _, n, _ in scope.columns) == 1
        return name if alone and self.pick(True, False, False) else str(ref)

    def text(self, scope: Scope, depth: int) -> str:
        """An expression of type text."""
        column = self.column(scope, "text")
        options: list[Any] = [column, column, f"{self.column(scope, 'int')}::text"]
        if dates := scope.of("date"):
            options += [f"to_char({self.pick(*dates)}, 'YYYY-MM')", f"{self.pick(*dates)}::text"]
        if documents := scope.of("jsonb"):
            document = self.pick(*documents)
            options += [f"({document} ->> 'k')", f"JSON_VALUE({document}, '$.k')", f"{document}::text"]
        if arrays := scope.of("text[]"):
            array = self.pick(*arrays)
            options += [f"{array}[1]", f"array_to_string({array}, '+')"]
        if numbers := scope.of("numeric(12,2)"):
            options.append(f"round({self.pick(*numbers)}, 1)::text")
        if scope.rows:
            row = self.pick(*scope.rows)
            options += [f"{row}::text", f"to_jsonb({row})::text", f"md5({row}::text)"]
        if depth > 0:
            other = Late(lambda: self.text(scope, depth - 1))
            options += [
                lambda: f"upper({other})",
                lambda: f"coalesce({column}, {other})",
                lambda: f"({column} || {other})",
                lambda: f"substr({other}, 2, 6)",
                lambda: f"CASE WHEN {self.condition(scope, depth - 1)} THEN {column} ELSE {other} END",
                lambda: f"CASE {column} WHEN '***' THEN 'mask' ELSE {other} END",
                lambda: f"md5({other})",
                lambda: f"encode({other}::bytea, 'base64')",
                lambda: f"reverse({other})",
                lambda: f"nullif({column}, '***')",
                lambda: f"(ARRAY[{column}, {other}])[1]",
                lambda: f"to_jsonb({column})::text",
                lambda: f"format('%s-%s', {column}, {other})",
                lambda: f"regexp_replace({other}, 'e', '#')",
                lambda: f"CAST({column} AS varchar(9))",
                lambda: f"(ROW({column}, {other})).f1",
                lambda: self._scalar(scope, depth, "text"),
            ]
        return _written(self.pick(*options))

    def number(self, scope: Scope, depth: int) -> str:
        """An expression of type int."""
        column = self.column(scope, "int")
        options: list[Any] = [column, column]
        if booleans := scope.of("boolean"):
            options.append(f"{self.pick(*booleans)}::int")
        if numbers := scope.of("numeric(12,2)"):
            options.append(f"{self.pick(*numbers)}::int")
        if dates := scope.of("date"):
            options.append(f"({self.pick(*dates)} - date '2020-01-01')")
        if arrays := scope.of("text[]"):
            options.append(f"cardinality({self.pick(*arrays)})")
        if depth > 0:
            options += [
                lambda: f"({column} + 1)",
                lambda: f"length({self.text(scope, depth - 1)})",
                lambda: f"coalesce({column}, 0)",
                lambda: f"greatest({column}, {self.number(scope, depth - 1)})",
                lambda: f"CASE WHEN {self.condition(scope, depth - 1)} THEN {column} END",
                lambda: f"ascii({self.text(scope, depth - 1)})",
                lambda: self._scalar(scope, depth, "int"),
            ]
        return _written(self.pick(*options))

    def _scalar(self, scope: Scope, depth: int, kind: str) -> str:
        source, inner = self.from_clause(Scope(), 0)
        both = inner + scope
        where = f" WHERE {self.condition(both, depth - 1)}"
        what = "count(*)::int" if kind == "int" else f"max({self.column(inner, 'text')})"
        return f"(SELECT {what} FROM {source}{where})"

    def _exists(self, scope: Scope, depth: int) -> str:
        source, inner = self.from_clause(Scope(), 0)
        return f"EXISTS (SELECT 1 FROM {source} WHERE {self.condition(inner + scope, depth - 1)})"

    def _listed(self, kind: str) -> str:
        source, inner = self.from_clause(Scope(), 0)
        return f"SELECT {self.column(inner, kind)} FROM {source}"

    def condition(self, scope: Scope, depth: int) -> str:
        """A boolean expression."""
        text, number = Late(lambda: self.text(scope, depth - 1)), Late(lambda: self.number(scope, depth - 1))
        options: list[Any] = [
            lambda: f"{text} LIKE '%e%'",
            lambda: f"{text} = {self.text(scope, depth - 1)}",
            lambda: f"{number} > 5",
            lambda: f"{number} > 7000000",
            lambda: f"{number} IS NOT NULL",
            lambda: f"{number} BETWEEN 2 AND 7700000",
            lambda: f"{text} IS DISTINCT FROM '***'",
            lambda: f"{text} ~ '^p.*t1'",
            lambda: f"{number} IN (1, 2, 3, 7654010)",
            lambda: f"({text}, {number}) > ('p', 3)",
        ]
        if arrays := scope.of("text[]"):
            options += [lambda: f"{text} = ANY ({self.pick(*arrays)})", f"{self.pick(*arrays)} && ARRAY['one']"]
        if documents := scope.of("jsonb"):
            options += [f"{self.pick(*documents)} ? 'k'", f"JSON_EXISTS({self.pick(*documents)}, '$.n[0]')"]
        if booleans := scope.of("boolean"):
            options += [f"{self.pick(*booleans)}", f"{self.pick(*booleans)} IS NOT TRUE"]
        if depth > 0:
            options += [
                lambda: self._exists(scope, depth),
                lambda: f"{text} IN ({self._listed('text')})",
                lambda: f"{number} > ALL ({self._listed('int')})",
                lambda: f"NOT ({self.condition(scope, depth - 1)})",
                lambda: f"({self.condition(scope, depth - 1)} OR {self.condition(scope, depth - 1)})",
                lambda: f"({self.condition(scope, depth - 1)} AND {self.condition(scope, depth - 1)})",
            ]
        return _written(self.pick(*options))
