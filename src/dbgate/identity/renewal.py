"""Renewing a sign-in without asking anybody: with the refresh token, or with a service's own credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dbgate.errors import SignInRequired
from dbgate.identity.application import Application, one_line, open_application
from dbgate.identity.client import Client
from dbgate.identity.issuer import reaching
from dbgate.identity.stored import StoredSignIn
from dbgate.tokens import TokenRefused

FINAL = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})
"""The issuer's errors after which the same refresh token cannot help any more (RFC 6749 §5.2, OpenID Connect Core §3.1.2.6)."""


def renew(client: Client, held: StoredSignIn, keep: Callable[[StoredSignIn], None]) -> StoredSignIn:
    """A fresh sign-in of the same person. Raises `SignInRequired` when a person is needed, `Unreachable`.

    `keep` is called at once with a refresh token that the issuer rotated, before anything else can go wrong: the old
    one is worth nothing from then on. It is also told when the issuer will not renew the sign-in any more.
    """
    if held.ended:
        raise refused_for_good(held.ended)
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
    if answer.get("error") in FINAL:
        why = reason(answer)
        keep(msgspec.structs.replace(held, cache="", ended=why))
        raise refused_for_good(why)
    if "error" not in answer and application.cache.has_state_changed:
        keep(msgspec.structs.replace(held, cache=application.cache.serialize()))
    fresh = application.stored(answer | {"scope": answer.get("scope") or " ".join(held.scopes)}, nonce=held.nonce)
    return same_person(client, held, fresh)


def reason(answer: Mapping[str, Any]) -> str:
    """Why the issuer refused, in its own words."""
    return one_line(answer.get("error_description") or answer["error"])


def refused_for_good(why: str) -> SignInRequired:
    """The error when the issuer ended the sign-in: it was revoked, is too old, or a rotated refresh token was used twice."""
    return SignInRequired(
        f"the issuer ended the sign-in: {why}",
        hint="run: dbgate login\nif nobody ended it, somebody else may have used its refresh token: tell your security team",
    )


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
