"""The JSON values that records hold, trees of the grammar, and edits of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""What JSON can hold."""


Tree: TypeAlias = dict[str, Any]
"""A raw PostgreSQL parse tree, as libpg_query writes it in JSON."""


Edits: TypeAlias = tuple[tuple[int, int, int], ...]
"""Replacements in a text, in order: the characters from a start to an end became so many others."""
