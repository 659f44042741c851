"""Which columns of an inlined view are masked as they come out, beside the masks at its sources.

Those that the policy labels on the view alone; and those for which the view casts a masked text to another type: `'***'` is
no number, and the cast would fail for whoever reads the view.
"""

from __future__ import annotations

from collections.abc import Iterable

from dbgate.catalog import CatalogColumn, CatalogRelation
from dbgate.gate.contents import nodes
from dbgate.gate.findings import Columns
from dbgate.gate.labels import column_named
from dbgate.gate.masks import STRINGS
from dbgate.gate.names import strings
from dbgate.gate.protection import Protection
from dbgate.gate.scope import Label
from dbgate.model import Tree

_WRITTEN_STRINGS = frozenset("text varchar bpchar name char citext".split())
_READERS = frozenset("to_date to_number to_timestamp".split())


def masked_outputs(relation: CatalogRelation, columns: Columns, tree: Tree, protection: Protection) -> set[str]:
    """The names of the columns; `columns` are what the definition gives, `tree` is its own."""
    casts = _casts(tree)
    found = set()
    for column, out in zip(relation.columns, columns or (), strict=False):
        hidden = [label for label in out.labels if label.hidden]
        is_own = not hidden and protection.own_hidden(relation, column.name)
        if is_own or (casts and not out.plain and _may_fail(column, hidden, protection)):
            found.add(column.name)
    return found


def _casts(tree: Tree) -> bool:
    """Whether a definition reads texts as values of other types."""
    for kind, body in nodes(tree):
        if kind == "TypeCast" and "A_Const" not in body["arg"]:
            if strings(body["typeName"].get("names", ()))[-1] not in _WRITTEN_STRINGS:
                return True
        elif kind == "FuncCall" and strings(body["funcname"])[-1] in _READERS:
            return True
    return False


def _may_fail(column: CatalogColumn, labels: Iterable[Label], protection: Protection) -> bool:
    """Whether a value of the column's type may be made from a masked text; rows keep their masks, but for checked types."""
    if column.base_type in STRINGS:
        return False
    sources = [
        column_named(protection.schema.by_name[label.column.schema, label.column.table], label.column.column)
        for label in labels
        if label.method.method != "null" and (label.column.schema, label.column.table) in protection.schema.by_name
    ]
    texts = [source for source in sources if source.base_type in STRINGS]
    if column.category in "CA":
        return any(source.type_oid != source.base_oid for source in texts)
    return bool(texts)
