"""Where lines go. `settle` returns once what was sent before is where it belongs; only then a cursor moves."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from dbgate.audit.siem.events import Event
from dbgate.errors import UsageError


class Sink(Protocol):
    """Takes lines. Use it as a context manager."""

    limit: int
    """The longest line in bytes; 0 for any."""

    def send(self, event: Event, line: str) -> None:
        """Take a line. Raises `Unreachable`, `UsageError`."""

    def settle(self) -> None:
        """Return when all lines have arrived. Raises `Unreachable`, `UsageError`."""


class StreamSink:
    """Lines to an open stream, such as standard output."""

    limit = 0

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, event: Event, line: str) -> None:
        """Write a line."""
        self._stream.write(line.encode() + b"\n")

    def settle(self) -> None:
        """Flush."""
        self._stream.flush()


class AppendedFile:
    """Lines at the end of a file (0600 when new), synced. A line that a crash cut off is ended, and told again whole."""

    limit = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "r+b")
            size = self._file.seek(0, os.SEEK_END)
            if size:
                self._file.seek(size - 1)
                if self._file.read(1) != b"\n":
                    self._file.write(b"\n")
        except OSError as error:
            raise self._failure(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def send(self, event: Event, line: str) -> None:
        """Write a line. Raises `UsageError`."""
        if self._file is not None:
            try:
                self._file.write(line.encode() + b"\n")
            except OSError as error:
                raise self._failure(error) from None

    def settle(self) -> None:
        """Make what was written durable. Raises `UsageError`."""
        if self._file is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._failure(error) from None

    def _failure(self, error: OSError) -> UsageError:
        return UsageError(
            f"cannot write {self._path}: {error.strerror}",
            hint="the cursor did not move: what is missing is told again",
        )
