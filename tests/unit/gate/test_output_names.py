"""The names of columns that have none in the text (`tests/live/test_column_names.py` asks PostgreSQL for the same)."""

from __future__ import annotations

import pytest
from tests.catalogs import CATALOG

from dbgate.gate.analysis import Analysis
from dbgate.gate.names import output_name
from dbgate.gate.relations import schema_of
from dbgate.gate.syntax import parse_one

EXPRESSIONS = [
    ("lower('x')", "lower"),
    ("pg_catalog.lower('x')", "lower"),
    ("""'x'::text COLLATE "C" """, "text"),
    ("""lower('x') COLLATE "C" """, "lower"),
    ("current_date", "current_date"),
    ("localtimestamp(2)", "localtimestamp"),
    ("current_time(3)", "current_time"),
    ("session_user", "session_user"),
    ("current_catalog", "current_catalog"),
    ("xmlelement(name a)", "xmlelement"),
    ("xmlpi(name x)", "xmlpi"),
    ("EXISTS (SELECT 1)", "exists"),
    ("ARRAY (SELECT 1)", "array"),
    ("(SELECT 1 AS q)", "q"),
    ("(SELECT lower('x'))", "lower"),
    ("nullif(1, 2)", "nullif"),
    ("coalesce(1)", "coalesce"),
    ("greatest(1, 2)", "greatest"),
    ("least(1)", "least"),
    ("ARRAY[1]", "array"),
    ("ROW(1)", "row"),
    ("'1'::int4", "int4"),
    ("CASE WHEN true THEN 1 END", "case"),
    ("CASE WHEN true THEN 'y' ELSE lower('x') END", "lower"),
    ("1 + 1", "?column?"),
    ("'x'", "?column?"),
]


@pytest.mark.parametrize(("expression", "name"), EXPRESSIONS)
def test_a_column_is_named_as_postgresql_names_it(expression: str, name: str) -> None:
    (target,) = parse_one(f"SELECT {expression}")["SelectStmt"]["targetList"]
    assert output_name(target["ResTarget"]) == name


SOURCES = [
    ("generate_series(1, 2)", ["generate_series"]),
    ("generate_series(1, 2) g", ["g"]),
    ("generate_series(1, 2) g(n)", ["n"]),
    ("generate_series(1, 2) WITH ORDINALITY", ["generate_series", "ordinality"]),
    ("jsonb_array_elements('[1]')", ["value"]),
    ("jsonb_array_elements('[1]') WITH ORDINALITY x(a, b)", ["a", "b"]),
    ("ROWS FROM (generate_series(1, 2), jsonb_array_elements('[1]'))", ["generate_series", "value"]),
    ("""jsonb_to_record('{"a": 1}') AS x(a int, b text)""", ["a", "b"]),
]


@pytest.mark.parametrize(("source", "names"), SOURCES)
def test_the_columns_of_a_function_are_known(source: str, names: list[str]) -> None:
    assert columns_of(source) == names


@pytest.mark.parametrize(
    "source",
    [
        "json_each_text('{}')",
        "json_each_text('{}') x(a)",
        "ROWS FROM (json_each_text('{}'), generate_series(1, 2))",
        "ROWS FROM (generate_series(1, 2), json_each_text('{}')) WITH ORDINALITY",
        "public.fiscal_year('2024-01-01')",
    ],
)
def test_the_columns_of_others_are_not_guessed(source: str) -> None:
    assert columns_of(source) is None


def columns_of(source: str) -> list[str] | None:
    analysis = Analysis(schema_of(CATALOG), {}, ("public",))
    columns = analysis.query(parse_one(f"SELECT * FROM {source}")["SelectStmt"], None, None)
    return None if columns is None else [column.name for column in columns]
