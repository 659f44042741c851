from __future__ import annotations

import pytest

from dbgate.model import RuleRef
from dbgate.session.masking import redact, redact_message
from dbgate.session.messages import denial, with_place


@pytest.mark.parametrize(
    "text",
    [
        "SELEC 'S3CRET'",
        "SELEC E'a\\'S3CRET'",
        "SELEC $$S3CRET$$",
        "SELEC $x$S3CRET$x$",
        "SELEC U&'S3CRET'",
        "SELEC 'S3CRET",
        "SELEC $$S3CRET",
        'SELEC "S3CRET',
        "SELEC $tag$ 'S3CRET",
        "SELEC 1 -- S3CRET",
        "SELEC 1 /* S3CRET",
        "SELEC 1 /* a /* S3CRET */",
        "SELEC 'a' /* b */ 'S3CRET",
        "SELEC X'S3CRET",
    ],
)
def test_no_literal_or_comment_survives(text: str) -> None:
    assert "S3CRET" not in redact(text)
    assert redact(text).startswith("SELEC")


@pytest.mark.parametrize("number", ["4711", "47.11", "0x4711", "1e4711", ".4711", "4_711"])
def test_no_number_survives(number: str) -> None:
    assert redact(f"SELEC {number} FROM t") == "SELEC '***' FROM t"


def test_what_cannot_be_encoded_or_is_endless_is_still_recordable() -> None:
    redact("SELEC \ud800 \0 1").encode("utf-8")
    assert len(redact("SELEC " * 100_000)) <= 10_000


def test_a_parser_message_is_recorded_without_the_text_it_quotes() -> None:
    assert redact_message("syntax error at or near \"'S3CRET'\"") == "syntax error at or near …"
    assert redact_message("syntax error at end of input") == "syntax error at end of input"


def test_the_caret_stands_under_the_place() -> None:
    text = "SELECT 1,\n\t2 FORM t\nWHERE x"
    shown = with_place("syntax error", text.index("FORM") + 1, text).split("\n")
    assert shown[0] == "syntax error"
    assert shown[1] == "LINE 2:  2 FORM t"
    assert shown[2].index("^") == shown[1].index("FORM")


def test_a_long_line_is_cut_around_the_place() -> None:
    text = "SELECT " + "a, " * 500 + "FORM" + ", b" * 500
    shown = with_place("syntax error", text.index("FORM") + 1, text).split("\n")
    assert len(shown[1]) < 140
    assert shown[2].index("^") == shown[1].index("FORM")


@pytest.mark.parametrize("position", [0, -1, 99])
def test_an_unknown_place_is_not_shown(position: int) -> None:
    assert with_place("syntax error", position, "SELECT") == "syntax error"


def test_the_end_of_the_text_is_a_place() -> None:
    shown = with_place("syntax error at end of input", 7, "SELECT").split("\n")
    assert shown[1:] == ["LINE 1: SELECT", "              ^"]


def test_a_denial_names_its_rules() -> None:
    assert denial("no rule allows it", ()) == "no rule allows it"
    one = RuleRef("a", "p.yaml", 3)
    assert denial("stop", (one,)) == "rule a (p.yaml:3): stop"
    assert denial("stop", (one, RuleRef("b", "p.yaml", 4))) == "rules a (p.yaml:3), b (p.yaml:4): stop"


def test_an_open_quote_is_seen_to_hide_something() -> None:
    assert redact("SELEC 'abc FROM t") == "SELEC '***'"
