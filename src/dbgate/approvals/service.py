"""What the approvals service does, without HTTP: file, list, decide, redeem.

Every method takes the verified identity of the caller and trusts nothing else about them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from dbgate.approvals import signing
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.records import Approval, Event, StoredRequest
from dbgate.approvals.refusals import (
    BadRequest,
    Busy,
    NotAllowed,
    UnknownRequest,
    WrongState,
)
from dbgate.approvals.reviewers import (
    is_requester,
    may_see,
    open_places,
    owns,
    places,
    same_person,
    who_else,
    why_not,
)
from dbgate.approvals.states import Action, Status, move
from dbgate.approvals.store import Query, Store, Unit
from dbgate.approvals.transactions import Transactions
from dbgate.binding import binding_of
from dbgate.model import ApprovalRequest, Identity, RequestKind

MAX_LIVE_REQUESTS = 200
"""How many requests one identity may have open at once."""

MIN_UNMASK_WAIT_S = 3600
"""How long a request to unmask waits for reviewers at least, in seconds: longer than some are granted for."""

MAX_UNMASK_SESSIONS = 1000
"""How many sessions may use one approval to unmask while it lives."""


class EventBatch(msgspec.Struct, frozen=True):
    """Events that somebody may see, and the number of the last one looked at."""

    last: int
    events: tuple[tuple[Event, StoredRequest], ...]


class ApprovalService:
    """Requests and decisions on a store. Stateless: any number may share one store."""

    def __init__(self, store: Store, signer: GrantSigner, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self.transactions = Transactions(store, clock)

    def file(self, caller: Identity, asked: ApprovalRequest) -> tuple[StoredRequest, bool]:
        """File a request, or find the live one for the same; the flag tells whether it is new.

        The binding is computed anew from what was posted, with the caller's own identity, so that
        reviewers see exactly what the grant will be bound to. Raises `BadRequest`, `Busy`.
        """
        if not secrets.compare_digest(binding_of(caller.key, asked), asked.binding):
            bound = "tags, duration" if asked.kind is RequestKind.UNMASK else "statement, parameters"
            raise BadRequest(
                f"the binding does not fit the {bound}, target, policy and caller",
                hint="sign in as the identity that runs the statement",
            )
        now = self._clock()
        self.expire_due()
        with self.transactions.begin() as unit:
            live = unit.live_of(caller)
            for request in live:
                if is_requester(caller, request.requester) and _covers(request, asked):
                    return request, False
            if len(live) >= MAX_LIVE_REQUESTS:
                raise Busy(
                    f"you have {len(live)} open requests", retry_after_s=60, hint="withdraw some: dbgate requests"
                )
            new = _new_request(caller, asked, now)
            unit.insert(new)
            unit.append(new.id, "requested", now, caller, asked.reason)
            return _reread(unit, new.id), True

    def get(self, caller: Identity, request_id: str) -> StoredRequest:
        """A request that the caller may see. Raises `UnknownRequest`."""
        self.expire_due()
        return _visible(self._store.get(request_id), caller, request_id)

    def find(self, query: Query) -> Sequence[StoredRequest]:
        """The requests that the viewer may see and that match, newest first."""
        self.expire_due()
        return self._store.find(query)

    def history(self, caller: Identity, request_id: str) -> Sequence[Event]:
        """Everything that happened to a request, oldest first. Raises `UnknownRequest`."""
        self.get(caller, request_id)
        return self._store.events(request_id=request_id)

    def allowed(self, caller: Identity, request: StoredRequest) -> tuple[tuple[str, ...], str]:
        """What the caller may do with a request now, and why they may not approve it (or empty)."""
        may: list[str] = []
        refusal = why_not(caller, request.requester, request.asked.clauses)
        reviews, owner = not refusal, owns(caller, request.requester)
        if request.status is Status.PENDING:
            refusal = refusal or _why_no_place(caller, request)
            may += ["approve"] if not refusal else []
            may += ["deny"] if reviews else []
            may += ["withdraw"] if owner else []
        if request.status is Status.APPROVED and (owner or reviews):
            may.append("revoke")
        return tuple(may), refusal

    def approve(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Agree. The last person needed makes it approved and starts the grant's clock.

        Raises `NotAllowed`, `WrongState`, `UnknownRequest`.
        """
        with self._changing(caller, request_id) as (unit, request, now):
            _check_reviewer(caller, request)
            move(request.status, Action.APPROVE, request.id)
            refusal = _why_no_place(caller, request)
            if refusal:
                raise WrongState(refusal, status=request.status.value)
            unit.add_approval(request.id, Approval(by=caller, at=now, note=note))
            unit.append(request.id, "approval", now, caller, note)
            agreed = [*(approval.by for approval in request.approvals), caller]
            if not open_places(agreed, request.asked.clauses):
                move(request.status, Action.COMPLETE, request.id)
                deadline = now + timedelta(seconds=request.asked.expires_s)
                if not unit.start_grant(request.id, approved_at=now, deadline=deadline):
                    raise WrongState(f"request {request.id} changed meanwhile", status=request.status.value)
                unit.append(request.id, "approved", now, None)
            return _reread(unit, request.id)

    def deny(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Refuse, for good, with a note that says why. One reviewer is enough."""
        if not note.strip():
            raise BadRequest("a denial needs a note that says why", hint="add --note TEXT")
        with self._changing(caller, request_id) as (unit, request, now):
            _check_reviewer(caller, request)
            return _finish(unit, request, Action.DENY, "denied", now, caller, note)

    def withdraw(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Take a pending request back: its requester, or the person behind an agent."""
        with self._changing(caller, request_id) as (unit, request, now):
            if not owns(caller, request.requester):
                raise NotAllowed("only the one who asked can withdraw a request", hint="deny it instead")
            return _finish(unit, request, Action.WITHDRAW, "withdrawn", now, caller, note)

    def revoke(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Take an approval back: any of its reviewers, or its requester. Of a statement until it is redeemed, else until
        it expires."""
        with self._changing(caller, request_id) as (unit, request, now):
            if not owns(caller, request.requester):
                _check_reviewer(caller, request)
            return _finish(unit, request, Action.REVOKE, "revoked", now, caller, note)

    def redeem(self, caller: Identity, request_id: str, wanted: str) -> tuple[StoredRequest, str]:
        """Take one use of an approved request and return it with the signed grant.

        Raises `NotAllowed` for anybody but the requester, `BadRequest` for another binding,
        `WrongState` when there is nothing left to redeem.
        """
        with self._changing(caller, request_id) as (unit, request, now):
            if not is_requester(caller, request.requester):
                raise NotAllowed("only the one who asked can redeem an approval", hint="sign in as they did")
            if not secrets.compare_digest(wanted, request.asked.binding):
                unmasks = request.asked.kind is RequestKind.UNMASK
                bound = "other tags or another duration," if unmasks else "another statement, parameters,"
                raise BadRequest(
                    f"request {request.id} is for {bound} target or policy",
                    hint="run exactly what was approved, or ask again",
                )
            signing.check(unit, self._signer)
            action = Action.REDEEM if request.uses_left <= 1 else Action.USE
            after = move(request.status, action, request.id)
            if not unit.use(request.id, after=after, now=now):
                raise WrongState(f"request {request.id} was already redeemed", status=request.status.value)
            unit.append(request.id, "redeemed" if action is Action.REDEEM else "opened", now, caller)
            return _reread(unit, request.id), self._signer.sign(request, now=now)

    def expire_due(self) -> None:
        """End what is past its deadline. Called before every read and change, so no timer decides anything."""
        now = self._clock()
        if not (self.transactions.is_open or self._store.next_due(now)):
            return
        with self.transactions.begin() as unit:
            for request in unit.due(now):
                after = move(request.status, Action.EXPIRE, request.id)
                if unit.set_status(request.id, request.status, after):
                    unit.append(request.id, "expired", now, None)

    def latest_event(self) -> int:
        """The number of the latest event, deadlines considered."""
        self.expire_due()
        return self._store.last_event()

    def visible_events(self, viewer: Identity, after: int, request_id: str, limit: int) -> EventBatch:
        """The events above `after` that the viewer may see, of one request or (with an empty id) of all."""
        found = self._store.events(after=after, limit=limit)
        wanted = {event.request for event in found if not request_id or event.request == request_id}
        requests = {name: self._store.get(name) for name in wanted}
        seen = {name: request for name, request in requests.items() if request and is_visible(viewer, request)}
        events = [(event, seen[event.request]) for event in found if event.request in seen]
        return EventBatch(last=found[-1].number if found else after, events=tuple(events))

    def is_healthy(self) -> bool:
        """Whether the store answers. Raises what the store raises when it does not."""
        return self._store.last_event() >= 0

    @contextmanager
    def _changing(self, caller: Identity, request_id: str) -> Iterator[tuple[Unit, StoredRequest, datetime]]:
        """A write transaction on a request that the caller may see, as it stands at this moment."""
        self.expire_due()
        with self.transactions.begin() as unit:
            request = _visible(unit.get(request_id), caller, request_id)
            now = self._clock()
            if request.is_live and request.deadline <= now:
                request = replace(request, status=move(request.status, Action.EXPIRE, request.id))
            yield unit, request, now


def _new_request(caller: Identity, asked: ApprovalRequest, now: datetime) -> StoredRequest:
    """A pending request. One to unmask is granted for a time, and not for one run: several sessions may use it."""
    unmasks = asked.kind is RequestKind.UNMASK
    waits_s = max(asked.expires_s, MIN_UNMASK_WAIT_S) if unmasks else asked.expires_s
    uses = MAX_UNMASK_SESSIONS if unmasks else 1
    return StoredRequest(
        id=secrets.token_hex(8),
        asked=asked,
        requester=caller,
        status=Status.PENDING,
        created_at=now,
        deadline=now + timedelta(seconds=waits_s),
        uses=uses,
        uses_left=uses,
    )


def is_visible(person: Identity, request: StoredRequest) -> bool:
    """Whether the person asked, is behind the agent that did, may decide, or has decided."""
    return may_see(person, request.requester, request.asked.clauses, [approval.by for approval in request.approvals])


def _visible(request: StoredRequest | None, caller: Identity, request_id: str) -> StoredRequest:
    if request is None or not is_visible(caller, request):
        raise UnknownRequest(f"no such request: {request_id}", hint="see them with: dbgate requests")
    return request


def _covers(live: StoredRequest, asked: ApprovalRequest) -> bool:
    """Whether an open request stands for the same run: same binding and reviewers, and rows at least as many."""
    return (
        live.asked.binding == asked.binding
        and live.asked.clauses == asked.clauses
        and all(live.asked.measured.get(name, -1) >= count for name, count in asked.measured.items())
    )


def _check_reviewer(caller: Identity, request: StoredRequest) -> None:
    refusal = why_not(caller, request.requester, request.asked.clauses)
    if refusal:
        raise NotAllowed(refusal, hint=who_else(caller, request.asked.clauses))


def _why_no_place(caller: Identity, request: StoredRequest) -> str:
    """Why one more approval by this person would not count, or empty."""
    agreed = [approval.by for approval in request.approvals]
    if any(same_person(caller, person) for person in agreed):
        return "you have already approved this request"
    if places(open_places([*agreed, caller], request.asked.clauses)) < places(request.needs):
        return ""
    needed = ", ".join(f"{' or '.join(clause.groups)} ({clause.count})" for clause in request.needs)
    return f"enough people of your groups have approved; still needed: {needed}"


def _finish(
    unit: Unit, request: StoredRequest, action: Action, kind: str, now: datetime, caller: Identity, note: str
) -> StoredRequest:
    after = move(request.status, action, request.id)
    if not unit.set_status(request.id, request.status, after):
        raise WrongState(f"request {request.id} changed meanwhile", status=request.status.value)
    unit.append(request.id, kind, now, caller, note)
    return _reread(unit, request.id)


def _reread(unit: Unit, request_id: str) -> StoredRequest:
    request = unit.get(request_id)
    if request is None:
        raise UnknownRequest(f"no such request: {request_id}")
    return request
