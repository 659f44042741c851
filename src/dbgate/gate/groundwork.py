"""What a statement is and what would run in its place, whatever the rules, the time and the session: kept per text.

examine (what is it?) ─► inspect (is all of it known?) ─► rewrite
"""

from __future__ import annotations

import msgspec

from dbgate.gate.contents import Contents, inspect
from dbgate.gate.kept import masks_of_system
from dbgate.gate.met import columns_met, labelled_columns_met
from dbgate.gate.opening import opened_columns
from dbgate.gate.protection import Protection
from dbgate.gate.recorded import recorded_text, without_constants
from dbgate.gate.rewriting import rewrite
from dbgate.gate.sequences import use_sequences
from dbgate.gate.splice import Refusal, RewriteError
from dbgate.gate.statement import Examined, defined_relations, examine
from dbgate.gate.syntax import Source
from dbgate.model import Allow, ColumnName, Deny, LabelledColumn, Rewrite


class Groundwork(msgspec.Struct, frozen=True):
    """What does not depend on rules, time or the session: it is kept per statement text."""

    source: Source
    examined: Examined
    contents: Contents
    run: Allow | Rewrite | Deny
    tags: tuple[str, ...]
    recorded: str
    rewritten: str
    opened: tuple[tuple[ColumnName, str], ...] = ()
    columns: tuple[ColumnName, ...] = ()
    labelled: tuple[LabelledColumn, ...] = ()


def groundwork_for(source: Source, protection: Protection, search_path: tuple[str, ...], *, opens: bool) -> Groundwork:
    """Examine, inspect and rewrite a statement; the latest ones are kept with the protection. `opens`: a grant opens tags.

    Raises `StatementError` when it names a relation or alias that does not exist.
    """
    key = (source.text, search_path)
    kept: dict[object, Groundwork] = protection.prepared
    if key in kept:
        return kept[key]
    examined, contents, own = examine(source.tree, protection, search_path), Contents(), protection.policy.functions
    run: Allow | Rewrite | Deny = Deny(examined.refusal)
    if not examined.refusal:
        examined.system_masks = masks_of_system(examined, protection)
        contents = inspect(
            source.tree,
            protection.schema,
            own,
            search_path,
            limits=protection.policy.limits,
            queries_only=examined.handling != "ddl",
            dotted=examined.found.dotted if examined.inner_kind else None,
            entries=examined.entries,
            relations=defined_relations(examined, protection.schema),
            guarded=examined.found.setting_calls.keys() if examined.kind != "ViewStmt" else (),
        )
        use_sequences(examined, contents, protection, search_path)
        run = _rewritten(source, examined, contents, protection)
    if len(kept) >= _KEPT:
        kept.pop(next(iter(kept)))
    labelled = labelled_columns_met(examined.found)
    sensitive, sent = examined.found.masked_constants(), run.text if isinstance(run, Allow | Rewrite) else ""
    kept[key] = Groundwork(
        source,
        examined,
        contents,
        run,
        tags=tuple(sorted({column.tag for column in labelled})),
        recorded=recorded_text(source.text, sensitive),
        rewritten=without_constants(sent) if sensitive and sent else sent,
        opened=opened_columns(examined, protection) if opens else (),
        columns=columns_met(examined.found),
        labelled=labelled,
    )
    return kept[key]


_KEPT = 256


def _rewritten(
    source: Source, examined: Examined, contents: Contents, protection: Protection
) -> Allow | Rewrite | Deny:
    if contents.refusal:
        return Deny(contents.refusal, hint=contents.hint)
    if examined.executed is not None:
        return Allow(source.text)
    try:
        return rewrite(source, examined, protection)
    except Refusal as error:
        return Deny(str(error))
    except RewriteError as error:
        return Deny(f"the statement cannot be masked safely: {error}", hint="write it another way, or ask for access")
