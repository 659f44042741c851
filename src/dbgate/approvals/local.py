"""Tokens for one machine: what `provider: local` and the demo sign in with.

Whoever can read the key file can be anybody, so such an identity proves nothing: its assurance is
`local`, everywhere. The service takes these tokens only with `--local`, and only on a loopback address.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dbgate.approvals import keys
from dbgate.model import Assurance, Identity
from dbgate.tokens.checks import MAX_TOKEN_BYTES
from dbgate.tokens.claims import MAX_GROUPS
from dbgate.tokens.refusals import refuse
from dbgate.tokens.times import MAX_SKEW_S, moment, why_not_now

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TYPE = "dbgate-local+jwt"
ISSUER = "dbgate-local"
AUDIENCE = "dbgate-approvals"
LIFETIME_S = 300

_NOT_LOCAL = "this service runs with --local: set identity.provider to local, or let it run with --issuer"
_MALFORMED = "check identity.groups and identity.email in the configuration"
_OTHER_KEY = "dbgate and `dbgate serve --local` have to use the same state directory: set DBGATE_STATE_DIR alike"


def key_file(state_dir: Path) -> Path:
    """Where the key of local tokens is, under the state directory."""
    return state_dir / "approvals" / "local-tokens.key"


def mint_local_token(state_dir: Path, identity: Identity, *, now: datetime | None = None) -> str:
    """A token for `identity`, valid for five minutes, signed with this machine's own key.

    Raises `UsageError` when the key file cannot be used.
    """
    import jwt

    issued = now or datetime.now(UTC)
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": identity.key,
        "identity": identity.to_json(),
        "iat": int(issued.timestamp()),
        "exp": int((issued + timedelta(seconds=LIFETIME_S)).timestamp()),
    }
    return jwt.encode(claims, keys.load_or_create(key_file(state_dir)), algorithm="EdDSA", headers={"typ": TYPE})


class LocalVerifier:
    """Checks tokens that this machine minted. The identity's assurance is `local`, whatever the token says."""

    def __init__(self, key: Ed25519PrivateKey, *, clock: Callable[[], datetime]) -> None:
        self._key = key.public_key()
        self._clock = clock

    def verify(self, token: str) -> Identity:
        """The identity in a token. Raises `SignInRequired`."""
        import jwt

        if len(token) > MAX_TOKEN_BYTES:
            refuse(f"it is longer than {MAX_TOKEN_BYTES} bytes", hint=_MALFORMED)
        try:
            if jwt.get_unverified_header(token).get("typ") != TYPE:
                refuse("it is not a token of this machine", hint=_NOT_LOCAL)
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, UnicodeError) as error:
            refuse(f"{error}; is it of another state directory?", hint=_OTHER_KEY)
        reason = why_not_now(claims, self._clock(), exp_skew_s=MAX_SKEW_S)
        if reason:
            refuse(reason, hint="are the clocks of dbgate and of the service right?")
        return _identity(claims)


def _identity(claims: dict[str, Any]) -> Identity:
    from msgspec.structs import replace

    try:
        identity = msgspec.convert(claims.get("identity"), Identity)
    except msgspec.ValidationError as error:
        refuse(f"its identity is malformed: {error}", hint=_MALFORMED)
    if not identity.subject or identity.key != claims.get("sub") or len(identity.groups) > MAX_GROUPS:
        refuse("its identity contradicts itself", hint=_MALFORMED)
    return replace(
        identity, assurance=Assurance.LOCAL, signed_in_at=moment(claims, "iat"), expires_at=moment(claims, "exp")
    )
