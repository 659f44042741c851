"""Errors and notices of the server, from their fields to what is shown."""

from __future__ import annotations

from typing import Any, cast

import pytest
from psycopg.pq import DiagnosticField as Field
from psycopg.pq.abc import PGresult

from dbgate.database.failures import WITHHELD_NOTICE, condition, notice_text, statement_error


class Fields:
    """The one method of a result that errors are read by."""

    def __init__(self, fields: dict[Field, str]) -> None:
        self.fields = fields
        self.read: set[Field] = set()

    def error_field(self, name: Field) -> bytes | None:
        self.read.add(name)
        return self.fields[name].encode() if name in self.fields else None


def result(message: str, sqlstate: str = "22P02", source: str = "int8.c", **fields: str) -> PGresult:
    named: dict[Field, str] = {
        Field.MESSAGE_PRIMARY: message,
        Field.SQLSTATE: sqlstate,
        Field.SOURCE_FILE: source,
        Field.MESSAGE_DETAIL: "Key (ssn)=(666-12-3456) already exists.",
        Field.MESSAGE_HINT: "666-12-3456",
        Field.CONTEXT: "666-12-3456",
        Field.INTERNAL_QUERY: "666-12-3456",
    }
    return cast(PGresult, Fields(named | {Field[name]: value for name, value in fields.items()}))


def shown(*arguments: Any, text: str = "", names: frozenset[str] = frozenset(), **fields: str) -> str:
    return statement_error(result(*arguments, **fields), text, names).message


def test_detail_hint_context_and_query_are_never_read() -> None:
    given = result('duplicate key value violates unique constraint "pay_pkey"', "23505", "nbtinsert.c")
    error = statement_error(given, "insert")
    assert error.message == 'duplicate key value violates unique constraint "pay_pkey"'
    assert (error.sqlstate, error.position, error.hint) == ("23505", 0, "")
    secret = {Field.MESSAGE_DETAIL, Field.MESSAGE_HINT, Field.CONTEXT, Field.INTERNAL_QUERY, Field.INTERNAL_POSITION}
    assert not secret & cast(Any, given).read


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [
        ('update or delete on table "a" violates foreign key constraint "b" on table "c"', "23503"),
        ('insert or update on table "a" violates foreign key constraint "b"', "23503"),
        ('new row for relation "a" violates check constraint "b"', "23514"),
        ('null value in column "a" of relation "b" violates not-null constraint', "23502"),
        ('new row violates check option for view "v"', "44000"),
        ('new row violates row-level security policy for table "t"', "42501"),
        ('conflicting key value violates exclusion constraint "x"', "23P01"),
    ],
)
def test_constraints_are_named(message: str, sqlstate: str) -> None:
    assert shown(message, sqlstate, "execMain.c") == message


def test_a_literal_of_the_statement_is_shown_only_with_a_position() -> None:
    message, text = 'invalid input syntax for type integer: "666"', "select '666'::int"
    assert shown(message, text=text, STATEMENT_POSITION="8") == message
    assert shown(message, text=text) == 'invalid input syntax for type integer: "…"'
    assert shown(message, text="select x::int /* 666 */") == 'invalid input syntax for type integer: "…"'


def test_names_of_the_catalog_do_not_vouch_for_values() -> None:
    message = 'invalid input syntax for type integer: "employees"'
    assert shown(message, names=frozenset({"employees"})) == 'invalid input syntax for type integer: "…"'


def test_identifiers_of_the_statement_are_shown_in_errors_about_names() -> None:
    text = 'drop table payroll."Nope"'
    assert shown('table "Nope" does not exist', "42P01", "tablecmds.c", text=text) == 'table "Nope" does not exist'
    assert shown('table "Other" does not exist', "42P01", "tablecmds.c", text=text) == 'table "…" does not exist'


@pytest.mark.parametrize("source", ["pl_exec.c", "plpy_elog.c", "plperl.c", "pltcl.c", "plv8.cc"])
def test_text_raised_by_a_function_is_withheld_whatever_it_claims_to_be(source: str) -> None:
    for message, sqlstate in (("ssn is six six six", "P0001"), ('relation "secret" does not exist', "42P01")):
        text = shown(message, sqlstate, source, text="select secret", CONSTRAINT_NAME="secret", TABLE_NAME="secret")
        assert text.endswith("(text withheld)")
        assert "secret" not in text
        assert "six" not in text


def test_the_planner_is_no_procedural_language() -> None:
    message = "there is no unique or exclusion constraint matching the ON CONFLICT specification"
    assert shown(message, "42P10", "plancat.c") == message


def test_another_language_or_a_pooler_gives_the_condition_and_names_only() -> None:
    given = result("la valeur 666 est refusée", "23505", CONSTRAINT_NAME="pay_pkey", TABLE_NAME="pay")
    error = statement_error(given, "", english=False)
    assert error.message == 'unique violation (constraint "pay_pkey", table "pay")'
    assert shown("query_wait_timeout for ada", "08P01", "") == "protocol violation"


def test_conditions_have_names() -> None:
    assert condition("22P02") == "invalid text representation"
    assert condition("ZZ123") == "error ZZ123"
    assert condition("") == "an error"


@pytest.mark.parametrize(
    ("message", "text", "expected"),
    [
        ('table "x" does not exist, skipping', "drop table if exists x", 'notice: table "x" does not exist, skipping'),
        (
            'relation "x" already exists, skipping',
            "create table if not exists x()",
            'notice: relation "x" already exists, skipping',
        ),
        ('table "666" does not exist, skipping', "drop table x", 'notice: table "…" does not exist, skipping'),
        ("there is no transaction in progress", "commit", "notice: there is no transaction in progress"),
        ("drop cascades to 3 other objects", "drop x", "notice: drop cascades to … other objects"),
        ("ssn six six six", "select f()", WITHHELD_NOTICE),
    ],
)
def test_notices(message: str, text: str, expected: str) -> None:
    given = result(message, "00000", "tablecmds.c", SEVERITY_NONLOCALIZED="NOTICE")
    assert notice_text(given, text) == expected


def test_notices_that_a_function_raised_are_withheld() -> None:
    given = result('table "x" does not exist, skipping', "00000", "pl_exec.c", SOURCE_FUNCTION="exec_stmt_raise")
    assert notice_text(given, "drop table x") == WITHHELD_NOTICE
    assert notice_text(result('table "x" does not exist, skipping'), "drop table x", english=False) == WITHHELD_NOTICE
