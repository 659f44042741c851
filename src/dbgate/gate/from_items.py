"""The items of a FROM clause: what each one is called and which columns it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dbgate.errors import StatementError
from dbgate.gate.findings import Columns, Cte, Ctes, Findings
from dbgate.gate.names import kind_of, output_name, strings
from dbgate.gate.relations import Schema
from dbgate.gate.scope import NONE, Entry, Item, Labels, Out, Scope, mark_twins, sources, union
from dbgate.model import Tree

_SCALAR_SETS = frozenset(
    """generate_series generate_subscripts regexp_split_to_table regexp_matches string_to_table
    json_object_keys jsonb_object_keys jsonb_path_query jsonb_path_query_tz""".split()
)
_VALUE_SETS = frozenset(
    """json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text""".split()
)


_SETS = (
    _SCALAR_SETS
    | _VALUE_SETS
    | frozenset(
        """json_each json_each_text json_populate_recordset json_to_recordset jsonb_each jsonb_each_text
        jsonb_populate_recordset jsonb_to_recordset pg_snapshot_xip ts_debug ts_parse txid_snapshot_xip unnest""".split()
    )
)
"""Built-in functions that give any number of rows, by their arguments."""


class FromItems:
    """The part of the analysis that reads FROM clauses. Mixed into `Analysis`."""

    schema: Schema
    labels: Mapping[int, Mapping[str, Labels]]
    search_path: Sequence[str]
    found: Findings
    _entries: dict[int, Entry]
    _constants: list[Tree]
    _derived: int
    _nested: int

    if TYPE_CHECKING:

        def query(self, body: Tree, parent: Scope | None, ctes: Ctes | None, *, named: bool = False) -> Columns: ...
        def expression(self, node: Any, scope: Scope, ctes: Ctes | None) -> Labels: ...
        def _expressions(self, nodes: Iterable[Any], scope: Scope, ctes: Ctes | None) -> Labels: ...
        def cte_columns(self, cte: Cte) -> Columns: ...
        def _use(self, labels: Labels, *, predicate: bool) -> None: ...

    def from_item(self, node: Tree, scope: Scope, ctes: Ctes | None) -> Item:
        """One item of a FROM clause. `scope` holds the items before it, which LATERAL may name."""
        kind, body = kind_of(node)
        match kind:
            case "RangeVar":
                return _single(self._range_var(body, ctes))
            case "RangeSubselect":
                parent = scope if body.get("lateral") else scope.parent
                columns = self.query(body["subquery"]["SelectStmt"], parent, ctes, named=True)
                return _single(_named(body.get("alias"), "", columns))
            case "JoinExpr":
                return self._join(body, scope, ctes)
            case "RangeFunction":
                return _single(self._function(body, scope, ctes))
            case "RangeTableSample":
                item = self.from_item(body["relation"], scope, ctes)
                item.entries[0].sample = body
                given = self._expressions((*body.get("args", ()), body.get("repeatable")), scope, ctes)
                self._use(given, predicate=True)
                return item
            case "RangeTableFunc" | "JsonTable":
                return _single(self._table_function(kind, body, scope, ctes))
            case _:
                raise StatementError(f"dbgate does not know {kind or 'this'} in FROM", sqlstate="0A000")

    def _range_var(self, body: Tree, ctes: Ctes | None) -> Entry:
        name = body["relname"]
        if ctes is not None and not body.get("schemaname"):
            cte = ctes.find(name)
            if cte is not None:
                return _named(body.get("alias"), name, self.cte_columns(cte))
        entry = self.relation_entry(body)
        if all(known is not entry for known in self.found.reads):
            self.found.reads.append(entry)
        return entry

    def relation_entry(self, body: Tree, *, target: bool = False) -> Entry:
        """The entry for a relation named in the statement. Raises `StatementError` when there is none of the name."""
        known = self._entries.get(id(body))
        if known is not None:
            return known
        schema, name = body.get("schemaname", ""), body["relname"]
        database = body.get("catalogname")
        if database and database != self.schema.catalog.database:
            raise StatementError(
                f'cross-database references are not implemented: "{database}.{schema}.{name}"', sqlstate="0A000"
            )
        relation = self.schema.lookup(schema, name, self.search_path)
        if relation is None:
            raise self.no_relation(schema, name, int(body.get("location", -1)) + 1)
        labels = self.labels.get(relation.oid, {}) if relation.oid else {}
        columns = tuple(_column(c.name, labels.get(c.name, NONE)) for c in relation.columns)
        entry = _named(body.get("alias"), name, columns)
        entry.schema = "" if body.get("alias") else relation.schema
        entry.relation = relation
        entry.body = body
        entry.target = target
        entry.whole = len(body.get("alias", {}).get("colnames", ())) > len(columns)  # an error that the server words
        self._entries[id(body)] = entry
        return entry

    def no_relation(self, schema: str, name: str, position: int) -> StatementError:
        """The error for a relation that does not exist, with the nearest name that does."""
        full = f"{schema}.{name}" if schema else name
        names = [r.name for r in self.schema.catalog.relations if r.readable and (not schema or r.schema == schema)]
        from difflib import get_close_matches

        close = get_close_matches(name, names, n=1)
        hint = ""
        if close:
            near = next(r for r in self.schema.catalog.relations if r.name == close[0] and r.readable)
            hint = f"did you mean {near.schema}.{near.name}?"
        return StatementError(f'relation "{full}" does not exist', sqlstate="42P01", position=position, hint=hint)

    def _join(self, body: Tree, scope: Scope, ctes: Ctes | None) -> Item:
        left = self.from_item(body["larg"], scope, ctes)
        inner = Scope([*scope.items, left], scope.parent)
        right = self.from_item(body["rarg"], inner, ctes)
        both = Scope([left, right], scope.parent)  # ON does not see the items beside the join
        names = strings(body.get("usingClause", ()))
        if body.get("isNatural"):
            names = [c.name for c in left.columns or () if any(c.name == o.name for o in right.columns or ())]
            if left.columns is None or right.columns is None:  # any column of the other side may have a partner
                self._use(left.labels | right.labels, predicate=True)
        merged = []
        for name in names:
            pair = [c for side in (left, right) for c in side.columns or () if c.name == name]
            labels = union(c.labels for c in pair)
            self._use(labels, predicate=True)
            self.found.derived_met |= bool(labels)
            merged.append(Out(name, labels, all(c.plain for c in pair if c.labels)))
            for entry in (*left.entries, *right.entries):
                if entry.find(name):
                    entry.use(name)
                elif entry.open or len(pair) < 2:
                    entry.use_all(unknown=True)
        if body.get("quals"):
            self._use(self.expression(body["quals"], both, ctes), predicate=True)
        columns = None
        if left.columns is not None and right.columns is not None:
            columns = (*merged, *(c for c in (*left.columns, *right.columns) if c.name not in names))
        entries = [*left.entries, *right.entries]
        using = body.get("joinUsingAlias") or body.get("join_using_alias")
        if using:
            entries.append(Entry(using["aliasname"], tuple(merged)))
        _mark_nullable(body.get("jointype", ""), left, right)
        item = Item(entries, columns, (left, right, tuple(names)))
        alias = body.get("alias")
        if columns is None and (alias or body.get("isNatural")):
            for entry in entries:
                entry.use_all(unknown=bool(alias))
        if not alias:
            return item
        mark_twins(both)
        for entry in entries if alias.get("colnames") else ():
            entry.place()
        named = _named(alias, "", columns)
        named.extra = NONE if columns is not None else left.labels | right.labels
        named.beneath, named.sources = tuple(entries), tuple(sources(item))
        return _single(named)

    def _function(self, body: Tree, scope: Scope, ctes: Ctes | None) -> Entry:
        labels = NONE
        columns: list[Out] | None = []
        name = ""
        for node in body.get("functions", ()):
            call, definitions = node["List"]["items"]
            start = len(self._constants)
            found = self.expression(call, scope, ctes)
            self.found.carried += self._constants[start:]
            labels = labels | found
            self._use(found, predicate=False)
            called = self._called(call)
            name = name or called or output_name({"val": call})
            listed = definitions.get("List", {}).get("items", ()) if definitions else body.get("coldeflist", ())
            if listed:
                made = [Out(d["ColumnDef"]["colname"], found) for d in listed]
            elif called in _VALUE_SETS:
                made = [Out("value", found)]
            elif called in _SCALAR_SETS:
                alias = body.get("alias", {}).get("aliasname")
                made = [Out(alias or called, found)]
            else:
                columns = None
                continue
            if columns is not None:
                columns += made
        if columns is not None and body.get("ordinality"):
            columns.append(Out("ordinality"))
        entry = _named(body.get("alias"), name, tuple(columns) if columns is not None else None)
        if columns is None:
            entry.extra = labels
        return entry

    def _called(self, call: Tree) -> str:
        """The name of a call to a function of `pg_catalog`; empty where it may be another one."""
        kind, body = kind_of(call)
        names = strings(body["funcname"]) if kind == "FuncCall" else []
        own = len(names) > 2 or (len(names) == 2 and names[0] != "pg_catalog") or names[-1:] == []
        return "" if own or names[-1] in self.schema.functions else names[-1]

    def _gives_rows(self, call: Tree) -> bool:
        """Whether a call may give several rows, or none: those of somebody's own may."""
        name = strings(call["funcname"])[-1]
        return name in _SETS or name in self.schema.functions

    def _table_function(self, kind: str, body: Tree, scope: Scope, ctes: Ctes | None) -> Entry:
        """XMLTABLE and JSON_TABLE: every column comes from the document."""
        labels = NONE
        names: list[str] = []
        for key, value in body.items():
            if key == "columns":
                names += _column_names(value)
            if key != "alias" and isinstance(value, dict | list):
                labels = labels | self.expression(value, scope, ctes)
        self._use(labels, predicate=False)
        if not self._nested:
            self.found.multiplies |= labels
        default = "json_table" if kind == "JsonTable" else "xmltable"
        return _named(body.get("alias"), default, tuple(Out(n, labels) for n in names))


def _column_names(nodes: Sequence[Tree]) -> list[str]:
    names: list[str] = []
    for node in nodes:
        _, column = kind_of(node)
        name = column.get("colname") or column.get("name")
        if name:
            names.append(name)
        names += _column_names(column.get("columns", ()))
    return names


def _column(name: str, labels: Labels) -> Out:
    return Out(name, labels, bool(labels) and all(label.exact for label in labels))


def _mark_nullable(kind: str, left: Item, right: Item) -> None:
    """Mark the sides of an outer join whose rows may be missing."""
    for side, kinds in ((left, {"JOIN_RIGHT", "JOIN_FULL"}), (right, {"JOIN_LEFT", "JOIN_FULL"})):
        for entry in side.entries if kind in kinds else ():
            entry.nullable = True


def _single(entry: Entry) -> Item:
    return Item([entry], entry.columns)


def _named(alias: Tree | None, name: str, columns: Columns) -> Entry:
    """An entry under its alias, with the alias's column names."""
    if not alias:
        return Entry(name, columns)
    given = strings(alias.get("colnames", ()))
    if columns is not None and given:
        columns = tuple(Out(given[i] if i < len(given) else c.name, c.labels, c.plain) for i, c in enumerate(columns))
    return Entry(alias["aliasname"], columns)
