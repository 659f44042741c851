"""A list of JSON values that may get long: appended to, then read again as often as needed, from a temporary file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import Any

MEMORY_BYTES = 4 * 1024 * 1024
"""What is more goes to a temporary file that has no name."""


class Kept:
    """JSON values in order. Memory does not grow with their number. Read it by one loop at a time, and close it."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  closed by close
        self._count = 0

    def append(self, value: object) -> None:
        """Add a value. Raises `OSError` when the temporary file cannot be written."""
        self._file.write(json.dumps(value).encode("ascii") + b"\n")
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)

    def close(self) -> None:
        """Let go of the temporary file."""
        self._file.close()
