"""What may stand in a record of a text that the gate could not read.

Of a statement that parses, the gate says which literals meet labelled columns (`Judgement.recorded_text`).
Of a text that does not, nobody can know, so every literal is hidden.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from dbgate.gate.lexer import tokens

HIDDEN = "'***'"
_OPENERS = frozenset("'\"$")
_LIMIT_CHARS = 10_000
_BARE_CHARS = 4
"""Shorter values are hidden only where they stand in quotes: they are found by chance in anything."""

_DOLLARS = re.compile(r"\$\w*\$")


def redact(text: str) -> str:
    """Return `text` without the values of its strings and numbers, and without comments.

    Behind a quote that is never closed everything is hidden. Texts beyond 10,000 characters are cut.
    """
    pieces: list[str] = []
    end = 0
    for token in tokens(text[:_LIMIT_CHARS].replace("\0", " ")):
        if token.start > end:
            pieces.append(" ")
        end = token.end
        if token.kind == "other" and token.text in _OPENERS:
            pieces.append(HIDDEN)
            break
        pieces.append(HIDDEN if token.kind in {"string", "number"} else token.text)
    return "".join(pieces).encode("utf-8", "replace").decode("utf-8")


def redact_message(message: str) -> str:
    """Return a parser's message without the piece of text it quotes: `syntax error at or near …`."""
    head, near, _ = message.partition(" at or near ")
    return f"{head} at or near …" if near else head


def hidden_values(
    text: str, recorded: str, values: Iterable[str | None] = (), shown: Sequence[str | None] = ()
) -> set[str]:
    """The constants of `text` that its `recorded` form leaves out, and the parameters `values` that `shown` does."""
    missing = _constants(text) - _constants(recorded) if text != recorded else Counter()
    changed = {value for value, other in zip(values, shown, strict=False) if value and value != other}
    return {constant for constant in missing if constant} | changed


def hide(text: str, values: Iterable[str]) -> str:
    """Return `text` with `values` replaced: the server repeats constants in plans and in messages."""
    for value in sorted(values, key=len, reverse=True):
        for form in {value, value.replace("'", "''")}:
            for quote in "'\"":
                text = text.replace(f"{quote}{form}{quote}", f"{quote}***{quote}")
            if len(form) >= _BARE_CHARS and form in text:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "***", text)
    return text


def _constants(text: str) -> Counter[str]:
    return Counter(_value(token.text) for token in tokens(text) if token.kind in {"string", "number"})


def _value(constant: str) -> str:
    """What stands between the quotes of a constant; escapes stay as they were typed."""
    if dollars := _DOLLARS.match(constant):
        return constant[dollars.end() : -dollars.end()]
    head, quote, rest = constant.partition("'")
    return rest[:-1].replace("''", "'") if quote else head
