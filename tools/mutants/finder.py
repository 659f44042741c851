"""The walk over one file that finds its mutants, and tells which of them are rules (`generation`)."""

from __future__ import annotations

import ast
from itertools import accumulate

from tools.mutants.direction import (
    Answers,
    Wrong,
    answers_of,
    empty_tables,
    is_nothing,
    membership,
    memories_of,
    names_one,
    spread,
    told_in,
    wrong_branch,
    wrong_case,
    wrong_choice,
)
from tools.mutants.mutant import Mutant
from tools.mutants.plain import below, droppable, is_docstring, is_plain, plain_values, type_checking

MAX_ELEMENTS = 60
"""Longer tables are allow-lists: without an element they refuse more. `lists` puts names on them instead."""
LISTS = "gate/allow/"


def starts_of(source: bytes) -> list[int]:
    """Where each line begins, in bytes."""
    return [0, *accumulate(len(line) + 1 for line in source.split(b"\n"))]


class Finder:
    """One walk over one file; `found` is what it found."""

    def __init__(self, source: bytes, name: str) -> None:
        self.source = source
        self.name = name
        self.found: list[Mutant] = []
        self.starts = starts_of(source)
        tree = ast.parse(source)
        self.words = told_in(tree)
        self.empty = empty_tables(tree)
        self.function = ""
        self.answers = Answers(refuses=False)
        self.memories: frozenset[str] = frozenset()
        self.wrong: dict[int, Wrong] = {}
        self._body(tree.body, "")

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

    def _flat(self, node: ast.expr | ast.stmt | ast.pattern) -> str:
        return " ".join(self._text(node).split())

    def _add(
        self,
        node: ast.expr | ast.stmt | ast.pattern,
        kind: str,
        text: str,
        label: str = "",
        *,
        rule: bool = True,
        whole: bool = False,
    ) -> None:
        start, end = self._span(node)
        rule = rule and id(node) not in self.words and not names_one(node, self.memories)
        self._edit(start, end, node.lineno, kind, text, label or self._flat(node), rule=rule, whole=whole)

    def _edit(
        self, start: int, end: int, line: int, kind: str, text: str, label: str, *, rule: bool, whole: bool = False
    ) -> None:
        label = label if len(label) <= 110 else f"{label[:80]}…{label[-28:]}"
        whole = whole or kind == "drop"
        self.found.append(Mutant(self.name, self.function, kind, label, start, end, text, line, rule=rule, whole=whole))

    # -- the walk --------------------------------------------------------------------------------------------

    def _body(self, body: list[ast.stmt], owner: str) -> None:
        """Statements of a module or class."""
        for node in body:
            if isinstance(node, ast.ClassDef):
                self._body(node.body, f"{owner}.{node.name}" if owner else node.name)
            elif isinstance(node, ast.FunctionDef):
                self.function = f"{owner}.{node.name}" if owner else node.name
                self.answers = answers_of(node)
                self.memories = memories_of(node, self.empty)
                self._early_return(node)
                self._walk(node.body, node)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and not owner and node.value is not None:
                self.function = ""
                self.memories = frozenset()
                self._expressions(node.value, tables=True)

    def _walk(self, body: list[ast.stmt], function: ast.FunctionDef, *, said: bool = False) -> None:
        """`said`: the condition around says already that the only statement is gone."""
        for place, node in enumerate(body):
            self._statement(node, last=place == len(body) - 1 and body is function.body, said=said)
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(node, field, None)
                if inner and not isinstance(node, ast.ClassDef) and not type_checking(node):
                    self._walk(inner, function, said=isinstance(node, ast.If) and _is_lone(node))
            for handler in getattr(node, "handlers", ()):
                self._walk(handler.body, function)
            if isinstance(node, ast.Match):
                for case in node.cases:
                    self._case(case)
                    self._walk(case.body, function, said=len(case.body) == 1)

    def _statement(self, node: ast.stmt, *, last: bool, said: bool) -> None:
        if type_checking(node):
            return
        if droppable(node, last=last):
            self._add(node, "drop", "pass", rule=not said and self._counts(node, last=last))
        if isinstance(node, ast.If):
            spread(node.test, wrong_branch(node, self.answers), self.wrong)
            self._guard(node.test, lone=_is_lone(node))
        elif isinstance(node, ast.While):
            self._add(node.test, "guard", "False", f"never: while {self._flat(node.test)}")
        elif isinstance(node, ast.Return) and node.value is not None and self.answers.refuses:
            spread(node.value, Wrong.NEVER, self.wrong)
        for field in ("value", "test", "iter", "exc", "subject", "targets", "target", "items"):
            value = getattr(node, field, None)
            for part in value if isinstance(value, list) else [value]:
                inner = part.context_expr if isinstance(part, ast.withitem) else part
                if isinstance(inner, ast.expr):
                    self._expressions(inner, iterated=field == "iter")

    def _counts(self, node: ast.stmt, *, last: bool) -> bool:
        """Whether a statement that is gone can let more through."""
        match node:
            case ast.Continue() | ast.Break():
                return False
            case ast.Return(value=value):
                return not is_nothing(value) and (self.answers.refuses or not last)
        return True

    def _guard(self, test: ast.expr, told: str = "if", *, lone: bool = False) -> None:
        """Both ways of a condition; `lone`: without it, the only statement that it guards is gone."""
        if isinstance(test, ast.Constant):
            return
        wrong = self.wrong.get(id(test), Wrong.EITHER)
        for way, text in ((Wrong.ALWAYS, "True"), (Wrong.NEVER, "False")):
            whole = lone and way is Wrong.NEVER
            label = f"{way.value}: {told} {self._flat(test)}"
            self._add(test, "guard", text, label, rule=wrong.covers(way), whole=whole)

    def _case(self, case: ast.match_case) -> None:
        wrong = wrong_case(case, self.answers)
        if case.guard is not None:
            spread(case.guard, wrong, self.wrong)
            self._guard(case.guard)
        rule = wrong.covers(Wrong.NEVER)
        _, end = self._span(case.pattern)
        if case.guard is None:
            label = f"never: case {self._flat(case.pattern)}"
            whole = len(case.body) == 1
            self._edit(end, end, case.pattern.lineno, "case", " if False", label, rule=rule, whole=whole)
        if isinstance(case.pattern, ast.MatchOr):
            options = case.pattern.patterns
            for left_out in options:
                rest = " | ".join(self._text(p) for p in options if p is not left_out)
                self._add(case.pattern, "case", rest, f"without {self._flat(left_out)}", rule=rule)

    def _early_return(self, node: ast.FunctionDef) -> None:
        body = node.body[1:] if is_docstring(node.body[0]) else node.body
        if not body or (len(body) == 1 and isinstance(body[0], ast.Return | ast.Expr) and is_plain(body[0])):
            return
        first = self._at(body[0].lineno, body[0].col_offset)
        rule = len(body) == 1 and isinstance(body[0], ast.Return)
        for value in plain_values(ast.unparse(node.returns) if node.returns else "None"):
            text = f"return {value}\n{' ' * body[0].col_offset}"
            self._edit(first, first, body[0].lineno, "return", text, value, rule=rule)

    # -- expressions -----------------------------------------------------------------------------------------

    def _expressions(self, root: ast.expr, *, tables: bool = False, iterated: bool = False) -> None:
        for node in below(root):
            if isinstance(node, ast.IfExp):
                spread(node.test, wrong_choice(node), self.wrong)
                self._guard(node.test)
            elif isinstance(node, ast.comprehension):
                for test in node.ifs:
                    self._guard(test, "for … if")
                self._elements(node.iter)
            elif isinstance(node, ast.BoolOp):
                self._operands(node)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub):
                self._one_side(node)
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                self._add(node, "operand", f"bool({self._text(node.operand)})", f"without not: {self._flat(node)}")
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                rule = membership(node, self.wrong.get(id(node), Wrong.EITHER))
                self._elements(node.comparators[0], rule=rule)
            elif isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Set) or (tables and isinstance(node, ast.Dict)):
                self._elements(node)
        if tables or iterated:
            self._elements(root)

    def _call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"startswith", "endswith", "frozenset", "isinstance"}:
            rule = self.wrong.get(id(node), Wrong.EITHER).covers(Wrong.NEVER)
            for argument in node.args:
                self._elements(argument, rule=rule)
        if name == "split" and isinstance(node.func, ast.Attribute) and not node.args:
            self._words(node.func.value)
        for keyword in node.keywords:
            if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool):
                told = f"{keyword.arg}={keyword.value.value} of {self._flat(node)}"
                self._add(keyword.value, "flag", str(not keyword.value.value), told, rule=keyword.arg != "strict")

    def _operands(self, node: ast.BoolOp) -> None:
        is_and = isinstance(node.op, ast.And)
        word = "and" if is_and else "or"
        rule = self.wrong.get(id(node), Wrong.EITHER).covers(Wrong.ALWAYS if is_and else Wrong.NEVER)
        for left_out in node.values:
            rest = f" {word} ".join(f"({self._text(v)})" for v in node.values if v is not left_out)
            self._add(node, "operand", f"({rest})", f"without {self._flat(left_out)} {word}", rule=rule)

    def _one_side(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Sub) and isinstance(node.right, ast.Constant):
            return
        self._add(node, "operand", f"({self._text(node.left)})", f"without {self._flat(node.right)}")
        if not isinstance(node.op, ast.Sub):
            self._add(node, "operand", f"({self._text(node.right)})", f"without {self._flat(node.left)}")

    def _elements(self, node: ast.expr, *, rule: bool = True) -> None:
        rule = rule and not (self.name.startswith(LISTS) and not self.function)
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
            if 1 < len(pairs) <= MAX_ELEMENTS:
                for key, value in pairs:
                    rest = ", ".join(f"{self._text(k)}: {self._text(v)}" if k else f"**{self._text(v)}"
                                     for k, v in pairs if v is not value)  # fmt: skip
                    self._add(node, "element", f"{{{rest}}}", f"without {self._flat(key or value)}", rule=rule)
        elif isinstance(node, ast.Set | ast.List | ast.Tuple) and 1 < len(node.elts) <= MAX_ELEMENTS:
            left, right = {ast.Set: ("{", "}"), ast.List: ("[", "]"), ast.Tuple: ("(", ")")}[type(node)]
            for left_out in node.elts:
                rest = "".join(f"{self._text(e)}, " for e in node.elts if e is not left_out)
                self._add(node, "element", f"{left}{rest}{right}", f"without {self._flat(left_out)}", rule=rule)

    def _words(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            return
        words = node.value.split()
        if 1 < len(words) <= MAX_ELEMENTS:
            rule = not (self.name.startswith(LISTS) and not self.function)
            for left_out in words:
                rest = " ".join(w for w in words if w != left_out)
                self._add(node, "element", repr(rest), f"without {left_out}", rule=rule)


def _is_lone(node: ast.If) -> bool:
    """Whether a condition guards one statement, and nothing happens otherwise."""
    return not node.orelse and len(node.body) == 1
