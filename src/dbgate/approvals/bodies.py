"""What clients send to the service, with every field's type and bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

import msgspec

from dbgate.approvals.refusals import BadRequest
from dbgate.model import ApprovalRequest, RequestKind, ReviewClause, Sample, SessionLimits

MAX_BODY_BYTES = 4 * 1024 * 1024

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Line = Annotated[str, msgspec.Meta(max_length=4096)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
MAX_NOTE_CHARACTERS = 4096
_Note = Annotated[str, msgspec.Meta(max_length=MAX_NOTE_CHARACTERS)]
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=r"\A[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

_Body = TypeVar("_Body")
_TOO_LONG = re.compile(r"Expected `(str|array)` of length <= (\d+) - at `\$\.([a-z_]+)(\[[^`]*\])?`")


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`count` people, each in one of `groups`. Neither may be nothing."""

    groups: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=100)]
    count: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one session may do. None is any number."""

    statements: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    rows: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None


_Cells = Annotated[tuple[_Line | None, ...], msgspec.Meta(max_length=50)]
_SampledRows = Annotated[tuple[_Cells, ...], msgspec.Meta(max_length=20)]


class SampleRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A few rows that would change, as the requester's dbgate masked them."""

    relation: _Line
    verb: _Line
    columns: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=50)] = ()
    before: _SampledRows = ()
    after: _SampledRows = ()
    note: _Line = ""


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
    uses: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    limits: Limits = Limits()
    break_glass: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=100)] = ()
    sample: Annotated[tuple[SampleRows, ...], msgspec.Meta(max_length=20)] = ()

    def to_request(self) -> ApprovalRequest:
        """The same as the noun of the model."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["clauses"] = tuple(ReviewClause(clause.groups, clause.count) for clause in self.clauses)
        fields["limits"] = SessionLimits(self.limits.statements, self.limits.rows)
        fields["sample"] = tuple(msgspec.convert(msgspec.to_builtins(one), Sample) for one in self.sample)
        return ApprovalRequest(**fields)

    def __post_init__(self) -> None:
        """A request asks for one thing: its kind says what it holds. Raises `ValueError`, for msgspec."""
        if self.kind is RequestKind.UNMASK:
            stray = [
                name for name in ("statement", "parameters", "measured", "masked", "sample") if getattr(self, name)
            ]
            missing = [] if self.tags else ["tags"]
        else:
            stray = [name for name in ("tags", "columns") if getattr(self, name)]
            missing = [] if self.statement else ["statement"]
        stray += [name for kind, name, given in self._terms() if given and self.kind is not kind]
        if self.kind is RequestKind.BREAK_GLASS:
            missing += ["a reason"] * (not self.reason.strip()) + ["break_glass"] * (not self.break_glass)
        if self.kind is RequestKind.SESSION and not self.rules:
            missing += ["rules"]
        if missing or stray:
            wrong = f"lacks {missing[0]}" if missing else f"holds {stray[0]}"
            raise ValueError(f"a request of the kind {self.kind} {wrong}")
        if list(self.tags) != sorted(set(self.tags)):
            raise ValueError("tags are sorted, and each stands once")

    def _terms(self) -> tuple[tuple[RequestKind, str, bool], ...]:
        """What only one kind may hold, and whether it is there."""
        return (
            (RequestKind.STATEMENT, "uses", self.uses != 1),
            (RequestKind.SESSION, "limits", self.limits != Limits()),
            (RequestKind.BREAK_GLASS, "break_glass", bool(self.break_glass)),
        )


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A remark that goes into the history."""

    note: _Note = ""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object."""


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of the console: a request's, or the inbox."""

    request: Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[0-9a-f]*\Z")] = ""


class Redemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The binding of what is about to run, and the session that is to use a grant for one."""

    binding: _Digest
    session: _Line = ""


def read(content: bytes, kind: type[_Body]) -> _Body:
    """Decode a JSON body strictly. Raises `BadRequest` with the place of the first fault."""
    try:
        body = msgspec.json.decode(content or b"{}", type=kind)
        _check_text(msgspec.to_builtins(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _too_long(str(error)) or BadRequest(f"the body is not what this takes: {error}") from error
    return body


def _too_long(said: str) -> BadRequest | None:
    """What msgspec says of a text or a list that is too long, for people; None for anything else."""
    found = _TOO_LONG.fullmatch(said)
    if found is None:
        return None
    shape, most, field, is_item = found.groups()
    if shape == "array" and not is_item:
        return BadRequest(f"there are more than {int(most):,} {field}", hint="make it shorter")
    what = f"one of the {field}" if is_item else f"the {field}"
    unit = "characters" if shape == "str" else "entries"
    return BadRequest(f"{what} has more than {int(most):,} {unit}", hint="make it shorter")


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
