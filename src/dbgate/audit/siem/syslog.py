"""Syslog messages (RFC 5424) over TLS (RFC 5425), TCP with octet counting (RFC 6587), or UDP (RFC 5426).

Syslog has no acknowledgement. Over TLS and TCP a batch counts as arrived once the other side, told that nothing more
follows, closed the connection in its turn: it has read everything then. Over UDP nobody knows.
"""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from dbgate.audit.record import REFUSED
from dbgate.audit.siem.events import Event, words
from dbgate.errors import Unreachable, UsageError

FACILITY = 13
"""Log audit (RFC 5424, table 1)."""
PORTS = {"tls": 6514, "tcp": 601, "udp": 514}
LIMITS = {"tls": 8192, "tcp": 8192, "udp": 2048}
"""Bytes of a message that receivers should take (RFC 5425, 4.3.1; RFC 5426, 3.2)."""
UDP_MOST = 65507
TIMEOUT_S = 15.0
_FORM = "write HOST:PORT, tls://HOST:PORT, tcp://HOST:PORT or udp://HOST:PORT"


def message(event: Event, text: str) -> bytes:
    """A message with `text`, which has no line ends and no control characters."""
    head = f"<{FACILITY * 8 + _severity(event)}>1 {_time(event.time)} {_name(words(event.start.get('host')), 255)}"
    return f"{head} dbgate - {_name(event.kind, 32)} - {text}".encode("utf-8", "backslashreplace")


def overhead(event: Event) -> int:
    """The bytes of a message besides its text."""
    return len(message(event, ""))


def _severity(event: Event) -> int:
    """Warning for what was refused or failed, else informational (RFC 5424, table 2)."""
    refused = event.record.get("decision") in ("deny", "error") or event.kind == REFUSED
    return 4 if refused or event.outcome.get("status") in ("error", "rolled back", "unknown") else 6


def _time(text: str) -> str:
    return text if len(text) <= 32 and text.isascii() and text.isprintable() and " " not in text and text else "-"


def _name(text: str, length: int) -> str:
    """A field of the head: printable ASCII without spaces."""
    return "".join(char for char in text[:length] if "!" <= char <= "~") or "-"


class Syslog:
    """A receiver, as a sink."""

    def __init__(
        self, address: str, *, limit: int = 0, authority: Path | None = None, client: tuple[Path, Path] | None = None
    ) -> None:
        """`address` is [tls|tcp|udp]://HOST:PORT, TLS when it names none. `authority` is a PEM file that vouches for the
        receiver instead of the system's; `client` a certificate and its key. Raises `UsageError`.
        """
        text = address if "://" in address else f"tls://{address}"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise UsageError(f"not a syslog receiver: {address}", hint=_FORM) from None
        self._scheme = parts.scheme
        rest = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
        if parts.scheme not in PORTS or not parts.hostname or rest or parts.netloc.endswith(":"):
            raise UsageError(f"not a syslog receiver: {address}", hint=_FORM)
        if self._scheme != "tls" and (authority or client):
            raise UsageError("certificates are for TLS only", hint=f"write tls://{parts.netloc}")
        self._host, self._port = parts.hostname, port or PORTS[self._scheme]
        self.limit = limit or LIMITS[self._scheme]
        if self._scheme == "udp" and self.limit > UDP_MOST:
            raise UsageError(f"a UDP message has {UDP_MOST} bytes at most", hint="use tcp:// or tls://")
        self._context = _context(authority, client) if self._scheme == "tls" else None
        self._socket: socket.socket | None = None

    @property
    def is_sure(self) -> bool:
        """Whether it can be known that messages arrived."""
        return self._scheme != "udp"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def send(self, event: Event, line: str) -> None:
        """Send one message. Raises `Unreachable`."""
        content = message(event, line)
        try:
            if self._socket is None:
                self._socket = self._connected()
            self._socket.sendall(content if self._scheme == "udp" else b"%d %b" % (len(content), content))
        except OSError as error:
            raise self._failure(error) from None

    def settle(self) -> None:
        """End the connection in good order. Raises `Unreachable` when the receiver did not read to the end."""
        connection, self._socket = self._socket, None
        if connection is None:
            return
        try:
            if self._scheme != "udp":
                _end(connection)
        except OSError as error:
            raise self._failure(error) from None
        finally:
            connection.close()

    def _connected(self) -> socket.socket:
        if self._scheme == "udp":
            family, kind, protocol, _, place = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, kind, protocol)
            made.connect(place)
            return made
        made = socket.create_connection((self._host, self._port), timeout=TIMEOUT_S)
        if self._context is None:
            return made
        try:
            return self._context.wrap_socket(made, server_hostname=self._host)
        except BaseException:
            made.close()
            raise

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _failure(self, error: OSError) -> Unreachable:
        self._drop()
        where = f"{self._scheme}://{self._host}:{self._port}"
        said = "it did not close the connection in time" if isinstance(error, TimeoutError) else _said(error)
        return Unreachable(
            f"the syslog receiver {where} cannot be reached: {said}",
            hint="with --cursor, what did not surely arrive is sent again next time",
        )


def _context(authority: Path | None, client: tuple[Path, Path] | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if client is not None:
            context.load_cert_chain(*client)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot read the certificates for syslog: {_said(error)}") from None
    return context


def _end(connection: socket.socket) -> None:
    """Say that nothing follows, and wait until the other side has read it and closes."""
    plain: socket.socket = connection
    if isinstance(connection, ssl.SSLSocket):
        try:
            plain = connection.unwrap()
        except ssl.SSLError as error:
            # Many receivers close without TLS's own farewell; a reset, or silence, is another matter.
            if not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
                raise
            return
    plain.shutdown(socket.SHUT_WR)
    until = time.monotonic() + TIMEOUT_S
    while plain.recv(4096):
        if time.monotonic() > until:
            raise TimeoutError


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.strerror or str(error)
