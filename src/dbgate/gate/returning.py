"""Splices for columns: names behind a sub-select, `*` written out, and masks in place in RETURNING."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dbgate.gate.allow.system import is_system
from dbgate.gate.findings import Findings, Reference, Star
from dbgate.gate.lexer import Tokens
from dbgate.gate.names import UNNAMED, kind_of, output_name, qualified, quote, strings
from dbgate.gate.protection import Protection
from dbgate.gate.scope import Entry, Item
from dbgate.gate.splice import Edit, RewriteError, Splices, expression_tree, targets_tree
from dbgate.model import Tree


def compared(tree: Any) -> dict[int, bool]:
    """The columns that are operands themselves, by `id`: a row that is cast would be compared by its columns there.

    True where a literal without a type stands on the other side, which takes the row's own type. What stands before
    `IN (SELECT …)` and its like is one, too.
    """
    found: dict[int, bool] = {}
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
            continue
        if not isinstance(node, dict):
            continue
        kind, body = kind_of(node)
        if kind == "A_Expr":
            sides = [body.get("lexpr"), body.get("rexpr")]
            items = [x for side in sides for x in kind_of(side)[1].get("items", [side])]
            literal = any("sval" in kind_of(item)[1] for item in items)
            found |= {id(kind_of(item)[1]): literal for item in items}
        elif kind == "SubLink" and "testexpr" in body:
            found[id(kind_of(body["testexpr"])[1])] = False
        todo += node.values()
    return found


class ColumnSplices:
    """The part of the substitution that replaces columns. Mixed into `Substitution`."""

    found: Findings
    protection: Protection
    tokens: Tokens
    splices: Splices
    text: str
    _shielded: set[int]

    def _at(self, body: Tree) -> int:
        raise NotImplementedError

    def _shorten(self, reference: Reference) -> None:
        """`schema.table.column` cannot name a sub-select: keep `table.column`."""
        if id(reference.entry) not in self._shielded or id(reference.body) in self.splices.nodes:
            return
        first = self._at(reference.body)
        keep = first + 2 * (reference.parts - 2)
        tokens = self.tokens.list
        fields = reference.body["fields"][reference.parts - 2 :]
        name = reference.entry.sent_name
        if reference.entry.twin:
            self.splices.edits.append(Edit(tokens[first].start, tokens[keep].end, quote(name)))
            fields = [{"String": {"sval": name}}, *fields[1:]]
        else:
            self.splices.edits.append(Edit(tokens[first].start, tokens[keep].start, ""))
        self.splices.nodes[id(reference.body)] = {"ColumnRef": {"fields": fields}}

    def _cast_row(self, reference: Reference, *, is_operand: bool = False) -> None:
        """A row of a sub-select has no type of its own: give a value the type that the relation's rows have.

        An operand gets it in a query of its own, so that it is compared as one value.
        Not where a mask may be no value of its domain. Where an outer join may put NULL in its place that stays NULL,
        which a row made of columns is not.
        """
        entry, cast = reference.entry, self._row_type(reference.entry)
        if not cast or id(entry) not in self._shielded or id(reference.body) in self.splices.nodes:
            return
        self._put_row(reference, self._record(entry, cast), cast, is_operand=is_operand)

    def _row_type(self, entry: Entry) -> str:
        """The cast to the type of a relation's rows; empty where there is none, or a mask may be no value of its domain."""
        relation = entry.relation
        if relation is None or not relation.oid:
            return ""
        hidden = self.protection.hidden_columns(relation)
        domains = any(c.name in hidden and c.type_oid != c.base_oid for c in relation.columns)
        temporary = relation.schema == self.protection.schema.temp_schema
        if domains or (not temporary and is_system(relation.schema, relation.name)):
            return ""
        return f"::{qualified('pg_temp' if temporary else relation.schema, relation.name)}"

    def _write_row(self, reference: Reference, *, typed: bool) -> None:
        """Leave system columns, which a sub-select may have beside the others, out of a row."""
        made = self._record(reference.entry, self._row_type(reference.entry) if typed else "")
        if made and id(reference.body) not in self.splices.nodes:
            self._put_row(reference, made, "")

    def _put_row(self, reference: Reference, made: str, cast: str, *, is_operand: bool = False) -> None:
        """Put `made`, or the row itself with a cast, where a row is named."""
        first = self._at(reference.body)
        start, end = self.tokens.list[first].start, self.tokens.list[self.tokens.name_end(first) - 1].end
        row = self.text[start:end]
        made = made or (f"(SELECT {row}{cast})" if is_operand else f"{row}{cast}")
        if reference.entry.nullable:  # the last part of CASE gives the column its name
            made = f"CASE WHEN {row} IS NOT DISTINCT FROM NULL THEN NULL ELSE {made} END"
        self.splices.edits.append(Edit(start, end, made))
        self.splices.nodes[id(reference.body)] = expression_tree(made)

    def _record(self, entry: Entry, cast: str) -> str:
        """A row of an item as a query of its columns; empty where its name gives just that."""
        if not self._shows_system(entry):
            return ""
        name = quote(entry.sent_name)
        return f"(SELECT {name}{cast} FROM (SELECT {', '.join(self._columns(entry))}) AS {name})"

    def _shows_system(self, entry: Entry) -> bool:
        """Whether a sub-select has system columns beside those that `*` or a row gives."""
        return any(below.system and id(below) in self._shielded for below in entry.family())

    def _columns(self, entry: Entry) -> list[str]:
        """The columns of an item, qualified. Raises `RewriteError` where they cannot be listed."""
        names = [column.name for column in entry.columns or ()]
        if entry.columns is None or not entry.name or len(set(names)) < len(names):
            raise RewriteError("`*` cannot be written out here: list the columns")
        return [f"{quote(entry.sent_name)}.{quote(name)}" for name in names]

    def _expand_star(self, star: Star) -> None:
        """Write a `*` out where it would show system columns or the hidden columns of a changed table."""
        body = star.body
        entries = star.entries()
        needed = any(self._shows_system(e) or self._hides_target(e) for e in entries)
        if not needed and not self._is_open(star):
            return
        items = star.items if star.entry is None else (Item([star.entry], star.entry.columns),)
        names = [name for item in items for name in self._names(item) if star.entry or not item.entries[0].implicit]
        if body.get("location", -1) < 0:
            raise RewriteError("`*` cannot be written out here: list the columns")
        text = ", ".join(names)
        first = self._at(body)
        end = first if not strings(body["fields"]) else self.tokens.name_end(first) - 1
        tokens = self.tokens.list
        self.splices.edits.append(Edit(tokens[first].start, tokens[end].end, text))
        target = self.found.targets_of.get(id(body))
        if target is None:
            raise RewriteError("`*` stands inside an expression: list the columns")
        self.splices.nodes[id(target)] = targets_tree(text)

    def _is_open(self, star: Star) -> bool:
        """Whether a `*` of RETURNING can be written out, so that it shows no column that the catalog does not know."""
        listed = id(star.body) in self.found.targets_of and star.body.get("location", -1) >= 0
        entries = star.entries()
        named = all(e.columns is not None and e.name for e in entries)
        return listed and named and any(e.target for e in entries)

    def _names(self, item: Item) -> Iterator[str]:
        """What `*` gives of one FROM item, written out: merged columns of a join first, by their bare name."""
        if item.join is not None:
            left, right, merged = item.join
            yield from (quote(name) for name in merged)
            for side in (left, right):
                bare = {f".{quote(name)}" for name in merged}
                yield from (
                    n for n in self._names(side) if n[n.find(".") :] not in bare and n not in map(quote, merged)
                )
            return
        entry = item.entries[0]
        for column, reference in zip(entry.columns or (), self._columns(entry), strict=False):
            yield self._target_column(entry, column.name) or reference

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
        named: dict[int, tuple[Tree, Reference]] = {}
        masked_here: set[int] = set()
        for reference in self.found.returning:
            entry = reference.entry
            if not self._hides_target(entry) or entry.relation is None or id(reference.body) in masked_here:
                continue
            if id(reference.body) in self.splices.nodes:
                if reference.column:
                    raise RewriteError(f"something else stands for {reference.column} in RETURNING")
                continue  # a whole row, which is written out with its masks
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
            masked_here.add(id(reference.body))
            self.splices.nodes[id(reference.body)] = expression_tree(f"({masked})")
            self.splices.edits.append(Edit(tokens[first].start, end, f"({masked})"))
            if reference.target is not None:
                named.setdefault(id(reference.target), (reference.target, reference))
        for target, reference in named.values():
            self._keep_name(target, reference)

    def _keep_name(self, target: Tree, reference: Reference) -> None:
        """Give an item of RETURNING the name that it had before a mask stood in it."""
        name = output_name(target)
        if target.get("name") or name == UNNAMED:
            return
        end = self._end_of_item(self._at(target))
        place = self.tokens.list[end - 1].end
        self.splices.edits.append(Edit(place, place, f" AS {quote(name)}"))
        self.splices.nodes[id(target)] = {"ResTarget": {"name": name, **target}}

    def _end_of_item(self, start: int) -> int:
        """The index behind an item of a RETURNING list, the last clause of its statement."""
        depth = 0
        for index in range(start, len(self.tokens.list)):
            token = self.tokens.list[index]
            text = token.text if token.kind == "mark" else ""
            if depth == 0 and text in {",", ")", ";"}:
                return index
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text, 0)
        return len(self.tokens.list)
