"""Room for statements that nest deeply: long chains of `+` or `||`, which PostgreSQL's tree holds one inside the other.

The interpreter's own stack is enough for some hundred levels. PostgreSQL takes some thousand (`max_stack_depth`): what
does not fit is done again on a stack that is as deep, and only what does not fit there either is refused.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STACK_BYTES = 512 * 1024 * 1024
"""Address space; memory is taken only as far as it is used."""
MAX_FRAMES = 20_000

_alone = threading.Lock()


def deeply(work: Callable[[], T]) -> T:
    """The result of `work`, with a deep stack if it needs one. Raises `RecursionError` beyond that, and what `work` does."""
    try:
        return work()
    except RecursionError:
        return _on_deep_stack(work)


def _on_deep_stack(work: Callable[[], T]) -> T:
    from concurrent.futures import ThreadPoolExecutor

    with _alone:
        limit, size = sys.getrecursionlimit(), threading.stack_size(STACK_BYTES)
        sys.setrecursionlimit(max(limit, MAX_FRAMES))
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="dbgate-deep") as pool:
                return pool.submit(work).result()
        finally:
            sys.setrecursionlimit(limit)
            threading.stack_size(size)
