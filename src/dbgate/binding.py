"""The digests that tie an approval to exactly one statement, or to exactly these tags on one target.

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
    fields = [identity, target, statement, list(parameters), policy_digest]
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def unmask_binding(*, identity: str, target: str, tags: Sequence[str], for_s: int, policy_digest: str) -> str:
    """Return `sha256:` and the hex digest over what a person asks to see in clear, where, and for how many seconds.

    Its fields are never those of `binding`: their number differs, and the first names the kind.
    """
    fields = ["dbgate unmask v1", identity, target, sorted(tags), for_s, policy_digest]
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def binding_of(identity: str, request: ApprovalRequest) -> str:
    """The binding of a request that `identity` (`Identity.key`) files, by its kind."""
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
