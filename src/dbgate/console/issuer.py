"""Sign-in by an OpenID provider: the authorization code flow with PKCE, state and nonce.

Sources: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (issuer in the answer); RFC 9700 (best practice).
Tokens stay here: they are checked and forgotten. Neither the page nor the store ever holds one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import requests

from dbgate.approvals.oidc import OidcVerifier
from dbgate.approvals.transport import check_url, open_session, read_bounded
from dbgate.errors import SignInRequired, Unreachable
from dbgate.model import Identity
from dbgate.text import printable

_TIMEOUTS_S = (3.05, 10.0)
_MAX_ANSWER_BYTES = 1024 * 1024
_AGAIN = "begin again"

ATTEMPT_S = 600
"""How long somebody may take at the issuer, in seconds."""


class Attempt(msgspec.Struct, frozen=True):
    """A sign-in that was begun and waits in the browser's cookie. `then` is the page to go on to, `issuer` whom it asked, `begun`
    when, in seconds since the epoch.
    """

    state: str
    nonce: str
    verifier: str
    then: str
    issuer: str = ""
    begun: float = 0.0

    def to_text(self) -> str:
        """The attempt as a cookie's value."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def read_attempt(text: str) -> Attempt | None:
    """The attempt in a cookie, or None when there is none."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Attempt)
    except (ValueError, msgspec.MsgspecError):
        return None


class Registration(msgspec.Struct, frozen=True):
    """What the issuer knows the console as. `secret` is empty for a public client.

    `name` is the issuer's, empty for the main one. The redirect is for this issuer alone, so that an answer which
    another one provoked cannot arrive (RFC 9700, 4.4).
    """

    issuer: str
    client_id: str
    redirect_uri: str
    secret: str = ""
    scopes: tuple[str, ...] = ()
    ca_file: str = ""
    name: str = ""


class IssuerSignIn:
    """Sends browsers to the issuer and takes what they bring back. `verifier` takes tokens for this client only."""

    def __init__(self, registration: Registration, verifier: OidcVerifier) -> None:
        self._us = registration
        self._verifier = verifier
        self._session = open_session(registration.ca_file)
        self._document: Mapping[str, Any] = {}

    @property
    def issuer(self) -> str:
        """The issuer's URL."""
        return self._us.issuer

    @property
    def name(self) -> str:
        """What the configuration calls the issuer, empty for the main one."""
        return self._us.name

    def start(self, then: str) -> tuple[str, Attempt]:
        """Where to send the browser, and what it has to bring back. Raises `Unreachable`."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        attempt = Attempt(state, nonce, verifier, then, self._us.issuer, self._verifier.now().timestamp())
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._us.client_id,
                "redirect_uri": self._us.redirect_uri,
                "scope": " ".join(dict.fromkeys(("openid", "email", "profile", *self._scopes()))),
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        endpoint = self._endpoint("authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}", attempt

    def _scopes(self) -> tuple[str, ...]:
        """The configured scopes; by default groups, as on the command line, unless the issuer lists its scopes without."""
        offered = self._described().get("scopes_supported")
        return self._us.scopes or (("groups",) if not isinstance(offered, list) or "groups" in offered else ())

    def finish(self, attempt: Attempt, answer: Mapping[str, str]) -> Identity:
        """Who came back from the issuer. Raises `SignInRequired` with the reason, `Unreachable`."""
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise SignInRequired("the answer is not to the sign-in that this browser began", hint=_AGAIN)
        if abs(self._verifier.now().timestamp() - attempt.begun) > ATTEMPT_S:
            raise SignInRequired("the sign-in took longer than ten minutes", hint=_AGAIN)
        if attempt.issuer != self._us.issuer:
            raise SignInRequired("the answer is to a sign-in at another issuer", hint=_AGAIN)
        names_itself = self._described().get("authorization_response_iss_parameter_supported") is True
        if answer.get("iss", "" if names_itself else self._us.issuer) != self._us.issuer:
            raise SignInRequired("the answer is another issuer's", hint=_AGAIN)
        if "error" in answer:
            said = printable(answer.get("error_description") or answer["error"])[:300]
            raise SignInRequired(f"the issuer refused the sign-in: {said}", hint=_AGAIN)
        if not answer.get("code"):
            raise SignInRequired("the answer holds no code", hint=_AGAIN)
        token = self._redeem(answer["code"], attempt.verifier)
        return self._verifier.identity(self._verifier.claims(token, nonce=attempt.nonce))

    def _redeem(self, code: str, verifier: str) -> str:
        """The ID token for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._us.redirect_uri,
            "code_verifier": verifier,
        }
        headers, methods = {}, self._described().get("token_endpoint_auth_methods_supported")
        if not self._us.secret:
            form["client_id"] = self._us.client_id
        elif isinstance(methods, list) and "client_secret_basic" not in methods:
            form |= {"client_id": self._us.client_id, "client_secret": self._us.secret}
        else:
            pair = f"{quote(self._us.client_id, safe='')}:{quote(self._us.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        status, document = self._ask("POST", self._endpoint("token_endpoint"), data=form, headers=headers)
        token = document.get("id_token")
        if status != 200 or not isinstance(token, str):
            said = printable(str(document.get("error_description") or document.get("error") or status))[:300]
            raise SignInRequired(f"the issuer gave no token: {said}", hint=_AGAIN)
        return token

    def _described(self) -> Mapping[str, Any]:
        """The issuer's description of itself (Discovery 1.0, 4), read once."""
        if not self._document:
            url = f"{self._us.issuer.rstrip('/')}/.well-known/openid-configuration"
            status, document = self._ask("GET", url)
            if status != 200 or document.get("issuer") != self._us.issuer:
                raise Unreachable(
                    f"{url} does not describe {self._us.issuer}", hint="is --issuer right, path included?"
                )
            self._document = document
        return self._document

    def _endpoint(self, name: str) -> str:
        endpoint = str(self._described().get(name, ""))
        check_url(endpoint, f"the issuer's {name}")
        return endpoint

    def _ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """An answer of the issuer: its status and JSON object. Raises `Unreachable`."""
        try:
            with self._session.request(
                method, url, timeout=_TIMEOUTS_S, allow_redirects=False, stream=True, **options
            ) as answer:
                document = json.loads(read_bounded(answer, _MAX_ANSWER_BYTES))
                status = answer.status_code
        except requests.RequestException as error:
            raise Unreachable(f"the issuer {self._us.issuer} cannot be reached: {type(error).__name__}") from error
        except (ValueError, RecursionError) as error:
            raise Unreachable(f"{url} did not answer with JSON") from error
        if not isinstance(document, dict):
            raise Unreachable(f"{url} did not answer with a JSON object")
        return status, document
