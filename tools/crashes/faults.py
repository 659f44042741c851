"""Faults at the steps that a process takes on disk: writes, syncs, renames, removals, puts into the bucket."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OS_STEPS = ("write", "fsync", "fdatasync", "rename", "replace", "unlink", "mkdir", "rmdir", "ftruncate")
BUCKET_STEPS = ("put", "rename", "delete")
KINDS = ("before", "after", "half", "full", "lost")
"""Killed before the step, after it, in the middle of a write; the disk is full; the bucket is away."""


@dataclass
class Fault:
    """What happens at step `at`, counted from 1; at none when `at` is 0: then the steps are only counted.

    `full` stays so: a full disk is full at the next step as well.
    """

    kind: str
    at: int
    steps: int = 0
    names: list[str] = field(default_factory=list)

    def step(self, name: str, real: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """Take one step, unless this is where the fault strikes."""
        self.steps += 1
        self.names.append(name)
        here = self.steps == self.at
        if self.kind == "full" and self.at and self.steps >= self.at and name in _FILLING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.kind == "lost" and here and name.startswith("bucket"):
            raise _bucket_error()
        if here and self.kind == "before":
            _die()
        if here and self.kind == "half" and name == "write":
            real(given[0], given[1][: len(given[1]) // 2])
            _die()
        result = real(*given, **options)
        if here and self.kind in ("after", "half"):
            _die()
        return result


_FILLING = ("write", "mkdir", "bucket put", "fsync", "fdatasync")
"""What a full disk refuses: a sync too, since blocks are allocated late."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _bucket_error() -> Exception:
    from obstore.exceptions import GenericError

    return GenericError("injected: the bucket is away")


def install(fault: Fault) -> None:
    """Let every step of this process go through `fault`."""
    import obstore

    from dbgate.audit import spool

    for name in OS_STEPS:
        setattr(os, name, _wrapped(fault, name, getattr(os, name)))
    spool.sync_data = os.fdatasync
    for name in BUCKET_STEPS:
        setattr(obstore, name, _wrapped(fault, f"bucket {name}", getattr(obstore, name)))


def _wrapped(fault: Fault, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def step(*given: Any, **options: Any) -> Any:
        if name == "write" and given[0] in (1, 2):
            return real(*given, **options)
        return fault.step(name, real, *given, **options)

    return step
