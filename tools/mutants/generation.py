"""What can be taken out of a file: every mutant is one edit of its text.

drop      a call, a return, a raise, an assignment to a field, a `continue` becomes `pass`
guard     the condition of an if, a while, a comprehension, a match case is always, or never, true
operand   one operand of `and`, `or`, `|`, `&`, or what is taken away by `-`, is left out; `not` is left out
case      an alternative of a match is never taken
return    a function returns at once, with each plain value of its type
element   one element of a set, of a list that is searched, of a table of names is left out
flag      a keyword argument that is True is False, and the other way round
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from tools.mutants.mutant import Mutant
from tools.mutants.plain import below, droppable, is_docstring, is_plain, plain_values, type_checking

MAX_ELEMENTS = 60
"""Longer tables are allow-lists: without an element they refuse more. `lists` puts names on them instead."""


def mutants_of(path: Path, name: str) -> list[Mutant]:
    """All mutants of a file, without those that do not compile or compile to the same code."""
    source = path.read_bytes()
    made = _Finder(source, name).found
    pieces = _pieces(source)
    seen: Counter[str] = Counter()
    kept = []
    known = {(start, ast.dump(ast.parse(source[start:end]))) for start, end in pieces}
    for mutant in made:
        start, end = next(p for p in pieces if p[0] <= mutant.start <= p[1])
        try:
            dump = ast.dump(ast.parse(source[start : mutant.start] + mutant.text.encode() + source[mutant.end : end]))
        except (SyntaxError, ValueError):
            continue
        if (start, dump) in known:
            continue
        known.add((start, dump))
        plain = mutant.key
        kept.append(replace(mutant, ordinal=seen[plain] + 1 if seen[plain] else 0))
        seen[plain] += 1
    return kept


def _pieces(source: bytes) -> list[tuple[int, int]]:
    """Where each statement of a module begins and ends, in bytes."""
    starts = _starts(source)
    return [
        (starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset)
        for node in ast.parse(source).body
        if node.end_lineno is not None and node.end_col_offset is not None
    ]


def _starts(source: bytes) -> list[int]:
    """Where each line begins, in bytes."""
    return [0, *accumulate(len(line) + 1 for line in source.split(b"\n"))]


class _Finder:
    """One walk over one file."""

    def __init__(self, source: bytes, name: str) -> None:
        self.source = source
        self.name = name
        self.found: list[Mutant] = []
        self.starts = _starts(source)
        self._body(ast.parse(source).body, "")

    # -- places ----------------------------------------------------------------------------------------------

    def _at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def _span(self, node: ast.expr | ast.stmt | ast.pattern) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _text(self, node: ast.expr | ast.stmt | ast.pattern) -> str:
        start, end = self._span(node)
        return self.source[start:end].decode()

    def _add(self, node: ast.expr | ast.stmt | ast.pattern, kind: str, text: str, label: str = "") -> None:
        start, end = self._span(node)
        self._edit(start, end, node.lineno, kind, text, label or " ".join(self._text(node).split()))

    def _edit(self, start: int, end: int, line: int, kind: str, text: str, label: str) -> None:
        label = label if len(label) <= 110 else f"{label[:80]}…{label[-28:]}"
        self.found.append(Mutant(self.name, self.function, kind, label, start, end, text, line))

    # -- the walk --------------------------------------------------------------------------------------------

    def _body(self, body: list[ast.stmt], owner: str) -> None:
        """Statements of a module or class."""
        for node in body:
            if isinstance(node, ast.ClassDef):
                self._body(node.body, f"{owner}.{node.name}" if owner else node.name)
            elif isinstance(node, ast.FunctionDef):
                self.function = f"{owner}.{node.name}" if owner else node.name
                self._early_return(node)
                self._walk(node.body, node)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and not owner and node.value is not None:
                self.function = ""
                self._expressions(node.value, tables=True)

    function = ""

    def _walk(self, body: list[ast.stmt], function: ast.FunctionDef) -> None:
        for place, node in enumerate(body):
            last = place == len(body) - 1 and body is function.body
            self._statement(node, last=last)
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(node, field, None)
                if inner and not isinstance(node, ast.ClassDef) and not type_checking(node):
                    self._walk(inner, function)
            for handler in getattr(node, "handlers", ()):
                self._walk(handler.body, function)
            if isinstance(node, ast.Match):
                for case in node.cases:
                    self._case(case)
                    self._walk(case.body, function)

    def _statement(self, node: ast.stmt, *, last: bool) -> None:
        if type_checking(node):
            return
        if droppable(node, last=last):
            self._add(node, "drop", "pass")
        if isinstance(node, ast.If):
            self._guard(node.test)
        elif isinstance(node, ast.While):
            self._add(node.test, "guard", "False", f"never: while {self._flat(node.test)}")
        for field in ("value", "test", "iter", "exc", "subject", "targets", "target", "items"):
            value = getattr(node, field, None)
            for part in value if isinstance(value, list) else [value]:
                inner = part.context_expr if isinstance(part, ast.withitem) else part
                if isinstance(inner, ast.expr):
                    self._expressions(inner, iterated=field == "iter")

    def _flat(self, node: ast.expr | ast.stmt | ast.pattern) -> str:
        return " ".join(self._text(node).split())

    def _guard(self, test: ast.expr) -> None:
        if isinstance(test, ast.Constant):
            return
        self._add(test, "guard", "True", f"always: if {self._flat(test)}")
        self._add(test, "guard", "False", f"never: if {self._flat(test)}")

    def _case(self, case: ast.match_case) -> None:
        if case.guard is not None:
            self._guard(case.guard)
        _, end = self._span(case.pattern)
        if case.guard is None:
            self._edit(end, end, case.pattern.lineno, "case", " if False", f"never: case {self._flat(case.pattern)}")
        if isinstance(case.pattern, ast.MatchOr):
            options = case.pattern.patterns
            for left_out in options:
                rest = " | ".join(self._text(p) for p in options if p is not left_out)
                self._add(case.pattern, "case", rest, f"without {self._flat(left_out)}")

    def _early_return(self, node: ast.FunctionDef) -> None:
        body = node.body[1:] if is_docstring(node.body[0]) else node.body
        if not body or (len(body) == 1 and isinstance(body[0], ast.Return | ast.Expr) and is_plain(body[0])):
            return
        first = self._at(body[0].lineno, body[0].col_offset)
        for value in plain_values(ast.unparse(node.returns) if node.returns else "None"):
            self._edit(first, first, body[0].lineno, "return", f"return {value}\n{' ' * body[0].col_offset}", value)

    # -- expressions -----------------------------------------------------------------------------------------

    def _expressions(self, root: ast.expr, *, tables: bool = False, iterated: bool = False) -> None:
        for node in below(root):
            if isinstance(node, ast.IfExp):
                self._guard(node.test)
            elif isinstance(node, ast.comprehension):
                for test in node.ifs:
                    self._add(test, "guard", "True", f"always: for … if {self._flat(test)}")
                    self._add(test, "guard", "False", f"never: for … if {self._flat(test)}")
                self._elements(node.iter)
            elif isinstance(node, ast.BoolOp):
                self._operands(node)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub):
                self._one_side(node)
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                self._add(node, "operand", f"bool({self._text(node.operand)})", f"without not: {self._flat(node)}")
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                self._elements(node.comparators[0])
            elif isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Set) or (tables and isinstance(node, ast.Dict)):
                self._elements(node)
        if tables or iterated:
            self._elements(root)

    def _call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"startswith", "endswith", "frozenset", "isinstance"}:
            for argument in node.args:
                self._elements(argument)
        if name == "split" and isinstance(node.func, ast.Attribute) and not node.args:
            self._words(node.func.value)
        for keyword in node.keywords:
            if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool):
                told = f"{keyword.arg}={keyword.value.value} of {self._flat(node)}"
                self._add(keyword.value, "flag", str(not keyword.value.value), told)

    def _operands(self, node: ast.BoolOp) -> None:
        word = "and" if isinstance(node.op, ast.And) else "or"
        for left_out in node.values:
            rest = f" {word} ".join(f"({self._text(v)})" for v in node.values if v is not left_out)
            self._add(node, "operand", f"({rest})", f"without {self._flat(left_out)} {word}")

    def _one_side(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Sub) and isinstance(node.right, ast.Constant):
            return
        self._add(node, "operand", f"({self._text(node.left)})", f"without {self._flat(node.right)}")
        if not isinstance(node.op, ast.Sub):
            self._add(node, "operand", f"({self._text(node.right)})", f"without {self._flat(node.left)}")

    def _elements(self, node: ast.expr) -> None:
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
            if 1 < len(pairs) <= MAX_ELEMENTS:
                for key, value in pairs:
                    rest = ", ".join(f"{self._text(k)}: {self._text(v)}" if k else f"**{self._text(v)}"
                                     for k, v in pairs if v is not value)  # fmt: skip
                    self._add(node, "element", f"{{{rest}}}", f"without {self._flat(key or value)}")
        elif isinstance(node, ast.Set | ast.List | ast.Tuple) and 1 < len(node.elts) <= MAX_ELEMENTS:
            left, right = {ast.Set: ("{", "}"), ast.List: ("[", "]"), ast.Tuple: ("(", ")")}[type(node)]
            for left_out in node.elts:
                rest = "".join(f"{self._text(e)}, " for e in node.elts if e is not left_out)
                self._add(node, "element", f"{left}{rest}{right}", f"without {self._flat(left_out)}")

    def _words(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            return
        words = node.value.split()
        if 1 < len(words) <= MAX_ELEMENTS:
            for left_out in words:
                rest = " ".join(w for w in words if w != left_out)
                self._add(node, "element", repr(rest), f"without {left_out}")
