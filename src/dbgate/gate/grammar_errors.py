"""The SQLSTATEs of the errors that PostgreSQL's grammar and scanner raise: pgparse tells their messages only.

Source: PostgreSQL's `gram.y`, `scan.l` and `parser.c`.
"""

from __future__ import annotations

import re

from dbgate.gate.lexer import tokens

SYNTAX_ERROR = "42601"
_FEATURE_NOT_SUPPORTED = "0A000"
_INVALID_PARAMETER = "22023"
_WINDOWING_ERROR = "42P20"
_RESERVED_NAME = "42939"
_INVALID_ESCAPE = "22025"
_NONSTANDARD_ESCAPE = "22P06"

_OTHERS = (
    (r"frame (start|end|starting) .*", _WINDOWING_ERROR),
    (r"unrecognized partitioning strategy .*", _INVALID_PARAMETER),
    (r"precision for type float must be .*", _INVALID_PARAMETER),
    (r"column number must be in range .*", _INVALID_PARAMETER),
    (r".* cannot be used as a role name here", _RESERVED_NAME),
    (r"role name .* is reserved", _RESERVED_NAME),
    (r"unsafe use of \\' in a string literal", _NONSTANDARD_ESCAPE),
    (r"unsafe use of string constant with Unicode escapes", _FEATURE_NOT_SUPPORTED),
    (r".* constraints cannot be marked (DEFERRABLE|NOT VALID|NO INHERIT)", _FEATURE_NOT_SUPPORTED),
    (r".* is not yet implemented|MATCH PARTIAL not yet implemented", _FEATURE_NOT_SUPPORTED),
    (r"dropping an enum value is not implemented", _FEATURE_NOT_SUPPORTED),
    (r"current database cannot be changed", _FEATURE_NOT_SUPPORTED),
    (r"CREATE SCHEMA IF NOT EXISTS cannot include schema elements", _FEATURE_NOT_SUPPORTED),
    (r"CREATE OR REPLACE CONSTRAINT TRIGGER is not supported", _FEATURE_NOT_SUPPORTED),
    (r"WITH CHECK OPTION not supported on recursive views", _FEATURE_NOT_SUPPORTED),
    (r"a column list with .* is only supported for ON DELETE actions", _FEATURE_NOT_SUPPORTED),
    (r"aggregates cannot have output arguments", _FEATURE_NOT_SUPPORTED),
)
"""Patterns, compiled when a statement first is none of the grammar's."""
_UNICODE_ESCAPE = "invalid Unicode escape"


def sqlstate_of(message: str, text: str, position: int) -> str:
    """The SQLSTATE of an error that parsing `text` raised, at `position` (1-based, in characters)."""
    if message == _UNICODE_ESCAPE:  # a syntax error in U&'…', another one in E'…'
        token = next((t for t in tokens(text) if t.start < position <= t.end), None)
        return _INVALID_ESCAPE if token is not None and token.text[:1] in {"e", "E"} else SYNTAX_ERROR
    return next((sqlstate for pattern, sqlstate in _OTHERS if re.fullmatch(pattern, message)), SYNTAX_ERROR)
