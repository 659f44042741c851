"""Strict YAML: configuration and policy files, read so that a mistake is an error with file and line.

    parse_document(text, file)   the text as a `Value` with lines (`nodes.py` builds it)
    Value                        reads a node as one type (`values.py`)
    Reader                       reads a mapping key by key, and refuses keys that nobody asked for

Every error is a `DocumentError`. Knows nothing of what the keys mean.
"""

from __future__ import annotations

from dbgate.document.nodes import decode
from dbgate.document.values import Reader, Value, parse_document

__all__ = ["Reader", "Value", "decode", "parse_document"]
