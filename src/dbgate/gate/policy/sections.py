"""The sections of a policy file, each from its YAML to frozen values."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec
from msgspec.structs import replace

from dbgate.document import Value
from dbgate.errors import StatementError
from dbgate.gate.policy.approving import APPROVAL_KEYS, GRANTS, read_approval, whole_seconds
from dbgate.gate.policy.conditions import read_globs, read_tag_globs, read_when
from dbgate.gate.policy.globs import fault_in_glob, is_tag, is_tag_glob
from dbgate.gate.policy.model import (
    Classify,
    FunctionList,
    Limits,
    MaskMethod,
    PolicyTest,
    RowFilter,
    Rule,
    Unmask,
    UnmaskApproval,
)
from dbgate.gate.policy.signatures import signature
from dbgate.model import Actor, ReviewClause, RuleRef

METHODS = ("partial", "email", "null", "token", "hash", "redact")
EFFECTS = ("allow", "approve", "deny")
EXPECTATIONS = ("allow", "mask", "approve", "break-glass", "deny")
MAX_SHOWN = 8
"""How many characters of a value `partial` may show."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def _ref(value: Value, name: str) -> RuleRef:
    return RuleRef(name, value.file, value.line)


def read_classify(value: Value) -> Classify:
    """`{columns: […], tag: …}`."""
    with value.mapping() as reader:
        columns = read_globs(reader.required("columns"), 3)
        tag = reader.required("tag")
        if not is_tag(tag.text()):
            raise tag.error(f"tag: {tag.text()} cannot be a tag", "letters, digits, _ and - between dots: pii.email")
        return Classify(columns, tag.text(), _ref(value, f"classify {tag.text()}"))


def read_mask(tag: str, value: Value) -> MaskMethod:
    """`{method: …}` for a tag or a glob over tags."""
    if not is_tag_glob(tag):
        raise value.error(f"mask: {tag} is no tag", "letters, digits, _ and - between dots, * and ?")
    with value.mapping() as reader:
        method = reader.choice("method", METHODS)
        if method == "partial":
            first, last = reader.integer("first", 0), reader.integer("last", 0)
            if not 0 < first + last <= MAX_SHOWN:
                raise value.error(f"mask: partial shows from 1 to {MAX_SHOWN} characters", "say first, last or both")
            return MaskMethod(method, first, last)
        text = reader.value("text") if method == "redact" else None
        return MaskMethod(method, text=text.text()) if text else MaskMethod(method)


def read_unmask(value: Value) -> Unmask:
    """`{tags: […], groups: […], approval: {groups, count, for}}`."""
    with value.mapping() as reader:
        tags, groups = read_tag_globs(reader.required("tags")), reader.texts("groups")
        approval = reader.value("approval")
        return Unmask(tags, groups, _ref(value, "unmask"), _unmask_approval(approval) if approval else None)


def _unmask_approval(value: Value) -> UnmaskApproval:
    with value.mapping() as reader:
        clause = ReviewClause(reader.texts("groups"), reader.integer("count", 1, minimum=1, maximum=20))
        return UnmaskApproval((clause,), whole_seconds(reader.required("for")))


def read_row_filter(value: Value) -> RowFilter:
    """`{table: …, where: …, except: {groups: […]}}`."""
    with value.mapping() as reader:
        table, where, excepted = reader.required("table"), reader.required("where"), reader.value("except")
        fault = fault_in_glob(table.text(), 2)
        if fault:
            raise table.error(f"table: {fault}")
        check_condition(where)
        groups: tuple[str, ...] = ()
        if excepted is not None:
            with excepted.mapping() as inner:
                groups = inner.texts("groups")
        return RowFilter(table.text(), where.text(), _ref(value, f"rows {table.text()}"), groups)


def check_condition(value: Value) -> None:
    """A SQL condition has to be exactly one expression, so that nothing in it can end the clause it stands in."""
    from dbgate.gate.syntax import parse_one

    text = value.text()
    try:
        select = parse_one(f"SELECT WHERE {text}").get("SelectStmt", {})
        inner = parse_one(f"SELECT WHERE ({text})").get("SelectStmt", {})
    except StatementError as error:
        raise value.error(f"where: not a SQL condition: {error.message}") from None
    plain = {"whereClause", "limitOption", "op"}
    if set(select) - plain or set(inner) - plain or "--" in text or "/*" in text:
        raise value.error("where: expected one SQL condition and nothing else", "no comments, no further clauses")


def read_rule(value: Value) -> Rule:
    """`{id, when, effect, message}`, for `approve` with reviewers and what their grant is good for."""
    with value.mapping() as reader:
        name = reader.required("id")
        if not _ID.fullmatch(name.text()):
            raise name.error(f"id: {name.text()} cannot be an id", "letters, digits, . _ and -")
        effect = reader.choice("effect", EFFECTS)
        rule = Rule(
            _ref(value, name.text()), read_when(reader.required("when")), effect, message=reader.text("message", "")
        )
        if effect == "approve":
            return read_approval(reader, rule)
        for key in APPROVAL_KEYS:
            stray = reader.value(key)
            if stray is not None:
                raise stray.error(f"{key} does not go with effect: {effect}", "it belongs to effect: approve")
        return rule


def read_limits(value: Value) -> Limits:
    """Limits on a statement and a session; a key that is not there sets none."""
    with value.mapping() as reader:
        rows, size = reader.value("rows"), reader.value("bytes")
        spans = {key: reader.value(key) for key in ("statement_timeout", "lock_timeout", "idle", "session")}
        seconds = {f"{key}_s": span.duration() for key, span in spans.items() if span is not None}
        return Limits(
            rows=rows.integer(minimum=1) if rows else None,
            bytes=size.size() if size else None,
            **seconds,
        )


def read_functions(value: Value) -> FunctionList:
    """`{allow: [schema.name(type, …)], extensions: […]}`."""
    with value.mapping() as reader:
        allow, extensions = reader.value("allow"), reader.texts("extensions", ())
        signatures = tuple(signature(item) for item in (allow.values() if allow else ()))
        return FunctionList(signatures, extensions)


def read_tests(value: Value) -> tuple[PolicyTest, ...]:
    """A case for each identity that is named: a statement, who runs it, and what has to come of it."""
    with value.mapping() as reader:
        who, rows, at = reader.value("as"), reader.value("rows"), reader.value("at")
        people = [_person(one) for one in _several(who)] or [_Person()]
        parameters = reader.value("parameters")
        masked, unmasked, uses = reader.value("masked"), reader.value("unmasked"), reader.value("uses")
        case = PolicyTest(
            sql=reader.text("sql"),
            expect=reader.choice("expect", EXPECTATIONS),
            ref=_ref(value, "test"),
            environment=reader.text("environment", ""),
            rule=reader.text("rule", ""),
            rows=rows.integer() if rows else None,
            masked=read_globs(masked, 3) if masked else (),
            unmasked=read_tag_globs(unmasked) if unmasked else (),
            parameters=_parameters(parameters) if parameters else (),
            at=_moment(at) if at else None,
            rewritten=reader.text("rewritten", ""),
            grant=reader.choice("grant", GRANTS, ""),
            uses=uses.integer(minimum=1) if uses else None,
        )
        return tuple(
            replace(case, groups=p.groups, email=p.email, actor=p.actor, who=p.label if len(people) > 1 else "")
            for p in people
        )


class _Person(msgspec.Struct, frozen=True):
    groups: tuple[str, ...] = ()
    email: str = ""
    actor: Actor = Actor.HUMAN

    @property
    def label(self) -> str:
        """The identity in words."""
        words = [self.email, *self.groups, *([str(self.actor)] if self.actor is not Actor.HUMAN else [])]
        return ", ".join(word for word in words if word) or "nobody in particular"


def _several(value: Value | None) -> tuple[Value, ...]:
    if value is None:
        return ()
    return value.values() if value.is_list else (value,)


def _person(value: Value) -> _Person:
    with value.mapping() as reader:
        return _Person(
            reader.texts("groups", ()),
            reader.text("email", ""),
            Actor(reader.choice("actor", map(str, Actor), "human")),
        )


def _parameters(value: Value) -> tuple[tuple[str, str], ...]:
    reader = value.mapping()
    return tuple((name, reader.text(name)) for name in reader.keys())  # noqa: SIM118 (a Reader is no dict)


def _moment(value: Value) -> datetime:
    try:
        moment = datetime.fromisoformat(value.text())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise value.wrong("a time with its offset", "for example 2026-03-02T12:00:00+01:00")
    return moment
