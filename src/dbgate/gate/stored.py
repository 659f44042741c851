"""What stands in the definitions of views that were there before: system catalogs and functions that nobody allowed.

A statement may not read `pg_authid` or call `read_ssn()`; a view that does so is no way around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbgate.catalog import CatalogRelation
from dbgate.errors import StatementError
from dbgate.gate.allow.extensions import reads_past_the_gate
from dbgate.gate.allow.functions import verdict
from dbgate.gate.allow.system import system_verdict
from dbgate.gate.analysis import Analysis
from dbgate.gate.contents import nodes
from dbgate.gate.implied import Implied
from dbgate.gate.names import strings
from dbgate.gate.own_functions import allowed
from dbgate.gate.policy.model import FunctionList
from dbgate.gate.relations import SYSTEM_SCHEMAS, Schema
from dbgate.gate.syntax import parse_one
from dbgate.model import Tree

_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_CLASSES = frozenset(
    """large-objects other-sessions own-query-text reads-files reads-relations row-samples runs-sql""".split()
)
"""Classes of built-in functions that bring out values past the gate; a stored query may call the others."""


class StoredQueries:
    """The definitions of one database's views, looked at when they are first read."""

    def __init__(self, schema: Schema, functions: FunctionList) -> None:
        self.schema = schema
        self.functions = functions
        self._guarded_names = frozenset(
            name
            for full in schema.catalog.system
            for place, _, name in (full.partition("."),)
            if not system_verdict(place, name).safe
        )
        self._guarded: dict[int, bool] = {}
        self._refusals: dict[int, str] = {}

    def guarded(self, relation: CatalogRelation) -> bool:
        """Whether a view may read a system relation of which something is hidden, by the words of its definition."""
        found = self._guarded.get(relation.oid)
        if found is None:
            words = _WORD.findall(relation.definition)
            found = self._guarded[relation.oid] = any(
                w in self._guarded_names or w.startswith(("pg_stat_statements", "pg_toast")) for w in words
            )
        return found

    def refusal(self, relation: CatalogRelation) -> str:
        """Why a view may not be read at all; empty when it may. Views that it reads are looked at too."""
        known = self._refusals.get(relation.oid)
        if known is None:
            self._refusals[relation.oid] = ""  # ends the recursion of a view that names itself
            known = self._refusals[relation.oid] = self._refusal(relation)
        return known

    def _refusal(self, relation: CatalogRelation) -> str:
        full = f"{relation.schema}.{relation.name}"
        try:
            tree = parse_one(relation.definition)
        except StatementError:
            return f"the view {full} is written in a newer syntax than dbgate knows"
        implied = Implied(self.schema, (), self._may_call)
        for kind, body in nodes(tree):
            implied.node(kind, body)
            if kind == "FuncCall":
                name = next(self._refused_calls(body), "")
                if name:
                    return f"the view {full} calls {name}, which the policy does not allow"
        below = [self.schema.by_oid[oid] for oid in relation.depends if oid in self.schema.by_oid]
        try:
            analysis = Analysis(self.schema, {}, ())
            analysis.query(tree["SelectStmt"], None, None)
            for entry in analysis.found.reads:
                implied.entry(entry)
        except (StatementError, LookupError):
            for other in below:
                implied.columns(other)
        refusal = implied.refusal()
        if refusal:
            return f"in the view {full}, {refusal}"
        return next((why for r in below if r.kind in "vm" and (why := self.refusal(r))), "")

    def _may_call(self, oid: int) -> bool:
        function = self.schema.functions_by_oid[oid]
        if function.extension and not reads_past_the_gate(function.extension, function.name):
            return True
        return allowed(oid, self.schema, self.functions)

    def _refused_calls(self, body: Tree) -> Iterator[str]:
        names = strings(body["funcname"])
        if len(names) > 1 and names[-2] not in SYSTEM_SCHEMAS:
            for function in self.schema.functions_named(names[-2], names[-1], ()):
                if not self._may_call(function.oid):
                    yield f"{function.schema}.{function.name}({function.arguments})"
        elif verdict(names[-1], len(body.get("args", ()))).kind in _CLASSES:
            yield names[-1]
