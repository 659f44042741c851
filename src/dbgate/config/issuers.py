"""Several issuers in one configuration: what must tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec.structs import replace

from dbgate.document import Value
from dbgate.settings import MAIN, IdentitySettings


def side_by_side(
    main: IdentitySettings, named: Mapping[str, tuple[Value, IdentitySettings]]
) -> dict[str, IdentitySettings]:
    """All issuers by name, the main one first. Raises `DocumentError` where two could be taken for each other.

    No two are one issuer under two names, and no two send the browser back to the same path: an answer that one issuer
    makes another give (a mix-up, RFC 9700 §4.4) then reaches nobody, even if neither names itself in it (RFC 9207).
    """
    found = {MAIN: main}
    for name, (place, issuer) in named.items():
        for other, known in found.items():
            if _bare(known.issuer) == _bare(issuer.issuer):
                raise place.error(f"{name} is the same issuer as {other}", "an issuer stands in a configuration once")
            if not _signs_itself_in(issuer) and not _signs_itself_in(known) and _path(known) == _path(issuer):
                raise place.error(
                    f"{name} and {other} send the browser back to the same path",
                    f"give each a redirect_uri of its own, for example http://127.0.0.1/{name}",
                )
        found[name] = issuer
    names = tuple(named)
    return {
        name: replace(issuer, others=tuple(other for other in names if other != name)) for name, issuer in found.items()
    }


def _bare(url: str) -> str:
    """An issuer's URL without what two ways to write the same one may differ in."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    return f"{parts.hostname}:{port or 443}{parts.path.rstrip('/.')}".casefold()


def _path(issuer: IdentitySettings) -> str:
    try:
        return urlsplit(issuer.redirect_uri).path.rstrip("/")
    except ValueError:
        return issuer.redirect_uri


def _signs_itself_in(issuer: IdentitySettings) -> bool:
    """Whether it is a service's, which needs no browser."""
    return bool(issuer.client_secret_env or issuer.workload_token_file or issuer.private_key_file)
