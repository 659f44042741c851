"""Talking to the issuer: a session that trusts what the configuration says, discovery, keys, revocation."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from dbgate.errors import DbgateError, Unreachable, UsageError
from dbgate.identity.client import Client

TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Issuer:
    """What the issuer says of itself (OpenID Connect Discovery §3).

    `scopes` is None when it does not list them. `names_itself`: its answers carry `iss` (RFC 9207).
    `posts_answers`: the browser can bring the answer in a form instead of the address.
    """

    url: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    device_endpoint: str = ""
    revocation_endpoint: str = ""
    scopes: frozenset[str] | None = None
    names_itself: bool = False
    posts_answers: bool = False


class IssuerSession(requests.Session):
    """A session for one issuer: a timeout on every request, no redirects, nothing from the environment but proxies.

    `trust_env` is off because `REQUESTS_CA_BUNDLE` would otherwise replace the configured CA, and `.netrc`
    would add credentials. A redirect is refused: it would carry a secret or a code to another address.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.proxies.update(requests.utils.get_environ_proxies(client.issuer))
        self.trust_env = False
        self.max_redirects = 0
        if client.ca_file:
            if not Path(client.ca_file).is_file():
                raise UsageError(
                    f"identity.ca_file is not a file: {client.ca_file}", hint="a PEM file with the issuer's CA"
                )
            self.verify = client.ca_file
        else:
            self.mount("https://", SystemTrust())

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        """As `requests.Session.request`, with a timeout."""
        options.setdefault("timeout", TIMEOUT_S)
        return super().request(method, url, *args, **options)


class SystemTrust(HTTPAdapter):
    """Trusts the system's certificates besides those that requests brings along."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Hand the system's certificates to the connection pool."""
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **options)


@contextlib.contextmanager
def reaching(client: Client) -> Iterator[None]:
    """Turn what goes wrong on the way to the issuer into `Unreachable`."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise Unreachable(
            f"the certificate of {client.issuer} is not trusted: {root_cause(error)}",
            hint="set identity.ca_file to a PEM file with the issuer's CA",
        ) from None
    except requests.exceptions.TooManyRedirects:
        raise Unreachable(
            f"{client.issuer} sends requests elsewhere", hint="set identity.issuer to the final address"
        ) from None
    except requests.exceptions.RequestException as error:
        raise Unreachable(
            f"the issuer {client.issuer} cannot be reached: {root_cause(error)}",
            hint="check the network and identity.issuer",
        ) from None


def root_cause(error: BaseException) -> str:
    """The innermost reason of a chain of network errors, in one short line."""
    while (inner := wrapped(error)) is not None:
        error = inner
    for name in ("verify_message", "strerror"):
        if text := getattr(error, name, ""):
            return str(text)[:200]
    return str(error)[:200] or type(error).__name__


def wrapped(error: BaseException) -> BaseException | None:
    """The error inside an error of requests or urllib3."""
    candidates = (getattr(error, "reason", None), *error.args, error.__cause__)
    return next((inner for inner in candidates if isinstance(inner, BaseException)), None)


def discover(session: requests.Session, client: Client) -> Issuer:
    """Read the issuer's own description. It must call itself exactly what the configuration says."""
    url = f"{client.issuer.rstrip('/')}/.well-known/openid-configuration"
    document = fetch(session, client, url)
    named = document.get("issuer")
    if named != client.issuer:
        raise UsageError(
            f"the issuer at {url} calls itself {named!r}, not {client.issuer!r}",
            hint="set identity.issuer to exactly what the issuer calls itself",
        )
    scopes = document.get("scopes_supported")
    return Issuer(
        url=client.issuer,
        authorization_endpoint=endpoint(document, "authorization_endpoint", url),
        token_endpoint=endpoint(document, "token_endpoint", url),
        jwks_uri=endpoint(document, "jwks_uri", url),
        device_endpoint=endpoint(document, "device_authorization_endpoint", url, required=False),
        revocation_endpoint=endpoint(document, "revocation_endpoint", url, required=False),
        scopes=frozenset(map(str, scopes)) if isinstance(scopes, list) else None,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        posts_answers="form_post" in (document.get("response_modes_supported") or ()),
    )


def endpoint(document: dict[str, Any], name: str, url: str, *, required: bool = True) -> str:
    """An https address from the issuer's description, or empty when it may be missing and is."""
    value = document.get(name, "")
    if isinstance(value, str) and value.startswith("https://"):
        return value
    if value or required:
        raise UsageError(f"the issuer's description at {url} has no https {name}", hint="is identity.issuer right?")
    return ""


def fetch_keys(session: requests.Session, client: Client, issuer: Issuer) -> dict[str, Any]:
    """The issuer's keys as they are now (RFC 7517 §5)."""
    return fetch(session, client, issuer.jwks_uri)


def fetch(session: requests.Session, client: Client, url: str) -> dict[str, Any]:
    """A JSON object from the issuer. Raises `Unreachable`, or `UsageError` for another answer."""
    with reaching(client):
        response = session.get(url, headers={"Accept": "application/json"})
        if response.status_code >= 500:
            raise Unreachable(f"{url} answers {response.status_code}", hint="try again later")
        try:
            document = response.json() if response.status_code == 200 else None
        except requests.exceptions.JSONDecodeError:
            document = None
    if not isinstance(document, dict):
        raise UsageError(
            f"{url} is not an issuer's: it answers {response.status_code}",
            hint="is identity.issuer right, path included?",
        )
    return document


def revoke(session: requests.Session, client: Client, issuer: Issuer, token: str) -> bool:
    """Tell the issuer to forget a refresh token (RFC 7009); whether it did."""
    if not issuer.revocation_endpoint:
        return False
    data = {"token": token, "token_type_hint": "refresh_token", "client_id": client.client_id}
    try:
        with reaching(client):
            return session.post(issuer.revocation_endpoint, data=data).status_code == 200
    except DbgateError:
        return False
