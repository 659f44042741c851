"""Why a token does not count."""

from __future__ import annotations

from typing import NoReturn

from dbgate.errors import SignInRequired

SIGN_IN = "run: dbgate login"


class TokenRefused(SignInRequired):
    """A token failed a check. The message says which."""


class TokenExpired(TokenRefused):
    """A token was good once: a new one may be fetched."""


class UnknownKey(TokenRefused):
    """The token names a key that is not in the set: the issuer may have a new one."""


def refuse(reason: str, *, hint: str = SIGN_IN) -> NoReturn:
    """Raise `TokenRefused` with the reason."""
    raise TokenRefused(f"the token was refused: {reason}", hint=hint)
