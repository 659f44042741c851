"""The seal: an Ed25519 signature over a session's last record.

A sealed line ends in `"seal":{"key":"KEYID","signature":"HEX"}}`. What is signed is `DOMAIN` followed
by the line's bytes up to the comma before `"signature"`: the whole record but the signature itself,
and through `prev` every record before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dbgate.audit.keys import PublicKey, SigningKey
from dbgate.audit.record import END, encode
from dbgate.model import Json

DOMAIN = b"dbgate session seal v1\n"
OWN_FIELDS = ("records", "head", "seal")
"""Fields of `session.end` that the seal sets, whatever the totals say. The seal stands last."""
_SEALED = re.compile(rb'(.*"seal":\{"key":"([0-9a-f]{32})"),"signature":"([0-9a-f]{128})"\}\}')


def sealed_end(session: str, seq: int, prev: str, totals: Mapping[str, Json], key: SigningKey) -> bytes:
    """The line of a signed `session.end`. Raises `ValueError`, `TypeError` as `encode` does."""
    fields = {name: value for name, value in totals.items() if name not in OWN_FIELDS}
    fields |= {"records": seq + 1, "head": prev, "seal": {"key": key.public.id}}
    signed = encode(session, seq, prev, END, fields).removesuffix(b"}}")
    signature = key.sign(DOMAIN + signed).hex()
    return signed + b',"signature":"' + signature.encode("ascii") + b'"}}'


def broken_seal(line: bytes, keys: Mapping[str, PublicKey]) -> str:
    """Why the seal of a `session.end` does not hold, or the empty text when it does.

    `keys` are the trusted keys by id.
    """
    match = _SEALED.fullmatch(line)
    if match is None:
        return "carries no seal"
    key = keys.get(match[2].decode("ascii"))
    if key is None:
        return f"is sealed with key {match[2].decode('ascii')}, which is not among the trusted keys"
    if not key.verifies(bytes.fromhex(match[3].decode("ascii")), DOMAIN + match[1]):
        return "carries a forged seal: the signature does not fit the record"
    return ""


def sealing_key(line: bytes) -> str:
    """The id of the key that a sealed line names, or the empty text. Nothing is checked."""
    match = _SEALED.fullmatch(line)
    return match[2].decode("ascii") if match else ""
