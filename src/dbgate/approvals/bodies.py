"""What clients send to the service, with every field's type and bounds."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from dbgate.approvals.refusals import BadRequest
from dbgate.model import ApprovalRequest, RequestKind, ReviewClause

MAX_BODY_BYTES = 4 * 1024 * 1024

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Line = Annotated[str, msgspec.Meta(max_length=4096)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
_Note = Annotated[str, msgspec.Meta(max_length=4096)]
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=r"\A[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

_Body = TypeVar("_Body")


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`count` people, each in one of `groups`. Neither may be nothing."""

    groups: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=100)]
    count: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1


class NewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ApprovalRequest` as it is posted. Who asks is not in it: the token says."""

    target: _Name
    environment: _Line
    statement: Annotated[str, msgspec.Meta(max_length=2 * 1024 * 1024)]
    parameters: Annotated[tuple[str | None, ...], msgspec.Meta(max_length=65535)]
    binding: _Digest
    policy_digest: _Name
    verb: _Name
    relations: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=1000)]
    clauses: Annotated[tuple[Clause, ...], msgspec.Meta(min_length=1, max_length=20)]
    rules: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=100)]
    reason: _Line = ""
    message: _Line = ""
    measured: Annotated[dict[_Name, _Count], msgspec.Meta(max_length=1000)] = {}
    masked: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=10000)] = ()
    session: _Line = ""
    expires_s: Annotated[int, msgspec.Meta(ge=1, le=30 * 24 * 3600)] = 3600
    kind: RequestKind = RequestKind.STATEMENT
    tags: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=1000)] = ()
    columns: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=10000)] = ()

    def to_request(self) -> ApprovalRequest:
        """The same as the noun of the model."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["clauses"] = tuple(ReviewClause(clause.groups, clause.count) for clause in self.clauses)
        return ApprovalRequest(**fields)

    def __post_init__(self) -> None:
        """A request asks for one thing: it holds a statement or tags, never both. Raises `ValueError`, for msgspec."""
        if self.kind is RequestKind.UNMASK:
            stray = [name for name in ("statement", "parameters", "measured", "masked") if getattr(self, name)]
            missing = [] if self.tags else ["tags"]
        else:
            stray = [name for name in ("tags", "columns") if getattr(self, name)]
            missing = [] if self.statement else ["statement"]
        if missing or stray:
            wrong = f"lacks {missing[0]}" if missing else f"holds {stray[0]}"
            raise ValueError(f"a request of the kind {self.kind} {wrong}")
        if list(self.tags) != sorted(set(self.tags)):
            raise ValueError("tags are sorted, and each stands once")


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A remark that goes into the history."""

    note: _Note = ""


class Redemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The binding of what is about to run."""

    binding: _Digest


def read(content: bytes, kind: type[_Body]) -> _Body:
    """Decode a JSON body strictly. Raises `BadRequest` with the place of the first fault."""
    try:
        body = msgspec.json.decode(content or b"{}", type=kind)
        _check_text(msgspec.to_builtins(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadRequest(f"the body is not what this takes: {error}") from error
    return body


def _check_text(value: object) -> None:
    """Raise `BadRequest` for NUL characters, which no database and no terminal shows."""
    match value:
        case str():
            if "\0" in value:
                raise BadRequest("the body is not what this takes: a text holds a NUL character")
            value.encode("utf-8")
        case dict():
            for name, item in value.items():
                _check_text(name)
                _check_text(item)
        case list() | tuple():
            for item in value:
                _check_text(item)
