"""Rows of fixed size, however many: those that were used last in memory, all in a temporary file that has no name."""

from __future__ import annotations

import os
import struct
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

Row = TypeVar("Row")
BLOCK_ROWS = 4096
_KEPT = 8
"""So many blocks are kept in memory."""


class Rows(Sequence[Row]):
    """Append only, read anywhere; memory does not grow with their number. Close it: it may hold a file.

    `form` is that of the module `struct`, `made` makes a row of what was packed. Slices are not taken.
    """

    def __init__(self, form: str, made: Callable[[tuple[Any, ...]], Row]) -> None:
        self._struct = struct.Struct(f"<{form}")
        self._made = made
        self._count = 0
        self._last = bytearray()
        """The rows of the block that is not full yet."""
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._descriptor = -1

    def append(self, *fields: object) -> None:
        """Add a row. Raises `OSError` when the temporary file cannot be written."""
        self._last += self._struct.pack(*fields)
        self._count += 1
        if self._count % BLOCK_ROWS == 0:
            if self._descriptor < 0:
                with tempfile.TemporaryFile() as file:
                    self._descriptor = os.dup(file.fileno())
            self._keep(self._count // BLOCK_ROWS - 1, bytes(self._last), write=True)
            self._last.clear()

    def close(self) -> None:
        """Let go of the temporary file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            raise TypeError("rows are taken one by one")
        place = index + self._count if index < 0 else index
        if not 0 <= place < self._count:
            raise IndexError(index)
        block, row = divmod(place, BLOCK_ROWS)
        return self._made(self._struct.unpack_from(self._block(block), row * self._struct.size))

    def __iter__(self) -> Iterator[Row]:
        for block in range(-(-self._count // BLOCK_ROWS)):
            yield from map(self._made, self._struct.iter_unpack(bytes(self._block(block))))

    def _block(self, number: int) -> bytes | bytearray:
        if number == self._count // BLOCK_ROWS:
            return self._last
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        size = BLOCK_ROWS * self._struct.size
        return self._keep(number, os.pread(self._descriptor, size, number * size))

    def _keep(self, number: int, content: bytes, *, write: bool = False) -> bytes:
        if write:
            rest, at = memoryview(content), number * len(content)
            while rest:
                written = os.pwrite(self._descriptor, rest, at)
                rest, at = rest[written:], at + written
        self._blocks[number] = content
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return content
