"""Where webhooks go, and how a receiver knows that they are ours."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from dbgate.approvals.transport import check_url
from dbgate.errors import UsageError

MIN_SECRET_CHARACTERS = 16


class Hook(msgspec.Struct, frozen=True):
    """An address that is told of events. Its path may be a secret of its own (Slack's are): only `label` is ever shown."""

    url: str
    secret: str

    @property
    def name(self) -> str:
        """What the outbox calls it: a digest of the whole URL."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The URL without its path: `https://hooks.example.com/…`."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}/…"

    def sign(self, body: bytes, at_s: int) -> str:
        """The value of `Dbgate-Signature`: `t=SECONDS,v1=HEX`.

        HEX is HMAC-SHA256 (RFC 2104) with the secret over `SECONDS`, a dot, and the body's bytes. Receivers compare in
        constant time, and refuse what is older than a few minutes.
        """
        mac = hmac.new(self.secret.encode(), b"%d." % at_s + body, hashlib.sha256)
        return f"t={at_s},v1={mac.hexdigest()}"


def read_hooks(urls: Sequence[str], secret: str) -> tuple[Hook, ...]:
    """The hooks in options. Raises `UsageError`: https only (http on this machine), and never without a secret."""
    for url in urls:
        parts = urlsplit(url)
        if parts.username or parts.fragment:
            raise UsageError("a webhook's URL holds a user or a fragment", hint="receivers check the signature instead")
        check_url(url, "a webhook")
    if urls and len(secret) < MIN_SECRET_CHARACTERS:
        raise UsageError(
            f"webhooks are signed with a secret of at least {MIN_SECRET_CHARACTERS} characters",
            hint="write one into a file, for example with: openssl rand -hex 32; name it with --webhook-secret-file",
        )
    return tuple(Hook(url, secret) for url in dict.fromkeys(urls))
