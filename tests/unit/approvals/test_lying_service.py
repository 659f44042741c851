"""The client against a service that lies: an HTTP server on a loopback port that answers whatever a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, EVE, START, binding_of, request_of, unmask_request_of

from dbgate.approvals import ApprovalsClient
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.records import Approval, StoredRequest
from dbgate.approvals.refusals import GrantRefused
from dbgate.approvals.states import Status
from dbgate.errors import DbgateError, Unreachable
from dbgate.model import ApprovalRequest, Grant, RequestKind, ReviewClause, SessionLimits
from dbgate.settings import ApprovalsSettings

SIGNER = GrantSigner(Ed25519PrivateKey.generate())
ASKED = request_of(ALICE)


def stored(asked: ApprovalRequest = ASKED, **changes: Any) -> StoredRequest:
    made = StoredRequest(
        id="r1",
        asked=asked,
        requester=ALICE,
        status=Status.APPROVED,
        created_at=START,
        deadline=START + timedelta(hours=1),
        approved_at=START,
        approvals=(Approval(BOB, START),),
    )
    return replace(made, **changes)


@dataclass
class Liar:
    """What to answer, by the end of the path, and who asked for what with which token."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def client(self, state_dir: Path) -> ApprovalsClient:
        return ApprovalsClient(
            ApprovalsSettings(url=self.url), lambda: "alices-token", ALICE, state_dir, now=lambda: START
        )


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            name = self.path.partition("?")[0].rsplit("/", 1)[-1]
            answer = SIGNER.jwks() if name == "keys" else made.answers.get(name, {})
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200 if name == "keys" else made.status)
            for title, value in made.headers.items():
                self.send_header(title, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture
def client(liar: Liar, tmp_path: Path) -> Iterator[ApprovalsClient]:
    made = liar.client(tmp_path)
    yield made
    made.close()


def grant_for(request: StoredRequest, **view: Any) -> dict[str, Any]:
    return {"grant": SIGNER.sign(request, now=START), "request": stored().to_json() | view}


def test_an_honest_answer_is_taken(liar: Liar, client: ApprovalsClient) -> None:
    liar.answers = {"requests": stored().to_json(), "redeem": grant_for(stored())}
    assert client.ask(ASKED).id == "r1"
    assert client.redeem("r1", binding=ASKED.binding).request == "r1"


@pytest.mark.parametrize(
    "filed",
    [
        replace(ASKED, clauses=(ReviewClause(("everybody",), 1),)),
        replace(ASKED, clauses=()),
        replace(ASKED, binding="sha256:" + "0" * 64),
        replace(ASKED, kind=RequestKind.TRANSACTION),
    ],
)
def test_a_request_that_is_not_the_one_asked_for(liar: Liar, client: ApprovalsClient, filed: ApprovalRequest) -> None:
    liar.answers = {"requests": stored(filed).to_json()}
    with pytest.raises(GrantRefused, match="filed another request"):
        client.ask(ASKED)


@pytest.mark.parametrize(
    "approved",
    [
        replace(ASKED, clauses=(ReviewClause(("everybody",), 1),)),
        replace(ASKED, target="other"),
        replace(ASKED, policy_digest="sha256:" + "1" * 64),
        request_of(ALICE, statement="SELECT 1"),
        request_of(ALICE, parameters=("2",)),
        replace(ASKED, uses=2),
    ],
)
def test_a_grant_for_something_else_than_was_asked(
    liar: Liar, client: ApprovalsClient, approved: ApprovalRequest
) -> None:
    liar.answers = {"requests": stored().to_json(), "redeem": grant_for(stored(approved))}
    client.ask(ASKED)
    with pytest.raises(GrantRefused, match="the grant is for"):
        client.redeem("r1", binding=ASKED.binding)


FOR_SESSION = request_of(
    ALICE, kind=RequestKind.SESSION, limits=SessionLimits(statements=3, rows=100), session="s1", expires_s=3600
)
UNMASK = unmask_request_of(ALICE, expires_s=3600)
GLASS = request_of(ALICE, kind=RequestKind.BREAK_GLASS, break_glass=("engineering",))
TERMS: list[tuple[ApprovalRequest, dict[str, Any], str]] = [
    (FOR_SESSION, {"rules": ("bulk (payroll.yaml:31)", "drop (payroll.yaml:1)")}, "other rules"),
    (FOR_SESSION, {"limits": SessionLimits(rows=100)}, "other limits"),
    (FOR_SESSION, {"session": "s2"}, "another session"),
    (UNMASK, {"tags": ("pii.email", "pii.phone", "pii.ssn")}, "other tags"),
    *[
        (asked, changes, why)
        for asked in (FOR_SESSION, UNMASK, GLASS)
        for changes, why in (
            ({"policy_digest": "sha256:" + "1" * 64}, "another policy"),
            ({"clauses": (ReviewClause(("everybody",), 1),)}, "other reviewers"),
            ({"uses": 2}, "another number of runs"),
            ({"target": "other"}, "another target"),
        )
    ],
]


def given(liar: Liar, client: ApprovalsClient, asked: ApprovalRequest, answer: StoredRequest, session: str) -> Grant:
    """What the client makes of a grant for `answer`, where it asked for `asked`."""
    token = SIGNER.sign(answer, now=START, session=session)
    granted = {"grant": token, "request": stored().to_json()}
    liar.answers = {"redeem": granted, "break-glass": granted}
    return client.break_glass(asked) if asked.kind is RequestKind.BREAK_GLASS else client.open("r1", asked)


@pytest.mark.parametrize("asked", [FOR_SESSION, UNMASK, GLASS], ids=lambda asked: asked.kind.value)
def test_a_grant_of_another_kind_is_for_exactly_what_was_asked(
    liar: Liar, client: ApprovalsClient, asked: ApprovalRequest
) -> None:
    grant = given(liar, client, asked, stored(asked), asked.session)
    assert (grant.kind, grant.binding) == (asked.kind, asked.binding)
    with pytest.raises(GrantRefused, match="lives longer than the policy allows"):
        given(liar, client, asked, stored(asked, deadline=START + timedelta(hours=2)), asked.session)


@pytest.mark.parametrize(("asked", "changes", "why"), TERMS, ids=lambda value: str(value)[:40])
def test_a_grant_of_another_kind_for_other_terms(
    liar: Liar, client: ApprovalsClient, asked: ApprovalRequest, changes: dict[str, Any], why: str
) -> None:
    """The binding is the one that was asked for: only the terms beside it are bent."""
    bent = replace(asked, **changes)
    with pytest.raises(GrantRefused, match=why):
        given(liar, client, asked, stored(bent), bent.session)


def test_a_grant_of_another_request_or_identity(liar: Liar, client: ApprovalsClient) -> None:
    for wrong in (stored(id="r2"), stored(requester=EVE), stored(deadline=START)):
        liar.answers = {"redeem": grant_for(wrong)}
        with pytest.raises(GrantRefused, match="the grant"):
            client.redeem("r1", binding=ASKED.binding)


@pytest.mark.parametrize(
    "view",
    [
        {"target": "other"},
        {"statement": "SELECT 1"},
        {"parameters": []},
        {"policy_digest": "x"},
    ],
)
def test_after_a_restart_the_target_is_proven_by_the_binding(
    liar: Liar, client: ApprovalsClient, view: dict[str, Any]
) -> None:
    """Nothing was asked in this process, so target and policy come from the answer, and have to fit the binding."""
    lie = replace(ASKED, target=view.get("target", ASKED.target))
    liar.answers = {"redeem": grant_for(stored(lie), **view)}
    with pytest.raises(GrantRefused, match="another statement, parameters, target, policy or identity"):
        client.redeem("r1", binding=ASKED.binding)
    assert binding_of(ALICE, ASKED) == ASKED.binding


@pytest.mark.parametrize("answer", [{}, {"grant": 7, "request": {}}, {"grant": "x"}, {"request": {}}])
def test_no_grant_at_all(liar: Liar, client: ApprovalsClient, answer: dict[str, Any]) -> None:
    liar.answers = {"redeem": answer}
    with pytest.raises(GrantRefused, match="gave no grant"):
        client.redeem("r1", binding=ASKED.binding)


def test_a_redirect_takes_the_token_nowhere(liar: Liar, client: ApprovalsClient) -> None:
    liar.status, liar.headers = 307, {"Location": f"{liar.url}/elsewhere"}
    with pytest.raises(Unreachable, match="answered with 307"):
        client.state("r1")
    assert [path for _, path, _ in liar.asked] == ["/api/v1/requests/r1"]


def test_the_token_is_not_shown_where_none_is_needed(liar: Liar, client: ApprovalsClient) -> None:
    liar.answers = {"requests": stored().to_json()}
    client.ask(ASKED)
    assert liar.asked == [
        ("GET", "/api/v1/keys", ""),
        ("POST", "/api/v1/requests", "Bearer alices-token"),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>sign in to the hotel</html>",
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        {},
        {"id": "r1", "status": "x"},
    ],
)
def test_answers_that_are_no_request(liar: Liar, client: ApprovalsClient, answer: object) -> None:
    liar.answers = {"r1": answer}
    with pytest.raises(Unreachable):
        client.state("r1")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 503])
@pytest.mark.parametrize("problem", [{}, {"detail": 7, "hint": ["x"]}, {"detail": "\x1b[2J"}])
def test_every_status_is_an_error_of_dbgate(
    liar: Liar, client: ApprovalsClient, status: int, problem: dict[str, Any]
) -> None:
    liar.status, liar.answers = status, {"r1": problem, "approve": problem}
    with pytest.raises(DbgateError) as caught:
        client.decide("r1", "approve")
    assert caught.value.exit_code in {2, 3, 5, 7}
    assert len(liar.asked) == 1, "a decision is never sent twice"


def test_an_answer_without_end(liar: Liar, client: ApprovalsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbgate.approvals.calls.MAX_ANSWER_BYTES", 1000)
    liar.answers = {"r1": stored().to_json() | {"statement": "x" * 2000}}
    with pytest.raises(Unreachable, match="more than 1000 bytes"):
        client.state("r1")


def test_events_that_are_no_events(liar: Liar, client: ApprovalsClient) -> None:
    liar.answers = {"events": b"data: {nonsense\n\n"}
    with pytest.raises(Unreachable, match="not JSON"):
        list(client.events())
    liar.answers = {"events": b': hello\n\nid: 1\nevent: x\ndata: {"a":\ndata: 1}\n\ndata: []\n\ndata: {"cut'}
    assert list(client.events()) == [{"a": 1}]
