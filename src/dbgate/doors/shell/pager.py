"""A pager in a process of its own, fed by a thread from a temporary file.

The statement's rows are taken from the server as fast as they come, however slowly they are read on the screen:
a reader must not hold a transaction open, nor run into the statement's time-out.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping

_CHUNK_BYTES = 64 * 1024


def pager_command(environment: Mapping[str, str]) -> list[str]:
    """The pager to use, as an argv: `DBGATE_PAGER`, `PAGER`, or `less`; empty when there is none or it is `cat`."""
    wanted = environment.get("DBGATE_PAGER", environment.get("PAGER", "less"))
    try:
        argv = shlex.split(wanted)
    except ValueError:
        return []
    program = shutil.which(argv[0]) if argv else None
    if program is None or os.path.basename(program) == "cat":  # noqa: PTH119  argv words, not paths
        return []
    is_plain_less = os.path.basename(program) == "less" and len(argv) == 1  # noqa: PTH119
    return [*argv, "-S", "-R", "-X"] if is_plain_less else argv


class Pager:
    """Shows text in a pager. `is_gone` tells that the person has left it."""

    def __init__(self, argv: list[str]) -> None:
        """Raises `OSError` when the pager cannot be started."""
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, bufsize=0, env={**os.environ, "LESSSECURE": "1"})
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed in `close`
        self._changed = threading.Condition()
        self._written = 0
        self._done = False
        self._broken = False
        self._feeder = threading.Thread(target=self._feed, name="dbgate-pager", daemon=True)
        self._feeder.start()

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads any more."""
        return self._broken or self._process.poll() is not None

    def write(self, text: str) -> None:
        """Hand text on, without waiting for it to be read."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            self._file.seek(self._written)
            self._file.write(data)
            self._written += len(data)
            self._changed.notify()

    def close(self) -> None:
        """Wait until the person leaves the pager."""
        with self._changed:
            self._done = True
            self._changed.notify()
        self._feeder.join()
        self._process.wait()
        self._file.close()

    def _feed(self) -> None:
        sent = 0
        pipe = self._process.stdin
        if pipe is None:
            return
        try:
            while chunk := self._next(sent):
                sent += pipe.write(chunk) or 0
        except OSError:
            self._broken = True
        finally:
            pipe.close()

    def _next(self, sent: int) -> bytes:
        """The next piece, as soon as there is one; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._written > sent or self._done)
            self._file.seek(sent)
            return self._file.read(min(_CHUNK_BYTES, self._written - sent))
