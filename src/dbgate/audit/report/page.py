"""An evidence pack as one HTML page: no script, no other file, no network. It prints on A4, queries included."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from dbgate.audit.report.controls import LIMITS, STANDARDS
from dbgate.audit.report.figures import NUMBERS, TABLES
from dbgate.audit.report.pack import Found, Pack
from dbgate.text import printable

MOST_SESSIONS = 1000
_NUMERIC = frozenset(
    {"sessions", "statements", "masked", "clear", "rows", "n", "id", "masked_columns", "clear_columns"}
)
_TIMES = frozenset({"first", "last", "time", "asked_at", "last_at", "ran_at", "reviewed_at"})
_WORDS = frozenset({"kind", "state", "decision", "review", "actor", "intact", "complete", "anchored"})
_TEXTS = frozenset({"text", "policy_digest"})
_PARTS = (
    ("integrity", "Integrity of the records"),
    ("controls", "Controls"),
    ("access", "Access review"),
    ("approvals", "Approvals"),
    ("exceptions", "Exceptions and broken glass"),
    ("denials", "Denials and failures"),
    ("changes", "Changes"),
    ("samples", "Samples"),
    ("limits", "What this does not prove"),
    ("queries", "The queries behind the figures"),
)
_TABLES_OF: Mapping[str, Sequence[str]] = {
    "access": ("who", "groups", "data", "in_clear"),
    "approvals": ("requests", "attempts"),
    "exceptions": ("exceptions",),
    "denials": ("denials", "open_ends"),
    "changes": ("changes", "policy_use"),
    "samples": ("samples",),
}
_NUMBERS_OF: Mapping[str, Sequence[str]] = {
    "access": ("people", "sessions", "unverified_sessions", "labelled", "masked", "clear", "unmasked"),
    "approvals": (
        "requested",
        "approvals",
        "approved",
        "requests_denied",
        "self_approved",
        "granted",
        "refused_attempts",
    ),
    "exceptions": ("broke_glass", "unreviewed", "rolled_back", "guesses"),
    "denials": ("denied", "unread", "failed", "unknown_outcomes"),
    "changes": ("writes", "definitions", "administration", "agent_writes", "policies"),
}
_PLACES = {name: place for place, name in enumerate((*NUMBERS, *TABLES), 1)}


def page(pack: Pack) -> Iterator[str]:
    """The page, piece by piece. Every text is escaped, and what could steer a reader made visible."""
    style = files("dbgate.audit.report").joinpath("report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = f"Evidence of database access: {STANDARDS[pack.scope.standard].title}"
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    )
    yield from _head(pack, title)
    for number, (name, heading) in enumerate(_PARTS, 1):
        first = " first" if number == 1 else ""
        yield f'<section class="part{first}" id="{name}">\n<h2>{number}. {escape(heading)}</h2>\n'
        yield from _part(pack, name)
        yield "</section>\n"
    made = f"Made by dbgate {pack.version} at {_at(pack.to_json()['made_at'])}"
    yield f"<footer>{_shown(made)}</footer>\n</body>\n</html>\n"


def _head(pack: Pack, title: str) -> Iterator[str]:
    told = pack.to_json()
    facts = {
        "Period": f"{_at(told['period']['from'])} to {_at(told['period']['to'])}",
        "Bucket": pack.bucket,
        "Targets": pack.scope.target or "all",
        "Keys trusted": ", ".join(pack.keys),
        "Sample": f"{pack.scope.size} statements, drawn with the seed {pack.scope.seed}",
        "Made": f"{_at(told['made_at'])}, by dbgate {pack.version}",
    }
    if pack.left_out:
        facts["LEFT OUT"] = "; ".join(pack.left_out)
    yield f"<header>\n<h1>{escape(title)}</h1>\n"
    yield f"<dl class=facts>{''.join(f'<dt>{escape(name)}</dt><dd>{_shown(text)}</dd>' for name, text in facts.items())}</dl>\n"
    yield f"{_verdicts(pack.integrity)}</header>\n<nav aria-label=Contents><ol>"
    yield "".join(f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading in _PARTS)
    yield "</ol></nav>\n"


def _part(pack: Pack, name: str) -> Iterator[str]:
    match name:
        case "integrity":
            yield from _integrity(pack)
        case "controls":
            yield from _controls(pack)
        case "limits":
            yield f"<ul>{''.join(f'<li>{escape(limit)}</li>' for limit in LIMITS)}</ul>\n"
        case "queries":
            yield from _queries(pack)
        case _:
            if name == "samples":
                yield f"<p>Drawn with the seed <code>{_shown(pack.scope.seed)}</code>: the same seed draws the same again.</p>\n"
            yield _numbers(pack, _NUMBERS_OF.get(name, ()))
            for table in _TABLES_OF[name]:
                yield from _table(table, pack.figures[table])


def _verdicts(integrity: Mapping[str, Any]) -> str:
    shown = []
    for name in ("intact", "complete", "anchored"):
        verdict = integrity[name]
        kind, word = ("", "holds") if verdict["holds"] else (" class=bad", "DOES NOT HOLD")
        place = f" — first at {_shown(str(verdict['place']))}" if verdict["place"] and not verdict["holds"] else ""
        shown.append(f"<li{kind}><strong>{name}: {word}</strong>{_shown(str(verdict['evidence']))}{place}</li>")
    return f"<ul class=verdicts>{''.join(shown)}</ul>\n"


def _verifying(pack: Pack) -> str:
    """The command that verifies the same bucket with the same keys, from anywhere."""
    return shlex.join(["dbgate", "audit", "verify", pack.bucket, *(f"--key={key}.pub" for key in pack.keys)])


def _integrity(pack: Pack) -> Iterator[str]:
    integrity = pack.integrity
    yield (
        f"<p>{integrity['checked']} sessions of the whole bucket were verified when this report was made, against the keys named "
        f"above and {integrity['checkpoints']} checkpoints known from earlier. Below: those that began in the period, and any "
        f"that do not verify. To verify again: <code>{_shown(_verifying(pack))}</code>.</p>\n"
    )
    logs = [(log["origin"], log["signer"], str(log["size"]), _word(log), log["evidence"]) for log in integrity["logs"]]
    if logs:
        yield "<h3>Logs</h3>\n"
        yield _rows(("origin", "signer", "leaves", "holds", "evidence"), logs)
    for name, heading in (("missing", "Missing sessions"), ("strays", "Objects that do not belong in the bucket")):
        if integrity[name]:
            yield f"<h3>{heading}</h3>\n"
            yield _rows(("place", "evidence"), [(item["place"], item["evidence"]) for item in integrity[name]])
    sessions = integrity["sessions"]
    if not sessions:
        yield "<p>No session began in the period.</p>\n"
        return
    yield f"<h3>Sessions ({len(sessions)})</h3>\n"
    shown = [_session(item) for item in sessions[:MOST_SESSIONS]]
    yield _rows(
        ("session", "person", "target", "started_at", "records", "intact", "complete", "anchored", "first failure"),
        shown,
    )
    if len(sessions) > MOST_SESSIONS:
        yield f"<p class=soft>The first {MOST_SESSIONS} of {len(sessions)}; those that do not verify stand first.</p>\n"


def _session(item: Mapping[str, Any]) -> tuple[str, ...]:
    verdicts = [item[name] for name in ("intact", "complete", "anchored")]
    first = next((v for v in verdicts if not v["holds"]), None)
    failure = f"{first['evidence']} {first['place']}".strip() if first else ""
    named = (item["session"], item["person"], item["target"], _at(item["started_at"]), str(item["records"]))
    return (*named, *map(_word, verdicts), failure)


def _word(verdict: Mapping[str, Any]) -> str:
    return "yes" if verdict["holds"] else "NO"


def _controls(pack: Pack) -> Iterator[str]:
    for control in STANDARDS[pack.scope.standard].controls:
        yield f'<section class=control id="{escape(control.id)}">\n<h3>{escape(control.id)} · {escape(control.title)}</h3>\n'
        yield f"<p>{escape(control.does)}</p>\n"
        yield _numbers(pack, [name for name in control.figures if name in NUMBERS])
        tables = [
            f'<a href="#{part}">{escape(TABLES[name].label)}</a> ({pack.figures[name].total})'
            for name in control.figures
            if name in TABLES
            for part, names in _TABLES_OF.items()
            if name in names
        ]
        if tables:
            yield f"<p>See also: {'; '.join(tables)}.</p>\n"
        yield f"<p class=limit>{escape(control.limits)}</p>\n</section>\n"


def _numbers(pack: Pack, names: Iterable[str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(pack.figures[name].label)}</td><td class=number>{pack.figures[name].number:,}{_note(name)}</td></tr>"
        for name in names
    )
    return f"<table class=figures><tbody>{rows}</tbody></table>\n" if rows else ""


def _note(name: str) -> str:
    return f'<sup><a href="#q{_PLACES[name]}">[{_PLACES[name]}]</a></sup>'


def _table(name: str, found: Found) -> Iterator[str]:
    yield f"<h3>{escape(found.label)}{_note(name)}</h3>\n"
    if not found.rows:
        yield "<p class=soft>None.</p>\n"
        return
    yield _rows(found.columns, found.rows)
    if found.total > len(found.rows):
        yield (
            f"<p class=soft>The first {len(found.rows):,} of {found.total:,} rows. The query without its LIMIT gives all.</p>\n"
        )


def _rows(columns: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    """A table. The text of a statement gets a line of its own below the others: it may be long."""
    place = columns.index("text") if "text" in columns else None
    shown = [number for number in range(len(columns)) if number != place]
    heads = "".join(
        f'<th scope="col"{_kind(columns[n], "")}>{escape(columns[n].replace("_", " "))}</th>' for n in shown
    )
    body = []
    for row in rows:
        cells = "".join(f"<td{_kind(columns[n], row[n])}>{_cell(columns[n], row[n])}</td>" for n in shown)
        if place is None:
            body.append(f"<tr>{cells}</tr>\n")
        else:
            text = _cell("text", row[place])
            body.append(f'<tr class=above>{cells}</tr>\n<tr><td class=text colspan="{len(shown)}">{text}</td></tr>\n')
    return (
        f"<div class=wide><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(body)}</tbody>\n</table></div>\n"
    )


def _kind(name: str, cell: str | None) -> str:
    if cell in ("NO", "NOT REVIEWED"):
        return " class=bad"
    if name in _NUMERIC or name in ("records", "leaves"):
        return " class=number"
    if name in _TIMES:
        return " class=at"
    if name in _WORDS:
        return " class=name"
    return " class=text" if name in _TEXTS else ""


def _cell(name: str, cell: str | None) -> str:
    if cell is None:
        return "–"
    return _shown(_at(cell) if name in _TIMES else cell)


def _queries(pack: Pack) -> Iterator[str]:
    yield (
        "<p>Run each as it stands: <code>dbgate audit search - &lt; QUERY</code>, with <code>--bucket</code> for a copy. "
        "The tables are described in docs/audit.md.</p>\n"
    )
    for name, found in pack.figures.items():
        place = _PLACES[name]
        yield f'<div class=query id="q{place}"><h3>{place}. {escape(found.label)}</h3>\n'
        yield f"<pre>{_shown(found.query, keep=chr(10))}</pre></div>\n"


def _at(text: object) -> str:
    """A time as `2026-11-30 12:00:05 UTC`."""
    said = str(text).replace("T", " ").replace("Z", "+00:00")
    return f"{said[:19]} UTC" if said.endswith("+00:00") and len(said) >= 25 else str(text)


def _shown(text: str, keep: str = "") -> str:
    return escape(printable(text, keep=keep))
