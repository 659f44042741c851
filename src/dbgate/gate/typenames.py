"""Types that are named by a value: `pg_input_is_valid('…', 'numeric(3,1)')`."""

from __future__ import annotations

from dbgate.errors import StatementError
from dbgate.gate.names import strings
from dbgate.gate.syntax import parse_one


def type_names(text: str) -> list[str] | None:
    """The parts of the name of a type as the server would read them in `text`; None where it is anything else."""
    try:
        select = parse_one(f"SELECT NULL::{text}")["SelectStmt"]
        (target,) = select["targetList"]
        cast = target["ResTarget"]["val"]["TypeCast"]
    except (StatementError, LookupError, ValueError):
        return None
    alone = set(select) <= {"targetList", "limitOption", "op"} and "name" not in target["ResTarget"]
    if not alone or select.get("op", "SETOP_NONE") != "SETOP_NONE" or "A_Const" not in cast["arg"]:
        return None
    return strings(cast["typeName"].get("names", ())) or None
