"""What dbgate tracks of a session between statements: search path, prepared statements, cursors."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from dbgate.gate.syntax import Source
from dbgate.model import ColumnName


class Prepared(msgspec.Struct, frozen=True):
    """A prepared statement or cursor: what was typed, and the text that was sent.

    `opened` are the columns, with their tags, that it shows in clear by a grant.
    """

    source: Source
    text: str
    masked: tuple[int, ...] = ()
    opened: tuple[tuple[ColumnName, str], ...] = ()


class SessionObjects(msgspec.Struct, frozen=True):
    """The prepared statements and cursors of a session, by name, and the columns of temporary tables that hold masks
    (`kept.ANY` among them: all)."""

    prepared: Mapping[str, Prepared] = msgspec.field(default_factory=dict)
    cursors: Mapping[str, Prepared] = msgspec.field(default_factory=dict)
    masks: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict)


class Changes(msgspec.Struct, frozen=True):
    """What a statement changes of the tracked state when it succeeds.

    `catalog` asks for a fresh catalog, `search_path` for the effective search path to be read again (it may have
    changed, or a transaction that changed it may have ended).
    """

    catalog: bool = False
    search_path: bool = False
    prepare: tuple[str, Prepared] | None = None
    deallocate: str | None = None
    declare: tuple[str, Prepared] | None = None
    close: str | None = None
    end_transaction: bool = False
    masks: tuple[str, frozenset[str]] | None = None

    def apply(self, objects: SessionObjects) -> SessionObjects:
        """The tracked objects after the statement. An empty name stands for all."""
        prepared, cursors = dict(objects.prepared), dict(objects.cursors)
        if self.prepare:
            prepared[self.prepare[0]] = self.prepare[1]
        if self.deallocate is not None:
            prepared = {k: v for k, v in prepared.items() if self.deallocate and k != self.deallocate}
        if self.declare:
            cursors[self.declare[0]] = self.declare[1]
        if self.close is not None:
            cursors = {k: v for k, v in cursors.items() if self.close and k != self.close}
        masks = {**objects.masks, self.masks[0]: self.masks[1]} if self.masks else objects.masks
        return replace(objects, prepared=prepared, cursors=cursors, masks=masks)
