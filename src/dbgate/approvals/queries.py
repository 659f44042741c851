"""The SQL that both back ends speak, once: a write transaction's statements, and rows as records.

Texts name parameters `:name`; `MEMBERS(:name)` are the rows of a JSON array of texts, in the column `value`. Each back
end turns both into its own dialect and runs them through `Statements`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Protocol

import msgspec

from dbgate.approvals.keeping import SqlKept
from dbgate.approvals.records import Approval, Event, StoredRequest
from dbgate.approvals.refusals import WrongState
from dbgate.approvals.reviewers import fold
from dbgate.approvals.states import LIVE, Status
from dbgate.approvals.store import Answer, Appended, Query
from dbgate.approvals.webhooks.outbox import Outbox
from dbgate.model import ApprovalRequest, Identity

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = Mapping[str, Any]

_LIVE = "r.status IN ('pending', 'approved')"


class Reading(Protocol):
    """What runs queries."""

    def rows(self, text: str, **values: str | int | None) -> Sequence[Row]:
        """Run a query and return its rows."""


class Statements(Reading, Protocol):
    """A connection inside a write transaction."""

    def change(self, text: str, **values: str | int | None) -> int:
        """Run a statement that changes rows, and tell how many."""

    def add(self, text: str, **values: str | int | None) -> None:
        """Run a statement whose outcome nobody asks for: at the latest before the next one, or the commit."""


class SqlUnit:
    """`store.Unit` on any back end: its transaction holds the store's only write lock."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._appended: list[Appended] = []
        self._known: dict[str, StoredRequest] = {}

    @property
    def appended(self) -> Sequence[Appended]:
        """What this transaction added to the history so far."""
        return self._appended

    def get(self, request_id: str) -> StoredRequest | None:
        """The request; the transaction's lock keeps other writers out, so it is read again only once it was changed here."""
        if request_id not in self._known:
            found = get(self._statements, request_id)
            if found is None:
                return None
            self._known[request_id] = found
        return self._known[request_id]

    def _change(self, text: str, **values: str | int | None) -> int:
        """Change rows of the request with that `id`."""
        self._known.pop(str(values["id"]), None)
        return self._statements.change(text, **values)

    def _add(self, text: str, **values: str | int | None) -> None:
        """Add rows to the request with that `id`."""
        self._known.pop(str(values["id"]), None)
        self._statements.add(text, **values)

    def live_of(self, requester: Identity) -> Sequence[StoredRequest]:
        """The pending and approved requests of an identity, newest first."""
        text = f"SELECT * FROM requests r WHERE r.person = :person AND {_LIVE}"
        return _requests(self._statements, text, "DESC", person=requester.key)

    def due(self, now: datetime) -> Sequence[StoredRequest]:
        """Live requests whose deadline has passed."""
        text = f"SELECT * FROM requests r WHERE {_LIVE} AND r.deadline <= :now"
        return _requests(self._statements, text, now=_ms(now))

    def insert(self, request: StoredRequest) -> None:
        """Add a request without approvals."""
        asked = request.asked
        self._add(
            "INSERT INTO requests (id, person, behind, target, binding, asked, requester, status, created_at, deadline,"
            " uses, uses_left) VALUES (:id, :person, :behind, :target, :binding, :asked, :requester, :status,"
            " :created_at, :deadline, :uses, :uses_left)",
            id=request.id,
            person=request.requester.key,
            behind=fold(request.requester.on_behalf_of),
            target=asked.target,
            binding=asked.binding,
            asked=_json(asked),
            requester=_json(request.requester),
            status=request.status.value,
            created_at=_ms(request.created_at),
            deadline=_ms(request.deadline),
            uses=request.uses,
            uses_left=request.uses_left,
        )
        groups = sorted({group for clause in asked.clauses for group in clause.groups})
        self._add(
            "INSERT INTO reviewer_groups (request, name) SELECT :id, value FROM MEMBERS(:groups)",
            id=request.id,
            groups=_json(groups),
        )

    def add_approval(self, request_id: str, approval: Approval) -> None:
        """Add one person's approval. Raises `WrongState` when that person already approved."""
        added = self._change(
            "INSERT INTO approvals (request, person, identity, at, note) VALUES (:id, :person, :identity, :at, :note)"
            " ON CONFLICT DO NOTHING",
            id=request_id,
            person=approval.by.key,
            identity=_json(approval.by),
            at=_ms(approval.at),
            note=approval.note,
        )
        if added != 1:
            raise WrongState("you have already approved this request", status=Status.PENDING.value)

    def set_status(self, request_id: str, before: Status, after: Status) -> bool:
        """Change the status if it still is `before`, and tell whether it was."""
        text = "UPDATE requests SET status = :after WHERE id = :id AND status = :before"
        return self._change(text, after=after.value, id=request_id, before=before.value) == 1

    def start_grant(self, request_id: str, *, approved_at: datetime, deadline: datetime) -> bool:
        """Make a pending request approved, with its new deadline, and tell whether it was pending."""
        text = (
            "UPDATE requests SET status = 'approved', approved_at = :approved_at, deadline = :deadline"
            " WHERE id = :id AND status = 'pending'"
        )
        values = {"approved_at": _ms(approved_at), "deadline": _ms(deadline)}
        return self._change(text, id=request_id, **values) == 1

    def use(self, request_id: str, *, after: Status, now: datetime) -> bool:
        """Take one use of an approved, unexpired request, in one statement, and tell whether there was one."""
        text = (
            "UPDATE requests SET uses_left = uses_left - 1, status = :after"
            " WHERE id = :id AND status = 'approved' AND uses_left > 0 AND deadline > :now"
        )
        return self._change(text, after=after.value, id=request_id, now=_ms(now)) == 1

    @property
    def outbox(self) -> Outbox:
        """What hooks still have to be told."""
        return Outbox(self._statements)

    @property
    def kept(self) -> SqlKept:
        """What is kept for a while."""
        return SqlKept(self._statements)

    def append(self, request_id: str, kind: str, at: datetime, by: Identity | None, note: str = "") -> None:
        """Add an event to the history; triggers refuse to change or delete one."""
        self._add(
            "INSERT INTO events (request, at, kind, identity, note) VALUES (:id, :at, :kind, :identity, :note)",
            id=request_id,
            at=_ms(at),
            kind=kind,
            identity=_json(by) if by else None,
            note=note,
        )
        self._appended.append(Appended(request_id, kind, at, by, note))

    def grant_key(self) -> str:
        """The id of the key that signs grants; empty before the first."""
        found = self._statements.rows("SELECT key_id FROM grant_keys ORDER BY number DESC LIMIT 1")
        return str(found[0]["key_id"]) if found else ""

    def set_grant_key(self, key_id: str, jwk: str, at: datetime) -> None:
        """Make another key the one that signs grants."""
        text = "INSERT INTO grant_keys (key_id, jwk, since) VALUES (:key_id, :jwk, :at)"
        self._statements.change(text, key_id=key_id, jwk=jwk, at=_ms(at))

    def answer(self, caller: Identity, name: str) -> Answer | None:
        """What the caller's call of that name was answered, or None."""
        text = "SELECT asked, status, body FROM answers WHERE person = :person AND name = :name"
        found = self._statements.rows(text, person=caller.key, name=name)
        return Answer(**found[0]) if found else None

    def keep_answer(self, caller: Identity, name: str, answer: Answer, at: datetime, *, forget: datetime) -> None:
        """Keep an answer, and forget those from before `forget`."""
        self._statements.add("DELETE FROM answers WHERE at < :forget", forget=_ms(forget))
        self._statements.add(
            "INSERT INTO answers (person, name, asked, status, body, at)"
            " VALUES (:person, :name, :asked, :status, :body, :at)",
            person=caller.key,
            name=name,
            asked=answer.asked,
            status=answer.status,
            body=answer.body,
            at=_ms(at),
        )


def get(statements: Reading, request_id: str) -> StoredRequest | None:
    """A request, or None."""
    found = _requests(statements, "SELECT * FROM requests r WHERE r.id = :id", id=request_id)
    return found[0] if found else None


def find(statements: Reading, query: Query) -> Sequence[StoredRequest]:
    """The requests that match, newest first."""
    mine = (
        "(r.person = :person OR (r.behind <> '' AND r.behind IN (:email, :subject)"
        " AND substr(r.person, 1, length(:origin)) = :origin))"
    )
    review = (
        "(r.id IN (SELECT request FROM reviewer_groups WHERE name IN (SELECT value FROM MEMBERS(:groups)))"
        " OR r.id IN (SELECT request FROM approvals WHERE person = :person))"
    )
    conditions = [{"mine": mine, "review": f"({review} AND NOT {mine})"}.get(query.role, f"({mine} OR {review})")]
    viewer = query.viewer
    values: dict[str, str | int | None] = {
        "person": viewer.key,
        "email": fold(viewer.email),
        "subject": fold(viewer.subject),
        "origin": f"{viewer.issuer}#",
        "groups": _json(viewer.groups),
        "limit": query.limit,
    }
    optional = (
        ("statuses", "r.status IN (SELECT value FROM MEMBERS(:statuses))", query.statuses and _json(query.statuses)),
        ("target", "r.target = :target", query.target),
        ("prefix", "substr(r.id, 1, length(:prefix)) = :prefix", query.id_prefix),
        ("before", "r.position < (SELECT position FROM requests WHERE id = :before)", query.before),
    )
    for name, condition, value in optional:
        if value:
            conditions.append(condition)
            values[name] = value
    text = f"SELECT * FROM requests r WHERE {' AND '.join(conditions)} ORDER BY r.position DESC LIMIT :limit"
    return _requests(statements, text, "DESC", **values)


def is_any_due(statements: Reading, now: datetime) -> bool:
    """Whether any live request is past its deadline."""
    text = f"SELECT 1 AS one FROM requests r WHERE {_LIVE} AND r.deadline <= :now LIMIT 1"
    return bool(statements.rows(text, now=_ms(now)))


def live_counts(statements: Reading) -> Mapping[str, int]:
    """How many requests there are in each status in which something can still happen."""
    text = f"SELECT r.status, count(*) AS found FROM requests r WHERE {_LIVE} GROUP BY r.status"
    counted = {row["status"]: int(row["found"]) for row in statements.rows(text)}
    return {status.value: counted.get(status.value, 0) for status in sorted(LIVE)}


def events(statements: Reading, *, after: int, request_id: str, limit: int) -> Sequence[Event]:
    """Events with a number above `after`, in order, of one request or (with an empty id) of all."""
    of_one = "AND request = :id " if request_id else ""
    text = f"SELECT * FROM events WHERE number > :after {of_one}ORDER BY number LIMIT :limit"
    values: dict[str, str | int | None] = {"id": request_id} if request_id else {}
    return [_event(row) for row in statements.rows(text, after=after, limit=limit, **values)]


def last_event(statements: Reading) -> int:
    """The number of the latest event, 0 when there is none."""
    return int(statements.rows("SELECT coalesce(max(number), 0) AS number FROM events")[0]["number"])


def _requests(statements: Reading, text: str, order: str = "", **values: str | int | None) -> list[StoredRequest]:
    """The requests that `text` selects, with their approvals and latest events: one statement, however many they are."""
    text = (
        f"SELECT r.*, a.identity AS a_identity, a.at AS a_at, a.note AS a_note,"
        " e.number AS e_number, e.at AS e_at, e.kind AS e_kind, e.identity AS e_identity, e.note AS e_note"
        f" FROM ({text}) r LEFT JOIN approvals a ON a.request = r.id"
        " LEFT JOIN events e ON e.number = (SELECT max(l.number) FROM events l WHERE l.request = r.id)"
        f" ORDER BY r.position {order}, a.rowid"
    )
    found: list[StoredRequest] = []
    for _, lines in groupby(statements.rows(text, **values), lambda row: row["position"]):
        first, *others = lines
        agreed = [
            Approval(by=_identity(row["a_identity"]), at=_moment(row["a_at"]), note=row["a_note"])
            for row in (first, *others)
            if row["a_identity"] is not None
        ]
        found.append(_request(first, agreed))
    return found


def _request(row: Row, approvals: Sequence[Approval]) -> StoredRequest:
    return StoredRequest(
        id=row["id"],
        asked=msgspec.json.decode(row["asked"], type=ApprovalRequest),
        requester=_identity(row["requester"]),
        status=Status(row["status"]),
        created_at=_moment(row["created_at"]),
        deadline=_moment(row["deadline"]),
        approved_at=_moment(row["approved_at"]) if row["approved_at"] is not None else None,
        uses=row["uses"],
        uses_left=row["uses_left"],
        approvals=tuple(approvals),
        last=_event({name: row[f"e_{name}"] for name in _OF_EVENT} | {"request": row["id"]})
        if row["e_number"]
        else None,
    )


_OF_EVENT = ("number", "at", "kind", "identity", "note")


def _event(row: Row) -> Event:
    by = _identity(row["identity"]) if row["identity"] else None
    return Event(row["number"], row["request"], _moment(row["at"]), row["kind"], by, row["note"])


def _identity(text: str) -> Identity:
    return msgspec.json.decode(text, type=Identity)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
