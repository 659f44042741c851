"""Scripts that PostgreSQL's grammar reads only in part."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dbgate.errors import StatementError
from dbgate.gate.script import Unread, read_script
from dbgate.gate.syntax import split


def pieces(script: str, **values: str) -> list[str]:
    """The statements; those that cannot be read between question marks."""
    return [f"?{one.text}?" if isinstance(one, Unread) else one.text for one in read_script(script, values)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        ("select 1; select 2", ["select 1", "select 2"]),
        ("selec 1", ["?selec 1?"]),
        ("select 1; selec 2; select 3", ["select 1", "?selec 2?", "select 3"]),
        ("selec 1;select 2;", ["?selec 1?", "select 2"]),
        ("select 1;;; selec 2;; select 3;;", ["select 1", "?selec 2?", "select 3"]),
        ("select ';'; selec ';' ; select $$;$$, $a$;$$;$a$", ["select ';'", "?selec ';'?", "select $$;$$, $a$;$$;$a$"]),
        ('select 1 as ";"; selec', ['select 1 as ";"', "?selec?"]),
        ("select 1 /* ; /* ; */ ; */; -- ;\nselec 2", ["select 1 /* ; /* ; */ ; */", "?-- ;\nselec 2?"]),
        (r"select E'\';'; selec 1", [r"select E'\';'", "?selec 1?"]),
        ("select 1; select 'open; select 3", ["select 1", "?select 'open; select 3?"]),
        ("select 1; select $x$open; $y$ drop table t", ["select 1", "?select $x$open; $y$ drop table t?"]),
        ('select 1; select "open; drop table t', ["select 1", '?select "open; drop table t?']),
        ("select 1; select E'open\\'; drop table t", ["select 1", "?select E'open\\'; drop table t?"]),
        ("select 1; select /* open; /* */ drop table t", ["select 1", "?select /* open; /* */ drop table t?"]),
        ("select 1; select (2; select 3); select 4", ["select 1", "?select (2; select 3)?", "select 4"]),
        ("selec 1); select 2", ["?selec 1)?", "select 2"]),
        (
            "create function f() returns int begin atomic select case when true then 1 end; select 2; end; selec 3",
            [
                "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
                "?selec 3?",
            ],
        ),
        ("begin; selec 1; commit", ["begin", "?selec 1?", "commit"]),
        (
            "selec 1; create rule r as on insert to t do (delete from a; delete from b)",
            ["?selec 1?", "create rule r as on insert to t do (delete from a; delete from b)"],
        ),
    ],
)
def test_each_statement_is_read_alone(script: str, expected: list[str]) -> None:
    assert pieces(script) == expected


def test_places_are_those_of_the_piece_and_of_the_script() -> None:
    first, bad, last = read_script("select 'ä';\n  selec 2;\n select :n", {"n": "5"})
    assert isinstance(bad, Unread)
    assert (bad.text, bad.error.position) == ("selec 2", 1)
    assert not isinstance(first, Unread)
    assert not isinstance(last, Unread)
    assert (last.text, last.parameters, last.offset) == ("select $1", ("5",), 24)


def test_what_is_no_text_is_not_cut() -> None:
    for script in ("select 1; select '\0'; drop table t", "select 1; select '\ud800'"):
        (one,) = read_script(script)
        assert isinstance(one, Unread)
        assert one.text == script


@pytest.mark.parametrize("script", ["select 1; select ';' ; select (2)", "values (1);\n\n-- x\nselect 3", "select $1"])
def test_what_can_be_read_whole_is_what_split_gives(script: str) -> None:
    assert read_script(script) == split(script)


def corpus() -> list[str]:
    """Every statement of the corpora that PostgreSQL's grammar reads."""
    here = Path(__file__).parents[2] / "corpus"
    found: list[str] = []
    for path in sorted([*here.glob("l*/*.yaml"), *here.glob("clinic/[!p]*.yaml")]):
        for group in yaml.safe_load(path.read_text(encoding="utf-8")):
            for one in [*group.get("sql", ()), *group.get("scripts", ())]:
                found += [one] if isinstance(one, str) else one
    return found


def test_the_cut_agrees_with_the_grammar() -> None:
    texts = []
    for text in corpus():
        try:
            texts += [source.text for source in split(text)]
        except StatementError:
            continue
    assert len(texts) > 2000
    for first, second in zip(texts, [*texts[1:], texts[0]], strict=True):
        found = read_script(f"{first}\n;\n selec 1;\n{second}\n;")
        assert [one.text for one in found] == [first, "selec 1", second]
