from __future__ import annotations

import pytest

from dbgate.errors import StatementError
from dbgate.gate.syntax import MAX_TEXT_BYTES, split


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
        ("select 'é', (", 14, "end of input"),
        ("select 'é', selec x y", 21, 'syntax error at or near "y"'),
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


def test_a_comment_at_the_end_stays_as_it_is() -> None:
    assert [source.text for source in split("select 1; select 2 -- ;")] == ["select 1", "select 2 -- ;"]


def test_a_text_has_a_size_that_can_be_judged() -> None:
    with pytest.raises(StatementError, match="larger than 16 MiB"):
        split(f"select '{'x' * MAX_TEXT_BYTES}'")
