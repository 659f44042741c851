"""Tokens of an OpenID provider, checked against the issuer's published keys as they are now.

What a token must say stands in `dbgate.tokens`, the same as on the command line; here are the keys.
Sources: OpenID Connect Discovery 1.0, section 4; RFC 7517.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from dbgate.approvals.local import TYPE as LOCAL_TYPE
from dbgate.approvals.transport import check_url, open_session, read_bounded
from dbgate.errors import Unreachable, UsageError
from dbgate.model import Identity
from dbgate.tokens import MAX_TOKEN_BYTES, Expected, UnknownKey, Use, identity_from, verify
from dbgate.tokens.checks import read_header
from dbgate.tokens.refusals import refuse

KEYS_FRESH_S = 300.0
KEYS_USABLE_S = 3600.0
UNKNOWN_KEY_PAUSE_S = 30.0
FAILURE_PAUSE_S = 5.0
JUST_FETCHED_S = 1.0
MAX_WAITING = 8
"""So many threads wait for keys that another one fetches; the others are sent away at once."""

_TIMEOUTS_S = (3.05, 5.0)
_LOCAL = "this service takes identities of its issuer: set identity.provider to oidc, then: dbgate login"


class IssuerKeys:
    """The issuer's key set, fetched through discovery and kept for five minutes.

    An unknown key id makes it look again, at most twice a minute. While the issuer is away, keys up to
    an hour old still count. One thread at a time fetches, and nobody waits for it while there are keys that count: an
    issuer that hangs must not hold the threads that decide for everybody else.
    """

    def __init__(self, issuer: str, *, ca_file: str, clock: Callable[[], datetime]) -> None:
        self._issuer = issuer
        self._url = check_url(issuer, "the issuer")
        self._session = open_session(ca_file)
        self._clock = clock
        self._fetching = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._keys: dict[str, Any] = {}
        self._fetched_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._searched_at: datetime | None = None

    def now(self) -> Mapping[str, Any]:
        """The key set. Raises `Unreachable` when there is none that is fresh enough."""
        age = self._age(self._fetched_at)
        if age > KEYS_FRESH_S:
            with self._turn(waits=age > KEYS_USABLE_S) as is_ours:
                if is_ours and self._age(self._fetched_at) > KEYS_FRESH_S:
                    self._refresh()
        return self._keys

    def searched(self) -> Mapping[str, Any]:
        """The key set after an unknown key: fetched anew, unless that was done just before. Raises `Unreachable`."""
        with self._turn(waits=True):
            stale = self._age(self._fetched_at) > JUST_FETCHED_S
            if stale and self._age(self._searched_at) > UNKNOWN_KEY_PAUSE_S:
                self._searched_at = self._clock()
                self._refresh()
        return self._keys

    @contextmanager
    def _turn(self, *, waits: bool) -> Iterator[bool]:
        """Whether it is this thread's turn to fetch. One that `waits` has it after the one before.

        Raises `Unreachable` when too many wait already.
        """
        is_ours = self._fetching.acquire(blocking=False)
        if not is_ours and waits:
            if not self._waiting.acquire(blocking=False):
                raise Unreachable(f"the keys of {self._issuer} are being fetched", hint="try again in a few seconds")
            try:
                is_ours = self._fetching.acquire()
            finally:
                self._waiting.release()
        try:
            yield is_ours
        finally:
            if is_ours:
                self._fetching.release()

    def _age(self, moment: datetime | None) -> float:
        """Seconds since `moment`; endless when there is none, or when the clock was set back behind it."""
        age = float("inf") if moment is None else (self._clock() - moment).total_seconds()
        return age if age >= 0 else float("inf")

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

    def _fetch(self) -> dict[str, Any]:
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
        found = self._get(url)
        if not isinstance(found.get("keys"), list):
            raise Unreachable(f"{url} is not a key set")
        return found

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
        clients: Sequence[str] = (),
        name: str = "",
        others: Sequence[str] = (),
    ) -> None:
        """`name` is this issuer's, `others` are the other ones', where the service trusts several. `clients` are those whose tokens count; by default any that the issuer gave for the audience.

        Raises `UsageError` when the issuer is not https or no audience is named.
        """
        if not audiences or not all(audiences):
            raise UsageError("no audience is named", hint="add --audience, the client id or API that tokens are for")
        self._expected = Expected(issuer, tuple(audiences), use=Use.EITHER, parties=tuple(clients))
        self._groups_claim = groups_claim
        self._actor_claim = actor_claim
        self._name, self._others = name, tuple(others)
        self._clock = clock
        self._keys = IssuerKeys(issuer, ca_file=ca_file, clock=clock)

    @property
    def issuer(self) -> str:
        """The issuer's URL, exactly as tokens name it."""
        return self._expected.issuer

    def now(self) -> datetime:
        """The time that tokens are checked against."""
        return self._clock()

    def verify(self, token: str) -> Identity:
        """The identity in a token. Raises `SignInRequired`, `Unreachable`."""
        return self.identity(self.claims(token))

    def identity(self, claims: Mapping[str, Any]) -> Identity:
        """The identity that verified claims describe. Raises `SignInRequired`."""
        return identity_from(
            claims,
            groups_claim=self._groups_claim,
            actor_claim=self._actor_claim,
            issuer_name=self._name,
            other_issuers=self._others,
        )

    def claims(self, token: str, *, nonce: str = "") -> dict[str, Any]:
        """The claims of a token that counts; with a `nonce`, of the ID token that answers it.

        Raises `SignInRequired`, `Unreachable`.
        """
        expected = replace(self._expected, use=Use.ID, nonce=nonce) if nonce else self._expected
        refuse_local(token)
        try:
            return verify(token, self._keys.now(), expected, self._clock())
        except UnknownKey:
            return verify(token, self._keys.searched(), expected, self._clock())


def refuse_local(token: str) -> None:
    """Refuse a token that this machine made for itself, and tell what to set instead."""
    if len(token) <= MAX_TOKEN_BYTES and read_header(token).get("typ") == LOCAL_TYPE:
        refuse("it is of a local identity, which proves nothing", hint=_LOCAL)


def _cause(error: Exception) -> str:
    """The innermost reason of a connection error, on one line."""
    while error.__context__ is not None and isinstance(error.__context__, Exception):
        error = error.__context__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
