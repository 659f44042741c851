"""Where the browser comes back to: a server on this machine's loopback that waits for one answer (RFC 8252 §7.3)."""

from __future__ import annotations

import hmac
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from dbgate.errors import SignInRequired, UsageError

DONE = "You may close this window and go back to dbgate.\n"
FAILED = "The sign-in did not succeed. Go back to dbgate to see why.\n"
REFUSED = "This is not the answer that dbgate waits for.\n"
MAX_ANSWER_BYTES = 16 * 1024


class RedirectServer:
    """Listens on the loopback address of `redirect_uri`, on its port or a free one, until closed.

    `uri` is the redirect with its port filled in. An answer counts only when it carries the state that
    was sent; anything else is refused and waiting goes on.
    """

    def __init__(self, redirect_uri: str) -> None:
        parts = urlsplit(redirect_uri)
        host = "127.0.0.1" if parts.hostname == "localhost" else str(parts.hostname)
        try:
            self._server = (LoopbackServer6 if ":" in host else LoopbackServer)((host, parts.port or 0), AnswerHandler)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {redirect_uri}: {error.strerror}",
                hint="is another dbgate login running? or use: dbgate login --device",
            ) from None
        shown = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        self.uri = f"http://{shown}:{self._server.server_address[1]}{parts.path}"
        self._server.path = parts.path or "/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> RedirectServer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def listen(self, state: str) -> None:
        """Begin to accept the answer to the request that carries `state`."""
        self._server.state = state
        self._thread.start()

    def wait(self, timeout_s: float) -> dict[str, str]:
        """The parameters of the answer. Ctrl-C ends the wait; raises `SignInRequired` after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not self._server.arrived.wait(0.2):
            if time.monotonic() > deadline:
                raise SignInRequired(
                    "no answer came from the browser", hint="run dbgate login again, or: dbgate login --device"
                )
        return self._server.answer


class LoopbackServer(ThreadingHTTPServer):
    """The server and what it waits for. Threads, because browsers open connections that they never use."""

    daemon_threads = True
    state = ""
    path = "/"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.arrived = threading.Event()
        self.first = threading.Lock()
        self.answer: dict[str, str] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news."""


class LoopbackServer6(LoopbackServer):
    """The same on `::1`."""

    address_family = socket.AF_INET6


class AnswerHandler(BaseHTTPRequestHandler):
    """Takes the answer from the address or from a form. Shows nothing that came with it."""

    server: LoopbackServer
    timeout: ClassVar[float] = 10
    server_version = "dbgate"
    sys_version = ""

    def do_GET(self) -> None:
        """The answer as a query (`response_mode=query`)."""
        self.take(urlsplit(self.path).query)

    def do_POST(self) -> None:
        """The answer as a form (OAuth 2.0 Form Post Response Mode)."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_ANSWER_BYTES:
            self.reply(400, REFUSED)
            return
        self.take(self.rfile.read(int(length)).decode("utf-8", "replace"))

    def take(self, text: str) -> None:
        """Hand the answer on when it is ours: the right path, the state that was sent, and the first one."""
        values = parse_qs(text) if len(text) <= MAX_ANSWER_BYTES else {}
        answer = {name: found[0] for name, found in values.items() if len(found) == 1}
        ours = hmac.compare_digest(answer.get("state", "").encode(), self.server.state.encode())
        ours = ours and urlsplit(self.path).path == self.server.path
        if not ours or not self.server.first.acquire(blocking=False):
            self.reply(400, REFUSED)
            return
        try:
            self.reply(200, DONE if "code" in answer else FAILED)
        except OSError:
            self.server.first.release()  # the browser went away: it may come again
            raise
        self.server.answer = answer
        self.server.arrived.set()

    def reply(self, status: int, text: str) -> None:
        """Send a page of plain text that keeps the address to itself."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is logged: the address carries the code."""
