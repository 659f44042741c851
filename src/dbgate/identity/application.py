"""msal, set up for any OpenID provider, and its answers turned into sign-ins of ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal
import msgspec

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity.client import Client
from dbgate.identity.issuer import Issuer, IssuerSession, discover, fetch_keys, reaching
from dbgate.identity.stored import StoredSignIn
from dbgate.tokens import UnknownKey
from dbgate.variables import take_secret

logging.getLogger("msal").addHandler(logging.NullHandler())

USUAL_SCOPES = ("email", "groups")
"""Asked for when the configuration names no scopes and the issuer offers them."""


@dataclass(frozen=True, slots=True)
class Application:
    """msal for one client at one issuer. `app` is msal's application, `scopes` what to ask for.

    `keys` are fetched before anybody is asked for anything: a token that cannot be checked afterwards
    would be lost, and a rotated refresh token with it.
    """

    client: Client
    session: IssuerSession
    issuer: Issuer
    keys: dict[str, Any]
    app: Any
    cache: Any
    scopes: tuple[str, ...]

    def stored(self, answer: Mapping[str, Any], *, nonce: str = "") -> StoredSignIn:
        """The sign-in in a successful answer of msal's, verified; with new keys when it names one we do not have.

        Raises `SignInRequired` when the issuer refused, or when the token does not stand up.
        """
        found = StoredSignIn(
            issuer=self.client.issuer,
            client_id=self.client.client_id,
            service=self.client.service,
            token=token_from(answer, self.client),
            keys=self.keys,
            signed_in_at=time.time(),
            nonce=nonce,
            scopes=granted(answer, self.scopes),
            cache="" if self.client.service else self.cache.serialize(),
        )
        try:
            found.verified(self.client)
        except UnknownKey:
            found = msgspec.structs.replace(found, keys=fetch_keys(self.session, self.client, self.issuer))
            found.verified(self.client)
        return found


def open_application(client: Client, *, cache: str = "", granted_scopes: tuple[str, ...] | None = None) -> Application:
    """Reach the issuer and set msal up. Raises `Unreachable`, `UsageError`, and `SignInRequired` without a secret.

    `granted_scopes` limits a renewal to what was granted: some issuers refuse to renew when asked for more.
    """
    prove = proof(client) if client.service else None
    session = IssuerSession(client)
    issuer = discover(session, client)
    keys = fetch_keys(session, client, issuer)
    token_cache = msal.SerializableTokenCache()
    if cache:
        token_cache.deserialize(cache)
    offered = frozenset(granted_scopes) if granted_scopes is not None else issuer.scopes
    options: dict[str, Any] = {
        "oidc_authority": authority(client.issuer),
        "token_cache": token_cache,
        "http_client": session,
        "instance_discovery": False,
        "exclude_scopes": [
            scope for scope in ("profile", "offline_access") if offered is not None and scope not in offered
        ],
    }
    try:
        with reaching(client):
            if prove is not None:
                # azure_region=False: MSAL_FORCE_REGION would send the secret to another host.
                app = msal.ConfidentialClientApplication(
                    client.client_id, client_credential=prove(issuer), azure_region=False, **options
                )
            else:
                app = msal.PublicClientApplication(client.client_id, **options)
    except ValueError as error:
        raise UsageError(
            f"the issuer {client.issuer} cannot be used: {one_line(error)}", hint="is identity.issuer right?"
        ) from None
    return Application(client, session, issuer, keys, app, token_cache, asked_scopes(client, offered))


def authority(issuer: str) -> str:
    """What msal calls the issuer. It insists on a path, so an issuer at the root gets an empty one: `/.`."""
    bare = issuer.rstrip("/")
    return bare if urlsplit(bare).path else f"{bare}/."


def asked_scopes(client: Client, offered: frozenset[str] | None) -> tuple[str, ...]:
    """The configured scopes, or the usual ones that the issuer offers. A service asks only for configured ones."""
    if client.scopes or client.service:
        return client.scopes
    return tuple(scope for scope in USUAL_SCOPES if offered is None or scope in offered)


def proof(client: Client) -> Callable[[Issuer], str | dict[str, Callable[[], str]]]:
    """What a service proves itself with to an issuer, as msal takes it. Raises `SignInRequired` when it is not there."""
    if client.secret_env:
        secret = take_secret(client.secret_env)
        if not secret:
            raise SignInRequired(
                f"the environment variable {client.secret_env} is empty",
                hint="it must hold the service's client secret",
            )
        return lambda _: secret
    if client.key_file:
        from dbgate.identity.assertion import ClientKey

        key = ClientKey(client)
        return lambda issuer: {"client_assertion": lambda: key.sign(issuer)}
    assertion = read_assertion(client.assertion_file)
    return lambda _: {"client_assertion": lambda: assertion}


def read_assertion(path: str) -> str:
    """The signed assertion in a file that the platform keeps fresh (RFC 7523)."""
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text:
        raise SignInRequired(f"identity.workload_token_file cannot be read or is empty: {path}")
    return text


def token_from(answer: Mapping[str, Any], client: Client) -> str:
    """The token to keep out of an answer of msal's: a person's ID token, a service's access token."""
    if "error" in answer:
        raise refused(answer, client)
    name = "access_token" if client.service else "id_token"
    token = answer.get(name)
    if not isinstance(token, str) or not token:
        raise SignInRequired(
            f"{client.issuer} sent no {name.replace('_', ' ')}", hint="is the client set up for OpenID Connect?"
        )
    if client.service and token.count(".") != 2:
        raise SignInRequired(
            f"{client.issuer} sent an access token that is not a JSON Web Token",
            hint="let the issuer send signed access tokens for this client, or set identity.resource or identity.scopes",
        )
    return token


def refused(answer: Mapping[str, Any], client: Client) -> SignInRequired:
    """The error for an issuer that said no, in its own words."""
    reason = one_line(answer.get("error_description") or answer.get("error") or "no reason given")
    if client.service:
        return SignInRequired(
            f"{client.issuer} refused the service: {reason}", hint="check the client id and what it proves itself with"
        )
    return SignInRequired(f"{client.issuer} refused the sign-in: {reason}", hint="run: dbgate login")


def granted(answer: Mapping[str, Any], asked: tuple[str, ...]) -> tuple[str, ...]:
    """The granted scopes. An answer without `scope` means: all that were asked for (RFC 6749 §5.1)."""
    scope = answer.get("scope")
    if isinstance(scope, str) and scope:
        return tuple(scope.split())
    return (*asked, "openid", "profile", "offline_access")


def one_line(text: object) -> str:
    """The first line of what the issuer or msal says, not endless."""
    return (str(text).strip().splitlines() or [""])[0][:300]
