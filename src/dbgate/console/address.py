"""Where browsers find the console, and which addresses on it may be gone back to."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from dbgate.approvals.transport import check_url, is_loopback
from dbgate.errors import UsageError

_PATH = re.compile(r"/(?![/\\])[!-~]*\Z")


class Address(msgspec.Struct, frozen=True):
    """The console's address as browsers see it: `https://approvals.example.com`, without a path."""

    origin: str

    @property
    def host(self) -> str:
        """What browsers send as `Host`."""
        return urlsplit(self.origin).netloc

    @property
    def is_secure(self) -> bool:
        """Whether it is https."""
        return self.origin.startswith("https://")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(urlsplit(self.origin).hostname or "")

    @property
    def cookie(self) -> str:
        """The name of the sign-in's cookie. `__Host-` (RFC 6265bis, 4.1.3.2) needs https; browsers do not tell ports apart."""
        return "__Host-dbgate" if self.is_secure else f"dbgate-{urlsplit(self.origin).port or 80}"


def parse_address(url: str) -> Address:
    """The address in an option. Raises `UsageError` unless it is https, or http on this machine, without a path."""
    parts = urlsplit(check_url(url, "the console's address"))
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"the console's address has more than a host and a port: {url}", hint="https://HOST[:PORT]")
    return Address(f"{parts.scheme}://{parts.netloc.lower()}")


def way_back(path: str) -> str:
    """`path` if it is a place on the console to go on to after a sign-in, else the inbox. Never another host."""
    return path if _PATH.match(path) and not path.startswith("/sign-") else "/"
