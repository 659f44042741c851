"""What can be taken out of a file: every mutant is one edit of its text.

A *rule* is a mutant that lets more through. `make mutants` tries those that take a whole statement out: a drop, or a guard or
an alternative without which the only statement behind it is gone. `--fine` tries the parts of rules as well, `--all` the
others too. By its form alone:

drop      a raise, a finding or a verdict that is returned, a call or an assignment done for its effect. Not what returns
          nothing (an exception from a rule), nor what `guard` says already of a branch with this statement alone
guard     the condition of a branch that refuses or does something is never true; that of an exception (`return None`,
          `continue`) is always; of a branch that cannot be told, of a loop and of a filter: both (`direction`)
operand   what makes a condition go wrong that way: an `or` of a refusal, an `and` of an exception; one side of `|`, `&`, or
          what is taken away by `-`; a `not`
case      an alternative of a match is never taken, if it does something
element   a member of `in (…)` where its loss lets more through, of a table that steers the gate; of the allow-lists, a name
          that was reviewed and left out is put on them instead (`lists`)
return    a function that is one expression gives the plain values of its type
flag      a True is False, and the other way round

No rules are: words of errors and denials, tables kept to be quick, `strict=` of zip, and the files of `NOT_RULES`. The rest
of what is found is there to be tried with `--all`:

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
from pathlib import Path

from tools.mutants.finder import Finder, starts_of
from tools.mutants.mutant import Mutant

NOT_RULES = {
    "gate/missing.py": "words the error for a name that is not there",
    "gate/newer.py": "names syntax that the grammar refuses already",
    "gate/grammar_errors.py": "gives the grammar's errors their SQLSTATE",
    "gate/positions.py": "says where in the typed text an error stands",
    "gate/depth.py": "makes room on the stack",
    "gate/policy/advice.py": "says what would make a denied statement pass",
    "gate/policy/imagined.py": "imagines a catalog for trying a policy",
    "gate/policy/trial.py": "runs a policy's own tests",
    "gate/policy/outlook.py": "tells people what they may do",
    "gate/policy/verbs.py": "spells the verbs",
}
"""Files that decide nothing about a statement: nothing in them is a rule."""


def mutants_of(path: Path, name: str) -> list[Mutant]:
    """All mutants of a file, without those that do not compile or compile to the same code."""
    source = path.read_bytes()
    pieces = _pieces(source)
    plain = {start: ast.dump(ast.parse(before + source[start:end])) for start, end, before in pieces}
    kept: dict[tuple[int, str], Mutant] = {}
    for mutant in Finder(source, name).found:
        start, end, before = next(p for p in pieces if p[0] <= mutant.start <= p[1])
        text = source[start : mutant.start] + mutant.text.encode() + source[mutant.end : end]
        try:
            dump = ast.dump(ast.parse(before + text))
        except (SyntaxError, ValueError):
            continue
        if dump != plain[start]:
            first = kept.setdefault((start, dump), mutant)
            kept[start, dump] = replace(first, rule=(first.rule or mutant.rule) and name not in NOT_RULES)
    seen: Counter[str] = Counter()
    found = []
    for mutant in kept.values():
        found.append(replace(mutant, ordinal=seen[mutant.key] + 1 if seen[mutant.key] else 0))
        seen[mutant.key] += 1
    return found


def _pieces(source: bytes) -> list[tuple[int, int, bytes]]:
    """Where each statement of a module, or each method, begins and ends, in bytes, and what makes it a text of its own."""
    starts = starts_of(source)
    found = []
    for outer in ast.parse(source).body:
        for node in outer.body if isinstance(outer, ast.ClassDef) else [outer]:
            if node.end_lineno is not None and node.end_col_offset is not None:
                before = b"if 1:\n" + b" " * node.col_offset if node.col_offset else b""
                start = starts[node.lineno - 1] + node.col_offset
                found.append((start, starts[node.end_lineno - 1] + node.end_col_offset, before))
    return found
