"""Queries for a few rows that a statement would change: what reviewers see, old and new, labelled columns masked.

They are masked for everybody, whoever asks and whoever reviews: what the policy labels is a mask, and a new value is
shown only where nothing but constants and unlabelled columns of the changed table make it up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dbgate.catalog import CatalogColumn, CatalogRelation
from dbgate.errors import StatementError
from dbgate.gate.clause_text import ClauseText
from dbgate.gate.labels import column_named
from dbgate.gate.lexer import Token
from dbgate.gate.measure import called, changed_rows, inserted_query, own_parameters, touched
from dbgate.gate.names import kind_of, qualified, quote
from dbgate.gate.protection import Protection, Unmasked, protection_for
from dbgate.gate.relations import schema_of
from dbgate.gate.splice import normal
from dbgate.gate.syntax import parse_one
from dbgate.model import Identity, NeedsApproval, Relation, SampleQuery, Statement, Tree

if TYPE_CHECKING:
    from dbgate.gate.decide import Context
    from dbgate.gate.statement import Examined

NOBODY = Identity("policy:", "anybody who reviews")
"""In no group, so that every labelled column is hidden."""

MAX_TABLES = 3
MAX_ROWS = 5
MAX_COLUMNS = 12
HIDDEN = "'***'::pg_catalog.text"
UNSHOWN = "'…'::pg_catalog.text"
"""Stands for a new value of a form that cannot be shown."""

_WORDS = frozenset({"from", "where", "returning"})


def for_reviewers(
    decision: NeedsApproval, examined: Examined, statement: Statement, context: Context
) -> tuple[SampleQuery, ...]:
    """Queries for what reviewers see of the change that a decision asks them about; none for what changes no rows."""
    run, targets = decision.run, examined.found.targets
    schema = schema_of(context.catalog)
    if examined.kind == "TruncateStmt":
        oids = [t.relation.oid for t in statement.touches if t.relation]
    elif len(targets) == 1 and examined.kind == examined.inner_kind != "SelectStmt":
        oids = [entry.relation.oid for _, entry in targets if entry.relation is not None]
    else:
        return ()
    protection = protection_for(context.catalog, context.policy, NOBODY, Unmasked())
    reads = [schema.by_oid[r.oid] for r in statement.reads if r.oid in schema.by_oid]
    found = (schema.by_oid[oid] for oid in oids[:MAX_TABLES] if oid in schema.by_oid)
    return tuple(
        query for target in found for query in sample_queries(run.text, statement.parameters, target, reads, protection)
    )


def sample_queries(
    text: str,
    parameters: Sequence[str | None],
    target: CatalogRelation,
    reads: Sequence[CatalogRelation],
    protection: Protection,
) -> tuple[SampleQuery, ...]:
    """Queries for the rows that `text`, a (rewritten) statement on `target`, would change; without any, why not.

    `reads` are the relations that it reads beside, `protection` is `NOBODY`'s.
    """
    tree = parse_one(text)
    kind = kind_of(tree)[0]
    verb = kind.removesuffix("Stmt").lower()
    made = _Sampler(text, tree, target, reads, protection)
    try:
        found = list(made.queries(kind))
    except (LookupError, StatementError):
        found = []
    if not found:
        note = "no sample: the statement is of a form that cannot be sampled"
        return (SampleQuery(_relation(target), verb, (), note=note),)
    return tuple(_own(query, parameters) for query in found)


def _own(query: SampleQuery, parameters: Sequence[str | None]) -> SampleQuery:
    text, values = own_parameters(query.text, parameters, {})
    return replace(query, text=text, parameters=values)


def _relation(target: CatalogRelation) -> Relation:
    return Relation(target.schema, target.name, target.oid, target.kind)


class _Sampler:
    """One statement, and what nobody may see of its target."""

    def __init__(
        self,
        text: str,
        tree: Tree,
        target: CatalogRelation,
        reads: Sequence[CatalogRelation],
        protection: Protection,
    ) -> None:
        self._text = text
        self._tree = tree
        self._body = kind_of(tree)[1]
        self._target = target
        self._reads = reads
        self._protection = protection

    def queries(self, kind: str) -> Iterator[SampleQuery]:
        match kind:
            case "UpdateStmt":
                yield from self._update()
            case "DeleteStmt" | "MergeStmt":
                yield from self._rows()
            case "InsertStmt":
                yield from self._insert()
            case "TruncateStmt":
                yield self._stored(f"{qualified(self._target.schema, self._target.name)}", "truncate")

    def _hidden(self, name: str) -> bool:
        return self._protection.hidden(self._target, name) is not None

    def _shown(self, columns: Sequence[str], source: str) -> list[str]:
        """The columns as they stand, masked where they are labelled."""
        items = []
        for name in columns:
            reference = f"{source}.{quote(name)}"
            items.append(self._protection.column_expression(self._target, name, reference) or reference)
        return items

    def _columns(self, first: Sequence[str] = ()) -> list[str]:
        """The key, the columns that matter, then the others, as many as are shown."""
        by_number = {c.number: c.name for c in self._target.columns}
        key = [by_number[n] for n in self._target.primary_key if n in by_number]
        rest = [] if first else [c.name for c in self._target.columns]
        return list(dict.fromkeys([*key, *first, *rest]))[:MAX_COLUMNS]

    def _stored(self, source: str, verb: str) -> SampleQuery:
        """Rows as they stand, of a source that has all columns of the target."""
        columns = self._columns()
        items = ", ".join(self._shown(columns, "touched"))
        text = f"SELECT {items} FROM {source} AS touched LIMIT {MAX_ROWS}"
        return SampleQuery(_relation(self._target), verb, tuple(columns), text)

    def _rows(self) -> Iterator[SampleQuery]:
        found = touched(self._text, self._tree, self._target)
        for rows in found.rows if found else ():
            yield self._stored(f"({rows.text})", rows.node.action)

    def _update(self) -> Iterator[SampleQuery]:
        clauses = ClauseText(self._text, self._body)
        new = dict(self._new_values(clauses))
        columns = self._columns([*new])
        name, _ = called(self._body, self._target)
        items = [*self._shown(columns, name), *(new[c] for c in columns if c in new)]
        found = changed_rows(self._text, "UpdateStmt", self._body, self._target, items)
        if found is None:
            return
        text = f"{found.text}LIMIT {MAX_ROWS}"
        kept = tuple(c for c in columns if c in new)
        note = "" if len(kept) == len(new) else "not all of its columns"
        yield SampleQuery(_relation(self._target), "update", tuple(columns), text, changed=kept, note=note)

    def _new_values(self, clauses: ClauseText) -> Iterator[tuple[str, str]]:
        """What each assigned column gets, as an expression that may be shown."""
        texts = list(_assignments(clauses))
        nodes = [n["ResTarget"] for n in self._body["targetList"]]
        by_text = len(texts) == len(nodes)
        for number, node in enumerate(nodes):
            name = node["name"]
            column = column_named(self._target, name)
            text = texts[number] if by_text and "indirection" not in node else ""
            if "SetToDefault" in node.get("val", {}):
                yield name, "'DEFAULT'::pg_catalog.text"
            elif self._hidden(name) or not self._may_show(node.get("val", {})):
                yield name, HIDDEN
            elif text and _is_value(text, node["val"]):
                yield name, _cast(text, column)
            else:
                yield name, UNSHOWN

    def _may_show(self, value: Any) -> bool:
        """Whether an expression is made of constants and unlabelled columns of the target alone."""
        others = bool(self._body.get("fromClause") or self._body.get("usingClause") or self._body.get("withClause"))
        alias = self._body["relation"].get("alias", {}).get("aliasname", "") or self._target.name
        known = {c.name for c in self._target.columns}
        for kind, node in _nodes(value):
            if kind in {"SubLink", "A_Star", "A_Indirection"}:
                return False
            if kind == "ColumnRef":
                parts = [field.get("String", {}).get("sval", "") for field in node["fields"]]
                own = (len(parts) == 2 and parts[0] == alias) or (len(parts) == 1 and not others)
                if not own or parts[-1] not in known or self._hidden(parts[-1]):
                    return False
        return True

    def _insert(self) -> Iterator[SampleQuery]:
        select = self._body.get("selectStmt", {}).get("SelectStmt")
        names = [n["ResTarget"]["name"] for n in self._body.get("cols", ())]
        names = names or [c.name for c in self._target.columns if not c.generated]
        if select is None:
            return
        if any(self._protection.shields(relation) for relation in self._reads) or _has(select, "SubLink"):
            note = "no sample: the rows are made of relations with labelled columns"
            yield SampleQuery(_relation(self._target), "insert", (), note=note)
            return
        width = len(select["valuesLists"][0]["List"]["items"]) if "valuesLists" in select else len(names)
        found = inserted_query(self._text, self._body)
        if found is None:
            return
        prefix, inner = found
        names = names[:width]
        items = [HIDDEN if self._hidden(name) else f"v.{quote(name)}" for name in names[:MAX_COLUMNS]]
        given = ", ".join(map(quote, names))
        text = f"{prefix}SELECT {', '.join(items)} FROM ({inner}\n) AS v ({given}) LIMIT {MAX_ROWS}"
        yield SampleQuery(_relation(self._target), "insert", tuple(names[:MAX_COLUMNS]), text)


def _cast(text: str, column: CatalogColumn) -> str:
    """A value as its column would hold it."""
    return f"CAST(({text}) AS {column.type})"


def _is_value(text: str, value: Tree) -> bool:
    """Whether a text is the expression of a node."""
    targets = kind_of(parse_one(f"SELECT {text}"))[1].get("targetList", ())
    return len(targets) == 1 and normal(targets[0]["ResTarget"]) == {"val": normal(value)}


def _assignments(clauses: ClauseText) -> Iterator[str]:
    """The texts behind each `=` of SET, up to the next assignment or clause."""
    begun = clauses.find("set")
    if begun is None:
        return
    depth, equals = 0, -1
    tokens = clauses.tokens.list
    for index in range(begun + 1, len(tokens) + 1):
        token = tokens[index] if index < len(tokens) else Token("mark", len(clauses.text), len(clauses.text), "")
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0) if token.kind in {"mark", "other"} else 0
        is_end = index == len(tokens) or (token.word in _WORDS and tokens[index - 1].word != "distinct")
        if depth == 0 and (token.text == "," or is_end) and equals >= 0:
            yield clauses.text[clauses.end(equals) : token.start]
            equals = -1
        elif depth == 0 and token.text == "=" and equals < 0:
            equals = index
        if depth == 0 and is_end:
            return


def _nodes(node: Any) -> Iterator[tuple[str, Any]]:
    """All nodes of a tree, with their kinds."""
    if isinstance(node, list):
        for item in node:
            yield from _nodes(item)
    elif isinstance(node, dict):
        for kind, inner in node.items():
            yield kind, inner
            yield from _nodes(inner)


def _has(node: Any, kind: str) -> bool:
    return any(found == kind for found, _ in _nodes(node))
