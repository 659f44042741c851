"""Who sent a bearer token: what the service asks, whatever kind of token it is. The checks are in `dbgate.tokens`."""

from __future__ import annotations

from typing import Protocol

from dbgate.model import Identity


class TokenVerifier(Protocol):
    """Tells who sent a bearer token."""

    def verify(self, token: str) -> Identity:
        """The identity. Raises `SignInRequired` with the reason, or `Unreachable` when the issuer's keys are."""
