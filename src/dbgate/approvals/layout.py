"""A statement laid out for reading."""

from __future__ import annotations

from typing import Any

MAX_FORMATTED_CHARACTERS = 100_000
"""Longer statements are shown as they were typed."""


def format_statement(text: str) -> str | None:
    """The statement laid out by sqlglot, or None.

    A reviewer must see what will run, and sqlglot is not PostgreSQL: its text counts only when PostgreSQL's
    own grammar reads both texts as the same tree.
    """
    import logging

    import pgparse
    import sqlglot
    from sqlglot.errors import SqlglotError

    if len(text) > MAX_FORMATTED_CHARACTERS or "\0" in text:
        return None
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        formatted = sqlglot.transpile(text, read="postgres", write="postgres", pretty=True)
        if len(formatted) != 1 or _tree(pgparse.parse(text)) != _tree(pgparse.parse(formatted[0])):
            return None
    except (SqlglotError, pgparse.PGQueryError, RecursionError, ValueError):
        return None
    return formatted[0]


def _tree(node: Any) -> Any:
    """A parse tree without the places of its nodes in the text."""
    if isinstance(node, dict):
        places = ("location", "_location", "_start", "_end", "_len")
        return {
            name: _tree(value)
            for name, value in node.items()
            if not (isinstance(value, int) and not isinstance(value, bool) and name.endswith(places))
        }
    return [_tree(item) for item in node] if isinstance(node, list) else node
