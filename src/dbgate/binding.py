"""The digest that ties an approval to exactly one statement.

Client, service and verifier compute it from the same fields, so that reviewers see what will run and
a grant fits nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


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
