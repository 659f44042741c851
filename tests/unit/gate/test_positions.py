"""Places of errors, mapped back onto the text that a person typed."""

from __future__ import annotations

import pytest

from dbgate.errors import StatementError
from dbgate.gate.positions import typed_position
from dbgate.gate.splice import Edit, Splices
from dbgate.gate.syntax import split
from dbgate.session.messages import in_statement

TYPED = "SELECT a FROM t WHERE b = c"


@pytest.mark.parametrize(
    ("edits", "sent_word"),
    [
        ([], "WHERE"),
        ([Edit(14, 15, "(SELECT x FROM s.t) AS t")], "WHERE"),
        ([Edit(7, 7, "long, "), Edit(14, 15, "")], "WHERE"),
        ([Edit(14, 15, "s.t"), Edit(27, 27, " AND more")], "c"),
    ],
)
def test_what_was_typed_is_found_again(edits: list[Edit], sent_word: str) -> None:
    splices = Splices(edits)
    sent = splices.apply(TYPED)
    assert typed_position(sent.index(sent_word) + 1, splices.places()) == TYPED.index(sent_word) + 1


def test_what_was_put_in_has_no_place() -> None:
    splices = Splices([Edit(14, 15, "(SELECT mask FROM s.t) AS t")])
    sent = splices.apply(TYPED)
    assert typed_position(sent.index("mask") + 1, splices.places()) == 0
    assert typed_position(0, splices.places()) == 0
    assert typed_position(15, splices.places()) == 15


def test_named_parameters_are_shown_as_typed() -> None:
    first, second = split("SELECT :a;\n SELECT :b, 'ü :a', :a + x FROM t WHERE :b", {"a": "1", "b": "2"})
    assert (first.text, first.typed) == ("SELECT $1", "SELECT :a")
    assert second.text == "SELECT $1, 'ü :a', $2 + x FROM t WHERE $1"
    assert second.typed == "SELECT :b, 'ü :a', :a + x FROM t WHERE :b"
    position = second.text.index("x FROM") + 1
    shown = in_statement(StatementError("no x", position=position), second).split("\n")
    assert shown[1] == "LINE 1: SELECT :b, 'ü :a', :a + x FROM t WHERE :b"
    assert shown[2].index("^") == shown[1].index("x FROM")


@pytest.mark.parametrize(
    ("script", "values", "at"),
    [
        ("SELECT 1 FORM t", {}, "t"),
        ("SELECT :long_name FROM FROM u", {"long_name": "1"}, "FROM u"),
        ("SELECT 'üüü', :n;\nSELECT é FROM FROM u", {"n": "1"}, "FROM u"),
    ],
)
def test_a_syntax_error_points_into_the_script(script: str, values: dict[str, str | None], at: str) -> None:
    with pytest.raises(StatementError) as caught:
        split(script, values)
    assert caught.value.position == script.rindex(at) + 1
