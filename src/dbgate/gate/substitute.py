"""Source substitution: every relation with hidden columns or filtered rows becomes a sub-select of masks.

Works by splices into the text as typed (`splice.py`), each with the tree that must come out of it. Names are
spliced qualified, so that the server resolves them as the gate did.
"""

from __future__ import annotations

import msgspec

from dbgate.catalog import CatalogRelation
from dbgate.errors import StatementError
from dbgate.gate.allow.system import OWNED, SECRETS, is_system, replacements, system_verdict
from dbgate.gate.analysis import Analysis
from dbgate.gate.chosen import refuse_chosen
from dbgate.gate.clauses import Clauses
from dbgate.gate.findings import Findings
from dbgate.gate.labels import inlinable
from dbgate.gate.lexer import Offsets, Tokens
from dbgate.gate.names import qualified, quote
from dbgate.gate.outputs import masked_outputs
from dbgate.gate.protection import Protection
from dbgate.gate.returning import ColumnSplices, compared
from dbgate.gate.scope import Entry
from dbgate.gate.splice import Edit, Refusal, RewriteError, Splices, query_tree
from dbgate.gate.syntax import parse_one
from dbgate.model import Edits, Relation, Tree


class Substituted(msgspec.Struct):
    """The rewritten text, and whether any relation was replaced or filtered rather than only qualified."""

    text: str
    shielded: list[CatalogRelation] = msgspec.field(default_factory=list)
    filtered: list[Relation] = msgspec.field(default_factory=list)
    edits: Edits = ()


class Substitution(ColumnSplices, Clauses):
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
        self.filtered = self.result.filtered
        self._shielded: set[int] = set()

    def run(self) -> Substituted:
        """Make all splices, prove them, and return the new text."""
        for entry in self.found.reads:
            self._read(entry)
        for _, entry in self.found.targets:
            refuse_chosen(entry, self.protection, analyze=self.found.analyze)
            self._qualify(entry)
        for kind, body, entry in self.found.filters:
            self._filter_write(kind, body, entry)
        for reference in self.found.long_names:
            self._shorten(reference)
        operands = compared(self.tree) if self.found.rows or self.found.records else {}
        for row in {id(r.body): r for r in self.found.rows}.values():
            if operands.get(id(row.body), True):
                self._cast_row(row, is_operand=id(row.body) in operands)
        for row in {id(r.body): r for r in (*self.found.rows, *self.found.records)}.values():
            self._write_row(row, typed=id(row.body) not in operands)
        for star in {id(s.body): s for s in self.found.stars}.values():
            self._expand_star(star)
        self._mask_returning()
        for call in self.found.setting_calls.values() if self.depth == 0 else ():
            self._guard_setting(call)
        for body, scope in self.found.groups:
            self._extend_group(body, scope)
        if self.splices.edits:
            self.result.text = self.splices.apply(self.text)
            self.splices.prove(self.tree, self.result.text)
            self.result.edits = self.splices.places()
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
        if relation.oid and relation.kind in "vm" and (reason := self.protection.stored.refusal(relation)):
            raise Refusal(reason)
        if self._is_system(relation):
            self._read_system(entry, relation)
        elif self.protection.shields(relation):
            self._shield(entry, relation)
        elif entry.shows_unknown and relation.oid and not self._groups_whole(entry, relation):
            self._replace(entry, "")  # a column that was added since the catalog was read stays out
        else:
            self._qualify(entry)
        refuse_chosen(entry, self.protection, analyze=self.found.analyze)

    def _is_system(self, relation: CatalogRelation) -> bool:
        temporary = relation.schema == self.protection.schema.temp_schema
        return not temporary and is_system(relation.schema, relation.name)

    def _read_system(self, entry: Entry, relation: CatalogRelation) -> None:
        """System catalogs show definitions; samples of rows, statements and passwords are replaced."""
        verdict = system_verdict(relation.schema, relation.name)
        if not verdict.safe and verdict.special != "masked":
            raise Refusal(f"{relation.schema}.{relation.name} is refused: {verdict.reason}")
        if self.depth and relation.name in OWNED:
            raise Refusal(f"{relation.schema}.{relation.name} may not be read by a view: {verdict.reason}")
        replaced = {} if verdict.safe else replacements(verdict, (*self.protection.hidden_everywhere, *SECRETS))
        if not replaced:
            self._qualify(entry)
            return
        names = [c.name for c in relation.columns if entry.renames or entry.placed or c.name in entry.asked]
        items = [f"{replaced[n]} AS {quote(n)}" if n in replaced else quote(n) for n in names] + sorted(entry.system)
        shown = f" WHERE {verdict.rows}" if verdict.rows else ""
        self._replace(entry, f"SELECT {', '.join(items)} FROM {qualified(relation.schema, relation.name)}{shown}")

    def _shield(self, entry: Entry, relation: CatalogRelation) -> None:
        self.result.shielded.append(relation)
        if self.protection.filtered_below(relation):
            self.result.filtered.append(Relation(relation.schema, relation.name, relation.oid, relation.kind))
        if not entry.alone and self.protection.filtered_part(relation):
            raise RewriteError(f"a part of {relation.schema}.{relation.name} has a row filter of its own")
        inlined = self._inline(relation) if relation.kind == "v" else ""
        if relation.kind == "m":
            self._refuse_filtered(relation)
            if self.protection.stored.guarded(relation):
                raise Refusal(f"{relation.schema}.{relation.name} stores what system catalogs show")
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
        text = self._definition(relation) if inlinable(protection.schema, relation) else ""
        if not text:
            self._refuse_filtered(relation)
            if self.protection.stored.guarded(relation):
                raise Refusal(f"{relation.schema}.{relation.name} reads system catalogs that hold samples or texts")
        protection.inlined[relation.oid] = text
        return text

    def _definition(self, relation: CatalogRelation) -> str:
        definition = relation.definition.strip().rstrip(";").strip()
        try:
            tree = parse_one(definition)
            analysis = Analysis(self.protection.schema, self.protection.labels, ())
            columns = analysis.query(tree["SelectStmt"], None, None)
            analysis.found.analyze = self.found.analyze
            inner = Substitution(definition, tree, analysis.found, self.protection, depth=self.depth + 1)
            return self._own_masks(relation, masked_outputs(relation, columns, tree, self.protection), inner.run().text)
        except (StatementError, KeyError):
            return ""

    def _own_masks(self, relation: CatalogRelation, hidden: set[str], text: str) -> str:
        """A view's definition with masks on some of its columns."""
        if not hidden:
            return text
        items = [
            self.protection.masked_item(relation, c) if c.name in hidden else quote(c.name) for c in relation.columns
        ]
        return f"SELECT {', '.join(items)} FROM ({text}) AS {quote(relation.name)}"

    def _replace(self, entry: Entry, source: str) -> None:
        """Put a sub-select where a relation stands in FROM; an empty `source` means the relation's own."""
        body, relation = entry.body, entry.relation
        if body is None or relation is None:
            raise RewriteError("a relation could not be found in the text")
        self._shielded.add(id(entry))
        first = self._at(body)
        end = self.tokens.name_end(first)
        first, end, only = self._only(first, end)
        if bool(only) != entry.alone:
            raise RewriteError("ONLY could not be found in the text")
        sample, cut = self._sample(entry)
        if entry.placed and entry.system:
            raise RewriteError(f"columns of {entry.name} and others have names by position: name them by their own")
        alias = body.get("alias")
        if not source:
            named = alias["aliasname"] if alias else ""
            if entry.renames and not entry.whole:
                self._drop_names(end)
                alias = {"aliasname": named}
            source = self.protection.source(
                relation,
                only=only,
                sample=sample,
                system=sorted(entry.system),
                columns=entry.shown,
                asked=entry.asked if entry.placed else None,
                alias=named,
            )
        elif sample or (entry.system and not self._is_system(relation)):
            raise RewriteError(f"{relation.schema}.{relation.name} is a view here: it has no samples or system columns")
        suffix = "" if alias else f" AS {quote(entry.sent_name)}"
        tokens = self.tokens.list
        self.splices.edits.append(Edit(tokens[first].start, tokens[end - 1].end, f"({source}){suffix}"))
        if cut:
            self.splices.edits.append(cut)
        if first and tokens[first - 1].word == "table":
            self.splices.edits.append(Edit(tokens[first - 1].start, tokens[first - 1].end, "SELECT * FROM"))
        query = query_tree(source)
        self.splices.sources[id(query)] = source
        node = {"RangeSubselect": {"subquery": query, "alias": alias or {"aliasname": entry.sent_name}}}
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

    def _drop_names(self, end: int) -> None:
        """Take the column names out of `name AS alias (columns)`: the sub-select gives them, to those that are asked for."""
        tokens = self.tokens.list
        first = next(i for i in range(end, len(tokens)) if tokens[i].text == "(")
        last = self.tokens.matching(first)
        self.splices.edits.append(Edit(tokens[first].start, tokens[last].end, ""))

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
