"""Which syntax nodes the gate understands (PostgreSQL 17's grammar, as libpg_query names the nodes).

Each node of `EXPRESSION_NODES` was looked at with three questions: can it name a relation, a function, an operator or a
type; can it hold a query; can it change anything. The gate knows where each keeps them (`analysis.py`, `contents.py`).
Nodes that only the planner makes (`Query`, `FuncExpr`, `Param`, …) are not listed: the grammar never gives them.
"""

from __future__ import annotations

from dbgate.gate.allow.statements import STATEMENTS, Handling, StatementKind, statement_kind

__all__ = ["DEFINITION_NODES", "EXPRESSION_NODES", "SINCE", "STATEMENTS", "Handling", "StatementKind", "statement_kind"]

_VALUES = "A_Const Boolean BitString Float Integer String ParamRef SetToDefault"

_EXPRESSIONS = """
    A_ArrayExpr A_Expr A_Indices A_Indirection A_Star BoolExpr BooleanTest CaseExpr CaseWhen CoalesceExpr CollateClause
    ColumnRef CurrentOfExpr FuncCall GroupingFunc MergeSupportFunc MinMaxExpr MultiAssignRef NamedArgExpr NullTest
    ParamRef RowExpr SQLValueFunction SubLink TypeCast TypeName"""
"""`A_Expr` and `SubLink` name operators, `FuncCall` functions, `TypeCast` types; `A_Indirection` and `ColumnRef` may
name functions (`functions.py`); `SubLink` holds a query."""

_XML_AND_JSON = """
    XmlExpr XmlSerialize JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor
    JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg JsonObjectConstructor JsonOutput
    JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr JsonTable JsonTableColumn JsonTablePathSpec
    JsonValueExpr"""
"""They compute on given values; `JsonArrayQueryConstructor` holds a query, `JsonOutput` and `JsonTableColumn` types."""

_CLAUSES = """
    Alias CTECycleClause CTESearchClause ColumnDef CommonTableExpr DefElem GroupingSet IndexElem InferClause IntoClause
    JoinExpr List LockingClause MergeWhenClause OnConflictClause RangeFunction RangeSubselect RangeTableFunc
    RangeTableFuncCol RangeTableSample RangeVar ResTarget SortBy WindowDef WithClause"""
"""`RangeVar` names a relation, `RangeTableSample` a sampling method, `ColumnDef` types (of `AS t(a int)`), `SortBy` an
operator (`USING`), `IndexElem` an operator class that the server looks for among those of existing indexes."""

SINCE = {
    "JsonFuncExpr": (17, ""),
    "JsonTable": (17, "json_table"),
    "JsonParseExpr": (17, "json"),
    "JsonScalarExpr": (17, "json_scalar"),
    "JsonSerializeExpr": (17, "json_serialize"),
    "MergeSupportFunc": (17, "merge_action"),
    "JsonObjectConstructor": (16, "json_object"),
    "JsonArrayConstructor": (16, "json_array"),
    "JsonArrayQueryConstructor": (16, "json_array"),
    "JsonObjectAgg": (16, "json_objectagg"),
    "JsonArrayAgg": (16, "json_arrayagg"),
}
"""Nodes that look like calls, the version whose grammar first had them, and the function that was called before then
(empty: the node's `op` says)."""

QUERY_NODES = frozenset(f"{_VALUES} {_EXPRESSIONS} {_XML_AND_JSON} {_CLAUSES}".split())
"""Nodes inside queries and data-changing statements, without the statements themselves."""

EXPRESSION_NODES = QUERY_NODES | frozenset(
    kind for kind, known in STATEMENTS.items() if known.handling not in {Handling.DDL, Handling.REFUSED}
)
"""`QUERY_NODES`, and the statements that queries are made of or that have no nodes of their own."""

DEFINITION_NODES = QUERY_NODES | frozenset(
    """AccessPriv AlterTableCmd Constraint FunctionParameter ObjectWithArgs PartitionBoundSpec PartitionCmd PartitionElem
    PartitionRangeDatum PartitionSpec ReplicaIdentityStmt RoleSpec SinglePartitionSpec StatsElem TableLikeClause
    VacuumRelation""".split()
    + [kind for kind, known in STATEMENTS.items() if known.handling is Handling.DDL]
)
"""Nodes inside definition statements that are not refused, and those statements. `SelectStmt` is not among them: the
server allows no query in a default, a check, an index or a `USING` expression."""
