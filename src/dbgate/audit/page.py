"""A session as one HTML page with a small player: no other file, no network, no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from typing import Any

from dbgate.audit.frames import frames
from dbgate.audit.record import START
from dbgate.text import printable


def page(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The page, piece by piece. Every text is escaped; the policy allows this style and this script only."""
    style, script = _asset("player.css"), _asset("player.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    kept = list(records)
    start = kept[0] if kept and kept[0]["kind"] == START else {}
    title = escape(printable(f"dbgate session {start.get('session', '')}"))
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
    )
    for frame in frames(kept):
        yield f'<pre class="{escape(frame.role)}" data-at="{frame.at_s:.3f}">{escape(frame.text)}</pre>\n'
    yield f"</main>\n{_CONTROLS}<script>{script}</script>\n</body>\n</html>\n"


_CONTROLS = """<nav aria-label="Player" hidden>
<button id="play" type="button">Play</button>
<button id="back" type="button" title="Previous statement (p)">&#8249; Statement</button>
<button id="next" type="button" title="Next statement (n)">Statement &#8250;</button>
<input id="seek" type="range" min="0" value="0" aria-label="Position">
<select id="speed" aria-label="Speed">
<option value="0.5">0.5x</option><option value="1" selected>1x</option>
<option value="2">2x</option><option value="4">4x</option><option value="16">16x</option>
</select>
<span id="clock"></span>
</nav>
"""


def _asset(name: str) -> str:
    return files("dbgate.audit").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """The source expression of CSP level 3 for an inline element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
