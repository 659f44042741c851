"""What the issuer knows us as: the client's registration, read from the configuration and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec

from dbgate.errors import DbgateError, UsageError
from dbgate.settings import IdentitySettings

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
RESERVED_SCOPES = frozenset({"openid", "profile", "offline_access"})
"""Scopes that msal adds itself and refuses to be given."""


class Client(msgspec.Struct, frozen=True):
    """A client at an issuer. `issuer` is exactly what tokens must name.

    `service` tells that no person signs in: the client itself does, with a secret (`secret_env` names
    the variable), a signed assertion (`assertion_file`, RFC 7523), or one that it signs itself with the private key in
    `key_file`. `audience` is what a service's access token must name.
    """

    issuer: str
    client_id: str
    audience: str
    scopes: tuple[str, ...] = ()
    secret_env: str = ""
    assertion_file: str = ""
    key_file: str = ""
    certificate_file: str = ""
    key_id: str = ""
    assertion_audience: str = ""
    resource: str = ""
    redirect_uri: str = "http://127.0.0.1"
    prompt: str = ""
    ca_file: str = ""

    @property
    def service(self) -> bool:
        """Whether the client signs in for itself."""
        return bool(self.secret_env or self.assertion_file or self.key_file)

    @property
    def key(self) -> str:
        """The name of this client in the token store: one per full issuer URL, client and kind."""
        text = "\n".join((self.issuer, self.client_id, "service" if self.service else "person"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_client(settings: IdentitySettings) -> Client:
    """The client that `settings` describe. Raises `UsageError` when they cannot work."""
    if settings.provider != "oidc":
        raise UsageError(f"identity.provider is {settings.provider!r}", hint="one of: oidc, local")
    for name in ("issuer", "client_id"):
        if not getattr(settings, name):
            raise UsageError(f"identity.{name} is missing", hint=f"set identity.{name} in the configuration file")
    check_issuer(settings.issuer)
    check_redirect(settings.redirect_uri)
    check_proof(settings)
    return Client(
        issuer=settings.issuer,
        client_id=settings.client_id,
        audience=settings.audience or settings.client_id,
        scopes=tuple(scope for scope in settings.scopes if scope not in RESERVED_SCOPES),
        secret_env=settings.client_secret_env,
        assertion_file=settings.workload_token_file,
        key_file=settings.private_key_file,
        certificate_file=settings.certificate_file,
        key_id=settings.private_key_id,
        assertion_audience=settings.assertion_audience,
        resource=settings.resource,
        redirect_uri=settings.redirect_uri,
        prompt=settings.prompt,
        ca_file=settings.ca_file,
    )


@contextmanager
def naming(settings: IdentitySettings) -> Iterator[None]:
    """Let the hints of errors say at which issuer to sign in, where it is not the main one."""
    try:
        yield
    except DbgateError as error:
        if settings.name:
            error.hint = error.hint.replace("dbgate login", f"dbgate login --issuer {settings.name}")
        raise


def check_proof(settings: IdentitySettings) -> None:
    """Refuse a service that would sign in two ways, or half of one."""
    ways = [
        name for name in ("client_secret_env", "workload_token_file", "private_key_file") if getattr(settings, name)
    ]
    if len(ways) > 1:
        raise UsageError(
            f"identity has both {ways[0]} and {ways[1]}", hint="keep one of them: a service signs in one way"
        )
    for name in ("certificate_file", "private_key_id", "assertion_audience"):
        if getattr(settings, name) and not settings.private_key_file:
            raise UsageError(f"identity.{name} goes with identity.private_key_file", hint="set both, or neither")


def check_issuer(issuer: str) -> None:
    """Refuse what cannot be an issuer: an https URL without query, fragment and user (OpenID Connect Core §2)."""
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"identity.issuer is not a URL: {issuer}") from None
    if parts.scheme != "https" or not host:
        raise UsageError(f"identity.issuer is not an https URL: {issuer}", hint="tokens are fetched over https only")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(
            f"identity.issuer has a query, a fragment or a user: {issuer}", hint="copy the issuer as it is"
        )


def check_redirect(redirect_uri: str) -> None:
    """Refuse a redirect that leaves this machine (RFC 8252 §7.3)."""
    try:
        parts = urlsplit(redirect_uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"identity.redirect_uri is not a URL: {redirect_uri}") from None
    if parts.scheme != "http" or host not in LOOPBACK_HOSTS or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(
            f"identity.redirect_uri is not a loopback address: {redirect_uri}",
            hint="for example http://127.0.0.1 or http://localhost:8400/callback, as registered with the issuer",
        )
