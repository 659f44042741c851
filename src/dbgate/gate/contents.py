"""What a statement is made of: node types, functions, operators, settings. Whatever is not known is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from dbgate.catalog import CatalogFunction, CatalogRelation
from dbgate.gate.allow.functions import NOT_REVIEWED, SAMPLE_METHODS, call_by_dot, verdict
from dbgate.gate.allow.nodes import DEFINITION_NODES, EXPRESSION_NODES, SINCE
from dbgate.gate.allow.settings import setting_verdict
from dbgate.gate.implied import Implied
from dbgate.gate.names import kind_of, strings
from dbgate.gate.own_functions import ADVICE, allowed, meant
from dbgate.gate.policy.model import FunctionList, Limits
from dbgate.gate.relations import Schema
from dbgate.gate.scope import Entry
from dbgate.gate.settings_changed import change_setting, constant, sets, show_setting
from dbgate.gate.typenames import type_names
from dbgate.model import Tree


class _Unallowed(msgspec.Struct, frozen=True):
    """A function that a call may mean and that the policy does not allow. `arguments` is None for a qualified name."""

    function: CatalogFunction
    arguments: Sequence[Tree] | None
    is_overloaded: bool


Numbered = str | tuple[str, str]
"""A sequence: by its name, or by the table and the column that it numbers."""


class Contents(msgspec.Struct):
    """The names in a statement. `refusal` and `hint` are set by the first one that may not stand there.

    `sequences` are those that it writes, `numbers` those whose last number it reads; `any_number` tells that it may read that
    of any. `by_name` tells that it calls a function that the server looks for along the search path. `guarded` are calls of
    `current_setting`, by the `id()` of their bodies, that are rewritten so that they show no secret.
    """

    functions: list[str] = msgspec.field(default_factory=list)
    settings: list[str] = msgspec.field(default_factory=list)
    sequences: list[Numbered] = msgspec.field(default_factory=list)
    numbers: list[Numbered] = msgspec.field(default_factory=list)
    any_number: bool = False
    by_name: bool = False
    unallowed: list[_Unallowed] = msgspec.field(default_factory=list)
    refusal: str = ""
    hint: str = ""
    guarded: Collection[int] = ()

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
    entries: Sequence[Entry] = (),
    relations: Sequence[CatalogRelation] = (),
    guarded: Collection[int] = (),
) -> Contents:
    """Look at every node of a statement. Node types that are not known are refused; `queries_only` leaves out those of
    definitions.

    `dotted` are the names behind a dot that are no known column, where the statement was analysed; None asks for
    every name behind a dot. `entries` are the relations that it reads and changes, `relations` those that a definition is
    about, `guarded` the calls that stay in `Contents.guarded`.
    """
    contents = Contents(guarded=guarded)
    implied = Implied(schema, search_path, lambda oid: allowed(oid, schema, functions))
    found = list(dotted or ())
    known = EXPRESSION_NODES if queries_only else DEFINITION_NODES
    for kind, body in nodes(tree):
        if kind == "String":  # a part of a name: what holds it says what it means
            continue
        if kind not in known:
            contents.refuse(f"dbgate does not know the syntax node {kind}")
        if kind in SINCE:
            _newer(kind, body, contents, implied)
        implied.node(kind, body)
        match kind:
            case "FuncCall":
                _function(body, contents, implied, functions, limits)
            case "RangeTableSample":
                method = ".".join(strings(body["method"]))
                if method.removeprefix("pg_catalog.") not in SAMPLE_METHODS:
                    contents.refuse(f"the sampling method {method} is not known")
            case "ColumnRef" if dotted is None:
                found += strings(body["fields"])[1:]
            case "A_Indirection" if dotted is None:
                found += strings(body["indirection"])
            case "CallStmt":
                _procedure(body["funccall"], contents, implied)
            case "VariableSetStmt":
                change_setting(body, contents, limits)
            case "VariableShowStmt":
                show_setting(body, contents)
    for name in found:
        _called_by_dot(name, contents, implied)
    for entry in entries:
        implied.entry(entry)
    for relation in relations:
        implied.columns(relation)
    for call in contents.unallowed:
        _refuse_call(call, contents, implied)
    refusal = implied.refusal()
    if refusal:
        contents.refuse(refusal, ADVICE)
    return contents


def nodes(tree: Any) -> Iterator[tuple[str, Tree]]:
    """Every wrapped node of a tree, as type and body."""
    todo: list[Any] = [tree]
    while todo:
        current = todo.pop()
        if current.__class__ is dict:
            if len(current) == 1:  # what `kind_of` does, without a call for each node
                ((kind, body),) = current.items()
                if body.__class__ is dict and kind[:1].isupper():
                    yield kind, body
                    current = body
            todo += [v for v in current.values() if v.__class__ is dict or v.__class__ is list]
        elif current.__class__ is list:
            todo += current


def _function(body: Tree, contents: Contents, implied: Implied, functions: FunctionList, limits: Limits) -> None:
    schema, search_path = implied.schema, implied.search_path
    names = strings(body["funcname"])
    name, qualifier = names[-1], names[-2] if len(names) > 1 else ""
    full, arguments = ".".join(names), body.get("args", ())
    contents.functions.append(full)
    own = schema.functions_named(qualifier, name, search_path)
    contents.by_name = contents.by_name or name in schema.functions
    for function in meant(own, body, schema):
        if allowed(function.oid, schema, functions):
            implied.types.update(function.result_types)
        else:
            several = len(own) > 1
            contents.unallowed.append(_Unallowed(function, None if qualifier else arguments, several))
    if qualifier == "information_schema":
        if not verdict(name, len(arguments), qualifier).safe:
            contents.refuse(f"the function {full} is not known")
        return
    if qualifier and qualifier != "pg_catalog":
        if not own:
            contents.refuse(f"the function {full} is not known", "check the name with \\df")
        return
    if verdict(name).special == "type-reader":
        _type_by_name(arguments, contents, implied)
        return
    if id(body) in contents.guarded:
        return
    _built_in(name, arguments, own, contents, limits, schema)


def _procedure(call: Tree, contents: Contents, implied: Implied) -> None:
    """A CALL: every procedure of the name has to be allowed. PostgreSQL takes no query among its arguments."""
    names = strings(call["funcname"])
    full = ".".join(names)
    contents.functions.append(full)
    found = implied.schema.functions_named(names[-2] if len(names) > 1 else "", names[-1], implied.search_path)
    procedures = [f for f in found if f.kind == "p"]
    if not procedures:
        contents.refuse(f"the procedure {full} is not known", "check the name with \\df")
    if any(kind == "SubLink" for kind, _ in nodes(call.get("args", []))):
        contents.refuse("CALL takes no query as an argument", "select the value first")
    for procedure in procedures:
        if not implied.may_call(procedure.oid):
            signature = f"{procedure.schema}.{procedure.name}({procedure.arguments})"
            contents.refuse(f"the procedure {signature} is not allowed by the policy", ADVICE)


def _newer(kind: str, body: Tree, contents: Contents, implied: Implied) -> None:
    """Before the version that made it syntax, `json_value(…)` was a call of a function of that name."""
    version, name = SINCE[kind]
    name = name or str(body.get("op", "")).removesuffix("_OP").lower()
    if implied.schema.catalog.server_version >= version * 10_000:
        return
    for function in implied.schema.functions_named("", name, implied.search_path):
        if not implied.may_call(function.oid):
            signature = f"{function.schema}.{function.name}({function.arguments})"
            contents.refuse(f"the function {signature} is not allowed by the policy", ADVICE)


def _refuse_call(call: _Unallowed, contents: Contents, implied: Implied) -> None:
    """Refuse a call, unless it can only mean a built-in function of the name."""
    function = call.function
    is_only_own = call.arguments is None or verdict(function.name).reason == NOT_REVIEWED
    if is_only_own or implied.chooses(function, call.arguments or ()):
        signature = f"{function.schema}.{function.name}({function.arguments})"
        which = f", or say which one is meant: {function.name}(argument::type)" if call.is_overloaded else ""
        contents.refuse(f"the function {signature} is not allowed by the policy", ADVICE + which)


def _built_in(
    name: str, arguments: Sequence[Tree], own: Sequence[object], contents: Contents, limits: Limits, schema: Schema
) -> None:
    """A function of `pg_catalog`, unless one of the search path is meant alone."""
    found = verdict(name, len(arguments))
    if found.safe:
        return
    if found.special == "setting-reader":
        setting = constant(arguments[0]) if arguments else None
        if setting is None:
            contents.refuse(f"{name} takes the name of a setting as a constant here")
        else:
            contents.settings.append(setting)
            shown = setting_verdict(setting, "show")
            if not shown.safe:
                contents.refuse(f"the setting {setting} cannot be read: {shown.reason}")
        return
    if found.special == "setting-writer" and sets(arguments, contents, limits):
        return
    if found.special == "reads-sequence" and not arguments:
        contents.any_number = True
        return
    sequence = _sequence(arguments[0], schema) if found.special in _SEQUENCES and arguments else None
    if sequence is not None:
        (contents.sequences if found.special == "writes-sequence" else contents.numbers).append(sequence)
        return
    if found.reason == NOT_REVIEWED and own:
        return
    contents.refuse(
        f"the function {name} is refused: {found.reason}",
        found.hint or (f"check the name with \\df; {ADVICE}" if found.reason == NOT_REVIEWED else ""),
    )


_SEQUENCES = frozenset({"reads-sequence", "writes-sequence"})


def _sequence(node: Tree, schema: Schema) -> Numbered | None:
    """The sequence that an argument names; None where it does so by more than a constant."""
    name = _name_in(node)
    return name if name is not None else _numbered_column(node, schema)


def _name_in(node: Tree) -> str | None:
    """A name in a string constant; None where a cast could change it, as `'name'::varchar(3)` does."""
    bare = _uncast(node)
    return None if "TypeCast" in bare else constant(bare)


def _uncast(node: Tree) -> Tree:
    """A node without the casts around it that leave a name as it is."""
    while "TypeCast" in node:
        made = node["TypeCast"]["typeName"]
        *schema, name = strings(made.get("names", ())) or [""]
        if schema not in ([], ["pg_catalog"]) or name not in _NAMES or made.get("typmods") or made.get("arrayBounds"):
            break
        node = node["TypeCast"]["arg"]
    return node


_NAMES = frozenset({"regclass", "text", "varchar"})


def _numbered_column(node: Tree, schema: Schema) -> tuple[str, str] | None:
    """The table and the column of `pg_get_serial_sequence('table', 'column')`, which is how Django names a sequence."""
    kind, body = kind_of(_uncast(node))
    names, arguments = strings(body.get("funcname", ())), body.get("args", ())
    built_in = names[:-1] == ["pg_catalog"] or (len(names) == 1 and names[0] not in schema.functions)
    if kind != "FuncCall" or names[-1:] != ["pg_get_serial_sequence"] or not built_in or len(arguments) != 2:
        return None
    table, column = map(_name_in, arguments)
    return (table, column) if table is not None and column is not None else None


def _type_by_name(arguments: Sequence[Tree], contents: Contents, implied: Implied) -> None:
    """`pg_input_is_valid('…', 'type')` casts to the type that its second argument names."""
    names = type_names(constant(arguments[1]) or "") if len(arguments) == 2 else None
    if names is None:
        contents.refuse("the name of a type has to be a constant here", "use a cast")
    implied.type_named(names or ())


def _called_by_dot(name: str, contents: Contents, implied: Implied) -> None:
    """`row.name` and `(value).name` call the function `name(value)` where there is no such column."""
    found = call_by_dot(name)
    if not found.safe:
        contents.refuse(f"the function {name} is refused: {found.reason}", found.hint)
    for function in implied.schema.functions_named("", name, implied.search_path):
        if function.takes(1) and not implied.may_call(function.oid):
            contents.refuse(f".{name} calls the function {function.schema}.{name}, which is not allowed", ADVICE)
