"""The one key of an issuer's set that may have signed a token (RFC 7517, RFC 8725 §3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dbgate.tokens.refusals import SIGN_IN, UnknownKey, refuse

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS: dict[str, tuple[str, str]] = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Allowed signature algorithms, and the key type and curve that each one needs. No `none`, no shared secrets."""

MIN_RSA_BITS = 2048

PUBLIC = frozenset({"kty", "n", "e", "crv", "x", "y"})
"""The members of a key that are used: a private or shared part that an issuer published by mistake is not."""


def select_key(header: Mapping[str, Any], keys: Mapping[str, Any]) -> PyJWK:
    """The one key of the set `keys` that the token's `header` names and its algorithm fits.

    Without `kid` in the header it is the only one that fits. Raises `UnknownKey`, `TokenRefused`.
    """
    from jwt import PyJWK

    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        refuse(f"its algorithm {algorithm!r} is not allowed", hint=f"allowed: {', '.join(ALGORITHMS)}")
    fitting = [key for key in listed(keys) if fits(key, algorithm) and kid in (None, key.get("kid"))]
    if not fitting:
        raise UnknownKey(f"the token was refused: the issuer has no {algorithm} key {kid!r}", hint=SIGN_IN)
    if len(fitting) > 1:
        refuse(f"several of the issuer's keys fit {algorithm} and key {kid!r}")
    key = PyJWK({name: value for name, value in fitting[0].items() if name in PUBLIC}, algorithm=algorithm)
    if ALGORITHMS[algorithm][0] == "RSA" and key.key.key_size < MIN_RSA_BITS:
        refuse(f"the issuer's key is shorter than {MIN_RSA_BITS} bits", hint="tell whoever runs the issuer")
    return key


def listed(keys: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The keys of a key set that are objects at all."""
    found = keys.get("keys")
    return [key for key in found if isinstance(key, Mapping)] if isinstance(found, Sequence) else []


def fits(key: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key may verify signatures of `algorithm`. Its own `alg`, `use` and `key_ops` bind (RFC 7517 §4)."""
    kind, curve = ALGORITHMS[algorithm]
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == kind
        and (not curve or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and isinstance(operations, Sequence)
        and "verify" in operations
    )
