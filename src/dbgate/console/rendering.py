"""Templates to pages. The one way by which data reaches a page.

Every value that a template shows is made printable first (control characters, bidirectional and other format
marks become visible: `dbgate.text.printable`) and then escaped, whether the template's author thought of it or
not. Only `statement` hands out markup of its own, made from printable text by pygments.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from dbgate.console.assets import Assets
from dbgate.text import printable, span

if TYPE_CHECKING:
    from dbgate.console.calls import Call

MAX_HIGHLIGHTED_CHARACTERS = 200_000
"""Longer statements are shown without colours."""


class Pages:
    """Renders the templates of the console."""

    def __init__(self, **fixed: Any) -> None:
        """`fixed` are values that every template may use."""
        self.assets = Assets()
        self._templates = Environment(
            loader=PackageLoader("dbgate.console", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {
            "moment": to_minute,
            "span": span,
            "statement": statement,
            "formatted": formatted,
            "number": lambda value: f"{value:,}",
        }
        self._templates.globals |= {"asset": self.assets.path, **fixed}

    def page(self, template: str, call: Call | None = None, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page for somebody, or for somebody who is not signed in."""
        text = self._templates.get_template(template).render(
            me=call.identity if call else None,
            csrf=call.visit.csrf if call else "",
            signed_in_until=call.visit.until.astimezone(UTC) if call else None,
            here=call.url if call else "",
            **values,
        )
        return HTMLResponse(text, status_code=status)


def shown(value: Any) -> Any:
    """A value as it may stand on a page, still to be escaped. Markup is what `statement` made."""
    return value if isinstance(value, Markup) else printable(str(value), keep="\n\t")


def to_minute(value: str | datetime) -> str:
    """A moment for people without scripts: `2026-03-04 12:05 UTC`."""
    moment = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else value
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


MAX_FORMATTED_CHARACTERS = 20_000
"""Longer statements are shown as they were typed: laying them out would keep others waiting."""


@lru_cache(maxsize=128)
def formatted(text: str) -> str | None:
    """The statement laid out, when PostgreSQL reads the layout as the same statement; else None."""
    if len(text) > MAX_FORMATTED_CHARACTERS:
        return None
    from dbgate.approvals.layout import format_statement

    return format_statement(text)


@lru_cache(maxsize=128)
def statement(text: str) -> Markup:
    """SQL in colours. What pygments drops or changes would be missing here, so its text is compared."""
    from pygments import lex
    from pygments.lexers import PostgresLexer
    from pygments.token import STANDARD_TYPES

    safe = printable(text, keep="\n\t")
    if len(safe) > MAX_HIGHLIGHTED_CHARACTERS:
        return Markup.escape(safe)
    tokens = list(lex(safe, PostgresLexer(stripnl=False, ensurenl=False)))
    if "".join(value for _, value in tokens) != safe:
        return Markup.escape(safe)
    pieces = []
    for kind, value in tokens:
        while kind not in STANDARD_TYPES and kind.parent is not None:
            kind = kind.parent
        name = STANDARD_TYPES.get(kind, "") if value != "." else ""  # pygments takes the dot of a name for a number
        pieces.append(Markup('<span class="{}">{}</span>').format(f"q-{name}", value) if name else Markup.escape(value))
    return Markup("").join(pieces)


def facts(view: Mapping[str, Any], known: frozenset[str]) -> list[tuple[str, str]]:
    """What a request holds beside the fields that its page knows: nothing is hidden from a reviewer."""
    found = []
    for name, value in view.items():
        if name not in known and value not in (None, "", [], {}, (), False):
            found.append((name.replace("_", " "), _plain(value)))
    return found


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(_plain(item) for item in value)
    return "yes" if value is True else str(value)
