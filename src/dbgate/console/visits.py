"""Who a browser is: sign-ins on the server's side, found by a cookie that says nothing, and one-time links.

Only digests of cookies and links are kept, so that nobody who reads the store can become anybody.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from dbgate.approvals.store import Store
from dbgate.model import Identity

IDLE_S = 30 * 60
"""After so long without a page opened by its person, a sign-in is over, in seconds."""

LONGEST_S = 3600
"""A sign-in is over after so long in any case, in seconds: the issuer is then asked anew, for groups that changed."""

LINK_S = 300
"""How long a one-time link waits, in seconds."""


NOTED_S = 60
"""How exactly idle time is counted, in seconds: not every page that is opened writes to the store."""


class Visit(msgspec.Struct, frozen=True):
    """A browser that is signed in, at most until a moment. `csrf` stands in its forms."""

    identity: Identity
    csrf: str
    until: datetime


class Visits:
    """The sign-ins of browsers, in the service's store: all of its instances know them."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def begin(self, identity: Identity) -> tuple[str, Visit]:
        """Begin a visit: the secret for the browser's cookie, and the visit."""
        now, secret = self._clock(), secrets.token_urlsafe(32)
        until = now + timedelta(seconds=LONGEST_S)
        visit = Visit(replace(identity, expires_at=until), secrets.token_urlsafe(32), until)
        self._put(_name("visit", secret), visit, now + timedelta(seconds=IDLE_S))
        return secret, visit

    def find(self, secret: str, *, moves: bool) -> Visit | None:
        """The visit of a cookie, or None. `moves`: its person did something, so its idle time begins anew."""
        now, name = self._clock(), _name("visit", secret)
        found = self._store.kept(name, now) if secret else None
        if found is None:
            return None
        visit = msgspec.json.decode(found[0], type=Visit)
        if visit.until <= now:
            return None
        idle_until = now + timedelta(seconds=IDLE_S)
        if moves and idle_until - found[1] > timedelta(seconds=NOTED_S):
            with self._store.begin() as unit:
                unit.kept.extend(name, idle_until)
        return visit

    def end(self, secret: str) -> None:
        """Forget a visit."""
        if secret:
            with self._store.begin() as unit:
                unit.kept.remove(_name("visit", secret))

    def make_link(self, identity: Identity) -> str:
        """The secret of a link that signs `identity` in, once."""
        secret = secrets.token_urlsafe(32)
        self._put(_name("link", secret), identity, self._clock() + timedelta(seconds=LINK_S))
        return secret

    def use_link(self, secret: str) -> Identity | None:
        """Whom a link signs in, or None when it was used already, is over, or never was."""
        name, now = _name("link", secret), self._clock()
        if self._store.kept(name, now) is None:
            return None
        with self._store.begin() as unit:
            content = unit.kept.take(name, now)
        return msgspec.json.decode(content, type=Identity) if content else None

    def _put(self, name: str, value: Visit | Identity, until: datetime) -> None:
        with self._store.begin() as unit:
            unit.kept.put(name, msgspec.json.encode(value).decode(), until, self._clock())


def _name(kind: str, secret: str) -> str:
    return f"{kind}:{hashlib.sha256(secret.encode()).hexdigest()}"
