"""What a statement meets, by name, for its record: the columns that it uses, and those of them that are labelled."""

from __future__ import annotations

from dbgate.gate.findings import Findings, labels_met
from dbgate.model import ColumnName, LabelledColumn


def columns_met(found: Findings) -> tuple[ColumnName, ...]:
    """The columns that a statement reads or sets, sorted; `*` stands for all of a relation's, where it asks for them."""
    met: set[ColumnName] = set()
    for entry in [*found.reads, *(entry for _, entry in found.targets)]:
        relation = entry.relation
        if relation is not None:
            given = found.assigned_names.get(relation.oid, set()) | found.inserted_names.get(relation.oid, set())
            names = {"*"} if entry.whole or "*" in given else entry.asked.keys() | given
            met |= {ColumnName(relation.schema, relation.name, name) for name in names}
    return tuple(sorted(met))


def labelled_columns_met(found: Findings) -> tuple[LabelledColumn, ...]:
    """The labelled columns that a statement reads, compares or sets, each with its tag and whether it sees masks."""
    met = {(label.column, label.tag, label.hidden) for label in labels_met(found)}
    return tuple(LabelledColumn(*one) for one in sorted(met))
