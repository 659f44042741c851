"""Replace parts of a statement's text, and prove that nothing else changed.

The text outside the splices stays byte for byte what the person typed. The proof is PostgreSQL's own parser: the
new text has to parse to the original tree with exactly the intended nodes replaced, or the statement is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from dbgate.errors import StatementError
from dbgate.gate.syntax import parse_one
from dbgate.model import Edits, Tree

_POSITIONS = frozenset({"location", "stmt_location", "stmt_len", "list_start", "list_end", "rexpr_list_start"})


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
    """

    edits: list[Edit] = msgspec.field(default_factory=list)
    nodes: dict[int, Any] = msgspec.field(default_factory=dict)
    bodies: dict[int, Any] = msgspec.field(default_factory=dict)

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
        if not _same(tree, result, self.nodes, self.bodies):
            raise RewriteError("the rewritten statement is not the intended one")
        return result


def _same(intended: Any, result: Any, nodes: Mapping[int, Any], bodies: Mapping[int, Any]) -> bool:
    """Whether two trees are equal but for positions, once the replacements are made in the first."""
    if intended.__class__ is list:
        return result.__class__ is list and _same_list(intended, result, nodes, bodies)
    if intended.__class__ is not dict:
        return bool(intended == result)
    intended = _replaced(intended, nodes, bodies)
    if intended.__class__ is not dict or result.__class__ is not dict:
        return False
    missing = False
    for key, value in intended.items():
        if key not in result:
            if key in _POSITIONS:
                missing = True
                continue
            return False
        if value.__class__ in _CONTAINERS:
            if not _same(value, result[key], nodes, bodies):
                return False
        elif value != result[key] and key not in _POSITIONS:
            return False
    # Every key of the one is in the other; the other may have none beside them.
    if not missing and len(intended) == len(result):
        return True
    return all(key in intended or key in _POSITIONS for key in result)


_CONTAINERS = (dict, list)


def _replaced(node: dict[str, Any], nodes: Mapping[int, Any], bodies: Mapping[int, Any]) -> Any:
    """What stands for a node: the replacement of its body, or itself."""
    if id(node) in bodies:
        return bodies[id(node)]
    if len(node) == 1:
        (inner,) = node.values()
        return nodes.get(id(inner), node)
    return node


def _same_list(
    intended: Sequence[Any], result: Sequence[Any], nodes: Mapping[int, Any], bodies: Mapping[int, Any]
) -> bool:
    items: list[Any] = []
    for item in intended:
        new = _replaced(item, nodes, bodies) if item.__class__ is dict else item
        if new.__class__ is list and item.__class__ is dict:
            items += new
        else:
            items.append(new)
    if len(items) != len(result):
        return False
    return all(_same(a, b, nodes, bodies) for a, b in zip(items, result, strict=True))


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
