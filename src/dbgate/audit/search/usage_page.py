"""Usage as one HTML page: a table and the days as bars. No script, no other file, no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from dbgate.audit.search.engine import Answer
from dbgate.text import printable

NUMBERS = frozenset(
    {"statements", "refused", "rows_returned", "rows_written", "labelled", "masked", "clear", "approved", "reasons"}
)
_HEIGHT, _BAR, _GAP = 120, 18, 6


@dataclass(frozen=True, slots=True)
class DayRow:
    """A day, and how many statements ran, met labelled columns, met values of these in clear."""

    day: str
    statements: int
    labelled: int
    clear: int

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The statements in three kinds that add up."""
        return ("clear", self.clear), ("masked", self.labelled - self.clear), ("plain", self.statements - self.labelled)


def day_rows(days: Answer) -> list[DayRow]:
    """The days of an answer to `usage_query(["day"], …)`."""
    place = {column.name: number for number, column in enumerate(days.columns)}
    return [
        DayRow(str(row[place["day"]]), *(int(row[place[name]] or 0) for name in ("statements", "labelled", "clear")))
        for batch in days.batches()
        for row in batch
    ]


def page(answer: Answer, days: Answer | None, *, title: str) -> Iterator[str]:
    """The page, piece by piece."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
    )
    if days is not None:
        yield _chart(day_rows(days))
    names = [column.name for column in answer.columns]
    heads = "".join(f'<th scope="col"{_kind(name)}>{escape(name.replace("_", " "))}</th>' for name in names)
    yield f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    for batch in answer.batches():
        for row in batch:
            cells = zip(names, row, strict=True)
            yield f"<tr>{''.join(f'<td{_kind(name)}>{_cell(name, value)}</td>' for name, value in cells)}</tr>\n"
    yield "</tbody>\n</table>\n</body>\n</html>\n"


def _kind(name: str) -> str:
    return ' class="number"' if name in NUMBERS else ""


def _cell(name: str, value: str | None) -> str:
    if value is None:
        return '<span class="none">–</span>'
    return f"{int(value):,}" if name in NUMBERS else escape(printable(value))


def _chart(rows: Sequence[DayRow]) -> str:
    if not rows:
        return ""
    most = max(row.statements for row in rows) or 1
    width = len(rows) * (_BAR + _GAP)
    bars = []
    for number, row in enumerate(rows):
        x, base = number * (_BAR + _GAP), float(_HEIGHT)
        label = f"{row.day}: {row.statements:,} statements, {row.clear:,} in clear, {row.labelled - row.clear:,} masked"
        shapes = []
        for kind, count in row.parts:
            height = _HEIGHT * count / most
            base -= height
            if count:
                shapes.append(f'<rect class="{kind}" x="{x}" y="{base:.1f}" width="{_BAR}" height="{height:.1f}"/>')
        bars.append(f"<g><title>{escape(label)}</title>{''.join(shapes)}</g>")
    span = escape(f"{rows[0].day} to {rows[-1].day}")
    return (
        f'<figure><svg role="img" aria-label="Statements a day, {span}" width="{width}" height="{_HEIGHT}" '
        f'viewBox="0 0 {width} {_HEIGHT}">{"".join(bars)}</svg>'
        f'<figcaption>Statements a day, {span}, {most:,} at most: <b class="clear">in clear</b>, <b class="masked">masked</b>, '
        f'<b class="plain">no labelled column</b></figcaption></figure>\n'
    )


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --paper: #fff;
  --clear: #b42318; --masked: #b7791f; --plain: #8b8d98; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #363a3f; --paper: #111113;
  --clear: #f97066; --masked: #e5b567; --plain: #696e77; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 75rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } figure { margin: 1.5rem 0; overflow-x: auto; } figcaption { color: var(--soft); font-size: .85rem; }
rect.clear { fill: var(--clear); } rect.masked { fill: var(--masked); } rect.plain { fill: var(--plain); }
b.clear { color: var(--clear); } b.masked { color: var(--masked); } b.plain { color: var(--plain); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-size: .8rem; color: var(--soft); position: sticky; top: 0; background: var(--paper); }
.number { text-align: right; } .none { color: var(--soft); }
"""
