"""Operators of somebody's own: which functions they call. Some stand in a statement without a sign: BETWEEN, IN, USING."""

from __future__ import annotations

from collections.abc import Sequence

from dbgate.gate.names import strings
from dbgate.gate.own_functions import ADVICE, allowed
from dbgate.gate.policy.model import FunctionList
from dbgate.gate.relations import Schema
from dbgate.model import Tree


def refused_operator(
    names: Sequence[Tree], schema: Schema, functions: FunctionList, search_path: Sequence[str]
) -> tuple[str, str]:
    """Why an operator may not be used, and what to do; empty when nothing stands in the way. `names` as in the tree."""
    parts = strings(names)
    if not parts or parts[-1] not in schema.operators:
        return "", ""
    for operator in schema.catalog.operators:
        if operator.name in _BUILT_IN and _extension(operator.function, schema):
            continue  # which one is meant depends on types: an extension's stands for its own types
        reachable = parts[0] == operator.schema if len(parts) > 1 else operator.schema in search_path
        if operator.name == parts[-1] and reachable:
            known = schema.functions_by_oid.get(operator.function)
            if known is not None and not allowed(known.oid, schema, functions):
                called = f"{operator.schema}.{operator.name} calls {known.schema}.{known.name}"
                return f"the operator {called}, which the policy does not allow", ADVICE
    return "", ""


def _named(operator: str) -> Sequence[Tree]:
    return ({"String": {"sval": operator}},)


EQUALS = _named("=")
BETWEEN = {
    f"AEXPR_{kind}": tuple(map(_named, operators))
    for kind, operators in (
        ("BETWEEN", (">=", "<=")),
        ("NOT_BETWEEN", ("<", ">")),
        ("BETWEEN_SYM", (">=", "<=")),
        ("NOT_BETWEEN_SYM", ("<", ">")),
    )
}
"""The operators that BETWEEN stands for, by the kind of its node."""
_BUILT_IN = frozenset(
    """= <> < > <= >= + - * / % ^ | & # ~ << >> || @@ @> <@ && -> ->> #> #>> ? ?| ?& ~~ !~~ ~~* !~~* ~ !~ ~* !~* <-> -|-
    &< &> |>> <<| ~= @ !! ~>~ ~<~ ~>=~ ~<=~ |/ ||/ #- @? ^@ ## ?# ?- ?-| ?|| *= *<> *< *> *<= *>=""".split()
)
"""Operators that PostgreSQL itself has."""


def _extension(function: int, schema: Schema) -> str:
    known = schema.functions_by_oid.get(function)
    return known.extension if known is not None else ""
