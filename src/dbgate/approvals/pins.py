"""The keys that grants are trusted to be signed with: pinned by the configuration, or remembered.

Without a pinned key the first one that a URL shows is remembered (trust on first use); another one later
is an error, never a silent change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.approvals import keys
from dbgate.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def pin_file(state_dir: Path, url: str) -> Path:
    """Where the keys of the service at `url` are remembered."""
    return state_dir / "approvals" / "known" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"


def trusted_keys(
    *, public_key: str, state_dir: Path, url: str, fetch: Callable[[], object]
) -> tuple[Ed25519PublicKey, ...]:
    """The keys to trust. `public_key` is the pinned key's file or empty, `fetch` gets the service's key set.

    Raises `UsageError` for a key file that cannot be read, `Unreachable` when the service shows no key.
    """
    if public_key:
        return keys.read_public_keys(Path(public_key))
    file = pin_file(state_dir, url)
    if not file.exists():
        document = fetch()
        try:
            shown = keys.from_jwks(document)
        except ValueError as error:
            raise Unreachable(f"{url} does not show the key it signs grants with: {error}") from error
        content = json.dumps({"url": url, "keys": [keys.to_jwk(key) for key in shown]}, indent=1)
        keys.create_once(file, content.encode())
    try:
        return keys.from_jwks(json.loads(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the remembered key of {url} cannot be read: {error}", hint=f"remove {file} to trust the service anew"
        ) from error
