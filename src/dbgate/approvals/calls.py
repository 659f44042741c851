"""HTTP calls to the approvals service, and what its answers mean as errors of dbgate."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dbgate.approvals.refusals import (
    BadRequest,
    Busy,
    NotAllowed,
    UnknownRequest,
    WrongState,
)
from dbgate.approvals.transport import (
    MAX_ANSWER_BYTES,
    check_url,
    open_session,
    read_bounded,
)
from dbgate.errors import AuditUnavailable, DbgateError, SignInRequired, Unreachable, UsageError
from dbgate.settings import ApprovalsSettings

if TYPE_CHECKING:
    import requests

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
STREAM_TIMEOUT_S = 40.0
RETRIES = 2
RETRY_PAUSE_S = 0.2

_AWAY_HINT = "is `dbgate serve` running there? statements that need no approval still work"


class Calls:
    """Sends requests with a bearer token. Takes nothing from the environment and follows no redirects."""

    def __init__(self, settings: ApprovalsSettings, token: Callable[[], str]) -> None:
        """Raises `UsageError` when the URL is neither https nor on this machine."""
        self.url = check_url(settings.url, "approvals.url")
        self._token = token
        self._session = open_session(settings.ca_file)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, Any] | None = None,
        is_public: bool = False,
    ) -> dict[str, Any]:
        """One call and its JSON answer. Refused and broken connections are tried again: every POST has an `Idempotency-Key`, so
        that the service does it once, whichever of its instances hears it.

        Raises the error that the service's problem document names, or `Unreachable`.
        """
        wait_s = float((query or {}).get("wait", 0))
        headers = {"Idempotency-Key": secrets.token_hex(16)} if method == "POST" else {}
        for left in reversed(range(1 + RETRIES)):
            try:
                answer = self._send(method, path, body, query, is_public, READ_TIMEOUT_S + wait_s, headers)
                with answer:
                    return self._read(answer)
            except ConnectionRefused:
                if not left:
                    raise
                time.sleep(RETRY_PAUSE_S)
        raise Unreachable(f"no answer from {self.url}")

    def stream(self, path: str, *, last_event: int | None) -> Iterator[Mapping[str, Any]]:
        """The events of a stream, until the connection ends. Raises like `call`."""
        import requests

        headers = {"Accept": "text/event-stream"}
        if last_event is not None:
            headers["Last-Event-ID"] = str(last_event)
        with self._send("GET", path, None, None, False, STREAM_TIMEOUT_S, headers) as answer:
            if answer.status_code != 200:
                self._read(answer)
            try:
                yield from _read_events(answer.iter_lines(chunk_size=1))
            except requests.RequestException as error:
                raise Unreachable(f"the connection to {self.url} broke", hint=_AWAY_HINT) from error

    def _send(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, Any] | None,
        is_public: bool,
        read_timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        import requests

        sent = dict(headers or {}) | ({} if is_public else {"Authorization": f"Bearer {self._token()}"})
        try:
            return self._session.request(
                method,
                f"{self.url}/api/v1{path}",
                json=body,
                params=query,
                headers=sent,
                timeout=(CONNECT_TIMEOUT_S, read_timeout_s),
                allow_redirects=False,
                stream=True,
            )
        except requests.exceptions.SSLError as error:
            raise Unreachable(
                f"the certificate of {self.url} does not hold: {_innermost(error)}",
                hint="name the authority's bundle in approvals.ca_file",
            ) from error
        except requests.ConnectionError as error:
            raise ConnectionRefused(f"cannot reach {self.url}: {_innermost(error)}", hint=_AWAY_HINT) from error
        except requests.RequestException as error:
            raise Unreachable(f"no answer from {self.url}: {_innermost(error)}", hint=_AWAY_HINT) from error
        except OSError as error:
            raise UsageError(f"cannot use approvals.ca_file: {error}", hint="name a PEM file that exists") from error

    def _read(self, answer: requests.Response) -> dict[str, Any]:
        import requests

        try:
            content = read_bounded(answer, MAX_ANSWER_BYTES)
        except requests.RequestException as error:
            raise ConnectionRefused(f"the connection to {self.url} broke", hint=_AWAY_HINT) from error
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise Unreachable(
                f"{self.url} answered with {answer.status_code} and no JSON object",
                hint="does approvals.url name the approvals service itself?",
            )
        if answer.status_code >= 300:
            raise to_error(answer.status_code, document, answer.headers.get("Retry-After", ""))
        return document


class ConnectionRefused(Unreachable):
    """Nobody listens there, or the connection broke before an answer."""


def to_error(status: int, problem: Mapping[str, Any], retry_after: str = "") -> DbgateError:
    """The error that a problem document (RFC 9457) stands for."""
    message = str(problem.get("detail") or problem.get("title") or f"the approvals service answered with {status}")
    hint = str(problem.get("hint", ""))
    match status:
        case 401:
            return SignInRequired(message, hint=hint or "sign in with: dbgate login")
        case 403:
            return NotAllowed(message, hint=hint)
        case 404:
            return UnknownRequest(message, hint=hint)
        case 409:
            return WrongState(message, status=str(problem.get("request_status", "")), hint=hint)
        case 429:
            seconds = int(retry_after) if retry_after.isdigit() else 1
            return Busy(message, retry_after_s=seconds, hint=hint)
        case 400 | 408 | 413 | 415 | 422:
            return BadRequest(message, hint=hint)
        case 503 if problem.get("type") == "urn:dbgate:problem:audit-unavailable":
            return AuditUnavailable(f"the approvals service decided nothing: {message}", hint=hint)
    return Unreachable(f"the approvals service answered with {status}: {message}", hint=hint)


def _read_events(lines: Iterator[bytes]) -> Iterator[Mapping[str, Any]]:
    """The JSON objects in the `data` lines of an event stream."""
    data: list[bytes] = []
    for line in lines:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            try:
                event = json.loads(b"\n".join(data))
            except (ValueError, RecursionError) as error:
                raise Unreachable("the approvals service sent an event that is not JSON") from error
            data = []
            if isinstance(event, dict):
                yield event


def _innermost(error: BaseException) -> str:
    """The innermost reason of a connection error, on one line."""
    while error.__context__ is not None:
        error = error.__context__
    return (str(error) or type(error).__name__).splitlines()[0]
