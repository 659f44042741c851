"""What the session core asks of the world, one effect at a time.

`life.py` is a generator: it yields one of these and is sent the reply named in its docstring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from dbgate.model import ApprovalRequest, CountQuery, Json


@dataclass(frozen=True, slots=True)
class Record:
    """Append a record. Reply: None. Raises `AuditUnavailable` into the core, which then runs nothing."""

    kind: str
    fields: Mapping[str, Json]
    durable: bool = True


@dataclass(frozen=True, slots=True)
class Measure:
    """Count rows, read-only. Reply: `Measured`."""

    queries: tuple[CountQuery, ...]


@dataclass(frozen=True, slots=True)
class AskApproval:
    """File the request and wait as the door was told. Reply: `Grant`, or `Refused`."""

    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class Refused:
    """No grant: `status` is pending, denied, withdrawn, expired."""

    status: str
    request: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Send one statement and stream its rows to the display. Reply: `Outcome`.

    With `at_most` (rows that a grant allows) the run is wrapped so that touching more rolls it back.
    """

    text: str
    parameters: tuple[str | None, ...]
    statement_id: int
    masked: tuple[int, ...] = ()
    max_rows: int | None = None
    at_most: int | None = None
    scrub: bool = True


@dataclass(frozen=True, slots=True)
class Show:
    """Show a message. `level` is `error`, `denied` or `notice`. Reply: None."""

    level: str
    text: str
    hint: str = ""


Effect: TypeAlias = Record | Measure | AskApproval | Run | Show


@dataclass(frozen=True, slots=True)
class Finished:
    """How a statement's life ended; `exit_code` is the process's if it was the last."""

    statement_id: int
    exit_code: int
    decision: str
    detail: Mapping[str, Json] = field(default_factory=dict)
