"""Is a token the issuer's, for us and valid now, and whom does it describe? One answer for command line and service.

Pure: no network, no clock, no store. Keys, time and expectations are handed in. Must not judge what an identity may do.

    verify(token, keys, expected, now)   the claims, every check done (`checks.py`, `keys.py`, `times.py`)
    identity_from(claims, …)             the identity that verified claims describe (`claims.py`)
"""

from __future__ import annotations

from dbgate.tokens.checks import MAX_TOKEN_BYTES, Expected, Use, verify
from dbgate.tokens.claims import identity_from
from dbgate.tokens.refusals import TokenExpired, TokenRefused, UnknownKey

__all__ = [
    "MAX_TOKEN_BYTES",
    "Expected",
    "TokenExpired",
    "TokenRefused",
    "UnknownKey",
    "Use",
    "identity_from",
    "verify",
]
