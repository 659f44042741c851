"""Replace parts of a statement's text, and prove that nothing else changed.

The text outside the splices stays byte for byte what the person typed. The proof is PostgreSQL's own parser: the
new text has to parse to the original tree with exactly the intended nodes replaced, or the statement is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbgate.errors import StatementError
from dbgate.gate.syntax import parse_one
from dbgate.model import Tree

_POSITIONS = frozenset({"location", "stmt_location", "stmt_len", "list_start", "list_end", "rexpr_list_start"})


class RewriteError(Exception):
    """The statement cannot be rewritten safely. `str()` says what stands in the way."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters from `start` to `end` by `text`."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Splices:
    """Edits of one text, and the nodes that they replace.

    `nodes` maps the `id()` of a node's body to what stands in its place: a wrapped node, or a list of them where
    the node is an element of a list. `bodies` does so for bodies without a wrapper, such as `relation`.
    A replacement that holds the original node holds a shallow copy of its body, so that it is not replaced again.
    """

    edits: list[Edit] = field(default_factory=list)
    nodes: dict[int, Any] = field(default_factory=dict)
    bodies: dict[int, Any] = field(default_factory=dict)

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

    def prove(self, tree: Tree, rewritten: str) -> Tree:
        """Parse the rewritten text and return its tree. Raises `RewriteError` unless it is what was intended."""
        try:
            result = parse_one(rewritten)
        except StatementError as error:
            raise RewriteError(f"the rewritten statement does not parse: {error.message}") from None
        if normal(result) != normal(tree, self.nodes, self.bodies):
            raise RewriteError("the rewritten statement is not the intended one")
        return result


_NOTHING: Mapping[int, Any] = {}


def normal(node: Any, nodes: Mapping[int, Any] = _NOTHING, bodies: Mapping[int, Any] = _NOTHING) -> Any:
    """A copy of a tree without positions, with nodes and bodies replaced."""
    if isinstance(node, list):
        return _normal_list(node, nodes, bodies)
    if not isinstance(node, dict):
        return node
    if id(node) in bodies:
        return normal(bodies[id(node)], nodes, bodies)
    if nodes and len(node) == 1:
        (inner,) = node.values()
        if id(inner) in nodes:
            return normal(nodes[id(inner)], nodes, bodies)
    return {
        key: normal(value, nodes, bodies) if value.__class__ in (dict, list) else value
        for key, value in node.items()
        if key not in _POSITIONS
    }


def _normal_list(items: Sequence[Any], nodes: Mapping[int, Any], bodies: Mapping[int, Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        new = normal(item, nodes, bodies)
        if isinstance(new, list) and isinstance(item, dict):
            result += new
        else:
            result.append(new)
    return result


def expression_tree(text: str) -> Tree:
    """The node of an expression."""
    target: Tree = parse_one(f"SELECT {text}")["SelectStmt"]["targetList"][0]["ResTarget"]["val"]
    return target


def targets_tree(text: str) -> list[Tree]:
    """The nodes of a target list."""
    targets: list[Tree] = parse_one(f"SELECT {text}")["SelectStmt"]["targetList"]
    return targets
