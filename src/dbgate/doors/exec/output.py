"""Where results go: a stream that may go away, with a copy of the beginning for the transcript."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from dbgate.doors.formats.style import unstyled
from dbgate.errors import UsageError

_ROOM = "make room, or give another file with -o"


class OutputFile:
    """A file that keeps its old content until the first result is written. Raises `UsageError` if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}", hint="give another file with -o") from None
        self._untouched = True

    def write(self, data: bytes) -> int:
        """Write; the first time in place of what was there."""
        if self._untouched:
            self._untouched = False
            if self._path.is_file():
                self._file.truncate(0)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand everything on to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file. Raises `UsageError` when the rest of it cannot be written."""
        try:
            self._file.close()
        except OSError as error:
            raise UsageError(f"the results cannot be written: {error.strerror}", hint=_ROOM) from None


class Output:
    """Bytes on their way to `stream`, of which the first `keep_bytes` since the last `seen` are kept.

    A stream that fails is written to no more: `failure` says why, so that the statement that runs can end properly.
    """

    def __init__(self, stream: BinaryIO | OutputFile, *, keep_bytes: int) -> None:
        self._stream = stream
        self._keep_bytes = keep_bytes
        self._kept: list[bytes] = []
        self._room = keep_bytes
        self._was_cut = False
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, and keep a copy while there is room."""
        if self._room:
            piece = data[: self._room]
            self._kept.append(piece)
            self._room -= len(piece)
            self._was_cut = len(piece) < len(data)
        else:
            self._was_cut = self._was_cut or bool(data)
        if self.failure is None:
            try:
                self._stream.write(data)
            except OSError as error:
                self.failure = error
        return len(data)

    def flush(self) -> None:
        """Hand everything on to the operating system."""
        if self.failure is None:
            try:
                self._stream.flush()
            except OSError as error:
                self.failure = error

    def seen(self) -> tuple[str, bool]:
        """What was written since the last call, up to the limit, and whether there was more."""
        text = unstyled(b"".join(self._kept).decode("utf-8", "replace"))
        was_cut = self._was_cut
        self._kept, self._room, self._was_cut = [], self._keep_bytes, False
        return text, was_cut
