"""HTTP as dbgate speaks it: its own certificate bundle, no environment, no redirects, bounded answers."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dbgate.errors import Unreachable, UsageError

if TYPE_CHECKING:
    import requests

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The largest answer that is read."""

_CHUNK_BYTES = 64 * 1024


def open_session(ca_file: str = "") -> requests.Session:
    """A session that takes neither proxies, nor `.netrc`, nor certificate bundles from the environment.

    `ca_file` is a PEM bundle, or empty for the public authorities.
    """
    import requests

    session = requests.Session()
    session.trust_env = False
    session.verify = ca_file or True
    session.headers["User-Agent"] = "dbgate"
    return session


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_url(url: str, what: str) -> str:
    """`url` without a final slash. Raises `UsageError` unless it is https, or http on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url.rstrip("/")
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return url.rstrip("/")
    raise UsageError(f"{what} must be an https URL, not {url!r}", hint="http is for 127.0.0.1 and localhost only")


def read_bounded(response: requests.Response, limit_bytes: int = MAX_ANSWER_BYTES) -> bytes:
    """The body of a streamed answer. Raises `Unreachable` when it is longer than `limit_bytes`."""
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > limit_bytes:
            raise Unreachable(f"{response.url} answered with more than {limit_bytes} bytes")
    return bytes(content)
