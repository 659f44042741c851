"""What people are shown: nothing that steers a terminal, and nothing legible taken away."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from dbgate.text import printable, span, suggest


def test_every_character_of_its_kind_is_made_visible() -> None:
    joiners = {"\u200c", "\u200d"}
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        steers = category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and char not in joiners)
        shown = printable(char)
        assert (shown != char) == steers, hex(code)
        assert not steers or (shown.isascii() and shown.isprintable())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\nc\td\0", "a\\x0db\\x0ac\\x09d\\x00"),
        ("x\u202ey\u2066z", "x\\u202ey\\u2066z"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("Zoë 漢字 👩\u200d💻", "Zoë 漢字 👩\u200d💻"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_what_is_shown_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_only_what_is_to_stay_stays() -> None:
    assert printable("a\nb\tc\x1b\u202e", keep="\n\t") == "a\nb\tc\\x1b\\u202e"
    assert printable("a\nb", keep="\t") == "a\\x0ab"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.4, "0 s"), (99, "99 s"), (100, "2 min"), (1800, "30 min"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_durations_for_people(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_the_nearest_word() -> None:
    assert suggest("pasword", ["password", "policy"]) == "did you mean password?"
    assert suggest("x", ["b", "a"]) == "known: a, b"
    assert suggest("x", []) == ""
