"""Where a format writes: text goes in, and comes out on a text or a binary stream."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO, TextIO


class Sink:
    """Writes text to `stream`, encoded as `encoding`.

    A text stream over a binary one (`sys.stdout`) is written to underneath, in one go and without newline
    translation; what the encoding cannot express becomes an escape. An `encoding` of None is the stream's own.
    """

    write: Callable[[str], Any]
    """Write text."""

    def __init__(self, stream: TextIO | BinaryIO | Any, *, encoding: str | None = "utf-8") -> None:
        is_text = isinstance(stream, io.TextIOBase)
        self.encoding: str = encoding or getattr(stream, "encoding", None) or "utf-8"
        if is_text and hasattr(stream, "buffer"):
            stream.flush()
            self._stream: Any = stream.buffer
        else:
            self._stream = stream
        self.write = stream.write if self._stream is stream and is_text else self._encoder(self._stream.write)

    def _encoder(self, write: Callable[[bytes], Any]) -> Callable[[str], Any]:
        encoding = self.encoding
        return lambda text: write(text.encode(encoding, "backslashreplace"))

    def can_write(self, text: str) -> bool:
        """Whether the encoding can express `text`."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def flush(self) -> None:
        """Hand everything on to the operating system."""
        self._stream.flush()
