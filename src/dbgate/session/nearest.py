"""What somebody may have meant who named a column that is not there. The server's own guess is left out with its hint."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dbgate.catalog import Catalog
from dbgate.errors import StatementError
from dbgate.model import Touch
from dbgate.text import suggest

_UNDEFINED_COLUMN = "42703"
_NAMED = re.compile(r'^column (?:"([^"]+)"|(?:[^\s"]+\.)?([^\s".]+))(?: of relation "[^"]+")? does not exist$')


def nearest_column(error: StatementError, touches: Iterable[Touch], catalog: Catalog) -> str:
    """A hint that names the nearest column of what a statement touches; empty where none is near."""
    named = _NAMED.match(error.message) if error.sqlstate == _UNDEFINED_COLUMN else None
    if named is None:
        return ""
    oids = {touch.relation.oid for touch in touches if touch.relation is not None}
    names = {column.name for relation in catalog.relations if relation.oid in oids for column in relation.columns}
    hint = suggest(named[1] or named[2], names)
    return hint if hint.startswith("did you mean") else ""
