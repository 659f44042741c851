"""What the service asks of its store. `sqlite.py` is the store of one machine.

Reading needs no transaction. Every change happens inside `begin()`, which holds a write lock (or row
locks) so that two instances on one store decide one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from dbgate.approvals.rates import Bucket
from dbgate.approvals.records import Approval, Event, StoredRequest
from dbgate.approvals.states import Status
from dbgate.approvals.webhooks.outbox import Delivery, Outbox
from dbgate.model import Identity


class Query(msgspec.Struct, frozen=True):
    """Which requests to find, newest first.

    `viewer` sees their own requests, those of agents that act for them, those their groups may decide, and
    those they decided. `role` narrows to `mine` or `review`; `before` is the id after which a page begins.
    """

    viewer: Identity
    role: str = "all"
    statuses: tuple[Status, ...] = ()
    target: str = ""
    id_prefix: str = ""
    before: str = ""
    limit: int = 50


class Appended(msgspec.Struct, frozen=True):
    """What `Unit.append` was given."""

    request: str
    kind: str
    at: datetime
    by: Identity | None
    note: str


class Answer(msgspec.Struct, frozen=True):
    """What a call with an `Idempotency-Key` was answered: `asked` is the digest of the call, `body` the JSON."""

    asked: str
    status: int
    body: str


class Kept(Protocol):
    """Small texts by name, each until a moment: sign-ins of browsers and one-time links of the console."""

    def put(self, name: str, content: str, until: datetime, now: datetime) -> None:
        """Keep something new, and forget what is over."""

    def take(self, name: str, now: datetime) -> str | None:
        """What is kept, for whoever asks first, and for nobody after them."""

    def extend(self, name: str, until: datetime) -> None:
        """Keep it until another moment, if it is still there."""

    def remove(self, name: str) -> None:
        """Forget it."""


class Unit(Protocol):
    """One write transaction. Leaving it with an exception undoes it."""

    def get(self, request_id: str) -> StoredRequest | None:
        """The request, locked against other writers."""

    def live_of(self, requester: Identity) -> Sequence[StoredRequest]:
        """The pending and approved requests of an identity, newest first."""

    def due(self, now: datetime) -> Sequence[StoredRequest]:
        """Live requests whose deadline has passed."""

    def insert(self, request: StoredRequest) -> None:
        """Add a request without approvals."""

    def add_approval(self, request_id: str, approval: Approval) -> None:
        """Add one person's approval. Raises `WrongState` when that person already approved."""

    def set_status(self, request_id: str, before: Status, after: Status) -> bool:
        """Change the status if it still is `before`, and tell whether it was."""

    def start_grant(self, request_id: str, *, approved_at: datetime, deadline: datetime) -> bool:
        """Make a pending request approved, with its new deadline, and tell whether it was pending."""

    def use(self, request_id: str, *, after: Status, now: datetime) -> bool:
        """Take one use of an approved, unexpired request, and tell whether there was one to take."""

    @property
    def kept(self) -> Kept:
        """What is kept for a while, to be changed."""

    @property
    def outbox(self) -> Outbox:
        """What hooks still have to be told."""

    def append(self, request_id: str, kind: str, at: datetime, by: Identity | None, note: str = "") -> None:
        """Add an event to the history, which nothing ever changes."""

    @property
    def appended(self) -> Sequence[Appended]:
        """What this transaction added to the history so far."""

    def grant_key(self) -> str:
        """The id of the key that signs grants, as the instances on this store agreed; empty before the first."""

    def set_grant_key(self, key_id: str, jwk: str, at: datetime) -> None:
        """Make another key the one that signs grants. Earlier ones stay in the table."""

    def answer(self, caller: Identity, name: str) -> Answer | None:
        """What the caller's call of that name was answered, or None."""

    def keep_answer(self, caller: Identity, name: str, answer: Answer, at: datetime, *, forget: datetime) -> None:
        """Keep an answer, and forget those from before `forget`."""


class Store(Protocol):
    """Requests, approvals and their history. Safe to use from several threads."""

    def begin(self) -> AbstractContextManager[Unit]:
        """Begin a write transaction."""

    def get(self, request_id: str) -> StoredRequest | None:
        """A request, or None."""

    def is_delivery_due(self, now: datetime) -> bool:
        """Whether any hook waits to be told: a cheap question before `begin`."""

    def deliveries(self, status: str, limit: int = 200) -> Sequence[Delivery]:
        """Webhooks in a status (`webhooks.outbox`), latest first."""

    def delivery_counts(self) -> Mapping[str, int]:
        """How many webhooks there are in each status."""

    def kept(self, name: str, now: datetime) -> tuple[str, datetime] | None:
        """What is kept under a name, and until when, or None."""

    def find(self, query: Query) -> Sequence[StoredRequest]:
        """The requests that match, newest first."""

    def live_counts(self) -> Mapping[str, int]:
        """How many requests there are in each status in which something can still happen."""

    def next_due(self, now: datetime) -> bool:
        """Whether any live request is past its deadline: a cheap question before `begin`."""

    def events(self, *, after: int = 0, request_id: str = "", limit: int = 1000) -> Sequence[Event]:
        """Events with a number above `after`, in order."""

    def last_event(self) -> int:
        """The number of the latest event, 0 when there is none."""

    @property
    def rates(self) -> Bucket | None:
        """The pace of identities at all instances on this store, or None where each counts for itself."""

    def close(self) -> None:
        """Let go of the store."""
