"""From a column and a sample to findings: names, comments and values weighed together.

For every kind of data the log-odds that the column holds it are added up: a prior, what the names say, and what the
values say (`chance`). Of kinds that explain the same values only the likeliest is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from dbgate.scan.chance import chance_rate, column_weight, confidence
from dbgate.scan.formats import formats
from dbgate.scan.kinds import KINDS, Kind
from dbgate.scan.naming import Naming, naming
from dbgate.scan.nations import national_numbers
from dbgate.scan.people import PARTIAL, people
from dbgate.scan.recognizer import Recognizer
from dbgate.scan.secrets import secrets
from dbgate.scan.subject import Evidence, Finding, Sample, Subject
from dbgate.scan.typical import typical
from dbgate.scan.unpacking import Unpacked, decoded, is_document
from dbgate.scan.wording import found_inside

DOCUMENTS = frozenset({"json", "jsonb", "hstore"})
LEAST = 0.1
"""Findings below this confidence are not even mentioned."""
_INNOCENT = -3.0
_FEW = 4
"""Fewer distinct values than this say nothing by themselves."""
_CERTAIN_TYPES = {"inet": "ip", "cidr": "ip", "macaddr": "device", "macaddr8": "device"}


class _Weighed(msgspec.Struct, frozen=True):
    kind: Kind
    log_odds: float
    evidence: Evidence
    holding: frozenset[int] = frozenset()


def weigh(subject: Subject, sample: Sample) -> list[Finding]:
    """The findings of a column, likeliest first; at most one of each tag."""
    if subject.base_type.rpartition(".")[2] in DOCUMENTS or subject.category in "AC" or _are_documents(subject, sample):
        return _of_documents(subject, sample)
    if subject.base_type == "bytea" or _is_encoded(sample):
        texts = [text for value in sample.values if (text := decoded(value)) is not None]
        plain = msgspec.structs.replace(subject, base_type="text", category="S")
        return _told(plain, _weigh(plain, Sample(texts)), "encoded")
    return _told(subject, _weigh(subject, sample))


def _told(subject: Subject, weighed: Sequence[_Weighed], path: str = "") -> list[Finding]:
    kept: dict[str, Finding] = {}
    for one in weighed:
        certainty = confidence(one.log_odds)
        if certainty >= LEAST and one.kind.tag not in kept:
            kept[one.kind.tag] = Finding(subject.column, one.kind.name, one.kind.tag, certainty, one.evidence, path)
    return list(kept.values())


def _of_documents(subject: Subject, sample: Sample) -> list[Finding]:
    """Each path of the documents is weighed like a column that is called by its last key."""
    unpacked = Unpacked(sample.values)
    best: dict[str, Finding] = {}
    whole = msgspec.structs.replace(subject, base_type="text", category="S")
    for path, values in unpacked.values.items():
        keys = [key for key in path if key != "*"]
        column = msgspec.structs.replace(subject.column, column=keys[-1] if keys else subject.column.column)
        inner = msgspec.structs.replace(
            whole,
            column=column,
            comment="" if keys else subject.comment,
            siblings=tuple(k for p in unpacked.values for k in p[-1:]),
        )
        shown = "$" + "".join(f".{key}" if unpacked.stands(path[: n + 1]) else ".*" for n, key in enumerate(path))
        for found in _told(inner, _weigh(inner, Sample(values)), shown if path else ""):
            told = msgspec.structs.replace(
                found, column=subject.column, evidence=_shown(found.evidence, unpacked.stands(path))
            )
            if told.tag not in best or told.confidence > best[told.tag].confidence:
                best[told.tag] = told
    if not unpacked.values:
        return _told(whole, _weigh(whole, Sample()))
    return sorted(best.values(), key=lambda f: -f.confidence)


def _shown(evidence: Evidence, stands: bool) -> Evidence:
    """The phrase of a key is told only where the key is part of the documents' form."""
    return (
        evidence
        if stands
        else msgspec.structs.replace(evidence, words=tuple(w for w in evidence.words if "name says" not in w))
    )


def _are_documents(subject: Subject, sample: Sample) -> bool:
    """Whether a column of text holds JSON."""
    if subject.category != "S" or not sample.values:
        return False
    begun = [value for value in sample.distinct if value[0] in "{[" and value[-1] in "}]"]
    return len(begun) > 0.8 * len(sample.distinct) and any(is_document(value) for value in begun[:5])


def _is_encoded(sample: Sample) -> bool:
    return len(sample.distinct) >= _FEW and sum(decoded(v) is not None for v in sample.distinct) > 0.9 * len(
        sample.distinct
    )


def _weigh(subject: Subject, sample: Sample) -> list[_Weighed]:
    """The kinds that a plain column may be of, likeliest first."""
    names = naming(subject)
    values = [
        _Weighed(kind, weight, evidence, holding)
        for kind, weight, evidence, holding in _by_values(subject, sample, names)
    ]
    by_kind = {one.kind.name: one for one in values}
    found = []
    for kind in KINDS.values():
        if not _can_hold(subject, kind):
            continue
        named = names.weights.get(kind.name, 0.0)
        one = by_kind.get(kind.name)
        if one is None and (named <= 0 or kind.name == "text"):
            continue
        weight = one.log_odds if one else kind.silence if len(sample) >= _FEW and kind.name != "text" else 0.0
        innocent = _INNOCENT if names.innocent and named <= 0 else 0.0
        told = (*names.words.get(kind.name, ()), *(one.evidence.words if one else ()))
        evidence = msgspec.structs.replace(one.evidence if one else Evidence(sampled=len(sample)), words=told)
        found.append(
            _Weighed(kind, kind.prior + named + weight + innocent, evidence, one.holding if one else frozenset())
        )
    found.sort(key=lambda one: -one.log_odds)
    return _without_rivals(found, len(sample.distinct))


def _can_hold(subject: Subject, kind: Kind) -> bool:
    if subject.category == "U":
        return subject.base_type in {"uuid", "macaddr", "macaddr8", "xml"} and "U" in kind.types
    return subject.category in kind.types


def _without_rivals(found: list[_Weighed], distinct: int) -> list[_Weighed]:
    """Keep the likeliest, and others that explain values which it does not."""
    kept = found[:1]
    for one in found[1:]:
        explained = frozenset[int]().union(*(k.holding for k in kept))
        own = one.holding - explained
        if len(own) >= max(2, 0.05 * distinct, 0.7 * len(one.holding)):
            kept.append(one)
    return kept


def _by_values(
    subject: Subject, sample: Sample, names: Naming
) -> Iterator[tuple[Kind, float, Evidence, frozenset[int]]]:
    """For each kind that recognises some of the values: the weight of that, and the evidence."""
    if subject.base_type in _CERTAIN_TYPES:
        kind = KINDS[_CERTAIN_TYPES[subject.base_type]]
        yield kind, 7.0, Evidence((f"its type is {subject.base_type}",), sampled=len(sample)), frozenset()
        return
    if not sample.distinct:
        return
    best: dict[str, tuple[float, Evidence, frozenset[int]]] = {}
    for recognizer in _recognizers(subject):
        if not _can_hold(subject, KINDS[recognizer.kind]):
            continue
        found = _recognized(recognizer, sample)
        if found is not None and found[0] > best.get(recognizer.kind, (-99.0,))[0]:
            best[recognizer.kind] = found
    for name, (weight, evidence, holding) in best.items():
        bound = weight if names.weights.get(name, 0.0) > 0 or len(sample.distinct) >= _FEW else min(weight, 2.0)
        yield KINDS[name], max(bound, KINDS[name].silence), evidence, holding
    if subject.category in "SU":
        yield from found_inside(sample)


def _recognizers(subject: Subject) -> tuple[Recognizer, ...]:
    if subject.category == "S":
        return (*formats(), *secrets(), *people(), *national_numbers())
    return (*formats(), *national_numbers())


def _recognized(recognizer: Recognizer, sample: Sample) -> tuple[float, Evidence, frozenset[int]] | None:
    first = sample.distinct[:30]
    if not any(recognizer.holds(value) for value in first):
        return None
    holding = frozenset(n for n, value in enumerate(sample.distinct) if recognizer.holds(value))
    tried = len(sample.distinct)
    partial = recognizer.kind in PARTIAL
    chance = recognizer.chance
    if recognizer.checked and holding:
        shaped = [value for value in sample.distinct if recognizer.shape.fullmatch(value)]
        chance = chance_rate(shaped, recognizer.holds)
    weight = column_weight(len(holding), tried, chance, recognizer.lookalike, partial=partial)
    weight += typical(recognizer.kind, recognizer.noun, [sample.distinct[n] for n in holding], tried)
    text = f"{len(holding)} of {tried} different values are {recognizer.noun}"
    measured = chance if recognizer.checked else None
    if measured is not None and measured < 0.995:
        text += f" ({measured:.0%} would be by chance)"
    return weight, Evidence((text,), len(holding), tried, measured), holding
