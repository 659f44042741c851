"""Which way a condition has to go wrong for a rule to be gone.

A branch that raises, returns a finding or does something is *strict*: the rule is gone when its condition is never true. A
branch that goes away with nothing (`return None`, `continue`) is an *exception*: the rule is gone when everything is one.
For a branch that cannot be told, both ways count. The same holds inside a condition: what an `and` asks for beside, what an
`or` adds, the members of `in (…)`, the other way round beneath `not` and `all`.
"""

from __future__ import annotations

import ast
from enum import Enum
from typing import NamedTuple

from tools.mutants.plain import below


class Wrong(Enum):
    """Where a condition goes wrong."""

    NEVER = "never"
    ALWAYS = "always"
    EITHER = "either"

    @property
    def flipped(self) -> Wrong:
        """The same beneath a `not`."""
        return {Wrong.NEVER: Wrong.ALWAYS, Wrong.ALWAYS: Wrong.NEVER}.get(self, self)

    def covers(self, way: Wrong) -> bool:
        """Whether a condition that is `way` (never or always) true takes a rule out."""
        return self in {way, Wrong.EITHER}


class _Kind(Enum):
    STRICT = 0
    EXCEPTION = 1
    UNKNOWN = 2


class Answers(NamedTuple):
    """What the return annotation of a function tells."""

    refuses: bool
    """It returns a finding or None: to return one early takes nothing away."""


def answers_of(function: ast.FunctionDef) -> Answers:
    """Read a function's return annotation."""
    told = ast.unparse(function.returns) if function.returns else ""
    return Answers(told.endswith("| None") or told == "None" or told.startswith("Iterator"))


def is_nothing(value: ast.expr | None) -> bool:
    """Whether a value is None, empty, or called NONE."""
    match value:
        case None | ast.Constant(value=None | "" | b"" | 0):
            return not (isinstance(value, ast.Constant) and value.value is False)
        case ast.Tuple(elts=[]) | ast.List(elts=[]) | ast.Dict(keys=[]) | ast.Name(id="NONE"):
            return True
        case ast.Call(func=ast.Name(id="frozenset" | "set" | "dict" | "Labels"), args=[], keywords=[]):
            return True
    return False


def _kind(body: list[ast.stmt], answers: Answers) -> _Kind:
    if any(isinstance(node, ast.Raise) for statement in body for node in below(statement)):
        return _Kind.STRICT
    last = body[-1]
    if isinstance(last, ast.Return):
        if isinstance(last.value, ast.Constant) and isinstance(last.value.value, bool):
            return _Kind.UNKNOWN
        if is_nothing(last.value):
            return _Kind.EXCEPTION if len(body) == 1 else _Kind.UNKNOWN
        return _Kind.STRICT if answers.refuses else _Kind.UNKNOWN
    if isinstance(last, ast.Continue | ast.Break | ast.Pass):
        return _Kind.EXCEPTION if len(body) == 1 else _Kind.UNKNOWN
    return _Kind.STRICT


def wrong_branch(node: ast.If, answers: Answers) -> Wrong:
    """Which way the condition of an `if` goes wrong."""
    kinds = _kind(node.body, answers), _kind(node.orelse, answers) if node.orelse else _Kind.EXCEPTION
    if kinds[0] is _Kind.EXCEPTION and not node.orelse:
        return Wrong.ALWAYS
    return {
        (_Kind.STRICT, _Kind.EXCEPTION): Wrong.NEVER,
        (_Kind.EXCEPTION, _Kind.STRICT): Wrong.ALWAYS,
    }.get(kinds, Wrong.EITHER)


def wrong_case(node: ast.match_case, answers: Answers) -> Wrong:
    """Which way a case of a match goes wrong: when it is never taken, but for one that does nothing."""
    kind = _kind(node.body, answers)
    return {_Kind.STRICT: Wrong.NEVER, _Kind.EXCEPTION: Wrong.ALWAYS}.get(kind, Wrong.EITHER)


def wrong_choice(node: ast.IfExp) -> Wrong:
    """Which way the condition of `a if … else b` goes wrong."""
    if is_nothing(node.body) == is_nothing(node.orelse):
        return Wrong.EITHER
    return Wrong.ALWAYS if is_nothing(node.body) else Wrong.NEVER


def spread(test: ast.expr, wrong: Wrong, into: dict[int, Wrong]) -> None:
    """Note for a condition and its parts which way each goes wrong, by the `id` of the node."""
    into[id(test)] = wrong
    match test:
        case ast.BoolOp(values=values):
            for value in values:
                spread(value, wrong, into)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            spread(operand, wrong.flipped, into)
        case ast.NamedExpr(value=value):
            spread(value, wrong, into)
        case ast.Call(func=ast.Name(id="any" | "all" as name), args=[ast.GeneratorExp() as each]):
            spread(each.elt, wrong, into)
            for asked in (test for part in each.generators for test in part.ifs):
                spread(asked, wrong.flipped if name == "all" else wrong, into)


def membership(node: ast.Compare, wrong: Wrong) -> bool:
    """Whether a rule is gone when a member of `x in (…)` or `x not in (…)` is left out."""
    return wrong.covers(Wrong.NEVER if isinstance(node.ops[0], ast.In) else Wrong.ALWAYS)


# -- what is no rule -------------------------------------------------------------------------------------------------

_TOLD = frozenset({"Deny", "Refusal", "RewriteError", "Missing", "explain_missing"})
"""Calls whose arguments are words for a person."""


def told_in(node: ast.AST) -> set[int]:
    """The `id`s of all nodes that only make an error's or a denial's words."""
    found: set[int] = set()
    for inner in below(node):
        if isinstance(inner, ast.Call):
            name = getattr(inner.func, "id", getattr(inner.func, "attr", ""))
            words = inner.args if name in _TOLD or name.endswith("Error") else []
            words = [*words, *(k.value for k in inner.keywords if k.arg in {"hint", "message", "reason"} or words)]
            found |= {id(n) for word in words for n in below(word)}
    return found


def memories_of(function: ast.FunctionDef, module: frozenset[str]) -> frozenset[str]:
    """What a function keeps to be quick: the module's own empty tables, and what it both fills and answers from."""
    filled: set[str] = set()
    answered: set[str] = set()
    for node in below(function):
        if isinstance(node, ast.Assign):
            filled |= {ast.unparse(t.value) for t in node.targets if isinstance(t, ast.Subscript)}
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Subscript):
            answered.add(ast.unparse(node.value.value))
    return frozenset(filled & answered) | module


def empty_tables(tree: ast.Module) -> frozenset[str]:
    """The names of a module's tables that are empty when it is imported: they are filled while it works."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List | ast.Dict):
            empty = not (node.value.elts if isinstance(node.value, ast.List) else node.value.keys)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id for t in targets if isinstance(t, ast.Name) and empty}
    return frozenset(found)


def names_one(node: ast.AST, names: frozenset[str]) -> bool:
    """Whether a node names one of the tables."""
    return bool(names) and any(
        isinstance(inner, ast.Name | ast.Attribute) and ast.unparse(inner) in names for inner in below(node)
    )
