"""The policy of the comparison: everything is allowed, and one column of each table is labelled."""

from __future__ import annotations

import hashlib
import zlib

from dbgate.catalog import Catalog, CatalogColumn, CatalogRelation
from dbgate.gate.policy.globs import fault_in_glob, is_glob
from dbgate.gate.policy.model import Classify, FunctionList, MaskMethod, Policy, Rule, When
from dbgate.model import RuleRef

_REF = RuleRef("everything", "regress", 1)
_MASKS = (
    ("kept.part", MaskMethod("partial", last=2)),
    ("kept.none", MaskMethod("redact")),
    ("kept.null", MaskMethod("null")),
)


def policy_for(catalog: Catalog) -> Policy:
    """The policy for the database as it is now."""
    known = {relation.oid for relation in catalog.relations}
    labels = [
        Classify((f"{relation.schema}.{relation.name}.{column.name}",), tag_of(relation, column), _REF)
        for relation in catalog.relations
        if not known.intersection(relation.parents) and (column := labelled_column(relation)) is not None
    ]
    functions = FunctionList(
        allow=tuple(f"{f.schema}.{f.name}({f.arguments})" for f in catalog.functions if not f.extension),
        extensions=catalog.extensions,
    )
    digest = hashlib.sha256(repr((labels, functions)).encode()).hexdigest()
    return Policy(
        digest=f"sha256:{digest}",
        files=("regress",),
        classify=tuple(labels),
        mask=_MASKS,
        rules=(Rule(_REF, When(), "allow"),),
        functions=functions,
    )


def labelled_column(relation: CatalogRelation) -> CatalogColumn | None:
    """The column of a table that is labelled: its first text column, or else its last; never its only key."""
    if relation.kind not in "rpf":
        return None
    only_key = relation.primary_key if len(relation.primary_key) == 1 else ()
    usable = [
        c for c in relation.columns if c.number not in only_key and not c.generated and _can_be_named(relation, c)
    ]
    texts = [c for c in usable if c.category == "S"]
    return texts[0] if texts else usable[-1] if usable else None


def tag_of(relation: CatalogRelation, column: CatalogColumn) -> str:
    """Its tag, and by that its mask: half of the text columns keep their last characters."""
    if column.category != "S":
        return "kept.null"
    return "kept.part" if zlib.crc32(relation.name.encode()) % 2 else "kept.none"


def _can_be_named(relation: CatalogRelation, column: CatalogColumn) -> bool:
    glob = f"{relation.schema}.{relation.name}.{column.name}"
    return not fault_in_glob(glob, 3) and not is_glob(glob)
