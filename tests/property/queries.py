"""Whole statements of the grammar: queries of every shape, and writes with RETURNING."""

from __future__ import annotations

from tests.property.cells import parts_of
from tests.property.grammar import Expressions, Scope
from tests.property.made import Table

from dbgate.gate.names import quote

Outputs = list[tuple[str, str]]


class Queries(Expressions):
    """SELECT in its shapes: each gives an int and a text."""

    def query(self, depth: int, outer: Scope) -> tuple[str, Outputs]:
        """A query and its output columns."""
        kind = self.pick(
            "plain", "plain", "plain", "group", "sets", "distinct", "on", "union", "window", "having", "filter"
        )
        source, own = self.from_clause(outer, depth)
        scope = own + outer
        where = f" WHERE {self.condition(scope, depth)}" if self.pick(True, False) else ""
        first, second = self.name("k"), self.name("w")
        names = [(first, "int"), (second, "text")]
        key = self.text(own, 1)
        if kind == "group":
            total = self.pick(
                "count(*)::int", f"max({self.number(own, 0)})", f"count(DISTINCT {self.text(own, 0)})::int"
            )
            return f"SELECT {total} AS {first}, {key} AS {second} FROM {source}{where} GROUP BY {key}", names
        if kind == "sets":
            sets = self.pick("GROUPING SETS ((x), ())", "ROLLUP (x)", "CUBE (x)")
            inner = f"SELECT {key} AS x FROM {source}{where}"
            return (
                f"SELECT count(*)::int + grouping(x) AS {first}, x AS {second} FROM ({inner}) AS g GROUP BY {sets}",
                names,
            )
        if kind == "having":
            having = f"max({self.text(own, 0)}) > 'm'"
            return (
                f"SELECT count(*)::int AS {first}, {key} AS {second} FROM {source}{where} GROUP BY {key} HAVING {having}",
                names,
            )
        if kind == "filter":
            listed = self.text(own, 0)
            listed = f"string_agg({listed}, ',' ORDER BY {listed})"
            listed = self.pick(f"max({self.text(own, 1)})", f"min({self.text(own, 1)})", listed)
            chosen = f"count(*) FILTER (WHERE {self.condition(own, 1)})::int"
            return f"SELECT {chosen} AS {first}, {listed} AS {second} FROM {source}{where}", names
        if kind == "window":
            window = f"OVER (PARTITION BY {self.text(own, 0)} ORDER BY {self.text(own, 0)})"
            ranked = self.pick("rank()", "dense_rank()", "count(*)")
            return f"SELECT ({ranked} {window})::int AS {first}, {key} AS {second} FROM {source}{where}", names
        head = f"{self.number(scope, depth)} AS {first}, {self.text(scope, depth)} AS {second}"
        if kind == "distinct":
            return f"SELECT DISTINCT {head} FROM {source}{where}", names
        if kind == "on":
            order = f"{key}, 1, 2"
            return f"SELECT DISTINCT ON ({key}) {head} FROM {source}{where} ORDER BY {order}", names
        if kind == "union":
            way = self.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL")
            other, columns = self.from_clause(Scope(), 0)
            tail = f"SELECT {self.column(columns, 'int')}, {self.column(columns, 'text')} FROM {other}"
            return f"SELECT {head} FROM {source}{where} {way} {tail}", names
        return f"SELECT {head} FROM {source}{where}", names

    def with_clause(self) -> str:
        """WITH, now and then: plain, recursive, under the name of a table."""
        kind = self.pick("none", "none", "plain", "recursive", "shadow")
        if kind == "none":
            return ""
        if kind == "recursive":
            source, scope = self.from_clause(Scope(), 0)
            start = f"SELECT {self.number(scope, 0)} AS n, {self.text(scope, 0)} AS w FROM {source}"
            self.ctes.append(("looped", [("n", "int"), ("w", "text")]))
            return (
                f"WITH RECURSIVE looped(n, w) AS ({start} UNION SELECT n % 3 + 1, w FROM looped WHERE n IS NOT NULL) "
            )
        table = self.made.tables[0]
        name = quote(table.name) if kind == "shadow" and table.schema == self.made.schemas[0] else "q0"
        text, outputs = self.query(1, Scope())
        self.ctes.append((name, outputs))
        held = self.pick("", "MATERIALIZED ", "NOT MATERIALIZED ")
        return f"WITH {name} AS {held}({text}) "

    def statement(self) -> str:
        """A whole query."""
        prefix = self.with_clause()
        kind = self.pick("query", "query", "query", "star", "whole", "using", "key", "lock", "table")
        if kind == "query":
            text, _ = self.query(2, Scope())
            if "DISTINCT ON" in text:
                return prefix + text
            return f"{prefix}{text} ORDER BY 1, 2 LIMIT 7" if self.pick(True, False) else prefix + text
        if kind == "key":
            plain = [t for t in self.made.tables if t.shape == "plain" and not t.where]
            if plain:
                return f"SELECT p.*, count(*) FROM {self.pick(*plain).full} p LEFT JOIN generate_series(1, 2) n ON true GROUP BY p.id"
        if kind == "table":
            return f"TABLE {self.relation().full}"
        if kind == "lock":
            table = self.pick(*self.made.tables)
            return f"SELECT l.id FROM {table.full} AS l ORDER BY l.id FOR SHARE OF l"
        if kind == "using":
            left, right = self.relation(), self.relation()
            how = self.pick("JOIN", "LEFT JOIN", "FULL JOIN")
            shown = self.pick("*", "id", "l.*", "r.*, id", "l")
            return f"SELECT {shown} FROM {left.full} AS l {how} {right.full} AS r USING (id)"
        source, scope = self.from_clause(Scope(), 1)
        where = f" WHERE {self.condition(scope, 1)}" if self.pick(True, False) else ""
        if kind == "whole" and scope.rows:
            row = self.pick(*scope.rows)
            shown = self.pick(row, f"to_jsonb({row})", f"{row}::text", f"({row}).*", f"{row}.*", f"ROW({row}.*)")
            return f"{prefix}SELECT {shown} FROM {source}{where}"
        return f"{prefix}SELECT * FROM {source}{where}"


class Writes(Queries):
    """INSERT, UPDATE, DELETE and MERGE, plain or inside WITH, with RETURNING."""

    def write(self) -> tuple[str, Table]:
        """A write and the table that it changes."""
        table = self.pick(*self.made.tables)
        table = self.pick(table, table, *parts_of(table))
        kind = self.pick("update", "update", "delete", "insert", "conflict", "merge", "from", "using")
        scope = Scope([(f"w.{quote(c.name)}", quote(c.name), c.kind) for c in table.columns], ["w"])
        text, scope = getattr(self, f"_{kind}")(table, scope)
        returned = self.pick("", "*", "w.*", "w", "text", "two")
        if returned == "text":
            returned = self.text(scope, 1)
        elif returned == "two":
            returned = f"{self.number(scope, 1)}, {self.text(scope, 1)} AS shown"
        text = f"{text} RETURNING {returned}" if returned else text
        if returned and self.pick(True, False, False):
            return f"WITH changed AS ({text}) SELECT * FROM changed", table
        return text, table

    def _where(self, scope: Scope) -> str:
        return f"w.id < 6 AND {self.condition(scope, 1)}" if self.pick(True, False) else "w.id = 3"

    def _set(self, table: Table, scope: Scope, prefix: str = "") -> str:
        columns = [c for c in table.columns if c.kind in {"int", "text"} and c.name not in {"id", "region"}]
        column = self.pick(*columns)
        value = self.text(scope, 1) if column.kind == "text" else self.number(scope, 1)
        value = f"left({value}, 20)" if column.kind == "text" else value
        return f"{quote(column.name)} = {self.pick(value, value, 'NULL')}"

    def _update(self, table: Table, scope: Scope) -> tuple[str, Scope]:
        return f"UPDATE {table.full} AS w SET {self._set(table, scope)} WHERE {self._where(scope)}", scope

    def _from(self, table: Table, scope: Scope) -> tuple[str, Scope]:
        source, other = self.from_clause(Scope(), 0)
        keys = other.of("int")
        join = f"{self.pick(*keys)} = w.id" if keys else "true"
        both = scope + other
        unique = f"w.id = (SELECT min(id) FROM {table.full}) AND {join}"
        return (
            f"UPDATE {table.full} AS w SET {self._set(table, scope)} FROM {source} WHERE {unique}",
            scope if keys else both,
        )

    def _delete(self, table: Table, scope: Scope) -> tuple[str, Scope]:
        return f"DELETE FROM {table.full} AS w WHERE {self._where(scope)}", scope

    def _using(self, table: Table, scope: Scope) -> tuple[str, Scope]:
        source, other = self.from_clause(Scope(), 0)
        keys = other.of("int")
        join = f"{self.pick(*keys)} = w.id" if keys else "true"
        return f"DELETE FROM {table.full} AS w USING {source} WHERE {join} AND w.id < 5", scope

    def _insert(self, table: Table, scope: Scope, number: int = 101) -> tuple[str, Scope]:
        words = next(c for c in table.columns if c.kind == "text" and c.name != "region")
        head = f"INSERT INTO {table.full} AS w (id, region, {quote(words.name)})"
        source, other = self.from_clause(Scope(), 0)
        rows = self.pick(
            f"VALUES ({number}, 'EU', 'new')",
            f"SELECT {number}, 'EU', left(max({self.text(other, 1)}), 20) FROM {source}",
            f"SELECT 100 + count(*)::int, 'EU', min(left({self.text(other, 0)}, 20)) FROM {source}",
        )
        return f"{head} {rows}", scope

    def _conflict(self, table: Table, scope: Scope) -> tuple[str, Scope]:
        text, scope = self._insert(table, scope, self.pick(3, 3, 102))
        if table.shape in {"part", "inherited"}:
            return text, scope
        what = self.pick(
            "DO NOTHING", f"(id) DO UPDATE SET {self._set(table, scope)}", "(id) DO UPDATE SET ref = excluded.id"
        )
        return f"{text} ON CONFLICT {what}", scope

    def _merge(self, table: Table, scope: Scope) -> tuple[str, Scope]:
        text, outputs = self.query(0, Scope())
        number, word = (name for name, _ in outputs)
        source = f"(SELECT DISTINCT ON (o.{number}) o.{number}, o.{word} FROM ({text}) AS o ORDER BY 1, 2)"
        both = scope + Scope([(f"m.{number}", number, "int"), (f"m.{word}", word, "text")])
        matched = self.pick(f"UPDATE SET {self._set(table, both)}", "DELETE", "DO NOTHING")
        missing = self.pick(
            "", f" WHEN NOT MATCHED AND m.{number} > 100 THEN INSERT (id, region) VALUES (m.{number}, 'EU')"
        )
        when = self.pick("", f" AND {self.condition(both, 0)}")
        return (
            f"MERGE INTO {table.full} AS w USING {source} AS m ON w.id = m.{number} WHEN MATCHED{when} THEN {matched}{missing}",
            scope,
        )
