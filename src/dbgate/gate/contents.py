"""What a statement is made of: node types, functions, operators, settings. Whatever is not known is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbgate.gate.allow.functions import verdict
from dbgate.gate.allow.nodes import EXPRESSION_NODES
from dbgate.gate.allow.settings import setting_verdict
from dbgate.gate.names import kind_of, strings
from dbgate.gate.policy.model import FunctionList
from dbgate.gate.relations import Schema
from dbgate.model import Tree

_ADVICE = "functions: {allow: [schema.name(types)]} in the policy allows a function of your own"


@dataclass(slots=True)
class Contents:
    """The names in a statement. `refusal` and `hint` are set by the first one that may not stand there."""

    functions: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    refusal: str = ""
    hint: str = ""

    def refuse(self, reason: str, hint: str = "") -> None:
        """Refuse the statement; the first reason stays."""
        if not self.refusal:
            self.refusal, self.hint = reason, hint


def inspect(
    tree: Tree, schema: Schema, functions: FunctionList, search_path: Sequence[str], *, queries_only: bool
) -> Contents:
    """Look at every node of a statement. With `queries_only`, node types outside the allow-list are refused."""
    contents = Contents()
    for kind, body in nodes(tree):
        if queries_only and kind not in EXPRESSION_NODES:
            contents.refuse(f"dbgate does not know the syntax node {kind}")
        match kind:
            case "FuncCall":
                _function(body, contents, schema, functions, search_path)
            case "A_Expr":
                _operator(body.get("name", ()), contents, schema, functions, search_path)
            case "SubLink" if body.get("operName"):
                _operator(body["operName"], contents, schema, functions, search_path)
            case "SortBy" if body.get("useOp"):
                _operator(body["useOp"], contents, schema, functions, search_path)
            case "ColumnRef":
                _attribute(body, contents, schema, functions, search_path)
            case "VariableSetStmt":
                _setting(body, contents)
            case "VariableShowStmt":
                _shown(body, contents)
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
    full = ".".join(names)
    contents.functions.append(full)
    arguments = body.get("args", ())
    own = schema.functions_named(qualifier, name, search_path)
    for function in own:
        if not _allowed(function.oid, schema, functions):
            signature = f"{function.schema}.{function.name}({function.arguments})"
            contents.refuse(f"the function {signature} is not allowed by the policy", _ADVICE)
    if qualifier and qualifier != "pg_catalog":
        if not own:
            contents.refuse(f"the function {full} is not known", "check the name with \\df")
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
    if found.reason == "not reviewed" and own:
        return
    contents.refuse(f"the function {name} is refused: {found.reason}", found.hint)


def _constant(node: Tree) -> str | None:
    kind, body = kind_of(node)
    while kind == "TypeCast":
        kind, body = kind_of(body.get("arg"))
    value = body.get("sval", {}).get("sval") if kind == "A_Const" else None
    return str(value) if value is not None else None


def _allowed(oid: int, schema: Schema, functions: FunctionList) -> bool:
    function = schema.functions_by_oid[oid]
    if function.extension:
        return function.extension in functions.extensions
    signature = f"{function.schema}.{function.name}({function.arguments})".replace(" ", "")
    return any(signature == allowed.replace(" ", "") for allowed in functions.allow)


def _operator(
    names: Sequence[Tree], contents: Contents, schema: Schema, functions: FunctionList, search_path: Sequence[str]
) -> None:
    parts = strings(names)
    if not parts or parts[-1] not in schema.operators:
        return
    for operator in schema.catalog.operators:
        reachable = parts[0] == operator.schema if len(parts) > 1 else operator.schema in search_path
        if operator.name == parts[-1] and reachable:
            known = schema.functions_by_oid.get(operator.function)
            if known is not None and not _allowed(known.oid, schema, functions):
                contents.refuse(
                    f"the operator {operator.schema}.{operator.name} calls {known.schema}.{known.name}, "
                    "which the policy does not allow",
                    _ADVICE,
                )


def _attribute(
    body: Tree, contents: Contents, schema: Schema, functions: FunctionList, search_path: Sequence[str]
) -> None:
    """`row.name` calls the function `name(row)` where the row has no such column."""
    names = strings(body["fields"])
    if len(names) < 2:
        return
    for function in schema.functions_named("", names[-1], search_path):
        is_column = any(c.name == names[-1] for r in schema.catalog.relations for c in r.columns)
        if not is_column and not _allowed(function.oid, schema, functions):
            contents.refuse(
                f"{'.'.join(names)} calls the function {function.schema}.{function.name}, which is not allowed", _ADVICE
            )


def _setting(body: Tree, contents: Contents) -> None:
    name = str(body.get("name", "")).lower()
    kind = body.get("kind", "")
    if kind == "VAR_RESET_ALL":
        contents.refuse("RESET ALL would reset what dbgate has set", "reset single settings")
        return
    contents.settings.append(name)
    found = setting_verdict(name, "set")
    if not found.safe and found.special != "search_path":
        contents.refuse(f"the setting {name} cannot be changed: {found.reason}", found.hint)


def _shown(body: Tree, contents: Contents) -> None:
    name = str(body.get("name", "")).lower()
    contents.settings.append(name)
    found = setting_verdict(name, "show")
    if not found.safe:
        contents.refuse(f"the setting {name} cannot be shown: {found.reason}", found.hint)
