"""Tokens of several issuers side by side: each is checked by the keys, audiences and clients of its own issuer alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbgate.approvals.oidc import OidcVerifier, refuse_local
from dbgate.errors import UsageError
from dbgate.model import Identity
from dbgate.tokens import MAX_TOKEN_BYTES
from dbgate.tokens.refusals import refuse


class IssuersVerifier:
    """Hands a token to the verifier of the issuer that it names. Its keys prove, or refute, that the token is right to.

    A token that one issuer signed and that names another is checked with the other's keys only, whatever key it names.
    """

    def __init__(self, verifiers: Sequence[OidcVerifier]) -> None:
        """Raises `UsageError` for one issuer twice."""
        self._by_issuer = {verifier.issuer: verifier for verifier in verifiers}
        if len(self._by_issuer) != len(verifiers):
            raise UsageError("an issuer is named twice", hint="an issuer stands in a configuration once")

    def verify(self, token: str) -> Identity:
        """The identity in a token. Raises `SignInRequired`, `Unreachable`."""
        refuse_local(token)
        named = claimed_issuer(token)
        verifier = self._by_issuer.get(named)
        if verifier is None:
            refuse(f"its issuer is not one of {', '.join(self._by_issuer)}")
        return verifier.verify(token)


def claimed_issuer(token: str) -> str:
    """The issuer that a token names; nothing has proven it yet. Raises `TokenRefused`."""
    import jwt

    if len(token) > MAX_TOKEN_BYTES:
        refuse(f"it is longer than {MAX_TOKEN_BYTES} bytes")
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        refuse("it is not a signed JSON Web Token")
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""
