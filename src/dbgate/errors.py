"""What can go wrong, as one shallow tree.

    DbgateError                 .hint, .exit_code
    ├── UsageError              2   an option, a name or a file is wrong
    │   └── DocumentError       2   a configuration or policy file, with file and line
    ├── StatementError          1   the text is not SQL, or the database refused it
    │   ├── DefinitionsChanged  1   a relation is not what it was when the statement was judged; nothing was run
    │   └── GateFault           1   the gate met a fault of its own; nothing was run
    ├── TranscriptAltered       1   recorded evidence does not verify
    ├── SignInRequired          5   nobody is signed in, or the token was refused
    ├── AuditUnavailable        6   the record cannot be written; nothing was run
    ├── Unreachable             7   the database or the approvals service cannot be reached
    │   └── ConnectionLost      7   the connection broke while a statement ran
    └── Interrupted           130   Ctrl-C

A denial is not an error: it is a value (`dbgate.model.Deny`).
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_STATEMENT = 1
EXIT_USAGE = 2
EXIT_DENIED = 3
EXIT_APPROVAL = 4
EXIT_SIGN_IN = 5
EXIT_AUDIT = 6
EXIT_UNREACHABLE = 7
EXIT_INTERRUPTED = 130


class DbgateError(Exception):
    """The base of every error that dbgate raises on purpose.

    `message` is one line without a final full stop; `hint` says what to do next, or is empty.
    """

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DbgateError):
    """An option, an argument or a name is wrong."""


class DocumentError(UsageError):
    """A configuration or policy file is wrong. The message begins with `file:line: `."""

    def __init__(self, message: str, *, file: str, line: int, hint: str = "") -> None:
        super().__init__(f"{file}:{line}: {message}", hint=hint)
        self.file = file
        self.line = line


class StatementError(DbgateError):
    """The text is not SQL, or the database refused the statement.

    `sqlstate` is the five-character code, `position` a 1-based character offset into the person's own
    text (0 when unknown). `transaction_failed` tells that the open transaction is now aborted.
    """

    exit_code = EXIT_STATEMENT

    def __init__(self, message: str, *, sqlstate: str = "", position: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate
        self.position = position


class DefinitionsChanged(StatementError):
    """A relation that the statement reads is not what it was when the statement was judged: nothing was run."""

    def __init__(self) -> None:
        message = "what the statement reads was redefined by somebody else meanwhile: nothing was run"
        super().__init__(message, hint="run it again")


class GateFault(StatementError):
    """The gate met a fault of its own while it judged a statement: nothing was sent.

    `fault` is what it met; only its kind and the line of code that raised it are told, never a value.
    """

    def __init__(self, fault: Exception) -> None:
        import traceback

        places = traceback.extract_tb(fault.__traceback__, limit=-1)
        place = "".join(f", {last.filename.rpartition('/')[2]}:{last.lineno}" for last in places)
        super().__init__(
            f"dbgate cannot judge this statement for a fault of its own ({type(fault).__name__}{place}): nothing was run",
            sqlstate="XX000",
            hint="write it another way, and please report it",
        )


class TranscriptAltered(DbgateError):
    """Recorded evidence does not verify: a transcript, its log or its copy in the bucket was changed."""

    exit_code = EXIT_STATEMENT


class SignInRequired(DbgateError):
    """Nobody is signed in, the sign-in has expired, or a token was refused."""

    exit_code = EXIT_SIGN_IN


class AuditUnavailable(DbgateError):
    """A record could not be made durable. Whatever it announced was not run."""

    exit_code = EXIT_AUDIT


class Unreachable(DbgateError):
    """The database or the approvals service cannot be reached."""

    exit_code = EXIT_UNREACHABLE


class ConnectionLost(Unreachable):
    """The connection broke while a statement ran: its outcome is unknown."""


class Interrupted(DbgateError):
    """A person pressed Ctrl-C."""

    exit_code = EXIT_INTERRUPTED
