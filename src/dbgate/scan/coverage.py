"""What of a scan's findings is new: beside the policy's labels, and beside what would follow from other proposals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dbgate.gate.labels import TagMap, tag_columns
from dbgate.gate.policy.globs import fault_in_glob, is_glob
from dbgate.gate.policy.match import Classifier
from dbgate.gate.policy.model import Policy
from dbgate.gate.relations import Schema
from dbgate.model import ColumnName
from dbgate.scan.subject import Finding

NEW, COVERED, FOLLOWS = "new", "covered", "follows"


class Proposal(msgspec.Struct, frozen=True):
    """A finding and where it stands: `new`, `covered` by a label that the policy gives (`carries`), or `follows`
    from a proposal for the column that its values come from."""

    finding: Finding
    state: str
    carries: tuple[str, ...] = ()
    mask: str = ""


def labels_with(policy: Policy, schema: Schema, proposals: Iterable[Proposal]) -> TagMap:
    """The labels of a database if the proposals were in its policy."""
    classifier = Classifier(policy.classify)
    more: dict[tuple[str, str, str], set[str]] = {}
    for proposal in proposals:
        name = proposal.finding.column
        if proposal.state == NEW:
            more.setdefault((name.schema, name.table, name.column), set()).add(proposal.finding.tag)

    def classify(schema_name: str, table: str, column: str) -> frozenset[str]:
        return classifier.tags(schema_name, table, column) | more.get((schema_name, table, column), set())

    return tag_columns(schema, classify)


def tags_of(labels: TagMap, schema: Schema, column: ColumnName) -> frozenset[str]:
    """The tags that a column carries."""
    relation = schema.by_name.get((column.schema, column.table))
    found = labels.columns.get(relation.oid, {}).get(column.column) if relation else None
    return found.tags if found else frozenset()


def proposal_for(finding: Finding, labels: TagMap, schema: Schema) -> Proposal:
    """A finding held against the labels that the policy gives."""
    carried = tuple(sorted(tags_of(labels, schema, finding.column)))
    return Proposal(finding, COVERED if carried else NEW, carried)


def without_followers(proposals: Sequence[Proposal], schema: Schema) -> list[Proposal]:
    """Mark new proposals that a foreign key makes follow from another: labels go along with the key."""
    new = {(p.finding.column, p.finding.tag) for p in proposals if p.state == NEW}
    sources: dict[ColumnName, set[ColumnName]] = {}
    for key in schema.catalog.foreign_keys:
        if key.relation in schema.by_oid and key.referenced in schema.by_oid:
            for here, there in zip(key.columns, key.referenced_columns, strict=False):
                copy, source = _column(schema, key.relation, here), _column(schema, key.referenced, there)
                if copy and source and copy != source:
                    sources.setdefault(copy, set()).add(source)
    marked = []
    for proposal in proposals:
        finding = proposal.finding
        follows = proposal.state == NEW and any((s, finding.tag) in new for s in sources.get(finding.column, ()))
        marked.append(msgspec.structs.replace(proposal, state=FOLLOWS) if follows else proposal)
    return marked


def can_be_named(column: ColumnName) -> bool:
    """Whether a glob can mean exactly this column: dots, brackets, quotes, `*` and `?` in names have no escape."""
    text = str(column)
    return not fault_in_glob(text, 3) and not is_glob(text) and text.isprintable() and "\\" not in text


def _column(schema: Schema, oid: int, number: int) -> ColumnName | None:
    relation = schema.by_oid[oid]
    name = next((c.name for c in relation.columns if c.number == number), None)
    return ColumnName(relation.schema, relation.name, name) if name else None
