"""Globs over dotted names: `payroll.*`, `*.*.*ssn*`, `pii.*`.

`*` stands for any characters, `?` for one. In globs of tables and columns neither crosses a dot: each part of the glob
is held against one identifier, exactly and with its case. A tag is one word for its glob: `*` is every tag.
"""

from __future__ import annotations

import re
from functools import lru_cache

_TAG = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_TAG_GLOB = re.compile(r"[A-Za-z0-9_.*?-]+")


def fault_in_glob(glob: str, parts: int) -> str:
    """What is wrong with a glob of `parts` dotted parts, or nothing."""
    pieces = glob.split(".")
    if len(pieces) != parts:
        form = {2: "schema.table", 3: "schema.table.column"}[parts]
        return f"{glob} has {len(pieces)} dotted part{'s' * (len(pieces) != 1)}, not {parts}: {form}"
    if any(not piece for piece in pieces):
        return f"{glob} has an empty part"
    if any(piece != piece.strip() for piece in pieces):
        return f"{glob} has a space at the end of a part"
    if any(char in glob for char in "[]{}\"'"):
        return f"{glob} holds a bracket or a quote: only * and ? are special, names stand without quotes"
    return ""


def is_tag(text: str) -> bool:
    """Whether the text can be a tag: words of letters, digits, `_` and `-` between dots."""
    return _TAG.fullmatch(text) is not None


def is_tag_glob(text: str) -> bool:
    """Whether the text can be a glob over tags."""
    return _TAG_GLOB.fullmatch(text) is not None


def is_glob(text: str) -> bool:
    """Whether the text holds `*` or `?`."""
    return "*" in text or "?" in text


def pattern(glob: str) -> str:
    """The regular expression of one part of a glob."""
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in re.sub(r"\*+", "*", glob))


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(pattern(glob), re.DOTALL)


def matches(glob: str, name: str) -> bool:
    """Whether a glob without dots holds the whole of `name`. Tags and their globs count as one word."""
    if glob == "*":
        return True
    return _compiled(glob).fullmatch(name) is not None if is_glob(glob) else glob == name


def matches_parts(glob: str, *names: str) -> bool:
    """Whether each dotted part of `glob` holds the name at its place."""
    parts = glob.split(".")
    return len(parts) == len(names) and all(matches(p, n) for p, n in zip(parts, names, strict=True))
