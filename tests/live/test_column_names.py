"""The names that the gate gives to columns, and those that PostgreSQL gives."""

from __future__ import annotations

import psycopg
import pytest
from tests.conftest import LiveDatabase
from tests.unit.gate.test_output_names import EXPRESSIONS, SOURCES

pytestmark = pytest.mark.live


ASKED = [(expression, name) for expression, name in EXPRESSIONS if "xml" not in expression]
"""A server may be built without XML."""


@pytest.mark.parametrize(("expression", "name"), ASKED)
def test_postgresql_gives_the_same_name(module_database: LiveDatabase, expression: str, name: str) -> None:
    assert names(module_database, f"SELECT {expression}") == [name]


@pytest.mark.parametrize(("source", "expected"), SOURCES)
def test_a_function_has_the_same_columns(module_database: LiveDatabase, source: str, expected: list[str]) -> None:
    assert names(module_database, f"SELECT * FROM {source}") == expected


def names(database: LiveDatabase, query: str) -> list[str]:
    with psycopg.connect(database.dsn) as connection:
        return [column.name for column in connection.execute(query).description or ()]
