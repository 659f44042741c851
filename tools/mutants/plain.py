"""Questions about pieces of a syntax tree that the search for mutants asks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_RETURNS: dict[str, tuple[str, ...]] = {
    "None": ("",),
    "bool": ("True", "False"),
    "str": ("''",),
    "int": ("0",),
    "Labels": ("frozenset()",),
    "Columns": ("None", "()"),
    "Tree": ("{}",),
    "Life": ("",),
    "Part": ("",),
}
_BY_HEAD = {
    "list": "[]",
    "dict": "{}",
    "set": "set()",
    "frozenset": "frozenset()",
    "tuple": "()",
    "Sequence": "()",
    "Iterator": "",
    "Iterable": "()",
}


def below(root: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, outer ones first."""
    todo = [root]
    while todo:
        node = todo.pop(0)
        yield node
        todo += ast.iter_child_nodes(node)


def type_checking(node: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING`: it never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a string alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_plain(node: ast.stmt) -> bool:
    """Whether a statement returns a constant or a name, or nothing."""
    return isinstance(getattr(node, "value", None), ast.Constant | ast.Name | None)


def droppable(node: ast.stmt, *, last: bool) -> bool:
    """Whether a function goes on without a statement, and differs; `last` is the last one of a function."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return False
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Continue() | ast.Break():
            return True
        case ast.Return(value=value):
            return not (last and (value is None or (isinstance(value, ast.Constant) and value.value is None)))
        case ast.Assign(targets=targets):
            return all(isinstance(t, ast.Attribute | ast.Subscript) for t in targets)
    return False


def plain_values(annotation: str) -> tuple[str, ...]:
    """What a function with this return annotation could return without doing anything."""
    if annotation in _RETURNS:
        return _RETURNS[annotation]
    if annotation.endswith("| None"):
        return ("None",)
    head = annotation.partition("[")[0]
    return (_BY_HEAD[head],) if head in _BY_HEAD else ()
