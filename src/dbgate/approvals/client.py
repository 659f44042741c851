"""The approvals service as the command line uses it. Fits `dbgate.session.ports.Approvals`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dbgate.approvals.refusals import GrantRefused
from dbgate.binding import binding as compute_binding
from dbgate.errors import Unreachable
from dbgate.model import ApprovalRequest, Grant, Identity, RequestKind, ReviewClause
from dbgate.settings import ApprovalsSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from dbgate.approvals.calls import Calls

POLL_S = 20.0
"""How long one long poll waits."""

_RETRY_S = 1.0


class RequestStatus(msgspec.Struct, frozen=True):
    """Where a request stands, as the service said. `view` is its whole answer."""

    id: str
    status: str
    summary: str
    version: int = 0
    view: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @property
    def binding(self) -> str:
        """What the request is bound to."""
        return str(self.view.get("binding", ""))

    @property
    def policy_digest(self) -> str:
        """The policy under which it was asked."""
        return str(self.view.get("policy_digest", ""))

    @property
    def reason(self) -> str:
        """Why it was asked for, as reviewers read it."""
        return str(self.view.get("reason", ""))

    @property
    def kind(self) -> str:
        """What was asked, as `RequestKind` names it."""
        return str(self.view.get("kind", RequestKind.STATEMENT))


_NOBODY_ALERTED = """nothing was run: reviewers have to be alerted before it runs, and the service that alerts them is away
start it, or another instance on the same database (dbgate serve), and run the statement again
if it cannot wait: use the emergency account that your database's owners keep outside of dbgate, and tell the reviewers"""


class ApprovalsClient:
    """One identity's view of one approvals service. Connects when first used."""

    def __init__(
        self,
        settings: ApprovalsSettings,
        token: Callable[[], str],
        identity: Identity,
        state_dir: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`token` gives a bearer token for `identity`; it is called for every request to the service."""
        self._settings = settings
        self._token = token
        self._identity = identity
        self._state_dir = state_dir
        self._now = now
        self._calls: Calls | None = None
        self._asked: dict[str, ApprovalRequest] = {}
        self._versions: dict[str, int] = {}

    def ask(self, request: ApprovalRequest) -> RequestStatus:
        """File a request, or return the live one with the same binding.

        Raises `GrantRefused` when the service filed something else than was asked.
        """
        import msgspec

        self._trusted()
        view = self._call("POST", "/requests", body=msgspec.to_builtins(request))
        filed = (view.get("binding"), view.get("kind", RequestKind.STATEMENT), _clauses(view))
        if filed != (request.binding, request.kind, request.clauses):
            raise GrantRefused("the approvals service filed another request than the one asked for")
        state = self._state(view)
        self._asked[state.id] = request
        return state

    def state(self, request_id: str) -> RequestStatus:
        """Where a request stands now."""
        return self._state(self._call("GET", f"/requests/{_segment(request_id)}"))

    def watch(self, request_id: str, *, timeout_s: float) -> RequestStatus:
        """Wait for a change since this client last saw the request, at most `timeout_s` seconds.

        Goes on while the service restarts; raises `Unreachable` only when it is away at the end.
        """
        if request_id not in self._versions:
            return self.state(request_id)
        seen, until = self._versions[request_id], time.monotonic() + timeout_s
        while True:
            left = max(until - time.monotonic(), 0.0)
            query = {"after": seen, "wait": round(min(left, POLL_S), 3)}
            try:
                state = self._state(self._call("GET", f"/requests/{_segment(request_id)}", query=query))
                if state.version > seen or left <= POLL_S:
                    return state
            except Unreachable:
                if left <= _RETRY_S:
                    raise
                time.sleep(_RETRY_S)

    def redeem(self, request_id: str, *, binding: str) -> Grant:
        """Redeem the approval, atomically, and return the grant after verifying signature and binding.

        Raises `UsageError` when there is nothing to redeem, `GrantRefused` when the grant does not hold.
        """
        from dbgate.approvals.grants import Expected, verify

        trusted = self._trusted()
        view, token = self._redeemed(request_id, binding)
        asked = self._asked.get(request_id)
        expected = Expected(
            identity=self._identity.key,
            target=asked.target if asked else self._proven_target(view, binding),
            binding=binding,
            request=request_id,
            policy_digest=asked.policy_digest if asked else str(view.get("policy_digest")),
            clauses=asked.clauses if asked else None,
            uses=asked.uses if asked else None,
        )
        return verify(token, trusted, expected, now=self._now())

    def open(self, request_id: str, request: ApprovalRequest) -> Grant:
        """Redeem an approval of another kind than one for a statement, for this session, and return the grant after
        verifying all that it is bound to.

        Raises `UsageError` when there is nothing to redeem, `GrantRefused` when the grant does not hold.
        """
        trusted = self._trusted()
        session = request.session if request.kind is RequestKind.SESSION else ""
        _, token = self._redeemed(request_id, request.binding, session)
        return self._verified(token, trusted, request_id, request)

    def break_glass(self, request: ApprovalRequest) -> Grant:
        """Put a run that nobody agreed to on record with its reviewers, and return the verified grant for it.

        Raises `NotAllowed` and `BadRequest` when the service refuses, `GrantRefused` when the grant does not hold, and
        `Unreachable` when nobody can be alerted: then nothing runs.
        """
        import msgspec

        try:
            trusted = self._trusted()
            answer = self._call("POST", "/break-glass", body=msgspec.to_builtins(request))
        except Unreachable as error:
            raise Unreachable(f"the glass was not broken: {error.message}", hint=_NOBODY_ALERTED) from error
        view, token = _granted(answer)
        return self._verified(token, trusted, str(view.get("id", "")), request)

    def _verified(
        self, token: str, trusted: Sequence[Ed25519PublicKey], request_id: str, request: ApprovalRequest
    ) -> Grant:
        """The grant for `request`, after verifying all that its kind binds it to."""
        from dbgate.approvals.grants import Expected, verify

        for_session = request.kind is RequestKind.SESSION
        expected = Expected(
            identity=self._identity.key,
            target=request.target,
            binding=request.binding,
            request=request_id,
            policy_digest=request.policy_digest,
            clauses=request.clauses,
            kind=request.kind,
            tags=request.tags,
            max_s=request.expires_s,
            uses=request.uses,
            rules=request.rules if for_session else (),
            limits=request.limits,
            session=request.session if for_session else "",
        )
        return verify(token, trusted, expected, now=self._now())

    def _redeemed(self, request_id: str, binding: str, session: str = "") -> tuple[Mapping[str, Any], str]:
        """What redeeming gave: the request, and the grant as it is signed."""
        body = {"binding": binding} | ({"session": session} if session else {})
        return _granted(self._call("POST", f"/requests/{_segment(request_id)}/redeem", body=body))

    def withdraw(self, request_id: str) -> RequestStatus:
        """Take the request back. Raises `WrongState` when it is no longer pending."""
        return self.decide(request_id, "withdraw")

    def decide(self, request_id: str, action: str, note: str = "") -> RequestStatus:
        """`approve`, `deny`, `withdraw` or `revoke` a request. Raises `NotAllowed`, `WrongState`."""
        return self._state(self._call("POST", f"/requests/{_segment(request_id)}/{action}", body={"note": note}))

    def find(self, *, limit: int = 50, **filters: str) -> Sequence[RequestStatus]:
        """Requests that concern this identity, newest first. Filters: role, status, target, prefix, before."""
        query: dict[str, Any] = {"limit": limit} | {name: value for name, value in filters.items() if value}
        answer = self._call("GET", "/requests", query=query)
        return [self._state(view) for view in answer.get("requests", [])]

    def webhooks(self) -> Sequence[Mapping[str, Any]]:
        """Webhooks that nobody took, of requests that this identity may see."""
        found = self._call("GET", "/webhooks").get("webhooks", [])
        return [one for one in found if isinstance(one, dict)]

    def webhook_again(self, number: int) -> None:
        """Let the service try once more what it gave up. Raises `UnknownRequest`."""
        self._call("POST", f"/webhooks/{int(number)}/again", body={})

    def console(self, request_id: str = "") -> str:
        """The address of the web console, or of a request's page in it. Raises `UsageError` when there is none."""
        return str(self._call("POST", "/console", body={"request": request_id}).get("url", ""))

    def history(self, request_id: str) -> Sequence[Mapping[str, Any]]:
        """Everything that happened to a request, oldest first."""
        found: list[Mapping[str, Any]] = []
        after: object = 0
        while after is not None:
            page = self._call("GET", f"/requests/{_segment(request_id)}/events", query={"after": after})
            found += [event for event in page.get("events", []) if isinstance(event, Mapping)]
            after = page.get("next") if page.get("next") != after else None
        return found

    def events(self, after: int | None = None) -> Iterator[Mapping[str, Any]]:
        """What happens to the requests that this identity may see, as it happens, until the connection ends.

        `after` is the number of the last event seen, to go on from there.
        """
        return self._connect().stream("/events", last_event=after)

    def close(self) -> None:
        """Close the connection to the service."""
        if self._calls is not None:
            self._calls.close()
            self._calls = None

    def _connect(self) -> Calls:
        if self._calls is None:
            from dbgate.approvals.calls import Calls

            self._calls = Calls(self._settings, self._token)
        return self._calls

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return self._connect().call(method, path, **options)

    def _state(self, view: Mapping[str, Any]) -> RequestStatus:
        from dbgate.approvals.summary import summary

        try:
            state = RequestStatus(
                id=str(view["id"]),
                status=str(view["status"]),
                summary=summary(view, self._now()),
                version=int(view["version"]),
                view=view,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Unreachable(
                f"the approvals service answered with something else than a request: {error!r}",
                hint="is it of another version?",
            ) from error
        self._versions[state.id] = state.version
        return state

    def _trusted(self) -> tuple[Ed25519PublicKey, ...]:
        from dbgate.approvals.pins import trusted_keys

        return trusted_keys(
            public_key=self._settings.public_key,
            state_dir=self._state_dir,
            url=self._connect().url,
            fetch=lambda: self._call("GET", "/keys", is_public=True),
        )

    def _proven_target(self, view: Mapping[str, Any], binding: str) -> str:
        """The target in `view`, proven by computing the binding anew from it. Raises `GrantRefused`."""
        proven = compute_binding(
            identity=self._identity.key,
            target=str(view.get("target")),
            statement=str(view.get("statement")),
            parameters=list(view.get("parameters", [])),
            policy_digest=str(view.get("policy_digest")),
        )
        if proven != binding:
            raise GrantRefused("the approval is for another statement, parameters, target, policy or identity")
        return str(view.get("target"))


def _granted(answer: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    view, token = answer.get("request"), answer.get("grant")
    if not isinstance(view, Mapping) or not isinstance(token, str):
        raise GrantRefused("the approvals service gave no grant")
    return view, token


def _segment(request_id: str) -> str:
    """A request id as one segment of a path: anything odd is escaped."""
    from urllib.parse import quote

    return quote(request_id, safe="") or "-"


def _clauses(view: Mapping[str, Any]) -> tuple[ReviewClause, ...]:
    """The clauses in a view. Malformed ones equal none."""
    import msgspec

    try:
        return msgspec.convert(view.get("clauses"), tuple[ReviewClause, ...])
    except msgspec.ValidationError:
        return ()
