"""Where configuration and state stand on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from dbgate.errors import UsageError

CONFIG_NAME = "config.yaml"
ENOUGH_BYTES = 2 * 1024 * 1024
"""More than a document may have: an endless file is not read to its end."""


def config_file(explicit: Path | None = None) -> Path | None:
    """The configuration file: `explicit`, else `DBGATE_CONFIG`, else the user's own; None when there is none.

    Raises `UsageError` when a file that was named is not there.
    """
    if explicit is not None:
        return _existing(explicit, "name a configuration file that exists")
    named = os.environ.get("DBGATE_CONFIG", "")
    if named:
        return _existing(Path(named), "DBGATE_CONFIG names it: correct or unset the variable")
    file = default_config_file()
    return file if os.path.lexists(file) else None


def read_bytes(file: Path) -> bytes:
    """The bytes of a configuration or policy file. Raises `UsageError`."""
    try:
        with file.open("rb") as stream:
            return stream.read(ENOUGH_BYTES)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None


def default_config_file() -> Path:
    """Where the user's own configuration file stands, or would."""
    from platformdirs import user_config_path

    return user_config_path("dbgate", appauthor=False) / CONFIG_NAME


def state_dir() -> Path:
    """The state directory: `DBGATE_STATE_DIR`, or the user's own. Nothing is made."""
    named = os.environ.get("DBGATE_STATE_DIR", "")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path("dbgate", appauthor=False).absolute()


def _existing(file: Path, hint: str) -> Path:
    place = file.expanduser().absolute()
    if not place.exists():
        raise UsageError(f"there is no configuration file {place}", hint=hint)
    return place
