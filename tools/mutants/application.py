"""Makes a mutant in the modules of this process, in place: whoever imported a function or a table sees the change.

Only a forked process does this, once: nothing is undone.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tools.mutants.lists import listed, put
from tools.mutants.mutant import Mutant


class NotFoundError(Exception):
    """The running code has no function of that name."""


def apply(mutant: Mutant, path: Path, source: bytes) -> None:
    """Make the change. `path` is the file, `source` what it held when the mutant was found. Raises `NotFoundError`."""
    if mutant.name:
        next(make for known, make in listed() if known.name == mutant.name)()
        return
    module = importlib.import_module(module_name(mutant.path))
    code = compile(mutant.applied(source), str(path), "exec", dont_inherit=True)
    if mutant.function:
        _function(module, mutant.function).__code__ = _inner(code, mutant.function)
    else:
        _tables(module, code)


def module_name(path: str) -> str:
    """The module that a file below `src/dbgate` holds."""
    return ".".join(("dbgate", *Path(path).with_suffix("").parts)).removesuffix(".__init__")


def _inner(code: CodeType, name: str) -> CodeType:
    todo = [code]
    while todo:
        current = todo.pop(0)
        if current.co_qualname == name:
            return current
        todo += [c for c in current.co_consts if isinstance(c, CodeType)]
    raise NotFoundError(name)


def _function(module: ModuleType, name: str) -> FunctionType:
    *owners, last = name.split(".")
    holder: Any = module
    for owner in owners:
        holder = vars(holder).get(owner)
    found = vars(holder).get(last)
    for inside in ("fget", "func", "__func__", "__wrapped__"):  # property, cached_property, classmethod, cache
        found = getattr(found, inside, None) or found
    if not isinstance(found, FunctionType):
        raise NotFoundError(name)
    return found


def _tables(module: ModuleType, code: CodeType) -> None:
    """Run the changed module aside, and take over the values that are different."""
    aside = ModuleType(module.__name__)
    aside.__file__ = module.__file__
    sys.modules[module.__name__] = aside
    try:
        exec(code, vars(aside))  # noqa: S102 (our own source, with one edit)
    finally:
        sys.modules[module.__name__] = module
    for name, value in list(vars(aside).items()):
        old = vars(module).get(name)
        if name.startswith("__") or callable(value) or isinstance(value, ModuleType) or _same(value, old):
            continue
        put(module.__name__, name, value)


def _same(new: object, old: object) -> bool:
    return type(new) is type(old) and repr(new) == repr(old) if not isinstance(new, set | frozenset) else new == old


class Caches:
    """What the modules keep between calls: emptied before a run, so that every test computes all it needs itself."""

    def __init__(self, modules: Iterable[str]) -> None:
        self.kept: list[tuple[str, Any]] = []
        for name in modules:
            for known, value in vars(importlib.import_module(name)).items():
                cached = isinstance(value, functools._lru_cache_wrapper)
                if cached or (isinstance(value, list | dict) and not value and known.startswith("_")):
                    self.kept.append((known, value))

    def clear(self, *but: str) -> None:
        """Empty them, but for those of some names."""
        for name, value in self.kept:
            if name in but:
                continue
            if isinstance(value, list | dict):
                value.clear()
            else:
                value.cache_clear()
