"""A syslog receiver to test with: TCP, TLS or UDP on the loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from types import TracebackType
from typing import Self


class Receiver:
    """Takes messages until it is left; `messages` are all that arrived.

    `breaks_after` bytes of a connection it resets it; with `never_ends` it does not close when its peer is done,
    with `talks` it goes on sending instead.
    """

    def __init__(
        self,
        kind: str,
        *,
        context: ssl.SSLContext | None = None,
        breaks_after: int = 0,
        never_ends: bool = False,
        talks: bool = False,
    ) -> None:
        self._kind = kind
        self._context = context
        self._breaks_after = breaks_after
        self._never_ends = never_ends
        self._talks = talks
        self._left = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        self._socket.bind(("127.0.0.1", 0))
        if kind != "udp":
            self._socket.listen()
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.streams: list[bytes] = []
        self.packets: list[bytes] = []

    @property
    def address(self) -> str:
        """`scheme://HOST:PORT`."""
        return f"{self._kind}://localhost:{self._socket.getsockname()[1]}"

    @property
    def messages(self) -> list[bytes]:
        """What arrived, one by one: frames are taken apart by their octet counts alone."""
        return self.packets if self._kind == "udp" else [one for stream in self.streams for one in frames(stream)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while not self._left.is_set():
            try:
                if self._kind == "udp":
                    self.packets.append(self._socket.recv(70000))
                    continue
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        try:
            taken = self._context.wrap_socket(connection, server_side=True) if self._context else connection
        except OSError:
            return
        content = b""
        while chunk := taken.recv(65536):
            content += chunk
            if self._breaks_after and len(content) > self._breaks_after:
                # No farewell: what is unread is thrown away with a reset.
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                taken.close()
                return
        self.streams.append(content)
        try:
            while self._talks and not self._left.wait(0.02):
                taken.sendall(b"still here\n")
        except OSError:
            return
        if self._never_ends:
            self._left.wait(20)
        elif isinstance(taken, ssl.SSLSocket):
            taken.close()


def frames(stream: bytes) -> list[bytes]:
    """The messages of an octet-counted stream (RFC 6587, 3.4.1)."""
    found = []
    while stream:
        count, _, rest = stream.partition(b" ")
        size = int(count)
        assert len(rest) >= size
        found.append(rest[:size])
        stream = rest[size:]
    return found
