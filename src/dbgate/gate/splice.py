"""Replace parts of a statement's text, and prove that nothing else changed.

The text outside the splices stays byte for byte what the person typed. The proof is PostgreSQL's own parser: the
new text has to parse to the original tree with exactly the intended nodes replaced, or the statement is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from dbgate.errors import StatementError
from dbgate.gate.syntax import parse_one
from dbgate.model import Edits, Tree

_POSITIONS = frozenset("location name_location stmt_location stmt_len list_start list_end rexpr_list_start".split())


class RewriteError(Exception):
    """The statement cannot be rewritten safely. `str()` says what stands in the way."""


class Refusal(RewriteError):
    """The statement names what nobody may read. `str()` is the whole reason."""


class Edit(msgspec.Struct, frozen=True):
    """Replace the characters from `start` to `end` by `text`."""

    start: int
    end: int
    text: str


class Splices(msgspec.Struct):
    """Edits of one text, and the nodes that they replace.

    `nodes` maps the `id()` of a node's body to what stands in its place: a wrapped node, or a list of them where
    the node is an element of a list. `bodies` does so for bodies without a wrapper, such as `relation`.
    A replacement that holds the original node holds a shallow copy of its body, so that it is not replaced again.
    `sources` maps the `id()` of trees that `query_tree` keeps to their text: nothing in them is replaced.
    """

    edits: list[Edit] = msgspec.field(default_factory=list)
    nodes: dict[int, Any] = msgspec.field(default_factory=dict)
    bodies: dict[int, Any] = msgspec.field(default_factory=dict)
    sources: dict[int, str] = msgspec.field(default_factory=dict)

    def apply(self, text: str) -> str:
        """The text with all edits made. Raises `RewriteError` when two of them overlap."""
        pieces: list[str] = []
        position = 0
        for edit in sorted(self.edits, key=lambda e: (e.start, e.end)):
            if edit.start < position:
                raise RewriteError("two replacements overlap")
            pieces += [text[position : edit.start], edit.text]
            position = edit.end
        return "".join(pieces) + text[position:]

    def places(self) -> Edits:
        """What `apply` replaces, in order."""
        return tuple((e.start, e.end, len(e.text)) for e in sorted(self.edits, key=lambda e: (e.start, e.end)))

    def prove(self, tree: Tree, rewritten: str) -> Tree:
        """Parse the rewritten text and return its tree. Raises `RewriteError` unless it is what was intended."""
        try:
            result = parse_one(rewritten)
        except StatementError as error:
            raise RewriteError(f"the rewritten statement does not parse: {error.message}") from None
        intended = self._with_sources(tree)
        if intended is not None and outline(intended) == outline(result):
            return result
        if not _same(tree, result, self):
            raise RewriteError("the rewritten statement is not the intended one")
        return result

    def _with_sources(self, tree: Tree) -> Tree | None:
        """A SELECT with its replacements made, where all of them stand in FROM, which is the usual case; None elsewhere."""
        kind, body = next(iter(tree.items()))
        if kind != "SelectStmt" or self.bodies or "fromClause" not in body:
            return None
        made: list[int] = []
        items = [self._source(item, made) for item in body["fromClause"]]
        return {kind: {**body, "fromClause": items}} if len(made) == len(self.nodes) else None

    def _source(self, item: Tree, made: list[int]) -> Tree:
        """An item of FROM with the replacements made; `made` takes in which."""
        ((kind, body),) = item.items()
        if kind == "JoinExpr":
            sides = {side: self._source(body[side], made) for side in ("larg", "rarg")}
            return {kind: {**body, **sides}}
        new: Tree = self.nodes.get(id(body), item)
        if new is not item:
            made.append(id(body))
        return new


def _same(intended: Any, result: Any, splices: Splices) -> bool:
    """Whether two trees are equal but for positions, once the replacements are made in the first.

    A loop, and not a function that calls itself: a statement has hundreds of nodes, and every rewrite is proven.
    """
    nodes, bodies, sources = splices.nodes, splices.bodies, splices.sources
    has_lists = any(value.__class__ is list for value in nodes.values())
    todo = [(intended, result)]
    while todo:
        wanted, found = todo.pop()
        if wanted.__class__ is dict:
            if bodies or len(wanted) == 1:
                wanted = _replaced(wanted, nodes, bodies)
            if wanted.__class__ is not dict or found.__class__ is not dict:
                return False
            if id(wanted) in sources and outline(found) == _source_outline(sources[id(wanted)]):
                continue
            absent = False
            for key, value in wanted.items():
                other = found.get(key, _ABSENT)
                if value.__class__ in _CONTAINERS:
                    todo.append((value, other))
                elif value != other:
                    if key not in _POSITIONS:
                        return False
                    absent = absent or other is _ABSENT
            if (absent or len(wanted) != len(found)) and not wanted.keys() ^ found.keys() <= _POSITIONS:
                return False
        elif wanted.__class__ is list:
            if has_lists:
                wanted = _expanded(wanted, nodes, bodies)
            if found.__class__ is not list or len(wanted) != len(found):
                return False
            todo += zip(wanted, found, strict=True)
        elif wanted != found:
            return False
    return True


def outline(tree: Tree) -> list[bytes]:
    """What stands around the locations of a tree's nodes: trees with equal outlines differ in those numbers alone.

    A quote within a string is written with a backslash, so that no value can look like the key. Trees that lack a
    location, have other positions or their keys in another order, may have unequal outlines all the same.
    """
    return _between_locations(_encode(tree))


@lru_cache(maxsize=1024)
def _source_outline(text: str) -> list[bytes]:
    """The outline of what `query_tree` keeps."""
    return outline(query_tree(text))


_encode = msgspec.json.Encoder().encode
_between_locations = re.compile(rb'"location":-?[0-9]+').split
_CONTAINERS = (dict, list)
_ABSENT = object()


def _replaced(node: dict[str, Any], nodes: Mapping[int, Any], bodies: Mapping[int, Any]) -> Any:
    """What stands for a node: the replacement of its body, or itself."""
    if id(node) in bodies:
        return bodies[id(node)]
    if len(node) == 1:
        (inner,) = node.values()
        return nodes.get(id(inner), node)
    return node


def _expanded(items: Sequence[Any], nodes: Mapping[int, Any], bodies: Mapping[int, Any]) -> list[Any]:
    """The items of a list, with those that several stand for replaced by these."""
    result: list[Any] = []
    for item in items:
        new = _replaced(item, nodes, bodies) if item.__class__ is dict else item
        if new.__class__ is list and item.__class__ is dict:
            result += new
        else:
            result.append(new)
    return result


def normal(node: Any) -> Any:
    """A copy of a tree without positions."""
    if isinstance(node, list):
        return [normal(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: normal(value) if value.__class__ in _CONTAINERS else value
        for key, value in node.items()
        if key not in _POSITIONS
    }


@lru_cache(maxsize=1024)
def query_tree(text: str) -> Tree:
    """The tree of a sub-select. It is kept, because the same tables are masked again and again: nobody may change it."""
    return parse_one(text)


@lru_cache(maxsize=1024)
def expression_tree(text: str) -> Tree:
    """The node of an expression, kept like `query_tree`."""
    target: Tree = parse_one(f"SELECT {text}")["SelectStmt"]["targetList"][0]["ResTarget"]["val"]
    return target


def targets_tree(text: str) -> list[Tree]:
    """The nodes of a target list."""
    targets: list[Tree] = parse_one(f"SELECT {text}")["SelectStmt"]["targetList"]
    return targets
