"""Errors of PostgreSQL's grammar carry the SQLSTATE that the server itself would give them."""

from __future__ import annotations

import pytest

from dbgate.errors import StatementError
from dbgate.gate.syntax import split


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("SELEC 1", "42601"),
        (r"SELECT E'wrong: \u061'", "22025"),
        (r"SELECT 'é', e'\U0061'", "22025"),
        (r"SELECT U&'wrong: \061'", "42601"),
        ("CREATE TABLE p (a int) PARTITION BY MAGIC (a)", "22023"),
        ("SELECT 1::float(54)", "22023"),
        ("CREATE SCHEMA IF NOT EXISTS s CREATE TABLE t (a int)", "0A000"),
        ("CREATE ASSERTION a CHECK (1 < 2)", "0A000"),
        ("SELECT sum(a) OVER (ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW) FROM t", "42P20"),
        ("CREATE ROLE public", "42939"),
        ("ALTER ROLE current_user RENAME TO x", "42939"),
    ],
)
def test_the_sqlstate_is_the_servers(sql: str, sqlstate: str) -> None:
    with pytest.raises(StatementError) as caught:
        split(sql)
    assert caught.value.sqlstate == sqlstate
