"""What a statement is: its verb, the relations it touches, the functions and settings it names.

The verb is the strongest thing anywhere in the tree: `WITH d AS (DELETE …) SELECT …` is a delete, and so is
`EXPLAIN ANALYZE DELETE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from dbgate.catalog import CatalogRelation
from dbgate.errors import StatementError
from dbgate.gate.allow.statements import statement_kind
from dbgate.gate.analysis import Analysis
from dbgate.gate.blanket import is_blanket, is_blanket_merge
from dbgate.gate.findings import Findings
from dbgate.gate.names import kind_of, strings
from dbgate.gate.pins import pinned
from dbgate.gate.protection import Protection
from dbgate.gate.relations import Schema
from dbgate.gate.scope import Entry
from dbgate.model import Access, Relation, Touch, Tree

QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_WRAPPERS = frozenset({"ExplainStmt", "DeclareCursorStmt", "PrepareStmt", "CopyStmt", "CreateTableAsStmt", "ViewStmt"})
_MAKES = frozenset({"CreateStmt", "CreateSeqStmt"})
_OFF = frozenset({"false", "off", "0"})


class Examined(msgspec.Struct):
    """A statement, taken apart. `inner` is the query or data-changing statement in it, if any."""

    kind: str
    body: Tree
    verb: str
    access: Access
    handling: str
    refusal: str = ""
    inner_kind: str = ""
    inner: Tree = msgspec.field(default_factory=dict)
    touches: list[Touch] = msgspec.field(default_factory=list)
    found: Findings = msgspec.field(default_factory=Findings)
    blanket: bool = False
    copied: Entry | None = None
    made: Tree | None = None
    pins: tuple[int, ...] = ()
    system_masks: tuple[str, ...] = ()

    @property
    def executed(self) -> str | None:
        """The name of the prepared statement that it runs or explains, if it is an EXECUTE or EXPLAIN EXECUTE."""
        body = self.body.get("query", {}).get("ExecuteStmt") if self.kind == "ExplainStmt" else self.body
        return str(body["name"]) if body is not None and (self.kind in {"ExecuteStmt", "ExplainStmt"}) else None

    @property
    def entries(self) -> list[Entry]:
        """The relations that it reads and changes, each with the columns that it uses."""
        return [*self.found.reads, *(entry for _, entry in self.found.targets)]

    @property
    def stores(self) -> bool:
        """Whether it makes a relation that holds what a query gives, and stays."""
        made = self.made is not None and self.kind != "ViewStmt" and self.inner_kind == "SelectStmt"
        return made and not is_temporary(self.made or {})

    @property
    def changes_data(self) -> bool:
        """Whether the statement changes rows, or makes a relation out of a query."""
        return bool(self.found.targets) or (self.made is not None and not is_temporary(self.made))


def examine(tree: Tree, protection: Protection, search_path: Sequence[str]) -> Examined:
    """Take a statement apart. Raises `StatementError` for a relation or alias that does not exist."""
    kind, body = kind_of(tree)
    info = statement_kind(kind, body)
    if info is None:
        return Examined(kind, body, kind, Access.ADMIN, "refused", f"dbgate does not know {kind}")
    result = Examined(kind, body, info.verb, info.access, str(info.handling))
    if result.handling == "refused":
        result.refusal = info.reason
        return result
    analysis = Analysis(protection.schema, protection.labels, search_path)
    result.found = analysis.found
    result.found.analyze = kind == "ExplainStmt" and is_analyze(body)
    _find_inner(result)
    if result.stores:
        result.found.columns = analysis.stored(result.inner)
    elif result.inner_kind:
        result.found.columns = analysis.statement(result.inner_kind, result.inner)
    elif kind == "CopyStmt":
        _examine_copy(result, analysis)
    elif result.handling == "ddl":
        _examine_ddl(result, analysis)
    _touch(result, search_path)
    _strongest(result)
    result.pins = pinned(kind, result.found, protection.schema)
    return result


def _find_inner(result: Examined) -> None:
    kind, body = result.kind, result.body
    if kind in QUERIES:
        result.inner_kind, result.inner = kind, body
        result.made = _into(body)
    elif kind in _WRAPPERS and body.get("query"):
        result.inner_kind, result.inner = kind_of(body["query"])
        if kind == "CreateTableAsStmt":
            result.made = body["into"]["rel"]
        elif kind == "ViewStmt":
            result.made = body["view"]
        if kind == "ExplainStmt" and result.inner_kind in {"CreateTableAsStmt", "DeclareCursorStmt"}:
            if result.inner_kind == "CreateTableAsStmt":
                result.made = result.inner["into"]["rel"]
            result.inner_kind, result.inner = kind_of(result.inner["query"])
            if result.inner_kind == "ExecuteStmt":
                result.refusal = "the new table would hold what a prepared statement returns: write its query"
        into = _into(result.inner)
        if into is not None:
            result.made = result.made or into
            if kind != "ExplainStmt":
                result.refusal = f"{result.verb.upper()} of SELECT INTO"
        if result.inner_kind == "ExecuteStmt":
            result.inner_kind, result.inner = "", {}
        elif result.inner_kind not in QUERIES:
            result.refusal = f"{result.verb.upper()} of {result.inner_kind.removesuffix('Stmt').upper()}"
            result.inner_kind, result.inner = "", {}


def _into(select: Tree) -> Tree | None:
    """The relation that a query makes: INTO stands in the first SELECT of a set operation."""
    while "larg" in select:
        select = select["larg"]
    into = select.get("intoClause")
    return into["rel"] if into else None


def is_temporary(relation: Tree) -> bool:
    """Whether a relation to be made is temporary."""
    return relation.get("relpersistence") == "t" or relation.get("schemaname") == "pg_temp"


def is_analyze(body: Tree) -> bool:
    """Whether an EXPLAIN runs its statement."""
    for node in body.get("options", ()):
        option = node["DefElem"]
        if option["defname"].lower() == "analyze":
            value = next(iter(next(iter(option["arg"].values())).values()), "") if option.get("arg") else "on"
            if str(value).lower() not in _OFF:  # given twice, the last one would count
                return True
    return False


def _examine_copy(result: Examined, analysis: Analysis) -> None:
    body = result.body
    if body.get("is_from"):
        result.refusal = "COPY FROM is not available: use INSERT"
        return
    entry = analysis.relation_entry(body["relation"])
    result.copied = entry
    result.found.reads.append(entry)
    names = strings(body.get("attlist", ()))
    if not names and entry.relation is not None:
        names = [c.name for c in entry.relation.columns if not c.generated]
    columns = [c for n in names if (c := entry.find(n)) is not None]
    if len(columns) < len(names):
        missing = next(n for n in names if entry.find(n) is None)
        raise StatementError(f'column "{missing}" of relation "{entry.name}" does not exist', sqlstate="42703")
    entry.used.update(names)
    result.found.columns = tuple(columns)
    for column in columns:
        result.found.outputs |= column.labels


def _examine_ddl(result: Examined, analysis: Analysis) -> None:
    """Relations that a definition statement names; those that do not exist yet have OID 0."""
    made = result.body.get({"CreateSeqStmt": "sequence"}.get(result.kind, "relation"))
    copied = {
        id(element["TableLikeClause"]["relation"])
        for element in result.body.get("tableElts", ())
        if "TableLikeClause" in element
    }
    for body in relation_bodies(result.body):
        if id(body) in copied:
            result.touches.append(Touch("select", Access.READ, _relation_of(body, analysis)))
            continue
        if body is made and result.kind in _MAKES:
            result.touches.append(Touch(result.verb, result.access, _made_relation(body, analysis.search_path)))
            continue
        result.touches.append(Touch(result.verb, result.access, _relation_of(body, analysis)))
    for names in dropped_names(result.kind, result.body):
        schema = names[-2] if len(names) > 1 else ""
        result.touches.append(
            Touch(result.verb, result.access, _relation_of({"schemaname": schema, "relname": names[-1]}, analysis))
        )


def _relation_of(body: Tree, analysis: Analysis) -> Relation:
    try:
        entry = analysis.relation_entry(body)
    except StatementError:
        path = analysis.search_path
        default = "pg_temp" if is_temporary(body) else next(iter(path), "public")
        return Relation(body.get("schemaname") or default, body["relname"])
    found = entry.relation
    return relation_value(found) if found else Relation("", body["relname"])


def relation_value(relation: CatalogRelation) -> Relation:
    """The noun for a catalog relation."""
    return Relation(relation.schema, relation.name, relation.oid, relation.kind)


def relation_bodies(node: Any) -> Iterator[Tree]:
    """The bodies of all relations that a definition statement names."""
    todo: list[Any] = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, list):
            todo += current
        elif isinstance(current, dict):
            if "relname" in current and "relpersistence" in current:
                yield current
            todo += [v for v in current.values() if isinstance(v, dict | list)]


def dropped_names(kind: str, body: Tree) -> Iterator[list[str]]:
    """The names in a DROP of relations, or in a COMMENT on one."""
    if kind == "DropStmt":
        for node in body.get("objects", ()):
            inner_kind, inner = kind_of(node)
            if inner_kind == "List" and (names := strings(inner.get("items", ()))):  # a cast is named by two types
                yield names
            elif inner_kind == "String":
                yield [inner.get("sval", "")]
    elif kind == "CommentStmt":
        inner_kind, inner = kind_of(body.get("object", {}))
        names = strings(inner.get("items", ())) if inner_kind == "List" else []
        if names and body.get("objtype") == "OBJECT_COLUMN":
            names = names[:-1]
        if names:
            yield names


def _touch(result: Examined, search_path: Sequence[str]) -> None:
    found = result.found
    for entry in found.reads:
        if entry.relation is not None:
            result.touches.append(Touch("select", Access.READ, relation_value(entry.relation)))
    planned_only = result.kind == "ExplainStmt" and not is_analyze(result.body)
    for verb, entry in found.targets:
        if entry.relation is None:
            continue
        relation = relation_value(entry.relation)
        if planned_only:
            result.touches.append(Touch("select", Access.READ, relation))
            continue
        result.touches.append(Touch(verb, Access.WRITE, relation))
    for verb, entry in () if planned_only else found.further:
        if entry.relation is not None:
            result.touches.append(Touch(verb, Access.WRITE, relation_value(entry.relation)))
    for entry in found.locks:
        if entry.relation is not None and not planned_only:
            result.touches.append(Touch("update", Access.WRITE, relation_value(entry.relation)))
    if result.made is not None and not planned_only and result.handling != "ddl":
        result.touches.append(Touch("create", Access.DDL, _made_relation(result.made, search_path)))
    for kind, body, entry in found.filters:
        if kind == "where" and entry.relation is not None and not planned_only:
            result.blanket = result.blanket or is_blanket(body.get("whereClause"), entry.relation)
        elif kind == "MERGE" and entry.relation is not None and not planned_only:
            result.blanket = result.blanket or is_blanket_merge(body, entry.relation)


def _made_relation(body: Tree, search_path: Sequence[str]) -> Relation:
    """A relation to be made: without a schema, in the first one of the path."""
    schema = body.get("schemaname") or next(iter(search_path), "public")
    return Relation("pg_temp" if is_temporary(body) else schema, body["relname"])


def _strongest(result: Examined) -> None:
    """The statement's verb and access are the strongest of its touches."""
    top = max(result.touches, key=lambda t: t.access.strength, default=None)
    wrapped = result.kind in {"ExplainStmt", "DeclareCursorStmt", "PrepareStmt", "CopyStmt"}
    if top is None:
        result.touches.append(Touch(result.verb, result.access))
    elif wrapped or top.access.strength > result.access.strength:
        keep = wrapped and top.access is Access.READ
        result.verb, result.access = (result.verb if keep else top.verb), top.access


def defined_relations(examined: Examined, schema: Schema) -> list[CatalogRelation]:
    """The relations that a definition statement is about, as far as they exist."""
    oids = [touch.relation.oid for touch in examined.touches if touch.relation] if examined.handling == "ddl" else []
    return [schema.by_oid[oid] for oid in oids if oid in schema.by_oid]
