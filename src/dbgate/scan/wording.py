"""Findings of personal data and secrets inside of longer texts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dbgate.scan.chance import EFFECTIVE, log_sum
from dbgate.scan.kinds import KINDS, Kind
from dbgate.scan.prose import found_in
from dbgate.scan.subject import Evidence, Sample

_LONG = 25
"""Shorter values are no texts."""
_CHANCE = {"email": 0.001, "card": 0.0005, "iban": 0.0005, "ssn": 0.001, "phone": 0.003, "ip": 0.004, "national": 0.002}
_NAMES_BY_CHANCE = 0.08
_LOOKALIKE = 0.004
_NOUNS = {"national": "numbers or dates that their words call personal", "person": "names of people"}


def found_inside(sample: Sample) -> Iterator[tuple[Kind, float, Evidence, frozenset[int]]]:
    """What texts of a column hold: secrets by themselves, everything personal as `text`."""
    texts = [(n, v) for n, v in enumerate(sample.distinct) if len(v) >= _LONG and " " in v]
    if len(texts) < 2:
        return
    inside: dict[str, set[int]] = {}
    for number, text in texts:
        kind = found_in(text)
        if kind:
            inside.setdefault(kind, set()).add(number)
    tokens = inside.pop("token", set())
    if tokens:
        yield _told(KINDS["token"], "token", tokens, len(texts))
    weights = {kind: _weight(len(held), len(texts), kind) for kind, held in inside.items()}
    if weights:
        best = max(weights, key=lambda kind: weights[kind])
        certain = [kind for kind in inside if kind == best or (kind != "person" and kind in _CHANCE)]
        held = set().union(*(inside[kind] for kind in certain))
        _, weight, evidence, holding = _told(KINDS["text"], best, held, len(texts))
        yield KINDS["text"], max(weight, weights[best]), evidence, holding


def _told(kind: Kind, inside: str, held: set[int], tried: int) -> tuple[Kind, float, Evidence, frozenset[int]]:
    noun = _NOUNS.get(inside) or KINDS[inside].noun
    words = (f"{len(held)} of {tried} different texts have {noun} in them",)
    return kind, _weight(len(held), tried, inside), Evidence(words, len(held), tried), frozenset(held)


def _weight(held: int, tried: int, inside: str) -> float:
    """The log-likelihood ratio of so many texts with something in them; a single one says little."""
    chance = _CHANCE.get(inside, 0.0005 if inside == "token" else _NAMES_BY_CHANCE)
    share = min(max(held / tried, 0.02), 0.98)
    scale = min(1.0, EFFECTIVE / tried) if held / tried > 0.2 else 1.0
    good, bad = held * scale, (tried - held) * scale
    ours = good * math.log(share) + bad * math.log(1 - share)
    theirs = good * math.log(chance) + bad * math.log(1 - chance)
    lookalike = 0.03 if inside == "person" else _LOOKALIKE
    weight = ours - log_sum(math.log(lookalike) + ours, math.log(1 - lookalike) + theirs)
    return min(weight, 1.5) if held < 2 else weight
