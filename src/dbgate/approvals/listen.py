"""Running the service: a listening socket, uvicorn, and a stop that lets open answers end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import msgspec
import uvicorn

from dbgate.approvals.transport import is_loopback
from dbgate.errors import UsageError

if TYPE_CHECKING:
    from starlette.applications import Starlette

GRACE_S = 5
"""How long open answers may take once a stop was asked for, in seconds."""


class Tls(msgspec.Struct, frozen=True):
    """PEM files of the certificate chain and its private key."""

    certificate: str
    private_key: str


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens nowhere yet; port 0 picks a free one. Raises `UsageError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            hint="name another with --port, or --port 0",
        ) from error
    return found


def stays_here(found: socket.socket) -> bool:
    """Whether a bound socket can be reached from this machine only."""
    return is_loopback(str(found.getsockname()[0]))


def url_of(found: socket.socket, tls: Tls | None) -> str:
    """The URL of a bound socket, with its real port."""
    host, port = found.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def make_server(app: Starlette, *, tls: Tls | None, on_ready: Callable[[], None]) -> Server:
    """A server for `app`; `.run(sockets=[…])` serves until SIGTERM, SIGINT or `.stop()`.

    `on_ready` is called once connections are accepted. Raises `UsageError` when the certificate cannot be used.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=1000,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.private_key if tls else None,
    )
    try:
        config.load()
    except OSError as error:
        raise UsageError(
            f"cannot use the certificate: {error}", hint="--certificate and --private-key name PEM files"
        ) from error
    return Server(config, app, on_ready)


class Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready, ends streams before it stops, and then just returns."""

    def __init__(self, config: uvicorn.Config, app: Starlette, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT. Unlike uvicorn's own, does not raise the signal again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal; a second Ctrl-C does not wait for open answers."""
        super().handle_exit(sig, frame)
        self.stop()

    def stop(self) -> None:
        """Stop soon: end open streams, so that the stop need not wait for them. Safe from any thread."""
        self._app.state.feed.stopping = True
        self.should_exit = True
