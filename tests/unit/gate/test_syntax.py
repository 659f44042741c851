from __future__ import annotations

import pytest

from dbgate.errors import StatementError
from dbgate.gate.syntax import split


def test_a_script_is_split_as_the_grammar_says() -> None:
    sources = split("select ';' ; ; -- nothing\n select 2 -- ;\n;")
    assert [s.text for s in sources] == ["select ';'", "-- nothing\n select 2 -- ;"]
    assert sources[1].offset == 15


def test_each_statement_gets_its_own_parameters() -> None:
    first, second = split("select :a, :b; select :b", {"a": "1", "b": None})
    assert (first.text, first.parameters) == ("select $1, $2", ("1", None))
    assert (second.text, second.parameters) == ("select $1", (None,))


def test_locations_are_those_of_the_statement() -> None:
    second = split("select 1;\n select é from t")[1]
    assert second.tree["SelectStmt"]["fromClause"][0]["RangeVar"]["location"] == len("select é from ".encode())


@pytest.mark.parametrize(
    ("script", "position", "message"),
    [
        ("select 1; selec 2", 11, 'syntax error at or near "selec"'),
        ("select 1\0; drop table t", 9, "NUL"),
        ("select '\ud800'", 9, "surrogate"),
        ("select (", 9, "end of input"),
    ],
)
def test_what_is_not_sql_is_refused_whole(script: str, position: int, message: str) -> None:
    with pytest.raises(StatementError, match=message) as caught:
        split(script)
    assert caught.value.position == position


def test_a_missing_value_is_named() -> None:
    with pytest.raises(StatementError) as caught:
        split("select :since")
    assert caught.value.hint == "give a value: -p since=…"


@pytest.mark.parametrize("text", ["select " + "+".join(["1"] * 30000), "select " + "(" * 20000])
def test_deep_nesting_is_a_clear_error(text: str) -> None:
    with pytest.raises(StatementError):
        split(text)


def test_long_flat_statements_pass() -> None:
    (source,) = split("select 1 where 1 in (" + ",".join(map(str, range(5000))) + ")")
    assert source.text.endswith("4999)")
