"""The server's errors and notices as dbgate tells them: code, primary message without values, names. Nothing else.

DETAIL, CONTEXT, HINT, QUERY and the internal query are never read. Section 54.8 of PostgreSQL's manual names the
fields of a message; `R` is the routine in the server's source that raised it, which tells the text of a `RAISE`
in somebody's function from a text of PostgreSQL's own.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import TYPE_CHECKING

from psycopg import errors
from psycopg.pq import DiagnosticField as Field

from dbgate.database.scrub import identifiers, scrub
from dbgate.database.typenames import BUILT_IN_NAMES
from dbgate.errors import StatementError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

WITHHELD_NOTICE = "notice from the server (text withheld)"

_VALUE_CLASSES = frozenset({"21", "22", "23", "44", "P0", "XX", "HV", "38", "39", "2F"})
"""Classes of SQLSTATE whose messages may quote data: nothing of the statement's text vouches for it."""

_LANGUAGE = re.compile(r"pl_|pl(?:perl|python|py|tcl|v8|r|java|sh|lua|rust|php|ruby|js)\w*\.|plpy_|plrust")
"""Source files of procedural languages: `pl_exec.c`, `plpy_elog.c`, `plperl.c` …"""

_NAMES_ONLY = re.compile(
    r'duplicate key value violates unique constraint "[^"]+"'
    r'|conflicting key value violates exclusion constraint "[^"]+"'
    r'|insert or update on table "[^"]+" violates foreign key constraint "[^"]+"'
    r'|update or delete on table "[^"]+" violates (?:RESTRICT setting of )?foreign key constraint "[^"]+" on table "[^"]+"'
    r'|new row for relation "[^"]+" violates (?:check|partition) constraint(?: "[^"]+")?'
    r'|null value in column "[^"]+" of relation "[^"]+" violates not-null constraint'
    r'|domain [\w. "]+ does not allow null values'
    r'|value for domain [\w. "]+ violates check constraint "[^"]+"'
    r'|no partition of relation "[^"]+" found for row'
    r'|new row violates (?:check option for view|row-level security policy for table) "[^"]+"'
    r'|new row violates row-level security policy "[^"]+" for table "[^"]+"'
)
"""Messages of constraints, which quote nothing but names."""

_NOTICE = re.compile(
    r"(?:relation|table|index|view|materialized view|sequence|schema|type|role|database|extension|function|procedure"
    r"|routine|aggregate|operator|trigger|rule|policy|domain|collation|column|constraint|publication|subscription"
    r"|statistics object|identifier|foreign table|server|language|cast|text search \w+|tablespace|conversion) .*"
    r"(?:already exists|does not exist|will be truncated to|already has|is not).*"
    r"|there is (?:no|already a) transaction in progress"
    r"|SET (?:LOCAL|TRANSACTION|CONSTRAINTS) can only be used in transaction blocks"
    r"|(?:drop|truncate) cascades to .+"
    r"|(?:merging|moving and merging) .+"
    r"|view .+ will be a temporary view"
    r"|text-search query (?:contains only stop words|doesn't contain lexemes).*"
    r"|word is too long to be indexed"
    r"|nothing to do"
    r"|no privileges .+|not all privileges .+"
    r"|\w+ will create implicit .+"
)
"""Notices and warnings of PostgreSQL's own that quote nothing but names."""


def field(result: PGresult, name: Field) -> str:
    """A field of an error or notice as text; empty when it is not there."""
    return (result.error_field(name) or b"").decode("utf-8", "replace")


def statement_error(
    result: PGresult, text: str, names: Set[str] = frozenset(), *, english: bool = True
) -> StatementError:
    """The error of `result` for the statement `text` that was sent.

    `names` are identifiers that may be shown. Unless the server speaks `english`, its text is replaced by the
    name of the condition, because values cannot be told from words in it.
    """
    sqlstate = field(result, Field.SQLSTATE)
    position = field(result, Field.STATEMENT_POSITION)
    offset = int(position) if position.isdigit() else 0
    if _raised_in_function(result):
        message = f"a function or trigger raised an error: {condition(sqlstate)} (text withheld)"
        return StatementError(message, sqlstate=sqlstate)
    message = field(result, Field.MESSAGE_PRIMARY)
    if not english or not field(result, Field.SOURCE_FILE):
        return StatementError(_with_names(condition(sqlstate), result), sqlstate=sqlstate, position=offset)
    if not _NAMES_ONLY.fullmatch(message):
        message = _scrubbed(message, text, names, result, sqlstate=sqlstate, positioned=offset > 0)
    return StatementError(message, sqlstate=sqlstate, position=offset)


def ends_connection(result: PGresult) -> bool:
    """Whether the server closes the connection with this error."""
    return field(result, Field.SEVERITY_NONLOCALIZED) in ("FATAL", "PANIC")


def notice_text(result: PGresult, text: str = "", names: Set[str] = frozenset(), *, english: bool = True) -> str:
    """Severity and primary message of a notice that the statement `text` caused, or that its text is withheld."""
    message = field(result, Field.MESSAGE_PRIMARY)
    known_source = english and field(result, Field.SOURCE_FILE) and not _raised_in_function(result)
    if not known_source or not _NOTICE.fullmatch(message):
        return WITHHELD_NOTICE
    severity = field(result, Field.SEVERITY_NONLOCALIZED).lower() or "notice"
    return f"{severity}: {scrub(message, '', names | identifiers(text) | _names_of(result) | BUILT_IN_NAMES)}"


def condition(sqlstate: str) -> str:
    """The name of a condition in words, e.g. `unique violation` (appendix A of PostgreSQL's manual)."""
    try:
        name = errors.lookup(sqlstate).__name__
    except KeyError:
        return f"error {sqlstate}" if sqlstate else "an error"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _scrubbed(message: str, text: str, names: Set[str], result: PGresult, *, sqlstate: str, positioned: bool) -> str:
    """The message without values.

    A position says that the error is about the text of the statement: the text vouches for what it quotes.
    Otherwise only names do, and in the classes whose messages quote data only those that the server says it means.
    """
    shown = BUILT_IN_NAMES | _names_of(result)
    if positioned:
        return scrub(message, text, shown | names)
    if sqlstate[:2] in _VALUE_CLASSES:
        return scrub(message, "", shown)
    return scrub(message, "", shown | names | identifiers(text))


def _raised_in_function(result: PGresult) -> bool:
    """Whether the code of a procedural language made the text."""
    routine = field(result, Field.SOURCE_FUNCTION)
    return bool(_LANGUAGE.match(field(result, Field.SOURCE_FILE))) or "raise" in routine or "elog" in routine


def _names_of(result: PGresult) -> frozenset[str]:
    wanted = (Field.SCHEMA_NAME, Field.TABLE_NAME, Field.COLUMN_NAME, Field.DATATYPE_NAME, Field.CONSTRAINT_NAME)
    return frozenset(name for name in (field(result, one) for one in wanted) if name)


def _with_names(message: str, result: PGresult) -> str:
    kinds = (("constraint", Field.CONSTRAINT_NAME), ("table", Field.TABLE_NAME), ("column", Field.COLUMN_NAME))
    named = [f'{kind} "{name}"' for kind, one in kinds if (name := field(result, one))]
    return f"{message} ({', '.join(named)})" if named else message
