"""Values inside of values: documents, arrays, pairs, bytes, and text that was encoded."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

_PAIR = re.compile(r'"((?:[^"\\]|\\.){1,120})"\s*(?::|=>)\s*(?:"((?:[^"\\]|\\.){0,600})"|(-?\d[\d.eE+-]*))')
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{4}){4,}(?:[A-Za-z0-9+/_-]{2,3}={0,2})?")
_HEX = re.compile(r"(?:\\x)?(?:[0-9a-fA-F]{2}){8,}")
MAX_LEAVES = 400
"""Of one document no more values are looked at."""


Path = tuple[str, ...]
_MANY = 40
"""An object with more different keys than this over all documents uses them as data."""


class Unpacked:
    """The scalar values of documents, by path. Keys that are data themselves are values, and `*` in the path.

    `stands` tells of a path whether every key in it stands in enough documents to be part of their form: others must
    not be shown, for a key can be anybody's name.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.values: dict[Path, list[str]] = {}
        self._documents = len(texts)
        self._seen: dict[Path, int] = {}
        flat = [list(leaves(text)) for text in texts]
        for pairs in flat:
            for path in {whole[:end] for whole, _ in pairs for end in range(1, len(whole) + 1)}:
                self._seen[path] = self._seen.get(path, 0) + 1
        self._data_under = self._objects_of_data()
        for pairs in flat:
            for path, value in pairs:
                self._add(path, value)

    def stands(self, path: Path) -> bool:
        """Whether the path may be shown."""
        return all(key == "*" or self._is_form(path[: end + 1]) for end, key in enumerate(path))

    def _is_form(self, path: Path) -> bool:
        return (
            self._seen.get(path, 0) >= max(5, self._documents // 2) and path[-1].isidentifier() and len(path[-1]) <= 40
        )

    def _objects_of_data(self) -> set[Path]:
        keys: dict[Path, int] = {}
        for path in self._seen:
            keys[path[:-1]] = keys.get(path[:-1], 0) + 1
        return {path for path, count in keys.items() if count > _MANY}

    def _add(self, path: Path, value: str) -> None:
        told: Path = ()
        for end, key in enumerate(path):
            data = path[:end] in self._data_under and not self._is_form(path[: end + 1])
            if data:
                self.values.setdefault((*told, "*"), []).append(key)
            told = (*told, "*" if data else key)
        if value.strip():
            self.values.setdefault(told, []).append(value.strip())


def leaves(text: str) -> Iterator[tuple[Path, str]]:
    """The paths and scalar values of a JSON document or hstore; elements of arrays share a path.

    A document that was cut short still gives its pairs.
    """
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        for match in list(_PAIR.finditer(text))[:MAX_LEAVES]:
            yield (match[1],), match[2] if match[2] is not None else match[3]
        return
    todo: list[tuple[Path, Any]] = [((), document)]
    given = 0
    while todo and given < MAX_LEAVES:
        path, node = todo.pop()
        if isinstance(node, dict):
            todo += [((*path, str(key)), value) for key, value in node.items()]
        elif isinstance(node, list):
            todo += [(path, value) for value in node]
        elif isinstance(node, str) and node[:1] in {"{", "["} and (inner := _document(node)) is not None:
            todo.append((path, inner))
        elif isinstance(node, str | int | float) and not isinstance(node, bool):
            given += 1
            yield path, str(node)


def is_document(text: str) -> bool:
    """Whether a text is a JSON object or array."""
    return isinstance(_document(text), dict | list)


def _document(text: str) -> Any:
    """The document that a string holds, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def decoded(value: str) -> str | None:
    """The text that was written as hexadecimal digits, `bytea` or base64; None for what is no such text."""
    if _HEX.fullmatch(value):
        data = bytes.fromhex(value.removeprefix("\\x"))
    elif _BASE64.fullmatch(value):
        try:
            data = base64.b64decode(value.replace("-", "+").replace("_", "/") + "==", validate=False)
        except (binascii.Error, ValueError):
            return None
    else:
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(text) >= 6 and text.isprintable() else None
