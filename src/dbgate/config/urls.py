"""URLs of buckets and services, as far as they can be checked without opening them."""

from __future__ import annotations

import re
from collections.abc import Callable

from dbgate.errors import DbgateError
from dbgate.text import suggest

SCHEMES = ("file", "s3", "gs", "az")


def check_bucket(url: str, error: Callable[[str, str], DbgateError]) -> None:
    """Raise what `error(message, hint)` makes unless `url` names a kind of bucket."""
    scheme, found, _ = url.partition("://")
    if not found:
        raise error(f"the bucket {url} is not a URL", "for example file:///var/lib/dbgate/audit or s3://name")
    if scheme not in SCHEMES:
        raise error(f"there is no kind of bucket {scheme}://", suggest(scheme, SCHEMES))


def check_service(url: str, error: Callable[[str, str], DbgateError]) -> None:
    """Raise what `error(message, hint)` makes unless `url` is one of a web service."""
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise error(f"{url} is not a URL of a web service", "for example https://approvals.example.com")
