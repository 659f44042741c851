"""Takes values out of the server's messages: pure text in, pure text out.

PostgreSQL's primary messages quote names and values alike (`column "x"`, `invalid input syntax for type integer:
"666-12-3456"`). What is quoted stays only where it is known to be no value: it is one of the names handed in, or it
stands in the text handed in. The rest becomes `…`.
"""

from __future__ import annotations

import re
from collections.abc import Set

GONE = "…"
MAX_CHARS = 500

_QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“", "‘": "’", "「": "」", "《": "》", "'": "'"}
_OPENING = re.compile(r"[\"“«„‘「《]|(?<!\w)'")
_VALUE_AT_THE_END = re.compile(r": ?(?=[\"“«„‘「《'])")
_WORD = re.compile(r"[^\s,;:()\[\]\"]+")
_MODIFIED_TYPE = re.compile(
    r"\b(?:character varying|character|varchar|char|bpchar|numeric|decimal|bit varying|bit|varbit"
    r"|time|timestamp|timestamptz|timetz|interval)\(\d{1,6}(?:,-?\d{1,6})?\)"
)
_PARAMETER = re.compile(r"\$\d{1,5}")
_LITERALS = re.compile(r"--[^\r\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^'\\]|''|\\.)*'", re.DOTALL)
_IDENTIFIER = re.compile(r'"((?:[^"]|"")+)"|([^\W\d][\w$]*)')


def scrub(message: str, text: str = "", names: Set[str] = frozenset()) -> str:
    """Return `message` on one line with unknown quoted parts and unknown words with digits replaced by `…`.

    `text` is a statement whose words are no secret to the reader of this message, `names` are identifiers and
    types that may be shown.
    """
    head, tail = message, ""
    if found := _VALUE_AT_THE_END.search(message):
        head, tail = message[: found.end()], _value(message[found.end() :], text, names)
    return " ".join((_scrub_names(head, text, names) + tail).split())[:MAX_CHARS]


def identifiers(text: str) -> frozenset[str]:
    """The names in a statement: words and quoted identifiers outside its literals and comments."""
    found: set[str] = set()
    for quoted, bare in _IDENTIFIER.findall(_LITERALS.sub(" ", text)):
        name = quoted.replace('""', '"') if quoted else bare.lower()
        found.update((name, name.encode()[:63].decode("utf-8", "ignore")))
    return frozenset(found)


def _value(rest: str, text: str, names: Set[str]) -> str:
    """The last part of a message, from a quote on: one value as a whole, whatever quotes are in it."""
    closing = _QUOTES[rest[0]]
    inside = rest[1:-1] if len(rest) > 1 and rest.endswith(closing) else None
    if inside is not None and _known(inside, text, names):
        return rest
    return rest[0] + GONE + closing


def _scrub_names(message: str, text: str, names: Set[str]) -> str:
    done: list[str] = []
    place = 0
    while found := _OPENING.search(message, place):
        start = found.start()
        closing = _QUOTES[message[start]]
        end = message.find(closing, start + 1)
        if end < 0:
            return "".join((*done, _scrub_words(message[place:start], text, names), GONE))
        done.append(_scrub_words(message[place:start], text, names))
        if _known(message[start + 1 : end], text, names):
            done.append(message[start : end + 1])
        else:
            end = message.rfind(closing)
            done.append(message[start] + GONE + closing)
        place = end + 1
    return "".join((*done, _scrub_words(message[place:], text, names)))


def _scrub_words(words: str, text: str, names: Set[str]) -> str:
    kept = [match.span() for match in _MODIFIED_TYPE.finditer(words)]

    def judge(match: re.Match[str]) -> str:
        word = match.group()
        if any(start <= match.start() < end for start, end in kept):
            return word
        plain = word.isascii() and "@" not in word and not any(char.isdigit() for char in word)
        return word if plain or _PARAMETER.fullmatch(word) or _known(word.strip("."), text, names) else GONE

    return _WORD.sub(judge, words)


def _known(part: str, text: str, names: Set[str]) -> bool:
    if part in names:
        return True
    pieces = part.split(".")
    if len(pieces) > 1 and all(piece.strip('"') in names for piece in pieces):
        return True
    return bool(part and text) and _stands_in(part, text)


def _stands_in(part: str, text: str) -> bool:
    """Whether `part` stands in `text` on its own, not as a piece of a longer word or number."""
    start = text.lower().find(part.lower())
    while start >= 0:
        end = start + len(part)
        before, after = text[start - 1 : start], text[end : end + 1]
        cut_before = before.isalnum() and part[0].isalnum()
        cut_after = after.isalnum() and part[-1].isalnum()
        if not (cut_before or cut_after):
            return True
        start = text.lower().find(part.lower(), start + 1)
    return False
