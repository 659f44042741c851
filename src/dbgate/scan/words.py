"""Names of columns as words: `kundenEmail`, `KUNDEN_E_MAIL` and `Kunden-E-Mail` are the same three words.

Source for accents: Unicode normalization form NFKD (UAX 15).
"""

from __future__ import annotations

import re
import unicodedata

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PIECES = re.compile(r"[^\W\d_]+|\d+")
_NUMBER_ENDINGS = ("nummer", "number", "nbr", "nr", "num")
_SHORT = {
    short: word
    for word, shorts in {
        "number": "no nr num nbr nmbr nummer numero numer numeros nro",
        "name": "nm nme",
        "date": "dt dte dat",
        "address": "addr adr addrs",
        "account": "acct acc",
        "employee": "emp empl",
        "customer": "cust",
        "user": "usr",
        "phone": "ph phn fon fone",
        "mobile": "mob mbl",
        "first": "fst frst",
        "last": "lst",
        "middle": "mid mdl",
        "birth": "brth brt",
        "password": "pswd psw passwrd paswd pword",
        "amount": "amt",
        "code": "cd",
        "patient": "pt ptnt",
        "security": "sec scrty",
        "social": "soc",
        "street": "strt",
        "telephone": "telno",
        "identification": "ident identif",
        "salary": "sal slry",
        "contact": "cntct",
        "license": "lic lcns",
        "passport": "passprt psprt",
        "credit": "cred crdt",
    }.items()
    for short in shorts.split()
}
"""Abbreviations of legacy schemas."""
_SPECIAL = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"})


def words(name: str) -> tuple[str, ...]:
    """The words of an identifier or a comment, in lower case and without accents."""
    split = _CAMEL.sub(" ", name)
    plain = unicodedata.normalize("NFKD", split.lower().translate(_SPECIAL))
    pieces = _PIECES.findall("".join(c for c in plain if not unicodedata.combining(c)))
    return tuple(part for piece in pieces for part in _canonical(piece))


def _canonical(word: str) -> tuple[str, ...]:
    """A word in its usual form: abbreviations written out, and a number's word parted from what it numbers."""
    if word in _SHORT:
        return (_SHORT[word],)
    for ending in _NUMBER_ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return (word.removesuffix(ending), "number")
    return (word,)


class Lexicon:
    """Phrases with what they stand for. A phrase is words between spaces; `geburts datum` also fits `geburtsdatum`."""

    def __init__(self, entries: dict[str, tuple[float, str]]) -> None:
        """`entries` gives for each kind a weight in front of its phrases, parted by commas."""
        self._by_joined: dict[str, list[tuple[str, float]]] = {}
        self._written: dict[str, str] = {}
        for kind, (weight, phrases) in entries.items():
            for phrase in phrases.split(","):
                joined = "".join(words(phrase))
                self._written[joined] = " ".join(words(phrase))
                self._by_joined.setdefault(joined, []).append((kind.split("/")[0], weight))
        self._longest = max(map(len, self._by_joined))
        self._inside = [joined for joined in self._by_joined if len(joined) >= _LONG]

    def find(self, given: tuple[str, ...]) -> dict[str, tuple[float, str]]:
        """For each kind its greatest weight among the phrases in `given`, and that phrase; of equal ones the longest."""
        found: dict[str, tuple[float, str]] = {}
        for joined in self._candidates(given):
            for kind, weight in self._by_joined[joined]:
                known = found.get(kind, (0.0, ""))
                if (weight, len(joined), joined) > (
                    known[0],
                    len(known[1].replace(" ", "")),
                    known[1].replace(" ", ""),
                ):
                    found[kind] = (weight, self._written[joined])
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
