"""One grant key for all instances on one store: the store remembers which, and every instance has to hold it.

Clients trust the key that they were told of or saw first. If instances signed with keys of their own, grants would
hold or not by chance.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from dbgate.approvals import keys
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.store import Store, Unit
from dbgate.errors import Unreachable, UsageError


def agree(store: Store, signer: GrantSigner, now: datetime, *, is_new: bool = False) -> None:
    """Sign with the key that the store knows, or make `signer`'s the first one, or with `is_new` the next one.

    Raises `UsageError` when the store knows another.
    """
    jwk = keys.to_jwk(signer.key.public_key())
    with store.begin() as unit:
        known = unit.grant_key()
        if known == signer.key_id:
            return
        if known and not is_new:
            raise UsageError(
                f"grants of this database are signed with the key {known}, and this is {signer.key_id}",
                hint="give the same file to all instances with --grant-key, or change the key with --new-grant-key",
            )
        unit.set_grant_key(signer.key_id, msgspec.json.encode(jwk).decode(), now)


def check(unit: Unit, signer: GrantSigner) -> None:
    """Raise `Unreachable` when another instance has changed the key since: clients would refuse what this one signs."""
    if unit.grant_key() not in ("", signer.key_id):
        raise Unreachable(
            "this instance signs with a grant key that was replaced",
            hint="start it again with the new one: --grant-key FILE",
        )
