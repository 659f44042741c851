"""What the approvals service refuses, and why.

DbgateError
├── NotAllowed            3   this identity may not do that (HTTP 403)
├── GrantRefused          4   a grant is forged, expired, or for something else
├── SignInRequired        5   no token, or one that was refused (HTTP 401)
├── Busy                  7   too many requests; try again later (HTTP 429)
└── UsageError            2
    ├── BadRequest            the request is malformed or contradicts itself (HTTP 422)
    ├── UnknownRequest        no such request, or not for these eyes (HTTP 404)
    └── WrongState            the request is not in a state that allows it (HTTP 409)
"""

from __future__ import annotations

from dbgate.errors import (
    EXIT_APPROVAL,
    EXIT_DENIED,
    EXIT_UNREACHABLE,
    DbgateError,
    UsageError,
)


class NotAllowed(DbgateError):
    """This identity may not do that."""

    exit_code = EXIT_DENIED


class GrantRefused(DbgateError):
    """A grant is not what was asked for: forged, expired, or bound to something else."""

    exit_code = EXIT_APPROVAL


class Busy(DbgateError):
    """Too many requests. `retry_after_s` says when to try again."""

    exit_code = EXIT_UNREACHABLE

    def __init__(self, message: str, *, retry_after_s: int = 1, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class BadRequest(UsageError):
    """A request to the service is malformed, or its fields contradict each other."""


class UnknownRequest(UsageError):
    """No such request, or it is not for these eyes: the two are not told apart."""


class WrongState(UsageError):
    """The request is not in a state that allows the action. `status` is where it stands."""

    def __init__(self, message: str, *, status: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
