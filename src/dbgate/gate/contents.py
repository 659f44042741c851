"""What a statement is made of: node types, functions, operators, settings. Whatever is not known is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from dbgate.gate.allow.functions import SAMPLE_METHODS, call_by_dot, verdict
from dbgate.gate.allow.nodes import DEFINITION_NODES, EXPRESSION_NODES
from dbgate.gate.allow.settings import setting_verdict, timeout_ms
from dbgate.gate.allow.verdict import NOT_REVIEWED
from dbgate.gate.names import kind_of, strings
from dbgate.gate.operators import BETWEEN, EQUALS, refused_operator
from dbgate.gate.own_functions import ADVICE, allowed, meant
from dbgate.gate.policy.model import FunctionList, Limits
from dbgate.gate.relations import Schema
from dbgate.gate.typenames import type_names
from dbgate.model import Tree


class Contents(msgspec.Struct):
    """The names in a statement. `refusal` and `hint` are set by the first one that may not stand there."""

    functions: list[str] = msgspec.field(default_factory=list)
    settings: list[str] = msgspec.field(default_factory=list)
    sequences: list[str] = msgspec.field(default_factory=list)
    types: set[tuple[str, ...]] = msgspec.field(default_factory=set)
    refusal: str = ""
    hint: str = ""

    def refuse_where(self, reason: str, hint: str) -> None:
        """Refuse the statement where there is a reason."""
        if reason:
            self.refuse(reason, hint)

    def refuse(self, reason: str, hint: str = "") -> None:
        """Refuse the statement; the first reason stays."""
        if not self.refusal:
            self.refusal, self.hint = reason, hint


def inspect(
    tree: Tree,
    schema: Schema,
    functions: FunctionList,
    search_path: Sequence[str],
    *,
    limits: Limits,
    queries_only: bool,
    dotted: Sequence[str] | None = None,
) -> Contents:
    """Look at every node of a statement. Node types that are not known are refused; `queries_only` leaves out those of
    definitions.

    `dotted` are the names behind a dot that are no known column, where the statement was analysed; None asks for
    every name behind a dot.
    """
    contents = Contents()
    found = list(dotted or ())
    known = EXPRESSION_NODES if queries_only else DEFINITION_NODES
    for kind, body in nodes(tree):
        if kind not in known:
            contents.refuse(f"dbgate does not know the syntax node {kind}")
        for holder in (body, body.get("output")):  # RETURNING of JSON functions
            named = holder.get("typeName") if holder.__class__ is dict else None
            if named.__class__ is dict:
                _type(strings(named.get("names", ())), contents, schema, functions, search_path)
        match kind:
            case "FuncCall":
                _function(body, contents, schema, functions, search_path)
            case "A_Expr":
                for names in BETWEEN.get(str(body.get("kind")), (body.get("name", ()),)):
                    contents.refuse_where(*refused_operator(names, schema, functions, search_path))
            case "CaseExpr" if body.get("arg"):
                contents.refuse_where(*refused_operator(EQUALS, schema, functions, search_path))
            case "JoinExpr" if body.get("usingClause") or body.get("isNatural"):
                contents.refuse_where(*refused_operator(EQUALS, schema, functions, search_path))
            case "TypeName":
                _type(strings(body.get("names", ())), contents, schema, functions, search_path)
            case "SubLink" if body.get("testexpr"):
                contents.refuse_where(*refused_operator(body.get("operName", EQUALS), schema, functions, search_path))
            case "SortBy" if body.get("useOp"):
                contents.refuse_where(*refused_operator(body["useOp"], schema, functions, search_path))
            case "RangeTableSample":
                method = ".".join(strings(body["method"]))
                if method.removeprefix("pg_catalog.") not in SAMPLE_METHODS:
                    contents.refuse(f"the sampling method {method} is not known")
            case "ColumnRef" if dotted is None:
                found += strings(body["fields"])[1:]
            case "A_Indirection" if dotted is None:
                found += strings(body["indirection"])
            case "VariableSetStmt":
                _setting(body, contents, limits)
            case "VariableShowStmt":
                _shown(body, contents)
    for name in found:
        _called_by_dot(name, contents, schema, functions, search_path)
    return contents


def nodes(tree: Any) -> Iterator[tuple[str, Tree]]:
    """Every wrapped node of a tree, as type and body."""
    todo: list[Any] = [tree]
    while todo:
        current = todo.pop()
        if current.__class__ is list:
            todo += current
        elif current.__class__ is dict:
            kind, body = kind_of(current)
            if kind:
                yield kind, body
                todo += [v for v in body.values() if v.__class__ in (dict, list)]
            else:
                todo += [v for v in current.values() if v.__class__ in (dict, list)]


def _function(
    body: Tree, contents: Contents, schema: Schema, functions: FunctionList, search_path: Sequence[str]
) -> None:
    names = strings(body["funcname"])
    name, qualifier = names[-1], names[-2] if len(names) > 1 else ""
    full, arguments = ".".join(names), body.get("args", ())
    contents.functions.append(full)
    own = schema.functions_named(qualifier, name, search_path)
    for function in meant(own, body, schema):
        if not allowed(function.oid, schema, functions):
            signature = f"{function.schema}.{function.name}({function.arguments})"
            hint = f"{ADVICE}, or say which one is meant: {name}(argument::type)" if len(own) > 1 else ADVICE
            contents.refuse(f"the function {signature} is not allowed by the policy", hint)
    if qualifier == "information_schema":
        if not verdict(name, len(arguments), qualifier).safe:
            contents.refuse(f"the function {full} is not known")
        return
    if qualifier and qualifier != "pg_catalog":
        if not own:
            contents.refuse(f"the function {full} is not known", "check the name with \\df")
        return
    if verdict(name).special == "type-reader":
        _type_by_name(arguments, contents, schema, functions, search_path)
        return
    _built_in(name, arguments, own, contents)


def _built_in(name: str, arguments: Sequence[Tree], own: Sequence[object], contents: Contents) -> None:
    """A function of `pg_catalog`, unless one of the search path is meant alone."""
    found = verdict(name, len(arguments))
    if found.safe:
        return
    if found.special == "setting-reader":
        setting = _constant(arguments[0]) if arguments else None
        if setting is None:
            contents.refuse(f"{name} takes the name of a setting as a constant here")
        else:
            contents.settings.append(setting)
            shown = setting_verdict(setting, "show")
            if not shown.safe:
                contents.refuse(f"the setting {setting} cannot be read: {shown.reason}")
        return
    if found.special == "writes-sequence":
        sequence = _constant(arguments[0]) if arguments else None
        if sequence is not None:
            contents.sequences.append(sequence)
            return
    if found.reason == NOT_REVIEWED and own:
        return
    contents.refuse(
        f"the function {name} is refused: {found.reason}",
        found.hint or (f"check the name with \\df; {ADVICE}" if found.reason == NOT_REVIEWED else ""),
    )


def _constant(node: Tree) -> str | None:
    kind, body = kind_of(node)
    while kind == "TypeCast":
        kind, body = kind_of(body.get("arg"))
    value = body.get("sval", {}).get("sval") if kind == "A_Const" else None
    return str(value) if value is not None else None


def _type(
    names: Sequence[str], contents: Contents, schema: Schema, functions: FunctionList, search_path: Sequence[str]
) -> None:
    """A domain's checks run with every cast to it."""
    contents.types.add(tuple(names))
    for kept in schema.types.get(names[-1], ()) if names else ():
        reachable = kept.schema == names[-2] if len(names) > 1 else kept.schema in (*search_path, schema.temp_schema)
        for oid in kept.check_functions if reachable else ():
            known = schema.functions_by_oid.get(oid)
            if known is not None and not known.extension and not allowed(oid, schema, functions):
                contents.refuse(
                    f"the type {kept.schema}.{kept.name} calls {known.schema}.{known.name}, "
                    "which the policy does not allow",
                    ADVICE,
                )


def _type_by_name(
    arguments: Sequence[Tree], contents: Contents, schema: Schema, functions: FunctionList, search_path: Sequence[str]
) -> None:
    """`pg_input_is_valid('…', 'type')` casts to the type that its second argument names."""
    names = type_names(_constant(arguments[1]) or "") if len(arguments) == 2 else None
    _type(names or (), contents, schema, functions, search_path)
    if names is None:
        contents.refuse("the name of a type has to be a constant here", "use a cast")


def _called_by_dot(
    name: str, contents: Contents, schema: Schema, functions: FunctionList, search_path: Sequence[str]
) -> None:
    """`row.name` and `(value).name` call the function `name(value)` where there is no such column."""
    found = call_by_dot(name)
    if not found.safe:
        contents.refuse(f"the function {name} is refused: {found.reason}", found.hint)
    for function in schema.functions_named("", name, search_path):
        if not allowed(function.oid, schema, functions):
            contents.refuse(f".{name} calls the function {function.schema}.{name}, which is not allowed", ADVICE)


def _setting(body: Tree, contents: Contents, limits: Limits) -> None:
    name = str(body.get("name", "")).lower()
    if body.get("kind") == "VAR_RESET_ALL":
        contents.refuse("RESET ALL would reset what dbgate has set", "reset single settings")
        return
    contents.settings.append(name)
    action = "set" if body.get("kind") in {"VAR_SET_VALUE", "VAR_SET_MULTI"} else "reset"
    value = _value(body.get("args", ()))
    found = setting_verdict(name, action, value)
    if found.safe or (found.special == "search_path" and _plain_path(body)):
        return
    if found.special == "bounded" and _within(name, action, value, limits):
        return
    contents.refuse(f"the setting {name} cannot be changed: {found.reason}", found.hint)


def _value(args: Sequence[Tree]) -> str | None:
    """The one constant of a SET, in text form."""
    if len(args) != 1:
        return None
    kind, body = kind_of(args[0])
    if kind != "A_Const":
        return None
    for key, inner in (("sval", "sval"), ("ival", "ival"), ("fval", "fval")):
        if key in body:
            return str(body[key].get(inner, 0 if key == "ival" else ""))
    return None


def _plain_path(body: Tree) -> bool:
    """Whether a search path leaves `pg_catalog` in front, and temporary objects out of the way of functions."""
    names = [n["A_Const"].get("sval", {}).get("sval", "") for n in body.get("args", ()) if "A_Const" in n]
    return "pg_catalog" not in names[1:] and not any(n.startswith("pg_temp") for n in names)


def _within(name: str, action: str, value: str | None, limits: Limits) -> bool:
    """Whether a timeout stays within the policy's limit; without one it may have any value."""
    limit = {"statement_timeout": limits.statement_timeout_s, "lock_timeout": limits.lock_timeout_s}.get(name)
    if limit is None:
        return name in {"statement_timeout", "lock_timeout"}
    wanted = timeout_ms(value) if value is not None else None
    return action == "set" and wanted is not None and 0 < wanted <= limit * 1000


def _shown(body: Tree, contents: Contents) -> None:
    name = str(body.get("name", "")).lower()
    contents.settings.append(name)
    found = setting_verdict(name, "show")
    if not found.safe:
        contents.refuse(f"the setting {name} cannot be shown: {found.reason}", found.hint)
