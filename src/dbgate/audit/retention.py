"""Whether what was shipped can be taken away again: the retention that an object store keeps on an object."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from dbgate.audit.layout import SEGMENT_OBJECT
from dbgate.audit.sessions import Archive
from dbgate.audit.summary import Filter
from dbgate.errors import Unreachable

if TYPE_CHECKING:
    import requests

    from dbgate.audit.bucket import Bucket

_TIMEOUT_S = (5.0, 20.0)
_MODE, _UNTIL = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"


class Retention(msgspec.Struct, frozen=True):
    """Until when an object cannot be deleted. `mode` is S3's: `COMPLIANCE` binds everybody, `GOVERNANCE` has exceptions."""

    mode: str
    until: datetime


def newest_segment(bucket: Bucket) -> str:
    """The path of a segment that was shipped last, by day and session; empty when nothing was. Raises `Unreachable`."""
    for place in Archive(None, bucket).in_bucket(Filter()):
        found = [name for name in bucket.names(place.folder) if SEGMENT_OBJECT.fullmatch(name.rpartition("/")[2])]
        if found:
            return max(found)
    return ""


def retention_of(bucket: Bucket, path: str) -> Retention | None:
    """The retention of an object in S3, as S3 tells it with the object's first byte.

    None when it has none, or when whoever asks may not see it (`s3:GetObjectRetention`). Raises `Unreachable`.
    """
    import requests

    # obstore shows no object lock: S3's own header fields do.
    with requests.Session() as session:
        session.auth = _no_netrc
        try:
            answer = session.get(
                bucket.signed_url(path, timedelta(minutes=1)), headers={"Range": "bytes=0-0"}, timeout=_TIMEOUT_S
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            raise Unreachable(
                f"the audit bucket {bucket.url} does not tell the retention of {path}: {type(error).__name__}",
                hint="check the credentials and their right to get objects",
            ) from None
    try:
        return Retention(answer.headers[_MODE], datetime.fromisoformat(answer.headers[_UNTIL]))
    except (KeyError, ValueError):
        return None


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The URL is signed: nothing is added to it."""
    return request
