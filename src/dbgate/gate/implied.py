"""Functions that a statement calls without naming them: behind operators, behind casts, and behind the types of values.

PostgreSQL chooses operators, casts and overloads by the types of expressions, which the gate does not compute. So it asks
which types can occur in a statement at all: those of the columns that it uses, those that it names, those that its
functions give, and all built-in ones. A function that the policy does not allow refuses the statement where it could be
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from dbgate.catalog import CatalogCast, CatalogFunction, CatalogOperator, CatalogRelation
from dbgate.gate.labels import FIRST_USER_OID
from dbgate.gate.names import kind_of, strings
from dbgate.gate.relations import Schema
from dbgate.gate.scope import Entry
from dbgate.model import Tree

_BUILT_IN = frozenset(
    """= <> < > <= >= + - * / % ^ | & # ~ << >> || @@ @> <@ && -> ->> #> #>> ? ?| ?& ~~ !~~ ~~* !~~* ~ !~ ~* !~* <-> -|-
    &< &> |>> <<| ~= @ !! ~>~ ~<~ ~>=~ ~<=~ |/ ||/ #- @? ^@ ## ?# ?- ?-| ?|| *= *<> *< *> *<= *>=""".split()
)
"""Operators that PostgreSQL itself has: of these, one of somebody's own is chosen only for operands of its types."""

_UNCHANGED = frozenset(
    """SelectStmt ResTarget ColumnRef A_Star String Integer RangeVar Alias SortBy A_Const RowExpr NullTest CopyStmt
    ExplainStmt DefElem DeclareCursorStmt""".split()
)
"""Nodes that take values as they are: among nothing else, no implicit cast is made."""
_CALLING = frozenset(
    """A_Expr CaseExpr JoinExpr SubLink SortBy TypeName InsertStmt UpdateStmt OnConflictClause MergeWhenClause""".split()
)
"""Nodes that call operators or assign."""


class _Operation(msgspec.Struct, frozen=True):
    """An operator as it is written, and its operands (None: not looked at)."""

    names: Sequence[str]
    left: object = None
    right: object = None


class _Cast(msgspec.Struct, frozen=True):
    """A cast as it is written: the names of its type, and the bare name of the operand's; empty where that is not known."""

    names: Sequence[str]
    source: str = ""


class Implied(msgspec.Struct):
    """What a statement may call unnamed. Filled node by node, then judged.

    `may_call` says whether a function, by OID, may run.
    """

    schema: Schema
    search_path: Sequence[str]
    may_call: Callable[[int], bool]
    operations: list[_Operation] = msgspec.field(default_factory=list)
    named: list[Sequence[str]] = msgspec.field(default_factory=list)
    casts: list[_Cast] = msgspec.field(default_factory=list)
    types: set[int] = msgspec.field(default_factory=set)
    assigned: set[int] = msgspec.field(default_factory=set)
    changes: bool = False
    _assigned_names: set[str] = msgspec.field(default_factory=set)
    _occurring: set[int] | None = None

    def node(self, kind: str, body: Tree) -> None:
        """Note what a node of the tree may call."""
        if kind in _CALLING:
            self._calls(kind, body)
        if not self.changes:
            self.changes = kind not in _UNCHANGED or (kind == "SelectStmt" and not _is_plain(body))
        if "typeName" in body or "output" in body:
            self._names_type(kind, body)

    def _calls(self, kind: str, body: Tree) -> None:
        left, right = body.get("lexpr"), body.get("rexpr")
        match kind:
            case "A_Expr" if "BETWEEN" in body.get("kind", ""):
                self.operations += [_Operation((name,), left) for name in (">=", "<=", "<", ">")]
            case "A_Expr":
                self.operations.append(_Operation(strings(body.get("name", ())), left, right))
            case "CaseExpr" if body.get("arg"):
                self.operations.append(_Operation(("=",), body["arg"]))
            case "JoinExpr" if body.get("usingClause") or body.get("isNatural"):
                self.operations.append(_Operation(("=",)))
            case "SubLink" if body.get("operName") or body.get("testexpr"):
                self.operations.append(_Operation(strings(body.get("operName", ())) or ("=",), body.get("testexpr")))
            case "SortBy" if body.get("useOp"):
                self.operations.append(_Operation(strings(body["useOp"])))
            case "TypeName":
                self.type_named(strings(body.get("names", ())))
            case "InsertStmt" | "UpdateStmt" | "OnConflictClause" | "MergeWhenClause":
                self._assigns(kind, body)

    def _names_type(self, kind: str, body: Tree) -> None:
        for holder in (body, body.get("output")):  # RETURNING of JSON functions
            named = holder.get("typeName") if holder.__class__ is dict else None
            if named.__class__ is dict:
                operand = body.get("arg") if kind == "TypeCast" else None
                self.type_named(strings(named.get("names", ())), operand)

    def _assigns(self, kind: str, body: Tree) -> None:
        targets = body.get("cols" if kind == "InsertStmt" else "targetList", ())
        self._assigned_names |= {t["ResTarget"].get("name", "") for t in targets}
        if not targets and (kind == "InsertStmt" or body.get("commandType") == "CMD_INSERT"):
            self._assigned_names.add("*")

    def type_named(self, names: Sequence[str], operand: object = None) -> None:
        """Note a type that the statement names, and what is cast to it; a literal is read as one, not cast."""
        if names:
            self.named.append(names)
            if not _is_untyped(operand):
                self.casts.append(_Cast(names, _type_of(operand)))

    def columns(self, relation: CatalogRelation) -> None:
        """Note the type of a relation's rows: those of all its columns stand inside of it."""
        self.types.add(relation.type_oid)

    def entry(self, entry: Entry) -> None:
        """Note the types of the columns that are used of a relation."""
        if entry.relation is None:
            return
        if entry.whole:
            self.types.add(entry.relation.type_oid)
        asked = entry.asked
        for column in entry.relation.columns:
            written = entry.target and bool({column.name, "*"} & self._assigned_names)
            if written or column.name in asked:
                self.types |= {column.type_oid, column.base_oid}
            if written:
                self.assigned |= {column.type_oid, column.base_oid}

    def refusal(self) -> str:
        """Why the statement may not run; empty when it may."""
        return self._by_type() or self._by_operator() or self._by_cast()

    def chooses(self, function: CatalogFunction, arguments: Sequence[Tree]) -> bool:
        """Whether a call may mean this overload of a built-in function's name: its arguments' types have to occur.

        A literal is of whatever type is asked for.
        """
        if any(_is_untyped(argument) or "NamedArgExpr" in argument for argument in arguments):
            return True
        return function.argument_types is None or all(self._occurs(oid) for oid in function.argument_types)

    def _refused(self, oids: Iterable[int]) -> str:
        """The first function of somebody's own that may not run."""
        for oid in oids:
            known = self.schema.functions_by_oid.get(oid)
            if known is not None and not known.extension and not self.may_call(oid):
                return f"{known.schema}.{known.name}, which the policy does not allow"
        return ""

    def _by_type(self) -> str:
        catalog = self.schema.catalog
        for names in self.named:
            for oid in self._meant(names):
                why = self._refused((*catalog.type_checks.get(oid, ()), *catalog.type_functions.get(oid, ())))
                if why:
                    return f"the type {self.schema.type_name(oid)} calls {why}"
        for oid in self.types & catalog.type_functions.keys():
            why = self._refused(catalog.type_functions[oid])
            if why:
                return f"the type {catalog.type_names.get(oid, oid)} calls {why}"
        return ""

    def _meant(self, names: Sequence[str]) -> Iterable[int]:
        """The OIDs of types outside `pg_catalog` that a name can mean, row types too."""
        within = (names[-2],) if len(names) > 1 else (*self.search_path, "pg_temp")
        places = [self.schema.temp_schema if place == "pg_temp" else place for place in within]
        yield from (kept.oid for kept in self.schema.types.get(names[-1], ()) if kept.schema in places)
        relations = (self.schema.by_name.get((place, names[-1])) for place in places)
        yield from (relation.type_oid for relation in relations if relation is not None and relation.type_oid)

    def _by_operator(self) -> str:
        for operation in self.operations:
            if not operation.names or operation.names[-1] not in self.schema.operators:
                continue
            for operator in self.schema.catalog.operators:
                known = self.schema.functions_by_oid.get(operator.function)
                if known is None or self.may_call(known.oid) or not self._reachable(operator, operation.names):
                    continue
                if operator.name not in _BUILT_IN or self._chosen(operator, operation, known):
                    full = f"{known.schema}.{known.name}"
                    return (
                        f"the operator {operator.schema}.{operator.name} calls {full}, which the policy does not allow"
                    )
        return ""

    def _reachable(self, operator: CatalogOperator, names: Sequence[str]) -> bool:
        place = operator.schema == names[0] if len(names) > 1 else operator.schema in self.search_path
        return operator.name == names[-1] and place

    def _chosen(self, operator: CatalogOperator, operation: _Operation, known: CatalogFunction) -> bool:
        """Whether the operands can have the operator's types. An extension's own meaning of `=` needs its own types."""
        if known.extension:
            return False
        fits_left = self._fits(operator.left, operation.left, operator.right)
        return fits_left and self._fits(operator.right, operation.right, operator.left)

    def _fits(self, oid: int, operand: object, beside: int) -> bool:
        """Whether an operand can have a type; `beside` is the type of the other one.

        A number has a type of its own, or what it is cast to unasked. A literal is taken for what the operator wants,
        but where another operator of the name takes both sides as they are.
        """
        if oid >= FIRST_USER_OID and _is_number(operand):
            return any(cast.target == oid and cast.context == "i" for cast in self.schema.catalog.casts)
        if _is_untyped(operand) and beside < FIRST_USER_OID:
            return True
        return self._occurs(oid)

    def _by_cast(self) -> str:
        for cast in self.schema.catalog.casts:
            why = self._refused((cast.function,))
            if why and self._occurs(cast.source) and self._occurs(cast.target) and self._fires(cast):
                return f"a cast to {cast.target_name} calls {why}"
        return ""

    def _fires(self, cast: CatalogCast) -> bool:
        if (cast.context == "i" and self.changes) or (cast.context == "a" and cast.target in self.assigned):
            return True
        return any(self._is_written(cast, written) for written in self.casts)

    def _is_written(self, cast: CatalogCast, written: _Cast) -> bool:
        """Whether a cast in the statement is this one, or casts what stands inside of a row, an array or a domain."""
        if written.names[-1] == cast.target_name:
            return written.source in ("", cast.source_name)
        inside = [oid for oid in self._meant(written.names) if self._has_parts(oid)]
        if cast.target < FIRST_USER_OID:
            return bool(inside)
        return cast.target in self._with_parts(inside)

    def _has_parts(self, oid: int) -> bool:
        """Whether a cast to a type casts to others: a domain to its base, a row to the types of its columns."""
        kept = next((k for k in self.schema.types.get(self.schema.type_name(oid), ()) if k.oid == oid), None)
        return kept is None or kept.kind in "dcrm"

    def _with_parts(self, oids: Iterable[int]) -> set[int]:
        """Types and all those that stand inside of them."""
        found: set[int] = set()
        todo = [*oids]
        while todo:
            current = todo.pop()
            if current not in found:
                found.add(current)
                todo += self.schema.catalog.type_parts.get(current, ())
        return found

    def _occurs(self, oid: int) -> bool:
        """Whether an expression of the statement can have this type, or hold one of it."""
        if oid < FIRST_USER_OID:
            return True
        if self._occurring is None:
            self._occurring = self._with_parts([*self.types, *(o for names in self.named for o in self._meant(names))])
        return oid in self._occurring


def _type_of(node: object) -> str:
    """The bare name of an expression's type where that is plain to see; empty otherwise."""
    kind, body = kind_of(node)
    match kind:
        case "RowExpr":
            return "record"
        case "A_Const" if "ival" in body:
            return "int4"
        case "A_Const" if "boolval" in body:
            return "bool"
        case "TypeCast" if not body["typeName"].get("arrayBounds"):
            names = strings(body["typeName"].get("names", ()))
            return names[-1] if names[:1] == ["pg_catalog"] else ""
    return ""


def _is_untyped(node: object) -> bool:
    """Whether an expression has no type of its own: a cast makes a value of its text."""
    kind, body = kind_of(node)
    return kind == "ParamRef" or (kind == "A_Const" and ("sval" in body or bool(body.get("isnull"))))


def _is_number(node: object) -> bool:
    """Whether an operand is a number as it is written, or a list of them."""
    if isinstance(node, list):
        return bool(node) and all(_is_number(one) for one in node)
    kind, body = kind_of(node)
    if kind == "List":
        return _is_number(body.get("items", []))
    return kind == "A_Const" and ("ival" in body or "fval" in body)


def _is_plain(select: Tree) -> bool:
    """Whether a SELECT only gives columns: no condition, limit, group or set operation."""
    asks = ("whereClause", "havingClause", "limitCount", "limitOffset", "valuesLists", "groupClause")
    return select.get("op", "SETOP_NONE") == "SETOP_NONE" and not any(select.get(key) for key in asks)
