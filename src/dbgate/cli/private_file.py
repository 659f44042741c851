"""Files for what is confidential: recordings, and what is found in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dbgate.errors import UsageError
from dbgate.text import printable


@contextmanager
def private_file(output: Path) -> Iterator[BinaryIO]:
    """A new file (0600) or an existing one, emptied, to write to; says so at the end. Raises `UsageError`."""
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except OSError as error:
        raise UsageError(
            f"cannot write {output}: {error.strerror}",
            hint="name a file in a folder that is there, and yours to write to",
        ) from None
    print(f"notice: written to {printable(str(output))}", file=sys.stderr)
