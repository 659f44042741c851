"""What the issuer knows us as: the client's registration, read from the configuration and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from dbgate.errors import UsageError
from dbgate.settings import IdentitySettings

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
RESERVED_SCOPES = frozenset({"openid", "profile", "offline_access"})
"""Scopes that msal adds itself and refuses to be given."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client at an issuer. `issuer` is exactly what tokens must name.

    `service` tells that no person signs in: the client itself does, with a secret (`secret_env` names
    the variable) or a signed assertion (`assertion_file`, RFC 7523). `audience` is what a service's
    access token must name.
    """

    issuer: str
    client_id: str
    audience: str
    scopes: tuple[str, ...] = ()
    secret_env: str = ""
    assertion_file: str = ""
    resource: str = ""
    redirect_uri: str = "http://127.0.0.1"
    prompt: str = ""
    ca_file: str = ""

    @property
    def service(self) -> bool:
        """Whether the client signs in for itself."""
        return bool(self.secret_env or self.assertion_file)

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
    if settings.client_secret_env and settings.workload_token_file:
        raise UsageError(
            "identity has both client_secret_env and workload_token_file",
            hint="keep one of them: a service signs in one way",
        )
    return Client(
        issuer=settings.issuer,
        client_id=settings.client_id,
        audience=settings.audience or settings.client_id,
        scopes=tuple(scope for scope in settings.scopes if scope not in RESERVED_SCOPES),
        secret_env=settings.client_secret_env,
        assertion_file=settings.workload_token_file,
        resource=settings.resource,
        redirect_uri=settings.redirect_uri,
        prompt=settings.prompt,
        ca_file=settings.ca_file,
    )


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
