"""What a statement changes of the state that dbgate tracks."""

from __future__ import annotations

from dbgate.catalog import Catalog
from dbgate.gate.kept import masks_kept
from dbgate.gate.relations import schema_of
from dbgate.gate.statement import Examined
from dbgate.gate.syntax import Source
from dbgate.gate.tracking import Changes, Prepared, SessionObjects
from dbgate.model import Access, Allow, ColumnName, Decision, Rewrite

_ENDS = frozenset({"TRANS_STMT_COMMIT", "TRANS_STMT_ROLLBACK"})


def changes_of(
    source: Source,
    examined: Examined,
    run: Decision,
    opened: tuple[tuple[ColumnName, str], ...],
    objects: SessionObjects,
    catalog: Catalog,
) -> Changes:
    """The changes that follow when the statement succeeds. `opened` are the columns that it shows by a grant, `objects`
    what the session has."""
    if not isinstance(run, Allow | Rewrite):
        return Changes()
    body = examined.body
    masked = run.output if isinstance(run, Rewrite) else ()
    match examined.kind:
        case "PrepareStmt":
            inner = _inner_source(source, examined)
            return Changes(prepare=(body["name"], Prepared(inner, run.text, masked)))
        case "DeallocateStmt":
            return Changes(deallocate=body.get("name", ""))
        case "DeclareCursorStmt":
            return Changes(declare=(body["portalname"], Prepared(source, run.text, masked, opened)))
        case "ClosePortalStmt":
            return Changes(close=body.get("portalname", ""))
        case "TransactionStmt":
            kind = body.get("kind")
            path = kind in _ENDS or kind == "TRANS_STMT_ROLLBACK_TO"
            return Changes(search_path=path, catalog=path, end_transaction=kind in _ENDS)
        case "VariableSetStmt":
            return Changes(search_path=body.get("name") == "search_path")
    if examined.kind in {"DiscardStmt", "CallStmt"}:
        return Changes(catalog=True)
    made = examined.made is not None or examined.access in {Access.DDL, Access.ADMIN}
    return Changes(catalog=made, masks=masks_kept(examined, run, objects, schema_of(catalog)))


def _inner_source(source: Source, examined: Examined) -> Source:
    """The whole PREPARE as a source: it is judged again, as a whole, at every EXECUTE."""
    return Source(source.text, source.tree, source.offset, source.parameters)
