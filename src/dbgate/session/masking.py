"""What may stand in a record of a text that the gate could not read.

Of a statement that parses, the gate says which literals meet labelled columns (`Judgement.recorded_text`).
Of a text that does not, nobody can know, so every literal is hidden.
"""

from __future__ import annotations

from dbgate.gate.lexer import tokens

HIDDEN = "'***'"
_OPENERS = frozenset("'\"$")
_LIMIT_CHARS = 10_000


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
