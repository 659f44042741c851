"""Source substitution: every relation with hidden columns or filtered rows becomes a sub-select of masks.

Works by splices into the text as typed (`splice.py`), each with the tree that must come out of it. Names are
spliced qualified, so that the server resolves them as the gate did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dbgate.catalog import CatalogRelation
from dbgate.errors import StatementError
from dbgate.gate.allow.system import is_system, replacements, system_verdict
from dbgate.gate.analysis import Analysis, Findings, Reference
from dbgate.gate.labels import inlinable
from dbgate.gate.lexer import Offsets, Tokens
from dbgate.gate.names import qualified, quote, strings
from dbgate.gate.protection import Protection
from dbgate.gate.scope import Entry, Scope
from dbgate.gate.splice import Edit, Refusal, RewriteError, Splices, expression_tree, targets_tree
from dbgate.gate.syntax import parse_one
from dbgate.model import Relation, Tree

_MAX_VIEW_DEPTH = 30


@dataclass(slots=True)
class Substituted:
    """The rewritten text, and whether any relation was replaced or filtered rather than only qualified."""

    text: str
    shielded: list[CatalogRelation] = field(default_factory=list)
    filtered: list[Relation] = field(default_factory=list)


class Substitution:
    """The splices of one statement. Raises `RewriteError` for forms that cannot be rewritten safely."""

    def __init__(self, text: str, tree: Tree, found: Findings, protection: Protection, *, depth: int = 0) -> None:
        self.text = text
        self.tree = tree
        self.found = found
        self.protection = protection
        self.depth = depth
        self.tokens = Tokens(text)
        self.offsets = Offsets(text)
        self.splices = Splices()
        self.result = Substituted(text)
        self._shielded: set[int] = set()

    def run(self) -> Substituted:
        """Make all splices, prove them, and return the new text."""
        for entry in self.found.reads:
            self._read(entry)
        for _, entry in self.found.targets:
            self._qualify(entry)
        for kind, body, entry in self.found.filters:
            self._filter_write(kind, body, entry)
        for reference in self.found.long_names:
            self._shorten(reference)
        for body, entries in _once(self.found.stars):
            self._expand_star(body, entries)
        self._mask_returning()
        for body, scope in self.found.groups:
            self._extend_group(body, scope)
        if self.splices.edits:
            self.result.text = self.splices.apply(self.text)
            self.splices.prove(self.tree, self.result.text)
        return self.result

    # -- relations -------------------------------------------------------------------------------------------

    def _at(self, body: Tree) -> int:
        """The index of the token where a node begins."""
        try:
            return self.tokens.index_at(self.offsets.to_chars(int(body["location"])))
        except (KeyError, LookupError):
            raise RewriteError("a name could not be found in the text") from None

    def _read(self, entry: Entry) -> None:
        relation = entry.relation
        if relation is None:
            return
        if self._is_system(relation):
            self._read_system(entry, relation)
        elif self.protection.shields(relation):
            self._shield(entry, relation)
        else:
            self._qualify(entry)

    def _is_system(self, relation: CatalogRelation) -> bool:
        temporary = relation.schema == self.protection.schema.temp_schema
        return not temporary and is_system(relation.schema, relation.name)

    def _read_system(self, entry: Entry, relation: CatalogRelation) -> None:
        """System catalogs show definitions; samples of rows, statements and passwords are replaced."""
        verdict = system_verdict(relation.schema, relation.name)
        if not verdict.safe and verdict.special != "masked":
            raise Refusal(f"{relation.schema}.{relation.name} is refused: {verdict.reason}")
        replaced = {} if verdict.safe else replacements(verdict, self.protection.hidden_everywhere)
        if not replaced:
            self._qualify(entry)
            return
        names = [c.name for c in relation.columns if entry.whole or c.name in entry.used]
        items = sorted(entry.system) + [f"{replaced[n]} AS {quote(n)}" if n in replaced else quote(n) for n in names]
        self._replace(entry, f"SELECT {', '.join(items)} FROM {qualified(relation.schema, relation.name)}")

    def _shield(self, entry: Entry, relation: CatalogRelation) -> None:
        self.result.shielded.append(relation)
        if self.protection.filtered_below(relation):
            self.result.filtered.append(Relation(relation.schema, relation.name, relation.oid, relation.kind))
        if self.protection.filtered_part(relation):
            raise RewriteError(f"a part of {relation.schema}.{relation.name} has a row filter of its own")
        inlined = self._inline(relation) if relation.kind == "v" else ""
        if relation.kind == "m":
            self._refuse_filtered(relation)
        self._replace(entry, inlined)

    def _refuse_filtered(self, relation: CatalogRelation) -> None:
        """Rows of a stored or unreadable view cannot be filtered as those of its tables."""
        if self.protection.filtered_below(relation) and not self.protection.filters(relation):
            raise RewriteError(f"the view {relation.schema}.{relation.name} reads a table with a row filter")

    def _inline(self, relation: CatalogRelation) -> str:
        """The definition of a view with its own sources substituted; empty where its output is masked instead."""
        protection = self.protection
        known = protection.inlined.get(relation.oid)
        if known is not None:
            return known
        if self.depth > _MAX_VIEW_DEPTH:
            raise RewriteError(f"views nest deeper than {_MAX_VIEW_DEPTH}")
        text = self._definition(relation) if inlinable(protection.schema, relation) else ""
        if not text:
            self._refuse_filtered(relation)
        protection.inlined[relation.oid] = text
        return text

    def _definition(self, relation: CatalogRelation) -> str:
        definition = relation.definition.strip().rstrip(";").strip()
        try:
            tree = parse_one(definition)
            analysis = Analysis(self.protection.schema, self.protection.labels, ())
            analysis.query(tree["SelectStmt"], None, None)
            inner = Substitution(definition, tree, analysis.found, self.protection, depth=self.depth + 1)
            return inner.run().text
        except (StatementError, KeyError):
            return ""

    def _replace(self, entry: Entry, source: str) -> None:
        """Put a sub-select where a relation stands in FROM; an empty `source` means the relation's own."""
        body, relation = entry.body, entry.relation
        if body is None or relation is None:
            raise RewriteError("a relation could not be found in the text")
        self._shielded.add(id(entry))
        first = self._at(body)
        end = self.tokens.name_end(first)
        first, end, only = self._only(first, end)
        sample, cut = self._sample(entry)
        if not source:
            columns = None if entry.whole else entry.used
            source = self.protection.source(
                relation, only=only, sample=sample, system=sorted(entry.system), columns=columns
            )
        elif sample or (entry.system and not self._is_system(relation)):
            raise RewriteError(f"{relation.schema}.{relation.name} is a view here: it has no samples or system columns")
        alias = body.get("alias")
        suffix = "" if alias else f" AS {quote(body['relname'])}"
        tokens = self.tokens.list
        self.splices.edits.append(Edit(tokens[first].start, tokens[end - 1].end, f"({source}){suffix}"))
        if cut:
            self.splices.edits.append(cut)
        if first and tokens[first - 1].word == "table":
            self.splices.edits.append(Edit(tokens[first - 1].start, tokens[first - 1].end, "SELECT * FROM"))
        node = {"RangeSubselect": {"subquery": parse_one(source), "alias": alias or {"aliasname": body["relname"]}}}
        self.splices.nodes[id(entry.sample if entry.sample is not None else body)] = node

    def _only(self, first: int, end: int) -> tuple[int, int, str]:
        """Widen a name to `ONLY name`, `ONLY (name)` or `name *`."""
        tokens = self.tokens.list
        if first >= 1 and tokens[first - 1].word == "only":
            return first - 1, end, "ONLY "
        if first >= 2 and tokens[first - 1].text == "(" and tokens[first - 2].word == "only":
            return first - 2, end + 1, "ONLY "
        if end < len(tokens) and tokens[end].text == "*":
            return first, end + 1, ""
        return first, end, ""

    def _sample(self, entry: Entry) -> tuple[str, Edit | None]:
        """The text of a TABLESAMPLE clause, which moves inside, and the edit that takes it out."""
        if entry.sample is None:
            return "", None
        tokens = self.tokens.list
        method = self._at(entry.sample)
        end = self.tokens.matching(self.tokens.name_end(method))
        if end + 1 < len(tokens) and tokens[end + 1].word == "repeatable":
            end = self.tokens.matching(end + 2)
        start = tokens[method - 1].start
        return " " + self.text[start : tokens[end].end], Edit(start, tokens[end].end, "")

    def _qualify(self, entry: Entry) -> None:
        """Write the schema before an unqualified name."""
        body, relation = entry.body, entry.relation
        if body is None or relation is None or body.get("schemaname"):
            return
        first = self._at(body)
        token = self.tokens.list[first]
        schema = "pg_temp" if relation.schema == self.protection.schema.temp_schema else relation.schema
        self.splices.edits.append(Edit(token.start, token.end, qualified(schema, relation.name)))
        replaced = {**body, "schemaname": schema, "relname": relation.name}
        if entry.target:
            self.splices.bodies[id(body)] = replaced
        else:
            self.splices.nodes[id(body)] = {"RangeVar": replaced}

    # -- columns ---------------------------------------------------------------------------------------------

    def _shorten(self, reference: Reference) -> None:
        """`schema.table.column` cannot name a sub-select: keep `table.column`."""
        if id(reference.entry) not in self._shielded or id(reference.body) in self.splices.nodes:
            return
        first = self._at(reference.body)
        keep = first + 2 * (reference.parts - 2)
        tokens = self.tokens.list
        self.splices.edits.append(Edit(tokens[first].start, tokens[keep].start, ""))
        fields = reference.body["fields"][reference.parts - 2 :]
        self.splices.nodes[id(reference.body)] = {"ColumnRef": {"fields": fields}}

    def _expand_star(self, body: Tree, entries: Sequence[Entry]) -> None:
        """Write a `*` out where it would show system columns or the hidden columns of a changed table."""
        if not any((e.system and id(e) in self._shielded) or self._hides_target(e) for e in entries):
            return
        if body.get("location", -1) < 0 or any(e.columns is None for e in entries):
            raise RewriteError("`*` cannot be written out here: list the columns")
        text = ", ".join(
            f"{self._target_column(e, c.name) or f'{quote(e.name)}.{quote(c.name)}'}"
            for e in entries
            for c in e.columns or ()
        )
        first = self._at(body)
        end = first if not strings(body["fields"]) else self.tokens.name_end(first) - 1
        tokens = self.tokens.list
        self.splices.edits.append(Edit(tokens[first].start, tokens[end].end, text))
        target = self.found.targets_of.get(id(body))
        if target is None:
            raise RewriteError("`*` stands inside an expression: list the columns")
        self.splices.nodes[id(target)] = targets_tree(text)

    def _hides_target(self, entry: Entry) -> bool:
        return bool(entry.target and entry.relation and self.protection.hidden_columns(entry.relation))

    def _target_column(self, entry: Entry, name: str) -> str:
        """`mask AS name` for a hidden column of a changed table; empty for any other column."""
        if not self._hides_target(entry) or entry.relation is None:
            return ""
        reference = f"{quote(entry.name)}.{quote(name)}"
        masked = self.protection.column_expression(entry.relation, name, reference)
        return f"{masked} AS {quote(name)}" if masked else ""

    def _mask_returning(self) -> None:
        """Mask hidden columns of the changed table in RETURNING, in place."""
        for reference in self.found.returning:
            entry = reference.entry
            if not self._hides_target(entry) or entry.relation is None or id(reference.body) in self.splices.nodes:
                continue
            if not reference.column:
                raise RewriteError(
                    f"RETURNING names whole rows of {entry.relation.schema}.{entry.relation.name}: list the columns"
                )
            name = f"{quote(entry.name)}.{quote(reference.column)}"
            masked = self.protection.column_expression(entry.relation, reference.column, name)
            if masked is None:
                continue
            first = self._at(reference.body)
            tokens = self.tokens.list
            end = tokens[self.tokens.name_end(first) - 1].end
            target = self.found.targets_of.get(id(reference.body))
            node = expression_tree(f"({masked})")
            if target is not None and not target.get("name"):
                alias = f" AS {quote(reference.column)}"
                self.splices.nodes[id(target)] = {"ResTarget": {"name": reference.column, "val": node}}
            else:
                alias = ""
            self.splices.nodes[id(reference.body)] = node
            self.splices.edits.append(Edit(tokens[first].start, end, f"({masked}){alias}"))

    # -- clauses ---------------------------------------------------------------------------------------------

    def _filter_write(self, kind: str, body: Tree, entry: Entry) -> None:
        """UPDATE and DELETE on a table with a row filter see the visible rows only."""
        relation = entry.relation
        condition = self.protection.condition(relation) if relation else ""
        if not condition or relation is None:
            return
        if kind != "where":
            raise RewriteError(f"{kind} into {relation.schema}.{relation.name}, which has a row filter")
        self.result.filtered.append(Relation(relation.schema, relation.name, relation.oid, relation.kind))
        row = quote(entry.name)
        visible = f"(SELECT {condition} FROM (SELECT {row}.*) AS {quote(relation.name)})"
        start = self._at(entry.body or {})
        where = self._clause(start, "where")
        end_index = self._clause(start, "returning")
        end = self.tokens.list[end_index].start if end_index is not None else self._end_of_statement(start)
        original = body.get("whereClause")
        if original is None or where is None:
            self.splices.edits.append(Edit(end, end, f" WHERE {visible} "))
            statement = {**body, "whereClause": expression_tree(visible)}
        else:
            after = self.tokens.list[where].end
            self.splices.edits.append(Edit(after, after, f" CASE WHEN {visible} THEN ("))
            self.splices.edits.append(Edit(end, end, ") ELSE false END "))
            node = expression_tree(f"CASE WHEN {visible} THEN true ELSE false END")
            node["CaseExpr"]["args"][0]["CaseWhen"]["result"] = original
            statement = {**body, "whereClause": node}
        self.splices.nodes[id(body)] = {"UpdateStmt" if "targetList" in body else "DeleteStmt": statement}

    def _clause(self, start: int, word: str) -> int | None:
        """The index of a keyword at the same nesting as the token at `start`, behind it."""
        depth = 0
        for index in range(start, len(self.tokens.list)):
            token = self.tokens.list[index]
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
            if depth < 0:
                return None
            if depth == 0 and token.word == word:
                return index
        return None

    def _end_of_statement(self, start: int) -> int:
        depth = 0
        for token in self.tokens.list[start:]:
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
            if depth < 0:
                return token.start
        return self.tokens.list[-1].end

    def _extend_group(self, body: Tree, scope: Scope) -> None:
        """GROUP BY a primary key: a sub-select has no key, so name the columns that depend on it."""
        missing: list[str] = []
        keys = [strings(n["ColumnRef"]["fields"]) for n in body["groupClause"] if "ColumnRef" in n]
        for entry in scope.entries():
            relation = entry.relation
            if relation is None or id(entry) not in self._shielded or not relation.primary_key:
                continue
            grouped = {k[-1] for k in keys if len(k) == 1 or (k[-2] == entry.name)}
            names = {c.number: c.name for c in relation.columns}
            if all(names[n] in grouped for n in relation.primary_key):
                missing += [f"{quote(entry.name)}.{quote(n)}" for n in sorted(entry.used - grouped)]
        if not missing:
            return
        kind, first = next(iter(body["groupClause"][0].items()))
        index = self._at(first)
        while index > 0 and self.tokens.list[index - 1].text == "(":
            index -= 1
        start = self.tokens.list[index].start
        self.splices.edits.append(Edit(start, start, ", ".join(missing) + ", "))
        added = [expression_tree(name) for name in missing]
        self.splices.nodes[id(first)] = [*added, {kind: dict(first)}]


def _once(stars: Sequence[tuple[Tree, tuple[Entry, ...]]]) -> list[tuple[Tree, tuple[Entry, ...]]]:
    return list({id(body): (body, entries) for body, entries in stars}.values())
