from __future__ import annotations

import pytest

from dbgate.errors import StatementError
from dbgate.gate.lexer import Offsets, Tokens, bind_names, tokens


def texts(sql: str) -> list[str]:
    return [token.text for token in tokens(sql)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", ["select", "1"]),
        ("a/* x /* y */ z */b", ["a", "b"]),
        ("a -- b\nc", ["a", "c"]),
        ("a -- b\rc", ["a", "c"]),
        ("'it''s' E'a\\'b' $$a'b$$ $t$ $$ $t$", ["'it''s'", "E'a\\'b'", "$$a'b$$", "$t$ $$ $t$"]),
        ("E'a'\n'b\\'c' d", ["E'a'\n'b\\'c'", "d"]),
        ('U&"d\\0061" "a""b"', ['U&"d\\0061"', '"a""b"']),
        ("a::int, $1, :x, b:=2", ["a", "::", "int", ",", "$1", ",", ":x", ",", "b", ":=", "2"]),
        ("1.5e3 .5 1_000", ["1.5e3", ".5", "1_000"]),
        ("a<--b\nc", ["a", "<", "c"]),
        ("a@>b ->> c", ["a", "@>", "b", "->>", "c"]),
        ("größe.ß", ["größe", ".", "ß"]),
    ],
)
def test_tokens(sql: str, expected: list[str]) -> None:
    assert texts(sql) == expected


def test_words_are_of_ascii_letters_and_all_that_is_beyond() -> None:
    """PostgreSQL manual, 4.1.1: letters, also those with marks and non-Latin ones, and `_`; then digits and `$` as well."""
    beyond = "\x80éßĀ€\uffff\U00010000\U0010ffff"
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_" + beyond
    for character in (*map(chr, range(128)), *beyond):
        first, *_ = [*tokens(character), None]
        second, *_ = tokens("a" + character)
        assert (first is not None and first.kind == "word") == (character in letters), character
        assert (second.text == "a" + character) == (character in letters + "0123456789$"), character
        assert (len(texts(f"${character}$'${character}$")) == 1) == (character in letters), character


def test_names_are_bound_outside_strings_and_comments() -> None:
    text, names = bind_names("select :a, ':a', \":a\", :b::text, $$:a$$ /* :a */, :a -- :b", {"a": "1", "b": "2"})
    assert text == "select $1, ':a', \":a\", $2::text, $$:a$$ /* :a */, $1 -- :b"
    assert names == ("a", "b")


def test_an_unknown_name_and_an_array_slice_stay() -> None:
    assert bind_names("select x[1:n], :b", {"a": "1"}) == ("select x[1:n], :b", ())


def test_numbered_and_named_parameters_do_not_mix() -> None:
    with pytest.raises(StatementError, match="mixes"):
        bind_names("select $1, :a", {"a": "1"})


def test_byte_offsets_become_character_offsets() -> None:
    assert Offsets("é, ssn").to_chars(4) == 3
    assert Offsets("e, ssn").to_chars(4) == 4
    assert Offsets("é").to_chars(2) == 1


def test_tokens_are_found_by_where_they_begin() -> None:
    found = Tokens("a (b)")
    assert [found.index_at(start) for start in (0, 2, 3, 4)] == [0, 1, 2, 3]
    for nowhere in (1, 5, 9):
        with pytest.raises(LookupError):
            found.index_at(nowhere)
    assert [found.index_after(start) for start in (0, 1, 2, 5)] == [0, 1, 1, 4]


def test_a_parenthesis_that_nothing_closes() -> None:
    assert Tokens("(a (b) c)").matching(0) == 6
    with pytest.raises(LookupError):
        Tokens("(a (b)").matching(0)


def test_a_dollar_quoted_text_is_a_string() -> None:
    assert [token.kind for token in tokens("$q$a$q$ 'x' $$b$$ $1")] == ["string", "string", "string", "param"]
