"""What reviewers are asked, and what they grant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from dbgate.model.decisions import RequestKind, ReviewClause, SessionLimits


class Sample(msgspec.Struct, frozen=True):
    """A few rows that a statement would change, labelled columns masked for everybody.

    `before` are the rows as they stand, `after` as they would be; either may be empty (an INSERT has no before). `note`
    says what is left out, and why.
    """

    relation: str
    verb: str
    columns: tuple[str, ...] = ()
    before: tuple[tuple[str | None, ...], ...] = ()
    after: tuple[tuple[str | None, ...], ...] = ()
    note: str = ""


class ApprovalRequest(msgspec.Struct, frozen=True):
    """What reviewers are asked. `binding` binds what the grant is for (see `dbgate.binding`).

    Of a statement: the exact `statement` and `parameters`, the rows it would touch, the `masked` columns it meets, a
    `sample` of what would change, and for how many `uses`. Of a transaction: its statements, in one text.
    To unmask: the `tags`, the `columns` that carry them on the target, and `expires_s`, for how long; no statement.
    Of a session: the `rules` that it may pass, for `expires_s` and within `limits`; the statement is the first of it.
    `break_glass` are the groups that may run it before anybody agrees.
    """

    target: str
    environment: str
    statement: str
    parameters: tuple[str | None, ...]
    binding: str
    policy_digest: str
    verb: str
    relations: tuple[str, ...]
    clauses: tuple[ReviewClause, ...]
    rules: tuple[str, ...]
    reason: str = ""
    message: str = ""
    measured: Mapping[str, int] = msgspec.field(default_factory=dict)
    masked: tuple[str, ...] = ()
    session: str = ""
    expires_s: int = 3600
    kind: RequestKind = RequestKind.STATEMENT
    tags: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    uses: int = 1
    limits: SessionLimits = SessionLimits()
    break_glass: tuple[str, ...] = ()
    sample: tuple[Sample, ...] = ()


class Grant(msgspec.Struct, frozen=True):
    """A verified, signed approval. `binding` ties it to one statement, or to `tags` on a target (see `approvals.grants`).

    `clauses` are the reviewers that were asked for: they have to be those that the policy asks for now. One for a session
    names the `rules` that it satisfies, its `limits` and the `session` that may use it.
    """

    id: str
    request: str
    identity: str
    target: str
    binding: str
    policy_digest: str
    approved_by: tuple[str, ...]
    expires_at: datetime
    uses: int
    measured: Mapping[str, int] = msgspec.field(default_factory=dict)
    token: str = ""
    clauses: tuple[ReviewClause, ...] = ()
    kind: RequestKind = RequestKind.STATEMENT
    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    limits: SessionLimits = SessionLimits()
    session: str = ""
