"""The arguments of EXECUTE, as far as they are plain constants: with their values the rows are counted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dbgate.gate.names import kind_of, quote, strings
from dbgate.model import Tree


class Arguments(msgspec.Struct, frozen=True):
    """The values of `EXECUTE name (…)`, in text form; None when one of them has to be computed.

    `explained` tells that it stands in an EXPLAIN.
    """

    values: tuple[str | None, ...] | None
    explained: bool = False


def arguments_of(body: Tree, parameters: Sequence[str | None]) -> Arguments:
    """The arguments of an EXECUTE. `parameters` are the statement's own."""
    values: list[str | None] = []
    for node in body.get("params", ()):
        kind, inner = kind_of(node)
        if kind == "ParamRef" and 0 < inner.get("number", 0) <= len(parameters):
            values.append(parameters[inner["number"] - 1])
        elif kind == "A_Const" and inner.get("isnull"):
            values.append(None)
        elif kind == "A_Const" and "ival" in inner:
            values.append(str(inner["ival"].get("ival", 0)))
        elif kind == "A_Const" and "fval" in inner:
            values.append(inner["fval"]["fval"])
        elif kind == "A_Const" and "sval" in inner:
            values.append(inner["sval"].get("sval", ""))
        elif kind == "A_Const" and "boolval" in inner:
            values.append("true" if inner["boolval"].get("boolval") else "false")
        else:
            return Arguments(None)
    return Arguments(tuple(values))


def declared_types(body: Tree) -> dict[int, str]:
    """The types that `PREPARE name (types)` declares, by the parameter's number.

    Raises `LookupError` for one that is not the plain name of a built-in type.
    """
    types: dict[int, str] = {}
    for number, node in enumerate(body.get("argtypes", ()), start=1):
        inner = node["TypeName"]
        names = strings(inner.get("names", ()))
        if inner.get("arrayBounds") or inner.get("setof") or (len(names) > 1 and names[0] != "pg_catalog"):
            raise LookupError(names)
        types[number] = f"pg_catalog.{quote(names[-1])}"
    return types
