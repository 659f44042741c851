"""Changing the signing key: a new one that the old one vouches for, and the end of one that others may have.

Both are leaves of the installation's log (see `log.key_leaf`, `log.revocation_leaf`), so that their order among the seals
is proven: what a revoked key sealed before its revocation holds, and nothing that it sealed later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from dbgate.audit import spool
from dbgate.audit.keys import (
    PublicKey,
    ensure_key,
    keys_dir,
    load_key,
    make_key,
    own_keys,
    set_current,
    unusable,
)
from dbgate.audit.log import LEAF_KEY, LEAF_REVOKED, InstallationLog, key_leaf, revocation_leaf
from dbgate.audit.recovery import recover
from dbgate.errors import AuditUnavailable, UsageError


class KeyState(msgspec.Struct, frozen=True):
    """A key that this installation has or had. `state` is `current`, `retired` or `revoked`."""

    key: PublicKey
    state: str
    since: datetime | None = None
    vouched_by: str = ""
    revoked_at: datetime | None = None
    reason: str = ""


def key_states(state_dir: Path) -> list[KeyState]:
    """All keys of this installation, the current one last. `since` is None for the first."""
    current = ensure_key(state_dir) if (keys_dir(state_dir) / "current").exists() else ""
    made: dict[str, tuple[datetime, str]] = {}
    revoked: dict[str, tuple[datetime, str]] = {}
    for leaf in _leaves_of_keys(state_dir):
        if leaf["kind"] == LEAF_KEY:
            made[leaf["key"]] = (datetime.fromisoformat(leaf["time"]), leaf["by"])
        elif leaf["kind"] == LEAF_REVOKED:
            revoked[leaf["key"]] = (datetime.fromisoformat(leaf["time"]), leaf["reason"])
    found = []
    for key in own_keys(state_dir):
        since, by = made.get(key.id, (None, ""))
        until, reason = revoked.get(key.id, (None, ""))
        state = "revoked" if until else "current" if key.id == current else "retired"
        found.append(KeyState(key, state, since, by, until, reason))
    return sorted(found, key=lambda one: (one.key.id == current, one.since.timestamp() if one.since else 0))


def unrevoked_keys(state_dir: Path) -> list[PublicKey]:
    """The public keys of this installation that its own log does not call revoked."""
    revoked = {leaf["key"] for leaf in _leaves_of_keys(state_dir) if leaf["kind"] == LEAF_REVOKED}
    return [key for key in own_keys(state_dir) if key.id not in revoked]


def _leaves_of_keys(state_dir: Path) -> Iterator[dict[str, Any]]:
    """What this installation's log says of its keys. Few leaves do: no other one is unpacked."""
    for entry in InstallationLog(state_dir).entries():
        if b'"kind":"key.' in entry:
            yield json.loads(entry)


def rotate(state_dir: Path, key_store: str = "", *, is_lost: bool = False) -> PublicKey:
    """Make a new signing key, for which the old one vouches, and use it from now on. Returns its public half.

    With `is_lost` nothing vouches for it: for an old key that cannot be read any more. Sessions that are open are sealed
    with the new key. Raises `AuditUnavailable`, `UsageError`.
    """
    old = None
    if not is_lost:
        try:
            old = load_key(state_dir, key_store)
        except AuditUnavailable as error:
            raise AuditUnavailable(
                error.message, hint="if the key is gone for good: dbgate audit keys rotate --lost"
            ) from None
        recover(state_dir, key_store)
    log = InstallationLog(state_dir)
    try:
        spool.private_dir(keys_dir(state_dir))
        with spool.locked(keys_dir(state_dir) / "lock"):
            store, new = make_key(state_dir, key_store)
            log.append(key_leaf(log.origin, new.public, old), durable=True)
            set_current(state_dir, store, new.public.id)
    except OSError as error:
        raise unusable(f"{error.strerror}: {error.filename}") from None
    return new.public


def revoke(state_dir: Path, key_id: str, reason: str, key_store: str = "") -> PublicKey:
    """Revoke a key of this installation, by its id or the beginning of it; the current one is replaced first.

    Returns the key. What it sealed and the log knows already holds; whatever it seals from now on does not.
    Raises `UsageError`, `AuditUnavailable`.
    """
    known = [one for one in key_states(state_dir) if one.key.id.startswith(key_id.lower())] if key_id else []
    if len(known) != 1:
        what = "several keys begin" if known else "no key of this installation begins"
        raise UsageError(f"{what} with {key_id or '(nothing)'}", hint="list them with: dbgate audit keys list")
    (one,) = known
    if one.state == "revoked":
        raise UsageError(f"{one.key.id} is revoked already", hint="a revocation is for good")
    if one.state == "current":
        rotate(state_dir, key_store)
    InstallationLog(state_dir).append(revocation_leaf(one.key.id, reason), durable=True)
    return one.key
