"""What the names around a column say of its kind: its own, its comment, its table, its neighbours."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from dbgate.scan.subject import Subject
from dbgate.scan.surroundings import ABOUT, COMMENT_SHARE, INNOCENT, NEGATIONS, PERSONS, THINGS
from dbgate.scan.vocabulary import COLUMNS
from dbgate.scan.words import words

WEAK = 4.5
"""Phrases of at most this weight mean something only where table and neighbours agree."""
_ROLE = 3.0
"""`name` and `customer` mean people only in good company: `customer_name`, not `customer_number` or `file_name`."""
_NAMES = frozenset("name nom nome nombre naam namn navn nazwa nimi isim".split())
_MEDICAL = frozenset(
    "patient patients diagnosis diagnoses medical clinical hospital encounter encounters admission admissions claim claims visit visits".split()
)
_OF_PEOPLE = frozenset({"email", "person", "birth", "phone", "ssn"})
_OF_THINGS = frozenset("sku price stock quantity qty weight barcode ean unit units manufacturer".split())


class Naming(msgspec.Struct, frozen=True):
    """What names say. `weights` are log-likelihood ratios by kind, `words` what to tell of them.

    `innocent` tells that the name is one of things that only look like something.
    """

    weights: dict[str, float]
    words: dict[str, tuple[str, ...]]
    innocent: bool = False


def naming(subject: Subject) -> Naming:
    """Read the names around a column."""
    own = words(subject.column.column)
    context = _context(subject)
    weights: dict[str, float] = {}
    told: dict[str, tuple[str, ...]] = {}
    for kind, (weight, phrase) in COLUMNS.find(own).items():
        if _only_about(own, phrase):
            weights[kind] = -3.0
            continue
        if kind == "person" and weight <= _ROLE and len(own) > 1:
            weight += 2.0 if phrase in _NAMES and PERSONS & {*own} - {phrase} else -4.0
        weights[kind] = weight + (context if _is_weak(kind, weight) else 0.0)
        told[kind] = (f"its name says {phrase}",)
    _add_comment(subject, weights, told)
    table = set(words(subject.column.table))
    if table & _MEDICAL:
        weights["health"] = weights.get("health", 0.0) + 1.5
    used = {phrase for kind, (_, phrase) in COLUMNS.find(own).items() if weights[kind] > 0}
    innocent = any(word in INNOCENT and not any(word in phrase for phrase in used) for word in own)
    return Naming(weights, told, innocent)


def _is_weak(kind: str, weight: float) -> bool:
    """Whether a phrase means something only in the right table."""
    return kind != "text" and (weight <= WEAK or kind in {"location", "postcode"})


def _only_about(own: tuple[str, ...], phrase: str) -> bool:
    """Whether the name ends, or begins with `is` and the like, in a word beyond the phrase that says so."""
    return any(word not in phrase for word in _abouts(own))


def _abouts(own: tuple[str, ...]) -> tuple[str, ...]:
    last = own[-1] if own and not own[-1].isdigit() else own[-2] if len(own) > 1 else ""
    first = own[0] if own and own[0] in {"is", "has", "num", "count", "needs", "can", "allow", "max", "min"} else ""
    return tuple(word for word in (first, last) if word and word in ABOUT)


def _context(subject: Subject) -> float:
    """Whether the table is one of people or one of things, as a log-likelihood ratio."""
    table = (*words(subject.column.table), *words(subject.table_comment)[:12])
    weight = 2.0 if PERSONS & set(table) else -3.0 if THINGS & set(table) else 0.0
    near = {kind for name in subject.siblings for kind in _kinds_of_name(name)}
    if near & _OF_PEOPLE:
        weight += 1.0
    if any(_OF_THINGS & set(words(name)) for name in subject.siblings):
        weight -= 1.5
    return weight


@lru_cache(maxsize=65536)
def _kinds_of_name(name: str) -> frozenset[str]:
    own = words(name)
    return frozenset(
        k for k, (weight, phrase) in COLUMNS.find(own).items() if weight > WEAK and not _only_about(own, phrase)
    )


def _add_comment(subject: Subject, weights: dict[str, float], told: dict[str, tuple[str, ...]]) -> None:
    said = words(subject.comment)
    if not said or NEGATIONS & set(said):
        return
    for kind, (weight, phrase) in COLUMNS.find(said).items():
        if weight <= WEAK and len(said) > 3:
            continue
        before = weights.get(kind, 0.0)
        weights[kind] = max(before, weight * COMMENT_SHARE) + 0.3 * max(0.0, min(before, weight))
        told[kind] = (*told.get(kind, ()), f"its comment says {phrase}")
