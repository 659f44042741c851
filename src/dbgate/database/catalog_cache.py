"""A catalog in a file, for the next process: one file per database and role, written whole, private.

A header line holds the fingerprint and the digest of what follows; whatever does not fit is as good as no file.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from dbgate import __version__
from dbgate.catalog import Catalog
from dbgate.private import make_private

FORMAT = f"dbgate-catalog-5 {__version__}"


class CatalogCache:
    """The file of the database and role that `key` names; none at all without `state_dir`."""

    def __init__(self, state_dir: Path | None, key: str) -> None:
        self._key = key
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self._file = state_dir / "catalog" / f"{name}.msgpack" if state_dir else None

    def read(self, fingerprint: str) -> Catalog | None:
        """The catalog with this fingerprint, if it is there and whole."""
        if self._file is None:
            return None
        with suppress(OSError, ValueError, msgspec.MsgspecError), self._file.open("rb") as file:
            header = json.loads(file.readline(4096))
            body = file.read()
            if header == self._header(fingerprint, hashlib.sha256(body).hexdigest()):
                return _decode(body)
        return None

    def write(self, catalog: Catalog) -> None:
        """Put the catalog in the file's place. A disk that is full or read-only costs only the cache."""
        if self._file is None:
            return
        body = msgspec.msgpack.encode(catalog)
        header = self._header(catalog.fingerprint, hashlib.sha256(body).hexdigest())
        with suppress(OSError):
            make_private(self._file.parent)
            descriptor, name = tempfile.mkstemp(dir=self._file.parent, prefix="new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(json.dumps(header).encode() + b"\n" + body)
                Path(name).replace(self._file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def _header(self, fingerprint: str, digest: str) -> dict[str, str]:
        return {"format": FORMAT, "key": self._key, "fingerprint": fingerprint, "digest": digest}


def _decode(body: bytes) -> Catalog:
    """Decode without the garbage collector, which would walk over every new value several times."""
    was = gc.isenabled()
    gc.disable()
    try:
        return msgspec.msgpack.decode(body, type=Catalog)
    finally:
        if was:
            gc.enable()
