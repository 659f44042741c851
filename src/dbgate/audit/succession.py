"""What a log says of its own keys: which one vouches for which, and from which leaf on one counts no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from dbgate.audit.keys import PublicKey
from dbgate.audit.log import LEAF_KEY, LEAF_REVOKED, vouching_for


class Succession(msgspec.Struct):
    """`trusted` are the given keys and those that they vouch for, at any remove; `revoked` is the leaf of each end, `named`
    are the keys that the log says it has used."""

    trusted: dict[str, PublicKey]
    vouched: dict[str, str] = {}
    revoked: dict[str, int] = {}
    named: set[str] = set()


def succession_of(origin: str, entries: Sequence[bytes], keys: Iterable[PublicKey]) -> Succession:
    """Read the leaves of keys of the log `origin`, given the trusted `keys`.

    Only a key that vouched for another one in this log, or that it began to use here, may be revoked here: nobody revokes
    the keys of somebody else's log. Raises `ValueError` for a leaf that is none, and a signature that does not fit.
    """
    found = Succession({key.id: key for key in keys})
    for number, entry in enumerate(entries):
        leaf = json.loads(entry)
        if leaf["kind"] == LEAF_KEY:
            _take(origin, leaf, number, found)
            found.named |= {str(leaf["key"]), str(leaf["by"])} - {""}
        elif leaf["kind"] == LEAF_REVOKED:
            if leaf["key"] not in found.named:
                raise ValueError(f"entry {number} revokes a key that this log never used")
            found.revoked.setdefault(str(leaf["key"]), number)
    return found


def _take(origin: str, leaf: Mapping[str, Any], number: int, found: Succession) -> None:
    raw = bytes.fromhex(leaf["public"])
    if len(raw) != 32 or hashlib.sha256(raw).hexdigest()[:32] != leaf["key"]:
        raise ValueError(f"entry {number} names a key that is not its own")
    by = found.trusted.get(str(leaf["by"]))
    if by is None:
        return
    if not by.verifies(bytes.fromhex(leaf["signature"]), vouching_for(origin, raw)):
        raise ValueError(f"entry {number}: the key {by.id} does not vouch for {leaf['key']}")
    if by.id not in found.revoked and leaf["key"] not in found.trusted:
        found.trusted[leaf["key"]] = PublicKey(raw)
        found.vouched[leaf["key"]] = by.id
