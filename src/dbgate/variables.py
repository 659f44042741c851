"""Secrets that are handed over in environment variables: taken out of the environment once they are read.

Otherwise every pager, editor, browser and background process that dbgate starts would inherit them.
"""

from __future__ import annotations

import os

_taken: dict[str, str] = {}


def take_secret(name: str) -> str:
    """The value of the variable `name`, or empty. From now on no child process inherits it."""
    if name in os.environ:
        _taken[name] = os.environ.pop(name)
    return _taken.get(name, "")
