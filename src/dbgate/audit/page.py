"""A session as one HTML page with a small player: no other file, no network, no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from itertools import chain
from typing import Any

from dbgate.audit.frames import frames
from dbgate.audit.record import START
from dbgate.text import printable


def page(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The page, piece by piece. Every text is escaped; the policy allows this style and this script only."""
    style, script = _asset("player.css"), _asset("player.js") + _asset("page.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    coming = iter(records)
    first = next(coming, None)
    start = first if first is not None and first["kind"] == START else {}
    title = escape(printable(f"dbgate session {start.get('session', '')}"))
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<main data-began="{escape(str(start.get("time", "")))}">\n'
    )
    for frame in frames(chain([first] if first is not None else [], coming)):
        marks = f' data-marks="{" ".join(frame.marks)}"' if frame.marks else ""
        yield f'<pre class="{escape(frame.role)}" data-at="{frame.at_s:.3f}"{marks}>{escape(frame.text)}</pre>\n'
    yield f'</main>\n{_CONTROLS}<script type="module">{script}</script>\n</body>\n</html>\n'


_CONTROLS = """<nav aria-label="Player" data-controls hidden>
<button data-play type="button" title="space">Play</button>
<button data-back type="button" title="Previous statement (p)">&#8249; Statement</button>
<button data-next type="button" title="Next statement (n)">Statement &#8250;</button>
<input data-seek type="range" min="0" value="0" aria-label="Position">
<select data-speed aria-label="Speed">
<option value="0.5">0.5×</option><option value="1" selected>1×</option>
<option value="2">2×</option><option value="4">4×</option><option value="16">16×</option>
</select>
<input data-search type="search" aria-label="Search" placeholder="Search (/)">
<span data-clock></span>
<details><summary>Keys</summary>
<p>space plays and pauses · ← → 5 seconds · Home End · 0 … 9 tenths · n p statements · d a w e f next denial, approval, write,
error, fault of the record, with Shift the previous · &lt; &gt; speed · i pauses as recorded or cut · / search, Enter and Shift Enter</p></details>
</nav>
"""


def _asset(name: str) -> str:
    return files("dbgate.audit").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """The source expression of CSP level 3 for an inline element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
