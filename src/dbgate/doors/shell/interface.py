"""What the shell needs: a session to drive, and facts about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from dbgate.catalog import Catalog
from dbgate.model import Assurance, Decision, Identity, Target, TransactionStatus
from dbgate.session.effects import Finished
from dbgate.session.ports import RequestState


class Driver(Protocol):
    """An open session (`dbgate.session.driver.SessionDriver`)."""

    closed: str
    """Why the session is over; empty while it goes on."""

    @property
    def session(self) -> str:
        """The id of the transcript."""

    @property
    def catalog(self) -> Catalog:
        """What dbgate knows of the database; may read it the first time."""

    @property
    def transaction(self) -> TransactionStatus:
        """Where the connection stands."""

    @property
    def search_path(self) -> tuple[str, ...]:
        """The schemas that a bare name is looked up in."""

    @property
    def last_decision(self) -> Decision | None:
        """The decision on the latest statement."""

    def execute(self, script: str, values: Mapping[str, str | None] | None = None) -> Iterator[Finished]:
        """Decide, record and run every statement of `script` alone."""

    def unmask(self, tags: Sequence[str], reason: str = "") -> Iterator[Finished]:
        """Ask to see tags, or globs of them, in clear for a while."""

    def overdue(self) -> str:
        """Which time limit of the policy the session has passed; empty when none."""

    def cancel(self) -> None:
        """Stop what is going on; may raise `Interrupted`."""


class About(msgspec.Struct, frozen=True):
    """What the shell shows of the session and may call.

    `labels` gives the tags of a relation's columns by name, `requests` the person's live approval requests,
    `withdraw` takes one back and returns its new status, `targets` are the databases within reach.
    `tags` are the policy's tags, each with how the person sees it. `policy` is the policy's file name. `idle_s` is the policy's idle limit, in seconds.
    """

    target: Target
    identity: Identity
    policy: str
    state_dir: Path
    idle_s: float | None = None
    labels: Callable[[int], Mapping[str, str]] | None = None
    requests: Callable[[], Sequence[RequestState]] | None = None
    withdraw: Callable[[str], str] | None = None
    tags: Callable[[], Mapping[str, str]] | None = None
    targets: tuple[Target, ...] = ()
    vi: bool = False

    @property
    def who(self) -> str:
        """The identity for people; says when nothing proved it."""
        unproven = self.identity.assurance is Assurance.LOCAL
        return f"{self.identity.label} (unverified)" if unproven else self.identity.label

    @property
    def is_production(self) -> bool:
        """Whether the target's environment calls for care."""
        return self.target.environment.lower() in {"production", "prod", "live"}
