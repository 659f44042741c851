"""What the approvals service does, without HTTP: file, list, decide, redeem.

Every method takes the verified identity of the caller and trusts nothing else about them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from dbgate.approvals import signing
from dbgate.approvals.filing import OTHER, check_binding, covers, new_request, used
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.ledger import Access, Ledger, UnsafeUnrecorded
from dbgate.approvals.records import Approval, Event, StoredRequest
from dbgate.approvals.refusals import (
    BadRequest,
    Busy,
    NotAllowed,
    UnknownRequest,
    WrongState,
)
from dbgate.approvals.reviewers import (
    cannot_be_told_apart,
    is_requester,
    may_see,
    open_places,
    owns,
    places,
    same_person,
    who_else,
    why_not,
    why_not_break,
)
from dbgate.approvals.states import Action, Status, move
from dbgate.approvals.store import Query, Store, Unit
from dbgate.approvals.transactions import Transactions
from dbgate.model import ApprovalRequest, Identity, RequestKind

MAX_LIVE_REQUESTS = 200
"""How many requests one identity may have open at once."""

BREAK_GLASS_S = 300
"""How long a grant that broke the glass may be used at most, in seconds: it is for a run that begins now."""


class EventBatch(msgspec.Struct, frozen=True):
    """Events that somebody may see, and the number of the last one looked at."""

    last: int
    events: tuple[tuple[Event, StoredRequest], ...]


class ApprovalService:
    """Requests and decisions on a store. Stateless: any number may share one store."""

    def __init__(
        self, store: Store, signer: GrantSigner, clock: Callable[[], datetime], ledger: Ledger | None = None
    ) -> None:
        """Without a `ledger` nothing is recorded."""
        self._store = store
        self._signer = signer
        self._clock = clock
        self._ledger = ledger or UnsafeUnrecorded()
        self.transactions = Transactions(store, clock, self._ledger)

    def file(self, caller: Identity, asked: ApprovalRequest) -> tuple[StoredRequest, bool]:
        """File a request, or find the live one for the same; the flag tells whether it is new.

        The binding is computed anew from what was posted, with the caller's own identity, so that
        reviewers see exactly what the grant will be bound to. Raises `BadRequest`, `Busy`.
        """
        with self.transactions.attempt("file", caller):
            return self._file(caller, asked)

    def _file(self, caller: Identity, asked: ApprovalRequest) -> tuple[StoredRequest, bool]:
        if asked.kind is RequestKind.BREAK_GLASS:
            raise BadRequest("what breaks the glass is not asked for", hint="POST it to /break-glass")
        check_binding(caller, asked)
        now = self._clock()
        self.expire_due()
        with self.transactions.begin() as unit:
            live = unit.live_of(caller)
            for request in live:
                if is_requester(caller, request.requester) and covers(request, asked):
                    return request, False
            if len(live) >= MAX_LIVE_REQUESTS:
                raise Busy(
                    f"you have {len(live)} open requests", retry_after_s=60, hint="withdraw some: dbgate requests"
                )
            new = new_request(caller, asked, now)
            unit.insert(new)
            unit.append(new.id, "requested", now, caller, asked.reason)
            return _reread(unit, new.id), True

    def break_glass(self, caller: Identity, asked: ApprovalRequest) -> tuple[StoredRequest, str]:
        """Put a run that nobody agreed to on record, for its reviewers, and return it with the signed grant for that run.

        Only people in the groups that the rule names, acting for themselves, and with a reason; each grant is given
        once. Raises `NotAllowed`, `BadRequest`, `Busy`.
        """
        with self.transactions.attempt("break-glass", caller):
            return self._break_glass(caller, asked)

    def _break_glass(self, caller: Identity, asked: ApprovalRequest) -> tuple[StoredRequest, str]:
        if asked.kind is not RequestKind.BREAK_GLASS:
            raise BadRequest("this takes what breaks the glass only", hint="POST it to /requests")
        check_binding(caller, asked)
        refusal = why_not_break(caller, asked.break_glass)
        if refusal:
            raise NotAllowed(refusal, hint="ask for an approval as usual")
        if not asked.reason.strip():
            raise BadRequest("breaking the glass needs a reason", hint="give one with --reason TEXT")
        now = self._clock()
        new = replace(
            new_request(caller, asked, now),
            status=Status.REVIEW_DUE,
            deadline=now + timedelta(seconds=min(asked.expires_s, BREAK_GLASS_S)),
            uses_left=0,
        )
        with self.transactions.begin() as unit:
            signing.check(unit, self._signer)
            unit.insert(new)
            unit.append(new.id, "broke-glass", now, caller, asked.reason)
            return _reread(unit, new.id), self._signer.sign(new, now=now)

    def get(self, caller: Identity, request_id: str) -> StoredRequest:
        """A request that the caller may see. Raises `UnknownRequest`."""
        self.expire_due()
        return _visible(self._store.get(request_id), caller, request_id)

    def find(self, query: Query) -> Sequence[StoredRequest]:
        """The requests that the viewer may see and that match, newest first."""
        self.expire_due()
        return self._store.find(query)

    def history(self, caller: Identity, request_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """What happened to a request after the event with that number, oldest first. Raises `UnknownRequest`."""
        self.get(caller, request_id)
        return self._store.events(request_id=request_id, after=after, limit=limit)

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
        if request.status is Status.REVIEW_DUE:
            refusal = refusal or _why_no_place(caller, request)
            may += ["approve"] if not refusal else []
            may += ["deny"] if reviews else []
        return tuple(may), refusal

    def approve(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Agree. The last person needed makes it approved and starts the grant's clock; of a run that broke the glass, that
        person ends its review.

        Raises `NotAllowed`, `WrongState`, `UnknownRequest`.
        """
        with self._changing("approve", caller, request_id) as (unit, request, now):
            _check_reviewer(caller, request)
            due = request.status is Status.REVIEW_DUE
            move(request.status, Action.REVIEW if due else Action.APPROVE, request.id)
            refusal = _why_no_place(caller, request)
            if refusal:
                raise WrongState(refusal, status=request.status.value)
            unit.add_approval(request.id, Approval(by=caller, at=now, note=note))
            unit.append(request.id, "review" if due else "approval", now, caller, note)
            agreed = [*(approval.by for approval in request.approvals), caller]
            if due and not open_places(agreed, request.asked.clauses):
                return _finish(unit, request, Action.COMPLETE_REVIEW, "reviewed", now, None, "")
            if not due and not open_places(agreed, request.asked.clauses):
                move(request.status, Action.COMPLETE, request.id)
                deadline = now + timedelta(seconds=request.asked.expires_s)
                if not unit.start_grant(request.id, approved_at=now, deadline=deadline):
                    raise WrongState(f"request {request.id} changed meanwhile", status=request.status.value)
                unit.append(request.id, "approved", now, None)
            return _reread(unit, request.id)

    def deny(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Refuse, for good, with a note that says why. One reviewer is enough. What ran already gets their objection."""
        if not note.strip():
            raise BadRequest("a denial needs a note that says why", hint="add --note TEXT")
        with self._changing("deny", caller, request_id) as (unit, request, now):
            _check_reviewer(caller, request)
            if request.status is Status.REVIEW_DUE:
                return _finish(unit, request, Action.OBJECT, "objected", now, caller, note)
            return _finish(unit, request, Action.DENY, "denied", now, caller, note)

    def withdraw(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Take a pending request back: its requester, or the person behind an agent."""
        with self._changing("withdraw", caller, request_id) as (unit, request, now):
            if not owns(caller, request.requester):
                raise NotAllowed("only the one who asked can withdraw a request", hint="deny it instead")
            return _finish(unit, request, Action.WITHDRAW, "withdrawn", now, caller, note)

    def revoke(self, caller: Identity, request_id: str, note: str) -> StoredRequest:
        """Take an approval back: any of its reviewers, or its requester. Of a statement until it is redeemed, else until
        it expires."""
        with self._changing("revoke", caller, request_id) as (unit, request, now):
            if not owns(caller, request.requester):
                _check_reviewer(caller, request)
            return _finish(unit, request, Action.REVOKE, "revoked", now, caller, note)

    def redeem(self, caller: Identity, request_id: str, wanted: str, session: str = "") -> tuple[StoredRequest, str]:
        """Take one use of an approved request and return it with the signed grant.

        One for a session has a single use, by the `session` that is named first; it stays approved until it expires,
        so that it can be revoked.

        Raises `NotAllowed` for anybody but the requester, `BadRequest` for another binding,
        `WrongState` when there is nothing left to redeem.
        """
        with self._changing("redeem", caller, request_id) as (unit, request, now):
            if not is_requester(caller, request.requester):
                raise NotAllowed("only the one who asked can redeem an approval", hint="sign in as they did")
            if not secrets.compare_digest(wanted, request.asked.binding):
                raise BadRequest(
                    f"request {request.id} is for {OTHER[request.asked.kind]} target or policy",
                    hint="run exactly what was approved, or ask again",
                )
            for_session = request.asked.kind is RequestKind.SESSION
            if for_session and not session:
                raise BadRequest(f"request {request.id} is for a session, and none is named", hint="name it in session")
            signing.check(unit, self._signer)
            last = request.uses_left <= 1 and not for_session
            after = move(request.status, Action.REDEEM if last else Action.USE, request.id)
            if not unit.use(request.id, after=after, now=now):
                taken = "is already in use by a session" if for_session else "was already redeemed"
                raise WrongState(f"request {request.id} {taken}", status=request.status.value)
            unit.append(request.id, used(request), now, caller, f"session {session}" if for_session else "")
            return _reread(unit, request.id), self._signer.sign(request, now=now, session=session)

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

    def check(self) -> None:
        """Raise `Unreachable` when the store does not answer, `AuditUnavailable` when nothing can be recorded."""
        self._store.last_event()
        self._ledger.check()

    def note(self, access: Access) -> None:
        """Record that somebody came in or watches a recording, before they do. Raises `AuditUnavailable`."""
        self._ledger.note(access)

    @property
    def store(self) -> Store:
        """The store, for what is no decision about requests: the outbox of webhooks."""
        return self._store

    def now(self) -> datetime:
        """The time by the service's clock."""
        return self._clock()

    def live_counts(self) -> Mapping[str, int]:
        """How many requests wait or can be used. Raises `Unreachable`."""
        return self._store.live_counts()

    @contextmanager
    def _changing(
        self, action: str, caller: Identity, request_id: str
    ) -> Iterator[tuple[Unit, StoredRequest, datetime]]:
        """A write transaction on a request that the caller may see, as it stands at this moment. Refusals are recorded."""
        self.expire_due()
        with self.transactions.attempt(action, caller, request_id), self.transactions.begin() as unit:
            request = _visible(unit.get(request_id), caller, request_id)
            now = self._clock()
            if request.is_live and request.deadline <= now:
                request = replace(request, status=move(request.status, Action.EXPIRE, request.id))
            yield unit, request, now


def is_visible(person: Identity, request: StoredRequest) -> bool:
    """Whether the person asked, is behind the agent that did, may decide, or has decided."""
    return may_see(person, request.requester, request.asked.clauses, [approval.by for approval in request.approvals])


def _visible(request: StoredRequest | None, caller: Identity, request_id: str) -> StoredRequest:
    if request is None or not is_visible(caller, request):
        raise UnknownRequest(f"no such request: {request_id}", hint="see them with: dbgate requests")
    return request


def _check_reviewer(caller: Identity, request: StoredRequest) -> None:
    refusal = why_not(caller, request.requester, request.asked.clauses)
    if refusal:
        raise NotAllowed(refusal, hint=who_else(caller, request.asked.clauses))


def _why_no_place(caller: Identity, request: StoredRequest) -> str:
    """Why one more approval by this person would not count, or empty."""
    agreed = [approval.by for approval in request.approvals]
    if any(same_person(caller, person) for person in agreed):
        return "you have already approved this request"
    if any(cannot_be_told_apart(caller, person) for person in agreed):
        return "who approved signed in at another issuer, and not both of you with an e-mail: you may be one person"
    if places(open_places([*agreed, caller], request.asked.clauses)) < places(request.needs):
        return ""
    needed = ", ".join(f"{' or '.join(clause.groups)} ({clause.count})" for clause in request.needs)
    return f"enough people of your groups have approved; still needed: {needed}"


def _finish(
    unit: Unit, request: StoredRequest, action: Action, kind: str, now: datetime, caller: Identity | None, note: str
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
