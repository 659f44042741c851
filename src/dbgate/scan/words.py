"""Names of columns as words: `kundenEmail`, `KUNDEN_E_MAIL` and `Kunden-E-Mail` are the same three words.

Source for accents: Unicode normalization form NFKD (UAX 15).
"""

from __future__ import annotations

import re
import unicodedata

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PIECES = re.compile(r"[^\W\d_]+|\d+")
_SPECIAL = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"})


def words(name: str) -> tuple[str, ...]:
    """The words of an identifier or a comment, in lower case and without accents."""
    split = _CAMEL.sub(" ", name)
    plain = unicodedata.normalize("NFKD", split.lower().translate(_SPECIAL))
    return tuple(_PIECES.findall("".join(c for c in plain if not unicodedata.combining(c))))


class Lexicon:
    """Phrases with what they stand for. A phrase is words between spaces; `geburts datum` also fits `geburtsdatum`."""

    def __init__(self, entries: dict[str, tuple[float, str]]) -> None:
        """`entries` gives for each kind a weight in front of its phrases, parted by commas."""
        self._by_joined: dict[str, list[tuple[str, float]]] = {}
        for kind, (weight, phrases) in entries.items():
            for phrase in phrases.split(","):
                joined = "".join(phrase.split())
                self._by_joined.setdefault(joined, []).append((kind.split("/")[0], weight))
        self._longest = max(map(len, self._by_joined))
        self._inside = [joined for joined in self._by_joined if len(joined) >= _LONG]

    def find(self, given: tuple[str, ...]) -> dict[str, tuple[float, str]]:
        """For each kind its greatest weight among the phrases in `given`, and that phrase."""
        found: dict[str, tuple[float, str]] = {}
        for joined in self._candidates(given):
            for kind, weight in self._by_joined[joined]:
                if weight > found.get(kind, (0.0, ""))[0]:
                    found[kind] = (weight, joined)
        return found

    def _candidates(self, given: tuple[str, ...]) -> set[str]:
        """Phrases made of neighbouring words, and long ones that stand at the end or the start of a word."""
        met: set[str] = set()
        for start in range(len(given)):
            joined = ""
            for word in given[start : start + 5]:
                joined += word
                if len(joined) > self._longest:
                    break
                if joined in self._by_joined:
                    met.add(joined)
        for word in given:
            met.update(p for p in self._inside if len(word) > len(p) and (word.endswith(p) or word.startswith(p)))
        return met


_LONG = 6
"""Phrases of so many letters count inside a longer word; shorter ones would be found in too many."""
