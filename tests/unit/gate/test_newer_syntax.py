"""PostgreSQL 18's own syntax is named where the grammar of 17 only says "syntax error"."""

from __future__ import annotations

import pytest

from dbgate.errors import StatementError
from dbgate.gate.syntax import parse_one

NEWER = {
    "UPDATE t SET a = 1 RETURNING WITH (OLD AS o, NEW AS n) o.a, n.a": "RETURNING WITH (OLD AS …, NEW AS …)",
    "DELETE FROM t WHERE id = 1 returning\n with (old as o) o.*": "RETURNING WITH (OLD AS …, NEW AS …)",
    "CREATE TABLE t (a int, v daterange, PRIMARY KEY (a, v WITHOUT OVERLAPS))": "WITHOUT OVERLAPS",
    "CREATE TABLE c (a int, v daterange, FOREIGN KEY (a, PERIOD v) REFERENCES t (a, PERIOD v))": "PERIOD in a foreign key",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED": "NOT ENFORCED",
    "CREATE TABLE t (a int CHECK (a > 0) NOT ENFORCED)": "NOT ENFORCED",
    "CREATE TABLE t (a int REFERENCES u ENFORCED)": "NOT ENFORCED",
    "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + (1)) VIRTUAL)": "virtual generated columns",
    "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1))": "virtual generated columns",
    "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1), c int)": "virtual generated columns",
}


@pytest.mark.parametrize("sql", NEWER)
def test_newer_syntax_is_named(sql: str) -> None:
    with pytest.raises(StatementError) as raised:
        parse_one(sql)
    assert raised.value.sqlstate == "42601"
    assert raised.value.message == f"{NEWER[sql]} is syntax of PostgreSQL 18; dbgate reads that of 17"
    assert raised.value.hint


@pytest.mark.parametrize(
    "sql", ["SELECT FROM WHERE", "UPDATE t SET a = 1 RETURNING", "CREATE TABLE t (a int NOT)", "SELEC 1"]
)
def test_other_errors_stay(sql: str) -> None:
    with pytest.raises(StatementError, match="syntax error"):
        parse_one(sql)
