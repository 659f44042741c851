"""Mutants of the allow-lists: a name that was reviewed and left out is put on the list.

Functions by the class of the review, settings, system relations and their masked columns, and statements one by one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from msgspec.structs import replace
from tools.mutants.mutant import Mutant

PLACE = "dbgate.gate.allow"


def listed() -> Iterator[tuple[Mutant, Callable[[], None]]]:
    """Every mutant of the lists, and what makes it in this process."""
    for name, make in (*_functions(), *_settings(), *_relations(), *_statements()):
        file = name.partition(": ")[0]
        label = name.partition(": ")[2]
        yield Mutant(f"gate/allow/{file}", "", "allow", label, 0, 0, "", 1, name=name), make


def put(module: str, name: str, value: object) -> None:
    """Give a global a new value, wherever it was imported to."""
    old = vars(importlib.import_module(module))[name]
    for loaded in [m for n, m in sys.modules.items() if n.startswith("dbgate.")]:
        for known, other in list(vars(loaded).items()):
            if other is old and known == name:
                setattr(loaded, known, value)


def _get(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{PLACE}.{module}"), name)


def _functions() -> Iterator[tuple[str, Callable[[], None]]]:
    read = _get("functions", "_lines")
    refused = _get("functions", "refused")()

    def allow(names: frozenset[str]) -> None:
        def lines(file: str) -> list[str]:
            found = [line for line in read(file) if line not in names]
            return found + sorted(names) if file == "safe_functions.txt" else found

        put(f"{PLACE}.functions", "_lines", lines)

    for kind in sorted(set(refused.values())):
        yield f"refused_functions.txt: [{kind}]", partial(allow, frozenset(n for n, k in refused.items() if k == kind))
    for name in _get("functions", "SPECIAL"):
        yield f"functions.py: {name} whatever its arguments", partial(allow, frozenset({name}))
    for name in _get("functions", "_BY_COUNT"):
        yield f"functions.py: {name} with any number of arguments", partial(allow, frozenset({name}))


def _settings() -> Iterator[tuple[str, Callable[[], None]]]:
    known = _get("settings", "_SET")
    shown = _get("settings", "_SHOWN_ONLY")

    def allow(names: frozenset[str]) -> None:
        put(f"{PLACE}.settings", "_SET", known | names)

    def show(name: str) -> None:
        put(f"{PLACE}.settings", "SECRET", _get("settings", "SECRET") - {name})
        put(f"{PLACE}.settings", "_SHOWN_ONLY", shown | {name})

    for table in ("_OWNED", "_VALUES", "BOUNDED"):
        for name in sorted(_get("settings", table)):
            yield f"settings.py: SET {name}", partial(allow, frozenset({name}))
    yield "settings.py: SET search_path", partial(allow, frozenset({"search_path"}))
    for prefix in _get("settings", "_PREFIXES"):
        yield f"settings.py: SET {prefix}…", partial(allow, frozenset(n for n in shown if n.startswith(prefix)))
    for name in sorted(_get("settings", "SECRET")):
        yield f"settings.py: SHOW {name}", partial(show, name)


def _relations() -> Iterator[tuple[str, Callable[[], None]]]:
    safe, masked, refused = (_get("system", name) for name in ("_SAFE", "_MASKED", "_REFUSED"))
    extensions, closed = _get("system", "_EXTENSIONS"), _get("system", "_EXTENSIONS_REFUSED")
    allowed = importlib.import_module(f"{PLACE}.verdict").SAFE

    def drop(table: str, known: dict[str, Any], name: str, column: str) -> None:
        verdict = known[name]
        columns = tuple(pair for pair in verdict.columns if pair[0] != column)
        put(f"{PLACE}.system", table, known | {name: replace(verdict, columns=columns)})

    def allow(name: str) -> None:
        put(f"{PLACE}.system", "_SAFE", safe | {name})

    def open_extension(name: str) -> None:
        put(f"{PLACE}.system", "_EXTENSIONS_REFUSED", closed - {name})
        put(f"{PLACE}.system", "_EXTENSIONS", extensions | {name: allowed})

    for table, known in (("_MASKED", masked), ("_EXTENSIONS", extensions)):
        for name, verdict in known.items():
            for column, _ in verdict.columns:
                yield f"system.py: {name}.{column}", partial(drop, table, known, name, column)
    for name in refused:
        yield f"system.py: {name}", partial(allow, name)
    for name in sorted(closed):
        yield f"system.py: {name}", partial(open_extension, name)


def _statements() -> Iterator[tuple[str, Callable[[], None]]]:
    statements = _get("statements", "STATEMENTS")
    handling = _get("statements", "Handling")

    def allow(kind: str) -> None:
        known = replace(statements[kind], handling=handling.DDL, reason="", code=False)
        put(f"{PLACE}.statements", "STATEMENTS", {**statements, kind: known})
        for nodes in ("EXPRESSION_NODES", "DEFINITION_NODES"):
            put(f"{PLACE}.nodes", nodes, _get("nodes", nodes) | {kind})

    for kind, known in statements.items():
        if known.handling is handling.REFUSED:
            yield f"statements.py: {kind}", partial(allow, kind)
