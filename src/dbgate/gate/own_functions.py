"""Functions of somebody's own: which of them the policy allows, and which of one name a call can mean.

That is told by the number of arguments, or by their types where those are written out. Where it leaves more than one, each
of them may be meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbgate.catalog import CatalogFunction
from dbgate.gate.allow.extensions import reads_past_the_gate
from dbgate.gate.names import kind_of, strings
from dbgate.gate.policy.model import FunctionList
from dbgate.gate.relations import Schema
from dbgate.model import Tree

ADVICE = "functions: {allow: [schema.name(types)]} in the policy allows a function of your own"

_WRITTEN = {
    "bool": "boolean",
    "bpchar": "character",
    "float4": "real",
    "float8": "double precision",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}
"""Names of built-in types in the parse tree, where `format_type` writes others."""


def allowed(oid: int, schema: Schema, functions: FunctionList) -> bool:
    """Whether the policy allows a function outside `pg_catalog`."""
    function = schema.functions_by_oid[oid]
    if function.extension in functions.extensions and not reads_past_the_gate(function.extension, function.name):
        return True
    if function.constructs:  # of a range type, whose own functions are asked about
        behind = schema.catalog.type_functions.get(function.constructs, ())
        return all(allowed(one, schema, functions) for one in behind)
    signature = f"{function.schema}.{function.name}({function.arguments})".replace(" ", "")
    return any(signature == allowed.replace(" ", "") for allowed in functions.allow)


def meant(functions: Sequence[CatalogFunction], call: Tree, schema: Schema) -> list[CatalogFunction]:
    """Those of `functions`, all of one name, that a `FuncCall` body can mean.

    The server takes the one whose types are those of the arguments exactly, if there is one (manual, 10.3).
    """
    if call.get("agg_within_group"):
        return list(functions)
    arguments = call.get("args", ())
    signature = [_type(argument, schema) for argument in arguments]
    if arguments and all(signature) and not call.get("func_variadic"):
        exact = [f for f in functions if f.arguments.replace(" ", "") == ",".join(signature).replace(" ", "")]
        if len(exact) == 1:
            return exact
    count = len(arguments)
    return [f for f in functions if f.kind not in "fpaw" or f.takes(count)]


def _type(argument: Tree, schema: Schema) -> str:
    """The type of an argument as `format_type` writes it, if it is a cast to a built-in type; else empty."""
    kind, body = kind_of(argument)
    written = body.get("typeName", {}) if kind == "TypeCast" else {}
    names = strings(written.get("names", ()))
    if not names or written.get("arrayBounds") or written.get("setof"):
        return ""
    if names[0] != "pg_catalog" and (len(names) > 1 or _shadowed(names[0], schema)):
        return ""
    return _WRITTEN.get(names[-1], names[-1])


def _shadowed(name: str, schema: Schema) -> bool:
    """Whether a bare name may be another type than that of `pg_catalog`: a temporary one stands before it."""
    return (schema.temp_schema, name) in schema.by_name or name in schema.types
