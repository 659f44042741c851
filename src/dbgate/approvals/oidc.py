"""Tokens of an OpenID provider, checked against the issuer's published keys.

Sources: OpenID Connect Core 1.0, section 3.1.3.7; Discovery 1.0, section 4; RFC 8725 (JWT best practices).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbgate.approvals.local import TYPE as LOCAL_TYPE
from dbgate.approvals.tokens import MAX_TOKEN_BYTES, check_times, identity_of, refuse
from dbgate.approvals.transport import check_url, open_session, read_bounded
from dbgate.errors import Unreachable, UsageError
from dbgate.model import Identity

if TYPE_CHECKING:
    import jwt

KEY_TYPES: Mapping[str, tuple[str, str]] = {
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The algorithms that count, each with the only type and curve of key it may be used with."""

KEYS_FRESH_S = 300.0
KEYS_USABLE_S = 3600.0
UNKNOWN_KEY_PAUSE_S = 30.0
FAILURE_PAUSE_S = 5.0
JUST_FETCHED_S = 1.0
MIN_RSA_BITS = 2048

_TIMEOUTS_S = (3.05, 5.0)
_LOCAL = "this service takes identities of its issuer: set identity.provider to oidc, then: dbgate login"


class IssuerKeys:
    """The issuer's signing keys, by key id, fetched through discovery and kept for five minutes.

    An unknown key id makes it look again, at most twice a minute. While the issuer is away, keys up to
    an hour old still count.
    """

    def __init__(self, issuer: str, *, ca_file: str, clock: Callable[[], datetime]) -> None:
        self._issuer = issuer
        self._url = check_url(issuer, "the issuer")
        self._session = open_session(ca_file)
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[Mapping[str, Any], ...] = ()
        self._fetched_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._searched_at: datetime | None = None

    def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """The key for a token's header. Raises `SignInRequired` when the issuer has none, `Unreachable`."""
        with self._lock:
            if self._age(self._fetched_at) > KEYS_FRESH_S:
                self._refresh()
            found = self._matching(key_id, algorithm)
            stale = self._age(self._fetched_at) > JUST_FETCHED_S
            if found is None and stale and self._age(self._searched_at) > UNKNOWN_KEY_PAUSE_S:
                self._searched_at = self._clock()
                self._refresh()
                found = self._matching(key_id, algorithm)
        if found is None:
            raise refuse("it is signed with a key that the issuer does not publish")
        return _to_key(found, algorithm)

    def _age(self, moment: datetime | None) -> float:
        return float("inf") if moment is None else (self._clock() - moment).total_seconds()

    def _matching(self, key_id: str | None, algorithm: str) -> Mapping[str, Any] | None:
        """The published key; without a key id in the token, the only one that fits."""
        kind, curve = KEY_TYPES[algorithm]
        fitting = [
            key
            for key in self._keys
            if key.get("kty") == kind
            and (not curve or key.get("crv") == curve)
            and key.get("use", "sig") == "sig"
            and key.get("alg", algorithm) == algorithm
            and (key_id is None or key.get("kid") == key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _refresh(self) -> None:
        try:
            if self._age(self._failed_at) < FAILURE_PAUSE_S:
                raise Unreachable(f"the keys of {self._issuer} could not be fetched", hint="try again in a few seconds")
            self._keys = self._fetch()
            self._fetched_at = self._clock()
        except Unreachable:
            if self._age(self._failed_at) >= FAILURE_PAUSE_S:
                self._failed_at = self._clock()
            if self._age(self._fetched_at) > KEYS_USABLE_S:
                raise

    def _fetch(self) -> tuple[Mapping[str, Any], ...]:
        """Read the discovery document and the key set. Raises `Unreachable`."""
        document = self._get(f"{self._url}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise Unreachable(
                f"the discovery document of {self._issuer} names another issuer: {document.get('issuer')!r}",
                hint="write the issuer exactly as the provider does, with or without the final slash",
            )
        try:
            url = check_url(str(document.get("jwks_uri", "")), "the issuer's jwks_uri")
        except UsageError as error:
            raise Unreachable(error.message, hint=error.hint) from error
        keys = self._get(url).get("keys")
        if not isinstance(keys, list):
            raise Unreachable(f"{url} is not a key set")
        return tuple(key for key in keys if isinstance(key, dict))

    def _get(self, url: str) -> dict[str, Any]:
        import requests

        try:
            with self._session.get(url, timeout=_TIMEOUTS_S, allow_redirects=False, stream=True) as answer:
                if answer.status_code != 200:
                    raise Unreachable(f"{url} answered with {answer.status_code}")
                document = json.loads(read_bounded(answer, 1024 * 1024))
        except requests.RequestException as error:
            raise Unreachable(f"cannot fetch {url}: {_cause(error)}") from error
        except (ValueError, RecursionError) as error:
            raise Unreachable(f"{url} did not answer with JSON") from error
        if not isinstance(document, dict):
            raise Unreachable(f"{url} did not answer with a JSON object")
        return document


class OidcVerifier:
    """Checks the tokens of one issuer for one or several audiences. Nothing is ever remembered as good."""

    def __init__(
        self,
        issuer: str,
        audiences: Sequence[str],
        *,
        clock: Callable[[], datetime],
        ca_file: str = "",
        groups_claim: str = "groups",
        actor_claim: str = "",
    ) -> None:
        """Raises `UsageError` when the issuer is not https or no audience is named."""
        if not audiences or not all(audiences):
            raise UsageError("no audience is named", hint="add --audience, the client id or API that tokens are for")
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._groups_claim = groups_claim
        self._actor_claim = actor_claim
        self._clock = clock
        self._keys = IssuerKeys(issuer, ca_file=ca_file, clock=clock)

    def verify(self, token: str) -> Identity:
        """The identity in a token. Raises `SignInRequired`, `Unreachable`."""
        return self.identity(self.claims(token))

    def identity(self, claims: Mapping[str, Any]) -> Identity:
        """The identity that verified claims describe. Raises `SignInRequired`."""
        return identity_of(claims, self._groups_claim, self._actor_claim)

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that counts. Raises `SignInRequired`, `Unreachable`."""
        import jwt

        if len(token) > MAX_TOKEN_BYTES:
            raise refuse(f"it is longer than {MAX_TOKEN_BYTES} bytes", hint="too many groups in it?")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if header.get("typ") == LOCAL_TYPE:
                raise refuse("it is of a local identity, which proves nothing", hint=_LOCAL)
            if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
                raise refuse(f"its algorithm is {algorithm!r}", hint=f"accepted: {', '.join(KEY_TYPES)}")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._keys.find(header.get("kid"), algorithm),
                algorithms=[algorithm],
                audience=self._audiences,
                issuer=self._issuer,
                options={
                    "require": ["iss", "sub", "aud", "exp", "iat"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, UnicodeError) as error:
            raise refuse(str(error)) from error
        check_times(claims, self._clock())
        return claims


def _to_key(jwk: Mapping[str, Any], algorithm: str) -> jwt.PyJWK:
    """The key, bound to its algorithm. Raises `SignInRequired` when it is unusable or too short."""
    import jwt

    public = {name: value for name, value in jwk.items() if name != "d"}
    key = jwt.PyJWK(public, algorithm)
    if getattr(key.key, "key_size", MIN_RSA_BITS) < MIN_RSA_BITS and public.get("kty") == "RSA":
        raise refuse(f"the issuer's key is shorter than {MIN_RSA_BITS} bits", hint="tell the issuer's operators")
    return key


def _cause(error: Exception) -> str:
    """The innermost reason of a connection error, on one line."""
    while error.__context__ is not None and isinstance(error.__context__, Exception):
        error = error.__context__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
