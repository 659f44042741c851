"""Text for people: the nearest name, durations, and data that cannot play tricks on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_KEPT_FORMAT = {"\u200c", "\u200d"}
"""Zero-width joiners: needed by scripts and emoji, harmless to the order of text."""


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or lists them all when none is near."""
    from difflib import get_close_matches

    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if names else ""


def span(seconds: float) -> str:
    """A duration for people: `30 min`, `2 h 5 min`, `45 s`."""
    whole = max(round(seconds), 0)
    if whole < 100:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return " ".join(([f"{hours} h"] if hours else []) + ([f"{minutes} min"] if minutes or not hours else []))


def printable(text: str, *, keep: str = "") -> str:
    """Return `text` with every character that could steer a terminal made visible.

    Control characters become `\\xNN`, bidirectional and other format characters, lone surrogates and
    private separators `\\uNNNN`. Characters in `keep` (for example newline and tab) stay.
    """
    plain = text
    for char in keep:
        plain = plain.replace(char, "")
    if plain.isascii() and plain.isprintable():
        return text
    return "".join(c if c in keep else _visible(c) for c in text)


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category in {"Cc", "Cs", "Zl", "Zp"} or (category == "Cf" and char not in _KEPT_FORMAT):
        code = ord(char)
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    return char
