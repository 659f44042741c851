"""What a column's type means for its looks, by the names that PostgreSQL's `format_type` writes."""

from __future__ import annotations

import re

INTEGER = frozenset({"smallint", "integer", "bigint", "oid"})
EXACT = frozenset({"numeric"})
FLOAT = frozenset({"real", "double precision"})
NUMBERS = INTEGER | EXACT | FLOAT
RIGHT_ALIGNED = NUMBERS | {"money", "xid", "xid8", "cid"}
JSON = frozenset({"json", "jsonb"})

NEVER_A_FORMULA = (
    RIGHT_ALIGNED
    | JSON
    | {"boolean", "date", "interval", "uuid", "bytea", "bit", "bit varying", "inet", "cidr", "macaddr", "macaddr8"}
    | {"time without time zone", "time with time zone", "timestamp without time zone", "timestamp with time zone"}
    | {"tsvector", "pg_lsn", "point", "box", "polygon", "circle", "line", "lseg", "path", "tid"}
    | {"int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"}
    | {"int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange"}
)
"""Types whose text form PostgreSQL makes itself, so that no person's text stands at its beginning."""

_MODIFIER = re.compile(r"\([^)]*\)")


def base(type_name: str) -> str:
    """The type without its modifier: `numeric(10,2)` is `numeric`. Arrays keep their brackets."""
    return _MODIFIER.sub("", type_name) if "(" in type_name else type_name


def is_text(type_name: str) -> bool:
    """Whether values may begin with a person's text: every type that is not known to be otherwise."""
    return not type_name.endswith("[]") and base(type_name) not in NEVER_A_FORMULA
