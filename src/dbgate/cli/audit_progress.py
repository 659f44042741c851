"""How `dbgate audit verify` goes about a large bucket: several processes, what was verified before, and how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dbgate.audit.bucket import Bucket
    from dbgate.audit.keys import PublicKey
    from dbgate.audit.verification import VerifyReport

DRAW_S = 0.2
SAY_S = 30.0
"""Without a terminal it is said from time to time only."""


class Manner(NamedTuple):
    """`processes` is 0 for as many as are worth it; `resume` names the file of what was verified before; with `pinned`, each key
    must have signed something that is there."""

    processes: int = 0
    resume: Path | None = None
    pinned: bool = False


DEFAULT = Manner()


def verify(bucket: Bucket, keys: Sequence[PublicKey], manner: Manner, **options: Any) -> VerifyReport:
    """`verification.verify_bucket`, in this manner, with progress on stderr. Raises `UsageError`, `Unreachable`."""
    from dbgate.audit.verification import counted, verify_bucket
    from dbgate.audit.verified import VerifiedSessions

    options["pinned"] = keys if manner.pinned else ()
    before = VerifiedSessions(manner.resume, bucket.url, keys) if manner.resume is not None else None
    progress = Progress()
    try:
        with before if before is not None else nullcontext():
            report = verify_bucket(
                bucket, keys=keys, processes=manner.processes, before=before, progress=progress.tell, **options
            )
    finally:
        progress.clear()
    if report.known:
        report.notes.append(f"{counted(report.known, 'session')} verified before, and the objects are the same")
    return report


class Progress:
    """One line on stderr: drawn over itself on a terminal, else written now and then. Quick work shows nothing."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._began = self._said = time.monotonic()
        self._drawn = False

    def tell(self, done: int, total: int, size_bytes: int) -> None:
        """So many sessions of so many are done, and so many bytes were read."""
        now = time.monotonic()
        if now - self._said < (DRAW_S if self._terminal else SAY_S):
            return
        self._said = now
        rate = size_bytes / 1e6 / max(now - self._began, 1e-3)
        text = f"verified {done:,} of {total:,} sessions, {size_bytes / 1e6:,.1f} MB, {rate:,.1f} MB/s"
        if self._terminal:
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = True
        else:
            print(f"notice: {text}", file=sys.stderr)

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
