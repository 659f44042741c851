"""The digests that tie an approval to exactly one statement, transaction, set of tags, or session's rules on one target.

Client, service and verifier compute it from the same fields, so that reviewers see what will happen and
a grant fits nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from dbgate.model import ApprovalRequest, RequestKind


def binding(
    *,
    identity: str,
    target: str,
    statement: str,
    parameters: Sequence[str | None],
    policy_digest: str,
) -> str:
    """Return `sha256:` and the hex digest over the fields as canonical JSON.

    `identity` is `Identity.key`, `statement` the text exactly as typed, `parameters` the values in
    the order of `$1…` in text form.
    """
    return _digest([identity, target, statement, list(parameters), policy_digest])


def unmask_binding(*, identity: str, target: str, tags: Sequence[str], for_s: int, policy_digest: str) -> str:
    """Return `sha256:` and the hex digest over what a person asks to see in clear, where, and for how many seconds.

    Its fields are never those of `binding`: their number differs, and the first names the kind.
    """
    return _digest(["dbgate unmask v1", identity, target, sorted(tags), for_s, policy_digest])


def session_binding(identity: str, request: ApprovalRequest) -> str:
    """Return `sha256:` and the hex digest over which rules one session may pass where, how long and within which limits."""
    limits = request.limits
    fields = ["dbgate session v1", identity, request.target, sorted(request.rules), request.expires_s]
    return _digest([*fields, limits.statements, limits.rows, request.policy_digest])


def break_glass_binding(identity: str, request: ApprovalRequest) -> str:
    """Return `sha256:` and the hex digest over what ran before anybody agreed, why, and who may do so."""
    fields = ["dbgate break-glass v1", identity, request.target, request.statement, list(request.parameters)]
    return _digest([*fields, request.reason, sorted(request.break_glass), request.policy_digest])


def transaction_binding(identity: str, request: ApprovalRequest) -> str:
    """Return `sha256:` and the hex digest over the statements of a transaction, in one text, and their parameters."""
    fields = ["dbgate transaction v1", identity, request.target, request.statement, list(request.parameters)]
    return _digest([*fields, request.policy_digest])


def _digest(fields: Sequence[object]) -> str:
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def binding_of(identity: str, request: ApprovalRequest) -> str:
    """The binding of a request that `identity` (`Identity.key`) files, by its kind: no two kinds share one."""
    match request.kind:
        case RequestKind.SESSION:
            return session_binding(identity, request)
        case RequestKind.BREAK_GLASS:
            return break_glass_binding(identity, request)
        case RequestKind.TRANSACTION:
            return transaction_binding(identity, request)
    if request.kind is RequestKind.UNMASK:
        return unmask_binding(
            identity=identity,
            target=request.target,
            tags=request.tags,
            for_s=request.expires_s,
            policy_digest=request.policy_digest,
        )
    return binding(
        identity=identity,
        target=request.target,
        statement=request.statement,
        parameters=request.parameters,
        policy_digest=request.policy_digest,
    )
