"""From the URL of an object store's bucket to obstore's store: S3, Google Cloud Storage, Azure Blob Storage.

Credentials come from the surroundings as each of them defines it (`AWS_…`, `GOOGLE_…`, `AZURE_…`), never from the URL.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl

from dbgate.errors import UsageError
from dbgate.text import suggest

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

S3_OPTIONS = ("region", "endpoint", "virtual_hosted_style_request")
AZURE_OPTIONS = ("account", "endpoint")
_CLIENT: Mapping[str, Any] = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRY: Mapping[str, Any] = {"max_retries": 2, "retry_timeout": timedelta(seconds=15)}


def open_store(parts: SplitResult) -> ObjectStore:
    """The store of a URL `s3://`, `gs://` or `az://`. Raises `UsageError` for a wrong one."""
    if parts.scheme == "s3":
        return _s3(parts)
    return _google(parts) if parts.scheme == "gs" else _azure(parts)


def _s3(parts: SplitResult) -> S3Store:
    """`?endpoint=http://…` names another S3 than Amazon's. Buckets with object lock want a checksum with every put."""
    from obstore.store import S3Store

    options = _options(parts, S3_OPTIONS)
    config: Any = {"bucket": parts.netloc, "conditional_put": "etag", "checksum_algorithm": "sha256", **options}
    client: Any = _client(options)
    return S3Store(config=config, prefix=_prefix(parts), client_options=client, retry_config=_retry())


def _google(parts: SplitResult) -> GCSStore:
    from obstore.store import GCSStore

    _options(parts, ())
    client: Any = _client({})
    return GCSStore(parts.netloc, prefix=_prefix(parts), client_options=client, retry_config=_retry())


def _azure(parts: SplitResult) -> AzureStore:
    """`?account=NAME`, or AZURE_STORAGE_ACCOUNT_NAME; `?endpoint=…` names another service than Microsoft's own."""
    from obstore.store import AzureStore

    options = _options(parts, AZURE_OPTIONS)
    account = options.pop("account", "") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    if not account:
        raise UsageError(
            "an az bucket has no storage account",
            hint="write az://CONTAINER/PREFIX?account=NAME, or set AZURE_STORAGE_ACCOUNT_NAME",
        )
    config: Any = {"container_name": parts.netloc, "account_name": account, **options}
    client: Any = _client(options)
    return AzureStore(config=config, prefix=_prefix(parts), client_options=client, retry_config=_retry())


def _options(parts: SplitResult, known: Sequence[str]) -> dict[str, str]:
    if not parts.netloc:
        raise UsageError(f"an {parts.scheme} bucket has no name", hint=f"write {parts.scheme}://NAME/PREFIX")
    if "@" in parts.netloc:
        raise UsageError(
            f"an {parts.scheme} bucket takes no credentials in its URL", hint="they come from the environment"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in known:
            article = "a" if parts.scheme == "gs" else "an"
            raise UsageError(f"unknown option of {article} {parts.scheme} bucket: {name}", hint=suggest(name, known))
    return options


def _prefix(parts: SplitResult) -> str | None:
    return parts.path.strip("/") or None


def _client(options: Mapping[str, str]) -> dict[str, Any]:
    return {**_CLIENT, "allow_http": options.get("endpoint", "").startswith("http://")}


def _retry() -> Any:
    return dict(_RETRY)
