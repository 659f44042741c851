"""Renewing a sign-in without asking anybody: with the refresh token, or with a service's own credentials."""

from __future__ import annotations

import msgspec

from dbgate.errors import SignInRequired
from dbgate.identity.application import Application, open_application
from dbgate.identity.client import Client
from dbgate.identity.issuer import reaching
from dbgate.identity.stored import StoredSignIn
from dbgate.tokens import TokenRefused


def renew(client: Client, held: StoredSignIn) -> StoredSignIn:
    """A fresh sign-in of the same person. Raises `SignInRequired` when a person is needed, `Unreachable`."""
    application = open_application(client, cache=held.cache, granted_scopes=held.scopes)
    accounts = application.app.get_accounts()
    if not accounts:
        raise not_renewable()
    with reaching(client):
        answer = application.app.acquire_token_silent_with_error(
            [scope for scope in application.scopes if scope in held.scopes], accounts[0], force_refresh=True
        )
    if not answer:
        raise not_renewable()
    fresh = application.stored(answer | {"scope": answer.get("scope") or " ".join(held.scopes)}, nonce=held.nonce)
    return same_person(client, held, fresh)


def not_renewable() -> SignInRequired:
    """The error when the issuer gave no refresh token (OpenID Connect Core §11 lets it insist on consent)."""
    return SignInRequired(
        "the sign-in has expired, and the issuer gave nothing to renew it with",
        hint="run: dbgate login\nto sign in less often: allow refresh tokens at the issuer, or set identity.prompt: consent",
    )


def same_person(client: Client, held: StoredSignIn, fresh: StoredSignIn) -> StoredSignIn:
    """The renewed sign-in, which must be the same subject's (OpenID Connect Core §12.2)."""
    import jwt

    before = jwt.decode(held.token, options={"verify_signature": False})
    renewed = msgspec.structs.replace(fresh, signed_in_at=held.signed_in_at, renewed=True)
    if renewed.verified(client)["sub"] != before.get("sub"):
        raise TokenRefused("the token was refused: it was renewed for somebody else", hint="run: dbgate login")
    return renewed


def acquire(client: Client) -> StoredSignIn:
    """Sign a service in with its own credentials (RFC 6749 §4.4). Raises `SignInRequired`, `Unreachable`."""
    application: Application = open_application(client)
    data = {"resource": client.resource} if client.resource else {}
    with reaching(client):
        answer = application.app.acquire_token_for_client(list(application.scopes), data=data)
    return application.stored(answer or {})
