"""A recorded session as frames: what is shown, when, and in which role.

The terminal, the asciicast and the HTML page all show the same frames. Every text is neutralised
here: a recording cannot play tricks on whoever watches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbgate.audit.checked import DAMAGED, VERDICT
from dbgate.audit.record import ACCESS, DECIDED, DECISION, END, INTENT, NOT_RUN, NOTICE, OUTCOME, REFUSED, START
from dbgate.audit.summary import moment
from dbgate.text import printable

ROLES = ("header", "statement", "allow", "mask", "approval", "deny", "output", "outcome", "notice", "error", "end")

MARKS = ("statement", "denial", "approval", "write", "error", "fault")
"""What a viewer can jump to. A `fault` is where the chain breaks."""
FAILED = ("error", "unknown", "cancelled", "rolled back")
"""How statements end that did not do what they should."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Something shown. `at_s` counts from the session's start; `role` is one of `ROLES`.

    `text` may have several lines and no final newline. `marks` says what a viewer may want to go to, of `MARKS`; of
    several frames that show one record, the first carries them.
    """

    at_s: float
    role: str
    text: str
    marks: tuple[str, ...] = ()


def frames(records: Iterable[dict[str, Any]]) -> Iterator[Frame]:
    """The frames of a session, in order. A clock that went backwards never runs the frames back."""
    for _, shown in framed(records):
        yield from shown


def framed(records: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[Frame]]]:
    """Each record with the frames that show it, which may be none."""
    began: datetime | None = None
    at_s = 0.0
    prompt = "=>"
    for record in records:
        now = moment(record.get("time"))
        began = began or now
        if began and now:
            at_s = max(at_s, (now - began).total_seconds())
        if record["kind"] == START:
            prompt = f"{_line(record.get('target')) or 'dbgate'}=>"
        marks = marks_of(record)
        shown = []
        for role, text in _shown(record, prompt):
            shown.append(Frame(at_s, role, text, marks))
            marks = ()
        yield record, shown


def marks_of(record: dict[str, Any]) -> tuple[str, ...]:
    """What is worth going to in a record, of `MARKS`."""
    kind, decision = record["kind"], str(record.get("decision"))
    found = {
        "statement": kind == INTENT,
        "denial": (kind == INTENT and decision == "deny") or kind == REFUSED,
        "approval": kind.startswith("approval.") or kind in (DECISION, REFUSED),
        "write": kind == INTENT and decision not in NOT_RUN and is_write(record),
        "error": (kind == INTENT and decision == "error")
        or (kind == OUTCOME and record.get("status") in FAILED)
        or (kind == NOTICE and record.get("level") == "error" and not record.get("id")),
        "fault": kind == DAMAGED or (kind == VERDICT and record.get("holds") is False),
    }
    return tuple(mark for mark, holds in found.items() if holds)


def is_write(intent: dict[str, Any]) -> bool:
    """Whether a statement changes data, definitions or rights, as far as its record says."""
    return bool(intent.get("writes")) or intent.get("access") in ("write", "ddl", "admin")


def _shown(record: dict[str, Any], prompt: str) -> Iterator[tuple[str, str]]:
    kind = record["kind"]
    if kind == START:
        yield "header", header(record)
    elif kind == INTENT:
        yield "statement", f"{prompt} {_block(record.get('text'))}"
        yield from _decision(record)
    elif kind == "output":
        cut = "\n… (cut in the recording)" if record.get("truncated") else ""
        yield "output", _block(record.get("text")).rstrip("\n") + cut
    elif kind == OUTCOME:
        yield _outcome(record)
    elif kind.startswith("approval."):
        yield "approval", _approval(record, kind.removeprefix("approval."))
    elif kind in (DECISION, DECIDED, REFUSED):
        yield from _service(record, kind)
    elif kind == ACCESS:
        yield "notice", _access(record)
    elif kind == NOTICE:
        yield from _notice(record)
    elif kind == DAMAGED:
        yield "error", f"damaged: {_line(record.get('text'))}"
    elif kind == VERDICT:
        role = {True: "end", False: "error"}.get(record.get("holds"), "notice")  # type: ignore[arg-type]
        yield role, f"checked: {_line(record.get('text'))}"
    elif kind == END:
        yield "end", f"session ended: {_line(record.get('reason')) or 'closed'}"


def header(start: dict[str, Any]) -> str:
    """Who, where, when and why: the lines above a session."""
    at = moment(start.get("time"))
    rows = [
        ("session", _line(start.get("session"))),
        ("person", who(start)),
        ("target", _target(start)),
        ("started", at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""),
        ("through", " on ".join(filter(None, (_line(start.get("door")), _line(start.get("host")))))),
        ("reason", _line(start.get("reason"))),
    ]
    return "\n".join(f"{name:<9} {value}" for name, value in rows if value)


def who_and_where(start: dict[str, Any]) -> str:
    """The person and the target, in one line."""
    return " on ".join(filter(None, (who(start), _target(start))))


def who(start: dict[str, Any]) -> str:
    """The person, what they are, and whom they act for."""
    found = start.get("identity")
    identity: dict[str, Any] = found if isinstance(found, dict) else {}
    proven = [_line(identity.get(name)) for name in ("actor", "assurance")]
    behalf = _line(identity.get("on_behalf_of"))
    return _person(identity) + _bracket(", ".join(filter(None, proven))) + (f" for {behalf}" if behalf else "")


def _target(start: dict[str, Any]) -> str:
    return _line(start.get("target")) + _bracket(_line(start.get("environment")))


def decision_word(intent: dict[str, Any]) -> str:
    """What was decided of a statement, in a word or two."""
    words = {
        "allow": "allowed",
        "rewrite": "allowed, rewritten",
        "approve": "approved" if intent.get("grant") else "needs approval",
        "deny": "denied",
        "error": "not run",
    }
    decision = str(intent.get("decision", ""))
    return words.get(decision, _line(decision))


def decision_text(intent: dict[str, Any]) -> str:
    """What was decided of a statement, in one line."""
    text = decision_word(intent)
    rules = joined(intent.get("rules"))
    text += f" by {rules}" if rules else ""
    why = _line(intent.get("denied")) or _line(intent.get("error"))
    text += f": {why}" if why else ""
    for name in ("masked", "grant", "approval"):
        value = joined(intent.get(name)) if isinstance(intent.get(name), list) else _line(intent.get(name))
        text += f" · {name} {value}" if value else ""
    opened = intent.get("unmasked")
    if isinstance(opened, list) and opened:
        names = dict.fromkeys(_line(column.get("column")) for column in opened if isinstance(column, dict))
        text += f" · in clear by a grant {', '.join(names)}"
    return text + (" · dry run" if intent.get("dry_run") else "")


def outcome_text(outcome: dict[str, Any]) -> str:
    """How a statement ended, in one line."""
    parts = [_line(outcome.get("status")) or "?"]
    parts += [_line(outcome[name]) for name in ("sqlstate", "message") if outcome.get(name)]
    duration = outcome.get("duration_ms")
    if isinstance(duration, int | float) and outcome.get("status") != "not run":
        parts.append(f"{duration:.0f} ms" if duration >= 10 else f"{duration:.1f} ms")
    return " · ".join(parts)


def _decision(intent: dict[str, Any]) -> Iterator[tuple[str, str]]:
    parameters = intent.get("parameters")
    if isinstance(parameters, list) and parameters:
        shown = ", ".join(f"${number} = {_line(value, null='NULL')}" for number, value in enumerate(parameters, 1))
        yield "outcome", f"[{shown}]"
    roles = {"allow": "allow", "rewrite": "mask", "approve": "approval", "deny": "deny"}
    yield roles.get(str(intent.get("decision")), "error"), f"[{decision_text(intent)}]"


def _outcome(outcome: dict[str, Any]) -> tuple[str, str]:
    bad = outcome.get("status") in FAILED
    return "error" if bad else "outcome", f"[{outcome_text(outcome)}]"


def _approval(record: dict[str, Any], what: str) -> str:
    text = f"approval {_line(what)}"
    if record.get("request"):
        text += f" · request {_line(record['request'])}"
    tags = joined(record.get("tags"))
    text += f" · to see {tags} in clear" if tags else ""
    people = joined(record.get("approved_by"))
    text += f" · by {people}" if people else ""
    measured = record.get("measured")
    if isinstance(measured, dict) and measured:
        text += " · measured " + ", ".join(f"{_line(name)}: {_line(count)}" for name, count in measured.items())
    detail = _line(record.get("detail")) or (f"why: {_line(record['reason'])}" if record.get("reason") else "")
    return f"[{text}{f' · {detail}' if detail else ''}]"


def _service(record: dict[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    """What the approvals service decided; that it then counted goes without saying."""
    if kind == DECIDED:
        if record.get("status") != "done":
            yield "error", f"decision {_line(record.get('id'))}: {_line(record.get('status'))}"
        return
    who = _person(record.get("by")) or "the clock"
    text = f"request {_line(record.get('request')) or 'new'} · {_line(record.get('action'))} by {who}"
    text += f" · {_line(record['note'])}" if record.get("note") else ""
    why = f" · refused: {_line(record.get('why'))}" if kind == REFUSED else ""
    yield ("deny" if kind == REFUSED else "approval"), f"[{text}{why}]"


def _access(record: dict[str, Any]) -> str:
    """Who came into the web console, or watched which recording there."""
    watched = _line(record.get("watched"))
    return f"[{_line(record.get('action'))}{f' {watched}' if watched else ''} · {_person(record.get('by'))}]"


def _person(found: object) -> str:
    by: dict[str, Any] = found if isinstance(found, dict) else {}
    return _line(by.get("email")) or _line(by.get("subject"))


def _notice(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    level = _line(record.get("level")) or "notice"
    role = {"denied": "deny", "error": "error"}.get(level, "notice")
    yield role, f"{level}: {_block(record.get('text'))}"
    for hint in _block(record.get("hint")).splitlines():
        yield "notice", f"hint: {hint}"


def _block(value: object) -> str:
    return printable(str(value or "").replace("\r\n", "\n"), keep="\n\t")


def _line(value: object, *, null: str = "") -> str:
    return null if value is None else printable(str(value))


def joined(value: object) -> str:
    """A recorded list as text, or nothing."""
    return ", ".join(map(_line, value)) if isinstance(value, list) else ""


def _bracket(text: str) -> str:
    return f" ({text})" if text else ""
