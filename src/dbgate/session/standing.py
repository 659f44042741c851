"""Whose session it is, for as long as the sign-in lasts: renewed before a statement is decided, or the statement waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from dbgate.errors import SignInRequired
from dbgate.model import Identity
from dbgate.session.ports import Clock, Display, Recorder

EARLY = timedelta(seconds=30)
"""So long before its end a sign-in is renewed."""


class Standing:
    """The identity under which statements are decided.

    `renew` gives the same person's identity with a later expiry, or raises `SignInRequired` or `Unreachable`: then no
    statement is decided, and the session stays as it is. None where identities do not expire.
    """

    def __init__(
        self,
        identity: Identity,
        renew: Callable[[], Identity] | None,
        recorder: Recorder,
        display: Display,
        clock: Clock,
    ) -> None:
        self.identity = identity
        """Whose session it is, as last proven."""
        self._renew = renew
        self._recorder = recorder
        self._display = display
        self._clock = clock
        self._due = identity.expires_at - EARLY if identity.expires_at else None

    def now(self) -> Identity:
        """The identity, proven to last at this moment.

        Raises what `renew` raises once the sign-in has ended, `SignInRequired` too when somebody else signed in
        meanwhile, and `AuditUnavailable` when a change of groups cannot be recorded.
        """
        ends, now = self.identity.expires_at, self._clock.now()
        if ends is None or self._due is None or now < self._due:
            return self.identity
        if self._renew is None:
            if now < ends:
                return self.identity
            raise SignInRequired("the sign-in of this session has expired", hint="open a new session")
        fresh = self._renew()
        if fresh.key != self.identity.key:
            raise SignInRequired(
                f"{fresh.label} is signed in now, and this session is {self.identity.label}'s",
                hint=f"run: dbgate login --account {self.identity.label}\nor open a new session",
            )
        if fresh.expires_at is not None and fresh.expires_at <= now:
            raise SignInRequired("the sign-in of this session has expired", hint="run: dbgate login")
        # Not renewed, but it lasts: look again when it has ended.
        self._due = ends if fresh.expires_at == ends else fresh.expires_at and fresh.expires_at - EARLY
        self._take(fresh)
        return fresh

    def _take(self, fresh: Identity) -> None:
        """Go on as `fresh`; what policies look at is recorded when it has changed."""
        if (fresh.groups, fresh.actor) != (self.identity.groups, self.identity.actor):
            said = f"signed in anew: groups are now {', '.join(fresh.groups) or 'none'}"
            self._recorder.record("notice", {"level": "notice", "text": said, "identity": fresh.to_json()})
            self._display.message("notice", said)
        self.identity = fresh
